//! config.json to [`Container`]: the one place that sees `oci_spec`.
//!
//! The document is untrusted in form: every fault is named by its path in the JSON, and what
//! leaves this module cannot be wrong.

pub mod container;
pub mod limits;
pub mod mounts;
pub mod seccomp;
pub mod units;

pub use container::Container;
pub use units::Id;
