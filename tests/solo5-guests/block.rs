//! A block device, a block at a time. Its command line says what to do:
//!
//! | word | what | how it ends |
//! |---|---|---|
//! | `write` | writes every block and reads it back | status 0 |
//! | `hold` | as `write`, then waits without end | not at all |
//! | `verify` | reads what an earlier guest wrote | 0, or 2 if it is something else |
//! | `beyond-read`, `beyond-write` | the block after the last | must be killed |
//! | `long`, `short` | two blocks in one call, half a block | must be killed |
#![no_std]
#![no_main]

use solo5_guests::{Guest, boot::Block, guest, println, sys};
use solo5_sys::manifest::Entry;

guest!(main, [Entry::block("storage")]);

const BLOCK_MAX_BYTES: usize = 32768;

fn main(guest: &Guest) -> i32 {
    let disk = guest.block(1);
    println!("capacity {} block {}", disk.capacity_bytes, disk.block_bytes);
    let mut buffer = [0; 2 * BLOCK_MAX_BYTES];
    let block = &mut buffer[..disk.block_bytes];
    let result = match guest.command_line() {
        "write" => {
            write_all(&disk, block);
            return verify_all(&disk, block);
        }
        "hold" => {
            write_all(&disk, block);
            println!("holding");
            loop {
                sys::wait(&guest.info, sys::NEVER_NS);
            }
        }
        "verify" => return verify_all(&disk, block),
        "beyond-read" => sys::pread(disk.fd, block, disk.capacity_bytes),
        "beyond-write" => sys::pwrite(disk.fd, block, disk.capacity_bytes),
        "long" => sys::pread(disk.fd, &mut buffer[..2 * disk.block_bytes], 0),
        "short" => sys::pread(disk.fd, &mut block[..disk.block_bytes / 2], 0),
        other => panic!("what is '{other}'?"),
    };
    println!("returned {result}");
    1
}

fn offsets(disk: &Block) -> impl Iterator<Item = u64> + use<> {
    (0..disk.capacity_bytes).step_by(disk.block_bytes)
}

fn write_all(disk: &Block, block: &mut [u8]) {
    for offset in offsets(disk) {
        fill(block, offset);
        disk.write(offset, block);
    }
}

fn verify_all(disk: &Block, block: &mut [u8]) -> i32 {
    let mut expected = [0; BLOCK_MAX_BYTES];
    for offset in offsets(disk) {
        let expected = &mut expected[..block.len()];
        fill(expected, offset);
        disk.read(offset, block);
        if block != expected {
            println!("the block at {offset} is another");
            return 2;
        }
    }
    println!("verified");
    0
}

fn fill(block: &mut [u8], offset: u64) {
    for (word, position) in block.chunks_exact_mut(8).zip((offset..).step_by(8)) {
        word.copy_from_slice(&position.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    }
}
