//! How connections end: finished, reset, released, timed out; and that stale ids stay stale.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use netstack::{
    CloseReason, ConnectError, ConnectionState, Duration, Received, RecvError, SendError,
};

use crate::sim::{Faults, Net, Side, address_of, remote, small_limits};

fn open() -> (Net, netstack::ListenerId, netstack::ConnectionId, netstack::ConnectionId) {
    let mut net = Net::pair(3, Faults::NONE, &small_limits());
    let listener = net.hosts[1].listen(80, 8).unwrap();
    let (client, server) = net.establish(listener, 80);
    (net, listener, client, server)
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn counting_waker() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count::default());
    (Arc::clone(&count), Waker::from(count))
}

#[test]
fn one_side_finishes_first() {
    let (mut net, _, client, server) = open();
    net.hosts[0].send(client, b"question").unwrap();
    net.hosts[0].finish(client);
    assert_eq!(net.hosts[0].send(client, b"more"), Err(SendError::Finished));
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.hosts[0].state(client), ConnectionState::Finishing);
    assert_eq!(net.hosts[1].state(server), ConnectionState::PeerFinished);
    let mut buffer = [0; 100];
    assert_eq!(net.hosts[1].recv(server, &mut buffer), Ok(Received::Data(8)));
    assert_eq!(net.hosts[1].recv(server, &mut buffer), Ok(Received::Finished));
    assert_eq!(net.hosts[1].send(server, b"answer"), Ok(6));
    net.hosts[1].release(server);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.hosts[0].recv(client, &mut buffer), Ok(Received::Data(6)));
    assert_eq!(net.hosts[0].recv(client, &mut buffer), Ok(Received::Finished));
    assert_eq!(net.hosts[0].counters().time_wait, 1, "the first to finish waits");
    assert_eq!(net.hosts[1].counters().connections, 0);
}

#[test]
fn a_released_connection_sends_what_is_queued() {
    let (mut net, _, client, server) = open();
    assert_eq!(net.hosts[1].send(server, &[7; 4000]), Ok(4000));
    net.hosts[1].release(server);
    let mut reader = Side::new(0, client, Vec::new());
    net.run_until(Duration::from_secs(10), |net| {
        reader.work(net);
        reader.finished
    });
    assert_eq!(reader.received, [7; 4000]);
}

#[test]
fn releasing_unread_data_resets() {
    let (mut net, _, client, server) = open();
    net.hosts[0].send(client, b"unread").unwrap();
    net.run_for(Duration::from_secs(1));
    net.hosts[1].release(server);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.hosts[0].state(client), ConnectionState::Closed(CloseReason::Reset));
    let mut buffer = [0; 8];
    let closed = Err(RecvError::Closed(CloseReason::Reset));
    assert_eq!(net.hosts[0].recv(client, &mut buffer), closed);
    assert_eq!(net.hosts[1].counters().connections, 0);
}

#[test]
fn data_after_release_resets() {
    let (mut net, _, client, server) = open();
    net.hosts[1].release(server);
    net.run_for(Duration::from_secs(1));
    net.hosts[0].send(client, b"too late").unwrap();
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.hosts[0].state(client), ConnectionState::Closed(CloseReason::Reset));
    assert_eq!(net.hosts[1].counters().connections, 0);
}

/// A peer that never finishes does not hold a released connection for ever.
#[test]
fn lingering_is_bounded() {
    let (mut net, _, client, server) = open();
    net.hosts[1].release(server);
    net.run_for(Duration::from_secs(59));
    assert_eq!(net.hosts[1].counters().connections, 1);
    assert_eq!(net.hosts[0].state(client), ConnectionState::PeerFinished);
    net.run_for(Duration::from_secs(3));
    assert_eq!(net.hosts[1].counters().connections, 0);
    assert_eq!(net.hosts[0].state(client), ConnectionState::Closed(CloseReason::Reset));
}

/// An abort gives the buffers back at once, whatever the peer did not take.
#[test]
fn an_aborted_connection_does_not_linger() {
    let (mut net, _, client, server) = open();
    net.hosts[1].send(server, &[1; 4096]).unwrap();
    net.unplugged = Some(0);
    net.run_for(Duration::from_secs(1));
    net.hosts[1].abort(server);
    net.hosts[1].release(server);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.hosts[1].counters().connections, 0);
    assert_eq!(net.hosts[0].state(client), ConnectionState::Established, "it heard nothing");
}

