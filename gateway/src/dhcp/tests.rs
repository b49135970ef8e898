//! Tests of `dhcp`: golden bytes, refusals, and arbitrary bytes.

use proptest::prelude::*;

use super::*;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

fn message(request: &DhcpRepr<'_>) -> Vec<u8> {
    let mut message = vec![0; request.buffer_len()];
    let mut packet = DhcpPacket::new_unchecked(&mut message[..]);
    request.emit(&mut packet).unwrap();
    message
}

fn request(message_type: DhcpMessageType) -> DhcpRepr<'static> {
    let blank = DhcpRepr {
        message_type,
        transaction_id: 0x1234_5678,
        secs: 0,
        client_hardware_address: smoltcp::wire::EthernetAddress(MAC),
        client_ip: Ipv4Addr::UNSPECIFIED,
        your_ip: Ipv4Addr::UNSPECIFIED,
        server_ip: Ipv4Addr::UNSPECIFIED,
        router: None,
        subnet_mask: None,
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        broadcast: false,
        requested_ip: None,
        client_identifier: None,
        server_identifier: None,
        parameter_request_list: None,
        dns_servers: None,
        max_size: None,
        lease_duration: None,
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    };
    DhcpRepr { message_type, ..blank }
}

fn answer(server: &mut Server, request: &DhcpRepr<'_>) -> Option<Reply> {
    server.answer(request.client_hardware_address.0, &message(request))
}

fn parsed(reply: &Reply, check: impl FnOnce(&DhcpRepr<'_>)) {
    check(&DhcpRepr::parse(&DhcpPacket::new_checked(&reply.message[..]).unwrap()).unwrap());
}

#[test]
fn a_client_gets_the_guests_address_and_all_of_the_network() {
    let mut server = Server::new(1500, None);
    let id = DhcpOption { kind: OPTION_CLIENT_ID, data: b"\0guest" };
    let discover = DhcpRepr { additional_options: &[id], ..request(DhcpMessageType::Discover) };
    let offer = answer(&mut server, &discover).unwrap();
    assert_eq!((offer.mac, offer.address, offer.leases), (MAC, GUEST, false));
    parsed(&offer, |offer| {
        assert_eq!(offer.message_type, DhcpMessageType::Offer);
        assert_eq!((offer.your_ip, offer.transaction_id), (GUEST, 0x1234_5678));
    });

    let select = DhcpRepr {
        requested_ip: Some(GUEST),
        server_identifier: Some(GATEWAY),
        ..request(DhcpMessageType::Request)
    };
    let ack = answer(&mut server, &select).unwrap();
    assert!(ack.leases);
    parsed(&ack, |ack| {
        assert_eq!(ack.message_type, DhcpMessageType::Ack);
        assert_eq!((ack.your_ip, ack.server_identifier), (GUEST, Some(GATEWAY)));
        assert_eq!((ack.router, ack.subnet_mask), (Some(GATEWAY), Some(NETMASK)));
        assert_eq!(ack.dns_servers.as_ref().map(|dns| dns[..].to_vec()), Some(vec![DNS]));
        assert_eq!(ack.lease_duration, Some(LEASE_SECONDS));
    });
    let packet = DhcpPacket::new_checked(&ack.message[..]).unwrap();
    let mtu = packet.options().find(|option| option.kind == OPTION_MTU).unwrap();
    assert_eq!(mtu.data, 1500u16.to_be_bytes());

    let offer = DhcpPacket::new_checked(&offer.message[..]).unwrap();
    assert_eq!(offer.options().find(|option| option.kind == OPTION_CLIENT_ID), Some(id));
}

#[test]
fn renewal_and_refusal() {
    let mut server = Server::new(1500, Some(MAC));
    let renew = DhcpRepr { client_ip: GUEST, ..request(DhcpMessageType::Request) };
    assert!(answer(&mut server, &renew).unwrap().leases);

    let wrong = Ipv4Addr::new(192, 168, 0, 7);
    let reboot = DhcpRepr { requested_ip: Some(wrong), ..request(DhcpMessageType::Request) };
    let nak = answer(&mut server, &reboot).unwrap();
    assert_eq!((nak.mac, nak.address), (BROADCAST_MAC, Ipv4Addr::BROADCAST));
    parsed(&nak, |nak| {
        assert_eq!(nak.message_type, DhcpMessageType::Nak);
        assert_eq!((nak.your_ip, nak.router), (Ipv4Addr::UNSPECIFIED, None));
    });
}

#[test]
fn who_cannot_listen_for_its_address_yet_is_told_by_broadcast() {
    let mut server = Server::new(1500, None);
    let discover = DhcpRepr { broadcast: true, ..request(DhcpMessageType::Discover) };
    let offer = answer(&mut server, &discover).unwrap();
    assert_eq!((offer.mac, offer.address), (BROADCAST_MAC, Ipv4Addr::BROADCAST));
}

#[test]
fn nobody_else_is_answered() {
    let other = smoltcp::wire::EthernetAddress([2, 0, 0, 0, 0, 2]);
    let mut server = Server::new(1500, None);
    let take = DhcpRepr { requested_ip: Some(GUEST), ..request(DhcpMessageType::Request) };
    assert!(answer(&mut server, &take).is_some());
    for unanswered in [
        DhcpRepr { client_hardware_address: other, ..request(DhcpMessageType::Discover) },
        DhcpRepr { server_identifier: Some(DNS), ..take.clone() },
        DhcpRepr { relay_agent_ip: DNS, ..request(DhcpMessageType::Discover) },
        request(DhcpMessageType::Release),
        request(DhcpMessageType::Offer),
    ] {
        assert_eq!(answer(&mut server, &unanswered), None, "{unanswered:?}");
    }
    let spoofed = message(&request(DhcpMessageType::Discover));
    assert_eq!(Server::new(1500, None).answer(other.0, &spoofed), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_are_answered_or_not(mac: [u8; 6], bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = Server::new(1500, None).answer(mac, &bytes);
    }

    #[test]
    fn a_mutated_request_is_answered_with_a_message(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        tail in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut bytes = message(&DhcpRepr { requested_ip: Some(GUEST), ..request(DhcpMessageType::Request) });
        bytes.pop();
        bytes.extend(tail);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(reply) = Server::new(1500, None).answer(MAC, &bytes) {
            parsed(&reply, |reply| assert_eq!(reply.server_identifier, Some(GATEWAY)));
        }
    }
}
