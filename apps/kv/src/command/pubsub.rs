//! Channels: listening to them, and sending to who listens.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::argument::{pattern, word};
use super::subcommand::{self, Subcommand};
use super::{Command, Context, Error, Flags, Group, Keys};
use crate::client::Session;
use crate::frame::Request;
use crate::glob;
use crate::pubsub::{Listeners, PubSub};

/// What one subscription takes beside its name, at most about.
const SUBSCRIPTION_BYTES: usize = 600;

/// What is listened to.
#[derive(Clone, Copy)]
enum Kind {
    Channel,
    Pattern,
    Shard,
}

impl Kind {
    fn parts<'a>(
        self,
        session: &'a mut Session,
        pubsub: &'a mut PubSub,
    ) -> (&'a mut BTreeSet<Box<[u8]>>, &'a mut Listeners) {
        match self {
            Self::Channel => (&mut session.channels, &mut pubsub.channels),
            Self::Pattern => (&mut session.patterns, &mut pubsub.patterns),
            Self::Shard => (&mut session.shard_channels, &mut pubsub.shard_channels),
        }
    }

    /// What a client is told that it listens to in all; shards count for themselves.
    fn count(self, session: &Session) -> usize {
        match self {
            Self::Channel | Self::Pattern => session.subscriptions(),
            Self::Shard => session.shard_channels.len(),
        }
    }
}

fn subscribe(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    listen(context, request, Kind::Channel, "subscribe")
}

fn subscribe_to_pattern(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    listen(context, request, Kind::Pattern, "psubscribe")
}

fn subscribe_to_shard(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    listen(context, request, Kind::Shard, "ssubscribe")
}

fn listen(
    context: &mut Context<'_>,
    request: Request<'_>,
    kind: Kind,
    word: &str,
) -> Result<(), Error> {
    if matches!(kind, Kind::Pattern) {
        (1..request.len()).try_for_each(|at| pattern(request, at).map(drop))?;
    }
    let bytes = request.iter().map(|name| 2 * name.len() + SUBSCRIPTION_BYTES).sum();
    context.store.check_reserve(bytes)?;
    let client = context.session.client.clone();
    for name in request.iter().skip(1) {
        let (names, listeners) = kind.parts(context.session, &mut context.store.pubsub);
        if names.insert(name.into()) {
            listeners.add(name, &client);
        }
        confirm(context, kind, word, Some(name));
    }
    Ok(())
}

fn unsubscribe(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    cease(context, request, Kind::Channel, "unsubscribe")
}

fn unsubscribe_from_pattern(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    cease(context, request, Kind::Pattern, "punsubscribe")
}

fn unsubscribe_from_shard(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    cease(context, request, Kind::Shard, "sunsubscribe")
}

fn cease(
    context: &mut Context<'_>,
    request: Request<'_>,
    kind: Kind,
    word: &str,
) -> Result<(), Error> {
    if request.len() > 1 {
        for name in request.iter().skip(1) {
            cease_one(context, kind, word, name);
        }
        return Ok(());
    }
    let mut is_any = false;
    while let Some(name) = kind.parts(context.session, &mut context.store.pubsub).0.first() {
        let name = name.clone();
        cease_one(context, kind, word, &name);
        is_any = true;
    }
    if !is_any {
        confirm(context, kind, word, None);
    }
    Ok(())
}

fn cease_one(context: &mut Context<'_>, kind: Kind, word: &str, name: &[u8]) {
    let client = context.session.client.clone();
    let (names, listeners) = kind.parts(context.session, &mut context.store.pubsub);
    if names.remove(name) {
        listeners.remove(name, &client);
    }
    confirm(context, kind, word, Some(name));
}

fn confirm(context: &mut Context<'_>, kind: Kind, word: &str, name: Option<&[u8]>) {
    let session = &*context.session;
    session.client.subscriptions.set((session.channels.len(), session.patterns.len()));
    session.client.shard_subscriptions.set(session.shard_channels.len());
    context.reply.push(3);
    context.reply.bulk(word.as_bytes());
    context.reply.bulk_or_null(name);
    context.reply.count(kind.count(session));
}

fn publish(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let count = context.store.publish(word(request, 1)?, word(request, 2)?)?;
    context.reply.count(count);
    Ok(())
}

fn publish_to_shard(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let count = context.store.publish_to_shard(word(request, 1)?, word(request, 2)?)?;
    context.reply.count(count);
    Ok(())
}

fn pubsub(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    subcommand::run(context, request, SUBCOMMANDS, HELP)
}

