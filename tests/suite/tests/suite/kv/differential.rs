//! The store and Redis itself are sent the same random commands, and shall reply the same.
//!
//! `NABLA_KV_COMMANDS` says how many, and `NABLA_KV_SEED` which: other seeds find what this one does not. After a
//! difference both are emptied and the run goes on, so that one run tells several.

mod grammar;
mod history;
mod patterns;
mod random;
mod rule;
mod waiting;
mod wire;

use std::env;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use suite::run::free_port;
use suite::{Binaries, Running};
use tempfile::TempDir;

use self::grammar::{Grammar, Sent};
use self::history::History;
use self::random::Random;
use self::rule::Rule;
use self::wire::{Connection, Reply, Words, shown, words};
use super::{Store, disk};

/// Connections to each server; every second speaks RESP3.
const CONNECTIONS: usize = 3;
/// The most patterns whose commands are sent at once.
const BATCH: usize = 30;
/// Commands between two looks at all the data.
const CHECKED: usize = 2000;
/// Differences after which it is enough.
const DIFFERENCES: usize = 12;
/// Databases that the commands use, see [`grammar`].
const DATABASES: [&str; 4] = ["0", "1", "2", "15"];

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The same each time if nothing is said, so that a run of all tests tells of this tree and not of chance.
fn seed() -> u64 {
    setting("NABLA_KV_SEED", 1)
}

/// The case: the replies are those of Redis.
pub(crate) fn replies(binaries: &Binaries) -> Result<()> {
    let store = Store::start_with(binaries, &[], &["--volatile"])?;
    let redis = Redis::start()?;
    let seed = seed();
    let mut pair = Pair::new(seed, [store.port, redis.port])?;
    pair.run(setting("NABLA_KV_COMMANDS", 20_000) as usize)?;
    report(seed, &pair.differences)?;
    store.stop().map(drop)
}

/// The case: so they are if the store is killed now and then, in the middle of compactions too.
pub(crate) fn sudden_ends(binaries: &Binaries) -> Result<()> {
    const LIVES: usize = 6;
    let folder = TempDir::new()?;
    let disk = disk(&folder, 4 << 20)?;
    let arguments = ["--auto-aof-rewrite-min-size=64kb", "--auto-aof-rewrite-percentage=20"];
    let redis = Redis::start()?;
    let seed = seed();
    let mut store = Store::start(binaries, &disk, &arguments)?;
    let mut pair = Pair::new(seed, [store.port, redis.port])?;
    pair.is_restarted = true;
    for _ in 0..LIVES {
        pair.run(setting("NABLA_KV_COMMANDS", 12_000) as usize / LIVES)?;
        kill(Pid::from_raw(store.running.guest_id()), Signal::SIGKILL)?;
        store.running.wait()?;
        store = Store::start(binaries, &disk, &arguments)?;
        pair.connect([store.port, redis.port])?;
        pair.compare_all()?;
    }
    report(seed, &pair.differences)?;
    store.stop().map(drop)
}

/// The case: clients that wait are given what Redis would give them.
pub(crate) fn waiting_clients(binaries: &Binaries) -> Result<()> {
    let store = Store::start_with(binaries, &[], &["--volatile"])?;
    let redis = Redis::start()?;
    let seed = seed();
    let scenes = setting("NABLA_KV_COMMANDS", 20_000) as usize / 100;
    let differences = waiting::play([store.port, redis.port], &mut Random::new(seed), scenes)
        .with_context(|| format!("NABLA_KV_SEED={seed}"))?;
    report(seed, &differences)?;
    store.stop().map(drop)
}

fn report(seed: u64, differences: &[String]) -> Result<()> {
    let text = differences.join("\n\n");
    ensure!(
        differences.is_empty(),
        "NABLA_KV_SEED={seed}: {} differences:\n\n{text}",
        differences.len()
    );
    Ok(())
}

/// Redis itself, which is ended when this is dropped.
struct Redis {
    port: u16,
    _running: Running,
    _folder: TempDir,
}

