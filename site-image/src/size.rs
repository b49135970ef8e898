//! Sizes in bytes as people write and read them.

use anyhow::{Context, Result, ensure};

const UNITS: [(char, u64); 4] = [('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30), ('T', 1 << 40)];

/// Reads `512`, `64K`, `100M`, `1G` or `2T`.
///
/// # Errors
/// If the text is anything else, or more than fits.
pub fn parse(text: &str) -> Result<u64> {
    let unit = UNITS.iter().find(|(letter, _)| text.ends_with(*letter));
    let (digits, factor) = match unit {
        Some((_, factor)) => (&text[..text.len() - 1], *factor),
        None => (text, 1),
    };
    let malformed = || format!("'{text}' is no size such as 4096, 64K, 100M or 1G");
    ensure!(digits.bytes().all(|digit| digit.is_ascii_digit()), malformed());
    let count: u64 = digits.parse().with_context(malformed)?;
    count.checked_mul(factor).with_context(malformed)
}

/// A size such that [`parse`] gives the same, as short as can be: `1536M`, `1G`.
pub fn exact(bytes: u64) -> String {
    let unit = UNITS.iter().rev().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor));
    match unit {
        Some((letter, factor)) => format!("{}{letter}", bytes / factor),
        None => bytes.to_string(),
    }
}

/// A size with three digits or so: `812 bytes`, `16.4 KiB`, `1.0 GiB`.
pub fn format(bytes: u64) -> String {
    match UNITS.iter().rev().find(|(_, factor)| bytes >= *factor) {
        Some((letter, factor)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*factor);
            format!("{}.{} {letter}iB", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [("512", 512), ("64K", 65_536), ("1G", 1 << 30), ("0", 0)] {
            assert_eq!(parse(text).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_text() {
        for text in ["", "K", "1k", "+1", "-1", "1.5G", "1GB", "99999999999999T"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(&format!("'{text}'")), "{error}");
        }
    }

    #[test]
    fn exact_sizes_are_read_again() {
        for (bytes, text) in [(0, "0"), (513, "513"), (1536 << 20, "1536M"), (2 << 40, "2T")] {
            assert_eq!(exact(bytes), text);
            assert_eq!(parse(text).unwrap(), bytes);
        }
    }

    #[test]
    fn sizes_are_written() {
        assert_eq!(format(0), "0 bytes");
        assert_eq!(format(1023), "1023 bytes");
        assert_eq!(format(1536), "1.5 KiB");
        assert_eq!(format(u64::MAX), "16777215.9 TiB");
    }
}
