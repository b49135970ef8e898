//! Going through the ring from the tail on, frame by frame, up to the first that is not accepted.
//!
//! What is read here is not trusted: every length is checked before anything is read or kept for
//! it.

use alloc::vec::Vec;

use super::error::OpenError;
use super::frame::{self, HEADER_BYTES, Header};
use super::geometry::{FRAME_BYTES_MAX, Geometry, RING_START};
use super::recovery::Replay;
use super::report::{Cause, End, Newer};
use super::superblock::Superblock;
use super::writer::Point;
use crate::world::{Disk, DiskError};

/// So much is read at once, at least a frame.
const READ_BYTES: u64 = if cfg!(test) { 16 * 1024 } else { 1024 * 1024 };
const _: () = assert!(READ_BYTES >= FRAME_BYTES_MAX);
/// So far behind the end it is looked for frames that were written later.
const SCAN_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// More capacity than this is not kept from one batch to the next.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// What a walk came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    /// The end of the last batch. Positions count from the tail.
    pub(super) committed: Point,
    pub(super) end: End,
    /// The highest epoch of all frames that were seen.
    pub(super) epoch_max: u32,
    pub(super) frames: u64,
    pub(super) batches: u64,
    pub(super) payload_bytes: u64,
    pub(super) dropped_frames: u64,
    /// The end of the last frame that was accepted.
    next: Point,
    /// The epoch of that frame.
    epoch: u32,
}

impl Walk {
    fn new(from: &Superblock) -> Self {
        let tail = Point { position: 0, sequence: from.tail_sequence, chain: from.tail_chain };
        let sequence = tail.sequence;
        Self {
            committed: tail,
            end: End { offset: from.tail_offset, sequence, cause: Cause::Clean, newer: None },
            epoch_max: 0,
            frames: 0,
            batches: 0,
            payload_bytes: 0,
            dropped_frames: 0,
            next: tail,
            epoch: 0,
        }
    }
}

/// The part of the ring that can be read, and a piece of it in memory.
pub(super) struct Ring<'a, D: ?Sized> {
    disk: &'a mut D,
    geometry: Geometry,
    store: u64,
    /// Where the ring ends, or the device if it was cut.
    end: u64,
    bytes: Vec<u8>,
    start: u64,
}

enum Found<'a> {
    Frame(Header, &'a [u8]),
    End(Cause),
}

impl<'a, D: Disk + ?Sized> Ring<'a, D> {
    /// The ring that `superblock` describes, up to `device_end`.
    pub(super) fn new<E>(
        disk: &'a mut D,
        superblock: &Superblock,
        device_end: u64,
    ) -> Result<Self, OpenError<E>> {
        let geometry = superblock.geometry;
        let end = geometry.ring_end.min(device_end);
        let mut bytes = Vec::new();
        // Within 1 MiB.
        let window_bytes = (end - RING_START).min(READ_BYTES) as usize;
        if bytes.try_reserve_exact(window_bytes).is_err() {
            return Err(OpenError::NoMemory { batch_bytes: 0 });
        }
        Ok(Self { disk, geometry, store: superblock.store, end, bytes, start: 0 })
    }

    /// Goes from the superblock's tail to the end, and hands every committed batch to `replay`.
    pub(super) fn walk<R: Replay>(
        &mut self,
        from: &Superblock,
        replay: &mut R,
    ) -> Result<Walk, OpenError<R::Error>> {
        replay.begin();
        let mut walk = Walk::new(from);
        let mut batch = Batch::default();
        let geometry = self.geometry;
        loop {
            let offset = geometry.advance(from.tail_offset, walk.next.position);
            let (header, payload) = match self.find(offset, &walk)? {
                Found::Frame(header, payload) => (header, payload),
                Found::End(cause) => {
                    walk.end.cause = cause;
                    walk.end.offset = offset;
                    walk.end.sequence = walk.next.sequence;
                    break;
                }
            };
            walk.next.position += geometry.round_up(header.frame_bytes());
            walk.next.sequence += 1;
            walk.next.chain = header.checksum;
            walk.epoch = header.epoch();
            walk.epoch_max = walk.epoch_max.max(walk.epoch);
            walk.dropped_frames += 1;
            if header.is_commit() {
                let payload = batch.complete(payload)?;
                replay.batch(payload).map_err(|error| OpenError::Replay {
                    offset,
                    sequence: header.sequence,
                    error,
                })?;
                walk.committed = walk.next;
                walk.batches += 1;
                walk.frames += walk.dropped_frames;
                walk.dropped_frames = 0;
                walk.payload_bytes += payload.len() as u64;
                batch.clear();
            } else {
                batch.extend(payload);
            }
        }
        self.scan(&mut walk);
        Ok(walk)
    }

