//! The client against servers that are good, absent, absurd or hostile.

use core::net::Ipv4Addr;
use std::vec::Vec;

use proptest::prelude::*;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress};

use super::client::{Client, Event, Step};
use super::lease::Lease;
use super::message::MESSAGE_BYTES;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const OTHER_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const GIVEN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 77);
const MASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);

/// What the client sent, read by somebody else's parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sent {
    kind: DhcpMessageType,
    xid: u32,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    own: Ipv4Addr,
    requested: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
}

struct World {
    client: Client,
    now: Instant,
}

impl World {
    fn new(seed: u64) -> Self {
        let now = Instant::from_secs(100);
        Self { client: Client::new(MAC, seed, now), now }
    }

    fn poll(&mut self) -> Option<Step> {
        self.client.poll(self.now, &mut [0; MESSAGE_BYTES])
    }

    /// What is sent now.
    fn sent(&mut self) -> Option<Sent> {
        let mut buffer = [0xee; 1000];
        let Some(Step::Send(out)) = self.client.poll(self.now, &mut buffer) else { return None };
        let packet = DhcpPacket::new_checked(&buffer[..out.bytes]).unwrap();
        let repr = DhcpRepr::parse(&packet).unwrap();
        assert_eq!(repr.client_hardware_address, EthernetAddress(MAC));
        Some(Sent {
            kind: repr.message_type,
            xid: repr.transaction_id,
            source: out.source,
            destination: out.destination,
            own: repr.client_ip,
            requested: repr.requested_ip,
            server: repr.server_identifier,
        })
    }

    /// Waits for the deadline, and returns how long that was.
    fn wait(&mut self) -> Duration {
        let deadline = self.client.deadline().unwrap();
        assert!(deadline >= self.now, "nothing is overdue");
        let waited = deadline - self.now;
        self.now = deadline;
        waited
    }

    fn receive(&mut self, answer: &Answer) -> Option<Event> {
        self.client.receive(self.now, &answer.bytes())
    }

    /// Through offer and acknowledgement.
    fn lease(&mut self, answer: &Answer) -> Option<Event> {
        let xid = self.sent().unwrap().xid;
        assert_eq!(self.receive(&Answer { kind: OFFER, xid, ..answer.clone() }), None);
        assert_eq!(self.sent().unwrap().kind, DhcpMessageType::Request);
        self.receive(&Answer { kind: ACK, xid, ..answer.clone() })
    }
}

const OFFER: DhcpMessageType = DhcpMessageType::Offer;
const ACK: DhcpMessageType = DhcpMessageType::Ack;
const NAK: DhcpMessageType = DhcpMessageType::Nak;

#[derive(Clone, Debug)]
struct Answer {
    kind: DhcpMessageType,
    xid: u32,
    server: Ipv4Addr,
    given: Ipv4Addr,
    mask: Ipv4Addr,
    seconds: u32,
    others: Vec<(u8, Vec<u8>)>,
}

impl Answer {
    fn new(kind: DhcpMessageType, xid: u32) -> Self {
        let others = Vec::from([(3, ROUTER.octets().to_vec())]);
        Self { kind, xid, server: SERVER, given: GIVEN, mask: MASK, seconds: 600, others }
    }

    fn with(mut self, kind: u8, data: &[u8]) -> Self {
        self.others.push((kind, data.to_vec()));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let options: Vec<_> =
            self.others.iter().map(|(kind, data)| DhcpOption { kind: *kind, data }).collect();
        let repr = DhcpRepr {
            message_type: self.kind,
            transaction_id: self.xid,
            secs: 0,
            client_hardware_address: EthernetAddress(MAC),
            client_ip: Ipv4Addr::UNSPECIFIED,
            your_ip: self.given,
            server_ip: Ipv4Addr::UNSPECIFIED,
            router: None,
            subnet_mask: Some(self.mask),
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: false,
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(self.server),
            parameter_request_list: None,
            dns_servers: None,
            max_size: None,
            lease_duration: Some(self.seconds),
            renew_duration: None,
            rebind_duration: None,
            additional_options: &options,
        };
        let mut bytes = std::vec![0; repr.buffer_len()];
        repr.emit(&mut DhcpPacket::new_unchecked(&mut bytes[..])).unwrap();
        bytes
    }
}

