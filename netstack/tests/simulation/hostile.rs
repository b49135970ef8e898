//! Frames that nobody honest would send: they change nothing they should not, and never panic.

use netstack::{
    CloseReason, Config, ConnectionState, Duration, Instant, Limits, ListenerId, Stack,
};
use proptest::prelude::*;
use smoltcp::wire::{ArpOperation, TcpControl};

use crate::frames::{arp, client_address, segment};
use crate::sim::{Faults, Net, Random, Side, address_of, bytes, mac_of, small_limits};

/// Frames of a whole conversation: ARP, handshake, data both ways, FIN, UDP.
fn conversation() -> Vec<Vec<u8>> {
    let mut net = Net::pair(1, Faults::NONE, &small_limits());
    net.record = Some(Vec::new());
    let listener = net.hosts[1].listen(80, 4).unwrap();
    let (client, server) = net.establish(listener, 80);
    let up = bytes(&mut net.random, 3000);
    let mut sides = [Side::new(0, client, up), Side::new(1, server, vec![1; 2000])];
    let udp = net.hosts[0].udp_bind(0).unwrap();
    net.hosts[0].udp_send_to(udp, b"datagram", crate::sim::remote(1, 9)).unwrap();
    net.run_until(Duration::from_secs(60), |net| {
        sides.iter_mut().for_each(|side| side.work(net));
        sides.iter().all(|side| side.finished)
    });
    net.record.take().unwrap()
}

/// A server with every feature in use.
fn victim(any_ip: bool) -> Stack {
    victim_with_listener(any_ip).0
}

fn victim_with_listener(any_ip: bool) -> (Stack, ListenerId) {
    let limits = Limits { receive_buffer_bytes: 100_000, ..small_limits() };
    let mut config = Config { any_ip, limits, ..Config::new(mac_of(1), 1500, 4) };
    config.limits.frames_queued = 8;
    let mut stack = Stack::new(config, Instant::from_secs(1)).unwrap();
    stack.start_dhcp(Instant::from_secs(1));
    stack.set_ipv4(address_of(1), 24, None).unwrap();
    let listener = stack.listen(80, 4).unwrap();
    stack.udp_bind(9).unwrap();
    stack.udp_bind(67).unwrap();
    stack.set_offer_unmatched(any_ip);
    stack.set_track_touched(true);
    (stack, listener)
}

/// Lets a stack see frames, and checks that it stays within its limits.
fn expose(stack: &mut Stack, frames: &[Vec<u8>]) {
    let mut now = Instant::from_secs(2);
    for (number, frame) in frames.iter().enumerate() {
        stack.receive(now, frame);
        let counters = stack.counters();
        assert!(counters.half_open <= 16 && counters.connections <= 64 && counters.time_wait <= 32);
        if number % 3 == 0 {
            now += Duration::from_millis(number as u64 % 700);
            stack.poll(now);
        }
        let mut queued = 0;
        while number % 7 == 0 && stack.front_frame().is_some() {
            queued += 1;
            stack.pop_frame();
        }
        assert!(queued <= 8 + 16, "{queued} frames were queued");
    }
    for _ in 0..20 {
        now += Duration::from_secs(7);
        stack.poll(now);
        while stack.front_frame().is_some() {
            stack.pop_frame();
        }
    }
}

