//! Clients that wait: who is served when.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::mem;
use core::task::{Context, Poll, Waker};

use crate::client::Session;
use crate::command::harness::Harness;
use crate::config::Memory;
use crate::reply::Protocol;

const NULL: &str = "*-1\r\n";

/// Several clients of one store, each with its own session.
struct Clients {
    harness: Harness,
    others: Vec<Session>,
}

impl Clients {
    fn new(count: usize) -> Self {
        let mut harness = Harness::new();
        let others = (0..count).map(|_| harness.another()).collect();
        Self { harness, others }
    }

    /// Runs a command of a client that is not the harness's own.
    fn run_as(&mut self, client: usize, line: &str) -> String {
        mem::swap(&mut self.harness.session, &mut self.others[client]);
        let reply = self.harness.run(line);
        mem::swap(&mut self.harness.session, &mut self.others[client]);
        reply
    }

    /// Lets a client begin to wait.
    fn wait(&mut self, client: usize, line: &str) {
        assert_eq!(self.run_as(client, line), "", "{line}");
        assert!(self.others[client].waiter.is_some(), "{line}");
        assert!(self.harness.store.keys.has_waiters);
    }

    /// What a client got while it waited.
    fn reply_of(&mut self, client: usize) -> Option<String> {
        let waiter = self.others[client].waiter.as_ref()?;
        match waiter.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(reply) => {
                self.others[client].waiter = None;
                Some(String::from_utf8_lossy(&reply).to_string())
            }
            Poll::Pending => None,
        }
    }

    fn run(&mut self, line: &str) -> String {
        self.harness.run(line)
    }

    /// Nobody waits, nothing is left over, and the log is right.
    fn end(mut self) {
        assert!(self.harness.store.blocked.is_empty());
        assert!(!self.harness.store.keys.has_waiters);
        assert!(self.harness.store.keys.ready.is_empty());
        self.harness.check_replay();
    }
}

