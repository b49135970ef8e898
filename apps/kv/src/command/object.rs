//! `OBJECT`: what there is to know of a key's value beside what it is.

use super::argument::word;
use super::subcommand::{self, Subcommand};
use super::{Context, Error};
use crate::db::record::{Record, View};
use crate::frame::Request;
use crate::reply::Reply;

/// Carries out `OBJECT`.
///
/// # Errors
/// If there is no such subcommand, or it fails.
pub(super) fn object(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    const HELP: &[&str] = &[
        "ENCODING <key>",
        "    The kind of representation of the value at a key.",
        "FREQ <key>",
        "    An error, as how often keys are used is not counted.",
        "IDLETIME <key>",
        "    Seconds since the key was last used.",
        "REFCOUNT <key>",
        "    Always 1, as values are not shared.",
    ];
    subcommand::run(context, request, SUBCOMMANDS, HELP)
}

/// What it can be asked.
pub(super) const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand::new("object|encoding", 3, encoding),
    Subcommand::new("object|freq", 3, frequency),
    Subcommand::new("object|idletime", 3, idle_time),
    Subcommand::new("object|refcount", 3, reference_count),
];

/// Writes what `tell` says of the key's record, at a time in seconds.
fn tell_of(
    context: &mut Context<'_>,
    request: Request<'_>,
    tell: impl FnOnce(&mut Reply, &Record, u32) -> Result<(), Error>,
) -> Result<(), Error> {
    let seconds = (context.store.keys.now_ms() / 1000) as u32;
    match context.store.keys.peek(word(request, 2)?) {
        None => context.reply.null(),
        Some(record) => tell(context.reply, record, seconds)?,
    }
    Ok(())
}

fn encoding(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    tell_of(context, request, |reply, record, _| {
        let encoding = match record.view() {
            View::String(bytes) => super::string::encoding(record, bytes),
            View::Other(value) => value.encoding(),
        };
        reply.bulk(encoding.as_bytes());
        Ok(())
    })
}

fn frequency(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    tell_of(context, request, |_, _, _| {
        Err(Error::Plain(
            "An LFU maxmemory policy is not selected, access frequency not tracked. Please note \
             that when switching between policies at runtime LRU and LFU data will take some time \
             to adjust.",
        ))
    })
}

fn idle_time(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    tell_of(context, request, |reply, record, seconds| {
        reply.integer(i64::from(record.idle_seconds(seconds)));
        Ok(())
    })
}

fn reference_count(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    tell_of(context, request, |reply, _, _| {
        reply.integer(1);
        Ok(())
    })
}
