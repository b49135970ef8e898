//! Lists: replies, and a model.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;

use crate::command::harness::Harness;
use crate::reply::Protocol;
use crate::types::list::List;

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
const NOT_INTEGER: &str = "-ERR value is not an integer or out of range\r\n";
const NOT_POSITIVE: &str = "-ERR value is out of range, must be positive\r\n";

fn check(cases: &[(&str, &str)]) {
    let mut client = Harness::new();
    for (line, reply) in cases {
        assert_eq!(client.run(line), *reply, "{line}");
    }
    client.check_replay();
}

#[test]
fn both_ends_are_pushed_and_popped() {
    check(&[
        ("RPUSH l a b c", ":3\r\n"),
        ("LPUSH l x y", ":5\r\n"),
        ("LRANGE l 0 -1", "*5\r\n$1\r\ny\r\n$1\r\nx\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n"),
        ("LPUSHX none a", ":0\r\n"),
        ("RPUSHX none a", ":0\r\n"),
        ("EXISTS none", ":0\r\n"),
        ("RPUSHX l d", ":6\r\n"),
        ("LPUSHX l z", ":7\r\n"),
        ("LLEN l", ":7\r\n"),
        ("LPOP l", "$1\r\nz\r\n"),
        ("RPOP l 2", "*2\r\n$1\r\nd\r\n$1\r\nc\r\n"),
        ("LPOP l 0", "*0\r\n"),
        ("LPOP l 100", "*4\r\n$1\r\ny\r\n$1\r\nx\r\n$1\r\na\r\n$1\r\nb\r\n"),
        ("EXISTS l", ":0\r\n"),
        ("LPOP l", "$-1\r\n"),
        ("LPOP l 0", "*-1\r\n"),
        ("LPOP l x", NOT_POSITIVE),
        ("LPOP l -1", NOT_POSITIVE),
        ("LPOP l 1 2", "-ERR wrong number of arguments for 'lpop' command\r\n"),
        ("SET s x", "+OK\r\n"),
        ("LPUSH s x", WRONG_TYPE),
        ("LPUSHX s x", WRONG_TYPE),
        ("LPOP s 0", WRONG_TYPE),
        ("LLEN s", WRONG_TYPE),
    ]);
}

#[test]
fn elements_are_changed_in_the_middle() {
    check(&[
        ("LINDEX none x", "$-1\r\n"),
        ("LSET none x v", "-ERR no such key\r\n"),
        ("LINSERT none BEFORE a b", ":0\r\n"),
        ("LINSERT none foo a b", "-ERR syntax error\r\n"),
        ("LTRIM none 0 1", "+OK\r\n"),
        ("LTRIM none x 1", NOT_INTEGER),
        ("LREM none 0 a", ":0\r\n"),
        ("RPUSH l a b c a b c a", ":7\r\n"),
        ("LINDEX l x", NOT_INTEGER),
        ("LINDEX l -1", "$1\r\na\r\n"),
        ("LINDEX l -9223372036854775808", "$-1\r\n"),
        ("LINDEX l 7", "$-1\r\n"),
        ("LSET l x v", NOT_INTEGER),
        ("LSET l 7 v", "-ERR index out of range\r\n"),
        ("LSET l -8 v", "-ERR index out of range\r\n"),
        ("LSET l -7 v", "+OK\r\n"),
        ("LINSERT l before b 1", ":8\r\n"),
        ("LINSERT l AFTER c 2", ":9\r\n"),
        ("LINSERT l AFTER q 2", ":-1\r\n"),
        ("LREM l -1 a", ":1\r\n"),
        ("LREM l 0 q", ":0\r\n"),
        ("LREM l x q", NOT_INTEGER),
        (
            "LRANGE l -100 100",
            "*8\r\n$1\r\nv\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\n2\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n",
        ),
        ("LRANGE l 8 9", "*0\r\n"),
        ("LTRIM l 1 -2", "+OK\r\n"),
        ("LLEN l", ":6\r\n"),
        ("LTRIM l 5 2", "+OK\r\n"),
        ("EXISTS l", ":0\r\n"),
        ("RPUSH l a a", ":2\r\n"),
        ("LREM l 9223372036854775807 a", ":2\r\n"),
        ("EXISTS l", ":0\r\n"),
    ]);
}

