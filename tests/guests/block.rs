//! Writes a pattern over a whole block device and reads it back in transfers of several sizes;
//! what is out of bounds or unaligned is refused.
#![no_std]
#![no_main]

extern crate alloc;

use guest_rt::block::{self, Error};

guest_rt::manifest! {
    block "storage",
}

fn pattern(position: u64) -> u8 {
    (position.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

#[guest_rt::main]
fn main() -> Result<(), Error> {
    let disk = block::open("storage")?;
    let (capacity, block) = (disk.capacity_bytes(), usize::from(disk.block_bytes()));
    guest_rt::println!("capacity {capacity} block {block}");

    let whole: alloc::vec::Vec<u8> = (0..capacity).map(pattern).collect();
    disk.write(0, &whole)?;
    for blocks in [1, 3, 8, 100] {
        let bytes = (blocks * block).min(whole.len());
        let mut buffer = alloc::vec![0; bytes];
        for offset in [0, capacity - bytes as u64] {
            disk.read(offset, &mut buffer)?;
            assert!(buffer[..] == whole[offset as usize..][..bytes], "{bytes} bytes at {offset}");
        }
    }

    let mut one = alloc::vec![0; block];
    let beyond = Error::OutOfBounds { capacity_bytes: capacity };
    assert_eq!(disk.read(capacity, &mut one), Err(beyond));
    assert_eq!(disk.write(u64::MAX - block as u64 + 1, &one), Err(beyond));
    let unaligned = Error::Unaligned { block_bytes: block as u16 };
    assert_eq!(disk.read(1, &mut one), Err(unaligned));
    assert_eq!(disk.read(0, &mut one[1..]), Err(unaligned));
    guest_rt::println!("good");
    Ok(())
}
