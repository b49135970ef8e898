//! Frames that are being built in memory, in the form in which they will be written.
//!
//! The buffer holds closed frames, padded to whole blocks, and then the open one, whose header is
//! still zeros. A frame that ends at a boundary between records carries COMMIT. It is known from
//! the start where in the ring each frame will lie, so a frame never grows beyond the ring's end.
//!
//! The last boundary is at the end of a closed frame or within the open one: a frame that is full
//! is closed at its last boundary, and what is behind that moves on to the next frame.

use alloc::vec::Vec;

use super::frame::{self, HEADER_BYTES, Header, Seal};
use super::geometry::Geometry;

/// More capacity than this is not kept for later.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// Where the buffer's first byte will be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) geometry: Geometry,
    pub(super) offset: u64,
}

impl Plan {
    /// The longest frame that may begin at `at` in the buffer.
    fn limit_at(&self, at: u64) -> u64 {
        self.geometry.limit_at(self.geometry.advance(self.offset, at))
    }

    /// Where frames end that begin at `at` in the buffer and carry `payload_bytes`.
    fn end_of(&self, mut at: u64, mut payload_bytes: u64) -> u64 {
        while payload_bytes > 0 {
            let limit = self.limit_at(at);
            let carried = payload_bytes.min(limit - HEADER_BYTES as u64);
            at += self.geometry.round_up(HEADER_BYTES as u64 + carried);
            payload_bytes -= carried;
        }
        at
    }
}

/// The frames from the end of what was written on.
#[derive(Debug, Default)]
pub(super) struct Pending {
    buffer: Vec<u8>,
    /// Where the open frame begins. Its header is there as soon as it has payload.
    open: usize,
    /// The payload of the open frame up to the last boundary; 0 if that lies before it.
    boundary: usize,
    /// The end of the last closed frame that carries COMMIT.
    committable: usize,
}

/// What sealing went through.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sealed {
    /// All frames.
    pub(super) all: Extent,
    /// Those up to the last with COMMIT, if there is one.
    pub(super) committed: Option<Extent>,
}

/// A run of frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) bytes: u64,
    pub(super) frames: u64,
    pub(super) payload_bytes: u64,
    /// The checksum of the last one.
    pub(super) chain: u64,
}

impl Pending {
    /// Nothing waits to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The bytes of payload in the open frame.
    fn open_bytes(&self) -> usize {
        self.buffer.len().saturating_sub(self.open + HEADER_BYTES)
    }

    /// Where the frames end if `more` bytes of payload are appended and then committed, at the
    /// boundary as it is now or behind them.
    pub(super) fn end_with(&self, plan: Plan, more: u64) -> u64 {
        let (open, boundary) = (self.open as u64, self.boundary as u64);
        // Two frames take at least as much as one with the payload of both.
        let split = plan.end_of(open, boundary);
        plan.end_of(split, (self.open_bytes() as u64 - boundary).saturating_add(more))
    }

    /// Makes sure that the buffer need not grow until it ends at `end`, a result of
    /// [`end_with`](Self::end_with). Is false if the heap has no room for that.
    pub(super) fn reserve(&mut self, end: u64) -> bool {
        let Ok(end) = usize::try_from(end) else { return false };
        let more = end.saturating_sub(self.buffer.len());
        self.buffer.try_reserve(more).is_ok()
    }

    /// Appends payload for which room was reserved.
    pub(super) fn append(&mut self, plan: Plan, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.buffer.len() == self.open {
                self.buffer.resize(self.open + HEADER_BYTES, 0);
            }
            let limit = plan.limit_at(self.open as u64) as usize;
            let room = limit - (self.buffer.len() - self.open);
            if room == 0 {
                self.close_full(plan);
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.buffer.extend_from_slice(now);
            bytes = later;
        }
    }

    /// Everything so far may be committed.
    pub(super) fn mark_boundary(&mut self) {
        // Without payload in the open frame, nothing was appended since the last boundary.
        self.boundary = self.open_bytes();
    }

