//! The memory in which structures for the kernel are laid out: a window that may be mapped over, then a ring of bytes
//! in which older structures stay for a while.

/// How much memory a generator works on.
pub const MEMORY_BYTES: usize = 0x2_0000;
/// How much of its start may be mapped over, in whole pages.
pub const WINDOW_BYTES: usize = 0x8000;

/// Bytes and the address where the kernel sees them.
pub(crate) struct Memory<'a> {
    bytes: &'a mut [u8],
    base: u64,
}

impl<'a> Memory<'a> {
    pub(crate) fn new(bytes: &'a mut [u8], base: u64) -> Self {
        assert!(bytes.len() >= MEMORY_BYTES, "too little memory for structures");
        Self { bytes: &mut bytes[..MEMORY_BYTES], base }
    }

    /// The address of this offset.
    pub(crate) fn address(&self, offset: u64) -> u64 {
        self.base.wrapping_add(offset)
    }

    /// Room for so many bytes behind `next`, which moves on; its offset.
    pub(crate) fn room(&mut self, next: &mut usize, bytes: usize) -> usize {
        let bytes = bytes.min(Block::BYTES * 4);
        let start = next.next_multiple_of(8).max(WINDOW_BYTES);
        let start = if start + bytes > MEMORY_BYTES { WINDOW_BYTES } else { start };
        *next = start + bytes;
        self.bytes[start..start + bytes].fill(0);
        start
    }

    /// Writes what fits.
    pub(crate) fn write(&mut self, offset: usize, from: &[u8]) {
        if let Some(to) = self.bytes.get_mut(offset..offset + from.len()) {
            to.copy_from_slice(from);
        }
    }

    /// The bytes at an offset.
    pub(crate) fn at(&mut self, offset: usize, bytes: usize) -> &mut [u8] {
        &mut self.bytes[offset..offset + bytes]
    }
}

/// A structure that is being written.
pub(crate) struct Block {
    bytes: [u8; Self::BYTES],
    len: usize,
}

impl Block {
    /// The longest structure.
    pub(crate) const BYTES: usize = 2048;

    pub(crate) const fn new() -> Self {
        Self { bytes: [0; Self::BYTES], len: 0 }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Appends what fits.
    pub(crate) fn push(&mut self, more: &[u8]) {
        let bytes = more.len().min(Self::BYTES - self.len);
        self.bytes[self.len..self.len + bytes].copy_from_slice(&more[..bytes]);
        self.len += bytes;
    }

    /// Appends zeroes up to a multiple.
    pub(crate) fn pad(&mut self, multiple: usize) {
        let len = self.len.next_multiple_of(multiple).min(Self::BYTES);
        self.len = len;
    }

    /// Writes over what is there already.
    pub(crate) fn patch(&mut self, offset: usize, bytes: &[u8]) {
        if let Some(to) = self.bytes.get_mut(offset..offset + bytes.len()) {
            to.copy_from_slice(bytes);
        }
    }
}
