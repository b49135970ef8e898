//! What goes when memory is short: `maxmemory-policy`.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::dict::Keyed;
use super::{DATABASES, Keyspace};

/// Which keys may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// None: commands that need memory are refused.
    #[default]
    NoEviction,
    /// Those that were not used for longest, about.
    AllKeysLru,
    /// The same of those that expire.
    VolatileLru,
    /// Any.
    AllKeysRandom,
    /// Those that expire soonest.
    VolatileTtl,
}

impl Policy {
    /// All, with the names that they are configured by.
    pub const NAMES: [(Self, &'static str); 5] = [
        (Self::NoEviction, "noeviction"),
        (Self::AllKeysLru, "allkeys-lru"),
        (Self::VolatileLru, "volatile-lru"),
        (Self::AllKeysRandom, "allkeys-random"),
        (Self::VolatileTtl, "volatile-ttl"),
    ];
}

impl Keyspace {
    /// Removes one key by a policy and tells the log. `samples` keys are looked at for the one that was not used
    /// for longest. Whether there was one.
    pub fn evict(
        &mut self,
        policy: Policy,
        samples: usize,
        mut random: impl FnMut() -> u64,
    ) -> bool {
        let selected = self.selected;
        let found = match policy {
            Policy::NoEviction => None,
            Policy::AllKeysRandom => self.sample(1, false, &mut random),
            Policy::AllKeysLru => self.sample(samples, false, &mut random),
            Policy::VolatileLru => self.sample(samples, true, &mut random),
            Policy::VolatileTtl => self.soonest(),
        };
        let Some((database, key)) = found else { return false };
        self.selected = database;
        let is_removed = self.delete(&key);
        self.selected = selected;
        self.evicted += u64::from(is_removed);
        is_removed
    }

    /// Of some keys the one that was not used for longest. A database is sampled as often as it has keys.
    fn sample(
        &self,
        samples: usize,
        only_expiring: bool,
        random: &mut impl FnMut() -> u64,
    ) -> Option<(usize, Box<[u8]>)> {
        let counts: Vec<usize> = (0..DATABASES)
            .map(|database| self.count(database))
            .map(|(keys, expiring)| if only_expiring { expiring } else { keys })
            .collect();
        let total: usize = counts.iter().sum();
        if total == 0 {
            return None;
        }
        let now = self.access_seconds();
        let mut oldest: Option<(u32, usize, Box<[u8]>)> = None;
        for _ in 0..samples {
            let mut at = (random() % total as u64) as usize;
            let database = counts.iter().position(|count| {
                let is_here = at < *count;
                if !is_here {
                    at -= count;
                }
                is_here
            })?;
            let it = &self.databases[database];
            let record = match only_expiring {
                false => it.keys.random(random()),
                true => it.random_expiring(random()),
            };
            let Some(record) = record else { continue };
            let idle = record.idle_seconds(now);
            if oldest.as_ref().is_none_or(|(longest, ..)| idle > *longest) {
                oldest = Some((idle, database, record.key().into()));
            }
        }
        oldest.map(|(_, database, key)| (database, key))
    }

    /// The key that expires first of all databases.
    fn soonest(&self) -> Option<(usize, Box<[u8]>)> {
        let next = |database: usize| {
            let record = self.databases[database].next_to_expire()?;
            Some((record.expires_at()?, database, Box::from(record.key())))
        };
        (0..DATABASES).filter_map(next).min().map(|(_, database, key)| (database, key))
    }
}
