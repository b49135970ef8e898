//! What is known of a 32-bit word: ranges in which it lies, or does not, after some of its bits were
//! looked at. A word that fits all of them is found bit by bit, or there is none.

use std::collections::BTreeSet;

/// `word & mask` lies from `low` to `high`, or outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// The bits that are looked at.
    pub(super) mask: u32,
    /// The smallest value.
    pub(super) low: u32,
    /// The largest.
    pub(super) high: u32,
    /// Whether it lies there.
    pub(super) inside: bool,
}

impl Limit {
    /// The opposite.
    pub(super) const fn not(self) -> Self {
        Self { inside: !self.inside, ..self }
    }

    pub(super) const fn fits(self, word: u32) -> bool {
        matches!(self.of(word, 0), Fit::All)
    }

    /// What is known when the bits in `open` are not chosen yet.
    const fn of(self, word: u32, open: u32) -> Fit {
        let (least, most) = (word & self.mask, (word | open) & self.mask);
        let apart = most < self.low || least > self.high;
        let within = least >= self.low && most <= self.high;
        match (self.inside, apart, within) {
            (true, _, true) | (false, true, _) => Fit::All,
            (true, true, _) | (false, _, true) => Fit::None,
            _ => Fit::Open,
        }
    }
}

/// Which of the words that begin so fit.
enum Fit {
    All,
    None,
    Open,
}

/// What a search for a word came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A word that fits.
    Word(u32),
    /// There is none.
    None,
    /// There was too much to do.
    Unknown,
}

/// Looks for a word that fits all limits. Each look at a limit is taken off `work`.
pub(super) fn find(limits: &[Limit], work: &mut u32) -> Found {
    descend(limits, 0, 32, &mut BTreeSet::new(), work)
}

/// What still matters of a word's beginning: how many bits are open, and of each limit that is open
/// the bits that it looks at. Two beginnings with the same can be finished in the same ways.
type Rest = (u32, Vec<(usize, u32)>);

/// The highest bits of `word` are chosen, the lowest `open` are not. This goes 32 deep at most.
fn descend(
    limits: &[Limit],
    word: u32,
    open: u32,
    fruitless: &mut BTreeSet<Rest>,
    work: &mut u32,
) -> Found {
    let cost = u32::try_from(limits.len()).unwrap_or(u32::MAX).saturating_add(1);
    let Some(left) = work.checked_sub(cost) else {
        *work = 0;
        return Found::Unknown;
    };
    *work = left;
    let mask = 1u32.checked_shl(open).map_or(u32::MAX, |bit| bit - 1);
    let mut rest = (open, Vec::new());
    for (at, limit) in limits.iter().enumerate() {
        match limit.of(word, mask) {
            Fit::All => {}
            Fit::None => return Found::None,
            Fit::Open => rest.1.push((at, word & limit.mask)),
        }
    }
    let Some(next) = open.checked_sub(1).filter(|_| !rest.1.is_empty()) else {
        return Found::Word(word);
    };
    if fruitless.contains(&rest) {
        return Found::None;
    }
    let mut found = descend(limits, word, next, fruitless, work);
    if found == Found::None {
        found = descend(limits, word | 1 << next, next, fruitless, work);
    }
    if found == Found::None {
        fruitless.insert(rest);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn range(low: u32, high: u32) -> Limit {
        Limit { mask: u32::MAX, low, high, inside: true }
    }

    fn search(limits: &[Limit]) -> Found {
        find(limits, &mut 1_000_000)
    }

    #[test]
    fn a_word_is_found_where_there_is_one() {
        assert_eq!(search(&[]), Found::Word(0));
        assert_eq!(search(&[range(7, 9), range(7, 7).not(), range(9, u32::MAX)]), Found::Word(9));
        assert_eq!(search(&[range(7, 8), range(7, 7).not(), range(8, 8).not()]), Found::None);
        let bit = Limit { mask: 1 << 28, low: 1 << 28, high: 1 << 28, inside: true };
        assert_eq!(search(&[bit]), Found::Word(1 << 28));
        assert_eq!(search(&[bit, bit.not()]), Found::None);
        // Bits above those that matter are not tried one by one.
        let low = Limit { mask: 0xF0, low: 0x40, high: 0x40, inside: true };
        let clash = Limit { mask: 0x10, low: 0, high: 0, inside: false };
        assert_eq!(find(&[range(6, u32::MAX), low, clash], &mut 1000), Found::None);
        assert_eq!(search(&[range(u32::MAX, u32::MAX), range(0, 0).not()]), Found::Word(u32::MAX));
    }

    #[test]
    fn a_range_full_of_exceptions_is_searched_through() {
        let mut limits: Vec<_> = (100..356).map(|word| range(word, word).not()).collect();
        limits.push(range(100, 356));
        assert_eq!(search(&limits), Found::Word(356));
        limits.push(range(356, 356).not());
        assert_eq!(search(&limits), Found::None);
        assert_eq!(find(&limits, &mut 1000), Found::Unknown);
    }
}
