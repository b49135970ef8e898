//! The heap's pages, and what is known of each. Free ones lie in runs that are as long as can be; a
//! run is found by its length in constant time, and one that is given back joins its neighbours.
//!
//! What is known of the pages stands in a table before the first of them, in cells of plain numbers:
//! no bit pattern is a wrong one, so the table needs no setting up, and pages of it that are never
//! needed are never touched.

use core::cell::Cell;

/// Bytes of a page.
pub(super) const PAGE_BYTES: usize = 4096;
/// No page.
pub(super) const NONE: u32 = u32::MAX;

/// Runs up to this long are listed by their length.
const EXACT: u32 = 32;
/// Longer ones by eighths of powers of two, up to 2^32 pages.
const BINS: usize = EXACT as usize + 27 * 8;
/// Runs of at least so many pages are cut off the other end of the free run than shorter ones, so
/// that what grows finds room behind it.
const LONG: u32 = 8;

/// What a page is, in [`Page::kind`].
pub(super) mod kind {
    /// The first of a free run.
    pub(in super::super) const FREE: u8 = 1;
    /// The last of a free run of two or more.
    pub(in super::super) const FREE_END: u8 = 2;
    /// The first of a large object's.
    pub(in super::super) const RUN: u8 = 3;
    /// The first of a span.
    pub(in super::super) const SPAN: u8 = 4;
    /// Another one of a span's, or the last of a large object's.
    pub(in super::super) const INSIDE: u8 = 5;
    /// Behind the last page.
    pub(super) const END: u8 = 6;
}

/// What is known of a page. Most of it is only of use for some kinds.
#[repr(align(64))]
pub(super) struct Page {
    /// Of a span: its free slots.
    pub(super) free_slots: [Cell<u64>; 4],
    /// Of a free run and of a span: the others in its list, which is a ring.
    next: Cell<u32>,
    previous: Cell<u32>,
    /// Pages of the run or span; for one inside, how far it is behind the first.
    pub(super) pages: Cell<u32>,
    /// One divided by the bytes of a slot, in units of 2^-32, rounded up.
    pub(super) per_slot: Cell<u32>,
    pub(super) slot_bytes: Cell<u16>,
    pub(super) slots: Cell<u16>,
    pub(super) free: Cell<u16>,
    /// From so many free slots on the span belongs elsewhere.
    pub(super) settle_at: Cell<u16>,
    pub(super) class: Cell<u8>,
    pub(super) state: Cell<u8>,
    /// The first word of `free_slots` that can have any.
    pub(super) first_word: Cell<u8>,
    pub(super) kind: Cell<u8>,
}

const _: () = assert!(size_of::<Page>() == 64);

/// All pages of a heap.
pub(super) struct Pages {
    /// One for each page, and one behind the last.
    table: Cell<&'static [Page]>,
    /// The address of the first page.
    start: Cell<usize>,
    free: Cell<usize>,
    bins: [Cell<u32>; BINS],
    filled: [Cell<u64>; BINS.div_ceil(64)],
}

impl Pages {
    pub(super) const fn new() -> Self {
        Self {
            table: Cell::new(&[]),
            start: Cell::new(0),
            free: Cell::new(0),
            bins: [const { Cell::new(NONE) }; BINS],
            filled: [const { Cell::new(0) }; BINS.div_ceil(64)],
        }
    }

    /// Makes pages and their table of this memory. One that is too small for that stays unused.
    ///
    /// # Safety
    /// The addresses from `start` to `end` are writable memory that nobody else uses, for as
    /// long as the program runs; this is called once.
    pub(super) unsafe fn claim(&self, start: usize, end: usize) {
        let table = start.next_multiple_of(align_of::<Page>());
        let per_page = PAGE_BYTES + size_of::<Page>();
        let Some(bytes) = end.checked_sub(table + size_of::<Page>()) else { return };
        let mut count = (bytes / per_page).min(NONE as usize - 1);
        let first =
            |count: usize| (table + (count + 1) * size_of::<Page>()).next_multiple_of(PAGE_BYTES);
        while count > 0 && first(count) + count * PAGE_BYTES > end {
            count -= 1;
        }
        if count == 0 {
            return;
        }
        let entries = core::ptr::with_exposed_provenance(table);
        // SAFETY: the memory is there, aligned and as long; nobody else uses it; a cell of a number
        // is right whatever stands in it.
        let entries: &'static [Page] = unsafe { core::slice::from_raw_parts(entries, count + 1) };
        self.table.set(entries);
        self.start.set(first(count));
        entries[count].kind.set(kind::END);
        self.put(0, count as u32);
        self.free.set(count);
    }

