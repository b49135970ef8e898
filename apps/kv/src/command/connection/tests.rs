//! Greetings, passwords, and what clients see of each other.

use core::mem::swap;
use std::string::String;

use super::is_same;
use crate::client::Replies;
use crate::command::harness::Harness;

fn check(client: &mut Harness, cases: &[(&str, &str)]) {
    for (line, reply) in cases {
        assert_eq!(client.run(line), *reply, "{line}");
    }
}

#[test]
fn a_client_finds_out_who_is_there() {
    let mut client = Harness::new();
    let cases = [
        ("PING", "+PONG\r\n"),
        ("PING a", "$1\r\na\r\n"),
        ("PING a b", "-ERR wrong number of arguments for 'ping' command\r\n"),
        ("ECHO a", "$1\r\na\r\n"),
        ("HELLO 4", "-NOPROTO unsupported protocol version\r\n"),
        ("HELLO abc", "-ERR Protocol version is not an integer or out of range\r\n"),
        ("HELLO 3 FOO", "-ERR Syntax error in HELLO option 'FOO'\r\n"),
        ("HELLO 3 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'\r\n"),
        ("HELLO 3 AUTH a", "-ERR Syntax error in HELLO option 'AUTH'\r\n"),
        (
            "HELLO 3 AUTH nobody a",
            "-WRONGPASS invalid username-password pair or user is disabled.\r\n",
        ),
        ("GET nothing", "$-1\r\n"),
    ];
    check(&mut client, &cases);
    assert!(client.run("HELLO 3 AUTH default x SETNAME me").starts_with(
        "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.0\r\n$5\r\nproto\r\n:3\r\n"
    ));
    check(
        &mut client,
        &[
            ("GET nothing", "_\r\n"),
            ("CLIENT GETNAME", "$2\r\nme\r\n"),
            ("SELECT 3", "+OK\r\n"),
            ("RESET", "+RESET\r\n"),
            ("CLIENT GETNAME", "$-1\r\n"),
        ],
    );
    assert_eq!((client.session.database, client.session.client.database.get()), (0, 0));
}

#[test]
fn without_the_password_nothing_else_is_heard() {
    let mut client = Harness::new();
    client.store.config.password = (*b"secret").into();
    client.session.is_authenticated = false;
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    check(
        &mut client,
        &[
            ("PING", "-NOAUTH Authentication required.\r\n"),
            ("GET a", "-NOAUTH Authentication required.\r\n"),
            ("AUTH secre", wrong),
            ("AUTH secrets", wrong),
            ("AUTH secretsecret", wrong),
            ("AUTH other secret", wrong),
            ("AUTH a b c", "-ERR syntax error\r\n"),
        ],
    );
    assert!(client.run("HELLO 3").starts_with("-NOAUTH HELLO must be called with the client"));
    check(
        &mut client,
        &[("AUTH secret", "+OK\r\n"), ("PING", "+PONG\r\n"), ("RESET", "+RESET\r\n")],
    );
    assert_eq!(client.run("PING"), "-NOAUTH Authentication required.\r\n");
    assert!(client.run("HELLO 2 AUTH default secret").starts_with("*14\r\n"));
    assert_eq!(client.run("PING"), "+PONG\r\n");
    client.store.config.password = Default::default();
    client.session.is_authenticated = false;
    assert_eq!(client.run("PING"), "+PONG\r\n", "no password is needed any more");
    assert!(client.run("AUTH x").starts_with("-ERR AUTH <password> called without any password"));
    assert_eq!(client.run("AUTH default x"), "+OK\r\n");
}

#[test]
fn passwords_are_compared_whole() {
    assert!(is_same(b"abc", b"abc"));
    for other in [&b""[..], b"ab", b"abd", b"abcabc", b"xbc", b"abcd"] {
        assert!(!is_same(b"abc", other));
    }
    assert!(!is_same(b"abcabc", b"abc"));
    assert!(is_same(b"", b"") && !is_same(b"", b"\0"));
}

