//! Intersections, unions and differences of sets, as replies and as sets of their own.

use alloc::vec::Vec;

use crate::command::argument::{integer, is, word};
use crate::command::{Context, Error};
use crate::db::dict::Hasher;
use crate::db::value::Value;
use crate::frame::Request;
use crate::store::Store;
use crate::types::set::{Limits, Set};

/// What is made for a reply, whatever memory there is.
const UNCHECKED_BYTES: usize = 16 << 10;

/// What is made of sets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Intersection,
    Union,
    Difference,
}

pub(super) fn intersection(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    write(context, request, Operation::Intersection)
}

pub(super) fn union(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    write(context, request, Operation::Union)
}

pub(super) fn difference(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    write(context, request, Operation::Difference)
}

pub(super) fn store_intersection(
    context: &mut Context<'_>,
    request: Request<'_>,
) -> Result<(), Error> {
    store(context, request, Operation::Intersection)
}

pub(super) fn store_union(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    store(context, request, Operation::Union)
}

pub(super) fn store_difference(
    context: &mut Context<'_>,
    request: Request<'_>,
) -> Result<(), Error> {
    store(context, request, Operation::Difference)
}

pub(super) fn intersection_count(
    context: &mut Context<'_>,
    request: Request<'_>,
) -> Result<(), Error> {
    let count = integer(request, 1).ok().and_then(|count| usize::try_from(count).ok());
    let count =
        count.filter(|count| *count > 0).ok_or(Error::Plain("numkeys should be greater than 0"))?;
    if count > request.len() - 2 {
        return Err(Error::Plain("Number of keys can't be greater than number of args"));
    }
    let limit = read_limit(request, 2 + count)?;
    let keys = request.iter().skip(2).take(count);
    check_types(context, keys.clone())?;
    let mut found = 0;
    each_common(&sets(context.store, keys), |_| {
        found += 1;
        found != limit
    });
    context.reply.count(found);
    Ok(())
}

/// The `LIMIT` of a count; 0 for none.
fn read_limit(request: Request<'_>, mut at: usize) -> Result<usize, Error> {
    let mut limit = 0;
    while let Some(option) = request.get(at) {
        if !is(option, "LIMIT") || at + 1 >= request.len() {
            return Err(Error::Syntax);
        }
        limit = integer(request, at + 1)
            .ok()
            .and_then(|limit| usize::try_from(limit).ok())
            .ok_or(Error::Plain("LIMIT can't be negative"))?;
        at += 2;
    }
    Ok(limit)
}

/// Looks at all keys, so that they count as used, and have gone if they have expired.
fn check_types<'a>(
    context: &mut Context<'_>,
    mut keys: impl Iterator<Item = &'a [u8]>,
) -> Result<(), Error> {
    keys.try_for_each(|key| context.store.keys.collection::<Set>(key).map(drop))
}

/// The sets at keys that [`check_types`] has looked at.
fn sets<'a, 'k>(store: &'a Store, keys: impl Iterator<Item = &'k [u8]>) -> Vec<Option<&'a Set>> {
    keys.map(|key| store.keys.look(key)).collect()
}

fn write(
    context: &mut Context<'_>,
    request: Request<'_>,
    operation: Operation,
) -> Result<(), Error> {
    let keys = request.iter().skip(1);
    check_types(context, keys.clone())?;
    let sets = sets(context.store, keys);
    let hasher = context.store.keys.hasher();
    let bytes = made_bytes(operation, &sets);
    if bytes > UNCHECKED_BYTES {
        context.store.check_reserve(bytes)?;
    }
    let open = context.reply.open();
    let mut count = 0;
    let reply = &mut *context.reply;
    each(operation, &sets, hasher, |member| {
        reply.bulk(member);
        count += 1;
        !reply.is_incomplete()
    });
    reply.close_set(open, count);
    Ok(())
}

