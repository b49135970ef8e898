//! Holds the runtime's clocks against the host's for a second and says how far they were apart at most,
//! and whether they are read from the cycle counter.
#![no_std]
#![no_main]

use core::slice;

use guest_rt::internal::raw_hypercall;
use guest_rt::internal::solo5_sys::extension::{Extension, Features};
use guest_rt::internal::solo5_sys::hypercall::{CLOCK_MONOTONIC, CLOCK_REALTIME};
use guest_rt::internal::solo5_sys::layout::{EXTENSION_PAGE, PAGE_BYTES};
use guest_rt::println;
use guest_rt::time::{self, Duration};

guest_rt::manifest! {}

const CLOCK_GETTIME: usize = 228;

/// A clock of the host's.
fn host(clock_id: i32) -> Duration {
    let mut time = [0i64; 2];
    let arguments = [clock_id as usize, (&raw mut time).expose_provenance(), 0, 0, 0, 0];
    // SAFETY: the kernel writes a `struct timespec`.
    let result = unsafe { raw_hypercall(CLOCK_GETTIME, arguments) };
    assert!(result == 0, "clock_gettime: {result}");
    Duration::new(time[0] as u64, time[1] as u32)
}

/// How far a clock is outside of two readings of the host's around it.
fn error(clock_id: i32, clock: impl Fn() -> Duration) -> Duration {
    let before = host(clock_id);
    let time = clock();
    let after = host(clock_id);
    before.saturating_sub(time).max(time.saturating_sub(after))
}

#[guest_rt::main]
async fn main() {
    let page = core::ptr::with_exposed_provenance(EXTENSION_PAGE as usize);
    // SAFETY: both tenders map the page, and nobody writes to it.
    let page = unsafe { slice::from_raw_parts(page, PAGE_BYTES as usize) };
    let page = Extension::parse(page).unwrap_or(Extension::NONE);
    println!("counter {}", page.features.contains(Features::TSC));

    let (mut monotonic, mut wall) = (Duration::ZERO, Duration::ZERO);
    let start = host(CLOCK_MONOTONIC);
    let mut last = time::now();
    while host(CLOCK_MONOTONIC) - start < Duration::from_secs(1) {
        for _ in 0..100 {
            let now = time::now();
            assert!(now >= last, "the clock went back by {:?}", last - now);
            last = now;
        }
        monotonic = monotonic.max(error(CLOCK_MONOTONIC, || time::now().since_epoch()));
        wall = wall.max(error(CLOCK_REALTIME, time::unix_time));
        time::sleep(Duration::from_micros(300)).await;
    }
    println!("apart {} and {} us", monotonic.as_micros(), wall.as_micros());
}
