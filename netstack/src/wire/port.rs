//! smoltcp's network device for the time of one call: at most one incoming frame, and the queue of
//! outgoing ones. It notes what became of the call, which smoltcp itself does not tell. Checksums
//! are computed in software; offloads would be announced in [`Port::capabilities`].

use alloc::vec::Vec;

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

use super::frames::Frames;
use crate::ETHERNET_HEADER_BYTES;

pub(crate) struct Port<'a> {
    frames: &'a mut Frames,
    incoming: Option<&'a [u8]>,
    mtu: usize,
    /// A token for sending was asked for and given.
    token_given: bool,
    /// A token was asked for when the queue was full.
    starved: bool,
    sent: bool,
}

/// What a call did to the outgoing queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There was nothing to send.
    Idle,
    /// A frame was queued. It may be an ARP request in place of the packet; the caller looks.
    Sent,
    /// There was something to send, but the queue was full.
    Starved,
    /// There was something to send, but no known next hop.
    Unresolved,
}

impl<'a> Port<'a> {
    /// A port that can only send.
    pub(crate) fn outgoing(frames: &'a mut Frames, mtu: usize) -> Self {
        Self { frames, incoming: None, mtu, token_given: false, starved: false, sent: false }
    }

    /// A port that receives this frame.
    pub(crate) fn incoming(frames: &'a mut Frames, mtu: usize, frame: &'a [u8]) -> Self {
        Self { incoming: Some(frame), ..Self::outgoing(frames, mtu) }
    }

    pub(crate) fn outcome(&self) -> Outcome {
        if self.sent {
            Outcome::Sent
        } else if self.starved {
            Outcome::Starved
        } else if self.token_given {
            Outcome::Unresolved
        } else {
            Outcome::Idle
        }
    }
}

impl Device for Port<'_> {
    type RxToken<'t>
        = Incoming<'t>
    where
        Self: 't;
    type TxToken<'t>
        = Outgoing<'t>
    where
        Self: 't;

    fn receive(&mut self, _now: Instant) -> Option<(Incoming<'_>, Outgoing<'_>)> {
        let frame = self.incoming.take()?;
        let buffer = match self.frames.has_room_for_answer() {
            true => self.frames.take_buffer(),
            false => None,
        };
        let answer = Outgoing {
            frames: self.frames,
            buffer,
            sent: &mut self.sent,
            starved: &mut self.starved,
        };
        Some((Incoming(frame), answer))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Outgoing<'_>> {
        let buffer = match self.frames.has_room() {
            true => self.frames.take_buffer(),
            false => None,
        };
        if buffer.is_none() {
            self.starved = true;
            return None;
        }
        self.token_given = true;
        Some(Outgoing {
            frames: self.frames,
            buffer,
            sent: &mut self.sent,
            starved: &mut self.starved,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.mtu + ETHERNET_HEADER_BYTES;
        capabilities
    }
}

pub(crate) struct Incoming<'t>(&'t [u8]);

impl RxToken for Incoming<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

pub(crate) struct Outgoing<'t> {
    frames: &'t mut Frames,
    /// `None` if there is no room: an answer that is written then is lost.
    buffer: Option<Vec<u8>>,
    sent: &'t mut bool,
    starved: &'t mut bool,
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, len: usize, f: F) -> R {
        let Some(mut frame) = self.buffer.take() else {
            *self.starved = true;
            return f(self.frames.scratch(len));
        };
        frame.clear();
        frame.resize(len, 0);
        let result = f(&mut frame);
        self.frames.push(frame);
        *self.sent = true;
        result
    }
}

impl Drop for Outgoing<'_> {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.frames.give_back(buffer);
        }
    }
}
