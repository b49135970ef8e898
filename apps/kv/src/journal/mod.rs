//! The data's way to the disk and back: which changes are written when, and how the log is kept short.
//!
//! The [`Log`] keeps bytes; here they are given their meaning. Whatever a command changed is in
//! [`Effects`](crate::db::effect::Effects), which are moved into the log command by command, and become durable with the next
//! commit, all together. `appendfsync` says when that is.
//!
//! | module | duty |
//! |---|---|
//! | `load` | replaying the log at the start |
//! | `compaction` | copying what there is to the log's end, so that its beginning can go |

mod compaction;
mod load;
#[cfg(test)]
mod tests;

use core::time::Duration;

#[cfg(test)]
pub(crate) use load::replay;
pub use load::{Error as LoadError, Loaded};

use crate::config::Fsync;
use crate::log::{Log, LogError, OpenError, Options, Report};
use crate::store::{Store, Writable};
use crate::world::Disk;
use compaction::Compaction;
use load::Loader;

/// How long a device that failed is left alone.
const RETRY: Duration = Duration::from_secs(1);
/// With that much in memory a commit does not wait for its time.
const PENDING_BYTES_MAX: u64 = 1 << 20;
const EVERY_SECOND: Duration = Duration::from_secs(1);
/// What Linux gives a written page by default.
const EVERY_HALF_MINUTE: Duration = Duration::from_secs(30);
/// Room that is left for deletions, and for what a compaction takes beyond its estimate.
const MARGIN_BYTES: u64 = 16 << 10;
/// The same as a part of the device, where that is more.
const MARGIN_PART: u64 = 32;

/// The log, its device, and when to write.
#[derive(Debug)]
pub(crate) struct Journal<D> {
    disk: D,
    log: Log,
    compaction: Option<Compaction>,
    /// When something was last committed.
    committed_at: Duration,
    /// The device failed, and is not tried again before that time.
    failed: Option<(LogError, Duration)>,
}

impl<D: Disk> Journal<D> {
    /// Opens the log and brings back what is in it.
    ///
    /// # Errors
    /// If the device has something else, cannot be read, or has more data than there is memory.
    pub(crate) fn open(
        mut disk: D,
        options: Options,
        store: &mut Store,
    ) -> Result<(Self, Report, Loaded), OpenError<LoadError>> {
        let mut loader = Loader::new(store);
        let opened = Log::open(&mut disk, options, &mut loader);
        let loaded = loader.finish();
        let (log, report) = opened?;
        store.keys.effects.keep(true);
        let committed_at = store.now;
        let journal = Self { disk, log, compaction: None, committed_at, failed: None };
        store.persistence.base_bytes = journal.base_bytes(store);
        journal.tell(store);
        Ok((journal, report, loaded))
    }

    /// Moves the effects of the last command into the log.
    pub(crate) fn take(&mut self, store: &mut Store) {
        let effects = &mut store.keys.effects;
        if effects.as_bytes().is_empty() {
            return;
        }
        match self.log.append_large(effects.as_bytes(), &mut self.disk) {
            Ok(()) => {
                self.log.mark_boundary();
                effects.clear();
            }
            // They stay where they are, and are tried again with what follows.
            Err(error) => {
                self.log.discard();
                self.failed = Some((error, store.now + RETRY));
            }
        }
        self.tell(store);
    }

    /// Whether there are changes that a client may know of only after a commit.
    pub(crate) fn must_commit(&self, store: &Store) -> bool {
        let is_asked = store.persistence.is_commit_asked;
        (is_asked || store.config.fsync == Fsync::Always) && self.is_behind(store)
    }

    fn is_behind(&self, store: &Store) -> bool {
        self.log.appended() != self.log.committed() || !store.keys.effects.as_bytes().is_empty()
    }

    /// Makes all changes durable.
    ///
    /// # Errors
    /// If the device fails, or has failed a moment ago.
    pub(crate) fn commit(&mut self, store: &mut Store) -> Result<(), LogError> {
        if let Some((error, retry_at)) = &self.failed
            && store.now < *retry_at
        {
            return Err(*error);
        }
        self.failed = None;
        self.take(store);
        let result = match &self.failed {
            Some((error, _)) => Err(*error),
            None => self.log.commit(&mut self.disk),
        };
        match &result {
            Ok(()) => {
                self.committed_at = store.now;
                store.persistence.commits += 1;
                store.persistence.is_commit_asked = false;
            }
            Err(error) => {
                if store.persistence.writable != Writable::Failed {
                    log::error!("the log cannot be written: {error}; trying again each second");
                }
                self.failed = Some((*error, store.now + RETRY));
            }
        }
        self.tell(store);
        result
    }

