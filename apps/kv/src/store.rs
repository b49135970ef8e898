//! What all clients share: the data, the configuration, and who is there.
//!
//! It knows nothing of connections, disks and time; the server tells it what it needs of them.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::blocked::{Blocked, Waiter};
use crate::client::{Client, Session};
use crate::command::{self, Command, Error, Flags, GROUPS};
use crate::config::{Config, Heap, Memory};
use crate::db::Keyspace;
use crate::db::dict::Hasher;
use crate::db::eviction::Policy;
use crate::frame::Request;
use crate::pubsub::PubSub;
use crate::reply::{Protocol, Reply};
use crate::slowlog::SlowLog;
pub use crate::stats::Stats;

/// Keys that one command evicts at most.
const EVICTIONS_AT_ONCE: usize = 128;
/// Records that are looked at together, whether they would lie better elsewhere.
const GATHERED_AT_ONCE: usize = 1000;
/// With more than this part of the memory available, there surely is a piece that is large enough.
const PLENTY_PART: usize = 4;
/// With less than this part of the memory available, records are moved so that more is.
const GATHER_PART: usize = 8;
/// Less than that is found as long as memory is not used up.
const SMALL_BYTES: usize = 4096;
/// What a command takes beside its arguments, about.
const COMMAND_BYTES: usize = 16 << 10;

/// The part of the memory that the slow log takes at most.
const SLOWLOG_PART: usize = 256;

/// What all clients share.
pub struct Store {
    /// The data.
    pub keys: Keyspace,
    /// The configuration.
    pub config: Config,
    /// Who waits for keys.
    pub blocked: Blocked,
    /// Who listens to channels.
    pub pubsub: PubSub,
    /// Who is there, by number.
    pub clients: BTreeMap<u64, Rc<Client>>,
    /// What has happened.
    pub stats: Stats,
    /// Commands that took long.
    pub slowlog: SlowLog,
    /// How the log is.
    pub persistence: Persistence,
    /// Whether the program shall end, and if so, whether even though data is not at the device.
    pub shutdown: Option<Shutdown>,
    /// Memory that the rest of a transaction was promised.
    pub promised_bytes: usize,
    /// Whether the log is being replayed: what was done once is done again, whatever there is room for.
    pub is_loading: bool,
    /// The monotonic clock, as of this turn.
    pub now: Duration,
    /// The time since 1970, as of this turn.
    pub unix_now: Duration,
    errors_counted: u64,
    heap: Heap,
    random: u64,
}

/// How the program shall end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Once all changes are at the device; not at all if that fails.
    Safe,
    /// Whether or not they are.
    Forced,
}

/// How the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Writable {
    /// There is room.
    #[default]
    Yes,
    /// There is no device: data is in memory only.
    Volatile,
    /// The device is full.
    Full,
    /// The device failed.
    Failed,
}

/// How the log is, for `INFO` and for commands that write.
#[derive(Debug, Clone, Copy, Default)]
pub struct Persistence {
    /// Whether writes can be logged.
    pub writable: Writable,
    /// Bytes that commands may still log.
    pub room_bytes: u64,
    /// Bytes that commands may log which only remove: a part of what is kept beside a compaction's room.
    pub removal_bytes: u64,
    /// Bytes that the log takes on the device.
    pub log_bytes: u64,
    /// Bytes of the device for the log.
    pub device_bytes: u64,
    /// Bytes that the log had after the last compaction.
    pub base_bytes: u64,
    /// Bytes that are not at the device yet.
    pub pending_bytes: u64,
    /// Whether a compaction is under way.
    pub is_compacting: bool,
    /// Whether somebody asked for one.
    pub is_compaction_asked: bool,
    /// Whether somebody asked for all changes to be at the device before the next reply goes out.
    pub is_commit_asked: bool,
    /// How many compactions there were.
    pub compactions: u64,
    /// How long the last one took, in seconds.
    pub last_compaction_s: Option<u64>,
    /// When the last one ended, in seconds since 1970.
    pub last_compaction_unix_s: u64,
    /// Changes since then.
    pub changes_at_compaction: u64,
    /// Writes to the device.
    pub commits: u64,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("clients", &self.clients.len()).finish_non_exhaustive()
    }
}

