//! `COMMAND`: which commands there are, and where a request has its keys.

use alloc::vec::Vec;

use super::argument::{is, pattern, word};
use super::subcommand::{self, Subcommand};
use super::{Command, Context, Error, Flags, GROUPS, Keys};
use crate::frame::Request;
use crate::glob;
use crate::number;
use crate::reply::Reply;
use crate::store::Store;

/// Carries out `COMMAND`.
///
/// # Errors
/// If there is no such subcommand, or it fails.
pub(super) fn command(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    if request.len() > 1 {
        return subcommand::run(context, request, SUBCOMMANDS, HELP);
    }
    let commands = context.store.commands();
    context.reply.array(commands.clone().count());
    commands.for_each(|command| describe(context.reply, command));
    Ok(())
}

/// What it can be asked.
pub(super) const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand::new("command|count", 2, count),
    Subcommand::new("command|info", -2, info),
    Subcommand::new("command|docs", -2, docs),
    Subcommand::new("command|list", -2, list),
    Subcommand::new("command|getkeys", -3, get_keys),
    Subcommand::new("command|getkeysandflags", -3, get_keys_and_flags),
];

const HELP: &[&str] = &[
    "(no subcommand)",
    "    What INFO says of every command.",
    "COUNT",
    "    How many commands there are.",
    "DOCS [<name> ...]",
    "    What commands do.",
    "GETKEYS <command> [<arg> ...]",
    "    The keys of a request.",
    "GETKEYSANDFLAGS <command> [<arg> ...]",
    "    The same, and what is done with them.",
    "INFO [<name> ...]",
    "    The flags and the places of keys of commands.",
    "LIST [FILTERBY (MODULE <name>|ACLCAT <category>|PATTERN <pattern>)]",
    "    The names of commands.",
];

fn count(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    context.reply.count(context.store.commands().count());
    Ok(())
}

fn info(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    if request.len() == 2 {
        let commands = context.store.commands();
        context.reply.array(commands.clone().count());
        commands.for_each(|command| describe(context.reply, command));
        return Ok(());
    }
    context.reply.array(request.len() - 2);
    for name in request.iter().skip(2) {
        match context.store.command(name) {
            Some(command) => describe(context.reply, command),
            None => context.reply.null(),
        }
    }
    Ok(())
}

/// Ten elements: name, arity, flags, the places of keys, categories, hints, the keys once more, and
/// subcommands, which are left out.
fn describe(reply: &mut Reply, command: &Command) {
    let keys = command.keys;
    reply.array(10);
    reply.bulk(command.name.as_bytes());
    reply.integer(i64::from(command.arity));
    reply.set(command.flags.names().count());
    command.flags.names().for_each(|name| reply.status(name));
    // The last place is counted from the end if it is negative, as in the table.
    reply.integer(i64::from(keys.first));
    reply.integer(i64::from(keys.last));
    reply.integer(i64::from(keys.step));
    let categories = categories(command);
    reply.set(categories.len());
    categories.iter().for_each(|name| reply.status(&alloc::format!("@{name}")));
    reply.array(0);
    if keys == Keys::NONE {
        reply.array(0);
    } else {
        reply.array(1);
        describe_keys(reply, command);
    }
    reply.array(0);
}

fn describe_keys(reply: &mut Reply, command: &Command) {
    let keys = command.keys;
    let last = if keys.last < 0 { keys.last } else { keys.last - keys.first };
    reply.map(3);
    reply.bulk(b"flags");
    show_key_flags(reply, command);
    reply.bulk(b"begin_search");
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(b"index");
    reply.bulk(b"spec");
    reply.map(1);
    reply.bulk(b"index");
    reply.integer(i64::from(keys.first));
    reply.bulk(b"find_keys");
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(b"range");
    reply.bulk(b"spec");
    reply.map(3);
    reply.bulk(b"lastkey");
    reply.integer(i64::from(last));
    reply.bulk(b"keystep");
    reply.integer(i64::from(keys.step));
    reply.bulk(b"limit");
    reply.integer(0);
}

fn show_key_flags(reply: &mut Reply, command: &Command) {
    let flags: &[&str] = if command.flags.has(Flags::WRITE) {
        &["RW", "access", "update"]
    } else {
        &["RO", "access"]
    };
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.status(flag));
}

fn group_of(command: &Command) -> &'static str {
    let has = |group: &&super::Group| group.commands.iter().any(|it| it.name == command.name);
    GROUPS.iter().find(has).map_or("", |group| group.name)
}

/// The categories that `ACL` of Redis has, by flags and group.
fn categories(command: &Command) -> Vec<&'static str> {
    let by_flag = [
        (Flags::WRITE, "write"),
        (Flags::READ, "read"),
        (Flags::ADMIN, "admin"),
        (Flags::ADMIN, "dangerous"),
        (Flags::PUBSUB, "pubsub"),
        (Flags::BLOCKING, "blocking"),
        (Flags::FAST, "fast"),
    ];
    let mut categories: Vec<&str> = by_flag
        .into_iter()
        .filter(|(flag, _)| command.flags.has(*flag))
        .map(|(_, name)| name)
        .collect();
    if !command.flags.has(Flags::FAST) {
        categories.push("slow");
    }
    let group = match group_of(command) {
        "generic" => Some("keyspace"),
        "transactions" => Some("transaction"),
        "sorted-set" => Some("sortedset"),
        "pubsub" | "server" | "" => None,
        group => Some(group),
    };
    categories.extend(group);
    categories
}

