//! Replies as they go out, in RESP2 or RESP3.
//!
//! What does not fit into memory is not written: the whole reply is taken back then, and the caller
//! says so in its place. Format: the Redis serialization protocol specification.

use alloc::vec::Vec;
use core::fmt;

use crate::config::Memory;
use crate::number::{Decimal, format_float};

/// Up to that size, a reply grows without asking what is left for others.
const SMALL_BYTES: usize = 4096;

/// The version of the protocol that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Every client's at first.
    #[default]
    Resp2,
    /// After `HELLO 3`.
    Resp3,
}

/// Replies that were not sent yet.
#[derive(Debug, Default)]
pub struct Reply {
    bytes: Vec<u8>,
    protocol: Protocol,
    is_incomplete: bool,
    /// Tells the memory of which a reserve has to stay.
    memory: Option<fn() -> Memory>,
    /// What has to stay beside that.
    kept_free_bytes: usize,
}

/// An array whose length is said at its end.
#[derive(Debug)]
#[must_use]
pub struct Open {
    at: usize,
}

impl Reply {
    /// An empty one.
    pub const fn new(protocol: Protocol) -> Self {
        Self { bytes: Vec::new(), protocol, is_incomplete: false, memory: None, kept_free_bytes: 0 }
    }

    /// An empty one that leaves a reserve of that memory.
    pub const fn within(memory: fn() -> Memory, protocol: Protocol) -> Self {
        Self {
            memory: Some(memory),
            bytes: Vec::new(),
            protocol,
            is_incomplete: false,
            kept_free_bytes: 0,
        }
    }

    /// An empty one that leaves the same reserve, for a part of this one.
    pub fn part(&self) -> Self {
        let mut part = Self::new(self.protocol);
        (part.memory, part.kept_free_bytes) = (self.memory, self.kept_free_bytes);
        part
    }

    /// Has it leave so much beside the reserve.
    pub const fn keep_free(&mut self, bytes: usize) {
        self.kept_free_bytes = bytes;
    }

