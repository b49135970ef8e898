//! Many tasks on the executor: each sleeps a little, yields, and counts.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::rc::Rc;
use core::cell::Cell;

use guest_rt::time::{self, Duration};

guest_rt::manifest! {}

const TASKS: u64 = 1000;

#[guest_rt::main]
async fn main() {
    let done = Rc::new(Cell::new(0));
    for number in 0..TASKS {
        let done = Rc::clone(&done);
        guest_rt::spawn(async move {
            time::sleep(Duration::from_micros(number * 7 % 5000)).await;
            guest_rt::task::yield_now().await;
            done.set(done.get() + 1);
        });
    }
    while done.get() < TASKS {
        time::sleep(Duration::from_millis(1)).await;
    }
    guest_rt::println!("{} tasks", done.get());
}
