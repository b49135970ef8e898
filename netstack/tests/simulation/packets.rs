//! Packets as bytes, written and read by code that is neither the stack's nor smoltcp's.

use std::net::IpAddr;

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const ACK: u8 = 0x10;

pub const TCP: u8 = 6;

/// A TCP segment without its ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub window: u16,
    /// As they stand in the header, padded to four bytes.
    pub options: Vec<u8>,
    pub payload: Vec<u8>,
}

impl Segment {
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The number behind it.
    pub fn end(&self) -> u32 {
        let flags = u32::from(self.has(SYN)) + u32::from(self.has(FIN));
        self.seq.wrapping_add(self.payload.len() as u32 + flags)
    }

    /// The data of an option.
    pub fn option(&self, wanted: u8) -> Option<&[u8]> {
        let mut rest = &self.options[..];
        while let [kind, tail @ ..] = rest {
            let len = match kind {
                0 => return None,
                1 => 1,
                _ => usize::from(*tail.first()?),
            };
            if *kind == wanted {
                return rest.get(2..len);
            }
            rest = rest.get(len..)?;
        }
        None
    }

    /// The blocks of its SACK option.
    pub fn sacks(&self) -> Vec<(u32, u32)> {
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
        let data = self.option(5).unwrap_or_default();
        data.chunks_exact(8).map(|block| (number(&block[..4]), number(&block[4..]))).collect()
    }

    pub fn timestamps(&self) -> Option<(u32, u32)> {
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
        self.option(8).map(|data| (number(&data[..4]), number(&data[4..])))
    }

    /// The segment as bytes, with its checksum.
    pub fn emit(&self, ends: Ends, ports: (u16, u16)) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(ports.0.to_be_bytes());
        bytes.extend(ports.1.to_be_bytes());
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend(self.ack.to_be_bytes());
        assert_eq!(self.options.len() % 4, 0);
        bytes.extend([(5 + self.options.len() as u8 / 4) << 4, self.flags]);
        bytes.extend(self.window.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(&self.options);
        bytes.extend(&self.payload);
        fill_checksum(ends, TCP, &mut bytes, 16);
        bytes
    }

    /// Reads a segment and its ports.
    pub fn parse(bytes: &[u8]) -> (Self, (u16, u16)) {
        let header = usize::from(bytes[12] >> 4) * 4;
        let u16_at = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        let segment = Self {
            seq: u32_at(4),
            ack: u32_at(8),
            flags: bytes[13],
            window: u16_at(14),
            options: bytes[20..header].to_vec(),
            payload: bytes[header..].to_vec(),
        };
        (segment, (u16_at(0), u16_at(2)))
    }
}

/// Source and destination, of one family.
pub type Ends = (IpAddr, IpAddr);

/// The Internet checksum of bytes behind a pseudo-header.
pub fn checksum(ends: Ends, protocol: u8, bytes: &[u8]) -> u16 {
    let mut all = Vec::new();
    for end in [ends.0, ends.1] {
        match end {
            IpAddr::V4(end) => all.extend(end.octets()),
            IpAddr::V6(end) => all.extend(end.octets()),
        }
    }
    all.extend((bytes.len() as u32).to_be_bytes());
    all.extend([0, 0, 0, protocol]);
    all.extend(bytes);
    plain_checksum(&all)
}

pub fn plain_checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|w| u64::from(w[0]) << 8 | u64::from(*w.get(1).unwrap_or(&0)));
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

/// Writes the checksum of TCP, UDP or ICMPv6 in its place.
pub fn fill_checksum(ends: Ends, protocol: u8, bytes: &mut [u8], at: usize) {
    bytes[at..at + 2].fill(0);
    let sum = checksum(ends, protocol, bytes);
    bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// A frame around a payload, with the hop limit that neighbour discovery asks for.
pub fn frame(macs: ([u8; 6], [u8; 6]), ends: Ends, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = [macs.1, macs.0].concat();
    match ends {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            frame.extend([8, 0, 0x45, 0]);
            frame.extend((20 + payload.len() as u16).to_be_bytes());
            frame.extend([0, 0, 0x40, 0, 255, protocol, 0, 0]);
            frame.extend([source.octets(), destination.octets()].concat());
            let sum = plain_checksum(&frame[14..]);
            frame[24..26].copy_from_slice(&sum.to_be_bytes());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend((payload.len() as u16).to_be_bytes());
            frame.extend([protocol, 255]);
            frame.extend([source.octets(), destination.octets()].concat());
        }
        _ => panic!("two families"),
    }
    frame.extend(payload);
    frame
}

/// What a frame carries: its ends, its protocol, and the payload. `None` for ARP.
pub fn open(frame: &[u8]) -> Option<(Ends, u8, &[u8])> {
    let packet = &frame[14..];
    match [frame[12], frame[13]] {
        [8, 0] => {
            let v4 = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&packet[at..at + 4]).unwrap());
            let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
            Some(((v4(12), v4(16)), packet[9], &packet[20..total]))
        }
        [0x86, 0xdd] => {
            let v6 = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&packet[at..at + 16]).unwrap());
            Some(((v6(8), v6(24)), packet[6], &packet[40..]))
        }
        _ => None,
    }
}
