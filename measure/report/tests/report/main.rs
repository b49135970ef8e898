//! What holds for every report: its markup is well-formed, its numbers are those of the data, nothing
//! from outside is markup in it, and what is missing is said to be.

mod numbers;
mod synthetic;
mod xml;

use std::sync::LazyLock;

use measure_report::{Measurement, Report, render};

fn full() -> &'static Report {
    static FULL: LazyLock<Report> = LazyLock::new(|| render(&synthetic::measurement(), "report"));
    &FULL
}

fn empty() -> Report {
    render(&Measurement::default(), "report")
}

#[test]
fn pictures_and_pages_are_well_formed() {
    for report in [full(), &empty()] {
        for (name, picture) in &report.pictures {
            let root = xml::check(picture).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(root, "svg", "{name}");
        }
        let page = report.html.strip_prefix("<!DOCTYPE html>\n").unwrap();
        assert_eq!(xml::check(page).unwrap(), "html");
    }
}

#[test]
fn every_picture_is_there_alone_and_linked() {
    let report = full();
    assert_eq!(report.pictures.len(), 16);
    for (name, picture) in &report.pictures {
        assert!(report.markdown.contains(&format!("(report/{name})")), "{name}");
        for part in ["<title id=", "<desc id=", "prefers-color-scheme", "class=\"paper\""] {
            assert!(picture.contains(part), "{name} has no {part}");
        }
        let id = name.strip_suffix(".svg").unwrap();
        assert!(report.html.contains(&format!("<figure id=\"figure-{id}\">")), "{name}");
    }
}

#[test]
fn names_of_places_are_there_once_and_links_lead_to_them() {
    let page = &full().html;
    let ids: Vec<&str> = xml::attributes(page, "id").collect();
    let mut once = ids.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), ids.len());
    let places = xml::attributes(page, "href").filter_map(|address| address.strip_prefix('#'));
    for place in places {
        assert!(once.contains(&place), "#{place}");
    }
    for labels in xml::attributes(page, "aria-labelledby") {
        assert!(labels.split(' ').all(|label| once.contains(&label)), "{labels}");
    }
}

#[test]
fn the_page_fetches_and_runs_nothing() {
    let page = &full().html;
    let parts = "<script,<link,<img,<iframe,<object,@import,url(, src=, style=, onclick=, onload=";
    for part in parts.split(',') {
        assert_eq!(page.find(part), None, "{part}");
    }
}

/// Markdown without its code, in which nothing is markup.
fn without_code(text: &str) -> String {
    let mut left = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('`') {
        left += &rest[..at];
        let fence = rest[at..].len() - rest[at..].trim_start_matches('`').len();
        let body = &rest[at + fence..];
        if left.ends_with('\\') {
            rest = body;
            continue;
        }
        let ends = body.match_indices(&rest[at..at + fence]).map(|(end, _)| end);
        let mut ends = ends
            .filter(|end| !body[..*end].ends_with('`') && !body[end + fence..].starts_with('`'));
        rest = &body[ends.next().expect("code ends") + fence..];
    }
    left + rest
}

#[test]
fn what_comes_from_outside_is_never_markup() {
    let evil = "<script>alert(1)</script>\"'&|`]()\n\u{0}";
    let mut measurement = synthetic::measurement();
    measurement.about.machine = evil.into();
    measurement.about.commit = evil.into();
    measurement.about.missing.insert("gvisor".into(), evil.into());
    measurement.about.remarks.insert("fuzz".into(), vec![evil.into()]);
    measurement.runs[0].system = evil.into();
    measurement.runs[1].workload = evil.into();
    let steady = measurement.runs[10].phases.iter_mut().find(|phase| phase.name == "steady");
    let role = steady.unwrap().roles.values_mut().next().unwrap();
    let call = role.calls.values().next().unwrap().clone();
    role.calls.insert(evil.into(), call);
    let figure = &mut measurement.figures[0];
    (figure.id, figure.title, figure.unit) = (evil.into(), evil.into(), evil.into());
    figure.command = evil.into();
    figure.series[0].name = evil.into();
    figure.series[0].points[0].label = Some(evil.into());
    let verdict = &mut measurement.verdicts[0];
    (verdict.id, verdict.title) = (evil.into(), evil.into());
    verdict.source = "javascript:alert(1)".into();
    let report = render(&measurement, "report");
    let text = without_code(&report.markdown);
    for text in [&report.html, &text].into_iter().chain(report.pictures.values()) {
        assert!(!text.contains("<script"));
        assert!(!text.contains("(javascript:") && !text.contains("\"javascript:"));
        assert!(!text.contains('\0'));
    }
    assert!(report.html.contains("&lt;script&gt;alert(1)"));
    xml::check(report.html.strip_prefix("<!DOCTYPE html>\n").unwrap()).unwrap();
    for picture in report.pictures.values() {
        xml::check(picture).unwrap();
    }
    let is_plain = |name: &str| {
        name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c))
    };
    assert!(report.pictures.keys().all(|name| is_plain(name)));
}

#[test]
fn what_is_missing_is_said_to_be() {
    let report = empty();
    assert!(report.markdown.contains("0 of 12 targets are met, 0 are missed"));
    assert!(report.markdown.contains("> Not measured: Nabla, ring"));
    assert!(report.pictures.is_empty());
    let report = full();
    assert!(report.markdown.contains("gVisor (kv): runsc is not a package of this release"));
    assert!(report.markdown.contains("gVisor, fuzzed: gVisor was not there"));
}

#[test]
fn the_same_values_give_the_same_bytes() {
    assert_eq!(*full(), render(&synthetic::measurement(), "report"));
}

#[test]
fn values_beyond_reason_do_no_harm() {
    let mut measurement = synthetic::measurement();
    let figures = &mut measurement.figures;
    let samples = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, 1e308, 1e-308];
    for figure in figures.iter_mut() {
        for point in figure.series.iter_mut().flat_map(|series| &mut series.points) {
            point.samples = samples.to_vec();
        }
        figure.series[1].points.clear();
        figure.series[2].points[0].samples.clear();
        figure.series[2].points[0].x = Some(f64::NAN);
    }
    let report = render(&measurement, "");
    for picture in report.pictures.values() {
        xml::check(picture).unwrap();
        assert!(!picture.contains("NaN") && !picture.contains("inf\""), "{picture}");
    }
}
