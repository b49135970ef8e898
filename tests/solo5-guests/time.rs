//! Reads both clocks and waits for deadlines that lie ahead, behind and at zero distance.
#![no_std]
#![no_main]

use solo5_guests::sys::{clock_ns, wait};
use solo5_guests::{Guest, guest, println};
use solo5_sys::hypercall::{CLOCK_MONOTONIC, CLOCK_REALTIME};

guest!(main, []);

/// The year 2020, in nanoseconds since 1970.
const YEAR_2020_NS: u64 = 1_577_836_800_000_000_000;

fn main(guest: &Guest) -> i32 {
    assert!(clock_ns(CLOCK_REALTIME) > YEAR_2020_NS);
    let start_ns = clock_ns(CLOCK_MONOTONIC);
    for distance_ns in [0, 1_000, 3_000_000, 20_000_000] {
        let deadline_ns = clock_ns(CLOCK_MONOTONIC) + distance_ns;
        assert!(wait(&guest.info, deadline_ns) == 0);
        assert!(clock_ns(CLOCK_MONOTONIC) >= deadline_ns);
    }
    assert!(wait(&guest.info, 1) == 0);
    assert!(clock_ns(CLOCK_MONOTONIC) > start_ns);
    println!("waited");
    0
}
