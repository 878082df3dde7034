//! System calls: the home of `unsafe`. One call a function, a safe signature, no policy.
#![allow(unsafe_code, reason = "this is the one module that may")]

pub mod seccomp;
