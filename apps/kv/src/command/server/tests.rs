//! What the server tells, and its settings.

use core::time::Duration;
use std::vec;
use std::vec::Vec;

use crate::command::harness::Harness;
use crate::command::{Flags, GROUPS, Keys};
use crate::frame::Owned;
use crate::store::{Shutdown, Writable};

/// Runs lines; `|` stands for the end of a line in what is expected.
fn check(client: &mut Harness, cases: &[(&str, &str)]) {
    for (line, reply) in cases {
        assert_eq!(client.run(line).replace("\r\n", "|"), *reply, "{line}");
    }
}

#[test]
fn settings_change_together_or_not_at_all() {
    let mut client = Harness::new();
    check(
        &mut client,
        &[
            ("CONFIG GET nope", "*0|"),
            (
                "CONFIG GET MAXMEMORY-p* port",
                "*4|$16|maxmemory-policy|$10|noeviction|$4|port|$4|6379|",
            ),
            ("CONFIG SET a", "-ERR wrong number of arguments for 'config|set' command|"),
            ("CONFIG SET timeout 5 a", "-ERR syntax error|"),
            (
                "CONFIG SET timeout 5 foo bar",
                "-ERR Unknown option or number of arguments for CONFIG SET - 'foo'|",
            ),
            (
                "CONFIG SET timeout 5 timeout 6",
                "-ERR CONFIG SET failed (possibly related to argument 'timeout') - duplicate \
                 parameter|",
            ),
            (
                "CONFIG SET timeout 5 maxmemory x",
                "-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must \
                 be a memory value|",
            ),
            (
                "CONFIG SET databases 3",
                "-ERR CONFIG SET failed (possibly related to argument 'databases') - can't set \
                 immutable config|",
            ),
            (
                "CONFIG SET appendfsync foo",
                "-ERR CONFIG SET failed (possibly related to argument 'appendfsync') - argument(s) \
                 must be one of the following: always, everysec, no|",
            ),
            ("CONFIG GET timeout", "*2|$7|timeout|$1|0|"),
            ("CONFIG SET timeout 5 maxmemory 1mb MAXMEMORY-policy Allkeys-LRU", "+OK|"),
            ("CONFIG GET timeout", "*2|$7|timeout|$1|5|"),
            ("CONFIG GET maxmemory", "*2|$9|maxmemory|$7|1048576|"),
            ("CONFIG REWRITE", "-ERR The server is running without a config file|"),
            (
                "CONFIG RESETSTAT a",
                "-ERR wrong number of arguments for 'config|resetstat' command|",
            ),
            ("CONFIG FOO", "-ERR unknown subcommand 'FOO'. Try CONFIG HELP.|"),
        ],
    );
    let set = |client: &mut Harness, value: &[u8]| {
        client.run_words(&[b"CONFIG", b"SET", b"client-output-buffer-limit", value])
    };
    assert_eq!(set(&mut client, b"pubsub 32mb 8mb 60 normal 0 0 0"), b"+OK\r\n");
    assert_eq!(client.store.config.mailbox_hard_bytes, 32 << 20);
    for wrong in [&b"pubsub 1 2"[..], b"", b"foo 1 2 3", b"pubsub x 1 2", b"normal 1 1 1"] {
        assert!(set(&mut client, wrong).starts_with(b"-ERR CONFIG SET failed"));
    }
    assert_eq!(client.run_words(&[b"CONFIG", b"SET", b"save", b""]), b"+OK\r\n");
    assert!(client.run("CONFIG SET requirepass secret").starts_with("+OK"));
    assert_eq!(client.run("PING"), "+PONG\r\n", "who is there stays");
    assert_eq!(&*client.store.config.password, b"secret");
}

