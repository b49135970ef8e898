//! One stack, and a peer played by the test: every number in its segments is the test's to choose.

use std::net::IpAddr;

use netstack::{Config, ConnectionId, Duration, Instant, Limits, ListenerId, Stack};

use smoltcp::wire::ArpOperation;

use crate::frames::arp;
use crate::packets::{ACK, Segment, TCP, frame, open};
use crate::sim::{address_of, mac_of};

pub const PORT: u16 = 80;
/// The options of a usual SYN: MSS 1460, SACK permitted, a window shift of 7.
pub const USUAL: &[u8] = &[2, 4, 5, 180, 1, 1, 4, 2, 1, 3, 3, 7];
/// None but the MSS.
pub const PLAIN: &[u8] = &[2, 4, 5, 180];

pub struct Peer {
    pub now: Instant,
    pub stack: Stack,
    pub listener: ListenerId,
    pub port: u16,
    /// Our next number, and the next that we expect.
    pub seq: u32,
    pub ack: u32,
    pub window: u16,
    /// Whether the stack's questions where the peer is are answered.
    pub is_there: bool,
    /// What the stack has sent and the test has not looked at.
    sent: Vec<Segment>,
}

impl Peer {
    /// A stack that listens, and knows where the peer is.
    pub fn new(limits: Limits) -> Self {
        let now = Instant::from_secs(1);
        let config = Config { limits, ..Config::new(mac_of(1), 1500, 77) };
        let mut stack = Stack::new(config, now).expect("the limits are sound");
        stack.set_ipv4(address_of(1), 24, None).unwrap();
        stack.add_neighbour(address_of(0).into(), mac_of(0));
        let listener = stack.listen(PORT, 16).unwrap();
        Self {
            now,
            stack,
            listener,
            port: 5000,
            seq: 1000,
            ack: 0,
            window: 60_000,
            is_there: true,
            sent: Vec::new(),
        }
    }

    /// An open connection: ours is a SYN with these options.
    pub fn open(limits: Limits, options: &[u8]) -> (Self, ConnectionId) {
        let mut peer = Self::new(limits);
        let id = peer.shake_hands(options);
        (peer, id)
    }

    pub fn shake_hands(&mut self, options: &[u8]) -> ConnectionId {
        let syn = crate::packets::SYN;
        let seq = self.seq.wrapping_sub(1);
        let window = self.window;
        self.give(&Segment {
            seq,
            flags: syn,
            window,
            options: options.to_vec(),
            ..Segment::default()
        });
        let answer = self.take().pop().expect("an answer to the SYN");
        assert_eq!((answer.flags, answer.ack), (syn | ACK, self.seq));
        self.ack = answer.seq.wrapping_add(1);
        self.acknowledge();
        self.stack.accept(self.listener).expect("it is established")
    }

    /// A segment of ours arrives.
    pub fn give(&mut self, segment: &Segment) {
        let ends = (IpAddr::V4(address_of(0)), IpAddr::V4(address_of(1)));
        let bytes = segment.emit(ends, (self.port, PORT));
        let frame = frame((mac_of(0), mac_of(1)), ends, TCP, &bytes);
        self.stack.receive(self.now, &frame);
        self.work();
    }

    /// The usual segment at our number, which moves on.
    pub fn segment(&self) -> Segment {
        Segment {
            seq: self.seq,
            ack: self.ack,
            flags: ACK,
            window: self.window,
            ..Segment::default()
        }
    }

    pub fn acknowledge(&mut self) {
        self.give(&self.segment());
    }

    /// Acknowledges so much, with these options.
    pub fn acknowledge_with(&mut self, options: Vec<u8>) {
        self.give(&Segment { options, ..self.segment() });
    }

    pub fn data(&mut self, payload: &[u8]) {
        self.give(&Segment { payload: payload.to_vec(), ..self.segment() });
        self.seq = self.seq.wrapping_add(payload.len() as u32);
    }

    /// The stack works, and what it sends is collected.
    pub fn work(&mut self) {
        for round in 0.. {
            assert!(round < 1000, "the stack sends without end");
            self.stack.poll(self.now);
            if self.stack.front_frame().is_none() {
                break;
            }
            while let Some(frame) = self.stack.front_frame() {
                let is_question = self.is_there && frame[12..14] == [8, 6];
                if let Some((_, TCP, payload)) = open(frame) {
                    let (segment, ports) = Segment::parse(payload);
                    assert!(ports == (PORT, self.port) || ports.1 == PORT, "{ports:?}");
                    self.sent.push(segment);
                }
                self.stack.pop_frame();
                if is_question {
                    self.stack.receive(self.now, &arp(ArpOperation::Reply, 0, mac_of(0)));
                }
            }
        }
    }

    /// Time passes. The stack runs whenever it wants to, and not without end.
    pub fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        let mut turns = 0;
        while let Some(next) = self.stack.deadline(self.now).filter(|next| *next <= end) {
            turns = if next > self.now { 0 } else { turns + 1 };
            assert!(turns < 100, "the deadline does not move");
            self.now = self.now.max(next);
            self.work();
        }
        self.now = end;
    }

    /// What the stack has sent since the last time.
    pub fn take(&mut self) -> Vec<Segment> {
        self.work();
        std::mem::take(&mut self.sent)
    }

    /// Data that the stack has sent since the last time, in order of sequence numbers, without gaps
    /// from `ack` on, which moves on; the segments may overlap.
    pub fn collect(&mut self) -> Vec<u8> {
        let mut data = Vec::new();
        let mut segments = self.take();
        segments.sort_by_key(|segment| segment.seq.wrapping_sub(self.ack) as i32);
        for segment in segments {
            let known = self.ack.wrapping_sub(segment.seq) as usize;
            if let Some(fresh) = segment.payload.get(known..) {
                data.extend(fresh);
                self.ack = self.ack.wrapping_add(fresh.len() as u32);
            }
        }
        data
    }
}

/// A SACK option with two bytes of padding before it.
pub fn sack(blocks: &[(u32, u32)]) -> Vec<u8> {
    let mut option = vec![1, 1, 5, 2 + 8 * blocks.len() as u8];
    for (start, end) in blocks {
        option.extend(start.to_be_bytes());
        option.extend(end.to_be_bytes());
    }
    option
}

/// A timestamp option with two bytes of padding before it.
pub fn timestamps(value: u32, echo: u32) -> Vec<u8> {
    let mut option = vec![1, 1, 8, 10];
    option.extend(value.to_be_bytes());
    option.extend(echo.to_be_bytes());
    option
}