    /// The frame at `offset`, or why there is none that continues the walk.
    fn find<E>(&mut self, offset: u64, walk: &Walk) -> Result<Found<'_>, OpenError<E>> {
        let Point { position, sequence, chain } = walk.next;
        if position == self.geometry.ring_bytes() {
            return Ok(Found::End(Cause::Clean));
        }
        if offset >= self.end {
            return Ok(Found::End(Cause::CutOff));
        }
        let failed = |error| OpenError::Device { offset, error };
        let header = self.header_at(offset).map_err(failed)?;
        // With one field damaged, the other still says that this is the frame that was awaited.
        let is_awaited = header.sequence == sequence || header.previous == chain;
        let unless = |cause| Found::End(if is_awaited { cause } else { Cause::Clean });
        if !header.is_of(self.store) {
            let is_awaited = header.sequence == sequence && header.previous == chain;
            return Ok(Found::End(if is_awaited { Cause::Checksum } else { Cause::Clean }));
        }
        if !header.is_known() {
            return Ok(unless(Cause::Version));
        }
        let frame_bytes = header.frame_bytes();
        if header.payload_bytes == 0 || frame_bytes > self.geometry.limit_at(offset) {
            return Ok(unless(Cause::Length));
        }
        if self.geometry.round_up(frame_bytes) > self.end - offset {
            return Ok(unless(Cause::CutOff));
        }
        let frame = self.frame_at(offset, &header).map_err(failed)?;
        if frame::checksum(frame) != header.checksum {
            return Ok(unless(Cause::Checksum));
        }
        // It is whole. If it does not continue, it may be of an earlier time.
        let is_later = header.epoch() >= walk.epoch;
        Ok(if header.sequence == sequence && header.previous == chain {
            Found::Frame(header, &frame[HEADER_BYTES..])
        } else if header.sequence > sequence && is_later {
            Found::End(Cause::Sequence)
        } else if header.sequence == sequence && is_later {
            Found::End(Cause::Chain)
        } else {
            Found::End(Cause::Clean)
        })
    }

    /// Looks behind the end for frames that were written after what is missing there. What cannot
    /// be read there is of no importance.
    fn scan(&mut self, walk: &mut Walk) {
        let left = self.geometry.ring_bytes() - walk.next.position;
        let left = left.min(SCAN_BYTES_MAX);
        let mut at = 0;
        while at < left {
            let offset = self.geometry.advance(walk.end.offset, at);
            if offset >= self.end {
                at += self.geometry.ring_end - offset;
                continue;
            }
            let Ok(header) = self.header_at(offset) else { return };
            let frame_bytes = self.geometry.round_up(header.frame_bytes());
            let is_whole = self.is_interesting(&header, walk)
                && frame_bytes <= self.geometry.limit_at(offset).min(self.end - offset)
                && frame_bytes <= left - at
                && self
                    .frame_at(offset, &header)
                    .is_ok_and(|frame| frame::checksum(frame) == header.checksum);
            if !is_whole {
                at += self.geometry.block_bytes;
                continue;
            }
            at += frame_bytes;
            walk.epoch_max = walk.epoch_max.max(header.epoch());
            // A frame of the same write as the missing one may be there without it: only the
            // device's confirmation of that one makes a loss of it.
            if walk.end.newer.is_none()
                && header.epoch() >= walk.epoch
                && header.confirmed >= walk.end.sequence
            {
                walk.end.newer = Some(Newer { offset, sequence: header.sequence });
            }
        }
    }

    fn is_interesting(&self, header: &Header, walk: &Walk) -> bool {
        header.is_of(self.store)
            && header.is_known()
            && (header.sequence > walk.end.sequence || header.epoch() > walk.epoch_max)
    }

    fn header_at(&mut self, offset: u64) -> Result<Header, DiskError> {
        Ok(Header::read(self.read(offset, self.geometry.block_bytes)?))
    }

    /// Header and payload. The frame's end lies within the ring.
    fn frame_at(&mut self, offset: u64, header: &Header) -> Result<&[u8], DiskError> {
        let frame_bytes = header.frame_bytes();
        let padded = self.read(offset, self.geometry.round_up(frame_bytes))?;
        Ok(&padded[..frame_bytes as usize])
    }

    /// At most a frame's bytes at `offset`, in whole blocks, and within the ring.
    fn read(&mut self, offset: u64, bytes: u64) -> Result<&[u8], DiskError> {
        if offset < self.start || offset + bytes > self.start + self.bytes.len() as u64 {
            let ahead = (self.end - offset).min(READ_BYTES);
            // What cannot be read may be a part that is not needed.
            self.fill(offset, ahead).or_else(|_| self.fill(offset, bytes))?;
        }
        let from = (offset - self.start) as usize;
        Ok(&self.bytes[from..from + bytes as usize])
    }

    fn fill(&mut self, offset: u64, bytes: u64) -> Result<(), DiskError> {
        self.start = offset;
        self.bytes.resize(bytes as usize, 0);
        let read = self.disk.read(offset, &mut self.bytes);
        if read.is_err() {
            self.bytes.clear();
        }
        read
    }
}

/// The frames of a batch before its last one.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    /// More than `bytes` if the heap had no room.
    seen_bytes: usize,
}

impl Batch {
    /// Never fails: if a batch that is too large is not committed, it is not needed.
    fn extend(&mut self, payload: &[u8]) {
        if self.seen_bytes == self.bytes.len() && self.bytes.try_reserve(payload.len()).is_ok() {
            self.bytes.extend_from_slice(payload);
        }
        self.seen_bytes += payload.len();
    }

    /// The whole batch, whose last piece is `payload`.
    fn complete<'a, E>(&'a mut self, payload: &'a [u8]) -> Result<&'a [u8], OpenError<E>> {
        if self.seen_bytes == 0 {
            return Ok(payload);
        }
        self.extend(payload);
        if self.seen_bytes == self.bytes.len() {
            Ok(&self.bytes)
        } else {
            Err(OpenError::NoMemory { batch_bytes: self.seen_bytes })
        }
    }

    fn clear(&mut self) {
        self.seen_bytes = 0;
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes = Vec::new();
        }
    }
}
