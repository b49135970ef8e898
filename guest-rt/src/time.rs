//! Clocks, sleeping and time-outs. Where the tender lets the guest read the processor's cycle counter,
//! reading a clock is no system call, but for one now and then, at most about one a second. Elsewhere it is,
//! and [`recent`] is not.

use alloc::collections::BTreeMap;
use core::fmt;
use core::future::{Future, poll_fn};
use core::ops::{Add, Sub};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
pub use core::time::Duration;

use solo5_sys::extension;

use crate::clock::{Clock, Host};
use crate::single_thread::SingleThread;
use crate::{arch, hypercall};

/// A point of the monotonic clock, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The clock's epoch.
    pub(crate) const EPOCH: Self = Self(0);

    /// The time that has passed since `earlier`; zero if that is later.
    pub const fn duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The time since the clock's epoch, which is the host's and means nothing by itself.
    pub const fn since_epoch(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    pub(crate) fn to_netstack(self) -> netstack::Instant {
        netstack::Instant::from_micros((self.0 / 1000) as i64)
    }

    pub(crate) fn from_netstack(instant: netstack::Instant) -> Self {
        Self(u64::try_from(instant.total_micros()).unwrap_or(0).saturating_mul(1000))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanoseconds))
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.duration_since(earlier)
    }
}

/// The monotonic clock now.
pub fn now() -> Instant {
    Instant(CLOCK.with(|clock| clock.monotonic_ns(&mut Calls)))
}

/// The monotonic clock when the executor last looked, at the beginning of its turn: without a
/// look at any clock, and exact enough for time-outs.
pub fn recent() -> Instant {
    RECENT.with(|recent| *recent)
}

/// The time since 1970-01-01 00:00 UTC, as the host's clock has it. When somebody sets that clock, this
/// one may follow up to a second later.
pub fn unix_time() -> Duration {
    Duration::from_nanos(CLOCK.with(|clock| clock.wall_ns(&mut Calls)))
}

/// The time since the guest started.
pub fn uptime() -> Duration {
    now() - START.with(|start| *start)
}

/// Waits for at least `duration`.
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(now() + duration)
}

/// Waits until the executor's clock has reached `deadline`.
pub const fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline, timer: None }
}

/// The time-out of [`timeout`] has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timed out")
    }
}

impl core::error::Error for Elapsed {}

/// Runs `future` for at most `duration`, counted from the executor's turn; then it is dropped.
///
/// # Errors
/// [`Elapsed`] if it did not end in time.
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let mut sleep = pin!(sleep_until(recent() + duration));
    poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        sleep.as_mut().poll(context).map(|()| Err(Elapsed))
    })
    .await
}

/// The processor and the kernel.
struct Calls;

impl Host for Calls {
    fn counter(&mut self) -> u64 {
        arch::timestamp_counter()
    }

    fn clock_ns(&mut self, clock_id: i32) -> u64 {
        u64::try_from(hypercall::clock(clock_id).as_nanos()).unwrap_or(u64::MAX)
    }
}

static CLOCK: SingleThread<Clock> = SingleThread::new(Clock::of_host());
static START: SingleThread<Instant> = SingleThread::new(Instant::EPOCH);
static RECENT: SingleThread<Instant> = SingleThread::new(Instant::EPOCH);
static TIMERS: SingleThread<Timers> = SingleThread::new(Timers::new());

/// Reads the clocks from the cycle counter from now on.
pub(crate) fn use_counter(estimate: extension::Clock) {
    CLOCK.with(|clock| *clock = Clock::by_counter(estimate));
}

pub(crate) fn mark_start() {
    let start = refresh();
    START.with(|slot| *slot = start);
}

/// Reads the clock for [`recent`].
pub(crate) fn refresh() -> Instant {
    let now = now();
    RECENT.with(|recent| *recent = now);
    now
}

/// The same where that takes no call, else `now`.
pub(crate) fn refresh_by_counter(now: Instant) -> Instant {
    if CLOCK.with(|clock| clock.has_counter()) { refresh() } else { now }
}

/// Wakes what is due and returns when the next timer is.
pub(crate) fn fire(now: Instant) -> Option<Instant> {
    while let Some(waker) = TIMERS.with(|timers| timers.pop_due(now)) {
        waker.wake();
    }
    TIMERS.with(|timers| timers.waiting.first_key_value().map(|(&(deadline, _), _)| deadline))
}

/// Sleepers by deadline; the number tells those with equal deadlines apart.
struct Timers {
    waiting: BTreeMap<(Instant, u64), Waker>,
    next: u64,
}

impl Timers {
    const fn new() -> Self {
        Self { waiting: BTreeMap::new(), next: 0 }
    }

    fn insert(&mut self, deadline: Instant, waker: &Waker) -> u64 {
        self.next += 1;
        self.waiting.insert((deadline, self.next), waker.clone());
        self.next
    }

    fn pop_due(&mut self, now: Instant) -> Option<Waker> {
        let first = self.waiting.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

/// Ends when its deadline has come, see [`sleep`]. Dropping it frees its timer.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Sleep {
    deadline: Instant,
    timer: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if recent() >= self.deadline {
            return Poll::Ready(());
        }
        let deadline = self.deadline;
        TIMERS.with(|timers| match self.timer {
            Some(number) => {
                timers
                    .waiting
                    .entry((deadline, number))
                    .and_modify(|waker| waker.clone_from(context.waker()))
                    .or_insert_with(|| context.waker().clone());
            }
            None => self.timer = Some(timers.insert(deadline, context.waker())),
        });
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(number) = self.timer {
            TIMERS.with(|timers| timers.waiting.remove(&(self.deadline, number)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_due_in_order_and_once() {
        let mut timers = Timers::new();
        let waker = Waker::noop();
        for nanoseconds in [30, 10, 20, 10] {
            timers.insert(Instant(nanoseconds), waker);
        }
        assert!(timers.pop_due(Instant(9)).is_none());
        assert!(timers.pop_due(Instant(10)).is_some());
        assert!(timers.pop_due(Instant(10)).is_some());
        assert!(timers.pop_due(Instant(10)).is_none());
        assert!(timers.pop_due(Instant(30)).is_some());
        assert!(timers.pop_due(Instant(30)).is_some());
        assert!(timers.waiting.is_empty());
    }

    #[test]
    fn instants_saturate() {
        assert_eq!(Instant(1) - Instant(2), Duration::ZERO);
        assert_eq!(Instant(1) + Duration::MAX, Instant(u64::MAX));
    }
}
