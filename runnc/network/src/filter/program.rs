//! The classic BPF programs: bytes of a frame in, a verdict out.
//!
//! A stack answers segments of connections that it does not have. Where several guests share an address, each sees
//! those of the others, so such answers are dropped on their way out ([`DROP_IPV4_ANSWERS`], [`DROP_IPV6_ANSWERS`]):
//!
//! | what | answers |
//! |---|---|
//! | TCP, RST without ACK | a segment with an ACK (RFC 9293, 3.10.7.1) |
//! | TCP, RST and ACK with sequence number 0 | a segment without one, as a SYN to a closed port |
//! | ICMP type 3 code 3, ICMPv6 type 1 code 4 | a datagram to a closed port |
//!
//! A reset of an own connection has an ACK and a sequence number, which is 0 once in four billion times.
//! Fragments and IPv6 packets with extension headers are let through: no guest sends an answer so.

/// `struct sock_filter`: code, how many to skip if so and if not, a constant.
pub(crate) type Instruction = (u16, u8, u8, u32);

/// `linux/bpf_common.h`.
const LOAD_WORD_X: u16 = 0x40;
const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_HALF_X: u16 = 0x48;
const LOAD_BYTE: u16 = 0x30;
const LOAD_BYTE_X: u16 = 0x50;
const LOAD_LEN: u16 = 0x80;
/// X is four times the low half of a byte: an IPv4 header's length.
const HEADER_TO_X: u16 = 0xb1;
const SUBTRACT: u16 = 0x14;
const AND: u16 = 0x54;
const IF_EQUAL: u16 = 0x15;
const IF_ANY_BIT: u16 = 0x45;
const IF_AT_LEAST: u16 = 0x35;
const IF_AT_LEAST_X: u16 = 0x3d;
const RETURN: u16 = 0x06;

/// The next filter decides; or, of a filter with actions, they are carried out.
const GO_ON: u32 = u32::MAX;
/// TC_ACT_SHOT.
const DROP: u32 = 2;

/// Every frame, for filters with actions.
pub(crate) const MATCH_ALL: [Instruction; 1] = [(RETURN, 0, 0, GO_ON)];
/// No frame gets through.
pub(crate) const DROP_ALL: [Instruction; 1] = [(RETURN, 0, 0, DROP)];

const ETHERNET: u32 = 14;
const IPV4: u32 = 20;
const IPV6: u32 = 40;
/// As far as it is looked into TCP, up to its flags; ICMP messages with a packet in them are longer.
const LOOKED_AT: u32 = 14;
const RST: u32 = 0x04;
const RST_ACK: u32 = 0x14;

/// Of IPv4 packets. A load behind the frame's end would end a program with the verdict "accept", which hands the
/// frame to the host's stack; so its length is asked first.
pub(crate) const DROP_IPV4_ANSWERS: [Instruction; 21] = [
    (LOAD_LEN, 0, 0, 0),
    (IF_AT_LEAST, 0, 17, ETHERNET + IPV4 + LOOKED_AT),
    // Not the first fragment?
    (LOAD_HALF, 0, 0, ETHERNET + 6),
    (IF_ANY_BIT, 15, 0, 0x1fff),
    (HEADER_TO_X, 0, 0, ETHERNET),
    (LOAD_LEN, 0, 0, 0),
    (SUBTRACT, 0, 0, ETHERNET + LOOKED_AT),
    (IF_AT_LEAST_X, 0, 11, 0),
    (LOAD_BYTE, 0, 0, ETHERNET + 9),
    // ICMP: type and code.
    (IF_EQUAL, 0, 2, 1),
    (LOAD_HALF_X, 0, 0, ETHERNET),
    (IF_EQUAL, 8, 7, 0x0303),
    // TCP: flags, sequence number.
    (IF_EQUAL, 0, 6, 6),
    (LOAD_BYTE_X, 0, 0, ETHERNET + 13),
    (AND, 0, 0, RST_ACK),
    (IF_EQUAL, 4, 0, RST),
    (IF_EQUAL, 0, 2, RST_ACK),
    (LOAD_WORD_X, 0, 0, ETHERNET + 4),
    (IF_EQUAL, 1, 0, 0),
    (RETURN, 0, 0, GO_ON),
    (RETURN, 0, 0, DROP),
];

/// The same of IPv6 packets.
pub(crate) const DROP_IPV6_ANSWERS: [Instruction; 15] = [
    (LOAD_LEN, 0, 0, 0),
    (IF_AT_LEAST, 0, 11, ETHERNET + IPV6 + LOOKED_AT),
    (LOAD_BYTE, 0, 0, ETHERNET + 6),
    // ICMPv6: type and code.
    (IF_EQUAL, 0, 2, 58),
    (LOAD_HALF, 0, 0, ETHERNET + IPV6),
    (IF_EQUAL, 8, 7, 0x0104),
    // TCP: flags, sequence number.
    (IF_EQUAL, 0, 6, 6),
    (LOAD_BYTE, 0, 0, ETHERNET + IPV6 + 13),
    (AND, 0, 0, RST_ACK),
    (IF_EQUAL, 4, 0, RST),
    (IF_EQUAL, 0, 2, RST_ACK),
    (LOAD_WORD, 0, 0, ETHERNET + IPV6 + 4),
    (IF_EQUAL, 1, 0, 0),
    (RETURN, 0, 0, GO_ON),
    (RETURN, 0, 0, DROP),
];

pub(crate) fn to_bytes(program: &[Instruction]) -> Vec<u8> {
    let bytes = program.iter().flat_map(|(code, if_so, if_not, constant)| {
        let ([c0, c1], [k0, k1, k2, k3]) = (code.to_ne_bytes(), constant.to_ne_bytes());
        [c0, c1, *if_so, *if_not, k0, k1, k2, k3]
    });
    bytes.collect()
}

#[cfg(test)]
mod tests;
