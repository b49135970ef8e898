//! A gateway with a hostile guest, on a wire and with hosts that this program plays. An input is a
//! configuration and a list of steps: frames as they come or built right and then changed, segments
//! that continue a connection, time that goes by, what hosts and clients do. The gateway must not
//! panic, run without rest or hold more than its limits; each frame that it sends must be right.
//!
//! Nothing leaves the host: every way into its network leads to a socket of this program on the
//! loopback interface, and so do the resolvers.

mod frames;
mod guest;
mod hosts;
mod seeds;
mod steps;

use std::os::fd::OwnedFd;
use std::time::Duration;

use gateway::fuzzing::Steps;
use gateway::{Config, Counters};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};

use crate::{Target, Verdict};
use guest::Guest;
use hosts::Hosts;
use steps::{Step, Steps as Program};

/// This target.
pub const TARGET: Target =
    Target { name: "gateway", run, seeds: seeds::seeds, words: seeds::words, inputs: 500 };

/// Steps of an input that count.
const STEPS_MAX: usize = 200;
/// Times that one step is repeated.
const REPEATS_MAX: usize = 300;
const SMALL_WIRE_BYTES: usize = 4096;
/// How often a gateway is served until it must have seen that its guest is gone.
const LAST_WORDS_MAX: usize = 100;

/// What the first byte of an input says about the gateway, a bit each.
mod setting {
    pub(super) const GUEST_MAC: u8 = 1 << 0;
    pub(super) const SMALL_WIRE: u8 = 1 << 1;
    pub(super) const SMALL_MTU: u8 = 1 << 2;
    pub(super) const HOSTS_REFUSE: u8 = 1 << 3;
    pub(super) const IMPATIENT: u8 = 1 << 4;
    pub(super) const HOST_LOOPBACK: u8 = 1 << 5;
    pub(super) const FEW_CONNECTIONS: u8 = 1 << 6;
    pub(super) const DEAD_RESOLVER_FIRST: u8 = 1 << 7;
}

/// Serves a guest that does what the bytes say.
///
/// # Panics
/// If something does not hold that must.
pub fn run(data: &[u8]) -> Verdict {
    let (settings, program) = data.split_first().map_or((0, data), |(first, rest)| (*first, rest));
    let hosts = Hosts::new();
    let (guest, wire) = wire(settings);
    let config = config(settings, &hosts);
    let (mac, mtu) = (config.guest_mac, config.mtu);
    let instead = if settings & setting::HOSTS_REFUSE != 0 { hosts.closed() } else { hosts.open() };
    let mut counters = Counters::default();
    let gateway = Steps::new(config, wire, instead, &mut counters).expect("a gateway");
    let mut run = Run { gateway, guest: Guest::new(guest, mac, mtu), hosts, is_deaf: false };
    for step in Program::of(program).take(STEPS_MAX) {
        run.step(&step);
    }
    run.end();
    verdict(&counters)
}

fn wire(settings: u8) -> (OwnedFd, OwnedFd) {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let (guest, wire) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).expect("a wire");
    if settings & setting::SMALL_WIRE != 0 {
        setsockopt(&wire, sockopt::SndBuf, &SMALL_WIRE_BYTES).expect("a small wire");
    }
    (guest, wire)
}

fn config(settings: u8, hosts: &Hosts) -> Config {
    let is_set = |setting| settings & setting != 0;
    let dns = match is_set(setting::DEAD_RESOLVER_FIRST) {
        true => vec![hosts.closed(), hosts.open()],
        false => vec![hosts.open()],
    };
    Config {
        publish: vec!["127.0.0.1:0:80".parse().expect("a port to publish")],
        guest_mac: is_set(setting::GUEST_MAC).then_some(frames::GUEST_MAC),
        mtu: if is_set(setting::SMALL_MTU) { 576 } else { 1500 },
        dns,
        allow_host_loopback: is_set(setting::HOST_LOOPBACK),
        startup: if is_set(setting::IMPATIENT) { Duration::ZERO } else { Duration::from_secs(10) },
        connections_max: if is_set(setting::FEW_CONNECTIONS) { 3 } else { 40 },
    }
}

/// Whether anything came through.
fn verdict(counters: &Counters) -> Verdict {
    let dropped = counters.dropped_malformed
        + counters.dropped_spoofed
        + counters.dropped_not_for_us
        + counters.dropped_fragments
        + counters.dropped_unsupported;
    if counters.frames > dropped { Verdict::Accepted } else { Verdict::Refused }
}

struct Run<'a> {
    gateway: Steps<'a>,
    guest: Guest,
    hosts: Hosts,
    is_deaf: bool,
}

impl Run<'_> {
    fn step(&mut self, step: &Step<'_>) {
        match *step {
            Step::Raw { repair, frame } => self.guest.send(frame.to_vec(), repair),
            Step::Built { kind, repair, changes } => self.guest.send_built(kind, repair, changes),
            Step::Segment(ref segment) => {
                for number in 0..usize::from(segment.repeats).min(REPEATS_MAX) + 1 {
                    self.guest.send_segment(segment, number);
                    self.pass_many(number);
                }
            }
            Step::Datagram { port, repeats, to, payload } => {
                for number in 0..u16::from(repeats) + 1 {
                    self.guest.send_datagram(u16::from(port) + number, to, payload);
                    self.pass_many(usize::from(number));
                }
            }
            Step::Time { millis } => self.gateway.advance(Duration::from_millis(millis)),
            Step::Deaf => self.is_deaf = !self.is_deaf,
            Step::Stream { which, action } => self.hosts.act(which, action),
            Step::Answer { which, is_dns, payload } => self.hosts.answer(which, is_dns, payload),
            Step::Client { action } => {
                self.hosts.be_client(self.gateway.published()[0].host, action)
            }
        }
        self.pass();
    }

    /// The wire holds a bounded number of frames.
    fn pass_many(&mut self, number: usize) {
        if number % 32 == 31 {
            self.pass();
        }
    }

    /// Lets everybody do what follows.
    fn pass(&mut self) {
        assert!(self.gateway.settle().expect("the wire is sound"), "the guest is still there");
        self.hosts.take();
        if !self.is_deaf {
            self.guest.receive();
        }
    }

    fn end(self) {
        let Self { mut gateway, guest, .. } = self;
        drop(guest);
        let is_gone = (0..LAST_WORDS_MAX).any(|_| !gateway.settle().expect("the wire is sound"));
        assert!(is_gone, "the gateway does not see that its guest is gone");
        gateway.close();
    }
}
