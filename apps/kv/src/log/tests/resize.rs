//! The device has another size than before.

use super::super::simulation::{Simulated, Tear};
use super::super::{Cause, OpenError};
use super::{State, Store, open};

const BLOCKS: usize = 60;

/// A store whose log does or does not wrap.
fn store(does_wrap: bool) -> Store {
    let mut store = Store::new(Simulated::new(16_384 + BLOCKS * 512, 512, true, 5), 5);
    if does_wrap {
        for round in 0..5 {
            store.batch(&[(1, 4000 + round)]);
            store.commit();
        }
        assert!(store.compact());
    }
    for round in 0..if does_wrap { 4 } else { 10 } {
        store.batch(&[(1 + round as u8 % 4, 2000)]);
        store.commit();
    }
    store
}

#[test]
fn cut_anywhere_leaves_a_prefix() {
    for does_wrap in [false, true] {
        let [mut is_tail_cut, mut is_cut, mut is_whole] = [false; 3];
        for size in (0..16_384 + BLOCKS * 512).step_by(512) {
            let mut store = store(does_wrap);
            store.disk.resize(size);
            let image = store.disk.image.clone();
            match open(&mut store.disk, 9) {
                Err(OpenError::TooSmall { .. }) => assert!(size < 24_576),
                Err(OpenError::TailCutOff { .. }) => is_tail_cut = true,
                Err(other) => panic!("{other}"),
                Ok((log, report, reader)) => {
                    assert!(report.resize.is_some());
                    let is_known = store.history.contains(&reader.state);
                    assert!(is_known || report.is_incomplete, "{size}: {report}");
                    is_cut |= report.end.cause == Cause::CutOff;
                    let is_all = reader.state == *store.state();
                    assert!(is_all || report.is_loss(), "{size}: {report}");
                    is_whole |= is_all;
                    store.log = log;
                    store.history = std::vec![reader.state];
                    go_on(&mut store);
                    continue;
                }
            }
            assert!(store.disk.image == image);
        }
        assert_eq!((is_tail_cut, is_cut, is_whole), (does_wrap, true, true));
    }
}

#[test]
fn cut_where_an_empty_log_begins() {
    for size in (24_576..16_384 + BLOCKS * 512).step_by(512) {
        let mut store = store(false);
        let mark = store.log.mark();
        store.log.retire_to(mark, &mut store.disk).unwrap();
        store.disk.resize(size);
        // The tail may lie where the shorter ring ends, which is no place in it.
        if let Ok((log, _, reader)) = open(&mut store.disk, 9) {
            store.log = log;
            store.history = std::vec![reader.state];
            go_on(&mut store);
        }
    }
}

/// Uses all of the ring, and comes back.
fn go_on(store: &mut Store) {
    if store.batch(&[(7, 1)]) {
        assert!(store.commit());
        let report = store.restart(true);
        assert!(!report.is_damaged() && report.resize.is_none_or(|resize| !resize.is_used));
    }
    for round in 0..40 {
        if !store.compact() {
            // What is left may be too much for what the device has left.
            store.log.discard();
            let mark = store.log.mark();
            store.log.retire_to(mark, &mut store.disk).unwrap();
            store.history = std::vec![State::new()];
        }
        store.batch(&[(7, 300 + round)]);
        assert!(store.commit());
    }
    let report = store.restart(true);
    assert!(!report.is_damaged() && report.resize.is_none(), "{report}");
}

#[test]
fn larger_device_is_used_at_once_if_the_log_does_not_wrap() {
    let mut store = store(false);
    let before = store.log.capacity_bytes();
    store.disk.resize(16_384 + 200 * 512);
    let report = store.restart(true);
    assert!(report.resize.is_some_and(|resize| resize.is_used), "{report}");
    assert_eq!(store.log.capacity_bytes(), before + 140 * 512);
    // Nothing was written yet, so it is found again.
    assert!(store.restart(true).resize.is_some());
    store.batch(&[(1, 30_000)]);
    store.batch(&[(1, 30_000)]);
    assert!(store.commit());
    let report = store.restart(true);
    assert!(report.resize.is_none() && report.damaged_superblocks == 0, "{report}");
}

#[test]
fn larger_device_is_used_after_a_compaction_if_the_log_wraps() {
    let mut store = store(true);
    let before = store.log.capacity_bytes();
    store.disk.resize(16_384 + 200 * 512);
    let report = store.restart(true);
    assert!(report.resize.is_some_and(|resize| !resize.is_used), "{report}");
    assert_eq!(store.log.capacity_bytes(), before);
    for _ in 0..10 {
        store.batch(&[(1, 100)]);
        assert!(store.compact());
    }
    assert_eq!(store.log.capacity_bytes(), before + 140 * 512);
    go_on(&mut store);
}

