//! `CLIENT`: who is connected, and how a client is treated.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::net::SocketAddr;
use core::time::Duration;

use super::argument::{integer, is, word};
use super::error::shown;
use super::subcommand::{self, Subcommand};
use super::{Context, Error};
use crate::client::{Client, Replies};
use crate::frame::Request;
use crate::number;
use crate::reply::Protocol;

/// What one client takes in a list, at most about, without its names.
const LINE_BYTES: usize = 400;

/// Carries out `CLIENT`.
///
/// # Errors
/// If there is no such subcommand, or it fails.
pub(super) fn client(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    subcommand::run(context, request, SUBCOMMANDS, HELP)
}

/// What it can be asked.
pub(super) const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand::new("client|id", 2, id),
    Subcommand::new("client|info", 2, info),
    Subcommand::new("client|list", -2, list),
    Subcommand::new("client|setname", 3, set_name_of),
    Subcommand::new("client|getname", 2, get_name),
    Subcommand::new("client|setinfo", 4, set_info),
    Subcommand::new("client|reply", 3, replies),
    Subcommand::new("client|kill", -3, kill),
    Subcommand::new("client|no-evict", 3, no_evict),
    Subcommand::new("client|no-touch", 3, no_touch),
    Subcommand::new("client|unblock", -3, unblock),
    Subcommand::new("client|pause", -3, pause),
    Subcommand::new("client|unpause", 2, unpause),
    Subcommand::new("client|tracking", -3, tracking),
    Subcommand::new("client|caching", 3, caching),
    Subcommand::new("client|getredir", 2, get_redirection),
    Subcommand::new("client|trackinginfo", 2, tracking_info),
];

/// The longest name that a client gives itself. All that are shown are in one text.
const TEXT_BYTES_MAX: usize = 64 << 10;

const HELP: &[&str] = &[
    "GETNAME",
    "    The name of this connection.",
    "GETREDIR",
    "    Always -1, as there is no tracking.",
    "ID",
    "    The number of this connection.",
    "INFO",
    "    What LIST says of this connection.",
    "KILL <ip:port>",
    "    Ends the connection from there.",
    "KILL <option> <value> [<option> <value> ...]",
    "    Ends all connections that fit: ID, ADDR, LADDR, TYPE (NORMAL|PUBSUB), USER, MAXAGE;",
    "    SKIPME (YES|NO) says whether this one is left out (default: yes).",
    "LIST [TYPE (NORMAL|PUBSUB) | ID <id> [<id> ...]]",
    "    The connections.",
    "NO-EVICT (ON|OFF)",
    "    Accepted; no connection is ended to free memory for data.",
    "NO-TOUCH (ON|OFF)",
    "    Whether looking at keys does not count as using them.",
    "REPLY (ON|OFF|SKIP)",
    "    Whether replies are sent.",
    "SETINFO (LIB-NAME|LIB-VER) <text>",
    "    Says which library the client uses.",
    "SETNAME <name>",
    "    Gives this connection a name.",
    "TRACKINGINFO",
    "    Says that tracking is off.",
    "UNBLOCK <id> [TIMEOUT|ERROR]",
    "    Ends the waiting of a client.",
];

fn id(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    context.reply.count(context.session.client.id as usize);
    Ok(())
}

fn info(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    let mut text = String::new();
    describe(&mut text, &context.session.client, context.store.now);
    context.reply.verbatim(&text);
    Ok(())
}

/// What sort of client, as `TYPE` says it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    PubSub,
    /// There are none: masters and replicas.
    Absent,
}

impl Kind {
    fn read(name: &[u8]) -> Result<Self, Error> {
        match () {
            () if is(name, "NORMAL") => Ok(Self::Normal),
            () if is(name, "PUBSUB") => Ok(Self::PubSub),
            () if is(name, "MASTER") || is(name, "REPLICA") || is(name, "SLAVE") => {
                Ok(Self::Absent)
            }
            () => {
                let name = shown(name, 128);
                Err(Error::Text(alloc::format!("Unknown client type '{name}'")))
            }
        }
    }

    fn of(client: &Client) -> Self {
        if client.is_subscriber() { Self::PubSub } else { Self::Normal }
    }
}

fn list(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (store, option) = (&*context.store, request.get(2));
    let mut text = String::new();
    match option {
        None => {
            for client in store.clients.values() {
                add_line(&mut text, client, store.now)?;
            }
        }
        Some(option) if is(option, "TYPE") && request.len() == 4 => {
            let kind = Kind::read(word(request, 3)?)?;
            for client in store.clients.values().filter(|client| Kind::of(client) == kind) {
                add_line(&mut text, client, store.now)?;
            }
        }
        Some(option) if is(option, "ID") && request.len() > 3 => {
            let ids = request.iter().skip(3).map(|word| {
                number::integer(word)
                    .and_then(|id| u64::try_from(id).ok())
                    .ok_or(Error::Plain("Invalid client ID"))
            });
            for id in ids.collect::<Result<Vec<u64>, Error>>()? {
                if let Some(client) = store.clients.get(&id) {
                    add_line(&mut text, client, store.now)?;
                }
            }
        }
        Some(_) => return Err(Error::Syntax),
    }
    context.reply.verbatim(&text);
    Ok(())
}

