//! Bytes arrive, all of them and in order, whatever the wire does.

use std::collections::HashMap;

use netstack::{CloseReason, ConnectionState, Duration, Limits};

use crate::sim::{Faults, Net, Side, bytes, small_limits};

/// A transfer in both directions between two hosts with IPv4 addresses.
fn transfer(seed: u64, faults: Faults, limits: &Limits, len: usize) {
    exchange(&mut Net::pair(seed, faults, limits), seed, len);
}

/// A transfer in both directions; both sides finish, and nothing is left but TIME-WAIT, then nothing.
pub fn exchange(net: &mut Net, seed: u64, len: usize) {
    let faults = net.faults;
    let listener = net.hosts[1].listen(80, 4).unwrap();
    let (client, server) = net.establish(listener, 80);
    let up = bytes(&mut net.random, len);
    let down = bytes(&mut net.random, len / 2 + 1);
    let mut sides = [Side::new(0, client, up.clone()), Side::new(1, server, down.clone())];
    net.run_until(Duration::from_secs(3600), |net| {
        sides.iter_mut().for_each(|side| side.work(net));
        sides.iter().all(|side| side.finished)
    });
    assert!(sides[1].received == up, "seed {seed}: what went up");
    assert!(sides[0].received == down, "seed {seed}: what went down");

    net.run_until(Duration::from_secs(3600), |net| {
        let closed = |host: usize, id| match net.hosts[host].state(id) {
            ConnectionState::Closed(CloseReason::Finished) => true,
            // The last acknowledgement may be lost until the other side's TIME-WAIT is over.
            ConnectionState::Closed(CloseReason::Reset) => faults.loss > 0,
            _ => false,
        };
        closed(0, client) && closed(1, server)
    });
    net.hosts[0].release(client);
    net.hosts[1].release(server);
    net.run_for(Duration::from_secs(1200));
    for host in &net.hosts {
        let counters = host.counters();
        assert_eq!((counters.connections, counters.time_wait), (0, 0), "seed {seed}: {counters:?}");
        assert_eq!(counters.buffer_bytes, 0, "seed {seed}");
    }
}

