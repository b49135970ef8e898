//! A small store on the log, which knows every state that it ever had, and what it must find
//! after a restart.

mod crash;
mod damage;
mod garbage;
mod resize;
mod space;

use std::collections::BTreeMap;
use std::vec::Vec;

use super::simulation::{Random, Simulated};
use super::{Log, LogError, Mark, OpenError, Options, Replay, Report};

/// Which number each key has, and how long its value is. Key 0 is the number of the batch.
pub(super) type State = BTreeMap<u8, (u64, usize)>;

const NUMBER: u8 = 0;
const HEAD_BYTES: usize = 13;

/// The value is a function of key and number, so that a wrong byte shows.
fn encode(key: u8, number: u64, bytes: usize) -> Vec<u8> {
    let mut record = std::vec![key];
    record.extend(number.to_le_bytes());
    record.extend((bytes as u32).to_le_bytes());
    record.extend((0..bytes).map(|at| filler(key, number, at)));
    record
}

fn filler(key: u8, number: u64, at: usize) -> u8 {
    ((number as u16 as usize) * 31 + usize::from(key) * 7 + at + (at >> 8)) as u8
}

#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) state: State,
    pub(super) begins: usize,
}

impl Replay for Reader {
    type Error = &'static str;

    fn begin(&mut self) {
        self.state.clear();
        self.begins += 1;
    }

    fn batch(&mut self, mut payload: &[u8]) -> Result<(), Self::Error> {
        while !payload.is_empty() {
            let (head, rest) = payload.split_at_checked(HEAD_BYTES).ok_or("a head is cut")?;
            let number = u64::from_le_bytes(head[1..9].try_into().unwrap());
            let bytes = u32::from_le_bytes(head[9..].try_into().unwrap()) as usize;
            let (value, rest) = rest.split_at_checked(bytes).ok_or("a value is cut")?;
            if (0..bytes).any(|at| value[at] != filler(head[0], number, at)) {
                return Err("a value is wrong");
            }
            self.state.insert(head[0], (number, bytes));
            payload = rest;
        }
        Ok(())
    }
}

pub(super) fn open(
    disk: &mut Simulated,
    entropy: u64,
) -> Result<(Log, Report, Reader), OpenError<&'static str>> {
    let mut reader = Reader::default();
    let options = Options { entropy, is_format_forced: false };
    let (log, report) = Log::open(disk, options, &mut reader)?;
    std::assert!(!std::format!("{report}").is_empty());
    Ok((log, report, reader))
}

/// The store.
pub(super) struct Store {
    pub(super) log: Log,
    pub(super) disk: Simulated,
    /// The state after each batch, the empty one first.
    pub(super) history: Vec<State>,
    /// So many batches were confirmed.
    pub(super) acknowledged: usize,
    random: Random,
    /// A compaction under way, with the keys that are still to be copied.
    compaction: Option<(Mark, Vec<u8>)>,
}

impl Store {
    pub(super) fn new(mut disk: Simulated, seed: u64) -> Self {
        let (log, report, reader) = open(&mut disk, seed).unwrap();
        assert!(report.is_formatted && reader.begins == 0 && !report.is_damaged());
        // A device of which not even the format came through is `crash.rs`'s own test.
        disk.write_back();
        let history = std::vec![State::new()];
        let random = Random(seed);
        Self { log, disk, history, acknowledged: 0, random, compaction: None }
    }

    pub(super) fn state(&self) -> &State {
        self.history.last().unwrap()
    }

    /// Appends a batch that gives `values` keys new values. Is false if there is no room, or the
    /// device failed on the way.
    pub(super) fn batch(&mut self, values: &[(u8, usize)]) -> bool {
        let number = self.history.len() as u64;
        let mut state = self.state().clone();
        let mut records = encode(NUMBER, number, 0);
        state.insert(NUMBER, (number, 0));
        for &(key, bytes) in values {
            records.extend(encode(key, number, bytes));
            state.insert(key, (number, bytes));
        }
        let is_appended = self.append(&records);
        if is_appended {
            self.history.push(state);
        }
        is_appended
    }

    /// Appends a record in some pieces, by one of the two ways.
    fn append(&mut self, record: &[u8]) -> bool {
        let does_fit = self.log.fits(record.len() as u64);
        let result = if self.random.one_in(4) {
            self.log.append_large(record, &mut self.disk)
        } else {
            let (first, second) = record.split_at(self.random.below(record.len() as u64) as usize);
            self.log.append(first).and_then(|()| self.log.append(second))
        };
        let is_appended = result.is_ok();
        match result {
            Ok(()) => assert!(does_fit),
            Err(LogError::Full { .. }) => assert!(!does_fit),
            Err(LogError::Device { .. }) => {}
            Err(other) => panic!("{other}"),
        }
        if is_appended {
            self.log.mark_boundary();
        } else {
            self.log.discard();
        }
        self.check_numbers();
        is_appended
    }

