//! One side's end of the wire: a way out, a way in, and the protocol of sleeping and waking.
//!
//! A side sleeps in a system call until its doorbell rings. The other side rings it, by a system call
//! too, and only if it must: when this side has said that it sleeps. What must never happen is that
//! one goes to sleep just when the other has looked and seen it awake:
//!
//! | who sleeps | who wakes |
//! |---|---|
//! | 1. says that it wants frames (or room) | 1. produces a frame (or consumes one) |
//! | 2. fence | 2. fence |
//! | 3. looks once more for frames (or room) | 3. looks whether it is wanted, takes that back and rings |
//!
//! Both fences are sequentially consistent, so one of them is the first for both sides. If it is the
//! sleeper's, then what it said before is seen by the other, which looks behind its own fence, and
//! rings. If it is the waker's, then the frame is seen by the sleeper, which looks behind its own, and
//! does not sleep. (C++20, [atomics.fences] and [atomics.order] 4; it is Dekker's algorithm.) Without the
//! fences each store could stay in its processor's buffer while both look, and both would see the old.
//!
//! The doorbell keeps the ring until it is read, so that between the sleeper's last look and its
//! system call nothing is lost. A ring that comes too late, to a side that has not slept after all,
//! wakes it once for nothing.
//!
//! A producer without room is woken when half of it is free, not at each frame that is taken. As a consumer
//! takes all that there is before it sleeps, and looks at each of its turns whether it is wanted, it
//! passes that point; and half of the room is enough for any frame.

use core::sync::atomic::{Ordering, fence};

use crate::{Consumer, Corrupt, Producer};

/// One side's end of the wire.
#[derive(Debug)]
pub struct Endpoint<'a> {
    /// The way out.
    outgoing: Producer<'a>,
    /// The way in.
    incoming: Consumer<'a>,
    /// The positions at the last look at the other side's wishes.
    produced: u64,
    consumed: u64,
}

impl<'a> Endpoint<'a> {
    pub(crate) fn new(outgoing: Producer<'a>, incoming: Consumer<'a>) -> Self {
        Self { outgoing, incoming, produced: 0, consumed: 0 }
    }

    /// The way out, to put frames in. [`Self::must_ring`] is to be asked afterwards, once for
    /// all of them.
    pub fn outgoing(&mut self) -> &mut Producer<'a> {
        &mut self.outgoing
    }

    /// The way in, to take frames out; as above.
    pub fn incoming(&mut self) -> &mut Consumer<'a> {
        &mut self.incoming
    }

    /// Whether the other side claims to have sent more: one load, for looking again and again.
    pub fn claims_more(&self) -> bool {
        self.incoming.claims_more()
    }

    /// Whether the other side sleeps and is to be woken now: if so, its doorbell must be rung.
    #[must_use]
    pub fn must_ring(&mut self) -> bool {
        let (produced, consumed) = (self.outgoing.produced, self.incoming.consumed);
        let has_produced = core::mem::replace(&mut self.produced, produced) != produced;
        let has_consumed = core::mem::replace(&mut self.consumed, consumed) != consumed;
        if !has_produced && !has_consumed {
            return false;
        }
        fence(Ordering::SeqCst);
        let is_wanted = |flag: &crate::AtomicU64| {
            flag.load(Ordering::Relaxed) != 0 && flag.swap(0, Ordering::Relaxed) != 0
        };
        let for_frames = has_produced && is_wanted(self.outgoing.way.wants_frames);
        let is_room = has_consumed && self.incoming.is_half_empty();
        let for_room = is_room && is_wanted(self.incoming.way.wants_room);
        for_frames || for_room
    }

    /// Says that this side goes to sleep: until there are frames, and with `room_for` until a frame of so many
    /// bytes has room. `false` if there are already, or has; then it must not sleep. If it is `true`,
    /// [`Self::wake`] is to be called after the sleep.
    ///
    /// # Errors
    /// If the other side's position cannot be.
    pub fn prepare_to_sleep(&mut self, room_for: Option<usize>) -> Result<bool, Corrupt> {
        self.incoming.way.wants_frames.store(1, Ordering::Relaxed);
        if room_for.is_some() {
            self.outgoing.way.wants_room.store(1, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
        let has_room = match room_for {
            Some(frame_bytes) => self.outgoing.has_room_for(frame_bytes)?,
            None => false,
        };
        let may_sleep = !self.incoming.claims_more() && !has_room;
        if !may_sleep {
            self.wake();
        }
        Ok(may_sleep)
    }

    /// Takes back that this side sleeps.
    pub fn wake(&mut self) {
        self.incoming.way.wants_frames.store(0, Ordering::Relaxed);
        self.outgoing.way.wants_room.store(0, Ordering::Relaxed);
    }
}
