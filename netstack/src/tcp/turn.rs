//! A connection's turn: what its time has brought, what it sends, and how it ends.

use smoltcp::time::Duration;

use super::connection::{Body, CloseReason, Connection, Expiry, Owner, Stage};
use super::output::Plan;
use super::table::List;
use super::tcb::State;
use crate::agenda::Task;
use crate::egress::Way;
use crate::stack::Stack;
use crate::wire::ip::{self, Content, Envelope, protocol};
use crate::wire::segment::{CHECKSUM_AT, Header, emit};

/// Frames that a connection may send before the next one has its turn.
const BURST: usize = 8;
/// A connection that finds no way out tries again after this long.
const NO_WAY_PERIOD: Duration = Duration::from_secs(1);
/// One that finds no memory for a frame, after this long.
const NO_MEMORY_PERIOD: Duration = Duration::from_millis(20);
/// How long TIME-WAIT lasts. 2 MSL would be four minutes (RFC 9293), but hardly any stack waits that long.
pub(crate) const TIME_WAIT: Duration = Duration::from_secs(10);

/// How a connection's sending ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    All,
    /// Others have their turn first.
    Enough,
    /// The queue of frames is full.
    Full,
    Waiting,
    NoWay,
    /// There is no memory for a frame.
    NoMemory,
}

impl Stack {
    /// A connection's turn: it has something to send, or its time has come.
    pub(crate) fn run_connection(&mut self, slot: u32) {
        let now = self.now;
        let Some(connection) = self.table.at_mut(slot) else { return };
        connection.tell_time(now);
        if connection.expires_at().is_some_and(|at| at <= now) {
            self.expire(slot);
        } else if connection.silent_until().is_some_and(|until| until <= now) {
            self.counters.connections_timed_out += 1;
            self.reset_connection(slot, CloseReason::TimedOut);
            self.touched.push(slot);
        } else if connection.probe_at().is_some_and(|at| at <= now) {
            connection.note_probe(now);
            if let Some(tcb) = connection.tcb_mut() {
                tcb.probe();
            }
        }
        let sent = self.transmit(slot);
        self.settle(slot);
        self.schedule(slot, sent);
    }

    fn transmit(&mut self, slot: u32) -> Sent {
        let now = self.now;
        let Some(connection) = self.table.at_mut(slot) else { return Sent::All };
        let is_held_back = connection.is_held_back();
        let remote = connection.flow.remote.ip();
        if connection.starved_until.take_if(|until| *until <= now).is_some() {
            connection.wake_writer();
        }
        let Body::Open(tcb) = &mut connection.body else { return Sent::All };
        if is_held_back {
            return Sent::All;
        }
        tcb.run(now, &mut self.memory);
        let Some(mut plan) = tcb.plan(now) else { return Sent::All };
        if !self.frames.has_room() {
            return Sent::Full;
        }
        let mac = match self.way_to(Task::Tcp(slot), remote) {
            Way::To(mac) => mac,
            Way::Unknown => return Sent::Waiting,
            Way::None => return Sent::NoWay,
        };
        for _ in 0..BURST {
            if !self.frames.has_room() {
                return Sent::Full;
            }
            if !self.send_segment(slot, mac, &plan) {
                return Sent::NoMemory;
            }
            let tcb = self.table.at_mut(slot).and_then(Connection::tcb_mut);
            match tcb.and_then(|tcb| tcb.plan(now)) {
                Some(next) => plan = next,
                None => return Sent::All,
            }
        }
        Sent::Enough
    }

