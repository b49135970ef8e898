//! What the owner calls for TCP: listen, accept, send, receive, and the ways to end. An id
//! that is stale, or whose connection was released, gives an error, nothing or no effect, never
//! another connection.

use core::fmt;
use core::net::SocketAddr;
use core::task::Waker;

use smoltcp::time::Duration;

use super::connection::{
    Body, CloseReason, Connection, ConnectionId, ConnectionState, Expiry, Owner, Patience, Stage,
};
use super::listener::{ListenError, ListenerId};
use super::table::List;
use super::tcb::Tcb;
use crate::agenda::Task;
use crate::stack::Stack;

/// An owner who found no memory is woken after this long to try again.
const STARVED_PERIOD: Duration = Duration::from_millis(20);
/// Peers are not asked for a sign of life more often.
const KEEP_ALIVE_MIN: Duration = Duration::from_millis(100);

/// Why nothing more can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The owner has finished sending.
    Finished,
    /// The connection is over.
    Closed(CloseReason),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("this side has finished sending"),
            Self::Closed(reason) => write!(f, "the connection is over: {reason}"),
        }
    }
}

impl core::error::Error for SendError {}

/// Why nothing more can be received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// The connection ended before the peer finished; what came before may be incomplete.
    Closed(CloseReason),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Closed(reason) = self;
        write!(f, "the connection is over: {reason}")
    }
}

impl core::error::Error for RecvError {}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Finished => "both sides finished",
            Self::Reset => "reset by the peer",
            Self::Refused => "refused by the peer",
            Self::TimedOut => "the peer did not answer in time",
            Self::Aborted => "reset by this side",
            Self::AddressLost => "the own address is gone",
            Self::Released => "it was released",
        })
    }
}

/// What [`Stack::recv`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes.
    Data(usize),
    /// Nothing yet.
    Empty,
    /// The peer has finished, and everything is read.
    Finished,
}

/// Listening and accepting.
impl Stack {
    /// Accepts connections on a port of the own address. `backlog` of them may wait for
    /// [`Stack::accept`]; then new SYNs are dropped, which makes peers try again.
    ///
    /// # Errors
    /// If the port is taken or a limit is reached.
    pub fn listen(&mut self, port: u16, backlog: usize) -> Result<ListenerId, ListenError> {
        self.listeners.open(port, backlog)
    }

    /// Closes a port. Connections that nobody has accepted are reset.
    pub fn close_listener(&mut self, id: ListenerId) {
        for connection in self.listeners.close(id) {
            self.give_up(connection, CloseReason::Aborted);
        }
        let mut next = self.table.oldest(List::HalfOpen);
        while let Some(slot) = next {
            next = self.table.younger(slot);
            if self.table.at(slot).is_some_and(|connection| connection.listener == Some(id)) {
                self.give_up(self.table.id(slot), CloseReason::Aborted);
            }
        }
    }

    /// The next established connection. The caller owns it until it calls [`Stack::release`] or [`Stack::abort`].
    pub fn accept(&mut self, id: ListenerId) -> Option<ConnectionId> {
        while let Some(connection) = self.listeners.pop(id) {
            // Connections that ended while they waited are gone.
            if self.take_over(connection) {
                return Some(connection);
            }
        }
        None
    }

    /// Wakes once when there is something to accept or the listener is closed.
    pub fn register_accept_waker(&mut self, id: ListenerId, waker: &Waker) {
        self.listeners.register(id, waker);
    }

    /// Whether a SYN that no listener wants becomes an offer instead of being refused.
    pub fn set_offer_unmatched(&mut self, offer: bool) {
        self.offer_unmatched = offer;
    }

    /// The next offer: a peer, [`Stack::remote`], asks for a connection to [`Stack::local`]. The
    /// caller owns it and answers by [`Stack::accept_offer`] or [`Stack::abort`].
    pub fn next_offer(&mut self) -> Option<ConnectionId> {
        while let Some(offer) = self.offers.pop_front() {
            if self.take_over(offer) {
                self.table.leave_list(offer.slot);
                return Some(offer);
            }
        }
        None
    }

    /// Answers the peer of an offer: the handshake goes on.
    pub fn accept_offer(&mut self, id: ConnectionId) {
        let patience = self.limits.handshake_timeout;
        let Some(connection) = self.owned_mut(id).filter(|offer| offer.stage == Stage::Offered)
        else {
            return;
        };
        connection.stage = Stage::HalfOpen;
        connection.expiry = Expiry::After(patience);
        self.agenda.make_ready(Task::Tcp(id.slot));
    }

