//! What can be configured, and the limits that follow from the memory that there is.

use alloc::boxed::Box;

use crate::db::eviction::Policy;

/// The version of Redis whose commands these are, for clients that ask.
pub const REDIS_VERSION: &str = "7.2.0";
/// Our own.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// When a write is at the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fsync {
    /// Before its reply is sent.
    #[default]
    Always,
    /// Within a second.
    EverySecond,
    /// Within half a minute, or when much has gathered.
    No,
}

impl Fsync {
    /// All, with the names that they are configured by.
    pub const NAMES: [(Self, &'static str); 3] =
        [(Self::Always, "always"), (Self::EverySecond, "everysec"), (Self::No, "no")];
}

/// Memory of the program: what is used, and what there is, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Used.
    pub used_bytes: usize,
    /// There is in all.
    pub size_bytes: usize,
    /// Free for something of any size. Less than what is not used: places of a size that is not wanted
    /// now are only free for that.
    pub available_bytes: usize,
}

impl Memory {
    /// Memory that stays available, as a part of all, for what cannot be refused.
    const RESERVE_PART: usize = 32;

    /// What has to stay available.
    pub const fn reserve_bytes(&self) -> usize {
        self.size_bytes / Self::RESERVE_PART
    }

    /// What is available beside that.
    pub const fn spare_bytes(&self) -> usize {
        self.available_bytes.saturating_sub(self.reserve_bytes())
    }
}

/// What the program asks its heap.
#[derive(Debug, Clone, Copy)]
pub struct Heap {
    /// How full it is.
    pub memory: fn() -> Memory,
    /// Whether a copy of an allocation would lie better, so that in the end more is available.
    pub would_move: fn(&[u8]) -> bool,
}

impl Heap {
    /// One in which nothing would lie better.
    pub const fn of(memory: fn() -> Memory) -> Self {
        Self { memory, would_move: |_| false }
    }
}

/// The configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// `requirepass`; empty for none.
    pub password: Box<[u8]>,
    /// `maxmemory`: what may be used before commands are refused or keys evicted.
    pub memory_max_bytes: usize,
    /// The most that it can be set to.
    pub memory_ceiling_bytes: usize,
    /// `maxmemory-policy`.
    pub policy: Policy,
    /// `maxmemory-samples`.
    pub samples: usize,
    /// `appendfsync`.
    pub fsync: Fsync,
    /// `proto-max-bulk-len`.
    pub bulk_max_bytes: usize,
    /// The most that it can be set to.
    pub bulk_ceiling_bytes: usize,
    /// What all clients together may have sent of commands that are not complete.
    pub inputs_max_bytes: usize,
    /// What replies may take together that are not sent, beside the longest of them.
    pub replies_max_bytes: usize,
    /// `timeout` in seconds; 0 for none.
    pub timeout_s: u64,
    /// `slowlog-log-slower-than` in microseconds; negative for never.
    pub slowlog_slower_us: i64,
    /// `slowlog-max-len`.
    pub slowlog_len: usize,
    /// `maxclients`.
    pub clients_max: usize,
    /// The most that it can be set to.
    pub clients_ceiling: usize,
    /// `client-output-buffer-limit pubsub`: bytes at which a client is dropped at once.
    pub mailbox_hard_bytes: usize,
    /// Bytes at which it is dropped after [`mailbox_soft_s`](Self::mailbox_soft_s).
    pub mailbox_soft_bytes: usize,
    /// Seconds.
    pub mailbox_soft_s: u64,
    /// `auto-aof-rewrite-percentage`; 0 for never, but when space is short.
    pub rewrite_percentage: u64,
    /// `auto-aof-rewrite-min-size`.
    pub rewrite_min_bytes: u64,
    /// Whether data is in memory only, to tell.
    pub is_volatile: bool,
    /// The port, to tell.
    pub port: u16,
}

impl Config {
    /// The usual one for a memory of that size.
    pub fn for_memory(size_bytes: usize) -> Self {
        let memory_ceiling_bytes = size_bytes / 4 * 3;
        let bulk_ceiling_bytes = (size_bytes / 8).min(512 << 20);
        Self {
            password: Box::default(),
            memory_max_bytes: memory_ceiling_bytes,
            memory_ceiling_bytes,
            policy: Policy::NoEviction,
            samples: 5,
            fsync: Fsync::Always,
            bulk_max_bytes: bulk_ceiling_bytes,
            bulk_ceiling_bytes,
            inputs_max_bytes: bulk_ceiling_bytes + (64 << 10),
            replies_max_bytes: size_bytes / 8,
            timeout_s: 0,
            slowlog_slower_us: 10_000,
            slowlog_len: 128,
            clients_max: 10_000,
            clients_ceiling: 10_000,
            mailbox_hard_bytes: (32 << 20).min(size_bytes / 32),
            mailbox_soft_bytes: (8 << 20).min(size_bytes / 64),
            mailbox_soft_s: 60,
            rewrite_percentage: 100,
            rewrite_min_bytes: 64 << 20,
            is_volatile: true,
            port: 6379,
        }
    }
}
