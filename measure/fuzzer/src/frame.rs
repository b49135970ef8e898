//! What to say on a wire: frames of many kinds, most of them well formed, some answering what was heard. On a TAP the
//! packet decides which code of the kernel a `write` runs.

use crate::random::Random;

/// The longest frame with its header.
pub const BYTES_MAX: usize = 10 + 14 + 1500;

/// What stands before a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// Nothing.
    None,
    /// Virtio's header for segments and checksums, of 10 bytes (virtio 1.1, 5.1.6, without `num_buffers`).
    Virtio,
}

const VIRTIO_BYTES: usize = 10;
const ETHERNET_BYTES: usize = 14;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMP6: u8 = 58;

/// Who talks to whom, and what was last heard.
#[derive(Clone, Debug)]
pub struct Frames {
    /// Our hardware address.
    pub mac: [u8; 6],
    /// Our address.
    pub ip: [u8; 4],
    /// Our address of version 6.
    pub ip6: [u8; 16],
    /// The other's hardware address: everybody's until heard.
    pub peer_mac: [u8; 6],
    /// The other's address.
    pub peer_ip: [u8; 4],
    /// The other's address of version 6.
    pub peer_ip6: [u8; 16],
    /// Ports at which the other is thought to listen.
    pub ports: [u16; 4],
    /// Ours and the other's port and the next two sequence numbers of the last TCP segment heard, and whether it was
    /// of version 6.
    heard: Option<(u16, u16, u32, u32, bool)>,
}

impl Default for Frames {
    fn default() -> Self {
        let local = |last| [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
        Self {
            mac: [2, 0, 0, 0, 0, 2],
            ip: [10, 0, 0, 2],
            ip6: local(2),
            peer_mac: [0xff; 6],
            peer_ip: [10, 0, 0, 1],
            peer_ip6: local(1),
            ports: [4000, 4001, 4002, 7],
            heard: None,
        }
    }
}

/// Bytes that are written one after the other; what does not fit is left out.
struct Writer<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl Writer<'_> {
    fn put(&mut self, more: &[u8]) {
        let bytes = more.len().min(self.bytes.len() - self.len);
        self.bytes[self.len..self.len + bytes].copy_from_slice(&more[..bytes]);
        self.len += bytes;
    }

    fn noise(&mut self, random: &mut Random, bytes: u64) {
        let end = (self.len + bytes as usize).min(self.bytes.len());
        random.fill(&mut self.bytes[self.len..end]);
        self.len = end;
    }

    fn one(&mut self, random: &mut Random, choices: &[&[u8]]) {
        let chosen = *random.pick(choices);
        self.put(chosen);
    }

    fn patch(&mut self, offset: usize, word: u16) {
        if offset + 2 <= self.len {
            self.bytes[offset..offset + 2].copy_from_slice(&word.to_be_bytes());
        }
    }
}

/// The sum of RFC 1071, folded but not inverted.
fn sum(bytes: &[u8], start: u32) -> u32 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    let total = bytes.chunks(2).map(word).fold(start, u32::wrapping_add);
    let folded = (total >> 16) + (total & 0xffff);
    (folded >> 16) + (folded & 0xffff)
}

impl Frames {
    /// Learns from a frame without its header who is there and what he expects.
    pub fn hear(&mut self, frame: &[u8]) {
        let Some((ethernet, packet)) = frame.split_at_checked(ETHERNET_BYTES) else { return };
        if ethernet[6] & 1 == 0 && ethernet[6..12] != self.mac {
            self.peer_mac.copy_from_slice(&ethernet[6..12]);
        }
        let (segment, six) = match (&ethernet[12..], packet.first()) {
            ([8, 0], Some(first)) if packet.get(9) == Some(&TCP) => {
                (packet.get(usize::from(first & 15) * 4..), false)
            }
            ([0x86, 0xdd], _) if packet.get(6) == Some(&TCP) => (packet.get(40..), true),
            _ => return,
        };
        let Some(segment) = segment.filter(|segment| segment.len() >= 20) else { return };
        let half = |at: usize| u16::from_be_bytes([segment[at], segment[at + 1]]);
        let word = |at: usize| u32::from(half(at)) << 16 | u32::from(half(at + 2));
        let data = segment.len().saturating_sub(usize::from(segment[12] >> 4) * 4) as u32;
        let next = word(4).wrapping_add(data + u32::from(segment[13] & 3 != 0));
        self.heard = Some((half(2), half(0), word(8), next, six));
    }

