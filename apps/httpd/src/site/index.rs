//! The compact index of a site: sorted records over one arena of names.
//!
//! Built by the scan, then only read. A lookup is a binary search and allocates nothing.

use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::conditional::{EntityTag, Validators};

/// Where a file lies in the image, and what it is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// The offset of the first byte of data on the device.
    pub device_offset: u64,
    /// The length of the data.
    pub size_bytes: u64,
    /// The time of the last change, in seconds since 1970; zero if unknown.
    pub modified_unix_seconds: u64,
    pub(super) tag: u64,
}

impl File {
    /// What conditional requests compare.
    pub fn validators(&self) -> Validators {
        Validators {
            etag: EntityTag::new(self.tag),
            modified_unix_seconds: Some(self.modified_unix_seconds).filter(|&at| at > 0),
        }
    }
}

#[derive(Debug)]
struct Record {
    name_start: u32,
    name_len: u32,
    is_directory: bool,
    file: File,
}

/// Every file and directory of a site by name.
#[derive(Debug, Default)]
pub struct Index {
    names: Vec<u8>,
    records: Vec<Record>,
}

/// The index cannot take another entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Entries,
    NameBytes,
    Memory,
}

impl Index {
    /// The number of files and directories.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is nothing in the site.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The file of that name, which has no leading slash.
    pub fn find(&self, name: &str) -> Option<File> {
        let found =
            self.records.binary_search_by(|record| self.name_of(record).cmp(name.as_bytes()));
        let record = &self.records[found.ok()?];
        (!record.is_directory).then_some(record.file)
    }

    /// Whether `name` is a directory, by an entry of its own or by an entry within it.
    pub fn has_directory(&self, name: &str) -> bool {
        let within = || name.bytes().chain([b'/']);
        let first = self
            .records
            .partition_point(|record| self.name_of(record).iter().copied().lt(within()));
        let is_within = self.records.get(first).is_some_and(|record| {
            let start = self.name_of(record).get(..name.len() + 1);
            start.is_some_and(|start| start.iter().copied().eq(within()))
        });
        is_within || self.has_directory_entry(name)
    }

    fn has_directory_entry(&self, name: &str) -> bool {
        let found =
            self.records.binary_search_by(|record| self.name_of(record).cmp(name.as_bytes()));
        found.is_ok_and(|at| self.records[at].is_directory)
    }

    fn name_of(&self, record: &Record) -> &[u8] {
        name_in(&self.names, record)
    }

    /// Adds an entry under the name made of `segments`, within the bounds.
    pub(super) fn add<'n>(
        &mut self,
        segments: impl Iterator<Item = &'n str>,
        is_directory: bool,
        file: File,
        (entries_max, name_bytes_max): (usize, usize),
    ) -> Result<(), Full> {
        if self.records.len() >= entries_max {
            return Err(Full::Entries);
        }
        let start = self.names.len();
        for segment in segments {
            let bytes = segment.len() + 1;
            if self.names.len() + bytes > name_bytes_max.min(u32::MAX as usize) {
                return Err(Full::NameBytes);
            }
            self.names.try_reserve(bytes).map_err(|_| Full::Memory)?;
            if self.names.len() > start {
                self.names.push(b'/');
            }
            self.names.extend_from_slice(segment.as_bytes());
        }
        let name_len = (self.names.len() - start) as u32;
        if name_len == 0 {
            return Ok(());
        }
        self.records.try_reserve(1).map_err(|_| Full::Memory)?;
        self.records.push(Record { name_start: start as u32, name_len, is_directory, file });
        Ok(())
    }

    /// Sorts the entries. Of several with one name the last added stays, as when unpacking.
    pub(super) fn finish(&mut self) {
        let names = &self.names;
        self.records.sort_unstable_by(|a, b| match name_in(names, a).cmp(name_in(names, b)) {
            Ordering::Equal => b.name_start.cmp(&a.name_start),
            order => order,
        });
        self.records.dedup_by(|later, first| name_in(names, later) == name_in(names, first));
        self.records.shrink_to_fit();
        self.names.shrink_to_fit();
    }
}

fn name_in<'n>(names: &'n [u8], record: &Record) -> &'n [u8] {
    let start = record.name_start as usize;
    &names[start..start + record.name_len as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: (usize, usize) = (8, 100);

    fn file(tag: u64) -> File {
        File { device_offset: 0, size_bytes: 0, modified_unix_seconds: 0, tag }
    }

    fn index(names: &[(&str, bool)]) -> Index {
        let mut index = Index::default();
        for (tag, &(name, is_directory)) in names.iter().enumerate() {
            index.add(name.split('/'), is_directory, file(tag as u64), BOUNDS).unwrap();
        }
        index.finish();
        index
    }

    #[test]
    fn files_are_found_and_the_last_of_a_name_wins() {
        let index = index(&[("b", false), ("a/x", false), ("b", false), ("a", true)]);
        assert_eq!(index.len(), 3);
        assert_eq!(index.find("b"), Some(file(2)));
        assert_eq!(index.find("a/x"), Some(file(1)));
        assert_eq!(index.find("a"), None);
        assert_eq!(index.find("a/"), None);
        assert_eq!(index.find("c"), None);
    }

    #[test]
    fn directories_are_known_by_entry_or_by_content() {
        // '-' sorts before '/', '0' after it.
        let index = index(&[("empty", true), ("a-b", false), ("a/b/c", false), ("a0", false)]);
        for (name, expected) in [
            ("empty", true),
            ("a", true),
            ("a/b", true),
            ("a/b/c", false),
            ("a0", false),
            ("x", false),
            ("a/", false),
        ] {
            assert_eq!(index.has_directory(name), expected, "{name}");
        }
    }

    #[test]
    fn bounds_are_kept() {
        let mut index = Index::default();
        let long = "x".repeat(99);
        assert_eq!(
            index.add([long.as_str(), "y"].into_iter(), false, file(0), BOUNDS),
            Err(Full::NameBytes)
        );
        let mut index = Index::default();
        for _ in 0..8 {
            index.add(["n"].into_iter(), false, file(0), BOUNDS).unwrap();
        }
        assert_eq!(index.add(["n"].into_iter(), false, file(0), BOUNDS), Err(Full::Entries));
    }
}
