//! Connections of the guest to servers in the host's network.

use std::io::{Read, Write};
use std::net::Shutdown;

use netstack::{CloseReason, ConnectionState, Received};

use crate::child::Wishes;
use crate::guest::{Guest, address, at_gateway};
use crate::host::{Background, accept, exchange, listen, pattern, read_to_end};

const REFUSED: ConnectionState = ConnectionState::Closed(CloseReason::Refused);

fn with_loopback() -> Guest {
    Guest::with_lease(&Wishes { allow_host_loopback: true, ..Wishes::default() })
}

pub(crate) fn a_guest_reaches_a_server() {
    let mut guest = with_loopback();
    let (listener, server) = listen();
    let data = pattern(2 << 20);
    let sent = data.clone();
    let serving = Background::start(move || exchange(accept(&listener), sent));
    let (id, state) = guest.connect(at_gateway(server));
    assert_eq!(state, ConnectionState::Established);
    let received = guest.run_while("an echo by the guest", serving, |guest| {
        guest.echo(id);
    });
    assert!(received == data, "{} of {} bytes", received.len(), data.len());
    let counters = guest.exit_well();
    assert!(counters.contains("connections_out: 1"), "{counters}");
}

pub(crate) fn a_server_may_finish_first() {
    let mut guest = with_loopback();
    let (listener, server) = listen();
    let serving = Background::start(move || {
        let mut stream = accept(&listener);
        stream.write_all(b"go on").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        read_to_end(stream)
    });
    let (id, _) = guest.connect(at_gateway(server));
    let mut buffer = [0; 16];
    guest.run_until("the server's end", |guest| {
        guest.stack.state(id) == ConnectionState::PeerFinished
    });
    assert_eq!(guest.stack.recv(id, &mut buffer), Ok(Received::Data(5)));
    assert_eq!(guest.stack.recv(id, &mut buffer), Ok(Received::Finished));
    let data = pattern(1 << 20);
    let mut sent = 0;
    let expected = data.clone();
    let received = guest.run_while("the guest's end", serving, |guest| {
        if sent < data.len() {
            sent += guest.stack.send(id, &data[sent..]).unwrap();
            if sent == data.len() {
                guest.stack.finish(id);
            }
        }
    });
    assert!(received == expected, "{} of {} bytes", received.len(), expected.len());
    guest.exit_well();
}

pub(crate) fn refusals_are_passed_on() {
    let mut guest = with_loopback();
    let (listener, server) = listen();
    drop(listener);
    let (_, state) = guest.connect(at_gateway(server));
    assert_eq!(state, REFUSED);
    guest.exit_well();
}

pub(crate) fn what_is_forbidden_is_refused() {
    let mut guest = Guest::with_lease(&Wishes::default());
    let (listener, server) = listen();
    listener.set_nonblocking(true).unwrap();
    for forbidden in
        [at_gateway(server), address([10, 0, 2, 3], 80), address([169, 254, 169, 254], 80)]
    {
        let (_, state) = guest.connect(forbidden);
        assert_eq!(state, REFUSED, "{forbidden}");
    }
    let error = listener.accept().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    let counters = guest.exit_well();
    assert!(counters.contains("connections_refused: 3"), "{counters}");
}

/// A server that reads one line and answers it.
pub(crate) fn answer_one_line(mut stream: std::net::TcpStream) -> Vec<u8> {
    let mut line = [0; 5];
    stream.read_exact(&mut line).unwrap();
    stream.write_all(&line).unwrap();
    line.to_vec()
}
