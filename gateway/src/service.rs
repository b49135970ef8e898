//! The loop: one thread, one epoll instance. Each round takes the events, then a bounded amount of
//! work for everyone who has any, then sends what the wire takes. When nobody has work it sleeps
//! until an event or the next deadline. It decides who is served, not how.

pub mod fuzzing;

use std::time::Instant as HostInstant;

use netstack::{Duration, Instant, Stack};

use crate::address::GUEST;
use crate::counters::Counters;
use crate::dhcp;
use crate::dns::Forwarder;
use crate::error::Error;
use crate::frame::{self, ETHERNET_HEADER_BYTES, Parcel, Refusal};
use crate::gateway::Gateway;
use crate::poller::{Poller, Readiness, Source};
use crate::tcp::{Context, Tcp};
use crate::tcp_in::Listeners;
use crate::udp::Nat;
use crate::wire::{Received, Sent, Wire, header};

/// Frames taken from the wire before anything else has its turn.
const FRAMES_PER_ROUND: usize = 128;
/// How long data that a gone guest has sent may still take to reach the host's network.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) struct Service<'a> {
    started_at: HostInstant,
    now: Instant,
    poller: Poller,
    wire: Wire,
    wire_readable: bool,
    /// The last wait ended by events.
    has_events: bool,
    /// The poller was asked to tell of room on the wire.
    waits_for_room: bool,
    guest_mac: Option<[u8; 6]>,
    /// For one frame.
    buffer: Box<[u8]>,
    stack: Stack,
    tcp: Tcp,
    nat: Nat,
    dns: Forwarder,
    dhcp: dhcp::Server,
    counters: &'a mut Counters,
}

impl<'a> Service<'a> {
    /// Opens what is still to be opened.
    pub(crate) fn new(gateway: Gateway, counters: &'a mut Counters) -> Result<Self, Error> {
        let Gateway { ends, ports, stack, resolvers, destinations, guest_mac, mtu, startup } =
            gateway;
        let now = Instant::ZERO;
        let poller = Poller::new()?;
        let wire = Wire::open(ends)?;
        wire.watch(&poller)?;
        let frame_bytes = usize::from(mtu) + ETHERNET_HEADER_BYTES;
        let listeners = Listeners::new(ports, now + Duration::from(startup));
        listeners.watch(&poller)?;
        let connections_max = stack.limits().connections;
        Ok(Self {
            started_at: HostInstant::now(),
            now,
            poller,
            buffer: wire.buffer(frame_bytes),
            wire,
            wire_readable: false,
            has_events: false,
            waits_for_room: false,
            guest_mac,
            stack,
            tcp: Tcp::new(listeners, destinations, connections_max),
            nat: Nat::new(destinations, mtu, now),
            dns: Forwarder::new(resolvers, mtu),
            dhcp: dhcp::Server::new(mtu, guest_mac),
            counters,
        })
    }

    /// Serves until the guest has closed the wire, and all that it sent is where it belongs.
    pub(crate) fn serve(&mut self) -> Result<(), Error> {
        while self.round(None)? {}
        self.drain()
    }

    /// Waits, at most until then, and serves everyone once. Tells whether the guest is still there.
    fn round(&mut self, until: Option<Instant>) -> Result<bool, Error> {
        self.wait(until)?;
        let guest_gone = self.take_frames()?;
        self.work()?;
        if !guest_gone {
            self.send_frames()?;
        }
        Ok(!guest_gone)
    }

    /// Ends what the guest has not finished.
    pub(crate) fn close(self) {
        self.tcp.close();
        self.counters.dropped_answers = self.wire.replies_dropped();
    }

    /// Brings what the guest sent last to the host's network.
    fn drain(&mut self) -> Result<(), Error> {
        // It would tell of the hang-up again and again.
        self.wire.forget(&self.poller)?;
        let until = self.now + DRAIN_TIMEOUT;
        while self.tcp.holds_data(&self.stack) && self.now < until {
            self.wait(Some(until))?;
            self.work()?;
            while self.stack.front_frame().is_some() {
                self.stack.pop_frame();
            }
        }
        Ok(())
    }