#[test]
fn data_before_a_reset_can_be_read() {
    let (mut net, _, client, server) = open();
    net.hosts[0].send(client, b"last words").unwrap();
    net.run_for(Duration::from_secs(1));
    net.hosts[0].abort(client);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.hosts[1].state(server), ConnectionState::Closed(CloseReason::Reset));
    let mut buffer = [0; 4];
    assert_eq!(net.hosts[1].recv(server, &mut buffer), Ok(Received::Data(4)));
    let mut rest = [0; 100];
    assert_eq!(net.hosts[1].recv(server, &mut rest), Ok(Received::Data(6)));
    assert_eq!(net.hosts[1].recv(server, &mut rest), Err(RecvError::Closed(CloseReason::Reset)));
    assert_eq!(net.hosts[1].send(server, b"x"), Err(SendError::Closed(CloseReason::Reset)));
    net.hosts[1].release(server);
    net.hosts[1].poll(net.now);
    assert_eq!(net.hosts[1].counters().connections, 0);
}

#[test]
fn a_peer_that_vanishes_is_given_up() {
    let (mut net, _, client, server) = open();
    net.unplugged = Some(0);
    let (wakes, waker) = counting_waker();
    net.hosts[1].register_recv_waker(server, &waker);
    net.run_for(Duration::from_secs(3600));
    assert_eq!(net.hosts[1].state(server), ConnectionState::Established, "nothing is owed");
    net.hosts[1].send(server, b"anybody there?").unwrap();
    net.run_for(Duration::from_secs(59));
    assert_eq!(net.hosts[1].state(server), ConnectionState::Established);
    net.run_for(Duration::from_secs(2));
    assert_eq!(net.hosts[1].state(server), ConnectionState::Closed(CloseReason::TimedOut));
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    let mut buffer = [0; 8];
    let timed_out = Err(RecvError::Closed(CloseReason::TimedOut));
    assert_eq!(net.hosts[1].recv(server, &mut buffer), timed_out);
    assert_eq!(net.hosts[0].state(client), ConnectionState::Established);
}

#[test]
fn keep_alive_finds_a_dead_peer_and_spares_a_living_one() {
    let (mut net, _, client, server) = open();
    net.hosts[1].set_keep_alive(server, Some(Duration::from_secs(10)));
    net.hosts[1].set_timeout(server, Some(Duration::from_secs(30)));
    net.run_for(Duration::from_secs(600));
    assert_eq!(net.hosts[1].state(server), ConnectionState::Established);
    net.unplugged = Some(0);
    net.run_for(Duration::from_secs(45));
    assert_eq!(net.hosts[1].state(server), ConnectionState::Closed(CloseReason::TimedOut));
    assert_eq!(net.hosts[0].state(client), ConnectionState::Established);
}

#[test]
fn a_closed_port_refuses() {
    let mut net = Net::pair(4, Faults::NONE, &small_limits());
    let now = net.now;
    let id = net.hosts[0].connect(now, remote(1, 81), None).unwrap();
    let (wakes, waker) = counting_waker();
    net.hosts[0].register_send_waker(id, &waker);
    assert_eq!(net.hosts[0].state(id), ConnectionState::Opening);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.hosts[0].state(id), ConnectionState::Closed(CloseReason::Refused));
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    assert_eq!(net.hosts[1].counters().segments_refused, 1);
    assert_eq!(net.hosts[1].counters().connections, 0);
}

#[test]
fn nobody_answers() {
    let mut net = Net::pair(4, Faults::NONE, &small_limits());
    let now = net.now;
    let id = net.hosts[0].connect(now, remote(99, 80), None).unwrap();
    net.run_for(Duration::from_secs(62));
    assert_eq!(net.hosts[0].state(id), ConnectionState::Closed(CloseReason::TimedOut));
    net.hosts[0].release(id);
    net.run_for(Duration::from_secs(2));
    assert_eq!(net.hosts[0].counters().connections, 0);
}

#[test]
fn a_closed_listener_resets_what_it_has() {
    let mut net = Net::pair(4, Faults::NONE, &small_limits());
    let listener = net.hosts[1].listen(80, 8).unwrap();
    let now = net.now;
    let id = net.hosts[0].connect(now, remote(1, 80), None).unwrap();
    net.run_until(Duration::from_secs(1), |net| net.hosts[1].counters().connections_accepted == 1);
    net.hosts[1].close_listener(listener);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.hosts[0].state(id), ConnectionState::Closed(CloseReason::Reset));
    assert_eq!(net.hosts[1].counters().connections, 0);
    assert_eq!(net.hosts[1].accept(listener), None);
}

