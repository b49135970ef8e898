//! When to look at the wires again, and when to sleep. Sleeping and waking cost more than a look, so
//! a guest whose frames come close together keeps looking for a while; one whose frames do not sleeps
//! at once. It learns from how long it has waited lately, and refuses to look for ever.

use core::time::Duration;

use crate::time::Instant;

/// A wait shorter than this was none: the frame was there already, or nearly.
const NO_WAIT: Duration = Duration::from_micros(4);
/// How sure the pace can be that the next wait is short, and from where on it acts on that.
const SURE_MAX: u8 = 3;
const SURE: u8 = 2;

/// The pace of one guest.
#[derive(Debug)]
pub(crate) struct Pace {
    /// How long to look at most before sleeping; zero: once.
    patience: Duration,
    /// How sure it is that waits are short.
    certainty: u8,
    idle: Option<Idle>,
}

/// The time since there was something to do.
#[derive(Clone, Copy, Debug)]
struct Idle {
    since: Instant,
    has_looked: bool,
}

impl Pace {
    /// A pace that looks for at most this long before it sleeps; with zero it looks at most once.
    pub(crate) const fn new(patience: Duration) -> Self {
        Self { patience, certainty: 0, idle: None }
    }

    /// Frames went out or, with `arrived`, came in.
    pub(crate) fn moved(&mut self, now: Instant, arrived: bool) {
        if let Some(idle) = self.idle.take().filter(|_| arrived) {
            let is_short = now - idle.since <= self.patience.max(NO_WAIT);
            self.certainty = match is_short {
                true => (self.certainty + 1).min(SURE_MAX),
                false => self.certainty.saturating_sub(1),
            };
        }
    }

    /// There is nothing to do: whether to look again at once, instead of sleeping.
    pub(crate) fn looks_again(&mut self, now: Instant) -> bool {
        let idle = self.idle.get_or_insert(Idle { since: now, has_looked: false });
        let is_first = !core::mem::replace(&mut idle.has_looked, true);
        self.certainty >= SURE && (is_first || now - idle.since < self.patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPIN: Duration = Duration::from_micros(50);

    fn at(microseconds: u64) -> Instant {
        Instant::EPOCH + Duration::from_micros(microseconds)
    }

    /// Waits for a frame that comes after `wait_us`, and tells how often it looked and whether it slept.
    fn wait(pace: &mut Pace, now_us: &mut u64, wait_us: u64) -> (u32, bool) {
        let arrival = *now_us + wait_us;
        let mut looks = 0;
        while pace.looks_again(at(*now_us)) {
            *now_us += 1;
            looks += 1;
            if *now_us >= arrival {
                pace.moved(at(*now_us), true);
                return (looks, false);
            }
        }
        *now_us = arrival;
        pace.moved(at(*now_us), true);
        (looks, true)
    }

    #[test]
    fn it_sleeps_at_once_until_waits_were_short() {
        let (mut pace, mut now) = (Pace::new(SPIN), 0);
        assert_eq!(wait(&mut pace, &mut now, 20), (0, true));
        assert_eq!(wait(&mut pace, &mut now, 20), (0, true));
        assert_eq!(wait(&mut pace, &mut now, 20), (20, false));
    }

    #[test]
    fn long_waits_end_the_looking() {
        let (mut pace, mut now) = (Pace::new(SPIN), 0);
        for _ in 0..10 {
            wait(&mut pace, &mut now, 10);
        }
        assert_eq!(wait(&mut pace, &mut now, 1000), (50, true));
        assert_eq!(wait(&mut pace, &mut now, 1000), (50, true));
        assert_eq!(wait(&mut pace, &mut now, 1000), (0, true));
    }

    #[test]
    fn without_patience_it_looks_once_and_only_if_frames_are_there_already() {
        let (mut pace, mut now) = (Pace::new(Duration::ZERO), 0);
        for _ in 0..10 {
            assert_eq!(wait(&mut pace, &mut now, 10), (0, true));
        }
        for _ in 0..2 {
            assert_eq!(wait(&mut pace, &mut now, 1), (0, true));
        }
        assert_eq!(wait(&mut pace, &mut now, 1), (1, false));
        assert_eq!(wait(&mut pace, &mut now, 10), (1, true));
    }

    #[test]
    fn what_goes_out_starts_a_wait_and_teaches_nothing() {
        let mut pace = Pace::new(SPIN);
        for now in 0..10 {
            assert!(!pace.looks_again(at(now)));
            pace.moved(at(now), false);
        }
        assert!(!pace.looks_again(at(1000)));
    }
}
