//! UDP, ping and DHCP.

use std::net::{Ipv4Addr, SocketAddr};

use netstack::{BindError, Config, Duration, Stack, UdpSendError};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, Icmpv4Packet, Icmpv4Repr, Ipv4Packet,
};

use crate::frames::ping;
use crate::sim::{Faults, Net, address_of, mac_of, remote, small_limits};

#[test]
fn a_datagram_comes_back() {
    let mut net = Net::pair(1, Faults::NONE, &small_limits());
    let client = net.hosts[0].udp_bind(0).unwrap();
    let server = net.hosts[1].udp_bind(7).unwrap();
    let largest = vec![5; 1500 - 28];
    for data in [&b""[..], b"hello", &largest] {
        net.hosts[0].udp_send_to(client, data, remote(1, 7)).unwrap();
        net.run_for(Duration::from_millis(10));
        let mut buffer = [0; 2000];
        let (bytes, from) = net.hosts[1].udp_recv_from(server, &mut buffer).unwrap();
        assert_eq!(from.ip(), address_of(0));
        net.hosts[1].udp_send_to(server, &buffer[..bytes], from).unwrap();
        net.run_for(Duration::from_millis(10));
        let (bytes, from) = net.hosts[0].udp_recv_from(client, &mut buffer).unwrap();
        assert_eq!((&buffer[..bytes], from), (data, remote(1, 7)));
    }
    assert_eq!(net.hosts[0].udp_recv_from(client, &mut [0; 10]), None);
}

#[test]
fn what_cannot_be_sent_is_told() {
    let mut net = Net::pair(2, Faults::NONE, &small_limits());
    let stack = &mut net.hosts[0];
    let id = stack.udp_bind(0).unwrap();
    let too_large = UdpSendError::TooLarge { bytes: 1473, max: 1472 };
    assert_eq!(stack.udp_send_to(id, &[0; 1473], remote(1, 7)), Err(too_large));
    for bad in [remote(1, 0), "0.0.0.0:7".parse().unwrap(), "[::1]:7".parse().unwrap()] {
        assert_eq!(stack.udp_send_to(id, b"x", bad), Err(UdpSendError::NotUsable(bad)));
    }
    let far: SocketAddr = "192.0.2.1:7".parse().unwrap();
    stack.set_ipv4(address_of(0), 24, None).unwrap();
    assert_eq!(stack.udp_send_to(id, b"x", far), Err(UdpSendError::NoRoute(far)));
    let queued = (0..100).take_while(|_| stack.udp_send_to(id, b"x", remote(1, 7)).is_ok()).count();
    assert_eq!(queued, stack.limits().udp_datagrams);
    assert_eq!(stack.udp_send_to(id, b"x", remote(1, 7)), Err(UdpSendError::QueueFull));
    stack.udp_close(id);
    assert_eq!(stack.udp_send_to(id, b"x", remote(1, 7)), Err(UdpSendError::Closed));
    let mut nameless = Stack::new(Config::new(mac_of(9), 1500, 1), net.now).unwrap();
    let id = nameless.udp_bind(0).unwrap();
    assert_eq!(nameless.udp_send_to(id, b"x", remote(1, 7)), Err(UdpSendError::NoAddress));
}

#[test]
fn ports_are_bound_once_and_ids_go_stale() {
    let mut net = Net::pair(3, Faults::NONE, &small_limits());
    let stack = &mut net.hosts[0];
    let id = stack.udp_bind(9).unwrap();
    assert_eq!(stack.udp_bind(9), Err(BindError::PortInUse(9)));
    stack.udp_close(id);
    let again = stack.udp_bind(9).unwrap();
    assert_ne!(id, again);
    assert_eq!((stack.udp_port(id), stack.udp_port(again)), (None, Some(9)));
    stack.udp_close(id);
    let limit = stack.limits().udp_sockets;
    let bound = (1..100).take_while(|_| stack.udp_bind(0).is_ok()).count();
    assert_eq!(bound, limit - 1);
    assert_eq!(stack.udp_bind(0), Err(BindError::TooMany(limit)));
}

/// A neighbour that does not exist holds up those behind it for a few seconds only.
#[test]
fn a_dead_neighbour_does_not_block_the_queue() {
    let mut net = Net::pair(4, Faults::NONE, &small_limits());
    let client = net.hosts[0].udp_bind(0).unwrap();
    let server = net.hosts[1].udp_bind(7).unwrap();
    net.hosts[0].udp_send_to(client, b"lost", remote(66, 7)).unwrap();
    net.hosts[0].udp_send_to(client, b"found", remote(1, 7)).unwrap();
    net.run_for(Duration::from_secs(10));
    assert!(net.hosts[1].udp_recv_from(server, &mut [0; 10]).is_some());
    assert_eq!(net.hosts[0].counters().datagrams_dropped, 1);
}

