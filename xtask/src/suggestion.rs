//! The nearest known word to one that was mistyped.

/// The candidate that differs from `word` by at most a third of its letters, if there is one.
pub(crate) fn closest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let tolerance = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= tolerance)
        .min()
        .map(|(_, candidate)| candidate)
}

/// A suggestion in words.
pub(crate) fn ask(word: &str) -> String {
    format!("did you mean '{word}'?")
}

/// How many letters must be put in, taken out, changed, or swapped with their neighbour to get from
/// one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![(0..=to.len()).collect::<Vec<_>>()];
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let changed = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let best = changed.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            let is_swap = i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1];
            row.push(if is_swap { best.min(rows[i - 2][j - 2] + 1) } else { best });
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_counted_in_letters() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("run", "run"), 0);
        assert_eq!(distance("rnu", "run"), 1);
        assert_eq!(distance("inspct", "inspect"), 1);
    }

    #[test]
    fn only_near_words_are_suggested() {
        let verbs = ["run", "build", "inspect"];
        assert_eq!(closest("bild", verbs), Some("build"));
        assert_eq!(closest("insepct", verbs), Some("inspect"));
        assert_eq!(closest("deploy", verbs), None);
    }
}
