//! A member of a set as a byte string, also where the set holds an integer.

use core::cmp::Ordering;
use core::ops::Deref;

use crate::number::Decimal;

/// A member of a set. It is a byte string, which an integer is rendered to without an allocation.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a>(Form<'a>);

#[derive(Debug, Clone, Copy)]
enum Form<'a> {
    Bytes(&'a [u8]),
    Integer(Decimal),
}

impl<'a> From<&'a [u8]> for Item<'a> {
    fn from(bytes: &'a [u8]) -> Item<'a> {
        Item(Form::Bytes(bytes))
    }
}

impl From<i64> for Item<'_> {
    fn from(integer: i64) -> Self {
        Item(Form::Integer(Decimal::of(integer)))
    }
}

impl Deref for Item<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Form::Bytes(bytes) => bytes,
            Form::Integer(decimal) => decimal.as_bytes(),
        }
    }
}

impl PartialEq for Item<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Item<'_> {}

impl PartialOrd for Item<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use proptest::prelude::*;

    use super::*;
    use crate::number::integer as parse;

    #[test]
    fn extremes_keep_their_digits() {
        for integer in [0, 9, 10, -1, -10, i64::MAX, i64::MIN] {
            let text = integer.to_string();
            assert_eq!(&*Item::from(integer), text.as_bytes());
            assert_eq!(parse(text.as_bytes()), Some(integer));
        }
        for text in ["", "-", "+1", "-0", "01", "-01", " 1", "1 ", "1.0", "9223372036854775808"] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse(b"-9223372036854775809"), None);
        assert_eq!(parse(&[b'0'; 100]), None);
        assert_eq!(parse(b"1\xff"), None);
    }

    proptest! {
        #[test]
        fn integers_keep_their_digits(integer in any::<i64>(), shift in 0..63_u32) {
            let integer: i64 = integer >> shift;
            prop_assert_eq!(Item::from(integer).to_vec(), integer.to_string().into_bytes());
            prop_assert_eq!(parse(&Item::from(integer)), Some(integer));
        }

        #[test]
        fn what_is_parsed_is_canonical(bytes in "[-+0-9 ]{0,21}") {
            if let Some(integer) = parse(bytes.as_bytes()) {
                prop_assert_eq!(integer.to_string(), bytes);
            }
        }
    }
}
