//! Random elements of hashes and sets: so many as were asked for, at a cost that grows with that number
//! rather than with all there are.

use alloc::collections::BTreeSet;

use super::argument::word;
use super::{Context, Error};
use crate::db::dict::scale;
use crate::frame::Request;
use crate::number;

/// A collection that is walked from one end to the other rather than asked for random elements.
const SMALL_LEN: usize = 512;
/// The least that an element takes in a reply.
const ELEMENT_BYTES: usize = 6;
/// What is remembered of an element that was drawn, about.
const DRAWN_BYTES: usize = 64;

/// How many elements are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    /// So many.
    pub(super) count: usize,
    /// Whether an element may come more than once, and so many come whatever there are: a negative
    /// count.
    pub(super) may_repeat: bool,
}

impl Count {
    /// Reads it.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn read(request: Request<'_>, at: usize) -> Result<Self, Error> {
        let count = number::integer(word(request, at)?).ok_or(Error::NotInteger)?;
        if count == i64::MIN {
            return Err(Error::Plain(
                "value is out of range, value must between -9223372036854775807 and \
                 9223372036854775807",
            ));
        }
        Ok(Self { count: count.unsigned_abs() as usize, may_repeat: count < 0 })
    }

    /// Checks that there is memory for a reply of so many, of a collection with `len` elements.
    ///
    /// # Errors
    /// If there is not.
    pub(super) fn check_memory(self, context: &Context<'_>, len: usize) -> Result<(), Error> {
        if self.count <= SMALL_LEN {
            return Ok(());
        }
        let bytes = if self.may_repeat {
            self.count.saturating_mul(ELEMENT_BYTES)
        } else {
            self.count.min(len).saturating_mul(DRAWN_BYTES)
        };
        context.store.check_reserve(bytes)
    }
}

/// Shows `count` different elements, or all. `all` walks over them, `one` chooses one by a random
/// number.
pub(super) fn distinct<T: Ord + Copy>(
    count: usize,
    len: usize,
    all: impl Iterator<Item = T>,
    mut one: impl FnMut(u64) -> Option<T>,
    mut random: impl FnMut() -> u64,
    mut show: impl FnMut(T),
) {
    if len <= SMALL_LEN || count >= len / 3 {
        return walk(count, len, all, random, show);
    }
    let mut drawn = BTreeSet::new();
    // At least two of three are new; many more draws than that happen in no world but a broken one.
    let mut draws = 16 * count;
    while drawn.len() < count && draws > 0 {
        draws -= 1;
        if let Some(element) = one(random())
            && drawn.insert(element)
        {
            show(element);
        }
    }
    for element in all {
        if drawn.len() >= count {
            break;
        }
        if drawn.insert(element) {
            show(element);
        }
    }
}

/// Each element is chosen with the probability that makes the rest come out right (Knuth's
/// algorithm S).
fn walk<T>(
    count: usize,
    len: usize,
    all: impl Iterator<Item = T>,
    mut random: impl FnMut() -> u64,
    mut show: impl FnMut(T),
) {
    let mut missing = count.min(len);
    for (at, element) in all.enumerate() {
        if missing == 0 {
            break;
        }
        if scale(random(), len.saturating_sub(at)) < missing {
            missing -= 1;
            show(element);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn chosen(count: usize, len: usize, seed: u64) -> Vec<usize> {
        let mut state = seed;
        let random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state ^ state >> 29
        };
        let mut chosen = Vec::new();
        distinct(
            count,
            len,
            0..len,
            |random| Some(scale(random, len)),
            random,
            |element| {
                chosen.push(element);
            },
        );
        chosen
    }

    #[test]
    fn so_many_different_ones_are_chosen() {
        for len in [0, 1, 5, 500, 2000] {
            for count in [0, 1, 3, 5, 400, 666, 667, 1999, 2000, 3000] {
                let mut some = chosen(count, len, len as u64);
                assert_eq!(some.len(), count.min(len));
                some.sort_unstable();
                some.dedup();
                assert_eq!(some.len(), count.min(len), "{count} of {len}");
            }
        }
    }

    #[test]
    fn each_is_chosen_about_as_often_as_the_others() {
        for (count, len) in [(3, 10), (300, 1000), (500, 1000)] {
            let mut times = alloc::vec![0; len];
            for seed in 0..1000 {
                for element in chosen(count, len, seed) {
                    times[element] += 1;
                }
            }
            let expected = 1000 * count / len;
            for times in times {
                assert!((expected / 2..expected * 2).contains(&times), "{times} for {expected}");
            }
        }
    }

    #[test]
    fn a_choice_that_always_repeats_comes_to_an_end() {
        let mut shown = Vec::new();
        distinct(20, 1000, 0..1000, |_| Some(7), || 0, |element| shown.push(element));
        shown.sort_unstable();
        assert_eq!(shown, (0..20).collect::<Vec<_>>());
    }
}
