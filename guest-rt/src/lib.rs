//! The SDK in which unikernels are written: ordinary `async` Rust, `no_std`, run as a process that
//! can make at most seven system calls.
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//!
//! guest_rt::manifest! {
//!     net "service",
//! }
//!
//! #[guest_rt::main]
//! async fn main() -> Result<(), guest_rt::net::Error> {
//!     let net = guest_rt::net::open("service")?;
//!     let mut listener = net.listen(7, 16)?;
//!     loop {
//!         let mut stream = listener.accept().await;
//!         guest_rt::spawn(async move {
//!             let mut buffer = [0; 512];
//!             while let Ok(bytes @ 1..) = stream.read(&mut buffer).await {
//!                 if stream.write_all(&buffer[..bytes]).await.is_err() {
//!                     break;
//!                 }
//!             }
//!         });
//!     }
//! }
//! ```
//!
//! | module | what it gives |
//! |---|---|
//! | [`net`] | network devices, TCP and UDP on `netstack`, by DHCP and autoconfiguration or with static addresses |
//! | [`block`] | block devices |
//! | [`time`] | monotonic and wall clock, sleeping, time-outs |
//! | [`entropy`] | random bytes, a [`rand_core`] generator |
//! | [`task`] | the executor: [`spawn`], [`task::yield_now`], [`task::shutdown`] |
//! | [`mod@args`] | the command line |
//! | [`env`] | variables |
//! | [`print!`], [`println!`], [`log`] | the console |
//!
//! One thread runs everything; the executor's idle state is the yield hypercall. The same file runs
//! under Nabla's tender, whose extension page saves system calls, and under Solo5's own. There
//! are no threads, no files and no sockets of the host.
#![no_std]
// Tests have an entry of their own, so what hangs on the guest's is unused there.
#![cfg_attr(test, allow(dead_code))]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod args;
pub mod block;
pub mod entropy;
pub mod env;
mod exit;
mod heap;
pub mod logger;
pub mod net;
pub mod task;
pub mod time;

mod arch;
mod boot;
mod clock;
mod console;
mod hypercall;
mod manifest;
mod shutdown;
mod single_thread;

pub use args::args;
pub use exit::{ExitStatus, Termination, abort, exit};
pub use guest_rt_macros::main;
pub use heap::{heap_available, heap_usage, heap_would_move};
pub use task::spawn;
pub use {embedded_io_async, embedded_nal_async, log, rand_core};

#[doc(hidden)]
pub mod internal {
    //! What the macros expand to; not for use by hand.
    pub use crate::console::print;
    pub use crate::exit::{abort, panicked};
    pub use crate::heap::Heap;
    pub use crate::hypercall::raw as raw_hypercall;
    pub use crate::manifest::{
        Declaration, FEATURES, count_devices, declared_entries, request, request_note,
    };
    pub use crate::task::{run, run_async};
    pub use solo5_sys;
}
