//! How wide words will be, without a font at hand: widths of Helvetica's letters, widened, as some
//! systems' own fonts (DejaVu Sans) are.

/// The size of ordinary words.
pub(super) const SIZE: f64 = 12.0;

/// The width of words at [`SIZE`].
pub(super) fn width(text: &str) -> f64 {
    text.chars().map(letter).sum::<f64>() * SIZE * 1.16
}

/// In parts of the font's size.
fn letter(letter: char) -> f64 {
    match letter {
        'i' | 'j' | 'l' | '\'' | '|' => 0.23,
        't' | 'f' | 'I' | ' ' | '.' | ',' | ':' | ';' | '/' | '!' | '\u{202f}' => 0.29,
        'r' | '(' | ')' | '-' | '[' | ']' => 0.34,
        'c' | 'k' | 's' | 'v' | 'x' | 'y' | 'z' => 0.5,
        'm' | 'M' | 'w' => 0.84,
        'W' | '%' | '@' => 0.95,
        'A'..='Z' => 0.7,
        letter if letter.is_ascii() => 0.56,
        '\u{2e80}'..='\u{ffff}' => 1.0,
        _ => 0.6,
    }
}

/// Words that are no wider, shortened at the end if need be.
pub(super) fn fit(text: &str, most: f64) -> String {
    if width(text) <= most {
        return text.into();
    }
    let mut left = most - width("…");
    let kept: String = text
        .chars()
        .take_while(|&character| {
            left -= width(character.encode_utf8(&mut [0; 4]));
            left >= 0.0
        })
        .collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_shortened_to_fit() {
        assert_eq!(fit("gVisor", 100.0), "gVisor");
        let short = fit("a very long name of a system", 80.0);
        assert!(short.ends_with('…') && width(&short) <= 80.0, "{short}");
    }
}
