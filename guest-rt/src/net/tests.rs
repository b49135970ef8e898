//! Two devices of one wire, without a host: their stacks exchange frames when the test says so, and
//! futures are polled by hand. What is tried here is that a dropped future has moved nothing.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::future::Future;
use core::net::SocketAddr;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use embedded_io_async::{ReadReady, Write, WriteReady};

use super::device::Device;
use super::{Limits, Net, limits_for};

const PORT: u16 = 7;

fn net(number: u8) -> Net {
    let mut config = netstack::Config::new([2, 0, 0, 0, 0, number], 1500, number.into());
    config.limits.udp_datagrams = 2;
    let mut stack = netstack::Stack::new(config, netstack::Instant::ZERO).unwrap();
    stack.set_ipv4([10, 0, 0, number].into(), 24, None).unwrap();
    let address = std::format!("2001:db8::{number}");
    stack.set_ipv6(address.parse().unwrap(), 64, None).unwrap();
    Net(Rc::new(Device::new("service", 3, None, 1514, stack, true)))
}

struct Wire(Net, Net);

impl Wire {
    fn new() -> Self {
        Self(net(1), net(2))
    }

    /// Moves frames until there are none.
    fn exchange(&self) {
        let mut is_quiet = false;
        while !is_quiet {
            let frames = [take(&self.0), take(&self.1)];
            is_quiet = frames.iter().all(Vec::is_empty);
            give(&self.1, &frames[0]);
            give(&self.0, &frames[1]);
        }
    }
}

fn take(net: &Net) -> Vec<Vec<u8>> {
    net.0.with(|stack| {
        stack.poll(netstack::Instant::ZERO);
        let mut frames = Vec::new();
        while let Some(frame) = stack.front_frame() {
            frames.push(frame.to_vec());
            stack.pop_frame();
        }
        frames
    })
}

fn give(net: &Net, frames: &[Vec<u8>]) {
    for frame in frames {
        net.0.with(|stack| stack.receive(netstack::Instant::ZERO, frame));
    }
}

