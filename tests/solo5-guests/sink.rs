//! Takes in what a host sends: a TCP stream to port 7, which is acknowledged and thrown away, and UDP
//! datagrams. Counts bytes and wrong checksums and says what the longest frame was, until a frame of the
//! experimental EtherType 0x88b5 says `quit`.
//!
//! Just enough TCP for one sender over a wire without loss: no options but the segment size, no
//! retransmission, every segment acknowledged. The sender finds the guest by a fixed neighbour entry.
#![no_std]
#![no_main]

use solo5_guests::sys::{self, NEVER_NS};
use solo5_guests::{Guest, guest, println};
use solo5_sys::manifest::Entry;

guest!(main, [Entry::net("service")]);

const AGAIN: isize = -11;
const QUIT: &[u8] = b"\x88\xb5quit";
const IPV4: [u8; 2] = [8, 0];
const TCP: u8 = 6;
const UDP: u8 = 17;
const SYN: u8 = 2;
const FIN: u8 = 1;
const ACK: u8 = 16;
const ETHERNET_BYTES: usize = 14;
const IP_BYTES: usize = 20;
const TCP_BYTES: usize = 20;

#[derive(Default)]
struct Sink {
    longest: usize,
    tcp_bytes: usize,
    udp_bytes: usize,
    bad: usize,
    /// What is expected next.
    sequence: u32,
}

fn main(guest: &Guest) -> i32 {
    let (_, mtu_bytes, fd) = guest.net(1);
    println!("mtu {mtu_bytes}");
    let mut buffer = [0; 64 << 10];
    let mut sink = Sink::default();
    loop {
        sys::wait(&guest.info, NEVER_NS);
        loop {
            let bytes = sys::read(fd, &mut buffer);
            if bytes == AGAIN {
                break;
            }
            let frame = &buffer[..usize::try_from(bytes).expect("a frame")];
            sink.longest = sink.longest.max(frame.len());
            if frame.get(12..).is_some_and(|payload| payload.starts_with(QUIT)) {
                println!("longest {} bad {}", sink.longest, sink.bad);
                println!("tcp {} udp {}", sink.tcp_bytes, sink.udp_bytes);
                return 0;
            }
            if let Some(answer) = sink.take(frame, mtu_bytes) {
                sys::write(fd, &answer);
            }
        }
    }
}

impl Sink {
    /// Takes in a frame and returns the one that acknowledges it.
    fn take(&mut self, frame: &[u8], mtu_bytes: u16) -> Option<[u8; 58]> {
        let packet = frame.get(ETHERNET_BYTES..).filter(|_| frame[12..14] == IPV4)?;
        let total = usize::from(u16_at(packet, 2)?);
        let is_fragment = packet[6] & 0x3f != 0 || packet[7] != 0;
        let segment = packet.get(IP_BYTES..total).filter(|_| !is_fragment)?;
        let protocol = packet[9];
        if protocol != TCP && protocol != UDP {
            return None;
        }
        // Counted and taken in all the same, so that there is something to count.
        self.bad += usize::from(checksum(packet, segment) != 0);
        if protocol == UDP {
            self.udp_bytes += segment.len() - 8;
            return None;
        }
        self.take_tcp(frame, segment, mtu_bytes)
    }

    fn take_tcp(&mut self, frame: &[u8], segment: &[u8], mtu_bytes: u16) -> Option<[u8; 58]> {
        let header_bytes = usize::from(*segment.get(12)? >> 4) * 4;
        let (flags, sequence) = (segment[13], u32::from_be_bytes(*segment[4..].first_chunk()?));
        let data_bytes = segment.get(header_bytes..)?.len();
        if flags & SYN != 0 {
            self.sequence = sequence.wrapping_add(1);
        } else if sequence == self.sequence {
            self.tcp_bytes += data_bytes;
            let end = data_bytes as u32 + u32::from(flags & FIN != 0);
            self.sequence = sequence.wrapping_add(end);
        }
        let silent = data_bytes == 0 && flags & (SYN | FIN) == 0;
        (!silent).then(|| self.acknowledge(frame, flags, mtu_bytes))
    }

    /// The answer to a segment, with both directions turned around.
    fn acknowledge(&self, frame: &[u8], flags: u8, mtu_bytes: u16) -> [u8; 58] {
        let mut answer = [0; ETHERNET_BYTES + IP_BYTES + TCP_BYTES + 4];
        answer[..6].copy_from_slice(&frame[6..12]);
        answer[6..12].copy_from_slice(&frame[..6]);
        answer[12..14].copy_from_slice(&IPV4);
        let (packet, segment) = answer[ETHERNET_BYTES..].split_at_mut(IP_BYTES);
        packet[0] = 0x45;
        packet[3] = (IP_BYTES + TCP_BYTES + 4) as u8;
        packet[8] = 64;
        packet[9] = TCP;
        packet[12..16].copy_from_slice(&frame[30..34]);
        packet[16..20].copy_from_slice(&frame[26..30]);
        let sum = fold(sum(packet));
        packet[10..12].copy_from_slice(&(!sum).to_be_bytes());

        segment[..2].copy_from_slice(&frame[36..38]);
        segment[2..4].copy_from_slice(&frame[34..36]);
        let own_sequence = u32::from(flags & SYN == 0);
        segment[4..8].copy_from_slice(&own_sequence.to_be_bytes());
        segment[8..12].copy_from_slice(&self.sequence.to_be_bytes());
        segment[12] = 0x60;
        segment[13] = ACK | flags & SYN | flags & FIN;
        segment[14..16].copy_from_slice(&[0xff, 0xff]);
        // The largest segment size where it belongs, else nothing.
        let option = if flags & SYN != 0 { [2, 4] } else { [1, 1] };
        segment[20..22].copy_from_slice(&option);
        let largest = mtu_bytes - (IP_BYTES + TCP_BYTES) as u16;
        let tail = if flags & SYN != 0 { largest.to_be_bytes() } else { [1, 1] };
        segment[22..24].copy_from_slice(&tail);
        let sum = checksum(packet, segment);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        answer
    }
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(offset..)?.first_chunk()?))
}

/// The Internet checksum of a TCP or UDP segment; zero if it already holds the right one.
fn checksum(packet: &[u8], segment: &[u8]) -> u16 {
    let pseudo = sum(&packet[12..20]) + u32::from(packet[9]) + segment.len() as u32;
    !fold(pseudo + sum(segment))
}

fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2);
    words.map(|word| u32::from(word[0]) << 8 | word.get(1).copied().map_or(0, u32::from)).sum()
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}
