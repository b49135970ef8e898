//! Names: a stack asks a server that the test plays, on a wire that loses some.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use netstack::{Duration, QueryKind, ResolveError, UdpId};

use crate::sim::{Faults, Net, address_of, ipv6_address_of, small_limits};

/// Answers every question: one address for `known`, none for the others.
fn serve(net: &mut Net, socket: UdpId, known: &[u8]) {
    let mut buffer = [0; 600];
    while let Some((bytes, from)) = net.hosts[1].udp_recv_from(socket, &mut buffer) {
        let mut reply = buffer[..bytes].to_vec();
        let name = reply[12..].to_ascii_lowercase();
        let kind = reply[bytes - 3];
        reply[2] |= 0x80;
        reply[3] |= 0x80;
        // Of additional records there are none in the answer, and none were in the question.
        reply.truncate(bytes);
        if name.starts_with(known) {
            reply[7] = 1;
            let data: Vec<u8> = match kind {
                28 => ipv6_address_of(9).octets().to_vec(),
                _ => vec![192, 0, 2, 9],
            };
            reply.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
            reply.extend(data);
        } else {
            reply[3] |= 3;
        }
        // A stranger's answer, before the right one.
        let stranger = net.hosts[1].udp_bind(5353).unwrap();
        let mut lie = reply.clone();
        lie[0] ^= 1;
        let _ = net.hosts[1].udp_send_to(socket, &lie, from);
        let _ = net.hosts[1].udp_send_to(stranger, &reply, from);
        let _ = net.hosts[1].udp_send_to(socket, &reply, from);
        net.hosts[1].udp_close(stranger);
    }
}

fn ask(
    net: &mut Net,
    socket: UdpId,
    name: &str,
    kind: QueryKind,
) -> Result<Vec<IpAddr>, ResolveError> {
    let now = net.now;
    let id = net.hosts[0].query(now, name, kind)?;
    let mut result = None;
    net.run_until(Duration::from_secs(30), |net| {
        serve(net, socket, b"\x04host\x07example\0");
        result = net.hosts[0].query_result(id);
        result.is_some()
    });
    result.unwrap().map(|answer| answer.addresses.iter().copied().collect())
}

#[test]
fn names_become_addresses() {
    for server in [IpAddr::V4(address_of(1)), IpAddr::V6(ipv6_address_of(1))] {
        let mut net = Net::pair_ipv6(2, Faults::NONE, &small_limits());
        let socket = net.hosts[1].udp_bind(53).unwrap();
        net.hosts[0].set_dns_servers([server]);
        let v4 = ask(&mut net, socket, "host.example", QueryKind::A);
        assert_eq!(v4.unwrap(), [IpAddr::from(Ipv4Addr::new(192, 0, 2, 9))]);
        let v6 = ask(&mut net, socket, "HOST.example.", QueryKind::Aaaa);
        assert_eq!(v6.unwrap(), [IpAddr::V6(ipv6_address_of(9))]);
        let none = ask(&mut net, socket, "nohost.example", QueryKind::A);
        assert_eq!(none, Err(ResolveError::NoSuchName));
        // It remembers.
        net.unplugged = Some(1);
        assert!(ask(&mut net, socket, "host.example", QueryKind::A).is_ok());
        let silent = ask(&mut net, socket, "other.example", QueryKind::A);
        assert_eq!(silent, Err(ResolveError::TimedOut));
    }
}

/// Three attempts, of which each needs two frames to arrive, beside those of neighbour discovery.
#[test]
fn names_become_addresses_over_a_rough_wire() {
    let mut found = 0;
    for seed in 0..100 {
        let mut net = Net::pair(seed, Faults::ROUGH, &small_limits());
        let socket = net.hosts[1].udp_bind(53).unwrap();
        net.hosts[0].set_dns_servers([SocketAddr::from((address_of(1), 53)).ip()]);
        match ask(&mut net, socket, "host.example", QueryKind::A) {
            Ok(addresses) => {
                assert_eq!(addresses, [IpAddr::from(Ipv4Addr::new(192, 0, 2, 9))]);
                found += 1;
            }
            Err(error) => assert_eq!(error, ResolveError::TimedOut),
        }
    }
    assert!(found >= 90, "{found} of 100");
}
