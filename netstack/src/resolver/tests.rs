//! A resolver against servers that answer, fail, are silent, or are somebody else.

use core::net::{IpAddr, SocketAddr};
use core::task::Waker;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;
use std::vec::Vec;

use proptest::prelude::*;
use smoltcp::time::{Duration, Instant};

use super::*;

const SERVER: &str = "9.9.9.9";
const OTHER_SERVER: &str = "2620:fe::fe";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A datagram that was sent.
#[derive(Clone, Debug)]
struct Sent {
    server: IpAddr,
    local_port: u16,
    message: Vec<u8>,
}

impl Sent {
    fn id(&self) -> u16 {
        u16::from_be_bytes([self.message[0], self.message[1]])
    }

    fn from(&self) -> SocketAddr {
        SocketAddr::new(self.server, DNS_PORT)
    }
}

/// An answer, record by record.
#[derive(Clone, Debug)]
struct Message(Vec<u8>);

impl Message {
    fn to(sent: &Sent) -> Self {
        let mut message = sent.message.clone();
        message[2] |= 0x80;
        message[3] |= 0x80;
        Self(message)
    }

    fn rcode(mut self, code: u8) -> Self {
        self.0[3] |= code;
        self
    }

    /// The owner is as on the wire; 0xc00c points to the question.
    fn record(mut self, section: usize, owner: &[u8], kind: u8, ttl: u32, data: &[u8]) -> Self {
        self.0[7 + 2 * section] += 1;
        self.0.extend(owner);
        self.0.extend([0, kind, 0, 1]);
        self.0.extend(ttl.to_be_bytes());
        self.0.extend((data.len() as u16).to_be_bytes());
        self.0.extend(data);
        self
    }

    fn a(self, owner: &[u8], ttl: u32, address: [u8; 4]) -> Self {
        self.record(0, owner, 1, ttl, &address)
    }

    fn cname(self, owner: &[u8], ttl: u32, to: &[u8]) -> Self {
        self.record(0, owner, 5, ttl, to)
    }

    fn soa(self, ttl: u32, minimum: u32) -> Self {
        let mut data = Vec::from([0; 18]);
        data.extend(minimum.to_be_bytes());
        self.record(1, QUESTION, 6, ttl, &data)
    }
}

const QUESTION: &[u8] = &[0xc0, 12];

struct Client {
    resolver: Resolver,
    now: Instant,
}

impl Client {
    fn new() -> Self {
        let mut resolver = Resolver::new(7);
        resolver.set_servers([ip(SERVER), ip(OTHER_SERVER)]);
        Self { resolver, now: Instant::from_secs(1000) }
    }

    fn query(&mut self, name: &str) -> QueryId {
        self.resolver.query(self.now, name, Kind::A).unwrap()
    }

    fn sent(&mut self) -> Option<Sent> {
        let mut buffer = [0; QUERY_BYTES_MAX];
        let out = self.resolver.poll(self.now, &mut buffer, |_| true)?;
        let Outgoing { server, local_port, bytes } = out;
        assert!(self.resolver.expects(local_port));
        Some(Sent { server, local_port, message: buffer[..bytes].to_vec() })
    }

    fn receive(&mut self, sent: &Sent, message: &Message) -> bool {
        self.resolver.receive(self.now, sent.from(), sent.local_port, &message.0)
    }

    fn ask(&mut self, name: &str, answer: impl Fn(Message) -> Message) -> Outcome {
        let id = self.query(name);
        let sent = self.sent().unwrap();
        assert_eq!(self.resolver.result(id), None);
        assert!(self.receive(&sent, &answer(Message::to(&sent))));
        self.resolver.result(id).unwrap()
    }

    /// Without asking anybody.
    fn known(&mut self, name: &str) -> Option<Outcome> {
        let id = self.query(name);
        let outcome = self.resolver.result(id);
        self.resolver.cancel(id);
        outcome
    }

    fn wait(&mut self) -> Duration {
        let deadline = self.resolver.deadline().unwrap();
        let waited = deadline - self.now;
        self.now = deadline;
        waited
    }
}

