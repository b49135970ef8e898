//! Paths that take only small packets, routers that say so, and strangers who pretend to be some.

use std::net::IpAddr;

use netstack::Duration;

use crate::packets::{Ends, TCP, fill_checksum, frame, open, plain_checksum};
use crate::sim::{Faults, Net, Side, bytes};
use crate::transfer::{exchange, patient_limits};

/// What a router in between answers to a frame that is too large for the way behind it.
pub fn too_big(mtu: usize, sent: &[u8]) -> Option<Vec<u8>> {
    let (ends, ..) = open(sent)?;
    let packet = &sent[14..];
    if packet.len() <= mtu {
        return None;
    }
    Some(error((sent[..6].try_into().unwrap(), sent[6..12].try_into().unwrap()), ends, mtu, packet))
}

/// An error about a packet, to its sender; of IPv4 it quotes the least, eight bytes behind the header.
fn error(macs: ([u8; 6], [u8; 6]), ends: Ends, mtu: usize, packet: &[u8]) -> Vec<u8> {
    let back = (ends.1, ends.0);
    let told = mtu as u16;
    match ends.0 {
        IpAddr::V4(_) => {
            let mut message = vec![3, 4, 0, 0, 0, 0];
            message.extend(told.to_be_bytes());
            message.extend(&packet[..28]);
            let sum = plain_checksum(&message);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
            frame(macs, back, 1, &message)
        }
        IpAddr::V6(_) => {
            let mut message = vec![2, 0, 0, 0, 0, 0];
            message.extend(told.to_be_bytes());
            message.extend(&packet[..packet.len().min(1280 - 48)]);
            fill_checksum(back, 58, &mut message, 2);
            frame(macs, back, 58, &message)
        }
    }
}

#[test]
fn a_small_path_is_found_and_everything_arrives() {
    for seed in 0..30 {
        let faults = if seed % 2 == 0 { Faults::NONE } else { Faults::ROUGH };
        let mut net = Net::pair(seed, faults, &patient_limits());
        net.path_mtu = Some([576, 600, 1006, 1280, 1499][seed as usize % 5]);
        exchange(&mut net, seed, 20_000);
        assert!(net.hosts[0].counters().paths_limited > 0);
        let mut net = Net::pair_ipv6(seed, faults, &patient_limits());
        net.path_mtu = Some([1280, 1400, 1499][seed as usize % 3]);
        exchange(&mut net, seed, 20_000);
        assert!(net.hosts[0].counters().paths_limited > 0);
    }
}

/// The wire of one side cuts what the stack sends, and does so to the path's size when that is known.
#[test]
fn a_small_path_is_found_with_offloads() {
    for seed in 0..5 {
        let mut net = Net::pair_offloading(seed, [true, false], &patient_limits());
        net.path_mtu = Some(1000);
        exchange(&mut net, seed, 100_000);
        assert!(net.hosts[0].counters().paths_limited > 0);
    }
}

/// Errors about segments that are not in flight, about other ports, and with a size below any.
#[test]
fn forged_errors_change_nothing() {
    for is_ipv6 in [false, true] {
        let mut net = match is_ipv6 {
            false => Net::pair(1, Faults::NONE, &patient_limits()),
            true => Net::pair_ipv6(1, Faults::NONE, &patient_limits()),
        };
        net.record = Some(Vec::new());
        let listener = net.hosts[1].listen(80, 4).unwrap();
        let (client, server) = net.establish(listener, 80);
        let data = bytes(&mut net.random, 100_000);
        let mut sides = [Side::new(0, client, data.clone()), Side::new(1, server, Vec::new())];
        let mut forged = 0;
        net.run_until(Duration::from_secs(60), |net| {
            for sent in net.record.replace(Vec::new()).unwrap() {
                let Some((ends, TCP, payload)) = open(&sent) else { continue };
                let macs = (sent[..6].try_into().unwrap(), sent[6..12].try_into().unwrap());
                if payload.len() < 1000 || macs.1 == crate::sim::mac_of(1) {
                    continue;
                }
                let at = sent.len() - payload.len();
                for (place, change) in [(at, 1), (at + 3, 1), (at + 4, 0x40), (at + 4, 0x80)] {
                    let mut lie = sent.clone();
                    lie[place] ^= change;
                    let error = error(macs, ends, 100, &lie[14..]);
                    net.hosts[0].receive(net.now, &error);
                    forged += 1;
                }
            }
            sides.iter_mut().for_each(|side| side.work(net));
            sides[1].finished
        });
        assert!(sides[1].received == data);
        let counters = net.hosts[0].counters();
        assert!(forged > 100);
        assert_eq!((counters.paths_limited, counters.segments_resent), (0, 0));
    }
}
