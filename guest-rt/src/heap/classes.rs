//! The sizes that small objects are rounded up to, as numbers alone.
//!
//! ```text
//!     16..=128 bytes   in steps of 8
//!    128..=2048        in eighths of the power of two below: 144, 160, ... 256, 288, ... 2048
//!   2048..=14336       in quarters, without the multiples of a page, which are pages of their own
//! ```

use core::num::NonZeroU16;

use super::pages::PAGE_BYTES;

/// Larger objects have pages of their own.
pub(super) const SMALL_BYTES_MAX: usize = 14336;
/// A span has at most so many slots.
pub(super) const SLOTS_MAX: usize = 256;
pub(super) const CLASSES: usize = TABLE.len();

/// Of what is left of a span behind its last slot, at most so much is wasted.
const WASTE_PARTS: usize = 16;

/// One size, and the spans for objects of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Class {
    pub(super) slot_bytes: NonZeroU16,
    /// Pages of a span.
    pub(super) pages: u8,
}

/// All of them, ascending.
pub(super) const TABLE: [Class; 55] = table();

const fn table() -> [Class; 55] {
    let mut table = [Class { slot_bytes: NonZeroU16::MIN, pages: 1 }; 55];
    let (mut at, mut bytes) = (0, 16);
    while at < table.len() {
        if bytes <= 2048 || bytes % PAGE_BYTES != 0 {
            table[at] = Class {
                slot_bytes: NonZeroU16::new(bytes as u16).expect("not zero"),
                pages: pages_for(bytes),
            };
            at += 1;
        }
        bytes += step(bytes);
    }
    table
}

/// To the next size.
const fn step(bytes: usize) -> usize {
    match bytes {
        ..128 => 8,
        128..2048 => (1 << bytes.ilog2()) / 8,
        _ => (1 << bytes.ilog2()) / 4,
    }
}

/// The fewest that waste little.
const fn pages_for(slot_bytes: usize) -> u8 {
    let mut pages = slot_bytes.div_ceil(PAGE_BYTES);
    while (pages * PAGE_BYTES % slot_bytes) * WASTE_PARTS > pages * PAGE_BYTES {
        pages += 1;
    }
    pages as u8
}

/// The class for an object of so many bytes, at least one; `None` if it has pages of its own. If the
/// bytes are a multiple of a power of two up to a page, so are the slots.
#[inline]
pub(super) const fn class_of(bytes: usize) -> Option<usize> {
    const OF_EIGHTHS: usize = 15;
    const OF_QUARTERS: usize = OF_EIGHTHS + 4 * 8;
    match bytes {
        ..17 => Some(0),
        17..=128 => Some(bytes.div_ceil(8) - 2),
        129..=2048 => {
            let exponent = (bytes - 1).ilog2();
            let eighth = (bytes - 1 - (1 << exponent)) >> (exponent - 3);
            Some(OF_EIGHTHS + (exponent as usize - 7) * 8 + eighth)
        }
        2049..=SMALL_BYTES_MAX => {
            let exponent = (bytes - 1).ilog2();
            let quarter = (bytes - 1 - (1 << exponent)) >> (exponent - 2);
            // The fourth quarters are 4096, 8192, ..., and of the third power the second is 12288.
            match (exponent, quarter) {
                (_, 3) | (13, 1) => None,
                (13, 2) => Some(OF_QUARTERS + 7),
                (exponent, quarter) => Some(OF_QUARTERS + (exponent as usize - 11) * 3 + quarter),
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_of_a_size_is_the_smallest_that_holds_it() {
        for bytes in 1..=20_000 {
            let wanted =
                TABLE.iter().position(|class| usize::from(class.slot_bytes.get()) >= bytes);
            let whole_pages = bytes.next_multiple_of(PAGE_BYTES);
            let in_quarters = bytes.next_multiple_of(step(bytes.max(17) - 1).max(16));
            let found = class_of(bytes);
            if bytes > 2048 && in_quarters == whole_pages {
                assert_eq!(found, None, "{bytes}");
            } else if bytes <= SMALL_BYTES_MAX {
                assert_eq!(found, wanted, "{bytes}");
            } else {
                assert_eq!(found, None, "{bytes}");
            }
        }
        assert_eq!(class_of(usize::MAX), None);
    }

    #[test]
    fn slots_are_aligned_as_what_is_in_them() {
        for bytes in 1..=SMALL_BYTES_MAX {
            let align = 1 << bytes.trailing_zeros();
            if let Some(class) = class_of(bytes) {
                let slot_bytes = usize::from(TABLE[class].slot_bytes.get());
                assert_eq!(slot_bytes % align.min(PAGE_BYTES), 0, "{bytes} in {slot_bytes}");
            }
        }
    }

    #[test]
    fn spans_are_short_and_waste_little() {
        for class in TABLE {
            let (slot_bytes, pages) = (usize::from(class.slot_bytes.get()), class.pages);
            let bytes = usize::from(pages) * PAGE_BYTES;
            assert!(pages <= 7 && bytes / slot_bytes <= SLOTS_MAX, "{class:?}");
            assert!(bytes % slot_bytes <= bytes / WASTE_PARTS, "{class:?}");
        }
    }
}
