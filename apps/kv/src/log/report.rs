//! What opening the log found, in sentences for an operator.

use core::fmt;

/// What [`Log::open`](super::Log::open) found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The device was blank, or was to be formatted: all the numbers are 0.
    pub is_formatted: bool,
    /// The superblock that was used.
    pub generation: u64,
    /// Frames whose payload was handed over.
    pub frames: u64,
    /// Batches that were handed over.
    pub batches: u64,
    /// Bytes of payload that were handed over.
    pub payload_bytes: u64,
    /// Whole frames at the end that belong to a batch that was never committed.
    pub dropped_frames: u64,
    /// Where the log ends, and why there.
    pub end: End,
    /// A newer superblock was passed over, because frames that it counts on are damaged: the log
    /// was read from an older beginning instead.
    pub is_fallback: bool,
    /// No superblock's frames reach as far as they must. What was handed over is not the state of
    /// the store at any time: whatever lies behind the damage is missing.
    pub is_incomplete: bool,
    /// Copies of the superblock, of four, that are damaged.
    pub damaged_superblocks: u32,
    /// The device has another size than before.
    pub resize: Option<Resize>,
}

/// Where the log ends, and why there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Where the first frame would lie that was not accepted.
    pub offset: u64,
    /// The number that it would have.
    pub sequence: u64,
    /// Why it was not accepted.
    pub cause: Cause,
    /// A whole frame behind the end, which was written later than what is missing there.
    pub newer: Option<Newer>,
}

/// Why the log ends where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Nothing was written behind the last frame, or only what is older.
    Clean,
    /// The frame is not whole.
    Checksum,
    /// The frame has another number.
    Sequence,
    /// The frame does not follow the one before it.
    Chain,
    /// The frame is longer than a frame can be there.
    Length,
    /// The frame has an unknown version or flags.
    Version,
    /// The device ends there, and the log did not.
    CutOff,
}

/// A frame that was written after the one that is missing had been confirmed by the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newer {
    /// Where it lies.
    pub offset: u64,
    /// Its number.
    pub sequence: u64,
}

/// The device has another size than the superblock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resize {
    /// What the superblock says.
    pub formatted_bytes: u64,
    /// What the device has.
    pub capacity_bytes: u64,
    /// The log uses the new size. It does not yet as long as it wraps around the old end.
    pub is_used: bool,
}

impl Report {
    /// Writes are gone that the device had confirmed. What is there is nevertheless a state that
    /// the store once had, unless [`is_incomplete`](Self::is_incomplete).
    #[must_use]
    pub fn is_loss(&self) -> bool {
        self.end.newer.is_some()
            || self.end.cause == Cause::CutOff
            || self.is_fallback
            || self.is_incomplete
    }

    /// Something is not as it was written. A write that was under way when the machine stopped
    /// looks the same as damage to the last one that was confirmed.
    #[cfg(test)]
    pub(super) fn is_damaged(&self) -> bool {
        self.is_loss() || self.end.cause != Cause::Clean || self.damaged_superblocks > 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_formatted {
            return f.write_str("a new log was made on the device");
        }
        write!(
            f,
            "{} batches came back from the log ({} bytes in {} frames). ",
            self.batches, self.payload_bytes, self.frames
        )?;
        self.end.fmt(f)?;
        if self.dropped_frames > 0 {
            write!(f, " {} frames of an unfinished batch were dropped.", self.dropped_frames)?;
        }
        if self.is_incomplete {
            f.write_str(
                " THE STATE IS INCOMPLETE: the damage lies in a compacted part of the log, and \
                 keys that were stored behind it are missing.",
            )?;
        } else if self.is_fallback {
            f.write_str(
                " The newest superblock could not be used, because of that damage; an older one \
                 was.",
            )?;
        }
        if self.damaged_superblocks > 0 {
            write!(f, " {} of 4 superblock copies are damaged.", self.damaged_superblocks)?;
        }
        if let Some(resize) = &self.resize {
            write!(f, " {resize}")?;
        }
        Ok(())
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, sequence, cause, newer } = self;
        match (cause, newer) {
            (Cause::Clean, None) => return f.write_str("The log ends cleanly."),
            (Cause::CutOff, _) => {
                return write!(
                    f,
                    "THE LOG IS CUT OFF where the device ends, at offset {offset} (frame \
                     {sequence}); later writes are lost."
                );
            }
            (_, None) => write!(f, "The log ends at offset {offset} (frame {sequence}): ")?,
            (_, Some(_)) => write!(f, "THE LOG IS DAMAGED at offset {offset}: ")?,
        }
        f.write_str(match cause {
            Cause::Clean => "there is no frame",
            Cause::Checksum => "the frame's checksum is wrong",
            Cause::Sequence => "the frame has the wrong number",
            Cause::Chain => "the frame does not follow the one before it",
            Cause::Length => "the frame's length is wrong",
            Cause::Version => "the frame's version is unknown",
            Cause::CutOff => "the device ends",
        })?;
        match newer {
            Some(newer) => write!(
                f,
                ". Frame {} at offset {} is whole and was written later, so confirmed writes \
                 from frame {sequence} on are lost.",
                newer.sequence, newer.offset
            ),
            None => f.write_str(
                ". A write that was under way when the machine stopped leaves that behind.",
            ),
        }
    }
}

impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { formatted_bytes, capacity_bytes, is_used } = self;
        write!(f, "The device had {formatted_bytes} bytes and has {capacity_bytes} now")?;
        f.write_str(match is_used {
            true => "; the log uses the new size.",
            false => "; the log will use the new size after a compaction.",
        })
    }
}
