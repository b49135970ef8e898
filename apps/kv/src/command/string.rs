//! Strings: `GET`, `SET` and their relatives, and numbers in strings.

use alloc::vec::Vec;

use super::argument::{integer, is, range, word};
use super::expiry::{Unit, expiry};
use super::{Command, Context, Error, Flags, Group, Keys};
use crate::db::record::Record;
use crate::frame::Request;
use crate::number::{self, Decimal, Sum};

const TOO_LONG: Error = Error::Plain("string exceeds maximum allowed size (proto-max-bulk-len)");

/// Puts a string at the selected database's key and tells the log.
pub(super) fn put(context: &mut Context<'_>, key: &[u8], value: &[u8], expires_at: Option<u64>) {
    let keys = &mut context.store.keys;
    keys.set_string(key, value, expires_at);
    match expires_at {
        None => keys.log(&[b"SET", key, value]),
        Some(at) => {
            keys.log(&[b"SET", key, value, b"PXAT", Decimal::of_unsigned(at).as_bytes()]);
        }
    }
}

fn get(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let value = context.store.keys.string(word(request, 1)?)?;
    context.reply.bulk_or_null(value);
    Ok(())
}

/// The options of `SET`.
#[derive(Default)]
struct SetOptions {
    only_if_absent: bool,
    only_if_present: bool,
    get: bool,
    lifetime: Lifetime,
}

/// What `SET` and `GETEX` say of the expiry. Nothing may be said twice but in the same words; the last counts then.
#[derive(Default)]
struct Lifetime {
    is_kept: bool,
    is_ended: bool,
    /// With the place of its number.
    until: Option<(Unit, usize)>,
}

impl Lifetime {
    /// Takes the option at a place, and returns how many words it has; `None` if it is no such option, or not after the
    /// others.
    fn take(&mut self, request: Request<'_>, at: usize) -> Option<usize> {
        let option = request.get(at)?;
        if is(option, "KEEPTTL") && !self.is_ended && self.until.is_none() {
            self.is_kept = true;
            return Some(1);
        }
        if is(option, "PERSIST") && !self.is_kept && self.until.is_none() {
            self.is_ended = true;
            return Some(1);
        }
        let unit = Unit::of_option(option)?;
        if self.is_kept || self.is_ended || self.until.is_some_and(|(other, _)| other != unit) {
            return None;
        }
        request.get(at + 1)?;
        self.until = Some((unit, at + 1));
        Some(2)
    }

    /// When that is.
    fn expires_at(
        &self,
        context: &Context<'_>,
        request: Request<'_>,
        command: &'static str,
    ) -> Result<Option<u64>, Error> {
        let expiry = |(unit, at)| expiry(context, request, at, unit, command);
        self.until.map(expiry).transpose()
    }
}

impl SetOptions {
    fn read(request: Request<'_>) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut at = 3;
        while let Some(option) = request.get(at) {
            let mut words = 1;
            if is(option, "NX") && !options.only_if_present {
                options.only_if_absent = true;
            } else if is(option, "XX") && !options.only_if_absent {
                options.only_if_present = true;
            } else if is(option, "GET") {
                options.get = true;
            } else {
                words = options.lifetime.take(request, at).ok_or(Error::Syntax)?;
            }
            at += words;
        }
        if options.lifetime.is_ended { Err(Error::Syntax) } else { Ok(options) }
    }
}

fn set(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (key, value) = (word(request, 1)?, word(request, 2)?);
    if request.len() == 3 {
        put(context, key, value, None);
        context.reply.ok();
        return Ok(());
    }
    let options = SetOptions::read(request)?;
    let expires_at = options.lifetime.expires_at(context, request, "set")?;
    if options.get {
        let old = context.store.keys.string(key)?;
        context.reply.bulk_or_null(old);
    }
    let old_expiry = context.store.keys.peek(key).map(Record::expires_at);
    let is_refused = (options.only_if_absent && old_expiry.is_some())
        || (options.only_if_present && old_expiry.is_none());
    if !is_refused {
        let kept = old_expiry.flatten().filter(|_| options.lifetime.is_kept);
        put(context, key, value, expires_at.or(kept));
    }
    match (options.get, is_refused) {
        (true, _) => {}
        (false, true) => context.reply.null(),
        (false, false) => context.reply.ok(),
    }
    Ok(())
}

