//! When to look at the wires again, and when to sleep. Sleeping and waking cost more than a look, so
//! a guest whose frames come close together keeps looking for a while; one whose frames do not sleeps
//! at once. It learns from how long it has waited lately, and refuses to look for ever.
//!
//! Where other programs want the processor, one that looks gets less of it than one that sleeps. A look
//! that took long was interrupted by one; then the guest sleeps for some milliseconds instead of looking,
//! and for longer the more often that happens.

use core::time::Duration;

use crate::time::Instant;

/// A wait shorter than this was none: the frame was there already, or nearly. One look finds it.
const NO_WAIT: Duration = Duration::from_micros(4);
/// From one look to the next it takes less, unless another program was given the processor.
const DISTURBED: Duration = Duration::from_micros(100);
/// How long there is no looking after that: at first, and at most.
const REST_MIN: Duration = Duration::from_millis(2);
const REST_MAX: Duration = Duration::from_millis(128);
/// A disturbance after this long is the first one again.
const MEMORY: Duration = Duration::from_secs(1);

/// The pace of one guest.
#[derive(Debug)]
pub(crate) struct Pace {
    /// How long to look at most before sleeping; zero: once.
    patience: Duration,
    /// That the next frame is there already, so that one look is enough.
    at_once: Guess,
    /// That it comes within the patience, if it is not there.
    soon: Guess,
    idle: Option<Idle>,
    disturbed_at: Instant,
    rest: Duration,
}

/// How sure it is of something, by how often that was right lately.
#[derive(Clone, Copy, Debug, Default)]
struct Guess(u8);

impl Guess {
    const MAX: u8 = 8;
    const SURE: u8 = 4;
    /// To look in vain costs several times of what a sleep does.
    const WRONG: u8 = 4;

    fn learn(&mut self, right: bool) {
        self.0 = match right {
            true => (self.0 + 1).min(Self::MAX),
            false => self.0.saturating_sub(Self::WRONG),
        };
    }

    fn is_sure(self) -> bool {
        self.0 >= Self::SURE
    }
}

/// The time since there was something to do.
#[derive(Clone, Copy, Debug)]
struct Idle {
    since: Instant,
    /// When it decided to look again, if that was its last decision.
    looking: Option<Instant>,
}

impl Pace {
    /// A pace that looks for at most this long before it sleeps; with zero it looks at most once.
    pub(crate) const fn new(patience: Duration) -> Self {
        let (disturbed_at, rest) = (Instant::EPOCH, Duration::ZERO);
        let (at_once, soon) = (Guess(0), Guess(0));
        Self { patience, at_once, soon, idle: None, disturbed_at, rest }
    }

    /// Frames went out or, with `arrived`, came in.
    pub(crate) fn moved(&mut self, now: Instant, arrived: bool) {
        self.notice(now);
        if let Some(idle) = self.idle.take().filter(|_| arrived) {
            let waited = now - idle.since;
            let at_once = waited <= NO_WAIT;
            self.at_once.learn(at_once);
            if !at_once {
                self.soon.learn(waited <= self.patience);
            }
        }
    }

    /// There is nothing to do: whether to look again at once, instead of sleeping.
    pub(crate) fn looks_again(&mut self, now: Instant) -> bool {
        self.notice(now);
        let is_first = self.idle.is_none();
        let spins = self.soon.is_sure() && now - self.disturbed_at >= self.rest;
        let idle = self.idle.get_or_insert(Idle { since: now, looking: None });
        let looks = match is_first {
            true => spins || self.at_once.is_sure(),
            false => spins && now - idle.since < self.patience,
        };
        idle.looking = looks.then_some(now);
        looks
    }

    /// Notices if the last look was interrupted.
    fn notice(&mut self, now: Instant) {
        let looking = self.idle.and_then(|idle| idle.looking);
        if looking.is_some_and(|looking| now - looking > DISTURBED) {
            self.disturb(now);
        }
    }

    fn disturb(&mut self, now: Instant) {
        let is_again = now - self.disturbed_at < MEMORY;
        self.rest = if is_again { (2 * self.rest).min(REST_MAX) } else { REST_MIN };
        self.disturbed_at = now;
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
        for _ in 0..4 {
            assert_eq!(wait(&mut pace, &mut now, 20), (0, true));
        }
        assert_eq!(wait(&mut pace, &mut now, 20), (20, false));
    }

    #[test]
    fn frames_that_are_there_are_no_reason_to_look_for_long() {
        let (mut pace, mut now) = (Pace::new(SPIN), 0);
        for _ in 0..20 {
            for _ in 0..5 {
                wait(&mut pace, &mut now, 1);
            }
            let (looks, has_slept) = wait(&mut pace, &mut now, 1000);
            assert!(looks <= 1 && has_slept);
        }
    }

    #[test]
    fn some_long_waits_are_too_many() {
        let (mut pace, mut now) = (Pace::new(SPIN), 0);
        for _ in 0..20 {
            assert_eq!(wait(&mut pace, &mut now, 1000), (0, true));
            for _ in 0..3 {
                assert_eq!(wait(&mut pace, &mut now, 10), (0, true));
            }
        }
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
        for _ in 0..4 {
            assert_eq!(wait(&mut pace, &mut now, 1), (0, true));
        }
        assert_eq!(wait(&mut pace, &mut now, 1), (1, false));
        assert_eq!(wait(&mut pace, &mut now, 10), (1, true));
    }

    #[test]
    fn it_does_not_look_where_others_want_the_processor() {
        let (mut pace, mut now) = (Pace::new(SPIN), 10_000_000);
        let disturb = |pace: &mut Pace, now: &mut u64| {
            for _ in 0..10 {
                wait(pace, now, 10);
            }
            assert_eq!(wait(pace, now, 10), (10, false));
            assert!(pace.looks_again(at(*now)));
            *now += 3000;
            assert!(!pace.looks_again(at(*now)));
            pace.moved(at(*now), true);
        };
        for rest_us in [2_000, 4_000, 8_000] {
            disturb(&mut pace, &mut now);
            let until = now + rest_us;
            wait(&mut pace, &mut now, 10);
            while now + 100 < until {
                assert_eq!(wait(&mut pace, &mut now, 10), (0, true));
            }
            now = until;
        }
        now += 1_000_000;
        disturb(&mut pace, &mut now);
        now += 2_000;
        for _ in 0..10 {
            wait(&mut pace, &mut now, 10);
        }
        assert_eq!(wait(&mut pace, &mut now, 10), (10, false));
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
