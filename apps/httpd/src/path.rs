//! From the request target to the name of a file in the site.
//!
//! A [`SitePath`] is relative, has no empty, `.` or `..` segment and no NUL, whatever the target
//! was: there is nothing left in it that could lead out of the site.

use alloc::string::String;
use core::fmt;

/// A request target's path, decoded and free of dot segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SitePath {
    /// Segments joined by `/`, without a leading or trailing one. The root is empty.
    pub name: String,
    /// The target names a directory: it ended in `/`, `/.` or `/..`.
    pub is_directory: bool,
}

/// Why a target is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathError {
    /// Neither `/path` nor `http://host/path`.
    NotAPath,
    /// A `%` without two hexadecimal digits.
    BadEscape,
    /// A decoded NUL, or a slash that was percent-encoded: no file name can hold it.
    ForbiddenByte,
    /// The decoded bytes are not UTF-8.
    NotUtf8,
    /// No memory for the decoded path.
    NoMemory,
}

impl PathError {
    /// What is wrong, in words.
    pub fn reason(self) -> &'static str {
        match self {
            PathError::NotAPath => "the target is neither /path nor http://host/path",
            PathError::BadEscape => "a % in the path lacks its two hexadecimal digits",
            PathError::ForbiddenByte => "the path holds an encoded NUL or slash",
            PathError::NotUtf8 => "the path is not UTF-8",
            PathError::NoMemory => "no memory for the path",
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl core::error::Error for PathError {}

/// A target's path and its query, both still encoded; the query without its `?`.
pub fn split(target: &[u8]) -> Result<(&[u8], Option<&[u8]>), PathError> {
    let local = match target.first() {
        Some(b'/') => target,
        _ => strip_authority(target).ok_or(PathError::NotAPath)?,
    };
    if local.contains(&b'#') {
        return Err(PathError::NotAPath);
    }
    Ok(match local.iter().position(|&b| b == b'?') {
        Some(mark) => (&local[..mark], Some(&local[mark + 1..])),
        None => (local, None),
    })
}

/// What follows the authority of an absolute target; empty when it has no path.
fn strip_authority(target: &[u8]) -> Option<&[u8]> {
    let after = |scheme: &[u8]| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let rest = after(b"http://").or_else(|| after(b"https://"))?;
    let end = rest.iter().position(|b| b"/?#".contains(b)).unwrap_or(rest.len());
    (end > 0).then_some(&rest[end..])
}

/// Decodes an encoded path and takes out empty and dot segments (RFC 3986, section 5.2.4).
///
/// Dot segments are recognised after decoding, so `%2e%2e` climbs like `..`; neither climbs above
/// the root.
pub fn normalise(encoded: &[u8]) -> Result<SitePath, PathError> {
    let mut name = String::new();
    // Decoding never lengthens, and joining needs one slash for each that the target had.
    name.try_reserve_exact(encoded.len() + 1).map_err(|_| PathError::NoMemory)?;
    let mut is_directory = true;
    for segment in encoded.split(|&b| b == b'/') {
        let start = name.len();
        if start > 0 {
            name.push('/');
        }
        decode_segment(segment, &mut name)?;
        is_directory = match &name[start + usize::from(start > 0)..] {
            "" | "." => {
                name.truncate(start);
                true
            }
            ".." => {
                name.truncate(name[..start].rfind('/').unwrap_or(0));
                true
            }
            _ => false,
        };
    }
    Ok(SitePath { name, is_directory })
}

fn decode_segment(mut rest: &[u8], name: &mut String) -> Result<(), PathError> {
    while let Some(&byte) = rest.first() {
        if byte != b'%' {
            let plain = rest.iter().position(|&b| b == b'%').unwrap_or(rest.len());
            name.push_str(core::str::from_utf8(&rest[..plain]).map_err(|_| PathError::NotUtf8)?);
            rest = &rest[plain..];
            continue;
        }
        let (character, used) = decode_character(rest)?;
        if matches!(character, '\0' | '/') {
            return Err(PathError::ForbiddenByte);
        }
        name.push(character);
        rest = &rest[used..];
    }
    Ok(())
}

/// Decodes one character that begins with an escape, and tells how many bytes it took.
fn decode_character(text: &[u8]) -> Result<(char, usize), PathError> {
    let mut utf8 = [0; 4];
    let mut used = 0;
    for len in 1..=utf8.len() {
        let escape = text.get(used..used + 3).ok_or(match len {
            1 => PathError::BadEscape,
            _ => PathError::NotUtf8,
        })?;
        utf8[len - 1] = decode_escape(escape)?;
        used += 3;
        match core::str::from_utf8(&utf8[..len]) {
            Ok(text) => {
                return text.chars().next().map(|c| (c, used)).ok_or(PathError::NotUtf8);
            }
            Err(error) if error.error_len().is_some() => return Err(PathError::NotUtf8),
            Err(_) => {}
        }
    }
    Err(PathError::NotUtf8)
}

fn decode_escape(escape: &[u8]) -> Result<u8, PathError> {
    let digit = |at: usize| char::from(escape[at]).to_digit(16).ok_or(PathError::BadEscape);
    match escape[0] {
        b'%' => Ok((digit(1)? * 16 + digit(2)?) as u8),
        _ => Err(PathError::NotUtf8),
    }
}

/// Writes a name as a path for a `Location` field: everything unusual is percent-encoded.
pub fn encode(name: &str, out: &mut dyn fmt::Write) -> fmt::Result {
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.write_char(char::from(byte))?;
            }
            _ => write!(out, "%{byte:02X}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::vec::Vec;

    fn path(text: &str) -> Result<(String, bool), PathError> {
        normalise(text.as_bytes()).map(|path| (path.name, path.is_directory))
    }

    fn file(name: &str) -> Result<(String, bool), PathError> {
        Ok((name.into(), false))
    }

    fn directory(name: &str) -> Result<(String, bool), PathError> {
        Ok((name.into(), true))
    }

    #[test]
    fn segments_are_joined_and_dots_taken_out() {
        assert_eq!(path("/"), directory(""));
        assert_eq!(path(""), directory(""));
        assert_eq!(path("/a/b.html"), file("a/b.html"));
        assert_eq!(path("/a/"), directory("a"));
        assert_eq!(path("//a///b"), file("a/b"));
        assert_eq!(path("/a/./b"), file("a/b"));
        assert_eq!(path("/a/b/../c"), file("a/c"));
        assert_eq!(path("/a/b/.."), directory("a"));
        assert_eq!(path("/a/."), directory("a"));
        assert_eq!(path("/../../etc/passwd"), file("etc/passwd"));
        assert_eq!(path("/%2e%2e/%2E./x"), file("x"));
        assert_eq!(path("/a/..%2e/x"), file("a/.../x"));
        assert_eq!(path("/.../x"), file(".../x"));
    }

    #[test]
    fn escapes_are_decoded_once() {
        assert_eq!(path("/a%20b"), file("a b"));
        assert_eq!(path("/%C3%A9t%c3%a9"), file("\u{e9}t\u{e9}"));
        assert_eq!(path("/%252e%252e/x"), file("%2e%2e/x"));
        assert_eq!(path("/%F0%9F%A6%80"), file("\u{1f980}"));
    }

    #[test]
    fn bad_escapes_are_refused() {
        assert_eq!(path("/%"), Err(PathError::BadEscape));
        assert_eq!(path("/%4"), Err(PathError::BadEscape));
        assert_eq!(path("/%zz"), Err(PathError::BadEscape));
        assert_eq!(path("/%+1"), Err(PathError::BadEscape));
        assert_eq!(path("/%00"), Err(PathError::ForbiddenByte));
        assert_eq!(path("/a%2Fb"), Err(PathError::ForbiddenByte));
        assert_eq!(path("/..%2f.."), Err(PathError::ForbiddenByte));
        assert_eq!(path("/%ff"), Err(PathError::NotUtf8));
        assert_eq!(path("/%c3x"), Err(PathError::NotUtf8));
        assert_eq!(path("/%c3"), Err(PathError::NotUtf8));
        // An overlong encoding of the slash.
        assert_eq!(path("/%c0%af"), Err(PathError::NotUtf8));
    }

    #[test]
    fn targets_are_split() {
        assert_eq!(split(b"/a?b=c?d"), Ok((&b"/a"[..], Some(&b"b=c?d"[..]))));
        assert_eq!(split(b"/a"), Ok((&b"/a"[..], None)));
        assert_eq!(split(b"HTTP://host:80/a?q"), Ok((&b"/a"[..], Some(&b"q"[..]))));
        assert_eq!(split(b"http://host"), Ok((&b""[..], None)));
        assert_eq!(split(b"http://host?q"), Ok((&b""[..], Some(&b"q"[..]))));
        for bad in [&b"*"[..], b"host:80", b"", b"http://", b"http:///x", b"ftp://h/x", b"/a#b"] {
            assert_eq!(split(bad), Err(PathError::NotAPath));
        }
    }

    proptest! {
        #[test]
        fn no_segment_of_a_path_is_empty_or_dots(
            text in proptest::collection::vec(
                prop_oneof!["/", "\\.", "%2e", "%2E", "a", "%20", "%c3%a9", "%", "[ -~]"], 0..24),
        ) {
            if let Ok(path) = normalise(text.concat().as_bytes()) {
                let whole = path.name.is_empty();
                prop_assert!(whole || path.name.split('/').all(|s| !matches!(s, "" | "." | "..")));
                prop_assert!(!path.name.contains('\0'));
            }
        }

        #[test]
        fn any_bytes_are_survived(text in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = normalise(&text);
            let _ = split(&text);
        }

        #[test]
        fn what_is_encoded_is_decoded_again(segments in proptest::collection::vec("[^/\0]{1,6}", 1..4)) {
            let names: Vec<_> = segments.iter().filter(|s| !matches!(s.as_str(), "." | "..")).cloned().collect();
            let name = names.join("/");
            let mut encoded = String::from("/");
            encode(&name, &mut encoded).unwrap();
            prop_assert!(encoded.bytes().all(|b| b.is_ascii_graphic()), "{}", format!("{encoded:?}"));
            prop_assert_eq!(normalise(encoded.as_bytes()).unwrap().name, name);
        }
    }
}