impl Redis {
    fn start() -> Result<Self> {
        let (port, folder) = (free_port()?, TempDir::new()?);
        // Some commands make it take all memory that there is.
        let limited = "ulimit -v 2000000; exec redis-server \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", limited, "redis-server"]);
        // SORT compares as the locale has it.
        command.env("LC_ALL", "C");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no", "--dir"]).arg(folder.path());
        let mut running = Running::start(&mut command)?;
        running.line_with("Ready to accept connections")?;
        Ok(Self { port, _running: running, _folder: folder })
    }
}

/// A client of ours and one of Redis that do the same.
struct Twins {
    ours: Connection,
    redis: Connection,
    /// What `EXEC` will do.
    queue: Vec<Sent>,
}

impl Twins {
    fn connect([ours, redis]: [u16; 2], hello: &str) -> Result<Self> {
        let mut twins = Self {
            ours: Connection::open(ours)?,
            redis: Connection::open(redis)?,
            queue: Vec::new(),
        };
        twins.ask(&words(hello))?;
        Ok(twins)
    }

    fn ask(&mut self, words: &[Vec<u8>]) -> Result<[Reply; 2]> {
        Ok([self.ours.ask(words)?, self.redis.ask(words)?])
    }

    /// How the replies to a command differ, if they do.
    fn difference(
        &mut self,
        sent: &Sent,
        [ours, redis]: [&Reply; 2],
        before: Option<[&Reply; 2]>,
    ) -> Option<String> {
        let name = sent.words[0].to_ascii_uppercase();
        if redis.is_line("QUEUED") {
            self.queue.push(sent.clone());
        } else if name == b"EXEC" {
            return self.difference_of_queue(ours, redis);
        } else if name == b"DISCARD" {
            self.queue.clear();
        }
        let is_same = sent.rule.holds([ours, redis], before);
        (!is_same).then(|| format!("ours:  {ours:?}\nredis: {redis:?}"))
    }

    fn difference_of_queue(&mut self, ours: &Reply, redis: &Reply) -> Option<String> {
        let queue = std::mem::take(&mut self.queue);
        let (parts, theirs) = (ours.parts(), redis.parts());
        if queue.is_empty() || parts.len() != queue.len() || theirs.len() != queue.len() {
            let queue: String =
                queue.iter().map(|sent| format!("  {}\n", shown(&sent.words))).collect();
            let is_same = Rule::Exact.holds([ours, redis], None);
            return (!is_same).then(|| format!("{queue}ours:  {ours:?}\nredis: {redis:?}"));
        }
        let mut before = None;
        let mut told = String::new();
        for (sent, (ours, redis)) in queue.iter().zip(parts.iter().zip(theirs)) {
            told.push_str(&format!("  {}\n", shown(&sent.words)));
            if !sent.rule.holds([ours, redis], before) {
                return Some(format!("{told}ours:  {ours:?}\nredis: {redis:?}"));
            }
            before = Some([ours, redis]);
        }
        None
    }
}

/// Ours and Redis.
struct Pair {
    ports: [u16; 2],
    twins: Vec<Twins>,
    grammar: Grammar,
    history: History,
    differences: Vec<String>,
    /// Whether ours is started again now and then, after which what only grew may be packed again.
    is_restarted: bool,
}

impl Pair {
    fn new(seed: u64, ports: [u16; 2]) -> Result<Self> {
        let mut pair = Self {
            ports,
            twins: Vec::new(),
            grammar: Grammar::new(Random::new(seed)),
            history: History::default(),
            differences: Vec::new(),
            is_restarted: false,
        };
        pair.connect(ports)?;
        Ok(pair)
    }

    fn connect(&mut self, ports: [u16; 2]) -> Result<()> {
        self.ports = ports;
        let hello = |number| if number % 2 == 0 { "HELLO 2" } else { "HELLO 3" };
        let twins = (0..CONNECTIONS).map(|number| Twins::connect(ports, hello(number)));
        self.twins = twins.collect::<Result<_>>()?;
        Ok(())
    }

    /// Sends about so many commands.
    fn run(&mut self, commands: usize) -> Result<()> {
        let (mut sent, mut checked) = (0, 0);
        while sent < commands && self.differences.len() < DIFFERENCES {
            sent += self.batch()?;
            if sent - checked > CHECKED {
                self.compare_all()?;
                checked = sent;
            }
        }
        self.compare_all()
    }

