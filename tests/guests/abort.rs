//! Aborts: status 255, and nothing said.
#![no_std]
#![no_main]

guest_rt::manifest! {}

#[guest_rt::main]
fn main() {
    guest_rt::abort();
}
