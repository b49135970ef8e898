//! Transactions: replies, and a model.

use core::mem::swap;
use std::collections::{BTreeMap, BTreeSet};
use std::format;
use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;

use crate::command::harness::Harness;
use crate::config::Memory;
use crate::store::Writable;

fn check(client: &mut Harness, cases: &[(&str, &str)]) {
    for (line, reply) in cases {
        assert_eq!(client.run(line), *reply, "{line}");
    }
}

const ABORTED: &str = "-EXECABORT Transaction discarded because of previous errors.\r\n";
const QUEUED: &str = "+QUEUED\r\n";
const OK: &str = "+OK\r\n";

#[test]
fn what_was_kept_is_carried_out_in_order() {
    let mut client = Harness::new();
    check(
        &mut client,
        &[
            ("EXEC", "-ERR EXEC without MULTI\r\n"),
            ("DISCARD", "-ERR DISCARD without MULTI\r\n"),
            ("MULTI", OK),
            ("MULTI", "-ERR MULTI calls can not be nested\r\n"),
            ("WATCH a", "-ERR WATCH inside MULTI is not allowed\r\n"),
            ("SET a 1", QUEUED),
            ("INCR a", QUEUED),
            ("UNWATCH", QUEUED),
            ("SELECT 1", QUEUED),
            ("GET a", QUEUED),
            ("SET a x", QUEUED),
            ("INCR a", QUEUED),
            ("PING", QUEUED),
        ],
    );
    assert_eq!(client.session.client.queued.get(), Some(8));
    check(
        &mut client,
        &[
            (
                "EXEC",
                "*8\r\n+OK\r\n:2\r\n+OK\r\n+OK\r\n$-1\r\n+OK\r\n\
                 -ERR value is not an integer or out of range\r\n+PONG\r\n",
            ),
            ("GET a", "$1\r\nx\r\n"),
            ("MULTI", OK),
            ("EXEC", "*0\r\n"),
            ("MULTI", OK),
            ("SET a y", QUEUED),
            ("DISCARD", OK),
            ("GET a", "$1\r\nx\r\n"),
        ],
    );
    assert_eq!(client.session.client.queued.get(), None);
    client.check_replay();
}

#[test]
fn a_command_that_cannot_be_kept_aborts_all() {
    let mut client = Harness::new();
    check(
        &mut client,
        &[
            ("MULTI", OK),
            ("SET a 1", QUEUED),
            ("FOO", "-ERR unknown command 'FOO', with args beginning with: \r\n"),
            ("EXEC", ABORTED),
            ("MULTI", OK),
            ("SET a 1", QUEUED),
            ("GET", "-ERR wrong number of arguments for 'get' command\r\n"),
            ("DISCARD", OK),
            ("MULTI", OK),
            ("SET a 1", QUEUED),
            (
                "EXEC foo",
                "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' \
                 command\r\n",
            ),
            ("EXEC", "-ERR EXEC without MULTI\r\n"),
            ("EXISTS a", ":0\r\n"),
        ],
    );
}

#[test]
fn a_watched_key_that_changed_stops_it() {
    let mut client = Harness::new();
    let mut other = client.another();
    let mut by_other = |client: &mut Harness, line: &str| {
        swap(&mut client.session, &mut other);
        client.run(line);
        swap(&mut client.session, &mut other);
    };
    for (before, change, is_broken) in [
        ("PING", "SET a 1", true),
        ("PING", "SET b 1", false),
        ("SET a 1", "GET a", false),
        ("SET a 1", "DEL a", true),
        ("DEL a", "DEL a", false),
        ("SET a 1", "EXPIRE a 100", true),
        ("SET a 1", "FLUSHALL", true),
        ("DEL a", "FLUSHALL", false),
        ("SET a 1", "SWAPDB 0 1", true),
        ("SET a 1", "RENAME a b", true),
        ("RPUSH a 1", "LTRIM a 0 -1", true),
        ("RPUSH a 1", "LREM a 0 2", false),
    ] {
        client.run("FLUSHALL");
        check(&mut client, &[("UNWATCH", OK)]);
        client.run(before);
        check(&mut client, &[("WATCH a a", OK), ("MULTI", OK), ("SET c 1", QUEUED)]);
        by_other(&mut client, change);
        let expected = if is_broken { "*-1\r\n" } else { "*1\r\n+OK\r\n" };
        assert_eq!(client.run("EXEC"), expected, "{before} {change}");
        assert!(client.store.keys.watches.is_empty() && client.session.watched.is_empty());
    }
    // Also an EXEC that is refused forgets what was watched, without a transaction too.
    let refused = "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' \
                   command\r\n";
    check(&mut client, &[("WATCH a", OK), ("SET a 1", OK), ("EXEC foo", refused)]);
    check(&mut client, &[("MULTI", OK), ("EXEC", "*0\r\n")]);
    check(&mut client, &[("WATCH a", OK)]);
    by_other(&mut client, "SET a 1");
    check(&mut client, &[("UNWATCH", OK), ("MULTI", OK), ("EXEC", "*0\r\n")]);
    check(&mut client, &[("WATCH a", OK), ("SET a 2", OK), ("MULTI", OK), ("EXEC", "*-1\r\n")]);
    check(&mut client, &[("MULTI", OK), ("EXEC", "*0\r\n")]);
    client.check_replay();
}

