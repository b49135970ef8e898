//! Requests as they come in: RESP arrays of bulk strings, and inline commands.
//!
//! The parser remembers how far it has come, so that a large request that arrives in many pieces is
//! looked at once. It copies nothing but inline commands, whose quotes it resolves: a request is a
//! list of spans of the caller's buffer. It refuses what is longer than its limits before any of
//! it has to be kept. Format: the Redis serialization protocol specification.

use alloc::vec::Vec;
use core::fmt;

/// What a request may be at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest argument, `proto-max-bulk-len`.
    pub bulk_bytes_max: usize,
    /// The most arguments.
    pub arguments_max: usize,
}

impl Limits {
    /// What someone gets who has not given the password yet.
    pub const UNAUTHENTICATED: Self = Self { bulk_bytes_max: 16 << 10, arguments_max: 10 };

    /// The most arguments that Redis takes.
    pub const ARGUMENTS_MAX: usize = 1 << 20;
}

/// The longest line: an inline command, or the head of an array or of a bulk string.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Spans that a parser keeps room for while it is idle.
const SPANS_KEPT: usize = 16;

/// Why a connection cannot go on: what comes next cannot be told from the rest of this request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolError {
    /// The array has no length, or one beyond the limit.
    ArrayLength,
    /// The same for someone without the password.
    UnauthenticatedArrayLength,
    /// A bulk string has no length, or one beyond the limit.
    BulkLength,
    /// The same for someone without the password.
    UnauthenticatedBulkLength,
    /// There is something else where a bulk string should begin.
    ExpectedBulk(u8),
    /// The line with the array's length does not end.
    ArrayLineTooLong,
    /// The line with a bulk string's length does not end.
    BulkLineTooLong,
    /// The inline command does not end.
    InlineTooLong,
    /// A quote is not closed, or something follows the closing one.
    UnbalancedQuotes,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocol error: ")?;
        match self {
            Self::ArrayLength => f.write_str("invalid multibulk length"),
            Self::UnauthenticatedArrayLength => f.write_str("unauthenticated multibulk length"),
            Self::BulkLength => f.write_str("invalid bulk length"),
            Self::UnauthenticatedBulkLength => f.write_str("unauthenticated bulk length"),
            Self::ExpectedBulk(byte) if byte.is_ascii_graphic() => {
                write!(f, "expected '$', got '{}'", char::from(*byte))
            }
            Self::ExpectedBulk(_) => f.write_str("expected '$', got ' '"),
            Self::ArrayLineTooLong => f.write_str("too big mbulk count string"),
            Self::BulkLineTooLong => f.write_str("too big bulk count string"),
            Self::InlineTooLong => f.write_str("too big inline request"),
            Self::UnbalancedQuotes => f.write_str("unbalanced quotes in request"),
        }
    }
}

impl core::error::Error for ProtocolError {}

