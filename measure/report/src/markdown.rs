//! The document as Markdown (CommonMark with GitHub's tables).

use crate::document::{Block, Document, Shown, Span, Table, Text};
use crate::escape;

/// The whole text. Pictures are looked for in the folder.
pub(crate) fn text(document: &Document, pictures: &str) -> String {
    let folder = match pictures.trim_matches('/') {
        "" | "." => String::new(),
        folder => format!("{folder}/"),
    };
    let mut text = format!("# {}\n\n", escape::markdown(&document.title));
    for lead in &document.lead {
        text += &format!("{}\n\n", words(lead));
    }
    for section in &document.sections {
        let title = escape::markdown(&section.title);
        text += &format!("- [{title}](#{})\n", escape::slug(&section.title));
    }
    text.push('\n');
    for section in &document.sections {
        text += &format!("## {}\n\n", escape::markdown(&section.title));
        for block in &section.blocks {
            write(&mut text, block, &folder);
        }
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn write(text: &mut String, block: &Block, folder: &str) {
    match block {
        Block::Heading(title) => *text += &format!("### {}\n\n", escape::markdown(title)),
        Block::Paragraph(paragraph) => *text += &format!("{}\n\n", words(paragraph)),
        Block::Missing(what) => *text += &format!("> {}\n\n", words(what)),
        Block::List(items) => {
            for item in items {
                *text += &format!("- {}\n", words(item));
            }
            text.push('\n');
        }
        Block::Table(table) => write_table(text, table),
        Block::Picture(shown) => write_picture(text, shown, folder),
        Block::Command(command) => *text += &fenced(command),
        Block::Folded { summary, blocks } => {
            *text += &format!("<details><summary>{}</summary>\n\n", escape::markup(summary));
            for block in blocks {
                write(text, block, folder);
            }
            *text += "</details>\n\n";
        }
    }
}

fn write_picture(text: &mut String, shown: &Shown, folder: &str) {
    let Shown { id, title, .. } = shown;
    *text += &format!("**{}**\n\n", escape::markdown(title));
    *text += &format!("![{}]({folder}{id}.svg)\n\n", escape::markdown(title));
    *text +=
        &format!("{} Repeat: {}\n\n", words(&shown.caption), escape::code_span(&shown.command));
    write_table(text, &shown.data);
}

fn write_table(text: &mut String, table: &Table) {
    if table.rows.is_empty() {
        return;
    }
    if !table.caption.is_empty() {
        *text += &format!("*{}*\n\n", escape::markdown(&table.caption));
    }
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    *text += &line(table.columns.iter().map(|column| escape::markdown(&column.title)).collect());
    let marks = table.columns.iter().map(|column| if column.numeric { "---:" } else { "---" });
    *text += &line(marks.map(str::to_owned).collect());
    for row in &table.rows {
        *text += &line(row.iter().map(|cell| words(&cell.text)).collect());
    }
    text.push('\n');
}

fn words(text: &Text) -> String {
    let spans = text.0.iter().map(|span| match span {
        Span::Plain(text) => escape::markdown(text),
        Span::Code(text) => escape::code_span(text),
        Span::Strong(text) => format!("**{}**", escape::markdown(text)),
        Span::Link { address, text } => match escape::link(address) {
            Some(address) => format!("[{}]({address})", escape::markdown(text)),
            None => escape::markdown(text),
        },
    });
    spans.collect()
}

/// A command in a block of its own; no line of it can end the block.
fn fenced(command: &str) -> String {
    let command = command.replace("```", "` ` `");
    format!("```\n{command}\n```\n\n")
}