fn expected() -> Lease {
    Lease {
        address: GIVEN,
        prefix_len: 24,
        router: Some(ROUTER),
        dns: [].into_iter().collect(),
        mtu: None,
    }
}

#[test]
fn gets_an_address() {
    let mut world = World::new(1);
    let discover = world.sent().unwrap();
    assert_eq!(discover.kind, DhcpMessageType::Discover);
    assert_eq!(discover.destination, Ipv4Addr::BROADCAST);
    assert_eq!(discover.source, Ipv4Addr::UNSPECIFIED);
    assert_eq!(world.sent(), None);
    assert_eq!(world.receive(&Answer::new(OFFER, discover.xid)), None);
    let request = world.sent().unwrap();
    assert_eq!(request.kind, DhcpMessageType::Request);
    assert_eq!((request.requested, request.server), (Some(GIVEN), Some(SERVER)));
    assert_eq!((request.own, request.xid), (Ipv4Addr::UNSPECIFIED, discover.xid));
    assert_eq!(request.destination, Ipv4Addr::BROADCAST);
    assert_eq!(world.client.lease(), None);
    let event = world.receive(&Answer::new(ACK, discover.xid));
    assert_eq!(event, Some(Event::Configured(expected())));
    assert_eq!(world.client.lease(), Some(&expected()));
    assert_eq!(world.poll(), None);
    assert_eq!(world.client.deadline(), Some(world.now + Duration::from_secs(300)));
}

#[test]
fn asks_again_soon_and_then_ever_less_often() {
    for seed in 0..50 {
        let mut world = World::new(seed);
        let first = world.sent().unwrap();
        let mut waits = Vec::new();
        for _ in 0..9 {
            waits.push(world.wait().total_millis());
            assert_eq!(world.sent(), Some(first), "the same transaction: an answer may come late");
        }
        assert!((1000..2000).contains(&waits[0]), "{waits:?}");
        for (wait, seconds) in waits[1..].iter().zip([4, 8, 16, 32, 64, 64, 64, 64]) {
            assert!((seconds * 1000 - 1000..seconds * 1000 + 1000).contains(wait), "{waits:?}");
        }
    }
}

#[test]
fn renews_rebinds_and_expires() {
    let mut world = World::new(1);
    world.lease(&Answer::new(ACK, 0)).unwrap();
    let bound_at = world.now;
    let (mut kinds, mut last) = (Vec::new(), None);
    loop {
        world.wait();
        let at = (world.now - bound_at).secs();
        let Some(sent) = world.sent() else { break };
        assert_eq!((sent.kind, sent.own, sent.source), (DhcpMessageType::Request, GIVEN, GIVEN));
        assert_eq!((sent.requested, sent.server), (None, None), "RFC 2131, 4.3.6");
        assert!(last.is_none_or(|last| last == sent.xid));
        last = Some(sent.xid);
        kinds.push((at, sent.destination == SERVER));
        assert!(sent.destination == SERVER || sent.destination == Ipv4Addr::BROADCAST);
    }
    assert_eq!(kinds[0], (300, true));
    assert!(kinds.contains(&(525, false)), "{kinds:?}");
    assert!(kinds.iter().all(|(at, to_server)| *to_server == (*at < 525)), "{kinds:?}");
    assert!(kinds.len() < 12, "{kinds:?}");
    assert_eq!((world.now - bound_at).secs(), 600);
    assert_eq!(world.client.lease(), None, "the step was the end of the lease");
    assert_eq!(world.sent().unwrap().kind, DhcpMessageType::Discover);
}

