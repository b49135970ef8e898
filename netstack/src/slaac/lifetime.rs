//! How long something that was advertised is good for.

use smoltcp::time::{Duration, Instant};

use super::advert::FOREVER;

/// The end of a lifetime; later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Until {
    At(Instant),
    Forever,
}

impl Until {
    pub(super) fn after(now: Instant, seconds: u32) -> Self {
        match seconds {
            FOREVER => Self::Forever,
            seconds => Self::At(now + Duration::from_secs(seconds.into())),
        }
    }

    pub(super) fn is_over(self, now: Instant) -> bool {
        self <= Self::At(now)
    }

    pub(super) fn instant(self) -> Option<Instant> {
        match self {
            Self::At(at) => Some(at),
            Self::Forever => None,
        }
    }
}
