//! What was answered lately, for as long as it may be believed: a few names, never for longer than
//! an hour, and that something does not exist for a minute at most.

use alloc::vec::Vec;

use smoltcp::time::{Duration, Instant};

use super::message::{Addresses, Kind};
use super::name::Name;

const ENTRIES_MAX: usize = 32;
pub(super) const TTL_MAX_S: u32 = 60 * 60;
const NEGATIVE_TTL_MAX_S: u32 = 60;

#[derive(Default)]
pub(super) struct Cache {
    entries: Vec<Entry>,
}

struct Entry {
    name: Name,
    kind: Kind,
    known: Known,
    until: Instant,
}

/// What can be remembered of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Addresses(Addresses),
    NoSuchName,
    NoAddress,
}

impl Cache {
    /// What is known, and for how many seconds.
    pub(super) fn find(&self, now: Instant, name: &Name, kind: Kind) -> Option<(Known, u32)> {
        let is_it = |entry: &&Entry| entry.kind == kind && entry.name == *name;
        let entry = self.entries.iter().find(is_it).filter(|entry| now < entry.until)?;
        // No more than the hour that it was put in for.
        Some((entry.known, (entry.until - now).secs() as u32))
    }

    /// Remembers it in place of what ends first. Without memory, it does not.
    pub(super) fn insert(&mut self, now: Instant, name: &Name, kind: Kind, known: Known, ttl: u32) {
        let ttl = ttl.min(match known {
            Known::Addresses(_) => TTL_MAX_S,
            Known::NoSuchName | Known::NoAddress => NEGATIVE_TTL_MAX_S,
        });
        self.entries
            .retain(|entry| now < entry.until && (entry.kind != kind || entry.name != *name));
        if ttl == 0 || self.entries.try_reserve(1).is_err() {
            return;
        }
        if self.entries.len() == ENTRIES_MAX {
            let first = self.entries.iter().enumerate().min_by_key(|(_, entry)| entry.until);
            if let Some((place, _)) = first {
                self.entries.swap_remove(place);
            }
        }
        let until = now + Duration::from_secs(ttl.into());
        self.entries.push(Entry { name: name.clone(), kind, known, until });
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> Name {
        Name::parse(&std::format!("host-{number}")).unwrap()
    }

    #[test]
    fn remembers_for_a_while() {
        let mut cache = Cache::default();
        let at = Instant::from_secs;
        let some = Known::Addresses(Addresses::NONE);
        cache.insert(at(0), &name(1), Kind::A, some, 100);
        assert_eq!(cache.find(at(40), &name(1), Kind::A), Some((some, 60)));
        assert_eq!(cache.find(at(40), &name(1), Kind::Aaaa), None);
        assert_eq!(cache.find(at(40), &name(2), Kind::A), None);
        assert_eq!(cache.find(at(100), &name(1), Kind::A), None);
        for (known, ttl_max) in [(some, 3600), (Known::NoSuchName, 60), (Known::NoAddress, 60)] {
            cache.insert(at(0), &name(1), Kind::A, known, u32::MAX);
            assert_eq!(cache.find(at(0), &name(1), Kind::A), Some((known, ttl_max)));
            cache.insert(at(0), &name(1), Kind::A, known, 0);
            assert_eq!(cache.find(at(0), &name(1), Kind::A), None, "the new answer counts");
        }
    }

    #[test]
    fn what_ends_first_makes_room() {
        let mut cache = Cache::default();
        let at = Instant::from_secs;
        for number in 0..1000 {
            let ttl = if number == 7 { 3000 } else { 1000 + number as u32 };
            cache.insert(at(0), &name(number), Kind::A, Known::Addresses(Addresses::NONE), ttl);
            assert!(cache.entries.len() <= ENTRIES_MAX);
            assert!(cache.find(at(0), &name(number), Kind::A).is_some());
        }
        assert!(cache.find(at(0), &name(7), Kind::A).is_some());
        assert!(cache.find(at(0), &name(900), Kind::A).is_none());
        cache.insert(at(4000), &name(1), Kind::A, Known::Addresses(Addresses::NONE), 10);
        assert_eq!(cache.entries.len(), 1);
    }
}
