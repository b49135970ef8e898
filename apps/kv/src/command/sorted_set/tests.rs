//! Sorted sets: replies, and a model.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;

use crate::command::harness::Harness;
use crate::db::value::Value;
use crate::number::format_float;
use crate::reply::Protocol;
use crate::types::set::{Limits, Set};

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
const NOT_INTEGER: &str = "-ERR value is not an integer or out of range\r\n";
const NOT_POSITIVE: &str = "-ERR value is out of range, must be positive\r\n";
const NOT_FLOAT: &str = "-ERR value is not a valid float\r\n";
const NOT_A_NUMBER: &str = "-ERR resulting score is not a number (NaN)\r\n";
const SYNTAX: &str = "-ERR syntax error\r\n";
const NULL: &str = "$-1\r\n";

/// An array of strings, which the words of a line are.
fn array(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let head = format!("*{}\r\n", words.len());
    words.iter().fold(head, |text, word| format!("{text}${}\r\n{word}\r\n", word.len()))
}

/// Checks replies; one without a line break is an array of its words.
fn check_with(client: &mut Harness, cases: &[(&str, &str)]) {
    for (line, reply) in cases {
        let expected = if reply.contains("\r\n") { reply.to_string() } else { array(reply) };
        assert_eq!(client.run(line), expected, "{line}");
    }
    client.check_replay();
}

fn check(cases: &[(&str, &str)]) {
    check_with(&mut Harness::new(), cases);
}

#[test]
fn members_are_added_as_the_options_say() {
    check(&[
        ("ZADD z 1 a 2 b 3 c", ":3\r\n"),
        ("ZADD z CH 1 a 5 b 4 d", ":2\r\n"),
        ("ZADD z nx 9 a 6 e", ":1\r\n"),
        ("ZADD z XX CH 9 a 7 f", ":1\r\n"),
        ("ZADD z GT CH 8 a 9 b 1 g", ":2\r\n"),
        ("ZADD z LT 8 a 10 b", ":0\r\n"),
        ("ZRANGE z 0 -1 WITHSCORES", "g 1 c 3 d 4 e 6 a 8 b 9"),
        ("ZADD z INCR 1 a", "$1\r\n9\r\n"),
        ("ZADD z NX INCR 1 a", NULL),
        ("ZADD z XX INCR 1 q", NULL),
        ("ZADD none XX 1 q", ":0\r\n"),
        ("ZADD none XX INCR 1 q", NULL),
        ("EXISTS none", ":0\r\n"),
        ("ZADD z GT INCR -1 a", NULL),
        ("ZINCRBY z 0.5 a", "$3\r\n9.5\r\n"),
        ("ZINCRBY z 2 new", "$1\r\n2\r\n"),
        ("ZINCRBY z inf new", "$3\r\ninf\r\n"),
        ("ZINCRBY z -inf new", NOT_A_NUMBER),
        ("ZADD z INCR -inf new", NOT_A_NUMBER),
        ("ZADD z NX XX 1 a", "-ERR XX and NX options at the same time are not compatible\r\n"),
        (
            "ZADD z GT LT 1 a",
            "-ERR GT, LT, and/or NX options at the same time are not compatible\r\n",
        ),
        (
            "ZADD z NX GT 1 a",
            "-ERR GT, LT, and/or NX options at the same time are not compatible\r\n",
        ),
        ("ZADD z INCR 1 a 2 b", "-ERR INCR option supports a single increment-element pair\r\n"),
        ("ZADD z NX XX 1", SYNTAX),
        ("ZADD z 1 a 2", SYNTAX),
        ("ZADD z 1 a x b", NOT_FLOAT),
        ("ZADD z nan a", NOT_FLOAT),
        ("ZADD z 1e400 a", NOT_FLOAT),
        ("ZINCRBY z x a", NOT_FLOAT),
        ("SET s x", "+OK\r\n"),
        ("ZADD s x a", NOT_FLOAT),
        ("ZADD s 1 a", WRONG_TYPE),
        ("ZADD s XX 1 a", WRONG_TYPE),
        ("ZINCRBY s 1 a", WRONG_TYPE),
    ]);
}

