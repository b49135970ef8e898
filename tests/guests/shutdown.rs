//! Says how it was asked to end. The argument says what it does meanwhile: `heed` waits in several tasks, `late` begins
//! to wait when it was asked already, `busy` never sleeps, `deaf` does not wait.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::rc::Rc;
use core::cell::Cell;
use core::future::{Future, poll_fn};
use core::pin::pin;

use guest_rt::time::{self, Duration};
use guest_rt::{ExitStatus, args, println, task};

guest_rt::manifest! {
    shutdown,
}

const TASKS: usize = 3;

#[guest_rt::main]
async fn main() -> ExitStatus {
    let words = args();
    let mode = words.first().map_or("", |word| word.as_str());
    println!("up: {mode}");
    match mode {
        "heed" => heed().await,
        "late" => {
            time::sleep(Duration::from_millis(300)).await;
            println!("it waits now");
            task::shutdown().await;
        }
        "busy" => busy().await,
        _ => sleep_for_ever().await,
    }
    // It stays so.
    task::shutdown().await;
    println!("asked");
    ExitStatus::new(7)
}

async fn heed() {
    let woken = Rc::new(Cell::new(0));
    for _ in 0..TASKS {
        let woken = Rc::clone(&woken);
        guest_rt::spawn(async move {
            task::shutdown().await;
            woken.set(woken.get() + 1);
        });
    }
    task::shutdown().await;
    while woken.get() < TASKS {
        task::yield_now().await;
    }
}

async fn busy() {
    let mut shutdown = pin!(task::shutdown());
    let mut turns = 0u64;
    poll_fn(|context| {
        turns += 1;
        context.waker().wake_by_ref();
        shutdown.as_mut().poll(context)
    })
    .await;
    println!("{}", if turns > 1 { "many turns" } else { "one turn" });
}

async fn sleep_for_ever() {
    loop {
        time::sleep(Duration::from_secs(3600)).await;
    }
}