#[test]
fn positions_are_found() {
    check(&[
        ("RPUSH l a b c a b c a", ":7\r\n"),
        ("LPOS l a", ":0\r\n"),
        ("LPOS l z", "$-1\r\n"),
        ("LPOS l z COUNT 0", "*0\r\n"),
        ("LPOS none z COUNT 0", "*0\r\n"),
        ("LPOS none z", "$-1\r\n"),
        ("LPOS l a RANK -1 COUNT 0", "*3\r\n:6\r\n:3\r\n:0\r\n"),
        ("LPOS l a RANK 2 COUNT 0 MAXLEN 4", "*1\r\n:3\r\n"),
        ("LPOS l a RANK -2 MAXLEN 3", "$-1\r\n"),
        ("LPOS l a COUNT 2 MAXLEN 0", "*2\r\n:0\r\n:3\r\n"),
        ("LPOS l a RANK -9223372036854775807", "$-1\r\n"),
        (
            "LPOS l a RANK 0",
            "-ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or \
             use negative to start from the end of the list\r\n",
        ),
        ("LPOS l a RANK x", NOT_INTEGER),
        ("LPOS l a COUNT x", "-ERR COUNT can't be negative\r\n"),
        ("LPOS l a MAXLEN -1", "-ERR MAXLEN can't be negative\r\n"),
        ("LPOS l a RANK 1 COUNT", "-ERR syntax error\r\n"),
        ("LPOS l a FOO 1", "-ERR syntax error\r\n"),
    ]);
}

#[test]
fn elements_are_moved() {
    check(&[
        ("RPUSH l a b c", ":3\r\n"),
        ("SET s x", "+OK\r\n"),
        ("LMOVE none s LEFT LEFT", "$-1\r\n"),
        ("LMOVE l s LEFT LEFT", WRONG_TYPE),
        ("LMOVE l m foo LEFT", "-ERR syntax error\r\n"),
        ("LMOVE l m left RIGHT", "$1\r\na\r\n"),
        ("RPOPLPUSH l m", "$1\r\nc\r\n"),
        ("LMOVE l l LEFT RIGHT", "$1\r\nb\r\n"),
        ("EXPIRE l 100", ":1\r\n"),
        ("RPOPLPUSH l l", "$1\r\nb\r\n"),
        ("LMOVE l l LEFT LEFT", "$1\r\nb\r\n"),
        ("TTL l", ":100\r\n"),
        ("LMOVE l m LEFT LEFT", "$1\r\nb\r\n"),
        ("EXISTS l", ":0\r\n"),
        ("LRANGE m 0 -1", "*3\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\na\r\n"),
        ("LMOVE m m LEFT RIGHT", "$1\r\nb\r\n"),
        ("LRANGE m 0 -1", "*3\r\n$1\r\nc\r\n$1\r\na\r\n$1\r\nb\r\n"),
    ]);
}

