//! Keys, whatever they hold: which there are, their names, and when they expire.

use super::argument::{integer, is, pattern, word};
use super::expiry::Unit;
use super::{Command, Context, Error, Flags, Group, Keys, object};
use crate::db::DATABASES;
use crate::db::dict::Keyed;
use crate::db::record::{Record, View};
use crate::frame::Request;
use crate::glob;
use crate::number::Decimal;
use crate::store::Store;

fn delete(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let keys = &mut context.store.keys;
    let deleted = request.iter().skip(1).filter(|key| keys.delete(key)).count();
    context.reply.count(deleted);
    Ok(())
}

fn exists(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let keys = &mut context.store.keys;
    let there = request.iter().skip(1).filter(|key| keys.read(key).is_some()).count();
    context.reply.count(there);
    Ok(())
}

fn type_of(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let record = context.store.keys.peek(word(request, 1)?);
    context.reply.status(record.map_or("none", type_name));
    Ok(())
}

fn type_name(record: &Record) -> &'static str {
    match record.view() {
        View::String(_) => "string",
        View::Other(value) => value.type_name(),
    }
}

fn rename(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (from, to) = (word(request, 1)?, word(request, 2)?);
    if !context.store.keys.contains(from) {
        return Err(Error::NoSuchKey);
    }
    if from != to {
        move_record(context.store, from, to)?;
    }
    context.reply.ok();
    Ok(())
}

fn rename_if_absent(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (from, to) = (word(request, 1)?, word(request, 2)?);
    let keys = &mut context.store.keys;
    if !keys.contains(from) {
        return Err(Error::NoSuchKey);
    }
    let is_absent = !keys.contains(to);
    if is_absent {
        move_record(context.store, from, to)?;
    }
    context.reply.integer(i64::from(is_absent));
    Ok(())
}

/// Whether all of a key's value finds room in the log, which is told it where it gets another place.
fn check_whole(store: &mut Store, key: &[u8]) -> Result<(), Error> {
    let bytes = store.keys.peek(key).map_or(0, Record::encoded_bytes);
    store.check_room(usize::try_from(bytes).unwrap_or(usize::MAX))
}

fn move_record(store: &mut Store, from: &[u8], to: &[u8]) -> Result<(), Error> {
    if store.keys.effects.is_compacting {
        check_whole(store, from)?;
    }
    let keys = &mut store.keys;
    if let Some(record) = keys.take(from) {
        keys.insert(record.renamed(to));
        keys.changed(to);
        keys.log_rename(from, to);
    }
    Ok(())
}

fn copy(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (from, to) = (word(request, 1)?, word(request, 2)?);
    let here = context.store.keys.selected();
    let (mut database, mut replaces) = (here, false);
    let mut at = 3;
    while let Some(option) = request.get(at) {
        if is(option, "REPLACE") {
            replaces = true;
        } else if is(option, "DB") && at + 1 < request.len() {
            at += 1;
            database = database_number(request, at)?;
        } else {
            return Err(Error::Syntax);
        }
        at += 1;
    }
    if database == here && from == to {
        return Err(Error::Plain("source and destination objects are the same"));
    }
    let Some(record) = context.store.keys.peek(from) else {
        context.reply.integer(0);
        return Ok(());
    };
    let bytes = record.memory_bytes();
    // The copy, and a record of it in the log.
    context.store.check_room(3 * bytes)?;
    let keys = &mut context.store.keys;
    let hasher = keys.hasher();
    let Some(copied) = keys.peek(from).map(|record| record.copied(to, hasher)) else {
        return Err(Error::NoSuchKey);
    };
    keys.select(database);
    let is_copied = replaces || !keys.contains(to);
    if is_copied {
        keys.insert(copied);
        keys.changed(to);
        keys.log_whole(to);
    }
    keys.select(here);
    context.reply.integer(i64::from(is_copied));
    Ok(())
}

