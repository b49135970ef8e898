//! The keyspace as a whole.

use alloc::format;
use alloc::vec::Vec;
use std::string::String;

use super::*;
use crate::types::list::List;

fn filled(count: usize) -> Keyspace {
    let mut keys = Keyspace::new(Hasher::new(1, 2));
    keys.set_now_ms(1000);
    for number in 0..count {
        keys.select(number % 3);
        keys.set_string(format!("key:{number}").as_bytes(), format!("{number}").as_bytes(), None);
    }
    keys
}

#[test]
fn gathering_visits_every_record_and_changes_none() {
    let mut keys = filled(5000);
    let mut copied = 0;
    for _ in 0..100 {
        copied += keys.gather(|_| true, 100);
    }
    assert!(copied >= 5000, "{copied}");
    assert_eq!(keys.gather(|_| false, 100_000), 0);
    for number in 0..5000 {
        keys.select(number % 3);
        let value = keys.string(format!("key:{number}").as_bytes()).unwrap();
        assert_eq!(value, Some(format!("{number}").as_bytes()));
    }
}

#[test]
fn a_database_that_was_flushed_is_freed_in_pieces() {
    let mut keys = Keyspace::new(Hasher::new(1, 2));
    for number in 0..1000_u64 {
        keys.set_string(&number.to_le_bytes(), b"value", Some(1000 + number));
    }
    let push = |list: &mut List| {
        (0..1000).for_each(|_| list.push_back(b"element"));
        ((), true)
    };
    keys.edit_or_create(b"list", |_| List::new(), push).unwrap();
    keys.flush(0);
    assert_eq!((keys.len(), keys.count(0)), (0, (0, 0)));
    let mut steps = 1;
    while keys.free_some(10) {
        steps += 1;
    }
    // Keys and their times ten at a time, and the list by its nodes.
    assert!(steps > 200, "{steps} steps");
    assert_eq!(keys.garbage_len(), 0);
}

#[test]
fn what_expires_soonest_is_evicted_first() {
    let mut keys = filled(10);
    let mut random = 0_u64;
    let mut next = || {
        random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        random ^ random >> 29
    };
    for (number, at) in [(1, 5000), (2, 3000), (4, 4000)] {
        keys.select(number % 3);
        assert!(keys.set_expiry(format!("key:{number}").as_bytes(), Some(at)));
    }
    let there = |keys: &mut Keyspace| -> Vec<usize> {
        let is_there = |number: &usize| {
            keys.select(number % 3);
            keys.contains(format!("key:{number}").as_bytes())
        };
        (0..10).filter(is_there).collect()
    };
    for left in
        [&[0, 1, 3, 4, 5, 6, 7, 8, 9][..], &[0, 1, 3, 5, 6, 7, 8, 9], &[0, 3, 5, 6, 7, 8, 9]]
    {
        assert!(keys.evict(eviction::Policy::VolatileTtl, 5, &mut next));
        assert_eq!(there(&mut keys), left);
    }
    assert!(!keys.evict(eviction::Policy::VolatileTtl, 5, &mut next));
    assert!(!keys.evict(eviction::Policy::NoEviction, 5, &mut next));
    // With samples enough, what was not used for longest goes.
    keys.set_now_ms(100_000);
    for number in [0, 3, 5, 6, 8, 9] {
        keys.select(number % 3);
        assert!(keys.read(format!("key:{number}").as_bytes()).is_some());
    }
    assert!(keys.evict(eviction::Policy::AllKeysLru, 200, &mut next));
    assert_eq!(there(&mut keys), [0, 3, 5, 6, 8, 9]);
    assert_eq!(keys.evicted, 4);
}

#[test]
fn the_size_in_the_log_is_counted_and_enough() {
    let mut keys = filled(100);
    keys.effects.keep(true);
    for number in 0..50 {
        keys.select(number % 3);
        let key: String = format!("key:{number}");
        match number % 4 {
            0 => drop(keys.delete(key.as_bytes())),
            1 => drop(keys.set_expiry(key.as_bytes(), Some(1 << 40))),
            2 => drop(keys.edit_record(key.as_bytes(), |it| {
                it.growing_string().map(|bytes| bytes.extend_from_slice(b"and more"))
            })),
            _ => keys.set_string(key.as_bytes(), b"a longer value than before", None),
        }
    }
    let counted = keys.encoded_bytes();
    keys.effects.clear();
    let mut effects = Effects::default();
    effects.keep(true);
    let mut sum = 0;
    for database in 0..DATABASES {
        keys.select(database);
        let mut cursor = 0;
        loop {
            cursor = keys.scan(cursor, 100, |record| {
                sum += record.encoded_bytes();
                copy::write(&mut effects, database, record);
            });
            if cursor == 0 {
                break;
            }
        }
    }
    assert_eq!(sum, counted);
    let written = effects.as_bytes().len() as u64;
    assert!(written <= counted, "{written} bytes of {counted}");
    (0..DATABASES).for_each(|database| keys.flush(database));
    assert_eq!(keys.encoded_bytes(), 0);
}
