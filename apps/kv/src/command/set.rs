//! Sets: `SADD`, `SPOP` and their relatives. What is made of several sets is in [`algebra`].

mod algebra;

use alloc::vec::Vec;

use super::argument::{positive, word};
use super::hash::read_scan;
use super::sample::{self, Count};
use super::scan::write_scan;
use super::{Command, Context, Error, Flags, Group, Keys};
use crate::db::Keyspace;
use crate::db::copy::Parts;
use crate::frame::Request;
use crate::reply::Reply;
use crate::types::set::{Limits, Set};

/// Members that `SPOP` takes out together.
const POPPED_AT_ONCE: usize = 1024;
/// The same in bytes, if it is more than one.
const LONG_BYTES: usize = 64 << 10;
/// How often the bytes of a member exist that is taken out: a copy, the reply, and a record in the log.
const COPIES: usize = 4;

/// Puts members into the set at a key, which is made if it is not there. How many are new.
fn insert<'a>(
    keys: &mut Keyspace,
    key: &[u8],
    members: impl Iterator<Item = &'a [u8]>,
) -> Result<usize, Error> {
    let hasher = keys.hasher();
    keys.edit_or_create(
        key,
        |_| Set::new(),
        |set: &mut Set| {
            let is_new = |member: &&[u8]| set.insert(member, &hasher, &Limits::DEFAULT);
            let added = members.filter(is_new).count();
            (added, added > 0)
        },
    )
}

/// Takes members out of the set at a key. How many were there, and whether nothing is left, which the
/// log then knows.
fn take_out<'a>(
    keys: &mut Keyspace,
    key: &[u8],
    members: impl Iterator<Item = &'a [u8]>,
) -> Result<(usize, bool), Error> {
    let edited = keys.edit::<Set, _>(key, |set| {
        let removed = members.filter(|member| set.remove(member)).count();
        ((removed, set.is_empty()), removed > 0)
    })?;
    Ok(edited.unwrap_or_default())
}

fn add(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let keys = &mut context.store.keys;
    let added = insert(keys, word(request, 1)?, request.iter().skip(2))?;
    if added > 0 {
        keys.log_request(request);
    }
    context.reply.count(added);
    Ok(())
}

fn remove(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let keys = &mut context.store.keys;
    let (removed, is_gone) = take_out(keys, word(request, 1)?, request.iter().skip(2))?;
    if removed > 0 && !is_gone {
        keys.log_request(request);
    }
    context.reply.count(removed);
    Ok(())
}

fn is_member(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (key, member) = (word(request, 1)?, word(request, 2)?);
    let set = context.store.keys.collection::<Set>(key)?;
    context.reply.integer(i64::from(set.is_some_and(|set| set.contains(member))));
    Ok(())
}

fn are_members(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let set = context.store.keys.collection::<Set>(word(request, 1)?)?;
    context.reply.array(request.len() - 2);
    for member in request.iter().skip(2) {
        context.reply.integer(i64::from(set.is_some_and(|set| set.contains(member))));
    }
    Ok(())
}

fn members(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let set = context.store.keys.collection::<Set>(word(request, 1)?)?;
    write_all(context.reply, set);
    Ok(())
}

fn write_all(reply: &mut Reply, set: Option<&Set>) {
    reply.set(set.map_or(0, Set::len));
    for member in set.into_iter().flat_map(Set::iter) {
        if reply.is_incomplete() {
            break;
        }
        reply.bulk(&member);
    }
}

fn length(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let set = context.store.keys.collection::<Set>(word(request, 1)?)?;
    context.reply.count(set.map_or(0, Set::len));
    Ok(())
}

fn move_member(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (from, to, member) = (word(request, 1)?, word(request, 2)?, word(request, 3)?);
    let keys = &mut context.store.keys;
    let is_there = match keys.collection::<Set>(from)? {
        None => false,
        Some(set) => {
            let is_there = set.contains(member);
            keys.collection::<Set>(to)?;
            is_there
        }
    };
    if is_there && from != to {
        let (_, is_gone) = take_out(keys, from, [member].into_iter())?;
        if !is_gone {
            keys.log(&[b"SREM", from, member]);
        }
        if insert(keys, to, [member].into_iter())? > 0 {
            keys.log(&[b"SADD", to, member]);
        }
    }
    context.reply.integer(i64::from(is_there));
    Ok(())
}

