//! The walk over an image at start: header after header, seeking over the data.
//!
//! The image is hostile: every step goes forward, every count and size is bounded, and what is
//! wrong is an error that names the entry or its offset.

use alloc::vec::Vec;

use super::error::{Name, ScanError};
use super::index::{File, Full, Index};
use super::tar::{self, BLOCK, Header, Kind, PaxRecords, TarError};
use crate::world::BlockRead;

/// The largest block size that is accepted.
pub(super) const BLOCK_SIZE_MAX: usize = 64 * 1024;

/// How far a header's read looks ahead, as small files often lie within it.
const READ_AHEAD: usize = 4096;

/// After so many warnings only their number is told.
const WARNINGS_MAX: usize = 8;

/// The bounds of a scan.
#[derive(Debug, Clone)]
pub struct ScanLimits {
    /// The most files and directories. Skipped entries and extensions may be four times as many.
    pub entries_max: usize,
    /// The most bytes of all names together.
    pub name_bytes_max: usize,
    /// The longest extended header.
    pub extension_bytes_max: usize,
}

impl Default for ScanLimits {
    fn default() -> Self {
        ScanLimits {
            entries_max: 65_536,
            name_bytes_max: 4 * 1024 * 1024,
            extension_bytes_max: 64 * 1024,
        }
    }
}

/// Walks through the image and returns its index.
pub(super) fn scan<B: BlockRead>(device: &B, limits: &ScanLimits) -> Result<Index, ScanError> {
    let mut walk = Walk::new(device, limits)?;
    while walk.step()? {}
    if walk.skipped > WARNINGS_MAX {
        log::warn!("site image: {} entries skipped in all", walk.skipped);
    }
    let mut index = walk.index;
    index.finish();
    Ok(index)
}

struct Walk<'d, B> {
    reader: Reader<'d, B>,
    limits: &'d ScanLimits,
    position: u64,
    steps: usize,
    skipped: usize,
    overrides: Overrides,
    index: Index,
}

/// What extended headers say about the next entry.
#[derive(Default)]
struct Overrides {
    name: Option<Vec<u8>>,
    size_bytes: Option<u64>,
    modified_unix_seconds: Option<u64>,
    tag: Option<u64>,
    is_sparse: bool,
}

impl<'d, B: BlockRead> Walk<'d, B> {
    fn new(device: &'d B, limits: &'d ScanLimits) -> Result<Self, ScanError> {
        Ok(Walk {
            reader: Reader::new(device)?,
            limits,
            position: 0,
            steps: 0,
            skipped: 0,
            overrides: Overrides::default(),
            index: Index::default(),
        })
    }

    /// Takes one header and what belongs to it; `false` at the end of the archive.
    fn step(&mut self) -> Result<bool, ScanError> {
        let at = self.position;
        if at >= self.reader.capacity() {
            return Ok(false);
        }
        let block = self.reader.block(at)?;
        let in_header = |error| ScanError::Header { offset: at, error };
        let Some(header) = Header::parse(&block).map_err(in_header)? else {
            self.check_end(at)?;
            return Ok(false);
        };
        self.steps += 1;
        let entries_max = self.limits.entries_max;
        if self.steps > entries_max.saturating_mul(4) {
            return Err(ScanError::TooManyEntries { entries_max });
        }
        let data = at + BLOCK as u64;
        let size = self.size_of(&header);
        let is_short = size > self.reader.capacity() - data;
        if is_short {
            let name = Name::new(&self.name_of(&header)?);
            return Err(ScanError::Truncated { offset: at, name, size_bytes: size });
        }
        self.position = data + size.next_multiple_of(BLOCK as u64);
        self.take(&header, at, size)?;
        Ok(true)
    }

    fn check_end(&mut self, at: u64) -> Result<(), ScanError> {
        let next = at + BLOCK as u64;
        if next < self.reader.capacity() && self.reader.block(next)?.iter().any(|&b| b != 0) {
            return Err(ScanError::Header { offset: at, error: TarError::LoneZeroBlock });
        }
        Ok(())
    }

