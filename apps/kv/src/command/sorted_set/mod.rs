//! Sorted sets: their members and scores one by one.
//!
//! | module | duty |
//! |---|---|
//! | `add` | `ZADD` and its options |
//! | `range` | which members a range means, and what is done with them |
//! | `pop` | taking members from an end |
//! | `combine` | unions, intersections and differences |
//! | `table` | the descriptions of all |
//!
//! The log learns which members have which scores, and which are gone, not how they were chosen: what a rank or a
//! score means depends on all members.

mod add;
mod combine;
mod pop;
mod range;
mod table;

use alloc::vec::Vec;
use core::ops::Range;

use super::argument::{is, word};
use super::hash::read_scan;
use super::sample::{self, Count};
use super::scan::write_scan;
use super::{Context, Error};
use crate::db::Keyspace;
use crate::db::copy::Parts;
use crate::db::dict::scale;
use crate::frame::Request;
use crate::number::format_float;
use crate::reply::{Protocol, Reply};
use crate::types::sorted_set::SortedSet;
pub(super) use pop::{Shape, take};
pub(super) use table::GROUP;

/// Members that are removed at once.
const REMOVED_AT_ONCE: usize = 256;
/// What a member takes in memory beside what the log needs for it, at most about.
const MEMBER_BYTES: usize = 64;

fn collection<'a>(
    context: &'a mut Context<'_>,
    request: Request<'_>,
) -> Result<Option<&'a SortedSet>, Error> {
    context.store.keys.collection(word(request, 1)?)
}

/// Writes members, and their scores if they are wanted: in pairs in RESP3, one after the other in RESP2.
fn write_members<'a>(
    reply: &mut Reply,
    members: impl ExactSizeIterator<Item = (&'a [u8], f64)>,
    with_scores: bool,
) {
    let in_pairs = with_scores && reply.protocol() == Protocol::Resp3;
    let is_flat = with_scores && !in_pairs;
    reply.array(if is_flat { 2 * members.len() } else { members.len() });
    for (member, score) in members {
        if in_pairs {
            reply.array(2);
        }
        reply.bulk(member);
        if with_scores {
            reply.double(score);
        }
    }
}

/// Removes the members with these ranks, and tells the log. All of them must be there.
fn remove_ranks(keys: &mut Keyspace, key: &[u8], ranks: Range<usize>) -> Result<usize, Error> {
    let len = keys.collection::<SortedSet>(key)?.map_or(0, SortedSet::len);
    if ranks.is_empty() {
        return Ok(0);
    }
    if ranks.len() == len {
        // What is large is freed in the background.
        keys.delete(key);
        return Ok(len);
    }
    let mut left = ranks.len();
    while left > 0 {
        let count = left.min(REMOVED_AT_ONCE);
        let mut members: Vec<Vec<u8>> = Vec::with_capacity(count);
        keys.edit(key, |set: &mut SortedSet| {
            let chunk = ranks.start..ranks.start + count;
            (set.remove_range(chunk, |member, _| members.push(member.to_vec())), true)
        })?;
        let database = keys.selected();
        let mut parts = Parts::new(&mut keys.effects, database, "ZREM", key);
        members.iter().for_each(|member| parts.add(&[member]));
        parts.write();
        left -= count;
    }
    Ok(ranks.len())
}

fn remove(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let keys = &mut context.store.keys;
    let removed = keys.edit(word(request, 1)?, |set: &mut SortedSet| {
        let members = request.iter().skip(2);
        let removed = members.filter(|member| set.remove(member).is_some()).count();
        ((removed, set.is_empty()), removed > 0)
    })?;
    let (removed, is_empty) = removed.unwrap_or((0, true));
    // That an empty set has gone is in the log already.
    if removed > 0 && !is_empty {
        keys.log_request(request);
    }
    context.reply.count(removed);
    Ok(())
}

fn score(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let member = word(request, 2)?;
    let score = collection(context, request)?.and_then(|set| set.score(member));
    write_score(context.reply, score);
    Ok(())
}

