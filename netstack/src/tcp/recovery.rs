//! Which of the segments in flight are lost, and which of those to send again: selective
//! acknowledgements (RFC 2018, 6675), or where the peer has none, NewReno (RFC 6582).
//!
//! Three marks on what is not acknowledged tell it all:
//!
//! ```text
//! unacknowledged      resent         lost              next_send
//!        |--------------|-------------|--------------------|
//!          sent again      to be         in flight
//!                        sent again
//! ```
//!
//! What the peer has selectively acknowledged is taken out of each.

use super::ranges::{Range, Ranges};
use super::seq::Seq;

/// Duplicate acknowledgements, or segments' worth above, that tell of a loss.
const THRESHOLD: u32 = 3;

pub(crate) struct Recovery {
    sacked: Ranges,
    /// What is not acknowledged before it is lost.
    lost: Seq,
    /// What is lost before it was sent again.
    resent: Seq,
    /// Recovery is over when this is acknowledged.
    until: Option<Until>,
    /// Duplicate acknowledgements of a peer without selective ones.
    duplicates: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Until {
    end: Seq,
    by_timeout: bool,
}

/// What an acknowledgement says about losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    Nothing,
    /// Recovery begins: the congestion window must be halved.
    Loss,
}

impl Recovery {
    pub(crate) const fn new(at: Seq) -> Self {
        Self { sacked: Ranges::new(), lost: at, resent: at, until: None, duplicates: 0 }
    }

    /// Whether lost segments are being repaired.
    pub(crate) const fn is_active(&self) -> bool {
        self.until.is_some()
    }

    /// Whether it began with a time-out, after which the congestion window grows as at the start.
    pub(crate) fn is_by_timeout(&self) -> bool {
        self.until.is_some_and(|until| until.by_timeout)
    }

    /// Takes a selectively acknowledged range. True if it tells anything new.
    pub(crate) fn note_sacked(
        &mut self,
        range: Range,
        unacknowledged: Seq,
        next_send: Seq,
    ) -> bool {
        // From one point on, since three on a circle may each come before the next.
        let offset = |number: Seq| number.0.wrapping_sub(unacknowledged.0);
        let is_sound = offset(range.start) < offset(range.end)
            && offset(range.end) <= next_send.since(unacknowledged);
        if !is_sound {
            return false;
        }
        let before = self.sacked.bytes();
        self.sacked.insert(range);
        self.sacked.bytes() != before
    }

    /// The peer has acknowledged everything before this, so many bytes more than before. Tells
    /// whether recovery ends with it.
    pub(crate) fn advance(
        &mut self,
        unacknowledged: Seq,
        acked: u32,
        mss: u32,
        has_sack: bool,
    ) -> bool {
        self.sacked.trim(unacknowledged);
        self.resent = self.resent.max(unacknowledged);
        self.lost = self.lost.max(unacknowledged);
        let Some(until) = self.until else {
            self.duplicates = 0;
            return false;
        };
        if !unacknowledged.before(until.end) {
            self.until = None;
            self.duplicates = 0;
            return true;
        }
        if !has_sack && !until.by_timeout {
            // RFC 6582: a partial acknowledgement tells that the next segment is lost, too.
            let next = (unacknowledged + mss).min(until.end);
            if next.after(self.lost) {
                (self.lost, self.resent) = (next, unacknowledged);
            }
            // All but the first of what it acknowledges had come before, and was counted.
            self.duplicates = self.duplicates.saturating_sub((acked / mss).saturating_sub(1));
        }
        false
    }

    /// An acknowledgement that acknowledges nothing new, from a peer without selective ones.
    pub(crate) fn note_duplicate(&mut self) {
        // After a time-out everything counts as gone, and duplicates only tell of what was sent in vain.
        if !self.is_by_timeout() {
            self.duplicates = self.duplicates.saturating_add(1);
        }
    }

