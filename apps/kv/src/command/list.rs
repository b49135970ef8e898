//! Lists, as far as nobody waits for them.

mod search;

use alloc::vec::Vec;

use super::argument::{integer, is, positive, range, word};
use super::pop::{self, Pop, SIDES};
use super::{Command, Context, Error, Flags, Group, Keys};
use crate::db::Keyspace;
use crate::frame::Request;
use crate::number::Decimal;
use crate::reply::Reply;
use crate::store::Store;
use crate::types::End;
use crate::types::list::List;

fn push_first(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    push(context, request, End::First)
}

fn push_last(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    push(context, request, End::Last)
}

fn push(context: &mut Context<'_>, request: Request<'_>, end: End) -> Result<(), Error> {
    let keys = &mut context.store.keys;
    let key = word(request, 1)?;
    let len = keys.edit_or_create(key, |_| List::new(), |list| (add_all(list, request, end), true));
    context.reply.count(len?);
    keys.log_request(request);
    Ok(())
}

fn push_first_if_present(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    push_if_present(context, request, End::First)
}

fn push_last_if_present(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    push_if_present(context, request, End::Last)
}

fn push_if_present(context: &mut Context<'_>, request: Request<'_>, end: End) -> Result<(), Error> {
    let keys = &mut context.store.keys;
    let len = keys.edit(word(request, 1)?, |list| (add_all(list, request, end), true))?;
    if len.is_some() {
        keys.log_request(request);
    }
    context.reply.count(len.unwrap_or(0));
    Ok(())
}

/// Adds the words behind the key, and returns how many elements there are then.
fn add_all(list: &mut List, request: Request<'_>, end: End) -> usize {
    request.iter().skip(2).for_each(|element| add(list, end, element));
    list.len()
}

fn add(list: &mut List, end: End, element: &[u8]) {
    match end {
        End::First => list.push_front(element),
        End::Last => list.push_back(element),
    }
}

fn remove(list: &mut List, end: End) -> Option<Vec<u8>> {
    match end {
        End::First => list.pop_front(),
        End::Last => list.pop_back(),
    }
}

const fn push_name(end: End) -> &'static [u8] {
    match end {
        End::First => b"LPUSH",
        End::Last => b"RPUSH",
    }
}

const fn pop_name(end: End) -> &'static [u8] {
    match end {
        End::First => b"LPOP",
        End::Last => b"RPOP",
    }
}

fn pop_first(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    pop(context, request, End::First, "lpop")
}

fn pop_last(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    pop(context, request, End::Last, "rpop")
}

fn pop(
    context: &mut Context<'_>,
    request: Request<'_>,
    end: End,
    name: &'static str,
) -> Result<(), Error> {
    let key = word(request, 1)?;
    let keys = &mut context.store.keys;
    match request.len() {
        2 => {
            if !take_one(keys, context.reply, key, end)? {
                context.reply.null();
            }
        }
        3 => {
            let count = positive(request, 2)?;
            if !take_some(keys, context.reply, key, end, count)? {
                context.reply.null_array();
            }
        }
        _ => return Err(Error::Arity(name)),
    }
    Ok(())
}

/// Takes an element from a list and replies it. `false`, and no reply, if there is no list.
pub(super) fn take_one(
    keys: &mut Keyspace,
    reply: &mut Reply,
    key: &[u8],
    end: End,
) -> Result<bool, Error> {
    let Some(element) = peek(keys, key, end)? else { return Ok(false) };
    reply.bulk(element);
    // Nothing is taken that nobody gets.
    if reply.is_incomplete() {
        return Err(Error::OutOfMemory);
    }
    drop_one(keys, key, end)?;
    Ok(true)
}

/// The element at an end of a list.
fn peek<'a>(keys: &'a mut Keyspace, key: &[u8], end: End) -> Result<Option<&'a [u8]>, Error> {
    Ok(keys.collection::<List>(key)?.and_then(|list| at_end(list, end)))
}

fn at_end(list: &List, end: End) -> Option<&[u8]> {
    match end {
        End::First => list.get(0),
        End::Last => list.get(list.len().checked_sub(1)?),
    }
}

