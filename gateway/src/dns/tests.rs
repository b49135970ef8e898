//! Tests of `dns`: golden bytes, refusals, and arbitrary bytes.

use std::time::Duration as StdDuration;

use proptest::prelude::*;
use smoltcp::wire::{EthernetFrame, Ipv4Packet, UdpPacket};

use super::*;

const SENDER: Sender = Sender { mac: [2, 0, 0, 0, 0, 1], port: 5353 };
/// Recursion desired, one question: the root's NS records.
const QUERY: &[u8] = &[0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];

struct Bench {
    forwarder: Forwarder,
    poller: Poller,
    counters: Counters,
}

impl Bench {
    fn new(resolvers: Vec<SocketAddr>) -> Self {
        Self {
            forwarder: Forwarder::new(resolvers, 1500),
            poller: Poller::new().unwrap(),
            counters: Counters::default(),
        }
    }

    fn ask(&mut self, query: &[u8]) -> Option<Vec<u8>> {
        self.forwarder.ask(Instant::ZERO, &self.poller, SENDER, query, &mut self.counters)
    }

    /// Serves events until a frame for the guest comes of it.
    fn answer(&mut self) -> Vec<u8> {
        for _ in 0..20 {
            let count = self.poller.wait(Some(StdDuration::from_secs(10))).unwrap();
            assert!(count > 0, "no event");
            for number in 0..count {
                let (Source::Dns(key), _) = self.poller.event(number) else {
                    panic!("an event of somebody else");
                };
                let answer =
                    self.forwarder.note(Instant::ZERO, &self.poller, key, &mut self.counters);
                if let Some(frame) = answer {
                    return frame;
                }
            }
        }
        panic!("no answer");
    }
}

fn resolver() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(StdDuration::from_secs(10))).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn receive(resolver: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 512];
    let (bytes, from) = resolver.recv_from(&mut buffer).unwrap();
    (buffer[..bytes].to_vec(), from)
}

/// The message in a frame to the guest.
fn message(frame: &[u8]) -> Vec<u8> {
    let ethernet = EthernetFrame::new_checked(frame).unwrap();
    let ip = Ipv4Packet::new_checked(ethernet.payload()).unwrap();
    let udp = UdpPacket::new_checked(ip.payload()).unwrap();
    assert_eq!((ip.src_addr(), udp.src_port()), (DNS, DNS_PORT));
    assert_eq!(udp.dst_port(), SENDER.port);
    udp.payload().to_vec()
}

fn assert_failure(frame: &[u8]) {
    let message = message(frame);
    assert_eq!(message[..4], [0x12, 0x34, 0x81, 0x82]);
    assert_eq!(message[4..], QUERY[4..]);
}

#[test]
fn a_question_goes_out_under_another_name_and_the_answer_comes_back() {
    let (server, address) = resolver();
    let mut bench = Bench::new(vec![address]);
    assert_eq!(bench.ask(QUERY), None);
    let (question, from) = receive(&server);
    assert_eq!(question[2..], QUERY[2..]);

    let mut false_id = question.clone();
    false_id[0] ^= 1;
    false_id[2] |= 0x80;
    server.send_to(&false_id, from).unwrap();
    let mut answer = question;
    answer[2] |= 0x80;
    answer.extend(b"data");
    server.send_to(&answer, from).unwrap();

    let message = message(&bench.answer());
    assert_eq!(message[..4], [0x12, 0x34, 0x81, 0x00]);
    assert!(message.ends_with(b"data"));
    assert_eq!(bench.forwarder.deadline(), None);
}

#[test]
fn ids_and_ports_differ_from_question_to_question() {
    let (server, address) = resolver();
    let mut bench = Bench::new(vec![address]);
    let seen: std::collections::HashSet<_> = (0..8)
        .map(|_| {
            bench.ask(QUERY);
            let (question, from) = receive(&server);
            (id_of(&question), from.port())
        })
        .collect();
    assert_eq!(seen.len(), 8);
}

#[test]
fn an_answer_that_is_too_large_is_asked_for_by_tcp() {
    let (server, address) = resolver();
    let mut bench = Bench::new(vec![address]);
    bench.ask(QUERY);
    let (mut answer, from) = receive(&server);
    answer[2] |= 0x80;
    answer.resize(1473, 0);
    server.send_to(&answer, from).unwrap();
    let message = message(&bench.answer());
    assert_eq!(message[..4], [0x12, 0x34, 0x83, 0x80], "truncated");
    assert_eq!(message.len(), QUERY.len());
}

#[test]
fn a_resolver_that_refuses_is_followed_by_the_next() {
    let (refusing, closed_address) = resolver();
    drop(refusing);
    let (server, address) = resolver();
    let mut bench = Bench::new(vec![closed_address, address]);
    bench.ask(QUERY);
    let count = bench.poller.wait(Some(StdDuration::from_secs(10))).unwrap();
    assert_eq!(count, 1, "the refusal");
    let (Source::Dns(key), _) = bench.poller.event(0) else {
        panic!("an event of somebody else");
    };
    assert_eq!(bench.forwarder.note(Instant::ZERO, &bench.poller, key, &mut bench.counters), None);
    let (mut answer, from) = receive(&server);
    answer[2] |= 0x80;
    server.send_to(&answer, from).unwrap();
    bench.answer();
    assert_eq!(bench.forwarder.preferred(), Some(address));
}

#[test]
fn silence_is_a_failure_in_the_end() {
    let (_server, address) = resolver();
    let mut bench = Bench::new(vec![address]);
    bench.ask(QUERY);
    let mut now = Instant::ZERO;
    let mut answers = Vec::new();
    for _ in 0..ROUNDS {
        assert!(answers.is_empty());
        assert_eq!(bench.forwarder.deadline(), Some(now + PATIENCE));
        now += PATIENCE;
        answers = bench.forwarder.sweep(now, &bench.poller, &mut bench.counters);
    }
    assert_eq!(answers.len(), 1);
    assert_failure(&answers[0]);
    assert_eq!((bench.counters.dns_questions, bench.counters.dns_failures), (1, 1));
}

#[test]
fn without_resolvers_and_beyond_the_limit_there_is_failure_at_once() {
    let mut bench = Bench::new(Vec::new());
    assert_failure(&bench.ask(QUERY).unwrap());
    let (_server, address) = resolver();
    let mut bench = Bench::new(vec![address]);
    for _ in 0..QUESTIONS_MAX {
        assert_eq!(bench.ask(QUERY), None);
    }
    assert_failure(&bench.ask(QUERY).unwrap());
}

#[test]
fn what_is_no_question_is_not_answered() {
    let mut bench = Bench::new(Vec::new());
    assert_eq!(bench.ask(&QUERY[..11]), None);
    let mut response = QUERY.to_vec();
    response[2] |= 0x80;
    assert_eq!(bench.ask(&response), None);
}

proptest! {
    #[test]
    fn any_bytes_are_a_question_or_not(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut bench = Bench::new(Vec::new());
        if let Some(frame) = bench.ask(&bytes) {
            prop_assert_eq!(id_of(&message(&frame)), id_of(&bytes));
        }
        let _ = is_answer(&bytes, QUERY);
    }
}
