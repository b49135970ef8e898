//! Tables as text: the first column is of words, the others of numbers.

/// Rows of the same length, the first of them the heads, with the columns in line.
pub(super) fn format(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column == 0 { format!("{cell:width$}") } else { format!("{cell:>width$}") }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A time in microseconds: `512.0`.
pub(super) fn microseconds(ns: u64) -> String {
    format!("{}.{}", ns / 1000, ns % 1000 / 100)
}

/// A time in microseconds, of something short: `1.07`.
pub(super) fn fine_microseconds(ns: u64) -> String {
    format!("{}.{:02}", ns / 1000, ns % 1000 / 10)
}

/// How much larger one number is than another: `1.15`.
pub(super) fn ratio(number: u64, reference: u64) -> String {
    match reference {
        0 => "-".into(),
        _ => {
            let hundredths =
                (u128::from(number) * 100 + u128::from(reference) / 2) / u128::from(reference);
            format!("{}.{:02}", hundredths / 100, hundredths % 100)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_in_line() {
        let row = |cells: [&str; 3]| cells.map(String::from).to_vec();
        let rows = [row(["", "median", "n"]), row(["a long name", "1", "500"])];
        assert_eq!(format(&rows), "             median    n\na long name       1  500\n");
    }

    #[test]
    fn times_and_ratios_are_written() {
        assert_eq!(microseconds(512_034), "512.0");
        assert_eq!(microseconds(70_100_999), "70100.9");
        assert_eq!(fine_microseconds(1079), "1.07");
        assert_eq!(ratio(115, 100), "1.15");
        assert_eq!(ratio(2, 3), "0.67");
        assert_eq!(ratio(1, 0), "-");
    }
}
