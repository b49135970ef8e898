//! The cases.

use std::net::{IpAddr, Ipv4Addr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use netjoin::{Device, Error, Joined, Request, Route, join, leave};

use crate::guest::{Guest, TIME_OUT};
use crate::namespace::{Outcome, Pair, ip};

type Case = fn() -> Outcome;

pub(crate) const ALL: &[(&str, Case)] = &[
    ("addresses and routes are read", settings_are_read),
    ("a router outside of a single address", router_outside),
    ("frames pass both ways and nothing of the kernel's", frames_pass),
    ("without an interface a TAP is sealed", sealed),
    ("two guests get copies, and their answers to strangers are dropped", two_guests),
    ("the first of two guests may go first", first_goes_first),
    ("a guest that died leaves what others sweep", dead_guest),
    ("twenty guests come and go", many_guests),
    ("filters of others stay", others_stay),
    ("devices choose interfaces by name and then by number", several_interfaces),
    ("large and small MTUs and an interface that is down", mtus),
    ("in a user namespace", user_namespace),
    ("without privileges in the namespace it is an error", unprivileged),
];

const INSIDE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PLAIN: &[&str] = &["in addr add 10.0.0.2/24 dev eth0", "out addr add 10.0.0.1/24 dev peer"];

fn join_one(pair: &Pair, container: &str) -> Result<Joined, Error> {
    let devices = [Device { name: "service", headers: false }];
    let joined = pair.inside(|| join(&Request { container, devices: &devices }))?;
    Ok(joined.into_iter().next().unwrap())
}

fn guest(joined: &Joined) -> Guest {
    Guest::new(&joined.tap, joined.mac)
}

/// Nothing of ours is in the namespace.
fn check_clean(pair: &Pair) {
    let shown = pair.shown();
    let is_left = |word| shown.contains(word);
    assert!(!is_left("ingress") && !is_left("nabla") && !is_left("mirred"), "{shown}");
    assert!(!shown.lines().any(|line| line.contains(": nb")), "{shown}");
}

fn ip_of(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn settings_are_read() -> Outcome {
    let pair = Pair::new(&[
        "in addr add 10.0.0.2/24 dev eth0",
        "in addr add 10.0.1.2/24 dev eth0",
        "in addr add 2001:db8::2/64 dev eth0 nodad",
        "in addr add 10.7.0.1 peer 10.7.0.9 dev eth0",
        "in route add default via 10.0.0.1 metric 100",
        "in route add default via 10.0.0.9 metric 200",
        "in route add 10.9.0.0/16 via 10.0.1.9",
        "in -6 route add default via fe80::1 dev eth0",
        "in route add blackhole 10.66.0.0/16",
    ])?;
    let joined = join_one(&pair, "c")?;
    let mut addresses = joined.addresses.clone();
    addresses.sort();
    let expected = [("10.0.0.2", 24), ("10.0.1.2", 24), ("10.7.0.1", 32), ("2001:db8::2", 64)];
    assert_eq!(addresses, expected.map(|(ip, len)| (ip_of(ip), len)));
    let route = |destination, len, gateway: Option<&str>| Route {
        destination: (ip_of(destination), len),
        gateway: gateway.map(ip_of),
    };
    for wanted in [
        route("0.0.0.0", 0, Some("10.0.0.1")),
        route("10.9.0.0", 16, Some("10.0.1.9")),
        route("10.7.0.9", 32, None),
        route("::", 0, Some("fe80::1")),
    ] {
        assert!(joined.routes.contains(&wanted), "{wanted:?} in {:?}", joined.routes);
    }
    assert_eq!(joined.routes.len(), 4, "{:?}", joined.routes);
    assert_eq!((joined.interface.as_deref(), joined.mtu, joined.is_up), (Some("eth0"), 1500, true));
    pair.inside(|| leave("c"))?;
    check_clean(&pair);
    Ok(())
}

fn router_outside() -> Outcome {
    let pair = Pair::new(&[
        "in addr add 10.244.3.7/32 dev eth0",
        "in route add 169.254.1.1 dev eth0 scope link",
        "in route add default via 169.254.1.1 dev eth0",
    ])?;
    let joined = join_one(&pair, "c")?;
    let told = netjoin::arguments(&joined, &[]).join(" ").replace(":service", "");
    let expected =
        "--ipv4=10.244.3.7/32 --ipv4-gateway=169.254.1.1 --route=169.254.1.1/32 --ipv6=off";
    assert_eq!(told, expected);
    Ok(())
}

/// UDP from outside to the guest and back; meanwhile the TAP carries nothing that nobody has sent.
fn frames_pass() -> Outcome {
    let pair = Pair::new(PLAIN)?;
    let joined = join_one(&pair, "c")?;
    let mut guest = guest(&joined);
    let peer = pair.outside(|| {
        let socket = UdpSocket::bind((OUTSIDE, 9)).unwrap();
        socket.set_read_timeout(Some(TIME_OUT)).unwrap();
        socket.send_to(b"hello", (INSIDE, 7)).unwrap();
        guest.answer_arp(INSIDE);
        let is_ours = |frame: &[u8]| frame[12..14] == [8, 0] && frame.ends_with(b"hello");
        let frame = guest.wait_for(is_ours).expect("no datagram");
        let reply = guest.datagram(frame[6..12].try_into().unwrap(), INSIDE, (OUTSIDE, 9), b"back");
        guest.write(&reply);
        let mut buffer = [0; 9];
        let (len, from) = socket.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..len], from), (&b"back"[..], (INSIDE, 7).into()));
        frame[6..12].to_vec()
    });
    // Whatever comes now comes from the other end, and not from the kernel here.
    let deadline = Instant::now() + Duration::from_millis(300);
    while let Some(frame) = guest.read_until(deadline) {
        assert_eq!(frame[6..12], peer, "{frame:02x?}");
    }
    pair.inside(|| leave("c"))?;
    pair.inside(|| leave("c"))?;
    pair.inside(|| leave("another"))?;
    check_clean(&pair);
    Ok(())
}

