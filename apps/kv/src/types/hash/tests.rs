//! Hashes: replies, and a model.

use alloc::format;
use alloc::vec;
use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;

use super::*;

const SMALL: Limits = Limits { entries: 8, value_bytes: 16 };

fn hasher() -> Hasher {
    Hasher::new(5, 6)
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn check(hash: &Hash, model: &Model) {
    assert_eq!(hash.len(), model.len());
    assert_eq!(hash.is_empty(), model.is_empty());
    let all: Model = hash.iter().map(|(field, value)| (field.into(), value.into())).collect();
    assert_eq!(&all, model);
    let bytes = model.iter().map(|(field, value)| field.len() + value.len() + 18).sum::<usize>();
    assert_eq!(hash.encoded_bytes(), bytes as u64);
    let (mut cursor, mut seen) = (0, Model::new());
    loop {
        cursor = hash.scan(cursor, 3, |field, value| {
            assert!(seen.insert(field.into(), value.into()).is_none());
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(&seen, model);
}

fn field() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        12 => (0..30_u32).prop_map(|number| format!("f{number}").into_bytes()),
        1 => Just(Vec::new()),
        1 => Just(vec![b'x'; 17]),
        1 => Just(vec![b'y'; 200]),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        20 => prop::collection::vec(any::<u8>(), 0..16),
        1 => prop::collection::vec(any::<u8>(), 16..40),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Set(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
    Drain(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (field(), value()).prop_map(|(field, value)| Step::Set(field, value)),
        8 => field().prop_map(Step::Remove),
        1 => (0..5_usize).prop_map(Step::Drain),
    ]
}

proptest! {
    #[test]
    fn it_is_a_map(steps in prop::collection::vec(step(), 0..120)) {
        let (mut hash, mut model) = (Hash::new(), Model::new());
        let mut is_table = false;
        for step in steps {
            match step {
                Step::Set(field, value) => {
                    is_table |= field.len() > 16 || value.len() > 16;
                    let is_new = hash.set(&field, &value, &hasher(), &SMALL);
                    prop_assert_eq!(hash.get(&field), Some(value.as_slice()));
                    prop_assert_eq!(is_new, model.insert(field, value).is_none());
                }
                Step::Remove(field) => {
                    prop_assert_eq!(hash.contains(&field), model.contains_key(&field));
                    prop_assert_eq!(hash.remove(&field), model.remove(&field).is_some());
                    prop_assert_eq!(hash.get(&field), None);
                }
                Step::Drain(count) => {
                    let before = hash.len();
                    let drained = hash.drain_some(count);
                    prop_assert_eq!(before - drained, hash.len());
                    model.retain(|field, _| hash.contains(field));
                }
            }
            is_table |= model.len() > 8;
            prop_assert_eq!(hash.encoding(), if is_table { "hashtable" } else { "listpack" });
            check(&hash, &model);
        }
    }
}

#[test]
fn the_default_limits_are_those_of_redis() {
    let set = |hash: &mut Hash, field: &[u8], value: &[u8]| {
        hash.set(field, value, &hasher(), &Limits::DEFAULT);
    };
    let mut hash = Hash::new();
    for number in 0..128 {
        set(&mut hash, format!("{number}").as_bytes(), &[b'v'; 64]);
    }
    assert_eq!(hash.encoding(), "listpack");
    set(&mut hash, b"0", b"again");
    assert_eq!(hash.encoding(), "listpack");
    set(&mut hash, b"128", b"");
    assert_eq!((hash.encoding(), hash.len()), ("hashtable", 129));
    let mut hash = Hash::new();
    set(&mut hash, b"f", &[b'v'; 65]);
    assert_eq!(hash.encoding(), "hashtable");
    // It stays one.
    assert!(hash.remove(b"f") && hash.is_empty());
    set(&mut hash, b"f", b"v");
    assert_eq!(hash.encoding(), "hashtable");
}

#[test]
fn every_field_is_drawn() {
    for count in [1_u32, 7, 300] {
        let mut hash = Hash::new();
        for number in 0..count {
            let bytes = number.to_le_bytes();
            hash.set(&bytes, &bytes, &hasher(), &Limits::DEFAULT);
        }
        let mut drawn = HashSet::new();
        for number in 0..u64::from(20 * count) {
            let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let (field, value) = hash.random(random).unwrap();
            assert_eq!(field, value);
            drawn.insert(field.to_vec());
        }
        assert_eq!(drawn.len(), count as usize);
    }
    assert!(Hash::new().random(0).is_none());
}

#[test]
fn memory_is_in_proportion() {
    let mut hash = Hash::new();
    assert_eq!((hash.memory_bytes(), size_of::<Hash>()), (0, 40));
    for number in 0..10_000_u32 {
        let field = format!("field{number:05}");
        hash.set(field.as_bytes(), b"value", &hasher(), &Limits::DEFAULT);
        let a_field = hash.memory_bytes() / (number as usize + 1);
        assert!(a_field <= 70 || number < 8, "{number}: {a_field}");
    }
    while !hash.is_empty() {
        assert!(hash.drain_some(500) <= 500);
    }
    assert_eq!(hash.encoded_bytes(), 0);
    assert!(hash.memory_bytes() < 512);
}
