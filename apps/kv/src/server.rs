//! What all connections share, and what goes on beside them.
//!
//! Starts no task and accepts no connection; that is the guest's entry, which asks here whether there is
//! room and then runs [`Server::serve`], and [`Server::work`] beside it.

use alloc::rc::Rc;
use core::cell::{Cell, RefCell, RefMut};
use core::fmt;
use core::time::Duration;

use crate::blocked::Waiter;
use crate::client::{Client, Session};
use crate::command;
use crate::config::{Config, Heap};
use crate::connection::Connection;
use crate::frame::Request;
use crate::gate::{Gate, Ticket};
use crate::inbox::Buffers;
use crate::journal::{Journal, LoadError, Loaded};
use crate::log::{LogError, OpenError, Options, Report};
use crate::reply::{Protocol, Reply};
use crate::store::{Shutdown, Store, Writable};
use crate::world::{Clock, Disk, Stream};

/// How often expired keys are looked for, and what else is due.
const ROUND: Duration = Duration::from_millis(100);
/// The same while something is under way that should end soon.
const BUSY_ROUND: Duration = Duration::from_millis(1);
/// Keys and elements that are freed at once.
const FREED_AT_ONCE: usize = 2000;
/// Keys that are found to have expired at once.
const EXPIRED_AT_ONCE: usize = 500;
/// What these take in the log, about.
const EXPIRED_LOG_BYTES: usize = 32 << 10;
/// A reply of that size counts as none.
const SMALL_REPLY_BYTES: usize = 512;

/// A key-value store.
pub struct Server<D: Disk, C: Clock> {
    pub(crate) clock: C,
    pub(crate) buffers: Buffers,
    store: RefCell<Store>,
    journal: RefCell<Option<Journal<D>>>,
    gate: Gate,
    next_client: Cell<u64>,
    is_ending: Cell<bool>,
}

impl<D: Disk, C: Clock> fmt::Debug for Server<D, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

/// What is known of the device once it is open.
#[derive(Debug)]
pub struct Opened {
    /// How the log was.
    pub report: Report,
    /// What was in it.
    pub loaded: Loaded,
}

impl<D: Disk, C: Clock> Server<D, C> {
    /// An empty server that keeps its data in memory only. `heap` tells how much memory there is, and `seed` is
    /// random.
    pub fn new(config: Config, clock: C, heap: Heap, seed: [u64; 3]) -> Self {
        let mut store = Store::new(config, heap, seed);
        store.persistence.writable = Writable::Volatile;
        store.now = clock.now();
        store.stats.started = clock.now();
        Self {
            clock,
            buffers: Buffers::default(),
            store: RefCell::new(store),
            journal: RefCell::new(None),
            gate: Gate::default(),
            next_client: Cell::new(1),
            is_ending: Cell::new(false),
        }
    }

    /// Brings back the data of a device, and keeps it there from now on.
    ///
    /// # Errors
    /// If the device has something else, cannot be read, or has more data than there is memory.
    pub fn open(&mut self, disk: D, options: Options) -> Result<Opened, OpenError<LoadError>> {
        // What is loaded counts as used now.
        tell_time(&self.clock, self.store.get_mut());
        let store = self.store.get_mut();
        let (journal, report, loaded) = Journal::open(disk, options, store)?;
        store.config.is_volatile = false;
        *self.journal.get_mut() = Some(journal);
        Ok(Opened { report, loaded })
    }

    /// Serves a connection to its end.
    pub async fn serve<S: Stream>(self: Rc<Self>, mut stream: S) {
        let session = match self.enter(&stream) {
            Ok(session) => session,
            Err(error) => {
                let mut reply = Reply::default();
                reply.error(error);
                // Whether it is read or not, the connection ends.
                let _ = stream.write_all(reply.as_bytes()).await;
                return;
            }
        };
        let mut connection = Connection::new(&*self, stream, session);
        connection.run().await;
        connection.clear();
        self.leave(connection.session());
    }

    /// Has each connection end once it has carried out and answered what it was asked. Those that wait for
    /// something end at once.
    pub fn end(&self) {
        self.is_ending.set(true);
        self.store.borrow().clients.values().for_each(|client| client.wake());
    }

    /// Whether that has begun.
    pub(crate) fn is_ending(&self) -> bool {
        self.is_ending.get()
    }

    /// How many clients there are.
    pub fn clients(&self) -> usize {
        self.store.borrow().clients.len()
    }