impl Store {
    /// An empty store. `seed` makes hashes and random choices unforeseeable.
    pub fn new(config: Config, heap: Heap, seed: [u64; 3]) -> Self {
        Self {
            keys: Keyspace::new(Hasher::new(seed[0], seed[1])),
            config,
            blocked: Blocked::default(),
            pubsub: PubSub::default(),
            clients: BTreeMap::new(),
            stats: Stats::default(),
            slowlog: SlowLog::default(),
            shutdown: None,
            persistence: Persistence::default(),
            promised_bytes: 0,
            is_loading: false,
            now: Duration::ZERO,
            unix_now: Duration::ZERO,
            errors_counted: 0,
            heap,
            random: seed[2],
        }
    }

    /// The command of that name, in whatever case.
    pub fn command(&self, name: &[u8]) -> Option<&'static Command> {
        command::find(name)
    }

    /// Whether a request changes nothing, but for what has expired.
    pub fn only_reads(&self, request: Request<'_>) -> bool {
        let command = self.command(request.get(0).unwrap_or_default());
        command.is_some_and(|command| command.flags.has(Flags::READ))
    }

    /// A number that nobody foresees who does not know the seed (SplitMix64; not for secrets).
    pub fn random(&mut self) -> u64 {
        next_random(&mut self.random)
    }

    /// Keys and random numbers at the same time.
    pub fn keys_and_random(&mut self) -> (&mut Keyspace, impl FnMut() -> u64 + use<'_>) {
        let random = &mut self.random;
        (&mut self.keys, || next_random(random))
    }

    /// The memory that the program has.
    pub fn memory(&self) -> Memory {
        (self.heap.memory)()
    }

    /// The memory that is available to what is no data, beside a reserve.
    pub fn spare_bytes(&self) -> usize {
        self.memory().spare_bytes().saturating_sub(self.promised_bytes)
    }

    /// An empty reply that leaves that reserve.
    pub fn reply(&self, protocol: Protocol) -> Reply {
        Reply::within(self.heap.memory, protocol)
    }

    /// Lets another function tell that.
    #[cfg(test)]
    pub(crate) fn set_memory(&mut self, memory: fn() -> Memory) {
        self.heap.memory = memory;
    }

    /// Makes room for a command with arguments of so many bytes, evicting keys if that is the policy.
    ///
    /// # Errors
    /// If there is none.
    pub fn make_room(&mut self, argument_bytes: usize) -> Result<(), Error> {
        for _ in 0..EVICTIONS_AT_ONCE {
            let memory = self.memory();
            if memory.used_bytes < self.config.memory_max_bytes {
                if self.fits(argument_bytes) {
                    return Ok(());
                }
                // What is free may lie in places that are too small.
                if self.keys.gather(self.heap.would_move, GATHERED_AT_ONCE) > 0 {
                    continue;
                }
            }
            let (policy, samples) = (self.config.policy, self.config.samples);
            if policy == Policy::NoEviction {
                break;
            }
            let (keys, random) = self.keys_and_random();
            if !keys.evict(policy, samples, random) {
                break;
            }
            // What was large is freed at once, as it is needed now.
            while keys.free_some(1000) {}
        }
        Err(Error::OutOfMemory)
    }

    /// Whether so many bytes find memory, and leave a reserve in one piece: what is free may lie in many.
    fn fits(&self, bytes: usize) -> bool {
        let memory = self.memory();
        let needed = bytes.saturating_add(COMMAND_BYTES).saturating_add(self.promised_bytes);
        if memory.used_bytes.saturating_add(needed) >= self.config.memory_ceiling_bytes {
            return false;
        }
        let reserve = memory.reserve_bytes();
        memory.available_bytes > needed.saturating_add(memory.size_bytes / PLENTY_PART)
            || Vec::<u8>::new().try_reserve_exact(needed.saturating_add(reserve)).is_ok()
    }

    /// Moves some records, if memory is free but little of it for anything large.
    pub fn gather(&mut self) {
        let memory = self.memory();
        let free_bytes = memory.size_bytes.saturating_sub(memory.used_bytes);
        let is_short = memory.available_bytes < memory.size_bytes / GATHER_PART;
        if is_short && memory.available_bytes < free_bytes / 2 {
            self.keys.gather(self.heap.would_move, GATHERED_AT_ONCE);
        }
    }

    /// Ends what has been idle for longer than `timeout` allows.
    pub fn end_idle_clients(&self) {
        if self.config.timeout_s == 0 {
            return;
        }
        let timeout = Duration::from_secs(self.config.timeout_s);
        for client in self.clients.values() {
            let idle = self.now.saturating_sub(client.active.get());
            let may_wait = client.is_blocked.get() || client.is_subscriber();
            if idle > timeout && !may_wait {
                client.kill();
            }
        }
    }

    /// Forgets the keys that a client watches.
    pub fn unwatch(&mut self, session: &mut Session) {
        for (database, key) in core::mem::take(&mut session.watched) {
            self.keys.watches.remove(database, &key, &session.broken);
        }
        session.broken.set(false);
    }

    /// Ends all subscriptions of a client that goes.
    pub fn unsubscribe_all(&mut self, session: &mut Session) {
        self.pubsub.leave(session);
    }

    /// Lets nobody give a client what it no longer waits for.
    pub fn forget(&mut self, waiter: &Rc<Waiter>) {
        self.blocked.remove(waiter);
        self.keys.has_waiters = !self.blocked.is_empty();
    }

    /// Gives clients that wait what has come for them.
    pub fn serve_blocked(&mut self) {
        command::serve_blocked(self);
    }

    /// Notes how long a request took.
    pub fn note_time(&mut self, session: &Session, request: Request<'_>, took: Duration) {
        let client = &session.client;
        let has_failed = self.stats.errors > self.errors_counted;
        self.errors_counted = self.stats.errors;
        self.stats.by_command.add(client.command.get(), took, has_failed);
        let Ok(slower_us) = u64::try_from(self.config.slowlog_slower_us) else { return };
        if took < Duration::from_micros(slower_us) {
            return;
        }
        let command = self.command(request.get(0).unwrap_or_default());
        if command.is_some_and(|command| command.flags.has(Flags::SKIP_LOG)) {
            return;
        }
        let limits = (self.config.slowlog_len, self.memory().size_bytes / SLOWLOG_PART);
        self.slowlog.add(client, request, took, self.unix_now, limits);
    }

    /// All commands.
    pub fn commands(&self) -> impl Iterator<Item = &'static Command> + Clone + use<> {
        GROUPS.iter().flat_map(|group| group.commands)
    }

    /// Whether a value of so many bytes, made of others by a command with short arguments, finds memory.
    ///
    /// # Errors
    /// If it does not.
    pub fn check_room(&self, bytes: usize) -> Result<(), Error> {
        self.check_growth(bytes)?;
        if self.is_loading { Ok(()) } else { self.check_log(bytes) }
    }

    /// The same for a value of which the log gets no more than the command.
    ///
    /// # Errors
    /// If it does not.
    pub fn check_growth(&self, bytes: usize) -> Result<(), Error> {
        if self.is_loading || self.fits(bytes) { Ok(()) } else { Err(Error::OutOfMemory) }
    }

    /// Whether something of so many bytes that is no data finds memory: what is kept of a client. It may
    /// take from what data leaves free.
    ///
    /// # Errors
    /// If it does not.
    pub fn check_reserve(&self, bytes: usize) -> Result<(), Error> {
        if self.is_loading {
            return Ok(());
        }
        let memory = self.memory();
        let limit = memory.size_bytes / 8 * 7;
        // Small things find places in pages that are partly used; what is large needs whole ones.
        let is_available = bytes < SMALL_BYTES || bytes <= self.spare_bytes();
        if is_available && memory.used_bytes.saturating_add(bytes) < limit {
            Ok(())
        } else {
            Err(Error::OutOfMemory)
        }
    }

    /// Whether a removal with arguments of so many bytes finds room in the log. It may take what is kept for
    /// a compaction, as it makes that shorter.
    ///
    /// # Errors
    /// If it does not.
    pub fn check_removal(&self, bytes: usize) -> Result<(), Error> {
        const FRAMES_BYTES: u64 = 4096;
        match self.persistence.writable {
            Writable::Full if self.persistence.removal_bytes > bytes as u64 + FRAMES_BYTES => {
                Ok(())
            }
            Writable::Full | Writable::Failed => self.check_log(bytes),
            Writable::Yes | Writable::Volatile => Ok(()),
        }
    }

    /// Whether a record of so many bytes finds room in the log.
    ///
    /// # Errors
    /// If it does not.
    pub fn check_log(&self, bytes: usize) -> Result<(), Error> {
        // What the same transaction did before is not in the log yet.
        let pending = self.keys.effects.as_bytes().len() as u64;
        match self.persistence.writable {
            Writable::Volatile => Ok(()),
            Writable::Yes if self.persistence.room_bytes > pending + bytes as u64 => Ok(()),
            Writable::Yes | Writable::Full => {
                Err(Error::Coded("MISCONF Errors writing to the AOF file: No space left on device"))
            }
            Writable::Failed => {
                Err(Error::Coded("MISCONF Errors writing to the AOF file: Input/output error"))
            }
        }
    }
}

const fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