    fn take_over(&mut self, id: ConnectionId) -> bool {
        match self.table.get_mut(id) {
            Some(connection) if connection.owner == Owner::Queue => {
                connection.owner = Owner::Application;
                true
            }
            _ => false,
        }
    }
}

/// Sending and receiving.
impl Stack {
    /// Takes as much of the data as there is room for; `Ok(0)` if there is none, or the handshake is
    /// still under way.
    ///
    /// # Errors
    /// If nothing can be sent any more.
    pub fn send(&mut self, id: ConnectionId, data: &[u8]) -> Result<usize, SendError> {
        let Some((connection, memory)) = self.sending(id)? else { return Ok(0) };
        let Some(tcb) = connection.tcb_mut() else { return Ok(0) };
        let had_room = tcb.send_room(memory) > 0;
        let bytes = tcb.queue(memory, data);
        self.note_queued(id, had_room && !data.is_empty() && bytes == 0);
        Ok(bytes)
    }

    /// Lets `write` fill a part of the send buffer in place. It returns how many bytes it wrote, and
    /// a result. The part ends where the ring buffer wraps, so it may be smaller than
    /// [`Stack::send_room`]; it is empty if there is no room.
    ///
    /// # Errors
    /// If nothing can be sent any more.
    pub fn send_with<R>(
        &mut self,
        id: ConnectionId,
        write: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Result<R, SendError> {
        let Some((connection, memory)) = self.sending(id)? else {
            return Ok(write(&mut []).1);
        };
        let Some(tcb) = connection.tcb_mut() else { return Ok(write(&mut []).1) };
        let had_room = tcb.send_room(memory) > 0;
        let mut found_room = false;
        let result = tcb.queue_with(memory, usize::MAX, |place| {
            found_room = !place.is_empty();
            write(place)
        });
        self.note_queued(id, had_room && !found_room);
        Ok(result)
    }

    fn note_queued(&mut self, id: ConnectionId, is_starved: bool) {
        let now = self.now;
        if let Some(connection) = self.table.get_mut(id).filter(|_| is_starved) {
            connection.starved_until = Some(now + STARVED_PERIOD);
        }
        self.agenda.make_ready(Task::Tcp(id.slot));
    }

    /// The connection and the memory for its buffers, or nothing while the handshake is under way.
    fn sending(
        &mut self,
        id: ConnectionId,
    ) -> Result<Option<(&mut Connection, &mut super::buffer::Memory)>, SendError> {
        let owned = self.table.get_mut(id).filter(|c| c.owner == Owner::Application);
        let connection = owned.ok_or(SendError::Closed(CloseReason::Released))?;
        if let Some(reason) = connection.verdict {
            return Err(SendError::Closed(reason));
        }
        match connection.tcb() {
            Some(tcb) if tcb.is_finishing() => Err(SendError::Finished),
            Some(_) if connection.stage != Stage::Open => Ok(None),
            Some(tcb) if tcb.may_send() => Ok(Some((connection, &mut self.memory))),
            _ => Err(SendError::Finished),
        }
    }

    /// Copies what has arrived into the buffer.
    ///
    /// # Errors
    /// If the connection ended before the peer finished, and everything that came is read.
    pub fn recv(&mut self, id: ConnectionId, buffer: &mut [u8]) -> Result<Received, RecvError> {
        let now = self.now;
        let (connection, memory) = match self.receiving(id)? {
            Some(both) => both,
            None => return self.nothing_to_read(id),
        };
        let Some(tcb) = connection.tcb_mut() else { return self.nothing_to_read(id) };
        let bytes = tcb.read(memory, now, buffer);
        self.note_read(id);
        // A buffer without room can take nothing.
        Ok(if bytes > 0 { Received::Data(bytes) } else { Received::Empty })
    }

    /// Lets `read` look at what has arrived, in place. It returns how many bytes it is done with, and
    /// a result. The part ends where the ring buffer wraps, so a message may take two calls; it is
    /// empty if nothing has arrived, or the peer has finished.
    ///
    /// # Errors
    /// As for [`Stack::recv`].
    pub fn recv_with<R>(
        &mut self,
        id: ConnectionId,
        read: impl FnOnce(&[u8]) -> (usize, R),
    ) -> Result<R, RecvError> {
        let now = self.now;
        let Some((connection, memory)) = self.receiving(id)? else {
            return self.nothing_to_read(id).map(|_| read(&[]).1);
        };
        let Some(tcb) = connection.tcb_mut() else { return Ok(read(&[]).1) };
        let (_, result) = tcb.read_with(memory, now, read);
        self.note_read(id);
        Ok(result)
    }

    /// The connection, if there is something to read.
    fn receiving(
        &mut self,
        id: ConnectionId,
    ) -> Result<Option<(&mut Connection, &mut super::buffer::Memory)>, RecvError> {
        let owned = self.table.get_mut(id).filter(|c| c.owner == Owner::Application);
        let connection = owned.ok_or(RecvError::Closed(CloseReason::Released))?;
        let memory = &mut self.memory;
        Ok(connection.has_unread().then_some((connection, memory)))
    }

    fn nothing_to_read(&self, id: ConnectionId) -> Result<Received, RecvError> {
        match self.state(id) {
            ConnectionState::Closed(CloseReason::Finished) => Ok(Received::Finished),
            ConnectionState::Closed(reason) => Err(RecvError::Closed(reason)),
            ConnectionState::Offered | ConnectionState::Opening => Ok(Received::Empty),
            _ => {
                let tcb = self.owned(id).and_then(Connection::tcb);
                let may_receive = tcb.is_some_and(Tcb::may_receive);
                Ok(if may_receive { Received::Empty } else { Received::Finished })
            }
        }
    }

    /// What was read may be worth a larger window, and may have been all that a connection that is
    /// over was kept for.
    fn note_read(&mut self, id: ConnectionId) {
        let Some(tcb) = self.table.get(id).and_then(Connection::tcb) else { return };
        let (wants_turn, deadline) = (tcb.wants_turn(), tcb.deadline());
        if wants_turn {
            self.settle(id.slot);
            self.agenda.make_ready(Task::Tcp(id.slot));
        } else {
            // A buffer that is empty now is given back later.
            self.agenda.set_deadline_lazily(Task::Tcp(id.slot), deadline);
        }
    }

    /// Bytes that can be sent now.
    pub fn send_room(&self, id: ConnectionId) -> usize {
        let open = self.owned(id).filter(|connection| connection.verdict.is_none());
        let tcb = open.filter(|c| c.stage == Stage::Open).and_then(Connection::tcb);
        tcb.map_or(0, |tcb| tcb.send_room(&self.memory))
    }

    /// Bytes that the peer has not acknowledged yet.
    pub fn send_queued(&self, id: ConnectionId) -> usize {
        let open = self.owned(id).filter(|connection| connection.verdict.is_none());
        open.and_then(Connection::tcb).map_or(0, Tcb::queued)
    }

    /// Bytes that wait to be read.
    pub fn recv_queued(&self, id: ConnectionId) -> usize {
        self.owned(id).and_then(Connection::tcb).map_or(0, Tcb::received)
    }

    /// Wakes once when something can be read or the connection has changed.
    pub fn register_recv_waker(&mut self, id: ConnectionId, waker: &Waker) {
        match self.waiting(id) {
            Some(connection) => keep(&mut connection.reader, waker),
            None => waker.wake_by_ref(),
        }
    }

    /// Wakes once when the peer has acknowledged something or the connection has changed.
    pub fn register_send_waker(&mut self, id: ConnectionId, waker: &Waker) {
        match self.waiting(id) {
            Some(connection) => keep(&mut connection.writer, waker),
            None => waker.wake_by_ref(),
        }
    }

    /// The connection, if anything can still happen to it that is worth waiting for.
    fn waiting(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.owned_mut(id).filter(|connection| connection.verdict.is_none())
    }
}

/// Ending, and looking at connections.
impl Stack {
    /// Where a connection stands.
    pub fn state(&self, id: ConnectionId) -> ConnectionState {
        self.owned(id).map_or(ConnectionState::Closed(CloseReason::Released), Connection::state)
    }