/// Drops the element at an end of a list that is there.
fn drop_one(keys: &mut Keyspace, key: &[u8], end: End) -> Result<(), Error> {
    let is_empty = keys.edit(key, |list: &mut List| {
        let left = list.len() - 1;
        list.trim(usize::from(end == End::First), left);
        (list.is_empty(), true)
    })?;
    // That an empty list has gone is in the log already.
    if is_empty == Some(false) {
        keys.log(&[pop_name(end), key]);
    }
    Ok(())
}

/// Takes up to `count` elements from a list and replies an array of them. `false`, and no reply, if
/// there is no list.
pub(super) fn take_some(
    keys: &mut Keyspace,
    reply: &mut Reply,
    key: &[u8],
    end: End,
    count: usize,
) -> Result<bool, Error> {
    let Some(list) = keys.collection::<List>(key)? else { return Ok(false) };
    let len = list.len();
    let count = count.min(len);
    reply.array(count);
    match end {
        End::First => list.range(0, count).for_each(|element| reply.bulk(element)),
        End::Last => {
            list.range(len - count, count).rev().for_each(|element| reply.bulk(element));
        }
    }
    if reply.is_incomplete() {
        return Err(Error::OutOfMemory);
    }
    if count == len {
        keys.delete(key);
    } else if count > 0 {
        let start = if end == End::First { count } else { 0 };
        keys.edit(key, |list: &mut List| (list.trim(start, len - count), true))?;
        keys.log(&[pop_name(end), key, Decimal::of_unsigned(count as u64).as_bytes()]);
    }
    Ok(true)
}

fn pop_of_many(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let pop = Pop::read(request, 1, SIDES)?;
    if !take_of_many(context, request, &pop)? {
        context.reply.null_array();
    }
    Ok(())
}

/// Takes elements from the first of several lists that exists, and replies its name and them.
/// `false`, and no reply, if there is none.
pub(super) fn take_of_many(
    context: &mut Context<'_>,
    request: Request<'_>,
    pop: &Pop,
) -> Result<bool, Error> {
    for at in pop.keys.clone() {
        let key = word(request, at)?;
        if context.store.keys.contains(key) {
            context.reply.array(2);
            context.reply.bulk(key);
            return take_some(&mut context.store.keys, context.reply, key, pop.end, pop.count);
        }
    }
    Ok(false)
}

fn length(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let list = context.store.keys.collection::<List>(word(request, 1)?)?;
    context.reply.count(list.map_or(0, List::len));
    Ok(())
}

/// The index of an element that is counted from the end if it is negative.
fn index(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { index.checked_add(len as i64)? } else { index };
    usize::try_from(index).ok().filter(|index| *index < len)
}

fn get(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let element = match context.store.keys.collection::<List>(word(request, 1)?)? {
        Some(list) => index(integer(request, 2)?, list.len()).and_then(|index| list.get(index)),
        None => None,
    };
    context.reply.bulk_or_null(element);
    Ok(())
}

fn set(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let keys = &mut context.store.keys;
    let key = word(request, 1)?;
    let len = keys.collection::<List>(key)?.ok_or(Error::NoSuchKey)?.len();
    let index = index(integer(request, 2)?, len).ok_or(Error::Plain("index out of range"))?;
    let element = word(request, 3)?;
    keys.edit(key, |list: &mut List| (list.set(index, element), true))?;
    keys.log_request(request);
    context.reply.ok();
    Ok(())
}

fn insert(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let place = word(request, 2)?;
    let is_before = is(place, "BEFORE");
    if !is_before && !is(place, "AFTER") {
        return Err(Error::Syntax);
    }
    let (pivot, element) = (word(request, 3)?, word(request, 4)?);
    let keys = &mut context.store.keys;
    let inserted = keys.edit(word(request, 1)?, |list: &mut List| {
        let is_found = if is_before {
            list.insert_before(pivot, element)
        } else {
            list.insert_after(pivot, element)
        };
        (is_found.then(|| list.len()), is_found)
    })?;
    match inserted {
        None => context.reply.integer(0),
        Some(None) => context.reply.integer(-1),
        Some(Some(len)) => {
            keys.log_request(request);
            context.reply.count(len);
        }
    }
    Ok(())
}

