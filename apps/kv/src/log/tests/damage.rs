//! Bytes that are not as they were written.

use super::super::simulation::{Random, Simulated, TEARS, Tear};
use super::super::{Cause, OpenError};
use super::{Store, open};

/// The start of the ring.
const RING: usize = 8192;

/// A store on the smallest device, with a compaction behind it.
fn small() -> Store {
    let mut store = Store::new(Simulated::new(24_576, 512, true, 7), 7);
    store.batch(&[(1, 300)]);
    store.commit();
    store.batch(&[(2, 900)]);
    store.commit();
    assert!(store.compact());
    store.batch(&[(3, 20)]);
    store.batch(&[(1, 30)]);
    store.commit();
    store.batch(&[(2, 700)]);
    store.commit();
    store.batch(&[(4, 1)]);
    store.commit();
    store
}

#[test]
fn flipped_bit_costs_at_most_what_follows_and_is_reported() {
    let store = small();
    let mut kinds = [0; 3];
    for at in 0..store.disk.image.len() {
        let is_superblock = !(RING..24_576 - RING).contains(&at);
        if is_superblock && at % 4096 > 128 && at % 4096 != 505 && at % 97 != 0 {
            continue;
        }
        let mut disk = store.disk.clone();
        disk.image[at] ^= 1 << (at % 8);
        let (_, report, reader) = open(&mut disk, 8).unwrap();
        let is_whole = reader.state == *store.state();
        assert!(is_whole || report.is_damaged(), "byte {at}: {report}");
        if is_superblock {
            assert!(is_whole && !report.is_loss(), "byte {at}: {report}");
            let expected = u32::from(at % 4096 < 512);
            assert_eq!(report.damaged_superblocks, expected, "byte {at}: {report}");
        }
        let is_known = store.history.contains(&reader.state);
        assert!(is_known || report.is_incomplete, "byte {at}: {report}");
        kinds[0] += usize::from(report.is_incomplete);
        kinds[1] += usize::from(report.end.newer.is_some());
        kinds[2] += usize::from(!is_whole && !report.is_loss());
    }
    // Damage to a compacted part, in the middle, and at the very end.
    assert!(kinds[0] == 0 && kinds[1] > 1000 && kinds[2] > 50, "{kinds:?}");
}

#[test]
fn both_copies_of_the_newest_superblock_may_be_gone() {
    let store = small();
    for (first, second) in [(0, 24_576 - 8192), (4096, 24_576 - 4096)] {
        let mut store = Store { disk: store.disk.clone(), ..small() };
        store.disk.image[first] ^= 1;
        store.disk.image[second + 40] ^= 1;
        store.disk.resize(24_576);
        let report = store.restart(true);
        assert_eq!(report.damaged_superblocks, 2);
        store.batch(&[(1, 1)]);
        assert!(store.commit());
        assert_eq!(store.restart(true).damaged_superblocks, 0);
    }
    let mut disk = store.disk.clone();
    for at in [0, 4096, 24_576 - 8192, 24_576 - 4096] {
        disk.image[at + 20] ^= 1;
    }
    assert_eq!(open(&mut disk, 8).unwrap_err(), OpenError::NoSuperblock { offset: 0 });
}

/// A store in which a compaction has just ended, and where it begins and ends in the ring.
fn compacted(is_old_overwritten: bool) -> (Store, core::ops::Range<usize>) {
    let mut store = Store::new(Simulated::new(16_384 + 100 * 512, 512, true, 7), 7);
    for round in 0..if is_old_overwritten { 7 } else { 2 } {
        store.batch(&[(1, 3000 + round), (2, 100)]);
        store.commit();
    }
    let start = RING + store.log.used_bytes() as usize;
    assert!(store.compact());
    let end = start + store.log.used_bytes() as usize;
    for round in 0..if is_old_overwritten { 7 } else { 1 } {
        store.batch(&[(3, 3000 + round)]);
        store.commit();
    }
    (store, start..end)
}

#[test]
fn damage_to_a_compacted_part_leads_back_to_the_older_superblock() {
    let (whole, compaction) = compacted(false);
    let state = whole.history[2].clone();
    for at in compaction.step_by(512) {
        let (mut store, _) = compacted(false);
        store.disk.image[at] ^= 1;
        store.disk.resize(16_384 + 100 * 512);
        let (log, report, reader) = open(&mut store.disk, 8).unwrap();
        if reader.state == *whole.state() {
            continue;
        }
        assert!(report.is_fallback && report.is_loss() && !report.is_incomplete, "{report}");
        assert!(reader.begins == 2 && reader.state == state, "{report}");
        // It goes on there, and nothing that was lost comes back.
        store.log = log;
        store.history = std::vec![state.clone()];
        store.acknowledged = 0;
        for round in 0..20 {
            store.batch(&[(4, 2000 + round)]);
            assert!(store.commit());
            let report = store.restart(true);
            assert!(!report.is_damaged(), "{report}");
            if store.log.used_bytes() > 30_000 {
                assert!(store.compact());
            }
        }
    }
}

