//! Names of hosts, as typed and as on the wire (RFC 1035, 2.3.4 and 4.1.4). They are kept in lower
//! case, since two that differ in nothing else are the same (RFC 4343).

use core::fmt;

const LABEL_BYTES_MAX: usize = 63;
/// With the length before each label and the empty one at the end.
pub(super) const NAME_BYTES_MAX: usize = 255;
/// A name has fewer labels, so that more pointers than this lead nowhere.
const POINTERS_MAX: usize = 128;

#[derive(Clone)]
pub(super) struct Name {
    /// As on the wire, without compression.
    bytes: [u8; NAME_BYTES_MAX],
    len: u8,
}

impl Name {
    /// Reads what somebody typed: labels of 1 to 63 letters, digits, hyphens and underscores, up
    /// to 253 bytes with the dots between them. A dot at the end does no harm. Letters beyond
    /// ASCII must be encoded already (RFC 5890).
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let mut name = Self::EMPTY;
        for label in text.split('.') {
            let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            if label.is_empty() || !label.bytes().all(is_good) {
                return None;
            }
            name.push(label.as_bytes())?;
        }
        name.end()
    }

    /// Reads the name at this place of a message, and returns it with the place behind it. Pointers
    /// lead backwards only, so that they come to an end.
    pub(super) fn read(message: &[u8], at: usize) -> Option<(Self, usize)> {
        let mut name = Self::EMPTY;
        let (mut at, mut begin, mut behind) = (at, at, None);
        let mut pointers = 0;
        loop {
            let first = *message.get(at)?;
            match first {
                0 => return Some((name.end()?, behind.unwrap_or(at + 1))),
                1..=0x3f => {
                    let label = message.get(at + 1..at + 1 + usize::from(first))?;
                    name.push(label)?;
                    at += 1 + label.len();
                }
                0xc0.. => {
                    let target =
                        usize::from(first & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
                    pointers += 1;
                    if target >= begin || pointers > POINTERS_MAX {
                        return None;
                    }
                    behind = behind.or(Some(at + 2));
                    (at, begin) = (target, target);
                }
                // Labels of other kinds were given up (RFC 6891, 5).
                _ => return None,
            }
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len.into()]
    }

    const EMPTY: Self = Self { bytes: [0; NAME_BYTES_MAX], len: 0 };

    fn push(&mut self, label: &[u8]) -> Option<()> {
        let begin = usize::from(self.len);
        let end = begin + 1 + label.len();
        // There must be room for the empty label.
        if label.len() > LABEL_BYTES_MAX || end >= NAME_BYTES_MAX {
            return None;
        }
        self.bytes[begin] = label.len() as u8;
        self.bytes[begin + 1..end].copy_from_slice(label);
        self.bytes[begin + 1..end].make_ascii_lowercase();
        self.len = end as u8;
        Some(())
    }

    /// With the empty label at the end, which is the root.
    fn end(mut self) -> Option<Self> {
        self.bytes[usize::from(self.len)] = 0;
        self.len += 1;
        Some(self)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Name {}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({})", self.as_bytes().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::String;
    use std::vec::Vec;

    fn wire(text: &str) -> Vec<u8> {
        Name::parse(text).unwrap().as_bytes().to_vec()
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(wire("Www.Example.ORG"), b"\x03www\x07example\x03org\0");
        assert_eq!(wire("www.example.org."), wire("www.example.org"));
        assert_eq!(wire("_dmarc.a-b.1"), b"\x06_dmarc\x03a-b\x011\0");
        let label = "a".repeat(63);
        assert_eq!(wire(&label).len(), 65);
        let longest = [&label[..], &label, &label, &label[..61]].join(".");
        assert_eq!((longest.len(), wire(&longest).len()), (253, 255));
        let too_long = [&label[..], &label, &label, &label[..62]].join(".");
        let bad = ["", ".", "..", "a..b", ".a", "a..", "a b", "ä.de", "a\0", "a/b", &too_long];
        for text in bad.iter().chain(&[&*"a".repeat(64)]) {
            assert_eq!(Name::parse(text), None, "{text}");
        }
    }

    #[test]
    fn pointers_are_followed_backwards_only() {
        let message = b"xx\x03Org\0\x03www\xc0\x02\x01a\xc0\x07zz";
        assert_eq!(Name::read(message, 2), Some((Name::parse("org").unwrap(), 7)));
        assert_eq!(Name::read(message, 7), Some((Name::parse("www.org").unwrap(), 13)));
        assert_eq!(Name::read(message, 13), Some((Name::parse("a.www.org").unwrap(), 17)));
        for looped in [&b"\xc0\0"[..], b"\x01a\xc0\0", b"\xc0\x02\xc0\0", b"\xc0\x02\0", b"\xc0"] {
            assert_eq!(Name::read(looped, 0), None, "{looped:?}");
        }
        for cut in [&b""[..], b"\x03ww", b"\x03www", b"\x40a\0", b"\x80a\0"] {
            assert_eq!(Name::read(cut, 0), None, "{cut:?}");
        }
    }

    #[test]
    fn a_long_chain_of_pointers_is_refused() {
        let mut message = Vec::from([0]);
        message
            .extend((0_u16..200).flat_map(|n| (0xc000 | (2 * n).saturating_sub(1)).to_be_bytes()));
        assert!(Name::read(&message, 1 + 2 * 100).is_some());
        assert_eq!(Name::read(&message, 1 + 2 * 199), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn reads_any_bytes(
            message in prop::collection::vec(prop_oneof![Just(0xc0), 0_u8..5, any::<u8>()], 0..300),
            at in 0_usize..310,
        ) {
            if let Some((name, behind)) = Name::read(&message, at) {
                prop_assert!(name.as_bytes().len() <= NAME_BYTES_MAX);
                prop_assert!(at < behind && behind <= message.len());
                let again = Name::read(name.as_bytes(), 0);
                prop_assert_eq!(again, Some((name.clone(), name.as_bytes().len())));
            }
        }

        #[test]
        fn parses_any_text(text in "[a-cA-C0-9._-]{0,20}|[a-z.]{230,260}|\\PC{0,10}") {
            let labels: Vec<&str> = text.strip_suffix('.').unwrap_or(&text).split('.').collect();
            let is_good = labels.iter().all(|label| {
                (1..64).contains(&label.len())
                    && label.chars().all(|it| it.is_ascii_alphanumeric() || "-_".contains(it))
            }) && labels.join(".").len() <= 253;
            let name = Name::parse(&text);
            prop_assert_eq!(name.is_some(), is_good);
            if let Some(name) = name {
                let expected: String = labels.join(".").to_lowercase();
                let mut read = String::new();
                let mut rest = name.as_bytes();
                while let [len @ 1..=63, after @ ..] = rest {
                    let (label, behind) = after.split_at(usize::from(*len));
                    read += core::str::from_utf8(label).unwrap();
                    read += ".";
                    rest = behind;
                }
                prop_assert_eq!(read.trim_end_matches('.'), expected);
            }
        }
    }
}