fn store(
    context: &mut Context<'_>,
    request: Request<'_>,
    operation: Operation,
) -> Result<(), Error> {
    let to = word(request, 1)?;
    let keys = request.iter().skip(2);
    check_types(context, keys.clone())?;
    let sets = sets(context.store, keys);
    let hasher = context.store.keys.hasher();
    context.store.check_room(made_bytes(operation, &sets) + result_bytes(operation, &sets))?;
    let result = match operation {
        Operation::Union => union_of(&sets, hasher),
        Operation::Intersection | Operation::Difference => {
            let mut result = Set::new();
            each(operation, &sets, hasher, |member| {
                result.insert(member, &hasher, &Limits::DEFAULT);
                true
            });
            result
        }
    };
    let count = result.len();
    context.store.keys.put(to, Value::Set(result), None);
    context.store.keys.log_whole(to);
    context.reply.count(count);
    Ok(())
}

/// What the sets that an operation makes on its way take at most.
fn made_bytes(operation: Operation, sets: &[Option<&Set>]) -> usize {
    match operation {
        Operation::Intersection => 0,
        Operation::Union | Operation::Difference => result_bytes(operation, sets),
    }
}

/// What the result takes at most, as a set and as a record in the log.
fn result_bytes(operation: Operation, sets: &[Option<&Set>]) -> usize {
    let bytes = |set: &Option<&Set>| {
        set.map_or(0, |set| set.memory_bytes() + 2 * set.encoded_bytes() as usize)
    };
    match operation {
        Operation::Intersection => sets.iter().map(bytes).min().unwrap_or(0),
        Operation::Union => sets.iter().map(bytes).sum(),
        Operation::Difference => sets.first().map_or(0, bytes),
    }
}

/// Shows each member of the result, as long as `show` wants more.
fn each(
    operation: Operation,
    sets: &[Option<&Set>],
    hasher: Hasher,
    mut show: impl FnMut(&[u8]) -> bool,
) {
    match operation {
        Operation::Intersection => each_common(sets, show),
        Operation::Difference => each_of_first(sets, hasher, show),
        Operation::Union => {
            union_of(sets, hasher).iter().all(|member| show(&member));
        }
    }
}

/// Looks for the members of the smallest set in the others.
fn each_common(sets: &[Option<&Set>], mut show: impl FnMut(&[u8]) -> bool) {
    let Some(mut sets) = sets.iter().copied().collect::<Option<Vec<&Set>>>() else { return };
    sets.sort_by_key(|set| set.len());
    let Some((smallest, others)) = sets.split_first() else { return };
    for member in smallest.iter() {
        if others.iter().all(|other| other.contains(&member)) && !show(&member) {
            break;
        }
    }
}

fn union_of(sets: &[Option<&Set>], hasher: Hasher) -> Set {
    let mut union = Set::new();
    for set in sets.iter().flatten() {
        set.for_each(|member| {
            union.insert(member, &hasher, &Limits::DEFAULT);
        });
    }
    union
}

/// Looks for the members of the first set in the others, or takes those of the others out of a copy of
/// it, whichever is less work.
fn each_of_first(sets: &[Option<&Set>], hasher: Hasher, mut show: impl FnMut(&[u8]) -> bool) {
    let Some((Some(first), others)) = sets.split_first() else { return };
    let mut others: Vec<&Set> = others.iter().flatten().copied().collect();
    let in_others: usize = others.iter().map(|set| set.len()).sum();
    // A member that is found in one set is not looked for in the rest.
    if first.len().saturating_mul(others.len()) / 2 <= first.len().saturating_add(in_others) {
        others.sort_by_key(|set| core::cmp::Reverse(set.len()));
        for member in first.iter() {
            if !others.iter().any(|other| other.contains(&member)) && !show(&member) {
                break;
            }
        }
        return;
    }
    let mut rest = union_of(&[Some(first)], hasher);
    for other in others {
        other.for_each(|member| {
            rest.remove(member);
        });
    }
    rest.iter().all(|member| show(&member));
}
