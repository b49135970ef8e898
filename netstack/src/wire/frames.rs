//! The bounded queue of outgoing frames. Buffers are taken from the heap once and used again, the
//! last one first, since it is warm in the cache. It refuses frames when it is full or memory is.

use alloc::collections::{TryReserveError, VecDeque};
use alloc::vec::Vec;

/// Room beyond the limit that only answers to incoming frames use, so that connections which fill
/// the queue cannot keep the stack from answering ARP.
const RESERVED_FOR_ANSWERS: usize = 16;

pub(crate) struct Frames {
    queue: VecDeque<Vec<u8>>,
    spare: Vec<Vec<u8>>,
    /// Takes the answers that find no room; they are lost.
    scratch: Vec<u8>,
    limit: usize,
    frame_bytes: usize,
    queued_ever: u64,
}

impl Frames {
    pub(crate) fn new(limit: usize, frame_bytes: usize) -> Result<Self, TryReserveError> {
        let mut queue = VecDeque::new();
        let mut spare = Vec::new();
        queue.try_reserve_exact(limit + RESERVED_FOR_ANSWERS)?;
        spare.try_reserve_exact(limit + RESERVED_FOR_ANSWERS)?;
        let mut scratch = Vec::new();
        scratch.try_reserve_exact(frame_bytes)?;
        let mut frames = Self { queue, spare, scratch, limit, frame_bytes, queued_ever: 0 };
        frames.stock()?;
        Ok(frames)
    }

    /// Whether a frame can be queued. A full queue empties, and so does a full memory, since there
    /// is at least one buffer.
    pub(crate) fn has_room(&mut self) -> bool {
        self.queue.len() < self.limit && self.stock().is_ok()
    }

    /// Room for the answer to an incoming frame.
    pub(crate) fn has_room_for_answer(&mut self) -> bool {
        self.queue.len() < self.limit + RESERVED_FOR_ANSWERS && self.stock().is_ok()
    }

    /// Sees to it that there is a spare buffer.
    fn stock(&mut self) -> Result<(), TryReserveError> {
        if self.spare.is_empty() {
            let mut buffer = Vec::new();
            buffer.try_reserve_exact(self.frame_bytes)?;
            self.spare.push(buffer);
        }
        Ok(())
    }

    /// A buffer for one frame, if there is room: it is for [`Self::push`] or [`Self::give_back`].
    pub(crate) fn take_buffer(&mut self) -> Option<Vec<u8>> {
        self.spare.pop()
    }

    pub(crate) fn push(&mut self, frame: Vec<u8>) {
        debug_assert!(self.queue.len() < self.limit + RESERVED_FOR_ANSWERS);
        debug_assert!(frame.len() <= self.frame_bytes);
        self.queue.push_back(frame);
        self.queued_ever += 1;
    }

    pub(crate) fn give_back(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        self.spare.push(buffer);
    }

    /// A place to write a frame of this length that nobody will see.
    pub(crate) fn scratch(&mut self, len: usize) -> &mut [u8] {
        self.scratch.clear();
        self.scratch.resize(len, 0);
        &mut self.scratch
    }

    pub(crate) fn front(&self) -> Option<&[u8]> {
        self.queue.front().map(Vec::as_slice)
    }

    pub(crate) fn back(&self) -> Option<&[u8]> {
        self.queue.back().map(Vec::as_slice)
    }

    pub(crate) fn back_mut(&mut self) -> Option<&mut [u8]> {
        self.queue.back_mut().map(Vec::as_mut_slice)
    }

    pub(crate) fn pop(&mut self) {
        if let Some(frame) = self.queue.pop_front() {
            self.give_back(frame);
        }
    }

    /// Frames queued since the stack was made.
    pub(crate) fn queued_ever(&self) -> u64 {
        self.queued_ever
    }
}
