//! The network: names, TLS, and HTTP with blocking calls.
//!
//! Nothing here is called in a process that clones a container: what needs the network runs apart
//! ([`crate::sys::apart`]). Names are looked up by our own resolver, since a static glibc program that
//! calls getaddrinfo loads the libraries of whatever glibc the host has (nsswitch.conf(5)).

mod client;
mod error;
pub mod names;
mod proxies;
pub mod random;
mod request;
mod roots;
pub mod url;
mod words;

pub use client::{Client, Plain, Setup, Times, Verification};
pub use error::{Cause, Error};
pub use names::Names;
pub use proxies::Proxies;
pub use request::{Method, Request, Response};
pub use url::Url;
pub use words::plain;
