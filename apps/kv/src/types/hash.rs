//! A hash: fields with values.
//!
//! Small ones lie in one allocation and are searched field by field; a hash that outgrows the
//! limits becomes a table and stays one. Expiry of single fields is not here, since Redis 7 has
//! none.

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::mem::size_of;

use super::packed::{self, Limits, Packed};
use crate::db::dict::{Dict, Hasher, Keyed, scale};

/// What a field adds to [`Hash::encoded_bytes`] beside its bytes and those of its value.
const FIELD_HEAD_BYTES: u64 = 2 * 9;

/// What an allocator takes for an allocation beside its bytes, roughly.
const ALLOCATION_BYTES: usize = 12;

/// Fields with values.
pub struct Hash {
    fields: Fields,
    encoded_bytes: u64,
}

enum Fields {
    /// Fields and values by turns.
    Packed(Packed),
    Table(Box<Dict<Field>>),
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hash").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Hash {
    /// An empty hash, which takes no memory yet.
    pub const fn new() -> Hash {
        Hash { fields: Fields::Packed(Packed::new()), encoded_bytes: 0 }
    }

    /// The number of fields.
    pub const fn len(&self) -> usize {
        match &self.fields {
            Fields::Packed(packed) => packed.len() / 2,
            Fields::Table(table) => table.len(),
        }
    }

    /// Whether there is no field.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What Redis calls the way the hash is kept.
    pub const fn encoding(&self) -> &'static str {
        match &self.fields {
            Fields::Packed(_) => "listpack",
            Fields::Table(_) => "hashtable",
        }
    }

    /// An upper bound of what the hash takes in a log record: fields, values, and 9 bytes for
    /// the length of each.
    pub const fn encoded_bytes(&self) -> u64 {
        self.encoded_bytes
    }

    /// An estimate of the memory that the hash has allocated.
    pub fn memory_bytes(&self) -> usize {
        match &self.fields {
            Fields::Packed(packed) => packed.memory_bytes(),
            Fields::Table(table) => {
                let strings = self.encoded_bytes as usize - FIELD_HEAD_BYTES as usize * table.len();
                let heads = (2 + ALLOCATION_BYTES) * table.len();
                size_of::<Dict<Field>>() + table.memory_bytes() + strings + heads
            }
        }
    }

    /// The value of a field.
    pub fn get(&self, field: &[u8]) -> Option<&[u8]> {
        match &self.fields {
            Fields::Packed(packed) => {
                packed.pairs().find(|&(name, _)| name == field).map(|(_, value)| value)
            }
            Fields::Table(table) => table.get(field).map(|field| field.pair().1),
        }
    }

    /// Whether there is this field.
    pub fn contains(&self, field: &[u8]) -> bool {
        self.get(field).is_some()
    }

    /// Sets the value of a field. `true` if the field is new. The hasher is for the case that
    /// the hash outgrows the limits.
    pub fn set(&mut self, field: &[u8], value: &[u8], hasher: &Hasher, limits: &Limits) -> bool {
        let old = match &mut self.fields {
            Fields::Packed(packed) => match set_packed(packed, field, value, limits) {
                Ok(old) => old,
                Err(TooLarge) => {
                    let mut table = table_of(packed, hasher);
                    let old = set_in_table(&mut table, field, value);
                    self.fields = Fields::Table(Box::new(table));
                    old
                }
            },
            Fields::Table(table) => set_in_table(table, field, value),
        };
        self.encoded_bytes += value.len() as u64;
        match old {
            Some(old_bytes) => self.encoded_bytes -= old_bytes as u64,
            None => self.encoded_bytes += field.len() as u64 + FIELD_HEAD_BYTES,
        }
        old.is_none()
    }

    /// Takes a field out. `false` if there is none.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        let removed_bytes = match &mut self.fields {
            Fields::Packed(packed) => find_packed(packed, field).map(|(place, value_bytes)| {
                packed.remove(2 * place, 2);
                field_bytes(field.len(), value_bytes)
            }),
            Fields::Table(table) => table.remove(field).map(|field| field.encoded_bytes()),
        };
        self.encoded_bytes -= removed_bytes.unwrap_or(0);
        removed_bytes.is_some()
    }

    /// The fields with their values, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let (packed, table) = match &self.fields {
            Fields::Packed(packed) => (Some(packed), None),
            Fields::Table(table) => (None, Some(table)),
        };
        let packed = packed.into_iter().flat_map(Packed::pairs);
        packed.chain(table.into_iter().flat_map(|table| table.iter().map(Field::pair)))
    }

    /// Visits at least `count` fields with their values, and returns the cursor to go on with, or
    /// 0 at the end, as [`Dict::scan`]. A small hash is visited as a whole.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], &[u8])) -> u64 {
        match &self.fields {
            Fields::Packed(packed) => {
                packed.pairs().for_each(|(field, value)| visit(field, value));
                0
            }
            Fields::Table(table) => table.scan(cursor, count, |field| {
                let (field, value) = field.pair();
                visit(field, value);
            }),
        }
    }

    /// A field with its value, chosen by a random number.
    pub fn random(&self, random: u64) -> Option<(&[u8], &[u8])> {
        match &self.fields {
            Fields::Packed(packed) => packed.pairs().nth(scale(random, packed.len() / 2)),
            Fields::Table(table) => table.random(random).map(Field::pair),
        }
    }

    /// Drops about `count` fields and returns how many: to free a huge hash bit by bit. A small
    /// one goes as a whole.
    pub fn drain_some(&mut self, count: usize) -> usize {
        match &mut self.fields {
            Fields::Packed(packed) => {
                let drained = packed.len() / 2;
                (*packed, self.encoded_bytes) = (Packed::new(), 0);
                drained
            }
            Fields::Table(table) => {
                let bytes = &mut self.encoded_bytes;
                table.drain_some_with(count, |field| *bytes -= field.encoded_bytes())
            }
        }
    }
}

