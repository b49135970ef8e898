//! The keyspace.

pub mod dict;
