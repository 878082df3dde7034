//! Images at registries: the test's own, Debian's docker-registry, and one that plays AWS.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../harness/images/mod.rs"]
mod images;
#[path = "../program/mod.rs"]
mod program;

mod aws;
mod bare_root;
mod commands;
mod daemon;
mod faults;
mod images_at;
mod logins;
mod mirrors;
mod names;
mod proxies;
mod server;
mod slow;
mod strangers;
mod tls;
