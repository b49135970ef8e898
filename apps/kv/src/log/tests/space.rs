//! The ring's room, to the byte.

use super::super::LogError;
use super::super::simulation::{Random, Simulated};
use super::{NUMBER, Store, encode, seeds};

fn store(seed: u64) -> Store {
    let blocks = 16 + seed as usize % 100;
    Store::new(Simulated::new(16_384 + blocks * 512, 512, true, seed), seed)
}

/// The largest record that fits.
fn largest(store: &Store) -> u64 {
    let mut fitting = 0..store.log.capacity_bytes() + 1;
    while fitting.end - fitting.start > 1 {
        let middle = fitting.start.midpoint(fitting.end);
        match store.log.fits(middle) {
            true => fitting.start = middle,
            false => fitting.end = middle,
        }
    }
    fitting.start
}

#[test]
fn full_ring_is_whole_and_refuses_more() {
    for seed in seeds(60) {
        let mut store = store(seed);
        let mut random = Random(seed);
        // From somewhere in the ring on.
        for _ in 0..random.below(6) {
            store.batch(&[(1, random.below(2000) as usize)]);
            store.commit();
            let mark = store.log.mark();
            store.log.retire_to(mark, &mut store.disk).unwrap();
            assert_eq!(store.log.used_bytes(), 0);
        }
        // A record that shares a frame with an earlier one may take less than it might have.
        let is_alone = random.one_in(2);
        store.batch(&[(1, 2)]);
        assert!(!is_alone || store.commit());
        let number = store.history.len() as u64;
        let room = largest(&store) as usize;
        let mut record = encode(NUMBER, number, 0);
        let value_bytes = room - record.len() - 13;
        record.extend(encode(3, number, value_bytes));
        assert_eq!(record.len(), room);
        for piece in record.chunks(1 + random.below(5000) as usize) {
            store.log.append(piece).unwrap();
        }
        store.log.mark_boundary();
        let mut state = store.state().clone();
        state.insert(NUMBER, (number, 0));
        state.insert(3, (number, value_bytes));
        store.history = std::vec![state];
        if is_alone {
            assert!(matches!(store.log.append(b"x"), Err(LogError::Full { .. })));
            assert_eq!(store.log.free_bytes(), 0);
        }
        assert!(store.commit());
        if is_alone {
            assert!(matches!(store.log.append(b"x"), Err(LogError::Full { free_bytes: 0, .. })));
            assert!(!store.log.fits(1) && store.log.fits(0));
        }
        let free_bytes = store.log.free_bytes();
        let report = store.restart(true);
        assert!(!report.is_damaged() && store.log.free_bytes() == free_bytes, "{report}");
        let mark = store.log.mark();
        store.log.retire_to(mark, &mut store.disk).unwrap();
        assert_eq!(store.log.used_bytes(), 0);
        store.batch(&[(1, 5)]);
        assert!(store.commit());
    }
}

#[test]
fn cost_is_never_more_than_was_said() {
    for seed in seeds(60) {
        let mut store = Store::new(Simulated::new(1 << 20, 512, true, seed), seed);
        let mut random = Random(seed);
        for _ in 0..random.below(20) {
            store.batch(&[(1, random.below(20_000) as usize)]);
        }
        store.commit();
        let mark = store.log.mark();
        store.log.retire_to(mark, &mut store.disk).unwrap();
        let (mut payload_bytes, mut commits) = (0, 1);
        let scale = [100, 3000, 20_000][random.below(3) as usize];
        for _ in 0..random.below(40) {
            let bytes = random.below(scale) as usize;
            let record = encode(1, 1, bytes);
            if store.log.append(&record).is_err() {
                break;
            }
            payload_bytes += record.len() as u64;
            if random.one_in(2) {
                store.log.mark_boundary();
            }
            if random.one_in(3) {
                store.commit();
                commits += 1;
            }
        }
        store.log.mark_boundary();
        let used_bytes = store.log.used_bytes();
        let cost_bytes = store.log.cost_of(payload_bytes, commits);
        assert!(used_bytes <= cost_bytes, "seed {seed}: {used_bytes} > {cost_bytes}");
    }
}

