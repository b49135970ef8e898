//! The types that a value can have.

use alloc::vec::Vec;

use super::dict::Hasher;
use crate::types::hash::Hash;
use crate::types::list::List;
use crate::types::packed;
use crate::types::set::{self, Set};
use crate::types::sorted_set::SortedSet;

/// A value that is not packed with its key.
#[derive(Debug)]
pub enum Value {
    /// A string that may grow.
    String(Vec<u8>),
    /// A list.
    List(List),
    /// A set.
    Set(Set),
    /// A hash.
    Hash(Hash),
    /// A sorted set.
    SortedSet(SortedSet),
}

/// A type of values that has elements. Keys with an empty one do not exist.
pub trait Collection: Sized {
    /// It, if the value is one.
    fn of(value: &Value) -> Option<&Self>;
    /// The same to change it.
    fn of_mut(value: &mut Value) -> Option<&mut Self>;
    /// It as a value.
    fn into_value(self) -> Value;
    /// How many elements.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

macro_rules! collection {
    ($type:ident) => {
        impl Collection for $type {
            fn of(value: &Value) -> Option<&Self> {
                if let Value::$type(this) = value { Some(this) } else { None }
            }

            fn of_mut(value: &mut Value) -> Option<&mut Self> {
                if let Value::$type(this) = value { Some(this) } else { None }
            }

            fn into_value(self) -> Value {
                Value::$type(self)
            }

            fn len(&self) -> usize {
                $type::len(self)
            }
        }
    };
}

collection!(List);
collection!(Set);
collection!(Hash);
collection!(SortedSet);

impl Value {
    /// What `TYPE` says.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::List(_) => "list",
            Self::Set(_) => "set",
            Self::Hash(_) => "hash",
            Self::SortedSet(_) => "zset",
        }
    }

    /// Whether commands wait for such a value.
    pub const fn can_be_waited_for(&self) -> bool {
        matches!(self, Self::List(_) | Self::SortedSet(_))
    }

    /// What `OBJECT ENCODING` says.
    pub fn encoding(&self) -> &'static str {
        match self {
            Self::String(_) => "raw",
            Self::List(list) => list.encoding(),
            Self::Set(set) => set.encoding(),
            Self::Hash(hash) => hash.encoding(),
            Self::SortedSet(set) => set.encoding(),
        }
    }

    /// The most that its elements take in the log.
    pub fn encoded_bytes(&self) -> u64 {
        match self {
            Self::String(bytes) => bytes.len() as u64,
            Self::List(list) => list.encoded_bytes(),
            Self::Set(set) => set.encoded_bytes(),
            Self::Hash(hash) => hash.encoded_bytes(),
            Self::SortedSet(set) => set.encoded_bytes(),
        }
    }

    /// The memory that it takes, about.
    pub fn memory_bytes(&self) -> usize {
        match self {
            Self::String(bytes) => bytes.capacity(),
            Self::List(list) => list.memory_bytes(),
            Self::Set(set) => set.memory_bytes(),
            Self::Hash(hash) => hash.memory_bytes(),
            Self::SortedSet(set) => set.memory_bytes(),
        }
    }

    /// Elements, or 1 for a string: how long freeing it takes.
    pub fn len(&self) -> usize {
        match self {
            Self::String(_) => 1,
            Self::List(list) => list.len(),
            Self::Set(set) => set.len(),
            Self::Hash(hash) => hash.len(),
            Self::SortedSet(set) => set.len(),
        }
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy.
    pub fn copied(&self, hasher: Hasher) -> Self {
        match self {
            Self::String(bytes) => Self::String(bytes.clone()),
            Self::List(list) => {
                // A clone would share nodes, and take their memory only later, when nobody asks for it.
                let mut copy = List::new();
                list.iter().for_each(|element| copy.push_back(element));
                Self::List(copy)
            }
            Self::Set(set) => {
                let mut copy = Set::new();
                set.for_each(|member| {
                    copy.insert(member, &hasher, &set::Limits::DEFAULT);
                });
                Self::Set(copy)
            }
            Self::Hash(hash) => {
                let mut copy = Hash::new();
                hash.iter().for_each(|(field, value)| {
                    copy.set(field, value, &hasher, &packed::Limits::DEFAULT);
                });
                Self::Hash(copy)
            }
            Self::SortedSet(set) => {
                let mut copy = SortedSet::new(hasher);
                set.iter().for_each(|(member, score)| {
                    copy.insert(member, score);
                });
                Self::SortedSet(copy)
            }
        }
    }

    /// Frees about so many elements and returns how many.
    pub fn drain_some(&mut self, count: usize) -> usize {
        match self {
            Self::String(bytes) => {
                *bytes = Vec::new();
                0
            }
            Self::List(list) => list.drain_some(count),
            Self::Set(set) => set.drain_some(count),
            Self::Hash(hash) => hash.drain_some(count),
            Self::SortedSet(set) => set.drain_some(count),
        }
    }
}
