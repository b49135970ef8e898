//! The guest's end of the wire: sends frames, checks what comes back, and remembers connections well
//! enough that their next segment can be right.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use gateway::GUEST;
use nix::sys::socket::{MsgFlags, recv, send};

use super::frames::{self, Heard, TcpHeader};
use super::steps::Segment;

const SYN: u8 = 1 << 1;
const FIN: u8 = 1 << 0;
const ACK: u8 = 1 << 4;
const FLOWS_MAX: usize = 512;
const FIRST_PORT: u16 = 40_000;
const FIRST_SEQUENCE: u32 = 1_000;
/// Longer than any frame that the gateway may send.
const FRAME_ROOM_BYTES: usize = 4096;

struct Flow {
    port: u16,
    remote: (Ipv4Addr, u16),
    /// The next byte of each side.
    ours: u32,
    theirs: u32,
}

pub(super) struct Guest {
    wire: OwnedFd,
    mac: Option<[u8; 6]>,
    mtu: u16,
    flows: Vec<Flow>,
    next_port: u16,
}

impl Guest {
    pub(super) fn new(wire: OwnedFd, mac: Option<[u8; 6]>, mtu: u16) -> Self {
        Self { wire, mac, mtu, flows: Vec::new(), next_port: FIRST_PORT }
    }

    /// Sends a frame, repaired first if it is to be right. A full wire loses it.
    pub(super) fn send(&self, mut frame: Vec<u8>, repair: bool) {
        if repair {
            frames::repair(&mut frame);
        }
        let _ =
            send(self.wire.as_raw_fd(), &frame, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
    }

    /// Sends a right frame with changes: a place of two bytes and a value each.
    pub(super) fn send_built(&self, kind: u8, repair: bool, changes: &[u8]) {
        let mut frame = frames::built(kind);
        for change in changes.chunks_exact(3) {
            let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % frame.len();
            frame[at] = change[2];
        }
        self.send(frame, repair);
    }

    pub(super) fn send_datagram(&self, port: u16, to: u8, payload: &[u8]) {
        let from = (GUEST, FIRST_PORT.wrapping_add(port));
        self.send(frames::datagram(from, frames::destination(to), payload), false);
    }

    /// Sends the next segment of a connection; the repeats of one go to as many connections.
    pub(super) fn send_segment(&mut self, segment: &Segment, number: usize) {
        let index = usize::from(segment.flow) + number;
        if index >= self.flows.len() {
            self.open(segment.to);
        }
        let index = index.min(self.flows.len() - 1);
        let flow = &mut self.flows[index];
        let offset = |number: u32, by: i16| number.wrapping_add_signed(by.into());
        let header = TcpHeader {
            ports: (flow.port, flow.remote.1),
            sequence: offset(flow.ours, segment.sequence_off),
            acknowledgement: offset(flow.theirs, segment.acknowledgement_off),
            flags: segment.flags,
            window: segment.window,
        };
        let payload_bytes = usize::from(segment.payload_bytes);
        let frame = frames::segment(flow.remote.0, &header, payload_bytes);
        if segment.sequence_off == 0 {
            flow.ours = flow.ours.wrapping_add(length(segment.flags, payload_bytes));
        }
        self.send(frame, false);
    }

    fn open(&mut self, to: u8) {
        if self.flows.len() == FLOWS_MAX {
            self.flows.remove(0);
        }
        let (port, remote) = (self.next_port, frames::destination(to));
        self.next_port = port.checked_add(1).unwrap_or(FIRST_PORT);
        self.flows.push(Flow { port, remote, ours: FIRST_SEQUENCE, theirs: 0 });
    }

    /// Takes all that the gateway has sent.
    pub(super) fn receive(&mut self) {
        let mut buffer = [0; FRAME_ROOM_BYTES];
        while let Ok(bytes @ 1..) = recv(self.wire.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT)
        {
            if let Some(heard) = frames::check(&buffer[..bytes], self.mac, self.mtu) {
                self.hear(&heard);
            }
        }
    }

    fn hear(&mut self, heard: &Heard) {
        let end = heard.sequence.wrapping_add(length(heard.flags, heard.payload_bytes));
        let is_this = |flow: &&mut Flow| flow.port == heard.guest_port && flow.remote == heard.from;
        if let Some(flow) = self.flows.iter_mut().find(is_this) {
            let is_next = heard.flags & SYN != 0 || heard.sequence == flow.theirs;
            flow.theirs = if is_next { end } else { flow.theirs };
            flow.ours = if heard.flags & ACK != 0 { heard.acknowledgement } else { flow.ours };
        } else if heard.flags & SYN != 0 && self.flows.len() < FLOWS_MAX {
            let (port, remote) = (heard.guest_port, heard.from);
            self.flows.push(Flow { port, remote, ours: FIRST_SEQUENCE, theirs: end });
        }
    }
}

/// What a segment takes of the sequence numbers.
fn length(flags: u8, payload_bytes: usize) -> u32 {
    payload_bytes as u32 + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0)
}
