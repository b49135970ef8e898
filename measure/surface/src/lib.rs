//! What the kernel did for a program: the function tracer's records, by process and system call.
#![forbid(unsafe_code)]

pub mod calls;
pub mod filter;
pub mod model;
pub mod scenario;