#[test]
fn a_lease_that_ends_is_told_once() {
    let mut world = World::new(1);
    world.lease(&Answer::new(ACK, 0)).unwrap();
    world.now += Duration::from_secs(600);
    assert_eq!(world.poll(), Some(Step::Deconfigured));
    assert!(matches!(world.poll(), Some(Step::Send(_))));
    assert_eq!(world.poll(), None);
}

#[test]
fn a_renewal_extends_the_lease_and_tells_what_is_new() {
    let mut world = World::new(1);
    world.lease(&Answer::new(ACK, 0)).unwrap();
    world.wait();
    let xid = world.sent().unwrap().xid;
    assert_eq!(world.receive(&Answer { server: OTHER_SERVER, ..Answer::new(ACK, xid) }), None);
    assert_eq!(world.receive(&Answer { server: OTHER_SERVER, ..Answer::new(NAK, xid) }), None);
    assert_eq!(world.receive(&Answer::new(ACK, xid)), None, "nothing is new");
    assert_eq!(world.wait(), Duration::from_secs(300));
    let xid = world.sent().unwrap().xid;
    let event = world.receive(&Answer::new(ACK, xid).with(26, &1400_u16.to_be_bytes()));
    assert_eq!(event, Some(Event::Configured(Lease { mtu: Some(1400), ..expected() })));
    // While nothing is asked nothing is heard.
    assert_eq!(world.receive(&Answer::new(NAK, xid)), None);
    // When time is short any server will do.
    world.now += Duration::from_secs(530);
    let xid = world.sent().unwrap().xid;
    assert_eq!(world.receive(&Answer { server: OTHER_SERVER, ..Answer::new(ACK, xid) }), {
        Some(Event::Configured(expected()))
    });
}

#[test]
fn a_refusal_ends_the_lease() {
    let mut world = World::new(1);
    world.lease(&Answer::new(ACK, 0)).unwrap();
    world.wait();
    let xid = world.sent().unwrap().xid;
    assert_eq!(world.receive(&Answer::new(NAK, xid)), Some(Event::Deconfigured));
    assert_eq!(world.client.lease(), None);
    let again = world.sent().unwrap();
    assert_eq!(again.kind, DhcpMessageType::Discover);
    assert_ne!(again.xid, xid);
}

#[test]
fn a_server_that_refuses_what_it_offers_is_asked_ever_less_often() {
    let mut world = World::new(1);
    let mut messages = 0;
    while world.now < Instant::from_secs(1100) {
        world.now = world.client.deadline().unwrap().max(world.now);
        let Some(sent) = world.sent() else { continue };
        messages += 1;
        let kind = if sent.kind == DhcpMessageType::Discover { OFFER } else { NAK };
        assert_eq!(world.receive(&Answer::new(kind, sent.xid)), None);
    }
    assert!(messages < 50, "{messages} in 1000 s");
}

#[test]
fn takes_the_first_good_offer_and_looks_for_another_if_it_fails() {
    let mut world = World::new(1);
    let xid = world.sent().unwrap().xid;
    let bad = Answer { given: Ipv4Addr::new(127, 0, 0, 1), ..Answer::new(OFFER, xid) };
    world.receive(&bad);
    assert_eq!(world.sent(), None);
    world.receive(&Answer::new(OFFER, xid));
    let late = Answer { server: OTHER_SERVER, given: Ipv4Addr::new(10, 0, 0, 88), ..bad };
    world.receive(&late);
    for _ in 0..4 {
        assert_eq!(world.sent().unwrap().server, Some(SERVER));
        // Neither a stranger's acknowledgement nor one of another address counts.
        assert_eq!(world.receive(&Answer { kind: ACK, ..late.clone() }), None);
        assert_eq!(world.receive(&Answer { given: late.given, ..Answer::new(ACK, xid) }), None);
        assert_eq!(world.receive(&Answer { server: OTHER_SERVER, ..Answer::new(NAK, xid) }), None);
        world.wait();
    }
    let again = world.sent().unwrap();
    assert_eq!(again.kind, DhcpMessageType::Discover);
    assert_ne!(again.xid, xid);
}

