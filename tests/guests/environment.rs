//! Prints what variables there are, and the values of those that arguments name.
#![no_std]
#![no_main]

use guest_rt::{args, env, println};

guest_rt::manifest! {}

/// A longer value is told by its length.
const SHOWN_BYTES_MAX: usize = 100;

#[guest_rt::main]
fn main() {
    for (name, value) in env::vars() {
        match value.len() {
            bytes if bytes > SHOWN_BYTES_MAX => println!("{name}: {bytes} bytes"),
            _ => println!("{name}=<{value}>"),
        }
    }
    for name in args() {
        println!("{name} is {:?}", env::var(&name));
    }
}
