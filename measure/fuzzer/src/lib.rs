//! A seeded generator of system calls with plausible arguments.
#![no_std]
#![forbid(unsafe_code)]
