//! Prints each argument on a line of its own.
#![no_std]
#![no_main]

guest_rt::manifest! {}

#[guest_rt::main]
fn main() {
    for argument in guest_rt::args() {
        guest_rt::println!("<{argument}>");
    }
}
