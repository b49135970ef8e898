//! What is told at the end.

use serde_json::{Value, json};

use super::Bench;
use super::client::Client;
use crate::bench::contest::{self, Contest, Results};
use crate::bench::table;

/// For people.
pub(super) fn in_words(bench: &Bench, results: &Results<Bench>) -> String {
    let mut rows = vec![contest::answer_heads("", "errors")];
    rows.extend(results.cells.iter().map(contest::answer_row));
    let mut lines = vec![
        contest::machine_line(results),
        format!("{}; a page of 1 KiB\n", bench.lab().in_words()),
        table::format(&rows),
    ];
    lines.extend(results.remarks());
    lines.join("\n") + "\n"
}

/// Everything.
pub(super) fn to_json(bench: &Bench, results: &Results<Bench>) -> Value {
    let options = &bench.options;
    let more = json!({
        "rounds": options.rounds,
        "seconds": options.time.as_secs(),
        "client": if options.client == Client::Wrk { "wrk" } else { "ours" },
        "memory_mb": options.memory_mb,
    });
    results.to_json(bench, "http", more)
}
