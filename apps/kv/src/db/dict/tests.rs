//! The table against a plain map, and what an operation costs at most.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;
use std::{print, println};

use proptest::prelude::*;

use super::*;

/// An item of 16 bytes, as the keyspace has them, with its key in a box.
struct Pair {
    bytes: Box<[u8]>,
}

impl Pair {
    fn new(key: u32, value: u32) -> Pair {
        Pair { bytes: [key.to_le_bytes(), value.to_le_bytes()].concat().into() }
    }

    fn number(&self) -> u32 {
        u32::from_le_bytes(self.bytes[..4].try_into().unwrap())
    }

    fn value(&self) -> u32 {
        u32::from_le_bytes(self.bytes[4..].try_into().unwrap())
    }
}

impl Keyed for Pair {
    fn key(&self) -> &[u8] {
        &self.bytes[..4]
    }
}

fn hasher() -> Hasher {
    Hasher::new(1, 2)
}

fn filled(count: u32) -> Dict<Pair> {
    let mut dict = Dict::new(hasher());
    for number in 0..count {
        assert!(dict.insert(Pair::new(number, 0)).is_none());
    }
    dict
}

/// Everything that the structure promises itself.
fn check<T: Keyed>(dict: &Dict<T>) {
    assert_eq!(dict.slots.len(), if dict.depth == 0 { 0 } else { 1 << dict.depth });
    assert!(dict.segments.len() <= 1 || dict.segments.iter().any(|s| s.depth() == dict.depth));
    let deepest = dict.segments.iter().filter(|s| s.depth() == dict.depth).count();
    assert_eq!(dict.deepest, if dict.depth == 0 { 0 } else { deepest });
    let mut slots = 0;
    for (number, segment) in dict.segments.iter().enumerate() {
        let range = dict.slots_of(segment.start(), segment.depth());
        assert!(dict.slots[range.clone()].iter().all(|&slot| slot as usize == number));
        slots += range.len();
        segment.check(&dict.hasher);
        // Two empty ones side by side would have merged.
        let other = dict.buddy(number).map(|other| &dict.segments[other]);
        assert!(
            segment.len() > 0
                || other.is_none_or(|other| other.len() > 0 || other.depth() != segment.depth())
        );
        for item in segment.items() {
            assert_eq!(dict.segment_of(dict.hasher.hash(item.key())), number);
        }
    }
    assert_eq!(slots, dict.slots.len());
    assert_eq!(dict.len(), dict.iter().count());
    for item in dict.iter() {
        assert!(core::ptr::eq(dict.get(item.key()).unwrap(), item));
    }
}

fn scan_all(dict: &Dict<Pair>, count: usize) -> Vec<u32> {
    let (mut cursor, mut all) = (0, Vec::new());
    loop {
        let before = all.len();
        let next = dict.scan(cursor, count, |item| {
            assert!(dict.hasher.hash(item.key()) >= cursor);
            all.push(item.number());
        });
        if next == 0 {
            return all;
        }
        assert!(next > cursor && all.len() >= before + count);
        cursor = next;
    }
}

#[derive(Debug, Clone)]
enum Step {
    Insert(u32, u32),
    InsertMany(u32, u32),
    Remove(u32),
    RemoveMany(u32, u32),
    Get(u32),
    Change(u32, u32),
    Drain(usize),
}

fn step(keys: u32) -> impl Strategy<Value = Step> {
    let key = move || 0..keys;
    prop_oneof![
        4 => (key(), any::<u32>()).prop_map(|(k, v)| Step::Insert(k, v)),
        2 => (key(), 1..900_u32).prop_map(|(k, n)| Step::InsertMany(k, n)),
        4 => key().prop_map(Step::Remove),
        2 => (key(), 1..900_u32).prop_map(|(k, n)| Step::RemoveMany(k, n)),
        2 => key().prop_map(Step::Get),
        2 => (key(), any::<u32>()).prop_map(|(k, v)| Step::Change(k, v)),
        1 => (0..1000_usize).prop_map(Step::Drain),
    ]
}

