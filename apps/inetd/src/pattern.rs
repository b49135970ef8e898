//! The pattern of the character generator: lines of 72 printable characters, each line beginning
//! one character later than the one before it.

use alloc::vec::Vec;

const FIRST: u8 = b' ';
/// ASCII's printable characters.
const CHARACTERS: usize = 95;
const LINE_CHARACTERS: usize = 72;
/// After as many lines it begins anew.
const PERIOD_BYTES: usize = CHARACTERS * (LINE_CHARACTERS + 2);
/// As many whole periods as fit into 64 KiB, so that the end leads to the beginning.
const PERIODS: usize = (64 << 10) / PERIOD_BYTES;

/// A piece of the pattern that can be repeated.
#[derive(Clone, Debug)]
pub struct Pattern(Vec<u8>);

impl Pattern {
    /// Makes it.
    pub fn new() -> Self {
        let mut bytes = Vec::with_capacity(PERIODS * PERIOD_BYTES);
        for line in 0..PERIODS * CHARACTERS {
            let character = |at: usize| FIRST + ((line + at) % CHARACTERS) as u8;
            bytes.extend((0..LINE_CHARACTERS).map(character));
            bytes.extend(b"\r\n");
        }
        Self(bytes)
    }

    /// All of it, at most 64 KiB. The same follows.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its beginning; at most as many bytes as there are.
    pub fn start(&self, bytes: usize) -> &[u8] {
        &self.0[..bytes.min(self.0.len())]
    }
}

impl Default for Pattern {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    #[test]
    fn the_first_lines_are_those_of_the_rfc() {
        let pattern = Pattern::new();
        let text = String::from_utf8(pattern.start(PERIOD_BYTES).to_vec()).unwrap();
        let lines: Vec<&str> = text.split("\r\n").collect();
        let first = " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg";
        assert_eq!(lines[0], first);
        assert_eq!(lines[1], &(String::from(&first[1..]) + "h"));
        assert!(lines[94].starts_with("~ !\"#") && lines[95].is_empty());
    }

    #[test]
    fn it_can_be_repeated_and_is_not_too_long() {
        let pattern = Pattern::new();
        assert!(pattern.bytes().len() <= 64 << 10);
        let (first, rest) = pattern.bytes().split_at(PERIOD_BYTES);
        assert_eq!(first, &rest[rest.len() - PERIOD_BYTES..]);
        assert_eq!(pattern.start(usize::MAX), pattern.bytes());
    }
}
