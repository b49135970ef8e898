//! A key with its value, in the 16 bytes that a slot of the keyspace has.
//!
//! A string and its key share one allocation, which has their exact size:
//!
//! | bytes | contents |
//! |---|---|
//! | 1 | flags |
//! | 3 | seconds of the last access, modulo 2^24 |
//! | 0 or 8 | when it expires, in milliseconds since 1970 |
//! | 1 or 4 | the length of the key |
//! | | the key, then the value |
//!
//! What grows (a string that was appended to, and every other type) is an [`Object`].

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::dict::{Hasher, Keyed};
use super::value::Value;

const HAS_EXPIRY: u8 = 1;
const HAS_LONG_KEY: u8 = 2;
const ACCESS_MASK: u32 = (1 << 24) - 1;
/// What a packed string has in the log beside what it has here, at most.
const STRING_BYTES: u64 = 12;
/// What a command has in the log beside key and elements, at most.
const COMMAND_BYTES: u64 = 24;
/// A command that says when a key expires, or two words of one, without the key.
const EXPIRY_BYTES: u64 = 48;

/// A key and its value.
#[derive(Debug)]
pub struct Record(Repr);

#[derive(Debug)]
enum Repr {
    Packed(Box<[u8]>),
    Object(Box<Object>),
}

// A slot of the keyspace; see the module's words.
const _: () = assert!(size_of::<Record>() == 16);

/// A key whose value is not packed.
#[derive(Debug)]
struct Object {
    key: Box<[u8]>,
    /// Milliseconds since 1970; 0 for never.
    expires_at: u64,
    access: u32,
    value: Value,
}

impl Object {
    fn encoded_bytes(&self) -> u64 {
        let (len, bytes) = (self.value.len() as u64, self.value.encoded_bytes());
        // Its elements are written in parts, each with the key; one clears what was there, one expires it.
        let parts = len / 64 + bytes / (16 << 10) + 3;
        bytes + parts * (self.key.len() as u64 + COMMAND_BYTES)
    }
}

