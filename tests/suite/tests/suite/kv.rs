//! The key-value store as a user runs it: a disk, a published port, real clients, and a sudden end.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use suite::run::free_port;
use suite::{Binaries, Ended, Need, Run, Running};
use tempfile::TempDir;

use crate::Case;

mod crash;
mod damage;
mod differential;
mod full;

const REDIS_CLI: &[Need] = &[Need::Program("redis-cli", "redis-tools")];
const REDIS_BENCHMARK: &[Need] = &[Need::Program("redis-benchmark", "redis-tools")];
const REDIS_SERVER: &[Need] = &[Need::Program("redis-server", "redis-server")];
const REDIS_PY: &[Need] =
    &[Need::File(PYTHON), Need::File("/usr/lib/python3/dist-packages/redis/__init__.py")];

/// Debian's own, which finds Debian's modules.
const PYTHON: &str = "/usr/bin/python3";

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("kv::redis-cli talks to it", by_redis_cli).with_needs(REDIS_CLI),
        Case::new("kv::redis-benchmark runs", by_redis_benchmark).with_needs(REDIS_BENCHMARK),
        Case::new("kv::redis-py talks to it", by_redis_py).with_needs(REDIS_PY),
        Case::new("kv::the redis crate talks to it", by_redis_crate),
        Case::new("kv::data is there after an orderly end", orderly_end),
        Case::new("kv::data is there after a sudden end", crash::sudden_ends),
        Case::new("kv::differential: it replies what Redis does", differential::replies)
            .with_needs(REDIS_SERVER),
        Case::new("kv::differential: sudden ends change nothing", differential::sudden_ends)
            .with_needs(REDIS_SERVER),
        Case::new("kv::differential: waiting clients get the same", differential::waiting_clients)
            .with_needs(REDIS_SERVER),
        Case::new("kv::a damaged disk is repaired, with a report", damage::repaired),
        Case::new("kv::a disk that holds something else is not touched", damage::foreign),
        Case::new("kv::a full disk refuses writes and is freed by deletions", full::disk),
        Case::new("kv::a full memory refuses writes", full::memory),
        Case::new("kv::a full memory evicts, whatever the sizes", full::eviction),
        Case::new("kv::without a disk it says so", without_disk),
        Case::new("kv::in memory only if asked for", volatile),
        Case::new("kv::wrong arguments are named", wrong_arguments),
    ]
}

/// A running store, with a disk of its own unless told otherwise.
pub(crate) struct Store {
    running: Running,
    port: u16,
}

impl Store {
    /// Starts one on a disk.
    fn start(binaries: &Binaries, disk: &Path, arguments: &[&str]) -> Result<Self> {
        let block = format!("--block:data={}", disk.display());
        Self::start_with(binaries, &[&block, "--block-sync:data"], arguments)
    }

    fn start_with(binaries: &Binaries, options: &[&str], arguments: &[&str]) -> Result<Self> {
        let port = free_port()?;
        let publish = format!("--publish:service=127.0.0.1:{port}:6379");
        let mut run = Run::new(binaries, binaries.app("kv"))
            .option("--mem=64")
            .option("--net:service=user")
            .option(publish);
        for option in options {
            run = run.option(option);
        }
        let mut running = run.arguments(arguments).start()?;
        running.line_with("listening on")?;
        Ok(Self { running, port })
    }

    fn connect(&self) -> Result<redis::Connection> {
        connect(self.port)
    }

    fn stop(self) -> Result<String> {
        self.running.signal(Signal::SIGTERM)?;
        let outcome = self.running.wait()?;
        ensure!(outcome.ended == Ended::Exit(0), "{outcome:?}");
        ensure!(!outcome.stdout.contains("panicked"), "{outcome:?}");
        Ok(outcome.stdout)
    }
}

fn connect(port: u16) -> Result<redis::Connection> {
    Ok(redis::Client::open(format!("redis://127.0.0.1:{port}/"))?.get_connection()?)
}

/// An empty disk.
fn disk(folder: &TempDir, bytes: u64) -> Result<PathBuf> {
    let path = folder.path().join("kv.img");
    File::create(&path)?.set_len(bytes)?;
    Ok(path)
}

