//! Numbers as Redis reads and writes them.
//!
//! Integers are decimal without a plus sign, leading zeros or blanks. Floating point numbers are
//! read as C's `strtod` does, without blanks, hexadecimal digits or NaN, and written as the shortest text
//! that reads back the same.

use alloc::format;
use alloc::string::String;
use core::fmt::Write;
use core::num::FpCategory;

/// Reads an integer; only the text that [`Decimal`] would write for it is one.
pub fn integer(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match text.split_first()? {
        (b'-', digits) => (true, digits),
        _ => (false, text),
    };
    match digits {
        [b'0'] if !is_negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut value = 0_u64;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        // 19 digits are less than 2^64.
        value = value * 10 + u64::from(digit - b'0');
    }
    if is_negative {
        (value <= 1 << 63).then(|| (value as i64).wrapping_neg())
    } else {
        i64::try_from(value).ok()
    }
}

/// The decimal text of an integer, without an allocation.
#[derive(Debug, Clone, Copy)]
pub struct Decimal {
    bytes: [u8; 20],
    start: u8,
}

impl Decimal {
    /// The text of a number.
    pub fn of(number: i64) -> Self {
        let mut decimal = Self::of_unsigned(number.unsigned_abs());
        if number < 0 {
            decimal.start -= 1;
            decimal.bytes[usize::from(decimal.start)] = b'-';
        }
        decimal
    }

    /// The text of a number without a sign.
    pub fn of_unsigned(mut number: u64) -> Self {
        let mut bytes = [0; 20];
        let mut start = bytes.len();
        loop {
            start -= 1;
            bytes[start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return Self { bytes, start: start as u8 };
            }
        }
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[usize::from(self.start)..]
    }
}

/// Reads a floating point number, infinite ones too. A number too large to be held is none, as only the name of
/// infinity means it, and neither is one too close to zero.
pub fn float(text: &[u8]) -> Option<f64> {
    let text = core::str::from_utf8(text).ok()?;
    // Rust takes the same texts, and "nan".
    let value: f64 = text.parse().ok()?;
    let mantissa = || text.split(['e', 'E']).next().unwrap_or(text).bytes();
    let is_out_of_range = match value.classify() {
        FpCategory::Infinite => text.bytes().any(|byte| byte.is_ascii_digit()),
        FpCategory::Zero => mantissa().any(|byte| matches!(byte, b'1'..=b'9')),
        _ => false,
    };
    (!value.is_nan() && !is_out_of_range).then_some(value)
}

/// Writes a floating point number.
pub fn format_float(value: f64) -> String {
    if value.is_infinite() {
        return String::from(if value > 0.0 { "inf" } else { "-inf" });
    }
    if value == 0.0 {
        return String::from(if value.is_sign_negative() { "-0" } else { "0" });
    }
    // Digits without trailing zeros, and the power of ten of the first.
    let scientific = format!("{:e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits: String = mantissa.chars().filter(|letter| *letter != '.').collect();
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let count = digits.len() as i32;
    // The power of ten of the last digit.
    let last = exponent - (count - 1);

    let mut text = String::from(if value < 0.0 { "-" } else { "" });
    if last >= 0 && exponent < count + 7 {
        text.push_str(&digits);
        text.extend(core::iter::repeat_n('0', last as usize));
    } else if last < 0 && (last > -7 || exponent.abs() < 4) {
        if exponent < 0 {
            text.push_str("0.");
            text.extend(core::iter::repeat_n('0', (-exponent - 1) as usize));
            text.push_str(&digits);
        } else {
            let (whole, fraction) = digits.split_at(exponent as usize + 1);
            // Writing to a string cannot fail.
            let _ = write!(text, "{whole}.{fraction}");
        }
    } else {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(text, "{first}{point}{rest}e{sign}{}", exponent.abs());
    }
    text
}

/// Adds two decimal numbers for `INCRBYFLOAT`; `None` if one is not a number. Where 17 decimals
/// and 20 digits before the point hold both, the sum is exact, as 0.1 and 0.2 make 0.3; beyond that it
/// is the nearest floating point number.
pub fn add_floats(left: &[u8], right: &[u8]) -> Option<Sum> {
    let nearest = float(left)? + float(right)?;
    if !nearest.is_finite() {
        return Some(Sum::NotFinite);
    }
    let exact = fixed(left).zip(fixed(right)).and_then(|(left, right)| left.checked_add(right));
    Some(Sum::Text(match exact {
        Some(sum) => format_fixed(sum),
        None => format!("{nearest}"),
    }))
}

/// What [`add_floats`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Sum {
    /// The sum without an exponent.
    Text(String),
    /// It is no finite number.
    NotFinite,
}

