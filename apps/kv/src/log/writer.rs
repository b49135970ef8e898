//! The open log: appending, committing, giving space back.

use super::error::LogError;
use super::frame::Seal;
use super::geometry::{Geometry, SLOT_BYTES};
use super::pending::{Extent, Pending, Plan};
use super::superblock::Superblock;
use crate::world::{Disk, DiskError};

/// With that much in closed frames, they should be written.
const SPILL_BYTES: usize = if cfg!(test) { 16 * 1024 } else { 2 * 1024 * 1024 };
/// The piece between two looks at whether to spill.
const PIECE_BYTES: usize = if cfg!(test) { 3000 } else { 256 * 1024 };

/// A place in the log to which it can be retired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    point: Point,
}

/// A place between two frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    /// Bytes of the ring since the log was opened, from its tail then.
    pub(super) position: u64,
    /// The number of the next frame.
    pub(super) sequence: u64,
    /// The checksum of the last frame.
    pub(super) chain: u64,
}

impl Point {
    fn after(self, extent: Extent) -> Self {
        Self {
            position: self.position + extent.bytes,
            sequence: self.sequence + extent.frames,
            chain: extent.chain,
        }
    }
}

/// What opening found out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    pub(super) geometry: Geometry,
    pub(super) store: u64,
    pub(super) life: u64,
    pub(super) tail_offset: u64,
    /// Its position is 0.
    pub(super) tail: Point,
    pub(super) committed: Point,
    pub(super) complete_to: u64,
    pub(super) next_generation: u64,
    pub(super) superblocks_due: u32,
    pub(super) is_wipe_due: bool,
}

/// An open log. The device is passed to the calls that need it; it must be the same each time.
#[derive(Debug)]
pub struct Log {
    geometry: Geometry,
    store: u64,
    life: u64,
    tail_offset: u64,
    tail: Point,
    /// The end of the last frame with COMMIT that was written.
    committed: Point,
    /// The end of the last frame that was written.
    written: Point,
    pending: Pending,
    complete_to: u64,
    next_generation: u64,
    /// So many superblocks are to be written before the next frame: what is on the device says
    /// something else than what is here.
    superblocks_due: u32,
    /// Where the next frame will lie, there is the header of one that was dropped. It goes before
    /// anything else is written there: a stop within the write that replaces the frame might
    /// leave that header, and give it a body that is the same as the one it was missing.
    is_wipe_due: bool,
    /// The device has another size than the geometry says; this one fits it.
    device_bytes: u64,
    /// Bytes of payload since the log was opened.
    payload: Payload,
}

/// How many bytes of payload came how far.
#[derive(Debug, Clone, Copy, Default)]
struct Payload {
    total: u64,
    appended: u64,
    written: u64,
    committed: u64,
}

impl Log {
    pub(super) fn new(start: Start, device_bytes: u64) -> Self {
        Self {
            geometry: start.geometry,
            store: start.store,
            life: start.life,
            tail_offset: start.tail_offset,
            tail: start.tail,
            committed: start.committed,
            written: start.committed,
            pending: Pending::default(),
            complete_to: start.complete_to,
            next_generation: start.next_generation,
            superblocks_due: start.superblocks_due,
            is_wipe_due: start.is_wipe_due,
            device_bytes,
            payload: Payload::default(),
        }
    }

