//! The kernel's memory, from `/proc/kcore`: an ELF file whose segments are ranges of addresses.
//! Reads what it is asked for and nothing else.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, ensure};

const FILE: &str = "/proc/kcore";
const HEADER_BYTES: usize = 64;
const SEGMENT_BYTES: usize = 56;
/// The kernel has one for each range of memory, of which machines have few.
const SEGMENTS: u16 = 1024;
const LOAD: u32 = 1;
/// The most that is read at once.
const BYTES: u64 = 1 << 20;

/// The file, or another like it.
#[derive(Debug)]
pub(crate) struct Kcore<F = File> {
    file: F,
    segments: Vec<Segment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    offset: u64,
    address: u64,
    bytes: u64,
}

impl Kcore {
    /// Opens it, which needs CAP_SYS_RAWIO.
    ///
    /// # Errors
    /// If there is none, or it is locked.
    pub(crate) fn open() -> Result<Self> {
        Self::new(File::open(FILE).context(FILE)?)
    }
}

impl<F: FileExt> Kcore<F> {
    fn new(file: F) -> Result<Self> {
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0).context(FILE)?;
        ensure!(header.starts_with(b"\x7fELF\x02\x01"), "{FILE} is no ELF file of 64 bits");
        let (begin, size) = (word(&header, 32), half(&header, 54));
        let count = half(&header, 56);
        ensure!(
            usize::from(size) == SEGMENT_BYTES,
            "{FILE}: segments of {size} bytes are not known"
        );
        ensure!(count <= SEGMENTS, "{FILE} has {count} segments; {SEGMENTS} are the most here");
        let mut table = vec![0; usize::from(count) * SEGMENT_BYTES];
        file.read_exact_at(&mut table, begin).context(FILE)?;
        let loads = table
            .chunks_exact(SEGMENT_BYTES)
            .filter(|entry| entry.first_chunk().copied().map(u32::from_le_bytes) == Some(LOAD));
        let segments = loads.map(|entry| Segment {
            offset: word(entry, 8),
            address: word(entry, 16),
            bytes: word(entry, 32),
        });
        Ok(Self { segments: segments.collect(), file })
    }

    /// What lies from one address to another, which is at most a megabyte.
    ///
    /// # Errors
    /// If it is not the kernel's memory, or larger.
    pub(crate) fn read(&self, begin: u64, end: u64) -> Result<Vec<u8>> {
        let bytes = end.checked_sub(begin).filter(|&bytes| bytes <= BYTES);
        let bytes =
            bytes.with_context(|| format!("{begin:#x} to {end:#x} is too much of {FILE}"))?;
        let at = self.segments.iter().find_map(|segment| segment.offset_of(begin, bytes));
        let at = at.with_context(|| format!("{begin:#x} is not in {FILE}"))?;
        let mut buffer = vec![0; bytes as usize];
        let read = self.file.read_exact_at(&mut buffer, at);
        read.with_context(|| format!("cannot read {begin:#x} from {FILE}"))?;
        Ok(buffer)
    }

    /// The same as numbers.
    ///
    /// # Errors
    /// As [`Kcore::read`]'s.
    pub(crate) fn words(&self, begin: u64, end: u64) -> Result<Vec<u64>> {
        let bytes = self.read(begin, end)?;
        Ok(bytes.chunks_exact(8).map(|bytes| word(bytes, 0)).collect())
    }
}

impl Segment {
    fn offset_of(&self, address: u64, bytes: u64) -> Option<u64> {
        let within = address.checked_sub(self.address)?;
        let end = within.checked_add(bytes)?;
        (end <= self.bytes).then(|| self.offset.checked_add(within))?
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.copied().map_or(0, u64::from_le_bytes)
}

fn half(bytes: &[u8], at: usize) -> u16 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.copied().map_or(0, u16::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug)]
    struct Memory(Vec<u8>);

    impl FileExt for Memory {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let begin = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
            let length = buffer.len().min(self.0.len() - begin);
            buffer[..length].copy_from_slice(&self.0[begin..begin + length]);
            Ok(length)
        }

        fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    /// One segment with the address 0x1000 and what is given.
    fn file(data: &[u8], bytes: u64) -> Vec<u8> {
        let mut file = vec![0; HEADER_BYTES];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[32..40].copy_from_slice(&64_u64.to_le_bytes());
        file[54..56].copy_from_slice(&56_u16.to_le_bytes());
        file[56..58].copy_from_slice(&1_u16.to_le_bytes());
        for word in [1, 120, 0x1000, 0, bytes, bytes, 0] {
            file.extend(u64::to_le_bytes(word));
        }
        file.extend(data);
        file
    }

    #[test]
    fn memory_is_read_by_address() {
        let kcore = Kcore::new(Memory(file(&[1, 0, 0, 0, 0, 0, 0, 0, 9, 9], 10))).unwrap();
        assert_eq!(kcore.read(0x1008, 0x100a).unwrap(), [9, 9]);
        assert_eq!(kcore.words(0x1000, 0x100a).unwrap(), [1]);
        assert!(kcore.read(0x1008, 0x100b).is_err(), "beyond the segment");
        assert!(kcore.read(0xfff, 0x1001).is_err(), "before it");
        assert!(kcore.read(0x1001, 0x1000).is_err(), "backwards");
        assert!(kcore.read(0, u64::MAX).is_err(), "too much");
    }

    #[test]
    fn other_files_are_refused() {
        let refused = |file: Vec<u8>| Kcore::new(Memory(file)).unwrap_err().to_string();
        assert!(refused(vec![0; 64]).contains("no ELF file"));
        let mut many = file(&[], 0);
        many[57] = 0xff;
        assert!(refused(many).contains("segments"));
        assert!(Kcore::new(Memory(file(&[], 0)[..100].to_vec())).is_err());
        let kcore = Kcore::new(Memory(file(&[1], u64::MAX))).unwrap();
        assert!(kcore.read(u64::MAX - 1, u64::MAX).is_err());
        assert!(kcore.read(0x1000, 0x1002).is_err(), "the file ends before");
    }
}