#[test]
fn clients_are_listed_and_killed() {
    let mut client = Harness::new();
    let mut other = client.another();
    check(
        &mut client,
        &[
            ("CLIENT ID", ":1\r\n"),
            ("CLIENT ID 1", "-ERR wrong number of arguments for 'client|id' command\r\n"),
            ("CLIENT FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.\r\n"),
            ("CLIENT LIST TYPE foo", "-ERR Unknown client type 'foo'\r\n"),
            ("CLIENT LIST TYPE", "-ERR syntax error\r\n"),
            ("CLIENT LIST ID x", "-ERR Invalid client ID\r\n"),
            ("CLIENT LIST ID 99", "$0\r\n\r\n"),
            ("CLIENT LIST TYPE replica", "$0\r\n\r\n"),
            ("CLIENT SETNAME a\tb", NAME_ERROR),
            ("CLIENT SETNAME ab", "+OK\r\n"),
            ("CLIENT SETINFO LIB-NAME lib", "+OK\r\n"),
            ("CLIENT SETINFO lib-ver 1.2", "+OK\r\n"),
            ("CLIENT SETINFO foo 1.2", "-ERR Unrecognized option 'foo'\r\n"),
            ("CLIENT KILL 1.2.3.4:5", "-ERR No such client\r\n"),
            ("CLIENT KILL ID 0", "-ERR client-id should be greater than 0\r\n"),
            ("CLIENT KILL ID 7", ":0\r\n"),
            ("CLIENT KILL ID 1", ":0\r\n"),
            ("CLIENT KILL ID 2 ADDR", "-ERR syntax error\r\n"),
            ("CLIENT KILL USER foo", "-ERR No such user 'foo'\r\n"),
            ("CLIENT KILL TYPE pubsub", ":0\r\n"),
            ("CLIENT KILL ADDR nonsense", ":0\r\n"),
            ("CLIENT KILL MAXAGE 10", ":0\r\n"),
        ],
    );
    let info = client.run("CLIENT INFO");
    for part in
        ["id=1 ", " name=ab ", " cmd=client|info ", " lib-name=lib lib-ver=1.2\n", " flags=N "]
    {
        assert!(info.contains(part), "{part} in {info}");
    }
    assert_eq!(client.run("CLIENT LIST").matches("id=").count(), 2);
    assert_eq!(client.run("CLIENT LIST ID 2 3").matches("id=").count(), 1);
    assert!(!other.client.is_killed());
    assert_eq!(client.run("CLIENT KILL TYPE normal"), ":1\r\n");
    assert!(other.client.is_killed() && !client.session.is_closing);
    assert_eq!(client.run("CLIENT KILL SKIPME no ID 1"), ":1\r\n");
    assert!(client.session.is_closing);
    swap(&mut client.session, &mut other);
}

const NAME_ERROR: &str =
    "-ERR Client names cannot contain spaces, newlines or special characters.\r\n";

#[test]
fn what_is_not_offered_says_so() {
    let mut client = Harness::new();
    check(
        &mut client,
        &[
            ("CLIENT REPLY FOO", "-ERR syntax error\r\n"),
            ("CLIENT REPLY OFF", ""),
            ("CLIENT REPLY SKIP", ""),
            ("CLIENT REPLY ON", "+OK\r\n"),
            ("CLIENT NO-EVICT on", "+OK\r\n"),
            ("CLIENT NO-TOUCH foo", "-ERR syntax error\r\n"),
            ("CLIENT UNBLOCK x", "-ERR value is not an integer or out of range\r\n"),
            ("CLIENT UNBLOCK 99", ":0\r\n"),
            ("CLIENT UNBLOCK 99 foo", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n"),
            ("CLIENT PAUSE 10", "-ERR CLIENT PAUSE is not offered\r\n"),
            ("CLIENT UNPAUSE", "+OK\r\n"),
            (
                "CLIENT TRACKING on",
                "-ERR CLIENT TRACKING is not offered: clients are told of no changes\r\n",
            ),
            ("CLIENT TRACKING off", "+OK\r\n"),
            ("CLIENT GETREDIR", ":-1\r\n"),
            (
                "CLIENT TRACKINGINFO",
                "*6\r\n$5\r\nflags\r\n*1\r\n$3\r\noff\r\n$8\r\nredirect\r\n:-1\r\n$8\r\nprefixes\r\n*0\r\n",
            ),
        ],
    );
    assert_eq!(client.session.replies, Replies::On);
    assert!(client.run("CLIENT HELP").contains("+HELP\r\n"));
    let _: String = client.run("QUIT");
    assert!(client.session.is_closing);
}

#[test]
fn a_client_that_touches_nothing_leaves_keys_idle() {
    let mut client = Harness::new();
    client.run("SET a 1");
    client.store.keys.set_now_ms(1_100_000);
    client.run("CLIENT NO-TOUCH on");
    client.run("GET a");
    assert_eq!(client.run("OBJECT IDLETIME a"), ":100\r\n");
    client.run("CLIENT NO-TOUCH off");
    client.run("GET a");
    assert_eq!(client.run("OBJECT IDLETIME a"), ":0\r\n");
}

#[test]
fn a_name_has_a_limit() {
    let mut client = Harness::new();
    let error = "-ERR names of clients and libraries have at most 65536 bytes\r\n";
    assert_eq!(client.run(&std::format!("CLIENT SETNAME {}", "n".repeat(65_537))), error);
    assert_eq!(client.run(&std::format!("CLIENT SETNAME {}", "n".repeat(65_536))), "+OK\r\n");
}