/// A DHCP server of a few lines, on the UDP socket of a stack.
fn serve_dhcp(
    net: &mut Net,
    server: netstack::UdpId,
    offered: Ipv4Addr,
    mask: Ipv4Addr,
    router: Ipv4Addr,
) {
    let mut buffer = [0; 1500];
    while let Some((bytes, from)) = net.hosts[1].udp_recv_from(server, &mut buffer) {
        assert!(from.ip().is_unspecified() || from.ip() == offered);
        let request = DhcpPacket::new_checked(&buffer[..bytes]).unwrap();
        let request = DhcpRepr::parse(&request).unwrap();
        let message_type = match request.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request => DhcpMessageType::Ack,
            other => panic!("a client sent {other:?}"),
        };
        let answer = DhcpRepr {
            message_type,
            your_ip: offered,
            client_hardware_address: EthernetAddress(mac_of(0)),
            client_identifier: None,
            server_identifier: Some(address_of(1)),
            router: Some(router),
            subnet_mask: Some(mask),
            dns_servers: Some([Ipv4Addr::new(9, 9, 9, 9), address_of(1)].into_iter().collect()),
            lease_duration: Some(600),
            requested_ip: None,
            parameter_request_list: None,
            max_size: None,
            client_ip: Ipv4Addr::UNSPECIFIED,
            ..request
        };
        let mut reply = vec![0; answer.buffer_len()];
        answer.emit(&mut DhcpPacket::new_unchecked(&mut reply[..])).unwrap();
        let everybody = SocketAddr::from((Ipv4Addr::BROADCAST, 68));
        net.hosts[1].udp_send_to(server, &reply, everybody).unwrap();
    }
}

fn with_dhcp_client() -> (Net, netstack::UdpId) {
    let mut net = Net::new(5, Faults::NONE);
    let mut client = Stack::new(Config::new(mac_of(0), 1500, 3), net.now).unwrap();
    client.start_dhcp(net.now);
    net.hosts.push(client);
    net.add_host(1, small_limits());
    let server = net.hosts[1].udp_bind(67).unwrap();
    (net, server)
}

#[test]
fn dhcp_gives_and_takes_an_address() {
    let (mut net, server) = with_dhcp_client();
    assert_eq!(net.hosts[0].ipv4(), None);
    let (offered, mask) = (Ipv4Addr::new(10, 0, 0, 77), Ipv4Addr::new(255, 255, 255, 0));
    net.run_until(Duration::from_secs(5), |net| {
        serve_dhcp(net, server, offered, mask, address_of(1));
        net.hosts[0].ipv4().is_some()
    });
    let lease = net.hosts[0].lease().unwrap().clone();
    assert_eq!((lease.address, lease.prefix_len), (offered, 24));
    assert_eq!(lease.router, Some(address_of(1)));
    assert_eq!(lease.dns[..], [Ipv4Addr::new(9, 9, 9, 9), address_of(1)]);

    // It is renewed while the server answers, and given up when it does not.
    let renewed_until = net.now + Duration::from_secs(3000);
    while net.step(renewed_until) {
        serve_dhcp(&mut net, server, offered, mask, address_of(1));
        assert_eq!(net.hosts[0].ipv4(), Some((offered, 24)));
    }
    net.run_for(Duration::from_secs(700));
    assert_eq!((net.hosts[0].ipv4(), net.hosts[0].lease()), (None, None));
}

/// smoltcp would panic on a router that is no host, or on an own address that is not one.
#[test]
fn dhcp_servers_that_talk_nonsense_do_no_harm() {
    let mask = Ipv4Addr::new(255, 255, 255, 0);
    let odd = [
        (Ipv4Addr::new(10, 0, 0, 77), mask, Ipv4Addr::new(224, 0, 0, 1), true),
        (Ipv4Addr::new(10, 0, 0, 77), mask, Ipv4Addr::UNSPECIFIED, true),
        (Ipv4Addr::new(10, 0, 0, 77), mask, Ipv4Addr::new(10, 0, 0, 255), true),
        (Ipv4Addr::new(10, 0, 0, 255), mask, address_of(1), false),
        (Ipv4Addr::new(127, 0, 0, 1), mask, address_of(1), false),
        (Ipv4Addr::new(10, 0, 0, 77), Ipv4Addr::UNSPECIFIED, address_of(1), false),
    ];
    for (offered, mask, router, usable) in odd {
        let (mut net, server) = with_dhcp_client();
        let until = net.now + Duration::from_secs(20);
        while net.step(until) {
            serve_dhcp(&mut net, server, offered, mask, router);
        }
        assert_eq!(net.hosts[0].ipv4().is_some(), usable, "{offered} {mask} {router}");
        assert_eq!(net.hosts[0].gateway(), None);
        if usable {
            let now = net.now;
            let far = "192.0.2.1:80".parse().unwrap();
            assert!(net.hosts[0].connect(now, far, None).is_err());
        }
    }
}

#[test]
fn ping_is_answered_and_fragments_are_dropped() {
    let mut net = Net::pair(6, Faults::NONE, &small_limits());
    // They know each other's Ethernet address after this.
    let id = net.hosts[0].udp_bind(0).unwrap();
    net.hosts[0].udp_send_to(id, b"x", remote(1, 9)).unwrap();
    net.run_for(Duration::from_secs(1));

    let mut frame = ping(b"ping");
    net.hosts[1].receive(net.now, &frame);
    let answer = net.hosts[1].front_frame().expect("an echo reply").to_vec();
    let icmp = Icmpv4Packet::new_checked(&answer[34..]).unwrap();
    let parsed = Icmpv4Repr::parse(&icmp, &ChecksumCapabilities::default()).unwrap();
    assert_eq!(parsed, Icmpv4Repr::EchoReply { ident: 1, seq_no: 2, data: b"ping" });
    net.hosts[1].pop_frame();

    let mut packet = Ipv4Packet::new_unchecked(&mut frame[14..]);
    packet.set_more_frags(true);
    packet.fill_checksum();
    net.hosts[1].receive(net.now, &frame);
    assert_eq!(net.hosts[1].front_frame(), None);
    assert_eq!(net.hosts[1].counters().dropped_fragments, 1);
}