/// Adds what is known of a client to a list that may be long.
fn add_line(text: &mut String, client: &Client, now: Duration) -> Result<(), Error> {
    let library = client.library.borrow();
    let bytes = LINE_BYTES + client.name.borrow().len() + library.0.len() + library.1.len();
    text.try_reserve(bytes).map_err(|_| Error::OutOfMemory)?;
    describe(text, client, now);
    Ok(())
}

fn describe(text: &mut String, client: &Client, now: Duration) {
    let name = client.name.borrow();
    let library = client.library.borrow();
    let (channels, patterns) = client.subscriptions.get();
    let (input_bytes, output_bytes) = client.buffers_bytes.get();
    let mail_bytes = client.mailbox.borrow().len();
    let mut flags = String::new();
    for (holds, flag) in [
        (client.is_subscriber(), 'P'),
        (client.queued.get().is_some(), 'x'),
        (client.is_blocked.get(), 'b'),
        (client.is_killed(), 'A'),
    ] {
        if holds {
            flags.push(flag);
        }
    }
    if flags.is_empty() {
        flags.push('N');
    }
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "id={} addr={} laddr={} fd=0 name={} age={} idle={} flags={flags} db={} sub={channels} \
         psub={patterns} ssub={} multi={} qbuf={input_bytes} qbuf-free=0 argv-mem=0 multi-mem=0 \
         rbs=0 rbp=0 obl={output_bytes} oll={} omem={mail_bytes} tot-mem={} events=r cmd={} \
         user=default redir=-1 resp={} lib-name={} lib-ver={}",
        client.id,
        client.peer,
        client.local,
        shown(&name, name.len()),
        now.saturating_sub(client.since).as_secs(),
        now.saturating_sub(client.active.get()).as_secs(),
        client.database.get(),
        client.shard_subscriptions.get(),
        client.queued.get().map_or(-1, |queued| i64::try_from(queued).unwrap_or(i64::MAX)),
        usize::from(mail_bytes > 0),
        size_of::<Client>() + input_bytes + output_bytes + mail_bytes,
        client.command.get(),
        if client.protocol.get() == Protocol::Resp3 { 3 } else { 2 },
        shown(&library.0, library.0.len()),
        shown(&library.1, library.1.len()),
    );
}

/// Checks that a name can be one of a client.
///
/// # Errors
/// If it cannot.
pub(super) fn check_name(name: &[u8]) -> Result<(), Error> {
    if name.iter().all(u8::is_ascii_graphic) {
        return Ok(());
    }
    Err(Error::Plain("Client names cannot contain spaces, newlines or special characters."))
}

/// Gives the client a name.
///
/// # Errors
/// If the name cannot be one, or there is no memory for it.
pub(super) fn set_name(context: &mut Context<'_>, name: &[u8]) -> Result<(), Error> {
    check_name(name)?;
    context.session.client.name.replace(kept(context, name)?);
    Ok(())
}

/// A copy of a text for the time of a connection.
fn kept(context: &Context<'_>, text: &[u8]) -> Result<Box<[u8]>, Error> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Error::Plain("names of clients and libraries have at most 65536 bytes"));
    }
    context.store.check_reserve(text.len())?;
    Ok(text.into())
}

fn set_name_of(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    set_name(context, word(request, 2)?)?;
    context.reply.ok();
    Ok(())
}

fn get_name(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    let name = context.session.client.name.borrow();
    context.reply.bulk_or_null(Some(&**name).filter(|name| !name.is_empty()));
    Ok(())
}

fn set_info(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (attribute, text) = (word(request, 2)?, word(request, 3)?);
    let is_name = is(attribute, "LIB-NAME");
    if !is_name && !is(attribute, "LIB-VER") {
        let attribute = shown(attribute, 128);
        return Err(Error::Text(alloc::format!("Unrecognized option '{attribute}'")));
    }
    if !text.iter().all(u8::is_ascii_graphic) {
        return Err(Error::Text(alloc::format!(
            "{} cannot contain spaces, newlines or special characters.",
            shown(attribute, 128)
        )));
    }
    let text = kept(context, text)?;
    let mut library = context.session.client.library.borrow_mut();
    if is_name {
        library.0 = text;
    } else {
        library.1 = text;
    }
    context.reply.ok();
    Ok(())
}

fn replies(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let mode = word(request, 2)?;
    let session = &mut *context.session;
    if is(mode, "ON") {
        session.replies = Replies::On;
        context.reply.ok();
    } else if is(mode, "OFF") {
        session.replies = Replies::Off;
    } else if is(mode, "SKIP") {
        if session.replies != Replies::Off {
            session.replies = Replies::SkipNext;
        }
    } else {
        return Err(Error::Syntax);
    }
    Ok(())
}

/// Which clients `CLIENT KILL` means.
#[derive(Default)]
struct Filter {
    id: Option<u64>,
    peer: Option<SocketAddr>,
    local: Option<SocketAddr>,
    kind: Option<Kind>,
    older_than: Option<Duration>,
    skips_me: bool,
    /// An address that is none, and fits nobody.
    is_nobody: bool,
}

