//! The outside world as three traits: a disk, a clock, and a stream to a peer.
//!
//! Nothing here is implemented for anything real: a guest does that over its own devices, and
//! tests do it in memory.

use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use core::task::{Context, Poll};
use core::time::Duration;

use embedded_io_async::{Read, Write};

/// A block device that is read and written synchronously.
///
/// A guest's transfer is a blocking system call, so there is nothing to await.
pub trait Disk {
    /// The size of the device, a multiple of [`block_bytes`](Self::block_bytes).
    fn capacity_bytes(&self) -> u64;

    /// The unit of transfers: a power of two, at least 512.
    fn block_bytes(&self) -> usize;

    /// Fills `buffer` from `offset` on. Both are multiples of the block size, and the range lies
    /// within the capacity.
    ///
    /// # Errors
    /// If the device failed; the contents of `buffer` are then unspecified.
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError>;

    /// Writes `data` at `offset`. Both are multiples of the block size, and the range lies within
    /// the capacity. When it returns, the data has the durability that the device was attached
    /// with; there is no call that flushes.
    ///
    /// # Errors
    /// If the device failed; any of the blocks may have been written.
    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), DiskError>;
}

/// A block device failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskError {
    /// What the device said: an errno or a status of its own.
    pub code: i32,
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            5 => f.write_str("the block device failed (EIO)"),
            28 => f.write_str("the host has no space left for the block device (ENOSPC)"),
            code => write!(f, "the block device failed (code {code})"),
        }
    }
}

impl core::error::Error for DiskError {}

/// Monotonic time, wall-clock time and sleep.
pub trait Clock {
    /// The future of [`sleep`](Self::sleep). It may be dropped before it ends.
    type Sleep: Future<Output = ()>;

    /// Monotonic time since an arbitrary epoch, as of the turn of the executor.
    fn now(&self) -> Duration;

    /// Monotonic time at this very moment, to measure with.
    fn precise_now(&self) -> Duration {
        self.now()
    }

    /// The time since 1970-01-01 UTC.
    fn unix_time(&self) -> Duration;

    /// Ends no earlier than `duration` from now.
    fn sleep(&self, duration: Duration) -> Self::Sleep;
}

/// A connection to one peer.
///
/// Bytes that [`write`](Write::write) took are sent soon without a call to
/// [`flush`](Write::flush), which waits until the peer has acknowledged them and is called only when the
/// server is to end. Dropping the stream closes it; what was written and not yet sent is
/// still sent, unless the peer's reset ends that.
pub trait Stream: Read + Write {
    /// Ready when a read would not wait: something has come, or the peer has closed. Wakes the
    /// context's task otherwise.
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>>;

    /// The peer.
    fn peer(&self) -> SocketAddr;

    /// The own end.
    fn local(&self) -> SocketAddr;

    /// Resets the connection and forgets what was not sent yet: for a peer that is given up.
    fn abort(&mut self);
}
