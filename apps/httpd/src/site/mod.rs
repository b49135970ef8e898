//! A static site: a tar archive on a block device, indexed once and read in place.
//!
//! Serves regular files. Links, devices and sparse files in the image are skipped with a warning;
//! names that climb (`..`) refuse the whole image. Small files that are asked for stay in memory, as
//! many as [`Site::keep_small_files`] allows.
//!
//! # Entity tags
//! A file's tag is a hash of its pax record `NABLA.etag` if the image's maker wrote one (a
//! fingerprint of the contents is the natural value), otherwise of its size, its time of change
//! and its position in the image. So without that record a tag changes when the file is touched or
//! when anything before it in the image changes size; an image made with all times set to zero
//! needs the record, or a change that keeps a file's size may go unnoticed by caches.

mod cache;
mod error;
mod index;
mod scan;
pub mod tar;

pub use error::{Name, ScanError};
pub use index::{File, Index};
pub use scan::ScanLimits;

use alloc::string::String;
use core::fmt;

use cache::Cache;

use crate::mime;
use crate::outbox::{NoMemory, Outbox};
use crate::path::SitePath;
use crate::world::{BlockError, BlockRead};

/// What a directory is answered with.
const INDEX_NAME: &str = "index.html";

/// An indexed site on its device.
#[derive(Debug)]
pub struct Site<B> {
    device: B,
    index: Index,
    cache: Cache,
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// A file.
    Found {
        /// Where it is.
        file: File,
        /// Its content type, by its name.
        content_type: &'static str,
    },
    /// A directory that was named without its final slash.
    Directory,
    /// Nothing.
    Missing,
}

/// A stretch of a file that is still to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) device_offset: u64,
    pub(crate) len: u64,
}

impl Span {
    pub(crate) const EMPTY: Span = Span { device_offset: 0, len: 0 };
}

/// A stretch of a file could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadError {
    Device(BlockError),
    NoMemory,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Device(error) => error.fmt(f),
            ReadError::NoMemory => f.write_str("no memory for a buffer"),
        }
    }
}

impl From<NoMemory> for ReadError {
    fn from(_: NoMemory) -> ReadError {
        ReadError::NoMemory
    }
}

impl<B: BlockRead> Site<B> {
    /// Walks through the image on `device` and indexes it.
    ///
    /// Reads every header and no file. An image of zeros is an empty site.
    pub fn open(device: B, limits: &ScanLimits) -> Result<Site<B>, ScanError> {
        let index = scan::scan(&device, limits)?;
        Ok(Site { device, index, cache: Cache::default() })
    }

    /// Keeps files that are small enough for one read in memory once they were asked for, up to so
    /// many bytes in all.
    pub fn keep_small_files(&mut self, bytes_max: usize) {
        self.cache = Cache::new(bytes_max);
    }

    /// Bytes of the files that are kept in memory.
    pub fn kept_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// What is in the image.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The unit of the device's reads.
    pub fn block_size(&self) -> usize {
        self.device.block_size()
    }

    /// What `path` leads to; a directory leads to its `index.html`.
    pub(crate) fn resolve(&self, path: &SitePath) -> Result<Resolution, NoMemory> {
        if path.is_directory {
            return self.resolve_index(&path.name);
        }
        Ok(match self.index.find(&path.name) {
            Some(file) => Resolution::Found { file, content_type: mime::content_type(&path.name) },
            None if self.index.has_directory(&path.name) => Resolution::Directory,
            None => Resolution::Missing,
        })
    }

    fn resolve_index(&self, directory: &str) -> Result<Resolution, NoMemory> {
        let mut name = String::new();
        name.try_reserve_exact(directory.len() + 1 + INDEX_NAME.len()).map_err(|_| NoMemory)?;
        name.push_str(directory);
        if !directory.is_empty() {
            name.push('/');
        }
        name.push_str(INDEX_NAME);
        Ok(match self.index.find(&name) {
            Some(file) => Resolution::Found { file, content_type: mime::content_type(INDEX_NAME) },
            None => Resolution::Missing,
        })
    }

    /// Moves the first bytes of a file's `span` to `outbox`, as [`Self::read_into`] does, or from
    /// memory if the file is kept there. A whole file that came in one piece is kept from now on.
    pub(crate) fn read_file(
        &self,
        file: &File,
        span: &mut Span,
        outbox: &mut Outbox,
        bytes_max: usize,
    ) -> Result<(), ReadError> {
        let first = (span.device_offset - file.device_offset) as usize;
        let kept = self.cache.with(file.device_offset, |contents| {
            let part = contents.get(first..)?.get(..span.len as usize)?;
            (part.len() <= bytes_max).then(|| outbox.push(part))
        });
        if let Some(Some(pushed)) = kept {
            pushed?;
            *span = Span::EMPTY;
            return Ok(());
        }
        let mark = outbox.len();
        let is_whole = span.len == file.size_bytes;
        self.read_into(span, outbox, bytes_max)?;
        if is_whole && span.len == 0 {
            self.cache.keep(file.device_offset, &outbox.bytes()[mark..]);
        }
        Ok(())
    }

    /// Moves the first bytes of `span`, at most about `bytes_max`, from the device to `outbox`.
    ///
    /// `bytes_max` is at least two blocks. All but a span's first and last read cover whole
    /// blocks exactly and copy nothing.
    pub(crate) fn read_into(
        &self,
        span: &mut Span,
        outbox: &mut Outbox,
        bytes_max: usize,
    ) -> Result<(), ReadError> {
        if span.len == 0 {
            return Ok(());
        }
        let block = self.device.block_size() as u64;
        let skew = span.device_offset % block;
        let whole_blocks_max = (bytes_max as u64 / block).max(1) * block;
        let read_len = (skew + span.len).next_multiple_of(block).min(whole_blocks_max);
        let used = (read_len - skew).min(span.len);
        // Bounded by `bytes_max`, so it fits.
        let room = outbox.room(read_len as usize)?;
        self.device.read(span.device_offset - skew, room).map_err(ReadError::Device)?;
        outbox.filled(skew as usize, used as usize);
        span.device_offset += used;
        span.len -= used;
        Ok(())
    }
}