    /// Sleeps until there is something to do, and takes note of what it is.
    fn wait(&mut self, until: Option<Instant>) -> Result<(), Error> {
        // The work of this round has taken some time.
        self.now = self.clock();
        let deadline = self.deadline().into_iter().chain(until).min();
        let timeout = deadline.map(|deadline| match deadline > self.now {
            true => std::time::Duration::from(deadline - self.now),
            false => std::time::Duration::ZERO,
        });
        let count = self.sleep(timeout)?;
        self.now = self.clock();
        self.has_events = count > 0;
        self.counters.rounds += 1;
        for number in 0..count {
            let (source, readiness) = self.poller.event(number);
            self.note(source, readiness)?;
        }
        Ok(())
    }

    /// Sleeps until there are events or the time is over, and tells how many events there are.
    fn sleep(&mut self, timeout: Option<std::time::Duration>) -> Result<usize, Error> {
        const AT_ONCE: Option<std::time::Duration> = Some(std::time::Duration::ZERO);
        if timeout == AT_ONCE {
            let count = self.poller.wait(AT_ONCE);
            self.wire.wake();
            return count;
        }
        let poller = &mut self.poller;
        let mut count = 0;
        let has_events = || {
            count = poller.wait(AT_ONCE)?;
            Ok(count > 0)
        };
        let may_sleep = self.wire.prepare_to_sleep(has_events)?;
        if count == 0 {
            count = self.poller.wait(if may_sleep { timeout } else { AT_ONCE })?;
        }
        self.wire.wake();
        Ok(count)
    }

    fn clock(&self) -> Instant {
        Instant::from_micros(self.started_at.elapsed().as_micros() as i64)
    }