fn get_range(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (start, stop) = (integer(request, 2)?, integer(request, 3)?);
    let Some(list) = context.store.keys.collection::<List>(word(request, 1)?)? else {
        context.reply.array(0);
        return Ok(());
    };
    let (start, len) = range(start, stop, list.len());
    context.reply.array(len);
    list.range(start, len).for_each(|element| context.reply.bulk(element));
    Ok(())
}

fn trim(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (start, stop) = (integer(request, 2)?, integer(request, 3)?);
    let keys = &mut context.store.keys;
    let key = word(request, 1)?;
    if let Some(list) = keys.collection::<List>(key)? {
        let before = list.len();
        let (start, len) = range(start, stop, before);
        if len == 0 {
            keys.delete(key);
        } else if len < before {
            keys.edit(key, |list: &mut List| (list.trim(start, len), true))?;
            keys.log_request(request);
        } else {
            // Who watches it is told even so, as in Redis.
            keys.changed(key);
        }
    }
    context.reply.ok();
    Ok(())
}

fn remove_equal(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (count, element) = (integer(request, 2)?, word(request, 3)?);
    let key = word(request, 1)?;
    let shared_bytes = context.store.keys.collection::<List>(key)?.map_or(0, List::shared_bytes);
    if shared_bytes > 0 {
        // A compaction has a snapshot, and each element may be in another of its nodes.
        context.store.check_reserve(shared_bytes)?;
    }
    let keys = &mut context.store.keys;
    let removed = keys.edit(key, |list: &mut List| {
        let removed = list.remove(count, element);
        (removed, removed > 0)
    })?;
    let removed = removed.unwrap_or(0);
    if removed > 0 {
        keys.log_request(request);
    }
    context.reply.count(removed);
    Ok(())
}

fn move_element(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let from = pop::end(word(request, 3)?, SIDES)?;
    let to = pop::end(word(request, 4)?, SIDES)?;
    move_from_to(context, request, from, to)
}

fn move_last_to_first(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    move_from_to(context, request, End::Last, End::First)
}

fn move_from_to(
    context: &mut Context<'_>,
    request: Request<'_>,
    from: End,
    to: End,
) -> Result<(), Error> {
    let (source, destination) = (word(request, 1)?, word(request, 2)?);
    move_one(context.store, context.reply, (source, from), (destination, to))
}

/// Takes an element from one list, puts it into another or the same, and replies it, or null.
pub(super) fn move_one(
    store: &mut Store,
    reply: &mut Reply,
    (source, from): (&[u8], End),
    (destination, to): (&[u8], End),
) -> Result<(), Error> {
    let Some(element) = peek(&mut store.keys, source, from)? else {
        reply.null();
        return Ok(());
    };
    reply.bulk(element);
    if reply.is_incomplete() {
        return Err(Error::OutOfMemory);
    }
    let len = element.len();
    // What is taken, what is put there, a record in the log, and what a snapshot keeps.
    store.check_reserve(4 * len)?;
    let keys = &mut store.keys;
    if source == destination {
        return turn(keys, source, from, to);
    }
    keys.collection::<List>(destination)?;
    let element = keys.look::<List>(source).and_then(|list| at_end(list, from));
    let Some(element) = element.map(<[u8]>::to_vec) else { return Ok(()) };
    drop_one(keys, source, from)?;
    keys.edit_or_create(destination, |_| List::new(), |list| (add(list, to, &element), true))?;
    keys.log(&[push_name(to), destination, &element]);
    Ok(())
}

/// Moves an element of a list to an end of it. A list of one element is never empty meanwhile, as it
/// would lose its expiry.
fn turn(keys: &mut Keyspace, key: &[u8], from: End, to: End) -> Result<(), Error> {
    let element = keys.edit(key, |list: &mut List| {
        let element = remove(list, from);
        if let Some(element) = &element {
            add(list, to, element);
        }
        (element, true)
    })?;
    let element = element.flatten();
    if let Some(element) = element.as_deref().filter(|_| from != to) {
        keys.log(&[push_name(to), key, element]);
        keys.log(&[pop_name(from), key]);
    }
    Ok(())
}