#[test]
fn the_first_list_of_many_is_popped() {
    check(&[
        ("RPUSH l a b c", ":3\r\n"),
        ("SET s x", "+OK\r\n"),
        ("LMPOP 2 none l LEFT COUNT 2", "*2\r\n$1\r\nl\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
        ("LMPOP 1 none right", "*-1\r\n"),
        ("LMPOP 2 none s LEFT", WRONG_TYPE),
        ("LMPOP 0 l LEFT", "-ERR numkeys should be greater than 0\r\n"),
        ("LMPOP x l LEFT", "-ERR numkeys should be greater than 0\r\n"),
        ("LMPOP 2 l LEFT", "-ERR syntax error\r\n"),
        ("LMPOP 9223372036854775807 l LEFT", "-ERR syntax error\r\n"),
        ("LMPOP 1 l foo", "-ERR syntax error\r\n"),
        ("LMPOP 1 l LEFT COUNT 0", "-ERR count should be greater than 0\r\n"),
        ("LMPOP 1 l LEFT COUNT", "-ERR syntax error\r\n"),
        ("LMPOP 1 l LEFT COUNT 1 COUNT 1", "-ERR syntax error\r\n"),
        ("LMPOP 1 l RIGHT COUNT 10", "*2\r\n$1\r\nl\r\n*1\r\n$1\r\nc\r\n"),
        ("EXISTS l", ":0\r\n"),
    ]);
}

#[test]
fn resp3_has_one_null() {
    let mut client = Harness::new();
    client.session.client.protocol.set(Protocol::Resp3);
    for line in ["LPOP l", "LPOP l 1", "LPOS l a", "LMOVE l m LEFT LEFT", "LMPOP 1 l LEFT"] {
        assert_eq!(client.run(line), "_\r\n", "{line}");
    }
}

/// Lists as they should be, by key.
#[derive(Default)]
struct Model(BTreeMap<String, Vec<String>>);

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn array<'a>(elements: impl ExactSizeIterator<Item = &'a String>) -> String {
    let head = format!("*{}\r\n", elements.len());
    elements.fold(head, |text, element| text + &bulk(element))
}

impl Model {
    fn take(&mut self, key: &str, end: &str) -> Option<String> {
        let list = self.0.get_mut(key).filter(|list| !list.is_empty())?;
        Some(if end == "LEFT" { list.remove(0) } else { list.remove(list.len() - 1) })
    }

    fn put(&mut self, key: &str, end: &str, element: &str) -> usize {
        let list = self.0.entry(key.to_string()).or_default();
        let at = if end == "LEFT" { 0 } else { list.len() };
        list.insert(at, element.to_string());
        list.len()
    }

    fn range(&self, key: &str, start: i64, stop: i64) -> Vec<String> {
        let list = self.0.get(key).cloned().unwrap_or_default();
        let len = list.len() as i64;
        let at = |index: i64| if index < 0 { index + len } else { index };
        let is_inside = |index: i64| index >= at(start) && index <= at(stop);
        let kept = list.into_iter().enumerate().filter(|(index, _)| is_inside(*index as i64));
        kept.map(|(_, element)| element).collect()
    }

    fn remove(&mut self, key: &str, count: i64, element: &str) -> usize {
        let list = self.0.entry(key.to_string()).or_default();
        let limit = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
        let mut removed = 0;
        if count < 0 {
            list.reverse();
        }
        list.retain(|other| {
            let goes = other == element && removed < limit;
            removed += usize::from(goes);
            !goes
        });
        if count < 0 {
            list.reverse();
        }
        removed
    }

