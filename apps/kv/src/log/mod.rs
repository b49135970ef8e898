//! The log on the block device: what was acknowledged is in it, and it comes back in order.
//!
//! The device holds two pairs of superblocks (`superblock.rs`) and between them a ring of blocks
//! (`geometry.rs`). The ring holds frames (`frame.rs`), each a header and a piece of payload. A
//! frame with the flag COMMIT ends a batch: all payload since the last such frame takes effect
//! together or not at all. Each frame names the checksum of the one before it, so nothing that
//! an earlier life of the store left behind on the device can ever follow a frame of this one.
//!
//! A [`Log`] is made by [`Log::open`], which hands every committed batch to a [`Replay`]. Then:
//!
//! ```text
//! log.append(piece)?; log.append(piece)?;    // any number of pieces make a record
//! log.mark_boundary();                       // a batch may end here
//! log.commit(disk)?;                         // one write; all up to the boundary is durable
//! ```
//!
//! To get space back, the owner takes a [`Mark`] ([`Log::mark`]), appends all live state as
//! ordinary records, and calls [`Log::retire_to`]: what lies before the mark may be overwritten.
//!
//! All this counts on a write being durable when it returns. On a device that only buffers, a stop
//! of the host loses the end of the log, and what is left is still a state that the store had.
//! There is one exception: the host kept writes into space that was given back, and lost the
//! superblock that gave it back. Then nothing whole may be left, and the report says so.
//!
//! The payload is opaque here. What a record means, when to commit and when to compact is the
//! owner's. Nothing here knows time, and nothing is written by an open, unless it formats.

mod error;
mod frame;
mod geometry;
mod pending;
mod recovery;
mod report;
mod superblock;
mod walk;
mod writer;

pub use error::{LogError, OpenError};
pub use recovery::{Options, Replay};
pub use report::{Cause, End, Newer, Report, Resize};
pub use writer::{Log, Mark};

#[cfg(test)]
pub(crate) mod simulation;
#[cfg(test)]
mod tests;