/// How far a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It is there, and takes this many bytes of the input.
    Complete {
        /// From the beginning of the input.
        bytes: usize,
    },
    /// It is not there before the input has at least this many bytes.
    Incomplete {
        /// From the beginning of the input; more than there are.
        bytes: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

/// A request on its way.
#[derive(Debug, Default)]
pub struct Parser {
    spans: Vec<Span>,
    /// Arguments that are still to come, once the array's length is known.
    missing: Option<usize>,
    /// The length of the bulk string that is being read.
    bulk_bytes: Option<usize>,
    /// How much of the input has been understood.
    at: usize,
    /// The arguments of an inline command; else empty.
    inline: Vec<u8>,
    is_inline: bool,
}

impl Parser {
    /// Goes on with the request at the beginning of `input`, which is what it was at the last call
    /// and what has come since. After [`Progress::Complete`], [`request`](Self::request) gives the
    /// arguments; the next call begins with the next request.
    ///
    /// # Errors
    /// If it is not one, or beyond a limit.
    pub fn parse(&mut self, input: &[u8], limits: Limits) -> Result<Progress, ProtocolError> {
        if self.missing.is_none() {
            self.reset();
            match input.first() {
                None => return Ok(Progress::Incomplete { bytes: 1 }),
                Some(b'*') => {}
                Some(_) => return self.parse_inline(input),
            }
            let Some(line) = line(input, 0, ProtocolError::ArrayLineTooLong)? else {
                return Ok(Progress::Incomplete { bytes: input.len() + 1 });
            };
            let length = integer(&line.text[1..]).ok_or(ProtocolError::ArrayLength)?;
            // A negative length is an empty request, as in Redis.
            let length = usize::try_from(length).unwrap_or(0);
            if length > limits.arguments_max {
                return Err(if limits.arguments_max < Limits::ARGUMENTS_MAX {
                    ProtocolError::UnauthenticatedArrayLength
                } else {
                    ProtocolError::ArrayLength
                });
            }
            self.missing = Some(length);
            self.at = line.end;
        }
        while self.missing.is_some_and(|missing| missing > 0) {
            if let Some(bytes) = self.parse_bulk(input, limits)? {
                return Ok(Progress::Incomplete { bytes });
            }
        }
        self.missing = None;
        Ok(Progress::Complete { bytes: self.at })
    }

    /// The request that [`parse`](Self::parse) found in the same input.
    pub fn request<'a>(&'a self, input: &'a [u8]) -> Request<'a> {
        let bytes = if self.is_inline { &self.inline } else { input };
        Request { bytes, spans: &self.spans }
    }

    /// Bytes that it keeps of a request beside the input; 0 if they are few.
    pub fn spans_bytes(&self) -> usize {
        let kept = self.spans.capacity();
        if kept > SPANS_KEPT { kept * size_of::<Span>() } else { 0 }
    }

    fn reset(&mut self) {
        self.spans.clear();
        self.spans.shrink_to(SPANS_KEPT);
        self.inline = Vec::new();
        self.is_inline = false;
        self.at = 0;
    }

    /// Reads an argument, or says how much input it needs.
    fn parse_bulk(&mut self, input: &[u8], limits: Limits) -> Result<Option<usize>, ProtocolError> {
        let length = match self.bulk_bytes {
            Some(length) => length,
            None => {
                match input.get(self.at) {
                    None => return Ok(Some(self.at + 1)),
                    Some(b'$') => {}
                    Some(byte) => return Err(ProtocolError::ExpectedBulk(*byte)),
                }
                let Some(line) = line(input, self.at, ProtocolError::BulkLineTooLong)? else {
                    return Ok(Some(input.len() + 1));
                };
                let length = integer(&line.text[1..])
                    .and_then(|length| usize::try_from(length).ok())
                    .ok_or(ProtocolError::BulkLength)?;
                if length > limits.bulk_bytes_max {
                    return Err(if limits.arguments_max < Limits::ARGUMENTS_MAX {
                        ProtocolError::UnauthenticatedBulkLength
                    } else {
                        ProtocolError::BulkLength
                    });
                }
                self.at = line.end;
                self.bulk_bytes = Some(length);
                length
            }
        };
        let end = self.at + length;
        if input.len() < end + 2 {
            return Ok(Some(end + 2));
        }
        // The caller's input is never longer than 4 GiB, see the limits of a connection.
        let (Ok(start), Ok(end)) = (u32::try_from(self.at), u32::try_from(end)) else {
            return Err(ProtocolError::BulkLength);
        };
        self.spans.try_reserve(1).map_err(|_| ProtocolError::ArrayLength)?;
        self.spans.push(Span { start, end });
        self.at = end as usize + 2;
        self.bulk_bytes = None;
        self.missing = self.missing.map(|missing| missing - 1);
        Ok(None)
    }

    fn parse_inline(&mut self, input: &[u8]) -> Result<Progress, ProtocolError> {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            if input.len() > LINE_BYTES_MAX {
                return Err(ProtocolError::InlineTooLong);
            }
            return Ok(Progress::Incomplete { bytes: input.len() + 1 });
        };
        let line = &input[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > LINE_BYTES_MAX {
            return Err(ProtocolError::InlineTooLong);
        }
        self.is_inline = true;
        self.split_words(line).ok_or(ProtocolError::UnbalancedQuotes)?;
        Ok(Progress::Complete { bytes: end + 1 })
    }

    /// Splits a line at spaces as a shell would: `"a\n\x41"` has escapes, `'it\'s'` only one.
    fn split_words(&mut self, line: &[u8]) -> Option<()> {
        let mut rest = line;
        loop {
            let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0;
            rest = &rest[rest.iter().position(|byte| !blank(byte)).unwrap_or(rest.len())..];
            if rest.is_empty() {
                return Some(());
            }
            let start = self.inline.len() as u32;
            rest = self.word(rest)?;
            if rest.first().is_some_and(|byte| !blank(byte)) {
                return None;
            }
            self.spans.push(Span { start, end: self.inline.len() as u32 });
        }
    }

    /// Takes a word off a text and returns what follows; `None` if a quote is not closed.
    fn word<'a>(&mut self, mut rest: &'a [u8]) -> Option<&'a [u8]> {
        loop {
            let (&byte, after) = match rest.split_first() {
                None => return Some(rest),
                Some(first) => first,
            };
            match byte {
                b'"' | b'\'' => return self.quoted(after, byte),
                _ if byte.is_ascii_whitespace() || byte == 0 => return Some(rest),
                _ => self.inline.push(byte),
            }
            rest = after;
        }
    }

    fn quoted<'a>(&mut self, mut rest: &'a [u8], quote: u8) -> Option<&'a [u8]> {
        loop {
            let (&byte, after) = rest.split_first()?;
            rest = after;
            if byte == quote {
                return Some(rest);
            }
            let escaped = match (byte, quote) {
                (b'\\', b'"') => Some(rest),
                (b'\\', _) if rest.first() == Some(&b'\'') => Some(rest),
                _ => None,
            };
            let Some(escaped) = escaped else {
                self.inline.push(byte);
                continue;
            };
            let (byte, after) = escape(escaped)?;
            self.inline.push(byte);
            rest = after;
        }
    }
}