impl Filter {
    fn read(request: Request<'_>) -> Result<Self, Error> {
        let mut filter = Self { skips_me: true, ..Self::default() };
        let mut at = 2;
        while let Some(option) = request.get(at) {
            let value = request.get(at + 1).ok_or(Error::Syntax)?;
            filter.add(option, value)?;
            at += 2;
        }
        Ok(filter)
    }

    fn add(&mut self, option: &[u8], value: &[u8]) -> Result<(), Error> {
        let positive = |text| {
            let number = number::integer(value).and_then(|number| u64::try_from(number).ok());
            number.filter(|number| *number > 0).ok_or(Error::Plain(text))
        };
        if is(option, "ID") {
            self.id = Some(positive("client-id should be greater than 0")?);
        } else if is(option, "ADDR") {
            self.peer = address(value);
            self.is_nobody |= self.peer.is_none();
        } else if is(option, "LADDR") {
            self.local = address(value);
            self.is_nobody |= self.local.is_none();
        } else if is(option, "TYPE") {
            self.kind = Some(Kind::read(value)?);
        } else if is(option, "MAXAGE") {
            let seconds = positive("maxage is not an integer or out of range")?;
            self.older_than = Some(Duration::from_secs(seconds));
        } else if is(option, "USER") {
            if value != b"default" {
                let user = shown(value, 128);
                return Err(Error::Text(alloc::format!("No such user '{user}'")));
            }
        } else if is(option, "SKIPME") {
            self.skips_me = match () {
                () if is(value, "YES") => true,
                () if is(value, "NO") => false,
                () => return Err(Error::Syntax),
            };
        } else {
            return Err(Error::Syntax);
        }
        Ok(())
    }

    fn fits(&self, client: &Client, now: Duration) -> bool {
        !self.is_nobody
            && self.id.is_none_or(|id| client.id == id)
            && self.peer.is_none_or(|peer| client.peer == peer)
            && self.local.is_none_or(|local| client.local == local)
            && self.kind.is_none_or(|kind| Kind::of(client) == kind)
            && self.older_than.is_none_or(|age| now.saturating_sub(client.since) >= age)
    }
}

fn address(text: &[u8]) -> Option<SocketAddr> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

fn kill(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let is_old_form = request.len() == 3;
    let filter = if is_old_form {
        let peer = address(word(request, 2)?).ok_or(Error::Plain("No such client"))?;
        Filter { peer: Some(peer), ..Filter::default() }
    } else {
        Filter::read(request)?
    };
    let (own_id, now) = (context.session.client.id, context.store.now);
    let mut killed = 0;
    for client in context.store.clients.values() {
        let is_me = client.id == own_id;
        if client.is_killed() || (is_me && filter.skips_me) || !filter.fits(client, now) {
            continue;
        }
        killed += 1;
        if is_me {
            // The reply still goes out.
            context.session.is_closing = true;
        } else {
            client.kill();
        }
    }
    match (is_old_form, killed) {
        (true, 0) => return Err(Error::Plain("No such client")),
        (true, _) => context.reply.ok(),
        (false, _) => context.reply.count(killed),
    }
    Ok(())
}

/// Whether a word says on or off.
fn switch(word: &[u8]) -> Result<bool, Error> {
    match () {
        () if is(word, "ON") => Ok(true),
        () if is(word, "OFF") => Ok(false),
        () => Err(Error::Syntax),
    }
}

fn no_evict(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    switch(word(request, 2)?)?;
    context.reply.ok();
    Ok(())
}

fn no_touch(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    context.session.no_touch = switch(word(request, 2)?)?;
    context.reply.ok();
    Ok(())
}

fn unblock(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let id = integer(request, 2)?;
    let with_error = match request.get(3) {
        None => false,
        Some(reason) if is(reason, "TIMEOUT") => false,
        Some(reason) if is(reason, "ERROR") => true,
        Some(_) => {
            return Err(Error::Plain("CLIENT UNBLOCK reason should be TIMEOUT or ERROR"));
        }
    };
    let id = u64::try_from(id).unwrap_or_default();
    let is_unblocked = context.store.blocked.unblock(id, with_error);
    context.reply.integer(i64::from(is_unblocked));
    Ok(())
}

fn pause(_context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    Err(Error::Plain("CLIENT PAUSE is not offered"))
}

fn unpause(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    context.reply.ok();
    Ok(())
}

fn tracking(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    if switch(word(request, 2)?)? {
        return Err(Error::Plain("CLIENT TRACKING is not offered: clients are told of no changes"));
    }
    context.reply.ok();
    Ok(())
}

fn caching(_context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    Err(Error::Plain(
        "CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT \
         mode enabled",
    ))
}

fn get_redirection(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    context.reply.integer(-1);
    Ok(())
}

fn tracking_info(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    let reply = &mut *context.reply;
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(1);
    reply.bulk(b"off");
    reply.bulk(b"redirect");
    reply.integer(-1);
    reply.bulk(b"prefixes");
    reply.array(0);
    Ok(())
}
