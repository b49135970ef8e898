//! A checker of well-formed XML, as strict as our own writers have to be.

/// The root's name.
pub(crate) fn check(text: &str) -> Result<String, String> {
    let mut open: Vec<&str> = Vec::new();
    let mut root = None;
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        words(&rest[..at])?;
        if open.is_empty() && !rest[..at].trim().is_empty() {
            return Err(format!("words outside of the root: {}", &rest[..at]));
        }
        let end = tag_end(&rest[at..]).ok_or("a tag does not end")?;
        let tag = &rest[at + 1..at + end];
        rest = &rest[at + end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            let last = open.pop().ok_or_else(|| format!("nothing is open for </{name}>"))?;
            if last != name {
                return Err(format!("<{last}> ends as </{name}>"));
            }
            continue;
        }
        let (tag, empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let name = tag.split_ascii_whitespace().next().ok_or("a tag without a name")?;
        attributes_of(&tag[name.len()..])?;
        if open.is_empty() && root.replace(name).is_some() {
            return Err("two roots".into());
        }
        if !empty {
            open.push(name);
        }
    }
    words(rest)?;
    match (open.last(), root) {
        (Some(name), _) => Err(format!("<{name}> does not end")),
        (None, Some(root)) => Ok(root.into()),
        (None, None) => Err("no root".into()),
    }
}

/// Where the `>` is that ends a tag, outside of attributes.
fn tag_end(text: &str) -> Option<usize> {
    let mut quoted = false;
    text.char_indices().find_map(|(at, character)| {
        quoted ^= character == '"';
        (character == '>' && !quoted).then_some(at)
    })
}

fn attributes_of(mut text: &str) -> Result<(), String> {
    let mut names = Vec::new();
    loop {
        text = text.trim_start();
        if text.is_empty() {
            return Ok(());
        }
        let (name, rest) = text.split_once("=\"").ok_or_else(|| format!("attribute: {text}"))?;
        let (value, rest) = rest.split_once('"').ok_or("an attribute does not end")?;
        if name.is_empty()
            || name.contains(|c: char| !c.is_ascii_alphanumeric() && !"-:".contains(c))
        {
            return Err(format!("an attribute's name: {name}"));
        }
        if names.contains(&name) {
            return Err(format!("{name} twice"));
        }
        if value.contains('<') {
            return Err(format!("{name} has a < in it"));
        }
        words(value)?;
        names.push(name);
        text = rest;
    }
}

/// Every `&` begins an entity of XML's, and no character is one that XML has not.
fn words(text: &str) -> Result<(), String> {
    for (at, _) in text.match_indices('&') {
        let entities = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"];
        if !entities.iter().any(|entity| text[at..].starts_with(entity)) {
            let end = text[at..].char_indices().nth(20).map_or(text.len(), |(end, _)| at + end);
            return Err(format!("a bare &: {}", &text[at..end]));
        }
    }
    match text.chars().find(|c| c.is_control() && *c != '\n') {
        Some(character) => Err(format!("{character:?}")),
        None => Ok(()),
    }
}

/// The values of an attribute, in order.
pub(crate) fn attributes<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let start = format!(" {name}=\"");
    let places: Vec<usize> = text.match_indices(&start).map(|(at, _)| at + start.len()).collect();
    places.into_iter().filter_map(|at| text[at..].split('"').next())
}

#[test]
fn the_checker_tells_good_from_bad() {
    assert_eq!(check("<a b=\"c>d\"><e/>x &amp; y</a>\n").unwrap(), "a");
    for bad in
        ["<a>", "<a></b>", "<a>&nbsp;</a>", "<a b=c/>", "<a/><b/>", "x<a/>", "<a b=\"1\" b=\"2\"/>"]
    {
        assert!(check(bad).is_err(), "{bad}");
    }
}
