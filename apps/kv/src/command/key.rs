//! Keys, whatever they hold: whether they are there, their names, and how they are kept.

use super::argument::{is, word};
use super::database::database_number;
use super::{Command, Context, Error, Flags, Group, Keys, object};
use crate::db::record::{Record, View};
use crate::frame::Request;
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

pub(super) fn type_name(record: &Record) -> &'static str {
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
pub(super) fn check_whole(store: &mut Store, key: &[u8]) -> Result<(), Error> {
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

fn touch(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    exists(context, request)
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
        Command::new("object", -2, READ, Keys::range(2, 2, 1), object::object)
            .about("2.2.3", "O(1)", "Tells how a value is kept.")
            .with(object::SUBCOMMANDS),
    ],
};

#[cfg(test)]
mod tests;
