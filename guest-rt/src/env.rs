//! The variables that whoever started the guest has set, by `--env=NAME=VALUE`. There are none under a tender that
//! has no such option, as Solo5's.
//!
//! What is not UTF-8 is left out, here as in [`vars`]: a value that is read wrongly is worse than none.

use crate::boot;

/// The value of a variable, if it is set and is text. It may be empty.
pub fn var(name: &str) -> Option<&'static str> {
    vars().find_map(|(known, value)| (known == name).then_some(value))
}

/// Names and values of all variables that are text, in the order of their names. Each name is there once.
pub fn vars() -> impl Iterator<Item = (&'static str, &'static str)> {
    variables(boot::with(|boot| boot.environment))
}

/// The variables among strings with a NUL behind each.
fn variables(strings: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    strings
        .split(|&byte| byte == 0)
        .filter_map(|string| core::str::from_utf8(string).ok()?.split_once('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_text() {
        let strings = b"A=1\0B=\0C==2=\0BAD=\xff\0no variable\0D=\xc3\xa4\0";
        let expected = [("A", "1"), ("B", ""), ("C", "=2="), ("D", "\u{e4}")];
        assert!(variables(strings).eq(expected));
        assert_eq!(variables(b"").count(), 0);
    }
}