    /// What is due without a client that waits for it: commits, and compaction. Whether there is
    /// more to do at once.
    pub(crate) fn work(&mut self, store: &mut Store) -> bool {
        let pending = self.log.appended() - self.log.committed();
        let age = store.now.saturating_sub(self.committed_at);
        let is_due = match store.config.fsync {
            Fsync::Always => true,
            Fsync::EverySecond => age >= EVERY_SECOND,
            Fsync::No => age >= EVERY_HALF_MINUTE,
        };
        if self.failed.is_some()
            || (self.is_behind(store) && (is_due || pending >= PENDING_BYTES_MAX))
        {
            // The error is told where somebody waits, and was logged.
            let _ = self.commit(store);
        }
        if self.failed.is_some() {
            return false;
        }
        if self.compaction.is_none() && self.wants_compaction(store) {
            self.begin_compaction(store);
        }
        let mut more = self.compact_some(store);
        // The less room is left, the more of the time goes into getting some back.
        let steps =
            if store.persistence.room_bytes < self.log.capacity_bytes() / 8 { 16 } else { 1 };
        for _ in 1..steps {
            more = more && self.compact_some(store);
        }
        self.tell(store);
        more
    }

    /// Tells the store how the log is.
    fn tell(&self, store: &mut Store) {
        let needed = self.needed_bytes(store);
        let room_bytes = self.log.free_bytes().saturating_sub(needed);
        let persistence = &mut store.persistence;
        persistence.room_bytes = room_bytes;
        persistence.removal_bytes =
            (self.log.free_bytes() + self.margin_bytes() / 4 * 3).saturating_sub(needed);
        persistence.log_bytes = self.log.used_bytes();
        persistence.device_bytes = self.log.capacity_bytes();
        persistence.pending_bytes = self.log.appended() - self.log.committed();
        persistence.is_compacting = self.compaction.is_some();
        persistence.writable = match &self.failed {
            Some((LogError::Full { .. }, _)) => Writable::Full,
            Some(_) => Writable::Failed,
            None if room_bytes == 0 => Writable::Full,
            None => Writable::Yes,
        };
    }

    /// Room that must stay free, so that a compaction can be carried through.
    fn needed_bytes(&self, store: &Store) -> u64 {
        let left = match &self.compaction {
            Some(compaction) => compaction.left_bytes(&store.keys),
            None => store.keys.encoded_bytes(),
        };
        self.log.cost_of(left, left / compaction::STEP_BYTES as u64 + 1) + self.margin_bytes()
    }

    fn margin_bytes(&self) -> u64 {
        MARGIN_BYTES.max(self.log.capacity_bytes() / MARGIN_PART)
    }

    /// What a log of the present state takes.
    fn base_bytes(&self, store: &Store) -> u64 {
        let bytes = store.keys.encoded_bytes();
        self.log.cost_of(bytes, bytes / compaction::STEP_BYTES as u64 + 1)
    }

    fn wants_compaction(&self, store: &Store) -> bool {
        let (config, persistence) = (&store.config, &store.persistence);
        let used = self.log.used_bytes();
        let base = self.base_bytes(store);
        if self.log.free_bytes() < base + MARGIN_BYTES / 2 {
            // It could not be carried through.
            return false;
        }
        if persistence.is_compaction_asked {
            return true;
        }
        // Half of the device is enough to have filled, if compacting gives a good part of it back.
        let gains = used > base + base / 4 + self.margin_bytes();
        if gains && self.log.free_bytes() < self.log.capacity_bytes() / 2 {
            return true;
        }
        // Removals have taken half of what is kept for them: whatever there is to gain is needed.
        let removals = used.saturating_sub(persistence.base_bytes);
        if persistence.room_bytes == 0 && used > base && removals > self.margin_bytes() / 2 {
            return true;
        }
        let percentage = u128::from(config.rewrite_percentage);
        let limit = u128::from(base) * (100 + percentage) / 100;
        percentage > 0 && used >= config.rewrite_min_bytes && u128::from(used) > limit
    }
}
