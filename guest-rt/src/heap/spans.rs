//! Small objects: each lies in a slot of a span, which is a few pages cut into slots of one size. An
//! object has no header. Where it lies tells its span, and the span has a bit for each slot.
//!
//! | a span is | which means |
//! |---|---|
//! | current | new objects of its class go there; one for each class at most |
//! | full | in no list, until some objects in it are freed |
//! | in one of [`LISTS`] lists | by how full it is; the fullest becomes current next, so that the others run empty |
//! | empty | given back, so that its pages serve for anything |
//!
//! When no pages are left, free slots of other classes serve: a larger one, or several smaller ones in a
//! row. Which of it was done follows from the span and the object's size, so nothing need be kept.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;

use super::classes::{CLASSES, SLOTS_MAX, SMALL_BYTES_MAX, TABLE, class_of};
use super::pages::{NONE, PAGE_BYTES, Page, Pages, kind};

/// Lists of each class, the fullest spans first.
const LISTS: usize = 4;
/// A span counts as full until this part of it is free, so that it serves for several objects when it
/// becomes current.
const SPARE_PARTS: u16 = 16;

/// Spans that are looked at for a place in one of another class. A bound on the time it takes.
const ATTEMPTS: usize = 64;
/// And those of one list.
const ATTEMPTS_OF_LIST: usize = 16;
/// Smaller slots in a row that serve for one object.
const SLOTS_IN_ROW_MAX: usize = 32;

/// Where a span is, in [`Page::state`]; below that, its list.
mod state {
    pub(super) const FULL: u8 = 100;
    pub(super) const CURRENT: u8 = 101;
}

/// A heap of pages and spans.
pub(super) struct Spans {
    pages: Pages,
    current: [Cell<u32>; CLASSES],
    lists: [[Cell<u32>; LISTS]; CLASSES],
    /// Where an object of this class found a place in another's span.
    borrowed: [Cell<u32>; CLASSES],
}

/// What a layout takes: its size as a multiple of its alignment, at least one byte.
#[inline]
fn needed(layout: Layout) -> usize {
    // Without a division: alignments are powers of two.
    let beyond = layout.align() - 1;
    (layout.size().max(1) + beyond) & !beyond
}

/// Whole pages for so many bytes.
fn pages_for(bytes: usize) -> Option<u32> {
    u32::try_from(bytes.div_ceil(PAGE_BYTES)).ok()
}

impl Spans {
    pub(super) const fn new() -> Self {
        Self {
            pages: Pages::new(),
            current: [const { Cell::new(NONE) }; CLASSES],
            lists: [const { [const { Cell::new(NONE) }; LISTS] }; CLASSES],
            borrowed: [const { Cell::new(NONE) }; CLASSES],
        }
    }

    /// # Safety
    /// As for [`super::Heap::claim`].
    pub(super) unsafe fn claim(&self, start: usize, end: usize) {
        // SAFETY: as promised by the caller.
        unsafe { self.pages.claim(start, end) };
    }

    /// Bytes in pages that belong to nobody.
    pub(super) fn available(&self) -> usize {
        self.pages.free() * PAGE_BYTES
    }

    /// The address of a place for an object, `None` if there is none.
    #[inline]
    pub(super) fn allocate(&self, layout: Layout) -> Option<usize> {
        let bytes = needed(layout);
        if layout.align() <= PAGE_BYTES
            && let Some(class) = class_of(bytes)
        {
            let current = self.current[class].get();
            if let Some(page) = self.pages.get(current)
                && let Some(slot) = page.take_slot()
            {
                return Some(self.place(current, page, slot));
            }
            return self.refill(class, bytes, layout.align());
        }
        self.allocate_pages(bytes, layout.align())
    }

    /// Frees what was given for this layout.
    #[inline]
    pub(super) fn free(&self, address: usize, layout: Layout) {
        let (number, page, offset) = self.pages.owner_of(address);
        if page.kind.get() != kind::SPAN {
            return self.pages.give(number, page.pages.get());
        }
        let count = page.slots_for(needed(layout));
        page.give_slots(page.slot_at(offset), count);
        if page.free.get() >= page.settle_at.get() {
            self.settle(number, page);
        }
    }

