//! Lines over an axis, with their names at their ends.

use super::canvas::{Anchor, Canvas};
use super::scale::Scale;
use super::{Tone, words};
use crate::number;

/// Lines on two axes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lines {
    /// What the horizontal axis is.
    pub x: String,
    /// What the vertical axis is.
    pub y: String,
    /// Whether the horizontal axis is logarithmic.
    pub log_x: bool,
    /// Whether the vertical axis is. It begins at zero if not.
    pub log_y: bool,
    /// Whether points have marks.
    pub marks: bool,
    /// The lines.
    pub lines: Vec<Line>,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Whose.
    pub name: String,
    /// Its colour.
    pub tone: Tone,
    /// From the left.
    pub dots: Vec<Dot>,
}

/// One point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dot {
    /// Where.
    pub x: f64,
    /// The value.
    pub y: f64,
    /// The spread below and above, if there is one.
    pub spread: Option<(f64, f64)>,
}

const BODY: f64 = 260.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 40.0;
const NAME_STEP: f64 = 15.0;

struct Frame {
    left: f64,
    right: f64,
    bottom: f64,
    /// Whether names have no room beside the lines, and stand below with a sample of each.
    key: bool,
    x: Scale,
    y: Scale,
}

impl Lines {
    pub(super) fn draw(&self, canvas: &mut Canvas) {
        let Some(frame) = self.frame(canvas.width()) else {
            canvas.text("quiet", (0.0, 12.0), Anchor::Start, "no data");
            canvas.set_height(24.0);
            return;
        };
        self.draw_axes(canvas, &frame);
        for (line, index) in self.lines.iter().zip(self.indices()) {
            line.draw(canvas, &frame, index, self.marks);
        }
        if frame.key {
            self.draw_key(canvas, &frame);
        } else {
            self.draw_names(canvas, &frame);
            canvas.set_height(frame.bottom + BOTTOM);
        }
    }

    fn dots(&self) -> impl Iterator<Item = &Dot> {
        self.lines.iter().flat_map(Line::seen)
    }

    fn frame(&self, width: f64) -> Option<Frame> {
        let range = |values: &mut dyn Iterator<Item = f64>| {
            values.filter(|value| value.is_finite()).fold(None, |range, value| match range {
                None => Some((value, value)),
                Some((low, high)) => Some((f64::min(low, value), f64::max(high, value))),
            })
        };
        let x = range(&mut self.dots().map(|dot| dot.x))?;
        let spread = |dot: &Dot| dot.spread.map_or([dot.y; 3], |(low, high)| [low, dot.y, high]);
        let y = range(&mut self.dots().flat_map(spread))?;
        let y = if self.log_y && y.0 > 0.0 {
            (10f64.powf(y.0.log10().floor()), y.1 * 1.05)
        } else {
            (y.0.min(0.0), if y.1 > 0.0 { y.1 * 1.04 } else { 1.0 })
        };
        let bottom = TOP + BODY;
        let y = Scale::new(y, (bottom, TOP), self.log_y);
        let ticks = y.ticks(5).into_iter().map(|tick| words::width(&number::tick(tick)));
        let left = ticks.fold(0.0, f64::max) + 8.0;
        let names = self.lines.iter().map(|line| words::width(&line.name)).fold(0.0, f64::max);
        let key = names > width * 0.34;
        let right = if key { width - 8.0 } else { width - names - 18.0 };
        Some(Frame {
            left,
            right,
            bottom,
            key,
            x: Scale::new(x, (left + 4.0, right), self.log_x),
            y,
        })
    }

