//! Commands that wait until a list or a sorted set has something, and what happens when it has.
//!
//! Who waits is served when the command, or the transaction, that brought something is over. A key is looked
//! at once for each time that it changed, and who has waited longest for it gets from it first.
//! What was changed by serving is looked at afterwards; as every client is served once, this ends.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::mem;
use core::ops::Range;
use core::time::Duration;

use super::argument::word;
use super::list;
use super::pop::{self, EXTREMES, Pop, SIDES};
use super::sorted_set::{self, Shape};
use super::{Command, Context, Error, Flags, Group, Keys};
use crate::blocked::{Kind, Waiter, Wanted};
use crate::db::record::{Record, View};
use crate::db::value::Value;
use crate::frame::Request;
use crate::number;
use crate::reply::Reply;
use crate::store::Store;
use crate::types::End;

/// A longer time is for ever, as a clock that counts nanoseconds may not hold it.
const TIMEOUT_MAX_MS: u64 = 1 << 42;
/// What a key takes that is waited for, beside its bytes.
const KEY_BYTES: usize = 256;

/// Gives clients that wait what has come for them.
pub(crate) fn serve_blocked(store: &mut Store) {
    if !store.keys.has_waiters {
        store.keys.ready.clear();
        return;
    }
    if mem::take(&mut store.keys.has_swapped) {
        let keys = store.blocked.keys().map(|(database, key)| (database, key.into()));
        store.keys.ready.extend(keys);
    }
    let selected = store.keys.selected();
    while !store.keys.ready.is_empty() {
        for (database, key) in mem::take(&mut store.keys.ready) {
            store.keys.select(database);
            serve_key(store, &key);
        }
    }
    store.keys.select(selected);
    store.keys.has_waiters = !store.blocked.is_empty();
}

/// Gives away what a key of the selected database has, as long as somebody waits for it.
fn serve_key(store: &mut Store, key: &[u8]) {
    let database = store.keys.selected();
    while let Some(kind) = store.keys.peek(key).and_then(kind)
        && let Some(waiter) = store.blocked.first(database, kind, key).cloned()
    {
        store.blocked.remove(&waiter);
        // Nothing goes to a client that is as good as gone.
        let client = store.clients.get(&waiter.client);
        if client.is_none_or(|client| client.is_killed()) {
            continue;
        }
        let mut reply = store.reply(waiter.protocol);
        if let Err(error) = serve(store, &mut reply, key, &waiter.wanted) {
            store.stats.errors += 1;
            reply.truncate(0);
            reply.error(error);
        }
        waiter.answer(reply.into_bytes());
    }
}

fn kind(record: &Record) -> Option<Kind> {
    match record.view() {
        View::Other(Value::List(_)) => Some(Kind::List),
        View::Other(Value::SortedSet(_)) => Some(Kind::SortedSet),
        _ => None,
    }
}

/// Takes what is wanted from a key that has it, and replies it.
fn serve(store: &mut Store, reply: &mut Reply, key: &[u8], wanted: &Wanted) -> Result<(), Error> {
    let keys = &mut store.keys;
    match wanted {
        Wanted::Element(end) => {
            reply.array(2);
            reply.bulk(key);
            list::take_one(keys, reply, key, *end)?;
        }
        Wanted::Elements(end, count) => {
            reply.array(2);
            reply.bulk(key);
            list::take_some(keys, reply, key, *end, *count)?;
        }
        Wanted::Move { from, to, destination } => {
            list::move_one(store, reply, (key, *from), (destination, *to))?;
        }
        Wanted::Member(end) => {
            reply.array(3);
            reply.bulk(key);
            sorted_set::take(keys, reply, key, *end, 1, Shape::Bare)?;
        }
        Wanted::Members(end, count) => {
            reply.array(2);
            reply.bulk(key);
            sorted_set::take(keys, reply, key, *end, *count, Shape::Pairs)?;
        }
    }
    Ok(())
}

/// Serves the client from the first of its keys that exists, or lets it wait if there is none.
fn serve_or_wait(
    context: &mut Context<'_>,
    request: Request<'_>,
    places: Range<usize>,
    wanted: Wanted,
    timeout: Option<Duration>,
) -> Result<(), Error> {
    for at in places.clone() {
        let key = word(request, at)?;
        if let Some(record) = context.store.keys.peek(key) {
            if kind(record) != Some(wanted.kind()) {
                return Err(Error::WrongType);
            }
            return serve(context.store, context.reply, key, &wanted);
        }
    }
    if context.session.is_executing {
        match wanted {
            Wanted::Move { .. } => context.reply.null(),
            _ => context.reply.null_array(),
        }
        return Ok(());
    }
    let words = || request.iter().skip(places.start).take(places.len());
    context.store.check_reserve(words().map(|key| key.len() + KEY_BYTES).sum())?;
    let keys: Vec<Rc<[u8]>> = words().map(Rc::from).collect();
    let client = &context.session.client;
    let mut waiter = Waiter::new(client.id, keys, wanted);
    waiter.database = context.session.database;
    waiter.timeout = timeout;
    waiter.protocol = context.reply.protocol();
    let waiter = Rc::new(waiter);
    client.is_blocked.set(true);
    context.store.blocked.add(&waiter);
    context.store.keys.has_waiters = true;
    context.session.waiter = Some(waiter);
    Ok(())
}

