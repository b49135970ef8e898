//! Horizontal bars from zero, in groups, each with its name and its number.

use super::canvas::{Anchor, Canvas};
use super::{Tone, words};

/// Bars.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bars {
    /// From the top.
    pub groups: Vec<Group>,
    /// Whether each group has a scale of its own. The caption has to say so.
    pub apart: bool,
}

/// Bars that belong together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// Its name; may be empty.
    pub title: String,
    /// From the top.
    pub rows: Vec<Row>,
}

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Whose.
    pub label: String,
    /// Its colour.
    pub tone: Tone,
    /// Its length.
    pub value: f64,
    /// What stands behind it.
    pub text: String,
    /// A second value, shown as a ring on a thin line.
    pub ring: Option<f64>,
    /// A value that it is held against, shown as a dashed line across.
    pub limit: Option<f64>,
    /// The samples' spread, if it is a median.
    pub spread: Option<Spread>,
}

/// How samples lie about their median.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spread {
    /// The first quartile.
    pub lower: f64,
    /// The third.
    pub upper: f64,
    /// Each sample, if it is to be seen.
    pub samples: Vec<f64>,
}

const ROW: f64 = 22.0;
const BAR: f64 = 12.0;
const TITLE: f64 = 28.0;
const GAP: f64 = 8.0;

impl Group {
    fn reach(&self) -> f64 {
        self.rows.iter().map(Row::reach).fold(0.0, f64::max)
    }
}

impl Row {
    fn reach(&self) -> f64 {
        let spread = self.spread.iter().flat_map(|s| s.samples.iter().copied().chain([s.upper]));
        [self.value, self.ring.unwrap_or(0.0), self.limit.unwrap_or(0.0)]
            .into_iter()
            .chain(spread)
            .filter(|value| value.is_finite())
            .fold(0.0, f64::max)
    }
}

/// Where things are.
struct Frame {
    /// Where bars begin.
    start: f64,
    /// The longest bar.
    room: f64,
    /// Pixels for one.
    factor: f64,
    /// Whether names stand over their bars and not beside them.
    above: bool,
}

impl Bars {
    pub(super) fn draw(&self, canvas: &mut Canvas) {
        let mut frame = self.frame(canvas.width());
        let room = frame.room;
        let mut y = 0.0;
        for group in &self.groups {
            if !group.title.is_empty() {
                let title = words::fit(&group.title, canvas.width() * 0.92);
                canvas.text("strong", (0.0, y + TITLE / 2.0), Anchor::Start, &title);
                y += TITLE;
            }
            let most = if self.apart { group.reach() } else { self.reach() };
            frame.factor = if most > 0.0 { room / most } else { 0.0 };
            let top = y;
            for row in &group.rows {
                if frame.above {
                    let label = words::fit(&row.label, canvas.width());
                    canvas.text("label", (0.0, y + ROW * 0.5), Anchor::Start, &label);
                    y += ROW * 0.8;
                } else {
                    let label = words::fit(&row.label, frame.start - GAP);
                    let place = (frame.start - GAP, y + ROW / 2.0);
                    canvas.text("label", place, Anchor::End, &label);
                }
                frame.bar(canvas, row, y + ROW / 2.0);
                y += ROW;
            }
            if !frame.above {
                canvas.line("axis", [frame.start, top, frame.start, y]);
            }
            y += 10.0;
        }
        canvas.set_height((y - 10.0).max(1.0));
    }

    fn frame(&self, width: f64) -> Frame {
        let rows = || self.groups.iter().flat_map(|group| &group.rows);
        let longest =
            |text: fn(&Row) -> &str| rows().map(|row| words::width(text(row))).fold(0.0, f64::max);
        let labels = longest(|row| &row.label) + GAP;
        let numbers = (longest(|row| &row.text) + GAP).min(width * 0.5);
        let above = labels > width * 0.42;
        let start = if above { 0.5 } else { labels };
        let room = (width - start - numbers - 6.0).max(20.0);
        Frame { start, room, factor: 0.0, above }
    }

    fn reach(&self) -> f64 {
        self.groups.iter().map(Group::reach).fold(0.0, f64::max)
    }
}

impl Frame {
    fn at(&self, value: f64) -> f64 {
        self.start + if value.is_finite() { value.max(0.0) * self.factor } else { 0.0 }
    }

    fn bar(&self, canvas: &mut Canvas, row: &Row, middle: f64) {
        let tone = row.tone.class();
        let top = middle - BAR / 2.0;
        let end = self.at(row.value);
        let tip = format!("{}: {}", row.label, row.text);
        let mut last = end;
        if self.above {
            canvas.line("axis", [self.start, top - 2.0, self.start, top + BAR + 2.0]);
        }
        let fill = if row.spread.is_some() { format!("{tone} soft") } else { tone.to_string() };
        canvas.rect_with(&fill, [self.start, top, (end - self.start).max(1.0), BAR], &tip);
        if let Some(ring) = row.ring.map(|ring| self.at(ring)) {
            canvas.line(&format!("line thin {tone}"), [end, middle, ring, middle]);
            let (x, y) = (ring, middle);
            let diamond = [(x - 4.0, y), (x, y - 4.0), (x + 4.0, y), (x, y + 4.0)];
            canvas.path(&format!("hollow {tone}"), &diamond, true);
            last = last.max(ring + 4.0);
        }
        if let Some(spread) = &row.spread {
            let (lower, upper) = (self.at(spread.lower), self.at(spread.upper));
            let line = [lower, middle, upper.max(lower + 1.0), middle];
            canvas.line(&format!("line thick {tone}"), line);
            for sample in spread.samples.iter().filter(|sample| sample.is_finite()) {
                let x = self.at(*sample);
                canvas.line(&format!("line thin {tone}"), [x, top, x, top + BAR]);
                last = last.max(x);
            }
            last = last.max(upper);
        }
        if let Some(limit) = row.limit.map(|limit| self.at(limit)) {
            canvas.line("limit", [limit, middle - ROW / 2.0, limit, middle + ROW / 2.0]);
            // The number must not stand on the line.
            if limit >= last && limit < last + GAP + words::width(&row.text) {
                last = limit;
            }
        }
        let room = (canvas.width() - last - GAP).max(0.0);
        canvas.text(
            "number",
            (last + GAP - 1.0, middle),
            Anchor::Start,
            &words::fit(&row.text, room),
        );
    }
}
