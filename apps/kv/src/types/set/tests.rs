//! Sets: replies, and a model.

use alloc::format;
use alloc::vec;
use std::collections::{BTreeSet, HashSet};

use proptest::prelude::*;

use super::*;

const SMALL: Limits =
    Limits { integers: 10, packed: packed::Limits { entries: 8, value_bytes: 16 } };

fn hasher() -> Hasher {
    Hasher::new(7, 8)
}

type Model = BTreeSet<Vec<u8>>;

fn check(set: &Set, model: &Model) {
    assert_eq!(set.len(), model.len());
    assert_eq!(set.is_empty(), model.is_empty());
    let mut all = Model::new();
    set.for_each(|member| assert!(all.insert(member.into())));
    assert_eq!(&all, model);
    assert_eq!(&set.iter().map(|item| item.to_vec()).collect::<Model>(), model);
    let bytes = model.iter().map(|member| member.len() + 9).sum::<usize>();
    assert_eq!(set.encoded_bytes(), bytes as u64);
    let (mut cursor, mut seen) = (0, Model::new());
    loop {
        cursor = set.scan(cursor, 3, |member| assert!(seen.insert(member.into())));
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(&seen, model);
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        80 => (-15..15_i64).prop_map(|number| format!("{number}").into_bytes()),
        1 => any::<i64>().prop_map(|number| format!("{number}").into_bytes()),
        1 => (0..10_u32).prop_map(|number| format!("0{number}").into_bytes()),
        1 => (0..20_u32).prop_map(|number| format!("m{number}").into_bytes()),
        1 => Just(vec![b'x'; 17]),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Insert(Vec<u8>),
    Remove(Vec<u8>),
    Drain(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => member().prop_map(Step::Insert),
        10 => member().prop_map(Step::Remove),
        1 => (0..5_usize).prop_map(Step::Drain),
    ]
}

proptest! {
    #[test]
    fn it_is_a_set(steps in prop::collection::vec(step(), 0..120)) {
        let (mut set, mut model) = (Set::new(), Model::new());
        let mut encodings = vec![set.encoding()];
        for step in steps {
            match step {
                Step::Insert(member) => {
                    let is_new = set.insert(&member, &hasher(), &SMALL);
                    prop_assert!(set.contains(&member));
                    prop_assert_eq!(is_new, model.insert(member));
                }
                Step::Remove(member) => {
                    prop_assert_eq!(set.contains(&member), model.contains(&member));
                    prop_assert_eq!(set.remove(&member), model.remove(&member));
                    prop_assert!(!set.contains(&member));
                }
                Step::Drain(count) => {
                    let before = set.len();
                    let drained = set.drain_some(count);
                    prop_assert_eq!(before - drained, set.len());
                    model.retain(|member| set.contains(member));
                }
            }
            if encodings.last() != Some(&set.encoding()) {
                encodings.push(set.encoding());
            }
            check(&set, &model);
        }
        // Conversions go one way.
        let order = ["intset", "listpack", "hashtable"];
        let ranks = encodings.iter().map(|encoding| order.iter().position(|e| e == encoding));
        prop_assert!(ranks.is_sorted());
    }
}

fn insert(set: &mut Set, member: &str) -> bool {
    set.insert(member.as_bytes(), &hasher(), &Limits::DEFAULT)
}

#[test]
fn the_default_limits_are_those_of_redis() {
    let mut set = Set::new();
    for number in 0..512 {
        insert(&mut set, &format!("{}", number - 100));
    }
    assert_eq!(set.encoding(), "intset");
    assert!(!insert(&mut set, "411"));
    assert_eq!(set.encoding(), "intset");
    assert!(insert(&mut set, "412"));
    assert_eq!((set.encoding(), set.len()), ("hashtable", 513));

    let mut set = Set::new();
    for number in 0..127 {
        insert(&mut set, &format!("{number}"));
    }
    insert(&mut set, &"m".repeat(64));
    assert_eq!((set.encoding(), set.len()), ("listpack", 128));
    insert(&mut set, "one more");
    assert_eq!((set.encoding(), set.len()), ("hashtable", 129));

    let mut set = Set::new();
    for number in 0..128 {
        insert(&mut set, &format!("{number}"));
    }
    insert(&mut set, "m");
    assert_eq!(set.encoding(), "hashtable");

    let mut set = Set::new();
    insert(&mut set, &"m".repeat(65));
    assert_eq!(set.encoding(), "hashtable");
}

#[test]
fn what_is_no_canonical_integer_stays_as_it_is() {
    for text in ["007", "-0", "+1", " 1", "", "9223372036854775808"] {
        let mut set = Set::new();
        insert(&mut set, "7");
        assert!(!set.contains(text.as_bytes()) && !set.remove(text.as_bytes()));
        assert!(insert(&mut set, text), "{text:?}");
        assert_eq!((set.encoding(), set.len()), ("listpack", 2));
    }
}

#[test]
fn integers_come_in_order() {
    let mut set = Set::new();
    for text in ["10", "-9223372036854775808", "9", "9223372036854775807", "-1", "0"] {
        insert(&mut set, text);
    }
    let all: Vec<i64> = set.iter().map(|item| number::integer(&item).unwrap()).collect();
    assert_eq!(all, [i64::MIN, -1, 0, 9, 10, i64::MAX]);
}

#[test]
fn every_member_is_drawn() {
    for (count, prefix) in [(1, ""), (9, ""), (9, "m"), (600, "")] {
        let mut set = Set::new();
        for number in 0..count {
            insert(&mut set, &format!("{prefix}{number}"));
        }
        let mut drawn = HashSet::new();
        for number in 0..20 * count {
            let random = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            drawn.insert(set.random(random).unwrap().to_vec());
        }
        assert_eq!(drawn.len(), count);
        assert!(drawn.iter().all(|member| set.contains(member)));
    }
    assert!(Set::new().random(0).is_none());
}

#[test]
fn memory_is_in_proportion() {
    let mut set = Set::new();
    assert_eq!((set.memory_bytes(), size_of::<Set>()), (0, 40));
    for number in 0..10_000_usize {
        insert(&mut set, &format!("member{number:05}"));
        let a_member = set.memory_bytes() / (number + 1);
        assert!(a_member <= 60 || number < 8, "{number}: {a_member}");
    }
    while !set.is_empty() {
        assert!(set.drain_some(500) <= 500);
    }
    assert_eq!(set.encoded_bytes(), 0);
    assert!(set.memory_bytes() < 512);
}
