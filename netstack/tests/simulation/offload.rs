//! Virtio-net headers: a wire that cuts large segments and completes checksums as a TAP does, hosts
//! that share memory instead, and one host that has offloads and one that has none.

use std::net::IpAddr;

use netstack::{Limits, VNET_HEADER_BYTES};

use crate::packets::{Ends, FIN, TCP, checksum, fill_checksum, open, plain_checksum};
use crate::sim::{Faults, Net, ipv6_address_of};
use crate::transfer::{exchange, patient_limits, seeds};

const PSH: u8 = 0x08;

/// The frames that a TAP makes of one.
pub fn cut(frame: &[u8]) -> Vec<Vec<u8>> {
    let (header, frame) = frame.split_at(VNET_HEADER_BYTES);
    let field = |at: usize| usize::from(u16::from_le_bytes([header[at], header[at + 1]]));
    let mut whole = frame.to_vec();
    if header[0] & 1 != 0 {
        complete(&mut whole, field(6), field(8));
    }
    let is_ipv6 = frame[12] == 0x86;
    match header[1] {
        0 => return vec![whole],
        1 => assert!(!is_ipv6),
        4 => assert!(is_ipv6),
        other => panic!("segmentation of kind {other}"),
    }
    let (ends, protocol, payload) = open(frame).expect("a packet");
    let segment_at = field(6);
    assert_eq!((protocol, segment_at), (TCP, if is_ipv6 { 54 } else { 34 }));
    assert_eq!(field(2), segment_at + usize::from(payload[12] >> 4) * 4, "the header's length");
    assert!(header[0] & 1 != 0, "no segmentation without checksums");
    let (headers, data) = frame.split_at(field(2));
    assert!(data.len() > field(4), "nothing to cut");
    let pieces = data.chunks(field(4)).zip(0..);
    let last = data.len().div_ceil(field(4)) - 1;
    pieces
        .map(|(piece, number)| {
            let mut out = [headers, piece].concat();
            let sequence = u32::from_be_bytes(out[segment_at + 4..][..4].try_into().unwrap());
            let sequence = sequence.wrapping_add((number * field(4)) as u32);
            out[segment_at + 4..segment_at + 8].copy_from_slice(&sequence.to_be_bytes());
            if number != last {
                out[segment_at + 13] &= !(FIN | PSH);
            }
            fix_lengths(&mut out, is_ipv6, ends, segment_at);
            out
        })
        .collect()
}

/// Completes a checksum as the header asks: the pseudo-header's part is in its place already.
fn complete(frame: &mut [u8], start: usize, offset: usize) {
    let sum = plain_checksum(&frame[start..]);
    frame[start + offset..start + offset + 2].copy_from_slice(&sum.to_be_bytes());
    let (ends, protocol, payload) = open(frame).expect("a packet");
    assert!(matches!(checksum(ends, protocol, payload), 0 | 0xffff), "the part was wrong");
}

fn fix_lengths(frame: &mut [u8], is_ipv6: bool, ends: Ends, segment_at: usize) {
    let bytes = frame.len() - if is_ipv6 { segment_at } else { 14 };
    let at = if is_ipv6 { 18 } else { 16 };
    frame[at..at + 2].copy_from_slice(&(bytes as u16).to_be_bytes());
    if !is_ipv6 {
        frame[24..26].fill(0);
        let sum = plain_checksum(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    fill_checksum(ends, TCP, &mut frame[segment_at..], 16);
}

const SIDES: [[bool; 2]; 3] = [[true, true], [true, false], [false, true]];

#[test]
fn arrives_through_a_wire_that_cuts() {
    let limits = Limits { peer_timeout: patient_limits().peer_timeout, ..Limits::default() };
    for sides in SIDES {
        for seed in 0..seeds(10) {
            let mut net = Net::pair_offloading(seed, sides, &limits);
            net.faults = if seed == 0 { Faults::NONE } else { Faults { loss: 4, ..Faults::ROUGH } };
            exchange(&mut net, seed, 200_000);
        }
    }
}

#[test]
fn arrives_in_large_frames_through_memory() {
    for seed in 0..seeds(10) {
        let mut net = Net::pair_offloading(seed, [true, true], &Limits::default());
        net.cuts = false;
        net.faults.loss = seed % 10 * 2;
        net.record = Some(Vec::new());
        exchange(&mut net, seed, 300_000);
        let longest = net.record.unwrap().iter().map(Vec::len).max().unwrap();
        assert!(longest > 10_000, "{longest} bytes in the longest frame");
    }
}

#[test]
fn arrives_over_ipv6_through_a_wire_that_cuts() {
    for sides in SIDES {
        for seed in 0..seeds(5) {
            let mut net = Net::pair_offloading(seed, sides, &Limits::default());
            net.server = IpAddr::V6(ipv6_address_of(1));
            for (host, stack) in (0..).zip(&mut net.hosts) {
                stack.set_ipv6(ipv6_address_of(host), 64, None).unwrap();
            }
            net.faults = Faults { loss: seed % 10, corruption: seed % 5, ..Faults::NONE };
            exchange(&mut net, seed, 200_000);
        }
    }
}