fn run(dict: &mut Dict<Pair>, model: &mut BTreeMap<u32, u32>, step: &Step) {
    match *step {
        Step::Insert(key, value) => {
            let old = dict.insert(Pair::new(key, value)).map(|pair| pair.value());
            assert_eq!(old, model.insert(key, value));
        }
        Step::InsertMany(key, count) => {
            for key in key..key + count {
                dict.insert(Pair::new(key, count));
                model.insert(key, count);
            }
        }
        Step::Remove(key) => {
            let old = dict.remove(&key.to_le_bytes()).map(|pair| pair.value());
            assert_eq!(old, model.remove(&key));
        }
        Step::RemoveMany(key, count) => {
            for key in key..key + count {
                assert_eq!(dict.remove(&key.to_le_bytes()).is_some(), model.remove(&key).is_some());
            }
        }
        Step::Get(key) => {
            let found = dict.get(&key.to_le_bytes()).map(Pair::value);
            assert_eq!(found, model.get(&key).copied());
            let hash = dict.hasher().hash(&key.to_le_bytes());
            let found = dict.find_by_hash(hash, |pair| pair.number() == key).map(Pair::value);
            assert_eq!(found, model.get(&key).copied());
        }
        Step::Change(key, value) => {
            if let Some(pair) = dict.get_mut(&key.to_le_bytes()) {
                *pair = Pair::new(key, value);
            }
            model.entry(key).and_modify(|old| *old = value);
        }
        Step::Drain(count) => {
            let before = dict.len();
            let drained = dict.drain_some(count);
            assert_eq!(drained, before.min(count.max(1)));
            model.retain(|key, _| dict.get(&key.to_le_bytes()).is_some());
        }
    }
    assert_eq!(dict.len(), model.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn it_is_a_map(
        steps in prop::collection::vec(step(6000), 1..60),
        mask in prop_oneof![Just(u64::MAX), Just(u64::MAX << 52), Just(0xffff), Just(0)],
        keys in prop_oneof![Just(6000_u32), Just(1500)],
    ) {
        // Where hashes collide a lot, fewer keys keep the test short.
        let keys = if mask == u64::MAX { keys } else { 400 };
        let mut dict = Dict::new(Hasher { mask, ..hasher() });
        let mut model = BTreeMap::new();
        for mut step in steps {
            match &mut step {
                Step::Insert(key, _) | Step::Remove(key) | Step::Get(key) | Step::Change(key, _)
                | Step::InsertMany(key, _) | Step::RemoveMany(key, _) => *key %= keys,
                Step::Drain(_) => {}
            }
            run(&mut dict, &mut model, &step);
            check(&dict);
        }
        let mut items: Vec<_> = dict.iter().map(|pair| (pair.number(), pair.value())).collect();
        items.sort_unstable();
        prop_assert_eq!(items, model.into_iter().collect::<Vec<_>>());
        let mut scanned = scan_all(&dict, 10);
        scanned.sort_unstable();
        let mut all: Vec<_> = dict.iter().map(Pair::number).collect();
        all.sort_unstable();
        prop_assert_eq!(scanned, all);
    }

    #[test]
    fn a_scan_visits_what_stays(
        count in 1..400_usize,
        start in 0..4000_u32,
        steps in prop::collection::vec((0..6000_u32, 1..2000_u32, any::<bool>()), 1..40),
    ) {
        let mut dict = filled(start);
        // Every fifth key stays.
        let stays: HashSet<u32> = (0..start).filter(|key| key % 5 == 0).collect();
        let mut seen = HashMap::new();
        let (mut cursor, mut steps) = (0, steps.into_iter());
        loop {
            cursor = dict.scan(cursor, count, |pair| *seen.entry(pair.number()).or_insert(0) += 1);
            if cursor == 0 {
                break;
            }
            if let Some((first, count, inserts)) = steps.next() {
                for key in first..first + count {
                    if inserts {
                        dict.insert(Pair::new(key, 0));
                    } else if !stays.contains(&key) {
                        dict.remove(&key.to_le_bytes());
                    }
                }
            }
        }
        for key in &stays {
            prop_assert_eq!(seen.get(key), Some(&1));
        }
    }
}

/// Counts how often it is asked for its key: once for every time that it is hashed or compared.
struct Counted {
    key: [u8; 8],
    asked: Rc<Cell<usize>>,
}

impl Keyed for Counted {
    fn key(&self) -> &[u8] {
        self.asked.set(self.asked.get() + 1);
        &self.key
    }
}

#[test]
fn no_operation_touches_more_than_a_segment() {
    let asked = Rc::new(Cell::new(0));
    let mut dict = Dict::new(hasher());
    let (mut worst_insert, mut worst_remove, mut total) = (0, 0, 0);
    let keys = 300_000_u64;
    for number in 0..keys {
        asked.set(0);
        dict.insert(Counted { key: number.to_le_bytes(), asked: asked.clone() });
        worst_insert = worst_insert.max(asked.get());
        total += asked.get();
    }
    for number in 0..keys {
        asked.set(0);
        assert!(dict.remove(&number.to_le_bytes()).is_some());
        worst_remove = worst_remove.max(asked.get());
    }
    println!("hashes: insert <= {worst_insert}, remove <= {worst_remove}, {total} in all");
    assert!(worst_insert <= SEGMENT_ITEMS + 8, "{worst_insert}");
    assert!(worst_remove <= SEGMENT_ITEMS + 8, "{worst_remove}");
    assert!(total as u64 <= 8 * keys);
}

#[test]
fn memory_a_key_is_even() {
    let mut dict = Dict::new(hasher());
    let (mut sum, mut worst, mut count) = (0.0, 0.0_f64, 0);
    let mut next = 1000.0;
    for number in 0..400_000 {
        dict.insert(Pair::new(number, 0));
        if dict.len() as f64 >= next {
            next *= 1.05;
            let exact = dict.segments.iter().map(Segment::memory_bytes).sum::<usize>()
                + dict.segments.capacity() * size_of::<Segment<Pair>>()
                + dict.slots.capacity() * 4;
            let estimate = dict.memory_bytes() as f64 / exact as f64;
            assert!((0.8..1.25).contains(&estimate), "{estimate}");
            let a_key = exact as f64 / dict.len() as f64;
            (sum, worst, count) = (sum + a_key, worst.max(a_key), count + 1);
            print!("{}:{a_key:.1} ", dict.len());
        }
    }
    println!("average {:.1}, worst {worst:.1}", sum / f64::from(count));
    assert!(sum / f64::from(count) <= 24.0);
    assert!(worst <= 30.0);
}

#[test]
fn small_tables_are_small() {
    assert_eq!(Dict::<Pair>::new(hasher()).memory_bytes(), 0);
    let dict = filled(4);
    assert!(dict.slots.is_empty());
    assert!(dict.memory_bytes() <= 4 * size_of::<Segment<Pair>>() + 4 * 16 + 64);
    assert_eq!(size_of::<Segment<Pair>>(), 48);
}

#[test]
fn an_emptied_table_gives_its_memory_back() {
    let mut dict = filled(100_000);
    // In an order that has nothing to do with the hashes.
    for number in 0..99_900 {
        dict.remove(&number_key(number));
    }
    check(&dict);
    assert!(dict.segments.len() <= 8, "{}", dict.segments.len());
    assert!(dict.memory_bytes() < 16 * 1024, "{}", dict.memory_bytes());
    // In the order of the hashes, as a scan that deletes does.
    let mut dict = filled(100_000);
    let mut cursor = 0;
    loop {
        let mut doomed = Vec::new();
        cursor = dict.scan(cursor, 100, |pair| doomed.push(pair.number()));
        for number in doomed {
            assert!(dict.remove(&number_key(number)).is_some());
        }
        if cursor == 0 {
            break;
        }
    }
    assert!(dict.is_empty());
    check(&dict);
    assert!(dict.memory_bytes() < 1024, "{}", dict.memory_bytes());
    assert_eq!(dict.segments.len(), 1);
}

fn number_key(number: u32) -> [u8; 4] {
    number.to_le_bytes()
}

#[test]
fn a_huge_table_drains_bit_by_bit() {
    let mut dict = filled(50_000);
    let mut rounds = 0;
    while !dict.is_empty() {
        let before = dict.len();
        assert_eq!(dict.drain_some(700), before.min(700));
        rounds += 1;
        if rounds % 16 == 0 {
            check(&dict);
        }
    }
    check(&dict);
    assert_eq!((dict.drain_some(1), dict.segments.len()), (0, 1));
}

#[test]
fn random_is_about_uniform() {
    for count in [1, 3, 100, 5000] {
        let dict = filled(count);
        let mut hits = vec![0_u32; count as usize];
        let draws = 200 * count;
        let mut state = 7;
        for _ in 0..draws {
            hits[dict.random(mix(&mut state)).unwrap().number() as usize] += 1;
        }
        // Each has 200 hits on average with a deviation of 14.
        assert!(hits.iter().all(|hits| (110..310).contains(hits)), "{hits:?}");
    }
    assert!(filled(0).random(1).is_none());
}

#[test]
fn random_finds_the_last_ones() {
    let mut dict = filled(20_000);
    for number in 5..20_000 {
        dict.remove(&number_key(number));
    }
    let mut state = 1;
    let found: HashSet<u32> =
        (0..200).map(|_| dict.random(mix(&mut state)).unwrap().number()).collect();
    assert_eq!(found.len(), 5);
}

#[test]
fn more_colliding_keys_than_a_segment_can_index() {
    let mut dict = Dict::new(Hasher { mask: u64::from(u32::MAX), ..hasher() });
    for number in 0..2000 {
        let pair = Pair::new(number, 0);
        dict.insert_new_hashed(dict.hasher.hash(pair.key()), pair);
    }
    assert!(dict.segments.iter().any(|segment| segment.len() > SEGMENT_ITEMS));
    let all = |dict: &Dict<Pair>| (0..2000).filter(|&n| dict.get(&number_key(n)).is_some()).count();
    assert_eq!(all(&dict), 2000);
    for number in (0..2000).step_by(5) {
        assert!(dict.remove(&number_key(number)).is_some());
    }
    assert_eq!(all(&dict), 2000 - 400);
    assert_eq!(dict.drain_some(300), 300);
    check(&dict);
}

#[test]
fn equal_hashes_are_scanned_together() {
    let mut dict = Dict::new(Hasher { mask: 3 << 62, ..hasher() });
    for number in 0..600 {
        dict.insert(Pair::new(number, 0));
    }
    let (mut cursor, mut calls) = (0, 0);
    loop {
        let mut seen = 0;
        cursor = dict.scan(cursor, 1, |_| seen += 1);
        calls += 1;
        assert!(cursor == 0 || seen > 100);
        if cursor == 0 {
            break;
        }
    }
    assert!(calls <= 5);
}

#[test]
fn the_hash_is_siphash_1_3() {
    let whole = SipHasher13::new_with_keys(3, 4).hash(b"key");
    assert_eq!(Hasher::new(3, 4).hash(b"key"), whole);
}