fn move_to_database(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let key = word(request, 1)?;
    let database = database_number(request, 2)?;
    let keys = &mut context.store.keys;
    let here = keys.selected();
    if database == here {
        return Err(Error::Plain("source and destination objects are the same"));
    }
    keys.select(database);
    let is_taken = keys.contains(key);
    keys.select(here);
    if !is_taken {
        check_whole(context.store, key)?;
    }
    let keys = &mut context.store.keys;
    let record = if is_taken { None } else { keys.take(key) };
    let is_moved = record.is_some();
    if let Some(record) = record {
        keys.log(&[b"DEL", key]);
        keys.select(database);
        keys.insert(record);
        keys.changed(key);
        keys.log_whole(key);
        keys.select(here);
    }
    context.reply.integer(i64::from(is_moved));
    Ok(())
}

pub(super) fn database_number(request: Request<'_>, at: usize) -> Result<usize, Error> {
    let number = i32::try_from(integer(request, at)?).map_err(|_| {
        let text = "value is out of range, value must between -2147483648 and 2147483647";
        Error::Plain(text)
    })?;
    existing(number)
}

fn existing(database: i32) -> Result<usize, Error> {
    let number = usize::try_from(database).ok().filter(|number| *number < DATABASES);
    number.ok_or(Error::Plain("DB index is out of range"))
}

fn keys(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let pattern = pattern(request, 1)?;
    let open = context.reply.open();
    let mut count = 0;
    let mut cursor = 0;
    loop {
        cursor = context.store.keys.scan(cursor, 1000, |record| {
            if glob::matches(pattern, record.key()) {
                context.reply.bulk(record.key());
                count += 1;
            }
        });
        if cursor == 0 || context.reply.is_incomplete() {
            break;
        }
    }
    context.reply.close_array(open, count);
    Ok(())
}

fn random_key(context: &mut Context<'_>, _: Request<'_>) -> Result<(), Error> {
    let (keys, random) = context.store.keys_and_random();
    let record = keys.random(random);
    context.reply.bulk_or_null(record.map(Keyed::key));
    Ok(())
}

/// The options of `SCAN` and of its relatives for one value.
pub(super) struct ScanOptions<'a> {
    pub(super) cursor: u64,
    pub(super) count: usize,
    pub(super) pattern: Option<&'a [u8]>,
    pub(super) type_name: Option<&'a [u8]>,
}

impl<'a> ScanOptions<'a> {
    /// Reads them; the cursor is at a place, and the options behind it.
    pub(super) fn read(request: Request<'a>, cursor_at: usize) -> Result<Self, Error> {
        let cursor = core::str::from_utf8(word(request, cursor_at)?).ok();
        let cursor = cursor.and_then(|cursor| cursor.parse().ok());
        let mut options = Self {
            cursor: cursor.ok_or(Error::Plain("invalid cursor"))?,
            count: 10,
            pattern: None,
            type_name: None,
        };
        let mut at = cursor_at + 1;
        while let Some(option) = request.get(at) {
            let value = word(request, at + 1)?;
            if is(option, "COUNT") {
                let count = integer(request, at + 1)?;
                options.count = usize::try_from(count).unwrap_or(0);
                if options.count == 0 {
                    return Err(Error::Syntax);
                }
            } else if is(option, "MATCH") {
                options.pattern =
                    Some(pattern(request, at + 1)?).filter(|pattern| *pattern != b"*");
            } else if is(option, "TYPE") && cursor_at == 1 {
                options.type_name = Some(value);
            } else {
                return Err(Error::Syntax);
            }
            at += 2;
        }
        Ok(options)
    }

    pub(super) fn selects(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name))
    }
}

fn scan(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let options = ScanOptions::read(request, 1)?;
    let mut found = context.reply.part();
    let mut count = 0;
    let cursor = context.store.keys.scan(options.cursor, options.count, |record| {
        let has_type = options
            .type_name
            .is_none_or(|name| name.eq_ignore_ascii_case(type_name(record).as_bytes()));
        if has_type && options.selects(record.key()) {
            found.bulk(record.key());
            count += 1;
        }
    });
    write_scan(context, cursor, count, &found);
    Ok(())
}

