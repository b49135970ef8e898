//! SORT: replies, and pages of a model.

use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;

use crate::command::harness::Harness;
use crate::db::value::Value;
use crate::reply::Protocol;
use crate::types::sorted_set::SortedSet;

/// What redis-server 7.0 answers.
#[test]
fn elements_are_sorted_cut_replaced_and_stored() {
    let mut client = Harness::new();
    let keys = &mut client.store.keys;
    let mut set = SortedSet::new(keys.hasher());
    for (text, score) in [("c", 1.0), ("b", 2.0), ("a", 3.0)] {
        set.insert(text.as_bytes(), score);
    }
    keys.put(b"z", Value::SortedSet(set), None);
    for (line, reply) in [
        ("SET s x", "+OK\r\n"),
        ("HSET h a 1", ":1\r\n"),
        ("RPUSH l 3 1 2 10 -5", ":5\r\n"),
        ("SADD t 3 1 2", ":3\r\n"),
        ("RPUSH w banana Apple cherry apple", ":4\r\n"),
        ("SORT l", "*5\r\n$2\r\n-5\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$2\r\n10\r\n"),
        ("SORT l DESC", "*5\r\n$2\r\n10\r\n$1\r\n3\r\n$1\r\n2\r\n$1\r\n1\r\n$2\r\n-5\r\n"),
        ("SORT l ALPHA", "*5\r\n$2\r\n-5\r\n$1\r\n1\r\n$2\r\n10\r\n$1\r\n2\r\n$1\r\n3\r\n"),
        ("SORT l ASC LIMIT 1 2", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n"),
        ("SORT l LIMIT -5 2", "*2\r\n$2\r\n-5\r\n$1\r\n1\r\n"),
        ("SORT l LIMIT 3 -1", "*2\r\n$1\r\n3\r\n$2\r\n10\r\n"),
        ("SORT l LIMIT 10 5", "*0\r\n"),
        ("SORT l LIMIT 0 0", "*0\r\n"),
        ("SORT l LIMIT x 1", "-ERR value is not an integer or out of range\r\n"),
        ("SORT l LIMIT 1", "-ERR syntax error\r\n"),
        (
            "SORT l LIMIT 0 9223372036854775807",
            "*5\r\n$2\r\n-5\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$2\r\n10\r\n",
        ),
        ("SORT l DESC LIMIT 0 2", "*2\r\n$2\r\n10\r\n$1\r\n3\r\n"),
        ("SORT t", "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n"),
        ("SORT z ALPHA", "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n"),
        ("SORT z", "-ERR One or more scores can't be converted into double\r\n"),
        ("SORT z BY nosort", "*3\r\n$1\r\nc\r\n$1\r\nb\r\n$1\r\na\r\n"),
        ("SORT z BY nosort DESC", "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n"),
        ("SORT z BY nosort LIMIT 1 1", "*1\r\n$1\r\nb\r\n"),
        ("SORT z BY nosort DESC LIMIT 1 2", "*2\r\n$1\r\nb\r\n$1\r\nc\r\n"),
        (
            "SORT z BY nosort DESC LIMIT 0 2 GET # GET none_*",
            "*4\r\n$1\r\na\r\n$-1\r\n$1\r\nb\r\n$-1\r\n",
        ),
        ("SORT l BY nosort", "*5\r\n$1\r\n3\r\n$1\r\n1\r\n$1\r\n2\r\n$2\r\n10\r\n$2\r\n-5\r\n"),
        (
            "SORT l BY nosort DESC",
            "*5\r\n$2\r\n-5\r\n$2\r\n10\r\n$1\r\n2\r\n$1\r\n1\r\n$1\r\n3\r\n",
        ),
        ("SORT l BY nosort LIMIT 1 2", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n"),
        ("SORT w", "-ERR One or more scores can't be converted into double\r\n"),
        ("SORT w ALPHA", "*4\r\n$5\r\nApple\r\n$5\r\napple\r\n$6\r\nbanana\r\n$6\r\ncherry\r\n"),
        (
            "SORT w ALPHA DESC",
            "*4\r\n$6\r\ncherry\r\n$6\r\nbanana\r\n$5\r\napple\r\n$5\r\nApple\r\n",
        ),
        ("SORT s", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("SORT h", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("SORT none", "*0\r\n"),
        ("SORT none STORE s", ":0\r\n"),
        ("EXISTS s", ":0\r\n"),
        ("SET s x", "+OK\r\n"),
        ("MSET w_1 30 w_2 20 w_3 10 w_10 20", "+OK\r\n"),
        ("SORT l BY w_*", "*5\r\n$2\r\n-5\r\n$1\r\n3\r\n$2\r\n10\r\n$1\r\n2\r\n$1\r\n1\r\n"),
        ("SORT l BY w_* DESC", "*5\r\n$1\r\n1\r\n$1\r\n2\r\n$2\r\n10\r\n$1\r\n3\r\n$2\r\n-5\r\n"),
        ("SORT l BY w_* GET #", "*5\r\n$2\r\n-5\r\n$1\r\n3\r\n$2\r\n10\r\n$1\r\n2\r\n$1\r\n1\r\n"),
        (
            "SORT l BY w_* GET # GET w_*",
            "*10\r\n$2\r\n-5\r\n$-1\r\n$1\r\n3\r\n$2\r\n10\r\n$2\r\n10\r\n$2\r\n20\r\n$1\r\n2\r\n$2\r\n20\r\n$1\r\n1\r\n$2\r\n30\r\n",
        ),
        ("SORT l BY w_*x", "*5\r\n$2\r\n-5\r\n$1\r\n1\r\n$2\r\n10\r\n$1\r\n2\r\n$1\r\n3\r\n"),
        ("HSET o_1 p 3 n one", ":2\r\n"),
        ("HSET o_2 p 2 n two", ":2\r\n"),
        ("HSET o_3 p 1", ":1\r\n"),
        ("SORT l BY o_*->p", "*5\r\n$2\r\n-5\r\n$2\r\n10\r\n$1\r\n3\r\n$1\r\n2\r\n$1\r\n1\r\n"),
        (
            "SORT l BY o_*->p GET o_*->n GET #",
            "*10\r\n$-1\r\n$2\r\n-5\r\n$-1\r\n$2\r\n10\r\n$-1\r\n$1\r\n3\r\n$3\r\ntwo\r\n$1\r\n2\r\n$3\r\none\r\n$1\r\n1\r\n",
        ),
        ("SORT l BY o_*->p GET o_*->", "*5\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n"),
        ("SORT l GET s", "*5\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n"),
        ("SORT l GET o_*", "*5\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n"),
        ("SORT l GET w_*->n", "*5\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n"),
        ("SORT l BY o_*->p GET o_*->n STORE d", ":5\r\n"),
        ("LRANGE d 0 -1", "*5\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$3\r\ntwo\r\n$3\r\none\r\n"),
        ("TYPE d", "+list\r\n"),
        ("SORT t BY nosort STORE d", ":3\r\n"),
        ("LRANGE d 0 -1", "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n"),
        ("SORT l BY nosort STORE l", ":5\r\n"),
        ("LRANGE l 0 -1", "*5\r\n$1\r\n3\r\n$1\r\n1\r\n$1\r\n2\r\n$2\r\n10\r\n$2\r\n-5\r\n"),
        ("SORT l BY w_* LIMIT 1 2 STORE d", ":2\r\n"),
        ("LRANGE d 0 -1", "*2\r\n$1\r\n3\r\n$2\r\n10\r\n"),
        ("SORT_RO l DESC", "*5\r\n$2\r\n10\r\n$1\r\n3\r\n$1\r\n2\r\n$1\r\n1\r\n$2\r\n-5\r\n"),
        ("SORT_RO l STORE d", "-ERR syntax error\r\n"),
        ("SORT l FOO", "-ERR syntax error\r\n"),
        ("SORT l BY", "-ERR syntax error\r\n"),
        ("SORT l GET", "-ERR syntax error\r\n"),
        ("SORT l STORE", "-ERR syntax error\r\n"),
        ("SORT l BY w_* ALPHA LIMIT 2 3", "*3\r\n$1\r\n2\r\n$2\r\n10\r\n$1\r\n1\r\n"),
        ("MSET v_1 b v_2 a v_3 c", "+OK\r\n"),
        ("SORT t BY v_* ALPHA", "*3\r\n$1\r\n2\r\n$1\r\n1\r\n$1\r\n3\r\n"),
        (
            "SORT t BY v_* ALPHA DESC GET # GET v_*",
            "*6\r\n$1\r\n3\r\n$1\r\nc\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n$1\r\na\r\n",
        ),
        ("SORT t BY v_*", "-ERR One or more scores can't be converted into double\r\n"),
        ("SORT t BY # DESC", "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n"),
        ("RPUSH f 1.5 inf -inf 1e3 -0.5", ":5\r\n"),
        ("SORT f", "*5\r\n$4\r\n-inf\r\n$4\r\n-0.5\r\n$3\r\n1.5\r\n$3\r\n1e3\r\n$3\r\ninf\r\n"),
        ("RPUSH g 1e400", ":1\r\n"),
        ("SORT g", "-ERR One or more scores can't be converted into double\r\n"),
        ("RPUSH nan nan", ":1\r\n"),
        ("SORT nan", "-ERR One or more scores can't be converted into double\r\n"),
        (
            "SORT l BY w_* BY nosort",
            "*5\r\n$1\r\n3\r\n$1\r\n1\r\n$1\r\n2\r\n$2\r\n10\r\n$2\r\n-5\r\n",
        ),
        (
            "SORT l BY nosort BY w_*",
            "*5\r\n$1\r\n3\r\n$1\r\n1\r\n$1\r\n2\r\n$2\r\n10\r\n$2\r\n-5\r\n",
        ),
        ("SORT none LIMIT 0 1", "*0\r\n"),
    ] {
        assert_eq!(client.run(line), reply, "{line}");
    }
    client.session.client.protocol.set(Protocol::Resp3);
    for (line, reply) in [
        ("SORT l GET none_*", "*5\r\n_\r\n_\r\n_\r\n_\r\n_\r\n"),
        ("SORT none", "*0\r\n"),
        ("SORT z BY nosort GET #", "*3\r\n$1\r\nc\r\n$1\r\nb\r\n$1\r\na\r\n"),
    ] {
        assert_eq!(client.run(line), reply, "{line}");
    }
    client.run("DEL z");
    client.check_replay();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pages_are_parts_of_the_whole(
        numbers in prop::collection::vec(-50..50_i32, 1..100),
        weights in prop::collection::btree_map(-50..50_i32, 0..9_u8, 0..100),
        start in 0..120_usize,
        count in 0..120_usize,
        descends: bool,
        by: bool,
    ) {
        let mut client = Harness::new();
        let words: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        client.run(&format!("RPUSH l {}", words.join(" ")));
        for (number, weight) in &weights {
            client.run(&format!("SET w_{number} {weight}"));
        }
        let order = if descends { "DESC" } else { "ASC" };
        let by = if by { " BY w_*" } else { "" };
        client.run(&format!("SORT l{by} {order} LIMIT {start} {count} STORE d"));
        let mut expected = words;
        let weight = |text: &String| weights_of(&weights, text, !by.is_empty());
        expected.sort_by_key(&weight);
        if descends {
            expected.reverse();
        }
        let page: Vec<String> = expected.into_iter().skip(start).take(count).collect();
        let mut reply = format!("*{}\r\n", page.len());
        for text in page {
            reply.push_str(&format!("${}\r\n{text}\r\n", text.len()));
        }
        prop_assert_eq!(client.run("LRANGE d 0 -1"), reply);
        client.check_replay();
    }
}

/// What a number is sorted by: its weight, or itself, and then its text.
fn weights_of(weights: &BTreeMap<i32, u8>, text: &str, by: bool) -> (i32, String) {
    let number = text.parse().unwrap();
    let weight = if by { weights.get(&number).copied().unwrap_or(0).into() } else { number };
    (weight, text.to_string())
}
