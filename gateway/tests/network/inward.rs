//! Clients of published ports.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use netstack::{CloseReason, ConnectionId, ConnectionState, ListenerId, Received};
use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};

use crate::child::Wishes;
use crate::guest::Guest;
use crate::host::{Background, connect, exchange, pattern, read_to_end};
use crate::services::{echo_replies, ping};

fn publishing() -> Wishes {
    Wishes { publish: vec![80], ..Wishes::default() }
}

/// Accepts whoever comes, and sends back what they say.
struct EchoServer {
    listener: ListenerId,
    open: Vec<ConnectionId>,
    most_open: usize,
}

impl EchoServer {
    fn new(guest: &mut Guest) -> Self {
        let listener = guest.stack.listen(80, 256).unwrap();
        Self { listener, open: Vec::new(), most_open: 0 }
    }

    fn serve(&mut self, guest: &mut Guest) {
        while let Some(id) = guest.stack.accept(self.listener) {
            self.open.push(id);
        }
        self.most_open = self.most_open.max(self.open.len());
        self.open.retain(|id| !guest.echo(*id));
    }
}

fn accept(guest: &mut Guest, listener: ListenerId) -> ConnectionId {
    let mut accepted = None;
    guest.run_until("a client", |guest| {
        accepted = guest.stack.accept(listener);
        accepted.is_some()
    });
    accepted.unwrap()
}

pub(crate) fn megabytes_come_back_as_they_were() {
    echo_megabytes(Guest::with_lease(&publishing()));
}

pub(crate) fn frames_may_be_large() {
    echo_megabytes(Guest::with_lease(&Wishes { mtu: Some(16_000), ..publishing() }));
}

fn echo_megabytes(mut guest: Guest) {
    let mut server = EchoServer::new(&mut guest);
    let data = pattern(6 << 20);
    let client = connect(guest.published[0]);
    let sent = data.clone();
    let exchange = Background::start(move || exchange(client, sent));
    let received = guest.run_while("an echo", exchange, |guest| server.serve(guest));
    assert!(received == data, "{} of {} bytes", received.len(), data.len());
    guest.exit_well();
}

pub(crate) fn hundreds_of_clients_at_once() {
    const CLIENTS: usize = 300;
    let mut guest = Guest::with_lease(&publishing());
    let mut server = EchoServer::new(&mut guest);
    let address = guest.published[0];
    let all = Background::start(move || {
        let mut clients: Vec<TcpStream> = (0..CLIENTS).map(|_| connect(address)).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            writeln!(client, "client {number}").unwrap();
        }
        // All are open until all are answered.
        for (number, client) in clients.iter_mut().enumerate() {
            let expected = format!("client {number}\n");
            let mut answer = vec![0; expected.len()];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(answer, expected.as_bytes());
        }
    });
    guest.run_while("the clients", all, |guest| server.serve(guest));
    assert_eq!(server.most_open, CLIENTS);
    guest.run_until("their ends", |guest| {
        server.serve(guest);
        server.open.is_empty()
    });
    let counters = guest.exit_well();
    assert!(counters.contains("connections_in: 300"), "{counters}");
}

pub(crate) fn a_client_that_comes_early_is_served() {
    let mut guest = Guest::new(&publishing());
    let data = pattern(1000);
    let (client, sent) = (connect(guest.published[0]), data.clone());
    let client = Background::start(move || exchange(client, sent));
    guest.lease();
    guest.run_until("a client for nobody", |guest| guest.stack.counters().segments_refused > 1);
    let mut server = EchoServer::new(&mut guest);
    let received = guest.run_while("the early client", client, |guest| server.serve(guest));
    assert_eq!(received, data);
    guest.exit_well();
}

pub(crate) fn a_client_of_a_closed_port_is_reset() {
    let mut guest = Guest::with_lease(&Wishes { impatient: true, ..publishing() });
    let mut client = connect(guest.published[0]);
    let error = Background::start(move || client.read(&mut [0]).unwrap_err().kind());
    let error = guest.run_while("a refusal", error, |_| {});
    assert_eq!(error, ErrorKind::ConnectionReset);
    guest.exit_well();
}

pub(crate) fn resets_pass_both_ways() {
    let mut guest = Guest::with_lease(&publishing());
    let listener = guest.stack.listen(80, 1).unwrap();

    let mut client = connect(guest.published[0]);
    let id = accept(&mut guest, listener);
    guest.stack.abort(id);
    let error = Background::start(move || client.read(&mut [0]).unwrap_err().kind());
    let error = guest.run_while("a reset from the guest", error, |_| {});
    assert_eq!(error, ErrorKind::ConnectionReset);

    let client = connect(guest.published[0]);
    let id = accept(&mut guest, listener);
    reset(client);
    let reset = ConnectionState::Closed(CloseReason::Reset);
    guest.run_until("a reset from the client", |guest| guest.stack.state(id) == reset);
    guest.exit_well();
}

