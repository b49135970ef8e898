//! The `Range` field (RFC 9110, section 14): one range of bytes or none.
//!
//! Several ranges in one field are ignored, as the RFC permits: the answer is then the whole file.
//! A multipart answer would cost a client nothing and this server an amplification to bound.

/// What a `Range` field asks of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// Not a field that this server honours: answer with the whole file.
    Whole,
    /// The bytes from `first` to `last`, inclusive, both within the file.
    Part {
        /// The first byte's position.
        first: u64,
        /// The last byte's position.
        last: u64,
    },
    /// Valid, but no byte of the file is in it: 416.
    Unsatisfiable,
}

/// Applies the value of a `Range` field to a file of `size_bytes`.
///
/// ```
/// use httpd::range::{Range, apply};
/// assert_eq!(apply(b"bytes=-3", 10), Range::Part { first: 7, last: 9 });
/// ```
pub fn apply(value: &[u8], size_bytes: u64) -> Range {
    let Some(spec) = strip_unit(value) else {
        return Range::Whole;
    };
    let Some(dash) = spec.iter().position(|&b| b == b'-') else {
        return Range::Whole;
    };
    match (spec[..dash].trim_ascii_start(), spec[dash + 1..].trim_ascii_end()) {
        (b"", suffix) => number(suffix).map_or(Range::Whole, |len| last_bytes(len, size_bytes)),
        (first, b"") => number(first).map_or(Range::Whole, |at| span(at, u64::MAX, size_bytes)),
        (first, last) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => span(first, last, size_bytes),
            _ => Range::Whole,
        },
    }
}

fn strip_unit(value: &[u8]) -> Option<&[u8]> {
    let (unit, rest) = value.split_at_checked(b"bytes=".len())?;
    unit.eq_ignore_ascii_case(b"bytes=").then_some(rest)
}

/// A number too large for 64 bits is beyond the end of any file, so saturation keeps its meaning.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits
        .iter()
        .fold(0u64, |sum, &digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    Some(value)
}

fn span(first: u64, last: u64, size_bytes: u64) -> Range {
    if first >= size_bytes {
        return Range::Unsatisfiable;
    }
    Range::Part { first, last: last.min(size_bytes - 1) }
}

fn last_bytes(len: u64, size_bytes: u64) -> Range {
    match (len, size_bytes) {
        (0, _) => Range::Unsatisfiable,
        // Satisfiable by the RFC, but Content-Range cannot say so of an empty file.
        (_, 0) => Range::Whole,
        _ => Range::Part { first: size_bytes.saturating_sub(len), last: size_bytes - 1 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::format;

    #[test]
    fn the_forms_of_the_rfc() {
        let part = |first, last| Range::Part { first, last };
        for (value, expected) in [
            (&b"bytes=0-499"[..], part(0, 499)),
            (b"bytes=500-999", part(500, 999)),
            (b"BYTES=-500", part(500, 999)),
            (b"bytes=9500-", Range::Unsatisfiable),
            (b"bytes=0-0", part(0, 0)),
            (b"bytes=999-", part(999, 999)),
            (b"bytes=990-5000", part(990, 999)),
            (b"bytes=-5000", part(0, 999)),
            (b"bytes=-0", Range::Unsatisfiable),
            (b"bytes=1000-", Range::Unsatisfiable),
            (b"bytes=99999999999999999999999-", Range::Unsatisfiable),
            (b"bytes=5-99999999999999999999999", part(5, 999)),
            (b"bytes=5-4", Range::Whole),
            (b"bytes=0-0,-1", Range::Whole),
            (b"bytes=-", Range::Whole),
            (b"bytes=", Range::Whole),
            (b"bytes=a-b", Range::Whole),
            (b"bytes=+1-2", Range::Whole),
            (b"bytes=1--2", Range::Whole),
            (b"lines=1-2", Range::Whole),
            (b"", Range::Whole),
        ] {
            assert_eq!(apply(value, 1000), expected, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn an_empty_file_has_no_part() {
        assert_eq!(apply(b"bytes=0-", 0), Range::Unsatisfiable);
        assert_eq!(apply(b"bytes=-5", 0), Range::Whole);
    }

    proptest! {
        #[test]
        fn a_range_selects_what_a_model_selects(
            first in 0u64..20, last in 0u64..20, size in 0u64..20, open: bool,
        ) {
            let last = if open { u64::MAX } else { last };
            let value = if open { format!("bytes={first}-") } else { format!("bytes={first}-{last}") };
            let model = || (0..size).filter(|at| (first..=last).contains(at));
            let expected = match (first <= last, model().next(), model().next_back()) {
                (false, ..) => Range::Whole,
                (true, Some(first), Some(last)) => Range::Part { first, last },
                _ => Range::Unsatisfiable,
            };
            prop_assert_eq!(apply(value.as_bytes(), size), expected);
        }

        #[test]
        fn a_part_lies_within_the_file(value in "bytes=[0-9]{0,21}-[0-9]{0,21}", size: u64) {
            if let Range::Part { first, last } = apply(value.as_bytes(), size) {
                prop_assert!(first <= last && last < size);
            }
        }

        #[test]
        fn any_bytes_are_survived(value in proptest::collection::vec(any::<u8>(), 0..40), size: u64) {
            let _ = apply(&value, size);
        }
    }
}
