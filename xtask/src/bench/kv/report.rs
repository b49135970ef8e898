//! What is told at the end.

use serde_json::{Value, json};

use super::Bench;
use super::client::Client;
use super::memory::Memory;
use super::start::Starts;
use crate::bench::contest::{self, Contest, Results};
use crate::bench::table;

/// All that was measured.
pub(super) struct Report<'a> {
    pub(super) bench: &'a Bench,
    pub(super) results: &'a Results<Bench>,
    pub(super) memory: Option<Memory>,
    pub(super) starts: Option<Starts>,
}

impl Report<'_> {
    /// For people.
    pub(super) fn in_words(&self) -> String {
        let keys = self.bench.options.keys;
        let mut lines = vec![
            contest::machine_line(self.results),
            format!(
                "{}; {} keys, values of {} bytes\n",
                self.bench.lab().in_words(),
                keys.count,
                keys.value_bytes
            ),
        ];
        if !self.results.cells.is_empty() {
            let mut rows = vec![contest::answer_heads("", "errors")];
            rows.extend(self.results.cells.iter().map(contest::answer_row));
            lines.push(table::format(&rows));
        }
        lines.extend(self.memory.iter().map(Memory::in_words));
        lines.extend(self.starts.iter().map(Starts::in_words));
        lines.extend(self.results.remarks());
        lines.join("\n") + "\n"
    }

    /// Everything.
    pub(super) fn to_json(&self) -> Value {
        let options = &self.bench.options;
        let is_ours = options.client == Client::Ours;
        let more = json!({
            "rounds": options.rounds,
            "seconds": options.time.as_secs(),
            "client": if is_ours { "ours" } else { "redis-benchmark" },
            "keys": options.keys.count,
            "value_bytes": options.keys.value_bytes,
            "memory_mb": options.memory_mb,
            "memory": self.memory.as_ref().map(Memory::to_json),
            "start": self.starts.as_ref().map(Starts::to_json),
        });
        self.results.to_json(self.bench, "kv", more)
    }
}
