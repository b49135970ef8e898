//! The `tender` command: parses, runs, prints, exits. Everything else is the library's.

use std::io::{self, Write};
use std::process::ExitCode;

use tender::options::{self, Command, ReportForm};
use tender::run::End;
use tender::supervise::{self, Outcome};
use tender::{descriptors, message};

fn main() -> ExitCode {
    if let Err(error) = descriptors::fill_standard_streams() {
        return fail(&error);
    }
    match options::parse(std::env::args_os().skip(1)) {
        Err(error) => fail(&error),
        Ok(Command::Help) => print(&options::help()),
        Ok(Command::Version) => print(&format!("{}\n", options::VERSION)),
        Ok(Command::Inspect { options, form }) => match (tender::inspect(&options), form) {
            (Err(error), _) => fail(&error),
            (Ok(report), ReportForm::Text) => print(&report.to_string()),
            (Ok(report), ReportForm::Json) => print(&format!("{}\n", report.to_json())),
        },
        Ok(Command::Run(options)) => run(*options),
    }
}

fn run(options: options::Options) -> ExitCode {
    let End { outcome, report } = match tender::run::run(options, &mut |line| tell(line)) {
        Err(error) => return fail(&error),
        Ok(end) => end,
    };
    report.iter().for_each(|line| tell(line));
    match outcome {
        Outcome::Exited(status) => ExitCode::from(status as u8),
        Outcome::Killed(signal) => supervise::die_by(signal),
    }
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    tell(&error.to_string());
    ExitCode::FAILURE
}

/// One line on standard error. Where that is closed, nobody listens.
fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "tender: {}", message::one_line(line));
}
