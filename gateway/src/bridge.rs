//! A gateway without a network of its own: it carries frames between a guest's ring wire and a TAP
//! interface, so that the guest touches no device of the host. It looks at no frame.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use solo5_sys::ring::FRAME_BYTES_MAX;

use crate::error::Error;
use crate::gateway::Ended;
use crate::policy::{self, Duty};
use crate::poller::{Poller, Source};
use crate::tap::Tap;
use crate::wire::ring::{Link, RingWire};

/// Turns after which the interface is looked at though no event told of frames.
const TURNS_UNTOLD: usize = 8;
/// Frames that one way gets before the other has its turn.
const FRAMES_PER_TURN: usize = 64;

/// A bridge that is ready to serve.
pub struct Bridge {
    tap: Tap,
    link: Link,
}

impl Bridge {
    /// A bridge to a TAP interface that was opened with `IFF_VNET_HDR` and does not block.
    pub fn new(tap: OwnedFd, link: Link) -> Self {
        Self { tap: Tap::new(tap), link }
    }

    /// The descriptors that it needs, besides the standard streams.
    pub fn descriptors(&self) -> Vec<RawFd> {
        self.link.descriptors().into_iter().chain([self.tap.descriptor()]).collect()
    }

    /// Confines the process and serves until the guest is gone. See [`crate::Gateway::run`].
    ///
    /// # Errors
    /// If the process cannot be confined, the guest breaks the wire, or the interface is gone.
    pub fn run(self) -> Result<Ended, Error> {
        let Self { tap, link } = self;
        let doorbell = link.guest_doorbell.as_raw_fd();
        let duty = Duty::Bridge { doorbell, tap: tap.descriptor() };
        let wire = RingWire::open(link)?;
        let poller = Poller::new()?;
        poller.watch_ring(wire.doorbell(), wire.lifeline())?;
        poller.watch_input(&tap, Source::Tap)?;
        policy::confine(&duty)?;
        let is_readable = true;
        let mut service =
            Service { tap, wire, poller, is_readable, is_full: false, guest_gone: false };
        service.serve()?;
        Ok(Ended::GuestGone)
    }
}

struct Service {
    tap: Tap,
    wire: RingWire,
    poller: Poller,
    /// The interface may have frames.
    is_readable: bool,
    /// The guest leaves no room for a frame.
    is_full: bool,
    guest_gone: bool,
}

impl Service {
    fn serve(&mut self) -> Result<(), Error> {
        for turn in 0usize.. {
            // A guest that sends without a pause leaves no wait that would tell.
            self.is_readable |= turn.is_multiple_of(TURNS_UNTOLD);
            let taken = self.take_from_guest()?;
            let brought = !self.guest_gone && self.bring_to_guest()?;
            self.wire.ring()?;
            if !taken && self.guest_gone {
                return Ok(());
            }
            if !taken && !brought {
                self.wait()?;
            }
        }
        Ok(())
    }

    /// Gives the interface what the guest has sent. Tells whether there was anything.
    fn take_from_guest(&mut self) -> Result<bool, Error> {
        for turn in 0..FRAMES_PER_TURN {
            let incoming = self.wire.end().incoming();
            let Some(front) = incoming.front()? else {
                return Ok(turn > 0);
            };
            self.tap.write(&front)?;
            incoming.pop(&front);
        }
        Ok(true)
    }

    /// Gives the guest what the interface has. Tells whether there was anything.
    fn bring_to_guest(&mut self) -> Result<bool, Error> {
        self.is_full = false;
        if !self.is_readable {
            return Ok(false);
        }
        for turn in 0..FRAMES_PER_TURN {
            let outgoing = self.wire.end().outgoing();
            let Some(slot) = outgoing.reserve(FRAME_BYTES_MAX)? else {
                self.is_full = true;
                return Ok(turn > 0);
            };
            let Some(bytes) = self.tap.read(&slot)? else {
                self.is_readable = false;
                return Ok(turn > 0);
            };
            outgoing.commit(&slot, bytes);
        }
        Ok(true)
    }

    /// Sleeps until a frame or room has come, or the guest is gone.
    fn wait(&mut self) -> Result<(), Error> {
        const AT_ONCE: Option<std::time::Duration> = Some(std::time::Duration::ZERO);
        let poller = &mut self.poller;
        let mut count = 0;
        let has_events = || {
            count = poller.wait(AT_ONCE)?;
            Ok(count > 0)
        };
        if !self.wire.look(has_events)? {
            let room_for = self.is_full.then_some(FRAME_BYTES_MAX);
            if self.wire.prepare_to_sleep(room_for)? {
                count = self.poller.wait(None)?;
            }
            self.wire.wake();
        }
        for number in 0..count {
            match self.poller.event(number) {
                (Source::Tap, _) => self.is_readable = true,
                (_, readiness) => self.guest_gone |= readiness.hung_up || readiness.failed,
            }
        }
        Ok(())
    }
}
