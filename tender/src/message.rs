//! What is said to people: one line each. Errors quote what was typed, a name or a path, and that
//! may hold anything: a line break that forges a second message, an escape sequence that a terminal
//! obeys. Errors keep it as it was typed; here is what makes it harmless on its way out.

use std::borrow::Cow;

/// The text with everything escaped that breaks a line, or that a terminal acts on or reorders by.
/// Other text stays as it is.
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(is_active) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_active(letter) {
            line.extend(letter.escape_default());
        } else {
            line.push(letter);
        }
    }
    Cow::Owned(line)
}

/// Control characters, Unicode's line breaks, and its marks of writing direction (UAX #9).
fn is_active(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{061c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'
                | '\u{2029}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_stays() {
        for text in ["", "--mem=lots", "/tmp/blank in it/ü\u{fffd}日本.spt", r"back\slash"] {
            assert!(matches!(one_line(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn what_a_terminal_acts_on_is_escaped() {
        for (text, line) in [
            ("a\nb\r\tc", r"a\nb\r\tc"),
            ("\u{1b}[2J\u{7f}\u{9b}", r"\u{1b}[2J\u{7f}\u{9b}"),
            ("\u{2028}\u{202e}gpj", r"\u{2028}\u{202e}gpj"),
        ] {
            assert_eq!(one_line(text), line);
        }
    }
}
