//! Strings as arrays of bits, counted from the highest bit of the first byte: `SETBIT`, `BITCOUNT`,
//! `BITOP` and their relatives. Integers of any width are in [`field`].

mod field;

use alloc::vec::Vec;
use core::ops::RangeInclusive;

use super::argument::{integer, is, word};
use super::string::{grow, put};
use super::{Command, Context, Error, Flags, Group, Keys};
use crate::frame::Request;
use crate::number;

const OFFSET: Error = Error::Plain("bit offset is not an integer or out of range");

/// A place in a string, in bits. With `width`, a number behind `#` counts integers of so many bits.
fn bit_offset(context: &Context<'_>, text: &[u8], width: Option<u32>) -> Result<usize, Error> {
    let (text, unit) = match (text.split_first(), width) {
        (Some((b'#', rest)), Some(width)) => (rest, i64::from(width)),
        _ => (text, 1),
    };
    let offset = number::integer(text).and_then(|offset| offset.checked_mul(unit));
    let offset = offset.and_then(|offset| usize::try_from(offset).ok()).ok_or(OFFSET)?;
    let is_within = offset / 8 < context.store.config.bulk_max_bytes || context.store.is_loading;
    if is_within { Ok(offset) } else { Err(OFFSET) }
}

/// The bit at a place; zero beyond the end.
fn bit_at(bytes: &[u8], offset: usize) -> bool {
    bytes.get(offset / 8).is_some_and(|byte| byte & (0x80 >> (offset % 8)) != 0)
}

fn set_bit(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let key = word(request, 1)?;
    let offset = bit_offset(context, word(request, 2)?, None)?;
    let bit = match word(request, 3)? {
        b"0" => false,
        b"1" => true,
        _ => return Err(Error::Plain("bit is not an integer or out of range")),
    };
    let bytes = context.store.keys.string(key)?;
    let old = bytes.is_some_and(|bytes| bit_at(bytes, offset));
    let is_there = bytes.is_some_and(|bytes| offset / 8 < bytes.len());
    if !is_there || old != bit {
        grow(context, key, offset / 8 + 1, |bytes| {
            let mask = 0x80 >> (offset % 8);
            let byte = &mut bytes[offset / 8];
            *byte = if bit { *byte | mask } else { *byte & !mask };
        })?;
        context.store.keys.log_request(request);
    }
    context.reply.integer(i64::from(old));
    Ok(())
}

fn get_bit(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let offset = bit_offset(context, word(request, 2)?, None)?;
    let bytes = context.store.keys.string(word(request, 1)?)?;
    context.reply.integer(i64::from(bytes.is_some_and(|bytes| bit_at(bytes, offset))));
    Ok(())
}

/// Whether the unit of a range is a bit rather than a byte.
fn counts_bits(unit: Option<&[u8]>) -> Result<bool, Error> {
    match unit {
        Some(unit) if is(unit, "BIT") => Ok(true),
        Some(unit) if !is(unit, "BYTE") => Err(Error::Syntax),
        _ => Ok(false),
    }
}

/// The bits from a start to a stop, both in bytes or bits and counted from the end if they are
/// negative; one before the beginning is at the beginning. `None` if there are none.
fn bit_range(
    start: i64,
    stop: i64,
    bytes: usize,
    counts_bits: bool,
) -> Option<RangeInclusive<usize>> {
    let len = bytes as i64 * if counts_bits { 8 } else { 1 };
    let from_end = |index: i64| if index < 0 { index.saturating_add(len).max(0) } else { index };
    let (start, stop) = (from_end(start), from_end(stop).min(len - 1));
    if start > stop {
        return None;
    }
    let (start, stop) = (start as usize, stop as usize);
    Some(if counts_bits { start..=stop } else { 8 * start..=8 * stop + 7 })
}

/// What of a byte lies in a range of bits that begins or ends there.
fn mask(byte: usize, bits: &RangeInclusive<usize>) -> u8 {
    let from = if byte == bits.start() / 8 { 0xff >> (bits.start() % 8) } else { 0xff };
    let to = if byte == bits.end() / 8 { 0xff << (7 - bits.end() % 8) } else { 0xff };
    from & to
}

fn count(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let Some(bytes) = context.store.keys.string(word(request, 1)?)? else {
        context.reply.integer(0);
        return Ok(());
    };
    let bits = match request.len() {
        2 => bit_range(0, -1, bytes.len(), false),
        4 | 5 => {
            let (start, stop) = (integer(request, 2)?, integer(request, 3)?);
            let counts_bits = counts_bits(request.get(4))?;
            // Two places from the end in the wrong order are no range, even before the beginning.
            let is_range = !(start < 0 && stop < 0 && start > stop);
            bit_range(start, stop, bytes.len(), counts_bits).filter(|_| is_range)
        }
        _ => return Err(Error::Syntax),
    };
    context.reply.count(bits.map_or(0, |bits| ones(bytes, &bits)));
    Ok(())
}

/// How many bits of a range are set.
fn ones(bytes: &[u8], bits: &RangeInclusive<usize>) -> usize {
    let (first, last) = (bits.start() / 8, bits.end() / 8);
    let outer = |byte: usize| (bytes[byte] & mask(byte, bits)).count_ones() as usize;
    if first == last {
        return outer(first);
    }
    let (words, rest) = bytes[first + 1..last].as_chunks::<8>();
    let inner: usize =
        words.iter().map(|word| u64::from_ne_bytes(*word).count_ones() as usize).sum();
    let rest: usize = rest.iter().map(|byte| byte.count_ones() as usize).sum();
    outer(first) + inner + rest + outer(last)
}

