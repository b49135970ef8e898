//! Clients that wait for a key, over connections: when they are served, and what becomes of them.

mod harness;

use std::time::Duration;

use harness::{Client, MEMORY_BYTES, MemoryDisk, World};
use kv::config::Config;

fn config() -> Config {
    Config::for_memory(MEMORY_BYTES)
}

/// Lets a client begin to wait.
fn wait(world: &mut World, client: &Client, line: &str) {
    assert_eq!(world.run(client, line), "", "{line}");
}

#[test]
fn what_was_given_is_on_the_disk_before_it_is_sent() {
    let disk = MemoryDisk::new(1 << 20);
    let mut world = World::on(disk.clone(), config());
    let (waiting, other) = (world.connect(), world.connect());
    wait(&mut world, &waiting, "BLPOP l 0");
    let writes = world.disk.writes.get();
    assert_eq!(world.run(&other, "RPUSH l a b"), ":2\r\n");
    assert_eq!(waiting.take(), "*2\r\n$1\r\nl\r\n$1\r\na\r\n");
    assert!(world.disk.writes.get() > writes);
    drop(world);
    let mut world = World::on(disk, config());
    let client = world.connect();
    assert_eq!(world.run(&client, "LRANGE l 0 -1"), "*1\r\n$1\r\nb\r\n");
}

#[test]
fn a_transaction_is_over_before_anybody_is_served() {
    let mut world = World::new(config());
    let (one, two, other) = (world.connect(), world.connect(), world.connect());
    wait(&mut world, &one, "BLPOP l 0");
    wait(&mut world, &two, "BZPOPMIN l 0");
    let line = "MULTI\r\nRPUSH l a\r\nLPOP l\r\nZADD l 1 m\r\nLPUSH l b\r\nEXEC";
    assert!(world.run(&other, line).contains(":1\r\n$1\r\na\r\n:1\r\n-WRONGTYPE"));
    assert_eq!(two.take(), "*3\r\n$1\r\nl\r\n$1\r\nm\r\n$1\r\n1\r\n");
    assert_eq!(one.take(), "");
    world.run(&other, "MULTI\r\nRPUSH l a\r\nLPUSH l b\r\nEXEC");
    assert_eq!(one.take(), "*2\r\n$1\r\nl\r\n$1\r\nb\r\n");
    // Within a transaction nobody waits.
    assert_eq!(
        world.run(&other, "DEL l\r\nMULTI\r\nBLPOP l 0\r\nBLMOVE l m LEFT LEFT 0\r\nEXEC"),
        ":1\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n*-1\r\n$-1\r\n"
    );
}

#[test]
fn time_is_over_for_each_by_itself() {
    let mut world = World::new(config());
    let (one, two, other) = (world.connect(), world.connect(), world.connect());
    wait(&mut world, &one, "BLPOP l 1.5");
    wait(&mut world, &two, "BLMOVE l m LEFT RIGHT 3");
    world.advance(Duration::from_millis(1499));
    assert_eq!(one.take(), "");
    world.advance(Duration::from_millis(1));
    assert_eq!((one.take(), two.take()), ("*-1\r\n".into(), String::new()));
    assert_eq!(world.run(&other, "RPUSH l a"), ":1\r\n");
    assert_eq!((one.take(), two.take()), (String::new(), "$1\r\na\r\n".into()));
    world.advance(Duration::from_secs(10));
    assert_eq!(two.take(), "");
    assert_eq!(world.run(&other, "LRANGE m 0 -1"), "*1\r\n$1\r\na\r\n");
}

#[test]
fn who_is_gone_takes_nothing() {
    let mut world = World::new(config());
    let (closed, killed, other) = (world.connect(), world.connect(), world.connect());
    let id = world.run(&killed, "CLIENT ID");
    wait(&mut world, &closed, "BLPOP l 0");
    wait(&mut world, &killed, "BLPOP l 0");
    closed.close();
    world.settle();
    assert!(world.is_over(&closed));
    let id = id.trim_start_matches(':').trim_end();
    // Killed and pushed at once, before the killed connection can do anything.
    let line = format!("CLIENT KILL ID {id}\r\nRPUSH l a\r\nLLEN l");
    assert_eq!(world.run(&other, &line), ":1\r\n:1\r\n:1\r\n");
    assert!(world.is_over(&killed));
    assert_eq!(world.run(&other, "LPOP l"), "$1\r\na\r\n");
}

#[test]
fn who_waits_is_unblocked_by_number() {
    let mut world = World::new(config());
    let (waiting, other) = (world.connect(), world.connect());
    let id = world.run(&waiting, "CLIENT ID").trim_start_matches(':').trim_end().to_string();
    wait(&mut world, &waiting, "BLPOP l 0");
    assert_eq!(world.run(&other, &format!("CLIENT UNBLOCK {id}")), ":1\r\n");
    assert_eq!(waiting.take(), "*-1\r\n");
    assert_eq!(world.run(&other, &format!("CLIENT UNBLOCK {id}")), ":0\r\n");
    wait(&mut world, &waiting, "BLPOP l 0");
    let line = format!("CLIENT UNBLOCK {id} ERROR\r\nRPUSH l a\r\nLLEN l");
    assert_eq!(world.run(&other, &line), ":1\r\n:1\r\n:1\r\n");
    assert_eq!(waiting.take(), "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
}

#[test]
fn messages_come_while_a_client_waits() {
    let mut world = World::new(config());
    let (waiting, other) = (world.connect(), world.connect());
    assert!(world.run(&waiting, "HELLO 3\r\nSUBSCRIBE c").starts_with('%'));
    wait(&mut world, &waiting, "BLPOP l 0");
    world.run(&other, "PUBLISH c hello");
    assert_eq!(waiting.take(), ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$5\r\nhello\r\n");
    world.run(&other, "RPUSH l a");
    assert_eq!(waiting.take(), "*2\r\n$1\r\nl\r\n$1\r\na\r\n");
}

#[test]
fn replies_that_are_not_wanted_are_not_sent_later_either() {
    let mut world = World::new(config());
    let (waiting, other) = (world.connect(), world.connect());
    wait(&mut world, &waiting, "CLIENT REPLY SKIP\r\nBLPOP l 0\r\nPING");
    world.run(&other, "RPUSH l a");
    assert_eq!(waiting.take(), "+PONG\r\n");
    wait(&mut world, &waiting, "CLIENT REPLY OFF\r\nBLPOP l 0");
    world.run(&other, "RPUSH l a");
    assert_eq!(waiting.take(), "");
    assert_eq!(world.run(&other, "EXISTS l"), ":0\r\n");
    assert_eq!(world.run(&waiting, "CLIENT REPLY ON"), "+OK\r\n");
}
