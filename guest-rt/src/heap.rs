//! The heap: all memory from the end of the program to the end of the guest. When it is exhausted,
//! fallible allocations fail and the others end the guest by a panic.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;

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
        unsafe { self.inner.claim(core::ptr::with_exposed_provenance_mut(start), end - start) };
    }

    /// Bytes that were asked for and not yet freed, and all that there are. What the allocator
    /// itself needs is in neither.
    pub fn usage(&self) -> (usize, usize) {
        (self.used.get(), self.size.get())
    }
}

// SAFETY: allocation is the inner allocator's; only a count is added.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are the inner allocator's.
        let address = unsafe { self.inner.0.alloc(layout) };
        if !address.is_null() {
            self.used.set(self.used.get() + layout.size());
        }
        address
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        self.used.set(self.used.get() - layout.size());
        // SAFETY: the caller's promises are the inner allocator's.
        unsafe { self.inner.0.dealloc(address, layout) };
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: the caller's promises are the inner allocator's.
        let moved = unsafe { self.inner.0.realloc(address, layout, bytes) };
        if !moved.is_null() {
            self.used.set(self.used.get() - layout.size() + bytes);
        }
        moved
    }
}

unsafe extern "Rust" {
    /// Defined by `guest_rt::main`.
    fn __guest_heap_usage() -> (usize, usize);
}

/// Bytes of the heap that the program has in use, and the heap's size in bytes.
pub fn heap_usage() -> (usize, usize) {
    // SAFETY: defined by the program with the same signature.
    unsafe { __guest_heap_usage() }
}

#[cfg(not(feature = "linked-list"))]
use talc_heap::Inner;

#[cfg(not(feature = "linked-list"))]
mod talc_heap {
    //! talc behind a lock that is none.

    use talc::TalcLock;
    use talc::source::Manual;

    /// There is one thread, so there is nothing to lock out.
    pub(super) struct NoLock;

    // SAFETY: with one thread no two holders exist at a time.
    unsafe impl lock_api::RawMutex for NoLock {
        const INIT: Self = Self;
        type GuardMarker = lock_api::GuardNoSend;

        fn lock(&self) {}

        fn try_lock(&self) -> bool {
            true
        }

        unsafe fn unlock(&self) {}
    }

    pub(super) struct Inner(pub(super) TalcLock<NoLock, Manual>);

    impl Inner {
        pub(super) const fn new() -> Self {
            Self(TalcLock::new(Manual))
        }

        /// # Safety
        /// As for [`super::Heap::claim`].
        pub(super) unsafe fn claim(&self, start: *mut u8, bytes: usize) {
            // SAFETY: as promised by the caller. A memory too small for talc stays unused.
            let _ = unsafe { self.0.lock().claim(start, bytes) };
        }
    }
}

#[cfg(feature = "linked-list")]
use linked_list_heap::Inner;

#[cfg(feature = "linked-list")]
mod linked_list_heap {
    //! linked_list_allocator without its spin lock.

    use core::alloc::{GlobalAlloc, Layout};
    use core::cell::RefCell;
    use core::ptr::NonNull;

    pub(super) struct SingleThreadHeap(RefCell<linked_list_allocator::Heap>);

    pub(super) struct Inner(pub(super) SingleThreadHeap);

    impl Inner {
        pub(super) const fn new() -> Self {
            Self(SingleThreadHeap(RefCell::new(linked_list_allocator::Heap::empty())))
        }

        /// # Safety
        /// As for [`super::Heap::claim`].
        pub(super) unsafe fn claim(&self, start: *mut u8, bytes: usize) {
            // SAFETY: as promised by the caller.
            unsafe { self.0.0.borrow_mut().init(start, bytes) };
        }
    }

    // SAFETY: linked_list_allocator hands out disjoint blocks of the claimed memory.
    unsafe impl GlobalAlloc for SingleThreadHeap {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            let block = self.0.borrow_mut().allocate_first_fit(layout);
            block.map_or(core::ptr::null_mut(), NonNull::as_ptr)
        }

        unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
            if let Some(address) = NonNull::new(address) {
                // SAFETY: as promised by the caller.
                unsafe { self.0.borrow_mut().deallocate(address, layout) };
            }
        }
    }
}
