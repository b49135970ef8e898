//! The values of a key-value store, and the table that finds them.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod db;
pub mod types;
