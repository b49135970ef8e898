//! Connections from bytes to bytes: when replies may be known, and what a bad client can do.

mod harness;

use std::time::Duration;

use harness::{MEMORY_BYTES, MemoryDisk, World, set_used_bytes};
use kv::config::{Config, Fsync};

fn config() -> Config {
    Config::for_memory(MEMORY_BYTES)
}

#[test]
fn a_reply_is_sent_only_after_its_write() {
    let mut world = World::new(config());
    let client = world.connect();
    let writes = world.disk.writes.get();
    client.send("SET a 1\r\n");
    world.round();
    // Carried out, but neither on the disk nor replied.
    assert_eq!((client.take(), world.disk.writes.get()), (String::new(), writes));
    world.round();
    assert_eq!(client.take(), "+OK\r\n");
    assert!(world.disk.writes.get() > writes);
}

#[test]
fn clients_share_a_write() {
    let mut world = World::new(config());
    let clients: Vec<_> = (0..20).map(|_| world.connect()).collect();
    world.run(&clients[0], "SET warm up");
    let writes = world.disk.writes.get();
    for (number, client) in clients.iter().enumerate() {
        client.send(format!("SET {number} 1\r\nINCR {number}\r\nGET {number}\r\n"));
    }
    world.settle();
    for client in &clients {
        assert_eq!(client.take(), "+OK\r\n:2\r\n$1\r\n2\r\n");
    }
    assert_eq!(world.disk.writes.get() - writes, 1);
}

#[test]
fn a_read_does_not_tell_what_is_not_on_the_disk() {
    let mut world = World::new(config());
    let (writer, reader) = (world.connect(), world.connect());
    let writes = world.disk.writes.get();
    writer.send("SET a 1\r\n");
    reader.send("GET a\r\n");
    world.round();
    assert_eq!((reader.take(), world.disk.writes.get()), (String::new(), writes));
    world.settle();
    assert_eq!(reader.take(), "$1\r\n1\r\n");
    assert!(world.disk.writes.get() > writes);
}

#[test]
fn every_second_is_often_enough_if_asked_for() {
    let mut world = World::new(Config { fsync: Fsync::EverySecond, ..config() });
    let client = world.connect();
    let writes = world.disk.writes.get();
    assert_eq!(world.run(&client, "SET a 1"), "+OK\r\n");
    assert_eq!(world.disk.writes.get(), writes);
    world.advance(Duration::from_millis(1100));
    assert!(world.disk.writes.get() > writes);
}

#[test]
fn a_disk_that_fails_acknowledges_nothing() {
    let mut world = World::new(config());
    let (client, reader) = (world.connect(), world.connect());
    assert_eq!(world.run(&client, "SET a 1"), "+OK\r\n");
    world.disk.fails.set(true);
    let reply = world.run(&client, "SET a 2");
    assert!(reply.starts_with("-MISCONF Errors writing to the AOF file"), "{reply}");
    assert!(world.is_over(&client), "its replies are lost, so it must begin anew");
    let client = world.connect();
    let reply = world.run(&client, "SET a 3");
    assert!(reply.starts_with("-MISCONF"), "{reply}");
    // Reading goes on.
    assert_eq!(world.run(&reader, "GET a"), "$1\r\n2\r\n");
    world.disk.fails.set(false);
    world.advance(Duration::from_secs(2));
    let client = world.connect();
    assert_eq!(world.run(&client, "SET a 4"), "+OK\r\n");
}

#[test]
fn data_comes_back() {
    let disk = MemoryDisk::new(1 << 20);
    let mut world = World::on(disk.clone(), config());
    let client = world.connect();
    world.run(&client, "RPUSH l a b c");
    world.run(&client, "SET k v EX 100");
    drop(world);
    let mut world = World::on(disk, config());
    let client = world.connect();
    assert_eq!(world.run(&client, "LRANGE l 0 -1"), "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n");
    assert_eq!(world.run(&client, "TTL k"), ":100\r\n");
}

#[test]
fn a_request_in_pieces_is_one() {
    let mut world = World::new(config());
    let client = world.connect();
    for byte in b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\nhello\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n" {
        client.send([*byte]);
        world.settle();
    }
    assert_eq!(client.take(), "+OK\r\n$5\r\nhello\r\n");
}

