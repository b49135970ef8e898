//! linked_list_allocator without its spin lock.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::RefCell;
use core::ptr::NonNull;

pub(super) struct SingleThreadHeap(RefCell<linked_list_allocator::Heap>);

impl SingleThreadHeap {
    pub(super) const fn new() -> Self {
        Self(RefCell::new(linked_list_allocator::Heap::empty()))
    }

    /// # Safety
    /// As for [`super::Heap::claim`].
    pub(super) unsafe fn claim(&self, start: usize, end: usize) {
        let first = core::ptr::with_exposed_provenance_mut(start);
        // SAFETY: as promised by the caller.
        unsafe { self.0.borrow_mut().init(first, end - start) };
    }

    /// Bytes in holes, of whatever size.
    pub(super) fn available(&self) -> usize {
        self.0.borrow().free()
    }

    /// It knows of no better place.
    pub(super) fn is_sparse(&self, _: usize) -> bool {
        false
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
