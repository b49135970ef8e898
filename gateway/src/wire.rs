//! The wire: a seqpacket socket that carries one Ethernet frame per record. It moves frames and
//! tells when the wire is full or the guest gone; what is in the frames is none of its business.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockType, SockaddrLike, SockaddrStorage, getsockname, getsockopt,
    recv, send, sockopt,
};

use crate::error::Error;

/// Frames of the gateway's own making that wait for room on the wire.
const REPLIES_MAX: usize = 64;

pub(crate) struct Wire {
    socket: OwnedFd,
    replies: VecDeque<Vec<u8>>,
    hung_up: bool,
    full: bool,
    replies_dropped: u64,
}

/// What was on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// A frame of so many bytes.
    Frame(usize),
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
    pub(crate) fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// # Errors
    /// If the descriptor is no seqpacket socket.
    pub(crate) fn new(socket: OwnedFd) -> Result<Self, Error> {
        let is_unix = getsockname::<SockaddrStorage>(socket.as_raw_fd())
            .is_ok_and(|name| name.family() == Some(AddressFamily::Unix));
        let kind = getsockopt(&socket, sockopt::SockType);
        if !is_unix || kind != Ok(SockType::SeqPacket) {
            return Err(Error::NotAWire);
        }
        Ok(Self {
            socket,
            replies: VecDeque::new(),
            hung_up: false,
            full: false,
            replies_dropped: 0,
        })
    }

    pub(crate) fn set_hung_up(&mut self) {
        self.hung_up = true;
    }

    /// Reads the next frame of the guest into a buffer that is as long as frames may be.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Result<Received, Error> {
        // With MSG_TRUNC the length is that of the record, even if it does not fit.
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
        match recv(self.socket.as_raw_fd(), buffer, flags) {
            Ok(0) if self.hung_up => Ok(Received::GuestGone),
            Ok(0) => Ok(Received::Empty),
            Ok(bytes) if bytes <= buffer.len() => Ok(Received::Frame(bytes)),
            Ok(_) => Ok(Received::Oversized),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(Received::Nothing),
            Err(Errno::ECONNRESET) => Ok(Received::Reset),
            Err(error) => Err(Error::Wire { call: "recv", error }),
        }
    }

    /// Sends a frame.
    pub(crate) fn send(&mut self, frame: &[u8]) -> Result<Sent, Error> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match send(self.socket.as_raw_fd(), frame, flags) {
            Ok(_) => Ok(Sent::Done),
            Err(Errno::EAGAIN) => {
                self.full = true;
                Ok(Sent::Full)
            }
            // The guest is gone, but perhaps not all that it sent is read; or memory is short.
            Err(Errno::EPIPE | Errno::ECONNRESET | Errno::ENOBUFS | Errno::ENOMEM) => {
                Ok(Sent::Done)
            }
            // A frame beyond the socket's buffer: nothing that waiting would help.
            Err(Errno::EMSGSIZE | Errno::EINTR) => Ok(Sent::Done),
            Err(error) => Err(Error::Wire { call: "send", error }),
        }
    }

    /// Whether the last frame found no room.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    pub(crate) fn set_room(&mut self) {
        self.full = false;
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

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::{SockFlag, socketpair};

    use super::*;

    fn pair(kind: SockType) -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_NONBLOCK).unwrap()
    }

    fn write(guest: &OwnedFd, frame: &[u8]) {
        assert_eq!(send(guest.as_raw_fd(), frame, MsgFlags::empty()), Ok(frame.len()));
    }

    #[test]
    fn frames_keep_their_bounds_and_long_ones_are_dropped() {
        let (guest, wire) = pair(SockType::SeqPacket);
        let mut wire = Wire::new(wire).unwrap();
        let mut buffer = [0; 1514];
        let mut receive = |wire: &mut Wire| (wire.receive(&mut buffer).unwrap(), buffer[0]);
        assert_eq!(receive(&mut wire).0, Received::Nothing);
        for frame in [&[1; 1514][..], &[2; 1515], &[], &[3; 14]] {
            write(&guest, frame);
        }
        assert_eq!(receive(&mut wire), (Received::Frame(1514), 1));
        assert_eq!(receive(&mut wire).0, Received::Oversized);
        assert_eq!(receive(&mut wire).0, Received::Empty);
        assert_eq!(receive(&mut wire), (Received::Frame(14), 3));
    }

    #[test]
    fn the_end_comes_after_what_was_sent() {
        let (guest, wire) = pair(SockType::SeqPacket);
        let mut wire = Wire::new(wire).unwrap();
        assert_eq!(wire.send(&[4; 60]).unwrap(), Sent::Done);
        write(&guest, &[1; 60]);
        drop(guest);
        let mut buffer = [0; 1514];
        let mut receive = |wire: &mut Wire| wire.receive(&mut buffer).unwrap();
        let unread = "our frame was not read";
        assert_eq!(receive(&mut wire), Received::Reset, "{unread}");
        assert_eq!(receive(&mut wire), Received::Frame(60));
        assert_eq!(receive(&mut wire), Received::Empty, "nothing was told of a hang-up");
        wire.set_hung_up();
        assert_eq!(receive(&mut wire), Received::GuestGone);
        assert_eq!(wire.send(&[4; 60]).unwrap(), Sent::Done, "and lost");
    }

    #[test]
    fn a_full_wire_loses_nothing_and_the_queue_has_an_end() {
        let (guest, wire) = pair(SockType::SeqPacket);
        let mut wire = Wire::new(wire).unwrap();
        let mut sent = 0;
        while wire.send(&[0; 1514]).unwrap() == Sent::Done {
            sent += 1;
        }
        assert!(wire.is_full());
        for _ in 0..REPLIES_MAX + 1 {
            wire.queue(vec![1; 60]);
        }
        assert_eq!(wire.replies_dropped(), 1);
        assert_eq!(wire.send_queued().unwrap(), Sent::Full);
        let mut buffer = [0; 1514];
        for _ in 0..sent {
            assert_eq!(recv(guest.as_raw_fd(), &mut buffer, MsgFlags::empty()), Ok(1514));
        }
        assert_eq!(wire.send_queued().unwrap(), Sent::Done);
        for _ in 0..REPLIES_MAX {
            assert_eq!(recv(guest.as_raw_fd(), &mut buffer, MsgFlags::empty()), Ok(60));
        }
    }

    #[test]
    fn other_sockets_are_no_wires() {
        let (stream, _other) = pair(SockType::Stream);
        assert!(matches!(Wire::new(stream), Err(Error::NotAWire)));
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(matches!(Wire::new(udp.into()), Err(Error::NotAWire)));
    }
}
