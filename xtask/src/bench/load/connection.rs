//! One connection of a client: what it waits for, and what became of it.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Instant;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, socket};

use super::client::{Answers, Protocol};

/// What a connection is asked about, once for all of its life.
pub(super) const READY: EpollFlags = EpollFlags::EPOLLIN
    .union(EpollFlags::EPOLLOUT)
    .union(EpollFlags::EPOLLRDHUP)
    .union(EpollFlags::EPOLLET);

/// What has happened to a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// It can take a request.
    pub(super) is_open: bool,
    /// An answer is complete.
    pub(super) answer: Option<Answer>,
    /// It is no connection any more.
    pub(super) end: Option<End>,
}

/// What came in answer, and when the request was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) answers: Answers,
    pub(super) due: Instant,
}

/// How a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The server has closed it, with no request on its way.
    Closed,
    /// It could not be opened.
    Refused,
    /// It was closed or reset with a request on its way, or what came is no answer.
    Broken,
}

impl From<End> for News {
    fn from(end: End) -> Self {
        Self { end: Some(end), ..Self::default() }
    }
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Closed,
    Opening(TcpStream),
    Open(TcpStream),
}

/// A connection, open or not.
#[derive(Debug, Default)]
pub(super) struct Connection<R> {
    state: State,
    /// When the request was due that is on its way, or waits until the connection is open.
    due: Option<Instant>,
    /// What the kernel has not taken yet of it.
    unsent: Vec<u8>,
    reader: R,
}

impl<R: Default> Connection<R> {
    /// Whether a request is on its way.
    pub(super) fn is_busy(&self) -> bool {
        self.due.is_some()
    }

    /// Whether it is open.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Whether it has to be opened.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// A request was due then, and is made next.
    pub(super) fn due(&mut self, due: Instant) {
        self.due = Some(due);
    }

    /// Forgets everything.
    pub(super) fn close(&mut self) {
        *self = Self::default();
    }

    /// Starts to open it; `watch` is told the socket before anything can happen to it.
    ///
    /// # Errors
    /// If there is no descriptor or no port left.
    pub(super) fn open(
        &mut self,
        address: SocketAddrV4,
        watch: impl FnOnce(&TcpStream) -> Result<()>,
    ) -> Result<()> {
        let stream = connecting(address)?;
        watch(&stream)?;
        self.reader = R::default();
        self.state = State::Opening(stream);
        Ok(())
    }

    /// Sends the next request of a protocol. What the kernel does not take at once follows when it can.
    ///
    /// # Errors
    /// [`End::Broken`] if the connection does not take it.
    pub(super) fn send(&mut self, protocol: &mut impl Protocol<Reader = R>) -> Result<(), End> {
        let State::Open(stream) = &mut self.state else { return Err(End::Broken) };
        let Some(request) = protocol.request(&mut self.reader) else {
            self.due = None;
            return Ok(());
        };
        match stream.write(request) {
            Ok(bytes) => self.unsent.extend_from_slice(&request[bytes..]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.unsent.extend_from_slice(request);
            }
            Err(_) => return Err(End::Broken),
        }
        Ok(())
    }

    /// Sends what was left.
    fn flush(&mut self) -> Result<(), End> {
        let State::Open(stream) = &mut self.state else { return Ok(()) };
        while !self.unsent.is_empty() {
            match stream.write(&self.unsent) {
                Ok(bytes @ 1..) => drop(self.unsent.drain(..bytes)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                _ => return Err(End::Broken),
            }
        }
        Ok(())
    }

    /// Does what the kernel says it is ready for.
    pub(super) fn react(
        &mut self,
        flags: EpollFlags,
        protocol: &mut impl Protocol<Reader = R>,
        buffer: &mut [u8],
    ) -> News {
        if let State::Opening(_) = self.state {
            return self.opened(protocol);
        }
        if flags.contains(EpollFlags::EPOLLOUT)
            && let Err(end) = self.flush()
        {
            return end.into();
        }
        let ends = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        if flags.intersects(EpollFlags::EPOLLIN | ends) {
            return self.receive(protocol, buffer, flags.intersects(ends));
        }
        News::default()
    }

    fn opened(&mut self, protocol: &mut impl Protocol<Reader = R>) -> News {
        let State::Opening(stream) = std::mem::take(&mut self.state) else {
            return News::default();
        };
        if !matches!(stream.take_error(), Ok(None)) {
            return End::Refused.into();
        }
        self.state = State::Open(stream);
        match self.due.map(|_| self.send(protocol)) {
            None => News { is_open: true, ..News::default() },
            Some(Ok(())) => News::default(),
            Some(Err(end)) => end.into(),
        }
    }

    /// Reads what is there. The end is looked for only if the kernel has announced one: a read that
    /// does not fill the buffer has taken everything.
    fn receive(
        &mut self,
        protocol: &mut impl Protocol<Reader = R>,
        buffer: &mut [u8],
        has_end: bool,
    ) -> News {
        let mut news = News::default();
        let State::Open(stream) = &mut self.state else { return news };
        loop {
            let bytes = match stream.read(buffer) {
                Ok(0) => {
                    let is_busy = self.due.is_some();
                    news.end = Some(if is_busy { End::Broken } else { End::Closed });
                    return news;
                }
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return news,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return News { end: Some(End::Broken), ..news },
            };
            match protocol.take(&mut self.reader, &buffer[..bytes]) {
                Ok(None) => {}
                Ok(Some(answers)) if self.due.is_some() => {
                    news.answer = self.due.take().map(|due| Answer { answers, due });
                }
                _ => return News { end: Some(End::Broken), ..news },
            }
            if bytes < buffer.len() && !has_end {
                return news;
            }
        }
    }
}

fn connecting(address: SocketAddrV4) -> Result<TcpStream> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Inet, SockType::Stream, flags, None);
    let socket = socket.context("cannot make a socket")?;
    match connect(socket.as_raw_fd(), &SockaddrIn::from(address)) {
        Ok(()) | Err(Errno::EINPROGRESS) => {}
        Err(error) => return Err(error).context("cannot connect"),
    }
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true).context("TCP_NODELAY")?;
    Ok(stream)
}
