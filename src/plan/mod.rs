//! plan

pub mod seccomp;
