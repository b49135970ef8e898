//! Hashes: `HSET`, `HGET` and their relatives.

use super::argument::{integer, is, word};
use super::sample::{self, Count};
use super::scan::{ScanOptions, write_scan};
use super::{Command, Context, Error, Flags, Group, Keys};
use crate::db::Keyspace;
use crate::db::value::Collection;
use crate::frame::Request;
use crate::number::{self, Decimal, Sum};
use crate::reply::{Protocol, Reply};
use crate::types::hash::Hash;
use crate::types::packed::Limits;

/// Changes the hash at a key, which is made if it is not there.
fn edit_or_create<R>(
    keys: &mut Keyspace,
    key: &[u8],
    change: impl FnOnce(&mut Hash) -> (R, bool),
) -> Result<R, Error> {
    keys.edit_or_create(key, |_| Hash::new(), change)
}

fn set(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let added = set_fields(context, request, "hset")?;
    context.reply.count(added);
    Ok(())
}

fn set_many(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    set_fields(context, request, "hmset")?;
    context.reply.ok();
    Ok(())
}

/// Sets fields and returns how many of them are new.
fn set_fields(
    context: &mut Context<'_>,
    request: Request<'_>,
    command: &'static str,
) -> Result<usize, Error> {
    if request.len() % 2 == 1 {
        return Err(Error::Arity(command));
    }
    let keys = &mut context.store.keys;
    let hasher = keys.hasher();
    let added = edit_or_create(keys, word(request, 1)?, |hash| {
        let names = request.iter().skip(2).step_by(2);
        let values = request.iter().skip(3).step_by(2);
        let is_new =
            |&(field, value): &(&[u8], &[u8])| hash.set(field, value, &hasher, &Limits::DEFAULT);
        (names.zip(values).filter(is_new).count(), true)
    })?;
    keys.log_request(request);
    Ok(added)
}

fn set_if_absent(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (field, value) = (word(request, 2)?, word(request, 3)?);
    let keys = &mut context.store.keys;
    let hasher = keys.hasher();
    let is_set = edit_or_create(keys, word(request, 1)?, |hash| {
        let is_set = !hash.contains(field) && hash.set(field, value, &hasher, &Limits::DEFAULT);
        (is_set, is_set)
    })?;
    if is_set {
        keys.log_request(request);
    }
    context.reply.integer(i64::from(is_set));
    Ok(())
}

fn get(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (key, field) = (word(request, 1)?, word(request, 2)?);
    let hash = context.store.keys.collection::<Hash>(key)?;
    context.reply.bulk_or_null(hash.and_then(|hash| hash.get(field)));
    Ok(())
}

fn get_many(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let hash = context.store.keys.collection::<Hash>(word(request, 1)?)?;
    context.reply.array(request.len() - 2);
    for field in request.iter().skip(2) {
        context.reply.bulk_or_null(hash.and_then(|hash| hash.get(field)));
    }
    Ok(())
}

fn get_all(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    write_all(context, request, Reply::map, |reply, field, value| {
        reply.bulk(field);
        reply.bulk(value);
    })
}

fn fields(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    write_all(context, request, Reply::array, |reply, field, _| reply.bulk(field))
}

fn values(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    write_all(context, request, Reply::array, |reply, _, value| reply.bulk(value))
}

/// Writes all that a hash has, after a head.
fn write_all(
    context: &mut Context<'_>,
    request: Request<'_>,
    head: impl FnOnce(&mut Reply, usize),
    mut write: impl FnMut(&mut Reply, &[u8], &[u8]),
) -> Result<(), Error> {
    let hash = context.store.keys.collection::<Hash>(word(request, 1)?)?;
    head(context.reply, hash.map_or(0, Hash::len));
    for (field, value) in hash.into_iter().flat_map(Hash::iter) {
        if context.reply.is_incomplete() {
            break;
        }
        write(context.reply, field, value);
    }
    Ok(())
}

fn delete(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let keys = &mut context.store.keys;
    let edited = keys.edit::<Hash, _>(word(request, 1)?, |hash| {
        let removed = request.iter().skip(2).filter(|field| hash.remove(field)).count();
        ((removed, hash.is_empty()), removed > 0)
    })?;
    let (removed, is_gone) = edited.unwrap_or_default();
    if removed > 0 && !is_gone {
        keys.log_request(request);
    }
    context.reply.count(removed);
    Ok(())
}