    /// Appends a piece of a record to the open batch, in memory only.
    ///
    /// # Errors
    /// [`LogError::Full`] or [`LogError::NoMemory`]; nothing of the piece was appended then, and
    /// the earlier pieces of its record are dropped by [`discard`](Self::discard).
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        let plan = self.plan();
        let end = self.checked_end(plan, bytes.len() as u64)?;
        if !self.pending.reserve(end) {
            return Err(LogError::NoMemory);
        }
        self.pending.append(plan, bytes);
        self.payload.total += bytes.len() as u64;
        Ok(())
    }

    /// Appends a piece of a record as [`append`](Self::append) does, and writes what does not
    /// have to stay in memory: for pieces that are larger than a copy of them should be.
    ///
    /// # Errors
    /// [`LogError::Full`]: nothing of the piece was appended. [`LogError::NoMemory`] and
    /// [`LogError::Device`]: a part of it was, so the record must be dropped by
    /// [`discard`](Self::discard).
    pub fn append_large<D: Disk + ?Sized>(
        &mut self,
        bytes: &[u8],
        disk: &mut D,
    ) -> Result<(), LogError> {
        self.checked_end(self.plan(), bytes.len() as u64)?;
        for piece in bytes.chunks(PIECE_BYTES) {
            self.append(piece)?;
            if self.wants_spill() {
                self.spill(disk)?;
            }
        }
        Ok(())
    }

    /// A record ends here: what was appended may be committed.
    pub fn mark_boundary(&mut self) {
        if self.payload.appended != self.payload.total {
            self.pending.mark_boundary();
            self.payload.appended = self.payload.total;
        }
    }

    /// Drops what was appended since the last boundary.
    pub fn discard(&mut self) {
        if self.payload.appended == self.payload.total {
            return;
        }
        if !self.pending.discard() {
            self.written = self.committed;
            self.payload.written = self.payload.committed;
        }
        self.payload.total = self.payload.appended;
        // Frames of what was dropped may be on the device. None of them can be mistaken for one
        // that is written from now on.
        let number = (self.life as u32).wrapping_add(0x9e37_79b9);
        self.life = (self.life >> 32 << 32) | u64::from(number);
    }

    /// The batch in memory has grown so large that [`spill`](Self::spill) should be called
    /// between two pieces.
    #[must_use]
    pub fn wants_spill(&self) -> bool {
        self.pending.closed_end() >= SPILL_BYTES
    }

    /// Writes the frames of the open batch that are full, so that memory gets free. What is
    /// behind the last boundary is not committed by that.
    ///
    /// # Errors
    /// [`LogError::Device`]. Nothing is lost; the call may be repeated.
    pub fn spill<D: Disk + ?Sized>(&mut self, disk: &mut D) -> Result<(), LogError> {
        self.write(self.pending.closed_end(), disk)
    }

    /// Makes durable what was appended up to the last boundary, normally with one write. Without
    /// anything new it does nothing.
    ///
    /// # Errors
    /// [`LogError::Device`]. Nothing is lost; the next call writes the same again.
    pub fn commit<D: Disk + ?Sized>(&mut self, disk: &mut D) -> Result<(), LogError> {
        let end = self.pending.close_at_boundary(self.plan());
        self.write(end, disk)
    }

    /// Writes the closed frames up to `end` in the buffer.
    fn write<D: Disk + ?Sized>(&mut self, end: usize, disk: &mut D) -> Result<(), LogError> {
        if end == 0 {
            return Ok(());
        }
        self.write_superblocks(disk)
            .map_err(|(offset, error)| LogError::Device { offset, error })?;
        let offset = self.offset_of(self.written.position);
        if self.is_wipe_due {
            let zeros = [0; SLOT_BYTES as usize];
            write(disk, offset, &zeros[..self.geometry.block_bytes as usize])?;
            self.is_wipe_due = false;
        }
        let seal = Seal {
            sequence: self.written.sequence,
            store: self.store,
            life: self.life,
            previous: self.written.chain,
            // Not that of a frame without COMMIT: it may be dropped, and its number used again.
            confirmed: self.committed.sequence - 1,
        };
        let sealed = self.pending.seal(end, seal, self.geometry.block_bytes);
        // Frames end where the ring does, so the rest begins with one.
        let to_ring_end = usize::try_from(self.geometry.ring_end - offset).unwrap_or(usize::MAX);
        let (here, wrapped) = self.pending.written(end).split_at(end.min(to_ring_end));
        write(disk, offset, here)?;
        if !wrapped.is_empty() {
            write(disk, self.geometry.advance(offset, here.len() as u64), wrapped)?;
        }
        self.pending.forget(end);
        if let Some(committed) = sealed.committed {
            self.committed = self.written.after(committed);
            self.payload.committed = self.payload.written + committed.payload_bytes;
        }
        self.written = self.written.after(sealed.all);
        self.payload.written += sealed.all.payload_bytes;
        Ok(())
    }

    /// The end of what is committed. What was appended and not committed counts as behind it.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { point: self.committed }
    }

    /// Commits, and gives back the space before `mark`: the caller has appended, since the mark,
    /// everything that it needs of what came before.
    ///
    /// # Errors
    /// [`LogError::Device`]: no space was given back, and the call may be repeated.
    /// [`LogError::StaleMark`]: the log was retired beyond it since the mark was taken.
    pub fn retire_to<D: Disk + ?Sized>(
        &mut self,
        mark: Mark,
        disk: &mut D,
    ) -> Result<(), LogError> {
        self.commit(disk)?;
        let tail = mark.point;
        if tail.position < self.tail.position || tail.position > self.committed.position {
            return Err(LogError::StaleMark);
        }
        let before = (self.geometry, self.tail_offset, self.tail, self.complete_to);
        self.tail_offset = self.offset_of(tail.position);
        self.tail = tail;
        self.complete_to = self.committed.sequence - 1;
        let resized = self.resized();
        self.geometry = resized.unwrap_or(self.geometry);
        let due_before = self.superblocks_due;
        let due = due_before.max(if resized.is_some() { 2 } else { 1 });
        self.superblocks_due = due;
        // One superblock says it all; a second one is for the case that this one is damaged.
        match self.write_superblocks(disk) {
            Err((offset, error)) if self.superblocks_due == due => {
                (self.geometry, self.tail_offset, self.tail, self.complete_to) = before;
                // The half of what failed may be on the device.
                self.superblocks_due = due_before.max(1);
                Err(LogError::Device { offset, error })
            }
            _ => Ok(()),
        }
    }

    /// The geometry that fits the device, if it can be used from now on.
    fn resized(&self) -> Option<Geometry> {
        let geometry = Geometry::new(self.device_bytes, self.geometry.block_bytes).ok()?;
        let end = self.tail_offset + (self.written.position - self.tail.position);
        // Neither ring wraps within what is used, so every frame lies where it lay.
        let is_usable = end <= geometry.ring_end.min(self.geometry.ring_end)
            && self.tail_offset < geometry.ring_end;
        (geometry != self.geometry && is_usable && self.pending.is_empty()).then_some(geometry)
    }

    /// Writes the superblocks that are due. The other result is where the device failed.
    pub(super) fn write_superblocks<D: Disk + ?Sized>(
        &mut self,
        disk: &mut D,
    ) -> Result<(), (u64, DiskError)> {
        while self.superblocks_due > 0 {
            let superblock = Superblock {
                geometry: self.geometry,
                store: self.store,
                generation: self.next_generation,
                tail_offset: self.tail_offset,
                tail_sequence: self.tail.sequence,
                tail_chain: self.tail.chain,
                complete_to: self.complete_to,
            };
            superblock.write(disk)?;
            self.next_generation += 1;
            self.superblocks_due -= 1;
        }
        Ok(())
    }

    fn plan(&self) -> Plan {
        Plan { geometry: self.geometry, offset: self.offset_of(self.written.position) }
    }

    /// Where a position lies on the device: one from the tail to the end.
    fn offset_of(&self, position: u64) -> u64 {
        self.geometry.advance(self.tail_offset, position - self.tail.position)
    }

    /// Where the buffer ends with `more` bytes of payload, if the ring has room for that.
    fn checked_end(&self, plan: Plan, more: u64) -> Result<u64, LogError> {
        let free_bytes = self.free_bytes();
        let now = self.pending.end_with(plan, 0);
        // Nothing that is larger than the ring is laid out.
        let end = match more > self.capacity_bytes() {
            true => now.saturating_add(more),
            false => self.pending.end_with(plan, more),
        };
        match end - now > free_bytes {
            true => Err(LogError::Full { needed_bytes: end - now, free_bytes }),
            false => Ok(end),
        }
    }
}

