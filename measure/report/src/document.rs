//! What the report says, before it is a page or a text: sections of paragraphs, tables and pictures.

use crate::escape;
use crate::plot::{Picture, Width};

/// The whole.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// Its name.
    pub title: String,
    /// What stands under the name.
    pub lead: Vec<Text>,
    /// In order; the table of contents is made of them.
    pub sections: Vec<Section>,
}

/// One section.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its name in links.
    pub id: String,
    /// Its name.
    pub title: String,
    /// What stands in it.
    pub blocks: Vec<Block>,
}

/// One thing in a section.
#[derive(Clone, Debug)]
pub enum Block {
    /// A heading below the section's.
    Heading(String),
    /// A paragraph.
    Paragraph(Text),
    /// Something that is not there, and why.
    Missing(Text),
    /// A list.
    List(Vec<Text>),
    /// A table.
    Table(Table),
    /// A plot with its command and its data.
    Picture(Box<Shown>),
    /// A command line.
    Command(String),
    /// What is there for those who ask for it.
    Folded {
        /// What it is.
        summary: String,
        /// What it holds.
        blocks: Vec<Block>,
    },
}

/// A plot with all that belongs to it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its name in links and files.
    pub id: String,
    /// What it shows, in a line.
    pub title: String,
    /// How it is to be read.
    pub caption: Text,
    /// What repeats it.
    pub command: String,
    /// The plot.
    pub plot: Picture,
    /// Its data.
    pub data: Table,
}

/// A table.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// What it shows.
    pub caption: String,
    /// Names of the columns. The first column names the row.
    pub columns: Vec<Column>,
    /// As many cells in each as there are columns.
    pub rows: Vec<Vec<Cell>>,
}

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub title: String,
    /// Whether numbers stand in it.
    pub numeric: bool,
}

/// What stands in a table's cell.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// In words.
    pub text: Text,
    /// How it is to be felt about. The words say it too.
    pub mood: Mood,
}

/// How something is to be felt about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// Not at all.
    #[default]
    Plain,
    /// Good.
    Good,
    /// Bad.
    Bad,
    /// Not there.
    Absent,
}

/// Words, some of them special.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(pub Vec<Span>);

/// Words of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// Nothing special.
    Plain(String),
    /// A name, a command.
    Code(String),
    /// To be seen first.
    Strong(String),
    /// A link.
    Link {
        /// Where to: `https://...`, or `#place`.
        address: String,
        /// What it says.
        text: String,
    },
}

impl Document {
    /// All pictures, in order.
    pub fn pictures(&self) -> impl Iterator<Item = &Shown> {
        self.sections.iter().flat_map(|section| &section.blocks).filter_map(|block| match block {
            Block::Picture(shown) => Some(shown.as_ref()),
            _ => None,
        })
    }
}

impl Shown {
    /// The plot as a file of its own.
    #[must_use]
    pub fn alone(&self) -> String {
        self.plot.alone(&self.id, &self.title, &self.caption.plain())
    }

    /// The plot as a part of a page.
    #[must_use]
    pub fn inline(&self, width: Width) -> String {
        self.plot.inline(width, &self.id, &self.title, &self.caption.plain())
    }
}

impl Table {
    /// Without rows. A column whose title begins with `#` holds numbers.
    #[must_use]
    pub fn new(caption: impl Into<String>, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|title| Column::new(title)).collect();
        Table { caption: caption.into(), columns, rows: Vec::new() }
    }

    /// Adds a row; what is missing is empty, what is too much is left out.
    pub fn row(&mut self, mut cells: Vec<Cell>) {
        cells.resize(self.columns.len(), Cell::default());
        self.rows.push(cells);
    }
}

impl Column {
    /// A title that begins with `#` stands over numbers.
    #[must_use]
    pub fn new(title: &str) -> Self {
        match title.strip_prefix('#') {
            Some(title) => Column { title: title.into(), numeric: true },
            None => Column { title: title.into(), numeric: false },
        }
    }
}

impl Cell {
    /// With a mood.
    #[must_use]
    pub fn felt(text: impl Into<Text>, mood: Mood) -> Self {
        Cell { text: text.into(), mood }
    }

    /// A name of the machine's.
    #[must_use]
    pub fn code(text: impl Into<String>) -> Self {
        Text(vec![Span::Code(text.into())]).into()
    }

    /// Nothing that could be shown.
    #[must_use]
    pub fn absent() -> Self {
        Cell::felt("–", Mood::Absent)
    }
}

impl<T: Into<Text>> From<T> for Cell {
    fn from(text: T) -> Self {
        Cell { text: text.into(), mood: Mood::Plain }
    }
}

impl Text {
    /// Words in which `` ` `` stands around code. For text of ours: what comes from outside goes through
    /// [`Text::plain_of`] or [`Text::code`].
    #[must_use]
    pub fn of(text: &str) -> Self {
        let parts = text.split('`').enumerate().filter(|(_, part)| !part.is_empty());
        Text(
            parts
                .map(|(at, part)| match at % 2 {
                    0 => Span::Plain(part.into()),
                    _ => Span::Code(part.into()),
                })
                .collect(),
        )
    }

    /// Words in which nothing is special.
    #[must_use]
    pub fn plain_of(text: impl Into<String>) -> Self {
        Text(vec![Span::Plain(text.into())])
    }

    /// With more words.
    #[must_use]
    pub fn then(mut self, text: &str) -> Self {
        self.0.extend(Text::of(text).0);
        self
    }

    /// With words from outside, in which nothing is special.
    #[must_use]
    pub fn plain_then(mut self, text: &str) -> Self {
        self.0.push(Span::Plain(text.into()));
        self
    }

    /// With code.
    #[must_use]
    pub fn code(mut self, text: impl Into<String>) -> Self {
        self.0.push(Span::Code(text.into()));
        self
    }

    /// With words to be seen first.
    #[must_use]
    pub fn strong(mut self, text: impl Into<String>) -> Self {
        self.0.push(Span::Strong(text.into()));
        self
    }

    /// With a link. An address that must not stand in one leaves the words alone.
    #[must_use]
    pub fn link(mut self, text: impl Into<String>, address: &str) -> Self {
        let text = text.into();
        self.0.push(match escape::link(address) {
            Some(_) => Span::Link { address: address.into(), text },
            None => Span::Plain(text),
        });
        self
    }

    /// The words alone.
    #[must_use]
    pub fn plain(&self) -> String {
        let words = self.0.iter().map(|span| match span {
            Span::Plain(text) | Span::Code(text) | Span::Strong(text) => text.as_str(),
            Span::Link { text, .. } => text,
        });
        words.collect()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text::plain_of(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Text::plain_of(text)
    }
}
