//! The host's network: one address on the loopback interface that takes connections and datagrams,
//! one that refuses both, and the clients of the published port.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::libc;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt,
};

const STREAMS_MAX: usize = 64;
const CLIENTS_MAX: usize = 64;
const ASKED_MAX: usize = 64;
const BIND_TRIES: usize = 100;
/// Written at once by a host: more than a connection's buffers in the gateway.
const FLOOD_BYTES: usize = 200_000;

pub(super) struct Hosts {
    listener: TcpListener,
    datagrams: UdpSocket,
    /// Bound, so that nobody else is there: one does not listen, the other hears itself only.
    closed: (OwnedFd, UdpSocket),
    streams: Vec<TcpStream>,
    clients: Vec<TcpStream>,
    /// Who has sent what, most recently.
    asked: Vec<(SocketAddr, Vec<u8>)>,
}

impl Hosts {
    pub(super) fn new() -> Self {
        let open = || {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
            let datagrams = UdpSocket::bind(listener.local_addr().ok()?).ok()?;
            listener.set_nonblocking(true).ok()?;
            datagrams.set_nonblocking(true).ok()?;
            Some((listener, datagrams))
        };
        let (listener, datagrams) = (0..BIND_TRIES).find_map(|_| open()).expect("free ports");
        let closed = (0..BIND_TRIES).find_map(|_| bind_closed()).expect("free ports");
        let (streams, clients, asked) = (Vec::new(), Vec::new(), Vec::new());
        Self { listener, datagrams, closed, streams, clients, asked }
    }

    /// Where connections and datagrams are taken.
    pub(super) fn open(&self) -> SocketAddr {
        self.datagrams.local_addr().expect("it is bound")
    }

    /// Where both are refused.
    pub(super) fn closed(&self) -> SocketAddr {
        self.closed.1.local_addr().expect("it is bound")
    }

    /// Takes what has come.
    pub(super) fn take(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            let stream = prepare(stream);
            if self.streams.len() < STREAMS_MAX {
                self.streams.push(stream);
            }
        }
        let mut buffer = [0; 2048];
        while let Ok((bytes, from)) = self.datagrams.recv_from(&mut buffer) {
            if self.asked.len() == ASKED_MAX {
                self.asked.remove(0);
            }
            self.asked.push((from, buffer[..bytes].to_vec()));
        }
    }

    /// A host's side of a connection does something.
    pub(super) fn act(&mut self, which: u8, action: u8) {
        act(&mut self.streams, which, action);
    }

    /// Answers a datagram: with the question itself, marked as an answer, or with any bytes.
    pub(super) fn answer(&mut self, which: u8, is_dns: bool, payload: &[u8]) {
        if self.asked.is_empty() {
            return;
        }
        let (to, question) = &self.asked[usize::from(which) % self.asked.len()];
        let mut answer = if is_dns { question.clone() } else { payload.to_vec() };
        if is_dns && answer.len() > 2 {
            answer[2] |= 0x80;
            answer.extend(payload);
        }
        // Nobody may be there any more.
        let _ = self.datagrams.send_to(&answer, to);
    }

    /// Opens a connection to a published port, or does something with one.
    pub(super) fn be_client(&mut self, published: SocketAddr, action: u8) {
        if action & 0x80 != 0 {
            return act(&mut self.clients, action >> 3 & 0xf, action & 7);
        }
        if self.clients.len() < CLIENTS_MAX {
            self.clients.extend(TcpStream::connect(published).ok().map(prepare));
        }
    }
}

/// Sockets at a port where nobody answers.
fn bind_closed() -> Option<(OwnedFd, UdpSocket)> {
    let stream =
        socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).ok()?;
    let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    let address = datagrams.local_addr().ok()?;
    datagrams.connect(address).ok()?;
    let SocketAddr::V4(address) = address else { return None };
    bind(stream.as_raw_fd(), &SockaddrIn::from(address)).ok()?;
    Some((stream, datagrams))
}

/// Closing it leaves nothing behind: there are more inputs than ports.
fn prepare(stream: TcpStream) -> TcpStream {
    let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(&stream, sockopt::Linger, &at_once).expect("an open socket");
    stream.set_nonblocking(true).expect("an open socket");
    stream
}

fn act(streams: &mut Vec<TcpStream>, which: u8, action: u8) {
    if streams.is_empty() {
        return;
    }
    let index = usize::from(which) % streams.len();
    let stream = &mut streams[index];
    // Any of these fails if the gateway has ended the connection.
    match action % 6 {
        0 => drop(stream.write(b"hello")),
        1 => drop(stream.write(&vec![b'y'; FLOOD_BYTES])),
        2 => drop(stream.shutdown(Shutdown::Write)),
        3 => drop(stream.read(&mut vec![0; FLOOD_BYTES])),
        4 => drop(stream.shutdown(Shutdown::Both)),
        _ => drop(streams.remove(index)),
    }
}
