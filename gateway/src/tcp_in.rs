//! Connections from outside: clients of the published ports.
//!
//! A client may come before the guest is ready, which takes some milliseconds from its start. Then
//! it is not turned away but held, and the guest is tried again, ever more slowly. Once the guest
//! has had time enough, its refusal is the client's refusal.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::os::fd::{AsRawFd, RawFd};

use netstack::{ConnectError, ConnectionId, Duration, Instant, Stack};
use nix::errno::Errno;

use crate::address::{GATEWAY, GUEST};
use crate::config::Publish;
use crate::error::Error;
use crate::poller::{Poller, Source};
use crate::slab::Key;
use crate::splice::{Client, Ending, Splice, Stage};
use crate::tcp::{Context, Tcp, send_at_once};

const RETRY_FIRST: Duration = Duration::from_millis(2);
const RETRY_LAST: Duration = Duration::from_millis(256);
/// A guest that does not answer at all is given up after this long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Clients of one port that may wait for the guest's answer at once. The others wait in the kernel:
/// the guest would forget the first of too many handshakes, and those clients would be reset.
const AT_THE_DOOR_MAX: usize = 32;
/// The gateway's own ports, from which clients come to the guest.
const PORTS: RangeInclusive<u16> = 1024..=u16::MAX;
/// Ports of connections that last are passed over, up to so many in a row.
const PORTS_TRIED_MAX: usize = 8192;
/// When descriptors or memory ran out, or anything else is wrong, accepting pauses for this long.
const PAUSE: Duration = Duration::from_millis(100);

/// A published port.
pub(crate) struct Listener {
    socket: TcpListener,
    guest_port: u16,
    /// There may be clients to accept.
    waiting: bool,
    /// Clients accepted that the guest has not let in yet.
    at_the_door: usize,
}

impl Listener {
    pub(crate) fn new(socket: TcpListener, guest_port: u16) -> Self {
        Self { socket, guest_port, waiting: true, at_the_door: 0 }
    }

    pub(crate) fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    fn can_accept(&self) -> bool {
        self.waiting && self.at_the_door < AT_THE_DOOR_MAX
    }

    /// Where it listens, and for which port of the guest.
    pub(crate) fn publish(&self) -> Result<Publish, Error> {
        let unnamed = |_| Error::call("getsockname")(Errno::last());
        Ok(Publish {
            host: self.socket.local_addr().map_err(unnamed)?,
            guest_port: self.guest_port,
        })
    }
}

/// The published ports.
pub(crate) struct Listeners {
    ports: Vec<Listener>,
    /// No client is accepted before.
    paused_until: Option<Instant>,
    /// Until then a guest that refuses is taken for one that is not ready yet.
    patient_until: Instant,
    next_port: u16,
}

impl Listeners {
    pub(crate) fn new(ports: Vec<Listener>, patient_until: Instant) -> Self {
        Self { ports, paused_until: None, patient_until, next_port: *PORTS.start() }
    }

    pub(crate) fn watch(&self, poller: &Poller) -> Result<(), Error> {
        for (index, listener) in self.ports.iter().enumerate() {
            poller.watch_input(&listener.socket, Source::Listener(index as u32))?;
        }
        Ok(())
    }

    /// There are clients at a port.
    pub(crate) fn note(&mut self, index: u32) {
        if let Some(listener) = self.ports.get_mut(index as usize) {
            listener.waiting = true;
        }
    }

    /// A client has left the door: in, or away.
    pub(crate) fn leave_door(&mut self, client: &mut Client) {
        if std::mem::take(&mut client.at_the_door) {
            self.ports[client.listener].at_the_door -= 1;
        }
    }

    /// The ports are used in turn, so that the guest, where each may rest in TIME-WAIT, sees one
    /// again as late as possible.
    fn take_port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = port.checked_add(1).unwrap_or(*PORTS.start());
        port
    }

    /// When accepting goes on, if there is anybody to accept.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        let waiting = self.ports.iter().any(Listener::can_accept);
        waiting.then(|| self.paused_until.unwrap_or(now))
    }
}

impl Tcp {
    /// Takes the clients that wait at the published ports, as many as there is room for.
    pub(crate) fn accept(&mut self, cx: &mut Context<'_>) {
        if self.listeners.paused_until.is_some_and(|until| cx.now < until) {
            return;
        }
        self.listeners.paused_until = None;
        for index in 0..self.listeners.ports.len() {
            for _ in 0..AT_THE_DOOR_MAX {
                if !self.listeners.ports[index].can_accept() || !self.accept_one(cx, index) {
                    break;
                }
            }
        }
    }

    /// When [`Self::accept`] has something to do.
    pub(crate) fn accept_deadline(&self, now: Instant, stack: &Stack) -> Option<Instant> {
        // Room comes with the end of a connection, which is an event by itself.
        self.listeners.deadline(now).filter(|_| self.has_room(stack))
    }

