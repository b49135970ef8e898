//! Inputs for bounded runs: valid ones, changed a little by a seeded generator. The same seed gives
//! the same inputs on every machine.

/// Changes of one input at most.
const CHANGES_MAX: u64 = 6;
/// No input grows beyond this.
const INPUT_MAX_BYTES: usize = 64 * 1024;

/// Numbers from a seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below the limit; 0 if that is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit.max(1)
    }

    fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let index = self.index(items.len());
        items.get(index)
    }
}

/// Makes inputs without end.
#[derive(Clone, Debug)]
pub struct Mutator {
    random: Random,
    seeds: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl Mutator {
    /// A mutator of these seeds, which sometimes puts one of the words somewhere.
    ///
    /// # Panics
    /// If there is no seed.
    pub fn new(seed: u64, seeds: Vec<Vec<u8>>, words: Vec<Vec<u8>>) -> Self {
        assert!(!seeds.is_empty(), "nothing to mutate");
        Self { random: Random::new(seed), seeds, words }
    }

    /// The next input: a seed with some changes, or without any.
    pub fn input(&mut self) -> Vec<u8> {
        let mut input = self.random.pick(&self.seeds).cloned().unwrap_or_default();
        for _ in 0..self.random.below(CHANGES_MAX + 1) {
            self.change(&mut input);
        }
        input.truncate(INPUT_MAX_BYTES);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        match self.random.below(10) {
            0 => input.truncate(self.random.index(input.len() + 1)),
            1 => self.flip_bit(input),
            2 => self.write_number(input, 1),
            3 => self.write_number(input, 2),
            4 => self.write_number(input, 4),
            5 => self.write_number(input, 8),
            6 => self.remove(input),
            7 => self.repeat(input),
            8 => self.insert_word(input),
            _ => self.splice(input),
        }
    }

    fn flip_bit(&mut self, input: &mut [u8]) {
        let at = self.random.index(input.len());
        if let Some(byte) = input.get_mut(at) {
            *byte ^= 1 << self.random.below(8);
        }
    }

    /// Writes a number that tends to break arithmetic, often where a field of its size may be.
    fn write_number(&mut self, input: &mut [u8], bytes: usize) {
        let mut at = self.random.index(input.len());
        if self.random.below(4) > 0 {
            at -= at % bytes;
        }
        let number = self.number();
        let raw = match self.random.below(2) {
            0 => number.to_le_bytes(),
            _ => number.swap_bytes().to_le_bytes(),
        };
        for (to, from) in input.iter_mut().skip(at).zip(&raw[..bytes]) {
            *to = *from;
        }
    }

    fn number(&mut self) -> u64 {
        match self.random.below(5) {
            0 => self.random.number(),
            1 => self.random.below(16),
            2 => 1 << self.random.below(64),
            3 => u64::MAX.wrapping_sub(self.random.below(0x2000)),
            _ => 0x10_0000 + self.random.below(0x4000),
        }
    }

    /// A part of the input, mostly short.
    fn part(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.random.index(len + 1);
        let longest = if self.random.below(4) == 0 { len - start } else { 16.min(len - start) };
        start..start + self.random.index(longest + 1)
    }

    fn remove(&mut self, input: &mut Vec<u8>) {
        let part = self.part(input.len());
        input.drain(part);
    }

    fn repeat(&mut self, input: &mut Vec<u8>) {
        let part = input[self.part(input.len())].to_vec();
        self.insert(input, &part);
    }

    fn insert_word(&mut self, input: &mut Vec<u8>) {
        if let Some(word) = self.random.pick(&self.words).cloned() {
            self.insert(input, &word);
        }
    }

    fn insert(&mut self, input: &mut Vec<u8>, bytes: &[u8]) {
        let at = self.random.index(input.len() + 1);
        input.splice(at..at, bytes.iter().copied());
    }

    /// Goes on as another seed does.
    fn splice(&mut self, input: &mut Vec<u8>) {
        if let Some(other) = self.random.pick(&self.seeds).cloned() {
            let at = self.random.index(input.len().min(other.len()) + 1);
            input.truncate(at);
            input.extend(&other[at..]);
        }
    }
}
