//! Prints a line and returns.
#![no_std]
#![no_main]

guest_rt::manifest! {}

#[guest_rt::main]
fn main() {
    guest_rt::println!("hello from a guest");
}
