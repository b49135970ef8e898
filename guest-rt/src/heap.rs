//! The heap: all memory from the end of the program to the end of the guest. When it is exhausted,
//! fallible allocations fail and the others end the guest by a panic.
//!
//! It costs the same with ten objects and with ten million. Small objects lie without headers in
//! spans of slots of one size (`spans`, `classes`), large ones have pages of their own (`pages`).

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;

#[cfg(not(feature = "linked-list"))]
mod classes;
#[cfg(feature = "linked-list")]
mod linked_list;
#[cfg(not(feature = "linked-list"))]
mod pages;
#[cfg(not(feature = "linked-list"))]
mod spans;

#[cfg(feature = "linked-list")]
use linked_list::SingleThreadHeap as Inner;
#[cfg(not(feature = "linked-list"))]
use spans::Spans as Inner;

/// The allocator of a guest; `guest_rt::main` declares one as the global allocator.
pub struct Heap {
    inner: Inner,
    size: Cell<usize>,
    used: Cell<usize>,
}

// SAFETY: a guest has one thread and no signal handlers.
unsafe impl Sync for Heap {}

impl Heap {
    /// A heap without memory.
    #[expect(clippy::new_without_default, reason = "must be const")]
    pub const fn new() -> Self {
        Self { inner: Inner::new(), size: Cell::new(0), used: Cell::new(0) }
    }

    /// Gives the heap its memory.
    ///
    /// # Safety
    /// The addresses from `start` to `end` are writable memory that nobody else uses, for as
    /// long as the program runs; this is called once.
    pub unsafe fn claim(&self, start: usize, end: usize) {
        self.size.set(end - start);
        // SAFETY: as promised by the caller.
        unsafe { self.inner.claim(start, end) };
    }

    /// Bytes that were asked for and not yet freed, and all that there are. What the allocator
    /// itself needs is in neither.
    pub fn usage(&self) -> (usize, usize) {
        (self.used.get(), self.size.get())
    }

    /// See [`heap_available`].
    pub fn available(&self) -> usize {
        self.inner.available()
    }

    /// See [`heap_would_move`].
    pub fn would_move(&self, address: usize) -> bool {
        self.inner.is_sparse(address)
    }
}

// SAFETY: allocation is the inner allocator's; only a count is added.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are the inner allocator's.
        let address = unsafe { self.inner.alloc(layout) };
        if !address.is_null() {
            self.used.set(self.used.get() + layout.size());
        }
        address
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        self.used.set(self.used.get() - layout.size());
        // SAFETY: the caller's promises are the inner allocator's.
        unsafe { self.inner.dealloc(address, layout) };
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: the caller's promises are the inner allocator's.
        let moved = unsafe { self.inner.realloc(address, layout, bytes) };
        if !moved.is_null() {
            self.used.set(self.used.get() - layout.size() + bytes);
        }
        moved
    }
}

unsafe extern "Rust" {
    /// Defined by `guest_rt::main`.
    fn __guest_heap_usage() -> (usize, usize);
    fn __guest_heap_available() -> usize;
    fn __guest_heap_would_move(address: usize) -> bool;
}

/// Bytes of the heap that the program has in use, and the heap's size in bytes.
pub fn heap_usage() -> (usize, usize) {
    // SAFETY: defined by the program with the same signature.
    unsafe { __guest_heap_usage() }
}

/// Bytes of the heap that serve for objects of any size: whole pages that nobody has. There may be
/// room for more small objects, beside others of their size, and none for one as large as this.
pub fn heap_available() -> usize {
    // SAFETY: defined by the program with the same signature.
    unsafe { __guest_heap_available() }
}

/// Whether an object of at most 14 KiB lies among many free places, so that a copy of it would lie among
/// fewer. A program whose objects had other sizes a while ago has free places of those sizes all over the
/// heap. If it goes through its objects now and then, and replaces by copies those of which this says
/// so, [`heap_available`] grows. `object` is a whole allocation, what is in a `Box` or a `Vec`.
pub fn heap_would_move<T: ?Sized>(object: &T) -> bool {
    let address = core::ptr::from_ref(object).addr();
    // SAFETY: defined by the program with the same signature.
    unsafe { __guest_heap_would_move(address) }
}

#[cfg(test)]
mod tests;
