//! The ring wire: how frames lie in memory that a guest shares with its gateway. The tender maps
//! a region for each network device of [`Rings::devices`](crate::extension::Rings).
//!
//! | offset | what |
//! |---|---|
//! | 0 | [`Header`]: a page |
//! | [`HEADER_BYTES`] | the frames on their way to the gateway: [`DATA_BYTES`] |
//! | [`HEADER_BYTES`] + [`DATA_BYTES`] | the frames on their way to the guest: [`DATA_BYTES`] |
//!
//! Each way has one producer and one consumer. A *position* counts the bytes that have ever been
//! produced or consumed, so it only grows, and is taken modulo [`DATA_BYTES`] to find a place. At a
//! position there is a *record*: a word of 8 bytes, whose lower half is the frame's length and
//! whose upper half is zero, then the frame, padded to 8 bytes. A record does not wrap: where a frame
//! does not fit before the end, the word is [`SKIP`], and the next record is at the start.
//!
//! A frame begins with [`VNET_HEADER_BYTES`] of `struct virtio_net_hdr` (the legacy, little-endian
//! form, without a number of buffers), then follows an Ethernet frame without its checksum.
//!
//! Everything is an aligned 64-bit word, accessed atomically; little endian. Either side may write
//! anything anywhere: what is read is copied and checked before it is believed.

/// The header of each frame.
pub const VNET_HEADER_BYTES: usize = crate::virtio_net::HEADER_BYTES;

/// Longest frame: its header, an Ethernet header, and the longest IP packet.
pub const FRAME_BYTES_MAX: usize = VNET_HEADER_BYTES + 14 + 65_535;

/// Size and alignment of every word.
pub const WORD_BYTES: usize = 8;

/// What stands for a record where the frames go on at the start.
pub const SKIP: u64 = 0xffff_ffff;

/// Room for the frames of one way, a power of two.
pub const DATA_BYTES: usize = 1 << 20;

/// Where the first way's frames begin.
pub const HEADER_BYTES: usize = 4096;

/// Size of a whole region.
pub const REGION_BYTES: usize = HEADER_BYTES + 2 * DATA_BYTES;

/// From the start of one region to the start of the next, where there are several.
pub const STRIDE_BYTES: u64 = 4 << 20;

/// What is read from or written to a doorbell, an eventfd.
pub const DOORBELL_BYTES: usize = 8;

/// Longest time for which a side may look for frames before it sleeps.
pub const SPIN_NS_MAX: u64 = 1_000_000;

/// The room between what different sides write, so that no line of a cache, nor a pair of lines that
/// processors load together, is written by both.
const LINE_BYTES: usize = 128;

/// A word with nothing else near it.
#[repr(C)]
pub struct Line {
    /// The word.
    pub word: u64,
    padding: [u8; LINE_BYTES - WORD_BYTES],
}

/// One way's positions, and whether a side sleeps.
#[repr(C)]
pub struct Way {
    /// Written by the producer: the position behind the last whole record.
    pub produced: Line,
    /// 1 while the producer sleeps until there is room. The consumer makes it 0 when it rings.
    pub wants_room: Line,
    /// Written by the consumer: the position up to which it needs nothing any more.
    pub consumed: Line,
    /// 1 while the consumer sleeps until there is a frame. The producer makes it 0 when it rings.
    pub wants_frames: Line,
}

/// The first page of a region.
#[repr(C)]
pub struct Header {
    /// For how many nanoseconds the guest is to look for frames before it sleeps, at most
    /// [`SPIN_NS_MAX`]. Written by the tender.
    pub spin_ns: Line,
    /// The way to the gateway.
    pub to_gateway: Way,
    /// The way to the guest.
    pub to_guest: Way,
}

/// A record's size in bytes, for a frame of this many.
pub const fn record_bytes(frame_bytes: usize) -> usize {
    WORD_BYTES + frame_bytes.next_multiple_of(WORD_BYTES)
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<Line>() == 128 && offset_of!(Line, word) == 0);
    assert!(size_of::<Way>() == 512 && size_of::<Header>() == 1152);
    assert!(offset_of!(Way, produced) == 0 && offset_of!(Way, wants_room) == 128);
    assert!(offset_of!(Way, consumed) == 256 && offset_of!(Way, wants_frames) == 384);
    assert!(offset_of!(Header, spin_ns) == 0 && offset_of!(Header, to_gateway) == 128);
    assert!(offset_of!(Header, to_guest) == 640);
    assert!(size_of::<Header>() <= HEADER_BYTES && align_of::<Header>() == WORD_BYTES);
    assert!(DATA_BYTES.is_power_of_two() && REGION_BYTES as u64 <= STRIDE_BYTES);
    assert!(STRIDE_BYTES.is_multiple_of(crate::layout::PAGE_BYTES));
    // A producer that sleeps is woken when half of the room is free, and then must find enough,
    // even if a record does not fit before the end.
    assert!(4 * record_bytes(FRAME_BYTES_MAX) <= DATA_BYTES);
    assert!((SKIP as usize) > FRAME_BYTES_MAX);
};