const DECIMALS: usize = 17;
const ONE: i128 = 10_i128.pow(DECIMALS as u32);

/// A number as a multiple of 10^-17, if it is one.
fn fixed(text: &[u8]) -> Option<i128> {
    let (is_negative, digits) = match text.split_first()? {
        (b'-', digits) => (true, digits),
        (b'+', digits) => (false, digits),
        _ => (false, text),
    };
    let end = digits.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) = digits.split_at(end.unwrap_or(digits.len()));
    let exponent = match exponent {
        [] => 0,
        [_, text @ ..] => core::str::from_utf8(text).ok()?.parse::<i32>().ok()?,
    };
    let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
    let (whole, fraction) = (&mantissa[..point], mantissa.get(point + 1..).unwrap_or_default());
    let mut value = 0_i128;
    for digit in whole.iter().chain(fraction) {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    let decimals = i64::try_from(fraction.len()).ok()? - i64::from(exponent);
    let zeros = u32::try_from(DECIMALS as i64 - decimals).ok()?;
    let value = if value == 0 { 0 } else { value.checked_mul(10_i128.checked_pow(zeros)?)? };
    Some(if is_negative { -value } else { value })
}

fn format_fixed(value: i128) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let (whole, fraction) = (value.abs() / ONE, value.abs() % ONE);
    let text = format!("{sign}{whole}.{fraction:017}");
    String::from(text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    #[test]
    fn only_canonical_integers_are_read() {
        for (text, value) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("99999999999999999999", None),
            ("01", None),
            ("-0", None),
            ("+1", None),
            (" 1", None),
            ("1 ", None),
            ("", None),
            ("-", None),
            ("1a", None),
        ] {
            assert_eq!(integer(text.as_bytes()), value, "{text}");
        }
    }

    #[test]
    fn floats_are_written_as_redis_does() {
        for (value, text) in [
            (0.0, "0"),
            (3.0, "3"),
            (-3.5, "-3.5"),
            (3.25, "3.25"),
            (0.1, "0.1"),
            (1e20, "1e+20"),
            (1e5, "100000"),
            (123456789012.0, "123456789012"),
            (1e-5, "0.00001"),
            (1e-7, "1e-7"),
            (1.5e300, "1.5e+300"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(format_float(value), text);
        }
    }

    #[test]
    fn floats_that_cannot_be_held_are_none() {
        for (text, value) in [
            ("1e308", Some(1e308)),
            ("1e309", None),
            ("-1e309", None),
            ("inf", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("5e-324", Some(5e-324)),
            ("1e-400", None),
            ("-0.001E-400", None),
            ("0e5", Some(0.0)),
            ("0.00e-400", Some(0.0)),
            ("nan", None),
            ("0x10", None),
            (" 1", None),
            ("", None),
        ] {
            assert_eq!(float(text.as_bytes()), value, "{text}");
        }
    }

    #[test]
    fn sums_are_exact_as_far_as_seventeen_decimals_go() {
        let sum = |left: &str, right: &str| add_floats(left.as_bytes(), right.as_bytes());
        for (left, right, text) in [
            ("10.50", "0.1", "10.6"),
            ("0.1", "0.2", "0.3"),
            ("5.0e3", "2.0e2", "5200"),
            ("7.524", "5e-1", "8.024"),
            ("1.1E+1", "-1.1e1", "0"),
            ("1e-17", "1e-17", "0.00000000000000002"),
            ("0e99", "0.1", "0.1"),
            ("3", "-3", "0"),
            ("-0.5", "0.25", "-0.25"),
            ("1e20", "1", "100000000000000000001"),
            ("1e22", "1", "10000000000000000000000"),
        ] {
            assert_eq!(sum(left, right), Some(Sum::Text(text.to_string())), "{left} + {right}");
        }
        assert_eq!(sum("1", "inf"), Some(Sum::NotFinite));
        assert_eq!(sum("1", "x"), None);
        assert_eq!(sum("nan", "1"), None);
        assert_eq!(sum("1", ""), None);
    }

    proptest! {
        #[test]
        fn integers_go_both_ways(value: i64) {
            let text = Decimal::of(value);
            let expected = value.to_string();
            prop_assert_eq!(text.as_bytes(), expected.as_bytes());
            prop_assert_eq!(integer(text.as_bytes()), Some(value));
        }

        #[test]
        fn floats_read_back_the_same(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            prop_assert_eq!(float(format_float(value).as_bytes()), Some(value));
        }

        #[test]
        fn any_text_is_survived(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = (integer(&text), float(&text), add_floats(&text, b"1"));
        }
    }
}