    fn check_numbers(&self) {
        let log = &self.log;
        assert!(log.used_bytes() <= log.capacity_bytes());
        assert_eq!(log.used_bytes() + log.free_bytes(), log.capacity_bytes());
        assert!(log.committed() <= log.appended());
    }

    /// Commits. The batches are acknowledged if that works.
    pub(super) fn commit(&mut self) -> bool {
        let is_committed = self.log.commit(&mut self.disk).is_ok();
        if is_committed {
            assert_eq!(self.log.committed(), self.log.appended());
            self.acknowledged = self.history.len() - 1;
        }
        self.check_numbers();
        is_committed
    }

    /// One step of a compaction: begins it, copies a key, or ends it. Is false if that did not
    /// work; a compaction for which there is no room is given up.
    pub(super) fn compact_a_bit(&mut self) -> bool {
        let Some((mark, mut keys)) = self.compaction.take() else {
            if !self.commit() {
                return false;
            }
            let keys = self.state().keys().copied().collect();
            self.compaction = Some((self.log.mark(), keys));
            return true;
        };
        if let Some(key) = keys.pop() {
            let (number, bytes) = self.state()[&key];
            let is_appended = self.append(&encode(key, number, bytes));
            if is_appended {
                self.compaction = Some((mark, keys));
            }
            return is_appended;
        }
        match self.log.retire_to(mark, &mut self.disk) {
            Ok(()) => self.acknowledged = self.history.len() - 1,
            Err(LogError::Device { .. }) if self.random.one_in(2) => {
                self.compaction = Some((mark, keys));
                return false;
            }
            Err(LogError::Device { .. }) => return false,
            Err(other) => panic!("{other}"),
        }
        self.check_numbers();
        true
    }

    pub(super) fn compact(&mut self) -> bool {
        self.compaction = None;
        while self.compact_a_bit() {
            if self.compaction.is_none() {
                return true;
            }
        }
        false
    }

    /// A random step.
    pub(super) fn step(&mut self) {
        match self.random.below(20) {
            0..8 => {
                self.random_batch();
            }
            8..15 => {
                self.commit();
            }
            15..19 => {
                let is_due = self.log.used_bytes() > self.log.capacity_bytes() / 3;
                if is_due || self.compaction.is_some() {
                    self.compact_a_bit();
                }
            }
            _ => {
                // A record that is given up half way.
                let record = encode(9, u64::MAX, 5000);
                if self.log.append_large(&record, &mut self.disk).is_ok() {
                    if self.random.one_in(2) {
                        self.commit();
                    }
                    let _ = self.log.append_large(&record, &mut self.disk);
                }
                self.log.discard();
            }
        }
    }

    fn random_batch(&mut self) -> bool {
        let live: usize = self.state().values().map(|(_, bytes)| bytes + HEAD_BYTES).sum();
        // What lives must fit twice, with room for a wrap.
        let room = (self.log.capacity_bytes() as usize / 3).saturating_sub(live + 4096);
        let mut values = Vec::new();
        let mut left = room.min(40_000);
        for _ in 0..self.random.below(4) {
            let sizes = [20, 600, 5000, 20_000];
            let limit = sizes[self.random.below(4) as usize].min(left);
            let bytes = self.random.below(limit as u64 + 1) as usize;
            left -= bytes;
            values.push((1 + self.random.below(6) as u8, bytes));
        }
        self.batch(&values)
    }

    /// The machine stops and starts. What comes back must be a state that the store had, and in a
    /// synchronous device not before the last that was acknowledged.
    pub(super) fn restart(&mut self, is_synchronous: bool) -> Report {
        self.disk.restart();
        self.reopen(is_synchronous)
    }

    pub(super) fn reopen(&mut self, is_synchronous: bool) -> Report {
        let image = self.disk.image.clone();
        let (log, report, reader) = match open(&mut self.disk, self.random.next()) {
            Ok(opened) => opened,
            Err(error) => panic!("{error}"),
        };
        assert!(self.disk.image == image, "opening wrote to the device");
        self.log = log;
        self.compaction = None;
        if !is_synchronous && report.is_incomplete {
            self.history = std::vec![State::new(), reader.state];
            self.acknowledged = 0;
            return report;
        }
        assert!(!report.is_incomplete, "{report}");
        let number = reader.state.get(&NUMBER).map_or(0, |(number, _)| *number) as usize;
        let at = self
            .history
            .iter()
            .rposition(|state| *state == reader.state)
            .unwrap_or_else(|| panic!("batch {number} is not as it was: {report}"));
        if is_synchronous {
            assert!(at >= self.acknowledged, "{at} < {}: {report}", self.acknowledged);
            assert!(!report.is_loss(), "{report}");
        }
        self.history.truncate(at + 1);
        self.acknowledged = at;
        report
    }
}

/// The seeds to try: `default` times KV_SEEDS, or the one that KV_SEED names.
pub(super) fn seeds(default: u64) -> core::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("KV_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..default * number("KV_SEEDS").unwrap_or(1),
    }
}
