//! Pictures of numbers as SVG, drawn for two widths: of a page and of a phone. What each shows is said
//! in words in it (`title`, `desc`), lines have marks and dashes, and bars have names and numbers, so
//! that no colour has to be told from another.

mod bars;
mod canvas;
pub(crate) mod lines;
mod matrix;
mod scale;
mod sides;
mod stack;
pub(crate) mod style;
mod words;

use crate::escape;

pub use crate::names::Tone;
pub use bars::{Bars, Group, Row, Spread};
pub use lines::{Dot, Line, Lines};
pub use matrix::{Matrix, MatrixRow};
pub use sides::{Side, Sides};
pub use stack::{Segment, Stack, StackRow};

use canvas::Canvas;

/// How wide a picture is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// For pages and files.
    Wide,
    /// For phones.
    Narrow,
}

impl Width {
    fn pixels(self) -> f64 {
        match self {
            Width::Wide => 720.0,
            Width::Narrow => 336.0,
        }
    }
}

/// A picture that can be drawn.
#[derive(Clone, Debug, PartialEq)]
pub enum Picture {
    /// A bar for each number, or for the median of samples with their spread.
    Bars(Bars),
    /// Bars of parts.
    Stack(Stack),
    /// Lines over an axis.
    Lines(Lines),
    /// What two have in common and what each has alone.
    Sides(Sides),
    /// Yes and no for each of many, by row.
    Matrix(Matrix),
}

impl Picture {
    /// As a file of its own, on paper of its own.
    #[must_use]
    pub fn alone(&self, id: &str, title: &str, description: &str) -> String {
        let canvas = self.draw(Width::Wide);
        let (width, height) = (canvas.width() + 32.0, canvas.height() + 64.0);
        let head = head(width, height, id, title, description);
        let style = style::sheet();
        // Its letters are a fifth larger than those that are measured.
        let name = escape::markup(&words::fit(title, canvas.width() / 1.25));
        let root = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\"{head}"
        );
        let body = canvas.body();
        format!(
            "{root}<style>{style}</style>\n<rect class=\"paper\" width=\"{width}\" \
             height=\"{height}\"/>\n<text class=\"name\" x=\"16\" y=\"29\">{name}</text>\n\
             <g transform=\"translate(16 48)\">\n{body}</g></svg>\n"
        )
    }

    /// As a part of a page that has [`style::sheet`].
    #[must_use]
    pub fn inline(&self, width: Width, id: &str, title: &str, description: &str) -> String {
        let canvas = self.draw(width);
        let id = match width {
            Width::Wide => format!("{id}-wide"),
            Width::Narrow => format!("{id}-narrow"),
        };
        let head = head(canvas.width(), canvas.height(), &id, title, description);
        format!("<svg{head}{}</svg>\n", canvas.body())
    }

    fn draw(&self, width: Width) -> Canvas {
        let mut canvas = Canvas::new(width.pixels());
        match self {
            Picture::Bars(bars) => bars.draw(&mut canvas),
            Picture::Stack(stack) => stack.draw(&mut canvas),
            Picture::Lines(lines) => lines.draw(&mut canvas),
            Picture::Sides(sides) => sides.draw(&mut canvas),
            Picture::Matrix(matrix) => matrix.draw(&mut canvas),
        }
        canvas
    }
}

/// The root's attributes after its size, and what the picture is in words.
fn head(width: f64, height: f64, id: &str, title: &str, description: &str) -> String {
    let (id, title) = (escape::markup(id), escape::markup(title));
    let description = escape::markup(description);
    format!(
        " class=\"plot\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-labelledby=\"{id}-t {id}-d\">\n<title id=\"{id}-t\">{title}</title>\n\
         <desc id=\"{id}-d\">{description}</desc>\n"
    )
}
