//! Taking members from an end of a sorted set.

use super::super::argument::{positive, word};
use super::super::pop::{EXTREMES, Pop};
use super::super::{Context, Error};
use crate::db::Keyspace;
use crate::frame::Request;
use crate::reply::{Protocol, Reply};
use crate::types::End;
use crate::types::sorted_set::SortedSet;

/// How members with their scores are replied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Shape {
    /// One after the other, without a head.
    Bare,
    /// An array of members and scores in turn.
    Flat,
    /// An array of pairs.
    Pairs,
}

/// Takes up to `count` members from a sorted set and replies them with their scores. `false`, and no reply,
/// if there is none.
pub(in super::super) fn take(
    keys: &mut Keyspace,
    reply: &mut Reply,
    key: &[u8],
    end: End,
    count: usize,
    shape: Shape,
) -> Result<bool, Error> {
    let Some(set) = keys.collection::<SortedSet>(key)? else { return Ok(false) };
    let len = set.len();
    let count = count.min(len);
    match shape {
        Shape::Bare => {}
        Shape::Flat => reply.array(2 * count),
        Shape::Pairs => reply.array(count),
    }
    let mut write = |(member, score): (&[u8], f64)| {
        if shape == Shape::Pairs {
            reply.array(2);
        }
        reply.bulk(member);
        reply.double(score);
    };
    let ranks = match end {
        End::First => 0..count,
        End::Last => len - count..len,
    };
    let members = set.range_by_rank(ranks.start, count);
    match end {
        End::First => members.for_each(&mut write),
        End::Last => members.rev().for_each(&mut write),
    }
    if reply.is_incomplete() {
        return Err(Error::OutOfMemory);
    }
    super::remove_ranks(keys, key, ranks)?;
    Ok(true)
}

pub(super) fn pop_lowest(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    pop(context, request, End::First)
}

pub(super) fn pop_highest(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    pop(context, request, End::Last)
}

fn pop(context: &mut Context<'_>, request: Request<'_>, end: End) -> Result<(), Error> {
    let (count, shape) = match request.len() {
        2 => (1, Shape::Flat),
        3 if context.reply.protocol() == Protocol::Resp3 => (positive(request, 2)?, Shape::Pairs),
        3 => (positive(request, 2)?, Shape::Flat),
        _ => return Err(Error::Syntax),
    };
    let key = word(request, 1)?;
    if !take(&mut context.store.keys, context.reply, key, end, count, shape)? {
        context.reply.array(0);
    }
    Ok(())
}

pub(super) fn pop_of_many(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let pop = Pop::read(request, 1, EXTREMES)?;
    let keys = &mut context.store.keys;
    for at in pop.keys {
        let key = word(request, at)?;
        if keys.contains(key) {
            context.reply.array(2);
            context.reply.bulk(key);
            take(keys, context.reply, key, pop.end, pop.count, Shape::Pairs)?;
            return Ok(());
        }
    }
    context.reply.null_array();
    Ok(())
}