const WRITE: Flags = Flags::WRITE;
const FAST_WRITE: Flags = Flags::WRITE.and(Flags::FAST);
const GROW: Flags = Flags::WRITE.and(Flags::DENY_OOM);
const FAST_GROW: Flags = GROW.and(Flags::FAST);
const READ: Flags = Flags::READ;
const EACH: &str = "O(N) with the elements that are given";
const POPPED: &str = "O(N) with the elements that are popped";
const NODES: &str = "O(N) with the elements on the way from the nearer end, many at a time";

/// The group.
pub(super) const GROUP: Group = Group {
    name: "list",
    commands: &[
        Command::new("lpush", -3, FAST_GROW, Keys::ONE, push_first).about(
            "1.0.0",
            EACH,
            "Puts elements in front of a list, which is made if need be.",
        ),
        Command::new("rpush", -3, FAST_GROW, Keys::ONE, push_last).about(
            "1.0.0",
            EACH,
            "Puts elements behind a list, which is made if need be.",
        ),
        Command::new("lpushx", -3, FAST_GROW, Keys::ONE, push_first_if_present).about(
            "2.2.0",
            EACH,
            "Puts elements in front of a list that exists.",
        ),
        Command::new("rpushx", -3, FAST_GROW, Keys::ONE, push_last_if_present).about(
            "2.2.0",
            EACH,
            "Puts elements behind a list that exists.",
        ),
        Command::new("lpop", -2, FAST_WRITE, Keys::ONE, pop_first).about(
            "1.0.0",
            POPPED,
            "Takes elements from the front of a list.",
        ),
        Command::new("rpop", -2, FAST_WRITE, Keys::ONE, pop_last).about(
            "1.0.0",
            POPPED,
            "Takes elements from the end of a list.",
        ),
        Command::new("lmpop", -4, WRITE.and(Flags::MOVABLE_KEYS), Keys::NONE, pop_of_many).about(
            "7.0.0",
            "O(N+M) with the keys and the elements that are popped",
            "Takes elements from the first list that exists.",
        ),
        Command::new("llen", 2, READ.and(Flags::FAST), Keys::ONE, length).about(
            "1.0.0",
            "O(1)",
            "Returns how many elements a list has.",
        ),
        Command::new("lindex", 3, READ, Keys::ONE, get).about(
            "1.0.0",
            NODES,
            "Returns an element by its index.",
        ),
        Command::new("lset", 4, GROW, Keys::ONE, set).about(
            "1.0.0",
            NODES,
            "Replaces an element by its index.",
        ),
        Command::new("linsert", 5, GROW, Keys::ONE, insert).about(
            "2.2.0",
            "O(N) with the elements before the one that is named",
            "Puts an element before or after another.",
        ),
        Command::new("lrange", 4, READ, Keys::ONE, get_range).about(
            "1.0.0",
            "O(S+N) with the way to the start and the elements of the range",
            "Returns a range of elements.",
        ),
        Command::new("ltrim", 4, WRITE, Keys::ONE, trim).about(
            "1.0.0",
            "O(N) with the elements that are removed",
            "Removes all elements outside a range.",
        ),
        Command::new("lrem", 4, WRITE, Keys::ONE, remove_equal).about(
            "1.0.0",
            "O(N) with the elements of the list",
            "Removes elements that equal one.",
        ),
        Command::new("lpos", -3, READ, Keys::ONE, search::find).about(
            "6.0.6",
            "O(N) with the elements that are looked at",
            "Returns the indices of elements that equal one.",
        ),
        Command::new("lmove", 5, GROW, Keys::TWO, move_element).about(
            "6.2.0",
            "O(1)",
            "Takes an element from one list and puts it into another.",
        ),
        Command::new("rpoplpush", 3, GROW, Keys::TWO, move_last_to_first).about(
            "1.2.0",
            "O(1)",
            "Takes the last element of a list and puts it in front of another.",
        ),
    ],
};

#[cfg(test)]
mod tests;