fn poll<F: Future>(future: core::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// The output of a future that need not wait.
fn now<F: Future>(future: F) -> F::Output {
    match poll(pin!(future)) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

/// Polls a future that has to wait, lets the network do something, and drops it.
fn cancel<F: Future>(future: F, wire: &Wire) {
    let mut future = pin!(future);
    assert!(poll(future.as_mut()).is_pending());
    wire.exchange();
}

fn connected(wire: &Wire, remote: &str) -> (super::TcpStream, super::TcpStream) {
    let mut listener = wire.1.listen(PORT, 4).unwrap();
    let mut connecting = pin!(wire.0.connect(SocketAddr::new(remote.parse().unwrap(), PORT)));
    assert!(poll(connecting.as_mut()).is_pending());
    wire.exchange();
    let client = now(connecting).unwrap();
    (client, now(listener.accept()))
}

#[test]
fn a_cancelled_accept_loses_no_connection() {
    let wire = Wire::new();
    let mut listener = wire.1.listen(PORT, 4).unwrap();
    let mut connecting = pin!(wire.0.connect("10.0.0.2:7".parse().unwrap()));
    assert!(poll(connecting.as_mut()).is_pending());
    // It waits, the connection comes, and it is dropped before it looks again.
    cancel(listener.accept(), &wire);
    let client = now(connecting).unwrap();
    let server = now(listener.accept());
    assert_eq!(server.remote(), client.local());
    assert_eq!(server.local(), client.remote());
}

#[test]
fn a_cancelled_connect_leaves_no_connection() {
    let wire = Wire::new();
    {
        let mut connecting = pin!(wire.0.connect("10.0.0.2:7".parse().unwrap()));
        assert!(poll(connecting.as_mut()).is_pending());
        assert_eq!(wire.0.counters().connections, 1);
    }
    wire.exchange();
    assert_eq!((wire.0.counters().connections, wire.1.counters().connections), (0, 0));
}

#[test]
fn cancelled_reads_lose_no_byte() {
    let wire = Wire::new();
    let (mut client, mut server) = connected(&wire, "2001:db8::2");
    assert_eq!((server.read_ready(), client.write_ready()), (Ok(false), Ok(true)));
    let mut buffer = [0; 8];
    {
        let mut reading = pin!(server.read(&mut buffer));
        assert!(poll(reading.as_mut()).is_pending());
        now(client.write_all(b"one")).unwrap();
        wire.exchange();
    }
    assert_eq!(server.read_ready(), Ok(true));
    assert_eq!(now(server.read(&mut buffer)), Ok(3));
    {
        let mut reading = pin!(server.read_with(|bytes| (bytes.len(), ())));
        assert!(poll(reading.as_mut()).is_pending());
        now(client.write_all(b"two")).unwrap();
        wire.exchange();
    }
    // Looked at, taken in part, and the rest is still there.
    assert_eq!(now(server.read_with(|bytes| (1, bytes.to_vec()))), Ok(b"two".to_vec()));
    assert_eq!(now(server.read_with(|bytes| (2, bytes.to_vec()))), Ok(b"wo".to_vec()));
    client.finish();
    wire.exchange();
    assert_eq!(now(server.read_with(|bytes| (0, bytes.len()))), Ok(0));
    assert_eq!(server.read_ready(), Ok(true));
}

#[test]
fn cancelled_writes_send_nothing() {
    let wire = Wire::new();
    let (mut client, mut server) = connected(&wire, "10.0.0.2");
    let mut sent = 0;
    while client.write_ready() == Ok(true) {
        sent += now(client.write_with(|room| {
            room.fill(b'a');
            (room.len(), room.len())
        }))
        .unwrap();
    }
    cancel(client.write(b"b"), &wire);
    let mut received = Vec::new();
    let mut take_all = |server: &mut super::TcpStream| {
        while server.read_ready() == Ok(true) {
            let bytes = now(server.read_with(|bytes| (bytes.len(), bytes.to_vec()))).unwrap();
            if bytes.is_empty() {
                break;
            }
            received.extend(bytes);
            wire.exchange();
        }
    };
    take_all(&mut server);
    cancel_if_waiting(client.write_with(|_| (0, ())));
    client.finish();
    wire.exchange();
    take_all(&mut server);
    assert_eq!(received.len(), sent);
    assert!(received.iter().all(|byte| *byte == b'a'));
}

fn cancel_if_waiting<F: Future>(future: F) {
    let _ = poll(pin!(future));
}

#[test]
fn cancelled_datagrams_are_neither_sent_nor_lost() {
    let wire = Wire::new();
    let mut sender = wire.0.bind_udp(0).unwrap();
    let mut receiver = wire.1.bind_udp(PORT).unwrap();
    for remote in ["10.0.0.2:7", "[2001:db8::2]:7"] {
        let remote = remote.parse().unwrap();
        // The queue holds two.
        now(sender.send_to(b"first", remote)).unwrap();
        now(sender.send_to(b"second", remote)).unwrap();
        assert_eq!(sender.try_send_to(b"third", remote), Err(super::Error::Limit));
        {
            let mut sending = pin!(sender.send_to(b"third", remote));
            assert!(poll(sending.as_mut()).is_pending());
        }
        let mut buffer = [0; 3];
        cancel(receiver.recv(&mut buffer), &wire);
        let datagram = now(receiver.recv(&mut buffer));
        assert_eq!((&buffer, datagram.bytes, datagram.sent_bytes), (b"fir", 3, 5));
        assert_eq!(datagram.local, remote);
        assert_eq!(datagram.remote.port(), sender.port());
        let mut buffer = [0; 9];
        assert_eq!(now(receiver.recv_from(&mut buffer)).0, 6);
        cancel(receiver.recv(&mut buffer), &wire);
        // There is room again.
        now(sender.send_to(b"", remote)).unwrap();
        wire.exchange();
        assert_eq!(now(receiver.recv_from(&mut buffer)).0, 0);
    }
}

#[test]
fn the_network_traits_of_others_work() {
    use embedded_nal_async::{AddrType, ConnectedUdp, Dns, UdpStack, UnconnectedUdp};
    let wire = Wire::new();
    let any = "[::]:7".parse().unwrap();
    let mut server = now(wire.1.bind_multiple(any)).unwrap();
    let remote = "[2001:db8::2]:7".parse().unwrap();
    let (local, mut client) = now(UdpStack::connect(&wire.0, remote)).unwrap();
    assert_eq!(local.ip(), "2001:db8::1".parse::<core::net::IpAddr>().unwrap());
    now(client.send(b"question")).unwrap();
    wire.exchange();
    let mut buffer = [0; 4];
    let (bytes, own, peer) = now(server.receive_into(&mut buffer)).unwrap();
    assert_eq!((bytes, own, peer), (8, remote, local));
    // A stranger's datagram does not reach a connected socket.
    let mut stranger = wire.1.bind_udp(0).unwrap();
    now(stranger.send_to(b"noise", local)).unwrap();
    now(server.send(own, peer, b"answer")).unwrap();
    wire.exchange();
    assert_eq!(now(client.receive_into(&mut buffer)), Ok(6));
    assert_eq!(&buffer, b"answ");

    let address = now(wire.0.get_host_by_name("10.0.0.9", AddrType::Either));
    assert_eq!(address, Ok("10.0.0.9".parse().unwrap()));
    assert!(now(wire.0.get_host_by_name("10.0.0.9", AddrType::IPv6)).is_err());
    assert!(matches!(now(wire.0.resolve("nobody.example")), Err(super::Error::Name(_))));
}

#[test]
fn a_static_address_is_there_at_once() {
    let net = net(1);
    assert_eq!(now(net.address()), ("10.0.0.1".parse().unwrap(), 24));
    let ipv6 = now(net.address_where(|ip| ip.is_ipv6()));
    assert_eq!(ipv6.0, "2001:db8::1".parse::<core::net::IpAddr>().unwrap());
    assert_eq!(net.addresses().len(), 3);
}

#[test]
fn buffers_never_take_more_than_their_share_of_the_heap() {
    for (heap_bytes, devices) in [(1 << 20, 1), (16 << 20, 1), (64 << 20, 4), (8 << 30, 1)] {
        let limits = limits_for(heap_bytes, devices);
        let buffers_bytes = limits.buffers_bytes + limits.small_buffers_bytes;
        assert!(buffers_bytes * devices <= heap_bytes / 4);
        let checked = netstack::Config { limits, ..netstack::Config::new([2; 6], 1500, 1) };
        assert!(netstack::Stack::new(checked, netstack::Instant::ZERO).is_ok());
    }
    assert_eq!(limits_for(8 << 30, 1).connections, Limits::default().connections);
}

fn configured(command_line: &str) -> Result<netstack::Stack, super::Error> {
    let now = netstack::Instant::ZERO;
    let config = netstack::Config::new([2, 0, 0, 0, 0, 1], 1500, 1);
    let mut stack = netstack::Stack::new(config, now).unwrap();
    let settings = super::Settings::parse(command_line, "service", true)?;
    super::apply(&mut stack, &settings, now, 1).map_err(super::refused)?;
    Ok(stack)
}

/// Whom the stack asks for the Ethernet address of, to reach a host.
fn asked_for(stack: &mut netstack::Stack, remote: &str) -> Option<core::net::IpAddr> {
    stack
        .connect(netstack::Instant::ZERO, SocketAddr::new(remote.parse().unwrap(), 7), None)
        .ok()?;
    stack.poll(netstack::Instant::ZERO);
    let frame = stack.front_frame().unwrap().to_vec();
    stack.pop_frame();
    match frame[12..14] {
        // The target's address in ARP, and in a neighbour solicitation.
        [8, 6] => Some(<[u8; 4]>::try_from(&frame[38..42]).unwrap().into()),
        [0x86, 0xdd] => Some(<[u8; 16]>::try_from(&frame[62..78]).unwrap().into()),
        _ => panic!("{frame:02x?}"),
    }
}

#[test]
fn a_router_outside_of_the_own_network_is_asked_for() {
    let line = "--ipv4=10.244.3.7/32 --ipv4-gateway=169.254.1.1 --route=169.254.1.1/32 \
        --ipv6=2001:db8::7/128 --ipv6-gateway=fe80::1";
    let mut stack = configured(line).unwrap();
    assert_eq!(asked_for(&mut stack, "9.9.9.9"), "169.254.1.1".parse().ok());
    assert_eq!(asked_for(&mut stack, "2001:db8:9::1"), "fe80::1".parse().ok());
    let without = line.replace("--route=169.254.1.1/32", "");
    let Err(super::Error::Config(text)) = configured(&without) else { panic!("taken") };
    assert!(text.contains("--route=169.254.1.1/32"), "{text}");
}

#[test]
fn several_addresses_have_their_networks() {
    let line = "--ipv4=10.0.0.2/24,10.0.1.2/24 --ipv6=2001:db8::2/64,2001:db8:1::2/64 \
        --route=10.9.0.0/16,10.0.1.9 --route=192.0.2.0/24";
    let mut stack = configured(line).unwrap();
    assert_eq!(stack.addresses().count(), 5);
    for (remote, next_hop) in [
        ("10.0.1.7", "10.0.1.7"),
        ("10.9.9.9", "10.0.1.9"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1::7", "2001:db8:1::7"),
    ] {
        assert_eq!(asked_for(&mut stack, remote), next_hop.parse().ok(), "{remote}");
    }
    assert_eq!(asked_for(&mut stack, "9.9.9.9"), None);
}
