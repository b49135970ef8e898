//! Random commands on a device that stops and fails: what comes back is what was there after some command, and no
//! earlier one than the last that was acknowledged.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use core::time::Duration;

use super::Journal;
use crate::command::harness::{Harness, dump};
use crate::config::Fsync;
use crate::db::dict::Hasher;
use crate::log::Options;
use crate::log::simulation::{Random, Simulated, TEARS};
use crate::store::Writable;

const DISK_BYTES: usize = 96 << 10;
const STATES_MAX: usize = 400;

/// How many seeds are tried; more if the environment says so.
fn seeds(usual: u64) -> u64 {
    std::env::var("KV_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

struct Life {
    client: Harness,
    journal: Journal<Simulated>,
    /// Writes were lost that were not the last, as a device that is not synchronous can.
    is_incomplete: bool,
}

impl Life {
    fn open(disk: Simulated, random: &mut Random, fsync: Fsync) -> Self {
        let mut client = Harness::new();
        client.store.keys.effects.keep(false);
        client.store.config.fsync = fsync;
        client.store.config.rewrite_min_bytes = 8 << 10;
        let options = Options { entropy: random.next(), is_format_forced: false };
        let (journal, report, _) =
            Journal::open(disk, options, &mut client.store).expect("the device opens");
        client.store.keys.set_now_ms(1_000_000);
        Self { client, journal, is_incomplete: report.is_incomplete }
    }

    fn state(&mut self) -> u64 {
        let hasher = Hasher::new(7, 9);
        let keys = &mut self.client.store.keys;
        // What has expired and was not removed yet is there, for the log.
        let now_ms = keys.now_ms();
        keys.set_now_ms(0);
        let dumped = dump(keys);
        keys.set_now_ms(now_ms);
        hasher.hash(&dumped.concat())
    }

    fn work(&mut self, rounds: usize) {
        for _ in 0..rounds {
            self.journal.work(&mut self.client.store);
        }
    }

    /// Carries out a command as the server does. Whether it may be acknowledged.
    fn run(&mut self, line: &str) -> bool {
        self.client.run(line);
        self.journal.take(&mut self.client.store);
        if self.journal.must_commit(&self.client.store) {
            return self.journal.commit(&mut self.client.store).is_ok();
        }
        self.client.store.config.fsync == Fsync::Always
    }
}

fn line(random: &mut Random) -> String {
    let mut key = || format!("k{}", random.below(8));
    let (key, other) = (key(), key());
    let member = random.below(12);
    let value = "v".repeat(random.below(30) as usize);
    let number = random.below(7) as i64 - 3;
    match random.below(44) {
        0..4 => format!("SET {key} {value}"),
        4 => format!("SET {key} {value} PX {}", random.below(2000) + 1),
        5 => format!("APPEND {key} {value}"),
        6 => format!("INCRBY n{key} {number}"),
        7 => format!("DEL {key} {other}"),
        8 => format!("PEXPIRE {key} {}", random.below(2000)),
        9 => format!("PERSIST {key}"),
        10 => format!("RENAME {key} {other}"),
        11 => format!("COPY {key} {other} REPLACE"),
        12 => format!("MSET {key} {value} {other} {value}"),
        13 => format!("SETRANGE {key} {member} {value}"),
        14..18 => format!("RPUSH l{key} {member} {value} {member}"),
        18..20 => format!("LPUSH l{key} {member}"),
        20 => format!("LPOP l{key} {}", random.below(3)),
        21 => format!("LTRIM l{key} {} {number}", random.below(3)),
        22 => format!("LREM l{key} {number} {member}"),
        23 => format!("LINSERT l{key} BEFORE {member} {value}"),
        24 => format!("LMOVE l{key} l{other} LEFT RIGHT"),
        25..29 => format!("SADD s{key} {member} m{member} {}", random.below(40)),
        29 => format!("SREM s{key} {member}"),
        30 => format!("SPOP s{key} {}", random.below(3)),
        31 => format!("SUNIONSTORE s{key} s{key} s{other}"),
        32..35 => format!("HSET h{key} f{member} {value} g{} {member}", random.below(30)),
        35 => format!("HDEL h{key} f{member} g{member}"),
        36 => format!("HINCRBY h{key} i{member} {number}"),
        37..40 => format!("ZADD z{key} {number} m{member} {member} n{}", random.below(30)),
        40 => format!("ZINCRBY z{key} {number} m{member}"),
        41 => format!("ZPOPMIN z{key} {}", random.below(3)),
        42 => format!("ZREMRANGEBYRANK z{key} 0 {}", random.below(3)),
        _ => match random.below(40) {
            0 => String::from("FLUSHDB"),
            1 => String::from("SWAPDB 0 1"),
            2 => String::from("FLUSHALL"),
            _ => format!("MOVE {key} {}", random.below(2)),
        },
    }
}

/// Lives of a store on one device. A state is what there is after a command.
fn lives(seed: u64, is_synchronous: bool) {
    let verbose = std::env::var("KV_VERBOSE").is_ok();
    let mut random = Random(seed);
    let fsync = if random.one_in(4) { Fsync::EverySecond } else { Fsync::Always };
    let mut disk = Simulated::new(DISK_BYTES, 512, is_synchronous, seed);
    let mut life = Life::open(disk, &mut random, fsync);
    let mut states = vec![life.state()];
    // The state that must come back at least.
    let mut acknowledged = 0;
    for _ in 0..4 {
        if random.one_in(2) {
            let tear = TEARS[random.below(TEARS.len() as u64) as usize];
            let writes = life.journal.disk.writes;
            life.journal.disk.stop_at = Some((writes + random.below(200), tear));
        }
        for _ in 0..random.below(STATES_MAX as u64) {
            let now_ms = life.client.store.keys.now_ms() + random.below(40);
            life.client.store.keys.set_now_ms(now_ms);
            life.client.store.now += Duration::from_millis(random.below(200));
            let line = line(&mut random);
            let is_acknowledged = life.run(&line);
            if verbose {
                std::println!(
                    "{} {line} ack {is_acknowledged} stopped {} compacting {}",
                    states.len(),
                    life.journal.disk.is_stopped,
                    life.journal.compaction.is_some()
                );
            }
            states.push(life.state());
            if random.one_in(60) && is_synchronous {
                let writes = life.journal.disk.writes;
                let tear = TEARS[random.below(TEARS.len() as u64) as usize];
                life.journal.disk.fail_at = Some((writes + random.below(5), tear));
            }
            if random.one_in(50) {
                life.client.store.keys.set_now_ms(now_ms + 3000);
            }
            if random.one_in(40) {
                life.client.store.persistence.is_compaction_asked = true;
            }
            if random.one_in(3) {
                // What expires by itself is a change like any other.
                life.client.store.keys.expire_some(10);
                life.journal.take(&mut life.client.store);
                life.journal.work(&mut life.client.store);
                states.push(life.state());
            }
            let is_durable = is_acknowledged || !life.journal.is_behind(&life.client.store);
            if is_durable && is_synchronous && life.journal.failed.is_none() {
                acknowledged = states.len() - 1;
            }
            if life.journal.disk.is_stopped {
                break;
            }
        }
        let now_ms = life.client.store.keys.now_ms();
        disk = life.journal.disk.clone();
        disk.restart();
        if !is_synchronous && nothing_is_left(&disk) {
            return;
        }
        life = Life::open(disk, &mut random, fsync);
        // Whatever had expired is told once more.
        life.client.store.keys.set_now_ms(now_ms);
        let state = life.state();
        if verbose {
            std::println!(
                "reopened; acknowledged {acknowledged} of {}; found {:?}",
                states.len(),
                states.iter().position(|o| *o == state)
            );
            for d in dump(&mut life.client.store.keys) {
                std::println!("{}", String::from_utf8_lossy(&d));
            }
        }
        let found = states[acknowledged..].iter().position(|other| *other == state);
        let may_differ = life.is_incomplete && !is_synchronous;
        assert!(
            found.is_some() || may_differ,
            "what came back is no state since the last that was acknowledged"
        );
        states = vec![state];
        acknowledged = 0;
    }
}

/// Whether a device that is not synchronous lost even the superblocks, both copies of both.
fn nothing_is_left(disk: &Simulated) -> bool {
    let mut client = Harness::new();
    let options = Options { entropy: 1, is_format_forced: false };
    Journal::open(disk.clone(), options, &mut client.store).is_err()
}

#[test]
fn what_was_acknowledged_comes_back() {
    for seed in 0..seeds(40) {
        let result = std::panic::catch_unwind(|| lives(seed, true));
        assert!(result.is_ok(), "seed {seed}");
    }
}

#[test]
fn what_was_not_synchronous_comes_back_to_some_moment() {
    for seed in 0..seeds(20) {
        let result = std::panic::catch_unwind(|| lives(1_000_000 + seed, false));
        assert!(result.is_ok(), "seed {}", 1_000_000 + seed);
    }
}

/// Whatever happens while a large list is copied, a replay from the copy gives the same.
#[test]
fn a_list_may_change_or_go_while_it_is_copied() {
    for lines in [
        &["FLUSHDB", "SET x 1"][..],
        &["DEL l", "RPUSH l again"],
        &["DEL l", "SADD l member"],
        &["SET l string"],
        &["LPUSH l first", "LSET l 5 changed", "LTRIM l 2 -3", "PEXPIRE l 100000"],
        &["SWAPDB 0 1", "RPUSH l other"],
        &["RENAME l m", "LPOP m 3", "RPUSH l new"],
        &["LMOVE l m LEFT RIGHT", "LMOVE l m RIGHT LEFT"],
    ] {
        for steps in 0..12 {
            let mut random = Random(steps);
            let disk = Simulated::new(DISK_BYTES, 512, true, steps);
            let mut life = Life::open(disk, &mut random, Fsync::Always);
            let value = "v".repeat(60);
            for number in 0..20 {
                assert!(life.run(&format!("RPUSH l {number} {value}")));
                assert!(life.run(&format!("SET other{number} {number}")));
            }
            life.client.store.persistence.is_compaction_asked = true;
            life.work(1 + steps as usize);
            for line in lines {
                assert!(life.run(line), "{line}");
            }
            life.work(1000);
            assert!(life.journal.compaction.is_none());
            let state = life.state();
            let disk = life.journal.disk.clone();
            let mut life = Life::open(disk, &mut random, Fsync::Always);
            assert_eq!(life.state(), state, "{lines:?} after {steps} steps");
        }
    }
}

/// What was asked for too late for one compaction is there for the next, if the device fails between.
#[test]
fn a_void_compaction_never_ends() {
    let mut random = Random(1);
    let disk = Simulated::new(DISK_BYTES, 512, true, 1);
    let mut life = Life::open(disk, &mut random, Fsync::EverySecond);
    for number in 0..50 {
        life.run(&format!("SET k{number} {number}"));
    }
    life.client.store.persistence.is_compaction_asked = true;
    life.work(3);
    assert!(life.journal.compaction.is_some());
    life.run("SWAPDB 0 1");
    life.journal.disk.fail_at = Some((life.journal.disk.writes, TEARS[0]));
    life.work(50);
    life.client.store.now += Duration::from_secs(5);
    life.work(1000);
    let state = life.state();
    let disk = life.journal.disk.clone();
    let mut life = Life::open(disk, &mut random, Fsync::EverySecond);
    assert_eq!(life.state(), state);
}

#[test]
fn removing_small_keys_one_by_one_frees_a_full_device() {
    let mut random = Random(1);
    let disk = Simulated::new(DISK_BYTES, 512, true, 1);
    let mut life = Life::open(disk, &mut random, Fsync::Always);
    let mut count = 0;
    while life.client.run(&format!("SET key:{count} 1")) == "+OK\r\n" {
        life.journal.take(&mut life.client.store);
        assert!(life.journal.commit(&mut life.client.store).is_ok());
        life.work(20);
        count += 1;
        assert!(count < 10_000);
    }
    for key in 0..count {
        let line = format!("DEL key:{key}");
        let mut tries = 0;
        while life.client.run(&line) != ":1\r\n" {
            life.work(10);
            tries += 1;
            assert!(tries < 1000, "{line} of {count}");
        }
        life.journal.take(&mut life.client.store);
        assert!(life.journal.commit(&mut life.client.store).is_ok());
        life.work(3);
    }
    life.work(1000);
    assert_eq!(life.client.run("SET new 1"), "+OK\r\n");
}

#[test]
fn a_full_device_refuses_writes_and_takes_deletions() {
    let mut random = Random(1);
    let disk = Simulated::new(DISK_BYTES, 512, true, 1);
    let mut life = Life::open(disk, &mut random, Fsync::Always);
    let value = "v".repeat(1000);
    let mut count = 0;
    loop {
        let reply = life.client.run(&format!("SET {count} {value}"));
        life.journal.take(&mut life.client.store);
        assert!(life.journal.commit(&mut life.client.store).is_ok());
        life.work(100);
        if reply != "+OK\r\n" {
            assert_eq!(
                reply,
                "-MISCONF Errors writing to the AOF file: No space left on device\r\n"
            );
            break;
        }
        count += 1;
    }
    assert!(count > 5, "{count}");
    assert_eq!(life.client.run("GET 3"), format!("$1000\r\n{value}\r\n"));
    // Deleting makes room, by a compaction that happens by itself.
    for key in 0..count / 2 {
        assert!(life.run(&format!("DEL {key}")));
    }
    life.work(1000);
    assert_eq!(life.client.run("SET new 1"), "+OK\r\n");
    assert_eq!(life.client.store.persistence.writable, Writable::Yes);
}

#[test]
fn a_device_that_fails_refuses_writes_until_it_works_again() {
    let mut random = Random(1);
    let disk = Simulated::new(DISK_BYTES, 512, true, 1);
    let mut life = Life::open(disk, &mut random, Fsync::Always);
    assert!(life.run("SET a 1"));
    life.journal.disk.fail_at = Some((life.journal.disk.writes, TEARS[0]));
    assert!(!life.run("SET a 2"));
    let error = "-MISCONF Errors writing to the AOF file: Input/output error\r\n";
    assert_eq!(life.client.run("SET a 3"), error);
    assert_eq!(life.client.run("GET a"), "$1\r\n2\r\n");
    life.client.store.now += Duration::from_secs(2);
    life.journal.work(&mut life.client.store);
    assert_eq!(life.client.run("SET a 3"), "+OK\r\n");
    assert_eq!(life.client.run("GET a"), "$1\r\n3\r\n");
}

#[test]
fn one_seed() {
    if let Some(seed) = std::env::var("KV_SEED").ok().and_then(|text| text.parse().ok()) {
        lives(seed, seed < 1_000_000);
    }
}