fn length(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let hash = context.store.keys.collection::<Hash>(word(request, 1)?)?;
    context.reply.count(hash.map_or(0, Hash::len));
    Ok(())
}

fn value_length(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (key, field) = (word(request, 1)?, word(request, 2)?);
    let hash = context.store.keys.collection::<Hash>(key)?;
    context.reply.count(hash.and_then(|hash| hash.get(field)).map_or(0, <[u8]>::len));
    Ok(())
}

fn exists(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (key, field) = (word(request, 1)?, word(request, 2)?);
    let hash = context.store.keys.collection::<Hash>(key)?;
    context.reply.integer(i64::from(hash.is_some_and(|hash| hash.contains(field))));
    Ok(())
}

fn increment(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (key, field, by) = (word(request, 1)?, word(request, 2)?, integer(request, 3)?);
    let hash = context.store.keys.collection::<Hash>(key)?;
    let old = match hash.and_then(|hash| hash.get(field)) {
        None => 0,
        Some(text) => number::integer(text).ok_or(Error::Plain("hash value is not an integer"))?,
    };
    let new = old.checked_add(by).ok_or(Error::Overflow)?;
    put(context, key, field, Decimal::of(new).as_bytes())?;
    context.reply.integer(new);
    Ok(())
}

fn increment_by_float(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (key, field, by) = (word(request, 1)?, word(request, 2)?, word(request, 3)?);
    if !number::float(by).ok_or(Error::NotFloat)?.is_finite() {
        return Err(Error::Plain("value is NaN or Infinity"));
    }
    let hash = context.store.keys.collection::<Hash>(key)?;
    let old = hash.and_then(|hash| hash.get(field)).unwrap_or(b"0");
    let sum = number::add_floats(old, by).ok_or(Error::Plain("hash value is not a float"))?;
    match sum {
        Sum::NotFinite => Err(Error::Plain("increment would produce NaN or Infinity")),
        Sum::Text(sum) => {
            put(context, key, field, sum.as_bytes())?;
            context.reply.bulk(sum.as_bytes());
            Ok(())
        }
    }
}

/// Sets a field and tells the log.
fn put(context: &mut Context<'_>, key: &[u8], field: &[u8], value: &[u8]) -> Result<(), Error> {
    let keys = &mut context.store.keys;
    let hasher = keys.hasher();
    edit_or_create(keys, key, |hash| (hash.set(field, value, &hasher, &Limits::DEFAULT), true))?;
    keys.log(&[b"HSET", key, field, value]);
    Ok(())
}

fn scan(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let Some(options) = read_scan::<Hash>(context, request)? else { return Ok(()) };
    let mut found = context.reply.part();
    let mut count = 0;
    let cursor = match context.store.keys.collection::<Hash>(word(request, 1)?)? {
        None => 0,
        Some(hash) => hash.scan(options.cursor, options.count, |field, value| {
            if options.selects(field) {
                found.bulk(field);
                found.bulk(value);
                count += 2;
            }
        }),
    };
    write_scan(context, cursor, count, &found);
    Ok(())
}

/// The options of a command that scans the value of a key. `None` if there is no such key, which the
/// reply says then; other than the cursor, options are not looked at in that case.
///
/// # Errors
/// If they are wrong, or the value has another type.
pub(super) fn read_scan<'a, T: Collection>(
    context: &mut Context<'_>,
    request: Request<'a>,
) -> Result<Option<ScanOptions<'a>>, Error> {
    let options = ScanOptions::read(request, 2);
    if matches!(options, Err(Error::Plain(_)))
        || context.store.keys.collection::<T>(word(request, 1)?)?.is_some()
    {
        return options.map(Some);
    }
    let nothing = Reply::new(context.reply.protocol());
    write_scan(context, 0, 0, &nothing);
    Ok(None)
}

fn random(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    if request.len() > 2 {
        return random_many(context, request);
    }
    let (keys, mut random) = context.store.keys_and_random();
    let hash = keys.collection::<Hash>(word(request, 1)?)?;
    let chosen = hash.and_then(|hash| hash.random(random()));
    context.reply.bulk_or_null(chosen.map(|(field, _)| field));
    Ok(())
}