    /// Whether what was given for a layout serves for another size as well, or was made to. What is
    /// left to be done then is nothing.
    pub(super) fn resize(&self, address: usize, layout: Layout, bytes: usize) -> bool {
        let Ok(wanted) = Layout::from_size_align(bytes, layout.align()) else { return false };
        let (before, after) = (needed(layout), needed(wanted));
        let (number, page, _) = self.pages.owner_of(address);
        let class = class_of(after);
        if page.kind.get() != kind::SPAN {
            return class.is_none()
                && pages_for(after).is_some_and(|n| self.pages.resize(number, n));
        }
        let is_own = class == Some(page.class.get().into());
        let (count, wanted) = (page.slots_for(before), page.slots_for(after));
        // A larger slot than its own is only borrowed; once it has shrunk it had better move.
        count == wanted && (is_own || after >= before)
    }

    /// Gives back what an object does not need any more where it is.
    fn shrink(&self, address: usize, layout: Layout, bytes: usize) {
        let Ok(wanted) = Layout::from_size_align(bytes, layout.align()) else { return };
        let (before, after) = (needed(layout), needed(wanted));
        let (number, page, offset) = self.pages.owner_of(address);
        if page.kind.get() != kind::SPAN {
            if let Some(pages) = pages_for(after) {
                self.pages.resize(number, pages);
            }
            return;
        }
        let (count, kept) = (page.slots_for(before), page.slots_for(after));
        if count > kept {
            page.give_slots(page.slot_at(offset) + kept, count - kept);
            if page.free.get() >= page.settle_at.get() {
                self.settle(number, page);
            }
        }
    }

    /// Whether an object would lie better elsewhere: a new one of its size goes to a fuller span.
    pub(super) fn is_sparse(&self, address: usize) -> bool {
        let Some(page) = self.pages.find_owner(address) else { return false };
        page.kind.get() == kind::SPAN && (1..LISTS as u8).contains(&page.state.get())
    }

    fn place(&self, number: u32, page: &Page, slot: usize) -> usize {
        self.pages.address_of(number) + slot * usize::from(page.slot_bytes.get())
    }

    #[cold]
    fn allocate_pages(&self, bytes: usize, align: usize) -> Option<usize> {
        let pages = pages_for(bytes)?;
        let take = || match align {
            ..=PAGE_BYTES => self.pages.take(pages),
            _ => self.pages.take_aligned(pages, align),
        };
        let taken = take().or_else(|| if self.give_back_empty() { take() } else { None })?;
        Some(self.pages.address_of(taken))
    }

    /// The current span of a class is full, or there is none.
    #[inline(never)]
    fn refill(&self, class: usize, bytes: usize, align: usize) -> Option<usize> {
        if let Some(page) = self.pages.get(self.current[class].replace(NONE)) {
            page.enter(state::FULL);
        }
        let lists = &self.lists[class];
        let partial = lists.iter().find(|list| list.get() != NONE);
        let found = match partial {
            Some(list) => {
                let number = list.get();
                self.pages.unlink(list, number);
                Some(number)
            }
            None => self.new_span(class),
        };
        let Some(number) = found else { return self.make_do(class, bytes, align) };
        let page = self.pages.at(number);
        page.enter(state::CURRENT);
        self.current[class].set(number);
        let slot = page.take_slot()?;
        Some(self.place(number, page, slot))
    }

    fn new_span(&self, class: usize) -> Option<u32> {
        let pages = u32::from(TABLE[class].pages);
        let number = self.pages.take(pages)?;
        self.make_span(number, pages, class);
        Some(number)
    }

    fn make_span(&self, number: u32, pages: u32, class: usize) {
        for inside in 1..pages {
            let page = self.pages.at(number + inside);
            page.kind.set(kind::INSIDE);
            page.pages.set(inside);
        }
        let slot_bytes = TABLE[class].slot_bytes;
        let slots = (pages as usize * PAGE_BYTES / usize::from(slot_bytes.get())).min(SLOTS_MAX);
        let page = self.pages.at(number);
        page.kind.set(kind::SPAN);
        page.first_word.set(0);
        page.class.set(class as u8);
        page.slot_bytes.set(slot_bytes.get());
        page.per_slot.set(u32::MAX / u32::from(slot_bytes.get()) + 1);
        page.slots.set(slots as u16);
        page.free.set(slots as u16);
        page.enter(state::FULL);
        for (word, bits) in page.free_slots.iter().enumerate() {
            let here = slots.saturating_sub(word * 64).min(64) as u32;
            bits.set(u64::MAX.checked_shr(64 - here).unwrap_or(0));
        }
    }

