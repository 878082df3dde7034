//! Images in the store: the commands, what is refused, what is left of those that are killed.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../harness/images/mod.rs"]
mod images;

mod commands;
mod crowds;
mod ground;
mod kills;
mod peers;
mod refusals;
mod sources;
mod unpack;
mod users;
mod verify;
