//! Devices that hold anything at all.

use std::vec::Vec;

use proptest::prelude::*;

use super::super::simulation::Simulated;
use super::super::{Log, OpenError, Options, Replay};
use super::{Store, open, seeds};

/// Takes anything.
struct Glutton(usize);

impl Replay for Glutton {
    type Error = core::convert::Infallible;

    fn begin(&mut self) {}

    fn batch(&mut self, payload: &[u8]) -> Result<(), Self::Error> {
        self.0 += payload.len();
        Ok(())
    }
}

/// Opens, and goes on if that works.
fn try_open(image: Vec<u8>, block: usize) -> Result<(), OpenError<core::convert::Infallible>> {
    let before = image.clone();
    let mut disk = Simulated::with_image(image, block, true, 0);
    let options = Options { entropy: 1, is_format_forced: false };
    let mut glutton = Glutton(0);
    let opened = Log::open(&mut disk, options, &mut glutton);
    assert!(disk.image == before);
    let (mut log, _) = opened?;
    assert!(glutton.0 < 8 * before.len());
    assert!(log.used_bytes() <= log.capacity_bytes());
    if log.append(b"on").is_ok() {
        log.mark_boundary();
        log.commit(&mut disk).unwrap();
        let mark = log.mark();
        log.retire_to(mark, &mut disk).unwrap();
    }
    Ok(())
}

fn whole(seed: u64) -> Vec<u8> {
    let mut store = Store::new(Simulated::new(16_384 + 60 * 512, 512, true, seed), seed);
    for _ in 0..60 {
        store.step();
    }
    store.disk.image
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(seeds(100).end as u32))]

    #[test]
    fn random_bytes(image in prop::collection::vec(any::<u8>(), 0..100), at in 0..200usize, has_magic: bool) {
        let mut bytes = std::vec![0; 24_576 + 512 * (at % 7)];
        let from = at * 120;
        let image = &image[..image.len().min(bytes.len() - from)];
        bytes[from..from + image.len()].copy_from_slice(image);
        if has_magic {
            bytes[..8].copy_from_slice(b"NABLAKV\0");
        }
        let is_blank = bytes.iter().all(|byte| *byte == 0);
        if !is_blank {
            prop_assert!(try_open(bytes, 512).is_err());
        }
    }

    /// Every field of a superblock and of a frame may say anything, with a right checksum.
    #[test]
    fn superblock_with_any_numbers(
        seed in 0..3u64,
        slot in 0..2usize,
        fields in prop::collection::vec((2..20usize, prop_oneof![
            any::<u32>(),
            0..64u32,
            (0..200u32).prop_map(|block| block * 512),
        ]), 1..4),
    ) {
        let mut image = whole(seed);
        let superblock = &mut image[slot * 4096..][..512];
        for (at, number) in fields {
            superblock[at * 4..][..4].copy_from_slice(&number.to_le_bytes());
        }
        let checksum = xxhash_rust::xxh3::xxh3_64(&superblock[..504]);
        superblock[504..].copy_from_slice(&checksum.to_le_bytes());
        let _ = try_open(image, 512);
    }

    #[test]
    fn frames_with_any_numbers(
        seed in 0..3u64,
        fields in prop::collection::vec((0..60usize, 3..16usize, prop_oneof![
            any::<u32>(),
            0..64u32,
            (0..20u32).prop_map(|block| block * 512),
        ]), 1..20),
    ) {
        let mut image = whole(seed);
        for (block, at, number) in fields {
            let from = 8192 + block * 512;
            image[from + at * 4..][..4].copy_from_slice(&number.to_le_bytes());
            let length = u32::from_le_bytes(image[from + 16..from + 20].try_into().unwrap());
            let end = (from + 64).saturating_add(length as usize).min(image.len());
            let checksum = xxhash_rust::xxh3::xxh3_64(&image[from + 8..end]);
            image[from..from + 8].copy_from_slice(&checksum.to_le_bytes());
        }
        let _ = try_open(image, 512);
    }

    /// Parts of the device lie elsewhere, or are another device's.
    #[test]
    fn parts_exchanged(
        seed in 0..3u64,
        moves in prop::collection::vec((0..92usize, 0..92usize, 1..10usize, any::<bool>()), 1..6),
    ) {
        let mut image = whole(seed);
        let other = whole(seed + 1);
        for (from, to, blocks, is_other) in moves {
            let blocks = blocks.min(92 - from).min(92 - to);
            let part = if is_other { &other } else { &image };
            let part = part[from * 512..(from + blocks) * 512].to_vec();
            image[to * 512..(to + blocks) * 512].copy_from_slice(&part);
        }
        let _ = try_open(image, 512);
    }
}

#[test]
fn something_else_is_never_overwritten() {
    // A partition table, an ext4 superblock, an ISO 9660 descriptor, a btrfs superblock, and
    // something just before the end.
    let places = [510, 1080, 32_769, 65_600, 300_000, 500_000 - 5000, 499_000];
    for at in places {
        let mut disk = Simulated::new(500_224, 512, true, 0);
        disk.image[at] = 0x55;
        let image = disk.image.clone();
        match open(&mut disk, 1).unwrap_err() {
            OpenError::Foreign { offset } => assert!(offset as usize <= at),
            other => panic!("{other}"),
        }
        assert!(disk.image == image);
    }
}

#[test]
fn later_version_is_left_alone() {
    let mut image = whole(1);
    image[4096 + 8] = 2;
    let checksum = xxhash_rust::xxh3::xxh3_64(&image[4096..4096 + 504]);
    image[4096 + 504..4096 + 512].copy_from_slice(&checksum.to_le_bytes());
    let error = try_open(image, 512).unwrap_err();
    assert_eq!(error, OpenError::NewerVersion { version: 2, version_max: 1 });
}
