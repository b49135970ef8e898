//! Messages: a header, a fixed part, and attributes that may hold attributes.

/// `struct nlmsghdr`: length, type, flags, sequence number, port.
pub(crate) const HEADER_BYTES: usize = 16;
/// `struct nlattr`: length, type.
const ATTRIBUTE_HEADER_BYTES: usize = 4;
const ALIGNMENT: usize = 4;
/// The type without NLA_F_NESTED and NLA_F_NET_BYTEORDER.
const TYPE_MASK: u16 = 0x3fff;
const NESTED: u16 = 0x8000;

/// A message that is being written. Ours are a few hundred bytes; every length fits.
pub(crate) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// Begins with the fixed part that this type of message has.
    pub(crate) fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(fixed);
        let mut message = Self { bytes };
        message.align();
        message
    }

    pub(crate) fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        self.attributes(kind, |message| message.bytes.extend_from_slice(value))
    }

    /// With a terminating zero.
    pub(crate) fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        self.attributes(kind, |message| {
            message.bytes.extend_from_slice(value.as_bytes());
            message.bytes.push(0);
        })
    }

    /// One that holds attributes.
    pub(crate) fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        self.attributes(kind | NESTED, fill)
    }

    fn attributes(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        fill(self);
        let len = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&len.to_ne_bytes());
        self.align();
        self
    }

    /// The bytes to send, under this number.
    pub(crate) fn finish(&mut self, more_flags: u16, sequence: u32) -> &[u8] {
        let len = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&len.to_ne_bytes());
        let flags = u16::from_ne_bytes([self.bytes[6], self.bytes[7]]) | more_flags;
        self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        &self.bytes
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
    }
}

/// A message that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Incoming<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) body: &'a [u8],
}

/// The messages of a datagram; ends at the first that is no message.
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Incoming<'a>;

    fn next(&mut self) -> Option<Incoming<'a>> {
        let len = u32_at(self.0, 0)? as usize;
        let body = self.0.get(HEADER_BYTES..len)?;
        let message = Incoming {
            kind: u16_at(self.0, 4)?,
            flags: u16_at(self.0, 6)?,
            sequence: u32_at(self.0, 8)?,
            body,
        };
        self.0 = self.0.get(len.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        Some(message)
    }
}

/// Attributes as they stand behind a fixed part or in another attribute; ends at the first that is none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Attributes<'a> {
    /// The attributes behind a fixed part of so many bytes.
    pub(crate) fn behind(body: &'a [u8], fixed_bytes: usize) -> Self {
        Self(body.get(fixed_bytes.next_multiple_of(ALIGNMENT)..).unwrap_or_default())
    }

    /// The value of the first of this type.
    pub(crate) fn find(mut self, kind: u16) -> Option<&'a [u8]> {
        Iterator::find(&mut self, |(other, _)| *other == kind).map(|(_, value)| value)
    }

    pub(crate) fn find_nested(self, kind: u16) -> Option<Self> {
        self.find(kind).map(Self)
    }

    pub(crate) fn find_u32(self, kind: u16) -> Option<u32> {
        u32_at(self.find(kind)?, 0)
    }

    /// A text up to its zero; `None` if it is not UTF-8.
    pub(crate) fn find_text(self, kind: u16) -> Option<&'a str> {
        str::from_utf8(self.find(kind)?.split(|byte| *byte == 0).next()?).ok()
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let len = usize::from(u16_at(self.0, 0)?);
        let kind = u16_at(self.0, 2)? & TYPE_MASK;
        let value = self.0.get(ATTRIBUTE_HEADER_BYTES..len)?;
        self.0 = self.0.get(len.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        Some((kind, value))
    }
}

pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(offset..)?.first_chunk().copied()?))
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(offset..)?.first_chunk().copied()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read() {
        let mut message = Message::new(16, 1, &[7; 6]);
        message.text(1, "bpf").nested(2, |inner| {
            inner.attribute(4, &3_u16.to_ne_bytes()).attribute(5, &9_u32.to_ne_bytes());
        });
        let bytes = message.finish(4, 77).to_vec();
        let mut messages = Messages(&bytes);
        let read = messages.next().unwrap();
        assert_eq!((read.kind, read.flags, read.sequence), (16, 5, 77));
        assert!(messages.next().is_none());
        let attributes = Attributes::behind(read.body, 6);
        assert_eq!(attributes.find_text(1), Some("bpf"));
        let inner = attributes.find_nested(2).unwrap();
        assert_eq!(inner.find(4), Some(&3_u16.to_ne_bytes()[..]));
        assert_eq!(inner.find_u32(5), Some(9));
        assert_eq!(inner.find(6), None);
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Messages(&bytes).count() <= bytes.len() / HEADER_BYTES + 1);
            prop_assert!(Attributes(&bytes).count() <= bytes.len() / ATTRIBUTE_HEADER_BYTES + 1);
            let _ = Attributes(&bytes).find_text(1);
            let _ = Attributes::behind(&bytes, 300).find_u32(1);
        }
    }
}
