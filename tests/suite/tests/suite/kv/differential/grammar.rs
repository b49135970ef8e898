//! Random commands, from patterns.
//!
//! A pattern is words: `[ a | b ]` may be there, `( a | b )` is, `{ a }` is there once or more, `< a >` often, and what begins with `$`
//! is a random word of a kind (see [`word`](Grammar::word)), or with `@` a key of a kind, the same in the whole line.
//! Several patterns, parted by `;`, are sent one behind the other.

use std::collections::HashMap;

use super::patterns::{PATTERNS, Pattern};
use super::random::Random;
use super::rule::Rule;
use super::wire::Words;

/// Patterns are spoilt once in so many times.
const SPOILT: usize = 25;
/// Keys of a kind; few, so that commands meet.
const KEYS: usize = 4;
/// Keys of the kinds that any command may be told instead of its own.
const OTHERS: [&str; 4] = ["s", "l", "h", "t"];

const OPEN: [&str; 4] = ["[", "(", "{", "<"];
const CLOSED: [&str; 4] = ["]", ")", "}", ">"];

const TEXTS: [&[u8]; 14] = [
    b"",
    b"a",
    b"b",
    b"c",
    b"hello",
    b"12",
    b"-7",
    b"1.5",
    b"z\0z",
    b"\r\n",
    b"\xff\xfe\x80",
    b"0",
    b"3.0e3",
    b"*",
];
const INTEGERS: [&str; 15] = [
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "-9223372036854775809",
    "4294967296",
    "2147483648",
    "-2147483649",
    "abc",
    "",
    "1.5",
    "+1",
    "01",
    " 1",
    "1 ",
    "-0",
];
const SCORES: [&str; 21] = [
    "inf",
    "-inf",
    "+inf",
    "Infinity",
    "1e3",
    "0.5",
    "-0.25",
    "2.75",
    "nan",
    "abc",
    "",
    "1e400",
    "-1e400",
    "1e-400",
    "-0",
    "1e17",
    "12345678901234567890",
    "+5",
    " 1",
    "1 ",
    ".5",
];
const TIMES: [&str; 8] = [
    "0",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775",
    "abc",
    "",
    "1.5",
];
const BOUNDS: [&str; 14] = [
    "inf", "-inf", "+inf", "(inf", "(-inf", "1e3", "(0.5", "-.25", "nan", "abc", "(x", "((1", "1 ",
    "[1",
];
const INCREMENTS: [&str; 16] = [
    "0.5", "0.25", "-0.125", "1", "-3", "100", "3.0e3", "0.1", "0.3", "abc", "", "inf", "nan",
    "1 ", "-inf", "5e-1",
];
const PATTERNS_OF_KEYS: [&str; 13] =
    ["*", "s*", "?1", "[a-h]?", "[^a-h]*", "\\*", "h1", "*1*", "", "[", "a[b", "s**1", "[z-a]*"];
const TYPES: [&str; 14] =
    ["u8", "i8", "u1", "i1", "u63", "i64", "u7", "i13", "u32", "i33", "u64", "i0", "x", "i65"];
/// What a spoilt command has in the place of a word; no time at which something would expire soon.
const SPOILERS: [&str; 10] = [
    "",
    "x",
    "0",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "1.5",
    "nan",
    "NX",
    "COUNT",
];

/// A command, and how its replies are compared.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) words: Words,
    pub(super) rule: Rule,
}

/// Makes commands.
pub(super) struct Grammar {
    random: Random,
    weight: usize,
}

impl Grammar {
    pub(super) fn new(random: Random) -> Self {
        Self { random, weight: PATTERNS.iter().map(|pattern| pattern.weight).sum() }
    }

    /// Some number, for whoever needs one.
    pub(super) fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// The next commands, for the same connection.
    pub(super) fn next(&mut self) -> Vec<Sent> {
        let pattern = self.pattern();
        let mut bound = HashMap::new();
        let lines = pattern.line.trim_start_matches("! ").split(" ; ").zip(pattern.rules);
        let mut commands: Vec<Sent> = lines
            .map(|(line, rule)| {
                let tokens: Vec<&str> = line.split(' ').collect();
                let mut words = Vec::new();
                self.expand(&tokens, &mut words, &mut bound);
                Sent { words, rule: *rule }
            })
            .collect();
        if let [command] = &mut commands[..]
            && pattern.is_spoilable()
            && self.random.one_in(SPOILT)
        {
            self.spoil(&mut command.words);
        }
        commands
    }