fn docs(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let commands: Vec<&Command> = if request.len() == 2 {
        context.store.commands().collect()
    } else {
        request.iter().skip(2).filter_map(|name| context.store.command(name)).collect()
    };
    let reply = &mut *context.reply;
    reply.map(commands.len());
    for command in commands {
        reply.bulk(command.name.as_bytes());
        reply.map(4);
        for (name, text) in [
            ("summary", command.summary),
            ("since", command.since),
            ("group", group_of(command)),
            ("complexity", command.complexity),
        ] {
            reply.bulk(name.as_bytes());
            reply.bulk(text.as_bytes());
        }
    }
    Ok(())
}

/// Which commands `COMMAND LIST` shows.
enum Filter<'a> {
    All,
    /// There are no modules.
    None,
    Category(&'a [u8]),
    Pattern(Vec<u8>),
}

impl<'a> Filter<'a> {
    fn read(request: Request<'a>) -> Result<Self, Error> {
        if request.len() == 2 {
            return Ok(Self::All);
        }
        if request.len() != 5 || !is(word(request, 2)?, "FILTERBY") {
            return Err(Error::Syntax);
        }
        let (kind, value) = (word(request, 3)?, word(request, 4)?);
        match () {
            () if is(kind, "MODULE") => Ok(Self::None),
            () if is(kind, "ACLCAT") => Ok(Self::Category(value)),
            () if is(kind, "PATTERN") => {
                Ok(Self::Pattern(pattern(request, 4)?.to_ascii_lowercase()))
            }
            () => Err(Error::Syntax),
        }
    }

    fn shows(&self, command: &Command) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Category(name) => categories(command)
                .iter()
                .any(|category| name.eq_ignore_ascii_case(category.as_bytes())),
            Self::Pattern(pattern) => glob::matches(pattern, command.name.as_bytes()),
        }
    }
}

fn list(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let filter = Filter::read(request)?;
    let open = context.reply.open();
    let mut count = 0;
    for command in context.store.commands().filter(|command| filter.shows(command)) {
        context.reply.bulk(command.name.as_bytes());
        count += 1;
    }
    context.reply.close_array(open, count);
    Ok(())
}

/// Where commands say how many keys follow, and whether a key is the word before that.
const COUNTED: &[(&str, usize, bool)] = &[
    ("zunionstore", 2, true),
    ("zinterstore", 2, true),
    ("zdiffstore", 2, true),
    ("zunion", 1, false),
    ("zinter", 1, false),
    ("zdiff", 1, false),
    ("zintercard", 1, false),
    ("sintercard", 1, false),
    ("lmpop", 1, false),
    ("zmpop", 1, false),
    ("blmpop", 2, false),
    ("bzmpop", 2, false),
];

/// The command of the request that begins at the third word, and the places of its keys in it.
fn places(store: &Store, request: Request<'_>) -> Result<(&'static Command, Vec<usize>), Error> {
    let command =
        store.command(word(request, 2)?).ok_or(Error::Plain("Invalid command specified"))?;
    let words = request.len() - 2;
    if !command.takes(words) {
        return Err(Error::Plain("Invalid number of arguments specified for command"));
    }
    let counted = COUNTED.iter().find(|(name, ..)| *name == command.name);
    let places = match counted {
        Some((_, at, has_target)) => counted_places(request, *at, *has_target)?,
        None => fixed_places(command.keys, words),
    };
    if places.is_empty() {
        return Err(Error::Plain("The command has no key arguments"));
    }
    Ok((command, places))
}

fn counted_places(request: Request<'_>, at: usize, has_target: bool) -> Result<Vec<usize>, Error> {
    let invalid = Error::Plain("Invalid arguments specified for command");
    let count = number::integer(word(request, at + 2)?)
        .and_then(|count| usize::try_from(count).ok())
        .filter(|count| *count > 0 && *count < request.len() - 2 - at)
        .ok_or(invalid)?;
    let target = has_target.then_some(at - 1);
    Ok(target.into_iter().chain(at + 1..=at + count).collect())
}

fn fixed_places(keys: Keys, words: usize) -> Vec<usize> {
    let (Ok(first), Ok(step)) = (usize::try_from(keys.first), usize::try_from(keys.step)) else {
        return Vec::new();
    };
    let last = match usize::try_from(keys.last) {
        Ok(last) => last,
        Err(_) => words.saturating_sub(keys.last.unsigned_abs() as usize),
    };
    if first == 0 || step == 0 {
        return Vec::new();
    }
    (first..=last.min(words - 1)).step_by(step).collect()
}

fn get_keys(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (_, places) = places(context.store, request)?;
    context.reply.array(places.len());
    for place in places {
        context.reply.bulk(word(request, place + 2)?);
    }
    Ok(())
}

fn get_keys_and_flags(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (command, places) = places(context.store, request)?;
    context.reply.array(places.len());
    for place in places {
        context.reply.array(2);
        context.reply.bulk(word(request, place + 2)?);
        show_key_flags(context.reply, command);
    }
    Ok(())
}