    fn size_of(&self, header: &Header<'_>) -> u64 {
        match header.kind {
            Kind::File | Kind::Other(_) => self.overrides.size_bytes.unwrap_or(header.size_bytes),
            _ => header.size_bytes,
        }
    }

    fn take(&mut self, header: &Header<'_>, at: u64, size: u64) -> Result<(), ScanError> {
        match header.kind {
            Kind::PaxNext => {
                let data = self.extension(at, size)?;
                self.take_records(&data, at)
            }
            Kind::GnuLongName => {
                let mut data = self.extension(at, size)?;
                data.truncate(tar::until_nul(&data).len());
                self.overrides.name = Some(data);
                Ok(())
            }
            Kind::PaxGlobal | Kind::GnuLongLink => Ok(()),
            Kind::File | Kind::Directory | Kind::Other(_) => {
                let name = self.name_of(header)?;
                let overrides = core::mem::take(&mut self.overrides);
                self.take_entry(header, &name, &overrides, at, size)
            }
        }
    }

    fn take_records(&mut self, data: &[u8], at: u64) -> Result<(), ScanError> {
        for record in PaxRecords::new(data) {
            let (key, value) = record.map_err(|error| ScanError::Header { offset: at, error })?;
            match key {
                b"path" => self.overrides.name = Some(copy(value)?),
                b"size" => {
                    let error = TarError::Number("extended size");
                    let size =
                        tar::decimal(value).ok_or(ScanError::Header { offset: at, error })?;
                    self.overrides.size_bytes = Some(size);
                }
                b"mtime" => self.overrides.modified_unix_seconds = Some(whole_seconds(value)),
                b"NABLA.etag" => self.overrides.tag = Some(hash(&[value])),
                _ => self.overrides.is_sparse |= key.starts_with(b"GNU.sparse."),
            }
        }
        Ok(())
    }

    fn take_entry(
        &mut self,
        header: &Header<'_>,
        name: &[u8],
        overrides: &Overrides,
        at: u64,
        size: u64,
    ) -> Result<(), ScanError> {
        let is_directory = match header.kind {
            Kind::Other(what) => return self.skip(name, at, what),
            _ if overrides.is_sparse => return self.skip(name, at, "a sparse file"),
            kind => kind == Kind::Directory,
        };
        let text = match core::str::from_utf8(name) {
            Ok(text) if !text.contains('\0') => text,
            _ => return self.skip(name, at, "not named in UTF-8"),
        };
        let segments = || text.split('/').filter(|segment| !matches!(*segment, "" | "."));
        if segments().any(|segment| segment == "..") {
            return Err(ScanError::Climbing { offset: at, name: Name::new(name) });
        }
        let modified = overrides.modified_unix_seconds.unwrap_or(header.modified_unix_seconds);
        let offset = at + BLOCK as u64;
        let tag = overrides.tag.unwrap_or_else(|| {
            hash(&[&size.to_le_bytes(), &modified.to_le_bytes(), &offset.to_le_bytes()])
        });
        let file =
            File { device_offset: offset, size_bytes: size, modified_unix_seconds: modified, tag };
        let bounds = (self.limits.entries_max, self.limits.name_bytes_max);
        self.index.add(segments(), is_directory, file, bounds).map_err(|full| match full {
            Full::Entries => ScanError::TooManyEntries { entries_max: bounds.0 },
            Full::NameBytes => ScanError::TooManyNameBytes { name_bytes_max: bounds.1 },
            Full::Memory => ScanError::NoMemory,
        })
    }

    fn skip(&mut self, name: &[u8], at: u64, what: &str) -> Result<(), ScanError> {
        self.skipped += 1;
        if self.skipped <= WARNINGS_MAX {
            log::warn!("site image: {} at byte {at} is {what}; skipped", Name::new(name));
        }
        Ok(())
    }

