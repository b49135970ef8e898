//! Keys that transactions depend on: `WATCH`.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;

/// Whether something changed that a transaction depends on; shared with the keys that it watches.
pub type Broken = Rc<Cell<bool>>;

/// Who watches what.
#[derive(Debug, Default)]
pub struct Watches {
    by_key: BTreeMap<(usize, Box<[u8]>), Vec<Broken>>,
}

impl Watches {
    /// Whether nobody watches anything.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Has a flag set when a key changes.
    pub fn add(&mut self, database: usize, key: &[u8], broken: &Broken) {
        self.by_key.entry((database, key.into())).or_default().push(Rc::clone(broken));
    }

    /// Forgets what [`add`](Self::add) said.
    pub fn remove(&mut self, database: usize, key: &[u8], broken: &Broken) {
        let entry = (database, Box::from(key));
        if let Some(watchers) = self.by_key.get_mut(&entry) {
            watchers.retain(|other| !Rc::ptr_eq(other, broken));
            if watchers.is_empty() {
                self.by_key.remove(&entry);
            }
        }
    }

    /// A key changed.
    pub fn changed(&mut self, database: usize, key: &[u8]) {
        if let Some(watchers) = self.by_key.get(&(database, Box::from(key))) {
            watchers.iter().for_each(|broken| broken.set(true));
        }
    }

    /// All keys of a database changed for which that holds.
    pub fn changed_all(&mut self, database: usize, holds: impl Fn(&[u8]) -> bool) {
        for ((_, key), watchers) in
            self.by_key.iter().filter(|((number, _), _)| *number == database)
        {
            if holds(key) {
                watchers.iter().for_each(|broken| broken.set(true));
            }
        }
    }
}