    fn pattern(&mut self) -> &'static Pattern {
        let mut at = self.random.below(self.weight);
        for pattern in PATTERNS {
            match at.checked_sub(pattern.weight) {
                Some(rest) => at = rest,
                None => return pattern,
            }
        }
        &PATTERNS[0]
    }

    /// A command that may be wrong.
    fn spoil(&mut self, words: &mut Words) {
        let at = self.random.below(words.len());
        let spoiler = self.random.pick(&SPOILERS).as_bytes().to_vec();
        match at {
            0 => words.push(spoiler),
            _ if self.random.one_in(3) => drop(words.remove(at)),
            _ if self.random.one_in(2) => words.insert(at, words[at].clone()),
            _ => words[at] = spoiler,
        }
    }

    /// Writes what tokens stand for.
    fn expand<'a>(
        &mut self,
        tokens: &[&'a str],
        words: &mut Words,
        bound: &mut HashMap<&'a str, Vec<u8>>,
    ) {
        let mut at = 0;
        while at < tokens.len() {
            let token = tokens[at];
            if !OPEN.contains(&token) {
                words.push(match token.as_bytes() {
                    [b'$', kind, ..] => self.word(*kind),
                    [b'@', kind, ..] => {
                        bound.entry(token).or_insert_with(|| self.key(*kind)).clone()
                    }
                    literal if self.random.one_in(8) => literal.to_ascii_lowercase(),
                    literal => literal.to_vec(),
                });
                at += 1;
                continue;
            }
            let (choices, end) = choices(tokens, at + 1);
            let times = match token {
                "[" => usize::from(self.random.one_in(3)),
                "{" if self.random.one_in(8) => 1 + self.random.below(20),
                "<" => 50 + self.random.below(350),
                "{" => 1 + self.random.below(3),
                _ => 1,
            };
            for _ in 0..times {
                let choice = *self.random.pick(&choices);
                self.expand(choice, words, bound);
            }
            at = end;
        }
    }

    /// A key of the kind, and never another.
    fn key(&mut self, kind: u8) -> Vec<u8> {
        format!("{}{}", char::from(kind), self.random.below(KEYS)).into_bytes()
    }

    /// A word of the kind that a letter says.
    fn word(&mut self, kind: u8) -> Vec<u8> {
        let random = &mut self.random;
        match kind {
            // Keys of strings, lists, hashes, sets ("t"), and sorted sets. Those of "q" and "y" are never anything but
            // lists, and sorted sets with one score.
            b'q' | b'y' => self.key(kind),
            b's' | b'l' | b'h' | b't' | b'z' => {
                let other = random.one_in(8).then(|| random.pick(&OTHERS).as_bytes()[0]);
                self.key(other.unwrap_or(kind))
            }
            // Any other key.
            b'k' => {
                let kind = *random.pick(b"slhtz");
                self.key(kind)
            }
            // Values, members and fields.
            b'v' => match random.below(12) {
                0..6 => random.pick(&TEXTS).to_vec(),
                6..10 => random.within(-3, 30).to_string().into_bytes(),
                10 => vec![b'v'; *random.pick(&[20, 44, 45, 64, 65, 200])],
                _ => vec![b'x'; *random.pick(&[20, 63, 64, 65, 300, 3000])],
            },
            b'm' => match random.below(10) {
                0..5 => random.within(-3, 30).to_string().into_bytes(),
                5..8 => vec![b'a' + random.below(10) as u8],
                8 => random.pick(&TEXTS).to_vec(),
                _ => vec![b'm'; *random.pick(&[2, 64, 65])],
            },
            b'M' if random.one_in(2) => format!("member:{}", random.below(1000)).into_bytes(),
            b'M' | b'I' => random.within(-500, 500).to_string().into_bytes(),
            b'p' => random.pick(&PATTERNS_OF_KEYS).as_bytes().to_vec(),
            b'T' => random.pick(&TYPES).as_bytes().to_vec(),
            // Databases.
            b'd' if random.one_in(15) => (*random.pick(&["16", "-1", "x", "", "15"])).into(),
            b'd' => random.within(0, 2).to_string().into_bytes(),
            b'E' | b'P' | b'A' | b'X' => self.time(kind),
            _ => self.number(kind),
        }
    }

    /// A number, or a bound.
    fn number(&mut self, kind: u8) -> Vec<u8> {
        let random = &mut self.random;
        match kind {
            // Integers: any, indices, counts, offsets, offsets of bits.
            b'i' if !random.one_in(5) => random.within(-20, 20).to_string().into_bytes(),
            b'n' if !random.one_in(20) => random.within(-12, 12).to_string().into_bytes(),
            b'c' if !random.one_in(20) => random.within(-3, 6).to_string().into_bytes(),
            // Without the least, of which BITFIELD makes the largest in Redis 7.0 where it saturates.
            b'j' if !random.one_in(5) => random.within(-20, 20).to_string().into_bytes(),
            b'j' => (*random.pick(&["9223372036854775807", "-2147483649", "256", "x", ""])).into(),
            // How many random elements; Redis does reply two thousand million of them.
            b'R' => random.within(-5, 30).to_string().into_bytes(),
            // Ranks; not the least integer, which Redis 7.0 takes.
            b'r' => random.within(-5, 5).to_string().into_bytes(),
            b'o' if !random.one_in(20) => random.within(-1, 70).to_string().into_bytes(),
            b'B' if !random.one_in(20) => random.within(-1, 300).to_string().into_bytes(),
            b'o' | b'B' => {
                (*random.pick(&["4294967296", "-1", "x", "", "9223372036854775807"])).into()
            }
            b'i' | b'n' | b'c' => random.pick(&INTEGERS).as_bytes().to_vec(),
            // Floating point numbers: what is added, scores, bounds of scores, and of members.
            b'f' => random.pick(&INCREMENTS).as_bytes().to_vec(),
            b'x' | b'w' => match random.below(6) {
                0 => random.pick(&SCORES).as_bytes().to_vec(),
                _ => random.within(-10, 20).to_string().into_bytes(),
            },
            b'b' if random.one_in(8) => random.pick(&BOUNDS).as_bytes().to_vec(),
            b'b' => {
                let bracket = if random.one_in(4) { "(" } else { "" };
                let bound = random.within(-10, 20).to_string();
                [bracket, &bound].concat().into_bytes()
            }
            b'e' => match random.below(8) {
                0 => (*random.pick(&["-", "+", "-", "+", "a", "", "(", "["])).into(),
                _ => [&[*random.pick(b"[(")][..], &self.word(b'm')].concat(),
            },
            _ => panic!("a pattern has ${}", char::from(kind)),
        }
    }

    /// A time: seconds or milliseconds from now, or since the epoch. None at which something would expire soon.
    fn time(&mut self, kind: u8) -> Vec<u8> {
        let random = &mut self.random;
        if random.one_in(15) {
            return random.pick(&TIMES).as_bytes().to_vec();
        }
        let (first, last) = match kind {
            b'E' => (10_000, 9_000_000),
            b'P' => (10_000_000, 9_000_000_000),
            b'A' => (4_000_000_000, 4_000_000_100),
            _ => (4_000_000_000_000, 4_000_000_000_100),
        };
        random.within(first, last).to_string().into_bytes()
    }
}

/// The choices from a place to the bracket that ends them, and where it goes on.
fn choices<'a, 'b>(tokens: &'b [&'a str], start: usize) -> (Vec<&'b [&'a str]>, usize) {
    let (mut found, mut from, mut depth) = (Vec::new(), start, 0);
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match *token {
            token if OPEN.contains(&token) => depth += 1,
            "|" if depth == 0 => {
                found.push(&tokens[from..at]);
                from = at + 1;
            }
            token if CLOSED.contains(&token) && depth == 0 => {
                found.push(&tokens[from..at]);
                return (found, at + 1);
            }
            token if CLOSED.contains(&token) => depth -= 1,
            _ => {}
        }
    }
    panic!("a bracket is not closed in {tokens:?}")
}