    fn name_of(&self, header: &Header<'_>) -> Result<Vec<u8>, ScanError> {
        if let Some(name) = &self.overrides.name {
            return copy(name);
        }
        let [prefix, name] = header.name_parts();
        let mut joined = copy(prefix)?;
        joined.try_reserve(name.len() + 1).map_err(|_| ScanError::NoMemory)?;
        if !joined.is_empty() {
            joined.push(b'/');
        }
        joined.extend_from_slice(name);
        Ok(joined)
    }

    /// The data of an extended header.
    fn extension(&mut self, at: u64, size: u64) -> Result<Vec<u8>, ScanError> {
        let bytes_max = self.limits.extension_bytes_max;
        let too_long = ScanError::ExtensionTooLong { offset: at, size_bytes: size, bytes_max };
        let len = usize::try_from(size).ok().filter(|&len| len <= bytes_max).ok_or(too_long)?;
        let mut data = Vec::new();
        data.try_reserve_exact(len).map_err(|_| ScanError::NoMemory)?;
        for start in (0..len).step_by(BLOCK) {
            let block = self.reader.block(at + (BLOCK + start) as u64)?;
            data.extend_from_slice(&block[..BLOCK.min(len - start)]);
        }
        Ok(data)
    }
}

/// Tar blocks from a device whose own blocks may be larger.
struct Reader<'d, B> {
    device: &'d B,
    window: Vec<u8>,
    window_start: u64,
    window_len: usize,
}

impl<'d, B: BlockRead> Reader<'d, B> {
    fn new(device: &'d B) -> Result<Self, ScanError> {
        let (capacity_bytes, block_size) = (device.capacity_bytes(), device.block_size());
        let is_sound = block_size.is_power_of_two()
            && (BLOCK..=BLOCK_SIZE_MAX).contains(&block_size)
            && capacity_bytes.is_multiple_of(block_size as u64);
        if !is_sound {
            return Err(ScanError::Geometry { capacity_bytes, block_size });
        }
        let len = block_size.max(READ_AHEAD);
        let mut window = Vec::new();
        window.try_reserve_exact(len).map_err(|_| ScanError::NoMemory)?;
        window.resize(len, 0);
        Ok(Reader { device, window, window_start: 0, window_len: 0 })
    }

    fn capacity(&self) -> u64 {
        self.device.capacity_bytes()
    }

    /// The tar block at `offset`, a multiple of 512 below the capacity.
    fn block(&mut self, offset: u64) -> Result<[u8; BLOCK], ScanError> {
        let is_inside = offset
            .checked_sub(self.window_start)
            .is_some_and(|skip| skip + BLOCK as u64 <= self.window_len as u64);
        if !is_inside {
            self.fill(offset)?;
        }
        let start = (offset - self.window_start) as usize;
        let mut block = [0; BLOCK];
        block.copy_from_slice(&self.window[start..start + BLOCK]);
        Ok(block)
    }

    fn fill(&mut self, offset: u64) -> Result<(), ScanError> {
        let start = offset - offset % self.device.block_size() as u64;
        let len = (self.capacity() - start).min(self.window.len() as u64) as usize;
        self.window_len = 0;
        self.device
            .read(start, &mut self.window[..len])
            .map_err(|error| ScanError::Device { offset: start, error })?;
        self.window_start = start;
        self.window_len = len;
        Ok(())
    }
}

fn copy(bytes: &[u8]) -> Result<Vec<u8>, ScanError> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).map_err(|_| ScanError::NoMemory)?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

/// A pax time may have a sign and a fraction. Times before 1970 count as unknown.
fn whole_seconds(value: &[u8]) -> u64 {
    let end = value.iter().position(|&b| b == b'.').unwrap_or(value.len());
    tar::decimal(&value[..end]).unwrap_or(0)
}

/// FNV-1a, stirred at the end so that close inputs give distant tags.
fn hash(parts: &[&[u8]]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    let sum = bytes.fold(0xcbf2_9ce4_8422_2325u64, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let sum = (sum ^ (sum >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    sum ^ (sum >> 29)
}
