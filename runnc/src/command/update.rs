//! `update`: other limits for a container that runs. A guest keeps the memory that it was started with.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use libcontainer::oci_spec::runtime::LinuxResources;
use liboci_cli::Update;
use serde_json::{Map, Value, json};

use crate::cgroup::Cgroup;
use crate::container::Status;
use crate::store::Store;

const RESOURCES_MAX_BYTES: u64 = 1 << 20;

/// The verb.
pub(super) fn main(store: &Store, words: &Update) -> Result<()> {
    let container = store.take(&words.container_id)?;
    ensure!(container.status() != Status::Stopped, "container not running: {}", container.id());
    let resources = match &words.resources {
        Some(path) => read(path)?,
        None => serde_json::from_value(of_options(words)).context("options of update")?,
    };
    Cgroup::of(container.record()?)?.apply(&resources)
}

fn read(path: &Path) -> Result<LinuxResources> {
    let mut text = String::new();
    let read = match path == Path::new("-") {
        true => io::stdin().take(RESOURCES_MAX_BYTES).read_to_string(&mut text),
        false => File::open(path)
            .and_then(|file| file.take(RESOURCES_MAX_BYTES).read_to_string(&mut text)),
    };
    read.with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} holds no resources", path.display()))
}

/// The options as the part of a configuration that they stand for.
fn of_options(words: &Update) -> Value {
    let part = |pairs: &[(&str, Option<Value>)]| {
        let given =
            pairs.iter().filter_map(|(key, value)| Some(((*key).to_owned(), value.clone()?)));
        given.collect::<Map<_, _>>()
    };
    let parts = [
        (
            "memory",
            part(&[
                ("limit", words.memory.map(Value::from)),
                ("reservation", words.memory_reservation.map(Value::from)),
                ("swap", words.memory_swap.map(Value::from)),
            ]),
        ),
        (
            "cpu",
            part(&[
                ("shares", words.cpu_share.map(Value::from)),
                ("quota", words.cpu_quota.map(Value::from)),
                ("period", words.cpu_period.map(Value::from)),
                ("realtimeRuntime", words.cpu_rt_runtime.map(Value::from)),
                ("realtimePeriod", words.cpu_rt_period.map(Value::from)),
                ("cpus", words.cpuset_cpus.clone().map(Value::from)),
                ("mems", words.cpuset_mems.clone().map(Value::from)),
            ]),
        ),
        ("pids", part(&[("limit", words.pids_limit.map(Value::from))])),
        ("blockIO", part(&[("weight", words.blkio_weight.map(Value::from))])),
    ];
    let given = parts.into_iter().filter(|(_, part)| !part.is_empty());
    json!(given.map(|(key, part)| (key.to_owned(), part.into())).collect::<Map<_, Value>>())
}