fn found(outcome: Outcome) -> (Vec<IpAddr>, u32) {
    let answer = outcome.unwrap();
    (answer.addresses.to_vec(), answer.ttl_s)
}

#[test]
fn asks_and_remembers() {
    let mut client = Client::new();
    let id = client.query("www.Example.org.");
    let sent = client.sent().unwrap();
    assert_eq!(sent.server, ip(SERVER));
    assert!(sent.local_port >= PORT_FIRST);
    assert_eq!(sent.message[2..12], [1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(
        sent.message[12..].to_ascii_lowercase(),
        b"\x03www\x07example\x03org\0\x00\x01\x00\x01"
    );
    assert!(sent.message.iter().any(u8::is_ascii_uppercase), "letters are random");
    assert!(client.sent().is_none());
    let answer = Message::to(&sent).a(QUESTION, 300, [1, 2, 3, 4]).a(QUESTION, 200, [1, 2, 3, 5]);
    assert!(client.receive(&sent, &answer));
    assert!(!client.receive(&sent, &answer), "only once");
    assert!(!client.resolver.expects(sent.local_port));
    let addresses = [ip("1.2.3.4"), ip("1.2.3.5")];
    assert_eq!(found(client.resolver.result(id).unwrap()), (addresses.to_vec(), 200));
    assert_eq!(client.resolver.result(id), Some(Err(ResolveError::Forgotten)));
    client.now += Duration::from_secs(150);
    assert_eq!(found(client.known("WWW.example.org").unwrap()), (addresses.to_vec(), 50));
    client.now += Duration::from_secs(50);
    assert_eq!(client.known("www.example.org"), None);
    assert_eq!(client.resolver.deadline(), None);
}

#[test]
fn ipv6_addresses_are_asked_for_apart() {
    let mut client = Client::new();
    let four = client.query("a.b");
    let six = client.resolver.query(client.now, "a.b", Kind::Aaaa).unwrap();
    let (first, second) = (client.sent().unwrap(), client.sent().unwrap());
    assert_eq!(second.message[second.message.len() - 4..], [0, 28, 0, 1]);
    assert_ne!((first.id(), first.local_port), (second.id(), second.local_port));
    let address = "2001:db8::1".parse::<core::net::Ipv6Addr>().unwrap();
    let answer = Message::to(&second).record(0, QUESTION, 28, 60, &address.octets());
    assert!(!client.receive(&first, &answer));
    assert!(client.receive(&second, &answer));
    assert_eq!(found(client.resolver.result(six).unwrap()), (Vec::from([address.into()]), 60));
    assert_eq!(client.resolver.result(four), None);
}

#[test]
fn addresses_need_no_server() {
    let mut resolver = Resolver::new(1);
    let now = Instant::ZERO;
    for (text, kind, is_found) in [
        ("10.0.0.1", Kind::A, true),
        ("10.0.0.1", Kind::Aaaa, false),
        ("2001:db8::1", Kind::Aaaa, true),
        ("::1", Kind::A, false),
    ] {
        let id = resolver.query(now, text, kind).unwrap();
        let expected = if is_found { Ok(ip(text)) } else { Err(ResolveError::NoAddress) };
        let outcome = resolver.result(id).unwrap();
        assert_eq!(outcome.map(|answer| answer.addresses[0]), expected);
    }
    assert_eq!(resolver.query(now, "a b", Kind::A), Err(ResolveError::MalformedName));
    assert_eq!(resolver.query(now, "a.b", Kind::A), Err(ResolveError::NoServers));
}

#[test]
fn asks_three_times_in_turn() {
    let mut client = Client::new();
    let id = client.query("a.b");
    let mut seen = Vec::new();
    for server in [SERVER, OTHER_SERVER, SERVER] {
        let sent = client.sent().unwrap();
        assert_eq!(sent.server, ip(server));
        assert!(seen.iter().all(|(id, port)| *id != sent.id() && *port != sent.local_port));
        seen.push((sent.id(), sent.local_port));
        assert_eq!(client.wait(), Duration::from_secs(2));
    }
    assert!(client.sent().is_none());
    assert_eq!(client.resolver.result(id), Some(Err(ResolveError::TimedOut)));
    assert_eq!(client.resolver.deadline(), None);
}

#[test]
fn a_server_that_fails_is_not_waited_for() {
    let mut client = Client::new();
    let id = client.query("a.b");
    let first = client.sent().unwrap();
    assert!(client.receive(&first, &Message::to(&first).rcode(2)));
    let second = client.sent().unwrap();
    assert_eq!(second.server, ip(OTHER_SERVER));
    assert!(client.receive(&second, &Message::to(&second).a(QUESTION, 9, [1, 2, 3, 4])));
    assert_eq!(found(client.resolver.result(id).unwrap()).1, 9);
    client.query("c.d");
    assert_eq!(client.sent().unwrap().server, ip(OTHER_SERVER), "it is preferred now");
    let id = client.query("g.h");
    for _ in 0..3 {
        let sent = client.sent().unwrap();
        client.receive(&sent, &Message::to(&sent).rcode(5));
    }
    assert!(client.sent().is_none());
    assert_eq!(client.resolver.result(id), Some(Err(ResolveError::ServerFailed)));
}

#[test]
fn the_last_attempt_is_for_servers_that_change_letters() {
    let mut client = Client::new();
    client.query("abcdefghijklmnopqrstuvwxyz");
    for is_last in [false, false, true] {
        let sent = client.sent().unwrap();
        assert_eq!(sent.message.iter().any(u8::is_ascii_uppercase), !is_last);
        let mut answer = Message::to(&sent).a(QUESTION, 9, [1, 2, 3, 4]);
        let len = sent.message.len();
        answer.0[12..len].make_ascii_lowercase();
        assert_eq!(client.receive(&sent, &answer), is_last);
        client.now += ATTEMPT_TIMEOUT;
    }
}

#[test]
fn strangers_are_not_believed() {
    let mut client = Client::new();
    let id = client.query("a.b");
    let sent = client.sent().unwrap();
    let good = Message::to(&sent).a(QUESTION, 9, [6, 6, 6, 6]);
    for place in [0, 1, 2, 5, 13, 15, 18, 20] {
        let mut message = good.clone();
        message.0[place] ^= if place == 2 { 0x80 } else { 0x20 };
        assert!(!client.receive(&sent, &message), "{place}");
    }
    let (port, from) = (sent.local_port, sent.from());
    let mut hear = |from, port| client.resolver.receive(client.now, from, port, &good.0);
    assert!(!hear(from, port ^ 1));
    assert!(!hear(SocketAddr::new(from.ip(), 54), port));
    assert!(!hear(SocketAddr::new(ip("9.9.9.8"), DNS_PORT), port));
    assert_eq!(client.resolver.result(id), None);
    assert!(client.receive(&sent, &good));
}

#[test]
fn aliases_are_followed_within_the_answer() {
    let mut client = Client::new();
    // In no order, and with the shortest lifetime of all that was used.
    let outcome = client.ask("a.b", |message| {
        message
            .a(b"\x01z\0", 50, [9, 9, 9, 9])
            .cname(b"\x01Y\0", 70, b"\x01x\0")
            .a(b"\x01x\0", 100, [1, 2, 3, 4])
            .cname(QUESTION, 80, b"\x01y\0")
    });
    assert_eq!(found(outcome), (Vec::from([ip("1.2.3.4")]), 70));
    let chain = |length: u8| {
        move |mut message: Message| {
            let mut owner = QUESTION.to_vec();
            for n in 0..length {
                let to = [1, b'0' + n, 0];
                message = message.cname(&owner, 60, &to);
                owner = to.to_vec();
            }
            message.a(&owner, 60, [1, 2, 3, 4])
        }
    };
    assert!(client.ask("c.d", chain(8)).is_ok());
    let id = client.query("e.f");
    let sent = client.sent().unwrap();
    assert!(client.receive(&sent, &chain(9)(Message::to(&sent))));
    assert_eq!(client.resolver.result(id), None, "the next server is asked");
    let sent = client.sent().unwrap();
    let looped = Message::to(&sent).cname(QUESTION, 9, b"\x01x\0").cname(b"\x01x\0", 9, QUESTION);
    assert!(client.receive(&sent, &looped));
    assert_eq!(client.resolver.result(id), None);
}

#[test]
fn what_does_not_exist_is_remembered_for_a_minute_at_most() {
    for (code, error) in [(3, ResolveError::NoSuchName), (0, ResolveError::NoAddress)] {
        for (ttl, minimum, kept_s) in [(9, 30, 9), (30, 9, 9), (9000, 9000, 60), (9000, 0, 0)] {
            let mut client = Client::new();
            let outcome = client.ask("a.b", |message| message.rcode(code).soa(ttl, minimum));
            assert_eq!(outcome, Err(error));
            if kept_s > 0 {
                client.now += Duration::from_secs(kept_s - 1);
                assert_eq!(client.known("a.b"), Some(Err(error)));
                client.now += Duration::from_secs(1);
            }
            assert_eq!(client.known("a.b"), None);
        }
        let mut client = Client::new();
        assert_eq!(client.ask("a.b", |message| message.rcode(code)), Err(error));
        assert_eq!(client.known("a.b"), None, "the zone did not say");
    }
}

#[test]
fn long_answers_are_cut_or_told() {
    let mut client = Client::new();
    let outcome = client.ask("a.b", |mut message| {
        for n in 0..30 {
            message = message.a(QUESTION, u32::MAX >> 1, [10, 0, 0, n]);
        }
        message
    });
    let (addresses, ttl) = found(outcome);
    assert_eq!((addresses.len(), addresses[7], ttl), (8, ip("10.0.0.7"), 3600));
    let outcome = client.ask("c.d", |mut message| {
        message.0[2] |= 2;
        message
    });
    assert_eq!(outcome, Err(ResolveError::Truncated));
    let outcome = client.ask("e.f", |message| message.a(QUESTION, 1 << 31, [10, 0, 0, 1]));
    assert_eq!(found(outcome).1, 0);
    assert_eq!(client.known("e.f"), None);
}

#[test]
fn one_question_serves_all_who_ask_the_same() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let woken = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(woken.clone());
    let mut client = Client::new();
    let ids = [(); 3].map(|()| client.query("a.b"));
    ids.iter().for_each(|id| client.resolver.register_waker(*id, &waker));
    client.sent().unwrap();
    assert!(client.sent().is_none());
    assert_eq!(client.wait(), Duration::from_secs(2));
    // Another one goes on in the place of one that is given up.
    client.resolver.cancel(ids[0]);
    let sent = client.sent().unwrap();
    assert!(client.sent().is_none());
    client.receive(&sent, &Message::to(&sent).a(QUESTION, 9, [1, 2, 3, 4]));
    assert_eq!(woken.0.load(Ordering::Relaxed), 2);
    assert_eq!(client.resolver.result(ids[0]), Some(Err(ResolveError::Forgotten)));
    assert!(ids[1..].iter().all(|id| client.resolver.result(*id).unwrap().is_ok()));
    client.resolver.register_waker(ids[1], &waker);
    assert_eq!(woken.0.load(Ordering::Relaxed), 3, "there is nothing to wait for");
}

#[test]
fn queries_are_few() {
    let mut client = Client::new();
    let ids: Vec<_> = (0..QUERIES_MAX).map(|n| client.query(&std::format!("h{n}"))).collect();
    let refused = Err(ResolveError::TooManyQueries);
    assert_eq!(client.resolver.query(client.now, "10.0.0.1", Kind::A), refused);
    let sent = client.sent().unwrap();
    client.receive(&sent, &Message::to(&sent).rcode(3));
    assert_eq!(client.resolver.query(client.now, "x.y", Kind::A), refused);
    // A result that nobody takes does not hold a place for ever.
    client.now += RESULT_KEPT_FOR;
    let id = client.query("x.y");
    assert_eq!(client.resolver.result(ids[0]), Some(Err(ResolveError::Forgotten)));
    assert_eq!(client.resolver.result(id), None);
}

#[test]
fn ports_in_use_are_left_alone() {
    let mut client = Client::new();
    let id = client.query("a.b");
    let mut buffer = [0; QUERY_BYTES_MAX];
    let odd = client.resolver.poll(client.now, &mut buffer, |port| port % 2 == 1).unwrap();
    assert_eq!(odd.local_port % 2, 1);
    for _ in 0..3 {
        client.wait();
        assert_eq!(client.resolver.poll(client.now, &mut buffer, |_| false), None);
    }
    assert_eq!(client.resolver.result(id), Some(Err(ResolveError::TimedOut)));
}

#[test]
fn other_servers_know_other_names() {
    let mut client = Client::new();
    client.ask("a.b", |message| message.a(QUESTION, 99, [1, 2, 3, 4])).unwrap();
    client.resolver.set_servers([ip(SERVER), ip(OTHER_SERVER)]);
    assert!(client.known("a.b").is_some());
    client.resolver.set_servers([ip(OTHER_SERVER)]);
    assert_eq!(client.known("a.b"), None);
    let id = client.query("c.d");
    client.resolver.set_servers([]);
    for _ in 0..3 {
        assert!(client.sent().is_none());
        client.wait();
    }
    assert!(client.sent().is_none());
    assert_eq!(client.resolver.result(id), Some(Err(ResolveError::TimedOut)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_do_no_harm(
        message in prop::collection::vec(any::<u8>(), 0..300),
        flags: [u8; 2],
        counts in prop::array::uniform3(prop_oneof![0_u16..6, any::<u16>()]),
        records in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..20),
                Just(Vec::from([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 12])),
                Just(Vec::from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4])),
                Just(Vec::from([0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 9, 0, 0])),
            ],
            0..10,
        ),
    ) {
        let mut client = Client::new();
        let id = client.query("a.b");
        let sent = client.sent().unwrap();
        client.receive(&sent, &Message(message));
        let mut answer = Message::to(&sent);
        (answer.0[2], answer.0[3]) = (flags[0] | 0x80, flags[1]);
        answer.0[6..12].copy_from_slice(counts.map(u16::to_be_bytes).as_flattened());
        answer.0.extend(records.concat());
        client.receive(&sent, &answer);
        if let Some(Ok(answer)) = client.resolver.result(id) {
            prop_assert!((1..=8).contains(&answer.addresses.len()));
        }
    }

    /// Whatever happens: every query ends within its attempts, and none is lost.
    #[test]
    fn every_query_ends(
        seed: u64,
        steps in prop::collection::vec((0_u8..9, 0_u8..5, 0_u64..1500), 0..200),
    ) {
        let mut client = Client::new();
        client.resolver = Resolver::new(seed);
        client.resolver.set_servers([ip(SERVER), ip(OTHER_SERVER)]);
        let (mut ids, mut last) = (Vec::new(), None);
        for (action, number, wait) in steps {
            client.now += Duration::from_millis(wait);
            let name = std::format!("h{number}");
            match (action, &last) {
                (0..=2, _) => {
                    let kind = if action == 0 { Kind::Aaaa } else { Kind::A };
                    ids.extend(client.resolver.query(client.now, &name, kind));
                }
                (3, _) => ids.retain(|id| client.resolver.result(*id).is_none()),
                (4, _) => ids.pop().into_iter().for_each(|id| client.resolver.cancel(id)),
                (5, Some(sent)) => {
                    let answer = Message::to(sent).a(QUESTION, number.into(), [1, 2, 3, 4]);
                    client.receive(sent, &answer);
                }
                (6, Some(sent)) => drop(client.receive(sent, &Message::to(sent).rcode(number))),
                _ => last = client.sent().or(last),
            }
            prop_assert!(client.resolver.slots.len() <= QUERIES_MAX);
        }
        for _ in 0..10 {
            while client.sent().is_some() {}
            prop_assert!(client.resolver.deadline().is_none_or(|at| at > client.now));
            client.now += ATTEMPT_TIMEOUT;
        }
        prop_assert_eq!(client.resolver.deadline(), None);
        prop_assert!(ids.iter().all(|id| client.resolver.result(*id).is_some()));
    }
}
