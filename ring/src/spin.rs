//! For how long a side looks for frames before it sleeps. To sleep and be woken takes both sides a
//! system call and the host a switch; to look takes a processor that others may need: perhaps the
//! very side that is to send the frame. So it is tried what it is good for: each look that catches a
//! frame makes the next one longer, each in vain makes it shorter, down to none. Then, of very many sleeps that
//! are so short that a look may have caught the frame, one begins with a look again.

/// Short sleeps without a look, of which the last one makes the next sleep begin with one.
const SHORT_SLEEPS: u32 = 64;

/// How many nanoseconds to look, between none and a maximum.
#[derive(Clone, Copy, Debug)]
pub struct Spin {
    now_ns: u64,
    max_ns: u64,
    short_sleeps: u32,
}

impl Spin {
    /// Never looks longer than this; never at all for zero.
    pub const fn new(max_ns: u64) -> Self {
        Self { now_ns: max_ns, max_ns, short_sleeps: 0 }
    }

    /// For how long to look now.
    pub const fn limit_ns(&self) -> u64 {
        self.now_ns
    }

    /// Whether it can ever be more than nothing.
    pub const fn is_off(&self) -> bool {
        self.max_ns == 0
    }

    /// Takes note of what a look was good for.
    pub const fn looked(&mut self, caught: bool) {
        if caught {
            self.now_ns = if self.now_ns > self.max_ns / 2 { self.max_ns } else { self.now_ns * 2 };
        } else {
            self.now_ns /= 2;
            if self.now_ns < self.max_ns / 4 {
                self.now_ns = 0;
            }
        }
    }

    /// Takes note of a sleep.
    pub const fn slept(&mut self, sleep_ns: u64) {
        if self.now_ns > 0 || sleep_ns > self.max_ns {
            return;
        }
        self.short_sleeps += 1;
        if self.short_sleeps >= SHORT_SLEEPS {
            self.short_sleeps = 0;
            self.now_ns = self.max_ns;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_in_vain_end_the_looking_and_many_short_sleeps_try_it_again() {
        let mut spin = Spin::new(20_000);
        for expected in [20_000, 10_000, 5_000, 0, 0] {
            assert_eq!(spin.limit_ns(), expected);
            spin.looked(false);
            spin.slept(1_000_000);
        }
        for _ in 0..SHORT_SLEEPS - 1 {
            spin.slept(20_000);
            assert_eq!(spin.limit_ns(), 0);
        }
        spin.slept(20_001);
        spin.slept(20_000);
        assert_eq!(spin.limit_ns(), 20_000);
        spin.looked(false);
        spin.looked(true);
        assert_eq!(spin.limit_ns(), 20_000);
    }

    #[test]
    fn what_is_off_stays_off() {
        let mut spin = Spin::new(0);
        (0..100).for_each(|_| spin.slept(0));
        spin.looked(true);
        assert_eq!((spin.limit_ns(), spin.is_off()), (0, true));
    }
}