#[test]
fn commit_is_one_write_but_at_the_end_of_the_ring() {
    let mut store = Store::new(Simulated::new(16_384 + 200 * 512, 512, true, 0), 0);
    let mut doubles = 0;
    for round in 0..100 {
        let before = store.disk.writes;
        for batch in 0..3 {
            store.batch(&[(1, 100 + 50 * batch + round)]);
        }
        // Appending writes nothing.
        assert_eq!(store.disk.writes, before);
        assert!(store.commit());
        doubles += store.disk.writes - before - 1;
        assert!(store.commit());
        if store.log.free_bytes() < 20_000 {
            assert!(store.compact());
        }
    }
    assert!((1..4).contains(&doubles), "{doubles}");
}

#[test]
fn huge_record_takes_little_memory_and_is_dropped_if_it_is_not_committed() {
    let mut store = Store::new(Simulated::new(4 << 20, 512, true, 0), 0);
    store.batch(&[(1, 10)]);
    assert!(store.commit());
    let number = store.history.len() as u64;
    let record = encode(NUMBER, number, 2 << 20);
    store.log.append_large(&record, &mut store.disk).unwrap();
    assert!(store.log.buffer_capacity_bytes() < 64 * 1024);
    let report = store.restart(true);
    assert!(report.dropped_frames > 100 && !report.is_damaged(), "{report}");

    store.log.append_large(&record, &mut store.disk).unwrap();
    store.log.mark_boundary();
    assert!(store.commit());
    let mut state = store.state().clone();
    state.insert(NUMBER, (number, 2 << 20));
    store.history.push(state);
    store.acknowledged += 1;
    store.restart(true);

    // In one piece it has to be in memory, and that is given back.
    store.log.append(&record[..1 << 20]).unwrap();
    assert!(store.log.buffer_capacity_bytes() > 1 << 20);
    store.log.mark_boundary();
    store.log.commit(&mut store.disk).unwrap();
    assert_eq!(store.log.buffer_capacity_bytes(), 0);
}

#[test]
fn positions_count_payload_up_to_boundaries() {
    let mut store = store(3);
    let log = &mut store.log;
    log.append(b"abc").unwrap();
    assert_eq!((log.appended(), log.committed()), (0, 0));
    log.commit(&mut store.disk).unwrap();
    assert_eq!((log.appended(), log.committed()), (0, 0));
    log.mark_boundary();
    log.append(b"de").unwrap();
    assert_eq!((log.appended(), log.committed()), (3, 0));
    log.commit(&mut store.disk).unwrap();
    assert_eq!((log.appended(), log.committed()), (3, 3));
    log.discard();
    log.append(b"f").unwrap();
    log.mark_boundary();
    assert_eq!((log.appended(), log.committed()), (4, 3));
    log.commit(&mut store.disk).unwrap();
    assert_eq!((log.appended(), log.committed()), (4, 4));
    log.discard();
    assert_eq!(log.appended(), 4);
}

/// What was appended behind the boundary moves to a frame of its own and leaves nothing behind.
#[test]
fn padding_is_zero() {
    let mut store = store(50);
    store.log.append(&[0xaa; 100]).unwrap();
    store.log.mark_boundary();
    store.log.append(&[0xbb; 9000]).unwrap();
    store.log.commit(&mut store.disk).unwrap();
    let block = &store.disk.image[8192..8192 + 512];
    assert!(block[64..164].iter().all(|byte| *byte == 0xaa));
    assert!(block[164..].iter().all(|byte| *byte == 0));
    assert!(store.disk.image[8192 + 512..16_384].iter().all(|byte| *byte == 0));
}

#[test]
fn mark_before_the_last_one_is_stale() {
    let mut store = store(50);
    store.batch(&[(1, 10)]);
    store.commit();
    let first = store.log.mark();
    store.batch(&[(1, 10)]);
    store.commit();
    let second = store.log.mark();
    store.log.retire_to(second, &mut store.disk).unwrap();
    assert_eq!(store.log.retire_to(first, &mut store.disk), Err(LogError::StaleMark));
    // It stays at the tail.
    store.log.retire_to(second, &mut store.disk).unwrap();
}
