//! Carrying out a request: who may, whether now or with `EXEC`, and what has to be there for it.

use alloc::format;
use alloc::string::String;

use super::argument::is;
use super::error::shown;
use super::{Command, Context, Error, Flags, refused, subcommand, transaction};
use crate::client::{Session, Transaction};
use crate::frame::{Owned, Request};
use crate::reply::Reply;
use crate::store::Store;

/// Bytes of arguments that an error shows.
const SHOWN_BYTES: usize = 128;
/// Arguments that take more are looked at before any command copies them.
const LONG_BYTES: usize = 64 << 10;
/// Commands that end a transaction, or belong to it, and are not kept for later.
const NEVER_QUEUED: [&str; 6] = ["exec", "discard", "multi", "watch", "quit", "reset"];

/// Carries out a request of at least one word, and writes its reply.
pub fn execute(store: &mut Store, session: &mut Session, reply: &mut Reply, request: Request<'_>) {
    let start = reply.len();
    session.client.command.set("NULL");
    let mut context = Context { store, session, reply };
    let result = admit(&mut context, request).and_then(|command| {
        context.session.client.command.set(command.name);
        if queues(context.session, command) {
            return queue(&mut context, request);
        }
        run(&mut context, command, request)
    });
    store.stats.commands += 1;
    if let Err(error) = result {
        refuse(store, reply, start, error);
    }
}

/// Runs a command that was admitted; also for transactions.
///
/// # Errors
/// If it did nothing.
pub fn run(
    context: &mut Context<'_>,
    command: &Command,
    request: Request<'_>,
) -> Result<(), Error> {
    let start = context.reply.len();
    context.store.keys.select(context.session.database);
    context.store.keys.is_not_touching = context.session.no_touch;
    let result = (command.run)(context, request);
    if result.is_ok() && context.reply.is_incomplete() {
        context.reply.truncate(start);
        // What was done is not undone, and must not seem to be.
        context.session.is_closing |=
            command.flags.has(Flags::WRITE) || command.flags.has(Flags::PUBSUB);
        return Err(Error::Coded("OOM the reply does not fit into memory"));
    }
    result
}

/// Writes an error in the place of what a command has written of its reply.
pub fn refuse(store: &mut Store, reply: &mut Reply, start: usize, error: Error) {
    store.stats.errors += 1;
    *store.stats.errors_by_code.entry(error.code()).or_default() += 1;
    reply.truncate(start);
    reply.error(error);
}

/// The command that is meant, if it can be carried out now. A refusal aborts the client's transaction.
fn admit(context: &mut Context<'_>, request: Request<'_>) -> Result<&'static Command, Error> {
    let result = find(context.store, request).and_then(|command| {
        check(context, command, request)?;
        Ok(command)
    });
    let Err(error) = result else { return result };
    if let Some(transaction) = &mut context.session.transaction {
        transaction.is_aborted = true;
    }
    // Keys are no longer watched then, whether there is a transaction or not.
    if request.get(0).is_some_and(|name| is(name, "EXEC")) {
        transaction::end(context.store, context.session);
        return Err(error.aborted());
    }
    Err(error)
}

fn find(store: &Store, request: Request<'_>) -> Result<&'static Command, Error> {
    let name = request.get(0).unwrap_or_default();
    let command = store.command(name).ok_or_else(|| unknown(name, request))?;
    if !command.takes(request.len()) {
        return Err(Error::Arity(command.name));
    }
    subcommand::check(command, request)?;
    Ok(command)
}

fn check(context: &mut Context<'_>, command: &Command, request: Request<'_>) -> Result<(), Error> {
    let (store, session) = (&mut *context.store, &mut *context.session);
    session.is_authenticated |= store.config.password.is_empty();
    if !session.is_authenticated && !command.flags.has(Flags::NO_AUTH) {
        return Err(Error::Coded("NOAUTH Authentication required."));
    }
    if session.only_listens(context.reply.protocol()) && !listens(command) {
        let name = command.name;
        return Err(Error::Text(format!(
            "Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET \
             are allowed in this context"
        )));
    }
    if session.transaction.is_some() && command.flags.has(Flags::NO_MULTI) {
        return Err(Error::Plain("Command not allowed inside a transaction"));
    }
    let bytes = memory_bytes(request);
    if bytes > LONG_BYTES {
        // Whatever a command does with what it was given, a copy of it finds memory.
        store.check_reserve(bytes)?;
    }
    check_memory(store, command.flags, bytes)
}

/// Memory that the arguments of a command may come to take, about.
pub(super) fn memory_bytes(request: Request<'_>) -> usize {
    request.iter().map(|word| 2 * word.len() + 64).sum()
}

/// Whether there is room for commands with such flags, and arguments that take so much.
pub(super) fn check_memory(store: &mut Store, flags: Flags, bytes: usize) -> Result<(), Error> {
    if flags.has(Flags::DENY_OOM) {
        store.make_room(bytes)?;
        store.check_log(bytes)?;
    } else if flags.has(Flags::WRITE) {
        store.check_removal(bytes)?;
    }
    Ok(())
}

fn listens(command: &Command) -> bool {
    matches!(
        command.name,
        "subscribe"
            | "unsubscribe"
            | "psubscribe"
            | "punsubscribe"
            | "ssubscribe"
            | "sunsubscribe"
            | "ping"
            | "quit"
            | "reset"
    )
}

fn queues(session: &Session, command: &Command) -> bool {
    session.transaction.is_some() && !NEVER_QUEUED.contains(&command.name)
}

fn queue(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (store, session) = (&*context.store, &mut *context.session);
    if let Some(transaction) = &mut session.transaction {
        let result = keep(store, transaction, request);
        // A command that is missing must not be missed by the others only.
        transaction.is_aborted |= result.is_err();
        session.client.queued.set(Some(transaction.queue.len()));
        result?;
    }
    context.reply.status("QUEUED");
    Ok(())
}

/// Keeps a request for `EXEC`, if there is memory.
fn keep(store: &Store, transaction: &mut Transaction, request: Request<'_>) -> Result<(), Error> {
    let queue = &mut transaction.queue;
    let bytes = request.kept_bytes();
    // What is full is copied into twice the room.
    let grows = queue.len() == queue.capacity();
    let moved_bytes = if grows { 3 * queue.len() * size_of::<Owned>() } else { 0 };
    store.check_reserve(bytes + moved_bytes)?;
    queue.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
    queue.push(request.try_to_owned().ok_or(Error::OutOfMemory)?);
    transaction.bytes += bytes;
    Ok(())
}

fn unknown(name: &[u8], request: Request<'_>) -> Error {
    if let Some(error) = refused::error(name) {
        return error;
    }
    let mut arguments = String::new();
    for word in request.iter().skip(1) {
        if arguments.len() >= SHOWN_BYTES {
            break;
        }
        let left = SHOWN_BYTES - arguments.len();
        arguments.push_str(&format!("'{}' ", shown(word, left)));
    }
    let name = shown(name, SHOWN_BYTES);
    Error::Text(format!("unknown command '{name}', with args beginning with: {arguments}"))
}
