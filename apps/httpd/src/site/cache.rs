//! Small files that were asked for lately, kept in memory: reading one from the device takes a
//! system call for each piece, sending it from here none. The image cannot change while the guest
//! runs, so nothing here ever gets old.
//!
//! What does not fit is simply not kept. It refuses nothing and fails never.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::cell::RefCell;

/// Contents by their place on the device.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    bytes_max: usize,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<u64, Entry>,
    /// All entries in the order in which they are looked at for one that can go.
    clock: VecDeque<u64>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    contents: Vec<u8>,
    /// It was asked for since it was last looked at.
    is_in_use: bool,
}

impl Cache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, state: RefCell::default() }
    }

    /// Shows the contents that begin at this place, if they are here.
    pub(crate) fn with<R>(&self, offset: u64, show: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let mut state = self.state.borrow_mut();
        let entry = state.entries.get_mut(&offset)?;
        entry.is_in_use = true;
        Some(show(&entry.contents))
    }

    /// Keeps contents, at the cost of others that were not asked for lately.
    pub(crate) fn keep(&self, offset: u64, contents: &[u8]) {
        if contents.len() > self.bytes_max / 4 {
            return;
        }
        let mut state = self.state.borrow_mut();
        if state.entries.contains_key(&offset) {
            return;
        }
        while state.bytes + contents.len() > self.bytes_max {
            state.evict();
        }
        let mut copy = Vec::new();
        if copy.try_reserve_exact(contents.len()).is_err() || state.clock.try_reserve(1).is_err() {
            return;
        }
        copy.extend_from_slice(contents);
        state.bytes += copy.len();
        state.entries.insert(offset, Entry { contents: copy, is_in_use: false });
        state.clock.push_back(offset);
    }

    /// Bytes of all that is kept.
    pub(crate) fn bytes(&self) -> usize {
        self.state.borrow().bytes
    }
}

impl State {
    /// Gives up the first entry that was not in use; those that were get another round.
    fn evict(&mut self) {
        while let Some(offset) = self.clock.pop_front() {
            let Some(entry) = self.entries.get_mut(&offset) else { continue };
            if core::mem::take(&mut entry.is_in_use) {
                self.clock.push_back(offset);
                continue;
            }
            self.bytes -= entry.contents.len();
            self.entries.remove(&offset);
            return;
        }
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let cache = Cache::new(1000);
        for offset in 0..4 {
            cache.keep(offset, &vec![offset as u8; 250]);
        }
        assert_eq!(cache.with(0, <[u8]>::len), Some(250));
        cache.keep(9, &[9; 200]);
        assert_eq!(cache.with(1, |_| ()), None, "the oldest that nobody asked for");
        assert_eq!(cache.with(0, |bytes| bytes[0]), Some(0));
        assert_eq!(cache.with(9, |bytes| bytes[0]), Some(9));
        assert_eq!(cache.bytes(), 950);
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let cache = Cache::new(1000);
        cache.keep(0, &[0; 251]);
        cache.keep(1, &[]);
        assert_eq!((cache.with(0, |_| ()), cache.with(1, <[u8]>::len)), (None, Some(0)));
        Cache::default().keep(0, &[1]);
    }
}
