//! Numbers for people.

/// A count with its thousands apart, by a space that does not break: `12 345`.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A count of things in memory.
pub(crate) fn size(value: usize) -> String {
    count(value as u64)
}

/// A measured value with three significant digits, or all before the point.
pub(crate) fn value(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let magnitude = value.abs();
    let places: usize = match magnitude {
        m if m == 0.0 || m >= 99.95 => 0,
        m if m >= 9.995 => 1,
        m if m >= 0.9995 => 2,
        m if m >= 0.09995 => 3,
        _ => 4,
    };
    if places > 0 {
        let text = format!("{value:.places$}");
        return text.trim_end_matches('0').trim_end_matches('.').to_string();
    }
    let sign = if value < 0.0 && magnitude >= 0.5 { "−" } else { "" };
    format!("{sign}{}", count(magnitude.round() as u64))
}

/// A share of one as per cent: `19.4 %`, on one line.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1}\u{a0}%", share * 100.0)
}

/// What a tick of an axis says: thousands and more shortened, as they are round there.
pub(crate) fn tick(tick: f64) -> String {
    let shortened = |by: f64, unit: &str| format!("{}{unit}", value(tick / by));
    match tick.abs() {
        t if t >= 1e9 => shortened(1e9, "G"),
        t if t >= 1e6 => shortened(1e6, "M"),
        t if t >= 1e4 => shortened(1e3, "k"),
        _ => value(tick),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
    }

    #[test]
    fn values_have_three_digits() {
        assert_eq!(value(0.0), "0");
        assert_eq!(value(0.012_345), "0.0123");
        assert_eq!(value(1.5), "1.5");
        assert_eq!(value(45.678), "45.7");
        assert_eq!(value(-1234.4), "−1\u{202f}234");
        assert_eq!(value(f64::NAN), "–");
    }

    #[test]
    fn ticks_are_short() {
        assert_eq!(tick(25_000.0), "25k");
        assert_eq!(tick(2_000_000.0), "2M");
        assert_eq!(tick(500.0), "500");
    }
}
