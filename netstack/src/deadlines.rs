//! When each task must run next: an indexed binary heap. A task has at most one entry, which moves
//! when its deadline does, so that the heap never holds more entries than there are tasks.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;

use smoltcp::time::Instant;

const ABSENT: u32 = u32::MAX;

pub(crate) struct Deadlines {
    heap: Vec<(Instant, u32)>,
    /// Where in the heap each task is.
    position: Vec<u32>,
}

impl Deadlines {
    pub(crate) fn new(tasks: usize) -> Result<Self, TryReserveError> {
        let mut heap = Vec::new();
        heap.try_reserve_exact(tasks)?;
        let mut position = Vec::new();
        position.try_reserve_exact(tasks)?;
        position.resize(tasks, ABSENT);
        Ok(Self { heap, position })
    }

    /// Sets, moves or (with `None`) removes the deadline of a task.
    pub(crate) fn set(&mut self, task: u32, deadline: Option<Instant>) {
        let at = self.position[task as usize];
        match (deadline, at) {
            (None, ABSENT) => {}
            (None, at) => self.remove(at as usize),
            (Some(deadline), ABSENT) => {
                self.heap.push((deadline, task));
                self.rise(self.heap.len() - 1);
            }
            (Some(deadline), at) => {
                let at = at as usize;
                let earlier = deadline < self.heap[at].0;
                self.heap[at].0 = deadline;
                if earlier { self.rise(at) } else { self.sink(at) }
            }
        }
    }

    /// The deadline of a task.
    pub(crate) fn of(&self, task: u32) -> Option<Instant> {
        let entry = self.heap.get(self.position[task as usize] as usize);
        entry.map(|(deadline, _)| *deadline)
    }

    pub(crate) fn earliest(&self) -> Option<Instant> {
        self.heap.first().map(|(deadline, _)| *deadline)
    }

    /// Takes out a task whose deadline has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let &(deadline, task) = self.heap.first()?;
        if deadline > now {
            return None;
        }
        self.remove(0);
        Some(task)
    }

    fn remove(&mut self, at: usize) {
        let (_, task) = self.heap.swap_remove(at);
        self.position[task as usize] = ABSENT;
        if at < self.heap.len() {
            self.rise(at);
            let moved = self.position[self.heap[at].1 as usize] as usize;
            self.sink(moved.max(at));
        }
    }

    fn rise(&mut self, mut at: usize) {
        let entry = self.heap[at];
        while at > 0 && entry < self.heap[(at - 1) / 2] {
            self.place(at, self.heap[(at - 1) / 2]);
            at = (at - 1) / 2;
        }
        self.place(at, entry);
    }

    fn sink(&mut self, mut at: usize) {
        let entry = self.heap[at];
        loop {
            let left = 2 * at + 1;
            let Some(&first) = self.heap.get(left) else {
                break;
            };
            let (child, least) = match self.heap.get(left + 1) {
                Some(&second) if second < first => (left + 1, second),
                _ => (left, first),
            };
            if entry <= least {
                break;
            }
            self.place(at, least);
            at = child;
        }
        self.place(at, entry);
    }

    fn place(&mut self, at: usize, entry: (Instant, u32)) {
        self.heap[at] = entry;
        self.position[entry.1 as usize] = at as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 128,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// Whatever is set and taken, the heap answers as a sorted map would.
        #[test]
        fn behaves_like_a_sorted_map(
            steps in prop::collection::vec((0u32..16, prop::option::of(0i64..50), any::<bool>()), 0..200),
        ) {
            let mut heap = Deadlines::new(16).unwrap();
            let mut map = BTreeMap::new();
            for (task, deadline, pop) in steps {
                let deadline = deadline.map(Instant::from_micros);
                heap.set(task, deadline);
                match deadline {
                    Some(deadline) => map.insert(task, deadline),
                    None => map.remove(&task),
                };
                prop_assert_eq!(heap.earliest(), map.values().min().copied());
                if pop && let Some(popped) = heap.pop_due(Instant::from_micros(25)) {
                    let at = map.remove(&popped).expect("only what was set");
                    prop_assert!(at <= Instant::from_micros(25));
                    prop_assert!(map.values().all(|other| *other >= at));
                }
                prop_assert_eq!(heap.heap.len(), map.len());
            }
        }
    }
}
