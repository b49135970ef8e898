//! Why the log did not do what it was asked to, in sentences for an operator.

use core::fmt;

use crate::world::DiskError;

/// Why an operation on an open log failed. Nothing that was committed is affected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogError {
    /// The ring has no room for the piece; nothing of it was appended.
    Full {
        /// What the piece would take on the device, with its frames.
        needed_bytes: u64,
        /// What is free.
        free_bytes: u64,
    },
    /// The heap has no room for the piece; nothing of it was appended.
    NoMemory,
    /// The device failed to write. What was to be written is kept, and the next commit writes it
    /// again, to the same place.
    Device {
        /// Where the write began.
        offset: u64,
        /// What the device said.
        error: DiskError,
    },
    /// The mark was taken before the log was last retired, or from another log.
    StaleMark,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { needed_bytes, free_bytes } => write!(
                f,
                "the log is full: a write needs {needed_bytes} bytes of the device, and \
                 {free_bytes} are free"
            ),
            Self::NoMemory => f.write_str("the heap has no room for a write's log record"),
            Self::Device { offset, error } => {
                write!(f, "the log could not be written at offset {offset}: {error}")
            }
            Self::StaleMark => f.write_str("the log was already retired beyond this mark"),
        }
    }
}

impl core::error::Error for LogError {}

/// Why a device was not opened. It is left as it was, except that a failed format may have
/// written superblocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenError<E> {
    /// The device's block is no power of two from 512 to 4096 bytes.
    Geometry {
        /// The device's unit.
        block_bytes: usize,
    },
    /// The device is too small for a log.
    TooSmall {
        /// The device's size.
        capacity_bytes: u64,
        /// The least size.
        min_bytes: u64,
    },
    /// The device holds something that is not ours.
    Foreign {
        /// Where something other than zeros was found.
        offset: u64,
    },
    /// The device holds a superblock of ours, and no copy of one is whole.
    NoSuperblock {
        /// Where a damaged one lies.
        offset: u64,
    },
    /// The device was written by a later version of the format.
    NewerVersion {
        /// Its version.
        version: u32,
        /// The latest that can be read.
        version_max: u32,
    },
    /// The device was formatted with smaller blocks than it can write now.
    BlockGrew {
        /// The device's unit.
        block_bytes: usize,
        /// The unit that the log was made with.
        formatted_bytes: usize,
    },
    /// The device was cut, and where the log begins lies behind its end.
    TailCutOff {
        /// The device's size.
        capacity_bytes: u64,
        /// The size that it had.
        formatted_bytes: u64,
        /// Where the log begins.
        tail_offset: u64,
    },
    /// The heap has no room for a batch.
    NoMemory {
        /// The size of the batch, as far as it was read.
        batch_bytes: usize,
    },
    /// The device failed.
    Device {
        /// Where it was read or written.
        offset: u64,
        /// What the device said.
        error: DiskError,
    },
    /// The owner could not take a batch.
    Replay {
        /// Where its last frame lies.
        offset: u64,
        /// The number of its last frame.
        sequence: u64,
        /// What the owner said.
        error: E,
    },
}

/// The way out of most of the errors.
const WAY_OUT: &str = "attach the right device, or ask for it to be formatted (--format), which ends what it \
                       holds";

impl<E: fmt::Display> fmt::Display for OpenError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Geometry { block_bytes } => write!(
                f,
                "a device with blocks of {block_bytes} bytes cannot hold a log; blocks are a \
                 power of two from 512 to 4096"
            ),
            Self::TooSmall { capacity_bytes, min_bytes } => write!(
                f,
                "a device of {capacity_bytes} bytes is too small for a log; it takes at least \
                 {min_bytes}"
            ),
            Self::Foreign { offset } => write!(
                f,
                "the device is not empty and holds no log (there is data at offset {offset}); \
                 {WAY_OUT}"
            ),
            Self::NoSuperblock { offset } => write!(
                f,
                "the device holds a log, and every copy of its superblock is damaged (one lies \
                 at offset {offset}); {WAY_OUT}"
            ),
            Self::NewerVersion { version, version_max } => write!(
                f,
                "the log has format version {version}, and this program reads up to version \
                 {version_max}; run the program that wrote it"
            ),
            Self::BlockGrew { block_bytes, formatted_bytes } => write!(
                f,
                "the log was made with blocks of {formatted_bytes} bytes, and the device has \
                 blocks of {block_bytes} now; attach it with the smaller ones"
            ),
            Self::TailCutOff { capacity_bytes, formatted_bytes, tail_offset } => write!(
                f,
                "the device has {capacity_bytes} of its {formatted_bytes} bytes, and the log \
                 begins at offset {tail_offset}, behind its end; {WAY_OUT}"
            ),
            Self::NoMemory { batch_bytes } => write!(
                f,
                "the heap has no room for a batch of at least {batch_bytes} bytes; give the \
                 guest more memory"
            ),
            Self::Device { offset, error } => {
                write!(f, "the log's device failed at offset {offset}: {error}")
            }
            Self::Replay { offset, sequence, error } => write!(
                f,
                "the batch that ends with frame {sequence} at offset {offset} is whole, and \
                 could not be applied: {error}"
            ),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for OpenError<E> {}
