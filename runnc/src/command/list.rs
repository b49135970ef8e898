//! `list`: the containers below the root.

use std::fmt::Write;

use anyhow::{Result, bail};
use liboci_cli::List;
use serde_json::Value;

use crate::command::print;
use crate::store::Store;

const COLUMNS: [(&str, &str); 6] = [
    ("ID", "id"),
    ("PID", "pid"),
    ("STATUS", "status"),
    ("BUNDLE", "bundle"),
    ("CREATED", "created"),
    ("OWNER", "owner"),
];

/// The verb.
pub(super) fn main(store: &Store, words: &List) -> Result<()> {
    let containers = store.all()?;
    if words.quiet {
        return print(&containers.iter().map(|one| format!("{}\n", one.id())).collect::<String>());
    }
    // One that is not complete has no state; `--quiet` shows it.
    let states: Vec<Value> = containers.iter().filter_map(|one| one.state().ok()).collect();
    match &*words.format {
        "json" => print(&format!("{}\n", Value::from(states))),
        "table" => print(&table(&states)),
        other => bail!("--format={other}: there are table and json"),
    }
}

fn table(states: &[Value]) -> String {
    let rows: Vec<Vec<String>> = [COLUMNS.map(|(title, _)| title.to_owned()).to_vec()]
        .into_iter()
        .chain(states.iter().map(|state| COLUMNS.map(|(_, key)| text(&state[key])).to_vec()))
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}   ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
