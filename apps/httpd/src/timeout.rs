//! Deadlines for one connection on one lazily armed timer.
//!
//! A busy connection moves its deadline with every request. To arm and cancel a timer each time
//! would cost more than the request, so a timer that is already armed for an earlier moment is
//! kept, and when it ends too early it is armed anew for what is left.

use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, ready};
use core::time::Duration;

use crate::world::Clock;

/// The deadline passed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

/// The timer of one connection. Its sleep is pinned by the owner:
///
/// ```
/// # use core::{pin::pin, time::Duration};
/// # use httpd::{Clock, timeout::{Elapsed, Watchdog}};
/// # async fn example<C: Clock>(clock: &C) {
/// let sleep = pin!(None);
/// let mut watchdog = Watchdog::new(clock, sleep);
/// let deadline = clock.now() + Duration::from_secs(10);
/// assert_eq!(watchdog.guard(deadline, core::future::pending::<()>()).await, Err(Elapsed));
/// # }
/// ```
pub struct Watchdog<'a, C: Clock> {
    clock: &'a C,
    sleep: Pin<&'a mut Option<C::Sleep>>,
    ends_at: Duration,
}

impl<'a, C: Clock> Watchdog<'a, C> {
    /// A watchdog with no timer armed.
    pub fn new(clock: &'a C, sleep: Pin<&'a mut Option<C::Sleep>>) -> Self {
        Watchdog { clock, sleep, ends_at: Duration::ZERO }
    }

    /// The output of `future`, unless `deadline` passes while it is pending.
    pub async fn guard<F: Future>(
        &mut self,
        deadline: Duration,
        future: F,
    ) -> Result<F::Output, Elapsed> {
        let mut future = pin!(future);
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => self.poll_elapsed(deadline, context).map(Err),
        })
        .await
    }

    /// Ready when the deadline has passed; wakes the task then, too.
    pub fn poll_elapsed(&mut self, deadline: Duration, context: &mut Context<'_>) -> Poll<Elapsed> {
        loop {
            if self.ends_at > deadline {
                self.sleep.set(None);
            }
            if let Some(sleep) = self.sleep.as_mut().as_pin_mut() {
                ready!(sleep.poll(context));
                self.sleep.set(None);
            }
            let now = self.clock.now();
            if now >= deadline {
                return Poll::Ready(Elapsed);
            }
            self.sleep.set(Some(self.clock.sleep(deadline - now)));
            self.ends_at = deadline;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;
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
        let sleep = pin!(None);
        let mut watchdog = Watchdog::new(&clock, sleep);
        let guard = pin!(watchdog.guard(SECOND, async { 7 }));
        assert_eq!(poll_once(guard), Poll::Ready(Ok(7)));
        assert_eq!(clock.sleeps.get(), 0);
    }

    #[test]
    fn the_deadline_ends_a_pending_future() {
        let clock = FakeClock::default();
        let sleep = pin!(None);
        let mut watchdog = Watchdog::new(&clock, sleep);
        let mut guard = pin!(watchdog.guard(SECOND, core::future::pending::<()>()));
        assert_eq!(poll_once(guard.as_mut()), Poll::Pending);
        clock.now.set(SECOND / 2);
        assert_eq!(poll_once(guard.as_mut()), Poll::Pending);
        clock.now.set(SECOND);
        assert_eq!(poll_once(guard), Poll::Ready(Err(Elapsed)));
    }

    #[test]
    fn a_moving_deadline_keeps_the_armed_timer() {
        let clock = FakeClock::default();
        let sleep = pin!(None);
        let mut watchdog = Watchdog::new(&clock, sleep);
        for step in 0..100 {
            clock.now.set(SECOND * step / 100);
            let guard =
                pin!(watchdog.guard(clock.now.get() + SECOND, core::future::pending::<()>()));
            assert_eq!(poll_once(guard), Poll::Pending);
        }
        assert_eq!(clock.sleeps.get(), 1);
        // The kept timer ends before the last deadline and is armed for the rest.
        let deadline = clock.now.get() + SECOND;
        clock.now.set(SECOND);
        let mut guard = pin!(watchdog.guard(deadline, core::future::pending::<()>()));
        assert_eq!(poll_once(guard.as_mut()), Poll::Pending);
        clock.now.set(deadline);
        assert_eq!(poll_once(guard), Poll::Ready(Err(Elapsed)));
    }

    #[test]
    fn an_earlier_deadline_replaces_the_armed_timer() {
        let clock = FakeClock::default();
        let sleep = pin!(None);
        let mut watchdog = Watchdog::new(&clock, sleep);
        {
            let guard = pin!(watchdog.guard(SECOND * 60, core::future::pending::<()>()));
            assert_eq!(poll_once(guard), Poll::Pending);
        }
        let mut guard = pin!(watchdog.guard(SECOND, core::future::pending::<()>()));
        assert_eq!(poll_once(guard.as_mut()), Poll::Pending);
        clock.now.set(SECOND);
        assert_eq!(poll_once(guard), Poll::Ready(Err(Elapsed)));
    }
}
