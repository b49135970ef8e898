//! What the kernel did for a program: the function tracer's records, by process and system call.
#![forbid(unsafe_code)]

pub mod attribution;
pub mod calls;
pub mod docker;
pub mod filter;
pub mod format;
pub mod model;
pub mod pages;
pub mod scenario;
pub mod symbols;
