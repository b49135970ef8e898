//! Commands: what each is called, takes and may do, and how one is carried out.
//!
//! A file has the commands of one group and ends with their table. A command reads its words, asks
//! the [`Keyspace`](crate::db::Keyspace), and writes its reply; a change it tells the log in a form that can be repeated
//! (see [`Keyspace::log`](crate::db::Keyspace::log)). An error takes back the reply, so a command changes nothing before
//! it has checked everything.

mod argument;
mod bits;
mod blocking;
mod client;
mod configuration;
mod connection;
mod database;
mod dispatch;
mod error;
mod expire;
mod expiry;
#[cfg(test)]
pub(crate) mod harness;
mod hash;
mod info;
mod introspect;
mod key;
mod list;
mod names;
mod object;
mod pop;
mod pubsub;
mod refused;
mod sample;
mod scan;
mod server;
mod set;
mod sort;
mod sorted_set;
mod string;
mod subcommand;
mod transaction;

use core::fmt;

pub(crate) use blocking::serve_blocked;
pub use dispatch::{execute, refuse, run};
pub use error::{Error, shown};
pub use names::find;
pub use subcommand::Subcommand;

use crate::client::Session;
use crate::frame::Request;
use crate::reply::Reply;
use crate::store::Store;

/// What a command has to work with.
#[derive(Debug)]
pub struct Context<'a> {
    /// All data, and what clients share.
    pub store: &'a mut Store,
    /// The client's own state.
    pub session: &'a mut Session,
    /// Where the reply goes.
    pub reply: &'a mut Reply,
}

/// Carries out a command. The request has the number of words that its [`Command::arity`] says.
pub type Run = fn(&mut Context<'_>, Request<'_>) -> Result<(), Error>;

/// What a command may do, as `COMMAND INFO` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// Changes data.
    pub const WRITE: Self = Self(1);
    /// Looks at data.
    pub const READ: Self = Self(1 << 1);
    /// May take memory, and is refused when that is short.
    pub const DENY_OOM: Self = Self(1 << 2);
    /// For administrators.
    pub const ADMIN: Self = Self(1 << 3);
    /// Publishes or subscribes.
    pub const PUBSUB: Self = Self(1 << 4);
    /// Cannot be in a transaction.
    pub const NO_MULTI: Self = Self(1 << 5);
    /// May wait.
    pub const BLOCKING: Self = Self(1 << 6);
    /// Takes constant or logarithmic time.
    pub const FAST: Self = Self(1 << 7);
    /// Needs no password.
    pub const NO_AUTH: Self = Self(1 << 8);
    /// Its keys stand where its other arguments say.
    pub const MOVABLE_KEYS: Self = Self(1 << 9);
    /// Not shown in `SLOWLOG` and `MONITOR`, as it may have a password.
    pub const SKIP_LOG: Self = Self(1 << 10);

    const NAMES: [(Self, &'static str); 11] = [
        (Self::WRITE, "write"),
        (Self::READ, "readonly"),
        (Self::DENY_OOM, "denyoom"),
        (Self::ADMIN, "admin"),
        (Self::PUBSUB, "pubsub"),
        (Self::NO_MULTI, "no_multi"),
        (Self::BLOCKING, "blocking"),
        (Self::FAST, "fast"),
        (Self::NO_AUTH, "no_auth"),
        (Self::MOVABLE_KEYS, "movablekeys"),
        (Self::SKIP_LOG, "skip_slowlog"),
    ];

    /// None of them.
    pub const NONE: Self = Self(0);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are there.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Their names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(flag, _)| self.has(*flag)).map(|(_, name)| name)
    }
}

/// Which words are keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    /// The first; 0 if there are none.
    pub first: i32,
    /// The last, from the end if it is negative.
    pub last: i32,
    /// How far apart.
    pub step: i32,
}

impl Keys {
    /// None, or none that are at fixed places.
    pub const NONE: Self = Self { first: 0, last: 0, step: 0 };
    /// The first argument.
    pub const ONE: Self = Self::range(1, 1, 1);
    /// The first two.
    pub const TWO: Self = Self::range(1, 2, 1);
    /// All arguments.
    pub const ALL: Self = Self::range(1, -1, 1);

    /// From one place to another.
    pub const fn range(first: i32, last: i32, step: i32) -> Self {
        Self { first, last, step }
    }
}

/// A command.
#[derive(Clone, Copy)]
pub struct Command {
    /// Its name in small letters.
    pub name: &'static str,
    /// Its words, itself included; negative if that is the least.
    pub arity: i32,
    /// What it may do.
    pub flags: Flags,
    /// Which words are keys.
    pub keys: Keys,
    /// How it is done.
    pub run: Run,
    /// Since which version Redis has it.
    pub since: &'static str,
    /// How its time grows.
    pub complexity: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// What its second word may be, if that is part of its name.
    pub subcommands: &'static [Subcommand],
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({})", self.name)
    }
}

impl Command {
    /// A command without a description.
    pub const fn new(name: &'static str, arity: i32, flags: Flags, keys: Keys, run: Run) -> Self {
        Self {
            name,
            arity,
            flags,
            keys,
            run,
            since: "",
            complexity: "",
            summary: "",
            subcommands: &[],
        }
    }

    /// The same with subcommands.
    #[must_use]
    pub const fn with(self, subcommands: &'static [Subcommand]) -> Self {
        Self { subcommands, ..self }
    }

    /// The same with a description.
    #[must_use]
    pub const fn about(
        self,
        since: &'static str,
        complexity: &'static str,
        summary: &'static str,
    ) -> Self {
        Self { since, complexity, summary, ..self }
    }

    /// Whether a request of so many words can be one.
    pub const fn takes(&self, words: usize) -> bool {
        takes(self.arity, words)
    }
}

/// Whether so many words are what an arity says: so many, or at least so many if it is negative.
const fn takes(arity: i32, words: usize) -> bool {
    let least = arity.unsigned_abs() as usize;
    if arity >= 0 { words == least } else { words >= least }
}

/// A group of commands, as the documentation of Redis has them.
#[derive(Debug)]
pub struct Group {
    /// As `COMMAND DOCS` has it.
    pub name: &'static str,
    /// Its commands.
    pub commands: &'static [Command],
}

/// All groups.
#[rustfmt::skip]
pub const GROUPS: &[Group] = &[
    string::GROUP,
    key::GROUP,
    scan::GROUP,
    expire::GROUP,
    database::KEYS,
    database::SERVER,
    database::CONNECTION,
    list::GROUP,
    blocking::LISTS,
    blocking::SORTED_SETS,
    sorted_set::GROUP,
    connection::GROUP,
    hash::GROUP,
    set::GROUP,
    bits::GROUP,
    sort::GROUP,
    transaction::GROUP,
    pubsub::GROUP,
    server::GROUP,
];