/// Numbers for the owner: how far things came, and how much room there is.
impl Log {
    /// How many bytes of payload were appended up to the last boundary, since the log was
    /// opened. What a caller appended is durable when [`committed`](Self::committed) has reached
    /// the value that this had after its boundary.
    #[must_use]
    pub fn appended(&self) -> u64 {
        self.payload.appended
    }

    /// How many bytes of payload were committed since the log was opened.
    #[must_use]
    pub fn committed(&self) -> u64 {
        self.payload.committed
    }

    /// The bytes of the ring: what can be used at most.
    #[must_use]
    pub fn capacity_bytes(&self) -> u64 {
        self.geometry.ring_bytes()
    }

    /// The bytes of the ring that are in use, with those that the open batch may take.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.written.position - self.tail.position + self.pending.end_with(self.plan(), 0)
    }

    /// The bytes of the ring that are free.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        self.capacity_bytes().saturating_sub(self.used_bytes())
    }

    /// What `payload_bytes` take of the ring at most, wherever they come to lie, if they are
    /// committed in `commits` steps.
    #[must_use]
    pub fn cost_of(&self, payload_bytes: u64, commits: u64) -> u64 {
        self.geometry.cost_of(payload_bytes, commits)
    }
}

fn write<D: Disk + ?Sized>(disk: &mut D, offset: u64, bytes: &[u8]) -> Result<(), LogError> {
    disk.write(offset, bytes).map_err(|error| LogError::Device { offset, error })
}

#[cfg(test)]
impl Log {
    /// The rest of the open record, or a record, of `bytes` can be appended now, in any number
    /// of pieces, and committed.
    pub(super) fn fits(&self, bytes: u64) -> bool {
        self.checked_end(self.plan(), bytes).is_ok()
    }

    pub(super) fn head_offset(&self) -> u64 {
        self.offset_of(self.committed.position)
    }

    pub(super) fn buffer_capacity_bytes(&self) -> usize {
        self.pending.capacity_bytes()
    }
}
