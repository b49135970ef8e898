//! Reading a command's words.

use super::Error;
use crate::frame::Request;
use crate::number;

/// Whether a word is that option, in whatever case. `option` is in capital letters.
pub(super) fn is(word: &[u8], option: &str) -> bool {
    word.eq_ignore_ascii_case(option.as_bytes())
}

/// The word at a place; the arity says that it is there.
///
/// # Errors
/// If it is not.
pub(super) fn word<'a>(request: Request<'a>, at: usize) -> Result<&'a [u8], Error> {
    request.get(at).ok_or(Error::Syntax)
}

/// The longest pattern: matching takes as long as pattern and text are, one times the other.
const PATTERN_BYTES_MAX: usize = 4096;

/// A pattern of names.
///
/// # Errors
/// If it is too long.
pub(super) fn pattern<'a>(request: Request<'a>, at: usize) -> Result<&'a [u8], Error> {
    let pattern = word(request, at)?;
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(Error::Plain("patterns have at most 4096 bytes"));
    }
    Ok(pattern)
}

/// An integer.
///
/// # Errors
/// If it is none.
pub(super) fn integer(request: Request<'_>, at: usize) -> Result<i64, Error> {
    number::integer(word(request, at)?).ok_or(Error::NotInteger)
}

/// A floating point number.
///
/// # Errors
/// If it is none.
pub(super) fn float(request: Request<'_>, at: usize) -> Result<f64, Error> {
    number::float(word(request, at)?).ok_or(Error::NotFloat)
}

/// An integer that is not negative.
///
/// # Errors
/// If it is none.
pub(super) fn positive(request: Request<'_>, at: usize) -> Result<usize, Error> {
    let number = integer(request, at).map_err(|_| Error::NotPositive)?;
    usize::try_from(number).map_err(|_| Error::NotPositive)
}

/// The range of elements that a start and a stop mean, both counted from the end if they are
/// negative, as start and length. Empty if it is outside.
pub(super) fn range(start: i64, stop: i64, len: usize) -> (usize, usize) {
    let len = len as i64;
    let from_end = |index: i64| if index < 0 { index.saturating_add(len) } else { index };
    let (start, stop) = (from_end(start).max(0), from_end(stop).min(len - 1));
    if start > stop {
        return (0, 0);
    }
    (start as usize, (stop - start + 1) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::harness::Harness;

    #[test]
    fn ranges_count_from_both_ends() {
        for (start, stop, len, expected) in [
            (0, -1, 5, (0, 5)),
            (1, 3, 5, (1, 3)),
            (-3, -2, 5, (2, 2)),
            (-100, 100, 5, (0, 5)),
            (3, 1, 5, (0, 0)),
            (5, 10, 5, (0, 0)),
            (0, 0, 0, (0, 0)),
            (i64::MIN, i64::MAX, 2, (0, 2)),
        ] {
            assert_eq!(range(start, stop, len), expected, "{start} {stop} {len}");
        }
    }

    #[test]
    fn every_command_that_takes_a_pattern_limits_it() {
        let mut client = Harness::new();
        let (long, longest) = ("x".repeat(4097), "x".repeat(4096));
        client.run("SADD s a");
        for line in [
            "KEYS",
            "SCAN 0 MATCH",
            "SSCAN s 0 MATCH",
            "HSCAN h 0 MATCH",
            "ZSCAN z 0 MATCH",
            "PUBSUB CHANNELS",
            "PUBSUB SHARDCHANNELS",
            "CONFIG GET",
            "COMMAND LIST FILTERBY PATTERN",
            "PSUBSCRIBE",
        ] {
            let reply = client.run(&std::format!("{line} {long}"));
            assert_eq!(reply, "-ERR patterns have at most 4096 bytes\r\n", "{line}");
            let reply = client.run(&std::format!("{line} {longest}"));
            assert!(!reply.starts_with('-'), "{line} {reply}");
        }
    }
}