    fn draw_axes(&self, canvas: &mut Canvas, frame: &Frame) {
        canvas.text("quiet", (0.0, 8.0), Anchor::Start, &words::fit(&self.y, canvas.width()));
        for tick in frame.y.ticks(5) {
            let y = frame.y.at(tick);
            canvas.line("grid", [frame.left, y, frame.right, y]);
            canvas.text("quiet", (frame.left - 6.0, y), Anchor::End, &number::tick(tick));
        }
        canvas.line("axis", [frame.left, frame.bottom, frame.right, frame.bottom]);
        let mut free = f64::NEG_INFINITY;
        for tick in self.x_ticks(frame) {
            let (x, text) = (frame.x.at(tick), number::tick(tick));
            let half = words::width(&text) / 2.0;
            canvas.line("axis", [x, frame.bottom, x, frame.bottom + 4.0]);
            if x - half >= free {
                canvas.text("quiet", (x, frame.bottom + 13.0), Anchor::Middle, &text);
                free = x + half + 6.0;
            }
        }
        let label = words::fit(&self.x, canvas.width() - frame.left);
        canvas.text("quiet", (frame.left, frame.bottom + 31.0), Anchor::Start, &label);
    }

    /// Where something was measured, if that are few places; round values otherwise.
    fn x_ticks(&self, frame: &Frame) -> Vec<f64> {
        let mut places: Vec<f64> = self.dots().map(|dot| dot.x).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        if self.marks && places.len() <= 10 {
            return places;
        }
        frame.x.ticks(((frame.right - frame.left) / 70.0) as usize)
    }

    /// The how manieth of its colour each line is: so they are dashed and marked.
    fn indices(&self) -> Vec<usize> {
        let before = |at: usize| {
            let tone = self.lines[at].tone;
            self.lines[..at].iter().filter(|line| line.tone == tone).count()
        };
        (0..self.lines.len()).map(before).collect()
    }

    /// Names below, from the line that ends highest to the one that ends lowest.
    fn draw_key(&self, canvas: &mut Canvas, frame: &Frame) {
        let ends = self.lines.iter().zip(self.indices());
        let mut ends: Vec<(f64, &Line, usize)> = ends
            .filter_map(|(line, index)| Some((frame.y.at(line.seen().last()?.y), line, index)))
            .collect();
        ends.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut y = frame.bottom + BOTTOM + 10.0;
        for (_, line, index) in ends {
            line.stroke(canvas, &[(0.0, y), (26.0, y)], index);
            if self.marks {
                line.mark(canvas, (13.0, y), index);
            }
            let name = words::fit(&line.name, canvas.width() - 34.0);
            canvas.text("label", (34.0, y), Anchor::Start, &name);
            y += NAME_STEP + 3.0;
        }
        canvas.set_height(y - 4.0);
    }

    /// Names beside the lines' ends, moved apart where they would meet.
    fn draw_names(&self, canvas: &mut Canvas, frame: &Frame) {
        let mut names: Vec<(f64, f64, &Line)> = Vec::new();
        for line in &self.lines {
            if let Some(last) = line.seen().last() {
                names.push((frame.x.at(last.x), frame.y.at(last.y), line));
            }
        }
        names.sort_by(|one, other| one.1.total_cmp(&other.1));
        let (names, early): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|(x, ..)| *x > frame.right - 24.0);
        draw_early(canvas, &early);
        let mut places: Vec<f64> = names.iter().map(|name| name.1).collect();
        for at in 1..places.len() {
            places[at] = places[at].max(places[at - 1] + NAME_STEP);
        }
        let mut floor = frame.bottom;
        for place in places.iter_mut().rev() {
            *place = place.min(floor);
            floor = *place - NAME_STEP;
        }
        for ((x, y, line), place) in names.into_iter().zip(places) {
            let left = frame.right + 14.0;
            if (place - y).abs() > 1.0 {
                canvas.line("leader", [x + 5.0, y, left - 3.0, place]);
            }
            let name = words::fit(&line.name, canvas.width() - left);
            canvas.text(line.tone.class(), (left, place), Anchor::Start, &name);
        }
    }
}

