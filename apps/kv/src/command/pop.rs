//! The words of commands that pop from the first of several keys that has something: `LMPOP`, `ZMPOP`
//! and those that wait for it. Pops nothing itself.

use core::ops::Range;

use super::Error;
use super::argument::{integer, is, word};
use crate::frame::Request;
use crate::types::End;

/// The ends of a list.
pub(super) const SIDES: [&str; 2] = ["LEFT", "RIGHT"];
/// The ends of a sorted set.
pub(super) const EXTREMES: [&str; 2] = ["MIN", "MAX"];

/// Which keys, which end, and how many elements at most.
#[derive(Debug)]
pub(super) struct Pop {
    /// The places of the keys.
    pub(super) keys: Range<usize>,
    pub(super) end: End,
    pub(super) count: usize,
}

impl Pop {
    /// Reads `numkeys key... end [COUNT count]`, which begin at a place.
    pub(super) fn read(
        request: Request<'_>,
        at: usize,
        ends: [&'static str; 2],
    ) -> Result<Self, Error> {
        let keys = keys(request, at)?;
        let end = end(word(request, keys.end)?, ends)?;
        let at = keys.end + 1;
        let count = match request.get(at) {
            None => 1,
            Some(option) if is(option, "COUNT") && at + 1 < request.len() => {
                integer(request, at + 1)
                    .ok()
                    .and_then(|count| usize::try_from(count).ok())
                    .filter(|count| *count > 0)
                    .ok_or(Error::Plain("count should be greater than 0"))?
            }
            Some(_) => return Err(Error::Syntax),
        };
        if request.len() > at + 2 {
            return Err(Error::Syntax);
        }
        Ok(Self { keys, end, count })
    }
}

/// The places of the keys whose number stands at a place. They may go beyond the last word.
pub(super) fn keys(request: Request<'_>, at: usize) -> Result<Range<usize>, Error> {
    let count = integer(request, at)
        .ok()
        .and_then(|count| usize::try_from(count).ok())
        .filter(|count| *count > 0)
        .ok_or(Error::Plain("numkeys should be greater than 0"))?;
    Ok(at + 1..(at + 1).checked_add(count).ok_or(Error::Syntax)?)
}

/// The end that a word names.
pub(super) fn end(word: &[u8], [first, last]: [&'static str; 2]) -> Result<End, Error> {
    if is(word, first) {
        Ok(End::First)
    } else if is(word, last) {
        Ok(End::Last)
    } else {
        Err(Error::Syntax)
    }
}
