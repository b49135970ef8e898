//! Databases, expiry and `OBJECT`, in tables of requests and replies.

use crate::command::harness::Harness;

fn check(cases: &[(&str, &str)]) {
    let mut client = Harness::new();
    for (line, reply) in cases {
        assert_eq!(client.run(line), *reply, "{line}");
    }
    client.check_replay();
}

#[test]
fn databases_have_numbers() {
    const NO_INTEGER: &str = "-ERR value is not an integer or out of range\r\n";
    const TOO_LARGE: &str =
        "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n";
    const NONE: &str = "-ERR DB index is out of range\r\n";
    check(&[
        ("SELECT x", NO_INTEGER),
        ("SELECT 99999999999", TOO_LARGE),
        ("SELECT 16", NONE),
        ("SELECT -1", NONE),
        ("MOVE a 99999999999", TOO_LARGE),
        ("COPY a b DB x", NO_INTEGER),
        ("COPY a b DB 99999999999", TOO_LARGE),
        ("COPY a b DB 16", NONE),
        ("SWAPDB x 99", "-ERR invalid first DB index\r\n"),
        ("SWAPDB 99999999999 1", "-ERR invalid first DB index\r\n"),
        // Both are read before either is looked for.
        ("SWAPDB -1 x", "-ERR invalid second DB index\r\n"),
        ("SWAPDB -1 1", NONE),
        ("SELECT 15", "+OK\r\n"),
    ]);
}

#[test]
fn options_of_expire_are_read_before_its_time() {
    check(&[
        ("SET a 1", "+OK\r\n"),
        ("EXPIRE a x y", "-ERR Unsupported option y\r\n"),
        ("EXPIRE a x GT LT", "-ERR GT and LT options at the same time are not compatible\r\n"),
        ("EXPIRE a x GT", "-ERR value is not an integer or out of range\r\n"),
        ("EXPIRE a 10 NX", ":1\r\n"),
    ]);
}

#[test]
fn objects_are_asked_for_what_is_known() {
    const UNKNOWN: &str = "-ERR unknown subcommand 'x'. Try OBJECT HELP.\r\n";
    check(&[
        ("OBJECT", "-ERR wrong number of arguments for 'object' command\r\n"),
        ("OBJECT x", UNKNOWN),
        ("OBJECT FREQ", "-ERR wrong number of arguments for 'object|freq' command\r\n"),
        ("OBJECT freq a b", "-ERR wrong number of arguments for 'object|freq' command\r\n"),
        ("OBJECT FREQ a", "$-1\r\n"),
        ("SET a 1", "+OK\r\n"),
        ("OBJECT ENCODING a", "$3\r\nint\r\n"),
        ("OBJECT REFCOUNT a", ":1\r\n"),
        ("OBJECT IDLETIME a", ":0\r\n"),
        // That it is unknown is noticed before it is kept for later.
        ("MULTI", "+OK\r\n"),
        ("OBJECT x", UNKNOWN),
        ("EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n"),
    ]);
}
