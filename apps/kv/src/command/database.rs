//! Databases: choosing, exchanging, emptying and counting them, and moving keys between them.

use super::argument::{integer, is, word};
use super::key::check_whole;
use super::{Command, Context, Error, Flags, Group, Keys};
use crate::db::DATABASES;
use crate::frame::Request;

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
const FAST_READ: Flags = Flags::READ.and(Flags::FAST);

/// What Redis counts to the keys.
pub(super) const KEYS: Group = Group {
    name: "generic",
    commands: &[Command::new("move", 3, FAST_WRITE, Keys::ONE, move_to_database).about(
        "1.0.0",
        "O(1)",
        "Moves a key to another database.",
    )],
};

/// What it counts to the server.
pub(super) const SERVER: Group = Group {
    name: "server",
    commands: &[
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
        Command::new("swapdb", 3, FAST_WRITE, Keys::NONE, swap_databases).about(
            "4.0.0",
            "O(1)",
            "Exchanges two databases.",
        ),
    ],
};

/// What it counts to the connection.
pub(super) const CONNECTION: Group = Group {
    name: "connection",
    commands: &[Command::new("select", 2, Flags::FAST, Keys::NONE, select).about(
        "1.0.0",
        "O(1)",
        "Chooses the database for the commands that follow.",
    )],
};
