//! Bytes of one connection that wait to be written.
//!
//! Every way to grow can fail, so that a full heap ends one response and not the guest.

use alloc::vec::Vec;
use core::fmt;

/// The heap is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoMemory;

impl From<fmt::Error> for NoMemory {
    /// Writing to an [`Outbox`] fails for no other reason.
    fn from(_: fmt::Error) -> NoMemory {
        NoMemory
    }
}

pub(crate) struct Outbox {
    /// Initialised in full, so that a device can read into it again and again without zeroing.
    storage: Vec<u8>,
    len: usize,
}

impl Outbox {
    pub(crate) const fn new() -> Outbox {
        Outbox { storage: Vec::new(), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.storage[..self.len]
    }

    /// Forgets the bytes and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// Forgets the bytes and gives the memory back.
    pub(crate) fn release(&mut self) {
        *self = Outbox::new();
    }

    /// Forgets the bytes from `len` on.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), NoMemory> {
        self.room(bytes.len())?.copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }

    pub(crate) fn push_decimal(&mut self, mut value: u64) -> Result<(), NoMemory> {
        let mut digits = [0; 20];
        let mut start = digits.len();
        loop {
            start -= 1;
            digits[start] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                return self.push(&digits[start..]);
            }
        }
    }

    /// Exactly `len` bytes of room after what is there.
    pub(crate) fn room(&mut self, len: usize) -> Result<&mut [u8], NoMemory> {
        let end = self.len.checked_add(len).ok_or(NoMemory)?;
        if end > self.storage.len() {
            self.grow(end)?;
        }
        Ok(&mut self.storage[self.len..end])
    }

    /// Says that the room's bytes from `skipped` on, `len` of them, belong to the response.
    pub(crate) fn filled(&mut self, skipped: usize, len: usize) {
        if skipped > 0 {
            let start = self.len + skipped;
            self.storage.copy_within(start..start + len, self.len);
        }
        self.len += len;
    }

    /// A head is pushed piece by piece, so growth starts with room for a whole one.
    fn grow(&mut self, end: usize) -> Result<(), NoMemory> {
        let len = match self.storage.len() {
            0 => end.max(512),
            len => end.max(len + len / 2),
        };
        self.storage.try_reserve_exact(len - self.storage.len()).map_err(|_| NoMemory)?;
        self.storage.resize(len, 0);
        Ok(())
    }
}

impl fmt::Write for Outbox {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes()).map_err(|NoMemory| fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Write;

    #[test]
    fn pieces_are_joined() {
        let mut outbox = Outbox::new();
        outbox.push(b"a=").unwrap();
        outbox.push_decimal(0).unwrap();
        outbox.push_decimal(u64::MAX).unwrap();
        write!(outbox, "{:?}", "x").unwrap();
        assert_eq!(outbox.bytes(), b"a=018446744073709551615\"x\"");
        outbox.truncate(2);
        assert_eq!(outbox.bytes(), b"a=");
    }

    #[test]
    fn skipped_room_is_closed() {
        let mut outbox = Outbox::new();
        outbox.push(b"head").unwrap();
        outbox.room(6).unwrap().copy_from_slice(b"..body");
        outbox.filled(2, 3);
        assert_eq!(outbox.bytes(), b"headbod");
    }

    #[test]
    fn what_no_heap_can_hold_is_refused() {
        let mut outbox = Outbox::new();
        outbox.push(b"x").unwrap();
        assert_eq!(outbox.room(usize::MAX).err(), Some(NoMemory));
        assert_eq!(outbox.room(isize::MAX as usize).err(), Some(NoMemory));
        assert_eq!(outbox.bytes(), b"x");
    }
}
