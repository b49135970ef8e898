//! Commands of Redis's protocol (RESP 2), several at once if that is asked for. Every answer is checked.

mod reader;

use std::fmt;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use lexopt::{Arg, Parser, ValueExt};

use super::client::{Answers, Load, Protocol};
use super::window::Window;
use crate::bench::number;
use crate::bench::rounds::Random;
use crate::unexpected;
use reader::{Expected, Reader};

/// Of a key's number, with zeros in front.
const DIGITS: usize = 12;
/// What a value is made of.
const FILLING: u8 = b'x';

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// The value of a key that is there.
    Get,
    /// A new value for a key.
    Set,
    /// One more in a counter.
    Incr,
    /// An element in front of a list.
    Lpush,
    /// One `SET` for nine `GET`s.
    Mixed,
}

impl Command {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [Self::Get, Self::Set, Self::Incr, Self::Lpush, Self::Mixed];

    /// By its name.
    ///
    /// # Errors
    /// If there is none of that name.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|command| command.to_string() == name);
        found.with_context(|| {
            format!("'{name}' is no command; there are get, set, incr, lpush, mixed")
        })
    }

    /// Whether it is about the keys that [`Plan::fills`] sets.
    pub(crate) fn needs_keys(self) -> bool {
        matches!(self, Self::Get | Self::Set | Self::Mixed)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Incr => "incr",
            Self::Lpush => "lpush",
            Self::Mixed => "mixed",
        })
    }
}

/// The key of this number.
pub(crate) fn key(number: u64) -> String {
    format!("key:{number:0DIGITS$}")
}

/// The value that all keys have.
pub(crate) fn value(bytes: usize) -> Vec<u8> {
    vec![FILLING; bytes]
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How to ask.
    pub(crate) load: Load,
    /// What to ask for.
    pub(crate) command: Command,
    /// Commands of a connection that are on their way at a time.
    pub(crate) depth: usize,
    /// How many keys there are, of which each is as likely as the others.
    pub(crate) keys: u64,
    /// Bytes of a value.
    pub(crate) value_bytes: usize,
    /// Decides which keys come.
    pub(crate) seed: u64,
    /// Whether each key is set once, in order, and that is all.
    pub(crate) fills: bool,
}

impl Plan {
    /// The words of a worker.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut words = vec!["resp".to_owned()];
        words.extend(self.load.words());
        let mut add = |name: &str, value: String| words.extend([format!("--{name}"), value]);
        add("command", self.command.to_string());
        add("depth", self.depth.to_string());
        add("keys", self.keys.to_string());
        add("bytes", self.value_bytes.to_string());
        add("seed", self.seed.to_string());
        words.extend(self.fills.then(|| "--fill".to_owned()));
        words
    }

    /// Reads them, behind the first.
    fn parse(words: &mut Parser) -> Result<Self> {
        let mut plan = Self {
            load: Load::empty(Window::empty()),
            command: Command::Get,
            depth: 1,
            keys: 1,
            value_bytes: 3,
            seed: 0,
            fills: false,
        };
        while let Some(word) = words.next()? {
            match word {
                Arg::Long("command") => plan.command = Command::parse(&words.value()?.string()?)?,
                Arg::Long("depth") => plan.depth = number(words, "--depth")?,
                Arg::Long("keys") => plan.keys = number(words, "--keys")?,
                Arg::Long("bytes") => plan.value_bytes = number(words, "--bytes")?,
                Arg::Long("seed") => plan.seed = number(words, "--seed")?,
                Arg::Long("fill") => plan.fills = true,
                Arg::Long(name) => {
                    let name = name.to_owned();
                    ensure!(plan.load.take(&name, words)?, "a client has no --{name}");
                }
                other => return Err(unexpected(other, "bench")),
            }
        }
        plan.load.check()?;
        ensure!(plan.depth > 0 && plan.keys > 0, "a client without commands or keys");
        ensure!(plan.keys <= 10u64.pow(DIGITS as u32), "a key has {DIGITS} digits");
        Ok(plan)
    }
}

