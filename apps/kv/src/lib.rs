//! The values of a key-value store, the table that finds them, and the log that brings them back.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod db;
pub mod log;
pub mod types;
pub mod world;
