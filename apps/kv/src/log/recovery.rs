//! Opening: what is on the device, from where the log is read, and how it goes on from there.
//!
//! Nothing is written here, unless the device is formatted.

use core::ops::Range;

use super::error::OpenError;
use super::geometry::{BLOCK_BYTES, Geometry, RING_START, round_down};
use super::report::{Cause, End, Report, Resize};
use super::superblock::{self, Slot, Slots, Superblock};
use super::walk::{Ring, Walk};
use super::writer::{Log, Point, Start};
use crate::world::Disk;

/// A device is blank if this much at its start is, and the slots are: other things that keep
/// their headers away from the very start are noticed.
const BLANK_BYTES: u64 = 1024 * 1024;

/// Takes the batches when a log is opened.
pub trait Replay {
    /// Why a batch could not be taken. Opening ends with it.
    type Error;

    /// The log is read from its beginning: forget everything that came before. Called at least
    /// once if the device holds a log, and again if a superblock turned out to be unusable.
    fn begin(&mut self);

    /// One committed batch: what was appended between two boundaries, or several times that, in
    /// order and without gaps.
    ///
    /// # Errors
    /// If the owner cannot take it.
    fn batch(&mut self, payload: &[u8]) -> Result<(), Self::Error>;
}

/// How a device is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Random, and another one at each opening: it names the store when one is made, and tells
    /// this life's frames from those of other lives.
    pub entropy: u64,
    /// Makes a new log, whatever the device holds.
    pub is_format_forced: bool,
}

/// The superblock from which the log is read.
struct Choice {
    superblock: Superblock,
    walk: Walk,
    is_fallback: bool,
    is_incomplete: bool,
}

impl Log {
    /// Opens the log on `disk`: hands every committed batch to `replay`, or makes a new log if
    /// the device is blank. Except for the latter nothing is written; repairs wait for the first
    /// commit. So the owner may look at the report and give up, and the device is as it was.
    ///
    /// # Errors
    /// If the device holds something else, cannot be read, or `replay` refuses a batch.
    pub fn open<D: Disk + ?Sized, R: Replay>(
        disk: &mut D,
        options: Options,
        replay: &mut R,
    ) -> Result<(Self, Report), OpenError<R::Error>> {
        let capacity_bytes = disk.capacity_bytes();
        let block_bytes = disk.block_bytes();
        let block = (block_bytes as u64).max(*BLOCK_BYTES.start());
        if !block.is_power_of_two() || !BLOCK_BYTES.contains(&block) {
            return Err(OpenError::Geometry { block_bytes });
        }
        let fitting = |block| {
            Geometry::new(capacity_bytes, block)
                .map_err(|min_bytes| OpenError::TooSmall { capacity_bytes, min_bytes })
        };
        let geometry = fitting(block)?;
        let slots = Slots::read(disk, capacity_bytes, block);
        let newest = slots.candidates().next();
        if options.is_format_forced {
            return format(disk, geometry, options, newest.map_or(1, |old| old.generation + 1));
        }
        if let Some(version) = slots.newer_version() {
            return Err(OpenError::NewerVersion { version, version_max: superblock::VERSION });
        }
        let Some(newest) = newest else {
            check_blank(disk, &slots, geometry)?;
            return format(disk, geometry, options, 1);
        };
        let formatted = newest.geometry.block_bytes;
        if formatted < block {
            let formatted_bytes = formatted as usize;
            return Err(OpenError::BlockGrew { block_bytes, formatted_bytes });
        }
        let geometry = fitting(formatted)?;
        let choice = choose(disk, &slots, capacity_bytes, replay)?;
        Ok(go_on(&choice, &slots, geometry, options, capacity_bytes))
    }
}

