//! HTTP dates (RFC 9110, section 5.6.7): written as IMF-fixdate, read in all three forms.
//!
//! Dates before 1970 are refused when read; dates after 9999 are clamped when written.

const DAYS: [&[u8]; 7] =
    [b"Monday", b"Tuesday", b"Wednesday", b"Thursday", b"Friday", b"Saturday", b"Sunday"];
const MONTHS: [&[u8]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];
const DAY_SECONDS: u64 = 86_400;
const LATEST: u64 = 253_402_300_799;

/// The length of an IMF-fixdate.
pub const LEN: usize = 29;

/// Writes seconds since 1970 as `Sun, 06 Nov 1994 08:49:37 GMT`.
///
/// ```
/// assert_eq!(&httpd::date::format(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
/// ```
pub fn format(unix_seconds: u64) -> [u8; LEN] {
    let seconds = unix_seconds.min(LATEST);
    let days = seconds / DAY_SECONDS;
    let clock = seconds % DAY_SECONDS;
    let (year, month, day) = civil(days);
    let mut text = *b"Mon, 00 Jan 0000 00:00:00 GMT";
    // 1970-01-01 was a Thursday.
    text[..3].copy_from_slice(&DAYS[((days + 3) % 7) as usize][..3]);
    two_digits(&mut text[5..7], day);
    text[8..11].copy_from_slice(MONTHS[month as usize - 1]);
    two_digits(&mut text[12..14], year / 100);
    two_digits(&mut text[14..16], year % 100);
    two_digits(&mut text[17..19], clock / 3600);
    two_digits(&mut text[20..22], clock / 60 % 60);
    two_digits(&mut text[23..25], clock % 60);
    text
}

/// Reads an IMF-fixdate, an RFC 850 date or an asctime date as seconds since 1970.
///
/// `now_unix_seconds` decides the century of the two-digit year in an RFC 850 date. `None` for
/// anything that is not a valid date or lies before 1970.
pub fn parse(text: &[u8], now_unix_seconds: u64) -> Option<u64> {
    let comma = text.iter().position(|&b| b == b',');
    match comma {
        Some(3) => parse_fixdate(text),
        Some(at) => parse_rfc850(&text[..at], &text[at + 1..], now_unix_seconds),
        None => parse_asctime(text),
    }
}

fn parse_fixdate(text: &[u8]) -> Option<u64> {
    let shape = text.len() == LEN && text[3..5] == *b", " && text[7] == b' ' && text[11] == b' ';
    if !shape || &text[25..] != b" GMT" || text[16] != b' ' {
        return None;
    }
    is_day_abbreviation(&text[..3])?;
    let year = number(&text[12..16])?;
    seconds(year, month(&text[8..11])?, number(&text[5..7])?, &text[17..25])
}

fn parse_rfc850(day_name: &[u8], rest: &[u8], now: u64) -> Option<u64> {
    DAYS.iter().find(|&&name| name == day_name)?;
    let shape = rest.len() == 23 && rest[0] == b' ' && rest[3] == b'-' && rest[7] == b'-';
    if !shape || rest[10] != b' ' || &rest[19..] != b" GMT" {
        return None;
    }
    let (this_year, _, _) = civil(now.min(LATEST) / DAY_SECONDS);
    let mut year = this_year / 100 * 100 + number(&rest[8..10])?;
    // A year that looks more than 50 years ahead means the century before.
    if year > this_year + 50 {
        year -= 100;
    }
    seconds(year, month(&rest[4..7])?, number(&rest[1..3])?, &rest[11..19])
}

fn parse_asctime(text: &[u8]) -> Option<u64> {
    let shape = text.len() == 24 && text[3] == b' ' && text[7] == b' ' && text[10] == b' ';
    if !shape || text[19] != b' ' {
        return None;
    }
    is_day_abbreviation(&text[..3])?;
    let day = match text[8] {
        b' ' => number(&text[9..10])?,
        _ => number(&text[8..10])?,
    };
    let year = number(&text[20..24])?;
    seconds(year, month(&text[4..7])?, day, &text[11..19])
}

fn is_day_abbreviation(text: &[u8]) -> Option<()> {
    DAYS.iter().any(|name| &name[..3] == text).then_some(())
}

