//! What the loop waits on: one epoll instance, and what each of its events is about.
//!
//! Sockets are registered once and for all, edge-triggered; their owners keep in mind what they may
//! still do, until a call says otherwise. Only a wire that is a socket is level-triggered, and asked for
//! room only while it is full: an edge would come for each frame that the guest takes. A doorbell is
//! edge-triggered, and then need not be read: each ring is an edge (eventfd(2) wakes at each write).

use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::error::Error;
use crate::slab::Key;

/// Events taken at once.
const BATCH: usize = 256;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Wire,
    Listener(u32),
    Tcp(Key),
    Udp(Key),
    Dns(Key),
    Tap,
}

impl Source {
    fn to_bits(self) -> u64 {
        let (kind, rest) = match self {
            Self::Wire => (0, 0),
            Self::Listener(index) => (1, u64::from(index)),
            Self::Tcp(key) => (2, key.to_bits()),
            Self::Udp(key) => (3, key.to_bits()),
            Self::Dns(key) => (4, key.to_bits()),
            Self::Tap => (5, 0),
        };
        kind << 56 | rest
    }

    fn from_bits(bits: u64) -> Self {
        match bits >> 56 {
            0 => Self::Wire,
            1 => Self::Listener(bits as u32),
            2 => Self::Tcp(Key::from_bits(bits)),
            3 => Self::Udp(Key::from_bits(bits)),
            4 => Self::Dns(Key::from_bits(bits)),
            _ => Self::Tap,
        }
    }
}

/// What a descriptor may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Readiness {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The other side will send nothing more.
    pub(crate) peer_finished: bool,
    /// Both directions are over.
    pub(crate) hung_up: bool,
    pub(crate) failed: bool,
}

impl From<EpollFlags> for Readiness {
    fn from(flags: EpollFlags) -> Self {
        Self {
            readable: flags.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP),
            writable: flags.contains(EpollFlags::EPOLLOUT),
            peer_finished: flags.contains(EpollFlags::EPOLLRDHUP),
            hung_up: flags.contains(EpollFlags::EPOLLHUP),
            failed: flags.contains(EpollFlags::EPOLLERR),
        }
    }
}

pub(crate) struct Poller {
    epoll: Epoll,
    events: [EpollEvent; BATCH],
}

impl Poller {
    pub(crate) fn new() -> Result<Self, Error> {
        let epoll =
            Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(Error::call("epoll_create1"))?;
        Ok(Self { epoll, events: [EpollEvent::empty(); BATCH] })
    }

    /// Tells when a stream can be read or written again, until it is closed.
    pub(crate) fn watch_stream(&self, stream: impl AsFd, source: Source) -> Result<(), Error> {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLOUT;
        self.watch(stream, flags, source)
    }

    /// Tells when there is something to read, or to accept, until the socket is closed.
    pub(crate) fn watch_input(&self, socket: impl AsFd, source: Source) -> Result<(), Error> {
        self.watch(socket, EpollFlags::EPOLLIN, source)
    }

    fn watch(&self, socket: impl AsFd, flags: EpollFlags, source: Source) -> Result<(), Error> {
        let event = EpollEvent::new(flags | EpollFlags::EPOLLET, source.to_bits());
        self.epoll.add(socket, event).map_err(Error::call("epoll_ctl"))
    }

    pub(crate) fn watch_wire(&self, wire: impl AsFd) -> Result<(), Error> {
        self.epoll.add(wire, wire_event(false)).map_err(Error::call("epoll_ctl"))
    }

    /// Tells of rings of the doorbell, and of the lifeline's end.
    pub(crate) fn watch_ring(&self, bell: impl AsFd, lifeline: impl AsFd) -> Result<(), Error> {
        self.watch_input(bell, Source::Wire)?;
        // Asks for nothing: a hang-up is told all the same.
        let hang_up = EpollEvent::new(EpollFlags::empty(), Source::Wire.to_bits());
        self.epoll.add(lifeline, hang_up).map_err(Error::call("epoll_ctl"))
    }

    /// Tells of the wire no more.
    pub(crate) fn forget_wire(&self, wire: impl AsFd) -> Result<(), Error> {
        self.epoll.delete(wire).map_err(Error::call("epoll_ctl"))
    }

    /// Whether to tell of room on the wire.
    pub(crate) fn ask_for_room(&self, wire: impl AsFd, ask: bool) -> Result<(), Error> {
        self.epoll.modify(wire, &mut wire_event(ask)).map_err(Error::call("epoll_ctl"))
    }

    /// Waits for events, for ever without a time-out. Tells how many there are.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> Result<usize, Error> {
        let timeout = timeout.map_or(EpollTimeout::NONE, round_up);
        match self.epoll.wait(&mut self.events, timeout) {
            Ok(count) => Ok(count),
            Err(Errno::EINTR) => Ok(0),
            Err(error) => Err(Error::call("epoll_wait")(error)),
        }
    }

    /// One of the events that [`Self::wait`] has counted.
    pub(crate) fn event(&self, number: usize) -> (Source, Readiness) {
        let event = &self.events[number];
        (Source::from_bits(event.data()), Readiness::from(event.events()))
    }
}

fn wire_event(ask_for_room: bool) -> EpollEvent {
    let room = if ask_for_room { EpollFlags::EPOLLOUT } else { EpollFlags::empty() };
    EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | room, Source::Wire.to_bits())
}

/// To whole milliseconds, since a wait that ends too early would be repeated at once.
fn round_up(timeout: Duration) -> EpollTimeout {
    let millis = timeout.as_nanos().div_ceil(1_000_000);
    EpollTimeout::try_from(millis.min(i32::MAX as u128) as i32).unwrap_or(EpollTimeout::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slab::Slab;

    #[test]
    fn sources_travel_as_numbers() {
        let mut slab = Slab::new(2);
        let (_, key) = (slab.insert(()).unwrap(), slab.insert(()).unwrap());
        for source in [
            Source::Wire,
            Source::Listener(7),
            Source::Tcp(key),
            Source::Udp(key),
            Source::Dns(key),
            Source::Tap,
        ] {
            assert_eq!(Source::from_bits(source.to_bits()), source);
        }
    }

    #[test]
    fn waits_are_rounded_up() {
        for (micros, millis) in [(0, 0), (1, 1), (1000, 1), (1001, 2)] {
            let expected = EpollTimeout::try_from(millis).unwrap();
            assert_eq!(round_up(Duration::from_micros(micros)), expected);
        }
    }
}
