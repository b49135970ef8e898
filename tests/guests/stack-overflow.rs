//! Recurses without end: the stack's guard faults.
#![no_std]
#![no_main]

guest_rt::manifest! {}

fn recurse(depth: u64) -> u64 {
    let frame = core::hint::black_box([depth; 32]);
    if depth == u64::MAX { 0 } else { recurse(depth + 1) + frame[7] }
}

#[guest_rt::main]
fn main() {
    guest_rt::println!("returned {}", recurse(0));
}
