//! Talking to the server about the connection itself: passwords, the protocol, and whether anyone is there.

use core::hint::black_box;

use super::argument::{is, word};
use super::client::{self, set_name};
use super::error::shown;
use super::{Command, Context, Error, Flags, Group, Keys};
use crate::client::Replies;
use crate::config::{Config, REDIS_VERSION};
use crate::frame::Request;
use crate::number;
use crate::reply::Protocol;

/// The only user.
const USER: &str = "default";
const WRONG_PASSWORD: Error =
    Error::Coded("WRONGPASS invalid username-password pair or user is disabled.");

fn ping(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    if request.len() > 2 {
        return Err(Error::Arity("ping"));
    }
    let text = request.get(1);
    if context.session.only_listens(context.reply.protocol()) {
        context.reply.array(2);
        context.reply.bulk(b"pong");
        context.reply.bulk(text.unwrap_or_default());
        return Ok(());
    }
    match text {
        Some(text) => context.reply.bulk(text),
        None => context.reply.status("PONG"),
    }
    Ok(())
}

fn echo(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    context.reply.bulk(word(request, 1)?);
    Ok(())
}

fn quit(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    context.session.is_closing = true;
    context.reply.ok();
    Ok(())
}

fn reset(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    let (store, session) = (&mut *context.store, &mut *context.session);
    session.transaction = None;
    session.client.queued.set(None);
    store.unwatch(session);
    store.unsubscribe_all(session);
    session.database = 0;
    session.client.database.set(0);
    session.replies = Replies::On;
    session.no_touch = false;
    session.is_authenticated = store.config.password.is_empty();
    session.client.name.take();
    set_protocol(context, Protocol::Resp2);
    context.reply.status("RESET");
    Ok(())
}

fn auth(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (user, password) = match request.len() {
        2 if context.store.config.password.is_empty() => {
            return Err(Error::Plain(
                "AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?",
            ));
        }
        2 => (USER.as_bytes(), word(request, 1)?),
        3 => (word(request, 1)?, word(request, 2)?),
        _ => return Err(Error::Syntax),
    };
    if !is_allowed(&context.store.config, user, password) {
        return Err(WRONG_PASSWORD);
    }
    context.session.is_authenticated = true;
    context.reply.ok();
    Ok(())
}

fn is_allowed(config: &Config, user: &[u8], password: &[u8]) -> bool {
    user == USER.as_bytes() && (config.password.is_empty() || is_same(&config.password, password))
}

/// Whether two passwords are the same, in a time that tells nothing of ours.
fn is_same(ours: &[u8], given: &[u8]) -> bool {
    let mut difference = ours.len() ^ given.len();
    for (at, byte) in given.iter().enumerate() {
        let other = ours.get(at % ours.len().max(1)).copied().unwrap_or_default();
        difference = black_box(difference | usize::from(byte ^ other));
    }
    difference == 0
}

/// What `HELLO` asks for.
struct Hello<'a> {
    protocol: Option<Protocol>,
    login: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

fn hello(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let wanted = read_hello(request)?;
    if let Some((user, password)) = wanted.login {
        if !is_allowed(&context.store.config, user, password) {
            return Err(WRONG_PASSWORD);
        }
        context.session.is_authenticated = true;
    }
    if !context.session.is_authenticated {
        return Err(Error::Coded(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
             <proto> AUTH <user> <pass> option can be used to authenticate the client and select \
             the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = wanted.name {
        set_name(context, name)?;
    }
    if let Some(protocol) = wanted.protocol {
        set_protocol(context, protocol);
    }
    let version = if context.reply.protocol() == Protocol::Resp3 { 3 } else { 2 };
    let (id, reply) = (context.session.client.id, &mut *context.reply);
    reply.map(7);
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.integer(version);
    reply.bulk(b"id");
    reply.count(id as usize);
    reply.bulk(b"mode");
    reply.bulk(b"standalone");
    reply.bulk(b"role");
    reply.bulk(b"master");
    reply.bulk(b"modules");
    reply.array(0);
    Ok(())
}

fn read_hello(request: Request<'_>) -> Result<Hello<'_>, Error> {
    let mut hello = Hello { protocol: None, login: None, name: None };
    let Some(version) = request.get(1) else { return Ok(hello) };
    hello.protocol = match number::integer(version) {
        Some(2) => Some(Protocol::Resp2),
        Some(3) => Some(Protocol::Resp3),
        Some(_) => return Err(Error::Coded("NOPROTO unsupported protocol version")),
        None => return Err(Error::Plain("Protocol version is not an integer or out of range")),
    };
    let mut at = 2;
    while let Some(option) = request.get(at) {
        match (request.get(at + 1), request.get(at + 2)) {
            (Some(user), Some(password)) if is(option, "AUTH") => {
                hello.login = Some((user, password));
                at += 3;
            }
            (Some(name), _) if is(option, "SETNAME") => {
                client::check_name(name)?;
                hello.name = Some(name);
                at += 2;
            }
            _ => {
                let option = shown(option, 128);
                return Err(Error::Text(alloc::format!("Syntax error in HELLO option '{option}'")));
            }
        }
    }
    Ok(hello)
}

fn set_protocol(context: &mut Context<'_>, protocol: Protocol) {
    context.session.client.protocol.set(protocol);
    context.reply.set_protocol(protocol);
}

const ANYONE: Flags = Flags::FAST.and(Flags::NO_AUTH);

/// The group.
pub(super) const GROUP: Group = Group {
    name: "connection",
    commands: &[
        Command::new("ping", -1, Flags::FAST, Keys::NONE, ping).about(
            "1.0.0",
            "O(1)",
            "Answers PONG, or what was sent with it.",
        ),
        Command::new("echo", 2, Flags::FAST, Keys::NONE, echo).about(
            "1.0.0",
            "O(1)",
            "Returns its argument.",
        ),
        Command::new("quit", -1, ANYONE, Keys::NONE, quit).about(
            "1.0.0",
            "O(1)",
            "Ends the connection.",
        ),
        Command::new("reset", 1, ANYONE, Keys::NONE, reset).about(
            "6.2.0",
            "O(1)",
            "Makes the connection as it was at its beginning.",
        ),
        Command::new("hello", -1, ANYONE.and(Flags::SKIP_LOG), Keys::NONE, hello).about(
            "6.0.0",
            "O(1)",
            "Chooses the version of the protocol, and tells about the server.",
        ),
        Command::new("auth", -2, ANYONE.and(Flags::SKIP_LOG), Keys::NONE, auth).about(
            "1.0.0",
            "O(1)",
            "Gives the password.",
        ),
        Command::new("client", -2, Flags::NONE, Keys::NONE, client::client)
            .about(
                "2.4.0",
                "O(1), or O(N) with the number of clients",
                "Tells about clients, and changes how they are treated.",
            )
            .with(client::SUBCOMMANDS),
    ],
};

#[cfg(test)]
mod tests;