#[test]
fn what_is_there_is_taken_at_once() {
    let mut client = Harness::new();
    for (line, reply) in [
        ("RPUSH l a b c d e f", ":6\r\n"),
        ("SET s x", "+OK\r\n"),
        ("BLPOP none l 0", "*2\r\n$1\r\nl\r\n$1\r\na\r\n"),
        ("BRPOP l none 0", "*2\r\n$1\r\nl\r\n$1\r\nf\r\n"),
        ("BLMPOP 0 2 none l LEFT COUNT 2", "*2\r\n$1\r\nl\r\n*2\r\n$1\r\nb\r\n$1\r\nc\r\n"),
        ("BLMOVE l m LEFT RIGHT 0", "$1\r\nd\r\n"),
        ("BRPOPLPUSH l m 0", "$1\r\ne\r\n"),
        ("EXISTS l", ":0\r\n"),
        ("LRANGE m 0 -1", "*2\r\n$1\r\ne\r\n$1\r\nd\r\n"),
        (
            "BLPOP none s 0",
            "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        ),
        (
            "BLMOVE m s LEFT LEFT 0",
            "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        ),
    ] {
        assert_eq!(client.run(line), reply, "{line}");
        assert!(client.session.waiter.is_none());
    }
    client.check_replay();
}

#[test]
fn times_are_checked() {
    let mut client = Harness::new();
    let not_float = "-ERR timeout is not a float or out of range\r\n";
    let negative = "-ERR timeout is negative\r\n";
    let too_large = "-ERR timeout is out of range\r\n";
    for (line, reply) in [
        ("BLPOP l x", not_float),
        ("BLPOP l nan", not_float),
        ("BLPOP l -1", negative),
        ("BLPOP l -inf", negative),
        ("BLPOP l -0.001", negative),
        ("BLPOP l inf", too_large),
        ("BLPOP l 1e16", too_large),
        ("BLMOVE a b foo LEFT x", "-ERR syntax error\r\n"),
        ("BLMOVE a b LEFT LEFT x", not_float),
        ("BLMPOP x 0 l LEFT", "-ERR numkeys should be greater than 0\r\n"),
        ("BLMPOP x 1 l foo", "-ERR syntax error\r\n"),
        ("BLMPOP x 1 l LEFT", not_float),
    ] {
        assert_eq!(client.run(line), reply, "{line}");
    }
    for (text, ms) in
        [("0", None), ("-0.0001", None), ("0.0001", Some(1)), ("1.5", Some(1500)), ("1e15", None)]
    {
        assert_eq!(client.run(&alloc::format!("BLPOP l {text}")), "");
        let waiter = client.session.waiter.take().unwrap();
        assert_eq!(waiter.timeout.map(|it| it.as_millis()), ms, "{text}");
        client.store.forget(&waiter);
    }
}

#[test]
fn clients_are_served_in_their_order() {
    let mut clients = Clients::new(4);
    clients.wait(0, "BLPOP a b 0");
    clients.wait(1, "BRPOP b a 0");
    clients.wait(2, "BLMPOP 0 1 b LEFT COUNT 5");
    clients.wait(3, "BLPOP b 0");
    assert_eq!(clients.run("RPUSH b 1 2 3 4"), ":4\r\n");
    assert_eq!(clients.reply_of(0).unwrap(), "*2\r\n$1\r\nb\r\n$1\r\n1\r\n");
    assert_eq!(clients.reply_of(1).unwrap(), "*2\r\n$1\r\nb\r\n$1\r\n4\r\n");
    assert_eq!(clients.reply_of(2).unwrap(), "*2\r\n$1\r\nb\r\n*2\r\n$1\r\n2\r\n$1\r\n3\r\n");
    assert_eq!(clients.reply_of(3), None);
    assert_eq!(clients.run("EXISTS b"), ":0\r\n");
    clients.run("RPUSH b 5");
    assert_eq!(clients.reply_of(3).unwrap(), "*2\r\n$1\r\nb\r\n$1\r\n5\r\n");
    clients.end();
}

#[test]
fn only_a_list_ends_the_waiting_for_one() {
    let mut clients = Clients::new(1);
    clients.wait(0, "BLPOP k 0");
    clients.run("SET k x");
    clients.run("APPEND k y");
    assert_eq!(clients.reply_of(0), None);
    clients.run("DEL k");
    assert!(clients.harness.store.keys.ready.is_empty());
    clients.run("SELECT 1");
    clients.run("RPUSH k other");
    assert_eq!(clients.reply_of(0), None);
    clients.run("SELECT 0");
    clients.run("RPUSH l 1");
    clients.run("RENAME l k");
    assert_eq!(clients.reply_of(0).unwrap(), "*2\r\n$1\r\nk\r\n$1\r\n1\r\n");
    clients.wait(0, "BLPOP k 0");
    clients.run("SWAPDB 0 1");
    assert_eq!(clients.reply_of(0).unwrap(), "*2\r\n$1\r\nk\r\n$5\r\nother\r\n");
    clients.end();
}

#[test]
fn lists_and_sorted_sets_are_waited_for_by_name() {
    let mut clients = Clients::new(4);
    clients.wait(0, "BLPOP k 0");
    clients.wait(1, "BZPOPMAX k 0");
    clients.wait(2, "BZMPOP 0 2 l k MIN COUNT 2");
    clients.wait(3, "BZPOPMIN k 0");
    clients.run("ZADD k 1 a 2 b 3 c 4.5 d");
    assert_eq!(clients.reply_of(0), None);
    assert_eq!(clients.reply_of(1).unwrap(), "*3\r\n$1\r\nk\r\n$1\r\nd\r\n$3\r\n4.5\r\n");
    let two = "*2\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$1\r\nb\r\n$1\r\n2\r\n";
    assert_eq!(clients.reply_of(2).unwrap(), alloc::format!("*2\r\n$1\r\nk\r\n{two}"));
    assert_eq!(clients.reply_of(3).unwrap(), "*3\r\n$1\r\nk\r\n$1\r\nc\r\n$1\r\n3\r\n");
    clients.run("RPUSH k 1");
    assert_eq!(clients.reply_of(0).unwrap(), "*2\r\n$1\r\nk\r\n$1\r\n1\r\n");
    clients.wait(1, "BZPOPMAX k 0");
    clients.run("ZADD z 1 a");
    clients.run("ZUNIONSTORE k 1 z");
    assert_eq!(clients.reply_of(1).unwrap(), "*3\r\n$1\r\nk\r\n$1\r\na\r\n$1\r\n1\r\n");
    clients.end();
}

#[test]
fn moves_go_on_from_list_to_list_and_end() {
    let mut clients = Clients::new(4);
    clients.wait(0, "BLMOVE a b LEFT RIGHT 0");
    clients.wait(1, "BLMOVE b c LEFT RIGHT 0");
    clients.wait(2, "BRPOPLPUSH c a 0");
    clients.run("RPUSH a 1");
    for client in 0..3 {
        assert_eq!(clients.reply_of(client).unwrap(), "$1\r\n1\r\n");
    }
    assert_eq!(clients.run("LRANGE a 0 -1"), "*1\r\n$1\r\n1\r\n");
    clients.run("DEL a");
    clients.wait(0, "BLMOVE a a LEFT RIGHT 0");
    clients.wait(1, "BLMOVE a s LEFT RIGHT 0");
    clients.wait(2, "BLPOP a 0");
    clients.wait(3, "BLPOP a 0");
    clients.run("SET s x");
    clients.run("RPUSH a 1 2");
    assert_eq!(clients.reply_of(0).unwrap(), "$1\r\n1\r\n");
    assert!(clients.reply_of(1).unwrap().starts_with("-WRONGTYPE "));
    assert_eq!(clients.reply_of(2).unwrap(), "*2\r\n$1\r\na\r\n$1\r\n2\r\n");
    assert_eq!(clients.reply_of(3).unwrap(), "*2\r\n$1\r\na\r\n$1\r\n1\r\n");
    clients.end();
}

#[test]
fn keys_are_served_in_the_order_in_which_they_got_something() {
    let mut clients = Clients::new(2);
    clients.wait(0, "BLMOVE b a LEFT LEFT 0");
    clients.wait(1, "BRPOP a 0");
    clients.run("SET a x");
    clients.run("MULTI");
    for line in ["APPEND a y", "DEL a", "RPUSH b 1", "RPUSH a 2"] {
        clients.run(line);
    }
    clients.run("EXEC");
    assert_eq!(clients.reply_of(0).unwrap(), "$1\r\n1\r\n");
    assert_eq!(clients.reply_of(1).unwrap(), "*2\r\n$1\r\na\r\n$1\r\n2\r\n");
    assert_eq!(clients.run("LRANGE a 0 -1"), "*1\r\n$1\r\n1\r\n");
    clients.end();
}

#[test]
fn who_is_gone_gets_nothing() {
    let mut clients = Clients::new(3);
    (0..3).for_each(|client| clients.wait(client, "BLPOP a 0"));
    clients.others[0].client.kill();
    let id = clients.others[1].client.id;
    clients.harness.store.clients.remove(&id);
    clients.run("RPUSH a 1");
    assert_eq!(clients.reply_of(0), None);
    assert_eq!(clients.reply_of(1), None);
    assert_eq!(clients.reply_of(2).unwrap(), "*2\r\n$1\r\na\r\n$1\r\n1\r\n");
    clients.wait(2, "BLPOP a 0");
    let waiter = clients.others[2].waiter.take().unwrap();
    clients.harness.store.forget(&waiter);
    assert!(!clients.harness.store.keys.has_waiters);
    assert_eq!(clients.run("RPUSH a 2"), ":1\r\n");
    assert_eq!(clients.run("LLEN a"), ":1\r\n");
    clients.end();
}

#[test]
fn others_end_the_waiting() {
    let mut clients = Clients::new(2);
    clients.wait(0, "BLPOP a 0");
    clients.others[1].client.protocol.set(Protocol::Resp3);
    clients.wait(1, "BLMOVE a b LEFT LEFT 0");
    let ids = [0, 1].map(|client: usize| clients.others[client].client.id);
    assert!(clients.harness.store.blocked.unblock(ids[0], true));
    assert!(clients.harness.store.blocked.unblock(ids[1], false));
    assert!(!clients.harness.store.blocked.unblock(ids[1], false));
    let reply = clients.reply_of(0).unwrap();
    assert_eq!(reply, "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
    assert_eq!(clients.reply_of(1).unwrap(), "_\r\n");
    clients.run("RPUSH a 1");
    assert_eq!(clients.run("LLEN a"), ":1\r\n");
    clients.end();
}

#[test]
fn nobody_waits_in_a_transaction() {
    let mut client = Harness::new();
    client.session.is_executing = true;
    for (line, reply) in [
        ("BLPOP a 0", NULL),
        ("BRPOP a 0", NULL),
        ("BLMPOP 0 1 a LEFT", NULL),
        ("BLMOVE a b LEFT LEFT 0", "$-1\r\n"),
        ("BRPOPLPUSH a b 0", "$-1\r\n"),
    ] {
        assert_eq!(client.run(line), reply, "{line}");
        assert!(client.session.waiter.is_none());
    }
    assert!(!client.store.keys.has_waiters);
}

#[test]
fn nothing_is_taken_for_a_reply_that_finds_no_memory() {
    fn short() -> Memory {
        Memory { used_bytes: 0, size_bytes: 1 << 30, available_bytes: 0 }
    }

    let element = "e".repeat(10_000);
    for line in ["BLPOP l 0", "BRPOPLPUSH l m 0", "BLMPOP 0 1 l LEFT", "BZPOPMIN l 0"] {
        let mut clients = Clients::new(1);
        clients.wait(0, line);
        clients.harness.store.set_memory(short);
        let is_list = !line.starts_with("BZ");
        let put = if is_list { "RPUSH l" } else { "ZADD l 1" };
        assert_eq!(clients.run(&alloc::format!("{put} {element}")), ":1\r\n");
        let reply = clients.reply_of(0).unwrap();
        assert!(reply.starts_with("-OOM") && reply.ends_with("\r\n"), "{line}: {reply}");
        assert_eq!(clients.run(if is_list { "LLEN l" } else { "ZCARD l" }), ":1\r\n", "{line}");
        if is_list {
            assert!(clients.run("LPOP l").starts_with("-OOM"));
            assert_eq!(clients.run("LLEN l"), ":1\r\n");
        }
        clients.end();
    }
}
