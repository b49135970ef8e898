//! Sockets in the host's network: how they are opened, read, written and reset. Nothing here
//! waits: every call returns at once, whether or not the socket itself is blocking.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, SockaddrStorage, bind, connect, listen,
    recv, send, setsockopt, socket, sockopt,
};

use crate::error::Error;

/// Connections that the kernel holds for a published port until they are accepted.
const BACKLOG: i32 = 1024;
const FLAGS: SockFlag = SockFlag::SOCK_NONBLOCK.union(SockFlag::SOCK_CLOEXEC);

/// Opens a published port.
pub(crate) fn publish(address: SocketAddr) -> Result<TcpListener, Error> {
    let failed = |call| move |error| explain(address, call, error);
    let socket = open(address, SockType::Stream).map_err(failed("socket"))?;
    // A gateway may publish the ports of its predecessor at once.
    setsockopt(&socket, sockopt::ReuseAddr, &true).map_err(failed("setsockopt"))?;
    if address.is_ipv6() {
        // [::] and 0.0.0.0 are two addresses.
        setsockopt(&socket, sockopt::Ipv6V6Only, &true).map_err(failed("setsockopt"))?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address)).map_err(failed("bind"))?;
    let backlog = Backlog::new(BACKLOG).map_err(failed("listen"))?;
    listen(&socket, backlog).map_err(failed("listen"))?;
    Ok(TcpListener::from(socket))
}

fn explain(address: SocketAddr, call: &'static str, error: Errno) -> Error {
    match error {
        Errno::EADDRINUSE => Error::PortInUse(address),
        Errno::EACCES => Error::PortNotPermitted(address),
        Errno::EADDRNOTAVAIL => Error::AddressNotHere(address),
        error => Error::Publish { address, call, error },
    }
}

/// Begins a TCP connection. Whether it stands is told by the socket becoming writable.
pub(crate) fn connect_stream(address: SocketAddr) -> Result<TcpStream, Errno> {
    let socket = open(address, SockType::Stream)?;
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(address)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(TcpStream::from(socket)),
        Err(error) => Err(error),
    }
}

/// A UDP socket that sends to and receives from this address only.
pub(crate) fn connect_datagram(address: SocketAddr) -> Result<UdpSocket, Errno> {
    let socket = open(address, SockType::Datagram)?;
    connect(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(UdpSocket::from(socket))
}

fn open(address: SocketAddr, kind: SockType) -> Result<OwnedFd, Errno> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    socket(family, kind, FLAGS, None)
}

/// What a read or a write has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    Bytes(usize),
    /// The socket is not ready for it.
    NotNow,
    Failed(Errno),
}

/// Reads bytes of a stream; none at its end.
pub(crate) fn read(stream: &TcpStream, buffer: &mut [u8]) -> Moved {
    // Nothing read into no room would look like the end.
    if buffer.is_empty() {
        return Moved::NotNow;
    }
    retry(|| recv(stream.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT))
}

/// Reads a datagram. One that is longer than the buffer is cut, but its whole length is told.
pub(crate) fn read_datagram(socket: &UdpSocket, buffer: &mut [u8]) -> Moved {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
    retry(|| recv(socket.as_raw_fd(), buffer, flags))
}

pub(crate) fn write(socket: &impl AsRawFd, bytes: &[u8]) -> Moved {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    retry(|| send(socket.as_raw_fd(), bytes, flags))
}

fn retry(mut call: impl FnMut() -> Result<usize, Errno>) -> Moved {
    loop {
        match call() {
            Ok(bytes) => return Moved::Bytes(bytes),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Moved::NotNow,
            Err(error) => return Moved::Failed(error),
        }
    }
}

/// Closes a connection by RST, so that its other side does not take it for complete.
pub(crate) fn reset(stream: TcpStream) {
    let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    // It fails for a connection that is reset already.
    let _ = setsockopt(&stream, sockopt::Linger, &at_once);
}

/// The error of a connection that could not be opened, or of one that failed.
pub(crate) fn pending_error(stream: &TcpStream) -> Option<io::Error> {
    stream.take_error().unwrap_or_else(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named() {
        let first = publish("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        let error = publish(address).unwrap_err();
        assert!(matches!(error, Error::PortInUse(named) if named == address));
        assert_eq!(
            error.to_string(),
            format!(
                "port {} of 127.0.0.1 is in use by another program; publish another one",
                address.port()
            )
        );
        drop(first);
        publish(address).expect("free again at once");
    }

    #[test]
    fn an_address_of_somebody_else_is_named() {
        // TEST-NET-1 is nobody's (RFC 5737).
        let error = publish("192.0.2.1:0".parse().unwrap()).unwrap_err();
        assert!(matches!(error, Error::AddressNotHere(_)), "{error}");
        assert!(error.to_string().contains("192.0.2.1"));
    }
}