fn random_many(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let count = Count::read(request, 2)?;
    let has_values = match (request.get(3), request.len()) {
        (None, _) => false,
        (Some(option), 4) if is(option, "WITHVALUES") => true,
        _ => return Err(Error::Syntax),
    };
    if has_values && count.count > usize::MAX / 4 {
        return Err(Error::Plain("value is out of range"));
    }
    let key = word(request, 1)?;
    let len = context.store.keys.collection::<Hash>(key)?.map_or(0, Hash::len);
    if len > 0 {
        count.check_memory(context, len)?;
    }
    let replies = match (len, count.may_repeat) {
        (0, _) => 0,
        (_, true) => count.count,
        (_, false) => count.count.min(len),
    };
    let is_flat = has_values && context.reply.protocol() == Protocol::Resp2;
    context.reply.array(if is_flat { 2 * replies } else { replies });
    let (keys, mut random) = context.store.keys_and_random();
    let Some(hash) = keys.look::<Hash>(key) else { return Ok(()) };
    let reply = &mut *context.reply;
    let mut show = |(field, value): (&[u8], &[u8])| {
        if has_values && !is_flat {
            reply.array(2);
        }
        reply.bulk(field);
        if has_values {
            reply.bulk(value);
        }
        !reply.is_incomplete()
    };
    if count.may_repeat {
        (0..replies).map_while(|_| hash.random(random())).all(show);
    } else {
        sample::distinct(
            replies,
            len,
            hash.iter(),
            |number| hash.random(number),
            random,
            |pair| {
                show(pair);
            },
        );
    }
    Ok(())
}

const WRITE: Flags = Flags::WRITE.and(Flags::DENY_OOM).and(Flags::FAST);
const FAST: Flags = Flags::READ.and(Flags::FAST);

/// The group.
#[rustfmt::skip]
pub(super) const GROUP: Group = Group {
    name: "hash",
    commands: &[
        Command::new("hset", -4, WRITE, Keys::ONE, set)
            .about("2.0.0", "O(N) with the number of fields", "Sets fields of a hash."),
        Command::new("hsetnx", 4, WRITE, Keys::ONE, set_if_absent)
            .about("2.0.0", "O(1)", "Sets a field of a hash that does not exist."),
        Command::new("hmset", -4, WRITE, Keys::ONE, set_many)
            .about("2.0.0", "O(N) with the number of fields", "Sets fields of a hash."),
        Command::new("hget", 3, FAST, Keys::ONE, get)
            .about("2.0.0", "O(1)", "Returns the value of a hash's field."),
        Command::new("hmget", -3, FAST, Keys::ONE, get_many)
            .about("2.0.0", "O(N) with the number of fields", "Returns the values of a hash's fields."),
        Command::new("hgetall", 2, Flags::READ, Keys::ONE, get_all)
            .about("2.0.0", "O(N) with the size of the hash", "Returns all fields of a hash with their values."),
        Command::new("hkeys", 2, Flags::READ, Keys::ONE, fields)
            .about("2.0.0", "O(N) with the size of the hash", "Returns all fields of a hash."),
        Command::new("hvals", 2, Flags::READ, Keys::ONE, values)
            .about("2.0.0", "O(N) with the size of the hash", "Returns all values of a hash."),
        Command::new("hdel", -3, Flags::WRITE.and(Flags::FAST), Keys::ONE, delete)
            .about("2.0.0", "O(N) with the number of fields", "Removes fields of a hash."),
        Command::new("hlen", 2, FAST, Keys::ONE, length)
            .about("2.0.0", "O(1)", "Returns the number of a hash's fields."),
        Command::new("hstrlen", 3, FAST, Keys::ONE, value_length)
            .about("3.2.0", "O(1)", "Returns the length of a field's value."),
        Command::new("hexists", 3, FAST, Keys::ONE, exists)
            .about("2.0.0", "O(1)", "Says whether a hash has a field."),
        Command::new("hincrby", 4, WRITE, Keys::ONE, increment)
            .about("2.0.0", "O(1)", "Adds to the integer in a field."),
        Command::new("hincrbyfloat", 4, WRITE, Keys::ONE, increment_by_float)
            .about("2.6.0", "O(1)", "Adds to the floating point number in a field."),
        Command::new("hscan", -3, Flags::READ, Keys::ONE, scan)
            .about("2.8.0", "O(1) for each call", "Returns some fields of a hash with their values, and a cursor."),
        Command::new("hrandfield", -2, Flags::READ, Keys::ONE, random)
            .about("6.2.0", "O(N) with the number of fields returned", "Returns random fields of a hash."),
    ],
};

#[cfg(test)]
mod tests;
