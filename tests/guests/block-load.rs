//! Reads and writes a block device as fast as it goes, one transfer after the other, for `cargo xtask measure
//! throughput`: each of the ways that `bench/block` of xtask knows, for `--ms=N` each. After each way a line tells
//! how many transfers there were in how many nanoseconds.
#![no_std]
#![no_main]

extern crate alloc;

use guest_rt::block::{self, Device, Error};
use guest_rt::time::{self, Duration};
use guest_rt::{args, println};

guest_rt::manifest! {
    block "storage",
}

const BYTES: [usize; 2] = [4 << 10, 1 << 20];
/// What is transferred between two looks at the clock.
const BATCH_BYTES: usize = 256 << 10;
const DEFAULT_MS: u64 = 100;

/// One way to use the device.
struct Way {
    writes: bool,
    is_random: bool,
    bytes: usize,
}

/// How long it is still there when it has said everything: somebody reads its clocks.
const LINGER: Duration = Duration::from_millis(100);

#[guest_rt::main]
async fn main() -> Result<(), Error> {
    let disk = block::open("storage")?;
    let ms = args::option("--ms").and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_MS);
    println!("ready");
    for writes in [false, true] {
        for is_random in [false, true] {
            for bytes in BYTES {
                let way = Way { writes, is_random, bytes };
                let (count, elapsed) = way.go(&disk, Duration::from_millis(ms))?;
                let (verb, order) = way.names();
                println!("{verb} {order} {bytes} {count} {}", elapsed.as_nanos());
            }
        }
    }
    time::sleep(LINGER).await;
    Ok(())
}

impl Way {
    fn names(&self) -> (&'static str, &'static str) {
        let verb = if self.writes { "write" } else { "read" };
        (verb, if self.is_random { "random" } else { "sequential" })
    }

    /// How many transfers there were in how long.
    fn go(&self, disk: &Device, at_least: Duration) -> Result<(u64, Duration), Error> {
        let mut buffer = alloc::vec![0x5a; self.bytes];
        let places = (disk.capacity_bytes() / self.bytes as u64).max(1);
        let batch = (BATCH_BYTES / self.bytes).max(1) as u64;
        let (mut count, mut random) = (0, 0);
        let start = time::now();
        loop {
            for _ in 0..batch {
                let place = if self.is_random { next(&mut random) } else { count } % places;
                let offset = place * self.bytes as u64;
                if self.writes {
                    disk.write(offset, &buffer)?;
                } else {
                    disk.read(offset, &mut buffer)?;
                }
                count += 1;
            }
            let elapsed = time::now().duration_since(start);
            if elapsed >= at_least {
                return Ok((count, elapsed));
            }
        }
    }
}

/// SplitMix64: the native program's places, too.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
