//! What commands answer when they do nothing, in the words of Redis.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::fmt;

/// Why a command did nothing. Shown, it is the reply without the sign in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The key holds another type.
    WrongType,
    /// An option is not known, or not with the others.
    Syntax,
    /// An argument is no integer, or too large.
    NotInteger,
    /// An argument is no floating point number.
    NotFloat,
    /// `value is out of range, must be positive`.
    NotPositive,
    /// The key is not there.
    NoSuchKey,
    /// `increment or decrement would overflow`.
    Overflow,
    /// The time is not one at which something can expire.
    InvalidExpire(&'static str),
    /// A number of arguments that the command does not take.
    Arity(&'static str),
    /// The memory is full.
    OutOfMemory,
    /// Another text, without a code.
    Plain(&'static str),
    /// The same, made here.
    Text(String),
    /// Another text, with its code.
    Coded(&'static str),
    /// `EXEC` was refused, and its transaction is over.
    Aborted(Box<Self>),
}

impl Error {
    /// Its first word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::WrongType => "WRONGTYPE",
            Self::OutOfMemory => "OOM",
            Self::Aborted(_) => "EXECABORT",
            Self::Coded(text) => text.split(' ').next().unwrap_or("ERR"),
            _ => "ERR",
        }
    }

    /// The error of an `EXEC` that was refused.
    pub fn aborted(self) -> Self {
        Self::Aborted(Box::new(self))
    }

    /// The error of a subcommand that is not known.
    pub fn unknown_subcommand(command: &[u8], subcommand: &[u8]) -> Self {
        let name = shown(&command.to_ascii_uppercase(), 32);
        let subcommand = shown(subcommand, 128);
        Self::Text(alloc::format!("unknown subcommand '{subcommand}'. Try {name} HELP."))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongType => {
                f.write_str("WRONGTYPE Operation against a key holding the wrong kind of value")
            }
            Self::Syntax => f.write_str("ERR syntax error"),
            Self::NotInteger => f.write_str("ERR value is not an integer or out of range"),
            Self::NotFloat => f.write_str("ERR value is not a valid float"),
            Self::NotPositive => f.write_str("ERR value is out of range, must be positive"),
            Self::NoSuchKey => f.write_str("ERR no such key"),
            Self::Overflow => f.write_str("ERR increment or decrement would overflow"),
            Self::InvalidExpire(command) => {
                write!(f, "ERR invalid expire time in '{command}' command")
            }
            Self::Arity(command) => {
                write!(f, "ERR wrong number of arguments for '{command}' command")
            }
            Self::OutOfMemory => {
                f.write_str("OOM command not allowed when used memory > 'maxmemory'.")
            }
            Self::Plain(text) => write!(f, "ERR {text}"),
            Self::Text(text) => write!(f, "ERR {text}"),
            Self::Coded(text) => f.write_str(text),
            Self::Aborted(error) => {
                let reason = error.to_string();
                let reason = reason.strip_prefix("ERR ").unwrap_or(&reason);
                write!(f, "EXECABORT Transaction discarded because of: {reason}")
            }
        }
    }
}

impl core::error::Error for Error {}

/// Bytes of a client as a text for people, at most so many.
pub fn shown(bytes: &[u8], limit: usize) -> String {
    let bytes = &bytes[..bytes.len().min(limit)];
    String::from_utf8_lossy(bytes).into_owned()
}
