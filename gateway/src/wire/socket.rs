//! The wire as a seqpacket socket that carries one Ethernet frame per record.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockType, SockaddrLike, SockaddrStorage, getsockname, getsockopt,
    recv, send, sockopt,
};

use super::{Received, Sent};
use crate::error::Error;

pub(crate) struct SocketWire(OwnedFd);

/// # Errors
/// If the descriptor is no seqpacket socket of the unix family.
pub(super) fn check(socket: &OwnedFd) -> Result<(), Error> {
    let is_unix = getsockname::<SockaddrStorage>(socket.as_raw_fd())
        .is_ok_and(|name| name.family() == Some(AddressFamily::Unix));
    let kind = getsockopt(socket, sockopt::SockType);
    if is_unix && kind == Ok(SockType::SeqPacket) { Ok(()) } else { Err(Error::NotAWire) }
}

impl SocketWire {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// Reads the next frame of the guest into a buffer that is as long as frames may be.
    pub(super) fn receive(&self, buffer: &mut [u8], hung_up: bool) -> Result<Received, Error> {
        // With MSG_TRUNC the length is that of the record, even if it does not fit.
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
        match recv(self.0.as_raw_fd(), buffer, flags) {
            Ok(0) if hung_up => Ok(Received::GuestGone),
            Ok(0) => Ok(Received::Empty),
            Ok(bytes) if bytes <= buffer.len() => Ok(Received::Frame(0..bytes)),
            Ok(_) => Ok(Received::Oversized),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(Received::Nothing),
            Err(Errno::ECONNRESET) => Ok(Received::Reset),
            Err(error) => Err(Error::Wire { call: "recv", error }),
        }
    }

    /// Sends a frame.
    pub(super) fn send(&self, frame: &[u8]) -> Result<Sent, Error> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match send(self.0.as_raw_fd(), frame, flags) {
            Ok(_) => Ok(Sent::Done),
            Err(Errno::EAGAIN) => Ok(Sent::Full),
            // The guest is gone, but perhaps not all that it sent is read; or memory is short.
            Err(Errno::EPIPE | Errno::ECONNRESET | Errno::ENOBUFS | Errno::ENOMEM) => {
                Ok(Sent::Done)
            }
            // A frame beyond the socket's buffer: nothing that waiting would help.
            Err(Errno::EMSGSIZE | Errno::EINTR) => Ok(Sent::Done),
            Err(error) => Err(Error::Wire { call: "send", error }),
        }
    }
}

impl AsFd for SocketWire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
