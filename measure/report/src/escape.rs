//! Text in markup. Everything that comes from a measurement passes here, names of functions included.

/// For text and attribute values of HTML and XML. Characters that XML 1.0 cannot hold are replaced.
pub(crate) fn markup(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' | '\r' => escaped.push(' '),
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => {
                escaped.push('\u{fffd}');
            }
            other => escaped.push(other),
        }
    }
    escaped
}

/// For text of Markdown, in a table's cell too: on one line, and nothing in it is markup.
pub(crate) fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' => {
                escaped.push('\\');
                escaped.push(character);
            }
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            character if character.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A code span of Markdown, between as many backticks as it takes; `|` is escaped as a table wants it.
pub(crate) fn code_span(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect::<String>()
        .replace('|', "\\|");
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let space = if longest > 0 { " " } else { "" };
    format!("{fence}{space}{text}{space}{fence}")
}

/// An address that may stand in a link: only `https` and `http`, and places in the document itself.
pub(crate) fn link(address: &str) -> Option<String> {
    let allowed = ["https://", "http://", "#"].iter().any(|start| address.starts_with(start));
    let plain = address.chars().all(|c| c.is_ascii_graphic() && !"<>\"'`\\|".contains(c));
    let encoded = || address.replace('(', "%28").replace(')', "%29").replace('&', "&amp;");
    (allowed && plain).then(encoded)
}

/// What may be the name of a file and of a place in the page: `a-z`, `0-9` and hyphens.
pub(crate) fn slug(text: &str) -> String {
    let mut slug = String::new();
    for character in text.chars() {
        if character.is_ascii_alphanumeric() {
            slug.push(character.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_text_is_text() {
        assert_eq!(markup("<b>&\"'\0\n"), "&lt;b&gt;&amp;&quot;&#39;\u{fffd} ");
        assert_eq!(markdown("a|b*c\n<x>"), "a\\|b\\*c &lt;x&gt;");
        assert_eq!(code_span("a`b|c"), "`` a`b\\|c ``");
        assert_eq!(code_span("read"), "`read`");
    }

    #[test]
    fn links_lead_to_the_web_only() {
        assert_eq!(link("https://a.b/?c=1&d"), Some("https://a.b/?c=1&amp;d".into()));
        assert_eq!(link("javascript:alert(1)"), None);
        assert_eq!(link("https://a.b/\"onclick="), None);
        assert_eq!(slug("../Über httpd (TAP)"), "ber-httpd-tap");
    }
}
