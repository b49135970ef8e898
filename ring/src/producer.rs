//! The end of a way at which frames go in. It reads one word of the other side's, its position.

use core::sync::atomic::{AtomicU64, Ordering};

use solo5_sys::ring::{SKIP, WORD_BYTES, record_bytes};

use crate::Corrupt;
use crate::way::{self, View};

/// Puts frames into a way.
#[derive(Debug)]
pub struct Producer<'a> {
    pub(crate) way: View<'a>,
    /// Ours: behind the last record. What the memory says is for the other side.
    pub(crate) produced: u64,
    /// The other side's position, as last read and checked.
    consumed: u64,
}

/// Room for a frame that somebody else writes, such as the kernel.
#[derive(Debug)]
pub struct Slot<'a> {
    /// The room.
    pub words: &'a [AtomicU64],
    /// The position of the record.
    record: u64,
}

impl<'a> Producer<'a> {
    /// The producer of a way that is still empty.
    pub(crate) fn new(way: View<'a>) -> Self {
        Self { way, produced: 0, consumed: 0 }
    }

    /// Puts a frame in; `false` if there is no room for it now.
    ///
    /// # Errors
    /// If the other side's position cannot be.
    ///
    /// # Panics
    /// If the frame is empty or too long.
    pub fn send(&mut self, frame: &[u8]) -> Result<bool, Corrupt> {
        let Some(slot) = self.reserve(frame.len())? else {
            return Ok(false);
        };
        way::store(slot.words, frame);
        self.commit(&slot, frame.len());
        Ok(true)
    }

    /// Room for a frame of at most so many bytes; `None` if there is none now. Nothing has happened
    /// before [`Self::commit`].
    ///
    /// # Errors
    /// If the other side's position cannot be.
    ///
    /// # Panics
    /// If no frame has this length.
    pub fn reserve(&mut self, frame_bytes: usize) -> Result<Option<Slot<'a>>, Corrupt> {
        assert!((1..=self.way.longest).contains(&frame_bytes), "no frame has {frame_bytes} bytes");
        let record = record_bytes(frame_bytes) as u64;
        let until_end = self.way.room() - self.way.offset(self.produced);
        let skipped = if record > until_end { until_end } else { 0 };
        if !self.has_room(skipped + record)? {
            return Ok(None);
        }
        let record = self.produced.wrapping_add(skipped);
        let start = self.way.offset(record) as usize / WORD_BYTES + 1;
        let words = &self.way.data[start..start + frame_bytes.div_ceil(WORD_BYTES)];
        Ok(Some(Slot { words, record }))
    }

    /// Hands the frame over that was written into a slot, the one reserved last.
    ///
    /// # Panics
    /// If it is empty or longer than the slot.
    pub fn commit(&mut self, slot: &Slot<'_>, frame_bytes: usize) {
        assert!((1..=slot.words.len() * WORD_BYTES).contains(&frame_bytes));
        let word_at = |position| &self.way.data[self.way.offset(position) as usize / WORD_BYTES];
        if slot.record != self.produced {
            word_at(self.produced).store(SKIP, Ordering::Relaxed);
        }
        word_at(slot.record).store(frame_bytes as u64, Ordering::Relaxed);
        self.produced = slot.record.wrapping_add(record_bytes(frame_bytes) as u64);
        // Behind the frame, which the consumer sees with this.
        self.way.produced.store(self.produced, Ordering::Release);
    }

    /// Whether a frame of so many bytes has room now.
    ///
    /// # Errors
    /// If the other side's position cannot be.
    pub fn has_room_for(&mut self, frame_bytes: usize) -> Result<bool, Corrupt> {
        Ok(self.reserve(frame_bytes)?.is_some())
    }

    fn has_room(&mut self, bytes: u64) -> Result<bool, Corrupt> {
        let room = self.way.room();
        if room - self.produced.wrapping_sub(self.consumed) >= bytes {
            return Ok(true);
        }
        // The consumer has read what it no longer needs before it said so.
        let consumed = self.way.consumed.load(Ordering::Acquire);
        let filled = self.way.distance(self.produced, consumed)?;
        self.consumed = consumed;
        Ok(room - filled >= bytes)
    }
}
