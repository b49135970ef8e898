//! TCP segments as bytes: reading a header with its options, all of it hostile, and writing one.
//! RFC 9293, 3.1; options of RFC 7323 and 2018. It holds no state.

use crate::tcp::ranges::Range;
use crate::tcp::seq::Seq;

/// A header without options.
pub(crate) const HEADER_BYTES: usize = 20;
/// A header with all the options that fit.
pub(crate) const HEADER_BYTES_MAX: usize = 60;
/// Where the checksum stands.
pub(crate) const CHECKSUM_AT: usize = 16;
/// The timestamp option with the two bytes of padding before it.
pub(crate) const TIMESTAMPS_BYTES: usize = 12;
/// Most SACK blocks in one segment.
const SACKS_MAX: usize = 4;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

mod option {
    pub(super) const END: u8 = 0;
    pub(super) const NOP: u8 = 1;
    pub(super) const MSS: u8 = 2;
    pub(super) const WINDOW_SCALE: u8 = 3;
    pub(super) const SACK_PERMITTED: u8 = 4;
    pub(super) const SACK: u8 = 5;
    pub(super) const TIMESTAMPS: u8 = 8;
}

/// The flags of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    pub(crate) const FIN: Self = Self(FIN);
    pub(crate) const SYN: Self = Self(SYN);
    pub(crate) const RST: Self = Self(RST);
    pub(crate) const PSH: Self = Self(PSH);
    pub(crate) const ACK: Self = Self(ACK);

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// The two numbers of the timestamp option (RFC 7323).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timestamps {
    pub(crate) value: u32,
    pub(crate) echo: u32,
}

/// Selectively acknowledged ranges, up to four.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sacks {
    ranges: [(u32, u32); SACKS_MAX],
    count: u8,
}

impl Sacks {
    pub(crate) fn iter(&self) -> impl Iterator<Item = Range> + '_ {
        let ranges = self.ranges[..self.count.into()].iter();
        ranges.map(|&(start, end)| Range { start: Seq(start), end: Seq(end) })
    }

    /// Adds a range if there is room.
    pub(crate) fn push(&mut self, range: Range) {
        if let Some(place) = self.ranges.get_mut(usize::from(self.count)) {
            *place = (range.start.0, range.end.0);
            self.count += 1;
        }
    }
}

/// What stands behind the header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) mss: Option<u16>,
    pub(crate) window_shift: Option<u8>,
    pub(crate) sack_permitted: bool,
    pub(crate) timestamps: Option<Timestamps>,
    pub(crate) sacks: Sacks,
}

/// A header and its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) sequence: Seq,
    /// Means something only with the flag.
    pub(crate) acknowledged: Seq,
    pub(crate) window: u16,
    pub(crate) flags: Flags,
    pub(crate) options: Options,
}

/// A segment that arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) header: Header,
    pub(crate) payload: &'a [u8],
}

impl Segment<'_> {
    pub(crate) const fn has(&self, flag: Flags) -> bool {
        self.header.flags.has(flag)
    }

    /// Whether it asks for a new connection.
    pub(crate) const fn opens(&self) -> bool {
        self.has(Flags::SYN)
            && !self.has(Flags::ACK)
            && !self.has(Flags::FIN)
            && !self.has(Flags::RST)
    }

    /// The sequence numbers that it takes.
    pub(crate) const fn len(&self) -> u32 {
        self.payload.len() as u32 + self.has(Flags::SYN) as u32 + self.has(Flags::FIN) as u32
    }

    /// The number behind it.
    pub(crate) fn end(&self) -> Seq {
        self.header.sequence + self.len()
    }
}

/// Reads a segment, not its checksum. `None` if its lengths contradict each other or a port is 0.
pub(crate) fn parse(bytes: &[u8]) -> Option<Segment<'_>> {
    let (fixed, _) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let header_bytes = usize::from(fixed[12] >> 4) * 4;
    let options = bytes.get(HEADER_BYTES..header_bytes)?;
    let u16_at = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
    let u32_at =
        |at: usize| u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
    let header = Header {
        source_port: u16_at(0),
        destination_port: u16_at(2),
        sequence: Seq(u32_at(4)),
        acknowledged: Seq(u32_at(8)),
        window: u16_at(14),
        flags: Flags(fixed[13] & (FIN | SYN | RST | PSH | ACK)),
        options: parse_options(options),
    };
    if header.source_port == 0 || header.destination_port == 0 {
        return None;
    }
    Some(Segment { header, payload: &bytes[header_bytes..] })
}

/// Reads options up to the first that makes no sense; unknown ones are passed over (RFC 9293, 3.2).
fn parse_options(mut bytes: &[u8]) -> Options {
    let mut options = Options::default();
    while let Some((&kind, rest)) = bytes.split_first() {
        match kind {
            option::END => break,
            option::NOP => {
                bytes = rest;
                continue;
            }
            _ => {}
        }
        let Some(&len) = rest.first() else { break };
        if len < 2 || usize::from(len) > bytes.len() {
            break;
        }
        let (this, after) = bytes.split_at(len.into());
        bytes = after;
        match (kind, &this[2..]) {
            (option::MSS, &[high, low]) => options.mss = Some(u16::from_be_bytes([high, low])),
            (option::WINDOW_SCALE, &[shift]) => options.window_shift = Some(shift),
            (option::SACK_PERMITTED, []) => options.sack_permitted = true,
            (option::TIMESTAMPS, data) => {
                if let ([value, echo], []) = data.as_chunks::<4>() {
                    let (value, echo) = (u32::from_be_bytes(*value), u32::from_be_bytes(*echo));
                    options.timestamps = Some(Timestamps { value, echo });
                }
            }
            (option::SACK, data) => {
                for [start, end] in data.as_chunks::<4>().0.as_chunks::<2>().0 {
                    let (start, end) = (u32::from_be_bytes(*start), u32::from_be_bytes(*end));
                    options.sacks.push(Range { start: Seq(start), end: Seq(end) });
                }
            }
            _ => {}
        }
    }
    options
}