#[test]
fn members_are_looked_up_and_removed() {
    check(&[
        ("ZADD z 1 a 2 b 3 c", ":3\r\n"),
        ("ZSCORE z b", "$1\r\n2\r\n"),
        ("ZSCORE z q", NULL),
        ("ZMSCORE z q a", "*2\r\n$-1\r\n$1\r\n1\r\n"),
        ("ZMSCORE none q a", "*2\r\n$-1\r\n$-1\r\n"),
        ("ZCARD z", ":3\r\n"),
        ("ZCARD none", ":0\r\n"),
        ("ZRANK z c", ":2\r\n"),
        ("ZREVRANK z c", ":0\r\n"),
        ("ZRANK z q", NULL),
        ("ZRANK z c WITHSCORE", "*2\r\n:2\r\n$1\r\n3\r\n"),
        ("ZREVRANK none c WITHSCORE", "*-1\r\n"),
        ("ZRANK z c foo", SYNTAX),
        ("ZREM z a q", ":1\r\n"),
        ("ZREM z q", ":0\r\n"),
        ("ZREM none q", ":0\r\n"),
        ("ZSCAN z 0", "*2\r\n$1\r\n0\r\n*4\r\n$1\r\nb\r\n$1\r\n2\r\n$1\r\nc\r\n$1\r\n3\r\n"),
        ("ZSCAN z 0 MATCH c*", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\nc\r\n$1\r\n3\r\n"),
        ("ZSCAN none 0", "*2\r\n$1\r\n0\r\n*0\r\n"),
        ("ZSCAN z x", "-ERR invalid cursor\r\n"),
        ("ZSCAN none 0 COUNT x", "*2\r\n$1\r\n0\r\n*0\r\n"),
        ("ZSCAN z 0 COUNT x", NOT_INTEGER),
        ("ZREM z b c", ":2\r\n"),
        ("EXISTS z", ":0\r\n"),
    ]);
}

#[test]
fn ranges_are_read() {
    let not_range = "-ERR min or max not valid string range item\r\n";
    let not_bounds = "-ERR min or max is not a float\r\n";
    let no_limit = "-ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX\r\n";
    let no_scores = "-ERR syntax error, WITHSCORES not supported in combination with BYLEX\r\n";
    check(&[
        ("ZADD z 1 a 2 b 3 c 4 d 5 e", ":5\r\n"),
        ("ZADD y 0 a 0 b 0 c 0 d", ":4\r\n"),
        ("ZRANGE z 1 -2", "b c d"),
        ("ZRANGE z 0 1 REV WITHSCORES", "e 5 d 4"),
        ("ZREVRANGE z -2 10", "b a"),
        ("ZRANGE none 0 -1", ""),
        ("ZRANGE z (1 3 BYSCORE", "b c"),
        ("ZRANGE z ( 1 BYSCORE", "a"),
        ("ZRANGE z -inf +inf BYSCORE LIMIT 1 2", "b c"),
        ("ZRANGE z +inf (1 BYSCORE REV LIMIT 1 -1", "d c b"),
        ("ZRANGE z 5 1 BYSCORE REV LIMIT -1 2", ""),
        ("ZRANGE z 1 5 BYSCORE LIMIT 9223372036854775807 9223372036854775807", ""),
        ("ZRANGE z 1e400 5 BYSCORE", ""),
        ("ZRANGEBYSCORE z 2 3 WITHSCORES LIMIT 0 5", "b 2 c 3"),
        ("ZREVRANGEBYSCORE z 3 2", "c b"),
        ("ZRANGE y [b + BYLEX", "b c d"),
        ("ZRANGE y (d - BYLEX REV LIMIT 1 1", "b"),
        ("ZRANGEBYLEX y - (c", "a b"),
        ("ZRANGEBYLEX y + -", ""),
        ("ZREVRANGEBYLEX y + [b LIMIT 0 2", "d c"),
        ("ZCOUNT z (1 4", ":3\r\n"),
        ("ZCOUNT z 4 (1", ":0\r\n"),
        ("ZCOUNT none 4 1", ":0\r\n"),
        ("ZLEXCOUNT y [b [c", ":2\r\n"),
        ("ZRANGE z 0 1 LIMIT 0 1", no_limit),
        ("ZRANGE z 0 1 LIMIT 0 -1", "a b"),
        ("ZRANGE z 0 1 LIMIT 0", SYNTAX),
        ("ZREVRANGE z 0 1 REV", SYNTAX),
        ("ZRANGE z - + BYLEX WITHSCORES", no_scores),
        ("ZRANGEBYLEX z - + WITHSCORES", no_scores),
        ("ZRANGE z 0 1 BYLEX BYSCORE", SYNTAX),
        ("ZRANGE z 0 1 BYLEX", not_range),
        ("ZLEXCOUNT z a b", not_range),
        ("ZRANGE z x 1", NOT_INTEGER),
        ("ZRANGE z x 1 BYSCORE", not_bounds),
        ("ZCOUNT z nan 1", not_bounds),
        ("ZRANGEBYSCORE z 0 1 LIMIT a b", NOT_INTEGER),
        ("SET s x", "+OK\r\n"),
        ("ZRANGE s 0 1", WRONG_TYPE),
        ("ZRANGESTORE d z 1 2", ":2\r\n"),
        ("ZRANGE d 0 -1 WITHSCORES", "b 2 c 3"),
        ("ZRANGESTORE s z 5 4 BYSCORE REV", ":2\r\n"),
        ("ZRANGE s 0 -1", "d e"),
        ("ZRANGESTORE s z 8 9", ":0\r\n"),
        ("ZRANGESTORE d none 8 9", ":0\r\n"),
        ("EXISTS d s", ":0\r\n"),
        ("ZRANGESTORE z z 1 -1", ":4\r\n"),
        ("ZRANGESTORE d z 0 -1 WITHSCORES", SYNTAX),
        ("ZCARD z", ":4\r\n"),
    ]);
}

#[test]
fn ranges_are_removed() {
    check(&[
        ("ZADD z 1 a 2 b 3 c 4 d 5 e", ":5\r\n"),
        ("ZADD y 0 a 0 b 0 c 0 d", ":4\r\n"),
        ("ZREMRANGEBYRANK z 0 0", ":1\r\n"),
        ("ZREMRANGEBYRANK z 9 12", ":0\r\n"),
        ("ZREMRANGEBYSCORE z (2 3", ":1\r\n"),
        ("ZREMRANGEBYLEX y [b (d", ":2\r\n"),
        ("ZRANGE z 0 -1", "b d e"),
        ("ZRANGE y 0 -1", "a d"),
        ("ZREMRANGEBYSCORE z -inf inf", ":3\r\n"),
        ("EXISTS z", ":0\r\n"),
        ("ZREMRANGEBYSCORE z -inf inf", ":0\r\n"),
        ("ZREMRANGEBYRANK y x 1", NOT_INTEGER),
    ]);
}

#[test]
fn large_ranges_are_removed_in_pieces() {
    let mut client = Harness::new();
    for chunk in 0..20 {
        let pairs = (0..100).map(|at| format!(" {at} m{}", chunk * 100 + at));
        client.run(&format!("ZADD z{}", pairs.collect::<String>()));
    }
    assert_eq!(client.run("ZREMRANGEBYRANK z 100 -101"), ":1800\r\n");
    assert_eq!(client.run("ZCARD z"), ":200\r\n");
    assert_eq!(client.run("ZCOUNT z 5 94"), ":0\r\n");
    client.check_replay();
}

#[test]
fn the_ends_are_popped() {
    check(&[
        ("ZADD z 1 a 2 b 3 c 4 d 5 e", ":5\r\n"),
        ("ZPOPMIN z", "a 1"),
        ("ZPOPMAX z 2", "e 5 d 4"),
        ("ZPOPMIN z 0", ""),
        ("ZPOPMIN none", ""),
        ("ZPOPMIN z x", NOT_POSITIVE),
        ("ZPOPMIN z -1", NOT_POSITIVE),
        ("ZPOPMIN z 1 2", SYNTAX),
        ("ZMPOP 2 none z MAX", "*2\r\n$1\r\nz\r\n*1\r\n*2\r\n$1\r\nc\r\n$1\r\n3\r\n"),
        ("ZMPOP 1 none MIN", "*-1\r\n"),
        ("ZMPOP 1 z foo", SYNTAX),
        ("BZPOPMIN none z 0", "z b 2"),
        ("EXISTS z", ":0\r\n"),
        ("ZADD z 1 a 2 b", ":2\r\n"),
        (
            "BZMPOP 0 1 z MIN COUNT 9",
            "*2\r\n$1\r\nz\r\n*2\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$1\r\nb\r\n$1\r\n2\r\n",
        ),
        ("EXISTS z", ":0\r\n"),
        ("SET s x", "+OK\r\n"),
        ("ZPOPMIN s", WRONG_TYPE),
        ("ZMPOP 2 none s MIN", WRONG_TYPE),
        ("BZPOPMAX none s 0", WRONG_TYPE),
    ]);
}

#[test]
fn sets_are_combined() {
    let mut client = Harness::new();
    let mut set = Set::new();
    let hasher = client.store.keys.hasher();
    for member in ["b", "c", "x"] {
        set.insert(member.as_bytes(), &hasher, &Limits::DEFAULT);
    }
    client.store.keys.put(b"set", Value::Set(set), None);
    client.store.keys.log_whole(b"set");
    check_with(
        &mut client,
        &[
            ("ZADD z 1 a 2 b 3 c", ":3\r\n"),
            ("ZADD y 10 b inf c", ":2\r\n"),
            ("ZADD w -inf c", ":1\r\n"),
            ("ZUNION 3 z y set WITHSCORES", "a 1 x 1 b 13 c inf"),
            ("ZUNION 2 z y", "a b c"),
            ("ZUNION 2 y w WITHSCORES", "c 0 b 10"),
            ("ZUNION 1 y WEIGHTS 0 WITHSCORES", "b 0 c 0"),
            ("ZINTER 3 z y set WITHSCORES WEIGHTS 1 2 100", "b 122 c inf"),
            ("ZINTER 2 z y WITHSCORES AGGREGATE MIN", "b 2 c 3"),
            ("ZINTER 2 z y AGGREGATE max WITHSCORES", "b 10 c inf"),
            ("ZINTER 2 z none", ""),
            ("ZINTER 2 z z WITHSCORES", "a 2 b 4 c 6"),
            ("ZDIFF 2 z set WITHSCORES", "a 1"),
            ("ZDIFF 2 z z", ""),
            ("ZDIFF 2 set none WITHSCORES", "b 1 c 1 x 1"),
            ("ZINTERCARD 2 z set", ":2\r\n"),
            ("ZINTERCARD 2 z set LIMIT 1", ":1\r\n"),
            ("ZINTERCARD 2 z set LIMIT 0", ":2\r\n"),
            ("ZINTERCARD 2 z none", ":0\r\n"),
            ("SET s x", "+OK\r\n"),
            ("ZUNIONSTORE s 2 z set", ":4\r\n"),
            ("ZRANGE s 0 -1 WITHSCORES", "a 1 x 1 b 3 c 4"),
            ("ZINTERSTORE z 2 z set WEIGHTS 2 0.5", ":2\r\n"),
            ("ZRANGE z 0 -1 WITHSCORES", "b 4.5 c 6.5"),
            ("ZDIFFSTORE s 2 z z", ":0\r\n"),
            ("EXISTS s", ":0\r\n"),
            ("SET s x", "+OK\r\n"),
            ("ZUNION 2 z s", WRONG_TYPE),
            ("ZUNION x z", NOT_INTEGER),
            ("ZINTER 0 z", "-ERR at least 1 input key is needed for 'zinter' command\r\n"),
            (
                "ZDIFFSTORE d 0 z",
                "-ERR at least 1 input key is needed for 'zdiffstore' command\r\n",
            ),
            ("ZINTERCARD 0 z", "-ERR at least 1 input key is needed for 'zintercard' command\r\n"),
            ("ZINTER 2 z", SYNTAX),
            ("ZINTER 9223372036854775807 z", SYNTAX),
            ("ZDIFF 1 z WEIGHTS 1", SYNTAX),
            ("ZUNIONSTORE d 1 z WITHSCORES", SYNTAX),
            ("ZUNION 1 z WEIGHTS x", "-ERR weight value is not a float\r\n"),
            ("ZUNION 1 z WEIGHTS", SYNTAX),
            ("ZUNION 1 z AGGREGATE foo", SYNTAX),
            ("ZINTERCARD 1 z LIMIT -1", "-ERR LIMIT can't be negative\r\n"),
            ("ZINTERCARD 1 z WITHSCORES", SYNTAX),
            ("DEL set", ":1\r\n"),
        ],
    );
}

#[test]
fn random_members_are_members() {
    let mut client = Harness::new();
    client.run("ZADD z 1 a 2 b 3 c 4 d");
    for _ in 0..50 {
        let two = client.run("ZRANDMEMBER z 2");
        let words: Vec<&str> = two.split("\r\n").collect();
        assert_eq!((words[0], words.len()), ("*2", 6));
        assert_ne!(words[2], words[4]);
        let many = client.run("ZRANDMEMBER z -9 WITHSCORES");
        let words: Vec<&str> = many.split("\r\n").collect();
        assert_eq!((words[0], words.len()), ("*18", 38));
        assert!(["a", "b", "c", "d"].contains(&words[2]));
    }
    check_with(
        &mut client,
        &[
            ("ZRANDMEMBER z 9 WITHSCORES", "a 1 b 2 c 3 d 4"),
            ("ZRANDMEMBER z 0", ""),
            ("ZRANDMEMBER none", NULL),
            ("ZRANDMEMBER none 1", ""),
            ("ZRANDMEMBER z x", NOT_INTEGER),
            ("ZRANDMEMBER z 1 foo", SYNTAX),
            (
                "ZRANDMEMBER z -9223372036854775808",
                "-ERR value is out of range, value must between -9223372036854775807 and \
                 9223372036854775807\r\n",
            ),
            ("ZRANDMEMBER z 9223372036854775807 WITHSCORES", "-ERR value is out of range\r\n"),
            (
                "ZRANDMEMBER z -4000000000000",
                "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
            ),
        ],
    );
}

#[test]
fn resp3_has_pairs_and_doubles() {
    let mut client = Harness::new();
    client.session.client.protocol.set(Protocol::Resp3);
    for (line, reply) in [
        ("ZADD z 1 a 2 b 3 c 4 d", ":4\r\n"),
        ("ZADD z INCR 0.5 a", ",1.5\r\n"),
        ("ZSCORE z a", ",1.5\r\n"),
        ("ZSCORE z q", "_\r\n"),
        ("ZRANGE z 0 0 WITHSCORES", "*1\r\n*2\r\n$1\r\na\r\n,1.5\r\n"),
        ("ZRANK z q WITHSCORE", "_\r\n"),
        ("ZPOPMIN z", "*2\r\n$1\r\na\r\n,1.5\r\n"),
        ("ZPOPMIN z 1", "*1\r\n*2\r\n$1\r\nb\r\n,2\r\n"),
        ("BZPOPMIN z 0", "*3\r\n$1\r\nz\r\n$1\r\nc\r\n,3\r\n"),
        ("ZSCAN z 0", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\nd\r\n$1\r\n4\r\n"),
        ("ZMPOP 1 z MIN", "*2\r\n$1\r\nz\r\n*1\r\n*2\r\n$1\r\nd\r\n,4\r\n"),
        ("ZMPOP 1 z MIN", "_\r\n"),
        ("ZPOPMIN z", "*0\r\n"),
    ] {
        assert_eq!(client.run(line), reply, "{line}");
    }
}

/// Sorted sets as they should be, by key.
#[derive(Default)]
struct Model(BTreeMap<String, BTreeMap<String, f64>>);

impl Model {
    fn ordered(&self, key: &str) -> Vec<(String, f64)> {
        let set = self.0.get(key).into_iter().flatten();
        let mut members: Vec<_> = set.map(|(member, score)| (member.clone(), *score)).collect();
        members.sort_by(|one, other| one.1.total_cmp(&other.1).then(one.0.cmp(&other.0)));
        members
    }

    fn show(members: &[(String, f64)]) -> String {
        let words =
            members.iter().map(|(member, score)| format!("{member} {} ", format_float(*score)));
        array(&words.collect::<String>())
    }

    /// Members whose index and score are chosen.
    fn choose(&self, key: &str, holds: impl Fn(i64, f64) -> bool) -> Vec<(String, f64)> {
        let members = self.ordered(key).into_iter().enumerate();
        members.filter(|(at, (_, score))| holds(*at as i64, *score)).map(|(_, it)| it).collect()
    }

    fn remove(&mut self, key: &str, members: &[(String, f64)]) -> String {
        for (member, _) in members {
            self.0.get_mut(key).unwrap().remove(member);
        }
        format!(":{}\r\n", members.len())
    }

    fn ranks(&self, key: &str, start: i64, stop: i64) -> Vec<(String, f64)> {
        let len = self.ordered(key).len() as i64;
        let at = |index: i64| if index < 0 { index + len } else { index };
        self.choose(key, |index, _| index >= at(start) && index <= at(stop))
    }

    fn run(&mut self, words: &[String]) -> String {
        let words: Vec<&str> = words.iter().map(|word| &word[..]).collect();
        let number = |at: usize| words[at].parse::<f64>().unwrap();
        let key = words[1];
        match words[0] {
            "ZADD" => {
                let set = self.0.entry(key.to_string()).or_default();
                let is_new = set.insert(words[3].to_string(), number(2)).is_none();
                format!(":{}\r\n", i32::from(is_new))
            }
            "ZINCRBY" => {
                let set = self.0.entry(key.to_string()).or_default();
                let score = set.entry(words[3].to_string()).or_default();
                *score += number(2);
                let text = format_float(*score);
                format!("${}\r\n{text}\r\n", text.len())
            }
            "ZREM" => {
                let removed = self.0.get_mut(key).and_then(|set| set.remove(words[2]));
                format!(":{}\r\n", i32::from(removed.is_some()))
            }
            "ZRANGE" => Self::show(&self.ranks(key, number(2) as i64, number(3) as i64)),
            "ZREMRANGEBYRANK" => {
                let members = self.ranks(key, number(2) as i64, number(3) as i64);
                self.remove(key, &members)
            }
            "ZRANGEBYSCORE" => {
                let members = self.choose(key, |_, s| s >= number(2) && s <= number(3));
                let (skipped, count) = (number(6) as usize, number(7) as usize);
                let members: Vec<_> = members.into_iter().skip(skipped).take(count).collect();
                Self::show(&members)
            }
            "ZREMRANGEBYSCORE" => {
                let members = self.choose(key, |_, s| s >= number(2) && s <= number(3));
                self.remove(key, &members)
            }
            "ZPOPMAX" => {
                let mut members = self.ordered(key);
                members.reverse();
                members.truncate(number(2) as usize);
                self.remove(key, &members);
                Self::show(&members)
            }
            name => {
                let (one, other) = (self.0.get(words[3]).cloned(), self.0.get(words[4]).cloned());
                let (one, other) = (one.unwrap_or_default(), other.unwrap_or_default());
                let mut result = BTreeMap::new();
                for (member, score) in one.iter().chain(other.iter()) {
                    let is_wanted = match name {
                        "ZUNIONSTORE" => true,
                        "ZINTERSTORE" => one.contains_key(member) && other.contains_key(member),
                        _ => !other.contains_key(member),
                    };
                    if is_wanted {
                        *result.entry(member.clone()).or_default() += score;
                    }
                }
                let len = result.len();
                self.0.insert(key.to_string(), result);
                format!(":{len}\r\n")
            }
        }
    }
}

fn command() -> impl Strategy<Value = Vec<String>> {
    let key = || prop::sample::select(&["k", "l", "m"][..]);
    let member = || {
        prop_oneof![
            4 => prop::sample::select(&["a", "b", "c", "dd", "e"][..]).prop_map(ToString::to_string),
            1 => (0..200).prop_map(|it| format!("member{it}")),
        ]
    };
    let score = || (-8..8).prop_map(|it| f64::from(it) / 2.0);
    let rank = || -6_i64..12;
    let store = prop::sample::select(&["ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE"][..]);
    prop_oneof![
        8 => (key(), score(), member()).prop_map(|(k, s, m)| format!("ZADD {k} {s} {m}")),
        2 => (key(), score(), member()).prop_map(|(k, s, m)| format!("ZINCRBY {k} {s} {m}")),
        2 => (key(), member()).prop_map(|(k, m)| format!("ZREM {k} {m}")),
        1 => (key(), rank(), rank()).prop_map(|(k, a, b)| format!("ZRANGE {k} {a} {b} WITHSCORES")),
        1 => (key(), rank(), rank()).prop_map(|(k, a, b)| format!("ZREMRANGEBYRANK {k} {a} {b}")),
        1 => (key(), score(), score(), 0..4, 0..9).prop_map(|(k, a, b, s, c)| {
            format!("ZRANGEBYSCORE {k} {a} {b} WITHSCORES LIMIT {s} {c}")
        }),
        1 => (key(), score(), score())
            .prop_map(|(k, a, b)| format!("ZREMRANGEBYSCORE {k} {a} {b}")),
        1 => (key(), 0..4).prop_map(|(k, n)| format!("ZPOPMAX {k} {n}")),
        1 => (store, key(), key(), key()).prop_map(|(s, d, a, b)| format!("{s} {d} 2 {a} {b}")),
    ]
    .prop_map(|line| line.split(' ').map(ToString::to_string).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sorted_sets_are_as_in_the_model(commands in prop::collection::vec(command(), 1..150)) {
        let mut client = Harness::new();
        let mut model = Model::default();
        for words in &commands {
            let bytes: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
            let reply = String::from_utf8(client.run_words(&bytes)).unwrap();
            prop_assert_eq!(reply, model.run(words), "{:?}", words);
        }
        client.check_replay();
    }
}
