//! The wire: carries Ethernet frames between the guest and the gateway, and tells when it is full or the
//! guest gone. It has two forms: a seqpacket socket (`socket`) and rings in shared memory (`ring`).
//! What is in the frames is none of its business.

pub(crate) mod header;
pub(crate) mod ring;
mod socket;

use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use solo5_sys::ring::{FRAME_BYTES_MAX, VNET_HEADER_BYTES};

use crate::error::Error;
use crate::poller::Poller;
use ring::{Link, RingWire};
use socket::SocketWire;

/// Frames of the gateway's own making that wait for room on the wire.
const REPLIES_MAX: usize = 64;

/// What a wire is made of, before it is in use.
pub(crate) enum Ends {
    /// A seqpacket socket of the unix family.
    Socket(OwnedFd),
    /// Shared memory.
    Ring(Link),
}

impl Ends {
    /// # Errors
    /// If the descriptor is no seqpacket socket.
    pub(crate) fn of_socket(socket: OwnedFd) -> Result<Self, Error> {
        socket::check(&socket)?;
        Ok(Self::Socket(socket))
    }

    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        match self {
            Self::Socket(socket) => vec![socket.as_raw_fd()],
            Self::Ring(link) => link.descriptors().into(),
        }
    }

    /// The doorbell that the gateway rings, if there is one.
    pub(crate) fn guest_doorbell(&self) -> Option<RawFd> {
        match self {
            Self::Socket(_) => None,
            Self::Ring(link) => Some(link.guest_doorbell.as_raw_fd()),
        }
    }
}

enum Form {
    Socket(SocketWire),
    Ring(Box<RingWire>),
}

pub(crate) struct Wire {
    form: Form,
    replies: VecDeque<Vec<u8>>,
    hung_up: bool,
    /// The length of the frame that found no room.
    full: Option<usize>,
    replies_dropped: u64,
}

/// What was on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// A frame, and where in the buffer it lies.
    Frame(Range<usize>),
    /// A frame that is longer than the buffer.
    Oversized,
    /// A record without a byte, or else the end, if the poller tells of a hang-up next.
    Empty,
    /// The guest left frames of ours unread. What it sent before can still be read.
    Reset,
    Nothing,
    /// The guest has closed its end, and all that it sent is read.
    GuestGone,
}

/// What became of an outgoing frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The wire has it; or the frame is lost, as frames may be.
    Done,
    /// There is no room. The loop will be told when there is.
    Full,
}

impl Wire {
    /// # Errors
    /// If the shared memory is not as it should be.
    pub(crate) fn open(ends: Ends) -> Result<Self, Error> {
        let form = match ends {
            Ends::Socket(socket) => Form::Socket(SocketWire::new(socket)),
            Ends::Ring(link) => Form::Ring(Box::new(RingWire::open(link)?)),
        };
        Ok(Self { form, replies: VecDeque::new(), hung_up: false, full: None, replies_dropped: 0 })
    }

    /// Has the poller tell of frames and of the guest's end.
    pub(crate) fn watch(&self, poller: &Poller) -> Result<(), Error> {
        match &self.form {
            Form::Socket(wire) => poller.watch_wire(wire),
            Form::Ring(wire) => poller.watch_ring(wire.doorbell(), wire.lifeline()),
        }
    }

    /// Has the poller tell of the wire no more.
    pub(crate) fn forget(&self, poller: &Poller) -> Result<(), Error> {
        match &self.form {
            Form::Socket(wire) => poller.forget_wire(wire),
            Form::Ring(wire) => poller.forget_wire(wire.lifeline()),
        }
    }

    /// Has the poller tell of room, or no more.
    pub(crate) fn ask_for_room(&self, poller: &Poller, ask: bool) -> Result<(), Error> {
        match &self.form {
            Form::Socket(wire) => poller.ask_for_room(wire, ask),
            // The guest rings.
            Form::Ring(_) => Ok(()),
        }
    }

    /// Room for a received frame of at most `frame_bytes`.
    pub(crate) fn buffer(&self, frame_bytes: usize) -> Box<[u8]> {
        match self.form {
            Form::Socket(_) => vec![0; frame_bytes].into(),
            Form::Ring(_) => vec![0; FRAME_BYTES_MAX].into(),
        }
    }

