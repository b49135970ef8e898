//! Measurements as pictures, a page and a text.
#![forbid(unsafe_code)]

pub mod figure;
