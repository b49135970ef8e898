//! Measurements as pictures, a page and a text. Values in, strings out: nothing here reads a file, a
//! clock or the network, and the same values give the same bytes.
//!
//! [`measurement::load`] parses what lies in a folder of results, [`render`] makes everything of it.
//! On the way stands a [`document`] which the page and the text are both written from, so that they
//! cannot say different things.
#![forbid(unsafe_code)]

pub mod cve;
pub mod document;
mod escape;
pub mod figure;
mod html;
mod judgement;
mod markdown;
pub mod measurement;
mod names;
mod number;
pub mod plot;
pub mod profile;
mod section;
mod target;
mod verdict;
mod view;

use std::collections::BTreeMap;

pub use figure::{Better, Figure, Point, Series};
pub use measurement::{About, LoadError, Measurement, Reference, load};
pub use target::{Target, Way, targets};
pub use verdict::Verdict;

/// The report in all its forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// A page that needs nothing besides itself.
    pub html: String,
    /// The same facts for a terminal, a forge or a mail.
    pub markdown: String,
    /// The pictures by file name (`steady.svg`), each usable alone. The text links to them.
    pub pictures: BTreeMap<String, String>,
}

/// Makes the report. `pictures` is the folder in which the text looks for the pictures, as seen from
/// the text (`report`, or `.` or nothing for its own).
#[must_use]
pub fn render(measurement: &Measurement, pictures: &str) -> Report {
    let document = section::document(measurement);
    let files = document
        .pictures()
        .map(|picture| (format!("{}.svg", picture.id), picture.alone()))
        .collect();
    Report {
        html: html::page(&document),
        markdown: markdown::text(&document, pictures),
        pictures: files,
    }
}
