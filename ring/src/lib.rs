//! The ring wire: frames in memory that a guest and its gateway share. The layout is
//! [`solo5_sys::ring`]; here are the two ends of it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`producer`] | puts frames into a way |
//! | [`consumer`] | takes frames out of one, and believes nothing |
//! | [`endpoint`] | both, for one side of the wire; when to sleep and whom to wake |
//! | [`spin`] | for how long to look before sleeping |
//!
//! # The other side is hostile
//! It can write anything, anywhere, at any time. So each side keeps its own positions to itself, and
//! writes them to the memory only for the other to read. What the other has written is loaded once,
//! into a value, which is checked and then used; a frame is copied out before anyone looks into it.
//! What cannot be is a [`Corrupt`]: an error of the wire, which is then over. The work for one call is
//! bounded by the length of one frame, whatever the memory says.
//!
//! # No unsafe code
//! The memory is a slice of [`AtomicU64`]: a shared atomic may change at any time, by definition, so
//! another process that scribbles is not undefined behaviour, as it would be for a slice of bytes.
//! All accesses are of one size, so none overlaps another in part. Copies by words of 8 bytes
//! are as fast as `memcpy` once frames are longer than a cache line or two; the compiler needs no
//! more than one load and one store for each. Whoever maps the memory makes the slice, which is
//! unsafe, and there it is said why it holds.
//!
//! Nothing here makes a system call, and nothing waits.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod consumer;
pub mod endpoint;
pub mod producer;
pub mod spin;

mod way;

use core::fmt;

pub use consumer::{Consumer, Front};
pub use core::sync::atomic::AtomicU64;
pub use endpoint::Endpoint;
pub use producer::{Producer, Slot};
pub use spin::Spin;
pub use way::{WORDS, gateway_end, guest_end, spin_ns};

/// What the other side has written that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corrupt {
    /// The distance of its position from ours is not within the ring, or no multiple of 8.
    Position {
        /// The distance in bytes.
        distance: u64,
        /// The room of the ring in bytes.
        room: u64,
    },
    /// A record's word is no length.
    Length {
        /// The word.
        word: u64,
        /// The longest frame in bytes.
        longest: u64,
    },
    /// A record reaches beyond what is produced, or beyond the end.
    Beyond {
        /// Its size in bytes.
        record: u64,
        /// What there is.
        available: u64,
    },
    /// A skip where none can be.
    Skip,
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Position { distance, room } => {
                write!(f, "a position {distance} bytes away in a ring of {room}")
            }
            Self::Length { word, longest } => {
                write!(f, "{word:#x} for a frame's length, of at most {longest} bytes")
            }
            Self::Beyond { record, available } => {
                write!(f, "a record of {record} bytes, of which only {available} are there")
            }
            Self::Skip => f.write_str("a skip to the start where none can be"),
        }
    }
}

impl core::error::Error for Corrupt {}

#[cfg(test)]
mod tests;