#[test]
fn a_watched_key_that_expires_has_changed() {
    let mut client = Harness::new();
    check(&mut client, &[("SET a 1 PX 100", OK), ("WATCH a", OK), ("MULTI", OK)]);
    client.store.keys.set_now_ms(1_000_200);
    check(&mut client, &[("EXEC", "*-1\r\n")]);
    client.run("SET a 1 PX 100");
    client.store.keys.set_now_ms(1_000_400);
    check(&mut client, &[("WATCH a", OK), ("MULTI", OK), ("EXEC", "*0\r\n")]);
}

#[test]
fn a_full_memory_or_device_refuses_all_of_it() {
    let mut client = Harness::new();
    check(&mut client, &[("MULTI", OK), ("SET a 1", QUEUED)]);
    client.store.config.memory_max_bytes = 0;
    check(
        &mut client,
        &[
            (
                "EXEC",
                "-EXECABORT Transaction discarded because of: OOM command not allowed when used \
                 memory > 'maxmemory'.\r\n",
            ),
            ("MULTI", OK),
            ("GET a", QUEUED),
            ("DEL a", QUEUED),
            ("EXEC", "*2\r\n$-1\r\n:0\r\n"),
        ],
    );
    client.store.config.memory_max_bytes = 1 << 30;
    client.store.persistence.writable = Writable::Yes;
    client.store.persistence.room_bytes = 10_000;
    check(&mut client, &[("MULTI", OK), ("SET a 1", QUEUED), ("GET a", QUEUED)]);
    client.store.persistence.writable = Writable::Failed;
    assert!(client.run("EXEC").starts_with("-EXECABORT Transaction discarded because of: MISCONF"));
    check(&mut client, &[("MULTI", OK), ("GET a", QUEUED), ("EXEC", "*1\r\n$-1\r\n")]);
}

/// What one client does, which has transactions, and another, which changes keys.
#[derive(Debug, Clone, Copy)]
enum Step {
    Watch(usize),
    Unwatch,
    Multi,
    Incr(usize),
    Exec,
    Discard,
    OtherIncr(usize),
    OtherDel(usize),
    OtherReads(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..3_usize;
    let step = prop_oneof![
        2 => key.clone().prop_map(Step::Watch),
        1 => Just(Step::Unwatch),
        3 => Just(Step::Multi),
        5 => key.clone().prop_map(Step::Incr),
        3 => Just(Step::Exec),
        1 => Just(Step::Discard),
        1 => key.clone().prop_map(Step::OtherIncr),
        1 => key.clone().prop_map(Step::OtherDel),
        1 => key.prop_map(Step::OtherReads),
    ];
    prop::collection::vec(step, 1..60)
}

#[derive(Default)]
struct Model {
    values: BTreeMap<usize, i64>,
    queue: Option<Vec<usize>>,
    watched: BTreeSet<usize>,
    is_broken: bool,
}

impl Model {
    fn incr(&mut self, key: usize) -> i64 {
        self.is_broken |= self.watched.contains(&key);
        let value = self.values.entry(key).or_default();
        *value += 1;
        *value
    }

    fn forget(&mut self) {
        self.watched.clear();
        self.is_broken = false;
    }

