//! Elements of SVG, written one after another.

use std::fmt::Write;

use crate::escape;

/// What is drawn so far.
pub(super) struct Canvas {
    body: String,
    width: f64,
    height: f64,
}

/// Where words stand to their place.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Canvas {
    pub(super) fn new(width: f64) -> Self {
        Canvas { body: String::new(), width, height: 0.0 }
    }

    pub(super) fn width(&self) -> f64 {
        self.width
    }

    pub(super) fn height(&self) -> f64 {
        self.height
    }

    pub(super) fn body(&self) -> &str {
        &self.body
    }

    /// How far down the picture goes.
    pub(super) fn set_height(&mut self, height: f64) {
        self.height = height.ceil();
    }

    /// A rectangle. Nothing is drawn without a width.
    pub(super) fn rect(&mut self, class: &str, [x, y, width, height]: [f64; 4]) {
        if width > 0.0 && height > 0.0 {
            self.element(format_args!(
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
            ));
        }
    }

    /// As [`Canvas::rect`], with words that a pointing device shows.
    pub(super) fn rect_with(&mut self, class: &str, place: [f64; 4], tip: &str) {
        if place[2] > 0.0 && place[3] > 0.0 {
            self.element(format_args!("<g><title>{}</title>", escape::markup(tip)));
            self.rect(class, place);
            self.element(format_args!("</g>"));
        }
    }

    pub(super) fn line(&mut self, class: &str, [x1, y1, x2, y2]: [f64; 4]) {
        self.element(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    /// A line through points.
    pub(super) fn path(&mut self, class: &str, points: &[(f64, f64)], closed: bool) {
        let mut path = String::new();
        for (at, (x, y)) in points.iter().enumerate() {
            let step = if at == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{step}{x:.1} {y:.1}");
        }
        if closed {
            path.push('Z');
        }
        self.element(format_args!("<path class=\"{class}\" d=\"{path}\"/>"));
    }

    /// Words whose middle line is at `y`.
    pub(super) fn text(&mut self, class: &str, (x, y): (f64, f64), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let text = escape::markup(text);
        // No `dominant-baseline`: not every renderer knows it.
        let y = y + 4.2;
        self.element(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\"{anchor}>{text}</text>"
        ));
    }

    fn element(&mut self, element: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.body, "{element}");
    }
}