impl Default for Hash {
    fn default() -> Hash {
        Hash::new()
    }
}

/// A hash outgrows the limits of its compact form.
struct TooLarge;

/// Sets a value and returns how long the old one was, if there was one.
fn set_packed(
    packed: &mut Packed,
    field: &[u8],
    value: &[u8],
    limits: &Limits,
) -> Result<Option<usize>, TooLarge> {
    if field.len().max(value.len()) > limits.value_bytes {
        return Err(TooLarge);
    }
    match find_packed(packed, field) {
        Some((place, old_bytes)) => {
            packed.replace(2 * place + 1, value);
            Ok(Some(old_bytes))
        }
        None if packed.len() / 2 >= limits.entries => Err(TooLarge),
        None => {
            packed.push_back(field);
            packed.push_back(value);
            Ok(None)
        }
    }
}

/// Which of the pairs has this field, and how long its value is.
fn find_packed(packed: &Packed, field: &[u8]) -> Option<(usize, usize)> {
    let mut pairs = packed.pairs().enumerate();
    let (place, (_, value)) = pairs.find(|&(_, (name, _))| name == field)?;
    Some((place, value.len()))
}

/// Sets a value and returns how long the old one was, if there was one.
fn set_in_table(table: &mut Dict<Field>, field: &[u8], value: &[u8]) -> Option<usize> {
    let hash = table.hasher().hash(field);
    let Some(present) = table.get_mut_hashed(hash, field) else {
        table.insert_new_hashed(hash, Field::new(field, value));
        return None;
    };
    Some(present.set_value(value))
}

fn table_of(packed: &Packed, hasher: &Hasher) -> Dict<Field> {
    let mut table = Dict::new(*hasher);
    for (field, value) in packed.pairs() {
        table.insert_new_hashed(hasher.hash(field), Field::new(field, value));
    }
    table
}

/// What a field takes in [`Hash::encoded_bytes`].
const fn field_bytes(field: usize, value: usize) -> u64 {
    field as u64 + value as u64 + FIELD_HEAD_BYTES
}

/// A field with its value in one allocation: the length of the field, the field, the value.
struct Field {
    bytes: Box<[u8]>,
}

impl Field {
    fn new(field: &[u8], value: &[u8]) -> Field {
        let (head, head_bytes) = packed::encode(field.len());
        let mut bytes = Vec::new();
        bytes.reserve_exact(head_bytes + field.len() + value.len());
        bytes.extend_from_slice(&head[..head_bytes]);
        bytes.extend_from_slice(field);
        bytes.extend_from_slice(value);
        Field { bytes: bytes.into() }
    }

    fn pair(&self) -> (&[u8], &[u8]) {
        let (field_len, rest) = packed::decode(&self.bytes).unwrap_or_default();
        rest.split_at(field_len.min(rest.len()))
    }

    /// Sets the value and returns how long the old one was.
    fn set_value(&mut self, value: &[u8]) -> usize {
        let (field, old) = self.pair();
        let old_bytes = old.len();
        if old_bytes == value.len() {
            let start = self.bytes.len() - old_bytes;
            self.bytes[start..].copy_from_slice(value);
        } else {
            *self = Field::new(field, value);
        }
        old_bytes
    }

    fn encoded_bytes(&self) -> u64 {
        let (field, value) = self.pair();
        field_bytes(field.len(), value.len())
    }
}

impl Keyed for Field {
    fn key(&self) -> &[u8] {
        self.pair().0
    }
}