/// A value, to look at.
#[derive(Debug, Clone, Copy)]
pub enum View<'a> {
    /// A string.
    String(&'a [u8]),
    /// Any other, never [`Value::String`].
    Other(&'a Value),
}

impl Keyed for Record {
    fn key(&self) -> &[u8] {
        match &self.0 {
            Repr::Packed(bytes) => &bytes[key_range(bytes)],
            Repr::Object(object) => &object.key,
        }
    }
}

impl Record {
    /// A string. `expires_at` is in milliseconds since 1970.
    pub fn string(key: &[u8], value: &[u8], expires_at: Option<u64>) -> Self {
        let (expiry_bytes, expiry_flag) =
            if expires_at.is_some() { (8, HAS_EXPIRY) } else { (0, 0) };
        let (length_bytes, length_flag) = if key.len() < 256 { (1, 0) } else { (4, HAS_LONG_KEY) };
        let bytes_in_all = 4 + expiry_bytes + length_bytes + key.len() + value.len();
        let mut bytes = Vec::with_capacity(bytes_in_all);
        bytes.extend_from_slice(&[expiry_flag | length_flag, 0, 0, 0]);
        if let Some(at) = expires_at {
            bytes.extend_from_slice(&at.to_le_bytes());
        }
        match length_bytes {
            1 => bytes.push(key.len() as u8),
            // A key is shorter than 4 GiB, as a request is.
            _ => bytes.extend_from_slice(&(key.len() as u32).to_le_bytes()),
        }
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
        Self(Repr::Packed(bytes.into_boxed_slice()))
    }

    /// Any value.
    pub fn object(key: &[u8], value: Value, expires_at: Option<u64>) -> Self {
        let expires_at = expires_at.unwrap_or(0);
        Self(Repr::Object(Box::new(Object { key: key.into(), expires_at, access: 0, value })))
    }

    /// When it expires, in milliseconds since 1970.
    pub fn expires_at(&self) -> Option<u64> {
        match &self.0 {
            Repr::Packed(bytes) if bytes[0] & HAS_EXPIRY != 0 => {
                let mut at = [0; 8];
                at.copy_from_slice(&bytes[4..12]);
                Some(u64::from_le_bytes(at))
            }
            Repr::Packed(_) => None,
            Repr::Object(object) => Some(object.expires_at).filter(|at| *at != 0),
        }
    }

    /// Changes when it expires.
    pub fn set_expires_at(&mut self, expires_at: Option<u64>) {
        match (&mut self.0, expires_at) {
            (Repr::Object(object), _) => object.expires_at = expires_at.unwrap_or(0),
            (Repr::Packed(bytes), Some(at)) if bytes[0] & HAS_EXPIRY != 0 => {
                bytes[4..12].copy_from_slice(&at.to_le_bytes());
            }
            (Repr::Packed(bytes), None) if bytes[0] & HAS_EXPIRY == 0 => {}
            (Repr::Packed(bytes), _) => {
                let access = access_of(bytes);
                let key = key_range(bytes);
                *self = Self::string(&bytes[key.clone()], &bytes[key.end..], expires_at);
                self.set_access(access);
            }
        }
    }

    /// When it was last used, in seconds modulo 2^24.
    pub fn access(&self) -> u32 {
        match &self.0 {
            Repr::Packed(bytes) => access_of(bytes),
            Repr::Object(object) => object.access,
        }
    }

    /// Says when it was last used.
    pub fn set_access(&mut self, seconds: u32) {
        let seconds = seconds & ACCESS_MASK;
        match &mut self.0 {
            Repr::Packed(bytes) => bytes[1..4].copy_from_slice(&seconds.to_le_bytes()[..3]),
            Repr::Object(object) => object.access = seconds,
        }
    }

    /// For how many seconds it has not been used.
    pub fn idle_seconds(&self, now: u32) -> u32 {
        now.wrapping_sub(self.access()) & ACCESS_MASK
    }

    /// The value.
    pub fn view(&self) -> View<'_> {
        match &self.0 {
            Repr::Packed(bytes) => View::String(&bytes[key_range(bytes).end..]),
            Repr::Object(object) => match &object.value {
                Value::String(bytes) => View::String(bytes),
                other => View::Other(other),
            },
        }
    }

    /// The value, if it is not packed.
    pub fn value_mut(&mut self) -> Option<&mut Value> {
        match &mut self.0 {
            Repr::Packed(_) => None,
            Repr::Object(object) => Some(&mut object.value),
        }
    }

    /// The value of a string to change in its length; it is not packed from now on. `None` for
    /// another type.
    pub fn growing_string(&mut self) -> Option<&mut Vec<u8>> {
        if let Repr::Packed(bytes) = &self.0 {
            let (access, expires_at) = (access_of(bytes), self.expires_at());
            let key = key_range(bytes);
            let value = Value::String(bytes[key.end..].to_vec());
            *self = Self::object(&bytes[key], value, expires_at);
            self.set_access(access);
        }
        match &mut self.0 {
            Repr::Object(object) => match &mut object.value {
                Value::String(bytes) => Some(bytes),
                _ => None,
            },
            Repr::Packed(_) => None,
        }
    }

    /// The bytes of a string to change without changing their number; `None` for another type.
    pub fn string_mut(&mut self) -> Option<&mut [u8]> {
        match &mut self.0 {
            Repr::Packed(bytes) => {
                let start = key_range(bytes).end;
                Some(&mut bytes[start..])
            }
            Repr::Object(object) => match &mut object.value {
                Value::String(bytes) => Some(bytes),
                _ => None,
            },
        }
    }

    /// The same value under another name.
    pub fn renamed(self, key: &[u8]) -> Self {
        let expires_at = self.expires_at();
        match self.0 {
            Repr::Packed(bytes) => Self::string(key, &bytes[key_range(&bytes).end..], expires_at),
            Repr::Object(mut object) => {
                object.key = key.into();
                Self(Repr::Object(object))
            }
        }
    }

    /// A copy under another name.
    pub fn copied(&self, key: &[u8], hasher: Hasher) -> Self {
        match self.view() {
            View::String(bytes) => Self::string(key, bytes, self.expires_at()),
            View::Other(value) => Self::object(key, value.copied(hasher), self.expires_at()),
        }
    }

    /// Copies a packed string, if the copy would lie better in memory.
    pub fn gather(&mut self, would_move: fn(&[u8]) -> bool) -> Option<()> {
        match &mut self.0 {
            Repr::Packed(bytes) if would_move(bytes) => {
                *bytes = bytes.clone();
                Some(())
            }
            _ => None,
        }
    }

    /// The value alone, if it is one that can take long to free.
    pub fn into_value(self) -> Option<Value> {
        match self.0 {
            Repr::Packed(_) => None,
            Repr::Object(object) => Some(object.value),
        }
    }

    /// Whether a string grew in place, which `OBJECT ENCODING` tells.
    pub const fn is_packed(&self) -> bool {
        matches!(self.0, Repr::Packed(_))
    }

    /// The most that it takes in the log, as [`copy`](super::copy) writes it.
    pub fn encoded_bytes(&self) -> u64 {
        let expiry_bytes = if self.expires_at().is_some() { EXPIRY_BYTES } else { 0 };
        expiry_bytes
            + match &self.0 {
                Repr::Packed(bytes) => bytes.len() as u64 + STRING_BYTES,
                Repr::Object(object) => object.encoded_bytes(),
            }
    }

    /// The memory that it takes, its slot included.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + match &self.0 {
                Repr::Packed(bytes) => bytes.len(),
                Repr::Object(object) => {
                    size_of::<Object>() + object.key.len() + object.value.memory_bytes()
                }
            }
    }
}

