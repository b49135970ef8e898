//! Floods stay within the limits, and those who were there before still work.

use netstack::{CloseReason, ConnectError, ConnectionState, Duration, Limits, Received};
use smoltcp::wire::{ArpOperation, TcpControl};

use crate::frames::{arp, segment};
use crate::sim::{Faults, Net, mac_of, remote, small_limits};

#[test]
fn a_syn_flood_spares_the_established() {
    let mut net = Net::pair(1, Faults::NONE, &small_limits());
    let listener = net.hosts[1].listen(80, 8).unwrap();
    let (client, server) = net.establish(listener, 80);
    for round in 0..200 {
        for n in 0..50 {
            let syn = segment(round * 977 + n * 31 + 1, TcpControl::Syn, 7, None, &[]);
            net.hosts[1].receive(net.now, &syn);
            assert!(net.hosts[1].counters().half_open <= 16);
        }
        net.run_for(Duration::from_millis(1));
    }
    let counters = net.hosts[1].counters().clone();
    assert!(counters.half_open_evicted > 5000, "{counters:?}");
    assert_eq!(counters.connections, 17);
    net.hosts[0].send(client, b"still there").unwrap();
    net.run_for(Duration::from_secs(3));
    let mut buffer = [0; 20];
    assert_eq!(net.hosts[1].recv(server, &mut buffer), Ok(Received::Data(11)));
    // And a new one gets through, too.
    let (fresh, _) = net.establish(listener, 80);
    assert_eq!(net.hosts[0].state(fresh), ConnectionState::Established);
    net.run_for(Duration::from_secs(12));
    assert_eq!(net.hosts[1].counters().half_open, 0, "the flood's handshakes expire");
}

#[test]
fn a_full_backlog_drops_syns_until_there_is_room() {
    let mut net = Net::pair(2, Faults::NONE, &small_limits());
    let listener = net.hosts[1].listen(80, 2).unwrap();
    let now = net.now;
    let clients: Vec<_> =
        (0..2).map(|_| net.hosts[0].connect(now, remote(1, 80), None).unwrap()).collect();
    net.run_for(Duration::from_secs(1));
    let now = net.now;
    let late = net.hosts[0].connect(now, remote(1, 80), None).unwrap();
    net.run_for(Duration::from_millis(500));
    assert_eq!(net.hosts[0].state(clients[1]), ConnectionState::Established);
    assert_eq!(net.hosts[0].state(late), ConnectionState::Opening);
    assert_eq!(net.hosts[1].counters().syns_dropped_backlog, 1);
    assert!(net.hosts[1].accept(listener).is_some());
    net.run_for(Duration::from_secs(3));
    assert_eq!(net.hosts[0].state(late), ConnectionState::Established);
}

#[test]
fn connections_are_bounded_on_both_sides() {
    let limits = Limits { connections: 8, ..small_limits() };
    let mut net = Net::pair(3, Faults::NONE, &limits);
    let listener = net.hosts[1].listen(80, 8).unwrap();
    let pairs: Vec<_> = (0..8).map(|_| net.establish(listener, 80)).collect();
    let now = net.now;
    let too_many = Err(ConnectError::TooMany(8));
    assert_eq!(net.hosts[0].connect(now, remote(1, 80), None), too_many);
    let syn = segment(99, TcpControl::Syn, 7, None, &[]);
    net.hosts[1].receive(now, &syn);
    assert_eq!(net.hosts[1].counters().syns_dropped_limit, 1);
    net.hosts[0].abort(pairs[0].0);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.hosts[1].state(pairs[0].1), ConnectionState::Closed(CloseReason::Reset));
    net.hosts[1].release(pairs[0].1);
    net.establish(listener, 80);
}

#[test]
fn time_wait_is_bounded_and_the_oldest_goes_first() {
    let limits = Limits { time_wait: 4, ..small_limits() };
    let mut net = Net::pair(4, Faults::NONE, &limits);
    let listener = net.hosts[1].listen(80, 8).unwrap();
    for _ in 0..10 {
        let (client, server) = net.establish(listener, 80);
        net.hosts[0].release(client);
        net.run_for(Duration::from_millis(20));
        net.hosts[1].release(server);
        net.run_for(Duration::from_millis(20));
    }
    let counters = net.hosts[0].counters();
    assert_eq!((counters.connections, counters.time_wait, counters.time_wait_evicted), (0, 4, 6));
}

