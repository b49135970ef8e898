//! The machine stops at any time, and nothing that was acknowledged is lost.

use super::super::simulation::{Random, Simulated, TEARS, Tear};
use super::super::{Cause, OpenError, Options};
use super::{Reader, Store, open, seeds};

/// Lives of a store with random steps, each of which ends by a stop within a random write, or
/// between two. Writes fail now and then.
fn live(seed: u64, is_synchronous: bool) {
    let mut random = Random(seed);
    let block = if random.one_in(4) { 4096 } else { 512 };
    let bytes = 16_384 + 16 * block + random.below(600) as usize * 512 / block * block;
    let mut store = Store::new(Simulated::new(bytes, block, is_synchronous, seed), seed);
    for _ in 0..1 + random.below(5) {
        let writes = store.disk.writes;
        let tear = |random: &mut Random| TEARS[random.below(TEARS.len() as u64) as usize];
        if random.one_in(2) {
            store.disk.stop_at = Some((writes + random.below(30), tear(&mut random)));
        }
        for _ in 0..random.below(120) {
            if random.one_in(20) {
                let soon = store.disk.writes + random.below(5);
                store.disk.fail_at = Some((soon, tear(&mut random)));
            }
            if random.one_in(15) {
                store.disk.write_back();
            }
            store.step();
            if store.disk.is_stopped {
                break;
            }
        }
        store.restart(is_synchronous);
    }
}

#[test]
fn synchronous_device_loses_nothing() {
    for seed in seeds(100) {
        let result = std::panic::catch_unwind(|| live(seed, true));
        assert!(result.is_ok(), "seed {seed}");
    }
}

#[test]
fn device_that_buffers_loses_only_the_end() {
    for seed in seeds(60) {
        let result = std::panic::catch_unwind(|| live(seed, false));
        assert!(result.is_ok(), "seed {seed}");
    }
}

/// Small and large batches, several in one commit, two compactions, around the ring's end.
fn script(store: &mut Store) {
    for round in 0..4 {
        store.batch(&[(1, 10)]);
        store.batch(&[(2, 700 + round)]);
        store.commit();
        store.batch(&[(3, 9000), (4, 100)]);
        store.commit();
        store.batch(&[(1 + round as u8, 600)]);
        store.batch(&[]);
        store.commit();
        if round % 2 == 1 {
            store.compact_a_bit();
            store.compact_a_bit();
            store.batch(&[(5, 50)]);
            store.compact();
        }
    }
}

fn scripted(seed: u64) -> Store {
    Store::new(Simulated::new(16_384 + 80 * 512, 512, true, seed), seed)
}

#[test]
fn stops_within_every_write_of_a_script() {
    let mut whole = scripted(0);
    script(&mut whole);
    assert_eq!(whole.acknowledged, 22, "the script has room");
    let tears = TEARS.into_iter().chain((3..20).step_by(3).map(Tear::Head)).chain([Tear::Tail(5)]);
    for (seed, tear) in tears.enumerate() {
        for write in 4..whole.disk.writes {
            let mut store = scripted(seed as u64);
            store.disk.stop_at = Some((write, tear));
            script(&mut store);
            assert!(store.disk.is_stopped);
            store.restart(true);
            // On, and a second stop soon after.
            store.disk.stop_at = Some((store.disk.writes + 1 + write % 3, Tear::Some));
            script(&mut store);
            store.restart(true);
            store.batch(&[(3, 10)]);
            assert!(store.commit());
            store.restart(true);
        }
    }
}

#[test]
fn failed_write_is_made_good_by_the_next() {
    let mut whole = scripted(0);
    script(&mut whole);
    for (seed, tear) in TEARS.into_iter().enumerate() {
        for write in 4..whole.disk.writes {
            let mut store = scripted(seed as u64);
            store.disk.fail_at = Some((write, tear));
            script(&mut store);
            assert!(store.commit());
            assert_eq!(store.acknowledged, store.history.len() - 1);
            store.restart(true);
            script(&mut store);
            store.restart(true);
        }
    }
}