    /// Has all that was done on the disk, whether or not somebody waits for it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn commit_all(&self) -> Result<(), LogError> {
        self.store.borrow_mut().persistence.is_commit_asked = true;
        self.commit()
    }

    /// What is due beside the connections, until a client asks for the end. Everything is at the device then,
    /// unless the client did not care.
    pub async fn work(self: Rc<Self>) {
        loop {
            let is_busy = self.round();
            if self.has_ended() {
                return;
            }
            self.clock.sleep(if is_busy { BUSY_ROUND } else { ROUND }).await;
        }
    }

    /// One round of that. Whether the next should be soon.
    fn round(&self) -> bool {
        let mut store = self.store.borrow_mut();
        tell_time(&self.clock, &mut store);
        // Each is a removal that the log must have room for.
        let may_expire = store.check_removal(EXPIRED_LOG_BYTES).is_ok();
        let expired = if may_expire { store.keys.expire_some(EXPIRED_AT_ONCE) } else { 0 };
        let has_garbage = store.keys.free_some(FREED_AT_ONCE);
        store.gather();
        store.end_idle_clients();
        let (now, used_bytes) = (store.now, store.memory().used_bytes);
        store.stats.sample(now, used_bytes);
        let mut is_busy = expired == EXPIRED_AT_ONCE || has_garbage;
        if let Some(journal) = &mut *self.journal.borrow_mut() {
            journal.take(&mut store);
            is_busy |= journal.work(&mut store);
        }
        store.serve_blocked();
        is_busy
    }

    /// Whether the program shall end, and can.
    fn has_ended(&self) -> bool {
        let shutdown = self.store.borrow().shutdown;
        let Some(shutdown) = shutdown else { return false };
        let Err(error) = self.commit_all() else { return true };
        log::error!("asked to end, but the log cannot be written: {error}");
        self.store.borrow_mut().shutdown = None;
        shutdown == Shutdown::Forced
    }

    fn enter<S: Stream>(&self, stream: &S) -> Result<Session, command::Error> {
        let mut store = self.store.borrow_mut();
        store.stats.connections += 1;
        if store.clients.len() >= store.config.clients_max {
            store.stats.rejected += 1;
            return Err(command::Error::Plain("max number of clients reached"));
        }
        let id = self.next_client.get();
        self.next_client.set(id + 1);
        let client = Client::new(id, stream.peer(), stream.local(), self.clock.now());
        let client = Rc::new(client);
        store.clients.insert(id, Rc::clone(&client));
        let is_authenticated = store.config.password.is_empty();
        Ok(Session::new(client, is_authenticated))
    }

    fn leave(&self, session: &mut Session) {
        let mut store = self.store.borrow_mut();
        store.clients.remove(&session.client.id);
        if let Some(waiter) = session.waiter.take() {
            store.forget(&waiter);
        }
        store.unwatch(session);
        store.unsubscribe_all(session);
    }

    /// Begins to carry out requests of a client that came together.
    pub(crate) fn begin(&self, client: &Client) -> RefMut<'_, Store> {
        let mut store = self.store.borrow_mut();
        tell_time(&self.clock, &mut store);
        client.active.set(store.now);
        store
    }

    /// Carries out a request, whose effects are in the log then, and not yet on the disk.
    pub(crate) fn execute(
        &self,
        store: &mut Store,
        session: &mut Session,
        reply: &mut Reply,
        request: Request<'_>,
    ) {
        let start = self.clock.precise_now();
        let effects = store.keys.effects.count();
        command::execute(store, session, reply, request);
        store.serve_blocked();
        session.has_written |= store.keys.effects.count() != effects && !store.only_reads(request);
        if let Some(journal) = &mut *self.journal.borrow_mut() {
            journal.take(store);
        }
        let took = self.clock.precise_now().saturating_sub(start);
        store.note_time(session, request, took);
    }

    /// Whether what was replied so far may be known only after a [`commit`](Self::commit).
    pub(crate) fn must_commit(&self) -> bool {
        let journal = self.journal.borrow();
        journal.as_ref().is_some_and(|journal| journal.must_commit(&self.store.borrow()))
    }

    /// Waits until everything is durable that was done so far.
    pub(crate) async fn committed(&self, ticket: &Ticket) -> Result<(), LogError> {
        self.gate.pass(ticket, || self.store.borrow().stats.commands, || self.commit()).await
    }

    /// Makes everything durable that was done so far.
    fn commit(&self) -> Result<(), LogError> {
        let mut store = self.store.borrow_mut();
        store.now = self.clock.now();
        match &mut *self.journal.borrow_mut() {
            Some(journal) if journal.must_commit(&store) => journal.commit(&mut store),
            _ => Ok(()),
        }
    }

    /// Lets nobody give a client what it no longer waits for.
    pub(crate) fn forget(&self, waiter: &Rc<Waiter>) {
        self.store.borrow_mut().forget(waiter);
    }

    /// What all clients together may have sent of commands that are not complete: less than configured if
    /// memory is short.
    pub(crate) fn inputs(&self) -> usize {
        let store = self.store.borrow();
        store.config.inputs_max_bytes.min(self.buffers.own_bytes() + store.spare_bytes())
    }

    /// An empty reply that leaves what others need.
    pub(crate) fn reply(&self) -> Reply {
        self.store.borrow().reply(Protocol::default())
    }

    /// Says how much memory a client's reply takes from now on until it is sent. All but the longest may take
    /// so much together; while it is more, the client with the longest is ended.
    pub(crate) fn hold_reply(&self, client: &Client, bytes: usize) {
        // Small ones are part of what a connection takes anyway.
        let bytes = if bytes > SMALL_REPLY_BYTES { bytes } else { 0 };
        let replies_bytes = &self.buffers.replies_bytes;
        let before = client.held_bytes.replace(bytes);
        replies_bytes.set(replies_bytes.get() - before + bytes);
        let store = self.store.borrow();
        let limit_bytes = store.config.replies_max_bytes;
        while bytes > 0 && replies_bytes.get() > limit_bytes {
            // Of several, not the one that has only now got it.
            let order = |other: &&Rc<Client>| (other.held_bytes.get(), other.id != client.id);
            let longest = store.clients.values().max_by_key(order);
            let Some(longest) = longest else { return };
            let left = replies_bytes.get() - longest.held_bytes.get();
            if left <= limit_bytes {
                return;
            }
            longest.held_bytes.set(0);
            replies_bytes.set(left);
            longest.kill();
        }
    }

    pub(crate) fn count_input(&self, bytes: usize) {
        self.store.borrow_mut().stats.input_bytes += bytes as u64;
    }

    pub(crate) fn count_output(&self, bytes: usize) {
        self.store.borrow_mut().stats.output_bytes += bytes as u64;
    }
}

fn tell_time(clock: &impl Clock, store: &mut Store) {
    store.now = clock.now();
    store.unix_now = clock.unix_time();
    let now_ms = u64::try_from(store.unix_now.as_millis()).unwrap_or(u64::MAX);
    store.keys.set_now_ms(now_ms);
}
