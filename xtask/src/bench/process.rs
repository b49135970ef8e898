//! What the kernel tells about processes: which there are, and what memory they hold.

use std::fs;

use anyhow::{Context, Result};

/// A process, told apart from a later one with the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    /// Its id.
    pub(super) id: i32,
    /// Its parent's.
    pub(super) parent: i32,
    /// Its name.
    pub(super) name: String,
    /// Whether it has ended and only its status is left.
    pub(super) has_ended: bool,
    start: u64,
}

impl Process {
    /// The process with that id, if there is one.
    pub(super) fn find(id: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
    }

    /// All processes.
    ///
    /// # Errors
    /// If there is no /proc.
    pub(super) fn all() -> Result<Vec<Self>> {
        let entries = fs::read_dir("/proc").context("/proc")?;
        let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        Ok(ids.filter_map(Self::find).collect())
    }

    /// Whether it is still running.
    pub(super) fn is_running(&self) -> bool {
        Self::find(self.id).is_some_and(|now| now.start == self.start && !now.has_ended)
    }

    /// The memory that it holds now, counted page by page. Of a process that may not be looked into,
    /// as a guest may not but by root, only a sum is told.
    ///
    /// # Errors
    /// If it has ended.
    pub(super) fn memory(&self) -> Result<Memory> {
        let read = |file: &str| {
            let file = format!("/proc/{}/{file}", self.id);
            fs::read_to_string(&file).with_context(|| file)
        };
        if let Ok(text) = read("smaps_rollup") {
            let field = |name| field_bytes(&text, name);
            if let (Some(rss_bytes), pss_bytes) = (field("Rss"), field("Pss")) {
                return Ok(Memory { rss_bytes, pss_bytes });
            }
        }
        let rss_bytes = field_bytes(&read("status")?, "VmRSS");
        Ok(Memory { rss_bytes: rss_bytes.context("no VmRSS in status")?, pss_bytes: None })
    }

    /// For how long it has run on a processor, in nanoseconds; `None` if the kernel does not count.
    pub(super) fn run_ns(&self) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{}/schedstat", self.id)).ok()?;
        text.split_whitespace().next()?.parse().ok()
    }

    /// Reads a line of `/proc/PID/stat`. The name stands in brackets and may hold some itself.
    fn parse(line: &str) -> Option<Self> {
        let (id, rest) = line.split_once(" (")?;
        let (name, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Self {
            id: id.parse().ok()?,
            name: name.to_owned(),
            has_ended: matches!(*fields.first()?, "Z" | "X"),
            parent: fields.get(1)?.parse().ok()?,
            start: number(19)?,
        })
    }
}

/// Memory of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    /// All pages that it has mapped and that are there.
    pub(super) rss_bytes: u64,
    /// The same, where a page that several share counts for each only in part.
    pub(super) pss_bytes: Option<u64>,
}

/// The value of a line `NAME:  123 kB`, in bytes.
pub(super) fn field_bytes(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let line = "12 (a) b (c) S 3 12 12 0 -1 4194560 93 0 0 0 5 6 0 0 20 0 1 0 777 1 2 3";
        let process = Process::parse(line).unwrap();
        assert_eq!((process.id, process.parent, &*process.name), (12, 3, "a) b (c"));
        assert_eq!((process.start, process.has_ended), (777, false));
        assert_eq!(Process::parse("12 (a) Z 3"), None);
    }

    #[test]
    fn this_process_is_found_with_its_memory() {
        let id = std::process::id().cast_signed();
        let own = Process::find(id).unwrap();
        assert!(own.is_running() && own.memory().unwrap().rss_bytes > 0);
        assert!(Process::all().unwrap().iter().any(|process| process.id == id));
        let earlier = Process { start: own.start - 1, ..own };
        assert!(!earlier.is_running());
    }

    #[test]
    fn fields_are_read_in_bytes() {
        let text = "Rss:                 132 kB\nPss_Dirty: 1 kB\nName:\tx\n";
        assert_eq!(field_bytes(text, "Rss"), Some(132 << 10));
        for name in ["Pss", "Name", "Rs"] {
            assert_eq!(field_bytes(text, name), None, "{name}");
        }
    }
}
