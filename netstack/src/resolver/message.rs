//! The messages of a stub resolver: one question, and what answers it (RFC 1035, 4; RFC 3596). It
//! reads no further than the question needs, and believes nothing that was not asked for.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::{Deref, Range};

use super::name::{NAME_BYTES_MAX, Name};

const ADDRESSES_MAX: usize = 8;
/// Aliases that lead from the name to its address.
const ALIASES_MAX: usize = 8;
/// Sections with more records are nonsense: a datagram has no room for them.
const RECORDS_MAX: u16 = 64;

const HEADER_BYTES: usize = 12;
const QUESTION_BYTES_MAX: usize = NAME_BYTES_MAX + 4;
pub(super) const QUERY_BYTES_MAX: usize = HEADER_BYTES + QUESTION_BYTES_MAX;

const IS_RESPONSE: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const TRUNCATED: u16 = 0x0200;
const RECURSION_DESIRED: u16 = 0x0100;
const RCODE: u16 = 0x000f;
const NO_SUCH_NAME: u16 = 3;

const CLASS_IN: u16 = 1;
const CNAME: u16 = 5;
const SOA: u16 = 6;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
}

impl Kind {
    fn code(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Aaaa => 28,
        }
    }

    pub(super) fn fits(self, address: IpAddr) -> bool {
        address.is_ipv4() == (self == Self::A)
    }
}

/// A few addresses: a slice that needs no heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    list: [IpAddr; ADDRESSES_MAX],
    len: usize,
}

impl Addresses {
    pub(super) const NONE: Self =
        Self { list: [IpAddr::V4(Ipv4Addr::UNSPECIFIED); ADDRESSES_MAX], len: 0 };

    /// Keeps the first eight.
    pub(super) fn push(&mut self, address: IpAddr) {
        if let Some(place) = self.list.get_mut(self.len) {
            *place = address;
            self.len += 1;
        }
    }
}

impl Deref for Addresses {
    type Target = [IpAddr];

    fn deref(&self) -> &[IpAddr] {
        &self.list[..self.len]
    }
}

/// A question as it was sent. A stranger who does not see it would have to guess all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Question<'a> {
    pub(super) id: u16,
    pub(super) name: &'a Name,
    pub(super) kind: Kind,
    /// Letters that are sent in upper case: servers return a name as they got it, so that its
    /// letters are as good as more bits of the id.
    pub(super) upper_case: u64,
}

/// What a server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Found {
        addresses: Addresses,
        ttl: u32,
    },
    /// There is no such name; the server vouches for this for so many seconds.
    NoSuchName {
        ttl: u32,
    },
    /// The name exists, but has no such address.
    NoAddress {
        ttl: u32,
    },
    /// There is more than a datagram holds.
    Truncated,
    /// The server cannot or will not tell.
    ServerFailed,
}