fn set_if_absent(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let key = word(request, 1)?;
    let is_absent = !context.store.keys.contains(key);
    if is_absent {
        put(context, key, word(request, 2)?, None);
    }
    context.reply.integer(i64::from(is_absent));
    Ok(())
}

fn set_expiring(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    set_with_unit(context, request, Unit::EX, "setex")
}

fn set_expiring_ms(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    set_with_unit(context, request, Unit::PX, "psetex")
}

fn set_with_unit(
    context: &mut Context<'_>,
    request: Request<'_>,
    unit: Unit,
    command: &'static str,
) -> Result<(), Error> {
    let expires_at = expiry(context, request, 2, unit, command)?;
    put(context, word(request, 1)?, word(request, 3)?, Some(expires_at));
    context.reply.ok();
    Ok(())
}

fn get_and_set(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let key = word(request, 1)?;
    let old = context.store.keys.string(key)?;
    context.reply.bulk_or_null(old);
    put(context, key, word(request, 2)?, None);
    Ok(())
}

fn get_and_delete(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let key = word(request, 1)?;
    let old = context.store.keys.string(key)?;
    context.reply.bulk_or_null(old);
    context.store.keys.delete(key);
    Ok(())
}

fn get_and_expire(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let key = word(request, 1)?;
    let mut lifetime = Lifetime::default();
    let mut at = 2;
    while at < request.len() {
        at += lifetime.take(request, at).filter(|_| !lifetime.is_kept).ok_or(Error::Syntax)?;
    }
    if context.store.keys.string(key)?.is_none() {
        context.reply.null();
        return Ok(());
    }
    // The time is looked at only now, as in Redis.
    let expires_at = lifetime.expires_at(context, request, "getex")?;
    context.reply.bulk_or_null(context.store.keys.string(key)?);
    if request.len() > 2 {
        super::expire::change_expiry(context, key, expires_at);
    }
    Ok(())
}

fn get_many(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    context.reply.array(request.len() - 1);
    for key in request.iter().skip(1) {
        let value = context.store.keys.string(key).unwrap_or_default();
        context.reply.bulk_or_null(value);
    }
    Ok(())
}

fn set_many(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    check_pairs(request, "mset")?;
    put_pairs(context, request)?;
    context.reply.ok();
    Ok(())
}

fn set_many_if_absent(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    check_pairs(request, "msetnx")?;
    let keys = &mut context.store.keys;
    let is_present = request.iter().skip(1).step_by(2).any(|key| keys.contains(key));
    if !is_present {
        put_pairs(context, request)?;
    }
    context.reply.integer(i64::from(!is_present));
    Ok(())
}

fn check_pairs(request: Request<'_>, command: &'static str) -> Result<(), Error> {
    if request.len() % 2 == 1 { Ok(()) } else { Err(Error::Arity(command)) }
}

fn put_pairs(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    for at in (1..request.len()).step_by(2) {
        put(context, word(request, at)?, word(request, at + 1)?, None);
    }
    Ok(())
}

fn length(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let value = context.store.keys.string(word(request, 1)?)?;
    context.reply.count(value.map_or(0, <[u8]>::len));
    Ok(())
}

fn get_range(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (start, stop) = (integer(request, 2)?, integer(request, 3)?);
    let value = context.store.keys.string(word(request, 1)?)?.unwrap_or_default();
    // Redis has no range for two indices from the end in the wrong order, even beyond the start.
    let is_empty = start < 0 && stop < 0 && start > stop;
    // A stop before the start of the string means the first byte.
    let stop = if stop < 0 { stop.max(-(value.len() as i64)) } else { stop };
    let (start, len) = if is_empty { (0, 0) } else { range(start, stop, value.len()) };
    context.reply.bulk(&value[start..start + len]);
    Ok(())
}

fn set_range(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (key, offset, part) = (word(request, 1)?, integer(request, 2)?, word(request, 3)?);
    let offset = usize::try_from(offset).map_err(|_| Error::Plain("offset is out of range"))?;
    let old_len = context.store.keys.string(key)?.map_or(0, <[u8]>::len);
    if part.is_empty() {
        context.reply.count(old_len);
        return Ok(());
    }
    let end = offset.checked_add(part.len()).ok_or(TOO_LONG)?;
    grow(context, key, end, |bytes| bytes[offset..end].copy_from_slice(part))?;
    context.store.keys.log_request(request);
    context.reply.count(old_len.max(end));
    Ok(())
}

