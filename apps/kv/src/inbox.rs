//! What a client sent and is not carried out yet.
//!
//! Most requests come whole, so a connection borrows a buffer that all share, and keeps memory of its own only for
//! a request that is not complete. All that they keep together has a limit, beyond which who wants more is refused.

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
    /// Memory of replies that are not sent yet.
    pub(crate) replies_bytes: Cell<usize>,
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
    /// Whether `buffer` is no shared one.
    is_own: bool,
    /// Bytes that are counted as own, here and beside the buffer.
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
    /// `limit_bytes`. It may be in the buffer that all share, so nobody else runs before
    /// [`settle`](Self::settle).
    pub(crate) fn space(&mut self, buffers: &Buffers, limit_bytes: usize) -> Option<&mut [u8]> {
        let is_short = self.needed <= BUFFER_BYTES && self.len() <= BUFFER_BYTES / 2;
        if self.buffer.is_empty() || (self.buffer.len() < BUFFER_BYTES && is_short) {
            let shared = buffers.borrow()?;
            self.replace(buffers, shared, false);
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
        let least = self.needed.min(2 * len + STEP_BYTES).max(len + BUFFER_BYTES);
        let free = limit_bytes.saturating_sub(buffers.own_bytes() - self.counted);
        if least > free {
            return None;
        }
        // Growing by a part of what there is, as each time all of it is copied.
        let size = least.max(len + len / 2).min(free);
        let buffer = zeros(size)?;
        self.replace(buffers, buffer, true);
        Some(())
    }

    /// Has another buffer, with what is there copied to its beginning.
    fn replace(&mut self, buffers: &Buffers, mut buffer: Vec<u8>, is_own: bool) {
        let len = self.len();
        buffer[..len].copy_from_slice(self.bytes());
        let size = buffer.len();
        let old = core::mem::replace(&mut self.buffer, buffer);
        if old.len() == BUFFER_BYTES {
            buffers.spare.set(Some(old));
        }
        (self.start, self.end, self.is_own) = (0, len, is_own);
        self.count(buffers, if is_own { size } else { 0 });
    }

    fn count(&mut self, buffers: &Buffers, bytes: usize) {
        buffers.count(self.counted, bytes);
        self.counted = bytes;
    }

    pub(crate) fn filled(&mut self, bytes: usize) {
        self.end += bytes;
    }

    /// Keeps no more memory than what is not carried out needs, as nothing may come for long. `beside_bytes` is
    /// what is kept elsewhere for it. `None` if that is more than there is memory for, or than the limit.
    pub(crate) fn settle(
        &mut self,
        buffers: &Buffers,
        beside_bytes: usize,
        limit_bytes: usize,
    ) -> Option<()> {
        let len = self.len();
        let others = buffers.own_bytes() - self.counted;
        let keeps = self.buffer.is_empty() || (self.is_own && len > self.buffer.len() / 4);
        let own_bytes = beside_bytes + if keeps { self.buffer.len() } else { len };
        // Who has less than before is not refused, as the limit may have been another.
        if own_bytes > self.counted && others + own_bytes > limit_bytes {
            return None;
        }
        if !keeps {
            let rest = zeros(len)?;
            self.replace(buffers, rest, len > 0);
        }
        self.count(buffers, own_bytes);
        Some(())
    }

    /// Gives everything back.
    pub(crate) fn clear(&mut self, buffers: &Buffers) {
        self.start = self.end;
        self.replace(buffers, Vec::new(), false);
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
            inbox.settle(&buffers, 0, 1 << 30).unwrap();
            assert_eq!((inbox.buffer.capacity(), buffers.own_bytes()), (0, 0));
        }
    }

    #[test]
    fn a_part_of_a_request_is_kept_and_counted() {
        let (buffers, mut inbox) = (Buffers::default(), Inbox::default());
        feed(&mut inbox, &buffers, b"PING\r\nPI");
        inbox.consume(6);
        inbox.need(6);
        inbox.settle(&buffers, 0, 1 << 30).unwrap();
        assert_eq!((inbox.bytes(), buffers.own_bytes()), (&b"PI"[..], 2));
        feed(&mut inbox, &buffers, b"NG\r\n");
        assert_eq!(inbox.bytes(), b"PING\r\n");
        inbox.consume(6);
        inbox.settle(&buffers, 0, 1 << 30).unwrap();
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

    #[test]
    fn many_arguments_take_no_more_than_the_limit_and_are_seldom_copied() {
        let (buffers, mut inbox) = (Buffers::default(), Inbox::default());
        let limit = 4 << 20;
        let (mut sizes, mut is_refused) = (Vec::new(), false);
        while !is_refused {
            // What is known to be needed is only the next argument.
            inbox.need((inbox.len() / 30_000 + 1) * 30_000);
            match inbox.space(&buffers, limit) {
                Some(space) => {
                    let len = space.len().min(1460);
                    inbox.filled(len);
                }
                None => is_refused = true,
            }
            is_refused |= inbox.settle(&buffers, 0, limit).is_none();
            sizes.push(inbox.buffer.len());
            assert!(buffers.own_bytes() <= limit);
        }
        assert!(inbox.len() > limit / 2);
        sizes.dedup();
        let large = sizes.iter().filter(|size| **size > 2 * BUFFER_BYTES).count();
        assert!(large < 20, "{sizes:?}");
    }

    #[test]
    fn parts_of_requests_are_refused_beyond_the_limit() {
        let buffers = Buffers::default();
        let limit = 100_000;
        let mut kept: Vec<Inbox> = Vec::new();
        for _ in 0..100 {
            let mut inbox = Inbox::default();
            feed(&mut inbox, &buffers, &[b'x'; 10_000]);
            match inbox.settle(&buffers, 0, limit) {
                Some(()) => kept.push(inbox),
                None => inbox.clear(&buffers),
            }
        }
        assert_eq!((kept.len(), buffers.own_bytes()), (10, 100_000));
        // Going on with one of them takes no more, as long as it is short.
        feed(&mut kept[0], &buffers, b"x");
        assert_eq!(buffers.own_bytes(), 90_000);
        assert!(kept[0].settle(&buffers, 0, limit).is_none());
        kept.iter_mut().for_each(|inbox| inbox.clear(&buffers));
        assert_eq!(buffers.own_bytes(), 0);
    }

    #[test]
    fn what_is_kept_beside_the_buffer_counts() {
        let (buffers, mut inbox) = (Buffers::default(), Inbox::default());
        feed(&mut inbox, &buffers, b"*1000000\r\n");
        assert!(inbox.settle(&buffers, 1000, 500).is_none());
        assert!(inbox.settle(&buffers, 1000, 2000).is_some());
        assert_eq!(buffers.own_bytes(), 1010);
        inbox.clear(&buffers);
        assert_eq!(buffers.own_bytes(), 0);
    }
}
