//! Block devices: synchronous reads and writes of whole blocks. A transfer is one or a few system
//! calls; the tender's policy makes it impossible to reach beyond the device.

use core::fmt;

use solo5_sys::extension::Features;
use solo5_sys::hypercall::transfer_limit;
use solo5_sys::manifest::{Attachment, DeviceKind};

use crate::boot;
use crate::hypercall::{self, Errno};

/// A block device that the program declares in its manifest.
#[derive(Clone, Debug)]
pub struct Device {
    fd: i32,
    capacity_bytes: u64,
    block_bytes: u16,
    multi_block: bool,
    read_only: bool,
    synchronous: bool,
}

/// Why a transfer did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The manifest declares no block device of that name.
    NoDevice,
    /// The device is optional, and the program was started without it.
    NotAttached,
    /// Offset or length is not a multiple of the block size.
    Unaligned {
        /// The block size in bytes.
        block_bytes: u16,
    },
    /// The transfer would end beyond the device.
    OutOfBounds {
        /// The capacity in bytes.
        capacity_bytes: u64,
    },
    /// The program declared the device as read-only.
    ReadOnly,
    /// The host's file ended early or failed, with the host's error number (0: ended early).
    Host(i32),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDevice => write!(f, "the manifest declares no such block device"),
            Self::NotAttached => write!(f, "no file is attached to the optional block device"),
            Self::Unaligned { block_bytes } => {
                write!(f, "offset and length must be multiples of the block size, {block_bytes}")
            }
            Self::OutOfBounds { capacity_bytes } => {
                write!(f, "the transfer ends beyond the device's {capacity_bytes} bytes")
            }
            Self::ReadOnly => write!(f, "the device is declared read-only"),
            Self::Host(0) => write!(f, "the device's file on the host is shorter than it was"),
            Self::Host(number) => write!(f, "the host's error {number}"),
        }
    }
}

impl core::error::Error for Error {}

/// The device of that name.
///
/// # Errors
/// [`Error::NoDevice`] if the manifest does not declare it, [`Error::NotAttached`] if it declares it as
/// optional and nothing is attached.
pub fn open(name: &str) -> Result<Device, Error> {
    boot::with(|boot| {
        let (index, device) = boot.manifest.find(name, DeviceKind::Block).ok_or(Error::NoDevice)?;
        let Some(Attachment::Block { capacity_bytes, block_bytes, fd }) = device.attachment else {
            return Err(Error::NotAttached);
        };
        Ok(Device {
            fd,
            capacity_bytes,
            block_bytes,
            multi_block: boot.extension.features.contains(Features::MULTI_BLOCK),
            // Declared, not granted: a tender without extensions would let writes through.
            read_only: boot.request.only_reads(index),
            synchronous: boot.extension.is_synchronous(index),
        })
    })
}

impl Device {
    /// The capacity in bytes, a multiple of the block size.
    pub const fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    /// The block size in bytes.
    pub const fn block_bytes(&self) -> u16 {
        self.block_bytes
    }

    /// Whether writes are refused.
    pub const fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Whether a write is on the disk when it returns: the tender was started with `--block-sync` for the
    /// device. A tender without extensions does not tell; then it is `false`.
    pub const fn is_synchronous(&self) -> bool {
        self.synchronous
    }

    /// Reads from `offset` until `buffer` is full. Both are multiples of the block size.
    ///
    /// # Errors
    /// [`Error`]; the buffer's contents are then unspecified.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.check(offset, buffer.len())?;
        let mut done = 0;
        while done < buffer.len() {
            let at = offset + done as u64;
            let end = done + self.step(at, buffer.len() - done);
            done += self.whole(retry(|| hypercall::pread(self.fd, &mut buffer[done..end], at)))?;
        }
        Ok(())
    }

    /// Writes all of `data` at `offset`. Both are multiples of the block size.
    ///
    /// When it returns, the host has the data; it is on the disk if the device
    /// [is synchronous](Self::is_synchronous).
    ///
    /// # Errors
    /// [`Error`]; some blocks may have been written.
    pub fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        if self.read_only {
            return Err(Error::ReadOnly);
        }
        self.check(offset, data.len())?;
        let mut done = 0;
        while done < data.len() {
            let at = offset + done as u64;
            let end = done + self.step(at, data.len() - done);
            done += self.whole(retry(|| hypercall::pwrite(self.fd, &data[done..end], at)))?;
        }
        Ok(())
    }

    fn check(&self, offset: u64, bytes: usize) -> Result<(), Error> {
        let block = u64::from(self.block_bytes);
        let bytes = bytes as u64;
        if !offset.is_multiple_of(block) || !bytes.is_multiple_of(block) {
            return Err(Error::Unaligned { block_bytes: self.block_bytes });
        }
        match offset.checked_add(bytes) {
            Some(end) if end <= self.capacity_bytes => Ok(()),
            _ => Err(Error::OutOfBounds { capacity_bytes: self.capacity_bytes }),
        }
    }

    /// A transfer may be short, but only by whole blocks; else the file was cut off.
    fn whole(&self, transferred: Result<usize, Error>) -> Result<usize, Error> {
        match transferred? {
            bytes if bytes > 0 && bytes.is_multiple_of(usize::from(self.block_bytes)) => Ok(bytes),
            _ => Err(Error::Host(0)),
        }
    }

    /// How much of `left` bytes at `offset` one system call may transfer.
    fn step(&self, offset: u64, left: usize) -> usize {
        let block = u64::from(self.block_bytes);
        let limit = if self.multi_block {
            transfer_limit(self.block_bytes, self.capacity_bytes, offset).unwrap_or(block)
        } else {
            block
        };
        left.min(limit as usize)
    }
}

/// Repeats an interrupted transfer.
fn retry(mut transfer: impl FnMut() -> Result<usize, Errno>) -> Result<usize, Error> {
    loop {
        match transfer() {
            Ok(bytes) => return Ok(bytes),
            Err(Errno::INTERRUPTED) => {}
            Err(Errno(number)) => return Err(Error::Host(number)),
        }
    }
}