    /// Looks for losses. `is_all_sent` if nothing waits to be sent for the first time.
    pub(crate) fn find_losses(
        &mut self,
        unacknowledged: Seq,
        next_send: Seq,
        mss: u32,
        is_all_sent: bool,
    ) -> Finding {
        let in_flight = next_send.since(unacknowledged);
        // RFC 5827: with few segments in flight there will never be three that tell.
        let threshold = match is_all_sent && in_flight < (THRESHOLD + 1) * mss {
            true => (in_flight.saturating_sub(1) / mss).clamp(1, THRESHOLD),
            false => THRESHOLD,
        };
        if self.sacked.is_empty() {
            if self.duplicates < threshold || self.is_active() || in_flight == 0 {
                return Finding::Nothing;
            }
            self.lost = self.lost.max((unacknowledged + mss).min(next_send));
        } else {
            let (mut bytes, mut count) = (0, 0);
            for range in self.sacked.iter().rev() {
                (bytes, count) = (bytes + range.len(), count + 1);
                if count >= threshold || bytes > (threshold - 1) * mss {
                    self.lost = self.lost.max(range.start);
                    break;
                }
            }
        }
        if self.is_active() || !self.lost.after(unacknowledged) {
            return Finding::Nothing;
        }
        self.resent = unacknowledged;
        self.until = Some(Until { end: next_send, by_timeout: false });
        Finding::Loss
    }

    /// Nothing was heard for a whole time-out: everything in flight is lost. Tells whether that
    /// happens again before anything was repaired.
    pub(crate) fn time_out(&mut self, unacknowledged: Seq, next_send: Seq) -> bool {
        let again = self.is_by_timeout();
        if again {
            // Perhaps the peer has dropped what it had acknowledged selectively (RFC 2018, 8).
            self.sacked.clear();
        }
        self.lose_all(next_send, unacknowledged);
        self.until = Some(Until { end: next_send, by_timeout: true });
        again
    }

    /// All that is in flight was too large for the way, which says nothing about how full that is
    /// (RFC 8899, 3): it is sent again.
    pub(crate) fn resend_all(&mut self, next_send: Seq, unacknowledged: Seq) {
        self.lose_all(next_send, unacknowledged);
        self.until.get_or_insert(Until { end: next_send, by_timeout: false });
    }

    fn lose_all(&mut self, next_send: Seq, unacknowledged: Seq) {
        (self.lost, self.resent, self.duplicates) = (next_send, unacknowledged, 0);
    }

    /// The next range to be sent again, at most so long.
    pub(crate) fn next_lost(&self, bytes_max: u32) -> Option<Range> {
        let start = self.sacked.first_gap(self.resent);
        if !start.before(self.lost) {
            return None;
        }
        let end = self.sacked.next_start(start).map_or(self.lost, |next| next.min(self.lost));
        Some(Range { start, end: end.min(start + bytes_max) })
    }

    /// This range was sent again.
    pub(crate) fn note_resent(&mut self, end: Seq) {
        self.resent = self.resent.max(end);
    }