    fn accept_one(&mut self, cx: &mut Context<'_>, index: usize) -> bool {
        if !self.has_room(cx.stack) {
            return false;
        }
        let listener = &mut self.listeners.ports[index];
        match listener.socket.accept() {
            Ok((stream, _)) => {
                cx.counters.connections_in += 1;
                listener.at_the_door += 1;
                let client = Client {
                    listener: index,
                    guest_port: listener.guest_port,
                    refusals: 0,
                    at_the_door: true,
                };
                self.welcome(cx, stream, client);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                listener.waiting = false;
                false
            }
            // This client is gone; the next one may not be.
            Err(error) if is_of_one_client(&error) => true,
            Err(_) => {
                cx.counters.accepts_failed += 1;
                self.listeners.paused_until = Some(cx.now + PAUSE);
                false
            }
        }
    }

    fn welcome(&mut self, cx: &mut Context<'_>, stream: TcpStream, mut client: Client) {
        send_at_once(&stream);
        match self.insert(cx, Splice::inward(stream, client)) {
            Some(key) => self.open_inward(cx, key),
            None => self.listeners.leave_door(&mut client),
        }
    }

    /// Asks the guest for a connection.
    fn open_inward(&mut self, cx: &mut Context<'_>, key: Key) {
        let Some(splice) = self.splices.get_mut(key) else {
            return;
        };
        let Some(client) = splice.client else {
            return;
        };
        match connect_guest(cx, &mut self.listeners, client.guest_port) {
            Ok(connection) => {
                splice.stage = Stage::Opening;
                cx.stack.set_timeout(connection, Some(ANSWER_TIMEOUT));
                self.join(key, connection);
            }
            Err(_) => self.end(cx, key, Ending::GuestGone),
        }
    }

    /// The guest has refused. If it is still starting, the client waits for the next try.
    pub(crate) fn hold_refused(&mut self, cx: &mut Context<'_>, key: Key) {
        if cx.now >= self.listeners.patient_until {
            return self.end(cx, key, Ending::GuestGone);
        }
        let Some(splice) = self.splices.get_mut(key) else {
            return;
        };
        let Some(client) = &mut splice.client else {
            return;
        };
        splice.stage = Stage::Held;
        let delay = retry_delay(client.refusals);
        client.refusals += 1;
        if let Some(refused) = splice.connection.take() {
            self.forget(refused);
            cx.stack.release(refused);
        }
        self.held.insert((cx.now + delay, key));
    }

    pub(crate) fn retry_held(&mut self, cx: &mut Context<'_>) {
        while let Some(&(at, key)) = self.held.first() {
            if at > cx.now {
                break;
            }
            self.held.pop_first();
            self.open_inward(cx, key);
        }
    }
}

fn connect_guest(
    cx: &mut Context<'_>,
    listeners: &mut Listeners,
    guest_port: u16,
) -> Result<ConnectionId, ConnectError> {
    let guest = SocketAddr::from((GUEST, guest_port));
    for _ in 0..PORTS_TRIED_MAX {
        let local = SocketAddr::from((GATEWAY, listeners.take_port()));
        match cx.stack.connect(cx.now, guest, Some(local)) {
            Err(ConnectError::InUse(_)) => {}
            result => return result,
        }
    }
    Err(ConnectError::NoPortLeft)
}

fn retry_delay(refusals: u32) -> Duration {
    let factor = 1 << refusals.min(16);
    (RETRY_FIRST * factor).min(RETRY_LAST)
}

/// Whether it is this client that cannot be accepted, rather than the gateway that cannot accept.
/// Any other error may last, and trying again at once would be a busy loop.
fn is_of_one_client(error: &io::Error) -> bool {
    use Errno::*;
    let error = error.raw_os_error().map(Errno::from_raw);
    // Those after EINTR are errors of the new connection's network, which Linux tells here (accept(2)).
    matches!(
        error,
        Some(
            ECONNABORTED
                | EPROTO
                | EINTR
                | ENETDOWN
                | ENOPROTOOPT
                | EHOSTDOWN
                | ENONET
                | EHOSTUNREACH
                | EOPNOTSUPP
                | ENETUNREACH
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_become_rarer_up_to_a_limit() {
        let delays: Vec<u64> = (0..9).map(|n| retry_delay(n).total_millis()).collect();
        assert_eq!(delays, [2, 4, 8, 16, 32, 64, 128, 256, 256]);
        assert_eq!(retry_delay(u32::MAX), RETRY_LAST);
    }

    #[test]
    fn ports_are_used_in_turn() {
        let mut listeners = Listeners::new(Vec::new(), Instant::ZERO);
        let ports: Vec<u16> = (0..=PORTS.len()).map(|_| listeners.take_port()).collect();
        assert_eq!(ports[..2], [1024, 1025]);
        assert_eq!(ports[PORTS.len() - 1..], [65535, 1024]);
    }

    #[test]
    fn whatever_is_not_about_one_client_makes_a_pause() {
        let is_of_one =
            |error: Errno| is_of_one_client(&io::Error::from_raw_os_error(error as i32));
        for error in [Errno::ECONNABORTED, Errno::EPROTO, Errno::EINTR, Errno::EHOSTUNREACH] {
            assert!(is_of_one(error), "{error}");
        }
        for error in [Errno::EMFILE, Errno::ENOMEM, Errno::EINVAL, Errno::EBADF, Errno::EPERM] {
            assert!(!is_of_one(error), "{error}");
        }
    }
}
