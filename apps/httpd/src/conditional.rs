//! Conditional requests (RFC 9110, section 13): entity tags, dates and their precedence.

use crate::date;
use crate::request::Request;

/// What a file's identity is compared by.
#[derive(Debug, Clone, Copy)]
pub struct Validators {
    /// The strong entity tag.
    pub etag: EntityTag,
    /// The time of the last change, in seconds since 1970, if known.
    pub modified_unix_seconds: Option<u64>,
}

/// A strong entity tag: 16 hexadecimal digits in quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntityTag([u8; 18]);

impl EntityTag {
    /// The tag that stands for `id`.
    pub fn new(id: u64) -> EntityTag {
        let mut text = [b'"'; 18];
        for (index, byte) in text[1..17].iter_mut().enumerate() {
            *byte = b"0123456789abcdef"[(id >> (60 - 4 * index)) as usize & 0xf];
        }
        EntityTag(text)
    }

    /// The tag as it stands in a field, quotes included.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What the preconditions of a request come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Answer as if there were none.
    Proceed,
    /// 304: the client has the current file.
    NotModified,
    /// 412: the client wants another file than the current one.
    Failed,
}

/// Evaluates the preconditions of a `GET` or `HEAD` in the order of RFC 9110, section 13.2.2.
///
/// Dates that are invalid or repeated are ignored, as the RFC demands.
pub fn evaluate(request: &Request<'_>, current: &Validators, now_unix_seconds: u64) -> Verdict {
    if !request.is_conditional {
        return Verdict::Proceed;
    }
    if is_failed(request, current, now_unix_seconds) {
        return Verdict::Failed;
    }
    if is_not_modified(request, current, now_unix_seconds) {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

fn is_failed(request: &Request<'_>, current: &Validators, now: u64) -> bool {
    match matches_any(request, "if-match", current, Comparison::Strong) {
        Some(is_match) => !is_match,
        None => date_of(request, "if-unmodified-since", now)
            .zip(current.modified_unix_seconds)
            .is_some_and(|(limit, modified)| modified > limit),
    }
}

fn is_not_modified(request: &Request<'_>, current: &Validators, now: u64) -> bool {
    match matches_any(request, "if-none-match", current, Comparison::Weak) {
        Some(is_match) => is_match,
        None => date_of(request, "if-modified-since", now)
            .zip(current.modified_unix_seconds)
            .is_some_and(|(limit, modified)| modified <= limit),
    }
}

/// Whether a `Range` field is to be honoured (RFC 9110, section 13.1.5).
pub fn permits_range(request: &Request<'_>, current: &Validators, now_unix_seconds: u64) -> bool {
    if !request.is_conditional || request.values("if-range").next().is_none() {
        return true;
    }
    match request.single("if-range") {
        Some(tag) if tag.starts_with(b"\"") => tag == current.etag.as_bytes(),
        Some(date) => {
            let date = date::parse(date, now_unix_seconds);
            date.is_some() && date == current.modified_unix_seconds
        }
        None => false,
    }
}

fn date_of(request: &Request<'_>, name: &str, now: u64) -> Option<u64> {
    date::parse(request.single(name)?, now)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether any tag of the named fields matches; `None` without such a field.
fn matches_any(
    request: &Request<'_>,
    name: &str,
    current: &Validators,
    comparison: Comparison,
) -> Option<bool> {
    let mut is_present = false;
    let is_match = request.values(name).any(|value| {
        is_present = true;
        value == b"*"
            || EntityTags { rest: value }.any(|(is_weak, tag)| {
                let may_match = comparison == Comparison::Weak || !is_weak;
                may_match && tag == current.etag.as_bytes()
            })
    });
    is_present.then_some(is_match)
}

/// The tags of a list, each with whether it is weak, up to the first malformed one.
struct EntityTags<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for EntityTags<'a> {
    type Item = (bool, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while let [b',' | b' ' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
        let (is_weak, tag) = match self.rest.strip_prefix(b"W/") {
            Some(tag) => (true, tag),
            None => (false, self.rest),
        };
        let inner = tag.strip_prefix(b"\"")?;
        let end = inner.iter().position(|&b| b == b'"')? + 2;
        self.rest = &tag[end..];
        Some((is_weak, &tag[..end]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request;
    use proptest::prelude::*;
    use std::format;

    const NOW: u64 = 1_700_000_000;
    const MODIFIED: u64 = 784_111_777;
    const TAG: &str = "\"00000000deadbeef\"";

    fn current() -> Validators {
        Validators { etag: EntityTag::new(0xdead_beef), modified_unix_seconds: Some(MODIFIED) }
    }

    fn with<R>(fields: &str, check: impl Fn(&Request<'_>) -> R) -> R {
        let head = format!("GET / HTTP/1.0\r\n{fields}\r\n\r\n");
        check(&request::parse(head.as_bytes()).unwrap())
    }

    fn verdict(fields: &str) -> Verdict {
        with(fields, |request| evaluate(request, &current(), NOW))
    }

    #[test]
    fn a_tag_is_sixteen_digits() {
        assert_eq!(EntityTag::new(0xdead_beef).as_bytes(), TAG.as_bytes());
        assert_eq!(EntityTag::new(u64::MAX).as_bytes(), b"\"ffffffffffffffff\"");
    }

    #[test]
    fn if_none_match_compares_weakly_over_lists_and_repeated_fields() {
        for fields in [
            format!("If-None-Match: {TAG}"),
            format!("If-None-Match: W/{TAG}"),
            format!("If-None-Match: \"a\", W/\"b,c\" ,{TAG}"),
            format!("If-None-Match: \"a\"\r\nIf-None-Match: {TAG}"),
            "If-None-Match: *".into(),
        ] {
            assert_eq!(verdict(&fields), Verdict::NotModified, "{fields}");
        }
        for fields in [
            "If-None-Match: \"a\"",
            "If-None-Match: deadbeef",
            "If-None-Match: w/\"\"",
            "If-None-Match:",
        ] {
            assert_eq!(verdict(fields), Verdict::Proceed, "{fields}");
        }
    }

    #[test]
    fn dates_count_only_without_tags() {
        let since = "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT";
        let before = "If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT";
        assert_eq!(verdict(since), Verdict::NotModified);
        assert_eq!(verdict(before), Verdict::Proceed);
        assert_eq!(verdict(&format!("{since}\r\nIf-None-Match: \"a\"")), Verdict::Proceed);
        assert_eq!(verdict(&format!("{before}\r\nIf-None-Match: {TAG}")), Verdict::NotModified);
        assert_eq!(verdict(&format!("{since}\r\n{since}")), Verdict::Proceed);
        assert_eq!(verdict("If-Modified-Since: yesterday"), Verdict::Proceed);
    }

    #[test]
    fn if_match_compares_strongly_and_comes_first() {
        assert_eq!(verdict(&format!("If-Match: {TAG}")), Verdict::Proceed);
        assert_eq!(verdict("If-Match: *"), Verdict::Proceed);
        assert_eq!(verdict(&format!("If-Match: W/{TAG}")), Verdict::Failed);
        assert_eq!(verdict(&format!("If-Match: \"a\"\r\nIf-None-Match: {TAG}")), Verdict::Failed);
        let before = "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT";
        assert_eq!(verdict(before), Verdict::Failed);
        assert_eq!(verdict(&format!("{before}\r\nIf-Match: {TAG}")), Verdict::Proceed);
    }

    #[test]
    fn if_range_needs_an_exact_match() {
        let permits =
            |fields: &str| with(fields, |request| permits_range(request, &current(), NOW));
        assert!(permits("Range: bytes=0-1"));
        assert!(permits(&format!("If-Range: {TAG}")));
        assert!(permits("If-Range: Sun, 06 Nov 1994 08:49:37 GMT"));
        for fields in [
            format!("If-Range: W/{TAG}"),
            "If-Range: \"a\"".into(),
            "If-Range: Sun, 06 Nov 1994 08:49:38 GMT".into(),
            "If-Range: never".into(),
            format!("If-Range: {TAG}\r\nIf-Range: {TAG}"),
        ] {
            assert!(!permits(&fields), "{fields}");
        }
    }

    #[test]
    fn an_unknown_time_of_change_matches_no_date() {
        let current = Validators { modified_unix_seconds: None, ..current() };
        with("If-Range: x", |request| assert!(!permits_range(request, &current, NOW)));
        let since = "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT";
        with(since, |request| assert_eq!(evaluate(request, &current, NOW), Verdict::Proceed));
    }

    proptest! {
        #[test]
        fn any_list_of_tags_is_survived(value in "[ -~]{0,40}") {
            verdict(&format!("If-None-Match: {value}"));
            verdict(&format!("If-Match: {value}"));
        }
    }
}
