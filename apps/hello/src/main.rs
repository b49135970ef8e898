//! Prints a line, and its arguments if there are any.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

guest_rt::manifest! {}

#[guest_rt::main]
fn main() {
    guest_rt::println!("Hello from a unikernel: one process, no libc, no kernel of its own.");
    for argument in guest_rt::args() {
        guest_rt::println!("argument: {argument}");
    }
}
