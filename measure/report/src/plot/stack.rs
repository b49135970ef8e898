//! Bars of parts, with the parts' names in them where they have room.

use super::canvas::{Anchor, Canvas};
use super::{Tone, words};
use crate::number;

/// Bars on one scale.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stack {
    /// From the top.
    pub rows: Vec<StackRow>,
}

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub struct StackRow {
    /// What stands over it.
    pub label: String,
    /// Its colour.
    pub tone: Tone,
    /// From the left.
    pub segments: Vec<Segment>,
}

/// A part of a bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Its name.
    pub name: String,
    /// Its length.
    pub value: u32,
    /// Whether it belongs to several, and is drawn hollow.
    pub shared: bool,
}

const LABEL: f64 = 20.0;
const BAR: f64 = 24.0;
const STEP: f64 = LABEL + BAR + 10.0;

impl Stack {
    pub(super) fn draw(&self, canvas: &mut Canvas) {
        let total = |row: &StackRow| row.segments.iter().map(|s| f64::from(s.value)).sum::<f64>();
        let most = self.rows.iter().map(total).fold(1.0, f64::max);
        let factor = (canvas.width() - 1.0) / most;
        for (at, row) in self.rows.iter().enumerate() {
            let y = at as f64 * STEP;
            let sum = format!("{}: {}", row.label, number::count(total(row) as u64));
            let sum = words::fit(&sum, canvas.width() / 1.05);
            canvas.text("strong", (0.0, y + LABEL / 2.0), Anchor::Start, &sum);
            row.draw(canvas, y + LABEL, factor);
        }
        canvas.set_height((self.rows.len() as f64 * STEP - 8.0).max(1.0));
    }
}

impl StackRow {
    fn draw(&self, canvas: &mut Canvas, y: f64, factor: f64) {
        let tone = self.tone.class();
        let mut x = 0.0;
        for (at, segment) in self.segments.iter().enumerate() {
            let width = f64::from(segment.value) * factor;
            let drawn = (width - 1.5).max(0.6);
            let number = number::count(u64::from(segment.value));
            let tip = format!("{}: {} {number}", self.label, segment.name);
            let shade = match (segment.shared, at % 2) {
                (true, _) => format!("hollow {tone}"),
                (false, 0) => format!("{tone} soft"),
                (false, _) => format!("{tone} faint"),
            };
            let inset = if segment.shared { 0.75 } else { 0.0 };
            let place = [x + inset, y + inset, drawn - inset * 2.0, BAR - inset * 2.0];
            canvas.rect_with(&shade, place, &tip);
            let room = drawn - 8.0;
            let long = format!("{} {number}", segment.name);
            let said = [long.as_str(), segment.name.as_str(), number.as_str()]
                .into_iter()
                .find(|text| words::width(text) <= room);
            if let Some(said) = said {
                canvas.text("part", (x + 5.0, y + BAR / 2.0), Anchor::Start, said);
            }
            x += width;
        }
    }
}