    /// The version that the next reply is written in.
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Changes the version.
    pub const fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, taken out.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The bytes, taken out of one that is used again.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.bytes)
    }

    /// Uses the memory of bytes that were taken out, as far as that is no more than `kept` bytes.
    pub fn recycle(&mut self, mut bytes: Vec<u8>, kept: usize) {
        bytes.clear();
        bytes.shrink_to(kept);
        (self.bytes, self.is_incomplete) = (bytes, false);
    }

    /// The memory that it takes.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets everything from that length on, and that it did not fit.
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
        self.is_incomplete = false;
    }

    /// Whether something did not fit into memory since the last [`truncate`](Self::truncate).
    pub const fn is_incomplete(&self) -> bool {
        self.is_incomplete
    }

    /// Writes bytes that are a reply already.
    pub fn raw(&mut self, bytes: &[u8]) {
        if self.reserve(bytes.len()) {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// The same without a copy, if there is nothing yet.
    pub fn raw_owned(&mut self, bytes: Vec<u8>) {
        if self.bytes.is_empty() {
            self.bytes = bytes;
        } else {
            self.raw(&bytes);
        }
    }

    /// Makes room for so many bytes more. If there is none, the reply is incomplete.
    pub fn reserve(&mut self, bytes: usize) -> bool {
        let is_there = bytes <= self.bytes.capacity() - self.bytes.len() || self.grow(bytes);
        self.is_incomplete |= !is_there;
        is_there
    }

    /// Doubles the memory if it can, as what is there has to be copied.
    fn grow(&mut self, bytes: usize) -> bool {
        let Some(needed) = self.bytes.len().checked_add(bytes) else { return false };
        let doubled = needed.max(2 * self.bytes.capacity());
        let spare_bytes = match self.memory {
            Some(memory) if doubled > SMALL_BYTES => {
                memory().spare_bytes().saturating_sub(self.kept_free_bytes)
            }
            _ => usize::MAX,
        };
        if doubled <= spare_bytes && self.bytes.try_reserve(bytes).is_ok() {
            return true;
        }
        needed <= spare_bytes && self.bytes.try_reserve_exact(bytes).is_ok()
    }

    /// Writes replies that were gathered elsewhere.
    pub fn take_over(&mut self, other: &Self) {
        self.raw(&other.bytes);
        self.is_incomplete |= other.is_incomplete;
    }

    /// `+OK`.
    pub fn ok(&mut self) {
        self.raw(b"+OK\r\n");
    }

    /// A simple string; it must have no line break.
    pub fn status(&mut self, text: &str) {
        self.raw(b"+");
        self.raw(text.as_bytes());
        self.raw(b"\r\n");
    }

    /// An error, such as `ERR syntax error`. Line breaks become blanks.
    pub fn error(&mut self, error: impl fmt::Display) {
        struct OneLine<'a>(&'a mut Reply);

        impl fmt::Write for OneLine<'_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                for (at, part) in text.split(['\r', '\n']).enumerate() {
                    if at > 0 {
                        self.0.raw(b" ");
                    }
                    self.0.raw(part.as_bytes());
                }
                Ok(())
            }
        }

        self.raw(b"-");
        let _ = fmt::Write::write_fmt(&mut OneLine(self), format_args!("{error}"));
        self.raw(b"\r\n");
    }

    /// A number.
    pub fn integer(&mut self, number: i64) {
        self.header(b':', Decimal::of(number));
    }

    /// A count or a length.
    pub fn count(&mut self, count: usize) {
        self.header(b':', Decimal::of_unsigned(count as u64));
    }

    /// A string of bytes.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.header(b'$', Decimal::of_unsigned(bytes.len() as u64));
        self.raw(bytes);
        self.raw(b"\r\n");
    }

    /// A string of bytes, or null.
    pub fn bulk_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    /// A text for people; a verbatim string in RESP3.
    pub fn verbatim(&mut self, text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => {
                self.header(b'=', Decimal::of_unsigned(text.len() as u64 + 4));
                self.raw(b"txt:");
                self.raw(text.as_bytes());
                self.raw(b"\r\n");
            }
        }
    }

    /// Nothing, where there could be a string.
    pub fn null(&mut self) {
        self.raw(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// Nothing, where there could be an array.
    pub fn null_array(&mut self) {
        self.raw(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// A floating point number; a string in RESP2.
    pub fn double(&mut self, value: f64) {
        let text = format_float(value);
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => {
                self.raw(b",");
                self.raw(text.as_bytes());
                self.raw(b"\r\n");
            }
        }
    }

    /// The head of an array; so many replies follow.
    pub fn array(&mut self, len: usize) {
        self.header(b'*', Decimal::of_unsigned(len as u64));
    }

    /// The head of a map; so many pairs of replies follow. A flat array in RESP2.
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array(2 * pairs),
            Protocol::Resp3 => self.header(b'%', Decimal::of_unsigned(pairs as u64)),
        }
    }

    /// The head of a set; so many replies follow. An array in RESP2.
    pub fn set(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array(len),
            Protocol::Resp3 => self.header(b'~', Decimal::of_unsigned(len as u64)),
        }
    }

    /// The head of a message that answers no command; so many replies follow. An array in RESP2.
    pub fn push(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array(len),
            Protocol::Resp3 => self.header(b'>', Decimal::of_unsigned(len as u64)),
        }
    }

    /// Begins an array whose length is not known yet. Ends with [`close_array`](Self::close_array)
    /// or [`close_set`](Self::close_set).
    pub fn open(&mut self) -> Open {
        Open { at: self.bytes.len() }
    }

    /// Ends an array.
    pub fn close_array(&mut self, open: Open, len: usize) {
        self.insert_header(open, b'*', len);
    }

    /// Ends a set; an array in RESP2.
    pub fn close_set(&mut self, open: Open, len: usize) {
        let sign = if self.protocol == Protocol::Resp3 { b'~' } else { b'*' };
        self.insert_header(open, sign, len);
    }

    fn insert_header(&mut self, open: Open, sign: u8, len: usize) {
        let end = self.bytes.len();
        self.header(sign, Decimal::of_unsigned(len as u64));
        if !self.is_incomplete {
            let header = self.bytes.len() - end;
            self.bytes[open.at..].rotate_right(header);
        }
    }

    fn header(&mut self, sign: u8, number: Decimal) {
        let text = number.as_bytes();
        if !self.reserve(text.len() + 3) {
            return;
        }
        self.bytes.push(sign);
        self.bytes.extend_from_slice(text);
        self.bytes.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl FnOnce(&mut Reply)) -> std::string::String {
        let mut reply = Reply::new(protocol);
        write(&mut reply);
        std::string::String::from_utf8(reply.into_bytes()).unwrap()
    }

    #[test]
    fn both_versions_are_written_as_specified() {
        type Write = fn(&mut Reply);
        let cases: [(Write, &str, &str); 11] = [
            (|r| r.ok(), "+OK\r\n", "+OK\r\n"),
            (|r| r.error("ERR a\r\nb"), "-ERR a  b\r\n", "-ERR a  b\r\n"),
            (|r| r.integer(-5), ":-5\r\n", ":-5\r\n"),
            (|r| r.bulk(b"a\r\n"), "$3\r\na\r\n\r\n", "$3\r\na\r\n\r\n"),
            (|r| r.null(), "$-1\r\n", "_\r\n"),
            (|r| r.null_array(), "*-1\r\n", "_\r\n"),
            (|r| r.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"),
            (|r| r.map(2), "*4\r\n", "%2\r\n"),
            (|r| r.set(2), "*2\r\n", "~2\r\n"),
            (|r| r.push(3), "*3\r\n", ">3\r\n"),
            (|r| r.verbatim("a"), "$1\r\na\r\n", "=5\r\ntxt:a\r\n"),
        ];
        for (write, resp2, resp3) in cases {
            assert_eq!(written(Protocol::Resp2, write), resp2);
            assert_eq!(written(Protocol::Resp3, write), resp3);
        }
    }

    #[test]
    fn a_reply_leaves_a_reserve() {
        fn memory() -> Memory {
            Memory { used_bytes: 0, size_bytes: 3200 << 10, available_bytes: 200 << 10 }
        }

        let mut reply = Reply::within(memory, Protocol::Resp2);
        while !reply.is_incomplete() {
            reply.bulk(&[b'x'; 1000]);
        }
        assert!((50 << 10..=100 << 10).contains(&reply.memory_bytes()), "{}", reply.memory_bytes());
        let mut reply = reply.part();
        reply.bulk(&[b'x'; 99 << 10]);
        assert!(!reply.is_incomplete());
        reply.truncate(0);
        reply.bulk(&[b'x'; 101 << 10]);
        assert!(reply.is_incomplete());
    }

    #[test]
    fn an_open_array_gets_its_length_in_front() {
        let text = written(Protocol::Resp2, |reply| {
            reply.integer(7);
            let outer = reply.open();
            reply.bulk(b"a");
            reply.bulk(b"b");
            reply.close_array(outer, 2);
        });
        assert_eq!(text, ":7\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    }
}
