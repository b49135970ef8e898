//! Sequence numbers: points on a circle of 2^32, compared by the shorter way (RFC 9293, 3.4).

use core::ops::{Add, AddAssign, Sub};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seq(pub(crate) u32);

impl Seq {
    /// Whether this comes before the other.
    pub(crate) const fn before(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// Whether this comes after the other.
    pub(crate) const fn after(self, other: Self) -> bool {
        other.before(self)
    }

    pub(crate) const fn max(self, other: Self) -> Self {
        if self.before(other) { other } else { self }
    }

    pub(crate) const fn min(self, other: Self) -> Self {
        if self.before(other) { self } else { other }
    }

    /// How far this is after an earlier one; zero if it is not.
    pub(crate) const fn since(self, earlier: Self) -> u32 {
        if self.before(earlier) { 0 } else { self.0.wrapping_sub(earlier.0) }
    }
}

impl Add<u32> for Seq {
    type Output = Self;

    fn add(self, bytes: u32) -> Self {
        Self(self.0.wrapping_add(bytes))
    }
}

impl AddAssign<u32> for Seq {
    fn add_assign(&mut self, bytes: u32) {
        *self = *self + bytes;
    }
}

impl Sub<u32> for Seq {
    type Output = Self;

    fn sub(self, bytes: u32) -> Self {
        Self(self.0.wrapping_sub(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_goes_over_the_end() {
        let last = Seq(u32::MAX);
        assert!(last.before(last + 1) && (last + 1).after(last) && !last.before(last));
        assert_eq!((last + 5).since(last), 5);
        assert_eq!(last.since(last + 5), 0);
        assert_eq!((last.max(last + 1), last.min(last + 1)), (Seq(0), last));
        assert_eq!(Seq(2) - 3, last);
    }
}
