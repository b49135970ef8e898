//! A TAP interface whose frames begin with the wire's headers. The kernel reads and writes frames where they
//! lie in shared memory: nothing of them is looked at here, and the kernel checks what it is given.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;
use ring::{AtomicU64, Front, Slot};
use solo5_sys::ring::FRAME_BYTES_MAX;

use crate::error::Error;

pub(crate) struct Tap(OwnedFd);

impl Tap {
    /// A descriptor that is non-blocking and was opened with `IFF_VNET_HDR`.
    pub(crate) fn new(tap: OwnedFd) -> Self {
        Self(tap)
    }

    pub(crate) fn descriptor(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Reads a frame into the room for it. Tells its length; `None` if there is no frame.
    pub(crate) fn read(&self, slot: &Slot<'_>) -> Result<Option<usize>, Error> {
        let (start, bytes) = place(slot.words);
        loop {
            // SAFETY: as many bytes are mapped and writable there, all of them within atomics, which
            // may change at any time.
            let result = unsafe { libc::read(self.0.as_raw_fd(), start, bytes) };
            return match Errno::result(result) {
                Err(Errno::EINTR) => continue,
                Ok(0) | Err(Errno::EAGAIN) => Ok(None),
                Ok(read) => Ok(Some((read as usize).min(bytes))),
                Err(error) => Err(Error::Tap { call: "read", error }),
            };
        }
    }

    /// Writes a frame. One that the kernel does not take is lost, as frames may be.
    pub(crate) fn write(&self, front: &Front<'_>) -> Result<(), Error> {
        let (start, _) = place(front.words);
        // SAFETY: the words hold that many bytes, mapped and readable; whatever they are while the kernel
        // copies them is what it gets.
        let result = unsafe { libc::write(self.0.as_raw_fd(), start, front.bytes) };
        match Errno::result(result) {
            // The interface is gone.
            Err(error @ (Errno::EBADFD | Errno::EBADF)) => Err(Error::Tap { call: "write", error }),
            // A header that says what is not so, an interface that is down, or no memory.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

fn place(words: &[AtomicU64]) -> (*mut libc::c_void, usize) {
    (words.as_ptr().cast_mut().cast(), size_of_val(words).min(FRAME_BYTES_MAX))
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
