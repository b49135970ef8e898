//! One way through the memory, and how a region is cut into two. Copies between words and bytes.

use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};

use solo5_sys::ring::{
    DATA_BYTES, FRAME_BYTES_MAX, HEADER_BYTES, Header, REGION_BYTES, SPIN_NS_MAX, WORD_BYTES, Way,
};

use crate::{Consumer, Corrupt, Endpoint, Producer};

/// Length of a region in words.
pub const WORDS: usize = REGION_BYTES / WORD_BYTES;

const TO_GATEWAY: usize = offset_of!(Header, to_gateway) / WORD_BYTES;
const TO_GUEST: usize = offset_of!(Header, to_guest) / WORD_BYTES;
const HEADER: usize = HEADER_BYTES / WORD_BYTES;
const DATA: usize = DATA_BYTES / WORD_BYTES;

/// The guest's end of a wire that is still empty.
pub fn guest_end(region: &[AtomicU64; WORDS]) -> Endpoint<'_> {
    let (to_gateway, to_guest) = ways(region);
    Endpoint::new(Producer::new(to_gateway), Consumer::new(to_guest))
}

/// The gateway's end of a wire that is still empty.
pub fn gateway_end(region: &[AtomicU64; WORDS]) -> Endpoint<'_> {
    let (to_gateway, to_guest) = ways(region);
    Endpoint::new(Producer::new(to_guest), Consumer::new(to_gateway))
}

/// For how long the guest is to look for frames, as the tender said.
pub fn spin_ns(region: &[AtomicU64; WORDS]) -> u64 {
    region[offset_of!(Header, spin_ns) / WORD_BYTES].load(Ordering::Relaxed).min(SPIN_NS_MAX)
}

fn ways(region: &[AtomicU64; WORDS]) -> (View<'_>, View<'_>) {
    let (header, data) = region.split_at(HEADER);
    let (to_gateway, to_guest) = data.split_at(DATA);
    let longest = FRAME_BYTES_MAX;
    (
        View::new(&header[TO_GATEWAY..], to_gateway, longest),
        View::new(&header[TO_GUEST..], to_guest, longest),
    )
}

/// The words of one way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) produced: &'a AtomicU64,
    pub(crate) wants_room: &'a AtomicU64,
    pub(crate) consumed: &'a AtomicU64,
    pub(crate) wants_frames: &'a AtomicU64,
    pub(crate) data: &'a [AtomicU64],
    /// Longest frame in bytes.
    pub(crate) longest: usize,
}

impl<'a> View<'a> {
    /// A way whose words are those of [`Way`], with this room for frames.
    pub(crate) fn new(header: &'a [AtomicU64], data: &'a [AtomicU64], longest: usize) -> Self {
        assert!(data.len().is_power_of_two());
        Self {
            produced: &header[offset_of!(Way, produced) / WORD_BYTES],
            wants_room: &header[offset_of!(Way, wants_room) / WORD_BYTES],
            consumed: &header[offset_of!(Way, consumed) / WORD_BYTES],
            wants_frames: &header[offset_of!(Way, wants_frames) / WORD_BYTES],
            data,
            longest,
        }
    }

    /// Room for frames in bytes.
    pub(crate) fn room(&self) -> u64 {
        (self.data.len() * WORD_BYTES) as u64
    }

    /// Where a position lies, in bytes from the start.
    pub(crate) fn offset(&self, position: u64) -> u64 {
        position & (self.room() - 1)
    }

    /// The bytes from `consumed` to `produced`, of which one was written by the other side.
    pub(crate) fn distance(&self, produced: u64, consumed: u64) -> Result<u64, Corrupt> {
        let (distance, room) = (produced.wrapping_sub(consumed), self.room());
        if distance > room || !distance.is_multiple_of(WORD_BYTES as u64) {
            return Err(Corrupt::Position { distance, room });
        }
        Ok(distance)
    }
}

/// Copies bytes into the words that hold them; the rest of the last word becomes zero.
pub(crate) fn store(words: &[AtomicU64], bytes: &[u8]) {
    let (chunks, rest) = bytes.as_chunks::<WORD_BYTES>();
    let (whole, behind) = words.split_at(chunks.len());
    for (word, chunk) in whole.iter().zip(chunks) {
        word.store(u64::from_ne_bytes(*chunk), Ordering::Relaxed);
    }
    if !rest.is_empty() {
        let mut last = [0; WORD_BYTES];
        last[..rest.len()].copy_from_slice(rest);
        behind[0].store(u64::from_ne_bytes(last), Ordering::Relaxed);
    }
}

/// Copies bytes out of the words that hold them.
pub(crate) fn load(words: &[AtomicU64], bytes: &mut [u8]) {
    let (chunks, rest) = bytes.as_chunks_mut::<WORD_BYTES>();
    let (whole, behind) = words.split_at(chunks.len());
    for (chunk, word) in chunks.iter_mut().zip(whole) {
        *chunk = word.load(Ordering::Relaxed).to_ne_bytes();
    }
    if !rest.is_empty() {
        let last = behind[0].load(Ordering::Relaxed).to_ne_bytes();
        rest.copy_from_slice(&last[..rest.len()]);
    }
}
