//! One line of the log for each request.
//!
//! What a client wrote reaches a terminal only as printable ASCII, shortened.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use crate::answer::Answer;
use crate::response::Page;

/// The longest part of a method or target that is shown.
const SHOWN_BYTES_MAX: usize = 200;

/// A request that was answered.
pub(crate) struct Entry<'a> {
    pub(crate) peer: SocketAddr,
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) answer: &'a Answer,
    pub(crate) duration: Duration,
    /// The answer was sent to its end.
    pub(crate) is_complete: bool,
}

impl Entry<'_> {
    /// Monitors ask again and again, so they are seen at the debug level only.
    pub(crate) fn write(&self) {
        let level = if self.answer.is_quiet { log::Level::Debug } else { log::Level::Info };
        log::log!(target: TARGET, level, "{self}");
    }
}

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} {} {} B {}.{:03} ms{}",
            self.peer,
            Shown(self.method),
            Shown(self.target),
            self.answer.status.code(),
            self.answer.content_bytes,
            self.duration.as_millis(),
            self.duration.subsec_micros() % 1000,
            if self.is_complete { "" } else { ", cut short" },
        )
    }
}

/// The name of the server, not of this module, in the log.
const TARGET: &str = "httpd";

/// Something that was no request.
pub(crate) fn write_rejection(peer: SocketAddr, page: &Page) {
    log::info!(target: TARGET, "{peer} - - {}: {}", page.status.code(), page.detail());
}

struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.as_bytes();
        let shown = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
        let ellipsis = if shown.len() < bytes.len() { "..." } else { "" };
        write!(f, "{}{ellipsis}", shown.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn control_bytes_are_escaped_and_long_targets_shortened() {
        assert_eq!(Shown("/a\x1b[2J\n\u{e9}").to_string(), "/a\\x1b[2J\\n\\xc3\\xa9");
        let long = "x".repeat(300);
        assert_eq!(Shown(&long).to_string(), "x".repeat(200) + "...");
    }
}
