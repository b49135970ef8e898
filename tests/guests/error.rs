//! Returns an error from main: it is printed and the status is 1.
#![no_std]
#![no_main]

guest_rt::manifest! {}

#[guest_rt::main]
fn main() -> Result<(), guest_rt::block::Error> {
    guest_rt::block::open("nothing").map(|_| ())
}
