//! Disks and memories that are full: writes are refused or keys evicted, and the store lives.

use anyhow::{Result, ensure};
use suite::Binaries;
use tempfile::TempDir;

use super::{Store, disk as blank};

/// Sets keys until one is refused; how many it were, and the error.
fn fill(connection: &mut redis::Connection, bytes: usize) -> Result<(usize, String)> {
    let value = "v".repeat(bytes);
    for number in 0..100_000 {
        let set =
            redis::cmd("SET").arg(format!("key:{number}")).arg(&value).query::<()>(connection);
        if let Err(error) = set {
            return Ok((number, error.to_string()));
        }
    }
    anyhow::bail!("there is always room")
}

/// The case.
pub(crate) fn disk(binaries: &Binaries) -> Result<()> {
    let folder = TempDir::new()?;
    let path = blank(&folder, 1 << 20)?;
    let store = Store::start(binaries, &path, &[])?;
    let mut connection = store.connect()?;
    let (count, error) = fill(&mut connection, 5000)?;
    ensure!(count > 30 && error.contains("No space left on device"), "{count}: {error}");
    let value: String = redis::cmd("GET").arg("key:7").query(&mut connection)?;
    ensure!(value.len() == 5000, "reads go on");
    for number in 0..count {
        redis::cmd("DEL").arg(format!("key:{number}")).query::<()>(&mut connection)?;
    }
    // A compaction makes the room free, in the background.
    let mut tries = 0;
    while redis::cmd("SET").arg("again").arg("v".repeat(5000)).query::<()>(&mut connection).is_err()
    {
        tries += 1;
        ensure!(tries < 100_000, "deletions have made no room");
    }
    store.stop()?;
    let store = Store::start(binaries, &path, &[])?;
    let mut connection = store.connect()?;
    let keys: usize = redis::cmd("DBSIZE").query(&mut connection)?;
    ensure!(keys == 1, "{keys} keys");
    store.stop().map(drop)
}

/// The case.
pub(crate) fn memory(binaries: &Binaries) -> Result<()> {
    let store = Store::start_with(binaries, &["--mem=16"], &["--volatile"])?;
    let mut connection = store.connect()?;
    let (count, error) = fill(&mut connection, 1000)?;
    ensure!(count > 3000 && error.contains("OOM"), "{count}: {error}");
    let value: String = redis::cmd("GET").arg("key:7").query(&mut connection)?;
    ensure!(value.len() == 1000, "reads go on");
    // What would be larger than the memory is refused, however short the command.
    let set =
        redis::cmd("SETRANGE").arg("long").arg(100_000_000).arg("x").query::<()>(&mut connection);
    ensure!(set.is_err(), "a string of 100 MB in 16 MB");
    let all = redis::cmd("KEYS").arg("*").query::<Vec<String>>(&mut connection);
    ensure!(all.map_or_else(|error| error.to_string().contains("OOM"), |all| all.len() == count));
    redis::cmd("FLUSHALL").query::<()>(&mut connection)?;
    let mut tries = 0;
    while redis::cmd("SET").arg("again").arg(1).query::<()>(&mut connection).is_err() {
        tries += 1;
        ensure!(tries < 100_000, "FLUSHALL has made no room");
    }
    store.stop().map(drop)
}

/// The case. Sizes change all the time, which is what breaks a heap into pieces.
pub(crate) fn eviction(binaries: &Binaries) -> Result<()> {
    let arguments = ["--volatile", "--maxmemory-policy=allkeys-lru"];
    let store = Store::start_with(binaries, &["--mem=16"], &arguments)?;
    let mut connection = store.connect()?;
    let mut refused = 0;
    let (mut number, rounds, sizes) = (0_usize, 40, [10, 50, 300, 2000, 24, 9000, 100, 40]);
    for round in 0..rounds {
        let mut pipe = redis::pipe();
        pipe.ignore_errors();
        for _ in 0..2000 {
            number += 1;
            let bytes = sizes[round % sizes.len()] + number % 17;
            pipe.cmd("SET").arg(format!("key:{number}")).arg("v".repeat(bytes));
        }
        let replies: Vec<redis::Value> = pipe.query(&mut connection)?;
        refused += replies.iter().filter(|reply| **reply != redis::Value::Okay).count();
    }
    let evicted: String = redis::cmd("INFO").arg("stats").query(&mut connection)?;
    ensure!(!evicted.contains("evicted_keys:0\r"), "nothing was evicted: {evicted}");
    let all = rounds * 2000;
    ensure!(refused < all / 50, "{refused} of {all} were refused although keys can be evicted");
    // One that is acknowledged, and that nothing follows which could evict it.
    let value = "v".repeat(3000);
    let mut tries = 0;
    while redis::cmd("SET").arg("last").arg(&value).query::<()>(&mut connection).is_err() {
        tries += 1;
        ensure!(tries < 100, "evictions make no room");
    }
    let last: Option<String> = redis::cmd("GET").arg("last").query(&mut connection)?;
    ensure!(last.as_ref() == Some(&value), "what was acknowledged last is gone");
    store.stop().map(drop)
}
