//! Containers of images: their roots, what they are given by default, and their lives.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../harness/mod.rs"]
mod harness;

mod overlay;
