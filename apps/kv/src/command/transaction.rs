//! Commands that are carried out together, and only if nothing changed that they depend on.
//!
//! Nothing comes between the commands of an `EXEC`, and their changes go to the log together, so that after a
//! crash there are all or none of them. What one of them fails at does not stop the others, as in Redis.

use alloc::boxed::Box;

use super::dispatch::{check_memory, memory_bytes, refuse, run};
use super::{Command, Context, Error, Flags, Group, Keys};
use crate::client::{Session, Transaction};
use crate::frame::Request;
use crate::store::Store;

/// What a watched key takes beside its name, about.
const WATCH_BYTES: usize = 160;

fn multi(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    if context.session.transaction.is_some() {
        return Err(Error::Plain("MULTI calls can not be nested"));
    }
    context.session.transaction = Some(Transaction::default());
    context.session.client.queued.set(Some(0));
    context.reply.ok();
    Ok(())
}

fn discard(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    if context.session.transaction.is_none() {
        return Err(Error::Plain("DISCARD without MULTI"));
    }
    end(context.store, context.session);
    context.reply.ok();
    Ok(())
}

/// Ends a transaction, and returns what it has.
pub(super) fn end(store: &mut Store, session: &mut Session) -> Option<Transaction> {
    let transaction = session.transaction.take();
    session.client.queued.set(None);
    store.unwatch(session);
    transaction
}

fn watch(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    if context.session.transaction.is_some() {
        return Err(Error::Plain("WATCH inside MULTI is not allowed"));
    }
    let bytes = request.iter().map(|key| 2 * key.len() + WATCH_BYTES).sum();
    context.store.check_reserve(bytes)?;
    let (keys, session) = (&mut context.store.keys, &mut *context.session);
    for key in request.iter().skip(1) {
        let entry = (session.database, Box::from(key));
        if session.watched.insert(entry) {
            // A key that has expired is gone now, rather than when it is looked at again.
            keys.contains(key);
            keys.watches.add(session.database, key, &session.broken);
        }
    }
    context.reply.ok();
    Ok(())
}

fn unwatch(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    context.store.unwatch(context.session);
    context.reply.ok();
    Ok(())
}

fn exec(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    if context.session.transaction.is_none() {
        return Err(Error::Plain("EXEC without MULTI"));
    }
    let is_broken = has_changed(context.store, context.session);
    let Some(transaction) = end(context.store, context.session) else { return Ok(()) };
    if transaction.is_aborted {
        let text = "EXECABORT Transaction discarded because of previous errors.";
        return Err(Error::Coded(text));
    }
    if is_broken {
        context.reply.null_array();
        return Ok(());
    }
    let bytes = check_queue(context.store, &transaction).map_err(Error::aborted)?;
    promise(context, bytes);
    context.session.is_executing = true;
    context.reply.array(transaction.queue.len());
    for request in &transaction.queue {
        let start = context.reply.len();
        let result = step(context, request.as_request());
        context.store.stats.commands += 1;
        if let Err(error) = result {
            refuse(context.store, context.reply, start, error);
        }
    }
    promise(context, 0);
    context.session.is_executing = false;
    // Subcommands have said that it was them.
    context.session.client.command.set("exec");
    Ok(())
}

/// Whether a watched key changed, if only because its time is over.
fn has_changed(store: &mut Store, session: &Session) -> bool {
    let selected = store.keys.selected();
    for (database, key) in &session.watched {
        store.keys.select(*database);
        store.keys.contains(key);
    }
    store.keys.select(selected);
    session.broken.get()
}

/// Whether there is room for all that was kept: it was there when it came, and may be gone since. The bytes
/// for commands that must find memory.
fn check_queue(store: &mut Store, transaction: &Transaction) -> Result<usize, Error> {
    let (mut flags, mut bytes, mut promised_bytes) = (Flags::NONE, 0, 0);
    for request in &transaction.queue {
        let request = request.as_request();
        let command = store.command(request.get(0).unwrap_or_default());
        let Some(command) = command.filter(|command| command.flags.has(Flags::WRITE)) else {
            continue;
        };
        flags = flags.and(command.flags);
        bytes += memory_bytes(request);
        promised_bytes += promised(command, request);
    }
    check_memory(store, flags, bytes)?;
    Ok(promised_bytes)
}

/// What a command is promised in front of the others, so that it need not be refused between them.
fn promised(command: &Command, request: Request<'_>) -> usize {
    if command.flags.has(Flags::DENY_OOM) { memory_bytes(request) } else { 0 }
}

/// Keeps so much memory from all that can be refused, for the commands that follow.
fn promise(context: &mut Context<'_>, bytes: usize) {
    context.store.promised_bytes = bytes;
    context.reply.keep_free(bytes);
}

fn step(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let name = request.get(0).unwrap_or_default();
    // It was there when it was kept, and commands do not go.
    let command = context.store.command(name).ok_or(Error::Syntax)?;
    let left = context.store.promised_bytes.saturating_sub(promised(command, request));
    promise(context, left);
    run(context, command, request)
}

/// The group.
pub(super) const GROUP: Group = Group {
    name: "transactions",
    commands: &[
        Command::new("multi", 1, Flags::FAST, Keys::NONE, multi).about(
            "1.2.0",
            "O(1)",
            "Begins a transaction: what follows is kept for EXEC.",
        ),
        Command::new("exec", 1, Flags::SKIP_LOG, Keys::NONE, exec).about(
            "1.2.0",
            "As its commands",
            "Carries out the commands of a transaction together.",
        ),
        Command::new("discard", 1, Flags::FAST, Keys::NONE, discard).about(
            "2.0.0",
            "O(N) with the watched keys",
            "Gives a transaction up.",
        ),
        Command::new("watch", -2, Flags::FAST, Keys::ALL, watch).about(
            "2.2.0",
            "O(1) a key",
            "Lets EXEC do nothing if one of the keys has changed by then.",
        ),
        Command::new("unwatch", 1, Flags::FAST, Keys::NONE, unwatch).about(
            "2.2.0",
            "O(N) with the watched keys",
            "Forgets all watched keys.",
        ),
    ],
};

#[cfg(test)]
mod tests;
