//! Reads and writes a disk in batches with a rest between them, each announced, as `probe block` does
//! without a unikernel. Its arguments: how many batches, of how many transfers.
#![no_std]
#![no_main]

use core::time::Duration;

use guest_rt::block::{self, Error};
use guest_rt::time::sleep;

guest_rt::manifest! {
    block "storage",
}

const BLOCK: usize = 4096;
/// In this time whoever looks on gets ready.
const REST: Duration = Duration::from_secs(60);

#[guest_rt::main]
async fn main() -> Result<(), Error> {
    let disk = block::open("storage")?;
    let blocks = disk.capacity_bytes() / BLOCK as u64;
    assert!(blocks > 0, "the disk has no block");
    let mut numbers =
        guest_rt::args().into_iter().map(|word| word.parse::<u64>().expect("a number"));
    let batches = numbers.next().expect("how many batches?");
    let transfers = numbers.next().expect("how many transfers?");
    let mut buffer = [0; BLOCK];
    for batch in 0..=batches {
        guest_rt::println!("ready {batch}");
        // The last one's end is to be seen without the guest's.
        sleep(REST).await;
        if batch == batches {
            break;
        }
        for transfer in 0..transfers {
            let place = transfer * 7919 % blocks * BLOCK as u64;
            if transfer % 2 == 0 {
                disk.read(place, &mut buffer)?;
            } else {
                disk.write(place, &buffer)?;
            }
        }
    }
    Ok(())
}
