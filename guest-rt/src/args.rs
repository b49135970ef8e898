//! The command line: what stands behind the unikernel's name when the tender is started. The
//! tender joins arguments by single blanks, so a blank inside an argument splits it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::boot;

/// The arguments, options of the runtime included (see [`option`]).
pub fn args() -> Vec<String> {
    boot::with(|boot| boot.command_line.split_ascii_whitespace().map(ToString::to_string).collect())
}

/// The value of the last argument of the form `NAME=VALUE`.
///
/// The runtime itself reads `--log=LEVEL`, and for network devices what [`crate::net`] lists.
pub fn option(name: &str) -> Option<String> {
    boot::with(|boot| values(&boot.command_line, name).next_back().map(ToString::to_string))
}

/// The values of all arguments of the form `NAME=VALUE`, in their order.
pub fn options(name: &str) -> Vec<String> {
    boot::with(|boot| values(&boot.command_line, name).map(ToString::to_string).collect())
}

/// The same of a command line.
pub(crate) fn values<'a>(
    command_line: &'a str,
    name: &'a str,
) -> impl DoubleEndedIterator<Item = &'a str> {
    command_line
        .split_ascii_whitespace()
        .filter_map(move |argument| argument.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::values;

    #[test]
    fn options_are_found_by_their_whole_name() {
        let line = "--ipv4-gateway=1 x --ipv4=2  --ipv4=3 --log";
        assert_eq!(values(line, "--ipv4").collect::<std::vec::Vec<_>>(), ["2", "3"]);
        assert_eq!(values(line, "--ipv4-gateway").next_back(), Some("1"));
        assert_eq!(values(line, "--log").next_back(), None);
    }
}