const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand::new("pubsub|channels", -2, channels),
    Subcommand::new("pubsub|numsub", -2, count_listeners),
    Subcommand::new("pubsub|numpat", 2, count_patterns),
    Subcommand::new("pubsub|shardchannels", -2, shard_channels),
    Subcommand::new("pubsub|shardnumsub", -2, count_shard_listeners),
];

const HELP: &[&str] = &[
    "CHANNELS [<pattern>]",
    "    The channels that somebody listens to.",
    "NUMPAT",
    "    How many patterns somebody listens to.",
    "NUMSUB [<channel> ...]",
    "    How many listen to each channel, patterns left out.",
    "SHARDCHANNELS [<pattern>]",
    "    The shard channels that somebody listens to.",
    "SHARDNUMSUB [<channel> ...]",
    "    How many listen to each shard channel.",
];

fn channels(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let Context { store, reply, .. } = context;
    names(&store.pubsub.channels, reply, request, "CHANNELS")
}

fn shard_channels(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let Context { store, reply, .. } = context;
    names(&store.pubsub.shard_channels, reply, request, "SHARDCHANNELS")
}

fn names(
    listeners: &Listeners,
    reply: &mut crate::reply::Reply,
    request: Request<'_>,
    subcommand: &str,
) -> Result<(), Error> {
    if request.len() > 3 {
        return Err(Error::Text(alloc::format!(
            "unknown subcommand or wrong number of arguments for '{subcommand}'. Try PUBSUB HELP."
        )));
    }
    let wanted = if request.len() == 3 { Some(pattern(request, 2)?) } else { None };
    let open = reply.open();
    let mut count = 0;
    for name in listeners.names() {
        if wanted.is_none_or(|pattern| glob::matches(pattern, name)) {
            reply.bulk(name);
            count += 1;
        }
    }
    reply.close_array(open, count);
    Ok(())
}

fn count_listeners(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let Context { store, reply, .. } = context;
    counts(&store.pubsub.channels, reply, request);
    Ok(())
}

fn count_shard_listeners(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let Context { store, reply, .. } = context;
    counts(&store.pubsub.shard_channels, reply, request);
    Ok(())
}

fn counts(listeners: &Listeners, reply: &mut crate::reply::Reply, request: Request<'_>) {
    let names: Vec<&[u8]> = request.iter().skip(2).collect();
    reply.array(2 * names.len());
    for name in names {
        reply.bulk(name);
        reply.count(listeners.count(name));
    }
}

fn count_patterns(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    context.reply.count(context.store.pubsub.patterns.len());
    Ok(())
}

const LISTENS: Flags = Flags::PUBSUB;

/// The group.
pub(super) const GROUP: Group = Group {
    name: "pubsub",
    commands: &[
        Command::new("subscribe", -2, LISTENS, Keys::NONE, subscribe).about(
            "2.0.0",
            "O(N) with the channels",
            "Listens to channels.",
        ),
        Command::new("unsubscribe", -1, LISTENS, Keys::NONE, unsubscribe).about(
            "2.0.0",
            "O(N) with the channels",
            "Ends listening to channels, or to all.",
        ),
        Command::new("psubscribe", -2, LISTENS, Keys::NONE, subscribe_to_pattern).about(
            "2.0.0",
            "O(N) with the patterns",
            "Listens to all channels that match patterns.",
        ),
        Command::new("punsubscribe", -1, LISTENS, Keys::NONE, unsubscribe_from_pattern).about(
            "2.0.0",
            "O(N) with the patterns",
            "Ends listening to patterns, or to all.",
        ),
        Command::new("ssubscribe", -2, LISTENS, Keys::NONE, subscribe_to_shard).about(
            "7.0.0",
            "O(N) with the channels",
            "Listens to shard channels, of which there is one shard.",
        ),
        Command::new("sunsubscribe", -1, LISTENS, Keys::NONE, unsubscribe_from_shard).about(
            "7.0.0",
            "O(N) with the channels",
            "Ends listening to shard channels, or to all.",
        ),
        Command::new("publish", 3, LISTENS.and(Flags::FAST), Keys::NONE, publish).about(
            "2.0.0",
            "O(N+M) with the listeners and the patterns of all",
            "Sends a message to all who listen to a channel.",
        ),
        Command::new("spublish", 3, LISTENS.and(Flags::FAST), Keys::NONE, publish_to_shard).about(
            "7.0.0",
            "O(N) with the listeners",
            "Sends a message to all who listen to a shard channel.",
        ),
        Command::new("pubsub", -2, Flags::NONE, Keys::NONE, pubsub)
            .about("2.8.0", "O(N) with the channels", "Tells which channels are listened to.")
            .with(SUBCOMMANDS),
    ],
};
