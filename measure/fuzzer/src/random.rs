//! Random numbers that a seed decides: xoshiro256++ (Blackman and Vigna, 2018), filled by splitmix64. Not for
//! secrets.

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Random([u64; 4]);

impl Random {
    /// The stream that belongs to this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        let mut state = [0; 4];
        let mut sum = seed;
        let mut index = 0;
        while index < 4 {
            sum = sum.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = (sum ^ (sum >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            state[index] = mixed ^ (mixed >> 31);
            index += 1;
        }
        Self(state)
    }

    /// The next 64 bits.
    pub const fn word(&mut self) -> u64 {
        let [a, b, c, d] = self.0;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.0 = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// A number below `bound`; 0 if that is 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.word() as u128 * bound as u128) >> 64) as u64
    }

    /// A number from `first` to `last`, both included.
    pub const fn within(&mut self, first: u64, last: u64) -> u64 {
        first.wrapping_add(self.below(last.wrapping_sub(first).wrapping_add(1)))
    }

    /// True once in so many times.
    pub const fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// A number as fuzzers like them: small, around a power of two, all bits set, or anything.
    pub fn number(&mut self) -> u64 {
        let power = 1u64 << self.below(64);
        match self.below(8) {
            0 | 1 => self.below(16),
            2 => self.below(4096),
            3 => power,
            4 => power.wrapping_sub(1),
            5 => self.below(16).wrapping_neg(),
            6 => self.word() as u32 as u64,
            _ => self.word(),
        }
    }

    /// Fills the slice.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.word().to_le_bytes()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_xoshiro() {
        // The first numbers for the state 1, 2, 3, 4, by the authors' rule.
        let mut random = Random([1, 2, 3, 4]);
        assert_eq!(random.word(), 41_943_041);
        assert_eq!(random.word(), 58_720_359);
        assert_eq!(Random::new(7).word(), Random::new(7).word());
        assert_ne!(Random::new(7).word(), Random::new(8).word());
    }

    #[test]
    fn keeps_to_its_bounds() {
        let mut random = Random::new(1);
        assert_eq!(random.below(0), 0);
        for _ in 0..1000 {
            assert!(random.below(3) < 3);
            assert!((5..=7).contains(&random.within(5, 7)));
        }
        random.within(0, u64::MAX);
    }
}