/// Changes a string that has at least `len` bytes then, zeros at first where there was nothing. The log is
/// not told.
pub(super) fn grow<R>(
    context: &mut Context<'_>,
    key: &[u8],
    len: usize,
    change: impl FnOnce(&mut [u8]) -> R,
) -> Result<R, Error> {
    let old_len = context.store.keys.string(key)?.map(<[u8]>::len);
    check_length(context, len)?;
    if len > old_len.unwrap_or(0) {
        // A string that grows takes twice its length at most.
        context.store.check_growth(2 * len)?;
    }
    let keys = &mut context.store.keys;
    if old_len.is_none() {
        keys.set_string(key, b"", None);
    }
    let changed = keys.edit_record(key, |record| {
        if len <= old_len.unwrap_or(0) {
            return record.string_mut().map(change);
        }
        let bytes = record.growing_string()?;
        bytes.resize(len, 0);
        Some(change(bytes))
    });
    changed.flatten().ok_or(Error::WrongType)
}

fn append(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (key, more) = (word(request, 1)?, word(request, 2)?);
    let Some(old_len) = context.store.keys.string(key)?.map(<[u8]>::len) else {
        put(context, key, more, None);
        context.reply.count(more.len());
        return Ok(());
    };
    let len = old_len + more.len();
    check_length(context, len)?;
    context.store.check_growth(2 * len)?;
    if !more.is_empty() {
        let keys = &mut context.store.keys;
        keys.edit_record(key, |record| {
            record.growing_string().map(|bytes| bytes.extend_from_slice(more))
        });
        keys.log_request(request);
    }
    context.reply.count(len);
    Ok(())
}

fn check_length(context: &Context<'_>, len: usize) -> Result<(), Error> {
    let is_allowed = len <= context.store.config.bulk_max_bytes || context.store.is_loading;
    if is_allowed { Ok(()) } else { Err(TOO_LONG) }
}

fn increment(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    add(context, request, 1)
}

fn decrement(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    add(context, request, -1)
}

fn increment_by(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let by = integer(request, 2)?;
    add(context, request, by)
}

fn decrement_by(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let by = integer(request, 2)?;
    add(context, request, by.checked_neg().ok_or(Error::Plain("decrement would overflow"))?)
}

fn add(context: &mut Context<'_>, request: Request<'_>, by: i64) -> Result<(), Error> {
    let key = word(request, 1)?;
    let old = match context.store.keys.string(key)? {
        None => 0,
        Some(text) => number::integer(text).ok_or(Error::NotInteger)?,
    };
    let new = old.checked_add(by).ok_or(Error::Overflow)?;
    put_keeping_expiry(context, key, Decimal::of(new).as_bytes());
    context.reply.integer(new);
    Ok(())
}

fn increment_by_float(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (key, by) = (word(request, 1)?, word(request, 2)?);
    let old: Vec<u8> = context.store.keys.string(key)?.unwrap_or(b"0").into();
    match number::add_floats(&old, by).ok_or(Error::NotFloat)? {
        Sum::NotFinite => Err(Error::Plain("increment would produce NaN or Infinity")),
        Sum::Text(sum) => {
            put_keeping_expiry(context, key, sum.as_bytes());
            context.reply.bulk(sum.as_bytes());
            Ok(())
        }
    }
}

fn put_keeping_expiry(context: &mut Context<'_>, key: &[u8], value: &[u8]) {
    let expires_at = context.store.keys.peek(key).and_then(Record::expires_at);
    put(context, key, value, expires_at);
}

/// What `OBJECT ENCODING` says of a string.
pub(super) fn encoding(record: &Record, bytes: &[u8]) -> &'static str {
    const EMBEDDED_BYTES_MAX: usize = 44;
    if !record.is_packed() {
        "raw"
    } else if number::integer(bytes).is_some() {
        "int"
    } else if bytes.len() <= EMBEDDED_BYTES_MAX {
        "embstr"
    } else {
        "raw"
    }
}

const WRITE: Flags = Flags::WRITE.and(Flags::DENY_OOM);
const FAST_WRITE: Flags = WRITE.and(Flags::FAST);
const FAST_READ: Flags = Flags::READ.and(Flags::FAST);
const PAIRS: Keys = Keys::range(1, -1, 2);

