//! The `tender` command: parses, runs, prints, exits. Everything else is the library's.
//!
//! The entry is the C library's `main`, as what Rust's own runtime does before (a guard for the stack,
//! a handler for its overflow, a look at /proc/self/maps) takes longer than to load a small guest.
#![no_main]

use std::ffi::c_int;
use std::io::{self, Write};

use tender::options::{self, Command, ReportForm};
use tender::run::End;
use tender::signals::{self, Inherited};
use tender::supervise::Outcome;
use tender::{descriptors, message};

const SUCCESS: c_int = 0;
const FAILURE: c_int = 1;

/// The entry: called by the C library, which has told the standard library the arguments already.
#[unsafe(no_mangle)]
extern "C" fn main() -> c_int {
    let signals = match Inherited::take() {
        Ok(signals) => signals,
        Err(error) => return fail(&error),
    };
    match descriptors::fill_standard_streams() {
        Ok(()) => obey(signals),
        Err(error) => fail(&error),
    }
}

fn obey(signals: Inherited) -> c_int {
    match options::parse(std::env::args_os().skip(1)) {
        Err(error) => fail(&error),
        Ok(Command::Help) => print(&options::help()),
        Ok(Command::Version) => print(&format!("{}\n", options::VERSION)),
        Ok(Command::Inspect { options, form }) => match (tender::inspect(&options), form) {
            (Err(error), _) => fail(&error),
            (Ok(report), ReportForm::Text) => print(&report.to_string()),
            (Ok(report), ReportForm::Json) => print(&format!("{}\n", report.to_json())),
        },
        Ok(Command::Run(options)) => run(*options, signals),
    }
}

fn run(options: options::Options, signals: Inherited) -> c_int {
    let End { outcome, report } = match tender::run::run(options, signals, &mut |line| tell(line)) {
        Err(error) => return fail(&error),
        Ok(end) => end,
    };
    report.iter().for_each(|line| tell(line));
    match outcome {
        Outcome::Exited(status) => status,
        Outcome::Killed(signal) => signals::die_by(signal),
    }
}

fn print(text: &str) -> c_int {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &dyn std::error::Error) -> c_int {
    tell(&error.to_string());
    FAILURE
}

/// One line on standard error. Where that is closed, nobody listens.
fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "tender: {}", message::one_line(line));
}