/// Writes a cursor and what was found.
pub(super) fn write_scan(
    context: &mut Context<'_>,
    cursor: u64,
    count: usize,
    found: &crate::reply::Reply,
) {
    context.reply.array(2);
    context.reply.bulk(Decimal::of_unsigned(cursor).as_bytes());
    context.reply.array(count);
    context.reply.take_over(found);
}

/// Changes when a key expires, deletes it if that was before now, and tells the log.
pub(super) fn change_expiry(context: &mut Context<'_>, key: &[u8], expires_at: Option<u64>) {
    let keys = &mut context.store.keys;
    match expires_at {
        Some(at) if at <= keys.now_ms() => {
            keys.delete(key);
        }
        Some(at) => {
            keys.set_expiry(key, Some(at));
            keys.log(&[b"PEXPIREAT", key, Decimal::of_unsigned(at).as_bytes()]);
        }
        None => {
            if keys.peek(key).and_then(Record::expires_at).is_some() {
                keys.set_expiry(key, None);
                keys.log(&[b"PERSIST", key]);
            }
        }
    }
}

fn expire(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    expire_by(context, request, Unit::EX, "expire")
}

fn expire_ms(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    expire_by(context, request, Unit::PX, "pexpire")
}

fn expire_at(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    expire_by(context, request, Unit::EXAT, "expireat")
}

fn expire_at_ms(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    expire_by(context, request, Unit::PXAT, "pexpireat")
}

/// When a key's expiry is changed.
#[derive(Default)]
struct ExpireOptions {
    only_new: bool,
    only_existing: bool,
    only_later: bool,
    only_earlier: bool,
}