/// Reads the log from the newest superblock whose frames reach as far as they must; or, if there
/// is none, from the one that leads farthest.
fn choose<D: Disk + ?Sized, R: Replay>(
    disk: &mut D,
    slots: &Slots,
    capacity_bytes: u64,
    replay: &mut R,
) -> Result<Choice, OpenError<R::Error>> {
    let mut read = |superblock: &Superblock| {
        let device_end = round_down(capacity_bytes, superblock.geometry.block_bytes);
        if superblock.tail_offset >= device_end {
            return Ok(None);
        }
        Ring::new(disk, superblock, device_end)?.walk(superblock, replay).map(Some)
    };
    let mut farthest: Option<(Superblock, Walk)> = None;
    let mut is_fallback = false;
    let mut is_last_read = false;
    let mut is_cut = false;
    // Everything before a newer superblock's tail had been written before it was.
    let mut must_reach = 0;
    for superblock in slots.candidates() {
        if let Some(walk) = read(&superblock)? {
            let reached = walk.committed.sequence - 1;
            if reached >= superblock.complete_to.max(must_reach) {
                return Ok(Choice { superblock, walk, is_fallback, is_incomplete: false });
            }
            is_last_read = farthest
                .as_ref()
                .is_none_or(|(_, other)| walk.committed.sequence > other.committed.sequence);
            if is_last_read {
                farthest = Some((superblock, walk));
            }
        } else {
            is_cut = true;
        }
        must_reach = must_reach.max(superblock.tail_sequence - 1);
        is_fallback = true;
    }
    // An older beginning from which nothing leads anywhere is no reason to go on without the
    // part of the device that was cut off, and with it everything.
    let Some((superblock, mut walk)) = farthest.filter(|(_, walk)| walk.batches > 0 || !is_cut)
    else {
        return Err(cut_off(slots, capacity_bytes));
    };
    if !is_last_read && let Some(again) = read(&superblock)? {
        walk = again;
    }
    Ok(Choice { superblock, walk, is_fallback: false, is_incomplete: true })
}

fn cut_off<E>(slots: &Slots, capacity_bytes: u64) -> OpenError<E> {
    let (formatted_bytes, tail_offset) = slots
        .candidates()
        .next()
        .map_or((0, 0), |newest| (newest.geometry.device_bytes, newest.tail_offset));
    OpenError::TailCutOff { capacity_bytes, formatted_bytes, tail_offset }
}

/// The log as it goes on from what was read.
fn go_on(
    choice: &Choice,
    slots: &Slots,
    fitting: Geometry,
    options: Options,
    capacity_bytes: u64,
) -> (Log, Report) {
    let Choice { superblock, walk, is_fallback, is_incomplete } = choice;
    let old = superblock.geometry;
    let used = superblock.tail_offset..superblock.tail_offset + walk.committed.position;
    let geometry = refit(old, fitting, used);
    let (own, other) = slots.damaged(superblock.generation);
    // Two superblocks, if the pair in use is not whole or both are of another device size; one,
    // if another superblock than this one would be taken next time, or too few copies are left.
    let superblocks_due = if geometry != old || own > 0 {
        2
    } else {
        let is_doubtful = *is_fallback || *is_incomplete || other > 0;
        u32::from(is_doubtful || slots.copies(superblock) < 2)
    };
    let start = Start {
        geometry,
        store: superblock.store,
        life: life(walk.epoch_max.wrapping_add(1), options.entropy),
        tail_offset: superblock.tail_offset,
        tail: Point {
            position: 0,
            sequence: superblock.tail_sequence,
            chain: superblock.tail_chain,
        },
        committed: walk.committed,
        complete_to: superblock.complete_to.min(walk.committed.sequence - 1),
        next_generation: next_generation(slots, superblock),
        superblocks_due,
        is_wipe_due: walk.end.cause != Cause::Clean || walk.dropped_frames > 0,
    };
    let report = Report {
        is_formatted: false,
        generation: superblock.generation,
        frames: walk.frames,
        batches: walk.batches,
        payload_bytes: walk.payload_bytes,
        dropped_frames: walk.dropped_frames,
        end: walk.end,
        is_fallback: *is_fallback,
        is_incomplete: *is_incomplete,
        damaged_superblocks: own + other,
        resize: (old.device_bytes != fitting.device_bytes).then_some(Resize {
            formatted_bytes: old.device_bytes,
            capacity_bytes,
            is_used: geometry.device_bytes == fitting.device_bytes,
        }),
    };
    (Log::new(start, capacity_bytes), report)
}

