//! The outside world as three traits: a disk to read, a clock, and a stream to a peer.
//!
//! Nothing here is implemented for anything real: a guest does that over its own devices, and
//! tests do it in memory.

use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use core::task::{Context, Poll};
use core::time::Duration;

use embedded_io_async::{Read, Write};

/// A block device that is read synchronously.
///
/// A guest's block read is one blocking system call, so there is nothing to await.
pub trait BlockRead {
    /// The size of the device, a multiple of [`block_size`](Self::block_size).
    fn capacity_bytes(&self) -> u64;

    /// The unit of reads: a power of two, at least 512.
    fn block_size(&self) -> usize;

    /// Fills `buf` from `offset` on.
    ///
    /// Both `offset` and the length of `buf` are multiples of the block size, and the range lies
    /// within the capacity. An implementation splits the read where its device takes less at once.
    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError>;
}

/// A block device could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockError {
    /// What the device said: an errno or a status of its own.
    pub code: i32,
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the block device failed to read (code {})", self.code)
    }
}

impl core::error::Error for BlockError {}

/// Monotonic time, wall-clock time and sleep.
pub trait Clock {
    /// The future of [`sleep`](Self::sleep). It may be dropped before it ends.
    type Sleep: Future<Output = ()>;

    /// Monotonic time since an arbitrary epoch.
    fn now(&self) -> Duration;

    /// Monotonic time at this very moment, to measure with.
    ///
    /// [`now`](Self::now) may lag behind by as long as the tasks have run since the frames of
    /// this turn came in, which makes it the better start and a useless end.
    fn precise_now(&self) -> Duration {
        self.now()
    }

    /// Seconds since 1970-01-01 UTC.
    fn wall_unix_seconds(&self) -> u64;

    /// Ends no earlier than `duration` from now.
    fn sleep(&self, duration: Duration) -> Self::Sleep;
}

/// A connection to one peer.
///
/// Bytes that [`write`](Write::write) took are sent soon without a call to
/// [`flush`](Write::flush), which waits until the peer has acknowledged them: the server flushes only when it
/// is to end, before it parts. Dropping the stream closes it; what was written and not yet sent is still sent, unless
/// the peer's reset ends that.
pub trait Stream: Read + Write {
    /// Ready when a read would not wait: something has come, or the peer has closed. Wakes the
    /// context's task otherwise. A connection spends most of its time here, and holds nothing else.
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>>;

    /// Ready from the moment on at which the server is to end; wakes the context's task then.
    fn poll_shutdown(&mut self, _context: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    /// The peer, for the log.
    fn peer(&self) -> SocketAddr;

    /// Ends the sending half after all that was written; reading goes on.
    ///
    /// Does not wait for the peer.
    fn finish(&mut self) -> impl Future<Output = Result<(), Self::Error>>;

    /// Resets the connection and forgets what was not sent yet: for a peer that is given up, which
    /// would else keep its buffers long after the server is done with it.
    fn abort(&mut self);
}
