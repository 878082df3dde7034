//! Bulkhead turns a description of a container into system calls.
//!
//! ```text
//! config.json ──spec──▶ Container ──plan──▶ Plan ──launch──▶ process ──state──▶ record
//!   untrusted           checked once        a flat list      clone, steps,      what the next
//!                                           of steps         exec               command reads
//! ```
//!
//! Each arrow is one module, each noun is one type, and nothing goes backwards. `bulkhead plan
//! BUNDLE` prints the third noun.
//!
//! A module imports only modules with a smaller number, never a neighbour; `tests/layers.rs` holds
//! the same table.
//!
//! ```text
//! 7  cli/        one file per command
//! 5  container/  create, start, kill, delete …: one file per verb
//! 3  launch/     clone, run a plan, hear from the child
//! 2  plan/       Container to Plan          cgroup/  v2, v1, hybrid, systemd
//!    image/      pull, store, unpack        state/   records, locks
//! 1  spec/       config.json to Container   aws/     credentials, SigV4
//! 0  sys/        system calls: the home of `unsafe`   net/  names, TLS, HTTP
//! ```

pub mod aws;
pub mod cgroup;
pub mod cli;
pub mod container;
pub mod image;
pub mod launch;
pub mod net;
pub mod plan;
pub mod spec;
pub mod state;
pub mod sys;
