//! The system calls of `floor` and `stopwatch`, with safe signatures.

pub mod calls;