    /// Sends some commands to both and compares what they reply.
    fn batch(&mut self) -> Result<usize> {
        let number = self.grammar.random().below(CONNECTIONS);
        let patterns = 1 + self.grammar.random().below(BATCH);
        let mut groups: Vec<Vec<Sent>> = (0..patterns).map(|_| self.grammar.next()).collect();
        if self.is_restarted {
            groups.iter_mut().flatten().for_each(|sent| {
                sent.rule = if sent.rule == Rule::Encoding { Rule::Any } else { sent.rule };
            });
        }
        let twins = &mut self.twins[number];
        for sent in groups.iter().flatten() {
            twins.ours.add(&sent.words);
            twins.redis.add(&sent.words);
        }
        twins.redis.send()?;
        twins.ours.send()?;
        let mut difference = None;
        for group in &groups {
            let mut before: Option<[Reply; 2]> = None;
            for sent in group {
                let failed = |who| format!("{who} to {}", shown(&sent.words));
                let ours = twins.ours.reply().with_context(|| failed("ours"))?;
                let redis = twins.redis.reply().with_context(|| failed("redis"))?;
                let queue = twins.queue.clone();
                let known = before.as_ref().map(|[ours, redis]| [ours, redis]);
                let told = twins.difference(sent, [&ours, &redis], known);
                if difference.is_none() {
                    self.history.add(number, &sent.words, &redis);
                    difference = told.map(|told| self.history.tell(&queue, &told));
                }
                before = Some([ours, redis]);
            }
        }
        if let Some(difference) = difference {
            self.note(difference)?;
        }
        Ok(groups.iter().map(Vec::len).sum())
    }

    /// Keeps what was found, and makes both the same again.
    fn note(&mut self, difference: String) -> Result<()> {
        self.differences.push(difference);
        self.history = History::default();
        self.connect(self.ports)?;
        for reply in self.twins[0].ask(&words("FLUSHALL"))? {
            ensure!(reply.is_line("OK"), "{reply:?}");
        }
        Ok(())
    }

    /// Compares all keys of all databases.
    fn compare_all(&mut self) -> Result<()> {
        let mut twins = Twins::connect(self.ports, "HELLO 2")?;
        for database in DATABASES {
            twins.ask(&words(&format!("SELECT {database}")))?;
            let [ours, redis] = twins.ask(&words("KEYS *"))?;
            if !Rule::Unordered.holds([&ours, &redis], None) {
                return self.note(format!("database {database}: ours {ours:?}, redis {redis:?}"));
            }
            for key in redis.parts().iter().filter_map(Reply::text) {
                if let Some(difference) = compare_key(&mut twins, key)? {
                    let told = format!("database {database}, {difference}");
                    self.history.add(0, &[b"KEY".to_vec(), key.to_vec()], &Reply::Null(b'_'));
                    let told = self.history.tell(&[], &told);
                    return self.note(told);
                }
            }
        }
        Ok(())
    }
}

/// How a key differs, if it does.
fn compare_key(twins: &mut Twins, key: &[u8]) -> Result<Option<String>> {
    let command = |line: &str| -> Words {
        let word = |word: &[u8]| if word == b"KEY" { key.to_vec() } else { word.to_vec() };
        words(line).iter().map(|it| word(it)).collect()
    };
    let [ours, redis] = twins.ask(&command("TYPE KEY"))?;
    let (line, rule) = match redis.text() {
        Some(b"list") => ("LRANGE KEY 0 -1", Rule::Exact),
        Some(b"hash") => ("HGETALL KEY", Rule::Pairs),
        Some(b"set") => ("SMEMBERS KEY", Rule::Unordered),
        Some(b"zset") => ("ZRANGE KEY 0 -1 WITHSCORES", Rule::Number),
        _ => ("GET KEY", Rule::Exact),
    };
    if ours != redis {
        return Ok(Some(format!("types: ours {ours:?}, redis {redis:?}")));
    }
    for (line, rule) in [(line, rule), ("PEXPIRETIME KEY", Rule::Near(5000))] {
        let [ours, redis] = twins.ask(&command(line))?;
        if !rule.holds([&ours, &redis], None) {
            return Ok(Some(format!("{line}:\nours:  {ours:?}\nredis: {redis:?}")));
        }
    }
    Ok(None)
}
