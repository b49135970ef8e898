//! Writes a report of made-up measurements into a folder, to look at it: `cargo run -p measure-report
//! --example synthetic -- FOLDER [empty]`.

#[path = "../tests/report/synthetic.rs"]
mod synthetic;

use std::path::PathBuf;

use measure_report::{Measurement, render};

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(folder) = arguments.next().map(PathBuf::from) else {
        return Err(std::io::Error::other("usage: synthetic FOLDER [empty]"));
    };
    let measurement = match arguments.next().as_deref() {
        Some("empty") => Measurement::default(),
        _ => synthetic::measurement(),
    };
    let report = render(&measurement, "report");
    std::fs::create_dir_all(folder.join("report"))?;
    std::fs::write(folder.join("report.html"), report.html)?;
    std::fs::write(folder.join("report.md"), report.markdown)?;
    for (name, picture) in report.pictures {
        std::fs::write(folder.join("report").join(name), picture)?;
    }
    Ok(())
}