#[test]
fn absurd_leases_are_refused() {
    let refused = [
        Answer { given: Ipv4Addr::UNSPECIFIED, ..Answer::new(ACK, 0) },
        Answer { given: Ipv4Addr::new(10, 0, 0, 255), ..Answer::new(ACK, 0) },
        Answer { given: Ipv4Addr::new(10, 0, 0, 0), ..Answer::new(ACK, 0) },
        Answer { given: Ipv4Addr::new(127, 0, 0, 9), ..Answer::new(ACK, 0) },
        Answer { given: Ipv4Addr::new(224, 0, 0, 9), ..Answer::new(ACK, 0) },
        Answer { given: Ipv4Addr::BROADCAST, ..Answer::new(ACK, 0) },
        Answer { mask: Ipv4Addr::UNSPECIFIED, ..Answer::new(ACK, 0) },
        Answer { mask: Ipv4Addr::new(255, 0, 255, 0), ..Answer::new(ACK, 0) },
        Answer { seconds: 0, ..Answer::new(ACK, 0) },
        Answer { server: Ipv4Addr::UNSPECIFIED, ..Answer::new(ACK, 0) },
        Answer { server: Ipv4Addr::BROADCAST, ..Answer::new(ACK, 0) },
    ];
    for answer in refused {
        let mut world = World::new(1);
        let xid = world.sent().unwrap().xid;
        world.receive(&Answer { kind: OFFER, xid, ..answer.clone() });
        assert_eq!(world.sent(), None, "{answer:?}");
        world.receive(&Answer::new(OFFER, xid));
        world.sent().unwrap();
        assert_eq!(world.receive(&Answer { xid, ..answer.clone() }), None, "{answer:?}");
        assert_eq!(world.client.lease(), None);
    }
}

#[test]
fn what_is_useless_in_a_lease_is_left_out() {
    let off_link = [192, 168, 0, 1];
    let mut answer = Answer::new(ACK, 0)
        .with(6, &[127, 0, 0, 1, 9, 9, 9, 9, 0, 0, 0, 0, 10, 0, 0, 1, 8, 8, 8, 8, 8, 8, 4, 4, 7])
        .with(26, &68_u16.to_be_bytes());
    answer.others[0] = (3, [off_link, GIVEN.octets(), ROUTER.octets()].concat());
    let Some(Event::Configured(lease)) = World::new(1).lease(&answer) else { panic!() };
    assert_eq!(lease.router, Some(ROUTER), "the first that is on the wire");
    let dns = [[9, 9, 9, 9], [10, 0, 0, 1], [8, 8, 8, 8]].map(Ipv4Addr::from);
    assert_eq!((&lease.dns[..], lease.mtu), (&dns[..], None));
    answer.others = Vec::from([(3, off_link.to_vec()), (26, Vec::from([1]))]);
    let Some(Event::Configured(lease)) = World::new(1).lease(&answer) else { panic!() };
    assert_eq!((lease.router, lease.dns.len(), lease.mtu), (None, 0, None));
}

#[test]
fn renewal_times_out_of_order_are_replaced() {
    let times = |renew: Option<u32>, rebind: Option<u32>| {
        let mut answer = Answer::new(ACK, 0);
        let options = [(58, renew), (59, rebind)];
        for (kind, value) in options.iter().filter_map(|(kind, value)| Some((*kind, (*value)?))) {
            answer = answer.with(kind, &value.to_be_bytes());
        }
        let mut world = World::new(1);
        world.lease(&answer).unwrap();
        let bound_at = world.now;
        let renew_s = world.wait().secs();
        while world.sent().unwrap().destination == SERVER {
            world.wait();
        }
        (renew_s, (world.now - bound_at).secs())
    };
    assert_eq!(times(None, None), (300, 525));
    assert_eq!(times(Some(100), Some(200)), (100, 200));
    assert_eq!(times(Some(200), Some(100)), (300, 525));
    assert_eq!(times(Some(0), Some(0)), (300, 525));
    assert_eq!(times(Some(700), None), (300, 525));
    assert_eq!(times(Some(400), None), (400, 550));
    assert_eq!(times(None, Some(200)), (150, 200));
}

