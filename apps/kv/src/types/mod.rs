//! The types of values that are more than a string.

pub mod hash;
pub mod list;
pub mod packed;
pub mod set;
pub mod sorted_set;

/// One end of what has an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The left of a list, and the lowest score of a sorted set.
    First,
    /// The right of a list, and the highest score of a sorted set.
    Last,
}