#[test]
fn after_a_failed_write_the_same_bytes_are_written_to_the_same_place() {
    let mut store = scripted(1);
    store.batch(&[(1, 3000)]);
    let before = store.disk.image.clone();
    store.disk.fail_at = Some((store.disk.writes, Tear::Everything));
    assert!(!store.commit());
    assert_eq!((store.log.committed(), store.acknowledged), (0, 0));
    let failed = store.disk.image.clone();
    store.disk.image = before;
    assert!(store.commit());
    assert!(store.disk.image == failed);
}

/// Two frames in one write, of which only the second comes through. What is written in its place
/// later is the same as the first, byte for byte; the second must not follow it.
#[test]
fn lost_batch_does_not_come_back_when_its_predecessor_is_repeated() {
    for has_commit_before in [false, true] {
        let mut store = scripted(2);
        if has_commit_before {
            store.batch(&[(1, 100)]);
            assert!(store.commit());
        }
        store.batch(&[(1, 5000)]);
        store.batch(&[(2, 5000)]);
        store.disk.stop_at = Some((store.disk.writes, Tear::Tail(1)));
        assert!(!store.commit());
        store.restart(true);
        let lost = store.history.len();
        store.batch(&[(1, 5000)]);
        assert!(store.commit());
        store.restart(true);
        assert_eq!(store.history.len(), lost + 1);
    }
}

/// A frame lacks a part of its body. What is written in its place has the same body, and of that
/// only the body comes through.
#[test]
fn torn_batch_is_not_completed_by_what_replaces_it() {
    let record = |first: u8| [[first; 400], [7; 400], [7; 400]].concat();
    for (present, write) in [(1, 0), (1, 1), (2, 0), (2, 1)] {
        let mut store = scripted(0);
        store.log.append(&record(1)).unwrap();
        store.log.mark_boundary();
        store.disk.stop_at = Some((store.disk.writes, Tear::Head(present)));
        store.log.commit(&mut store.disk).unwrap_err();
        assert_eq!(store.restart(true).end.cause, Cause::Checksum);
        store.log.append(&record(2)).unwrap();
        store.log.mark_boundary();
        store.disk.stop_at = Some((store.disk.writes + write, Tear::Tail(1)));
        store.log.commit(&mut store.disk).unwrap_err();
        assert_eq!(store.restart(true).batches, 0);
    }
}

#[test]
fn abandoned_record_does_not_come_back() {
    let mut store = scripted(3);
    store.batch(&[(1, 100)]);
    assert!(store.commit());
    // On the device without COMMIT, then dropped; what follows begins in the same way.
    for end in [10, 20_000] {
        let record = super::encode(7, 7, 20_000);
        for piece in record.chunks(1000) {
            store.log.append(piece).unwrap();
            store.log.spill(&mut store.disk).unwrap();
        }
        store.log.discard();
        store.batch(&[(7, end)]);
        store.disk.stop_at = Some((store.disk.writes, Tear::Head(1)));
        store.commit();
        store.restart(true);
    }
}

#[test]
fn format_may_be_interrupted() {
    for (seed, tear) in TEARS.into_iter().enumerate() {
        for write in 0..4 {
            let mut disk = Simulated::new(24_576, 512, true, seed as u64);
            disk.stop_at = Some((write, tear));
            assert!(open(&mut disk, 1).is_err());
            disk.restart();
            match open(&mut disk, 2) {
                Ok((_, report, _)) => assert!(!report.is_loss()),
                // Bytes that nobody wrote: nobody can know what they were.
                Err(OpenError::Foreign { .. } | OpenError::NoSuperblock { .. }) => {
                    assert_eq!((write, tear), (0, Tear::Garbage));
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn forced_format_ends_what_was_there() {
    let mut store = scripted(4);
    script(&mut store);
    let old = store.state().clone();
    for write in 0..5 {
        for tear in TEARS {
            let mut disk = store.disk.clone();
            disk.stop_at = Some((disk.writes + write, tear));
            let options = Options { entropy: 99, is_format_forced: true };
            let result = super::Log::open(&mut disk, options, &mut Reader::default());
            assert_eq!(result.is_ok(), write == 4);
            disk.restart();
            let (_, report, reader) = open(&mut disk, 5).unwrap();
            assert!(reader.state == old || reader.state.is_empty(), "{report}");
            assert!(write < 4 || reader.state.is_empty());
            assert!(!report.is_loss(), "{report}");
        }
    }
}
