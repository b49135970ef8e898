//! Where the answers to commands end in a stream of bytes, and whether they are those that were expected.
//! It knows the answers that the commands of a bench can have, and refuses other kinds.

use std::collections::VecDeque;

use anyhow::{Context, Result, bail, ensure};

use crate::bench::load::client::Answers;

/// The longest answer: a value.
const ANSWER_BYTES_MAX: usize = 1 << 30;
/// The longest first line of one.
const LINE_BYTES_MAX: usize = 64 << 10;
const OK: &[u8] = b"+OK\r\n";

/// What the answer to a command is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// `+OK`.
    Ok,
    /// The value that all keys have.
    Value,
    /// A number above zero.
    Count,
}

/// The answers of a connection on their way.
#[derive(Debug, Default)]
pub(super) struct Reader {
    expected: VecDeque<Expected>,
    /// The beginning of an answer.
    partial: Vec<u8>,
    answers: Answers,
}

impl Reader {
    /// One more answer is to come.
    pub(super) fn expect(&mut self, expected: Expected) {
        self.expected.push_back(expected);
    }

    /// Takes bytes in, and tells of wrong answers. How many answers there are, if these were the last.
    ///
    /// # Errors
    /// If they are no answers, or more than are expected.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        value: &[u8],
        wrong: &mut dyn FnMut(&[u8]),
    ) -> Result<Option<Answers>> {
        if self.partial.is_empty() {
            let taken = self.take_whole(bytes, value, wrong)?;
            self.partial.extend_from_slice(&bytes[taken..]);
        } else {
            let mut partial = std::mem::take(&mut self.partial);
            partial.extend_from_slice(bytes);
            let taken = self.take_whole(&partial, value, wrong)?;
            partial.drain(..taken);
            self.partial = partial;
        }
        match self.expected.is_empty() {
            true => Ok(Some(std::mem::take(&mut self.answers))),
            false => Ok(None),
        }
    }

    /// Takes the answers that are complete, and returns how many bytes they have.
    fn take_whole(
        &mut self,
        bytes: &[u8],
        value: &[u8],
        wrong: &mut dyn FnMut(&[u8]),
    ) -> Result<usize> {
        let mut taken = 0;
        while taken < bytes.len() {
            let rest = &bytes[taken..];
            let expected = *self.expected.front().context("more comes than was asked for")?;
            let wanted = match expected {
                Expected::Ok => OK,
                Expected::Value => value,
                Expected::Count => b"",
            };
            let (length, is_right) = match rest.starts_with(wanted) && !wanted.is_empty() {
                true => (wanted.len(), true),
                false if wanted.starts_with(rest) => return Ok(taken),
                false => match length(rest)? {
                    None => return Ok(taken),
                    Some(length) => {
                        (length, expected == Expected::Count && is_count(&rest[..length]))
                    }
                },
            };
            if is_right {
                self.answers.right += 1;
            } else {
                self.answers.wrong += 1;
                wrong(&rest[..length]);
            }
            self.expected.pop_front();
            taken += length;
        }
        Ok(taken)
    }
}

/// How many bytes the first answer has; `None` if it is not complete.
fn length(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        ensure!(bytes.len() < LINE_BYTES_MAX, "an answer's line has no end");
        return Ok(None);
    };
    let line_bytes = end + 2;
    let length = match bytes[0] {
        b'+' | b'-' | b':' => line_bytes,
        b'$' => match &bytes[1..end] {
            b"-1" => line_bytes,
            digits => {
                let body = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
                let body: usize = body.context("a length in an answer is none")?;
                ensure!(body <= ANSWER_BYTES_MAX, "an answer of {body} bytes");
                line_bytes + body + 2
            }
        },
        other => bail!("an answer of an unknown kind, {:?}", char::from(other)),
    };
    Ok(Some(length).filter(|&length| length <= bytes.len()))
}

fn is_count(answer: &[u8]) -> bool {
    let digits = answer.strip_prefix(b":").and_then(|rest| rest.strip_suffix(b"\r\n"));
    digits.is_some_and(|digits| {
        matches!(digits.first(), Some(b'1'..=b'9')) && digits.iter().all(u8::is_ascii_digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &[u8] = b"$3\r\nxxx\r\n";

    fn reader(expected: &[Expected]) -> Reader {
        Reader { expected: expected.iter().copied().collect(), ..Reader::default() }
    }

    fn take(reader: &mut Reader, bytes: &[u8]) -> Result<Option<Answers>> {
        reader.take(bytes, VALUE, &mut |_| {})
    }

    #[test]
    fn answers_end_wherever_they_are_cut() {
        use Expected::{Count, Ok, Value};
        let expected = [Value, Ok, Count, Value, Value, Ok];
        let answers = b"$3\r\nxxx\r\n+OK\r\n:12\r\n$-1\r\n$2\r\nxx\r\n-ERR x\r\n";
        let all = Some(Answers { right: 3, wrong: 3 });
        for cut in 1..answers.len() {
            let mut reader = reader(&expected);
            assert_eq!(take(&mut reader, &answers[..cut]).unwrap(), None, "{cut}");
            assert_eq!(take(&mut reader, &answers[cut..]).unwrap(), all, "{cut}");
        }
        let mut reader = reader(&expected);
        let (last, start) = answers.split_last().unwrap();
        assert!(start.iter().all(|byte| take(&mut reader, &[*byte]).unwrap().is_none()));
        assert_eq!(take(&mut reader, &[*last]).unwrap(), all);
    }

    #[test]
    fn only_what_is_expected_is_right() {
        for (expected, answer, is_right) in [
            (Expected::Ok, &b"+OK\r\n"[..], true),
            (Expected::Ok, b"+OKAY\r\n", false),
            (Expected::Ok, b":1\r\n", false),
            (Expected::Value, VALUE, true),
            (Expected::Value, b"$3\r\nxxy\r\n", false),
            (Expected::Value, b"$-1\r\n", false),
            (Expected::Value, b"$0\r\n\r\n", false),
            (Expected::Count, b":7\r\n", true),
            (Expected::Count, b":0\r\n", false),
            (Expected::Count, b":-3\r\n", false),
            (Expected::Count, b":\r\n", false),
            (Expected::Count, b"-ERR\r\n", false),
        ] {
            let answers = take(&mut reader(&[expected]), answer).unwrap().unwrap();
            assert_eq!((answers.right, answers.wrong), (is_right.into(), (!is_right).into()));
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for bytes in [&b"HTTP/1.1 400\r\n"[..], b"$x\r\n", b"$9999999999\r\n", b"*1\r\n:1\r\n"] {
            assert!(take(&mut reader(&[Expected::Value]), bytes).is_err(), "{bytes:?}");
        }
        assert!(take(&mut reader(&[Expected::Ok]), b"+OK\r\n+OK\r\n").is_err());
        assert!(take(&mut reader(&[Expected::Ok]), &[b'-'; LINE_BYTES_MAX]).is_err());
    }
}
