//! What a client sent and is not carried out yet.
//!
//! Most requests come whole, so a connection borrows a buffer that all share, and keeps memory of its own only for
//! a request that is not complete.

use alloc::vec::Vec;
use core::cell::Cell;

/// The size of a shared buffer, and how much is read at once.
const BUFFER_BYTES: usize = 32 << 10;
/// A request that is this long is given all the room that it needs at once, as far as it has come half.
const STEP_BYTES: usize = 1 << 20;

/// A buffer that connections share, and how much they keep of their own together.
#[derive(Default)]
pub(crate) struct Buffers {
    spare: Cell<Option<Vec<u8>>>,
    own_bytes: Cell<usize>,
}

impl Buffers {
    fn borrow(&self) -> Option<Vec<u8>> {
        self.spare.take().or_else(|| zeros(BUFFER_BYTES))
    }

    /// Bytes of requests that are not complete.
    pub(crate) fn own_bytes(&self) -> usize {
        self.own_bytes.get()
    }

    fn count(&self, before: usize, after: usize) {
        self.own_bytes.set(self.own_bytes.get() - before + after);
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// All initialised; what came is from `start` to `end`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes that the request in front has at least.
    needed: usize,
    /// Bytes of `buffer` that are counted as own.
    counted: usize,
}

impl Inbox {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether so much came that more can wait.
    pub(crate) fn is_long(&self) -> bool {
        self.len() >= BUFFER_BYTES
    }

    pub(crate) fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        self.needed = 0;
    }

    /// Says that the request in front has at least so many bytes.
    pub(crate) fn need(&mut self, bytes: usize) {
        self.needed = bytes;
    }

    /// Room for what comes next; `None` if there is no memory, of which all connections together may have
    /// `limit_bytes`.
    pub(crate) fn space(&mut self, buffers: &Buffers, limit_bytes: usize) -> Option<&mut [u8]> {
        if self.buffer.is_empty() {
            self.buffer = buffers.borrow()?;
        }
        let size = self.buffer.len();
        if self.needed <= size && self.len() <= size / 2 {
            // There is room for the rest of it, once what is done with is out of the way.
            if self.end == size || self.start + self.needed > size {
                self.buffer.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.len());
            }
        } else if self.end == size || self.start + self.needed > size {
            self.grow(buffers, limit_bytes)?;
        }
        Some(&mut self.buffer[self.end..])
    }

    fn grow(&mut self, buffers: &Buffers, limit_bytes: usize) -> Option<()> {
        let len = self.len();
        // A length alone is no reason to take all its memory: it may never come.
        let size = self.needed.min(2 * len + STEP_BYTES).max(len + BUFFER_BYTES);
        let others = buffers.own_bytes() - self.counted;
        if size > BUFFER_BYTES + len && others + size > limit_bytes {
            return None;
        }
        let mut buffer = zeros(size)?;
        buffer[..len].copy_from_slice(self.bytes());
        let old = core::mem::replace(&mut self.buffer, buffer);
        if self.counted == 0 && old.len() == BUFFER_BYTES {
            buffers.spare.set(Some(old));
        }
        buffers.count(self.counted, size);
        (self.counted, self.start, self.end) = (size, 0, len);
        Some(())
    }

    pub(crate) fn filled(&mut self, bytes: usize) {
        self.end += bytes;
    }

    /// Keeps no more memory than what is not carried out needs, as nothing may come for long.
    pub(crate) fn settle(&mut self, buffers: &Buffers) {
        let is_own = self.counted > 0;
        if self.buffer.is_empty() || (is_own && self.len() > self.buffer.len() / 4) {
            return;
        }
        let rest = self.bytes().to_vec();
        buffers.count(self.counted, rest.len());
        let old = core::mem::replace(&mut self.buffer, rest);
        if old.len() == BUFFER_BYTES {
            buffers.spare.set(Some(old));
        }
        (self.start, self.end) = (0, self.buffer.len());
        self.counted = self.buffer.len();
    }

    /// Gives everything back.
    pub(crate) fn clear(&mut self, buffers: &Buffers) {
        self.start = self.end;
        self.settle(buffers);
    }
}

fn zeros(bytes: usize) -> Option<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(bytes).ok()?;
    buffer.resize(bytes, 0);
    Some(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(inbox: &mut Inbox, buffers: &Buffers, bytes: &[u8]) {
        let space = inbox.space(buffers, 1 << 30).unwrap();
        space[..bytes.len()].copy_from_slice(bytes);
        inbox.filled(bytes.len());
    }

    #[test]
    fn a_whole_request_leaves_no_memory() {
        let (buffers, mut inbox) = (Buffers::default(), Inbox::default());
        for _ in 0..10 {
            feed(&mut inbox, &buffers, b"PING\r\n");
            inbox.consume(6);
            inbox.settle(&buffers);
            assert_eq!((inbox.buffer.capacity(), buffers.own_bytes()), (0, 0));
        }
    }

    #[test]
    fn a_part_of_a_request_is_kept_and_counted() {
        let (buffers, mut inbox) = (Buffers::default(), Inbox::default());
        feed(&mut inbox, &buffers, b"PING\r\nPI");
        inbox.consume(6);
        inbox.need(6);
        inbox.settle(&buffers);
        assert_eq!((inbox.bytes(), buffers.own_bytes()), (&b"PI"[..], 2));
        feed(&mut inbox, &buffers, b"NG\r\n");
        assert_eq!(inbox.bytes(), b"PING\r\n");
        inbox.consume(6);
        inbox.settle(&buffers);
        assert_eq!(buffers.own_bytes(), 0);
    }

    #[test]
    fn a_long_request_gets_room_as_it_comes() {
        let (buffers, mut inbox) = (Buffers::default(), Inbox::default());
        feed(&mut inbox, &buffers, b"*");
        inbox.need(100 << 20);
        let limit = 8 << 20;
        let mut steps = 0;
        while let Some(space) = inbox.space(&buffers, limit) {
            let len = space.len();
            assert!(len <= 5 << 20);
            inbox.filled(len);
            inbox.need(100 << 20);
            steps += 1;
            assert!(steps < 100);
        }
        assert!(buffers.own_bytes() <= limit && inbox.len() > 1 << 20);
        inbox.clear(&buffers);
        assert_eq!(buffers.own_bytes(), 0);
    }
}