/// The unusable superblock is the one that is overwritten, so a stop within that does no harm,
/// even without the copies at the end of the device.
#[test]
fn repair_after_that_may_be_interrupted() {
    for write in 0..3 {
        let torn = (0..30).map(|_| Tear::Garbage);
        for (seed, tear) in TEARS.into_iter().chain(torn).enumerate() {
            let (mut store, compaction) = compacted(false);
            let state = store.history[2].clone();
            let bytes = store.disk.image.len();
            store.disk.image[compaction.start] ^= 1;
            store.disk.image[bytes - 8192] ^= 1;
            store.disk.image[bytes - 4096] ^= 1;
            store.disk.resize(bytes);
            let (log, report, _) = open(&mut store.disk, 8).unwrap();
            assert!(report.is_fallback && report.damaged_superblocks == 2, "{report}");
            store.log = log;
            store.history = std::vec![state];
            store.acknowledged = 0;
            store.batch(&[(4, 20)]);
            store.disk.random = Random(seed as u64);
            store.disk.stop_at = Some((store.disk.writes + write, tear));
            assert!(!store.commit());
            store.disk.restart();
            let (_, report, reader) = open(&mut store.disk, 8).unwrap();
            assert!(store.history.contains(&reader.state), "{write} {tear:?}: {report}");
            assert!(!report.is_incomplete);
        }
    }
}

#[test]
fn damage_to_a_compacted_part_without_anything_older_is_said_loudly() {
    let (mut store, compaction) = compacted(true);
    store.disk.image[compaction.start + 70] ^= 1;
    store.disk.resize(16_384 + 100 * 512);
    let (log, report, reader) = open(&mut store.disk, 8).unwrap();
    assert!(report.is_incomplete && report.is_loss(), "{report}");
    assert!(std::format!("{report}").contains("INCOMPLETE"));
    // If the owner goes on nevertheless, that is what there is from now on.
    store.log = log;
    store.history = std::vec![reader.state];
    store.acknowledged = 0;
    store.batch(&[(4, 2000)]);
    assert!(store.commit());
    let report = store.restart(true);
    assert!(!report.is_incomplete && !report.is_fallback, "{report}");
}

#[test]
fn reports_are_plain() {
    let mut store = small();
    let report = store.restart(true);
    assert_eq!(
        std::format!("{report}"),
        "4 batches came back from the log (2094 bytes in 4 frames). The log ends cleanly."
    );
    // The frame before the last, and the last alone.
    let end = report.end.offset as usize;
    let mut disk = store.disk.clone();
    disk.image[end - 3 * 512] ^= 1;
    let (_, report, _) = open(&mut disk, 1).unwrap();
    assert_eq!(report.end.cause, Cause::Checksum);
    assert_eq!(
        std::format!("{report}"),
        "2 batches came back from the log (1341 bytes in 2 frames). THE LOG IS DAMAGED at offset \
         11776: the frame's checksum is wrong. Frame 6 at offset 12800 is whole and was written \
         later, so confirmed writes from frame 5 on are lost."
    );
    store.disk.image[end - 512] ^= 1;
    let (_, report, _) = open(&mut store.disk, 1).unwrap();
    assert_eq!(
        std::format!("{report}"),
        "3 batches came back from the log (2067 bytes in 3 frames). The log ends at offset 12800 \
         (frame 6): the frame's checksum is wrong. A write that was under way when the machine \
         stopped leaves that behind."
    );
    assert!(report.is_damaged() && !report.is_loss());
}

#[test]
fn what_cannot_be_read_is_not_taken_for_the_end() {
    let store = small();
    let used_end = RING + store.log.capacity_bytes() as usize;
    let mut errors = 0;
    for at in (0..24_576).step_by(512) {
        let mut disk = store.disk.clone();
        disk.unreadable = Some(at);
        match open(&mut disk, 8) {
            Ok((_, report, reader)) => {
                assert!(reader.state == *store.state() && !report.is_loss(), "{at}: {report}");
            }
            Err(OpenError::Device { offset, .. }) => {
                assert!((RING..used_end).contains(&(offset as usize)));
                errors += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!((3..12).contains(&errors), "{errors}");
}
