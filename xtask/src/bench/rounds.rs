//! The order of runs: every round in another one, so that no candidate always runs in the wake of
//! the same other; from a fixed seed, so that two benches run alike.

/// The order in which `count` candidates run in a round.
pub(super) fn order(count: usize, round: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut random = Random::new(round);
    for last in (1..count).rev() {
        order.swap(last, random.below(last as u64 + 1) as usize);
    }
    order
}

/// Numbers that look random and follow from a seed: SplitMix64.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// From a seed.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number below a bound that is small beside 2^64.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_runs_once_a_round() {
        for round in 0..100 {
            let mut order = order(7, round);
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2, 3, 4, 5, 6]);
        }
        assert!(order(0, 1).is_empty());
    }

    #[test]
    fn everyone_follows_everyone_else_about_as_often() {
        let mut followed = [[0u32; 4]; 4];
        for round in 0..1200 {
            for pair in order(4, round).windows(2) {
                followed[pair[0]][pair[1]] += 1;
            }
        }
        // 1200 rounds of 3 pairs, spread over 12.
        for (from, row) in followed.iter().enumerate() {
            for (to, &times) in row.iter().enumerate() {
                let expected = if from == to { 0..=0 } else { 240..=360 };
                assert!(expected.contains(&times), "{from} then {to}: {times}");
            }
        }
    }
}