    fn send_segment(&mut self, slot: u32, mac: [u8; 6], plan: &Plan) -> bool {
        let Some(connection) = self.table.at_mut(slot) else { return false };
        let flow = connection.flow;
        let Some(tcb) = connection.tcb_mut() else { return false };
        let header = Header {
            source_port: flow.local.port(),
            destination_port: flow.remote.port(),
            sequence: plan.sequence,
            acknowledged: plan.acknowledged,
            window: plan.window,
            flags: plan.flags,
            options: plan.options,
        };
        let (own, peer) = (flow.local.ip(), flow.remote.ip());
        let envelope = Envelope::new((self.mac, mac), own, peer, protocol::TCP);
        let written = emit(&header);
        let content = Content {
            header: written.as_slice(),
            payload: tcb.payload(plan),
            checksum_at: Some(CHECKSUM_AT),
            segment_bytes: Some(plan.segment_bytes),
        };
        if !ip::push_packet(&mut self.frames, self.offload, &envelope, &content) {
            return false;
        }
        self.counters.segments_resent += u64::from(plan.is_again());
        self.counters.probes_sent += u64::from(plan.is_probe());
        tcb.note_sent(self.now, plan);
        true
    }

    /// Draws the consequences after a connection may have changed.
    pub(crate) fn settle(&mut self, slot: u32) {
        let Some(connection) = self.table.at_mut(slot) else { return };
        let stage = connection.stage;
        let Some(tcb) = connection.tcb() else { return };
        match tcb.state() {
            State::Closed => {
                let has_reset_to_send = tcb.owes_reset();
                connection.verdict.get_or_insert(CloseReason::Finished);
                if !has_reset_to_send {
                    self.bury(slot);
                }
            }
            State::SynSent | State::SynReceived => {}
            _ if stage != Stage::Open => {
                self.establish(slot);
                self.settle_time_wait(slot);
            }
            _ => self.settle_time_wait(slot),
        }
    }

    fn settle_time_wait(&mut self, slot: u32) {
        let Some(connection) = self.table.at_mut(slot) else { return };
        if connection.tcb().is_some_and(|tcb| tcb.state() == State::TimeWait) {
            if connection.verdict.is_none() {
                connection.verdict = Some(CloseReason::Finished);
                // It rests when its last acknowledgement is out and everything is read, but it does not
                // wait longer for that: the way to the peer may be gone for ever.
                connection.expiry = Expiry::At(self.now + TIME_WAIT);
                connection.wake();
            }
            self.rest(slot);
        }
    }

    /// The handshake is complete.
    fn establish(&mut self, slot: u32) {
        let id = self.table.id(slot);
        self.table.leave_list(slot);
        let Some(connection) = self.table.at_mut(slot) else { return };
        match connection.stage {
            Stage::Opening => self.counters.connections_opened += 1,
            _ => self.counters.connections_accepted += 1,
        }
        connection.stage = Stage::Open;
        connection.expiry = Expiry::Never;
        connection.wake_writer();
        if let Some(listener) = connection.listener
            && !self.listeners.push(listener, id)
        {
            connection.owner = Owner::Nobody;
            self.reset_connection(slot, CloseReason::Aborted);
        }
    }

    /// Ends a connection without the peer's consent: a RST goes out if it can.
    pub(crate) fn reset_connection(&mut self, slot: u32, reason: CloseReason) {
        let Some(connection) = self.table.at_mut(slot) else { return };
        connection.condemn(reason);
        if let Body::Open(tcb) = &mut connection.body {
            tcb.reset(&mut self.memory);
        }
        self.agenda.make_ready(Task::Tcp(slot));
    }

    /// The connection is over, and there is nothing left to tell the peer, or no way to.
    fn bury(&mut self, slot: u32) {
        let first_time = self.table.forget_flow(slot);
        self.table.leave_list(slot);
        let Some(connection) = self.table.at_mut(slot) else { return };
        if let Body::Open(tcb) = &mut connection.body {
            tcb.forget(&mut self.memory);
        }
        connection.expiry = Expiry::Never;
        connection.wake();
        if first_time
            && matches!(connection.verdict, Some(CloseReason::Reset | CloseReason::Refused))
        {
            self.counters.connections_reset += 1;
        }
        match connection.owner {
            Owner::Application => {
                let is_read = !connection.has_unread();
                self.touched.push(slot);
                if is_read {
                    self.close_body(slot, Body::Closed);
                }
            }
            Owner::Queue | Owner::Nobody => self.remove_connection(slot),
        }
    }