fn month(text: &[u8]) -> Option<u64> {
    let index = MONTHS.iter().position(|&name| name == text)?;
    Some(index as u64 + 1)
}

fn seconds(year: u64, month: u64, day: u64, clock: &[u8]) -> Option<u64> {
    if clock[2] != b':' || clock[5] != b':' {
        return None;
    }
    let (hour, minute) = (number(&clock[..2])?, number(&clock[3..5])?);
    // 60 is a leap second.
    let second = number(&clock[6..])?;
    if year < 1970 || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    if day == 0 || day > days_in_month(year, month) {
        return None;
    }
    Some(days_since_1970(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second)
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |sum, &digit| {
        digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0'))
    })
}

fn two_digits(out: &mut [u8], value: u64) {
    out[0] = b'0' + (value / 10) as u8;
    out[1] = b'0' + (value % 10) as u8;
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1 January of year 1 to 1 January of `year`.
fn days_before_year(year: u64) -> u64 {
    let past = year - 1;
    past * 365 + past / 4 - past / 100 + past / 400
}

fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let months: u64 = (1..month).map(|m| days_in_month(year, m)).sum();
    days_before_year(year) - days_before_year(1970) + months + day - 1
}

fn civil(days: u64) -> (u64, u64, u64) {
    // 365.2425 days a year on average: the guess is at most one year early or late.
    let mut year = 1970 + days * 10_000 / 3_652_425;
    if days_since_1970(year, 1, 1) > days {
        year -= 1;
    } else if days_since_1970(year + 1, 1, 1) <= days {
        year += 1;
    }
    let mut rest = days - days_since_1970(year, 1, 1);
    let mut month = 1;
    while rest >= days_in_month(year, month) {
        rest -= days_in_month(year, month);
        month += 1;
    }
    (year, month, rest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EXAMPLE: u64 = 784_111_777;

    #[test]
    fn the_three_forms_of_the_rfc_mean_the_same() {
        for text in [
            &b"Sun, 06 Nov 1994 08:49:37 GMT"[..],
            b"Sunday, 06-Nov-94 08:49:37 GMT",
            b"Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse(text, 1_700_000_000), Some(EXAMPLE));
        }
    }

    #[test]
    fn known_days_are_written() {
        assert_eq!(&format(0), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(&format(951_782_400), b"Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(&format(1_767_225_599), b"Wed, 31 Dec 2025 23:59:59 GMT");
        assert_eq!(&format(u64::MAX), b"Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn a_two_digit_year_is_the_nearest_that_is_not_far_ahead() {
        let year_2025 = 1_750_000_000;
        let seventy_five = parse(b"Wednesday, 01-Jan-75 00:00:00 GMT", year_2025).unwrap();
        assert_eq!(&format(seventy_five)[12..16], b"2075");
        let seventy_six = parse(b"Wednesday, 01-Jan-76 00:00:00 GMT", year_2025).unwrap();
        assert_eq!(&format(seventy_six)[12..16], b"1976");
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            &b""[..],
            b"now",
            b"Sun, 31 Feb 1994 08:49:37 GMT",
            b"Sun, 06 Nov 1994 24:00:00 GMT",
            b"Sun, 06 Nov 1994 08:49:37 CET",
            b"Sun, 06 Nov 1969 08:49:37 GMT",
            b"Sun, 00 Nov 1994 08:49:37 GMT",
            b"Xun, 06 Nov 1994 08:49:37 GMT",
            b"Sun, +6 Nov 1994 08:49:37 GMT",
            b"Sunday, 06-Nov-94 08:49:37 GMT ",
        ] {
            assert_eq!(parse(text, EXAMPLE), None, "{}", text.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(at in 0..=LATEST) {
            prop_assert_eq!(parse(&format(at), EXAMPLE), Some(at));
        }

        #[test]
        fn any_bytes_are_survived(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse(&text, EXAMPLE);
        }

        #[test]
        fn a_damaged_date_is_survived(at in 0..LEN, byte: u8, now: u64) {
            let mut text = format(EXAMPLE);
            text[at] = byte;
            let _ = parse(&text, now);
        }
    }
}