    /// What is known of a page.
    #[inline]
    pub(super) fn at(&self, page: u32) -> &'static Page {
        &self.table.get()[page as usize]
    }

    /// The same, if there is one of this number.
    #[inline]
    pub(super) fn get(&self, page: u32) -> Option<&'static Page> {
        self.table.get().get(page as usize)
    }

    #[inline]
    pub(super) fn address_of(&self, page: u32) -> usize {
        self.start.get() + page as usize * PAGE_BYTES
    }

    /// The first page of what this address belongs to, and how far behind its start the address is.
    #[inline]
    pub(super) fn owner_of(&self, address: usize) -> (u32, &'static Page, usize) {
        let offset = address - self.start.get();
        let number = (offset / PAGE_BYTES) as u32;
        let page = self.at(number);
        if page.kind.get() == kind::INSIDE {
            let first = number - page.pages.get();
            return (first, self.at(first), offset - first as usize * PAGE_BYTES);
        }
        (number, page, offset % PAGE_BYTES)
    }

    /// The same for any address. Within a large object it finds anything.
    pub(super) fn find_owner(&self, address: usize) -> Option<&'static Page> {
        let number = u32::try_from(address.checked_sub(self.start.get())? / PAGE_BYTES).ok()?;
        let page = self.get(number)?;
        if page.kind.get() != kind::INSIDE {
            return Some(page);
        }
        self.get(number.checked_sub(page.pages.get())?)
    }

    /// Pages that belong to nobody.
    pub(super) fn free(&self) -> usize {
        self.free.get()
    }

    /// Takes so many pages in a row: the first becomes a large object's.
    pub(super) fn take(&self, pages: u32) -> Option<u32> {
        let run = self.find(pages)?;
        let found = self.at(run).pages.get();
        self.take_out(run, found);
        let rest = found - pages;
        let (taken, left) = if pages >= LONG { (run, run + pages) } else { (run + rest, run) };
        if rest > 0 {
            self.put(left, rest);
        }
        self.note_taken(taken, pages);
        self.free.set(self.free.get() - pages as usize);
        Some(taken)
    }

    /// The same, at an address that is a multiple of so many bytes, a power of two.
    pub(super) fn take_aligned(&self, pages: u32, align: usize) -> Option<u32> {
        let spare = u32::try_from(align / PAGE_BYTES).ok()?.saturating_sub(1);
        let run = self.take(pages.checked_add(spare)?)?;
        let address = self.address_of(run);
        let before = ((address.next_multiple_of(align) - address) / PAGE_BYTES) as u32;
        let taken = run + before;
        self.note_taken(taken, pages);
        if before > 0 {
            self.give(run, before);
        }
        if spare > before {
            self.give(taken + pages, spare - before);
        }
        Some(taken)
    }

    /// Gives back so many pages from this one on.
    pub(super) fn give(&self, page: u32, pages: u32) {
        self.free.set(self.free.get() + pages as usize);
        // It may come to lie within a run, where nothing says that it is no span any more.
        self.at(page).kind.set(kind::INSIDE);
        let (mut first, mut end) = (page, page + pages);
        let behind = self.at(end);
        if behind.kind.get() == kind::FREE {
            let more = behind.pages.get();
            self.take_out(end, more);
            end += more;
        }
        if let Some(before) = first.checked_sub(1).map(|before| self.at(before)) {
            let less = match before.kind.get() {
                kind::FREE => 1,
                kind::FREE_END => before.pages.get(),
                _ => 0,
            };
            if less > 0 {
                first -= less;
                self.take_out(first, less);
            }
        }
        self.put(first, end - first);
    }

    /// Changes how many pages a large object has, if that can be done where it is.
    pub(super) fn resize(&self, page: u32, wanted: u32) -> bool {
        let pages = self.at(page).pages.get();
        if wanted < pages {
            self.note_taken(page, wanted);
            self.give(page + wanted, pages - wanted);
        } else if wanted > pages {
            let (more, end) = (wanted - pages, page + pages);
            let behind = self.at(end);
            let found = behind.pages.get();
            if behind.kind.get() != kind::FREE || found < more {
                return false;
            }
            self.take_out(end, found);
            if found > more {
                self.put(end + more, found - more);
            }
            self.note_taken(page, wanted);
            self.free.set(self.free.get() - more as usize);
        }
        true
    }

    fn note_taken(&self, page: u32, pages: u32) {
        let last = self.at(page + pages - 1);
        last.kind.set(kind::INSIDE);
        last.pages.set(pages - 1);
        let first = self.at(page);
        first.kind.set(kind::RUN);
        first.pages.set(pages);
    }

    /// A free run of at least so many pages; of the shortest there are, or nearly.
    fn find(&self, pages: u32) -> Option<u32> {
        let bin = bin_of(pages);
        let is_exact = pages <= EXACT || lowest_of(bin) == pages;
        let sure = if is_exact { bin } else { bin + 1 };
        if let Some(found) = self.filled_from(sure) {
            return Some(self.bins[found].get());
        }
        // Those in the bin of this length may be a little shorter. They are long, so there are few.
        let head = self.bins.get(bin).map_or(NONE, Cell::get);
        let mut run = head;
        while run != NONE {
            let page = self.at(run);
            if page.pages.get() >= pages {
                return Some(run);
            }
            run = if page.next.get() == head { NONE } else { page.next.get() };
        }
        None
    }

    /// The first bin from this one on that has a run.
    fn filled_from(&self, bin: usize) -> Option<usize> {
        let mut word = bin / 64;
        let mut bits = self.filled.get(word)?.get() & (u64::MAX << (bin % 64));
        while bits == 0 {
            word += 1;
            bits = self.filled.get(word)?.get();
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }

    /// Lists a free run.
    fn put(&self, first: u32, pages: u32) {
        let last = self.at(first + pages - 1);
        last.kind.set(kind::FREE_END);
        last.pages.set(pages);
        let page = self.at(first);
        page.kind.set(kind::FREE);
        page.pages.set(pages);
        let bin = bin_of(pages);
        self.link(&self.bins[bin], first);
        let filled = &self.filled[bin / 64];
        filled.set(filled.get() | 1 << (bin % 64));
    }

    /// Takes a free run of so many pages out of its list.
    fn take_out(&self, first: u32, pages: u32) {
        let bin = bin_of(pages);
        self.unlink(&self.bins[bin], first);
        if self.bins[bin].get() == NONE {
            let filled = &self.filled[bin / 64];
            filled.set(filled.get() & !(1 << (bin % 64)));
        }
    }

    /// Puts a page at the head of a ring.
    pub(super) fn link(&self, head: &Cell<u32>, number: u32) {
        let page = self.at(number);
        if let Some(first) = self.get(head.get()) {
            let last = first.previous.replace(number);
            page.previous.set(last);
            page.next.set(head.get());
            self.at(last).next.set(number);
        } else {
            page.previous.set(number);
            page.next.set(number);
        }
        head.set(number);
    }

    /// Takes a page out of a ring.
    pub(super) fn unlink(&self, head: &Cell<u32>, number: u32) {
        let page = self.at(number);
        let (previous, next) = (page.previous.get(), page.next.get());
        if next == number {
            return head.set(NONE);
        }
        self.at(previous).next.set(next);
        self.at(next).previous.set(previous);
        if head.get() == number {
            head.set(next);
        }
    }
}

impl Page {
    /// The one before it in its ring; of the first, that is the last.
    pub(super) fn previous(&self) -> u32 {
        self.previous.get()
    }
}

/// The bin for free runs of this length.
fn bin_of(pages: u32) -> usize {
    if pages <= EXACT {
        return pages as usize - 1;
    }
    let exponent = pages.ilog2();
    let eighth = (pages >> (exponent - 3)) & 7;
    (EXACT + (exponent - 5) * 8 + eighth) as usize
}

/// The shortest run of a bin beyond the exact ones.
fn lowest_of(bin: usize) -> u32 {
    let (power, eighth) = ((bin as u32 - EXACT) / 8, (bin as u32 - EXACT) % 8);
    (8 + eighth) << (power + 2)
}