/// The host's stack in the namespace does not hear a guest.
fn sealed() -> Outcome {
    let pair = Pair::new(&["in link del eth0", "in addr add 10.0.0.2/32 dev lo"])?;
    let joined = join_one(&pair, "c")?;
    assert_eq!((joined.interface.as_deref(), joined.mtu), (None, 1500));
    assert!(joined.addresses.is_empty() && joined.mac[0] & 1 == 0);
    let mut guest = guest(&joined);
    // An ARP request for an address that the namespace has, which it would answer on any interface.
    let mut request = [&[0xff; 6][..], &joined.mac, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]].concat();
    request.extend(joined.mac);
    request.extend([10, 0, 0, 3, 0, 0, 0, 0, 0, 0]);
    request.extend(INSIDE.octets());
    guest.write(&request);
    let heard = guest.read_until(Instant::now() + Duration::from_millis(300));
    assert_eq!(heard, None);
    pair.inside(|| leave("c"))?;
    assert!(!pair.shown().contains(": nb"));
    Ok(())
}

/// A reset from a guest as a stack answers a SYN to a closed port.
fn reset(guest: &Guest, request: &[u8]) -> Vec<u8> {
    let mut frame = request[..54].to_vec();
    frame[..6].copy_from_slice(&request[6..12]);
    frame[6..12].copy_from_slice(&guest.mac);
    frame[16..18].copy_from_slice(&40_u16.to_be_bytes());
    frame[26..30].copy_from_slice(&request[30..34]);
    frame[30..34].copy_from_slice(&request[26..30]);
    frame[24..26].fill(0);
    let header = crate::guest::checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&header.to_be_bytes());
    let tcp = &mut frame[34..54];
    tcp.fill(0);
    tcp[..2].copy_from_slice(&request[36..38]);
    tcp[2..4].copy_from_slice(&request[34..36]);
    let sequence = u32::from_be_bytes(request[38..42].try_into().unwrap()) + 1;
    tcp[8..12].copy_from_slice(&sequence.to_be_bytes());
    (tcp[12], tcp[13]) = (0x50, 0x14);
    let pseudo = [&frame[26..34], &[0, 6, 0, 20], &frame[34..54]].concat();
    let sum = crate::guest::checksum(&pseudo);
    frame[50..52].copy_from_slice(&sum.to_be_bytes());
    frame
}

fn is_syn(frame: &[u8]) -> bool {
    frame[12..14] == [8, 0] && frame[23] == 6 && frame[47] == 0x02
}

/// Whether a connection from outside is refused when that guest answers its SYN by a reset.
fn is_refused_by(pair: &Pair, guest: &mut Guest) -> bool {
    pair.outside(|| {
        let connecting = std::thread::spawn(|| {
            TcpStream::connect_timeout(&(INSIDE, 80).into(), Duration::from_millis(900))
        });
        let syn = guest.wait_for(is_syn).expect("no SYN");
        let reset = reset(guest, &syn);
        guest.write(&reset);
        let error = connecting.join().unwrap().unwrap_err();
        error.kind() == std::io::ErrorKind::ConnectionRefused
    })
}

