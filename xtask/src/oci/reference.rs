//! The name of an image: `NAME[:TAG]`, as container engines have it.

use std::fmt;

use anyhow::{Context, Error, Result, bail, ensure};

/// Longer names are refused by registries.
const NAME_LENGTH_MAX: usize = 255;
const TAG_LENGTH_MAX: usize = 128;
/// The registry of a name that has none: engines then look for the image on this machine only.
const OWN_REGISTRY: &str = "localhost";

/// A name with its registry, and a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    name: String,
    /// The part behind the colon.
    pub(crate) tag: String,
}

impl std::str::FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text).with_context(|| {
            format!("'{text}' cannot be an image's name; the form is NAME[:TAG], web:1.0 or example.org/me/web")
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.tag)
    }
}

impl Reference {
    fn parse(text: &str) -> Result<Self> {
        ensure!(!text.contains('@'), "a digest is the result, not the name");
        let last = text.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match text[last..].split_once(':') {
            Some((_, tag)) => (&text[..text.len() - tag.len() - 1], tag),
            None => (text, "latest"),
        };
        ensure!(is_tag(tag), "the tag '{tag}' is not made of letters, digits, '_', '.' and '-'");
        let (registry, path) = match name.split_once('/') {
            Some((first, path)) if is_registry(first) => (first, path),
            _ => (OWN_REGISTRY, name),
        };
        for part in path.split('/') {
            if !is_part(part) {
                bail!(
                    "'{part}' is not made of small letters and digits, with '.', '_' or '-' between"
                );
            }
        }
        let name = format!("{registry}/{path}");
        ensure!(name.len() <= NAME_LENGTH_MAX, "it is longer than {NAME_LENGTH_MAX} letters");
        Ok(Self { name, tag: tag.to_owned() })
    }
}

/// Whether the first part of a name is a host. Engines tell it by the dot or the port.
fn is_registry(part: &str) -> bool {
    let (host, port) = part.split_once(':').unwrap_or((part, "0"));
    let is_label = |label: &str| {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty()
            && label.bytes().all(is_letter)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_host = host.split('.').all(is_label) && port.parse::<u16>().is_ok();
    is_host && (part.contains(['.', ':']) || part == OWN_REGISTRY)
}

fn is_tag(tag: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=TAG_LENGTH_MAX).contains(&tag.len())
        && tag.bytes().all(is_letter)
        && !tag.starts_with(['.', '-'])
}

/// Whether a part of a path is words of small letters and digits with one separator between each two:
/// `.`, `_`, `__` or any number of `-`.
fn is_part(part: &str) -> bool {
    let is_word_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_separator =
        |text: &str| matches!(text, "" | "." | "_" | "__") || text.bytes().all(|byte| byte == b'-');
    let ends_in_words = [part.bytes().next(), part.bytes().next_back()]
        .into_iter()
        .all(|byte| byte.is_some_and(is_word_letter));
    let is_word = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    ends_in_words && part.split(is_word).all(is_separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_engines_do() {
        for (text, whole) in [
            ("web", "localhost/web:latest"),
            ("web:1.0", "localhost/web:1.0"),
            ("me/web", "localhost/me/web:latest"),
            ("localhost/web", "localhost/web:latest"),
            ("localhost:5000/web", "localhost:5000/web:latest"),
            ("example.org/me/a-b__c.d--e:V_1", "example.org/me/a-b__c.d--e:V_1"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), whole);
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_text() {
        let long = "a".repeat(250);
        for text in [
            "",
            ":1",
            "web:",
            "Web",
            "web/",
            "/web",
            "a//b",
            "web:a b",
            "web:-1",
            "a___b",
            "a._b",
            "-a",
            "a.",
            "web@sha256:00",
            "..",
            "a/../b",
            "example.org:x/web",
            "w\u{e9}b",
            "a:b:c",
            &long,
        ] {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(&format!("'{text}'")), "{error}");
        }
    }
}
