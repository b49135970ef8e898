//! Patterns of keys and channels: `*`, `?`, `[a-z]`, `[^a]` and `\` before a sign that means itself.

/// Whether all of `text` is what the pattern says. Takes at most the product of their lengths, so
/// who asks limits the pattern.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern_at, mut text_at) = (0, 0);
    // Where the last star is, and what of the text it stands for.
    let mut star: Option<(usize, usize)> = None;
    while text_at < text.len() {
        if pattern.get(pattern_at) == Some(&b'*') {
            star = Some((pattern_at, text_at));
            pattern_at += 1;
            continue;
        }
        match one(&pattern[pattern_at..], text[text_at]) {
            Some(len) => {
                pattern_at += len;
                text_at += 1;
            }
            None => match &mut star {
                Some((after, end)) => {
                    *end += 1;
                    (pattern_at, text_at) = (*after + 1, *end);
                }
                None => return false,
            },
        }
    }
    pattern[pattern_at..].iter().all(|sign| *sign == b'*')
}

/// The length of the first sign of a pattern, if it stands for that byte.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'\\', sign, ..] => (*sign == byte).then_some(2),
        [b'[', rest @ ..] => class(rest, byte).map(|len| len + 1),
        [sign, ..] => (*sign == byte).then_some(1),
    }
}

/// The same for what stands behind an opening bracket; one that is not closed ends with the pattern.
fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let is_negated = pattern.first() == Some(&b'^');
    let mut at = usize::from(is_negated);
    let mut is_in = false;
    loop {
        match pattern[at..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', sign, ..] => {
                is_in |= sign == byte;
                at += 2;
            }
            [low, b'-', high, ..] => {
                is_in |= (low.min(high)..=low.max(high)).contains(&byte);
                at += 3;
            }
            [sign, ..] => {
                is_in |= sign == byte;
                at += 1;
            }
        }
    }
    (is_in != is_negated).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::matches;
    use proptest::prelude::*;

    #[test]
    fn patterns_mean_what_redis_says() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h*llo", "heeeello", true),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hallo", true),
            ("h\\*llo", "h*llo", true),
            ("h\\*llo", "hello", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("[\\]]", "]", true),
            ("[a", "a", true),
            ("key:*", "key:1", true),
            ("*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            let matched = matches(pattern.as_bytes(), text.as_bytes());
            assert_eq!(matched, expected, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_survived(
            pattern in prop::collection::vec(
                prop_oneof![Just(b'*'), Just(b'['), Just(b']'), Just(b'\\'), Just(b'-'), any::<u8>()], 0..20),
            text in prop::collection::vec(any::<u8>(), 0..30),
        ) {
            matches(&pattern, &text);
        }

        #[test]
        fn a_text_without_signs_matches_itself(text in "[a-z0-9:]{0,20}") {
            prop_assert!(matches(text.as_bytes(), text.as_bytes()));
        }
    }
}