fn position(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let bit = match integer(request, 2)? {
        0 => false,
        1 => true,
        _ => return Err(Error::Plain("The bit argument must be 1 or 0.")),
    };
    let Some(bytes) = context.store.keys.string(word(request, 1)?)? else {
        context.reply.integer(if bit { -1 } else { 0 });
        return Ok(());
    };
    if request.len() > 6 {
        return Err(Error::Syntax);
    }
    let start = if request.len() > 3 { integer(request, 3)? } else { 0 };
    let counts_bits = counts_bits(request.get(5))?;
    let stop = if request.len() > 4 { Some(integer(request, 4)?) } else { None };
    let bits = bit_range(start, stop.unwrap_or(-1), bytes.len(), counts_bits);
    let found = bits.and_then(|bits| match first(bytes, &bits, bit) {
        // Behind a string without an end there are zeros.
        None if !bit && stop.is_none() => Some(8 * bytes.len()),
        found => found,
    });
    context.reply.integer(found.map_or(-1, |found| found as i64));
    Ok(())
}

/// The first bit of a range that is as said.
fn first(bytes: &[u8], bits: &RangeInclusive<usize>, bit: bool) -> Option<usize> {
    let (first, last) = (bits.start() / 8, bits.end() / 8);
    let skipped = if bit { 0 } else { 0xff };
    let found = |byte: usize| {
        let fits = (bytes[byte] ^ skipped) & mask(byte, bits);
        (fits != 0).then(|| 8 * byte + fits.leading_zeros() as usize)
    };
    if let Some(found) = found(first) {
        return Some(found);
    }
    if first == last {
        return None;
    }
    let (words, _) = bytes[first + 1..last].as_chunks::<8>();
    let words = words.iter().take_while(|word| **word == [skipped; 8]).count();
    (first + 1 + 8 * words..=last).find_map(found)
}

/// What `BITOP` does with two bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
}

fn combine(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let name = word(request, 1)?;
    let operations = [
        ("AND", Operation::And),
        ("OR", Operation::Or),
        ("XOR", Operation::Xor),
        ("NOT", Operation::Not),
    ];
    let operation = operations.into_iter().find(|(known, _)| is(name, known));
    let (_, operation) = operation.ok_or(Error::Syntax)?;
    if operation == Operation::Not && request.len() != 4 {
        return Err(Error::Plain("BITOP NOT must be called with a single source key."));
    }
    let mut len = 0;
    for key in request.iter().skip(3) {
        len = len.max(context.store.keys.string(key)?.map_or(0, <[u8]>::len));
    }
    let to = word(request, 2)?;
    if len == 0 {
        context.store.keys.delete(to);
    } else {
        // The result, its copy at the key, and a record in the log.
        context.store.check_room(4 * len)?;
        let result = combined(context, request, operation, len)?;
        put(context, to, &result, None);
    }
    context.reply.count(len);
    Ok(())
}

/// The result for the strings from the third word on, of which the longest has `len` bytes.
fn combined(
    context: &mut Context<'_>,
    request: Request<'_>,
    operation: Operation,
    len: usize,
) -> Result<Vec<u8>, Error> {
    let mut result = Vec::new();
    result.try_reserve_exact(len).map_err(|_| Error::OutOfMemory)?;
    for (at, key) in request.iter().skip(3).enumerate() {
        let bytes = context.store.keys.string(key)?.unwrap_or_default();
        if at == 0 {
            result.extend_from_slice(bytes);
            result.resize(len, 0);
            continue;
        }
        let pairs = result.iter_mut().zip(bytes);
        match operation {
            Operation::And => {
                pairs.for_each(|(to, from)| *to &= from);
                result[bytes.len()..].fill(0);
            }
            Operation::Or => pairs.for_each(|(to, from)| *to |= from),
            Operation::Xor => pairs.for_each(|(to, from)| *to ^= from),
            Operation::Not => {}
        }
    }
    if operation == Operation::Not {
        result.iter_mut().for_each(|byte| *byte = !*byte);
    }
    Ok(result)
}

const WRITE: Flags = Flags::WRITE.and(Flags::DENY_OOM);
const FAST: Flags = Flags::READ.and(Flags::FAST);

/// The group.
#[rustfmt::skip]
pub(super) const GROUP: Group = Group {
    name: "bitmap",
    commands: &[
        Command::new("setbit", 4, WRITE, Keys::ONE, set_bit)
            .about("2.2.0", "O(1)", "Sets or clears a bit of a string."),
        Command::new("getbit", 3, FAST, Keys::ONE, get_bit)
            .about("2.2.0", "O(1)", "Returns a bit of a string."),
        Command::new("bitcount", -2, Flags::READ, Keys::ONE, count)
            .about("2.6.0", "O(N) with the length counted", "Counts the bits that are set in a string."),
        Command::new("bitpos", -3, Flags::READ, Keys::ONE, position)
            .about("2.8.7", "O(N) with the length searched", "Finds the first bit of a string that is set, or not."),
        Command::new("bitop", -4, WRITE, Keys::range(2, -1, 1), combine)
            .about("2.6.0", "O(N) with the lengths of all strings", "Combines strings bit by bit and stores the result."),
        Command::new("bitfield", -2, WRITE, Keys::ONE, field::change)
            .about("3.2.0", "O(N) with the number of subcommands", "Reads and changes integers of any width in a string."),
        Command::new("bitfield_ro", -2, FAST, Keys::ONE, field::read_only)
            .about("6.0.0", "O(N) with the number of subcommands", "Reads integers of any width in a string."),
    ],
};

#[cfg(test)]
mod tests;
