//! What the neighbour table may learn. smoltcp keeps 64 neighbours and forgets the one it heard of
//! longest ago; so answers that the stack asked for always pass, and everything else (requests of
//! others, answers to nothing) only at a low rate. A flood of ARP then cannot push out the router
//! of a connection that is in use, since each packet from the router makes its entry young again.
//!
//! Nor can it hide the stack: those who ask for its address beyond that rate are answered without
//! learning from them, at a far higher rate.

use core::net::Ipv4Addr;

use smoltcp::time::{Duration, Instant};

const LEARNED_PER_PERIOD: u32 = 16;
const ANSWERED_PER_PERIOD: u32 = 1024;
const PERIOD: Duration = Duration::from_secs(1);
/// smoltcp asks at most once in a second, so few questions are open at a time.
const QUESTIONS: usize = 4;

pub(crate) struct Neighbours {
    asked: [Option<Ipv4Addr>; QUESTIONS],
    oldest: usize,
    learning: Budget,
    answering: Budget,
}

impl Neighbours {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            asked: [None; QUESTIONS],
            oldest: 0,
            learning: Budget::new(LEARNED_PER_PERIOD, now),
            answering: Budget::new(ANSWERED_PER_PERIOD, now),
        }
    }

    /// The stack has sent an ARP request.
    pub(crate) fn note_question(&mut self, target: Ipv4Addr) {
        if !self.asked.contains(&Some(target)) {
            self.asked[self.oldest] = Some(target);
            self.oldest = (self.oldest + 1) % QUESTIONS;
        }
    }

    /// Whether an ARP packet of this sender may reach smoltcp.
    pub(crate) fn admit(&mut self, now: Instant, sender: Ipv4Addr) -> bool {
        if let Some(question) = self.asked.iter_mut().find(|question| **question == Some(sender)) {
            *question = None;
            return true;
        }
        self.learning.spend(now)
    }

    /// Whether a request that must not reach smoltcp may be answered.
    pub(crate) fn may_answer(&mut self, now: Instant) -> bool {
        self.answering.spend(now)
    }
}

/// So many in each period.
struct Budget {
    per_period: u32,
    left: u32,
    period_ends_at: Instant,
}

impl Budget {
    fn new(per_period: u32, now: Instant) -> Self {
        Self { per_period, left: per_period, period_ends_at: now + PERIOD }
    }

    fn spend(&mut self, now: Instant) -> bool {
        if now >= self.period_ends_at {
            self.left = self.per_period;
            self.period_ends_at = now + PERIOD;
        }
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_but_answers_pass() {
        let mut neighbours = Neighbours::new(Instant::ZERO);
        let router = Ipv4Addr::new(10, 0, 0, 1);
        let admitted =
            (0..1000).filter(|&n| neighbours.admit(Instant::ZERO, Ipv4Addr::from_bits(n))).count();
        assert_eq!(admitted, LEARNED_PER_PERIOD as usize);
        assert!(!neighbours.admit(Instant::ZERO, router));
        neighbours.note_question(router);
        assert!(neighbours.admit(Instant::ZERO, router));
        assert!(!neighbours.admit(Instant::ZERO, router), "one answer to one question");
        assert!(neighbours.admit(Instant::from_secs(1), router), "a new period");
    }
}