    /// Writes a frame; how long it is.
    pub fn write(&self, random: &mut Random, header: Header, bytes: &mut [u8]) -> usize {
        let mut writer = Writer { bytes, len: 0 };
        let start = if header == Header::Virtio { VIRTIO_BYTES } else { 0 };
        writer.put(&[0; VIRTIO_BYTES][..start]);
        let checksum = self.ethernet(random, &mut writer);
        if random.one_in(24) {
            writer.len = random.below(writer.len as u64 + 1) as usize;
        } else if random.one_in(24) {
            let noise = random.below(40);
            writer.noise(random, noise);
        }
        if header == Header::Virtio && writer.len >= start {
            let said = virtio(random, checksum, start, writer.len);
            writer.bytes[..start].copy_from_slice(&said);
        }
        writer.len
    }

    /// Writes it from its Ethernet header on; where its transport's header and checksum are.
    fn ethernet(&self, random: &mut Random, out: &mut Writer<'_>) -> Option<(usize, usize)> {
        let to = match random.below(16) {
            0 => [0xff; 6],
            1 => [1, 0, 0x5e, 0, 0, 1],
            2 => [0x33, 0x33, 0, 0, 0, 1],
            3 => [1, 0x80, 0xc2, 0, 0, random.below(16) as u8],
            4 => [2, 9, 9, 9, 9, 9],
            _ => self.peer_mac,
        };
        out.put(&to);
        out.put(&if random.one_in(32) { [0; 6] } else { self.mac });
        if random.one_in(16) {
            let tag = *random.pick(&[0x8100u16, 0x88a8, 0x9100]);
            out.put(&tag.to_be_bytes());
            out.noise(random, 2);
        }
        match random.below(20) {
            0..=9 => {
                out.put(&[8, 0]);
                self.version_4(random, out, 0)
            }
            10..=14 => {
                out.put(&[0x86, 0xdd]);
                self.version_6(random, out, 0)
            }
            15 | 16 => {
                out.put(&[8, 6]);
                self.arp(random, out);
                None
            }
            17 => {
                // Service access points and SNAP: spanning trees, IPX, AppleTalk.
                let bytes = random.below(60);
                out.put(&(bytes as u16).to_be_bytes());
                out.one(
                    random,
                    &[
                        &[0x42, 0x42, 3, 0, 0],
                        &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0],
                        &[0xff, 0xff],
                        &[0xe0, 0xe0, 3],
                    ],
                );
                out.noise(random, bytes);
                None
            }
            _ => {
                // Experimental, LLDP, PPPoE, MPLS, EAPOL, TIPC, batman, time, RARP, MACsec, or any.
                let known = [
                    0x88b5,
                    0x88cc,
                    0x8863,
                    0x8864,
                    0x8847,
                    0x888e,
                    0x88ca,
                    0x4305,
                    0x88f7,
                    0x8035,
                    0x88e5,
                    random.below(0x1_0000) as u16,
                ];
                out.put(&random.pick(&known).to_be_bytes());
                let bytes = random.below(100);
                out.noise(random, bytes);
                None
            }
        }
    }

    fn arp(&self, random: &mut Random, out: &mut Writer<'_>) {
        out.put(&[0, 1, 8, 0, 6, 4, 0]);
        out.put(&[*random.pick(&[1, 1, 1, 2, 2, 3, 8])]);
        out.put(&self.mac);
        out.one(random, &[&self.ip, &self.ip, &self.peer_ip, &[10, 0, 0, 99], &[0; 4]]);
        out.put(&[0; 6]);
        out.one(
            random,
            &[&self.peer_ip, &self.peer_ip, &self.ip, &[10, 0, 0, 98], &[224, 0, 0, 1]],
        );
        if random.one_in(2) {
            out.put(&[0; 18]);
        }
    }

    fn version_4(
        &self,
        random: &mut Random,
        out: &mut Writer<'_>,
        depth: u8,
    ) -> Option<(usize, usize)> {
        const OPTIONS: &[&[u8]] = &[
            &[],
            &[],
            &[],
            &[],
            &[7, 7, 4, 0, 0, 0, 0, 0],
            &[68, 8, 5, 0, 0, 0, 0, 0],
            &[131, 7, 4, 10, 0, 0, 9, 0],
            &[137, 7, 4, 10, 0, 0, 1, 0],
            &[148, 4, 0, 0],
            &[134, 6, 0, 0, 0, 1, 0, 0],
            &[1, 1, 1, 0],
            &[130, 3, 0, 0],
        ];
        let start = out.len;
        let options = *random.pick(OPTIONS);
        let any = random.word() as u8;
        let protocol = match random.below(16) {
            0..=5 => TCP,
            6..=9 => UDP,
            10..=12 => ICMP,
            _ => *random.pick(&[2, 4, 41, 47, 50, 51, 103, 108, 112, 132, 136, 33, 255, any]),
        };
        let to = match random.below(16) {
            0 => [255; 4],
            1 => [224, 0, 0, 1],
            2 => [239, 255, 0, 1],
            3 => [10, 0, 0, 255],
            4 => [192, 0, 2, 1],
            5 => *random.pick(&[[127, 0, 0, 1], [0; 4], self.ip, [240, 0, 0, 1], [10, 0, 0, 77]]),
            _ => self.peer_ip,
        };
        let from = if random.one_in(12) {
            *random.pick(&[
                [0; 4],
                [127, 0, 0, 1],
                [224, 0, 0, 1],
                self.peer_ip,
                [198, 51, 100, 1],
                [255; 4],
            ])
        } else {
            self.ip
        };
        out.put(&[0x45 + (options.len() / 4) as u8, *random.pick(&[0, 0, 2, 3, 0x10, 0xff]), 0, 0]);
        out.put(&(random.below(4) as u16).to_be_bytes());
        // Whole, in first, later and last pieces of few numbers, so that they meet.
        let piece = *random.pick(&[
            0x4000, 0x4000, 0x4000, 0x4000, 0, 0, 0x2000, 0x2003, 0x0003, 0x0006, 0x3fff, 0x8000u16,
        ]);
        out.put(&piece.to_be_bytes());
        out.put(&[*random.pick(&[64, 64, 64, 64, 1, 0, 255]), protocol, 0, 0]);
        out.put(&from);
        out.put(&to);
        out.put(options);
        let place = self.transport(random, out, protocol, depth, |body| {
            let pseudo = sum(&from, sum(&to, 0));
            sum(body, pseudo + u32::from(protocol) + body.len() as u32)
        });
        let whole = (out.len - start) as u16;
        out.patch(
            start + 2,
            if random.one_in(32) { whole.wrapping_add(random.below(9) as u16) } else { whole },
        );
        let end = (start + 20 + options.len()).min(out.len);
        if !random.one_in(48) {
            let header = !sum(&out.bytes[start.min(end)..end], 0) as u16;
            out.patch(start + 10, header);
        }
        place
    }

    fn version_6(
        &self,
        random: &mut Random,
        out: &mut Writer<'_>,
        depth: u8,
    ) -> Option<(usize, usize)> {
        let link = |last: u8| [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
        let many = |scope: u8, last: u8| [0xff, scope, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
        let solicited = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 1];
        let start = out.len;
        let to = match random.below(10) {
            0 => many(2, 1),
            1 => many(2, 0x16),
            2 => solicited,
            3 => *random.pick(&[link(1), [0; 16], many(1, 1), many(5, 2), self.ip6, [0x20; 16]]),
            _ => self.peer_ip6,
        };
        let from = if random.one_in(8) {
            *random.pick(&[link(2), [0; 16], self.peer_ip6, many(2, 1)])
        } else {
            self.ip6
        };
        let protocol = match random.below(12) {
            0..=4 => TCP,
            5 | 6 => UDP,
            7..=9 => ICMP6,
            _ => *random.pick(&[4, 41, 47, 50, 51, 59, 103, 132, 136, 255]),
        };
        let extension = *random.pick(&[
            None,
            None,
            None,
            None,
            Some(0),
            Some(43),
            Some(44),
            Some(60),
            Some(135),
        ]);
        out.put(&[0x60, 0, 0, 0, 0, 0]);
        out.put(&[extension.unwrap_or(protocol), *random.pick(&[64, 255, 255, 1, 0])]);
        out.put(&from);
        out.put(&to);
        match extension {
            // Options of hops and destinations: padding, router alert, jumbo, home address, unknown.
            Some(0 | 60) => {
                out.put(&[protocol, 0]);
                out.one(
                    random,
                    &[
                        &[1, 4, 0, 0, 0, 0],
                        &[5, 2, 0, 0, 1, 0],
                        &[0xc2, 4, 0, 1, 0, 0],
                        &[0xc9, 4, 0, 0, 0, 0],
                        &[0x3e, 4, 0, 0, 0, 0],
                    ],
                );
            }
            Some(44) => {
                out.put(&[protocol, 0]);
                out.one(random, &[&[0, 1], &[0, 0], &[0, 0x19], &[0, 0x18]]);
                out.put(&[0, 0, 0, random.below(4) as u8]);
            }
            Some(43) => {
                let kind = *random.pick(&[0, 2, 3, 4, 9]);
                out.put(&[protocol, 2, kind, random.below(2) as u8, 0, 0, 0, 0]);
                out.put(&self.peer_ip6);
            }
            Some(_) => out.put(&[protocol, 0, 5, 0, 0, 0, 0, 0]),
            None => {}
        }
        let place = self.transport(random, out, protocol, depth, |body| {
            let pseudo = sum(&from, sum(&to, 0));
            sum(body, pseudo + u32::from(protocol) + body.len() as u32)
        });
        let whole = out.len.saturating_sub(start + 40) as u16;
        out.patch(start + 4, if random.one_in(32) { random.below(0x1_0000) as u16 } else { whole });
        place
    }

    /// Writes what a packet carries. `sums` is of a body with its pseudo header.
    fn transport(
        &self,
        random: &mut Random,
        out: &mut Writer<'_>,
        protocol: u8,
        depth: u8,
        sums: impl Fn(&[u8]) -> u32,
    ) -> Option<(usize, usize)> {
        let start = out.len;
        let checksum = match protocol {
            TCP => {
                self.tcp(random, out);
                16
            }
            UDP | 136 => {
                let from = *random.pick(&[68, 53, 4000, 9, 40000]);
                let to = if random.one_in(3) {
                    *random.pick(&[53, 67, 68, 137, 500, 4500, 4789, 5353, 9, 33434])
                } else {
                    *random.pick(&self.ports)
                };
                let bytes = *random.pick(&[0, 1, 40, 200, 1400]);
                out.put(&u16::to_be_bytes(from));
                out.put(&u16::to_be_bytes(to));
                out.put(&u16::to_be_bytes(bytes as u16 + 8));
                out.put(&[0, 0]);
                out.noise(random, bytes);
                6
            }
            ICMP => {
                let kind = *random.pick(&[8, 8, 8, 0, 3, 3, 4, 5, 11, 12, 13, 15, 17, 9, 42, 200]);
                self.complaint(random, out, kind, false);
                2
            }
            ICMP6 => {
                let kind = *random.pick(&[
                    128, 128, 129, 1, 2, 3, 4, 130, 131, 132, 133, 134, 135, 135, 136, 136, 137,
                    143, 160,
                ]);
                self.complaint(random, out, kind, true);
                2
            }
            4 if depth == 0 => {
                self.version_4(random, out, 1);
                return None;
            }
            41 if depth == 0 => {
                self.version_6(random, out, 1);
                return None;
            }
            2 => {
                // Groups: queries, reports of versions 1 to 3, leaving.
                out.put(&[
                    *random.pick(&[0x11, 0x12, 0x16, 0x17, 0x22]),
                    *random.pick(&[0, 10, 200]),
                    0,
                    0,
                ]);
                out.one(random, &[&[0; 4], &[224, 0, 0, 1], &[239, 255, 0, 1]]);
                out.put(&[0; 8][..random.below(2) as usize * 8]);
                let checksum = !sum(&out.bytes[start..out.len], 0) as u16;
                out.patch(start + 2, checksum);
                return None;
            }
            47 => {
                out.one(
                    random,
                    &[&[0, 0, 8, 0], &[0x20, 0, 8, 0], &[0, 0, 0x65, 0x58], &[0x30, 1, 0x88, 0x0b]],
                );
                let bytes = random.below(80);
                out.noise(random, bytes);
                return None;
            }
            _ => {
                let bytes = random.below(120);
                out.noise(random, bytes);
                return None;
            }
        };
        out.patch(start + checksum, 0);
        // Few wrong ones, and for UDP none at all.
        if !random.one_in(24) {
            let body = &out.bytes[start..out.len];
            let right = if protocol == ICMP { !sum(body, 0) as u16 } else { !sums(body) as u16 };
            out.patch(start + checksum, right);
        }
        matches!(protocol, TCP | UDP).then_some((start, checksum))
    }

    fn tcp(&self, random: &mut Random, out: &mut Writer<'_>) {
        const OPTIONS: &[&[u8]] = &[
            &[],
            &[],
            &[2, 4, 5, 0xb4],
            &[2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7],
            &[1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 9],
            &[1, 1, 5, 10, 0, 0, 0, 9, 0, 0, 1, 9],
            &[34, 2, 1, 1],
            &[19, 18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1],
            &[30, 12, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8],
            &[2, 0, 0, 0],
        ];
        let follows = self.heard.filter(|_| !random.one_in(3));
        let (from, to, number, next) = match follows {
            Some((from, to, number, next, _)) => (from, to, number, next),
            None => {
                let from = *random.pick(&[40000, 40001, 40002, 40003]);
                (from, *random.pick(&self.ports), random.word() as u32, random.word() as u32)
            }
        };
        // Off by little, now and then: old, new, out of order.
        let number = if random.one_in(6) {
            number.wrapping_add(random.below(3000) as u32).wrapping_sub(1500)
        } else {
            number
        };
        let next =
            if random.one_in(10) { next.wrapping_sub(random.below(2000) as u32) } else { next };
        let flags = match follows {
            Some(_) => *random
                .pick(&[0x10, 0x10, 0x18, 0x18, 0x18, 0x11, 0x14, 0x04, 0x02, 0x38, 0x50, 0x90, 0]),
            None => *random.pick(&[2, 2, 2, 2, 0xc2, 0x12, 0x10, 0x04, 0x11, 0x29, 0]),
        };
        let options = *random.pick(OPTIONS);
        out.put(&from.to_be_bytes());
        out.put(&to.to_be_bytes());
        out.put(&number.to_be_bytes());
        out.put(&next.to_be_bytes());
        out.put(&[(5 + options.len() as u8 / 4) << 4, flags]);
        out.put(&u16::to_be_bytes(*random.pick(&[65535, 65535, 1000, 0])));
        out.put(&[0, 0]);
        out.put(&(random.below(10) as u16).to_be_bytes());
        out.put(options);
        if flags & 2 == 0 || random.one_in(8) {
            let bytes = *random.pick(&[0, 1, 100, 500, 1200]);
            out.noise(random, bytes);
        }
    }

    /// Messages of control, with a part of a packet that might have been sent.
    fn complaint(&self, random: &mut Random, out: &mut Writer<'_>, kind: u8, six: bool) {
        out.put(&[kind, random.below(8) as u8, 0, 0]);
        match (kind, six) {
            (8 | 0 | 13 | 15 | 17, false) | (128 | 129, true) => {
                out.put(&[0, random.below(4) as u8, 0, 1]);
                let bytes = *random.pick(&[0, 12, 56, 1200]);
                out.noise(random, bytes);
            }
            (135 | 136, true) => {
                out.one(random, &[&[0; 4], &[0x60, 0, 0, 0], &[0xe0, 0, 0, 0]]);
                out.one(random, &[&self.peer_ip6, &self.peer_ip6, &self.ip6]);
                out.put(&[*random.pick(&[1, 2, 14]), 1]);
                out.put(&self.mac);
            }
            (134, true) => {
                out.put(&[64, *random.pick(&[0, 0x40, 0x80]), 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
                out.put(&[
                    3, 4, 64, 0xc0, 0, 0, 14, 16, 0, 0, 7, 8, 0, 0, 0, 0, 0xfd, 7, 0, 0, 0, 0, 0,
                    0, 0, 0, 0, 0, 0, 0, 0, 0,
                ]);
                out.put(&[5, 1, 0, 0, 0, 0, 5, 0]);
                out.put(&[25, 3, 0, 0, 0, 0, 0, 60]);
                out.put(&self.ip6);
            }
            (130..=133 | 143, true) => {
                out.put(&[0, random.below(2) as u8, 0, 1]);
                out.put(&[0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
                out.put(&[0, 0, 0, 0]);
            }
            (137, true) => {
                out.put(&[0; 4]);
                out.put(&self.ip6);
                out.put(&self.peer_ip6);
            }
            (_, true) => {
                out.put(&random.pick(&[0u32, 1280, 1300, 68]).to_be_bytes());
                out.put(&[0x60, 0, 0, 0, 0, 20, TCP, 64]);
                out.put(&self.peer_ip6);
                out.put(&self.ip6);
                out.put(&self.ports[0].to_be_bytes());
                out.put(&[0x9c, 0x40, 0, 0, 0, 0]);
            }
            (_, false) => {
                out.one(random, &[&[0, 0, 2, 64], &[10, 0, 0, 9], &[0, 0, 0, 0]]);
                out.put(&[
                    0x45,
                    0,
                    0,
                    40,
                    0,
                    0,
                    0x40,
                    0,
                    64,
                    *random.pick(&[TCP, UDP, ICMP]),
                    0,
                    0,
                ]);
                out.put(&self.peer_ip);
                out.put(&self.ip);
                out.put(&self.ports[0].to_be_bytes());
                out.put(&[0x9c, 0x40, 0, 0, 0, 0]);
            }
        }
    }
}

/// What virtio's header says of a frame whose transport and its checksum are there.
fn virtio(
    random: &mut Random,
    checksum: Option<(usize, usize)>,
    start: usize,
    end: usize,
) -> [u8; VIRTIO_BYTES] {
    let mut header = [0; VIRTIO_BYTES];
    if random.one_in(3) {
        return header;
    }
    if random.one_in(12) {
        random.fill(&mut header);
        return header;
    }
    let (transport, offset) = checksum.map_or((34, 16), |(place, offset)| (place - start, offset));
    // NEEDS_CSUM, DATA_VALID; TCPV4, UDP, TCPV6, UDP_L4, with ECN.
    header[0] = *random.pick(&[1, 1, 1, 2, 0, 3]);
    header[1] = *random.pick(&[0, 0, 1, 1, 4, 3, 5, 0x81, 0x84]);
    let long = transport + if offset == 6 { 8 } else { 20 };
    let halves = [
        if random.one_in(8) { random.below(200) } else { long.min(end) as u64 },
        *random.pick(&[100, 536, 1448, 0, 1, 65535]),
        if random.one_in(12) { random.below(2000) } else { transport as u64 },
        offset as u64,
    ];
    for (place, half) in header[2..].chunks_exact_mut(2).zip(halves) {
        place.copy_from_slice(&(half as u16).to_le_bytes());
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_in_bounds_and_of_all_kinds() {
        let frames = Frames::default();
        let mut random = Random::new(5);
        let mut seen = [0u32; 3];
        for round in 0..50_000usize {
            let mut bytes = [0; BYTES_MAX];
            let room =
                if round.is_multiple_of(16) { random.below(80) as usize + 10 } else { BYTES_MAX };
            let bytes = &mut bytes[..room];
            let len = frames.write(&mut random, Header::None, bytes);
            let kind = bytes[..len].get(12..14);
            seen[0] += u32::from(kind == Some(&[8, 0]));
            seen[1] += u32::from(kind == Some(&[0x86, 0xdd]));
            seen[2] += u32::from(kind == Some(&[8, 6]));
            assert!(frames.write(&mut random, Header::Virtio, bytes) <= room);
        }
        assert!(seen.iter().all(|&count| count > 1000), "{seen:?}");
    }

    #[test]
    fn most_checksums_are_right() {
        let frames = Frames::default();
        let mut random = Random::new(6);
        let mut bytes = [0; BYTES_MAX];
        let (mut all, mut right) = (0, 0);
        for _ in 0..20_000 {
            let len = frames.write(&mut random, Header::None, &mut bytes);
            let frame = &bytes[..len];
            if frame.get(12..15) == Some(&[8, 0, 0x45]) && len > 34 {
                all += 1;
                right += u32::from(sum(&frame[14..34], 0) == 0xffff);
            }
        }
        assert!(right * 10 > all * 9, "{right} of {all}");
    }

    #[test]
    fn an_answer_follows_what_was_heard() {
        let mut frames = Frames::default();
        let mut heard = [0; 54];
        heard[6..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 8, 0]);
        heard[14] = 0x45;
        heard[23] = TCP;
        // From port 4000 to 40001, a SYN with an acknowledgement.
        heard[34..54].copy_from_slice(&[
            15, 160, 156, 65, 0, 0, 0, 9, 0, 0, 0, 5, 0x50, 0x12, 0, 0, 0, 0, 0, 0,
        ]);
        frames.hear(&heard);
        assert_eq!(frames.peer_mac, [2, 0, 0, 0, 0, 1]);
        assert_eq!(frames.heard, Some((40001, 4000, 5, 10, false)));
        for len in 0..heard.len() {
            frames.hear(&heard[..len]);
        }
    }
}
