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
/// The runtime itself reads `--log=LEVEL`, and for each network device `--ipv4:DEVICE=ADDRESS/LENGTH`
/// with `--ipv4-gateway:DEVICE=ADDRESS` (for the only device also without `:DEVICE`). With a network device
/// also `--spin=off|MICROSECONDS`: how long it looks for frames before it sleeps, while they come close together.
pub fn option(name: &str) -> Option<String> {
    boot::with(|boot| find_option(&boot.command_line, name).map(ToString::to_string))
}

fn find_option<'a>(command_line: &'a str, name: &str) -> Option<&'a str> {
    command_line
        .split_ascii_whitespace()
        .filter_map(|argument| argument.strip_prefix(name)?.strip_prefix('='))
        .next_back()
}

#[cfg(test)]
mod tests {
    use super::find_option;

    #[test]
    fn options_are_found_by_their_whole_name() {
        let line = "--ipv4-gateway=1 x --ipv4=2  --ipv4=3 --log";
        assert_eq!(find_option(line, "--ipv4"), Some("3"));
        assert_eq!(find_option(line, "--ipv4-gateway"), Some("1"));
        assert_eq!(find_option(line, "--log"), None);
    }
}
