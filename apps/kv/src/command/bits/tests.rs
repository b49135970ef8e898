//! Bits in strings: replies, and a model.

use std::format;
use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;

use crate::command::harness::Harness;

fn check(lines: &[(&str, &str)]) {
    let mut client = Harness::new();
    for (line, reply) in lines {
        assert_eq!(client.run(line), *reply, "{line}");
    }
    client.check_replay();
}

/// What redis-server 7.0 answers.
#[test]
fn bits_are_set_counted_found_and_combined() {
    check(&[
        ("SET s foobar", "+OK\r\n"),
        ("DEL t", ":0\r\n"),
        ("SADD t 1", ":1\r\n"),
        ("SETBIT s -1 1", "-ERR bit offset is not an integer or out of range\r\n"),
        ("SETBIT s x 1", "-ERR bit offset is not an integer or out of range\r\n"),
        ("SETBIT s 4294967296 1", "-ERR bit offset is not an integer or out of range\r\n"),
        ("SETBIT s 4294967 2", "-ERR bit is not an integer or out of range\r\n"),
        ("SETBIT s 1 x", "-ERR bit is not an integer or out of range\r\n"),
        ("SETBIT t 1 1", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("SETBIT t -1 1", "-ERR bit offset is not an integer or out of range\r\n"),
        ("SETBIT t 1 3", "-ERR bit is not an integer or out of range\r\n"),
        ("SETBIT n1 1 0", ":0\r\n"),
        ("EXISTS n1", ":1\r\n"),
        ("STRLEN n1", ":1\r\n"),
        ("GETBIT s -1", "-ERR bit offset is not an integer or out of range\r\n"),
        ("GETBIT s 4294967296", "-ERR bit offset is not an integer or out of range\r\n"),
        ("GETBIT s 100000", ":0\r\n"),
        ("GETBIT t 1", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("GETBIT s 1", ":1\r\n"),
        ("BITCOUNT s", ":26\r\n"),
        ("BITCOUNT s 0", "-ERR syntax error\r\n"),
        ("BITCOUNT s 0 0 foo", "-ERR syntax error\r\n"),
        ("BITCOUNT s 5 30 BIT", ":17\r\n"),
        ("BITCOUNT s x y", "-ERR value is not an integer or out of range\r\n"),
        (
            "BITCOUNT t 0 0",
            "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        ),
        ("BITCOUNT nokey 0", ":0\r\n"),
        ("BITCOUNT nokey 0 x", ":0\r\n"),
        ("BITCOUNT nokey x 0", ":0\r\n"),
        ("BITCOUNT nokey x 0 foo", ":0\r\n"),
        ("BITCOUNT s 0 -1 bit bit", "-ERR syntax error\r\n"),
        (
            "BITCOUNT t x y",
            "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        ),
        (
            "BITCOUNT t 0 0 foo",
            "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        ),
        ("BITCOUNT s -1 -5", ":0\r\n"),
        ("BITCOUNT s -100 -90", ":4\r\n"),
        ("BITCOUNT s 3 1", ":0\r\n"),
        ("BITCOUNT s -100 0", ":4\r\n"),
        ("BITCOUNT s 0 -100", ":4\r\n"),
        ("BITCOUNT s -100 -50 bit", ":0\r\n"),
        ("BITCOUNT s -48 -100 bit", ":0\r\n"),
        ("BITCOUNT t 0", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("BITCOUNT nokey", ":0\r\n"),
        ("BITPOS s 2", "-ERR The bit argument must be 1 or 0.\r\n"),
        ("BITPOS s x", "-ERR value is not an integer or out of range\r\n"),
        ("BITPOS s 1 0 0 foo", "-ERR syntax error\r\n"),
        ("BITPOS s 1 0 0 bit", ":-1\r\n"),
        ("BITPOS s 1 x", "-ERR value is not an integer or out of range\r\n"),
        ("BITPOS nokey 1", ":-1\r\n"),
        ("BITPOS nokey 0", ":0\r\n"),
        ("BITPOS nokey 0 x", ":0\r\n"),
        ("BITPOS nokey 2", "-ERR The bit argument must be 1 or 0.\r\n"),
        ("BITPOS t 1", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("BITPOS t 2", "-ERR The bit argument must be 1 or 0.\r\n"),
        ("BITPOS t 1 x", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("BITPOS nokey 1 0 0 foo", ":-1\r\n"),
        ("BITPOS s 1 0 0 bit x", "-ERR syntax error\r\n"),
        ("SET ff xffxffxff", "+OK\r\n"),
        ("BITPOS ff 0", ":0\r\n"),
        ("BITPOS ff 0 0", ":0\r\n"),
        ("BITPOS ff 0 0 -1", ":0\r\n"),
        ("BITPOS ff 0 0 -1 bit", ":0\r\n"),
        ("BITPOS ff 0 5", ":40\r\n"),
        ("BITPOS ff 1 5", ":41\r\n"),
        ("BITPOS ff 0 -100 -90", ":0\r\n"),
        ("BITPOS ff 1 -100 -90", ":1\r\n"),
        ("BITPOS ff 1 3 1", ":-1\r\n"),
        ("BITPOS ff 0 9 10", ":-1\r\n"),
        ("BITPOS ff 1 -1 -1", ":65\r\n"),
        ("BITPOS ff 1 9 9 bit", ":9\r\n"),
        ("BITPOS ff 0 24", ":-1\r\n"),
        ("BITPOS ff 0 3", ":24\r\n"),
        ("BITPOS ff 0 2", ":16\r\n"),
        ("BITPOS ff 0 2 byte", "-ERR value is not an integer or out of range\r\n"),
        ("SET e ", "+OK\r\n"),
        ("BITPOS e 0", ":-1\r\n"),
        ("BITPOS e 1", ":-1\r\n"),
        ("BITPOS e 0 0", ":-1\r\n"),
        ("BITPOS e 0 0 0", ":-1\r\n"),
        ("BITCOUNT e", ":0\r\n"),
        ("BITCOUNT e 0 -1", ":0\r\n"),
        ("BITOP and d s", ":6\r\n"),
        ("GET d", "$6\r\nfoobar\r\n"),
        ("BITOP foo d s", "-ERR syntax error\r\n"),
        ("BITOP not d s s", "-ERR BITOP NOT must be called with a single source key.\r\n"),
        ("BITOP not d t", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        (
            "BITOP and d s t",
            "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        ),
        ("BITOP and d nokey", ":0\r\n"),
        ("BITOP or d nokey s", ":6\r\n"),
        ("BITOP not d nokey", ":0\r\n"),
        ("EXISTS d", ":0\r\n"),
        ("BITOP and d", "-ERR wrong number of arguments for 'bitop' command\r\n"),
        ("BITOP NOT t s", ":6\r\n"),
        ("TYPE t", "+string\r\n"),
        ("BITOP xor d e", ":0\r\n"),
        ("EXISTS d", ":0\r\n"),
        ("DEL t", ":1\r\n"),
        ("SADD t 1", ":1\r\n"),
        ("SET s foobar", "+OK\r\n"),
    ]);
}

/// What redis-server 7.0 answers, but for the largest offsets, which depend on the memory.
#[test]
fn fields_of_any_width_are_read_and_changed() {
    check(&[
        ("SET s foobar", "+OK\r\n"),
        ("SADD t 1", ":1\r\n"),
        ("BITFIELD s", "*0\r\n"),
        ("BITFIELD nokey", "*0\r\n"),
        ("BITFIELD t", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("BITFIELD s get", "-ERR syntax error\r\n"),
        ("BITFIELD s get u8", "-ERR syntax error\r\n"),
        ("BITFIELD s get u8 0 0", "-ERR syntax error\r\n"),
        (
            "BITFIELD s get u64 0",
            "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n",
        ),
        ("BITFIELD s get i64 0", "*1\r\n:7381240782615871488\r\n"),
        (
            "BITFIELD s get i65 0",
            "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n",
        ),
        (
            "BITFIELD s get i0 0",
            "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n",
        ),
        (
            "BITFIELD s get x8 0",
            "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n",
        ),
        ("BITFIELD s get u8 -1", "-ERR bit offset is not an integer or out of range\r\n"),
        ("BITFIELD s get u8 x", "-ERR bit offset is not an integer or out of range\r\n"),
        ("BITFIELD s get u8 #1", "*1\r\n:111\r\n"),
        ("BITFIELD s get u8 #536870912", "-ERR bit offset is not an integer or out of range\r\n"),
        (
            "BITFIELD s get u8 #9223372036854775807",
            "-ERR bit offset is not an integer or out of range\r\n",
        ),
        ("BITFIELD s overflow", "-ERR syntax error\r\n"),
        ("BITFIELD s overflow x", "-ERR Invalid OVERFLOW type specified\r\n"),
        ("BITFIELD s overflow wrap", "*0\r\n"),
        ("BITFIELD s overflow wrap get u8 0", "*1\r\n:102\r\n"),
        ("BITFIELD s foo", "-ERR syntax error\r\n"),
        ("BITFIELD s foo u8 0", "-ERR syntax error\r\n"),
        ("BITFIELD s set u8 0", "-ERR syntax error\r\n"),
        ("BITFIELD s set u8 0 x", "-ERR value is not an integer or out of range\r\n"),
        (
            "BITFIELD s set u8 0 99999999999999999999",
            "-ERR value is not an integer or out of range\r\n",
        ),
        ("BITFIELD s set u8 0 -1", "*1\r\n:102\r\n"),
        ("BITFIELD s set u8 0 300", "*1\r\n:255\r\n"),
        ("BITFIELD s overflow fail set u8 0 300", "*1\r\n$-1\r\n"),
        ("BITFIELD s overflow sat set u8 0 300", "*1\r\n:44\r\n"),
        ("BITFIELD s get u8 0", "*1\r\n:255\r\n"),
        ("BITFIELD s overflow sat set u8 0 -5", "*1\r\n:255\r\n"),
        ("BITFIELD s get u8 0", "*1\r\n:255\r\n"),
        ("BITFIELD s overflow sat set i8 0 300 get i8 0", "*2\r\n:-1\r\n:127\r\n"),
        ("BITFIELD s overflow fail incrby i8 0 300", "*1\r\n$-1\r\n"),
        ("BITFIELD s overflow fail incrby u8 0 -300", "*1\r\n$-1\r\n"),
        ("BITFIELD s incrby u8 0 -300 get u8 0", "*2\r\n:83\r\n:83\r\n"),
        (
            "BITFIELD s overflow sat incrby u63 0 9223372036854775807",
            "*1\r\n:9223372036854775807\r\n",
        ),
        ("BITFIELD s overflow sat incrby u63 0 -9223372036854775808", "*1\r\n:0\r\n"),
        (
            "BITFIELD s overflow wrap set i64 0 -1 set u63 0 -1 incrby i64 0 9223372036854775807 get i64 0",
            "*4\r\n:0\r\n:9223372036854775807\r\n:9223372036854775806\r\n:9223372036854775806\r\n",
        ),
        (
            "BITFIELD t get u8 0",
            "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        ),
        (
            "BITFIELD t set u8 0 1",
            "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        ),
        ("BITFIELD n2 overflow fail set u8 80 300", "*1\r\n$-1\r\n"),
        ("EXISTS n2", ":1\r\n"),
        ("STRLEN n2", ":11\r\n"),
        ("BITFIELD n3 get u8 100", "*1\r\n:0\r\n"),
        ("EXISTS n3", ":0\r\n"),
        ("BITFIELD_RO s get u8 0", "*1\r\n:127\r\n"),
        ("BITFIELD_RO s set u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand\r\n"),
        ("BITFIELD_RO s overflow wrap get u8 0", "*1\r\n:127\r\n"),
        ("BITFIELD_RO s incrby u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand\r\n"),
        ("BITFIELD_RO s", "*0\r\n"),
        ("BITFIELD_RO nokey get u8 0 get i4 3", "*2\r\n:0\r\n:0\r\n"),
        (
            "BITFIELD_RO t get u8 0",
            "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        ),
        ("BITFIELD s set u8 0 0 foo", "-ERR syntax error\r\n"),
        (
            "BITFIELD s get u 0",
            "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n",
        ),
        (
            "BITFIELD s get i 0",
            "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n",
        ),
        (
            "BITFIELD s get u+8 0",
            "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n",
        ),
        (
            "BITFIELD s get u08 0",
            "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n",
        ),
        (
            "BITFIELD s get U8 0",
            "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n",
        ),
        ("BITFIELD s get u8 #-1", "-ERR bit offset is not an integer or out of range\r\n"),
        ("BITFIELD s get u8 +1", "-ERR bit offset is not an integer or out of range\r\n"),
        ("BITFIELD s get u8 #", "-ERR bit offset is not an integer or out of range\r\n"),
        ("BITFIELD s overflow fail set u63 0 -1", "*1\r\n$-1\r\n"),
        (
            "BITFIELD s overflow sat set u63 0 -1 get u63 0",
            "*2\r\n:4611686018427387903\r\n:9223372036854775807\r\n",
        ),
        ("BITFIELD s overflow fail set i64 0 -1", "*1\r\n:-2\r\n"),
        ("BITFIELD s overflow wrap set i5 0 100 get i5 0", "*2\r\n:-1\r\n:4\r\n"),
        ("BITFIELD s overflow wrap set i5 0 -100 get i5 0", "*2\r\n:4\r\n:-4\r\n"),
        (
            "BITFIELD s overflow wrap incrby i64 0 -9223372036854775808 incrby i64 0 -1",
            "*2\r\n:7493989779944505343\r\n:7493989779944505342\r\n",
        ),
        ("DEL n3", ":0\r\n"),
        ("BITFIELD n3 incrby u8 0 0", "*1\r\n:0\r\n"),
        ("EXISTS n3", ":1\r\n"),
        ("BITFIELD n4 set u8 0 0", "*1\r\n:0\r\n"),
        ("EXISTS n4", ":1\r\n"),
        (
            "BITFIELD s overflow wrap set u63 0 9223372036854775807 incrby u63 0 9223372036854775807 incrby u63 0 -9223372036854775808 get u63 0",
            "*4\r\n:3746994889972252671\r\n:9223372036854775806\r\n:9223372036854775806\r\n:9223372036854775806\r\n",
        ),
        (
            "BITFIELD s overflow sat set u63 0 9223372036854775807 incrby u63 0 9223372036854775807 get u63 0",
            "*3\r\n:9223372036854775806\r\n:9223372036854775807\r\n:9223372036854775807\r\n",
        ),
        (
            "BITFIELD s overflow sat set u63 0 10 incrby u63 0 -9223372036854775808 get u63 0",
            "*3\r\n:9223372036854775807\r\n:0\r\n:0\r\n",
        ),
        (
            "BITFIELD s overflow sat set i64 0 -10 incrby i64 0 -9223372036854775808 get i64 0",
            "*3\r\n:0\r\n:-9223372036854775808\r\n:-9223372036854775808\r\n",
        ),
        (
            "BITFIELD s overflow wrap set i63 0 9223372036854775807 get i63 0",
            "*2\r\n:-4611686018427387904\r\n:-1\r\n",
        ),
        (
            "BITFIELD s overflow wrap set i63 0 9223372036854775807 incrby i63 0 9223372036854775807 get i63 0",
            "*3\r\n:-1\r\n:-2\r\n:-2\r\n",
        ),
        (
            "BITFIELD s overflow wrap set i63 0 5 incrby i63 0 9223372036854775807 get i63 0",
            "*3\r\n:-2\r\n:4\r\n:4\r\n",
        ),
        (
            "BITFIELD s overflow sat set i63 0 5 incrby i63 0 9223372036854775807 get i63 0",
            "*3\r\n:4\r\n:4611686018427387903\r\n:4611686018427387903\r\n",
        ),
        (
            "BITFIELD s overflow fail set i8 0 100 incrby i8 0 9223372036854775807 get i8 0",
            "*3\r\n:127\r\n$-1\r\n:100\r\n",
        ),
        (
            "BITFIELD s overflow fail set u8 0 100 incrby u8 0 9223372036854775807 get u8 0",
            "*3\r\n:100\r\n$-1\r\n:100\r\n",
        ),
        (
            "BITFIELD s overflow wrap set u8 0 100 incrby u8 0 9223372036854775807 get u8 0",
            "*3\r\n:100\r\n:99\r\n:99\r\n",
        ),
        ("BITFIELD s overflow wrap set u8 0 -9223372036854775808 get u8 0", "*2\r\n:99\r\n:0\r\n"),
    ]);
}

#[test]
fn offsets_are_limited_by_the_longest_string() {
    let mut client = Harness::new();
    let error = "-ERR bit offset is not an integer or out of range\r\n";
    let bits = 8 * client.store.config.bulk_max_bytes;
    assert_eq!(client.run(&format!("GETBIT a {}", bits - 1)), ":0\r\n");
    assert_eq!(client.run(&format!("GETBIT a {bits}")), error);
    assert_eq!(client.run(&format!("SETBIT a {bits} 1")), error);
    assert_eq!(client.run(&format!("BITFIELD a GET u8 #{}", bits / 8)), error);
    let too_long = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n";
    assert_eq!(client.run(&format!("BITFIELD a SET u8 {} 1", bits - 1)), too_long);
    assert_eq!(client.run("EXISTS a"), ":0\r\n");
}

#[test]
fn what_changes_nothing_is_not_logged() {
    let mut client = Harness::new();
    client.run("SETBIT a 7 1");
    client.run("BITFIELD a SET u8 0 9");
    let changes = client.store.keys.changes;
    let logged = client.store.keys.effects.as_bytes().len();
    client.run("SETBIT a 7 1");
    client.run("GETBIT a 7");
    client.run("BITFIELD a GET u8 0 OVERFLOW FAIL SET u8 0 300 INCRBY i4 4 -100");
    assert_eq!(client.store.keys.changes, changes);
    assert_eq!(client.store.keys.effects.as_bytes().len(), logged);
    assert_eq!(
        client.run("BITFIELD a OVERFLOW FAIL SET u8 0 300 INCRBY u8 0 1"),
        "*2\r\n$-1\r\n:10\r\n"
    );
    client.check_replay();
}

#[derive(Debug, Clone)]
enum Step {
    Set(u16, bool),
    Get(u16),
    Count(i16, i16, bool),
    Position(bool, i16, Option<i16>, bool),
    Field(Kind, bool, u8, u16, i64),
    Combine(u8),
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Get,
    Set,
    Add,
}

fn step() -> impl Strategy<Value = Step> {
    let (offset, place) = (0..300_u16, -400..400_i16);
    let kind = prop_oneof![Just(Kind::Get), Just(Kind::Set), Just(Kind::Add)];
    let value = prop_oneof![-40..40_i64, any::<i64>()];
    prop_oneof![
        (offset.clone(), any::<bool>()).prop_map(|(o, b)| Step::Set(o, b)),
        offset.clone().prop_map(Step::Get),
        (place.clone(), place.clone(), any::<bool>()).prop_map(|(a, b, c)| Step::Count(a, b, c)),
        (any::<bool>(), place.clone(), prop::option::of(place), any::<bool>())
            .prop_map(|(bit, a, b, c)| Step::Position(bit, a, b, c)),
        (kind, any::<bool>(), 1..=64_u8, offset, value)
            .prop_map(|(kind, signed, width, o, v)| Step::Field(kind, signed, width, o, v)),
        (0..4_u8).prop_map(Step::Combine),
    ]
}

/// The string `a` bit by bit, and whether it is there.
#[derive(Default)]
struct Model(Vec<bool>);

impl Model {
    fn grow(&mut self, bits: usize) {
        let bits = bits.next_multiple_of(8);
        if self.0.len() < bits {
            self.0.resize(bits, false);
        }
    }

    fn get(&self, at: usize) -> bool {
        self.0.get(at).copied().unwrap_or(false)
    }

    /// The bits of a range with their places.
    fn range(&self, start: i16, stop: i16, counts_bits: bool) -> Vec<(usize, bool)> {
        let unit = if counts_bits { 1 } else { 8 };
        let len = (self.0.len() / unit) as i64;
        let end = |place: i64| if place < 0 { (place + len).max(0) } else { place };
        let (start, stop) = (end(start.into()), end(stop.into()).min(len - 1));
        let bits = start * unit as i64..(stop + 1) * unit as i64;
        bits.map(|at| (at as usize, self.0[at as usize])).collect()
    }

    /// The number in a field, with all bits of its sign.
    fn field(&self, signed: bool, width: u8, offset: usize) -> i128 {
        let bits = (0..usize::from(width)).map(|at| self.get(offset + at));
        let number = bits.fold(0_i128, |number, bit| number << 1 | i128::from(bit));
        let is_negative = signed && self.get(offset);
        if is_negative { number - (1 << width) } else { number }
    }
}

fn apply(model: &mut Model, step: &Step) -> (String, String) {
    match *step {
        Step::Set(offset, bit) => {
            let at = usize::from(offset);
            model.grow(at + 1);
            let old = core::mem::replace(&mut model.0[at], bit);
            (format!("SETBIT a {offset} {}", u8::from(bit)), format!(":{}", u8::from(old)))
        }
        Step::Get(offset) => {
            let bit = model.get(offset.into());
            (format!("GETBIT a {offset}"), format!(":{}", u8::from(bit)))
        }
        Step::Count(start, stop, counts_bits) => {
            let unit = if counts_bits { "BIT" } else { "BYTE" };
            let is_range = !(start < 0 && stop < 0 && start > stop);
            let bits = model.range(start, stop, counts_bits);
            let ones = bits.iter().filter(|(_, bit)| *bit && is_range).count();
            (format!("BITCOUNT a {start} {stop} {unit}"), format!(":{ones}"))
        }
        Step::Position(bit, start, stop, counts_bits) => {
            let mut line = format!("BITPOS a {} {start}", u8::from(bit));
            let counts_bits = counts_bits && stop.is_some();
            if let Some(stop) = stop {
                line.push_str(&format!(" {stop} {}", if counts_bits { "BIT" } else { "BYTE" }));
            }
            let bits = model.range(start, stop.unwrap_or(-1), counts_bits);
            let found = bits.iter().find(|(_, value)| *value == bit).map(|(at, _)| *at);
            let behind = (!bit && stop.is_none() && !bits.is_empty()).then_some(model.0.len());
            let missing = (model.0.is_empty() && !bit).then_some(0);
            let found = found.or(behind).or(missing).map_or(-1, |at| at as i64);
            (line, format!(":{found}"))
        }
        Step::Field(kind, signed, width, offset, value) => {
            field(model, kind, signed, width, offset, value)
        }
        Step::Combine(operation) => {
            let name = ["AND", "OR", "XOR", "NOT"][usize::from(operation)];
            let keys = if operation == 3 { "a" } else { "a b" };
            let len = model.0.len() / 8;
            let other: Vec<bool> = b"model"
                .iter()
                .flat_map(|byte| (0..8).map(move |bit| byte >> (7 - bit) & 1 == 1))
                .collect();
            if operation < 3 {
                model.grow(other.len());
            }
            for (at, bit) in model.0.iter_mut().enumerate() {
                let other = other.get(at).copied().unwrap_or(false);
                *bit = match operation {
                    0 => *bit && other,
                    1 => *bit || other,
                    2 => *bit != other,
                    _ => !*bit,
                };
            }
            let len = if operation < 3 { len.max(5) } else { len };
            (format!("BITOP {name} a {keys}"), format!(":{len}"))
        }
    }
}

fn field(
    model: &mut Model,
    kind: Kind,
    signed: bool,
    width: u8,
    offset: u16,
    value: i64,
) -> (String, String) {
    let (width, at) = (if signed { width } else { width.min(63) }, usize::from(offset));
    let sign = if signed { 'i' } else { 'u' };
    let old = model.field(signed, width, at);
    let (words, new) = match kind {
        Kind::Get => (format!("GET {sign}{width} {offset}"), None),
        Kind::Set => (format!("SET {sign}{width} {offset} {value}"), Some(i128::from(value))),
        Kind::Add => {
            (format!("INCRBY {sign}{width} {offset} {value}"), Some(old + i128::from(value)))
        }
    };
    if let Some(new) = new {
        model.grow(at + usize::from(width));
        for bit in 0..usize::from(width) {
            model.0[at + bit] = new >> (usize::from(width) - 1 - bit) & 1 == 1;
        }
    }
    let shown = if let Kind::Add = kind { model.field(signed, width, at) } else { old };
    (format!("BITFIELD a {words}"), format!("*1\r\n:{shown}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn strings_are_what_arrays_of_bits_are(steps in prop::collection::vec(step(), 1..60)) {
        let (mut client, mut model) = (Harness::new(), Model::default());
        client.run("SET b model");
        for step in &steps {
            let (line, expected) = apply(&mut model, step);
            let reply = client.run(&line);
            prop_assert_eq!(reply.trim_end(), expected, "{:?}", step);
        }
        prop_assert_eq!(client.run("STRLEN a"), format!(":{}\r\n", model.0.len() / 8));
        client.check_replay();
    }
}

#[test]
fn bits_that_stay_as_they_are_break_no_transaction() {
    let mut client = Harness::new();
    client.run("SET a abc");
    for (line, reply) in [
        ("SETBIT a 0 0", "*1\r\n+PONG\r\n"),
        ("BITFIELD a SET u8 #0 97 INCRBY u8 #1 0", "*1\r\n+PONG\r\n"),
        ("BITFIELD a OVERFLOW FAIL INCRBY u8 #0 255", "*1\r\n+PONG\r\n"),
        ("BITFIELD a SET u8 #0 98", "*-1\r\n"),
        ("SETBIT a 0 1", "*-1\r\n"),
    ] {
        client.run("WATCH a");
        client.run(line);
        client.run("MULTI");
        client.run("PING");
        assert_eq!(client.run("EXEC"), reply, "{line}");
    }
    client.check_replay();
}