/// Runs a store on a disk of its own while `client` uses it.
fn with_store(binaries: &Binaries, client: impl FnOnce(&Store) -> Result<()>) -> Result<()> {
    let folder = TempDir::new()?;
    let store = Store::start(binaries, &disk(&folder, 16 << 20)?, &[])?;
    client(&store)?;
    store.stop()?;
    Ok(())
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let (text, error) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr),
    );
    ensure!(output.status.success(), "{command:?}: {text}{error}");
    Ok(text)
}

fn by_redis_cli(binaries: &Binaries) -> Result<()> {
    with_store(binaries, |store| {
        let port = store.port.to_string();
        let cli =
            |words: &[&str]| output(Command::new("redis-cli").args(["-p", &port]).args(words));
        for (words, expected) in [
            (&["PING"][..], "PONG\n"),
            (&["SET", "greeting", "hello world"], "OK\n"),
            (&["GET", "greeting"], "hello world\n"),
            (&["-3", "HSET", "h", "f", "1", "g", "2"], "2\n"),
            (&["-3", "HGETALL", "h"], "f 1\ng 2\n"),
            (&["-n", "3", "SET", "k", "in three"], "OK\n"),
            (&["-n", "3", "GET", "k"], "in three\n"),
            (&["GET", "k"], "\n"),
            (&["ZADD", "z", "1.5", "a", "-1", "b"], "2\n"),
            (&["ZRANGE", "z", "0", "-1", "WITHSCORES"], "b\n-1\na\n1.5\n"),
            (&["NONSENSE"], "ERR unknown command 'NONSENSE', with args beginning with: \n\n"),
            (&["CONFIG", "GET", "appendonly"], "appendonly\nyes\n"),
        ] {
            let answer = cli(words)?;
            ensure!(answer == expected, "{words:?}: {answer:?}");
        }
        let info = cli(&["INFO"])?;
        for field in ["redis_version:7", "connected_clients:1", "db0:keys=3", "db3:keys=1"] {
            ensure!(info.contains(field), "no {field} in {info}");
        }
        let docs = cli(&["COMMAND", "DOCS", "get"])?;
        ensure!(docs.contains("Returns the string value of a key"), "{docs}");
        Ok(())
    })
}

fn by_redis_benchmark(binaries: &Binaries) -> Result<()> {
    with_store(binaries, |store| {
        let port = store.port.to_string();
        let words = ["-p", &port, "-n", "2000", "-r", "1000", "-P", "4", "--csv"];
        let text = output(Command::new("redis-benchmark").args(words))?;
        for test in ["SET", "GET", "INCR", "LPUSH", "LRANGE_600", "SPOP", "ZADD", "MSET"] {
            ensure!(text.contains(test), "no {test} in {text}");
        }
        Ok(())
    })
}

fn by_redis_py(binaries: &Binaries) -> Result<()> {
    const SCRIPT: &str = "\
import sys, redis
r = redis.Redis(port=int(sys.argv[1]), decode_responses=True, socket_timeout=30)
assert r.ping()
r.set('a', '1', ex=100)
assert r.incr('a') == 2 and 98 <= r.ttl('a') <= 100
with r.pipeline(transaction=True) as p:
    p.rpush('l', *range(10)).lrange('l', 0, -1).hset('h', mapping={'x': 1, 'y': 2})
    assert p.execute()[1] == [str(i) for i in range(10)]
assert sorted(r.scan_iter(count=2)) == ['a', 'h', 'l']
r.zadd('z', {'one': 1, 'two': 2.5})
assert r.zrange('z', 0, -1, withscores=True) == [('one', 1.0), ('two', 2.5)]
s = r.pubsub(); s.subscribe('c'); assert s.get_message(timeout=30)['type'] == 'subscribe'
assert r.publish('c', 'news') == 1
assert s.get_message(timeout=30)['data'] == 'news'
assert r.blpop('l', timeout=1) == ('l', '0')
with r.pipeline() as p:
    p.watch('a'); r.set('a', 'changed'); p.multi(); p.set('a', 'lost')
    try: p.execute(); raise SystemExit('a broken transaction went through')
    except redis.WatchError: pass
assert r.get('a') == 'changed'
try: r.eval('return 1', 0); raise SystemExit('EVAL is offered')
except redis.ResponseError as e: print(e)
assert r.info()['role'] == 'master' and r.client_list() and r.config_get('max*')
assert r.memory_usage('a') > 0
";
    with_store(binaries, |store| {
        let port = store.port.to_string();
        output(Command::new(PYTHON).args(["-c", SCRIPT, &port])).map(drop)
    })
}

