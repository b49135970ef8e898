//! As many devices as a manifest holds, 63 block devices: writes its own number to the first and the
//! last block of each, then reads all of them back.
#![no_std]
#![no_main]

use solo5_guests::{Guest, guest, println};
use solo5_sys::manifest::{Entry, MAX_DEVICES};

guest!(main, DEVICES);

/// `disk01` to `disk63`.
const DEVICES: [Entry; MAX_DEVICES] = {
    let mut entries = [Entry::block("disk01"); MAX_DEVICES];
    let mut i = 0;
    while i < MAX_DEVICES {
        let number = i as u8 + 1;
        let name = [b'd', b'i', b's', b'k', b'0' + number / 10, b'0' + number % 10];
        entries[i] = match core::str::from_utf8(&name) {
            Ok(name) => Entry::block(name),
            Err(_) => panic!(),
        };
        i += 1;
    }
    entries
};

fn main(guest: &Guest) -> i32 {
    let mut buffer = [0; 32768];
    for index in 1..=MAX_DEVICES {
        let disk = guest.block(index);
        let block = &mut buffer[..disk.block_bytes];
        block.fill(index as u8);
        disk.write(0, block);
        disk.write(disk.capacity_bytes - disk.block_bytes as u64, block);
        println!("disk{index:02} {} {}", disk.capacity_bytes, disk.block_bytes);
    }
    for index in 1..=MAX_DEVICES {
        let disk = guest.block(index);
        let block = &mut buffer[..disk.block_bytes];
        for offset in [0, disk.capacity_bytes - disk.block_bytes as u64] {
            block.fill(0);
            disk.read(offset, block);
            assert!(block.iter().all(|&byte| byte == index as u8), "disk{index:02}");
        }
    }
    println!("good");
    0
}
