//! The driver of one network device: frames between its descriptor, or its ring, and its stack, with few
//! calls.
//!
//! How many frames are read in a row follows the load. A read that finds nothing costs a call, so
//! after the one frame that ended a wait none is tried; while frames keep coming, twice as many are
//! read before the tasks get their turn, until one read finds nothing. A ring costs no call.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;

use netstack::Stack;
use solo5_sys::extension::Features;

use super::ring::Ring;
use crate::boot;
use crate::hypercall::{self, Errno, PollFd};
use crate::time::Instant;

/// What is read at most before tasks get their turn.
const BURST_FRAMES_MAX: usize = 64;
const BURST_BYTES_MAX: usize = 256 << 10;

pub(crate) struct Device {
    name: String,
    /// What carries its frames, or, if it is a ring, its doorbell.
    pub(crate) fd: i32,
    pub(crate) ring: Option<Ring>,
    stack: RefCell<Stack>,
    frame: RefCell<Vec<u8>>,
    /// Frames to read in a row.
    burst: Cell<usize>,
    /// The last burst was filled, and there was no sleep since.
    is_flowing: Cell<bool>,
    /// Nothing is there to read, as `ppoll` has said since the last turn.
    is_quiet: Cell<bool>,
    /// The last write found the wire full.
    blocked: Cell<bool>,
    /// The other end of the wire is closed.
    gone: Cell<bool>,
    /// Not before it has an IPv4 address can its address be told.
    pub(crate) expects_ipv4: bool,
    /// Who waits for an address.
    waiters: RefCell<Vec<Waker>>,
    addresses_changed: Arc<Flag>,
}

