//! Integers of 1 to 64 bits anywhere in a string: `BITFIELD`.
//!
//! All subcommands are read before the first is carried out, and those that only fail change nothing.

use alloc::vec::Vec;

use super::bit_offset;
use crate::command::argument::{integer, is, word};
use crate::command::string::grow;
use crate::command::{Context, Error};
use crate::frame::Request;
use crate::number;

const TYPE: Error = Error::Plain(
    "Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
);

/// How an integer is written: `i1` to `i64`, `u1` to `u63`.
#[derive(Debug, Clone, Copy)]
struct Type {
    is_signed: bool,
    width: u32,
}

/// What happens to what does not fit.
#[derive(Debug, Clone, Copy)]
enum Overflow {
    /// Its lowest bits are taken.
    Wrap,
    /// It becomes the nearest that fits.
    Saturate,
    /// Nothing is done.
    Fail,
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Get,
    Set(i64),
    Add(i64),
}

/// A subcommand.
#[derive(Debug, Clone, Copy)]
struct Step {
    action: Action,
    kind: Type,
    /// In bits.
    offset: usize,
    overflow: Overflow,
}

pub(super) fn change(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let steps = read_steps(context, request)?;
    let key = word(request, 1)?;
    let needed = steps.iter().filter(|step| step.is_write()).map(Step::end_bytes).max();
    let bytes = context.store.keys.string(key)?;
    let grows = bytes.map_or(0, <[u8]>::len) < needed.unwrap_or(0);
    // Until one has changed something, all see the string as it is.
    let bytes = bytes.unwrap_or_default();
    let changes = |step: &Step| step.fitting(bytes).is_some_and(|new| new != step.old(bytes));
    let is_changed = grows || steps.iter().any(changes);
    let results: Vec<Option<i64>> = match needed.filter(|_| is_changed) {
        None => steps.iter().map(|step| step.result(bytes)).collect(),
        Some(needed) => {
            let apply = |bytes: &mut [u8]| steps.iter().map(|step| step.apply(bytes)).collect();
            let results = grow(context, key, needed, apply)?;
            context.store.keys.log_request(request);
            results
        }
    };
    write(context, &results);
    Ok(())
}

pub(super) fn read_only(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let steps = read_steps(context, request)?;
    if steps.iter().any(Step::is_write) {
        return Err(Error::Plain("BITFIELD_RO only supports the GET subcommand"));
    }
    let bytes = context.store.keys.string(word(request, 1)?)?.unwrap_or_default();
    let results: Vec<_> = steps.iter().map(|step| step.result(bytes)).collect();
    write(context, &results);
    Ok(())
}

fn write(context: &mut Context<'_>, results: &[Option<i64>]) {
    context.reply.array(results.len());
    for result in results {
        match result {
            Some(number) => context.reply.integer(*number),
            None => context.reply.null(),
        }
    }
}

fn read_steps(context: &Context<'_>, request: Request<'_>) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut at = 2;
    while let Some(name) = request.get(at) {
        let left = request.len() - at - 1;
        if is(name, "OVERFLOW") && left >= 1 {
            overflow = Overflow::read(word(request, at + 1)?)?;
            at += 2;
            continue;
        }
        let is_get = is(name, "GET") && left >= 2;
        let is_set = is(name, "SET") && left >= 3;
        let is_add = is(name, "INCRBY") && left >= 3;
        if !is_get && !is_set && !is_add {
            return Err(Error::Syntax);
        }
        let kind = Type::read(word(request, at + 1)?).ok_or(TYPE)?;
        let offset = bit_offset(context, word(request, at + 2)?, Some(kind.width))?;
        let action = if is_get {
            Action::Get
        } else if is_set {
            Action::Set(integer(request, at + 3)?)
        } else {
            Action::Add(integer(request, at + 3)?)
        };
        steps.push(Step { action, kind, offset, overflow });
        at += if is_get { 3 } else { 4 };
    }
    Ok(steps)
}