/// Names of lines that end before the others do, at their ends, where no other such name is.
fn draw_early(canvas: &mut Canvas, names: &[(f64, f64, &Line)]) {
    let mut taken: Vec<(f64, f64, f64)> = Vec::new();
    for (x, y, line) in names {
        let width = words::width(&line.name);
        let x = (x + 7.0).min(canvas.width() - width).max(0.0);
        let is_free = |y: f64| {
            let meets = |(left, right, at): &(f64, f64, f64)| {
                x < *right && x + width > *left && (y - at).abs() < NAME_STEP
            };
            !taken.iter().any(meets)
        };
        let places = [-9.0, 11.0, -24.0, 26.0, -39.0].map(|offset| y + offset);
        let mut places = places.into_iter().filter(|place| *place >= TOP - 2.0);
        let place = places.find(|place| is_free(*place)).unwrap_or(y + 11.0);
        let class = format!("halo {}", line.tone.class());
        canvas.text(&class, (x, place), Anchor::Start, &line.name);
        taken.push((x, x + width, place));
    }
}

impl Line {
    /// What can be drawn.
    fn seen(&self) -> impl Iterator<Item = &Dot> {
        self.dots.iter().filter(|dot| dot.x.is_finite() && dot.y.is_finite())
    }

    fn draw(&self, canvas: &mut Canvas, frame: &Frame, index: usize, marks: bool) {
        let tone = self.tone.class();
        let place = |dot: &Dot| (frame.x.at(dot.x), frame.y.at(dot.y));
        let edge = |upper: bool| {
            self.seen().filter_map(move |dot| {
                let (low, high) = dot.spread?;
                Some((frame.x.at(dot.x), frame.y.at(if upper { high } else { low })))
            })
        };
        let mut band: Vec<(f64, f64)> = edge(true).collect();
        if band.len() > 1 {
            let back: Vec<_> = edge(false).collect();
            band.extend(back.into_iter().rev());
            canvas.path(&format!("{tone} faint"), &band, true);
        }
        let points: Vec<(f64, f64)> = self.seen().map(place).collect();
        self.stroke(canvas, &points, index);
        if marks {
            points.into_iter().for_each(|point| self.mark(canvas, point, index));
        }
    }

    fn stroke(&self, canvas: &mut Canvas, points: &[(f64, f64)], index: usize) {
        let dash = match index % 4 {
            0 => String::new(),
            other => format!(" dash{other}"),
        };
        canvas.path(&format!("line {}{dash}", self.tone.class()), points, false);
    }

    fn mark(&self, canvas: &mut Canvas, point: (f64, f64), index: usize) {
        let tone = self.tone.class();
        let class = if index < 4 { tone.to_string() } else { format!("hollow {tone}") };
        canvas.path(&class, &mark(point, index), true);
    }
}

/// A square, a diamond, a triangle, a triangle upside down.
fn mark((x, y): (f64, f64), index: usize) -> Vec<(f64, f64)> {
    let r = 3.6;
    match index % 4 {
        0 => vec![(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)],
        1 => vec![(x, y - 1.4 * r), (x + 1.4 * r, y), (x, y + 1.4 * r), (x - 1.4 * r, y)],
        2 => vec![(x, y - 1.3 * r), (x + 1.2 * r, y + r), (x - 1.2 * r, y + r)],
        _ => vec![(x, y + 1.3 * r), (x + 1.2 * r, y - r), (x - 1.2 * r, y - r)],
    }
}

/// Whether values are better seen on a logarithmic axis: positive, and far apart.
pub(crate) fn is_wide(values: impl Iterator<Item = f64>, factor: f64) -> bool {
    let mut range: Option<(f64, f64)> = None;
    for value in values.filter(|value| value.is_finite()) {
        let (low, high) = range.unwrap_or((value, value));
        range = Some((low.min(value), high.max(value)));
    }
    range.is_some_and(|(low, high)| low > 0.0 && high / low > factor)
}
