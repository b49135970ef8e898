//! NewReno congestion control (RFC 5681, 6582) with byte counting (RFC 3465) and a start with ten
//! segments (RFC 6928). It knows how much may be in flight, not what is.

/// What the peer is taken to have room for on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Congestion {
    window: u32,
    threshold: u32,
    /// Bytes acknowledged in congestion avoidance since the window last grew.
    acknowledged: u32,
}

/// Never more than the largest window that TCP has.
const WINDOW_MAX: u32 = 1 << 30;

impl Congestion {
    pub(crate) const fn new(mss: u32) -> Self {
        Self { window: initial(mss), threshold: WINDOW_MAX, acknowledged: 0 }
    }

    pub(crate) const fn window(&self) -> u32 {
        self.window
    }

    #[cfg(test)]
    const fn threshold(&self) -> u32 {
        self.threshold
    }

    /// The maximum segment size has become known or has changed, before anything was sent with it.
    pub(crate) const fn restart(&mut self, mss: u32) {
        *self = Self::new(mss);
    }

    /// New data was acknowledged while the window was what held the sender back, or after a
    /// time-out.
    ///
    /// At the start it grows by all of it, as on Linux, and not by two segments at most: receivers
    /// that put segments together acknowledge dozens at once. After a time-out, an acknowledgement
    /// may be of what had arrived long before.
    pub(crate) fn acknowledge(&mut self, bytes: u32, mss: u32, is_after_timeout: bool) {
        if self.window < self.threshold {
            let bytes = if is_after_timeout { bytes.min(mss) } else { bytes };
            self.window = self.window.saturating_add(bytes).min(self.threshold);
            return;
        }
        self.acknowledged += bytes.min(self.window);
        if self.acknowledged >= self.window {
            self.acknowledged -= self.window;
            self.window = (self.window + mss).min(WINDOW_MAX);
        }
    }

    /// Segments were lost, as duplicate acknowledgements tell: recovery begins.
    pub(crate) fn lose(&mut self, in_flight: u32, mss: u32) {
        self.threshold = (in_flight / 2).max(2 * mss);
        self.window = self.threshold;
        self.acknowledged = 0;
    }

    /// Nothing was heard for a whole time-out. `again` if that is not the first in a row.
    pub(crate) fn time_out(&mut self, in_flight: u32, mss: u32, again: bool) {
        if !again {
            self.threshold = (in_flight / 2).max(2 * mss);
        }
        self.window = mss;
        self.acknowledged = 0;
    }

    /// Nothing was sent for longer than a time-out (RFC 5681, 4.1).
    pub(crate) fn idle(&mut self, mss: u32) {
        self.window = self.window.min(initial(mss));
    }
}

const fn initial(mss: u32) -> u32 {
    // RFC 6928: min(10 * MSS, max(2 * MSS, 14600)).
    let floor = if 2 * mss > 14_600 { 2 * mss } else { 14_600 };
    if 10 * mss < floor { 10 * mss } else { floor }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1460;

    #[test]
    fn doubles_in_slow_start_and_then_grows_by_a_segment() {
        let mut congestion = Congestion::new(MSS);
        assert_eq!(congestion.window(), 14_600);
        congestion.acknowledge(10 * MSS, MSS, false);
        assert_eq!(congestion.window(), 29_200);
        congestion.lose(29_200, MSS);
        assert_eq!(congestion.window(), 14_600);
        (0..5).for_each(|_| congestion.acknowledge(2 * MSS, MSS, false));
        assert_eq!(congestion.window(), 14_600 + MSS);
        congestion.time_out(20_000, MSS, false);
        assert_eq!((congestion.window(), congestion.threshold()), (MSS, 10_000));
        congestion.acknowledge(10 * MSS, MSS, true);
        assert_eq!(congestion.window(), 2 * MSS);
        congestion.time_out(MSS, MSS, true);
        assert_eq!(congestion.threshold(), 10_000, "a second time-out says nothing new");
    }
}