fn two_guests() -> Outcome {
    let neighbour = |pair: &Pair, mac: [u8; 6]| {
        let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
        ip(&format!("-n {} neigh replace 10.0.0.2 lladdr {mac} dev peer", pair.outside))
    };
    let pair = Pair::new(PLAIN)?;
    let first = join_one(&pair, "first")?;
    neighbour(&pair, first.mac)?;
    let mut guest_one = guest(&first);
    assert!(is_refused_by(&pair, &mut guest_one));
    let second = join_one(&pair, "second")?;
    let mut guest_two = guest(&second);
    assert_eq!(first.mac, second.mac);
    assert!(!is_refused_by(&pair, &mut guest_one));
    assert!(!is_refused_by(&pair, &mut guest_two));
    // Both were sent each SYN.
    assert!(guest_one.wait_for(is_syn).is_some());
    assert!(matches!(join_one(&pair, "second"), Err(Error::Busy(_))));
    drop((second, guest_two));
    pair.inside(|| leave("second"))?;
    while guest_one.read_until(Instant::now() + Duration::from_millis(50)).is_some() {}
    assert!(is_refused_by(&pair, &mut guest_one));
    pair.inside(|| leave("first"))?;
    check_clean(&pair);
    Ok(())
}

/// Sends a datagram from outside and tells which guests hear it.
fn hear(pair: &Pair, guests: &mut [&mut Guest]) -> Vec<bool> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let word = format!("datagram {}", NUMBER.fetch_add(1, Ordering::Relaxed));
    pair.outside(|| {
        let socket = UdpSocket::bind((OUTSIDE, 0)).unwrap();
        socket.set_broadcast(true).unwrap();
        socket.send_to(word.as_bytes(), (Ipv4Addr::new(10, 0, 0, 255), 7)).unwrap();
    });
    let deadline = Instant::now() + Duration::from_millis(300);
    let mut hears = |guest: &mut &mut Guest| {
        let mut heard = 0;
        while let Some(frame) = guest.read_until(deadline) {
            heard += usize::from(frame.ends_with(word.as_bytes()));
        }
        assert!(heard <= 1, "{heard} copies");
        heard == 1
    };
    guests.iter_mut().map(&mut hears).collect()
}

