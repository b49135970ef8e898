//! The protocol as the differential tester needs it: requests out, and replies in with their exact kinds, so that two
//! replies are equal only if a client could not tell them apart.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail, ensure};
use suite::run::TIME_OUT;

/// A command's words.
pub(super) type Words = Vec<Vec<u8>>;

/// Words of a line without blanks in them.
pub(super) fn words(line: &str) -> Words {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

/// A command as a person may read it, or type it into `redis-cli`.
pub(super) fn shown(words: &[Vec<u8>]) -> String {
    let quoted = |word: &Vec<u8>| match word.iter().all(u8::is_ascii_graphic) && !word.is_empty() {
        true => String::from_utf8_lossy(word).into_owned(),
        false => format!("\"{}\"", word.escape_ascii()),
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// A reply, of whatever version of the protocol.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reply {
    /// What one line says, behind the sign that stands at its front.
    Line(u8, Vec<u8>),
    /// A text with its length, behind its sign.
    Text(u8, Vec<u8>),
    /// A null that has the sign of another kind.
    Null(u8),
    /// What has others in it; a map has its keys and values in turn.
    Many(u8, Vec<Self>),
}

impl Reply {
    /// Its text, if it is no list.
    pub(super) fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Line(_, text) | Self::Text(_, text) => Some(text),
            Self::Null(_) | Self::Many(..) => None,
        }
    }

    /// What it has in it.
    pub(super) fn parts(&self) -> &[Self] {
        if let Self::Many(_, parts) = self { parts } else { &[] }
    }

    /// Whether it is the line that says so.
    pub(super) fn is_line(&self, text: &str) -> bool {
        matches!(self, Self::Line(b'+', line) if line == text.as_bytes())
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(sign, text) => {
                write!(f, "{}{}", char::from(*sign), text.escape_ascii())
            }
            Self::Text(sign, text) => {
                write!(f, "{}\"{}\"", char::from(*sign), text.escape_ascii())
            }
            Self::Null(sign) => write!(f, "{}null", char::from(*sign)),
            Self::Many(sign, parts) => {
                write!(f, "{}", char::from(*sign))?;
                f.debug_list().entries(parts).finish()
            }
        }
    }
}

/// A connection to a server.
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
    waiting: Vec<u8>,
}

impl Connection {
    pub(super) fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(TIME_OUT))?;
        stream.set_write_timeout(Some(TIME_OUT))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), waiting: Vec::new() })
    }

    /// Adds a request to those that [`send`](Self::send) sends.
    pub(super) fn add(&mut self, words: &[Vec<u8>]) {
        self.waiting.extend(format!("*{}\r\n", words.len()).bytes());
        for word in words {
            self.waiting.extend(format!("${}\r\n", word.len()).bytes());
            self.waiting.extend(word);
            self.waiting.extend(b"\r\n");
        }
    }

    pub(super) fn send(&mut self) -> Result<()> {
        self.stream.get_mut().write_all(&self.waiting)?;
        self.waiting.clear();
        Ok(())
    }

    /// Sends one request and waits for its reply.
    pub(super) fn ask(&mut self, words: &[Vec<u8>]) -> Result<Reply> {
        self.add(words);
        self.send()?;
        self.reply()
    }

    /// The next reply.
    pub(super) fn reply(&mut self) -> Result<Reply> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).context("no reply")?;
        ensure!(line.ends_with(b"\r\n"), "the connection ended: {:?}", line.escape_ascii());
        line.truncate(line.len() - 2);
        ensure!(!line.is_empty(), "an empty line");
        let sign = line.remove(0);
        let count = || -> Result<i64> { Ok(std::str::from_utf8(&line)?.parse()?) };
        Ok(match sign {
            b'+' | b'-' | b':' | b',' | b'#' | b'(' => Reply::Line(sign, line),
            b'_' => Reply::Null(sign),
            b'$' | b'=' | b'!' => match usize::try_from(count()?) {
                Err(_) => Reply::Null(sign),
                Ok(len) => {
                    let mut text = vec![0; len + 2];
                    self.stream.read_exact(&mut text)?;
                    ensure!(text.ends_with(b"\r\n"), "a text without an end");
                    text.truncate(len);
                    Reply::Text(sign, text)
                }
            },
            b'*' | b'~' | b'>' | b'%' => match usize::try_from(count()?) {
                Err(_) => Reply::Null(sign),
                Ok(len) => {
                    let len = if sign == b'%' { 2 * len } else { len };
                    let parts = (0..len).map(|_| self.reply()).collect::<Result<_>>()?;
                    Reply::Many(sign, parts)
                }
            },
            _ => bail!("a reply with the sign {:?}", char::from(sign)),
        })
    }
}