    /// The own end of a connection; for an offer, the address that the peer wants.
    pub fn local(&self, id: ConnectionId) -> Option<SocketAddr> {
        self.owned(id).map(|connection| connection.flow.local)
    }

    /// The peer's end of a connection.
    pub fn remote(&self, id: ConnectionId) -> Option<SocketAddr> {
        self.owned(id).map(|connection| connection.flow.remote)
    }

    /// Sends FIN after what is queued: the owner is done with sending, but may still receive.
    pub fn finish(&mut self, id: ConnectionId) {
        let Some(connection) = self.waiting(id) else { return };
        if let Some(tcb) = connection.tcb_mut() {
            tcb.finish();
        }
        self.agenda.make_ready(Task::Tcp(id.slot));
    }

    /// Resets a connection, or refuses an offer. The id is stale from now on.
    pub fn abort(&mut self, id: ConnectionId) {
        if self.owned(id).is_some() {
            self.give_up(id, CloseReason::Aborted);
        }
    }

    /// The owner is done with a connection, and the id is stale from now on. What is queued is sent
    /// and the connection closed, for at most [`Limits::linger_timeout`](crate::Limits). Unread data,
    /// or a handshake still under way, makes it a reset, as on Linux.
    pub fn release(&mut self, id: ConnectionId) {
        let linger = self.limits.linger_timeout;
        let Some(connection) = self.owned_mut(id) else {
            return;
        };
        if connection.verdict.is_some() {
            return self.let_go(id);
        }
        if connection.has_unread() || connection.stage != Stage::Open {
            return self.give_up(id, CloseReason::Aborted);
        }
        connection.expiry = Expiry::After(linger);
        if let Some(tcb) = connection.tcb_mut() {
            tcb.finish();
        }
        self.let_go(id);
    }

