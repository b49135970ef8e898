//! Panics: the message is printed and the status is 255.
#![no_std]
#![no_main]

guest_rt::manifest! {}

#[guest_rt::main]
fn main() {
    panic!("on purpose");
}
