//! What has happened since the start, for `INFO`.
//!
//! Counted where it happens; here it is only kept, and the rates of the last second are told from it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

/// Counters since the start.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// When the server started, on the monotonic clock.
    pub started: Duration,
    /// Connections.
    pub connections: u64,
    /// Connections that were refused.
    pub rejected: u64,
    /// Commands.
    pub commands: u64,
    /// Bytes that came.
    pub input_bytes: u64,
    /// Bytes that went.
    pub output_bytes: u64,
    /// Replies that were errors.
    pub errors: u64,
    /// The same by their codes.
    pub errors_by_code: BTreeMap<&'static str, u64>,
    /// The most memory that was used, as far as anyone looked.
    pub peak_bytes: usize,
    /// The last whole second.
    pub rates: Rates,
    /// By command.
    pub by_command: CommandStats,
}

impl Stats {
    /// Forgets what was counted, other than when the server started.
    pub fn reset(&mut self) {
        let (started, peak_bytes) = (self.started, self.peak_bytes);
        *self = Self { started, peak_bytes, ..Self::default() };
    }

    /// Looks at the counters, a few times a second.
    pub fn sample(&mut self, now: Duration, used_bytes: usize) {
        self.peak_bytes = self.peak_bytes.max(used_bytes);
        let counts = [self.commands, self.input_bytes, self.output_bytes];
        self.rates.sample(now, counts);
    }
}

/// What happened in a second: commands, and bytes in and out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rates {
    /// Per second.
    pub per_second: [u64; 3],
    last: [u64; 3],
    at: Duration,
}

impl Rates {
    fn sample(&mut self, now: Duration, counts: [u64; 3]) {
        let passed = now.saturating_sub(self.at);
        if passed < Duration::from_secs(1) {
            return;
        }
        for (rate, (count, last)) in self.per_second.iter_mut().zip(counts.iter().zip(self.last)) {
            let micros = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX);
            *rate = count.saturating_sub(last).saturating_mul(1_000_000) / micros;
        }
        (self.last, self.at) = (counts, now);
    }
}

/// How often a command ran, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct CommandStat {
    /// Its name, with its subcommand's.
    pub name: &'static str,
    /// How often.
    pub calls: u64,
    /// How long in all.
    pub took: Duration,
    /// How often it was an error.
    pub failed: u64,
}

/// The same of all commands that ran.
#[derive(Debug, Clone, Default)]
pub struct CommandStats {
    stats: Vec<CommandStat>,
    places: BTreeMap<&'static str, usize>,
    /// The place of the last command, which is often that of the next.
    last: usize,
}

impl CommandStats {
    /// Counts a run.
    pub fn add(&mut self, name: &'static str, took: Duration, has_failed: bool) {
        let place = match self.stats.get(self.last) {
            Some(stat) if core::ptr::eq(stat.name, name) => self.last,
            _ => self.place(name),
        };
        self.last = place;
        if let Some(stat) = self.stats.get_mut(place) {
            stat.calls += 1;
            stat.took += took;
            stat.failed += u64::from(has_failed);
        }
    }

    fn place(&mut self, name: &'static str) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = self.stats.len();
        self.stats.push(CommandStat { name, calls: 0, took: Duration::ZERO, failed: 0 });
        self.places.insert(name, place);
        place
    }

    /// All that ran.
    pub fn iter(&self) -> impl Iterator<Item = &CommandStat> {
        self.stats.iter()
    }
}
