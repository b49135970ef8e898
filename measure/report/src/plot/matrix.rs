//! Yes and no for each of many, as a strip for each row: filled is yes, hollow is no, nothing is unknown.

use super::canvas::{Anchor, Canvas};
use super::{Tone, words};

/// Strips of the same cells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    /// The cells' names, from the left.
    pub columns: Vec<String>,
    /// What several neighbours have in common, such as a year: the first cell of it, and its name.
    pub marks: Vec<(usize, String)>,
    /// From the top.
    pub rows: Vec<MatrixRow>,
}

/// One strip.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixRow {
    /// Whose.
    pub label: String,
    /// Its colour.
    pub tone: Tone,
    /// What stands behind the name.
    pub text: String,
    /// As many as there are columns.
    pub cells: Vec<Option<bool>>,
}

const HEAD: f64 = 20.0;
const LABEL: f64 = 20.0;
const CELL: f64 = 16.0;
const STEP: f64 = LABEL + CELL + 8.0;

impl Matrix {
    pub(super) fn draw(&self, canvas: &mut Canvas) {
        let step = (canvas.width() / self.columns.len().max(1) as f64).min(20.0);
        self.draw_marks(canvas, step);
        for (at, row) in self.rows.iter().enumerate() {
            let y = HEAD + at as f64 * STEP;
            let label = format!("{}: {}", row.label, row.text);
            let label = words::fit(&label, canvas.width() / 1.05);
            canvas.text("strong", (0.0, y + LABEL / 2.0), Anchor::Start, &label);
            for (column, cell) in row.cells.iter().enumerate().take(self.columns.len()) {
                let Some(yes) = *cell else { continue };
                let x = column as f64 * step;
                let gap = if step > 8.0 { 2.5 } else { 1.2 };
                let (class, inset) = if yes { (row.tone.class(), 0.0) } else { ("no", 0.5) };
                let word = if yes { "reachable" } else { "not reachable" };
                let place = [
                    x + inset,
                    y + LABEL + inset,
                    (step - gap - 2.0 * inset).max(0.5),
                    CELL - 2.0 * inset,
                ];
                canvas.rect_with(class, place, &format!("{}: {word}", self.columns[column]));
            }
        }
        canvas.set_height(HEAD + self.rows.len() as f64 * STEP - 4.0);
    }

    fn draw_marks(&self, canvas: &mut Canvas, step: f64) {
        let mut free = 0.0;
        for (at, name) in &self.marks {
            let x = *at as f64 * step;
            canvas.line("grid", [x, HEAD - 4.0, x, HEAD + 2.0]);
            if x >= free && x + words::width(name) <= canvas.width() {
                canvas.text("quiet small", (x, HEAD / 2.0 - 2.0), Anchor::Start, name);
                free = x + words::width(name) + 6.0;
            }
        }
    }
}
