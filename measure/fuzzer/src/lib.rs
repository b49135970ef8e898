//! A seeded generator of system calls with plausible arguments, for the question how much of a kernel a program can
//! reach. It only says what to call: it makes no call itself, has no unsafe code, and takes no feedback but results.
//!
//! - `random`: numbers that a seed decides;
//! - `numbers`: which calls there are;
//! - `term`: the words in which the tables of `table` describe arguments and structures;
//! - `generator`: turns them into calls, one after the other;
//! - `frame`: what to say on a wire.
#![no_std]
#![forbid(unsafe_code)]

pub mod frame;
pub mod numbers;
pub mod random;

mod generator;
mod memory;
mod table;
mod term;

pub use generator::{Call, Generator, Manner, Surroundings};
pub use memory::{MEMORY_BYTES, WINDOW_BYTES};