impl Overflow {
    fn read(name: &[u8]) -> Result<Self, Error> {
        [("WRAP", Self::Wrap), ("SAT", Self::Saturate), ("FAIL", Self::Fail)]
            .into_iter()
            .find_map(|(known, overflow)| is(name, known).then_some(overflow))
            .ok_or(Error::Plain("Invalid OVERFLOW type specified"))
    }
}

impl Type {
    fn read(text: &[u8]) -> Option<Self> {
        let (sign, width) = text.split_first()?;
        let (is_signed, widest) = match sign {
            b'i' => (true, 64),
            b'u' => (false, 63),
            _ => return None,
        };
        let width = number::integer(width).filter(|width| (1..=widest).contains(width))?;
        Some(Self { is_signed, width: width as u32 })
    }

    /// The least and the greatest.
    const fn bounds(self) -> (i128, i128) {
        if self.is_signed {
            let half = 1 << (self.width - 1);
            (-half, half - 1)
        } else {
            (0, (1 << self.width) - 1)
        }
    }

    /// The number whose lowest bits are these.
    const fn of_bits(self, bits: u64) -> i64 {
        let unused = 64 - self.width;
        if self.is_signed {
            ((bits << unused) as i64) >> unused
        } else {
            ((bits << unused) >> unused) as i64
        }
    }

    /// The number in its bounds, if it has one there.
    fn fit(self, number: i128, overflow: Overflow) -> Option<i64> {
        let (least, greatest) = self.bounds();
        if (least..=greatest).contains(&number) {
            return Some(number as i64);
        }
        match overflow {
            Overflow::Wrap => Some(self.of_bits(number as u64)),
            Overflow::Saturate => Some(number.clamp(least, greatest) as i64),
            Overflow::Fail => None,
        }
    }
}

impl Step {
    const fn is_write(&self) -> bool {
        !matches!(self.action, Action::Get)
    }

    /// The bytes that a string has at least that has all of it.
    const fn end_bytes(&self) -> usize {
        (self.offset + self.kind.width as usize).div_ceil(8)
    }

    /// What a string has there; zeros beyond its end.
    fn old(&self, bytes: &[u8]) -> i64 {
        let mut bits = 0_u128;
        let first = self.offset / 8;
        let last = self.end_bytes();
        for byte in first..last {
            bits = bits << 8 | u128::from(bytes.get(byte).copied().unwrap_or(0));
        }
        let behind = 8 * last - self.offset - self.kind.width as usize;
        self.kind.of_bits((bits >> behind) as u64)
    }

    /// What shall be there. `None` if that does not fit.
    fn fitting(&self, bytes: &[u8]) -> Option<i64> {
        let number = match self.action {
            Action::Get => return Some(self.old(bytes)),
            Action::Set(number) if self.kind.is_signed => i128::from(number),
            // Redis takes a negative one for one beyond all that fit.
            Action::Set(number) => i128::from(number as u64),
            Action::Add(number) => i128::from(self.old(bytes)) + i128::from(number),
        };
        self.kind.fit(number, self.overflow)
    }

    /// What the reply says, before anything is changed.
    fn result(&self, bytes: &[u8]) -> Option<i64> {
        let new = self.fitting(bytes)?;
        Some(if matches!(self.action, Action::Set(_)) { self.old(bytes) } else { new })
    }

    /// Changes a string that is long enough, and returns what the reply says.
    fn apply(&self, bytes: &mut [u8]) -> Option<i64> {
        let result = self.result(bytes)?;
        if self.is_write()
            && let Some(new) = self.fitting(bytes)
        {
            self.put(bytes, new);
        }
        Some(result)
    }

    fn put(&self, bytes: &mut [u8], number: i64) {
        let (first, last) = (self.offset / 8, self.end_bytes());
        let behind = 8 * last - self.offset - self.kind.width as usize;
        let mask = ((1_u128 << self.kind.width) - 1) << behind;
        let bits = (u128::from(number as u64) << behind) & mask;
        for (at, byte) in bytes[first..last].iter_mut().rev().enumerate() {
            let (mask, bits) = ((mask >> (8 * at)) as u8, (bits >> (8 * at)) as u8);
            *byte = *byte & !mask | bits;
        }
    }
}