fn pop(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let key = word(request, 1)?;
    match request.len() {
        2 => {}
        3 => {
            let count = positive(request, 2)?;
            return pop_many(context, key, count);
        }
        _ => return Err(Error::Syntax),
    }
    let spare_bytes = context.store.spare_bytes();
    let (keys, mut random) = context.store.keys_and_random();
    let chosen = keys.collection::<Set>(key)?.and_then(|set| set.random(random()));
    let Some(member) = chosen else {
        context.reply.null();
        return Ok(());
    };
    if member.len() > LONG_BYTES && member.len() > spare_bytes / COPIES {
        return Err(Error::OutOfMemory);
    }
    let member = member.to_vec();
    let (_, is_gone) = take_out(keys, key, [&member[..]].into_iter())?;
    if !is_gone {
        keys.log(&[b"SREM", key, &member]);
    }
    context.reply.bulk(&member);
    Ok(())
}

/// Takes random members out, some at a time, so that what was chosen takes little memory.
fn pop_many(context: &mut Context<'_>, key: &[u8], count: usize) -> Result<(), Error> {
    let set = context.store.keys.collection::<Set>(key)?;
    let (len, bytes) = set.map_or((0, 0), |set| (set.len(), set.encoded_bytes()));
    if count >= len {
        write_all(context.reply, set);
        if !context.reply.is_incomplete() {
            context.store.keys.delete(key);
        }
        return Ok(());
    }
    if count > POPPED_AT_ONCE {
        // The reply, and a record in the log.
        let average_bytes = bytes / len as u64 + 1;
        context.store.check_reserve(2 * count * average_bytes as usize)?;
    }
    context.reply.set(count);
    let mut left = count;
    while left > 0 {
        let popped = pop_some(context, key, left.min(POPPED_AT_ONCE));
        if popped == 0 || context.reply.is_incomplete() {
            // What has gone is not in the reply.
            context.session.is_closing = true;
            return Err(Error::OutOfMemory);
        }
        left -= popped.min(left);
    }
    Ok(())
}

/// Takes up to `count` members out, fewer if they are long, and returns how many; 0 if there is no memory for
/// any.
fn pop_some(context: &mut Context<'_>, key: &[u8], count: usize) -> usize {
    let spare_bytes = context.store.spare_bytes();
    let (keys, random) = context.store.keys_and_random();
    let mut chosen: Vec<Vec<u8>> = Vec::new();
    if let Some(set) = keys.look::<Set>(key) {
        let one = |number| set.random(number);
        let mut bytes = 0;
        sample::distinct(count, set.len(), set.iter(), one, random, |member| {
            let len = member.len();
            // What is left out now may be chosen again.
            let is_short = len <= LONG_BYTES || len <= spare_bytes / COPIES;
            if is_short && (chosen.is_empty() || bytes + len <= LONG_BYTES) {
                bytes += len;
                chosen.push(member.to_vec());
            }
        });
    }
    if take_out(keys, key, chosen.iter().map(|member| &member[..])).is_err() {
        return 0;
    }
    let database = keys.selected();
    let mut parts = Parts::new(&mut keys.effects, database, "SREM", key);
    for member in &chosen {
        parts.add(&[member]);
        context.reply.bulk(member);
    }
    parts.write();
    chosen.len()
}

fn random(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    match request.len() {
        2 => {}
        3 => return random_many(context, request),
        _ => return Err(Error::Syntax),
    }
    let (keys, mut random) = context.store.keys_and_random();
    let set = keys.collection::<Set>(word(request, 1)?)?;
    let chosen = set.and_then(|set| set.random(random()));
    context.reply.bulk_or_null(chosen.as_deref());
    Ok(())
}

fn random_many(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (key, count) = (word(request, 1)?, Count::read(request, 2)?);
    let len = context.store.keys.collection::<Set>(key)?.map_or(0, Set::len);
    if len == 0 {
        context.reply.array(0);
        return Ok(());
    }
    count.check_memory(context, len)?;
    let (keys, mut random) = context.store.keys_and_random();
    let Some(set) = keys.look::<Set>(key) else { return Ok(()) };
    let reply = &mut *context.reply;
    if count.may_repeat {
        reply.array(count.count);
        (0..count.count).map_while(|_| set.random(random())).all(|member| {
            reply.bulk(&member);
            !reply.is_incomplete()
        });
    } else {
        reply.array(count.count.min(len));
        let one = |number| set.random(number);
        sample::distinct(count.count, len, set.iter(), one, random, |member| reply.bulk(&member));
    }
    Ok(())
}