#[test]
fn info_has_its_sections() {
    let mut client = Harness::new();
    client.run("SET a 1");
    client.run("LPUSH a 1");
    client.run("FOO");
    client.store.now = Duration::from_secs(100_000);
    let info = client.run("INFO");
    for line in [
        "# Server\r\nredis_version:7.2.0\r\nserver_name:nabla-kv\r\n",
        "\r\nuptime_in_seconds:100000\r\nuptime_in_days:1\r\n",
        "\r\nconnected_clients:1\r\n",
        "\r\nmaxmemory_policy:noeviction\r\n",
        "\r\naof_enabled:0\r\n",
        "\r\ntotal_commands_processed:3\r\n",
        "\r\nrole:master\r\n",
        "\r\nerrorstat_ERR:count=1\r\nerrorstat_WRONGTYPE:count=1\r\n",
        "\r\ncluster_enabled:0\r\n",
        "\r\n\r\n# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0\r\n",
    ] {
        assert!(info.contains(line), "{line} in {info}");
    }
    assert!(!info.contains("# Commandstats"));
    assert!(client.run("INFO all").contains("# Commandstats\r\n"));
    assert!(client.run("INFO everything").contains("# Modules\r\n"));
    let some = client.run("INFO KEYSPACE cluster");
    assert!(
        some.starts_with("$76\r\n# Cluster\r\ncluster_enabled:0\r\n\r\n# Keyspace\r\n"),
        "{some}"
    );
    check(&mut client, &[("INFO foo", "$0||")]);
    client.run("CONFIG RESETSTAT");
    assert!(client.run("INFO stats").contains("\r\ntotal_error_replies:0\r\n"));
}

#[test]
fn commands_are_described() {
    let mut client = Harness::new();
    let count = GROUPS.iter().map(|group| group.commands.len()).sum::<usize>();
    check(
        &mut client,
        &[
            ("COMMAND COUNT", &std::format!(":{count}|")),
            ("COMMAND COUNT x", "-ERR wrong number of arguments for 'command|count' command|"),
            (
                "COMMAND INFO get nope",
                "*2|*10|$3|get|:2|*2|+readonly|+fast|:1|:1|:1|*3|+@read|+@fast|+@string|*0|*1|*6|\
                 $5|flags|*2|+RO|+access|$12|begin_search|*4|$4|type|$5|index|$4|spec|*2|$5|index|\
                 :1|$9|find_keys|*4|$4|type|$5|range|$4|spec|*6|$7|lastkey|:0|$7|keystep|:1|$5|\
                 limit|:0|*0|$-1|",
            ),
            ("COMMAND LIST FILTERBY PATTERN uNw*", "*1|$7|unwatch|"),
            ("COMMAND LIST FILTERBY MODULE x", "*0|"),
            ("COMMAND LIST FILTERBY foo x", "-ERR syntax error|"),
            ("COMMAND LIST foo", "-ERR syntax error|"),
            ("COMMAND GETKEYS GET a", "*1|$1|a|"),
            ("COMMAND GETKEYS MSET a 1 b 2", "*2|$1|a|$1|b|"),
            ("COMMAND GETKEYS PING", "-ERR The command has no key arguments|"),
            ("COMMAND GETKEYS FOO", "-ERR Invalid command specified|"),
            ("COMMAND GETKEYS GET", "-ERR Invalid number of arguments specified for command|"),
            ("COMMAND GETKEYS MEMORY USAGE a", "*1|$1|a|"),
            ("COMMAND GETKEYS MEMORY DOCTOR", "-ERR The command has no key arguments|"),
            ("COMMAND GETKEYSANDFLAGS DEL a", "*1|*2|$1|a|*3|+RW|+access|+update|"),
        ],
    );
    assert!(
        client.run("COMMAND DOCS get nope").starts_with("*2\r\n$3\r\nget\r\n*8\r\n$7\r\nsummary")
    );
    assert!(client.run("COMMAND").starts_with(&std::format!("*{count}\r\n*10\r\n")));
    assert!(client.run("COMMAND LIST FILTERBY ACLCAT dangerous").contains("shutdown"));
}