/// The time in the word at a place, in seconds; `None` for ever.
fn timeout(request: Request<'_>, at: usize) -> Result<Option<Duration>, Error> {
    let seconds = number::float(word(request, at)?)
        .ok_or(Error::Plain("timeout is not a float or out of range"))?;
    let ms = seconds * 1000.0;
    if ms >= i64::MAX as f64 {
        return Err(Error::Plain("timeout is out of range"));
    }
    if ms <= -1.0 {
        return Err(Error::Plain("timeout is negative"));
    }
    // Rounded up, as Redis does, so that only 0 is for ever. What is just below 0 is 0 too.
    let whole = ms as u64;
    let ms = whole + u64::from(ms > whole as f64);
    Ok((1..TIMEOUT_MAX_MS).contains(&ms).then(|| Duration::from_millis(ms)))
}

fn pop_first(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    pop_one(context, request, Wanted::Element(End::First))
}

fn pop_last(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    pop_one(context, request, Wanted::Element(End::Last))
}

fn pop_one(context: &mut Context<'_>, request: Request<'_>, wanted: Wanted) -> Result<(), Error> {
    let last = request.len() - 1;
    let timeout = timeout(request, last)?;
    serve_or_wait(context, request, 1..last, wanted, timeout)
}

fn pop_elements(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let Pop { keys, end, count } = Pop::read(request, 2, SIDES)?;
    let timeout = timeout(request, 1)?;
    serve_or_wait(context, request, keys, Wanted::Elements(end, count), timeout)
}

fn pop_lowest(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    pop_one(context, request, Wanted::Member(End::First))
}

fn pop_highest(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    pop_one(context, request, Wanted::Member(End::Last))
}

fn pop_members(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let Pop { keys, end, count } = Pop::read(request, 2, EXTREMES)?;
    let timeout = timeout(request, 1)?;
    serve_or_wait(context, request, keys, Wanted::Members(end, count), timeout)
}

fn move_element(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let from = pop::end(word(request, 3)?, SIDES)?;
    let to = pop::end(word(request, 4)?, SIDES)?;
    move_one(context, request, from, to, 5)
}

fn move_last_to_first(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    move_one(context, request, End::Last, End::First, 3)
}

fn move_one(
    context: &mut Context<'_>,
    request: Request<'_>,
    from: End,
    to: End,
    timeout_at: usize,
) -> Result<(), Error> {
    let timeout = timeout(request, timeout_at)?;
    let destination = Box::from(word(request, 2)?);
    serve_or_wait(context, request, 1..2, Wanted::Move { from, to, destination }, timeout)
}

const WAIT: Flags = Flags::WRITE.and(Flags::BLOCKING);
const WAIT_AND_GROW: Flags = WAIT.and(Flags::DENY_OOM);
const WAIT_FOR_MANY: Flags = WAIT.and(Flags::MOVABLE_KEYS);
const KEYS: Keys = Keys::range(1, -2, 1);
const EACH: &str = "O(N) with the keys";

/// Those of lists.
pub(super) const LISTS: Group = Group {
    name: "list",
    commands: &[
        Command::new("blpop", -3, WAIT, KEYS, pop_first).about(
            "2.0.0",
            EACH,
            "Takes the first element of a list, and waits until there is one.",
        ),
        Command::new("brpop", -3, WAIT, KEYS, pop_last).about(
            "2.0.0",
            EACH,
            "Takes the last element of a list, and waits until there is one.",
        ),
        Command::new("blmpop", -5, WAIT_FOR_MANY, Keys::NONE, pop_elements).about(
            "7.0.0",
            "O(N+M) with the keys and the elements that are popped",
            "Takes elements of the first list that exists, and waits until there is one.",
        ),
        Command::new("blmove", 6, WAIT_AND_GROW, Keys::TWO, move_element).about(
            "6.2.0",
            "O(1)",
            "Moves an element from one list to another, and waits until there is one.",
        ),
        Command::new("brpoplpush", 4, WAIT_AND_GROW, Keys::TWO, move_last_to_first).about(
            "2.2.0",
            "O(1)",
            "Moves the last element of a list to the front of another, and waits until there is one.",
        ),
    ],
};

/// Those of sorted sets.
pub(super) const SORTED_SETS: Group = Group {
    name: "sorted-set",
    commands: &[
        Command::new("bzpopmin", -3, WAIT.and(Flags::FAST), KEYS, pop_lowest).about(
            "5.0.0",
            "O(log N)",
            "Takes the member with the lowest score, and waits until there is one.",
        ),
        Command::new("bzpopmax", -3, WAIT.and(Flags::FAST), KEYS, pop_highest).about(
            "5.0.0",
            "O(log N)",
            "Takes the member with the highest score, and waits until there is one.",
        ),
        Command::new("bzmpop", -5, WAIT_FOR_MANY, Keys::NONE, pop_members).about(
            "7.0.0",
            "O(K + M log N) with the keys and the members that are popped",
            "Takes members of the first sorted set that exists, and waits until there is one.",
        ),
    ],
};

#[cfg(test)]
mod tests;