/// A guest with room for one client, and that client.
fn with_an_only_client() -> (Guest, ListenerId, TcpStream, ConnectionId) {
    let mut guest = Guest::with_lease(&Wishes { connections_max: Some(1), ..publishing() });
    let listener = guest.stack.listen(80, 1).unwrap();
    let client = connect(guest.published[0]);
    let id = accept(&mut guest, listener);
    (guest, listener, client, id)
}

pub(crate) fn a_reset_after_the_end_makes_room() {
    let (mut guest, listener, mut client, id) = with_an_only_client();
    guest.stack.finish(id);
    let reading = Background::start(move || (client.read(&mut [0]).unwrap(), client));
    let (bytes, _client) = guest.run_while("the guest's end", reading, |_| {});
    assert_eq!(bytes, 0);

    guest.stack.abort(id);
    let _second = connect(guest.published[0]);
    accept(&mut guest, listener);
    guest.exit_well();
}

pub(crate) fn a_reset_before_a_shut_window_makes_room() {
    let (mut guest, listener, mut client, id) = with_an_only_client();
    let window = guest.stack.limits().receive_buffer_bytes;
    // More than the guest and the gateway take in; the kernel holds the rest.
    let data = pattern(window + 128 * 1024);
    let writing = Background::start(move || {
        client.write_all(&data).unwrap();
        client
    });
    let client = guest.run_while("the kernel to take it all", writing, |_| {});
    guest.run_until("a shut window", |guest| guest.stack.recv_queued(id) == window);

    reset(client);
    let _second = connect(guest.published[0]);
    accept(&mut guest, listener);
    let reset = ConnectionState::Closed(CloseReason::Reset);
    guest.run_until("the reset", |guest| guest.stack.state(id) == reset);
    guest.exit_well();
}

fn reset(client: TcpStream) {
    setsockopt(&client, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 }).unwrap();
}

pub(crate) fn a_slow_reader_slows_the_guest() {
    const BYTES: usize = 48 << 20;
    let mut guest = Guest::with_lease(&publishing());
    let listener = guest.stack.listen(80, 1).unwrap();
    let client = connect(guest.published[0]);
    let id = accept(&mut guest, listener);
    let data = pattern(BYTES);
    let mut sent = 0;
    fill(&mut guest, id, &data, &mut sent);
    assert!(sent < BYTES, "nobody reads, and yet it is all sent");
    let memory = guest.peak_memory_bytes();
    assert!(memory < 24 << 20, "{memory} bytes");

    let reading = Background::start(move || read_to_end(client));
    let received = guest.run_while("the rest", reading, |guest| {
        if sent < BYTES {
            sent += guest.stack.send(id, &data[sent..]).unwrap();
            if sent == BYTES {
                guest.stack.finish(id);
            }
        }
    });
    assert!(received == data, "{} of {BYTES} bytes", received.len());
    let memory = guest.peak_memory_bytes();
    assert!(memory < 24 << 20, "{memory} bytes");
    guest.exit_well();
}

/// Sends until nothing moves although the gateway is at work, as its answers to pings show.
fn fill(guest: &mut Guest, id: ConnectionId, data: &[u8], sent: &mut usize) {
    const STILL_ROUNDS: u16 = 50;
    guest.seen = Some(Vec::new());
    let mut still = 0;
    let mut round = 0;
    guest.run_until("a full connection", |guest| {
        let bytes = guest.stack.send(id, &data[*sent..]).unwrap();
        *sent += bytes;
        still = if bytes > 0 { 0 } else { still };
        let seen = guest.seen.as_deref().unwrap_or_default();
        if round == 0 || !echo_replies(seen).is_empty() {
            (still, round) = (still + 1, round + 1);
            guest.seen = Some(Vec::new());
            guest.inject(&ping(gateway::GATEWAY, round));
        }
        still > STILL_ROUNDS || *sent == data.len()
    });
    guest.seen = None;
}

pub(crate) fn beyond_the_limit_clients_wait() {
    let mut guest = Guest::with_lease(&Wishes { connections_max: Some(2), ..publishing() });
    let listener = guest.stack.listen(80, 8).unwrap();
    let mut clients: Vec<TcpStream> = (0..3).map(|_| connect(guest.published[0])).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.write_all(&[number as u8]).unwrap();
    }
    let two = [accept(&mut guest, listener), accept(&mut guest, listener)];
    guest.run_until("what the first two say", |guest| {
        two.iter().all(|id| guest.stack.recv_queued(*id) == 1)
    });
    assert_eq!(guest.stack.accept(listener), None);

    for id in two {
        let mut number = [0];
        assert_eq!(guest.stack.recv(id, &mut number), Ok(Received::Data(1)));
        assert!(number[0] < 2, "they come in order");
        guest.stack.release(id);
    }
    drop(clients);
    let third = accept(&mut guest, listener);
    guest.run_until("what the third says", |guest| guest.stack.recv_queued(third) == 1);
    guest.exit_well();
}