impl Question<'_> {
    /// Writes at most [`QUERY_BYTES_MAX`], or nothing if the buffer is too small.
    pub(super) fn write(&self, buffer: &mut [u8]) -> Option<usize> {
        let (question, len) = self.to_wire();
        let bytes = HEADER_BYTES + len;
        let buffer = buffer.get_mut(..bytes)?;
        let words = [self.id, RECURSION_DESIRED, 1, 0, 0, 0].map(u16::to_be_bytes);
        buffer[..HEADER_BYTES].copy_from_slice(words.as_flattened());
        buffer[HEADER_BYTES..].copy_from_slice(&question[..len]);
        Some(bytes)
    }

    /// Reads a message, if it is the answer to this question.
    pub(super) fn read_reply(&self, message: &[u8]) -> Option<Reply> {
        let (question, len) = self.to_wire();
        let flags = word(message, 2)?;
        if word(message, 0)? != self.id
            || flags & (IS_RESPONSE | OPCODE) != IS_RESPONSE
            || word(message, 4)? != 1
            || message.get(HEADER_BYTES..HEADER_BYTES + len)? != &question[..len]
        {
            return None;
        }
        // From here on it is the server that speaks, even if it is nonsense.
        Some(self.read_sections(message, flags, HEADER_BYTES + len).unwrap_or(Reply::ServerFailed))
    }

    /// `None` if it is malformed.
    fn read_sections(&self, message: &[u8], flags: u16, answers_at: usize) -> Option<Reply> {
        if flags & TRUNCATED != 0 {
            return Some(Reply::Truncated);
        }
        let answers = Section { message, at: answers_at, left: count(message, 6)? };
        match flags & RCODE {
            0 => {}
            NO_SUCH_NAME => return Some(Reply::NoSuchName { ttl: negative_ttl(answers)? }),
            _ => return Some(Reply::ServerFailed),
        }
        let (mut name, mut ttl) = (self.name.clone(), u32::MAX);
        for _ in 0..=ALIASES_MAX {
            let (mut addresses, mut alias) = (Addresses::NONE, None);
            for record in answers {
                let record = record?;
                if record.owner != name {
                    continue;
                }
                if record.kind == self.kind.code() {
                    addresses.push(address(&message[record.data], self.kind)?);
                } else if record.kind == CNAME {
                    alias = Some(Name::read(message, record.data.start)?.0);
                } else {
                    continue;
                }
                ttl = ttl.min(record.ttl);
            }
            if !addresses.is_empty() {
                return Some(Reply::Found { addresses, ttl });
            }
            let Some(alias) = alias else {
                return Some(Reply::NoAddress { ttl: negative_ttl(answers)?.min(ttl) });
            };
            name = alias;
        }
        None
    }

    /// The name, the kind and the class.
    fn to_wire(self) -> ([u8; QUESTION_BYTES_MAX], usize) {
        let mut bytes = [0; QUESTION_BYTES_MAX];
        let name = self.name.as_bytes();
        for (place, (byte, out)) in name.iter().zip(&mut bytes).enumerate() {
            // A length is below 64 and so no letter.
            let is_upper = self.upper_case.rotate_right(place as u32) & 1 != 0;
            *out = if is_upper { byte.to_ascii_uppercase() } else { *byte };
        }
        let tail = [self.kind.code(), CLASS_IN].map(u16::to_be_bytes);
        bytes[name.len()..name.len() + 4].copy_from_slice(tail.as_flattened());
        (bytes, name.len() + 4)
    }
}

struct Record {
    owner: Name,
    kind: u16,
    /// In seconds.
    ttl: u32,
    data: Range<usize>,
}

/// Records that follow each other, and an error at the first that is malformed. Those of other
/// classes are left out.
#[derive(Clone, Copy)]
struct Section<'a> {
    message: &'a [u8],
    at: usize,
    left: u16,
}

impl Section<'_> {
    fn read(&mut self) -> Option<(Record, u16)> {
        let (owner, at) = Name::read(self.message, self.at)?;
        let (kind, class) = (word(self.message, at)?, word(self.message, at + 2)?);
        let ttl =
            u32::from(word(self.message, at + 4)?) << 16 | u32::from(word(self.message, at + 6)?);
        let data = at + 10..at + 10 + usize::from(word(self.message, at + 8)?);
        self.message.get(data.clone())?;
        self.at = data.end;
        // RFC 2181, 8: what would be negative is zero.
        let ttl = if ttl > i32::MAX as u32 { 0 } else { ttl };
        Some((Record { owner, kind, ttl, data }, class))
    }
}

impl Iterator for Section<'_> {
    type Item = Option<Record>;

    fn next(&mut self) -> Option<Option<Record>> {
        while self.left > 0 {
            self.left -= 1;
            match self.read() {
                Some((record, CLASS_IN)) => return Some(Some(record)),
                Some(_) => {}
                None => {
                    self.left = 0;
                    return Some(None);
                }
            }
        }
        None
    }
}

/// How long the zone lets it be believed that something does not exist (RFC 2308, 5): zero if it
/// does not say.
fn negative_ttl(mut answers: Section<'_>) -> Option<u32> {
    let message = answers.message;
    for answer in &mut answers {
        answer?;
    }
    let mut authority = Section { message, at: answers.at, left: count(message, 8)? };
    let soa = authority.find(|record| record.as_ref().is_none_or(|record| record.kind == SOA));
    let Some(soa) = soa else { return Some(0) };
    let soa = soa?;
    let minimum = message[soa.data].last_chunk().map(|bytes| u32::from_be_bytes(*bytes))?;
    Some(soa.ttl.min(minimum))
}

fn address(data: &[u8], kind: Kind) -> Option<IpAddr> {
    match kind {
        Kind::A => Some(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into()),
        Kind::Aaaa => Some(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).into()),
    }
}

/// Of a section's records.
fn count(message: &[u8], at: usize) -> Option<u16> {
    word(message, at).filter(|count| *count <= RECORDS_MAX)
}

fn word(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*message.get(at..)?.first_chunk()?))
}
