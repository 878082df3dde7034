//! `linux.seccomp`: which system calls a container may make.

/// A profile with its names still names: `plan` knows the numbers.
#[derive(Clone, Debug)]
pub struct Profile {}