/// The task of a worker.
pub(in super::super) fn main(words: &mut Parser) -> Result<ExitCode> {
    let plan = Plan::parse(words)?;
    let mut outcome = plan.load.run(Resp::new(&plan))?;
    if plan.fills {
        let (keys, answers) = (plan.keys, outcome.answers);
        let complaint = outcome.complaint.take().unwrap_or_default();
        if answers != keys {
            bail!("of {keys} keys {answers} were set in time: {complaint}");
        }
    }
    println!("{}", outcome.to_json());
    Ok(ExitCode::SUCCESS)
}

/// A command with room for the digits of its key.
#[derive(Debug)]
struct Template {
    bytes: Vec<u8>,
    digits_at: usize,
}

impl Template {
    /// The command of these words, of which the second is a key that begins so.
    fn new(name: &str, prefix: &str, value: Option<&[u8]>) -> Self {
        let words = if value.is_some() { 3 } else { 2 };
        let key_bytes = prefix.len() + DIGITS;
        let head = format!("*{words}\r\n${}\r\n{name}\r\n${key_bytes}\r\n{prefix}", name.len());
        let digits_at = head.len();
        let mut bytes = head.into_bytes();
        bytes.extend([b'0'; DIGITS]);
        bytes.extend(b"\r\n");
        if let Some(value) = value {
            bytes.extend(format!("${}\r\n", value.len()).bytes());
            bytes.extend(value);
            bytes.extend(b"\r\n");
        }
        Self { bytes, digits_at }
    }

    fn append(&self, number: u64, out: &mut Vec<u8>) {
        let start = out.len() + self.digits_at;
        out.extend_from_slice(&self.bytes);
        let mut rest = number;
        for digit in out[start..start + DIGITS].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
}

struct Resp {
    command: Command,
    depth: usize,
    keys: u64,
    /// Keys that are still to be set, each once.
    next_to_fill: Option<u64>,
    random: Random,
    templates: [Template; 4],
    /// The answer to a `GET`.
    value: Vec<u8>,
    request: Vec<u8>,
    complaint: Option<String>,
}

const GET: usize = 0;
const SET: usize = 1;
const INCR: usize = 2;
const LPUSH: usize = 3;

impl Resp {
    fn new(plan: &Plan) -> Self {
        let value = value(plan.value_bytes);
        let templates = [
            Template::new("GET", "key:", None),
            Template::new("SET", "key:", Some(&value)),
            Template::new("INCR", "counter:", None),
            Template::new("LPUSH", "list:", Some(&value)),
        ];
        let bulk = [format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();
        Self {
            command: plan.command,
            depth: plan.depth,
            keys: plan.keys,
            next_to_fill: plan.fills.then_some(0),
            random: Random::new(plan.seed),
            templates,
            value: bulk,
            request: Vec::new(),
            complaint: None,
        }
    }

    fn add_one(&mut self, reader: &mut Reader) {
        if let Some(key) = &mut self.next_to_fill {
            if *key < self.keys {
                self.templates[SET].append(*key, &mut self.request);
                reader.expect(Expected::Ok);
                *key += 1;
            }
            return;
        }
        let (template, expected) = match self.command {
            Command::Get => (GET, Expected::Value),
            Command::Set => (SET, Expected::Ok),
            Command::Incr => (INCR, Expected::Count),
            Command::Lpush => (LPUSH, Expected::Count),
            Command::Mixed if self.random.below(10) == 0 => (SET, Expected::Ok),
            Command::Mixed => (GET, Expected::Value),
        };
        let key = self.random.below(self.keys);
        self.templates[template].append(key, &mut self.request);
        reader.expect(expected);
    }
}

impl Protocol for Resp {
    type Reader = Reader;

    fn request(&mut self, reader: &mut Reader) -> Option<&[u8]> {
        self.request.clear();
        for _ in 0..self.depth {
            self.add_one(reader);
        }
        Some(&*self.request).filter(|request| !request.is_empty())
    }

    fn take(&mut self, reader: &mut Reader, bytes: &[u8]) -> Result<Option<Answers>> {
        let complaint = &mut self.complaint;
        reader.take(bytes, &self.value, &mut |answer| {
            complaint.get_or_insert_with(|| String::from_utf8_lossy(answer).into_owned());
        })
    }

