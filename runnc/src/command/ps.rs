//! `ps`: the processes of a container: the supervisor, the guest, and gateways.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use liboci_cli::Ps;
use serde_json::json;

use crate::cgroup::Cgroup;
use crate::command::print;
use crate::store::Store;

/// The verb.
pub(super) fn main(store: &Store, words: &Ps) -> Result<()> {
    let container = store.find(&words.container_id)?;
    let mut pids = Cgroup::of(container.record()?)?.pids()?;
    // Where there are no control groups, this one is known.
    pids.extend(container.init().map(|init| init.pid));
    pids.sort_unstable();
    pids.dedup();
    match &*words.format {
        "json" => print(&format!("{}\n", json!(pids))),
        "table" => table(&pids, &words.ps_options),
        other => bail!("--format={other}: there are table and json"),
    }
}

/// The lines of ps(1) that are about these processes.
fn table(pids: &[i32], options: &[String]) -> Result<()> {
    let usual = ["-ef".to_owned()];
    let options = if options.is_empty() { &usual[..] } else { options };
    let output = Command::new("ps").args(options).output().context("cannot run ps")?;
    ensure!(output.status.success(), "ps: {}", String::from_utf8_lossy(&output.stderr).trim());
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let titles = lines.next().unwrap_or_default();
    let column = titles.split_whitespace().position(|title| title == "PID");
    let column = column.context("ps shows no column PID with these options")?;
    let is_ours = |line: &&str| {
        let pid = line.split_whitespace().nth(column).and_then(|word| word.parse().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    };
    let ours: String = lines.filter(is_ours).map(|line| format!("{line}\n")).collect();
    print(&format!("{titles}\n{ours}"))
}
