//! What two have in common, and what each has alone: bars about the edge where the common part begins.

use super::canvas::{Anchor, Canvas};
use super::{Tone, words};
use crate::number;

/// Pairs on one scale.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sides {
    /// From the top, with what stands over each group.
    pub groups: Vec<(String, Vec<Side>)>,
}

/// One pair.
#[derive(Clone, Debug, PartialEq)]
pub struct Side {
    /// What stands over it.
    pub label: String,
    /// The colour of what is ours alone.
    pub ours_tone: Tone,
    /// The colour of what is theirs.
    pub theirs_tone: Tone,
    /// How many only the first has.
    pub ours: usize,
    /// How many both have.
    pub both: usize,
    /// How many only the second has.
    pub theirs: usize,
}

const HEAD: f64 = 22.0;
const TITLE: f64 = 26.0;
const LABEL: f64 = 18.0;
const BAR: f64 = 18.0;
const STEP: f64 = LABEL + BAR + 8.0;
/// Room for a number beside a bar.
const NUMBER: f64 = 44.0;

impl Sides {
    pub(super) fn draw(&self, canvas: &mut Canvas) {
        let rows = || self.groups.iter().flat_map(|(_, rows)| rows);
        let most = |of: fn(&Side) -> usize| rows().map(of).max().unwrap_or(0) as f64;
        let (left, right) = (most(|side| side.ours), most(|side| side.both + side.theirs));
        let heads = words::width("ours alone") + 6.0;
        let room = (canvas.width() - 2.0 * NUMBER).max(20.0);
        let factor = room / (left + right).max(1.0);
        let edge = (NUMBER + left * factor).max(heads);
        let factor = ((canvas.width() - NUMBER - edge) / right.max(1.0)).min(factor);
        let end = canvas.width();
        canvas.text("quiet", (edge - 6.0, HEAD / 2.0), Anchor::End, "ours alone");
        canvas.text("quiet", (edge + 6.0, HEAD / 2.0), Anchor::Start, "both");
        canvas.text("quiet", (end, HEAD / 2.0), Anchor::End, "theirs alone");
        let mut y = HEAD;
        for (title, rows) in &self.groups {
            let title = words::fit(title, end / 1.05);
            canvas.text("strong", (0.0, y + TITLE / 2.0), Anchor::Start, &title);
            y += TITLE;
            for side in rows {
                let label = words::fit(&side.label, end);
                canvas.text("label", (0.0, y + LABEL / 2.0), Anchor::Start, &label);
                side.draw(canvas, y + LABEL, edge, factor);
                y += STEP;
            }
        }
        canvas.set_height(y);
    }
}

impl Side {
    fn draw(&self, canvas: &mut Canvas, y: f64, edge: f64, factor: f64) {
        let middle = y + BAR / 2.0;
        let (ours, theirs) = (self.ours_tone.class(), self.theirs_tone.class());
        let width = |count: usize| count as f64 * factor;
        let said = number::size;
        let left = edge - width(self.ours);
        let tip = format!("{}: ours alone {}", self.label, said(self.ours));
        canvas.rect_with(ours, [left, y, width(self.ours), BAR], &tip);
        canvas.text("number", (left - 6.0, middle), Anchor::End, &said(self.ours));
        let tip = format!("{}: both {}", self.label, said(self.both));
        canvas.rect_with(&format!("{ours} soft"), [edge, y, width(self.both), BAR], &tip);
        let common = said(self.both);
        if words::width(&common) + 8.0 < width(self.both) {
            canvas.text("number", (edge + 6.0, middle), Anchor::Start, &common);
        }
        let start = edge + width(self.both);
        let tip = format!("{}: theirs alone {}", self.label, said(self.theirs));
        canvas.rect_with(&format!("{theirs} soft"), [start, y, width(self.theirs), BAR], &tip);
        let place = (start + width(self.theirs) + 6.0, middle);
        canvas.text("number", place, Anchor::Start, &said(self.theirs));
        canvas.line("axis", [edge, y - 2.0, edge, y + BAR + 2.0]);
    }
}