#[derive(Clone, Debug)]
enum Mutation {
    Flip(usize, u8),
    Set(usize, u8),
    Cut(usize),
    Extend(usize),
    Again(usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        4 => (0usize..80, 0u8..8).prop_map(|(at, bit)| Mutation::Flip(at, 1 << bit)),
        4 => (0usize..80, any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        1 => (0usize..1600).prop_map(Mutation::Cut),
        1 => (0usize..100).prop_map(Mutation::Extend),
        1 => (0usize..1000).prop_map(Mutation::Again),
    ]
}

/// Makes the checksums right again, so that the mutation reaches the state machines.
fn repair(frame: &mut [u8]) {
    use smoltcp::wire::{IpProtocol, Ipv4Packet, TcpPacket, UdpPacket};
    if frame.len() < 34 || frame[12..14] != [8, 0] {
        return;
    }
    let Ok(mut packet) = Ipv4Packet::new_checked(&mut frame[14..]) else {
        return;
    };
    packet.fill_checksum();
    let (from, to) = (packet.src_addr().into(), packet.dst_addr().into());
    match packet.next_header() {
        IpProtocol::Tcp => {
            if let Ok(mut tcp) = TcpPacket::new_checked(packet.payload_mut()) {
                tcp.fill_checksum(&from, &to);
            }
        }
        IpProtocol::Udp => {
            if let Ok(mut udp) = UdpPacket::new_checked(packet.payload_mut()) {
                udp.fill_checksum(&from, &to);
            }
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn arbitrary_bytes(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 0..60), any_ip: bool) {
        let mut frames = frames;
        for (number, frame) in frames.iter_mut().enumerate() {
            // Half of them pretend to be for us, and to be ARP or IPv4.
            if number % 2 == 0 && frame.len() > 15 {
                frame[..6].copy_from_slice(&mac_of(1));
                frame[12..14].copy_from_slice(if number % 4 == 0 { &[8, 0] } else { &[8, 6] });
                frame[14] = if number % 4 == 0 { 0x45 } else { 0 };
            }
        }
        expose(&mut victim(any_ip), &frames);
    }

    #[test]
    fn mutated_conversations(
        mutations in prop::collection::vec((0usize..40, mutation()), 1..40),
        any_ip: bool,
        repaired: bool,
    ) {
        let mut frames = conversation();
        for (number, mutation) in mutations {
            let number = number % frames.len();
            let frame = &mut frames[number];
            match mutation {
                Mutation::Flip(at, bits) => if let Some(byte) = frame.get_mut(at) { *byte ^= bits },
                Mutation::Set(at, value) => if let Some(byte) = frame.get_mut(at) { *byte = value },
                Mutation::Cut(len) => frame.truncate(len),
                Mutation::Extend(by) => frame.extend(std::iter::repeat_n(0xaa, by)),
                Mutation::Again(at) => {
                    let copy = frame.clone();
                    frames.insert(at % (number + 1), copy);
                }
            }
        }
        if repaired {
            frames.iter_mut().for_each(|frame| repair(frame));
        }
        expose(&mut victim(any_ip), &frames);
    }

    /// Segments of one flow with arbitrary flags and numbers around those that the stack expects.
    #[test]
    fn arbitrary_segments(
        steps in prop::collection::vec((0u8..7, -3i32..200_000, -3i32..3, 0usize..1400, 0u8..8), 1..80),
    ) {
        let (mut stack, listener) = victim_with_listener(false);
        let mut now = Instant::from_secs(2);
        let (mut ours, mut accepted) = (0i32, None);
        let mut talk = |stack: &mut Stack, frame: &[u8], now| {
            stack.receive(now, frame);
            stack.poll(now);
            while let Some(sent) = stack.front_frame() {
                if sent.len() >= 54 && sent[23] == 6 {
                    let next = i32::from_be_bytes(sent[38..42].try_into().unwrap());
                    ours = next.wrapping_add(i32::from(sent[47] & 3 != 0));
                }
                stack.pop_frame();
            }
            ours
        };
        talk(&mut stack, &segment(9, TcpControl::Syn, 1000, None, &[]), now);
        talk(&mut stack, &arp(ArpOperation::Request, client_address(9).octets()[3] - 1, mac_of(0)), now);
        for (control, sequence, ack, len, action) in steps {
            let (control, acked) = match control {
                0 => (TcpControl::Syn, false),
                1 => (TcpControl::Syn, true),
                2 => (TcpControl::Rst, true),
                3 | 4 => (TcpControl::Fin, true),
                _ => (TcpControl::None, true),
            };
            let number = if len % 3 == 0 { 1001 } else { 1001 + sequence };
            let expected = talk(&mut stack, &[], now);
            let ack = acked.then_some(expected.wrapping_add(if len % 2 == 0 { 0 } else { ack }));
            let frame = segment(9, control, number, ack, &vec![1; len]);
            talk(&mut stack, &frame, now);
            accepted = accepted.or_else(|| stack.accept(listener));
            now += Duration::from_millis(u64::from(action) * 300);
            if let Some(id) = accepted {
                match action {
                    0 => drop(stack.send(id, &[2; 700])),
                    1 => drop(stack.recv(id, &mut [0; 900])),
                    2 => stack.finish(id),
                    3 => stack.release(id),
                    _ => {}
                }
            }
        }
        expose(&mut stack, &[]);
    }
}

/// Completes a handshake with a stack, and tells its next sequence number. The client's is 1000.
fn shake_hands(stack: &mut Stack, client: u32, now: Instant) -> i32 {
    stack.receive(now, &segment(client, TcpControl::Syn, 999, None, &[]));
    let host = client_address(client).octets()[3] - 1;
    stack.receive(now, &arp(ArpOperation::Request, host, mac_of(0)));
    stack.poll(now);
    let frames: Vec<_> = std::iter::from_fn(|| {
        let frame = stack.front_frame()?.to_vec();
        stack.pop_frame();
        Some(frame)
    })
    .collect();
    let syn_ack = frames.iter().find(|frame| frame[23] == 6).expect("a SYN-ACK");
    let ours = i32::from_be_bytes(syn_ack[38..42].try_into().unwrap()).wrapping_add(1);
    stack.receive(now, &segment(client, TcpControl::None, 1000, Some(ours), &[]));
    assert_eq!(stack.counters().connections_accepted, 1);
    ours
}

/// A damaged segment is no sign of life: the peer that owes an answer is given up all the same.
#[test]
fn damaged_segments_do_not_keep_a_connection() {
    let ((mut stack, listener), mut now) = (victim_with_listener(false), Instant::from_secs(2));
    let ours = shake_hands(&mut stack, 7, now);
    let id = stack.accept(listener).unwrap();
    stack.set_timeout(id, Some(Duration::from_secs(5)));
    stack.send(id, b"a question").unwrap();
    let mut damaged = segment(7, TcpControl::None, 1000, Some(ours), b"answer");
    *damaged.last_mut().unwrap() ^= 1;
    for _ in 0..10 {
        stack.poll(now);
        while stack.front_frame().is_some() {
            stack.pop_frame();
        }
        now += Duration::from_secs(1);
        stack.receive(now, &damaged);
    }
    assert_eq!(stack.state(id), ConnectionState::Closed(CloseReason::TimedOut));
    assert_eq!(stack.counters().dropped_malformed, 10);
}

/// The window of a SYN is not scaled; a peer that pretends otherwise must not overfill the buffer.
#[test]
fn data_beyond_the_window_of_the_syn_is_dropped() {
    let (mut stack, now) = (victim(false), Instant::from_secs(2));
    let ours = shake_hands(&mut stack, 7, now);
    for number in 0..150 {
        let data = segment(7, TcpControl::None, 1000 + number * 1000, Some(ours), &[1; 1000]);
        stack.receive(now, &data);
    }
    assert_eq!(stack.counters().dropped_beyond_window, 85, "the window is of 65535 bytes");
}

/// A FIN behind data that does not fit must not end the stream before that data.
#[test]
fn a_fin_beyond_the_window_is_dropped() {
    let ((mut stack, listener), now) = (victim_with_listener(false), Instant::from_secs(2));
    let ours = shake_hands(&mut stack, 7, now);
    let id = stack.accept(listener).unwrap();
    for sequence in (1000..).step_by(1400).take(46) {
        stack.receive(now, &segment(7, TcpControl::None, sequence, Some(ours), &[1; 1400]));
        stack.poll(now);
        while stack.front_frame().is_some() {
            stack.pop_frame();
        }
    }
    let received = stack.recv_queued(id);
    assert_eq!(received, 46 * 1400, "there is room for 1136 bytes more");
    let end = 1000 + received as i32;
    stack.receive(now, &segment(7, TcpControl::Fin, end, Some(ours), &[2; 1400]));
    assert_eq!(stack.state(id), ConnectionState::Established);
    assert_eq!(stack.recv_queued(id), 65_536, "what fits is taken, the end is not");
}

/// The same seed makes the same run, so that a failing one can be repeated.
#[test]
fn runs_are_repeatable() {
    assert_eq!(conversation(), conversation());
    assert_ne!(Random::new(1).next(), Random::new(2).next());
}