    /// Lets a connection in TIME-WAIT give up its buffers, as soon as they are empty and the peer's
    /// FIN is acknowledged.
    fn rest(&mut self, slot: u32) {
        let Some(connection) = self.table.at_mut(slot) else { return };
        let is_unread = connection.has_unread() && connection.owner != Owner::Nobody;
        let Some(tcb) = connection.tcb().filter(|tcb| tcb.has_acknowledged_all()) else { return };
        if is_unread {
            return;
        }
        let rest = tcb.rest();
        self.close_body(slot, Body::TimeWait(rest));
        if let Some(connection) = self.table.at_mut(slot) {
            connection.expiry = Expiry::At(self.now + TIME_WAIT);
        }
        self.table.join_list(slot, List::TimeWait);
        if self.table.list_len(List::TimeWait) > self.limits.time_wait
            && let Some(oldest) = self.table.oldest(List::TimeWait)
        {
            self.counters.time_wait_evicted += 1;
            self.end_time_wait(oldest);
        }
    }

    pub(crate) fn end_time_wait(&mut self, slot: u32) {
        self.table.forget_flow(slot);
        self.table.leave_list(slot);
        self.close_body(slot, Body::Closed);
        let Some(connection) = self.table.at_mut(slot) else { return };
        connection.expiry = Expiry::Never;
        if connection.owner != Owner::Application {
            self.remove_connection(slot);
        }
    }

    /// The connection's time is over.
    fn expire(&mut self, slot: u32) {
        let Some(connection) = self.table.at_mut(slot) else { return };
        match (&connection.body, connection.stage, connection.owner) {
            (Body::TimeWait(_) | Body::Closed, ..) => self.end_time_wait(slot),
            (Body::Open(_), ..) if connection.verdict.is_some() => self.bury(slot),
            // Whoever sent the SYN may never have existed: no RST.
            (Body::Open(_), Stage::HalfOpen, Owner::Queue) => {
                self.counters.half_open_expired += 1;
                self.remove_connection(slot);
            }
            (Body::Open(_), ..) => {
                self.counters.connections_timed_out += 1;
                self.reset_connection(slot, CloseReason::TimedOut);
                self.touched.push(slot);
            }
        }
    }

    /// Takes a connection out of the table and gives back its memory.
    pub(crate) fn remove_connection(&mut self, slot: u32) {
        self.close_body(slot, Body::Closed);
        self.table.remove(slot);
    }

    fn close_body(&mut self, slot: u32, body: Body) {
        let Some(connection) = self.table.at_mut(slot) else { return };
        if let Body::Open(tcb) = &mut connection.body {
            tcb.clear(&mut self.memory);
        }
        connection.body = body;
    }

    /// Plans the connection's next turn.
    fn schedule(&mut self, slot: u32, sent: Sent) {
        let (now, task) = (self.now, Task::Tcp(slot));
        let Some(connection) = self.table.at_mut(slot) else { return };
        connection.tell_time(now);
        let mut due = connection.deadline();
        match sent {
            Sent::All => {}
            Sent::Enough => self.agenda.make_ready(task),
            Sent::Full => self.agenda.keep_turn(task),
            // A question for a neighbour may be dropped for newer ones; then it is asked again.
            Sent::NoWay | Sent::Waiting => due = due.into_iter().chain([now + NO_WAY_PERIOD]).min(),
            Sent::NoMemory => due = due.into_iter().chain([now + NO_MEMORY_PERIOD]).min(),
        }
        match due {
            Some(due) if due <= now && sent == Sent::All => self.agenda.make_ready(task),
            due => self.agenda.set_deadline_lazily(task, due),
        }
    }
}
