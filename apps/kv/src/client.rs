//! A client: what it alone has, and what others see of it.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::net::SocketAddr;
use core::task::Waker;
use core::time::Duration;

use crate::blocked::Waiter;
use crate::db::watch::Broken;
use crate::frame::Owned;
use crate::reply::Protocol;

/// The name and the version of a client's library.
pub type Library = (Box<[u8]>, Box<[u8]>);

/// What others see of a client, and may do to it.
#[derive(Debug)]
pub struct Client {
    /// Its number, never used twice.
    pub id: u64,
    /// Its end of the connection.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// When it came, on the monotonic clock.
    pub since: Duration,
    /// When it last said something, on the monotonic clock.
    pub active: Cell<Duration>,
    /// `CLIENT SETNAME`.
    pub name: RefCell<Box<[u8]>>,
    /// `CLIENT SETINFO`: the name and version of its library.
    pub library: RefCell<Library>,
    /// The name of its last command.
    pub command: Cell<&'static str>,
    /// The database that it has selected.
    pub database: Cell<usize>,
    /// The version that it speaks.
    pub protocol: Cell<Protocol>,
    /// Channels and patterns that it listens to.
    pub subscriptions: Cell<(usize, usize)>,
    /// Shard channels that it listens to.
    pub shard_subscriptions: Cell<usize>,
    /// Commands of its transaction, if there is one.
    pub queued: Cell<Option<usize>>,
    /// Whether it waits for a key.
    pub is_blocked: Cell<bool>,
    /// Bytes that came and are no whole command yet, and replies that are not sent yet.
    pub buffers_bytes: Cell<(usize, usize)>,
    /// Memory that its reply takes until it is sent, as far as that counts.
    pub held_bytes: Cell<usize>,
    /// Messages for it that answer no command.
    pub mailbox: RefCell<Vec<u8>>,
    /// Since when its mailbox is over the soft limit.
    pub over_soft_limit_since: Cell<Option<Duration>>,
    is_killed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Client {
    /// A client that has just come.
    pub fn new(id: u64, peer: SocketAddr, local: SocketAddr, now: Duration) -> Self {
        Self {
            id,
            peer,
            local,
            since: now,
            active: Cell::new(now),
            name: RefCell::default(),
            library: RefCell::default(),
            command: Cell::new("NULL"),
            database: Cell::new(0),
            protocol: Cell::new(Protocol::Resp2),
            subscriptions: Cell::new((0, 0)),
            shard_subscriptions: Cell::new(0),
            queued: Cell::new(None),
            is_blocked: Cell::new(false),
            buffers_bytes: Cell::new((0, 0)),
            held_bytes: Cell::new(0),
            mailbox: RefCell::default(),
            over_soft_limit_since: Cell::new(None),
            is_killed: Cell::new(false),
            waker: RefCell::new(None),
        }
    }

    /// Whether it listens to anything.
    pub fn is_subscriber(&self) -> bool {
        self.subscriptions.get() != (0, 0) || self.shard_subscriptions.get() != 0
    }

    /// Ends its connection as soon as it runs again.
    pub fn kill(&self) {
        self.is_killed.set(true);
        self.wake();
    }

    /// Whether somebody did that.
    pub fn is_killed(&self) -> bool {
        self.is_killed.get()
    }

    /// Has its connection look at what changed: its mailbox, or whether it was killed.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Has `waker` woken by the next [`wake`](Self::wake).
    pub fn register(&self, waker: &Waker) {
        self.waker.borrow_mut().get_or_insert_with(|| waker.clone()).clone_from(waker);
    }
}

/// Whether replies are sent: `CLIENT REPLY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Replies {
    /// Yes.
    #[default]
    On,
    /// No.
    Off,
    /// Not this one, and not the next.
    SkipNext,
    /// Not this one.
    Skip,
}

/// Commands that wait for `EXEC`.
#[derive(Debug, Default)]
pub struct Transaction {
    /// In their order.
    pub queue: Vec<Owned>,
    /// Whether one was refused, so that `EXEC` will be.
    pub is_aborted: bool,
    /// Bytes of the queue.
    pub bytes: usize,
}

/// A client's own state.
#[derive(Debug)]
pub struct Session {
    /// What others see.
    pub client: Rc<Client>,
    /// The database that its commands mean.
    pub database: usize,
    /// Whether it gave the password, or none is needed.
    pub is_authenticated: bool,
    /// Commands that are kept after `MULTI`.
    pub transaction: Option<Transaction>,
    /// Whether one of them is running, which then must not wait.
    pub is_executing: bool,
    /// Keys that the transaction depends on, with their databases.
    pub watched: BTreeSet<(usize, Box<[u8]>)>,
    /// Whether one of them changed.
    pub broken: Broken,
    /// What the last command waits for.
    pub waiter: Option<Rc<Waiter>>,
    /// Channels that it listens to.
    pub channels: BTreeSet<Box<[u8]>>,
    /// Patterns of channels that it listens to.
    pub patterns: BTreeSet<Box<[u8]>>,
    /// Shard channels that it listens to.
    pub shard_channels: BTreeSet<Box<[u8]>>,
    /// Whether replies are sent.
    pub replies: Replies,
    /// Whether looking at keys counts as using them: `CLIENT NO-TOUCH`.
    pub no_touch: bool,
    /// Whether it changed something, of which the replies that are not sent yet tell.
    pub has_written: bool,
    /// Whether the connection ends after the reply.
    pub is_closing: bool,
}

impl Session {
    /// The session of a client that has just come.
    pub fn new(client: Rc<Client>, is_authenticated: bool) -> Self {
        Self {
            client,
            database: 0,
            is_authenticated,
            transaction: None,
            is_executing: false,
            watched: BTreeSet::new(),
            broken: Broken::default(),
            waiter: None,
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            shard_channels: BTreeSet::new(),
            replies: Replies::On,
            no_touch: false,
            has_written: false,
            is_closing: false,
        }
    }

    /// Channels and patterns that it listens to.
    pub fn subscriptions(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    /// Whether it may only subscribe and unsubscribe, as its protocol has no other place for messages.
    pub fn only_listens(&self, protocol: Protocol) -> bool {
        protocol == Protocol::Resp2 && (self.subscriptions() > 0 || !self.shard_channels.is_empty())
    }
}