fn access_of(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[1], bytes[2], bytes[3], 0])
}

fn key_range(bytes: &[u8]) -> core::ops::Range<usize> {
    let at = if bytes[0] & HAS_EXPIRY != 0 { 12 } else { 4 };
    if bytes[0] & HAS_LONG_KEY == 0 {
        at + 1..at + 1 + usize::from(bytes[at])
    } else {
        let length = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        at + 4..at + 4 + length as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn string(record: &Record) -> &[u8] {
        match record.view() {
            View::String(bytes) => bytes,
            View::Other(_) => panic!("no string"),
        }
    }

    proptest! {
        #[test]
        fn nothing_gets_lost_in_packing(
            key in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..20), prop::collection::vec(any::<u8>(), 250..260)],
            value in prop::collection::vec(any::<u8>(), 0..40),
            expiries in prop::collection::vec(prop::option::of(1..u64::MAX), 1..4),
            access: u32,
            grows: bool,
        ) {
            let mut record = Record::string(&key, &value, expiries[0]);
            record.set_access(access);
            if grows {
                record.growing_string().unwrap().push(7);
            }
            for expires_at in expiries {
                record.set_expires_at(expires_at);
                prop_assert_eq!(record.expires_at(), expires_at);
                prop_assert_eq!(record.key(), &key[..]);
                prop_assert_eq!(record.access(), access & ACCESS_MASK);
                let expected = if grows { [&value[..], &[7]].concat() } else { value.clone() };
                prop_assert_eq!(string(&record), &expected[..]);
            }
            let before = record.expires_at();
            let renamed = record.renamed(b"other");
            prop_assert_eq!((renamed.key(), renamed.expires_at()), (&b"other"[..], before));
        }
    }

    #[test]
    fn a_small_string_takes_its_own_size_and_five_bytes() {
        let record = Record::string(b"key:000000000001", b"xxx", None);
        assert_eq!(record.memory_bytes(), 16 + 24);
    }
}
