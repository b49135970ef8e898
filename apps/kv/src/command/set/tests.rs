//! Sets: replies, and a model.

use std::collections::{BTreeMap, BTreeSet};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;

use crate::command::harness::Harness;
use crate::reply::Protocol;

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";

#[test]
fn members_come_and_go() {
    let mut client = Harness::new();
    for (line, reply) in [
        ("SET s x", "+OK\r\n"),
        ("SADD t 1 2 3 2", ":3\r\n"),
        ("SADD t 1", ":0\r\n"),
        ("SADD s 1", WRONG_TYPE),
        ("OBJECT ENCODING t", "$6\r\nintset\r\n"),
        ("SCARD t", ":3\r\n"),
        ("SCARD none", ":0\r\n"),
        ("SISMEMBER t 1", ":1\r\n"),
        ("SISMEMBER t 9", ":0\r\n"),
        ("SISMEMBER s 9", WRONG_TYPE),
        ("SMISMEMBER t 1 9", "*2\r\n:1\r\n:0\r\n"),
        ("SMISMEMBER none 1 9", "*2\r\n:0\r\n:0\r\n"),
        ("SMEMBERS t", "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n"),
        ("SREM t 1 9 1", ":1\r\n"),
        ("SREM none 1", ":0\r\n"),
        ("SREM s 1", WRONG_TYPE),
        ("SREM t 2 3", ":2\r\n"),
        ("EXISTS t", ":0\r\n"),
        ("SADD t 1 2 3", ":3\r\n"),
        ("SMOVE t t 1", ":1\r\n"),
        ("SMOVE t t 9", ":0\r\n"),
        ("SMOVE none s 1", ":0\r\n"),
        ("SMOVE t s 99", WRONG_TYPE),
        ("SMOVE s t 1", WRONG_TYPE),
        ("SMOVE t u 1", ":1\r\n"),
        ("SMOVE u t 1", ":1\r\n"),
        ("EXISTS u", ":0\r\n"),
        ("SADD u 2", ":1\r\n"),
        ("SMOVE t u 2", ":1\r\n"),
        ("SCARD u", ":1\r\n"),
        ("SSCAN u 0", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\n2\r\n"),
        ("SSCAN none 0 COUNT x", "*2\r\n$1\r\n0\r\n*0\r\n"),
        ("SSCAN u 0 TYPE set", "-ERR syntax error\r\n"),
    ] {
        assert_eq!(client.run(line), reply, "{line}");
    }
    client.check_replay();
}

#[test]
fn counts_of_random_members_are_checked() {
    let mut client = Harness::new();
    let positive = "-ERR value is out of range, must be positive\r\n";
    for (line, reply) in [
        ("SET s x", "+OK\r\n"),
        ("SADD t 1", ":1\r\n"),
        ("SPOP t -1", positive),
        ("SPOP t x", positive),
        ("SPOP s", WRONG_TYPE),
        ("SPOP s 0", WRONG_TYPE),
        ("SPOP none", "$-1\r\n"),
        ("SPOP none 3", "*0\r\n"),
        ("SPOP t 0", "*0\r\n"),
        ("SPOP t 1 2", "-ERR syntax error\r\n"),
        ("SRANDMEMBER t 1 2", "-ERR syntax error\r\n"),
        ("SRANDMEMBER t x", "-ERR value is not an integer or out of range\r\n"),
        ("SRANDMEMBER none 1", "*0\r\n"),
        ("SRANDMEMBER none", "$-1\r\n"),
        ("SRANDMEMBER t", "$1\r\n1\r\n"),
        ("SRANDMEMBER t -2", "*2\r\n$1\r\n1\r\n$1\r\n1\r\n"),
        ("SRANDMEMBER t 9223372036854775807", "*1\r\n$1\r\n1\r\n"),
        (
            "SRANDMEMBER t -9223372036854775807",
            "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
        ),
        ("SPOP t", "$1\r\n1\r\n"),
        ("EXISTS t", ":0\r\n"),
        ("SADD t 1", ":1\r\n"),
        ("SPOP t 9223372036854775807", "*1\r\n$1\r\n1\r\n"),
        ("EXISTS t", ":0\r\n"),
    ] {
        assert_eq!(client.run(line), reply, "{line}");
    }
    client.check_replay();
}

#[test]
fn sets_are_combined() {
    let mut client = Harness::new();
    for (line, reply) in [
        ("SET s x", "+OK\r\n"),
        ("SADD a 1 2 3", ":3\r\n"),
        ("SADD b 2 3 4", ":3\r\n"),
        ("SADD c 3 x", ":2\r\n"),
        ("SINTER a b", "*2\r\n$1\r\n2\r\n$1\r\n3\r\n"),
        ("SINTER a b c", "*1\r\n$1\r\n3\r\n"),
        ("SINTER a none", "*0\r\n"),
        ("SINTER none s", WRONG_TYPE),
        ("SUNION a b", "*4\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n"),
        ("SUNION none s", WRONG_TYPE),
        ("SUNION none", "*0\r\n"),
        ("SDIFF a b", "*1\r\n$1\r\n1\r\n"),
        ("SDIFF none a", "*0\r\n"),
        ("SDIFF a a", "*0\r\n"),
        ("SDIFF a none", "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n"),
        ("SDIFF none s", WRONG_TYPE),
        ("SINTERSTORE d a b", ":2\r\n"),
        ("EXPIRE d 100", ":1\r\n"),
        ("SINTERSTORE d a b c", ":1\r\n"),
        ("TTL d", ":-1\r\n"),
        ("SMEMBERS d", "*1\r\n$1\r\n3\r\n"),
        ("SUNIONSTORE a a c", ":4\r\n"),
        ("SDIFFSTORE d a b", ":2\r\n"),
        ("SDIFFSTORE d s b", WRONG_TYPE),
        ("SCARD d", ":2\r\n"),
        ("SINTERSTORE d none", ":0\r\n"),
        ("EXISTS d", ":0\r\n"),
        ("SINTERSTORE s a b", ":2\r\n"),
        ("TYPE s", "+set\r\n"),
        ("SINTERCARD 2 a b", ":2\r\n"),
        ("SINTERCARD 2 a b LIMIT 1", ":1\r\n"),
        ("SINTERCARD 2 a b LIMIT 1 LIMIT 0", ":2\r\n"),
        ("SINTERCARD 0 a", "-ERR numkeys should be greater than 0\r\n"),
        ("SINTERCARD x a", "-ERR numkeys should be greater than 0\r\n"),
        ("SINTERCARD 2 a", "-ERR Number of keys can't be greater than number of args\r\n"),
        ("SINTERCARD 1 a LIMIT -1", "-ERR LIMIT can't be negative\r\n"),
        ("SINTERCARD 1 a LIMIT x", "-ERR LIMIT can't be negative\r\n"),
        ("SINTERCARD 1 a LIMIT", "-ERR syntax error\r\n"),
        ("SINTERCARD 1 a b", "-ERR syntax error\r\n"),
    ] {
        assert_eq!(client.run(line), reply, "{line}");
    }
    client.check_replay();
}

#[test]
fn resp3_has_sets() {
    let mut client = Harness::new();
    client.session.client.protocol.set(Protocol::Resp3);
    for (line, reply) in [
        ("SADD t 1", ":1\r\n"),
        ("SMEMBERS t", "~1\r\n$1\r\n1\r\n"),
        ("SMEMBERS none", "~0\r\n"),
        ("SINTER t t", "~1\r\n$1\r\n1\r\n"),
        ("SUNION none", "~0\r\n"),
        ("SDIFF t none", "~1\r\n$1\r\n1\r\n"),
        ("SRANDMEMBER t 1", "*1\r\n$1\r\n1\r\n"),
        ("SRANDMEMBER none -3", "*0\r\n"),
        ("SPOP none", "_\r\n"),
        ("SPOP none 3", "~0\r\n"),
        ("SPOP t 3", "~1\r\n$1\r\n1\r\n"),
    ] {
        assert_eq!(client.run(line), reply, "{line}");
    }
}

#[test]
fn expired_sets_are_not_combined() {
    let mut client = Harness::new();
    client.run("SADD a 1");
    client.run("SADD b 1");
    client.run("PEXPIRE a 10");
    client.store.keys.set_now_ms(1_000_020);
    assert_eq!(client.run("SUNION a"), "*0\r\n");
    assert_eq!(client.run("SINTERSTORE b a b"), ":0\r\n");
    client.check_replay();
}

fn large(client: &mut Harness, key: &str, count: usize) {
    let mut line = format!("SADD {key}");
    (0..count).for_each(|number| line.push_str(&format!(" m{number}")));
    assert_eq!(client.run(&line), format!(":{count}\r\n"));
}

#[test]
fn random_members_of_large_sets_differ() {
    let mut client = Harness::new();
    large(&mut client, "t", 5000);
    for count in [1, 100, 1600, 1700, 4999, 5000, 9000] {
        let members = bulks(&client.run(&format!("SRANDMEMBER t {count}")));
        let different: BTreeSet<_> = members.iter().collect();
        assert_eq!((members.len(), different.len()), (count.min(5000), count.min(5000)));
        let members = bulks(&client.run(&format!("SRANDMEMBER t -{count}")));
        assert_eq!(members.len(), count);
    }
}

#[test]
fn popping_leaves_the_rest() {
    for count in [1, 1500, 3000, 4990, 4999, 5000] {
        let mut client = Harness::new();
        large(&mut client, "t", 5000);
        let mut all: Vec<_> = bulks(&client.run(&format!("SPOP t {count}")));
        assert_eq!(all.len(), count);
        assert_eq!(client.run("SCARD t"), format!(":{}\r\n", 5000 - count));
        client.check_replay();
        all.extend(bulks(&client.run("SMEMBERS t")));
        let different: BTreeSet<_> = all.iter().collect();
        assert_eq!((all.len(), different.len()), (5000, 5000), "{count}");
    }
}

#[test]
fn differences_of_many_sets_are_taken_either_way() {
    let mut client = Harness::new();
    large(&mut client, "t", 1000);
    let mut line = String::from("SDIFF t");
    for number in 0..50 {
        client.run(&format!("SADD k{number} m{number} m{}", 2 * number));
        line.push_str(&format!(" k{number}"));
    }
    assert_eq!(bulks(&client.run(&line)).len(), 1000 - 75);
    assert_eq!(bulks(&client.run("SDIFF t k0 k1 k2")).len(), 1000 - 4);
}

/// All strings of a reply, whatever they are in.
fn bulks(reply: &str) -> Vec<String> {
    let lines: Vec<&str> = reply.split("\r\n").collect();
    let texts = lines.windows(2).filter(|pair| pair[0].starts_with('$') && pair[0] != "$-1");
    texts.map(|pair| pair[1].to_string()).collect()
}

#[derive(Debug, Clone)]
enum Step {
    Add(u8, Vec<u16>),
    Remove(u8, Vec<u16>),
    Move(u8, u8, u16),
    Pop(u8, usize),
    PopOne(u8),
    Combine(u8, u8, Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    let (key, members) = (0..5_u8, prop::collection::vec(0..400_u16, 1..150));
    prop_oneof![
        (key.clone(), members.clone()).prop_map(|(k, m)| Step::Add(k, m)),
        (key.clone(), members).prop_map(|(k, m)| Step::Remove(k, m)),
        (key.clone(), key.clone(), 0..400_u16).prop_map(|(k, to, m)| Step::Move(k, to, m)),
        (key.clone(), 0..120_usize).prop_map(|(k, count)| Step::Pop(k, count)),
        key.clone().prop_map(Step::PopOne),
        (0..3_u8, key.clone(), prop::collection::vec(key, 1..5))
            .prop_map(|(o, to, keys)| Step::Combine(o, to, keys)),
    ]
}

type Model = BTreeMap<u8, BTreeSet<String>>;

/// Every third is no integer, so that sets have all forms.
fn name(member: u16) -> String {
    if member.is_multiple_of(3) { format!("m{member}") } else { member.to_string() }
}

fn line(command: &str, key: u8, members: &[u16]) -> String {
    let members: Vec<String> = members.iter().map(|member| name(*member)).collect();
    format!("{command} k{key} {}", members.join(" "))
}

fn combined(model: &Model, operation: u8, keys: &[u8]) -> BTreeSet<String> {
    let mut sets = keys.iter().map(|key| model.get(key).cloned().unwrap_or_default());
    let first = sets.next().unwrap_or_default();
    sets.fold(first, |left, right| match operation {
        0 => &left & &right,
        1 => &left | &right,
        _ => &left - &right,
    })
}

/// Carries out a step, and returns its reply and what the model says it should be.
fn take(client: &mut Harness, model: &mut Model, step: &Step) -> (String, String) {
    match step {
        Step::Add(key, members) => {
            let set = model.entry(*key).or_default();
            let added = members.iter().filter(|member| set.insert(name(**member))).count();
            (client.run(&line("SADD", *key, members)), format!(":{added}"))
        }
        Step::Remove(key, members) => {
            let set = model.entry(*key).or_default();
            let removed = members.iter().filter(|member| set.remove(&name(**member))).count();
            (client.run(&line("SREM", *key, members)), format!(":{removed}"))
        }
        Step::Move(from, to, member) => {
            let is_moved = model.entry(*from).or_default().remove(&name(*member));
            if is_moved {
                model.entry(*to).or_default().insert(name(*member));
            }
            let reply = client.run(&format!("SMOVE k{from} k{to} {}", name(*member)));
            (reply, format!(":{}", u8::from(is_moved)))
        }
        Step::Pop(key, count) => {
            let set = model.entry(*key).or_default();
            let popped = bulks(&client.run(&format!("SPOP k{key} {count}")));
            let expected = (*count).min(set.len());
            let known = popped.iter().filter(|member| set.remove(*member)).count();
            (format!("{} {known}", popped.len()), format!("{expected} {expected}"))
        }
        Step::PopOne(key) => {
            let set = model.entry(*key).or_default();
            let expected = set.len().min(1);
            let popped = bulks(&client.run(&format!("SPOP k{key}")));
            let known = popped.iter().filter(|member| set.remove(*member)).count();
            (format!("{} {known}", popped.len()), format!("{expected} {expected}"))
        }
        Step::Combine(operation, to, keys) => {
            let name = ["SINTER", "SUNION", "SDIFF"][usize::from(*operation)];
            let words: Vec<String> = keys.iter().map(|key| format!("k{key}")).collect();
            let words = words.join(" ");
            let expected = combined(model, *operation, keys);
            let shown: BTreeSet<String> =
                bulks(&client.run(&format!("{name} {words}"))).into_iter().collect();
            assert_eq!(shown, expected, "{step:?}");
            let reply = client.run(&format!("{name}STORE k{to} {words}"));
            let count = expected.len();
            model.insert(*to, expected);
            (reply, format!(":{count}"))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sets_are_what_plain_sets_are(steps in prop::collection::vec(step(), 1..60)) {
        let (mut client, mut model) = (Harness::new(), Model::new());
        for step in &steps {
            let (reply, expected) = take(&mut client, &mut model, step);
            prop_assert_eq!(reply.trim_end(), expected, "{:?}", step);
        }
        for (key, set) in &model {
            let members = bulks(&client.run(&format!("SMEMBERS k{key}")));
            prop_assert_eq!(members.len(), set.len());
            prop_assert_eq!(&members.into_iter().collect::<BTreeSet<_>>(), set);
        }
        client.check_replay();
    }
}

#[test]
fn long_members_are_popped_a_few_at_a_time() {
    let mut client = Harness::new();
    for number in 0..40 {
        let member = std::format!("{number}:{}", "m".repeat(number % 4 * 30_000));
        client.run(&std::format!("SADD s {member}"));
    }
    let reply = client.run("SPOP s 39");
    assert!(reply.starts_with("*39\r\n"));
    assert_eq!(reply.split("\r\n").filter(|line| line.starts_with('$')).count(), 39);
    assert_eq!(client.run("SCARD s"), ":1\r\n");
    client.check_replay();
}