/// A waker that is looked at.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Device {
    pub(crate) fn new(
        name: &str,
        fd: i32,
        ring: Option<Ring>,
        frame_bytes_max: usize,
        stack: Stack,
        expects_ipv4: bool,
    ) -> Self {
        Self {
            name: name.into(),
            fd,
            ring,
            stack: RefCell::new(stack),
            frame: RefCell::new(alloc::vec![0; frame_bytes_max]),
            burst: Cell::new(1),
            is_flowing: Cell::new(false),
            is_quiet: Cell::new(false),
            blocked: Cell::new(false),
            gone: Cell::new(false),
            expects_ipv4,
            waiters: RefCell::default(),
            addresses_changed: Arc::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs `f` on the stack. Its frames go out at the end of the executor's turn.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Stack) -> R) -> R {
        f(&mut self.stack.borrow_mut())
    }

    /// Takes in frames; whether there were any.
    pub(crate) fn receive(&self, now: Instant) -> bool {
        if self.is_quiet.take() || self.gone.get() {
            return false;
        }
        self.read_burst(now) > 0
    }

    /// Reads at most a burst and returns how many frames it had.
    fn read_burst(&self, now: Instant) -> usize {
        let mut frame = self.frame.borrow_mut();
        let mut stack = self.stack.borrow_mut();
        if let Some(ring) = &self.ring {
            return self.take_burst(ring, &mut frame, &mut stack, now);
        }
        let (mut frames, mut bytes_left) = (0, BURST_BYTES_MAX);
        while frames < self.burst.get() && bytes_left > 0 {
            match hypercall::read(self.fd, &mut frame) {
                // A closed socket reads as empty; a TAP never does.
                Ok(0) => {
                    self.close("its other end is closed");
                    return frames;
                }
                Ok(bytes) => {
                    stack.receive(now.to_netstack(), &frame[..bytes]);
                    frames += 1;
                    bytes_left = bytes_left.saturating_sub(bytes);
                }
                Err(Errno::AGAIN) => {
                    self.is_flowing.set(false);
                    self.burst.set(frames.max(1));
                    return frames;
                }
                Err(Errno::INTERRUPTED) => {}
                Err(Errno(number)) => {
                    self.close(&alloc::format!("the host's error {number}"));
                    return frames;
                }
            }
        }
        if self.is_flowing.replace(true) {
            self.burst.set((2 * self.burst.get()).min(BURST_FRAMES_MAX));
        }
        frames
    }

    /// Takes what the ring has, up to the largest burst, and returns how many frames that was.
    fn take_burst(&self, ring: &Ring, frame: &mut [u8], stack: &mut Stack, now: Instant) -> usize {
        let (mut frames, mut bytes_left) = (0, BURST_BYTES_MAX);
        while frames < BURST_FRAMES_MAX && bytes_left > 0 {
            match ring.receive(frame) {
                Ok(Some(bytes)) => {
                    // A longer one is lost, as frames may be.
                    if let Some(frame) = frame.get(..bytes) {
                        stack.receive(now.to_netstack(), frame);
                    }
                    frames += 1;
                    bytes_left = bytes_left.saturating_sub(bytes);
                }
                Ok(None) => break,
                Err(corrupt) => {
                    self.close(&alloc::format!("its ring holds {corrupt}"));
                    break;
                }
            }
        }
        frames
    }

    /// Lets the stack work until it has nothing to say, the wire is full or has got so many bytes, and
    /// wakes who waits for that; whether a frame went out.
    pub(crate) fn flush(&self, now: Instant, bytes_max: usize) -> bool {
        let sent = self.write(now, bytes_max);
        self.ring.iter().for_each(Ring::ring);
        self.wake_waiters();
        sent
    }

    fn write(&self, now: Instant, bytes_max: usize) -> bool {
        let mut sent_bytes = 0;
        let mut stack = self.stack.borrow_mut();
        self.blocked.set(false);
        // A write to a wire whose other end is closed would end the guest by SIGPIPE.
        while sent_bytes < bytes_max && !self.gone.get() {
            if stack.front_frame().is_none() {
                stack.poll(now.to_netstack());
            }
            let Some(frame) = stack.front_frame() else { break };
            let frame_bytes = frame.len();
            if !self.send(frame) {
                break;
            }
            sent_bytes += frame_bytes;
            stack.pop_frame();
        }
        sent_bytes > 0
    }

    /// Hands a frame to the wire; `false` if that is full or gone.
    fn send(&self, frame: &[u8]) -> bool {
        let is_taken = match &self.ring {
            Some(ring) => match ring.send(frame) {
                Ok(is_taken) => is_taken,
                Err(corrupt) => {
                    self.close(&alloc::format!("its ring holds {corrupt}"));
                    return false;
                }
            },
            None => loop {
                match hypercall::write(self.fd, frame) {
                    Err(Errno::INTERRUPTED) => {}
                    Err(Errno::AGAIN) => break false,
                    // A wire may lose frames, and this one has: the peers' stacks repair that.
                    Ok(_) | Err(_) => break true,
                }
            },
        };
        self.blocked.set(!is_taken);
        is_taken
    }

    /// The guest is about to sleep, so what comes then is no longer the same flow.
    pub(crate) fn expect_sleep(&self) {
        self.is_flowing.set(false);
    }

    /// Skips the next look, as there is nothing to read.
    pub(crate) fn mark_quiet(&self) {
        // A look into a ring costs nothing.
        self.is_quiet.set(self.ring.is_none());
    }

    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        if self.blocked.get() || self.gone.get() {
            return None;
        }
        let has_more = self.with(|stack| stack.front_frame().is_some());
        if has_more {
            return Some(now);
        }
        self.with(|stack| stack.deadline(now.to_netstack())).map(Instant::from_netstack)
    }

    /// The `poll` events that the device waits for, `None` if nothing can come any more.
    pub(crate) fn interest(&self) -> Option<i16> {
        let asks_for_room = self.blocked.get() && self.ring.is_none();
        let output = if asks_for_room { PollFd::OUT } else { 0 };
        (!self.gone.get()).then_some(PollFd::IN | output)
    }

    /// Before the guest sleeps; `false` if it must not.
    pub(crate) fn prepare_to_sleep(&self) -> bool {
        let Some(ring) = self.ring.as_ref().filter(|_| !self.gone.get()) else { return true };
        let room_for = match self.blocked.get() {
            true => self.with(|stack| stack.front_frame().map(<[u8]>::len)),
            false => None,
        };
        ring.prepare_to_sleep(room_for).unwrap_or_else(|corrupt| {
            self.close(&alloc::format!("its ring holds {corrupt}"));
            false
        })
    }

    /// Wakes whoever waits for an address, if the addresses have changed.
    pub(crate) fn wake_waiters(&self) {
        if self.addresses_changed.0.swap(false, Ordering::Relaxed) {
            self.waiters.take().into_iter().for_each(Waker::wake);
        }
    }

    /// Wakes this waker once when the addresses change.
    pub(crate) fn wake_at_new_address(&self, waker: &Waker) {
        self.with(|stack| {
            stack.register_address_waker(&Waker::from(Arc::clone(&self.addresses_changed)));
        });
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
