//! Statics of a program that has one thread.

use core::cell::RefCell;

/// A value that only the guest's single thread can reach.
pub(crate) struct SingleThread<T>(RefCell<T>);

// SAFETY: a guest has one thread and no signal handlers; nothing in the ABI can start another.
// On the host, where tests of this crate run threads, each test uses values of its own.
unsafe impl<T> Sync for SingleThread<T> {}

impl<T> SingleThread<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    /// Runs `f` on the value. A nested call on the same value is a mistake in this crate and panics.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.0.borrow_mut())
    }
}
