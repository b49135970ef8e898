//! The driver of one network device: frames between its descriptor and its stack.

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::task::Waker;

use netstack::{ETHERNET_HEADER_BYTES, Stack};
use solo5_sys::extension::Features;

use crate::boot;
use crate::hypercall::{self, Errno, PollFd};
use crate::time::Instant;

/// Frames that are read before tasks get their turn.
const BURST: usize = 64;

pub(crate) struct Device {
    name: String,
    pub(crate) fd: i32,
    stack: RefCell<Stack>,
    frame: RefCell<Vec<u8>>,
    /// The last write found the wire full.
    blocked: Cell<bool>,
    /// The other end of the wire is closed.
    gone: Cell<bool>,
    /// Who waits for an address.
    waiters: RefCell<Vec<Waker>>,
}

impl Device {
    pub(crate) fn new(name: &str, fd: i32, mtu_bytes: usize, stack: Stack) -> Self {
        Self {
            name: name.into(),
            fd,
            stack: RefCell::new(stack),
            frame: RefCell::new(alloc::vec![0; mtu_bytes + ETHERNET_HEADER_BYTES]),
            blocked: Cell::new(false),
            gone: Cell::new(false),
            waiters: RefCell::default(),
        }
    }

    /// Runs `f` on the stack. Its frames go out at the end of the executor's turn.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Stack) -> R) -> R {
        f(&mut self.stack.borrow_mut())
    }

    pub(crate) fn drive(&self, now: Instant) {
        self.receive(now);
        self.flush(now);
        self.wake_waiters();
    }

    fn receive(&self, now: Instant) {
        let mut frame = self.frame.borrow_mut();
        let mut stack = self.stack.borrow_mut();
        for _ in 0..BURST {
            if self.gone.get() {
                return;
            }
            match hypercall::read(self.fd, &mut frame) {
                // A closed socket reads as empty; a TAP never does.
                Ok(0) => self.close("its other end is closed"),
                Ok(bytes) => stack.receive(now.to_netstack(), &frame[..bytes]),
                Err(Errno::AGAIN) => return,
                Err(Errno::INTERRUPTED) => {}
                Err(Errno(number)) => self.close(&alloc::format!("the host's error {number}")),
            }
        }
    }

    /// Lets the stack work until it has nothing to say or the wire is full.
    pub(crate) fn flush(&self, now: Instant) {
        if self.gone.get() {
            // A write would end the guest by SIGPIPE.
            return;
        }
        let mut stack = self.stack.borrow_mut();
        self.blocked.set(false);
        loop {
            stack.poll(now.to_netstack());
            if stack.front_frame().is_none() {
                return;
            }
            while let Some(frame) = stack.front_frame() {
                match hypercall::write(self.fd, frame) {
                    Err(Errno::INTERRUPTED) => continue,
                    Err(Errno::AGAIN) => {
                        self.blocked.set(true);
                        return;
                    }
                    // A wire may lose frames, and this one has: the peers' stacks repair that.
                    Ok(_) | Err(_) => stack.pop_frame(),
                }
            }
        }
    }

    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        if self.blocked.get() || self.gone.get() {
            return None;
        }
        self.with(|stack| stack.deadline(now.to_netstack())).map(Instant::from_netstack)
    }

    /// The `poll` events that the device waits for, `None` if nothing can come any more.
    pub(crate) fn interest(&self) -> Option<i16> {
        let output = if self.blocked.get() { PollFd::OUT } else { 0 };
        (!self.gone.get()).then_some(PollFd::IN | output)
    }

    /// Wakes whoever waits for an address, once there is one.
    fn wake_waiters(&self) {
        if !self.waiters.borrow().is_empty() && self.with(|stack| stack.ipv4().is_some()) {
            self.waiters.take().into_iter().for_each(Waker::wake);
        }
    }

    /// Wakes this waker once there is an address.
    pub(crate) fn wake_with_address(&self, waker: &Waker) {
        let mut waiters = self.waiters.borrow_mut();
        if !waiters.iter().any(|waiting| waiting.will_wake(waker)) {
            waiters.push(waker.clone());
        }
    }

    fn close(&self, reason: &str) {
        self.gone.set(true);
        if !boot::has(Features::PPOLL) {
            // Only a tender can take it out of the epoll set, where it is ready from now on.
            panic!("network device '{}' is gone: {reason}", self.name);
        }
        log::error!("network device '{}' is gone: {reason}", self.name);
    }
}