    fn depth(&self) -> u64 {
        self.depth as u64
    }

    fn is_done(&self) -> bool {
        self.next_to_fill.is_some_and(|key| key >= self.keys)
    }

    fn complaint(&self) -> Option<String> {
        self.complaint.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn plan() -> Plan {
        Plan {
            load: Load {
                window: Window {
                    address: "10.0.0.1:6379".parse().unwrap(),
                    warm_up: Duration::from_millis(500),
                    time: Duration::from_secs(5),
                    watched: vec![7],
                },
                connections: 50,
                is_short: false,
                rate: Some(1000),
            },
            command: Command::Mixed,
            depth: 16,
            keys: 1000,
            value_bytes: 3,
            seed: 9,
            fills: true,
        }
    }

    #[test]
    fn plans_are_read_as_written() {
        let mut words = Parser::from_args(plan().words());
        words.next().unwrap();
        assert_eq!(Plan::parse(&mut words).unwrap(), plan());
        for command in Command::ALL {
            assert_eq!(Command::parse(&command.to_string()).unwrap(), command);
        }
        assert!(Command::parse("del").is_err());
    }

    #[test]
    fn commands_are_written_as_redis_reads_them() {
        let first = |command, depth| {
            let plan = Plan { command, depth, keys: 1, fills: false, ..plan() };
            let mut resp = Resp::new(&plan);
            let request = resp.request(&mut Reader::default()).unwrap().to_vec();
            String::from_utf8(request).unwrap()
        };
        assert_eq!(first(Command::Get, 1), "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000000\r\n");
        let set = "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000000\r\n$3\r\nxxx\r\n";
        assert_eq!(first(Command::Set, 2), set.repeat(2));
        assert_eq!(first(Command::Incr, 1), "*2\r\n$4\r\nINCR\r\n$20\r\ncounter:000000000000\r\n");
        let push = "*3\r\n$5\r\nLPUSH\r\n$17\r\nlist:000000000000\r\n$3\r\nxxx\r\n";
        assert_eq!(first(Command::Lpush, 1), push);
    }

    #[test]
    fn filling_sets_each_key_once() {
        let mut resp = Resp::new(&Plan { keys: 40, ..plan() });
        let mut all = String::new();
        for count in [16, 16, 8] {
            assert!(!resp.is_done());
            let mut reader = Reader::default();
            let request = resp.request(&mut reader).unwrap().to_vec();
            all += &String::from_utf8(request).unwrap();
            let answers = resp.take(&mut reader, &b"+OK\r\n".repeat(count)).unwrap();
            assert_eq!(answers, Some(Answers { right: count as u64, wrong: 0 }));
        }
        assert!(resp.is_done() && resp.request(&mut Reader::default()).is_none());
        for key in 0..40 {
            assert_eq!(all.matches(&(super::key(key) + "\r\n")).count(), 1);
        }
    }

    #[test]
    fn keys_are_spread_and_one_command_of_ten_sets() {
        let plan = Plan { depth: 1, fills: false, keys: 10, ..plan() };
        let mut resp = Resp::new(&plan);
        let (mut sets, mut keys) = (0, [0; 10]);
        for _ in 0..10_000 {
            let request = resp.request(&mut Reader::default()).unwrap();
            sets += usize::from(request.starts_with(b"*3"));
            let digits = request.windows(4).position(|window| window == b"key:").unwrap() + 4;
            keys[usize::from(request[digits + DIGITS - 1] - b'0')] += 1;
        }
        assert!((800..1200).contains(&sets), "{sets}");
        assert!(keys.iter().all(|count| (800..1200).contains(count)), "{keys:?}");
    }

    #[test]
    fn what_was_wrong_is_kept() {
        let mut resp = Resp::new(&Plan { command: Command::Get, depth: 2, fills: false, ..plan() });
        let mut reader = Reader::default();
        resp.request(&mut reader).unwrap();
        let answers = resp.take(&mut reader, b"-OOM no room\r\n$3\r\nxxx\r\n").unwrap();
        assert_eq!(answers, Some(Answers { right: 1, wrong: 1 }));
        assert_eq!(resp.complaint().as_deref(), Some("-OOM no room\r\n"));
    }
}
