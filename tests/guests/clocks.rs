//! Checks the clocks against each other and prints the wall clock; sleeps 30 ms.
#![no_std]
#![no_main]

use guest_rt::time::{self, Duration};

guest_rt::manifest! {}

#[guest_rt::main]
async fn main() {
    let (monotonic, wall) = (time::now(), time::unix_time());
    time::sleep(Duration::from_millis(30)).await;
    let slept = time::now() - monotonic;
    assert!(slept >= Duration::from_millis(30), "woke after {slept:?}");
    assert!(time::unix_time() >= wall, "the wall clock went back");

    let elapsed = time::timeout(Duration::from_millis(5), core::future::pending::<()>()).await;
    assert_eq!(elapsed, Err(time::Elapsed));
    let in_time = time::timeout(Duration::from_secs(100), async { 7 }).await;
    assert_eq!(in_time, Ok(7));
    guest_rt::println!("unix {}", wall.as_secs());
}