/// The group.
pub(super) const GROUP: Group =
    Group {
        name: "string",
        commands: &[
            Command::new("get", 2, FAST_READ, Keys::ONE, get).about(
                "1.0.0",
                "O(1)",
                "Returns the string value of a key.",
            ),
            Command::new("set", -3, WRITE, Keys::ONE, set).about(
                "1.0.0",
                "O(1)",
                "Sets the string value of a key, whatever its type was.",
            ),
            Command::new("setnx", 3, FAST_WRITE, Keys::ONE, set_if_absent).about(
                "1.0.0",
                "O(1)",
                "Sets the string value of a key that does not exist.",
            ),
            Command::new("setex", 4, WRITE, Keys::ONE, set_expiring).about(
                "2.0.0",
                "O(1)",
                "Sets the string value and the expiry in seconds of a key.",
            ),
            Command::new("psetex", 4, WRITE, Keys::ONE, set_expiring_ms).about(
                "2.6.0",
                "O(1)",
                "Sets the string value and the expiry in milliseconds of a key.",
            ),
            Command::new("getset", 3, FAST_WRITE, Keys::ONE, get_and_set).about(
                "1.0.0",
                "O(1)",
                "Returns the string value of a key and sets a new one.",
            ),
            Command::new("getdel", 2, Flags::WRITE.and(Flags::FAST), Keys::ONE, get_and_delete)
                .about("6.2.0", "O(1)", "Returns the string value of a key and deletes it."),
            Command::new("getex", -2, Flags::WRITE.and(Flags::FAST), Keys::ONE, get_and_expire)
                .about(
                    "6.2.0",
                    "O(1)",
                    "Returns the string value of a key and changes when it expires.",
                ),
            Command::new("mget", -2, FAST_READ, Keys::ALL, get_many).about(
                "1.0.0",
                "O(N) with the number of keys",
                "Returns the string values of keys.",
            ),
            Command::new("mset", -3, WRITE, PAIRS, set_many).about(
                "1.0.1",
                "O(N) with the number of keys",
                "Sets the string values of keys.",
            ),
            Command::new("msetnx", -3, WRITE, PAIRS, set_many_if_absent).about(
                "1.0.1",
                "O(N) with the number of keys",
                "Sets the string values of keys if none of them exists.",
            ),
            Command::new("strlen", 2, FAST_READ, Keys::ONE, length).about(
                "2.2.0",
                "O(1)",
                "Returns the length of a string.",
            ),
            Command::new("getrange", 4, Flags::READ, Keys::ONE, get_range).about(
                "2.4.0",
                "O(N) with the length returned",
                "Returns a part of a string.",
            ),
            Command::new("substr", 4, Flags::READ, Keys::ONE, get_range).about(
                "1.0.0",
                "O(N) with the length returned",
                "Returns a part of a string.",
            ),
            Command::new("setrange", 4, WRITE, Keys::ONE, set_range).about(
                "2.2.0",
                "O(N) with the length set",
                "Overwrites a part of a string.",
            ),
            Command::new("append", 3, FAST_WRITE, Keys::ONE, append).about(
                "2.0.0",
                "O(1) amortised",
                "Appends to a string.",
            ),
            Command::new("incr", 2, FAST_WRITE, Keys::ONE, increment).about(
                "1.0.0",
                "O(1)",
                "Adds one to the integer in a string.",
            ),
            Command::new("decr", 2, FAST_WRITE, Keys::ONE, decrement).about(
                "1.0.0",
                "O(1)",
                "Subtracts one from the integer in a string.",
            ),
            Command::new("incrby", 3, FAST_WRITE, Keys::ONE, increment_by).about(
                "1.0.0",
                "O(1)",
                "Adds to the integer in a string.",
            ),
            Command::new("decrby", 3, FAST_WRITE, Keys::ONE, decrement_by).about(
                "1.0.0",
                "O(1)",
                "Subtracts from the integer in a string.",
            ),
            Command::new("incrbyfloat", 3, FAST_WRITE, Keys::ONE, increment_by_float).about(
                "2.6.0",
                "O(1)",
                "Adds to the floating point number in a string.",
            ),
        ],
    };

#[cfg(test)]
mod tests;