    pub(crate) fn set_hung_up(&mut self) {
        self.hung_up = true;
    }

    /// Whether there may be frames of which no event tells.
    pub(crate) fn claims_more(&mut self) -> bool {
        match &mut self.form {
            Form::Socket(_) => false,
            Form::Ring(wire) => wire.end().claims_more(),
        }
    }

    /// Reads the next frame of the guest into what [`Self::buffer`] gave. On a ring the header lies
    /// before it.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Result<Received, Error> {
        match &mut self.form {
            Form::Socket(wire) => wire.receive(buffer, self.hung_up),
            Form::Ring(wire) => Ok(match wire.receive(buffer)? {
                Some(bytes) if bytes <= buffer.len() => {
                    Received::Frame(VNET_HEADER_BYTES.min(bytes)..bytes)
                }
                Some(_) => Received::Oversized,
                None if self.hung_up => Received::GuestGone,
                None => Received::Nothing,
            }),
        }
    }

    /// Sends a frame, behind an empty header if the wire has them.
    pub(crate) fn send(&mut self, frame: &[u8]) -> Result<Sent, Error> {
        let sent = match &mut self.form {
            Form::Socket(wire) => wire.send(frame)?,
            Form::Ring(wire) => wire.send_bare(frame)?,
        };
        self.note_full(sent, frame.len());
        Ok(sent)
    }

    /// Sends a frame as the stack made it, with a header if the wire has them.
    pub(crate) fn send_whole(&mut self, frame: &[u8]) -> Result<Sent, Error> {
        let sent = match &mut self.form {
            Form::Socket(wire) => wire.send(frame)?,
            Form::Ring(wire) => wire.send(frame)?,
        };
        self.note_full(sent, frame.len());
        Ok(sent)
    }

    fn note_full(&mut self, sent: Sent, frame_bytes: usize) {
        if sent == Sent::Full {
            self.full = Some(frame_bytes);
        }
    }

    /// Whether the last frame found no room.
    pub(crate) fn is_full(&self) -> bool {
        self.full.is_some()
    }

    pub(crate) fn set_room(&mut self) {
        self.full = None;
    }

    /// Before the loop sleeps, with something else to look at. Tells whether it may.
    pub(crate) fn prepare_to_sleep(
        &mut self,
        has_other: impl FnMut() -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let Form::Ring(wire) = &mut self.form else { return Ok(true) };
        if wire.look(has_other)? {
            return Ok(false);
        }
        // With a header or without: a few bytes more do no harm.
        wire.prepare_to_sleep(
            self.full.map(|bytes| (VNET_HEADER_BYTES + bytes).min(FRAME_BYTES_MAX)),
        )
    }

    /// After the loop has slept, or not: a ring is always worth another try.
    pub(crate) fn wake(&mut self) {
        if let Form::Ring(wire) = &mut self.form {
            wire.wake();
            self.full = None;
        }
    }

    /// Wakes the guest, if it does not look by itself.
    pub(crate) fn ring(&mut self) -> Result<(), Error> {
        match &mut self.form {
            Form::Socket(_) => Ok(()),
            Form::Ring(wire) => wire.ring(),
        }
    }

    /// Takes a frame that is sent as soon as there is room; drops it if too many wait.
    pub(crate) fn queue(&mut self, frame: Vec<u8>) {
        if self.replies.len() < REPLIES_MAX {
            self.replies.push_back(frame);
        } else {
            self.replies_dropped += 1;
        }
    }

    /// Sends what [`Self::queue`] took.
    pub(crate) fn send_queued(&mut self) -> Result<Sent, Error> {
        while let Some(frame) = self.replies.pop_front() {
            if self.send(&frame)? == Sent::Full {
                self.replies.push_front(frame);
                return Ok(Sent::Full);
            }
        }
        Ok(Sent::Done)
    }

    /// Checks for the fuzzer that no more frames wait than may.
    ///
    /// # Panics
    /// If more do.
    pub(crate) fn check(&self) {
        assert!(self.replies.len() <= REPLIES_MAX);
    }

    pub(crate) fn replies_dropped(&self) -> u64 {
        self.replies_dropped
    }
}

#[cfg(test)]
mod tests;