impl ExpireOptions {
    fn read(request: Request<'_>) -> Result<Self, Error> {
        let mut options = Self::default();
        for option in request.iter().skip(3) {
            if is(option, "NX") {
                options.only_new = true;
            } else if is(option, "XX") {
                options.only_existing = true;
            } else if is(option, "GT") {
                options.only_later = true;
            } else if is(option, "LT") {
                options.only_earlier = true;
            } else {
                let option = super::error::shown(option, 128);
                return Err(Error::Text(alloc::format!("Unsupported option {option}")));
            }
        }
        if options.only_new && (options.only_existing || options.only_later || options.only_earlier)
        {
            return Err(Error::Plain(
                "NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if options.only_later && options.only_earlier {
            return Err(Error::Plain("GT and LT options at the same time are not compatible"));
        }
        Ok(options)
    }

    /// Whether a key that expires at `old`, or never, shall expire at `new`.
    fn allow(&self, old: Option<u64>, new: i64) -> bool {
        let later = |old: u64| new > i64::try_from(old).unwrap_or(i64::MAX);
        match old {
            None => !self.only_existing && !self.only_later,
            Some(old) => {
                !self.only_new
                    && (!self.only_later || later(old))
                    && (!self.only_earlier || new < i64::try_from(old).unwrap_or(i64::MAX))
            }
        }
    }
}

fn expire_by(
    context: &mut Context<'_>,
    request: Request<'_>,
    unit: Unit,
    command: &'static str,
) -> Result<(), Error> {
    let key = word(request, 1)?;
    let options = ExpireOptions::read(request)?;
    let value = integer(request, 2)?;
    let at =
        unit.to_unix_ms(value, context.store.keys.now_ms()).ok_or(Error::InvalidExpire(command))?;
    let old = context.store.keys.peek(key).map(Record::expires_at);
    let is_changed = old.is_some_and(|old| options.allow(old, at));
    if is_changed {
        change_expiry(context, key, Some(u64::try_from(at).unwrap_or(0)));
    }
    context.reply.integer(i64::from(is_changed));
    Ok(())
}

fn persist(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let key = word(request, 1)?;
    let expires = context.store.keys.peek(key).and_then(Record::expires_at).is_some();
    if expires {
        change_expiry(context, key, None);
    }
    context.reply.integer(i64::from(expires));
    Ok(())
}

fn time_to_live(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    tell_expiry(context, request, |at, now| (at.saturating_sub(now) + 500) / 1000)
}

fn time_to_live_ms(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    tell_expiry(context, request, u64::saturating_sub)
}

fn expire_time(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    tell_expiry(context, request, |at, _| at / 1000)
}

fn expire_time_ms(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    tell_expiry(context, request, |at, _| at)
}

/// Tells when a key expires as `tell` has it; -1 for never, -2 for no key.
fn tell_expiry(
    context: &mut Context<'_>,
    request: Request<'_>,
    tell: impl FnOnce(u64, u64) -> u64,
) -> Result<(), Error> {
    let keys = &mut context.store.keys;
    let now_ms = keys.now_ms();
    let told = match keys.peek(word(request, 1)?).map(Record::expires_at) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => i64::try_from(tell(at, now_ms)).unwrap_or(i64::MAX),
    };
    context.reply.integer(told);
    Ok(())
}

fn touch(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    exists(context, request)
}

fn database_size(context: &mut Context<'_>, _: Request<'_>) -> Result<(), Error> {
    context.reply.count(context.store.keys.len());
    Ok(())
}

fn flush(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    check_flush(request)?;
    let selected = context.store.keys.selected();
    context.store.keys.flush(selected);
    context.reply.ok();
    Ok(())
}

fn flush_all(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    check_flush(request)?;
    (0..DATABASES).for_each(|database| context.store.keys.flush(database));
    context.reply.ok();
    Ok(())
}

/// Memory is always freed in the background, whichever way is asked for.
fn check_flush(request: Request<'_>) -> Result<(), Error> {
    match (request.len(), request.get(1)) {
        (1, _) => Ok(()),
        (2, Some(mode)) if is(mode, "ASYNC") || is(mode, "SYNC") => Ok(()),
        _ => Err(Error::Syntax),
    }
}

fn select(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let database = database_number(request, 1)?;
    context.session.database = database;
    context.session.client.database.set(database);
    context.reply.ok();
    Ok(())
}

fn swap_databases(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let number = |at, text| {
        let number = integer(request, at).ok().and_then(|number| i32::try_from(number).ok());
        number.ok_or(Error::Plain(text))
    };
    let one = number(1, "invalid first DB index")?;
    let other = number(2, "invalid second DB index")?;
    let (one, other) = (existing(one)?, existing(other)?);
    context.store.keys.swap(one, other);
    context.store.keys.log_swap(request);
    context.reply.ok();
    Ok(())
}

const WRITE: Flags = Flags::WRITE;
const FAST_WRITE: Flags = Flags::WRITE.and(Flags::FAST);
const READ: Flags = Flags::READ;
const FAST_READ: Flags = Flags::READ.and(Flags::FAST);
const EACH: &str = "O(N) with the number of keys";

/// The group.
pub(super) const GROUP: Group = Group {
    name: "generic",
    commands: &[
        Command::new("del", -2, WRITE, Keys::ALL, delete).about(
            "1.0.0",
            EACH,
            "Deletes keys; what they held is freed in the background.",
        ),
        Command::new("unlink", -2, FAST_WRITE, Keys::ALL, delete).about(
            "4.0.0",
            EACH,
            "Deletes keys; what they held is freed in the background.",
        ),
        Command::new("exists", -2, FAST_READ, Keys::ALL, exists).about(
            "1.0.0",
            EACH,
            "Tells how many of the keys exist.",
        ),
        Command::new("touch", -2, FAST_READ, Keys::ALL, touch).about(
            "3.2.1",
            EACH,
            "Tells how many of the keys exist, and counts them as used.",
        ),
        Command::new("type", 2, FAST_READ, Keys::ONE, type_of).about(
            "1.0.0",
            "O(1)",
            "Returns the type of a key's value.",
        ),
        Command::new("rename", 3, WRITE, Keys::TWO, rename).about(
            "1.0.0",
            "O(1)",
            "Gives a key another name.",
        ),
        Command::new("renamenx", 3, FAST_WRITE, Keys::TWO, rename_if_absent).about(
            "1.0.0",
            "O(1)",
            "Gives a key another name if no key has that.",
        ),
        Command::new("copy", -3, WRITE.and(Flags::DENY_OOM), Keys::TWO, copy).about(
            "6.2.0",
            "O(N) with the elements",
            "Copies the value of a key to another.",
        ),
        Command::new("move", 3, FAST_WRITE, Keys::ONE, move_to_database).about(
            "1.0.0",
            "O(1)",
            "Moves a key to another database.",
        ),
        Command::new("keys", 2, READ, Keys::NONE, keys).about(
            "1.0.0",
            "O(N) with all keys",
            "Returns the keys that match a pattern.",
        ),
        Command::new("randomkey", 1, READ, Keys::NONE, random_key).about(
            "1.0.0",
            "O(1)",
            "Returns a random key.",
        ),
        Command::new("scan", -2, READ, Keys::NONE, scan).about(
            "2.8.0",
            "O(1) a call",
            "Returns some keys, and a cursor to go on with.",
        ),
        Command::new("expire", -3, FAST_WRITE, Keys::ONE, expire).about(
            "1.0.0",
            "O(1)",
            "Lets a key expire in so many seconds.",
        ),
        Command::new("pexpire", -3, FAST_WRITE, Keys::ONE, expire_ms).about(
            "2.6.0",
            "O(1)",
            "Lets a key expire in so many milliseconds.",
        ),
        Command::new("expireat", -3, FAST_WRITE, Keys::ONE, expire_at).about(
            "1.2.0",
            "O(1)",
            "Lets a key expire at a Unix time in seconds.",
        ),
        Command::new("pexpireat", -3, FAST_WRITE, Keys::ONE, expire_at_ms).about(
            "2.6.0",
            "O(1)",
            "Lets a key expire at a Unix time in milliseconds.",
        ),
        Command::new("persist", 2, FAST_WRITE, Keys::ONE, persist).about(
            "2.2.0",
            "O(1)",
            "Lets a key not expire.",
        ),
        Command::new("ttl", 2, FAST_READ, Keys::ONE, time_to_live).about(
            "1.0.0",
            "O(1)",
            "Returns in how many seconds a key expires.",
        ),
        Command::new("pttl", 2, FAST_READ, Keys::ONE, time_to_live_ms).about(
            "2.6.0",
            "O(1)",
            "Returns in how many milliseconds a key expires.",
        ),
        Command::new("expiretime", 2, FAST_READ, Keys::ONE, expire_time).about(
            "7.0.0",
            "O(1)",
            "Returns the Unix time in seconds at which a key expires.",
        ),
        Command::new("pexpiretime", 2, FAST_READ, Keys::ONE, expire_time_ms).about(
            "7.0.0",
            "O(1)",
            "Returns the Unix time in milliseconds at which a key expires.",
        ),
        Command::new("object", -2, READ, Keys::range(2, 2, 1), object::object)
            .about("2.2.3", "O(1)", "Tells how a value is kept.")
            .with(object::SUBCOMMANDS),
        Command::new("dbsize", 1, FAST_READ, Keys::NONE, database_size).about(
            "1.0.0",
            "O(1)",
            "Returns the number of keys in the database.",
        ),
        Command::new("flushdb", -1, WRITE, Keys::NONE, flush).about(
            "1.0.0",
            "O(1)",
            "Removes all keys of the database.",
        ),
        Command::new("flushall", -1, WRITE, Keys::NONE, flush_all).about(
            "1.0.0",
            "O(1)",
            "Removes all keys of all databases.",
        ),
        Command::new("select", 2, Flags::FAST, Keys::NONE, select).about(
            "1.0.0",
            "O(1)",
            "Chooses the database for the commands that follow.",
        ),
        Command::new("swapdb", 3, FAST_WRITE, Keys::NONE, swap_databases).about(
            "4.0.0",
            "O(1)",
            "Exchanges two databases.",
        ),
    ],
};

#[cfg(test)]
mod tests;