fn first_goes_first() -> Outcome {
    let pair = Pair::new(PLAIN)?;
    let first = join_one(&pair, "first")?;
    let second = join_one(&pair, "second")?;
    let third = join_one(&pair, "third")?;
    let [mut one, mut two, mut three] = [guest(&first), guest(&second), guest(&third)];
    assert_eq!(hear(&pair, &mut [&mut one, &mut two, &mut three]), [true; 3]);
    pair.inside(|| leave("first"))?;
    drop((one, first));
    assert_eq!(hear(&pair, &mut [&mut two, &mut three]), [true; 2]);
    // The kernel's stack does not hear what the last one takes away: it would answer by ICMP.
    let is_answered = pair.outside(|| {
        let socket = UdpSocket::bind((OUTSIDE, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        socket.connect((INSIDE, 7)).unwrap();
        let _ = socket.send(b"x");
        two.answer_arp(INSIDE);
        socket.recv(&mut [0; 9]).unwrap_err().kind() == std::io::ErrorKind::ConnectionRefused
    });
    assert!(!is_answered);
    pair.inside(|| leave("third"))?;
    assert_eq!(hear(&pair, &mut [&mut two]), [true]);
    pair.inside(|| leave("second"))?;
    check_clean(&pair);
    Ok(())
}

fn dead_guest() -> Outcome {
    let pair = Pair::new(PLAIN)?;
    drop(join_one(&pair, "first")?);
    // Its filter is there and drops, so that the kernel says nothing.
    assert!(pair.shown().contains("mirred"), "{}", pair.shown());
    let second = join_one(&pair, "second")?;
    assert_eq!(pair.shown().matches("mirred").count(), 1, "{}", pair.shown());
    let mut two = guest(&second);
    assert_eq!(hear(&pair, &mut [&mut two]), [true]);
    // One that came before it and dies is no harm either.
    drop(join_one(&pair, "third")?);
    assert_eq!(hear(&pair, &mut [&mut two]), [true]);
    drop((second, two));
    let fourth = join_one(&pair, "fourth")?;
    let mut four = guest(&fourth);
    assert_eq!(hear(&pair, &mut [&mut four]), [true]);
    // Again under the same name, as after a crash.
    drop((fourth, four));
    let fourth = join_one(&pair, "fourth")?;
    assert_eq!(hear(&pair, &mut [&mut guest(&fourth)]), [true]);
    pair.inside(|| leave("fourth"))?;
    check_clean(&pair);
    Ok(())
}

fn many_guests() -> Outcome {
    let pair = Pair::new(PLAIN)?;
    let names: Vec<String> = (0..20).map(|number| format!("c{number}")).collect();
    // At once, which the lock on the namespace puts in a row.
    let joined: Vec<Joined> = std::thread::scope(|scope| {
        let threads: Vec<_> = names.iter().map(|it| scope.spawn(|| join_one(&pair, it))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
    });
    let mut guests: Vec<Guest> = joined.iter().map(guest).collect();
    let mut all: Vec<&mut Guest> = guests.iter_mut().collect();
    assert_eq!(hear(&pair, &mut all), [true; 20]);
    for (number, name) in names.iter().enumerate().filter(|(number, _)| number % 7 != 3) {
        pair.inside(|| leave(name))?;
        assert!(number < 20);
    }
    let mut left: Vec<&mut Guest> =
        guests.iter_mut().enumerate().filter(|it| it.0 % 7 == 3).map(|it| it.1).collect();
    assert_eq!(hear(&pair, &mut left), [true; 3]);
    for name in &names {
        pair.inside(|| leave(name))?;
    }
    check_clean(&pair);
    Ok(())
}

fn others_stay() -> Outcome {
    for kind in ["clsact", "ingress"] {
        let pair = Pair::new(PLAIN)?;
        let tc = |words: &str| {
            let words = format!("netns exec {} tc {words}", pair.inside);
            ip(&words)
        };
        tc(&format!("qdisc add dev eth0 {kind}"))?;
        tc("filter add dev eth0 ingress pref 9 u32 match u32 0 0 action continue")
            .or_else(|_| tc("filter add dev eth0 ingress pref 9 u32 match u32 0 0 flowid 1:1"))?;
        let joined = join_one(&pair, "c")?;
        pair.inside(|| leave("c"))?;
        drop(joined);
        let shown = pair.shown();
        assert!(shown.contains(&format!("qdisc {kind}")) && shown.contains("pref 9"), "{shown}");
        assert!(!shown.contains("mirred"), "{shown}");
    }
    Ok(())
}

fn several_interfaces() -> Outcome {
    let pair = Pair::new(&["in link add lan type veth peer name other"])?;
    let names = ["service", "lan", "third", "fourth"];
    let devices = names.map(|name| Device { name, headers: name == "lan" });
    let joined = pair.inside(|| join(&Request { container: "c", devices: &devices }))?;
    let chosen: Vec<Option<&str>> = joined.iter().map(|it| it.interface.as_deref()).collect();
    assert_eq!(chosen[1], Some("lan"));
    assert!(chosen[0] == Some("eth0") || chosen[0] == Some("other"), "{chosen:?}");
    assert_eq!(chosen[3], None);
    let lo = [Device { name: "lo", headers: false }];
    let refused = pair.inside(|| join(&Request { container: "d", devices: &lo }));
    assert!(matches!(refused, Err(Error::NotEthernet(_))), "{refused:?}");
    pair.inside(|| leave("c"))?;
    check_clean(&pair);
    Ok(())
}

fn mtus() -> Outcome {
    for mtu in [576, 1280, 9000, 65_535] {
        let pair = Pair::new(&[&format!("in link set eth0 mtu {mtu}"), "in link set eth0 down"])?;
        let joined = join_one(&pair, "c")?;
        assert_eq!((joined.mtu, joined.is_up), (mtu.min(65_521), false));
        pair.inside(|| leave("c"))?;
        check_clean(&pair);
    }
    Ok(())
}

/// In a user namespace there is no CAP_BPF, and CAP_NET_ADMIN for its own network only.
fn user_namespace() -> Outcome {
    let output = as_child(&["unshare", "--map-root-user", "--net"])?;
    assert!(output.contains("joined peer, left"), "{output}");
    Ok(())
}

fn unprivileged() -> Outcome {
    let pair = Pair::new(PLAIN)?;
    let output = as_child(&["ip", "netns", "exec", &pair.inside, "unshare", "--user"])?;
    assert!(output.contains("refused: cannot "), "{output}");
    check_clean(&pair);
    Ok(())
}

const CHILD: &str = "NETJOIN_TEST_CHILD";

/// This program as a child of another, in [`child`].
fn as_child(through: &[&str]) -> Result<String, std::io::Error> {
    let program = std::env::current_exe()?;
    let mut command = std::process::Command::new(through[0]);
    let output = command.args(&through[1..]).arg(program).env(CHILD, "1").output()?;
    Ok([output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned()).concat())
}

/// Joins `eth0` of a namespace that is ours, or fails in one that is not. `None` if this is no child.
pub(crate) fn child() -> Option<String> {
    std::env::var_os(CHILD)?;
    // The other end is made first, and so has the lower number.
    let _ = ip("link add eth0 type veth peer name peer");
    let devices = [Device { name: "service", headers: true }];
    let told = match join(&Request { container: "c", devices: &devices }) {
        Err(error) => format!("refused: {error}"),
        Ok(joined) => {
            let interface = joined[0].interface.clone().unwrap_or_default();
            format!(
                "joined {interface}, {}",
                leave("c").map_or_else(|it| it.to_string(), |()| "left".into())
            )
        }
    };
    Some(told)
}
