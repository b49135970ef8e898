//! The wire in shared memory: rings for the frames, an eventfd for each side as its doorbell, and a line
//! that is cut when the guest is gone.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::write;
use ring::{Endpoint, Spin};
use solo5_sys::ring::{DOORBELL_BYTES, FRAME_BYTES_MAX, VNET_HEADER_BYTES};

use super::Sent;
use crate::error::Error;
use crate::memory;

/// What a ring wire consists of, from the gateway's side.
#[derive(Debug)]
pub struct Link {
    /// A sealed memfd with the layout of [`solo5_sys::ring`], zero but for what its maker says to
    /// the guest.
    pub memory: OwnedFd,
    /// The gateway's own doorbell: a non-blocking eventfd.
    pub doorbell: OwnedFd,
    /// The guest's doorbell.
    pub guest_doorbell: OwnedFd,
    /// The reading end of a pipe whose other end is closed when the guest is gone: eventfds tell
    /// nobody of that.
    pub lifeline: OwnedFd,
    /// For how long to look for frames before sleeping.
    pub spin: Duration,
}

impl Link {
    /// Its descriptors.
    pub(crate) fn descriptors(&self) -> [RawFd; 4] {
        [&self.memory, &self.doorbell, &self.guest_doorbell, &self.lifeline].map(OwnedFd::as_raw_fd)
    }
}

/// How many looks there are between two at the clock, and at whatever else the caller waits for.
const LOOKS: usize = 64;

/// The wire, mapped.
pub(crate) struct RingWire {
    end: Endpoint<'static>,
    doorbell: OwnedFd,
    guest_doorbell: OwnedFd,
    lifeline: OwnedFd,
    spin: Spin,
    /// When the sleep began that is not over yet.
    asleep_since: Option<Instant>,
    /// A frame behind its header, on its way out.
    scratch: Box<[u8]>,
}

impl RingWire {
    /// Maps the memory.
    ///
    /// # Errors
    /// If it is not as it should be.
    pub(crate) fn open(link: Link) -> Result<Self, Error> {
        let Link { memory, doorbell, guest_doorbell, lifeline, spin } = link;
        let region = memory::map(&memory)?;
        Ok(Self {
            end: ring::gateway_end(region),
            doorbell,
            guest_doorbell,
            lifeline,
            spin: Spin::new(spin.as_nanos() as u64),
            asleep_since: None,
            scratch: vec![0; FRAME_BYTES_MAX].into(),
        })
    }

    pub(crate) fn doorbell(&self) -> BorrowedFd<'_> {
        self.doorbell.as_fd()
    }

    pub(crate) fn lifeline(&self) -> BorrowedFd<'_> {
        self.lifeline.as_fd()
    }

    pub(crate) fn end(&mut self) -> &mut Endpoint<'static> {
        &mut self.end
    }

    /// Takes the next frame out, behind its header, into a buffer that is as long as any. Tells the length.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Error> {
        Ok(self.end.incoming().receive(buffer)?)
    }

    /// Sends a frame behind an empty header.
    pub(crate) fn send_bare(&mut self, frame: &[u8]) -> Result<Sent, Error> {
        let bytes = VNET_HEADER_BYTES + frame.len();
        // Longer than any frame of ours: nothing that waiting would help.
        let Some(room) = self.scratch.get_mut(VNET_HEADER_BYTES..bytes) else {
            return Ok(Sent::Done);
        };
        room.copy_from_slice(frame);
        let is_sent = self.end.outgoing().send(&self.scratch[..bytes])?;
        Ok(if is_sent { Sent::Done } else { Sent::Full })
    }

    /// Sends a frame behind its header.
    pub(crate) fn send(&mut self, frame: &[u8]) -> Result<Sent, Error> {
        let is_sent = self.end.outgoing().send(frame)?;
        Ok(if is_sent { Sent::Done } else { Sent::Full })
    }

    /// Wakes the guest, if it sleeps and something has happened that it waits for.
    pub(crate) fn ring(&mut self) -> Result<(), Error> {
        if !self.end.must_ring() {
            return Ok(());
        }
        match write(&self.guest_doorbell, &1u64.to_ne_bytes()) {
            // One that holds a ring already keeps it.
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => Ok(()),
            Err(error) => Err(Error::Wire { call: "write", error }),
        }
    }

    /// Looks for frames for a while, if that has been good for something. `has_other` is asked now and
    /// then whether there is something else to do. Tells whether there is anything.
    pub(crate) fn look(
        &mut self,
        has_other: impl FnMut() -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let limit = Duration::from_nanos(self.spin.limit_ns());
        if limit.is_zero() {
            return Ok(false);
        }
        let caught = self.look_for(limit, has_other)?;
        self.spin.looked(caught);
        Ok(caught)
    }

    fn look_for(
        &self,
        limit: Duration,
        mut has_other: impl FnMut() -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let start = Instant::now();
        loop {
            for _ in 0..LOOKS {
                if self.end.claims_more() {
                    return Ok(true);
                }
                std::hint::spin_loop();
            }
            if has_other()? {
                return Ok(true);
            }
            if start.elapsed() >= limit {
                return Ok(false);
            }
        }
    }

    /// Tells the guest that this side sleeps, until there is a frame, or with `room_for` until a frame of so many
    /// bytes has room; `false` if it must not.
    pub(crate) fn prepare_to_sleep(&mut self, room_for: Option<usize>) -> Result<bool, Error> {
        let may_sleep = self.end.prepare_to_sleep(room_for)?;
        if may_sleep && !self.spin.is_off() {
            self.asleep_since = Some(Instant::now());
        }
        Ok(may_sleep)
    }

    /// Takes back that this side sleeps.
    pub(crate) fn wake(&mut self) {
        self.end.wake();
        if let Some(since) = self.asleep_since.take() {
            self.spin.slept(since.elapsed().as_nanos() as u64);
        }
    }
}

const _: () = assert!(DOORBELL_BYTES == size_of::<u64>());