    /// Takes the connection away from its owner; if it is over, from the table, too.
    fn let_go(&mut self, id: ConnectionId) {
        let Some(connection) = self.table.get_mut(id) else { return };
        connection.owner = Owner::Nobody;
        (connection.reader, connection.writer) = (None, None);
        let is_over = match &connection.body {
            Body::Closed => true,
            Body::Open(tcb) => tcb.is_over(),
            Body::TimeWait(_) => false,
        };
        match is_over {
            true => self.remove_connection(id.slot),
            false => self.agenda.make_ready(Task::Tcp(id.slot)),
        }
    }

    /// Resets a connection that nobody wants.
    fn give_up(&mut self, id: ConnectionId, reason: CloseReason) {
        let Some(connection) = self.table.get_mut(id) else { return };
        if connection.verdict.is_none() {
            self.counters.connections_aborted += 1;
            self.reset_connection(id.slot, reason);
            self.table.leave_list(id.slot);
        }
        self.let_go(id);
    }

    /// How long a silent peer may owe an answer; `None` is for ever.
    pub fn set_timeout(&mut self, id: ConnectionId, timeout: Option<Duration>) {
        if let Some(connection) = self.owned_mut(id) {
            connection.peer_timeout = Patience::new(timeout);
            self.agenda.make_ready(Task::Tcp(id.slot));
        }
    }

    /// Asks an idle peer for a sign of life this often, but not more than ten times a second. One that
    /// is silent for the time-out is given up.
    pub fn set_keep_alive(&mut self, id: ConnectionId, interval: Option<Duration>) {
        if let Some(connection) = self.owned_mut(id) {
            connection.keep_alive =
                Patience::new(interval.map(|interval| interval.max(KEEP_ALIVE_MIN)));
            self.agenda.make_ready(Task::Tcp(id.slot));
        }
    }

    /// Whether small segments wait for the acknowledgement of earlier ones. They do not by default.
    pub fn set_nagle(&mut self, id: ConnectionId, enabled: bool) {
        if let Some(tcb) = self.owned_mut(id).and_then(Connection::tcb_mut) {
            tcb.set_nagle(enabled);
            self.agenda.make_ready(Task::Tcp(id.slot));
        }
    }

    /// Whether [`Stack::next_touched`] has anything to tell. It does not by default.
    pub fn set_track_touched(&mut self, track: bool) {
        self.touched.tracking = track;
    }

    /// A connection whose state or buffers the network has changed since it was last told here.
    pub fn next_touched(&mut self) -> Option<ConnectionId> {
        while let Some(slot) = self.touched.pop() {
            if self.table.at(slot).is_some_and(|connection| connection.owner == Owner::Application)
            {
                return Some(self.table.id(slot));
            }
        }
        None
    }

    fn owned(&self, id: ConnectionId) -> Option<&Connection> {
        self.table.get(id).filter(|connection| connection.owner == Owner::Application)
    }

    fn owned_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.table.get_mut(id).filter(|connection| connection.owner == Owner::Application)
    }
}

/// Keeps a waker, and spares the copy of one that is there already.
fn keep(place: &mut Option<Waker>, waker: &Waker) {
    match place {
        Some(kept) => kept.clone_from(waker),
        None => *place = Some(waker.clone()),
    }
}