    /// Closes the open frame at its boundary, if it has one. Returns where the frames end that
    /// can be committed.
    pub(super) fn close_at_boundary(&mut self, plan: Plan) -> usize {
        if self.boundary > 0 {
            let from = self.open + HEADER_BYTES + self.boundary;
            let after = self.open + plan.geometry.round_up((from - self.open) as u64) as usize;
            self.close_header(self.boundary, true);
            self.boundary = 0;
            self.committable = after;
            if from == self.buffer.len() {
                self.buffer.resize(after, 0);
                self.open = after;
            } else {
                self.move_on(plan, from, after);
            }
        }
        self.committable
    }

    /// The end of the closed frames.
    pub(super) fn closed_end(&self) -> usize {
        self.open
    }

    fn close_full(&mut self, plan: Plan) {
        if self.boundary > 0 {
            self.close_at_boundary(plan);
        } else {
            self.close_header(self.open_bytes(), false);
            self.open = self.buffer.len();
        }
    }

    fn close_header(&mut self, payload_bytes: usize, is_commit: bool) {
        let header = &mut self.buffer[self.open..self.open + HEADER_BYTES];
        // A frame has at most 256 KiB.
        frame::close(header, payload_bytes as u32, is_commit);
    }

    /// Lays the payload from `from` on into frames that begin at `after`; between them is padding.
    fn move_on(&mut self, plan: Plan, from: usize, after: usize) {
        let mut left = self.buffer.len() - from;
        let end = plan.end_of(after as u64, left as u64) as usize;
        self.buffer.resize(end, 0);
        // First out of the way, then forward frame by frame. The destination never passes the
        // source, because the frames fit before `end` with what is still to come.
        let mut source = end - left;
        self.buffer.copy_within(from..from + left, source);
        self.buffer[from..after].fill(0);
        let mut at = after;
        loop {
            let payload = at + HEADER_BYTES;
            let carried = left.min(plan.limit_at(at as u64) as usize - HEADER_BYTES);
            self.buffer[at..payload].fill(0);
            self.buffer.copy_within(source..source + carried, payload);
            self.open = at;
            source += carried;
            left -= carried;
            if left == 0 {
                self.buffer.truncate(payload + carried);
                return;
            }
            self.close_header(carried, false);
            at = payload + carried;
        }
    }

    /// Numbers and checks the closed frames up to `end`, so that they can be written. Doing so
    /// again gives the same bytes.
    pub(super) fn seal(&mut self, end: usize, mut seal: Seal, block_bytes: u64) -> Sealed {
        let mut sealed = Sealed::default();
        let mut at = 0;
        while at < end {
            let header = Header::read(&self.buffer[at..]);
            let frame_bytes = header.frame_bytes() as usize;
            seal.previous = frame::seal(&mut self.buffer[at..at + frame_bytes], seal);
            seal.sequence += 1;
            at += frame_bytes.next_multiple_of(block_bytes as usize);
            sealed.all = Extent {
                bytes: at as u64,
                frames: sealed.all.frames + 1,
                payload_bytes: sealed.all.payload_bytes + u64::from(header.payload_bytes),
                chain: seal.previous,
            };
            if header.is_commit() {
                sealed.committed = Some(sealed.all);
            }
        }
        sealed
    }

    /// The first `end` bytes, for writing.
    pub(super) fn written(&self, end: usize) -> &[u8] {
        &self.buffer[..end]
    }

    /// Forgets the first `end` bytes: whole closed frames that were written.
    pub(super) fn forget(&mut self, end: usize) {
        if end == self.buffer.len() {
            self.buffer.clear();
            if self.buffer.capacity() > KEPT_BYTES_MAX {
                self.buffer = Vec::new();
            }
        } else {
            self.buffer.copy_within(end.., 0);
            self.buffer.truncate(self.buffer.len() - end);
        }
        self.open -= end;
        self.committable = self.committable.saturating_sub(end);
    }

    /// Forgets what lies behind the last boundary. Is false if that is not in memory: then
    /// everything here was forgotten.
    pub(super) fn discard(&mut self) -> bool {
        let kept = match self.boundary {
            0 => {
                self.open = self.committable;
                self.committable
            }
            boundary => self.open + HEADER_BYTES + boundary,
        };
        self.buffer.truncate(kept);
        kept > 0
    }
}

#[cfg(test)]
impl Pending {
    pub(super) fn capacity_bytes(&self) -> usize {
        self.buffer.capacity()
    }
}