#[test]
fn a_lease_may_last_for_ever() {
    let mut world = World::new(1);
    world.lease(&Answer { seconds: u32::MAX, ..Answer::new(ACK, 0) }).unwrap();
    assert_eq!(world.client.deadline(), None);
    world.now += Duration::from_secs(1 << 40);
    assert_eq!(world.poll(), None);
    assert_eq!(world.client.lease(), Some(&expected()));
}

#[test]
fn messages_for_others_are_not_heard() {
    let mut world = World::new(1);
    let xid = world.sent().unwrap().xid;
    let good = Answer::new(OFFER, xid).bytes();
    for (place, name) in [(0, "op"), (1, "htype"), (2, "hlen"), (4, "xid"), (33, "mac"), (236, "")]
    {
        let mut bytes = good.clone();
        bytes[place] ^= 1;
        world.client.receive(world.now, &bytes);
        assert_eq!(world.sent(), None, "{name}");
    }
    world.client.receive(world.now, &good);
    assert!(world.sent().is_some());
}

#[test]
fn a_buffer_that_is_too_small_loses_the_message_only() {
    let mut world = World::new(1);
    assert_eq!(world.client.poll(world.now, &mut [0; MESSAGE_BYTES - 1]), None);
    assert!(world.client.deadline().unwrap() > world.now);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_do_no_harm(
        bytes in prop::collection::vec(any::<u8>(), 0..700),
        options in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut world = World::new(1);
        let xid = world.sent().unwrap().xid;
        world.client.receive(world.now, &bytes);
        let mut answer = Answer::new(OFFER, xid).bytes();
        answer.truncate(240);
        answer.extend(&options);
        world.client.receive(world.now, &answer);
        answer.splice(240..240, [53, 1, 2, 54, 4, 10, 0, 0, 2, 1, 4, 255, 255, 255, 0]);
        world.client.receive(world.now, &answer);
        answer[242] = 5;
        world.client.receive(world.now, &answer);
    }

    /// Whatever servers say: never more than a few messages a second, every wait ends, and the
    /// lease is one that a host can have.
    #[test]
    fn any_sequence_is_survived(
        seed: u64,
        steps in prop::collection::vec(
            (0_u8..8, 1_u32..5, any::<bool>(), prop::option::of(0_u32..100), 0_u64..20), 0..300),
    ) {
        let mut world = World::new(seed);
        let (mut xid, mut sent, started_at) = (0, 0, world.now);
        for (kind, seconds, is_other, renew, wait) in steps {
            world.now += Duration::from_millis(wait * wait * 10);
            let mut answer = Answer {
                server: if is_other { OTHER_SERVER } else { SERVER },
                seconds: if kind == 7 { u32::MAX } else { seconds * seconds },
                ..Answer::new([OFFER, ACK, NAK][usize::from(kind) % 3], xid)
            };
            if let Some(renew) = renew {
                answer = answer.with(58, &renew.to_be_bytes());
            }
            world.receive(&answer);
            for _ in 0..10 {
                match world.client.poll(world.now, &mut [0; MESSAGE_BYTES]) {
                    Some(Step::Send(_)) => sent += 1,
                    Some(Step::Deconfigured) => prop_assert_eq!(world.client.lease(), None),
                    None => break,
                }
            }
            xid = world.client.xid();
            prop_assert_eq!(world.poll(), None);
            let deadline = world.client.deadline();
            prop_assert!(deadline.is_none_or(|at| at > world.now));
            prop_assert!(deadline.is_some() || world.client.lease().is_some());
        }
        prop_assert!(sent <= 10 + 8 * (world.now - started_at).secs(), "{sent} messages");
    }
}
