//! What a gateway needs: connections to anybody become offers, which it accepts or refuses.

use std::net::SocketAddr;

use netstack::{CloseReason, Config, ConnectionState, Duration, Received, Stack};

use crate::sim::{Faults, Net, address_of, mac_of, remote, small_limits};

/// Host 0 is a guest whose router is host 200, here the second on the wire.
fn with_gateway() -> Net {
    let mut net = Net::new(1, Faults::NONE);
    net.add_host(0, small_limits());
    let config =
        Config { any_ip: true, limits: small_limits(), ..Config::new(mac_of(200), 1500, 9) };
    let mut gateway = Stack::new(config, net.now).unwrap();
    gateway.set_ipv4(address_of(200), 24, None).unwrap();
    gateway.set_offer_unmatched(true);
    net.hosts.push(gateway);
    net
}

#[test]
fn an_accepted_offer_is_a_connection_in_the_name_of_anybody() {
    let mut net = with_gateway();
    let wanted: SocketAddr = "93.184.216.34:443".parse().unwrap();
    let now = net.now;
    let guest = net.hosts[0].connect(now, wanted, None).unwrap();
    net.run_for(Duration::from_secs(20));
    let offer = net.hosts[1].next_offer().expect("the SYN became one");
    assert_eq!(net.hosts[1].local(offer), Some(wanted));
    assert_eq!(net.hosts[1].remote(offer), net.hosts[0].local(guest));
    assert_eq!(net.hosts[1].state(offer), ConnectionState::Offered);
    assert_eq!(net.hosts[0].state(guest), ConnectionState::Opening, "the answer is held back");
    assert_eq!(net.hosts[1].next_offer(), None);

    net.hosts[1].accept_offer(offer);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.hosts[0].state(guest), ConnectionState::Established);
    assert_eq!(net.hosts[1].state(offer), ConnectionState::Established);
    net.hosts[1].send(offer, b"welcome").unwrap();
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.hosts[0].recv(guest, &mut [0; 10]), Ok(Received::Data(7)));
}

#[test]
fn a_refused_offer_is_a_refused_connection() {
    let mut net = with_gateway();
    let now = net.now;
    let guest = net.hosts[0].connect(now, "8.8.8.8:53".parse().unwrap(), None).unwrap();
    net.run_for(Duration::from_secs(1));
    let offer = net.hosts[1].next_offer().unwrap();
    net.hosts[1].abort(offer);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.hosts[0].state(guest), ConnectionState::Closed(CloseReason::Refused));
    assert_eq!(net.hosts[1].counters().connections, 0);
}

#[test]
fn an_offer_that_nobody_takes_ends() {
    let mut net = with_gateway();
    let now = net.now;
    let guest = net.hosts[0].connect(now, "8.8.8.8:53".parse().unwrap(), None).unwrap();
    net.hosts[0].set_timeout(guest, None);
    net.run_for(Duration::from_secs(62));
    assert_eq!(net.hosts[0].state(guest), ConnectionState::Closed(CloseReason::Refused));
    assert_eq!(net.hosts[1].counters().connections, 0);
    assert_eq!(net.hosts[1].next_offer(), None);
}

#[test]
fn a_guest_that_gives_up_ends_its_offer() {
    let mut net = with_gateway();
    let now = net.now;
    let guest = net.hosts[0].connect(now, "8.8.8.8:53".parse().unwrap(), None).unwrap();
    net.run_for(Duration::from_secs(1));
    net.hosts[1].set_track_touched(true);
    let offer = net.hosts[1].next_offer().unwrap();
    net.hosts[0].abort(guest);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.hosts[1].next_touched(), Some(offer));
    assert_eq!(net.hosts[1].next_touched(), None);
    assert_eq!(net.hosts[1].state(offer), ConnectionState::Closed(CloseReason::Reset));
}

/// A published port: the gateway connects to the guest in the name of the remote client.
#[test]
fn connects_from_any_address() {
    let mut net = with_gateway();
    let listener = net.hosts[0].listen(80, 4).unwrap();
    let client: SocketAddr = "192.0.2.77:40000".parse().unwrap();
    let now = net.now;
    let inward = net.hosts[1].connect(now, remote(0, 80), Some(client)).unwrap();
    net.run_for(Duration::from_secs(1));
    let accepted = net.hosts[0].accept(listener).unwrap();
    assert_eq!(net.hosts[0].remote(accepted), Some(client));
    assert_eq!(net.hosts[1].state(inward), ConnectionState::Established);
}

#[test]
fn datagrams_to_anybody_tell_where_they_went() {
    let mut net = with_gateway();
    let guest = net.hosts[0].udp_bind(0).unwrap();
    let gateway = net.hosts[1].udp_bind(53).unwrap();
    net.hosts[0].udp_send_to(guest, b"query", "9.9.9.9:53".parse().unwrap()).unwrap();
    net.run_for(Duration::from_secs(1));
    let mut buffer = [0; 3];
    let datagram = net.hosts[1].udp_recv(gateway, &mut buffer).unwrap();
    assert_eq!(datagram.local, "9.9.9.9:53".parse().unwrap());
    assert_eq!((datagram.bytes, datagram.sent_bytes, &buffer), (3, 5, b"que"));
    let name = "9.9.9.9".parse().unwrap();
    net.hosts[1].udp_send_from(gateway, b"answer", datagram.remote, name).unwrap();
    net.run_for(Duration::from_secs(1));
    let mut buffer = [0; 10];
    let answer = net.hosts[0].udp_recv_from(guest, &mut buffer);
    assert_eq!(answer, Some((6, "9.9.9.9:53".parse().unwrap())));
}