    fn step(&mut self, step: Step) -> String {
        let (ok, queued) = (String::from(OK), String::from(QUEUED));
        match (step, &mut self.queue) {
            (Step::Watch(_), Some(_)) => "-ERR WATCH inside MULTI is not allowed\r\n".into(),
            (Step::Watch(key), None) => {
                self.watched.insert(key);
                ok
            }
            (Step::Unwatch, Some(queue)) => {
                queue.push(usize::MAX);
                queued
            }
            (Step::Unwatch, None) => {
                self.forget();
                ok
            }
            (Step::Multi, Some(_)) => "-ERR MULTI calls can not be nested\r\n".into(),
            (Step::Multi, queue) => {
                *queue = Some(Vec::new());
                ok
            }
            (Step::Incr(key), Some(queue)) => {
                queue.push(key);
                queued
            }
            (Step::Incr(key) | Step::OtherIncr(key), _) => format!(":{}\r\n", self.incr(key)),
            (Step::Exec, None) => "-ERR EXEC without MULTI\r\n".into(),
            (Step::Exec, queue) => {
                let queue = queue.take().unwrap_or_default();
                let is_broken = self.is_broken;
                self.forget();
                if is_broken {
                    return "*-1\r\n".into();
                }
                let mut reply = format!("*{}\r\n", queue.len());
                for key in queue {
                    if key == usize::MAX {
                        reply.push_str(OK);
                    } else {
                        reply.push_str(&format!(":{}\r\n", self.incr(key)));
                    }
                }
                reply
            }
            (Step::Discard, None) => "-ERR DISCARD without MULTI\r\n".into(),
            (Step::Discard, queue) => {
                *queue = None;
                self.forget();
                ok
            }
            (Step::OtherDel(key), _) => {
                let was_there = self.values.remove(&key).is_some();
                self.is_broken |= was_there && self.watched.contains(&key);
                format!(":{}\r\n", i64::from(was_there))
            }
            (Step::OtherReads(key), _) => {
                format!(":{}\r\n", i64::from(self.values.contains_key(&key)))
            }
        }
    }
}

proptest! {
    #[test]
    fn transactions_are_as_in_the_model(steps in steps()) {
        let mut client = Harness::new();
        let mut other = client.another();
        let mut model = Model::default();
        for step in steps {
            let (line, is_other) = match step {
                Step::Watch(key) => (format!("WATCH {key}"), false),
                Step::Unwatch => ("UNWATCH".into(), false),
                Step::Multi => ("MULTI".into(), false),
                Step::Incr(key) => (format!("INCR {key}"), false),
                Step::Exec => ("EXEC".into(), false),
                Step::Discard => ("DISCARD".into(), false),
                Step::OtherIncr(key) => (format!("INCR {key}"), true),
                Step::OtherDel(key) => (format!("DEL {key}"), true),
                Step::OtherReads(key) => (format!("EXISTS {key}"), true),
            };
            if is_other {
                swap(&mut client.session, &mut other);
            }
            let reply = client.run(&line);
            if is_other {
                swap(&mut client.session, &mut other);
            }
            prop_assert_eq!(reply, model.step(step), "{:?}", step);
        }
        client.check_replay();
    }
}

#[test]
fn what_cannot_be_kept_aborts_a_transaction() {
    let mut client = Harness::new();
    check(&mut client, &[("MULTI", OK), ("GET a", QUEUED)]);
    client.fill_memory();
    let full = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    check(&mut client, &[("GET b", full), ("EXEC", ABORTED)]);
    // What is long is refused before anything copies it, and what is short is not.
    let long = "k".repeat(100_000);
    check(&mut client, &[(&format!("DEL {long}"), full), ("DEL k", ":0\r\n")]);
}

#[test]
fn what_was_promised_in_front_is_there_for_every_command() {
    fn short() -> Memory {
        // With the reserve, there is 1 MiB for what can be refused.
        Memory { used_bytes: 0, size_bytes: 32 << 20, available_bytes: 2 << 20 }
    }

    let mut client = Harness::new();
    client.run(&format!("SET a {}", "v".repeat(400_000)));
    let long = "w".repeat(200_000);
    client.run("MULTI");
    for line in ["GET a", "GET a", &format!("SET b {long}"), "GET a"] {
        assert_eq!(client.run(line), QUEUED);
    }
    client.store.set_memory(short);
    let reply = client.run("EXEC");
    // The first reply is there, the second would take what SET was promised.
    assert!(reply.starts_with("*4\r\n$400000\r\n"));
    let rest = "-OOM the reply does not fit into memory\r\n+OK\r\n";
    assert!(reply[400_000..].contains(rest), "{}", &reply[400_010..]);
    assert_eq!(client.run("STRLEN b"), ":200000\r\n");
    assert_eq!(client.store.promised_bytes, 0);
}