/// An open record keeps the ring as it is; later the log wraps, and the frames must be found.
#[test]
fn larger_device_is_not_used_while_that_would_move_frames() {
    let mut store = store(true);
    let before = store.log.capacity_bytes();
    store.disk.resize(16_384 + 200 * 512);
    store.restart(true);
    let mark = store.log.mark();
    store.log.append(b"a record that is not complete").unwrap();
    store.log.retire_to(mark, &mut store.disk).unwrap();
    store.history = std::vec![State::new()];
    assert_eq!(store.log.capacity_bytes(), before);
    store.log.discard();
    store.acknowledged = 0;
    for round in 0..4 {
        store.batch(&[(1 + round % 3, 4000)]);
        assert!(store.commit());
    }
    // From here the used part wraps: the ring's end is not far.
    let mark = store.log.mark();
    for round in 0..3 {
        store.batch(&[(1 + round, 4000)]);
        assert!(store.commit());
    }
    store.log.retire_to(mark, &mut store.disk).unwrap();
    assert_eq!(store.log.capacity_bytes(), before);
    let report = store.restart(true);
    assert!(report.resize.is_some_and(|resize| !resize.is_used), "{report}");
    go_on(&mut store);
    assert_eq!(store.log.capacity_bytes(), before + 140 * 512);
}

/// A superblock with the new size was half written, and the ring stays as it was: the next frame
/// must not follow before the device says that.
#[test]
fn failed_change_of_size_is_taken_back() {
    let mut store = Store::new(Simulated::new(16_384 + BLOCKS * 512, 512, true, 5), 5);
    let fill = |store: &mut Store, end: u64| {
        for round in 0.. {
            store.batch(&[(1 + round % 3, 1000)]);
            assert!(store.commit());
            if store.log.head_offset() >= end {
                return;
            }
        }
    };
    fill(&mut store, 20_000);
    assert!(store.compact());
    fill(&mut store, 36_000);
    store.disk.resize(38_400);
    let report = store.restart(true);
    assert!(report.resize.is_some_and(|resize| resize.is_used), "{report}");
    assert_eq!(store.log.capacity_bytes(), 38_400 - 8192);
    assert!(store.compact());
    while store.log.head_offset() > 20_000 {
        store.batch(&[(1, 1000)]);
        assert!(store.commit());
    }
    let mark = store.log.mark();
    for key in [0, 1, 2, 3] {
        let (number, bytes) = store.state()[&key];
        assert!(store.append(&super::encode(key, number, bytes)));
    }
    assert!(store.commit());
    store.disk.fail_at = Some((store.disk.writes + 1, Tear::Nothing));
    assert!(store.log.retire_to(mark, &mut store.disk).is_err());
    assert_eq!(store.log.capacity_bytes(), 38_400 - 8192);
    // Beyond where the smaller ring would end.
    fill(&mut store, 31_000);
    let report = store.restart(true);
    assert!(!report.is_damaged(), "{report}");
    go_on(&mut store);
}

#[test]
fn too_small_and_odd_devices_are_refused() {
    let mut small = Simulated::new(24_576 - 512, 512, true, 0);
    let error = open(&mut small, 1).unwrap_err();
    assert_eq!(error, OpenError::TooSmall { capacity_bytes: 24_064, min_bytes: 24_576 });
    let mut coarse = Simulated::new(1 << 20, 8192, true, 0);
    let error = open(&mut coarse, 1).unwrap_err();
    assert_eq!(error, OpenError::Geometry { block_bytes: 8192 });
    let mut least = Simulated::new(24_576, 512, true, 0);
    open(&mut least, 1).unwrap();
}

#[test]
fn other_block_size() {
    let mut fine = Store::new(Simulated::new(1 << 20, 512, true, 0), 1);
    fine.batch(&[(1, 5)]);
    assert!(fine.commit());
    let mut coarse = Simulated::with_image(fine.disk.image, 4096, true, 0);
    let error = open(&mut coarse, 1).unwrap_err();
    assert_eq!(error, OpenError::BlockGrew { block_bytes: 4096, formatted_bytes: 512 });

    // A coarser log on a finer device stays as it is.
    let mut coarse = Store::new(Simulated::new(1 << 20, 4096, true, 0), 1);
    coarse.batch(&[(1, 5)]);
    assert!(coarse.commit());
    coarse.disk = Simulated::with_image(coarse.disk.image.clone(), 512, true, 0);
    coarse.restart(true);
    coarse.batch(&[(1, 5)]);
    assert!(coarse.commit());
    assert!(!coarse.restart(true).is_damaged());
    assert_eq!(coarse.log.used_bytes(), 8192);
}