    /// Bytes that are on their way, as far as is known (RFC 6675, "pipe").
    pub(crate) fn in_flight(&self, unacknowledged: Seq, next_send: Seq, mss: u32) -> u32 {
        let outstanding = next_send.since(unacknowledged);
        let to_resend =
            self.lost.since(self.resent) - self.sacked.bytes_within(self.resent, self.lost);
        let delivered = match self.sacked.is_empty() {
            true => self.duplicates.saturating_mul(mss),
            false => self.sacked.bytes(),
        };
        outstanding.saturating_sub(delivered).saturating_sub(to_resend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 100;

    fn at(segment: u32) -> Seq {
        Seq(1000 + segment * MSS)
    }

    fn sack(recovery: &mut Recovery, from: u32, to: u32) -> bool {
        recovery.note_sacked(Range { start: at(from), end: at(to) }, at(0), at(10))
    }

    #[test]
    fn holes_below_three_segments_are_lost_and_sent_again_once() {
        let mut recovery = Recovery::new(at(0));
        assert!(sack(&mut recovery, 1, 2));
        assert!(!sack(&mut recovery, 1, 2), "nothing new");
        assert_eq!(recovery.find_losses(at(0), at(10), MSS, false), Finding::Nothing);
        sack(&mut recovery, 3, 5);
        assert_eq!(recovery.find_losses(at(0), at(10), MSS, false), Finding::Loss);
        assert_eq!(recovery.in_flight(at(0), at(10), MSS), 6 * MSS, "0 is lost, 1, 3, 4 arrived");
        assert_eq!(recovery.next_lost(1000), Some(Range { start: at(0), end: at(1) }));
        recovery.note_resent(at(1));
        assert_eq!(recovery.next_lost(1000), None, "2 may still be on its way");
        sack(&mut recovery, 5, 6);
        assert_eq!(recovery.find_losses(at(0), at(10), MSS, false), Finding::Nothing);
        assert_eq!(recovery.next_lost(1000), Some(Range { start: at(2), end: at(3) }));
        assert!(!recovery.advance(at(6), 6 * MSS, MSS, true));
        assert_eq!(recovery.next_lost(1000), None);
        assert!(recovery.advance(at(10), 4 * MSS, MSS, true));
        assert!(!recovery.is_active());
    }

    #[test]
    fn ranges_that_were_never_sent_are_ignored() {
        let mut recovery = Recovery::new(at(0));
        assert!(!sack(&mut recovery, 9, 11));
        assert!(!sack(&mut recovery, 3, 2));
        assert!(!recovery.note_sacked(Range { start: at(0) - 1, end: at(1) }, at(0), at(10)));
        // Each end seems to be on the right side, as the circle between them is almost a half.
        for (start, len) in [(1u32 << 30, (1u32 << 31) - 1), (1 << 30, 3 << 30), (5, 3 << 30)] {
            let range = Range { start: at(0) + start, end: at(0) + start + len };
            assert!(!recovery.note_sacked(range, at(0), at(10)), "{range:?}");
        }
        assert_eq!(recovery.find_losses(at(0), at(10), MSS, false), Finding::Nothing);
    }

    #[test]
    fn without_selective_acknowledgements_three_duplicates_tell() {
        let mut recovery = Recovery::new(at(0));
        for _ in 0..2 {
            recovery.note_duplicate();
            assert_eq!(recovery.find_losses(at(0), at(10), MSS, false), Finding::Nothing);
        }
        recovery.note_duplicate();
        assert_eq!(recovery.find_losses(at(0), at(10), MSS, false), Finding::Loss);
        assert_eq!(recovery.next_lost(1000), Some(Range { start: at(0), end: at(1) }));
        recovery.note_resent(at(1));
        assert_eq!(recovery.in_flight(at(0), at(10), MSS), 7 * MSS);
        assert!(!recovery.advance(at(4), 4 * MSS, MSS, false), "a partial acknowledgement");
        assert_eq!(
            recovery.in_flight(at(4), at(10), MSS),
            5 * MSS,
            "4 is lost, the others are not"
        );
        assert_eq!(recovery.next_lost(1000), Some(Range { start: at(4), end: at(5) }));
        assert!(recovery.advance(at(10), 6 * MSS, MSS, false));
    }

    /// What a path did not take is sent again once, not once for every acknowledgement.
    #[test]
    fn what_was_too_large_is_sent_again_once() {
        let mut recovery = Recovery::new(at(0));
        recovery.resend_all(at(10), at(0));
        for segment in 0..10 {
            let range = Range { start: at(segment), end: at(segment + 1) };
            assert_eq!(recovery.next_lost(MSS), Some(range));
            recovery.note_resent(at(segment + 1));
        }
        for segment in 1..10 {
            assert!(!recovery.advance(at(segment), MSS, MSS, false));
            assert_eq!(recovery.find_losses(at(segment), at(10), MSS, true), Finding::Nothing);
            assert_eq!(recovery.next_lost(MSS), None, "{segment}");
        }
        assert!(recovery.advance(at(10), MSS, MSS, false));
    }

    #[test]
    fn a_time_out_loses_everything_but_what_was_acknowledged() {
        let mut recovery = Recovery::new(at(0));
        sack(&mut recovery, 2, 3);
        assert!(!recovery.time_out(at(0), at(10)));
        assert_eq!(recovery.in_flight(at(0), at(10), MSS), 0);
        assert_eq!(recovery.next_lost(1000), Some(Range { start: at(0), end: at(2) }));
        recovery.note_resent(at(2));
        assert_eq!(recovery.next_lost(150), Some(Range { start: at(3), end: at(3) + 150 }));
        assert!(recovery.time_out(at(0), at(10)), "again, and the peer may have forgotten");
        assert_eq!(recovery.next_lost(1000), Some(Range { start: at(0), end: at(10) }));
    }

    #[test]
    fn the_last_few_segments_need_fewer_duplicates() {
        let mut recovery = Recovery::new(at(0));
        sack(&mut recovery, 1, 2);
        assert_eq!(recovery.find_losses(at(0), at(2), MSS, true), Finding::Loss);
    }
}
