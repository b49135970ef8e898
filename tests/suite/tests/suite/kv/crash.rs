//! The store is killed at random moments while clients write. Whatever was acknowledged is there afterwards.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use suite::Binaries;
use tempfile::TempDir;

use super::{Store, connect, disk};

/// Clients that write at the same time.
const CLIENTS: usize = 4;
/// Elements that a list keeps at most.
const LIST_LEN: i64 = 50;

/// How often it is killed; `NABLA_KV_CRASHES` says more for a long run.
fn rounds() -> usize {
    let asked = std::env::var("NABLA_KV_CRASHES").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(12)
}

/// What a client knows: the last number that was acknowledged, and the last that it sent.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    acknowledged: i64,
    sent: i64,
}

/// The case.
pub(crate) fn sudden_ends(binaries: &Binaries) -> Result<()> {
    let folder = TempDir::new()?;
    // Small, so that compactions are under way for a good part of the time.
    let disk = disk(&folder, 2 << 20)?;
    let mut known = [Known::default(); CLIENTS];
    let mut random = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos() as u64;
    let seed = random;
    for round in 0..rounds() {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let life = Duration::from_micros((random >> 33) % 150_000);
        one_life(binaries, &disk, &mut known, life)
            .with_context(|| format!("round {round}, seed {seed}, {life:?}"))?;
    }
    let written: i64 = known.iter().map(|known| known.acknowledged).sum();
    println!("kv: {} sudden ends, {written} transactions, all there", rounds());
    ensure!(written > 0, "nothing was written");
    Ok(())
}

fn one_life(
    binaries: &Binaries,
    disk: &Path,
    known: &mut [Known; CLIENTS],
    life: Duration,
) -> Result<()> {
    let arguments = ["--auto-aof-rewrite-min-size=64kb", "--auto-aof-rewrite-percentage=50"];
    let store = Store::start(binaries, disk, &arguments)?;
    let mut connection = store.connect()?;
    for (client, known) in known.iter_mut().enumerate() {
        *known = check(&mut connection, client, *known)
            .with_context(|| format!("client {client}, {known:?}"))?;
    }
    let is_over = AtomicBool::new(false);
    let guest = store.running.guest_id();
    let ended = thread::scope(|scope| {
        let clients: Vec<_> = known
            .iter_mut()
            .enumerate()
            .map(|(client, known)| {
                let (port, is_over) = (store.port, &is_over);
                scope.spawn(move || write(port, client, known, is_over))
            })
            .collect();
        // The subject is a death at any moment, and time is what moments are made of.
        thread::sleep(life);
        is_over.store(true, Ordering::Relaxed);
        let killed = kill(Pid::from_raw(guest), Signal::SIGKILL);
        for client in clients {
            client.join().map_err(|_| anyhow!("a client panicked"))??;
        }
        anyhow::Ok(killed?)
    });
    ended?;
    store.running.wait()?;
    Ok(())
}

/// Writes transactions until the store is gone.
fn write(port: u16, client: usize, known: &mut Known, is_over: &AtomicBool) -> Result<()> {
    let mut connection = match connect(port) {
        Ok(connection) => connection,
        Err(_) if is_over.load(Ordering::Relaxed) => return Ok(()),
        Err(error) => return Err(error),
    };
    loop {
        let number = known.sent + 1;
        known.sent = number;
        let mut pipe = redis::pipe();
        pipe.atomic();
        let key = |name: &str| format!("{name}:{client}");
        pipe.cmd("SET").arg(key("one")).arg(number).ignore();
        pipe.cmd("RPUSH").arg(key("list")).arg(number).ignore();
        pipe.cmd("LTRIM").arg(key("list")).arg(-LIST_LEN).arg(-1).ignore();
        pipe.cmd("HSET").arg(key("hash")).arg(number % 100).arg(number).ignore();
        pipe.cmd("ZADD").arg(key("ranks")).arg(number).arg(format!("m{}", number % 300)).ignore();
        pipe.cmd("SADD").arg(key("set")).arg(number % 1000).ignore();
        pipe.cmd("SET")
            .arg(format!("large:{client}:{}", number % 20))
            .arg("x".repeat(700))
            .ignore();
        pipe.cmd("INCR").arg(key("two"));
        match pipe.query::<Vec<i64>>(&mut connection) {
            Ok(counted) => {
                ensure!(counted == [number], "{counted:?} instead of {number}");
                known.acknowledged = number;
            }
            // What was sent last may or may not be there.
            Err(error) if is_over.load(Ordering::Relaxed) && error.is_io_error() => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        if is_over.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
}

/// What a client left is there, wholly, and nothing that it did not send.
fn check(connection: &mut redis::Connection, client: usize, known: Known) -> Result<Known> {
    let key = |name: &str| format!("{name}:{client}");
    let one: Option<i64> = redis::cmd("GET").arg(key("one")).query(connection)?;
    let two: Option<i64> = redis::cmd("GET").arg(key("two")).query(connection)?;
    let number = one.unwrap_or(0);
    ensure!(number == two.unwrap_or(0), "a transaction is half there: {one:?} and {two:?}");
    ensure!(known.acknowledged <= number, "acknowledged and lost: {number}");
    ensure!(number <= known.sent, "never sent: {number}");
    let list: Vec<i64> = redis::cmd("LRANGE").arg(key("list")).arg(0).arg(-1).query(connection)?;
    let first = (number - LIST_LEN + 1).max(1);
    ensure!(list == (first..=number).collect::<Vec<_>>(), "{list:?} up to {number}");
    let hash: Option<i64> =
        redis::cmd("HGET").arg(key("hash")).arg(number % 100).query(connection)?;
    ensure!(hash.unwrap_or(0) == number, "the hash has {hash:?} instead of {number}");
    let fields: i64 = redis::cmd("HLEN").arg(key("hash")).query(connection)?;
    ensure!(fields == number.min(100), "{fields} fields after {number}");
    let members: i64 = redis::cmd("ZCARD").arg(key("ranks")).query(connection)?;
    ensure!(members == number.min(300), "{members} members after {number}");
    let last: Vec<(String, i64)> = redis::cmd("ZRANGE")
        .arg(key("ranks"))
        .arg(-1)
        .arg(-1)
        .arg("WITHSCORES")
        .query(connection)?;
    ensure!(last.first().map_or(0, |(_, score)| *score) == number, "{last:?} after {number}");
    let set: i64 = redis::cmd("SCARD").arg(key("set")).query(connection)?;
    ensure!(set == number.min(1000), "{set} members after {number}");
    Ok(Known { acknowledged: number, sent: number })
}
