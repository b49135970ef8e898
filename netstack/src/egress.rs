//! What is sent, and what follows from it: each task's turn, the end of connections, and when each
//! must run again.

use smoltcp::iface::Interface;
use smoltcp::socket::tcp;
use smoltcp::time::{Duration, Instant};

use crate::agenda::Task;
use crate::connection::{Body, CloseReason, Expiry, Owner, Stage};
use crate::stack::Stack;
use crate::table::List;
use crate::wire::frames::Frames;
use crate::wire::port::{Outcome, Port};
use crate::wire::segment::emit_bare;

/// Frames that a task may send before the next one has its turn.
const BURST: usize = 8;
/// A socket that says it is due and sends nothing is asked again after this long, not at once.
pub(crate) const STALL: Duration = Duration::from_millis(10);
/// How long TIME-WAIT lasts. 2 MSL would be four minutes (RFC 9293), but hardly any stack waits that long.
pub(crate) const TIME_WAIT: Duration = Duration::from_secs(10);

/// What may have changed a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Segment { rst: bool },
    Egress,
    Owner,
}

impl Stack {
    /// A connection's turn: it has something to send, or its time has come.
    pub(crate) fn run_connection(&mut self, slot: u32) {
        let now = self.now;
        let Some(connection) = self.table.at_mut(slot) else {
            return;
        };
        connection.tell_time(now);
        if connection.expires_at().is_some_and(|at| at <= now) {
            self.expire(slot);
        } else if connection.silent_until().is_some_and(|until| until <= now) {
            connection.reset(CloseReason::TimedOut);
            self.counters.connections_timed_out += 1;
            self.touched.push(slot);
        } else if connection.probe_at().is_some_and(|at| at <= now) {
            self.probe(slot);
        }
        self.transmit(slot);
    }

    fn probe(&mut self, slot: u32) {
        let now = self.now;
        let Some(connection) = self.table.at_mut(slot) else { return };
        let Some(bare) = connection.probe(now) else { return };
        let (peer_mac, flow) = (connection.peer_mac, connection.flow);
        let queued = emit_bare(&mut self.frames, self.mac, peer_mac, &flow, bare);
        self.counters.probes_sent += u64::from(queued);
    }

    fn transmit(&mut self, slot: u32) {
        let mut stalled = true;
        for _ in 0..BURST {
            let Some(connection) = self.table.at_mut(slot) else {
                return;
            };
            let Body::Socket(socket) = &mut connection.body else {
                return self.schedule(slot, Cause::Egress, false);
            };
            if connection.stage == Stage::Offered && connection.verdict.is_none() {
                break;
            }
            let set = socket.set_mut();
            let outcome = emit(self.now, &mut self.interface, &mut self.frames, self.mtu, set);
            let next_hop = self.addresses.next_hop(*connection.flow.remote.ip());
            match self.note_emission(Task::Tcp(slot), outcome, next_hop) {
                Outcome::Sent => self.note_mark(slot, false),
                Outcome::Idle => break,
                Outcome::Starved | Outcome::Unresolved => {
                    stalled = false;
                    break;
                }
            }
            stalled = false;
        }
        self.settle_after(slot, Cause::Egress, stalled);
    }

    /// Books what a turn did, and tells what it was: an ARP request in place of a packet is no
    /// sending. Only an idle turn and a sent frame leave the task to its caller.
    pub(crate) fn note_emission(
        &mut self,
        task: Task,
        outcome: Outcome,
        next_hop: Option<core::net::Ipv4Addr>,
    ) -> Outcome {
        self.counters.sockets_polled += 1;
        let outcome = match outcome {
            Outcome::Sent if self.note_question().is_some() => Outcome::Unresolved,
            outcome => outcome,
        };
        match (outcome, next_hop) {
            (Outcome::Starved, _) => self.agenda.keep_turn(task),
            (Outcome::Unresolved, Some(next_hop)) => self.agenda.wait_for_neighbour(task, next_hop),
            _ => {}
        }
        outcome
    }

    /// Draws the consequences after a connection's socket may have changed, and plans its next turn.
    pub(crate) fn settle(&mut self, slot: u32, cause: Cause) {
        self.settle_after(slot, cause, false);
    }

    fn settle_after(&mut self, slot: u32, cause: Cause, stalled: bool) {
        let Some(connection) = self.table.at_mut(slot) else {
            return;
        };
        let stage = connection.stage;
        let Some(state) = connection.socket().map(tcp::Socket::state) else {
            return;
        };
        match state {
            tcp::State::Closed => {
                let reason = match (cause, stage) {
                    (Cause::Segment { rst: true }, Stage::Opening) => CloseReason::Refused,
                    (Cause::Segment { rst: true }, _) => CloseReason::Reset,
                    (Cause::Egress, _) => CloseReason::AddressLost,
                    _ => CloseReason::Finished,
                };
                connection.verdict.get_or_insert(reason);
                // A socket that still knows its peer has a RST to send.
                if connection.socket().is_some_and(|socket| socket.remote_endpoint().is_none()) {
                    return self.bury(slot);
                }
            }
            // smoltcp goes back to listening when a RST ends the handshake.
            tcp::State::Listen => {
                connection.reset(CloseReason::Reset);
                return self.bury(slot);
            }
            tcp::State::SynSent | tcp::State::SynReceived => {}
            _ if stage != Stage::Open => self.establish(slot),
            tcp::State::TimeWait => {
                connection.verdict.get_or_insert(CloseReason::Finished);
                self.rest(slot);
            }
            _ => {}
        }
        self.schedule(slot, cause, stalled);
    }

