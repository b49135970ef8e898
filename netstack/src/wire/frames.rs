//! The bounded queue of outgoing frames. Buffers are taken from the heap once and used again, the
//! last one first, since it is warm in the cache. It refuses frames when it is full or memory is.

use alloc::collections::{TryReserveError, VecDeque};
use alloc::vec::Vec;

/// Room beyond the limit that only answers to incoming frames use, so that connections which fill
/// the queue cannot keep the stack from answering ARP.
const RESERVED_FOR_ANSWERS: usize = 16;
const RESERVED_BYTES: usize = 64 << 10;
/// Buffers that are kept for the next frames, and the most bytes in them.
const SPARE_MAX: usize = 64;
const SPARE_BYTES_MAX: usize = 1 << 20;

pub(crate) struct Frames {
    queue: VecDeque<Vec<u8>>,
    queued_bytes: usize,
    spare: Vec<Vec<u8>>,
    spare_bytes: usize,
    limit: usize,
    bytes_limit: usize,
    queued_ever: u64,
}

impl Frames {
    /// A queue of `limit` frames with `bytes_limit` bytes in all, or a little more.
    pub(crate) fn new(limit: usize, bytes_limit: usize) -> Result<Self, TryReserveError> {
        let mut queue = VecDeque::new();
        let mut spare = Vec::new();
        queue.try_reserve_exact(limit + RESERVED_FOR_ANSWERS)?;
        spare.try_reserve_exact(SPARE_MAX)?;
        Ok(Self {
            queue,
            queued_bytes: 0,
            spare,
            spare_bytes: 0,
            limit,
            bytes_limit,
            queued_ever: 0,
        })
    }

    /// Whether a frame can be queued.
    pub(crate) fn has_room(&self) -> bool {
        self.queue.len() < self.limit && self.queued_bytes < self.bytes_limit
    }

    /// Room for the answer to an incoming frame.
    pub(crate) fn has_room_for_answer(&self) -> bool {
        self.queue.len() < self.limit + RESERVED_FOR_ANSWERS
            && self.queued_bytes < self.bytes_limit + RESERVED_BYTES
    }

    /// An empty buffer for a frame of this length: it is for [`Self::push`]. `None` if there is no memory.
    pub(crate) fn take_buffer(&mut self, bytes: usize) -> Option<Vec<u8>> {
        let mut buffer = self.spare.pop().unwrap_or_default();
        self.spare_bytes -= buffer.capacity();
        buffer.try_reserve(bytes).ok()?;
        Some(buffer)
    }

    pub(crate) fn push(&mut self, frame: Vec<u8>) {
        debug_assert!(self.queue.len() < self.limit + RESERVED_FOR_ANSWERS);
        self.queued_bytes += frame.len();
        self.queue.push_back(frame);
        self.queued_ever += 1;
    }

    pub(crate) fn front(&self) -> Option<&[u8]> {
        self.queue.front().map(Vec::as_slice)
    }

    pub(crate) fn pop(&mut self) {
        let Some(mut frame) = self.queue.pop_front() else { return };
        self.queued_bytes -= frame.len();
        let spare_bytes = self.spare_bytes + frame.capacity();
        if self.spare.len() < SPARE_MAX && spare_bytes <= SPARE_BYTES_MAX {
            frame.clear();
            self.spare.push(frame);
            self.spare_bytes = spare_bytes;
        }
    }

    /// Frames queued since the stack was made.
    pub(crate) fn queued_ever(&self) -> u64 {
        self.queued_ever
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_frames_are_both_bounded() {
        let mut frames = Frames::new(3, 1000).unwrap();
        for (bytes, has_room) in [(10, true), (10, true), (10, false)] {
            let mut frame = frames.take_buffer(bytes).unwrap();
            frame.resize(bytes, 0);
            frames.push(frame);
            assert_eq!(frames.has_room(), has_room);
        }
        assert!(frames.has_room_for_answer());
        (0..3).for_each(|_| frames.pop());
        let mut large = frames.take_buffer(2000).unwrap();
        large.resize(2000, 0);
        frames.push(large);
        assert!(!frames.has_room() && frames.has_room_for_answer());
        let mut larger = frames.take_buffer(65_000).unwrap();
        larger.resize(65_000, 0);
        frames.push(larger);
        assert!(!frames.has_room_for_answer());
        (0..2).for_each(|_| frames.pop());
        assert!(frames.has_room() && frames.front().is_none());
        assert_eq!(frames.queued_ever(), 5);
    }
}