fn by_redis_crate(binaries: &Binaries) -> Result<()> {
    with_store(binaries, |store| {
        let mut connection = store.connect()?;
        let (list, total): (Vec<String>, i64) = redis::pipe()
            .atomic()
            .cmd("RPUSH")
            .arg("l")
            .arg(&["a", "b"])
            .ignore()
            .cmd("LRANGE")
            .arg("l")
            .arg(0)
            .arg(-1)
            .cmd("INCRBY")
            .arg("n")
            .arg(7)
            .query(&mut connection)?;
        ensure!(list == ["a", "b"] && total == 7, "{list:?} {total}");
        // RESP3 from the beginning.
        let address = format!("redis://127.0.0.1:{}/?protocol=resp3", store.port);
        let mut connection = redis::Client::open(address)?.get_connection()?;
        let score: f64 = redis::cmd("ZINCRBY").arg("z").arg(1.5).arg("m").query(&mut connection)?;
        ensure!(score == 1.5, "{score}");
        let all: Vec<(String, f64)> = redis::cmd("ZRANGE")
            .arg("z")
            .arg(0)
            .arg(-1)
            .arg("WITHSCORES")
            .query(&mut connection)?;
        ensure!(all == [("m".to_owned(), 1.5)], "{all:?}");
        Ok(())
    })
}

fn orderly_end(binaries: &Binaries) -> Result<()> {
    let folder = TempDir::new()?;
    let disk = disk(&folder, 16 << 20)?;
    let store = Store::start(binaries, &disk, &[])?;
    let mut connection = store.connect()?;
    let mut pipe = redis::pipe();
    for number in 0..10_000 {
        pipe.cmd("SET").arg(format!("key:{number}")).arg(number).ignore();
    }
    pipe.cmd("PEXPIRE").arg("key:1").arg(3_600_000).ignore();
    pipe.query::<()>(&mut connection)?;
    store.stop()?;
    let store = Store::start(binaries, &disk, &[])?;
    let mut connection = store.connect()?;
    let keys: usize = redis::cmd("DBSIZE").query(&mut connection)?;
    let value: u32 = redis::cmd("GET").arg("key:9999").query(&mut connection)?;
    let seconds: i64 = redis::cmd("TTL").arg("key:1").query(&mut connection)?;
    ensure!(keys == 10_000 && value == 9999, "{keys} keys, {value}");
    ensure!((3000..=3600).contains(&seconds), "{seconds} s");
    let output = store.stop()?;
    ensure!(output.contains("10000 keys"), "{output}");
    Ok(())
}

fn without_disk(binaries: &Binaries) -> Result<()> {
    let outcome = Run::new(binaries, binaries.app("kv"))
        .option("--mem=64")
        .option("--net:service=user")
        .finish()?;
    ensure!(outcome.ended == Ended::Exit(1), "{outcome:?}");
    for word in ["--block:data=", "--volatile", "cargo xtask image --blank"] {
        ensure!(outcome.stdout.contains(word), "no {word}: {outcome:?}");
    }
    Ok(())
}

fn volatile(binaries: &Binaries) -> Result<()> {
    let store = Store::start_with(binaries, &[], &["--volatile"])?;
    let mut connection = store.connect()?;
    redis::cmd("SET").arg("a").arg(1).query::<()>(&mut connection)?;
    let value: u32 = redis::cmd("GET").arg("a").query(&mut connection)?;
    ensure!(value == 1, "{value}");
    let settings: Vec<String> =
        redis::cmd("CONFIG").arg("GET").arg("appendonly").query(&mut connection)?;
    ensure!(settings == ["appendonly", "no"], "{settings:?}");
    store.stop()?;
    Ok(())
}

fn wrong_arguments(binaries: &Binaries) -> Result<()> {
    for (argument, what) in [
        ("--port=0", "--port=0"),
        ("--maxmemory=lots", "maxmemory"),
        ("--maxmemory-policy=sometimes", "maxmemory-policy"),
        ("--appendfsync=often", "appendfsync"),
        ("--frob=1", "--frob"),
        ("frob", "frob"),
    ] {
        let outcome = Run::new(binaries, binaries.app("kv"))
            .option("--mem=64")
            .option("--net:service=user")
            .arguments(&["--volatile", argument])
            .finish()?;
        ensure!(outcome.ended == Ended::Exit(1), "{argument}: {outcome:?}");
        ensure!(outcome.stdout.contains(what), "{argument}: {outcome:?}");
    }
    Ok(())
}
