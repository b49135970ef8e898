//! Pages of the kernel's trace buffer, as `per_cpu/cpuN/trace_pipe_raw` gives them, become events. The
//! bytes are not trusted: what does not fit is an error, and what was lost is told.
//!
//! Source: `include/linux/ring_buffer.h`, and `events/header_page` and `events/header_event` of tracefs.

use crate::format::Formats;

/// Before a page's events: a time stamp, and how much there is.
const HEADER_BYTES: usize = 16;
/// The part of the second word that is a length; flags stand above it.
const LENGTH: u64 = 0xf_ffff;
const LOST: u64 = 1 << 31;
const LOST_COUNTED: u64 = 1 << 30;
/// Kinds of records beyond those whose kind is their length in words.
const PADDING: u32 = 29;
const TIME_EXTEND: u32 = 30;
const TIME_STAMP: u32 = 31;

/// Flags of an event (`TRACE_FLAG_*` in `include/linux/trace_events.h`) that say in which kind of
/// interrupt it happened.
pub mod flags {
    /// An interrupt of a device.
    pub const HARDIRQ: u8 = 0x08;
    /// What interrupts left to do.
    pub const SOFTIRQ: u8 = 0x10;
    /// An interrupt that cannot be masked.
    pub const NMI: u8 = 0x40;
}

/// Why a page was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PageError {
    /// It has no header.
    #[error("a page of the trace has {bytes} bytes, where its header has {HEADER_BYTES}")]
    Short {
        /// What there is.
        bytes: usize,
    },
    /// It claims more than there is.
    #[error("a page of the trace says that it holds {claimed} bytes, and holds {bytes}")]
    Length {
        /// What the header says.
        claimed: u64,
        /// What there is.
        bytes: usize,
    },
    /// A record ends beyond its page.
    #[error(
        "the record of the trace at byte {at} of its page has {claimed} bytes, and the page ends after {left}"
    )]
    Record {
        /// Where it begins, after the header.
        at: usize,
        /// Its length as it says.
        claimed: usize,
        /// What is left.
        left: usize,
    },
    /// An event is shorter than its fields.
    #[error("the event of kind {kind} at byte {at} of its page ends before its fields do")]
    Event {
        /// Where it begins, after the header.
        at: usize,
        /// Its number.
        kind: u16,
    },
}

/// A page.
#[derive(Clone, Debug)]
pub struct Page<'a> {
    data: &'a [u8],
    lost: Option<u64>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A task entered a function.
    Function(Entry),
    /// A task made another.
    Fork {
        /// Who.
        parent: i32,
        /// Whom.
        child: i32,
    },
}

/// A function that was entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The task (a thread's number, not its process's).
    pub pid: i32,
    /// See [`flags`].
    pub flags: u8,
    /// In the function, at or near its first byte.
    pub ip: u64,
    /// Where it will return to.
    pub parent: u64,
}

impl<'a> Page<'a> {
    /// Reads the header. `bytes` is what one read gave.
    pub fn new(bytes: &'a [u8]) -> Result<Self, PageError> {
        let short = || PageError::Short { bytes: bytes.len() };
        let word = u64_at(bytes, 8).ok_or_else(short)?;
        let claimed = word & LENGTH;
        let wrong = || PageError::Length { claimed, bytes: bytes.len() };
        let end = usize::try_from(claimed).ok().and_then(|length| length.checked_add(HEADER_BYTES));
        let end = end.ok_or_else(wrong)?;
        let data = bytes.get(HEADER_BYTES..end).ok_or_else(wrong)?;
        let lost = (word & LOST != 0).then(|| {
            let counted = word & LOST_COUNTED != 0;
            u64_at(bytes, end).filter(|_| counted).unwrap_or(0)
        });
        Ok(Self { data, lost })
    }

    /// How many events were lost before this page, if any; 0 if the kernel did not say how many.
    pub const fn lost(&self) -> Option<u64> {
        self.lost
    }

    /// The events in order, those of other kinds left out. After an error nothing follows.
    pub fn events<'f>(&self, formats: &'f Formats) -> Events<'a, 'f> {
        Events { data: self.data, at: 0, formats }
    }
}

/// The events of a page.
#[derive(Debug)]
pub struct Events<'a, 'f> {
    data: &'a [u8],
    at: usize,
    formats: &'f Formats,
}

impl Iterator for Events<'_, '_> {
    type Item = Result<Event, PageError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.at < self.data.len() {
            match self.step() {
                Ok(None) => {}
                Ok(Some(event)) => return Some(Ok(event)),
                Err(error) => {
                    self.at = self.data.len();
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

impl Events<'_, '_> {
    /// One record, which may be no event of ours. Always goes on by at least a word.
    fn step(&mut self) -> Result<Option<Event>, PageError> {
        let at = self.at;
        let left = &self.data[at..];
        let error = |claimed| PageError::Record { at, claimed, left: left.len() };
        let header = u32_at(left, 0).ok_or_else(|| error(4))?;
        let (kind, delta) = (header & 31, header >> 5);
        let stored = || u32_at(left, 4).map(|bytes| bytes as usize).ok_or_else(|| error(8));
        let (begin, bytes) = match kind {
            PADDING if delta == 0 => (left.len(), left.len()),
            PADDING => {
                let bytes = stored()?.saturating_add(4);
                (bytes, bytes)
            }
            TIME_EXTEND | TIME_STAMP => (8, 8),
            0 => (8, stored()?.saturating_add(4)),
            words => (4, 4 + 4 * words as usize),
        };
        let data = left.get(..bytes).and_then(|record| record.get(begin..));
        let data = data.ok_or_else(|| error(bytes))?;
        self.at += bytes.next_multiple_of(4);
        if data.is_empty() {
            return Ok(None);
        }
        self.decode(data, at)
    }

    fn decode(&self, data: &[u8], at: usize) -> Result<Option<Event>, PageError> {
        let Some(kind) = u16_at(data, 0) else {
            return Err(PageError::Event { at, kind: 0 });
        };
        let Formats { function, fork } = self.formats;
        let event = if kind == function.id {
            self::function(data, function.ip, function.parent)
        } else if let Some(fork) = fork.filter(|fork| fork.id == kind) {
            self::fork(data, fork.parent, fork.child)
        } else {
            return Ok(None);
        };
        event.map(Some).ok_or(PageError::Event { at, kind })
    }
}

fn function(data: &[u8], ip: usize, parent: usize) -> Option<Event> {
    let flags = *data.get(2)?;
    let entry =
        Entry { pid: pid(data)?, flags, ip: u64_at(data, ip)?, parent: u64_at(data, parent)? };
    Some(Event::Function(entry))
}

fn fork(data: &[u8], parent: usize, child: usize) -> Option<Event> {
    let (parent, child) = (u32_at(data, parent)?, u32_at(data, child)?);
    Some(Event::Fork { parent: parent.cast_signed(), child: child.cast_signed() })
}

fn pid(data: &[u8]) -> Option<i32> {
    u32_at(data, 4).map(u32::cast_signed)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests;
