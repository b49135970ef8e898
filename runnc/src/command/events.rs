//! `events`: what a container uses, as runc tells it.

use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use libcgroups::stats::{BlkioDeviceStat, MemoryData, Stats};
use liboci_cli::Events;
use serde_json::{Value, json};

use crate::cgroup::Cgroup;
use crate::command::print;
use crate::container::Status;
use crate::store::Store;

/// The verb: once with `--stats`, else again and again until the container stops.
pub(super) fn main(store: &Store, words: &Events) -> Result<()> {
    ensure!(words.interval > 0, "--interval=0: it is a number of seconds");
    let container = store.find(&words.container_id)?;
    let record = container.record()?;
    let status = container.status();
    let is_live = |status| matches!(status, Status::Created | Status::Running | Status::Paused);
    ensure!(is_live(status), "container not running: {}", container.id());
    let cgroup = Cgroup::of(record)?;
    loop {
        let event = json!({ "type": "stats", "id": record.id, "data": data(&cgroup.stats()?) });
        print(&format!("{event}\n"))?;
        if words.stats {
            return Ok(());
        }
        thread::sleep(Duration::from_secs(u64::from(words.interval)));
        if !is_live(container.status()) {
            return Ok(());
        }
    }
}

fn data(stats: &Stats) -> Value {
    json!({
        "cpu": {
            "usage": {
                "total": stats.cpu.usage.usage_total,
                "percpu": stats.cpu.usage.per_core_usage_total,
                "kernel": stats.cpu.usage.usage_kernel,
                "user": stats.cpu.usage.usage_user,
            },
            "throttling": {
                "periods": stats.cpu.throttling.periods,
                "throttledPeriods": stats.cpu.throttling.throttled_periods,
                "throttledTime": stats.cpu.throttling.throttled_time,
            },
        },
        "memory": {
            "cache": stats.memory.cache,
            "usage": memory(&stats.memory.memory),
            "swap": memory(&stats.memory.memswap),
            "kernel": memory(&stats.memory.kernel),
            "raw": stats.memory.stats,
        },
        "pids": { "current": stats.pids.current, "limit": stats.pids.limit },
        "blkio": {
            "ioServiceBytesRecursive": devices(&stats.blkio.service_bytes),
            "ioServicedRecursive": devices(&stats.blkio.serviced),
        },
    })
}

fn memory(data: &MemoryData) -> Value {
    json!({
        "usage": data.usage,
        "max": data.max_usage,
        "limit": data.limit,
        "failcnt": data.fail_count,
    })
}

fn devices(stats: &[BlkioDeviceStat]) -> Value {
    let one = |stat: &BlkioDeviceStat| json!({ "major": stat.major, "minor": stat.minor, "op": stat.op_type, "value": stat.value });
    stats.iter().map(one).collect()
}