/// A header as bytes.
pub(crate) struct Written {
    bytes: [u8; HEADER_BYTES_MAX],
    len: usize,
}

impl Written {
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn put(&mut self, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            place.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }
}

/// Writes a header with a checksum of zero. As many SACK blocks as fit.
pub(crate) fn emit(header: &Header) -> Written {
    let mut out = Written { bytes: [0; HEADER_BYTES_MAX], len: 0 };
    out.put(&header.source_port.to_be_bytes());
    out.put(&header.destination_port.to_be_bytes());
    out.put(&header.sequence.0.to_be_bytes());
    let has_ack = header.flags.has(Flags::ACK);
    out.put(&if has_ack { header.acknowledged.0 } else { 0 }.to_be_bytes());
    out.put(&[0, header.flags.0]);
    out.put(&header.window.to_be_bytes());
    out.put(&[0; 4]);
    let options = &header.options;
    if let Some(mss) = options.mss {
        let [high, low] = mss.to_be_bytes();
        out.put(&[option::MSS, 4, high, low]);
    }
    if options.sack_permitted {
        out.put(&[option::NOP, option::NOP, option::SACK_PERMITTED, 2]);
    }
    if let Some(Timestamps { value, echo }) = options.timestamps {
        out.put(&[option::NOP, option::NOP, option::TIMESTAMPS, 10]);
        out.put(&value.to_be_bytes());
        out.put(&echo.to_be_bytes());
    }
    if let Some(shift) = options.window_shift {
        out.put(&[option::NOP, option::WINDOW_SCALE, 3, shift]);
    }
    let room = (HEADER_BYTES_MAX - out.len).saturating_sub(4) / 8;
    let count = usize::from(options.sacks.count).min(room);
    if count > 0 {
        out.put(&[option::NOP, option::NOP, option::SACK, 2 + 8 * count as u8]);
        for (start, end) in &options.sacks.ranges[..count] {
            out.put(&start.to_be_bytes());
            out.put(&end.to_be_bytes());
        }
    }
    out.bytes[12] = (out.len as u8 / 4) << 4;
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn headers() -> impl Strategy<Value = Header> {
        let timestamps = prop::option::of(any::<(u32, u32)>());
        let sacks = prop::collection::vec(any::<(u32, u32)>(), 0..4);
        let options = (
            prop::option::of(any::<u16>()),
            prop::option::of(0u8..20),
            any::<bool>(),
            timestamps,
            sacks,
        );
        (1u16.., 1u16.., any::<(u32, u32)>(), any::<u16>(), 0u8..32, options).prop_map(
            |(
                source_port,
                destination_port,
                (sequence, ack),
                window,
                flags,
                (mss, window_shift, sack_permitted, timestamps, blocks),
            )| {
                let mut sacks = Sacks::default();
                let room = (40
                    - 4 * usize::from(mss.is_some())
                    - 4 * usize::from(sack_permitted)
                    - 4 * usize::from(window_shift.is_some())
                    - 12 * usize::from(timestamps.is_some())
                    - 4)
                    / 8;
                for (start, end) in blocks.into_iter().take(room) {
                    sacks.push(Range { start: Seq(start), end: Seq(end) });
                }
                let flags = Flags(flags);
                let acknowledged = Seq(if flags.has(Flags::ACK) { ack } else { 0 });
                let timestamps = timestamps.map(|(value, echo)| Timestamps { value, echo });
                let options = Options { mss, window_shift, sack_permitted, timestamps, sacks };
                Header {
                    source_port,
                    destination_port,
                    sequence: Seq(sequence),
                    acknowledged,
                    window,
                    flags,
                    options,
                }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read(header in headers(), payload in prop::collection::vec(any::<u8>(), 0..50)) {
            let written = emit(&header);
            prop_assert_eq!(written.len % 4, 0);
            let bytes = [written.as_slice(), &payload].concat();
            let segment = parse(&bytes).unwrap();
            prop_assert_eq!(segment.header, header);
            prop_assert_eq!(segment.payload, payload);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Some(segment) = parse(&bytes) {
                prop_assert!(segment.payload.len() + HEADER_BYTES <= bytes.len());
            }
        }
    }

    #[test]
    fn broken_options_end_the_list() {
        for options in [
            &[option::MSS, 1, 5, 5][..],
            &[option::MSS, 0, 1, 1],
            &[option::MSS, 9, 1, 1],
            &[77, 77, 2, 4],
        ] {
            let mut bytes = Vec::from([0; HEADER_BYTES]);
            (bytes[1], bytes[3], bytes[12]) = (1, 1, 0x60);
            bytes.extend(options);
            assert_eq!(parse(&bytes).unwrap().header.options, Options::default());
        }
        assert!(parse(&[1; 19]).is_none());
    }
}