    fn run(&mut self, words: &[String]) -> String {
        let words: Vec<&str> = words.iter().map(|word| &word[..]).collect();
        let number = |at: usize| words[at].parse::<i64>().unwrap();
        match words[0] {
            "LPUSH" => format!(":{}\r\n", self.put(words[1], "LEFT", words[2])),
            "RPUSH" => format!(":{}\r\n", self.put(words[1], "RIGHT", words[2])),
            "LPOP" => self.take(words[1], "LEFT").map_or("$-1\r\n".into(), |it| bulk(&it)),
            "RPOP" => {
                if self.range(words[1], 0, -1).is_empty() {
                    return "*-1\r\n".into();
                }
                let taken = (0..number(2)).map_while(|_| self.take(words[1], "RIGHT"));
                array(taken.collect::<Vec<_>>().iter())
            }
            "LMOVE" => match self.take(words[1], words[3]) {
                Some(element) => {
                    self.put(words[2], words[4], &element);
                    bulk(&element)
                }
                None => "$-1\r\n".into(),
            },
            "LREM" => format!(":{}\r\n", self.remove(words[1], number(2), words[3])),
            "LTRIM" => {
                let kept = self.range(words[1], number(2), number(3));
                self.0.insert(words[1].to_string(), kept);
                "+OK\r\n".into()
            }
            "LRANGE" => array(self.range(words[1], number(2), number(3)).iter()),
            "LINSERT" => {
                let list = self.0.entry(words[1].to_string()).or_default();
                if list.is_empty() {
                    return ":0\r\n".into();
                }
                match list.iter().position(|element| element == words[3]) {
                    Some(at) => {
                        list.insert(at + usize::from(words[2] == "AFTER"), words[4].to_string());
                        format!(":{}\r\n", list.len())
                    }
                    None => ":-1\r\n".into(),
                }
            }
            _ => {
                let list = self.0.entry(words[1].to_string()).or_default();
                if list.is_empty() {
                    return "-ERR no such key\r\n".into();
                }
                let index = number(2);
                let index = if index < 0 { index + list.len() as i64 } else { index };
                match list.get_mut(index as usize) {
                    Some(element) => {
                        *element = words[3].to_string();
                        "+OK\r\n".into()
                    }
                    None => "-ERR index out of range\r\n".into(),
                }
            }
        }
    }
}

fn command() -> impl Strategy<Value = Vec<String>> {
    let key = || prop::sample::select(&["k", "l", "m"][..]);
    let element = || prop::sample::select(&["a", "b", "1", "-300", "a longer element"][..]);
    let side = || prop::sample::select(&["LEFT", "RIGHT"][..]);
    let place = || prop::sample::select(&["BEFORE", "AFTER"][..]);
    let number = || -6_i64..12;
    prop_oneof![
        4 => (key(), element()).prop_map(|(k, e)| format!("RPUSH|{k}|{e}")),
        4 => (key(), element()).prop_map(|(k, e)| format!("LPUSH|{k}|{e}")),
        1 => key().prop_map(|k| format!("LPOP|{k}")),
        1 => (key(), 0..4).prop_map(|(k, n)| format!("RPOP|{k}|{n}")),
        2 => (key(), key(), side(), side())
            .prop_map(|(k, l, a, b)| format!("LMOVE|{k}|{l}|{a}|{b}")),
        1 => (key(), -2..3, element()).prop_map(|(k, n, e)| format!("LREM|{k}|{n}|{e}")),
        1 => (key(), number(), number()).prop_map(|(k, a, b)| format!("LTRIM|{k}|{a}|{b}")),
        1 => (key(), number(), number()).prop_map(|(k, a, b)| format!("LRANGE|{k}|{a}|{b}")),
        1 => (key(), place(), element(), element())
            .prop_map(|(k, p, a, b)| format!("LINSERT|{k}|{p}|{a}|{b}")),
        1 => (key(), number(), element()).prop_map(|(k, n, e)| format!("LSET|{k}|{n}|{e}")),
    ]
    .prop_map(|line| line.split('|').map(ToString::to_string).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn lists_are_as_in_the_model(commands in prop::collection::vec(command(), 1..100)) {
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

#[test]
fn a_copy_shares_no_memory() {
    let mut client = Harness::new();
    for number in 0..20 {
        client.run(&std::format!("RPUSH l {number}{}", "e".repeat(5000)));
    }
    client.run("RPUSH l x");
    assert_eq!(client.run("COPY l m"), ":1\r\n");
    for key in [b"l", b"m"] {
        let list = client.store.keys.collection::<List>(key).unwrap().unwrap();
        assert_eq!((list.len(), list.shared_bytes()), (21, 0));
    }
    assert_eq!(client.run("LREM m 0 x"), ":1\r\n");
    assert_eq!(client.run("LLEN l"), ":21\r\n");
    client.check_replay();
}