    /// Puts a span that is not current where it belongs after slots of it were freed or taken.
    fn settle(&self, number: u32, page: &Page) {
        let (before, free, slots) = (page.state.get(), page.free.get(), page.slots.get());
        let after = match free {
            _ if free == slots => state::CURRENT,
            _ if free < page.spare() => state::FULL,
            _ => (usize::from(free) * LISTS / usize::from(slots)) as u8,
        };
        if before == after {
            return;
        }
        let lists = &self.lists[usize::from(page.class.get())];
        if let Some(list) = lists.get(usize::from(before)) {
            self.pages.unlink(list, number);
        }
        page.enter(after);
        if let Some(list) = lists.get(usize::from(after)) {
            self.pages.link(list, number);
        } else if free == slots {
            self.pages.give(number, page.pages.get());
        }
    }

    /// Gives back the spans that are only kept because they are current. Whether there were any.
    fn give_back_empty(&self) -> bool {
        let before = self.pages.free();
        for current in &self.current {
            if let Some(page) = self.pages.get(current.get())
                && page.free.get() == page.slots.get()
            {
                self.pages.give(current.replace(NONE), page.pages.get());
            }
        }
        self.pages.free() > before
    }

    /// There are no pages for a span as it should be.
    #[cold]
    fn make_do(&self, class: usize, bytes: usize, align: usize) -> Option<usize> {
        if self.give_back_empty()
            && let Some(number) = self.new_span(class)
        {
            return self.use_part(number, bytes);
        }
        // A shorter span, or pages for this one alone.
        if let Some(pages) = pages_for(bytes).filter(|pages| *pages < TABLE[class].pages.into())
            && let Some(number) = self.pages.take(pages)
        {
            self.make_span(number, pages, class);
            return self.use_part(number, bytes);
        }
        let borrowed = self.borrowed[class].get();
        if self.pages.get(borrowed).is_some_and(|page| page.is_partial_span())
            && self.pages.at(borrowed).suits(align)
            && let Some(place) = self.use_part(borrowed, bytes)
        {
            return Some(place);
        }
        let mut attempts = ATTEMPTS;
        let larger = (class + 1..CLASSES).take(8);
        let smaller = (0..class).rev();
        larger.chain(smaller).find_map(|other| {
            let fits = usize::from(TABLE[other].slot_bytes.get()) % align == 0;
            if fits { self.borrow(other, class, bytes, &mut attempts) } else { None }
        })
    }

    /// Looks for a place in the spans of another class, the emptiest first.
    fn borrow(
        &self,
        other: usize,
        class: usize,
        bytes: usize,
        attempts: &mut usize,
    ) -> Option<usize> {
        let current = self.current[other].get();
        if current != NONE
            && let Some(place) = self.use_part(current, bytes)
        {
            return Some(place);
        }
        for list in self.lists[other].iter().rev() {
            for _ in 0..ATTEMPTS_OF_LIST {
                // Those that have been in the list for the longest have had most freed since.
                let Some(first) = self.pages.get(list.get()).filter(|_| *attempts > 0) else {
                    break;
                };
                let number = first.previous();
                *attempts -= 1;
                if let Some(place) = self.use_part(number, bytes) {
                    self.borrowed[class].set(number);
                    return Some(place);
                }
                // The others have their turn first.
                list.set(number);
            }
        }
        None
    }

    /// Takes as many slots in a row as are needed, in a span of any class.
    fn use_part(&self, number: u32, bytes: usize) -> Option<usize> {
        let page = self.pages.at(number);
        let slot = page.take_slots(page.slots_for(bytes))?;
        if page.state.get() != state::CURRENT {
            self.settle(number, page);
        }
        Some(self.place(number, page, slot))
    }
}

