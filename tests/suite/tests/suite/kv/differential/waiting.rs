//! Clients that wait, and what others do meanwhile: who gets what, and what is left.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use suite::run::TIME_OUT;

use super::random::Random;
use super::rule::Rule;
use super::wire::{Connection, words};
use super::{Twins, compare_key};

/// Clients that wait at most.
const WAITERS: usize = 3;

/// What is there at first, beside nothing at the keys that are waited for.
const BEFORE: [&str; 2] = ["RPUSH b3 p q r", "ZADD b4 1 p 2 q 3 r"];
const WAITS: [&str; 14] = [
    "BLPOP b0 b1 0",
    "BLPOP b1 b0 0",
    "BRPOP b0 0",
    "BRPOP b0 b0 0",
    "BLMOVE b0 b2 LEFT RIGHT 0",
    "BLMOVE b0 b0 LEFT RIGHT 0",
    "BRPOPLPUSH b0 b1 0",
    "BLMPOP 0 2 b0 b1 LEFT COUNT 2",
    "BLMPOP 0 1 b0 RIGHT",
    "BZPOPMIN b0 b1 0",
    "BZPOPMAX b1 b0 0",
    "BZMPOP 0 2 b1 b0 MIN COUNT 2",
    "BZMPOP 0 1 b0 MAX",
    "BZPOPMIN b0 0",
];
/// What others do; some have several lines. Nothing is stored over something else: Redis 7.0 forgets to look after that
/// whether somebody waits for it.
const DEEDS: [&str; 27] = [
    "RPUSH b0 1",
    "RPUSH b0 1 2 3",
    "LPUSH b1 1 2",
    "LPUSH b0 4 5",
    "ZADD b0 1 a 2 b",
    "ZADD b1 3 c",
    "ZINCRBY b0 1 a",
    "SET b0 x",
    "SET b2 x",
    "DEL b0",
    "RENAME b3 b0",
    "COPY b3 b1",
    "DEL b0;SORT b3 ALPHA STORE b0",
    "LMOVE b3 b0 LEFT LEFT",
    "RPOPLPUSH b3 b1",
    "DEL b0;ZUNIONSTORE b0 1 b4",
    "DEL b1;ZRANGESTORE b1 b4 0 -1",
    "RENAME b4 b0",
    "SWAPDB 0 1",
    "MOVE b3 1",
    "MULTI;RPUSH b0 1 2;LPUSH b1 3;EXEC",
    "MULTI;RPUSH b0 1;DEL b0;EXEC",
    "MULTI;ZADD b0 1 a;RPUSH b1 5;EXEC",
    "MULTI;RPUSH b0 1;RENAME b0 b1;EXEC",
    "MULTI;LPUSH b0 1;SET b0 x;EXEC",
    "MULTI;DEL b0;RPUSH b0 7 8 9;LPOP b0;EXEC",
    "MULTI;RPUSH b1 1;RPUSH b0 2;EXEC",
];
/// What serves all that still wait.
const AFTER: &str =
    "DEL b0 b1 b2;RPUSH b0 1 2 3 4 5 6 7 8 9;DEL b0 b1;ZADD b0 1 a 2 b 3 c 4 d 5 e 6 f 7 g";

/// Plays so many scenes, and returns what differed.
pub(super) fn play(ports: [u16; 2], random: &mut Random, scenes: usize) -> Result<Vec<String>> {
    let mut differences = Vec::new();
    for _ in 0..scenes {
        let mut told = String::new();
        let difference = scene(ports, random, &mut told).with_context(|| told.clone())?;
        differences.extend(difference.map(|difference| format!("{told}{difference}")));
        if differences.len() >= super::DIFFERENCES {
            break;
        }
    }
    Ok(differences)
}

/// One scene; what is done is added to `told`.
fn scene(ports: [u16; 2], random: &mut Random, told: &mut String) -> Result<Option<String>> {
    let mut actor = Twins::connect(ports, "HELLO 2")?;
    for line in ["FLUSHALL"].iter().chain(&BEFORE) {
        actor.ask(&words(line))?;
    }
    let mut waiters = Vec::new();
    for number in 0..1 + random.below(WAITERS) {
        let hello = if random.one_in(2) { "HELLO 2" } else { "HELLO 3" };
        let mut waiter = Twins::connect(ports, hello)?;
        let wait = *random.pick(&WAITS);
        told.push_str(&format!("waiter {number}> {wait}\n"));
        for side in [&mut waiter.ours, &mut waiter.redis] {
            side.add(&words(wait));
            side.send()?;
        }
        wait_for(&mut actor.ours, number + 1)?;
        wait_for(&mut actor.redis, number + 1)?;
        waiters.push(waiter);
    }
    let deeds: Vec<&str> = (0..1 + random.below(3)).map(|_| *random.pick(&DEEDS)).collect();
    for line in deeds.iter().chain(&[AFTER]).flat_map(|deed| deed.split(';')) {
        told.push_str(&format!("{line}\n"));
        let [ours, redis] = actor.ask(&words(line))?;
        if ours != redis {
            return Ok(Some(format!("ours:  {ours:?}\nredis: {redis:?}")));
        }
    }
    for (number, waiter) in waiters.iter_mut().enumerate() {
        let redis = waiter.redis.reply().with_context(|| format!("redis to waiter {number}"))?;
        let ours = waiter.ours.reply().with_context(|| format!("ours to waiter {number}"))?;
        if !Rule::Number.holds([&ours, &redis], None) {
            return Ok(Some(format!("waiter {number}:\nours:  {ours:?}\nredis: {redis:?}")));
        }
    }
    for key in ["b0", "b1", "b2", "b3", "b4"] {
        if let Some(difference) = compare_key(&mut actor, key.as_bytes())? {
            return Ok(Some(format!("{key}: {difference}")));
        }
    }
    Ok(None)
}

/// Waits until so many clients wait.
fn wait_for(connection: &mut Connection, clients: usize) -> Result<()> {
    let deadline = Instant::now() + TIME_OUT;
    let expected = format!("blocked_clients:{clients}\r\n");
    loop {
        let info = connection.ask(&words("INFO clients"))?;
        let text = info.text().map(String::from_utf8_lossy).unwrap_or_default();
        if text.contains(&expected) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "no {expected:?} in {info:?}");
        thread::sleep(Duration::from_millis(1));
    }
}