#[test]
fn stale_ids_reach_nothing() {
    let (mut net, listener, client, server) = open();
    net.hosts[1].abort(server);
    net.run_for(Duration::from_secs(1));
    net.hosts[0].release(client);
    let (client, fresh) = net.establish(listener, 80);
    net.hosts[0].send(client, b"secret").unwrap();
    net.run_for(Duration::from_secs(1));

    let stack = &mut net.hosts[1];
    let mut buffer = [0; 8];
    let released = CloseReason::Released;
    assert_ne!(server, fresh);
    assert_eq!(stack.state(server), ConnectionState::Closed(released));
    assert_eq!(stack.recv(server, &mut buffer), Err(RecvError::Closed(released)));
    assert_eq!(stack.send(server, b"x"), Err(SendError::Closed(released)));
    assert_eq!((stack.local(server), stack.remote(server)), (None, None));
    assert_eq!(
        (stack.recv_queued(server), stack.send_queued(server), stack.send_room(server)),
        (0, 0, 0)
    );
    stack.finish(server);
    stack.abort(server);
    stack.release(server);
    stack.set_keep_alive(server, Some(Duration::from_secs(1)));
    let (wakes, waker) = counting_waker();
    stack.register_recv_waker(server, &waker);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1, "it would never be woken otherwise");
    assert_eq!(stack.recv(fresh, &mut buffer), Ok(Received::Data(6)));
}

#[test]
fn a_peer_that_restarts_gets_a_new_connection() {
    let mut net = Net::pair(8, Faults::NONE, &small_limits());
    let listener = net.hosts[1].listen(80, 8).unwrap();
    let from = Some(remote(0, 5000));
    let now = net.now;
    net.hosts[0].connect(now, remote(1, 80), from).unwrap();
    net.run_until(Duration::from_secs(1), |net| net.hosts[1].counters().connections_accepted == 1);
    let old = net.hosts[1].accept(listener).unwrap();

    let reborn = netstack::Config {
        limits: small_limits(),
        ..netstack::Config::new(crate::sim::mac_of(0), 1500, 77)
    };
    net.hosts[0] = netstack::Stack::new(reborn, net.now).unwrap();
    net.hosts[0].set_ipv4(address_of(0), 24, None).unwrap();
    let now = net.now;
    let client = net.hosts[0].connect(now, remote(1, 80), from).unwrap();
    net.run_for(Duration::from_secs(5));
    assert_eq!(net.hosts[1].state(old), ConnectionState::Closed(CloseReason::Reset));
    assert_eq!(net.hosts[0].state(client), ConnectionState::Established);
}

#[test]
fn a_newer_syn_ends_time_wait() {
    let mut net = Net::pair(8, Faults::NONE, &small_limits());
    let listener = net.hosts[1].listen(80, 8).unwrap();
    let from = Some(remote(0, 5000));
    let mut reused = 0;
    for round in 0..8 {
        let now = net.now;
        let client = net.hosts[0].connect(now, remote(1, 80), from).unwrap();
        let mut server = None;
        net.run_until(Duration::from_secs(30), |net| {
            server = net.hosts[1].accept(listener);
            server.is_some()
        });
        // The server finishes first, so TIME-WAIT is its.
        net.hosts[1].release(server.unwrap());
        net.run_for(Duration::from_secs(1));
        net.hosts[0].release(client);
        net.run_for(Duration::from_secs(1));
        assert_eq!(net.hosts[1].counters().time_wait, 1, "round {round}");
        assert_eq!(net.hosts[0].counters().connections, 0);
        reused = net.hosts[1].counters().time_wait_reused;
    }
    assert!(reused > 0, "about every second sequence number is newer");
    net.run_for(Duration::from_secs(11));
    assert_eq!(net.hosts[1].counters().time_wait, 0);
}

#[test]
fn connections_of_a_lost_address_end() {
    let (mut net, _, client, _) = open();
    net.hosts[0].set_ipv4(address_of(50), 24, None).unwrap();
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.hosts[0].state(client), ConnectionState::Closed(CloseReason::AddressLost));
}

#[test]
fn impossible_connections_are_refused_at_once() {
    let mut net = Net::pair(8, Faults::NONE, &small_limits());
    let now = net.now;
    let own = remote(0, 80);
    let broadcast = "10.0.0.255:80".parse().unwrap();
    let group = "224.0.0.1:80".parse().unwrap();
    let stack = &mut net.hosts[0];
    for bad in [own, broadcast, group, remote(1, 0), "[::1]:80".parse().unwrap()] {
        assert_eq!(stack.connect(now, bad, None), Err(ConnectError::NotUsable(bad)), "{bad}");
    }
    let foreign = Some(remote(7, 1234));
    assert_eq!(stack.connect(now, remote(1, 80), foreign), Err(ConnectError::NoAddress));
    let from = Some(remote(0, 1234));
    stack.connect(now, remote(1, 80), from).unwrap();
    let in_use = Err(ConnectError::InUse(remote(0, 1234)));
    assert_eq!(stack.connect(now, remote(1, 80), from), in_use);
    stack.set_ipv4(address_of(0), 24, None).unwrap();
    let far = "192.0.2.1:80".parse().unwrap();
    assert_eq!(stack.connect(now, far, None), Err(ConnectError::NoRoute(far)));
}