#[test]
fn an_arp_flood_does_not_cut_off_a_neighbour_in_use() {
    let mut net = Net::pair(5, Faults::NONE, &small_limits());
    let listener = net.hosts[1].listen(80, 8).unwrap();
    let (client, server) = net.establish(listener, 80);
    net.run_for(Duration::from_secs(1));
    let questions = |net: &Net| {
        let record = net.record.as_deref().unwrap_or_default();
        record.iter().filter(|frame| frame[12..14] == [8, 6] && frame[21] == 1).count()
    };
    net.record = Some(Vec::new());
    for second in 0..20u8 {
        for host in 3..250 {
            let request = arp(ArpOperation::Request, host, [2, 9, 9, second, 0, host]);
            net.hosts[1].receive(net.now, &request);
        }
        net.hosts[0].send(client, b"x").unwrap();
        net.run_for(Duration::from_secs(1));
        assert_eq!(net.hosts[1].recv(server, &mut [0; 8]), Ok(Received::Data(1)));
        assert_eq!(questions(&net), 0, "second {second}: the neighbour was forgotten");
    }
    assert!(net.hosts[1].counters().dropped_arp > 1000);
}

/// Strangers who ask for the stack's address use up what it may learn, and a new host still finds it.
#[test]
fn an_arp_flood_does_not_hide_the_stack() {
    let mut net = Net::pair(8, Faults::NONE, &small_limits());
    net.hosts[1].listen(80, 8).unwrap();
    for host in 3..43 {
        let request = arp(ArpOperation::Request, host, [2, 9, 9, 0, 0, host]);
        net.hosts[1].receive(net.now, &request);
    }
    let now = net.now;
    let client = net.hosts[0].connect(now, remote(1, 80), None).unwrap();
    net.run_for(Duration::from_millis(100));
    assert!(net.hosts[1].counters().dropped_arp > 0, "the flood was too small");
    assert_eq!(net.hosts[0].state(client), ConnectionState::Established);
}

/// Answers to strangers are whole ARP replies to those who asked, and not more than a bound.
#[test]
fn answers_to_strangers_are_bounded() {
    let mut net = Net::pair(9, Faults::NONE, &small_limits());
    let host = &mut net.hosts[1];
    let mut answers = 0;
    for n in 0..2000u16 {
        let [high, low] = n.to_be_bytes();
        let stranger = [2, 9, 9, 9, high, low];
        host.receive(net.now, &arp(ArpOperation::Request, 3, stranger));
        host.receive(net.now, &arp(ArpOperation::Reply, 3, stranger));
        while let Some(frame) = host.front_frame() {
            assert_eq!((&frame[..6], &frame[6..12]), (&stranger[..], &mac_of(1)[..]));
            assert_eq!(frame[12..22], [8, 6, 0, 1, 8, 0, 6, 4, 0, 2], "an ARP reply");
            assert_eq!((&frame[22..28], &frame[28..32]), (&mac_of(1)[..], &[10, 0, 0, 2][..]));
            assert_eq!((&frame[32..38], &frame[38..42]), (&stranger[..], &[10, 0, 0, 4][..]));
            answers += 1;
            host.pop_frame();
        }
    }
    assert_eq!(answers, 1024, "in one second");
    net.now += Duration::from_secs(1);
    let broadcast = arp(ArpOperation::Request, 3, [0xff; 6]);
    (0..40).for_each(|_| net.hosts[1].receive(net.now, &broadcast));
    assert_eq!(net.hosts[1].front_frame(), None, "nothing is sent to everybody");
}

/// Connections that wait for the same neighbour go on as soon as it answers, not a second later.
#[test]
fn waiting_for_arp_ends_with_the_answer() {
    let mut net = Net::pair(6, Faults::NONE, &small_limits());
    let listener = net.hosts[1].listen(80, 16).unwrap();
    let now = net.now;
    let clients: Vec<_> =
        (0..10).map(|_| net.hosts[0].connect(now, remote(1, 80), None).unwrap()).collect();
    net.run_for(Duration::from_millis(10));
    for client in clients {
        assert_eq!(net.hosts[0].state(client), ConnectionState::Established);
    }
    assert!(net.hosts[1].accept(listener).is_some());
}

/// When the queue of frames is full, those who have more to send take turns.
#[test]
fn a_full_queue_is_shared_fairly() {
    let limits = Limits { frames_queued: 4, send_buffer_bytes: 32 * 1024, ..small_limits() };
    let mut net = Net::pair(7, Faults::NONE, &limits);
    let listener = net.hosts[1].listen(80, 16).unwrap();
    let pairs: Vec<_> = (0..8).map(|_| net.establish(listener, 80)).collect();
    for (client, _) in &pairs {
        net.hosts[0].send(*client, &[1; 30_000]).unwrap();
    }
    let mut received = [0; 8];
    net.run_until(Duration::from_secs(60), |net| {
        for (total, (_, server)) in received.iter_mut().zip(&pairs) {
            let mut buffer = [0; 4096];
            if let Ok(Received::Data(bytes)) = net.hosts[1].recv(*server, &mut buffer) {
                *total += bytes;
            }
        }
        received.iter().sum::<usize>() > 120_000
    });
    let (least, most) = (received.iter().min().unwrap(), received.iter().max().unwrap());
    assert!(*least * 2 > *most, "{received:?}");
}
