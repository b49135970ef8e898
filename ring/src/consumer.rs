//! The end of a way at which frames come out. All that it reads was written by the other side: its
//! position and each record's word are loaded once and checked, and frames are copied.

use core::sync::atomic::{AtomicU64, Ordering};

use solo5_sys::ring::{SKIP, WORD_BYTES, record_bytes};

use crate::Corrupt;
use crate::way::{self, View};

/// Takes frames out of a way.
#[derive(Debug)]
pub struct Consumer<'a> {
    pub(crate) way: View<'a>,
    /// Ours: up to where all is taken.
    pub(crate) consumed: u64,
    /// The other side's position, as last read and checked.
    produced: u64,
}

/// The next frame, in the memory that the other side can still write to.
#[derive(Debug)]
pub struct Front<'a> {
    /// The words that hold it.
    pub words: &'a [AtomicU64],
    /// Its length in bytes, which is checked.
    pub bytes: usize,
    /// The position behind it.
    behind: u64,
}

impl<'a> Consumer<'a> {
    /// The consumer of a way that is still empty.
    pub(crate) fn new(way: View<'a>) -> Self {
        Self { way, consumed: 0, produced: 0 }
    }

    /// Copies the next frame into a buffer and takes it out. Tells its length, also if the buffer is
    /// shorter and has the beginning only; `None` if there is none.
    ///
    /// # Errors
    /// If what the other side has written cannot be.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Corrupt> {
        let Some(front) = self.front()? else {
            return Ok(None);
        };
        let copied = front.bytes.min(buffer.len());
        way::load(front.words, &mut buffer[..copied]);
        self.pop(&front);
        Ok(Some(front.bytes))
    }

    /// Where the next frame is. It stays the next until [`Self::pop`].
    ///
    /// # Errors
    /// If what the other side has written cannot be.
    pub fn front(&mut self) -> Result<Option<Front<'a>>, Corrupt> {
        if !self.look()? {
            return Ok(None);
        }
        let mut offset = self.way.offset(self.consumed);
        let mut word = self.word(offset);
        if word == SKIP {
            let until_end = self.way.room() - offset;
            if offset == 0 || until_end > self.available() {
                return Err(Corrupt::Skip);
            }
            self.consumed = self.consumed.wrapping_add(until_end);
            // A producer hands over a skip together with what follows.
            if !self.look()? {
                return Ok(None);
            }
            offset = 0;
            word = self.word(offset);
        }
        let longest = self.way.longest as u64;
        if word == 0 || word > longest {
            return Err(Corrupt::Length { word, longest });
        }
        let bytes = word as usize;
        let record = record_bytes(bytes) as u64;
        let available = self.available().min(self.way.room() - offset);
        if record > available {
            return Err(Corrupt::Beyond { record, available });
        }
        let start = offset as usize / WORD_BYTES + 1;
        let words = &self.way.data[start..start + bytes.div_ceil(WORD_BYTES)];
        Ok(Some(Front { words, bytes, behind: self.consumed.wrapping_add(record) }))
    }

    /// Takes the frame out that [`Self::front`] gave last.
    pub fn pop(&mut self, front: &Front<'_>) {
        self.consumed = front.behind;
        // Behind the reads of the frame, whose place the producer may now use.
        self.way.consumed.store(self.consumed, Ordering::Release);
    }

    /// Whether the other side claims to have produced more: one load, for looking again and again.
    pub fn claims_more(&self) -> bool {
        self.produced != self.consumed || self.way.produced.load(Ordering::Relaxed) != self.consumed
    }

    /// Whether at most half of the room is taken, as far as is known here.
    pub(crate) fn is_half_empty(&self) -> bool {
        self.available() <= self.way.room() / 2
    }

    /// Whether there is anything, by a look at the other side's position if all known is taken.
    fn look(&mut self) -> Result<bool, Corrupt> {
        if self.produced == self.consumed {
            // What it has produced was written before it said so.
            let produced = self.way.produced.load(Ordering::Acquire);
            self.way.distance(produced, self.consumed)?;
            self.produced = produced;
        }
        Ok(self.produced != self.consumed)
    }

    fn available(&self) -> u64 {
        self.produced.wrapping_sub(self.consumed)
    }

    fn word(&self, offset: u64) -> u64 {
        self.way.data[offset as usize / WORD_BYTES].load(Ordering::Relaxed)
    }
}