#[test]
fn every_command_is_told_about_once() {
    let mut names: Vec<&str> = Vec::new();
    for command in GROUPS.iter().flat_map(|group| group.commands) {
        let name = command.name;
        assert!(!command.summary.is_empty() && !command.since.is_empty(), "{name}");
        assert!(!command.complexity.is_empty() && name.len() <= 32, "{name}");
        assert_eq!(name, name.to_ascii_lowercase());
        assert!(super::super::refused::error(name.as_bytes()).is_none(), "{name}");
        let has_keys = command.keys != Keys::NONE || command.flags.has(Flags::MOVABLE_KEYS);
        assert!(!command.flags.has(Flags::DENY_OOM) || has_keys, "{name}");
        names.push(name);
    }
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
}

#[test]
fn what_takes_long_is_kept() {
    let mut client = Harness::new();
    let note = |client: &mut Harness, words: &[&[u8]], took_ms: u64| {
        let request = Owned::of(words.iter().copied());
        let took = Duration::from_millis(took_ms);
        client.store.note_time(&client.session, request.as_request(), took);
    };
    note(&mut client, &[b"GET", b"a"], 9);
    check(&mut client, &[("SLOWLOG LEN", ":0|"), ("SLOWLOG GET", "*0|")]);
    note(&mut client, &[b"GET", b"a"], 10);
    note(&mut client, &[b"AUTH", b"secret"], 10);
    note(&mut client, &[b"CONFIG", b"SET", b"requirepass", b"secret"], 10);
    let log = client.run("SLOWLOG GET");
    assert!(log.starts_with("*2\r\n*6\r\n:1\r\n:0\r\n:10000\r\n*4\r\n$6\r\nCONFIG\r\n"), "{log}");
    assert!(log.contains("(redacted)") && !log.contains("secret"));
    let long = [b'x'; 200];
    note(&mut client, &vec![&long[..]; 100], 50);
    let log = client.run("SLOWLOG GET 1");
    assert!(log.contains("*32\r\n$147\r\nxxx") && log.contains("xx... (72 more bytes)"), "{log}");
    assert!(log.contains("... (69 more arguments)"));
    check(
        &mut client,
        &[
            ("SLOWLOG GET -2", "-ERR count should be greater than or equal to -1|"),
            ("SLOWLOG GET x", "-ERR count should be greater than or equal to -1|"),
            ("SLOWLOG LEN", ":3|"),
            ("SLOWLOG RESET", "+OK|"),
            ("SLOWLOG LEN", ":0|"),
            ("CONFIG SET slowlog-max-len 3", "+OK|"),
        ],
    );
    (0..10).for_each(|_| note(&mut client, &[b"GET", b"a"], 10));
    check(
        &mut client,
        &[("SLOWLOG LEN", ":3|"), ("CONFIG SET slowlog-log-slower-than -1", "+OK|")],
    );
    note(&mut client, &[b"GET", b"a"], 1000);
    assert_eq!(client.store.slowlog.newest().next().unwrap().id, 12);
}

#[test]
fn saving_asks_for_a_compaction() {
    let mut client = Harness::new();
    let none = "-ERR there is no device: the data is in memory only|";
    check(&mut client, &[("SAVE", none), ("BGSAVE", none), ("BGREWRITEAOF", none)]);
    check(
        &mut client,
        &[(
            "WAITAOF 1 0 0",
            "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.|",
        )],
    );
    client.store.persistence.writable = Writable::Yes;
    client.store.persistence.room_bytes = 1 << 30;
    for (line, reply) in [
        ("SAVE", "+OK|"),
        ("BGSAVE", "+Background saving started|"),
        ("BGSAVE SCHEDULE", "+Background saving started|"),
        ("BGREWRITEAOF", "+Background append only file rewriting started|"),
    ] {
        client.store.persistence.is_compaction_asked = false;
        check(&mut client, &[(line, reply)]);
        assert!(client.store.persistence.is_compaction_asked);
    }
    client.store.persistence.is_compacting = true;
    client.store.persistence.is_commit_asked = false;
    check(
        &mut client,
        &[
            ("BGSAVE x", "-ERR syntax error|"),
            ("BGSAVE", "-ERR Background save already in progress|"),
            ("BGREWRITEAOF", "-ERR Background append only file rewriting already in progress|"),
            ("WAITAOF 0 0 0", "*2|:1|:0|"),
            ("CONFIG SET appendfsync everysec", "+OK|"),
            ("WAITAOF 0 0 0", "*2|:0|:0|"),
        ],
    );
    assert!(!client.store.persistence.is_commit_asked);
    check(&mut client, &[("WAITAOF 1 0 0", "*2|:1|:0|")]);
    assert!(client.store.persistence.is_commit_asked);
}