/// The byte that stands behind a backslash, and what follows.
fn escape(text: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).map(|digit| digit as u8);
    if let [b'x', high, low, rest @ ..] = text
        && let (Some(high), Some(low)) = (digit(high), digit(low))
    {
        return Some((high << 4 | low, rest));
    }
    let (&byte, rest) = text.split_first()?;
    let byte = match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    };
    Some((byte, rest))
}

struct Line<'a> {
    text: &'a [u8],
    /// Where the next begins.
    end: usize,
}

/// The line at an offset, if all of it is there.
fn line(
    input: &[u8],
    at: usize,
    too_long: ProtocolError,
) -> Result<Option<Line<'_>>, ProtocolError> {
    let rest = &input[at..];
    match rest.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\r') {
        Some(length) if rest.len() > length + 1 => {
            Ok(Some(Line { text: &rest[..length], end: at + length + 2 }))
        }
        None if rest.len() >= LINE_BYTES_MAX => Err(too_long),
        _ => Ok(None),
    }
}

fn integer(text: &[u8]) -> Option<i64> {
    crate::number::integer(text)
}

/// A request that is kept, or that was made here.
#[derive(Debug, Default)]
pub struct Owned {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl Owned {
    /// A request of these words.
    pub fn of<'a>(words: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut owned = Self::default();
        for word in words {
            let start = owned.bytes.len() as u32;
            owned.bytes.extend_from_slice(word);
            owned.spans.push(Span { start, end: owned.bytes.len() as u32 });
        }
        owned
    }

    /// The request, of its own bytes.
    pub fn as_request(&self) -> Request<'_> {
        self.request(&self.bytes)
    }

    /// The request whose words lie in `bytes` at the places that [`push_span`](Self::push_span) said.
    pub fn request<'a>(&'a self, bytes: &'a [u8]) -> Request<'a> {
        Request { bytes, spans: &self.spans }
    }

    pub(crate) fn clear(&mut self) {
        self.spans.clear();
    }

    pub(crate) fn push_span(&mut self, start: usize, end: usize) -> Option<()> {
        let span = Span { start: u32::try_from(start).ok()?, end: u32::try_from(end).ok()? };
        self.spans.try_reserve(1).ok()?;
        self.spans.push(span);
        Some(())
    }
}

/// A command's words: its name, and its arguments.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Request<'a> {
    /// How many words.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is not even a name.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The word at that place.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        let span = self.spans.get(index)?;
        self.bytes.get(span.start as usize..span.end as usize)
    }

    /// A copy that can be kept, if there is memory for [`kept_bytes`](Self::kept_bytes).
    pub fn try_to_owned(&self) -> Option<Owned> {
        let mut owned = Owned::default();
        owned.bytes.try_reserve_exact(self.words_bytes()).ok()?;
        owned.spans.try_reserve_exact(self.len()).ok()?;
        for word in self.iter() {
            let start = owned.bytes.len();
            owned.bytes.extend_from_slice(word);
            owned.push_span(start, owned.bytes.len())?;
        }
        Some(owned)
    }

    /// Bytes that such a copy takes.
    pub fn kept_bytes(&self) -> usize {
        self.words_bytes() + self.len() * size_of::<Span>()
    }

    fn words_bytes(&self) -> usize {
        self.iter().map(<[u8]>::len).sum()
    }

    /// All words.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a> {
        let bytes = self.bytes;
        self.spans.iter().map(move |span| &bytes[span.start as usize..span.end as usize])
    }
}

#[cfg(test)]
mod tests;
