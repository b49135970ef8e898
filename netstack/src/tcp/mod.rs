//! TCP (RFC 9293), sans-IO: what a connection knows and does, and what its owner calls.
//!
//! - `tcb`: the control block of one connection; `stream`: bytes queued and read; `input`, `output`:
//!   a segment arrives, the next one is planned; `recovery`, `congestion`, `round_trip`: what was
//!   lost, how much may be in flight, how long to wait. `seq`, `ranges`, `buffer`: numbers, ranges of
//!   them, and bytes. None of these knows of frames, addresses or other connections.
//! - `connection`, `listener`, `table`, `flow`: all connections of a stack, who owns each, and how
//!   they are found.
//! - `arrive`, `turn`: between the two: a segment finds its connection, a connection has its turn.
//! - `owner`, `connect`: what the owner calls.

pub(crate) mod arrive;
pub(crate) mod buffer;
pub(crate) mod congestion;
pub(crate) mod connect;
pub(crate) mod connection;
pub(crate) mod flow;
pub(crate) mod input;
pub(crate) mod listener;
pub(crate) mod output;
pub(crate) mod owner;
pub(crate) mod ranges;
pub(crate) mod recovery;
pub(crate) mod round_trip;
pub(crate) mod seq;
pub(crate) mod stream;
pub(crate) mod table;
pub(crate) mod tcb;
pub(crate) mod turn;