#[test]
fn the_end_is_asked_for() {
    let mut client = Harness::new();
    check(
        &mut client,
        &[
            ("SHUTDOWN FOO", "-ERR syntax error|"),
            ("SHUTDOWN ABORT", "-ERR No shutdown in progress.|"),
            ("MULTI", "+OK|"),
            ("SHUTDOWN", "-ERR Command not allowed inside a transaction|"),
            ("DISCARD", "+OK|"),
            ("SHUTDOWN SAVE NOW", ""),
        ],
    );
    assert!(client.session.is_closing && client.store.shutdown == Some(Shutdown::Safe));
    check(&mut client, &[("SHUTDOWN ABORT", "+OK|")]);
    client.store.persistence.writable = Writable::Failed;
    check(
        &mut client,
        &[("SHUTDOWN", "-ERR Errors trying to SHUTDOWN. Check logs.|"), ("SHUTDOWN NOSAVE", "")],
    );
    assert_eq!(client.store.shutdown, Some(Shutdown::Forced));
}

#[test]
fn small_questions_are_answered() {
    let mut client = Harness::new();
    client.store.unix_now = Duration::new(1_700_000_000, 5_000);
    client.run("SET a 1");
    check(
        &mut client,
        &[
            ("TIME", "*2|$10|1700000000|$1|5|"),
            ("LASTSAVE", ":1700000000|"),
            ("WAIT 1 10", ":0|"),
            ("WAIT x 0", "-ERR value is not an integer or out of range|"),
            ("WAIT 0 -1", "-ERR timeout is negative|"),
            ("ROLE", "*3|$6|master|:0|*0|"),
            ("LOLWUT", "$15|nabla-kv 0.1.0\n|"),
            ("MEMORY USAGE nope", "$-1|"),
            ("MEMORY USAGE a SAMPLES 5", ":23|"),
            ("MEMORY USAGE a SAMPLES -1", "-ERR syntax error|"),
            ("MEMORY USAGE a SAMPLES x", "-ERR value is not an integer or out of range|"),
            ("MEMORY USAGE", "-ERR wrong number of arguments for 'memory|usage' command|"),
            ("MEMORY PURGE", "+OK|"),
            ("LATENCY LATEST", "*0|"),
            ("LATENCY HISTORY a", "*0|"),
            ("LATENCY RESET", ":0|"),
            ("LATENCY GRAPH a", "-ERR No samples available for event 'a'|"),
            ("ACL WHOAMI", "$7|default|"),
            ("ACL USERS", "*1|$7|default|"),
            ("CLUSTER INFO", "-ERR This instance has cluster support disabled|"),
            ("eval x 0", "-ERR EVAL is not offered: there is no scripting here|"),
            ("PFADD a b", "-ERR PFADD is not offered: there are no HyperLogLogs here|"),
            ("XADD a * b c", "-ERR XADD is not offered: there are no streams here|"),
        ],
    );
    assert!(client.run("MEMORY STATS").starts_with("*16\r\n$14\r\npeak.allocated\r\n"));
    assert!(client.run("ACL SETUSER x").starts_with("-ERR ACL SETUSER is not offered"));
    for help in ["CLIENT", "CONFIG", "COMMAND", "SLOWLOG", "MEMORY", "LATENCY", "PUBSUB", "ACL"] {
        let reply = client.run(&std::format!("{help} HELP"));
        assert!(reply.contains(&std::format!("+{help} <subcommand>")), "{reply}");
        assert!(reply.ends_with("+HELP\r\n+    This text.\r\n"));
    }
}
