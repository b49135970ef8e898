//! Strings: replies.

use crate::command::harness::Harness;
use crate::store::Writable;

#[test]
fn strings_are_set_and_read() {
    let mut client = Harness::new();
    for (line, reply) in [
        ("GET a", "$-1\r\n"),
        ("SET a 1", "+OK\r\n"),
        ("GET a", "$1\r\n1\r\n"),
        ("SET a 2 NX", "$-1\r\n"),
        ("SET b 2 XX", "$-1\r\n"),
        ("SET a 2 XX GET", "$1\r\n1\r\n"),
        ("SET a 3 EX 10 KEEPTTL", "-ERR syntax error\r\n"),
        ("SET a 3 NX XX", "-ERR syntax error\r\n"),
        ("SET a 3 EX 0", "-ERR invalid expire time in 'set' command\r\n"),
        ("SET a 3 EX 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n"),
        ("SET a 3 EX x", "-ERR value is not an integer or out of range\r\n"),
        ("SET a 3 EX 10", "+OK\r\n"),
        ("SET a 4 KEEPTTL", "+OK\r\n"),
        ("TTL a", ":10\r\n"),
        ("INCR a", ":5\r\n"),
        ("TTL a", ":10\r\n"),
        ("GETEX a PERSIST", "$1\r\n5\r\n"),
        ("TTL a", ":-1\r\n"),
        ("APPEND a xyz", ":4\r\n"),
        ("INCR a", "-ERR value is not an integer or out of range\r\n"),
        ("SETRANGE a 6 q", ":7\r\n"),
        ("GETRANGE a 0 -1", "$7\r\n5xyz\0\0q\r\n"),
        ("GETRANGE a -3 -2", "$2\r\n\0\0\r\n"),
        ("STRLEN a", ":7\r\n"),
        ("MSETNX a 1 c 2", ":0\r\n"),
        ("MSET c 9223372036854775807 d 0.1", "+OK\r\n"),
        ("INCR c", "-ERR increment or decrement would overflow\r\n"),
        ("DECRBY d 1", "-ERR value is not an integer or out of range\r\n"),
        ("INCRBYFLOAT d 0.2", "$3\r\n0.3\r\n"),
        ("MGET a2 d", "*2\r\n$-1\r\n$3\r\n0.3\r\n"),
        ("GETDEL d", "$3\r\n0.3\r\n"),
        ("EXISTS d c c", ":2\r\n"),
        ("SETRANGE a -1 q", "-ERR offset is out of range\r\n"),
        (
            "SETRANGE a 536870912 q",
            "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n",
        ),
        ("OBJECT ENCODING c", "$3\r\nint\r\n"),
        ("OBJECT ENCODING a", "$3\r\nraw\r\n"),
        ("MSET a", "-ERR wrong number of arguments for 'mset' command\r\n"),
        ("GET", "-ERR wrong number of arguments for 'get' command\r\n"),
        ("NONE a b", "-ERR unknown command 'NONE', with args beginning with: 'a' 'b' \r\n"),
    ] {
        assert_eq!(client.run(line), reply, "{line}");
    }
    client.check_replay();
}

#[test]
fn an_expiry_is_said_in_one_way() {
    let mut client = Harness::new();
    const SYNTAX: &str = "-ERR syntax error\r\n";
    for (line, reply) in [
        ("SET a 1 EX 10 EX 20 KEEPTTL", SYNTAX),
        ("SET a 1 EX 10 PX 20", SYNTAX),
        ("SET a 1 PERSIST", SYNTAX),
        ("SET a 1 EX", SYNTAX),
        // Options are read before numbers.
        ("SET a 1 EX x FOO", SYNTAX),
        ("SET a 1 EX x EX 20", "+OK\r\n"),
        ("TTL a", ":20\r\n"),
        ("SET a 2 KEEPTTL KEEPTTL", "+OK\r\n"),
        ("TTL a", ":20\r\n"),
        ("GETEX a KEEPTTL", SYNTAX),
        ("GETEX a EX 10 PERSIST", SYNTAX),
        ("GETEX a EX -1", "-ERR invalid expire time in 'getex' command\r\n"),
        // What is not there needs no time.
        ("GETEX b EX -1", "$-1\r\n"),
        ("GETEX a EX 10 EX 30", "$1\r\n2\r\n"),
        ("TTL a", ":30\r\n"),
        ("GETEX a PERSIST PERSIST", "$1\r\n2\r\n"),
        ("TTL a", ":-1\r\n"),
    ] {
        assert_eq!(client.run(line), reply, "{line}");
    }
    client.check_replay();
}

#[test]
fn a_long_string_that_grows_a_little_needs_little_of_the_log() {
    let mut client = Harness::new();
    client.run(&std::format!("SET a {}", "v".repeat(100_000)));
    client.store.persistence.writable = Writable::Yes;
    client.store.persistence.room_bytes = client.store.keys.effects.as_bytes().len() as u64 + 5000;
    assert_eq!(client.run("APPEND a w"), ":100001\r\n");
    assert_eq!(client.run("SETRANGE a 100001 x"), ":100002\r\n");
    assert_eq!(client.run("SETBIT a 800016 1"), ":0\r\n");
    assert!(client.run(&std::format!("APPEND a {}", "v".repeat(5000))).starts_with("-MISCONF"));
    client.check_replay();
}
