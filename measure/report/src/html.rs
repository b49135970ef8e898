//! The document as one page of HTML that fetches nothing and runs nothing.

use crate::document::{Block, Cell, Document, Mood, Shown, Span, Table, Text};
use crate::escape::{self, markup};
use crate::plot::{Width, style};

/// Characters of a cell from which on it is a sentence.
const LONG: usize = 24;

/// Rows up to which a table is printed on paper, too.
const SHORT: usize = 16;

/// The whole page.
pub(crate) fn page(document: &Document) -> String {
    let title = markup(&document.title);
    let (sheet, pictures, font) = (include_str!("page.css"), style::sheet(), style::FONT);
    let lead: String =
        document.lead.iter().map(|lead| format!("<p>{}</p>\n", words(lead))).collect();
    let contents: String = document
        .sections
        .iter()
        .map(|section| {
            format!(
                "<li><a href=\"#{}\">{}</a></li>\n",
                markup(&section.id),
                markup(&section.title)
            )
        })
        .collect();
    let sections: String = document
        .sections
        .iter()
        .map(|section| {
            let (id, title) = (markup(&section.id), markup(&section.title));
            let blocks: String = section.blocks.iter().map(block).collect();
            format!(
                "<section id=\"{id}\" aria-labelledby=\"{id}-h\">\n<h2 id=\"{id}-h\">{title}</h2>\n\
                 {blocks}</section>\n"
            )
        })
        .collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n<title>{title}</title>\n\
         <style>\nbody{{font-family:{font}}}\n{sheet}{pictures}\n</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#main\">To the content</a>\n<div class=\"page\">\n\
         <header>\n<h1>{title}</h1>\n{lead}</header>\n\
         <nav aria-labelledby=\"contents\">\n<h2 id=\"contents\">Contents</h2>\n<ol>\n{contents}</ol>\n\
         </nav>\n<main id=\"main\">\n{sections}</main>\n</div>\n</body>\n</html>\n"
    )
}

fn block(block_: &Block) -> String {
    match block_ {
        Block::Heading(title) => format!("<h3>{}</h3>\n", markup(title)),
        Block::Paragraph(text) => format!("<p>{}</p>\n", words(text)),
        Block::Missing(text) => format!("<p class=\"missing\">{}</p>\n", words(text)),
        Block::List(items) => {
            let items: String =
                items.iter().map(|item| format!("<li>{}</li>\n", words(item))).collect();
            format!("<ul>\n{items}</ul>\n")
        }
        Block::Table(table) => self::table(table),
        Block::Picture(shown) => figure(shown),
        Block::Command(command) => {
            let lines: Vec<String> = command.lines().map(markup).collect();
            format!("<pre><code>{}</code></pre>\n", lines.join("\n"))
        }
        Block::Folded { summary, blocks } => {
            let blocks: String = blocks.iter().map(block).collect();
            format!("<details>\n<summary>{}</summary>\n{blocks}</details>\n", markup(summary))
        }
    }
}

fn figure(shown: &Shown) -> String {
    let Shown { id, title, caption, command, data, .. } = shown;
    // What is printed with its picture: long tables would drown it.
    let short = if data.rows.len() <= SHORT { " class=\"short\"" } else { "" };
    format!(
        "<figure id=\"figure-{}\">\n<figcaption><strong>{}</strong> <span>{}</span></figcaption>\n\
         <div class=\"wide\">{}</div>\n<div class=\"narrow\">{}</div>\n\
         <p class=\"repeat\">Repeat: <code>{}</code></p>\n\
         </figure>\n<details{short}>\n<summary>Data as a table</summary>\n{}</details>\n",
        markup(id),
        markup(title),
        words(caption),
        shown.inline(Width::Wide),
        shown.inline(Width::Narrow),
        markup(command),
        table(data),
    )
}

/// A table in a box of its own, which can be scrolled by keys as well.
fn table(table: &Table) -> String {
    if table.rows.is_empty() {
        return String::new();
    }
    let class = |at: usize| match table.columns.get(at).is_some_and(|column| column.numeric) {
        true => " class=\"n\"",
        false => "",
    };
    // Sentences must not be squeezed to a word a line by the columns beside them.
    let is_long =
        |at: usize| table.rows.iter().any(|row| row[at].text.plain().chars().count() > LONG);
    let heads: String = table
        .columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let class = if is_long(at) { " class=\"long\"" } else { class(at) };
            format!("<th scope=\"col\"{class}>{}</th>", markup(&column.title))
        })
        .collect();
    let row = |cells: &Vec<Cell>| -> String {
        let cells = cells.iter().enumerate().map(|(at, cell)| match at {
            0 => format!("<th scope=\"row\">{}</th>", words(&cell.text)),
            _ => self::cell(cell, table.columns[at].numeric),
        });
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let rows: String = table.rows.iter().map(row).collect();
    let caption = markup(&table.caption);
    format!(
        "<div class=\"scroll\" role=\"region\" aria-label=\"{caption}\" tabindex=\"0\">\n<table>\n\
         <caption>{caption}</caption>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n\
         </table>\n</div>\n"
    )
}

fn cell(cell: &Cell, numeric: bool) -> String {
    let mood = match cell.mood {
        Mood::Plain => "",
        Mood::Good => "good",
        Mood::Bad => "bad",
        Mood::Absent => "absent",
    };
    let class = match (numeric, mood) {
        (false, "") => String::new(),
        (true, "") => " class=\"n\"".into(),
        (true, mood) => format!(" class=\"n {mood}\""),
        (false, mood) => format!(" class=\"{mood}\""),
    };
    format!("<td{class}>{}</td>", words(&cell.text))
}

fn words(text: &Text) -> String {
    let spans = text.0.iter().map(|span| match span {
        Span::Plain(text) => markup(text),
        Span::Code(text) => format!("<code>{}</code>", markup(text)),
        Span::Strong(text) => format!("<strong>{}</strong>", markup(text)),
        Span::Link { address, text } => match escape::link(address) {
            Some(address) => format!("<a href=\"{address}\">{}</a>", markup(text)),
            None => markup(text),
        },
    });
    spans.collect()
}