// SAFETY: addresses are given of slots and pages that nobody has, as long and as aligned as the layout
// asks; they belong to the memory that was claimed.
unsafe impl GlobalAlloc for Spans {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        core::ptr::with_exposed_provenance_mut(self.allocate(layout).unwrap_or(0))
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        self.free(address.addr(), layout);
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        if self.resize(address.addr(), layout, bytes) {
            return address;
        }
        // SAFETY: the caller promises that `bytes` fit the alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(bytes, layout.align()) };
        let Some(moved) = self.allocate(wanted) else {
            if bytes > layout.size() {
                return core::ptr::null_mut();
            }
            self.shrink(address.addr(), layout, bytes);
            return address;
        };
        let moved = core::ptr::with_exposed_provenance_mut(moved);
        // SAFETY: both are as long, and apart, as the old one is not freed yet.
        unsafe { address.copy_to_nonoverlapping(moved, bytes.min(layout.size())) };
        self.free(address.addr(), layout);
        moved
    }
}

/// The slots of a span.
impl Page {
    /// Notes where the span is, and from how many free slots on it is elsewhere.
    fn enter(&self, state: u8) {
        let slots = usize::from(self.slots.get());
        self.state.set(state);
        self.settle_at.set(match state {
            state::FULL => self.spare(),
            state::CURRENT => u16::MAX,
            list => ((usize::from(list) + 1) * slots).div_ceil(LISTS) as u16,
        });
    }

    /// Free slots from which on a span does not count as full.
    fn spare(&self) -> u16 {
        (self.slots.get() / SPARE_PARTS).max(1)
    }

    /// The first free slot, which is free no more.
    #[inline]
    fn take_slot(&self) -> Option<usize> {
        // Where to begin is kept, as a search would be a branch that nobody can foresee.
        let first = usize::from(self.first_word.get());
        for (word, bits) in self.free_slots.iter().enumerate().skip(first) {
            let free = bits.get();
            if free != 0 {
                bits.set(free & (free - 1));
                self.first_word.set(word as u8);
                self.free.set(self.free.get() - 1);
                return Some(word * 64 + free.trailing_zeros() as usize);
            }
        }
        None
    }

    /// So many free slots in a row, within 64.
    fn take_slots(&self, count: usize) -> Option<usize> {
        if count > SLOTS_IN_ROW_MAX {
            return None;
        }
        for (word, bits) in self.free_slots.iter().enumerate() {
            // Of each run of free slots, those at which so many begin.
            let (mut starts, mut have) = (bits.get(), 1);
            while have < count {
                let more = have.min(count - have);
                starts &= starts >> more;
                have += more;
            }
            if starts != 0 {
                let first = starts.trailing_zeros() as usize;
                bits.set(bits.get() & !(mask(count) << first));
                self.free.set(self.free.get() - count as u16);
                return Some(word * 64 + first);
            }
        }
        None
    }

    #[inline]
    fn give_slots(&self, first: usize, count: usize) {
        let bits = &self.free_slots[first / 64 % 4];
        let given = mask(count) << (first % 64);
        debug_assert_eq!(bits.get() & given, 0, "freed twice");
        bits.set(bits.get() | given);
        self.first_word.set(self.first_word.get().min((first / 64) as u8));
        self.free.set(self.free.get() + count as u16);
    }

    /// The slot that begins so many bytes behind the span's start.
    #[inline]
    fn slot_at(&self, offset: usize) -> usize {
        ((offset as u64 * u64::from(self.per_slot.get())) >> 32) as usize
    }

    /// Slots for an object of so many bytes.
    #[inline]
    fn slots_for(&self, bytes: usize) -> usize {
        let slot_bytes = usize::from(self.slot_bytes.get());
        if bytes <= slot_bytes { 1 } else { bytes.div_ceil(slot_bytes.max(1)) }
    }

    /// Whether slots of it can hold what has this alignment.
    fn suits(&self, align: usize) -> bool {
        usize::from(self.slot_bytes.get()) % align == 0
    }

    fn is_partial_span(&self) -> bool {
        self.kind.get() == kind::SPAN && self.state.get() != state::FULL
    }
}

/// So many ones, at least one.
#[inline]
fn mask(count: usize) -> u64 {
    u64::MAX >> (64 - count)
}

const _: () = assert!(SMALL_BYTES_MAX < u16::MAX as usize);