fn scores(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let set = context.store.keys.collection::<SortedSet>(word(request, 1)?)?;
    context.reply.array(request.len() - 2);
    for member in request.iter().skip(2) {
        write_score(context.reply, set.and_then(|set| set.score(member)));
    }
    Ok(())
}

fn write_score(reply: &mut Reply, score: Option<f64>) {
    match score {
        Some(score) => reply.double(score),
        None => reply.null(),
    }
}

fn length(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let len = collection(context, request)?.map_or(0, SortedSet::len);
    context.reply.count(len);
    Ok(())
}

fn rank(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    tell_rank(context, request, "zrank", |rank, _| rank)
}

fn reverse_rank(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    tell_rank(context, request, "zrevrank", |rank, len| len - 1 - rank)
}

/// Tells a rank as `tell` has it, given it and the number of members.
fn tell_rank(
    context: &mut Context<'_>,
    request: Request<'_>,
    name: &'static str,
    tell: impl FnOnce(usize, usize) -> usize,
) -> Result<(), Error> {
    let member = word(request, 2)?;
    let with_score = match (request.get(3), request.len()) {
        (None, _) => false,
        (Some(option), 4) if is(option, "WITHSCORE") => true,
        (Some(_), 4) => return Err(Error::Syntax),
        _ => return Err(Error::Arity(name)),
    };
    let found = collection(context, request)?
        .and_then(|set| Some((tell(set.rank(member)?, set.len()), set.score(member)?)));
    let reply = &mut *context.reply;
    match (found, with_score) {
        (Some((rank, _)), false) => reply.count(rank),
        (None, false) => reply.null(),
        (Some((rank, score)), true) => {
            reply.array(2);
            reply.count(rank);
            reply.double(score);
        }
        (None, true) => reply.null_array(),
    }
    Ok(())
}

fn random(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let key = word(request, 1)?;
    if request.len() == 2 {
        let (keys, mut random) = context.store.keys_and_random();
        let number = random();
        let set = keys.collection::<SortedSet>(key)?;
        let member = set.and_then(|set| set.random(number)).map(|(member, _)| member);
        context.reply.bulk_or_null(member);
        return Ok(());
    }
    let count = Count::read(request, 2)?;
    let with_scores = match (request.get(3), request.len()) {
        (None, _) => false,
        (Some(option), 4) if is(option, "WITHSCORES") => true,
        _ => return Err(Error::Syntax),
    };
    if with_scores && count.count > i64::MAX as usize / 2 {
        return Err(Error::Plain("value is out of range"));
    }
    random_members(context, key, count, with_scores)
}

fn random_members(
    context: &mut Context<'_>,
    key: &[u8],
    count: Count,
    with_scores: bool,
) -> Result<(), Error> {
    let len = context.store.keys.collection::<SortedSet>(key)?.map_or(0, SortedSet::len);
    if len == 0 {
        context.reply.array(0);
        return Ok(());
    }
    count.check_memory(context, len)?;
    let (keys, mut random) = context.store.keys_and_random();
    let Some(set) = keys.look::<SortedSet>(key) else { return Ok(()) };
    if count.may_repeat {
        let members = (0..count.count).map(|_| set.random(random()).unwrap_or_default());
        write_members(context.reply, members, with_scores);
    } else {
        let mut ranks: Vec<usize> = Vec::new();
        let one = |number| Some(scale(number, len));
        sample::distinct(count.count, len, 0..len, one, random, |rank| ranks.push(rank));
        let members = ranks.into_iter().map(|rank| set.get(rank).unwrap_or_default());
        write_members(context.reply, members, with_scores);
    }
    Ok(())
}

fn scan(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let Some(options) = read_scan::<SortedSet>(context, request)? else { return Ok(()) };
    let mut found = context.reply.part();
    let (mut count, mut cursor) = (0, 0);
    if let Some(set) = collection(context, request)? {
        cursor = set.scan(options.cursor, options.count, |member, score| {
            if options.selects(member) {
                found.bulk(member);
                found.bulk(format_float(score).as_bytes());
                count += 2;
            }
        });
    }
    write_scan(context, cursor, count, &found);
    Ok(())
}

#[cfg(test)]
mod tests;
