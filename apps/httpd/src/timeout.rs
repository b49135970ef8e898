//! Deadlines for one connection on one lazily armed timer.
//!
//! A busy connection moves its deadline with every request. To arm and cancel a timer each time
//! would cost more than the request, so a timer that is already armed for an earlier moment is
//! kept, and when it ends too early it is armed anew for what is left.

use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;

use crate::world::Clock;

/// The deadline passed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

/// The timer of one connection:
///
/// ```
/// # use core::{task::Poll, time::Duration};
/// # use httpd::{Clock, timeout::{Elapsed, Watchdog}};
/// # async fn example<C: Clock>(clock: &C) {
/// let mut watchdog = Watchdog::new(clock);
/// let deadline = clock.now() + Duration::from_secs(10);
/// assert_eq!(watchdog.guard(deadline, |_| Poll::<()>::Pending).await, Err(Elapsed));
/// # }
/// ```
pub struct Watchdog<'a, C: Clock> {
    clock: &'a C,
    sleep: Option<C::Sleep>,
    ends_at: Duration,
}

impl<'a, C: Clock> Watchdog<'a, C> {
    /// A watchdog with no timer armed.
    pub fn new(clock: &'a C) -> Self {
        Watchdog { clock, sleep: None, ends_at: Duration::ZERO }
    }

    /// What `poll` comes to, unless `deadline` passes while it is pending. It takes a function and no
    /// future, which would lie in the connection's own for as long as that waits.
    pub fn guard<T>(
        &mut self,
        deadline: Duration,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> impl Future<Output = Result<T, Elapsed>> {
        poll_fn(move |context| match poll(context) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => self.poll_elapsed(deadline, context).map(Err),
        })
    }

    fn poll_elapsed(&mut self, deadline: Duration, context: &mut Context<'_>) -> Poll<Elapsed> {
        loop {
            if self.ends_at > deadline {
                self.sleep = None;
            }
            if let Some(sleep) = &mut self.sleep {
                ready!(Pin::new(sleep).poll(context));
                self.sleep = None;
            }
            let now = self.clock.now();
            if now >= deadline {
                return Poll::Ready(Elapsed);
            }
            self.sleep = Some(self.clock.sleep(deadline - now));
            self.ends_at = deadline;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;
    use core::pin::pin;
    use core::task::Waker;
    use std::rc::Rc;

    #[derive(Clone, Default)]
    struct FakeClock {
        now: Rc<Cell<Duration>>,
        sleeps: Rc<Cell<u32>>,
    }

    struct FakeSleep {
        clock: FakeClock,
        until: Duration,
    }

    impl Future for FakeSleep {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            match self.clock.now.get() >= self.until {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }
    }

    impl Clock for FakeClock {
        type Sleep = FakeSleep;
        fn now(&self) -> Duration {
            self.now.get()
        }
        fn wall_unix_seconds(&self) -> u64 {
            0
        }
        fn sleep(&self, duration: Duration) -> FakeSleep {
            self.sleeps.set(self.sleeps.get() + 1);
            FakeSleep { clock: self.clone(), until: self.now.get() + duration }
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_ready_future_needs_no_timer() {
        let clock = FakeClock::default();
        let mut watchdog = Watchdog::new(&clock);
        let guard = pin!(watchdog.guard(SECOND, |_| Poll::Ready(7)));
        assert_eq!(poll_once(guard), Poll::Ready(Ok(7)));
        assert_eq!(clock.sleeps.get(), 0);
    }

    #[test]
    fn the_deadline_ends_a_pending_future() {
        let clock = FakeClock::default();
        let mut watchdog = Watchdog::new(&clock);
        let mut guard = pin!(watchdog.guard(SECOND, |_| Poll::<()>::Pending));
        assert_eq!(poll_once(guard.as_mut()), Poll::Pending);
        clock.now.set(SECOND / 2);
        assert_eq!(poll_once(guard.as_mut()), Poll::Pending);
        clock.now.set(SECOND);
        assert_eq!(poll_once(guard), Poll::Ready(Err(Elapsed)));
    }

    #[test]
    fn a_moving_deadline_keeps_the_armed_timer() {
        let clock = FakeClock::default();
        let mut watchdog = Watchdog::new(&clock);
        for step in 0..100 {
            clock.now.set(SECOND * step / 100);
            let guard = pin!(watchdog.guard(clock.now.get() + SECOND, |_| Poll::<()>::Pending));
            assert_eq!(poll_once(guard), Poll::Pending);
        }
        assert_eq!(clock.sleeps.get(), 1);
        // The kept timer ends before the last deadline and is armed for the rest.
        let deadline = clock.now.get() + SECOND;
        clock.now.set(SECOND);
        let mut guard = pin!(watchdog.guard(deadline, |_| Poll::<()>::Pending));
        assert_eq!(poll_once(guard.as_mut()), Poll::Pending);
        clock.now.set(deadline);
        assert_eq!(poll_once(guard), Poll::Ready(Err(Elapsed)));
    }

    #[test]
    fn an_earlier_deadline_replaces_the_armed_timer() {
        let clock = FakeClock::default();
        let mut watchdog = Watchdog::new(&clock);
        {
            let guard = pin!(watchdog.guard(SECOND * 60, |_| Poll::<()>::Pending));
            assert_eq!(poll_once(guard), Poll::Pending);
        }
        let mut guard = pin!(watchdog.guard(SECOND, |_| Poll::<()>::Pending));
        assert_eq!(poll_once(guard.as_mut()), Poll::Pending);
        clock.now.set(SECOND);
        assert_eq!(poll_once(guard), Poll::Ready(Err(Elapsed)));
    }
}