fn scan(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let Some(options) = read_scan::<Set>(context, request)? else { return Ok(()) };
    let mut found = context.reply.part();
    let mut count = 0;
    let cursor = match context.store.keys.collection::<Set>(word(request, 1)?)? {
        None => 0,
        Some(set) => set.scan(options.cursor, options.count, |member| {
            if options.selects(member) {
                found.bulk(member);
                count += 1;
            }
        }),
    };
    write_scan(context, cursor, count, &found);
    Ok(())
}

const WRITE: Flags = Flags::WRITE.and(Flags::DENY_OOM);
const REMOVE: Flags = Flags::WRITE.and(Flags::FAST);
const FAST: Flags = Flags::READ.and(Flags::FAST);

/// The group.
#[rustfmt::skip]
pub(super) const GROUP: Group = Group {
    name: "set",
    commands: &[
        Command::new("sadd", -3, WRITE.and(Flags::FAST), Keys::ONE, add)
            .about("1.0.0", "O(N) with the number of members", "Adds members to a set."),
        Command::new("srem", -3, REMOVE, Keys::ONE, remove)
            .about("1.0.0", "O(N) with the number of members", "Removes members from a set."),
        Command::new("sismember", 3, FAST, Keys::ONE, is_member)
            .about("1.0.0", "O(1)", "Says whether a set has a member."),
        Command::new("smismember", -3, FAST, Keys::ONE, are_members)
            .about("6.2.0", "O(N) with the number of members", "Says which members a set has."),
        Command::new("smembers", 2, Flags::READ, Keys::ONE, members)
            .about("1.0.0", "O(N) with the size of the set", "Returns all members of a set."),
        Command::new("scard", 2, FAST, Keys::ONE, length)
            .about("1.0.0", "O(1)", "Returns the number of a set's members."),
        Command::new("spop", -2, REMOVE, Keys::ONE, pop)
            .about("1.0.0", "O(N) with the number of members returned", "Removes random members of a set and returns them."),
        Command::new("srandmember", -2, Flags::READ, Keys::ONE, random)
            .about("1.0.0", "O(N) with the number of members returned", "Returns random members of a set."),
        Command::new("smove", 4, REMOVE, Keys::TWO, move_member)
            .about("1.0.0", "O(1)", "Moves a member from one set to another."),
        Command::new("sscan", -3, Flags::READ, Keys::ONE, scan)
            .about("2.8.0", "O(1) for each call", "Returns some members of a set, and a cursor."),
        Command::new("sinter", -2, Flags::READ, Keys::ALL, algebra::intersection)
            .about("1.0.0", "O(N*M) with the size of the smallest set and the number of sets", "Returns the members that all sets have."),
        Command::new("sintercard", -3, Flags::READ.and(Flags::MOVABLE_KEYS), Keys::NONE, algebra::intersection_count)
            .about("7.0.0", "O(N*M) with the size of the smallest set and the number of sets", "Returns how many members all sets have, up to a limit."),
        Command::new("sinterstore", -3, WRITE, Keys::ALL, algebra::store_intersection)
            .about("1.0.0", "O(N*M) with the size of the smallest set and the number of sets", "Makes a set of the members that all sets have."),
        Command::new("sunion", -2, Flags::READ, Keys::ALL, algebra::union)
            .about("1.0.0", "O(N) with the members of all sets", "Returns the members that any of the sets has."),
        Command::new("sunionstore", -3, WRITE, Keys::ALL, algebra::store_union)
            .about("1.0.0", "O(N) with the members of all sets", "Makes a set of the members that any of the sets has."),
        Command::new("sdiff", -2, Flags::READ, Keys::ALL, algebra::difference)
            .about("1.0.0", "O(N) with the members of all sets", "Returns the members of a set that no other set has."),
        Command::new("sdiffstore", -3, WRITE, Keys::ALL, algebra::store_difference)
            .about("1.0.0", "O(N) with the members of all sets", "Makes a set of the members of a set that no other set has."),
    ],
};

#[cfg(test)]
mod tests;
