//! Why a site image was refused, in words that name the place.

use core::fmt;

use super::scan::BLOCK_SIZE_MAX;
use super::tar::{BLOCK, TarError};
use crate::world::BlockError;

/// Why an image was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScanError {
    /// The device's block size is no power of two from 512 to 64 KiB, or does not divide the capacity.
    Geometry {
        /// The device's size.
        capacity_bytes: u64,
        /// The device's unit.
        block_size: usize,
    },
    /// The device failed.
    Device {
        /// Where it was read.
        offset: u64,
        /// What it said.
        error: BlockError,
    },
    /// A header is damaged, or this is no tar archive at all.
    Header {
        /// Where the header lies.
        offset: u64,
        /// What is wrong with it.
        error: TarError,
    },
    /// An entry's data goes beyond the end of the image.
    Truncated {
        /// Where the header lies.
        offset: u64,
        /// The entry.
        name: Name,
        /// The size that its header claims.
        size_bytes: u64,
    },
    /// A name has a `..` in it.
    Climbing {
        /// Where the header lies.
        offset: u64,
        /// The entry.
        name: Name,
    },
    /// An extended header is longer than the limit.
    ExtensionTooLong {
        /// Where the header lies.
        offset: u64,
        /// Its length.
        size_bytes: u64,
        /// The limit.
        bytes_max: usize,
    },
    /// More entries than the limit.
    TooManyEntries {
        /// The limit.
        entries_max: usize,
    },
    /// The names are longer than the limit, taken together.
    TooManyNameBytes {
        /// The limit.
        name_bytes_max: usize,
    },
    /// The heap is full.
    NoMemory,
}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("site image: ")?;
        match self {
            ScanError::Geometry { capacity_bytes, block_size } => write!(
                f,
                "a device of {capacity_bytes} bytes in blocks of {block_size} cannot be read; \
                 blocks are a power of two from {BLOCK} to {BLOCK_SIZE_MAX} and divide the size"
            ),
            ScanError::Device { offset, error } => write!(f, "at byte {offset}: {error}"),
            ScanError::Header { offset: 0, error } => {
                write!(
                    f,
                    "not a tar archive: {error}; `cargo xtask image DIR -o site.img` makes one"
                )
            }
            ScanError::Header { offset, error } => write!(f, "at byte {offset}: {error}"),
            ScanError::Truncated { offset, name, size_bytes } => write!(
                f,
                "{name} at byte {offset} has {size_bytes} bytes, but the image ends before them"
            ),
            ScanError::Climbing { offset, name } => {
                write!(f, "{name} at byte {offset} has a .. in its name")
            }
            ScanError::ExtensionTooLong { offset, size_bytes, bytes_max } => write!(
                f,
                "the extended header at byte {offset} has {size_bytes} bytes, more than {bytes_max}"
            ),
            ScanError::TooManyEntries { entries_max } => {
                write!(f, "more than {entries_max} entries; split the site or raise the limit")
            }
            ScanError::TooManyNameBytes { name_bytes_max } => {
                write!(f, "more than {name_bytes_max} bytes of names; use shorter ones")
            }
            ScanError::NoMemory => f.write_str("no memory for the index; give the guest more"),
        }
    }
}

impl core::error::Error for ScanError {}

/// The start of an entry's name, for messages. Shown without control bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name {
    bytes: [u8; 80],
    len: usize,
}

impl Name {
    pub(super) fn new(name: &[u8]) -> Name {
        let mut bytes = [0; 80];
        let len = name.len().min(bytes.len());
        bytes[..len].copy_from_slice(&name[..len]);
        Name { bytes, len }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bytes[..self.len].escape_ascii())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