/// The geometry to go on with on a device that `fitting` fits, when this part of the ring, not wrapped, is used. A
/// place in a ring lies before its end, also if nothing of it is used.
fn refit(old: Geometry, fitting: Geometry, used: Range<u64>) -> Geometry {
    if used.end <= old.ring_end.min(fitting.ring_end) && used.start < fitting.ring_end {
        fitting
    } else if fitting.device_bytes < old.device_bytes {
        // The used part reaches to where the last superblocks would lie, or wraps before that.
        let device_bytes = fitting.device_bytes;
        Geometry { device_bytes, ring_end: old.ring_end.min(device_bytes), ..old }
    } else {
        old
    }
}

/// A generation higher than all others, which does not overwrite the one in use.
fn next_generation(slots: &Slots, in_use: &Superblock) -> u64 {
    let newest = slots.candidates().next().map_or(in_use.generation, |newest| newest.generation);
    let next = newest + 1;
    if next % 2 == in_use.generation % 2 { next + 1 } else { next }
}

/// Makes a new log, whose first superblock has this generation.
fn format<D: Disk + ?Sized, E>(
    disk: &mut D,
    geometry: Geometry,
    options: Options,
    next_generation: u64,
) -> Result<(Log, Report), OpenError<E>> {
    let store = mix(options.entropy);
    // Never 0, which a block that was never written would match.
    let tail = Point { position: 0, sequence: 1, chain: mix(store) | 1 };
    let start = Start {
        geometry,
        store,
        life: life(1, options.entropy),
        tail_offset: RING_START,
        tail,
        committed: tail,
        complete_to: 0,
        next_generation,
        superblocks_due: 2,
        is_wipe_due: false,
    };
    let mut log = Log::new(start, disk.capacity_bytes());
    log.write_superblocks(disk).map_err(|(offset, error)| OpenError::Device { offset, error })?;
    let report = Report {
        is_formatted: true,
        generation: next_generation + 1,
        frames: 0,
        batches: 0,
        payload_bytes: 0,
        dropped_frames: 0,
        end: End { offset: RING_START, sequence: 1, cause: Cause::Clean, newer: None },
        is_fallback: false,
        is_incomplete: false,
        damaged_superblocks: 0,
        resize: None,
    };
    Ok((log, report))
}

/// The device holds nothing at all.
fn check_blank<D: Disk + ?Sized, E>(
    disk: &mut D,
    slots: &Slots,
    geometry: Geometry,
) -> Result<(), OpenError<E>> {
    let mut foreign = None;
    for (slot, offset) in slots.with_offsets() {
        match slot {
            Slot::Damaged => return Err(OpenError::NoSuperblock { offset }),
            Slot::Unreadable(error) => return Err(OpenError::Device { offset, error }),
            Slot::Foreign => foreign = foreign.or(Some(offset)),
            Slot::Blank | Slot::Missing | Slot::Valid(_) | Slot::Newer(_) => {}
        }
    }
    let mut bytes = [0; BLOCK_BYTES_MAX];
    let mut offset = 0;
    let end = geometry.device_bytes.min(BLANK_BYTES);
    while offset < end && foreign.is_none() {
        let part = &mut bytes[..(end - offset).min(BLOCK_BYTES_MAX as u64) as usize];
        disk.read(offset, part).map_err(|error| OpenError::Device { offset, error })?;
        foreign = part.iter().position(|byte| *byte != 0).map(|at| offset + at as u64);
        offset += part.len() as u64;
    }
    foreign.map_or(Ok(()), |offset| Err(OpenError::Foreign { offset }))
}

const BLOCK_BYTES_MAX: usize = *BLOCK_BYTES.end() as usize;

fn life(epoch: u32, entropy: u64) -> u64 {
    (u64::from(epoch) << 32) | (mix(entropy ^ 0x6c69_6665) >> 32)
}

/// SplitMix64's finalizer: one random number from another.
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
