//! SipHash-1-3: a keyed hash, so that a remote who chooses ports and addresses cannot make
//! connections collide, and a cheap source of numbers that it cannot foresee.

/// The secret of a stack.
#[derive(Clone, Copy)]
pub(crate) struct HashKey {
    k0: u64,
    k1: u64,
}

impl HashKey {
    /// Two independent words from one seed.
    pub(crate) fn from_seed(seed: u64) -> Self {
        let seeded = Self { k0: seed, k1: seed ^ 0x9e37_79b9_7f4a_7c15 };
        Self { k0: seeded.hash(&[0]), k1: seeded.hash(&[1]) }
    }

    /// The SipHash-1-3 of the words' little-endian bytes.
    pub(crate) fn hash(&self, words: &[u64]) -> u64 {
        let mut state = State {
            v0: self.k0 ^ 0x736f_6d65_7073_6575,
            v1: self.k1 ^ 0x646f_7261_6e64_6f6d,
            v2: self.k0 ^ 0x6c79_6765_6e65_7261,
            v3: self.k1 ^ 0x7465_6462_7974_6573,
        };
        for &word in words {
            state.compress(word);
        }
        state.compress((words.len() as u64 * 8) << 56);
        state.finish()
    }
}

struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
    fn compress(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.v0 ^= word;
    }

    fn finish(mut self) -> u64 {
        self.v2 ^= 0xff;
        for _ in 0..3 {
            self.round();
        }
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }

    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v2 = self.v2.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::hash::Hasher;
    use std::collections::hash_map::DefaultHasher;

    /// The standard library's default hasher is SipHash-1-3 with a zero key.
    #[test]
    fn equals_the_standard_librarys_siphash() {
        let key = HashKey { k0: 0, k1: 0 };
        for words in [&[][..], &[7], &[1, 2], &[u64::MAX, 0x0123_4567_89ab_cdef, 42]] {
            let mut reference = DefaultHasher::new();
            words.iter().for_each(|word| reference.write(&word.to_le_bytes()));
            assert_eq!(key.hash(words), reference.finish(), "{words:?}");
        }
    }

    #[test]
    fn seeds_make_different_keys() {
        assert_ne!(HashKey::from_seed(1).hash(&[5]), HashKey::from_seed(2).hash(&[5]));
    }
}
