//! Hashes: replies, and a model.

use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;

use crate::command::harness::Harness;
use crate::reply::Protocol;

#[test]
fn fields_are_set_and_read() {
    let mut client = Harness::new();
    let wrong_type = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
    for (line, reply) in [
        ("SET s x", "+OK\r\n"),
        ("HSET h a 1 b x", ":2\r\n"),
        ("HSET h a 1 c 2", ":1\r\n"),
        ("HSET h a", "-ERR wrong number of arguments for 'hset' command\r\n"),
        ("HSET h a 1 b", "-ERR wrong number of arguments for 'hset' command\r\n"),
        ("HMSET h a 1 b", "-ERR wrong number of arguments for 'hmset' command\r\n"),
        ("HMSET h a 5", "+OK\r\n"),
        ("HGET h a", "$1\r\n5\r\n"),
        ("HGET h zz", "$-1\r\n"),
        ("HGET none a", "$-1\r\n"),
        ("HGET s a", wrong_type),
        ("HSETNX h a 5", ":0\r\n"),
        ("HSETNX h d 5", ":1\r\n"),
        ("HSETNX n d 5", ":1\r\n"),
        ("HSETNX s a 5", wrong_type),
        ("HMGET h a zz b", "*3\r\n$1\r\n5\r\n$-1\r\n$1\r\nx\r\n"),
        ("HMGET none a", "*1\r\n$-1\r\n"),
        ("HMGET s a", wrong_type),
        ("HLEN h", ":4\r\n"),
        ("HLEN none", ":0\r\n"),
        ("HSTRLEN h b", ":1\r\n"),
        ("HSTRLEN h zz", ":0\r\n"),
        ("HEXISTS h a", ":1\r\n"),
        ("HEXISTS h zz", ":0\r\n"),
        ("HDEL h c d zz c", ":2\r\n"),
        ("HDEL s a", wrong_type),
        ("HDEL none a", ":0\r\n"),
        ("HGETALL h", "*4\r\n$1\r\na\r\n$1\r\n5\r\n$1\r\nb\r\n$1\r\nx\r\n"),
        ("HKEYS h", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
        ("HVALS h", "*2\r\n$1\r\n5\r\n$1\r\nx\r\n"),
        ("HGETALL none", "*0\r\n"),
        ("HDEL n d x", ":1\r\n"),
        ("EXISTS n", ":0\r\n"),
        ("OBJECT ENCODING h", "$8\r\nlistpack\r\n"),
    ] {
        assert_eq!(client.run(line), reply, "{line}");
    }
    client.check_replay();
}

#[test]
fn numbers_in_fields_are_added_to() {
    let mut client = Harness::new();
    for (line, reply) in [
        ("HSET h b x c 9223372036854775807 x inf", ":3\r\n"),
        ("HINCRBY h a 5", ":5\r\n"),
        ("HINCRBY h a -7", ":-2\r\n"),
        ("HINCRBY h b 1", "-ERR hash value is not an integer\r\n"),
        ("HINCRBY h c 1", "-ERR increment or decrement would overflow\r\n"),
        ("HINCRBY h a x", "-ERR value is not an integer or out of range\r\n"),
        ("HINCRBYFLOAT h a 0.1", "$4\r\n-1.9\r\n"),
        ("HINCRBYFLOAT h new 1e3", "$4\r\n1000\r\n"),
        ("HINCRBYFLOAT h b 1", "-ERR hash value is not a float\r\n"),
        ("HINCRBYFLOAT h a x", "-ERR value is not a valid float\r\n"),
        ("HINCRBYFLOAT h a nan", "-ERR value is not a valid float\r\n"),
        ("HINCRBYFLOAT h a -inf", "-ERR value is NaN or Infinity\r\n"),
        ("HINCRBYFLOAT h x 1", "-ERR increment would produce NaN or Infinity\r\n"),
        ("HGET h a", "$4\r\n-1.9\r\n"),
    ] {
        assert_eq!(client.run(line), reply, "{line}");
    }
    client.check_replay();
}

#[test]
fn counts_of_random_fields_are_checked() {
    let mut client = Harness::new();
    let range = "-ERR value is out of range, value must between -9223372036854775807 and \
                 9223372036854775807\r\n";
    for (line, reply) in [
        ("SET s x", "+OK\r\n"),
        ("HSET h a 1", ":1\r\n"),
        ("HRANDFIELD h", "$1\r\na\r\n"),
        ("HRANDFIELD none", "$-1\r\n"),
        ("HRANDFIELD none 5", "*0\r\n"),
        ("HRANDFIELD none -9223372036854775807", "*0\r\n"),
        ("HRANDFIELD h 0", "*0\r\n"),
        ("HRANDFIELD h 1", "*1\r\n$1\r\na\r\n"),
        ("HRANDFIELD h 9223372036854775807", "*1\r\n$1\r\na\r\n"),
        ("HRANDFIELD h 5 withvalues", "*2\r\n$1\r\na\r\n$1\r\n1\r\n"),
        ("HRANDFIELD h -2", "*2\r\n$1\r\na\r\n$1\r\na\r\n"),
        ("HRANDFIELD h -9223372036854775808", range),
        ("HRANDFIELD h -4611686018427387904 WITHVALUES", "-ERR value is out of range\r\n"),
        (
            "HRANDFIELD h -9223372036854775807",
            "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
        ),
        ("HRANDFIELD h 1 foo", "-ERR syntax error\r\n"),
        ("HRANDFIELD h 1 WITHVALUES x", "-ERR syntax error\r\n"),
        ("HRANDFIELD h WITHVALUES", "-ERR value is not an integer or out of range\r\n"),
        (
            "HRANDFIELD s 1",
            "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        ),
    ] {
        assert_eq!(client.run(line), reply, "{line}");
    }
    client.check_replay();
}

#[test]
fn resp3_has_maps_and_pairs() {
    let mut client = Harness::new();
    client.session.client.protocol.set(Protocol::Resp3);
    for (line, reply) in [
        ("HSET h a 1", ":1\r\n"),
        ("HGETALL h", "%1\r\n$1\r\na\r\n$1\r\n1\r\n"),
        ("HGETALL none", "%0\r\n"),
        ("HKEYS h", "*1\r\n$1\r\na\r\n"),
        ("HMGET h zz", "*1\r\n_\r\n"),
        ("HRANDFIELD h 1 WITHVALUES", "*1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n"),
        ("HRANDFIELD h -1 WITHVALUES", "*1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n"),
        ("HRANDFIELD none", "_\r\n"),
        ("HSCAN h 0", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n"),
    ] {
        assert_eq!(client.run(line), reply, "{line}");
    }
}

#[test]
fn scans_and_choices_of_large_hashes_have_all_fields() {
    let mut client = Harness::new();
    let mut line = String::from("HSET h");
    for number in 0..3000 {
        line.push_str(&format!(" f{number} {number}"));
    }
    assert_eq!(client.run(&line), ":3000\r\n");
    assert_eq!(client.run("OBJECT ENCODING h"), "$9\r\nhashtable\r\n");
    let (mut cursor, mut seen) = (String::from("0"), BTreeMap::new());
    loop {
        let reply = client.run(&format!("HSCAN h {cursor} COUNT 100 MATCH f*7"));
        let words = bulks(&reply);
        for pair in words[1..].chunks(2) {
            assert!(pair[0].ends_with('7') && pair[0][1..] == pair[1]);
            seen.insert(pair[0].clone(), ());
        }
        cursor.clone_from(&words[0]);
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), 300);
    for count in [1, 10, 900, 1000, 1001, 2999, 3000, 4000] {
        let mut fields = bulks(&client.run(&format!("HRANDFIELD h {count}")));
        fields.sort();
        fields.dedup();
        assert_eq!(fields.len(), count.min(3000));
        let values = bulks(&client.run(&format!("HRANDFIELD h -{count} WITHVALUES")));
        assert_eq!(values.len(), 2 * count);
        assert!(values.chunks(2).all(|pair| pair[0][1..] == pair[1]));
    }
    client.check_replay();
}

#[test]
fn scans_of_what_is_not_there_do_not_look_at_options() {
    let mut client = Harness::new();
    for (line, reply) in [
        ("SET s x", "+OK\r\n"),
        ("HSET h a 1", ":1\r\n"),
        ("HSCAN none 0 COUNT x", "*2\r\n$1\r\n0\r\n*0\r\n"),
        ("HSCAN none x", "-ERR invalid cursor\r\n"),
        ("HSCAN h x", "-ERR invalid cursor\r\n"),
        ("HSCAN h 0 COUNT 0", "-ERR syntax error\r\n"),
        ("HSCAN h 0 COUNT x", "-ERR value is not an integer or out of range\r\n"),
        ("HSCAN h 0 FOO 1", "-ERR syntax error\r\n"),
        ("HSCAN h 0 TYPE hash", "-ERR syntax error\r\n"),
        ("HSCAN h 0 MATCH", "-ERR syntax error\r\n"),
        ("HSCAN h 0 MATCH b*", "*2\r\n$1\r\n0\r\n*0\r\n"),
        ("HSCAN s 0", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
    ] {
        assert_eq!(client.run(line), reply, "{line}");
    }
}

/// All strings of a reply, whatever they are in.
fn bulks(reply: &str) -> Vec<String> {
    let lines: Vec<&str> = reply.split("\r\n").collect();
    let texts = lines.windows(2).filter(|pair| pair[0].starts_with('$') && pair[0] != "$-1");
    texts.map(|pair| pair[1].to_string()).collect()
}

#[derive(Debug, Clone)]
enum Step {
    Set(u8, u8, i64),
    SetMany(u8, Vec<(u8, i64)>),
    SetNew(u8, u8, i64),
    Delete(u8, Vec<u8>),
    Add(u8, u8, i64),
    Get(u8, u8),
    Drop(u8),
    Expire(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let (key, field) = (0..3_u8, 0..200_u8);
    let value = prop_oneof![-9..100_i64, any::<i64>()];
    prop_oneof![
        (key.clone(), field.clone(), value.clone()).prop_map(|(k, f, v)| Step::Set(k, f, v)),
        (key.clone(), prop::collection::vec((field.clone(), value.clone()), 1..60))
            .prop_map(|(k, pairs)| Step::SetMany(k, pairs)),
        (key.clone(), field.clone(), value.clone()).prop_map(|(k, f, v)| Step::SetNew(k, f, v)),
        (key.clone(), prop::collection::vec(field.clone(), 1..40))
            .prop_map(|(k, fields)| Step::Delete(k, fields)),
        (key.clone(), field.clone(), value).prop_map(|(k, f, v)| Step::Add(k, f, v)),
        (key.clone(), field).prop_map(|(k, f)| Step::Get(k, f)),
        key.clone().prop_map(Step::Drop),
        key.prop_map(Step::Expire),
    ]
}

type Model = BTreeMap<u8, BTreeMap<u8, i64>>;

/// Carries out a step, and returns its reply and what the model says it should be.
fn take(client: &mut Harness, model: &mut Model, step: &Step) -> (String, String) {
    let mut of = |key: &u8| model.entry(*key).or_default().clone();
    match step {
        Step::Set(key, field, value) => {
            let mut hash = of(key);
            let is_new = hash.insert(*field, *value).is_none();
            model.insert(*key, hash);
            (client.run(&format!("HSET k{key} {field} {value}")), format!(":{}", u8::from(is_new)))
        }
        Step::SetMany(key, pairs) => {
            let mut hash = of(key);
            let mut line = format!("HMSET k{key}");
            for (field, value) in pairs {
                line.push_str(&format!(" {field} {value}"));
                hash.insert(*field, *value);
            }
            model.insert(*key, hash);
            (client.run(&line), String::from("+OK"))
        }
        Step::SetNew(key, field, value) => {
            let mut hash = of(key);
            let is_new = !hash.contains_key(field);
            hash.entry(*field).or_insert(*value);
            model.insert(*key, hash);
            let reply = client.run(&format!("HSETNX k{key} {field} {value}"));
            (reply, format!(":{}", u8::from(is_new)))
        }
        Step::Delete(key, fields) => {
            let mut hash = of(key);
            let removed = fields.iter().filter(|field| hash.remove(field).is_some()).count();
            model.insert(*key, hash);
            let words: Vec<String> = fields.iter().map(ToString::to_string).collect();
            (client.run(&format!("HDEL k{key} {}", words.join(" "))), format!(":{removed}"))
        }
        Step::Add(key, field, by) => {
            let mut hash = of(key);
            let reply = client.run(&format!("HINCRBY k{key} {field} {by}"));
            let expected = match hash.get(field).copied().unwrap_or(0).checked_add(*by) {
                None => String::from("-ERR increment or decrement would overflow"),
                Some(sum) => {
                    hash.insert(*field, sum);
                    format!(":{sum}")
                }
            };
            model.insert(*key, hash);
            (reply, expected)
        }
        Step::Get(key, field) => {
            let expected = of(key).get(field).map_or(String::from("$-1"), |value| {
                let text = value.to_string();
                format!("${}\r\n{text}", text.len())
            });
            (client.run(&format!("HGET k{key} {field}")), expected)
        }
        Step::Drop(key) => {
            let was_there = model.remove(key).is_some_and(|hash| !hash.is_empty());
            (client.run(&format!("DEL k{key}")), format!(":{}", u8::from(was_there)))
        }
        Step::Expire(key) => {
            let is_there = !of(key).is_empty();
            (client.run(&format!("EXPIRE k{key} 100")), format!(":{}", u8::from(is_there)))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn hashes_are_what_a_plain_map_is(steps in prop::collection::vec(step(), 1..80)) {
        let (mut client, mut model) = (Harness::new(), Model::new());
        for step in &steps {
            let (reply, expected) = take(&mut client, &mut model, step);
            prop_assert_eq!(reply.trim_end(), expected, "{:?}", step);
        }
        for (key, hash) in &model {
            let words = bulks(&client.run(&format!("HGETALL k{key}")));
            let pairs = words.chunks(2).map(|pair| {
                (pair[0].parse().unwrap(), pair[1].parse().unwrap())
            });
            prop_assert_eq!(&pairs.collect::<BTreeMap<u8, i64>>(), hash);
            prop_assert_eq!(client.run(&format!("HLEN k{key}")), format!(":{}\r\n", hash.len()));
        }
        client.check_replay();
    }
}
