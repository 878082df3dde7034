//! Containers of images: what they are given by default, each flag, and their lives.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../harness/images/mod.rs"]
mod images;

mod defaults;
mod flags;
mod flat;
mod life;
mod machine;
mod mounts;
mod removal;
mod rootless;
mod terminal;
