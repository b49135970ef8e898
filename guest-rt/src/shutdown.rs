//! The wish of whoever started the guest that it ends: one descriptor, which becomes ready once and stays so.
//! The executor waits for it beside the devices until then, if anybody here does.

use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use crate::hypercall::{self, PollFd};
use crate::single_thread::SingleThread;
use crate::time::Instant;

/// How often a guest that never sleeps looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

static SHUTDOWN: SingleThread<State> = SingleThread::new(State::new());

/// Waits until the guest is asked to end, and is ready at once from then on. Any number of tasks may wait. What
/// has to be done then takes as long as it takes; the guest ends when `main` returns. Whoever asked may lose patience.
///
/// Nobody asks a program whose [`manifest!`](crate::manifest!) does not say `shutdown`, nor any under a tender
/// that has no supervisor, or under Solo5's: there it waits for ever.
pub const fn shutdown() -> Shutdown {
    Shutdown { slot: None }
}

/// See [`shutdown`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Shutdown {
    slot: Option<usize>,
}

impl Future for Shutdown {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        SHUTDOWN.with(|state| state.poll(&mut self.slot, context.waker()))
    }
}

impl Drop for Shutdown {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            SHUTDOWN.with(|state| state.forget(slot));
        }
    }
}

/// Waits by this descriptor from now on.
pub(crate) fn expect(fd: i32) {
    SHUTDOWN.with(|state| state.fd = Some(fd));
}

/// What a wait should include, while it has not come and somebody waits for it.
pub(crate) fn interest() -> Option<PollFd> {
    SHUTDOWN.with(|state| state.interest())
}

/// Whether somebody waits for it, be it in vain.
pub(crate) fn is_awaited() -> bool {
    SHUTDOWN.with(|state| state.is_awaited())
}

/// Takes note of what a wait that included it has found.
pub(crate) fn found(fd: PollFd) {
    let waiters = SHUTDOWN.with(|state| state.found(fd));
    waiters.into_iter().flatten().for_each(Waker::wake);
}

/// Looks now and then, where the guest has not slept for long.
pub(crate) fn look(now: Instant) {
    let Some(mut fd) = SHUTDOWN.with(|state| state.due(now)) else { return };
    let waited = hypercall::ppoll(core::slice::from_mut(&mut fd), Some(Duration::ZERO));
    if waited.is_ok() {
        found(fd);
    }
}

struct State {
    /// As long as it has not come; without one it never does.
    fd: Option<i32>,
    has_come: bool,
    /// A slot for each future that waits.
    waiters: Vec<Option<Waker>>,
    free: Vec<usize>,
    /// When a guest that does not sleep has looked; `None` if it has slept since.
    looked: Option<Instant>,
}

impl State {
    const fn new() -> Self {
        Self { fd: None, has_come: false, waiters: Vec::new(), free: Vec::new(), looked: None }
    }

    fn poll(&mut self, slot: &mut Option<usize>, waker: &Waker) -> Poll<()> {
        if self.has_come {
            *slot = None;
            return Poll::Ready(());
        }
        let slot = *slot.get_or_insert_with(|| {
            self.free.pop().unwrap_or_else(|| {
                self.waiters.push(None);
                // Room for each slot, so that a drop never allocates.
                self.free.reserve(self.waiters.len());
                self.waiters.len() - 1
            })
        });
        match &mut self.waiters[slot] {
            Some(known) => known.clone_from(waker),
            empty => *empty = Some(waker.clone()),
        }
        Poll::Pending
    }

    fn forget(&mut self, slot: usize) {
        // After it has come there are no slots.
        if let Some(waiter) = self.waiters.get_mut(slot) {
            *waiter = None;
            self.free.push(slot);
        }
    }

    fn is_awaited(&self) -> bool {
        self.free.len() < self.waiters.len()
    }

    fn interest(&self) -> Option<PollFd> {
        // A closed pipe is told without being asked for.
        self.fd.filter(|_| self.is_awaited()).map(|fd| PollFd { fd, events: 0, returned: 0 })
    }

    fn found(&mut self, fd: PollFd) -> Vec<Option<Waker>> {
        if self.fd != Some(fd.fd) {
            return Vec::new();
        }
        self.looked = None;
        if fd.returned == 0 {
            return Vec::new();
        }
        (self.fd, self.has_come, self.free) = (None, true, Vec::new());
        core::mem::take(&mut self.waiters)
    }

    fn due(&mut self, now: Instant) -> Option<PollFd> {
        let interest = self.interest()?;
        let looked = *self.looked.get_or_insert(now);
        (now - looked >= LOOK_INTERVAL).then_some(interest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::sync::Arc;
    use alloc::task::Wake;
    use core::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    const FD: i32 = 7;

    fn state() -> State {
        State { fd: Some(FD), ..State::new() }
    }

    fn with(returned: i16) -> PollFd {
        PollFd { fd: FD, events: 0, returned }
    }

    #[test]
    fn all_who_wait_are_woken_once() {
        let (mut state, count) = (state(), Arc::new(Count::default()));
        let waker = Waker::from(Arc::clone(&count));
        let mut slots = [None; 3];
        for _ in 0..5 {
            for slot in &mut slots {
                assert!(state.poll(slot, &waker).is_pending());
            }
        }
        assert_eq!(state.waiters.len(), 3);
        assert!(state.found(with(0)).is_empty());
        state.found(with(0x10)).into_iter().flatten().for_each(Waker::wake);
        assert_eq!(count.0.load(Ordering::Relaxed), 3);
        assert!(state.interest().is_none());
        for mut slot in slots.into_iter().chain([None]) {
            assert!(state.poll(&mut slot, &waker).is_ready());
            assert_eq!(slot, None);
        }
    }

    #[test]
    fn slots_are_used_again() {
        let mut state = state();
        for _ in 0..10 {
            let mut slot = None;
            assert!(state.poll(&mut slot, Waker::noop()).is_pending());
            assert!(state.interest().is_some());
            state.forget(slot.unwrap());
            assert!(state.interest().is_none());
        }
        assert_eq!(state.waiters.len(), 1);
        // Of one that came and has not been polled since.
        let mut slot = None;
        assert!(state.poll(&mut slot, Waker::noop()).is_pending());
        state.found(with(0x10));
        state.forget(slot.unwrap());
        assert!(state.poll(&mut None, Waker::noop()).is_ready());
    }

    #[test]
    fn who_does_not_sleep_looks_now_and_then() {
        let mut state = state();
        let at = |ms| Instant::EPOCH + Duration::from_millis(ms);
        assert!(state.due(at(0)).is_none());
        assert!(state.poll(&mut None, Waker::noop()).is_pending());
        let dues = (0..1000).filter(|&ms| {
            let due = state.due(at(ms));
            due.into_iter().for_each(|fd| drop(state.found(fd)));
            due.is_some()
        });
        assert!((8..=10).contains(&dues.count()));
        state.found(with(0));
        assert!(state.due(at(5000)).is_none(), "it has just slept");
    }

    #[test]
    fn nobody_comes_without_a_descriptor() {
        let mut state = State::new();
        assert!(!state.is_awaited());
        assert!(state.poll(&mut None, Waker::noop()).is_pending());
        assert!(state.is_awaited() && state.interest().is_none());
    }
}
