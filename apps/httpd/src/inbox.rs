//! Received bytes of one connection that are not used up yet.
//!
//! Small at first, grows by doubling up to a bound while a head arrives, and goes back afterwards.
//! An idle connection has none.

use alloc::vec::Vec;

use crate::outbox::NoMemory;

/// Room to read into at first. Most requests fit.
const START_BYTES: usize = 512;

pub(crate) struct Inbox {
    /// Initialised in full; received bytes lie in `start..end`.
    storage: Vec<u8>,
    start: usize,
    end: usize,
    bytes_max: usize,
}

impl Inbox {
    pub(crate) fn new(bytes_max: usize) -> Inbox {
        Inbox { storage: Vec::new(), start: 0, end: 0, bytes_max: bytes_max.max(START_BYTES) }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.storage[self.start..self.end]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// Forgets the first `len` bytes, or as many as there are.
    pub(crate) fn consume(&mut self, len: usize) {
        self.start += len.min(self.end - self.start);
        if self.is_empty() {
            self.clear();
        }
    }

    /// Skips empty lines in front of a request line (RFC 9112, section 2.2).
    pub(crate) fn skip_empty_lines(&mut self) {
        while self.bytes().starts_with(b"\r\n") {
            self.consume(2);
        }
    }

    /// Room to read into: never empty, unless the inbox is full of unused bytes.
    pub(crate) fn room(&mut self) -> Result<&mut [u8], NoMemory> {
        if self.is_empty() && self.storage.len() > START_BYTES {
            self.storage = Vec::new();
        }
        if self.start > 0 {
            self.storage.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.storage.len() {
            self.grow()?;
        }
        Ok(&mut self.storage[self.end..])
    }

    /// Says that `len` bytes of the room were filled.
    pub(crate) fn filled(&mut self, len: usize) {
        self.end = self.storage.len().min(self.end + len);
    }

    fn grow(&mut self) -> Result<(), NoMemory> {
        let len = (self.storage.len() * 2).clamp(START_BYTES, self.bytes_max);
        let more = len.saturating_sub(self.storage.len());
        self.storage.try_reserve_exact(more).map_err(|_| NoMemory)?;
        self.storage.resize(len, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(inbox: &mut Inbox, bytes: &[u8]) {
        let room = inbox.room().unwrap();
        room[..bytes.len()].copy_from_slice(bytes);
        inbox.filled(bytes.len());
    }

    #[test]
    fn bytes_stay_in_order_when_the_inbox_moves_and_grows() {
        let mut inbox = Inbox::new(4096);
        receive(&mut inbox, b"used");
        receive(&mut inbox, b"kept");
        inbox.consume(4);
        while inbox.room().unwrap().len() < 1024 {
            let len = inbox.room().unwrap().len();
            inbox.room().unwrap().fill(b'x');
            inbox.filled(len);
        }
        assert!(inbox.bytes().starts_with(b"keptxxxx"));
    }

    #[test]
    fn the_bound_is_kept_and_a_used_up_inbox_shrinks() {
        let mut inbox = Inbox::new(1500);
        loop {
            let len = inbox.room().unwrap().len();
            if len == 0 {
                break;
            }
            inbox.filled(len);
        }
        assert_eq!(inbox.bytes().len(), 1500);
        inbox.consume(1500);
        assert_eq!(inbox.room().unwrap().len(), START_BYTES);
    }

    #[test]
    fn only_whole_empty_lines_are_skipped() {
        let mut inbox = Inbox::new(512);
        receive(&mut inbox, b"\r\n\r\n\rG");
        inbox.skip_empty_lines();
        assert_eq!(inbox.bytes(), b"\rG");
    }
}
