//! Allocates until nothing is left: fallible allocation reports it, infallible ends the guest with
//! status 255 and a message.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;

guest_rt::manifest! {}

const CHUNK_BYTES: usize = 1 << 20;

#[guest_rt::main]
fn main() {
    let mut chunks: Vec<Vec<u8>> = Vec::with_capacity(1 << 12);
    loop {
        let mut chunk = Vec::new();
        if chunk.try_reserve_exact(CHUNK_BYTES).is_err() {
            break;
        }
        chunk.resize(CHUNK_BYTES, 1u8);
        chunks.push(chunk);
    }
    let sum: u64 = chunks.iter().map(|chunk| u64::from(chunk[CHUNK_BYTES - 1])).sum();
    guest_rt::println!("exhausted after {sum} MB");
    if guest_rt::args().is_empty() {
        return;
    }
    core::hint::black_box(Vec::<u8>::with_capacity(CHUNK_BYTES));
}