#[test]
fn a_client_that_does_not_read_is_not_read_from() {
    let mut world = World::new(config());
    let client = world.connect();
    let value = "v".repeat(10_000);
    world.run(&client, &format!("SET a {value}"));
    client.wire.borrow_mut().room = 100_000;
    client.send("GET a\r\n".repeat(100_000));
    world.settle();
    let left = client.wire.borrow().to_server.len();
    assert!(left > 600_000, "{left} bytes are left of 700,000");
    client.wire.borrow_mut().room = usize::MAX;
    client.take();
    (0..200_000)
        .take_while(|_| {
            world.round();
            !client.wire.borrow().to_server.is_empty()
        })
        .for_each(drop);
    world.settle();
    assert!(client.take().len() > 900_000_000);
}

#[test]
fn garbage_ends_a_connection_with_an_error() {
    let mut world = World::new(config());
    for (garbage, error) in [
        (&b"*x\r\n"[..], "-ERR Protocol error: invalid multibulk length\r\n"),
        (b"*1\r\n$999999999\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        (b"*1\r\n:5\r\n", "-ERR Protocol error: expected '$', got ':'\r\n"),
    ] {
        let client = world.connect();
        client.send(garbage);
        world.settle();
        assert_eq!(client.take(), error);
        assert!(world.is_over(&client));
    }
}

#[test]
fn long_requests_take_no_more_memory_than_allowed_together() {
    let mut world = World::new(config());
    // Each may have an eighth of the memory, but all together not much more.
    let clients: Vec<_> = (0..4).map(|_| world.connect()).collect();
    for client in &clients {
        client.send(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$6000000\r\n");
        client.send(vec![b'x'; 5_000_000]);
    }
    (0..2000).for_each(|_| world.round());
    let refused = clients.iter().filter(|client| client.take().starts_with("-OOM")).count();
    assert!((1..4).contains(&refused), "{refused}");
}

#[test]
fn many_arguments_are_refused_when_they_are_too_much() {
    let mut world = World::new(config());
    let client = world.connect();
    client.send("*1000\r\n$5\r\nRPUSH\r\n$1\r\nl\r\n");
    let argument = format!("$30000\r\n{}\r\n", "x".repeat(30_000));
    (0..998).for_each(|_| client.send(&argument));
    (0..3000).for_each(|_| world.round());
    assert_eq!(client.take(), "-OOM no memory for what clients send\r\n");
    assert!(world.is_over(&client));
    // Others are not affected.
    let client = world.connect();
    assert_eq!(world.run(&client, "PING"), "+PONG\r\n");
}

#[test]
fn parts_of_requests_take_no_more_memory_than_allowed_together() {
    let mut world = World::new(config());
    let clients: Vec<_> = (0..600).map(|_| world.connect()).collect();
    for client in &clients {
        client.send("*2\r\n$3\r\nGET\r\n$16000\r\n");
        client.send("x".repeat(15_990));
    }
    world.settle();
    let error = "-OOM no memory for what clients send\r\n";
    let refused = clients.iter().filter(|client| client.take() == error).count();
    assert!((60..80).contains(&refused), "{refused}");
    let over = clients.iter().filter(|client| world.is_over(client)).count();
    assert_eq!(over, refused);
    // The others go on.
    clients.iter().for_each(|client| client.send("x".repeat(10) + "\r\n"));
    world.settle();
    let served = clients.iter().filter(|client| client.take() == "$-1\r\n").count();
    assert_eq!(served, 600 - refused);
}

#[test]
fn replies_that_nobody_reads_take_no_more_memory_than_allowed_together() {
    let mut world = World::on(MemoryDisk::new(16 << 20), config());
    let client = world.connect();
    let value = "v".repeat(1_000_000);
    client.send(format!("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1000000\r\n{value}\r\n"));
    (0..100).for_each(|_| world.round());
    assert_eq!(client.take(), "+OK\r\n");
    let readers: Vec<_> = (0..50).map(|_| world.connect()).collect();
    for reader in &readers {
        reader.wire.borrow_mut().room = 0;
        reader.send("GET a\r\n");
        world.settle();
    }
    let left = readers.iter().filter(|reader| !world.is_over(reader)).count();
    // An eighth of the memory, and the longest.
    assert!((4..=9).contains(&left), "{left}");
    // Who reads is served before one of them, and what was killed no longer counts.
    assert_eq!(world.run(&client, "GET a").len(), 1_000_012);
    readers.iter().for_each(|reader| reader.close());
    readers.iter().for_each(|reader| reader.wire.borrow_mut().room = usize::MAX);
    world.settle();
    let served = readers.iter().filter(|reader| reader.take().len() == 1_000_012).count();
    assert_eq!(served, left - 1);
    assert_eq!(world.run(&client, "GET a").len(), 1_000_012);
}

#[test]
fn a_reply_leaves_memory_to_others() {
    let mut world = World::on(MemoryDisk::new(16 << 20), config());
    let client = world.connect();
    world.run(&client, &format!("SET a {}", "v".repeat(20_000)));
    set_used_bytes(MEMORY_BYTES / 32 * 31 - 10_000);
    let reply = world.run(&client, "GET a");
    assert_eq!(reply, "-OOM the reply does not fit into memory\r\n");
    set_used_bytes(0);
    assert_eq!(world.run(&client, "GET a").len(), 20_010);
}

#[test]
fn who_waits_and_sends_too_much_is_ended() {
    let mut world = World::new(Config { inputs_max_bytes: 1000, ..config() });
    let client = world.connect();
    assert_eq!(world.run(&client, "BLPOP l 0"), "");
    client.send("x".repeat(2000));
    world.settle();
    assert!(world.is_over(&client));
    let client = world.connect();
    assert_eq!(world.run(&client, "RPUSH l a"), ":1\r\n");
}

#[test]
fn a_full_memory_refuses_writes_and_lets_read() {
    let mut world = World::new(config());
    let client = world.connect();
    assert_eq!(world.run(&client, "SET a 1"), "+OK\r\n");
    set_used_bytes(MEMORY_BYTES / 8 * 7);
    let error = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    assert_eq!(world.run(&client, "SET b 1"), error);
    assert_eq!(world.run(&client, "GET a"), "$1\r\n1\r\n");
    assert_eq!(world.run(&client, "DEL a"), ":1\r\n");
    set_used_bytes(0);
    assert_eq!(world.run(&client, "SET b 1"), "+OK\r\n");
}

#[test]
fn a_client_too_many_is_told_so() {
    let mut world = World::new(Config { clients_max: 2, ..config() });
    let (one, other) = (world.connect(), world.connect());
    let third = world.connect();
    world.settle();
    assert_eq!(third.take(), "-ERR max number of clients reached\r\n");
    assert!(world.is_over(&third));
    one.close();
    world.settle();
    let fourth = world.connect();
    assert_eq!(world.run(&fourth, "PING"), "+PONG\r\n");
    drop(other);
}

#[test]
fn an_idle_client_is_closed_if_configured() {
    let mut world = World::new(Config { timeout_s: 10, ..config() });
    let client = world.connect();
    world.run(&client, "PING");
    world.advance(Duration::from_secs(9));
    assert!(!world.is_over(&client));
    world.run(&client, "PING");
    world.advance(Duration::from_secs(11));
    world.advance(Duration::from_secs(1));
    assert!(world.is_over(&client));
}

#[test]
fn who_waits_is_served_or_told_when_the_time_is_over() {
    let mut world = World::new(config());
    let (waiting, other, pushing) = (world.connect(), world.connect(), world.connect());
    assert_eq!(world.run(&waiting, "BLPOP l 0\r\nPING"), "");
    assert_eq!(world.run(&other, "BLPOP l 5"), "");
    assert_eq!(world.run(&pushing, "RPUSH l a"), ":1\r\n");
    // The one that waits longest, and what it sent meanwhile follows.
    assert_eq!(waiting.take(), "*2\r\n$1\r\nl\r\n$1\r\na\r\n+PONG\r\n");
    assert_eq!(other.take(), "");
    world.advance(Duration::from_secs(6));
    assert_eq!(other.take(), "*-1\r\n");
    // Who is gone gets nothing that another could have.
    assert_eq!(world.run(&waiting, "BLPOP l 0"), "");
    waiting.close();
    world.settle();
    assert!(world.is_over(&waiting));
    world.run(&pushing, "RPUSH l b");
    assert_eq!(world.run(&pushing, "LRANGE l 0 -1"), "*1\r\n$1\r\nb\r\n");
}

#[test]
fn keys_expire_by_themselves_and_for_good() {
    let disk = MemoryDisk::new(1 << 20);
    let mut world = World::on(disk.clone(), config());
    let client = world.connect();
    world.run(&client, "SET a 1 PX 100");
    assert_eq!(world.run(&client, "DBSIZE"), ":1\r\n");
    world.advance(Duration::from_secs(1));
    world.advance(Duration::from_secs(1));
    assert_eq!(world.run(&client, "DBSIZE"), ":0\r\n");
    drop(world);
    let mut world = World::on(disk, config());
    let client = world.connect();
    assert_eq!(world.run(&client, "DBSIZE"), ":0\r\n");
}

#[test]
fn what_was_loaded_counts_as_used_then_and_as_nothing_else() {
    let mut world = World::new(config());
    let client = world.connect();
    assert_eq!(world.run(&client, "SET a 1"), "+OK\r\n");
    assert_eq!(world.run(&client, "SET b 1 PX 10"), "+OK\r\n");
    assert_eq!(world.run(&client, "APPEND a 2"), ":2\r\n");
    let mut world = World::on(world.disk.clone(), config());
    world.advance(Duration::from_secs(7));
    let client = world.connect();
    assert_eq!(world.run(&client, "OBJECT IDLETIME a"), ":7\r\n");
    assert_eq!(world.run(&client, "EXISTS b"), ":0\r\n");
    let stats = world.run(&client, "INFO stats");
    assert!(stats.contains("keyspace_hits:0\r\nkeyspace_misses:1\r\n"), "{stats}");
    assert!(stats.contains("expired_keys:1\r\n"), "{stats}");
}

#[test]
fn a_server_that_ends_does_what_it_was_asked_and_no_more() {
    let mut world = World::new(config());
    let (idle, busy, blocked, slow) =
        (world.connect(), world.connect(), world.connect(), world.connect());
    assert_eq!(world.run(&blocked, "BLPOP l 0"), "");
    slow.wire.borrow_mut().room = 0;
    assert_eq!(world.run(&slow, "PING"), "");
    busy.send("SET a 1\r\nINCR a\r\n");
    world.end();
    world.settle();
    assert_eq!(busy.take(), "+OK\r\n:2\r\n");
    assert_eq!(blocked.take(), "");
    assert!([&idle, &busy, &blocked].iter().all(|client| world.is_over(client)));
    assert!(!busy.wire.borrow().is_aborted);
    assert_eq!(world.server.clients(), 1);
    slow.wire.borrow_mut().is_unacknowledged = true;
    slow.wire.borrow_mut().room = usize::MAX;
    world.settle();
    assert_eq!((slow.take(), world.is_over(&slow)), ("+PONG\r\n".into(), false));
    slow.wire.borrow_mut().is_unacknowledged = false;
    world.settle();
    assert!(world.is_over(&slow));
    // Who comes late is not served any more.
    let late = world.connect();
    assert!(world.is_over(&late));
    assert!(world.server.commit_all().is_ok());
}

#[test]
fn what_is_not_committed_yet_is_at_the_end() {
    let mut world = World::new(Config { fsync: Fsync::EverySecond, ..config() });
    let client = world.connect();
    world.run(&client, "SET a 1");
    world.disk.fails.set(true);
    world.run(&client, "SET b 1");
    assert!(world.server.commit_all().is_err());
    world.disk.fails.set(false);
    world.clock.advance(Duration::from_secs(1));
    assert!(world.server.commit_all().is_ok());
    let mut again = World::on(world.disk.clone(), config());
    let client = again.connect();
    assert_eq!(again.run(&client, "MGET a b"), "*2\r\n$1\r\n1\r\n$1\r\n1\r\n");
}