    /// When there is something to do without any event; at once, if there is work left.
    fn deadline(&mut self) -> Option<Instant> {
        let datagrams_can_go = self.nat.has_work() && !self.wire.is_full();
        if self.tcp.has_work() || datagrams_can_go || self.wire.claims_more() {
            return Some(self.now);
        }
        [
            self.stack.deadline(self.now),
            self.tcp.deadline(),
            self.tcp.accept_deadline(self.now, &self.stack),
            self.nat.deadline(),
            self.dns.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn note(&mut self, source: Source, readiness: Readiness) -> Result<(), Error> {
        match source {
            Source::Wire => self.note_wire(readiness)?,
            // A bridge's.
            Source::Tap => {}
            Source::Listener(index) => self.tcp.listeners.note(index),
            Source::Tcp(key) => self.tcp.note(key, readiness),
            Source::Udp(key) => self.nat.note(key),
            Source::Dns(key) => {
                let answer = self.dns.note(self.now, &self.poller, key, self.counters);
                answer.into_iter().for_each(|frame| self.wire.queue(frame));
            }
        }
        Ok(())
    }

    fn note_wire(&mut self, readiness: Readiness) -> Result<(), Error> {
        self.wire_readable |= readiness.readable || readiness.hung_up || readiness.failed;
        if readiness.hung_up || readiness.peer_finished {
            self.wire.set_hung_up();
        }
        if readiness.writable && self.waits_for_room {
            self.waits_for_room = false;
            self.wire.set_room();
            self.wire.ask_for_room(&self.poller, false)?;
        }
        Ok(())
    }

    /// Takes what is on the wire. Tells whether that was the last of it.
    fn take_frames(&mut self) -> Result<bool, Error> {
        if !std::mem::take(&mut self.wire_readable) && !self.wire.claims_more() {
            return Ok(false);
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut guest_gone = false;
        for _ in 0..FRAMES_PER_ROUND {
            match self.wire.receive(&mut buffer)? {
                Received::Frame(range) => {
                    if range.start > 0 {
                        header::complete_datagram(&mut buffer[..range.end]);
                    }
                    self.take_frame(&buffer[..range.end], range.start);
                }
                Received::Oversized => self.counters.dropped_oversized += 1,
                Received::Reset => {}
                Received::Empty | Received::Nothing => break,
                Received::GuestGone => {
                    guest_gone = true;
                    break;
                }
            }
        }
        self.buffer = buffer;
        Ok(guest_gone)
    }

    /// Takes a frame that begins at `start`, behind its header.
    fn take_frame(&mut self, whole: &[u8], start: usize) {
        self.counters.frames += 1;
        let frame = &whole[start..];
        let reply = match frame::classify(frame, self.guest_mac) {
            Ok(Parcel::Stack) => {
                self.stack.receive(self.now, whole);
                None
            }
            Ok(Parcel::Dhcp { mac, message }) => self.lease(mac, message),
            Ok(Parcel::Dns { sender, query }) => {
                self.dns.ask(self.now, &self.poller, sender, query, self.counters)
            }
            Ok(Parcel::Datagram(datagram)) => {
                self.nat.send(self.now, &self.poller, &datagram, self.counters)
            }
            Err(refusal) => {
                self.count_refusal(refusal);
                None
            }
        };
        if let Some(frame) = reply {
            self.wire.queue(frame);
        }
    }

    fn lease(&mut self, mac: [u8; 6], message: &[u8]) -> Option<Vec<u8>> {
        let reply = self.dhcp.answer(mac, message)?;
        self.counters.dhcp_answers += 1;
        if reply.leases {
            // Nobody else is on the wire from now on, and nobody need ask where the guest is.
            self.guest_mac = Some(mac);
            self.stack.add_neighbour(GUEST.into(), mac);
        }
        Some(frame::datagram(
            reply.mac,
            frame::dhcp_server(),
            frame::dhcp_client(reply.address),
            &reply.message,
        ))
    }

    fn count_refusal(&mut self, refusal: Refusal) {
        let counter = match refusal {
            Refusal::Malformed => &mut self.counters.dropped_malformed,
            Refusal::Spoofed => &mut self.counters.dropped_spoofed,
            Refusal::NotForUs => &mut self.counters.dropped_not_for_us,
            Refusal::Fragment => &mut self.counters.dropped_fragments,
            Refusal::Unsupported => &mut self.counters.dropped_unsupported,
        };
        *counter += 1;
    }

    /// Gives everyone a turn.
    fn work(&mut self) -> Result<(), Error> {
        let mut cx = Context {
            now: self.now,
            stack: &mut self.stack,
            poller: &self.poller,
            counters: self.counters,
        };
        self.tcp.open_offers(&mut cx, self.dns.preferred());
        self.tcp.accept(&mut cx);
        self.tcp.run(&mut cx);
        self.nat.sweep(self.now);
        self.nat.run(self.now, &mut self.wire, self.counters)?;
        for frame in self.dns.sweep(self.now, &self.poller, self.counters) {
            self.wire.queue(frame);
        }
        self.stack.poll(self.now);
        // What the time has ended may be everybody's last chance to hear of it.
        self.tcp.note_touched(&mut self.stack);
        Ok(())
    }

    /// Sends until there is nothing left, or no room.
    fn send_frames(&mut self) -> Result<(), Error> {
        let mut sent = self.wire.send_queued()?;
        while sent == Sent::Done
            && let Some(frame) = self.stack.front_frame()
        {
            sent = self.wire.send_whole(frame)?;
            if sent == Sent::Done {
                self.stack.pop_frame();
            }
        }
        if self.wire.is_full() && !self.waits_for_room {
            self.waits_for_room = true;
            self.wire.ask_for_room(&self.poller, true)?;
        }
        self.wire.ring()
    }
}