/// How many seeds to try; NETSTACK_SEEDS asks for a longer run.
pub fn seeds(usual: u64) -> u64 {
    std::env::var("NETSTACK_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(usual)
}

#[test]
fn arrives_over_a_perfect_wire() {
    transfer(1, Faults::NONE, &Limits::default(), 300_000);
}

#[test]
fn arrives_over_a_rough_wire() {
    for seed in 0..seeds(400) {
        transfer(seed, Faults::ROUGH, &patient_limits(), 20_000);
    }
}

#[test]
fn arrives_over_a_rough_wire_with_ipv6() {
    for seed in 0..seeds(100) {
        exchange(&mut Net::pair_ipv6(seed, Faults::ROUGH, &patient_limits()), seed, 20_000);
    }
}

/// Three duplicate acknowledgements while only the FIN is in flight make smoltcp forget it.
#[test]
fn a_fin_that_is_forgotten_is_sent_again() {
    transfer(19_292, Faults::ROUGH, &patient_limits(), 20_000);
}

/// Small, and so patient that a run of bad luck is not taken for a dead peer.
pub fn patient_limits() -> Limits {
    Limits {
        handshake_timeout: Duration::from_secs(300),
        peer_timeout: Duration::from_secs(1000),
        ..small_limits()
    }
}

#[test]
fn arrives_through_large_buffers() {
    let limits =
        Limits { receive_buffer_bytes: 200_000, send_buffer_bytes: 300_000, ..Limits::default() };
    for seed in 0..seeds(4) {
        transfer(seed, Faults::NONE, &limits, 1_000_000);
        transfer(seed, Faults { loss: 2, ..Faults::ROUGH }, &limits, 300_000);
    }
}

#[test]
fn arrives_through_a_queue_of_one_frame() {
    let limits = Limits { frames_queued: 1, ..small_limits() };
    transfer(5, Faults::NONE, &limits, 50_000);
    transfer(6, Faults::ROUGH, &limits, 10_000);
}

/// Reading and writing in place moves the same bytes.
#[test]
fn arrives_in_place() {
    let mut net = Net::pair(7, Faults::NONE, &small_limits());
    let listener = net.hosts[1].listen(80, 1).unwrap();
    let (client, server) = net.establish(listener, 80);
    let data = bytes(&mut net.random, 30_000);
    let (mut sent, mut received) = (0, Vec::new());
    net.run_until(Duration::from_secs(60), |net| {
        let rest = &data[sent..];
        sent += net.hosts[0]
            .send_with(client, |room| {
                let len = room.len().min(rest.len());
                room[..len].copy_from_slice(&rest[..len]);
                (len, len)
            })
            .unwrap();
        net.hosts[1]
            .recv_with(server, |data| {
                received.extend_from_slice(data);
                (data.len(), ())
            })
            .unwrap();
        received.len() == data.len()
    });
    assert!(received == data);
}

/// Two thousand connections at once, each with its own bytes, and each frame costs as little as with one.
#[test]
fn many_connections_at_once() {
    const CONNECTIONS: usize = 2000;
    let limits = Limits {
        connections: CONNECTIONS,
        half_open: CONNECTIONS,
        time_wait: CONNECTIONS,
        receive_buffer_bytes: 1024,
        send_buffer_bytes: 1024,
        ..Limits::default()
    };
    let mut net = Net::pair(9, Faults::NONE, &limits);
    let listener = net.hosts[1].listen(80, CONNECTIONS).unwrap();
    let mut sides = Vec::new();
    for number in 0..CONNECTIONS {
        let (now, to) = (net.now, crate::sim::remote(1, 80));
        let client = net.hosts[0].connect(now, to, None).unwrap();
        sides.push(Side::new(0, client, number.to_le_bytes().repeat(100)));
    }
    let mut echoes: Vec<netstack::ConnectionId> = Vec::new();
    net.hosts[1].set_track_touched(true);
    net.hosts[0].set_track_touched(true);
    let numbers: HashMap<_, _> =
        sides.iter().zip(0..).map(|(side, number)| (side.id, number)).collect();
    let mut finished = 0;
    net.run_until(Duration::from_secs(600), |net| {
        while let Some(id) = net.hosts[1].accept(listener) {
            echoes.push(id);
        }
        echo_touched(net);
        while let Some(id) = net.hosts[0].next_touched() {
            let side: &mut Side = &mut sides[numbers[&id]];
            finished -= usize::from(side.finished);
            side.work(net);
            finished += usize::from(side.finished);
        }
        finished == CONNECTIONS
    });
    assert_eq!(echoes.len(), CONNECTIONS);
    for side in &sides {
        assert!(side.received == side.to_send);
    }
}

/// Sends back what came, on every connection that anything happened to.
fn echo_touched(net: &mut Net) {
    let stack = &mut net.hosts[1];
    while let Some(id) = stack.next_touched() {
        let mut buffer = [0; 1024];
        let room = stack.send_room(id);
        match stack.recv(id, &mut buffer[..room]) {
            Ok(netstack::Received::Data(len)) => {
                assert_eq!(stack.send(id, &buffer[..len]), Ok(len));
            }
            Ok(netstack::Received::Finished) => stack.release(id),
            Ok(netstack::Received::Empty) | Err(_) => {}
        }
    }
}

/// The cost of a request, counted in segments and turns, among few and among many idle connections.
#[test]
fn work_does_not_grow_with_connections() {
    let cost = |idle: usize| {
        let limits = Limits {
            connections: 4096,
            half_open: 4096,
            receive_buffer_bytes: 1024,
            send_buffer_bytes: 1024,
            ..Limits::default()
        };
        let mut net = Net::pair(11, Faults::NONE, &limits);
        let listener = net.hosts[1].listen(80, 4096).unwrap();
        let pairs: Vec<_> = (0..=idle).map(|_| net.establish(listener, 80)).collect();
        net.run_for(Duration::from_secs(5));
        let (client, server) = pairs[idle / 2];
        let work = |host: &netstack::Stack| {
            let counters = host.counters();
            counters.turns + counters.segments_delivered
        };
        let before: Vec<_> = net.hosts.iter().map(work).collect();
        for _ in 0..10 {
            assert_eq!(net.hosts[0].send(client, b"ping"), Ok(4));
            net.run_until(Duration::from_secs(1), |net| net.hosts[1].recv_queued(server) == 4);
            let mut buffer = [0; 4];
            net.hosts[1].recv(server, &mut buffer).unwrap();
            net.run_for(Duration::from_millis(100));
        }
        net.hosts.iter().zip(before).map(|(host, before)| work(host) - before).sum::<u64>()
    };
    let (few, many) = (cost(3), cost(1500));
    assert_eq!(few, many, "for ten requests");
    assert!(few <= 80, "{few} for ten requests, their acknowledgements and delays");
}