    /// The handshake is complete.
    fn establish(&mut self, slot: u32) {
        let id = self.table.id(slot);
        self.table.leave_list(slot);
        let Some(connection) = self.table.at_mut(slot) else {
            return;
        };
        match connection.stage {
            Stage::Opening => self.counters.connections_opened += 1,
            _ => self.counters.connections_accepted += 1,
        }
        connection.stage = Stage::Open;
        connection.expiry = Expiry::Never;
        if connection.finish_wanted
            && let Some(socket) = connection.socket_mut()
        {
            socket.close();
        }
        if let Some(listener) = connection.listener
            && !self.listeners.push(listener, id)
        {
            connection.owner = Owner::Nobody;
            connection.reset(CloseReason::Aborted);
        }
    }

    /// The connection is over, and there is nothing left to tell the peer.
    fn bury(&mut self, slot: u32) {
        let first_time = self.table.forget_flow(slot);
        self.table.leave_list(slot);
        self.agenda.set_deadline(Task::Tcp(slot), None);
        let Some(connection) = self.table.at_mut(slot) else {
            return;
        };
        connection.expiry = Expiry::Never;
        if first_time
            && matches!(connection.verdict, Some(CloseReason::Reset | CloseReason::Refused))
        {
            self.counters.connections_reset += 1;
        }
        match connection.owner {
            Owner::Application => {
                self.touched.push(slot);
                if !connection.has_unread() {
                    close_body(&mut connection.body);
                }
            }
            Owner::Queue | Owner::Nobody => self.table.remove(slot),
        }
    }

    /// Lets a connection in TIME-WAIT give up its buffers, as soon as they are empty and the peer's
    /// FIN is acknowledged.
    fn rest(&mut self, slot: u32) {
        let Some(connection) = self.table.at_mut(slot) else { return };
        let peer_end = connection.peer_end;
        let Some(mark) = connection.mark.filter(|mark| Some(mark.acknowledged) == peer_end) else {
            return;
        };
        if connection.has_unread() {
            return;
        }
        close_body(&mut connection.body);
        connection.body = Body::TimeWait(mark);
        connection.expiry = Expiry::After(TIME_WAIT);
        self.table.join_list(slot, List::TimeWait);
        if self.table.list_len(List::TimeWait) > self.limits.time_wait
            && let Some(oldest) = self.table.oldest(List::TimeWait)
        {
            self.counters.time_wait_evicted += 1;
            self.end_time_wait(oldest);
        }
    }

    pub(crate) fn end_time_wait(&mut self, slot: u32) {
        self.agenda.set_deadline(Task::Tcp(slot), None);
        self.table.forget_flow(slot);
        self.table.leave_list(slot);
        let Some(connection) = self.table.at_mut(slot) else {
            return;
        };
        connection.body = Body::Closed;
        connection.expiry = Expiry::Never;
        if connection.owner != Owner::Application {
            self.table.remove(slot);
        }
    }

    /// The connection's time is over.
    fn expire(&mut self, slot: u32) {
        let Some(connection) = self.table.at_mut(slot) else {
            return;
        };
        match (&connection.body, connection.stage, connection.owner) {
            (Body::TimeWait(_) | Body::Closed, ..) => self.end_time_wait(slot),
            (Body::Socket(_), ..) if connection.verdict.is_some() => self.bury(slot),
            // Whoever sent the SYN may never have existed: no RST.
            (Body::Socket(_), Stage::HalfOpen, Owner::Queue) => {
                self.counters.half_open_expired += 1;
                self.table.remove(slot);
            }
            (Body::Socket(_), ..) => {
                self.counters.connections_timed_out += 1;
                connection.reset(CloseReason::TimedOut);
                self.touched.push(slot);
            }
        }
    }

    /// Plans the connection's next turn.
    pub(crate) fn schedule(&mut self, slot: u32, cause: Cause, stalled: bool) {
        let now = self.now;
        let Some(connection) = self.table.at_mut(slot) else { return };
        if cause != Cause::Owner {
            connection.tell_time(now);
        } else if connection.wants_time() {
            return self.agenda.make_ready(Task::Tcp(slot));
        }
        let held_back = connection.stage == Stage::Offered && connection.verdict.is_none();
        let due = match &connection.body {
            Body::Socket(socket) if !held_back => self.interface.poll_at(now, socket.set()),
            _ => None,
        };
        connection.is_stuck = due.is_none() && connection.would_wait_forever();
        let due = due.map(|due| if stalled { due.max(now + STALL) } else { due });
        let own = [connection.expires_at(), connection.silent_until(), connection.probe_at()];
        match own.into_iter().flatten().chain(due).min() {
            Some(due) if due <= now => self.agenda.make_ready(Task::Tcp(slot)),
            due => self.agenda.set_deadline(Task::Tcp(slot), due),
        }
    }
}

/// Drops a socket and its buffers. Whoever still waits for it is woken.
fn close_body(body: &mut Body) {
    if let Body::Socket(socket) = body {
        socket.socket_mut().abort();
    }
    *body = Body::Closed;
}

/// Lets the socket of this set send one packet.
pub(crate) fn emit(
    now: Instant,
    interface: &mut Interface,
    frames: &mut Frames,
    mtu: usize,
    sockets: &mut smoltcp::iface::SocketSet<'static>,
) -> Outcome {
    let mut port = Port::outgoing(frames, mtu);
    interface.poll_egress(now, &mut port, sockets);
    port.outcome()
}
