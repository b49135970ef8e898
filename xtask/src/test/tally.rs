//! Counts tests from what `cargo test` and the test programs print.
//!
//! A program that ends without its result line has failed, whatever else it printed: it died
//! by a signal, or a test made it exit.

use std::fmt;

/// What was counted so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
    skip_reasons: Vec<String>,
    failures: Vec<String>,
    program: Option<Program>,
}

/// A test program that is running.
#[derive(Debug)]
struct Program {
    name: String,
    /// Code in documentation that is marked `ignore` is no test that was skipped.
    is_documentation: bool,
    has_result: bool,
    /// Tests that have been named as failed.
    failed_names: u64,
}

/// A line that says something about tests.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    /// Cargo starts a program.
    Program { name: &'a str, is_documentation: bool },
    /// A program's last line.
    Result { passed: u64, failed: u64, ignored: u64 },
    /// A test that failed.
    Failed(&'a str),
    /// A test that cannot be run on this machine, with the reason.
    Skipped(&'a str),
}

impl Tally {
    /// The tally of tests that could not be started.
    pub(crate) fn of_failure(what: String) -> Self {
        let mut tally = Self::default();
        tally.fail(what);
        tally
    }

    /// Takes a line of the output.
    pub(crate) fn take(&mut self, line: &str) {
        let plain = without_colours(line);
        match parse(&plain) {
            None => {}
            Some(Line::Program { name, is_documentation }) => {
                self.end_program();
                let name = name.to_owned();
                let program =
                    Program { name, is_documentation, has_result: false, failed_names: 0 };
                self.program = Some(program);
            }
            Some(Line::Failed(test)) => {
                let program = self.program.as_mut();
                let place = program.as_ref().map_or("", |program| &program.name);
                self.failures.push(format!("{test}, in {place}"));
                program.into_iter().for_each(|program| program.failed_names += 1);
            }
            Some(Line::Skipped(reason)) => self.skip_reasons.push(reason.to_owned()),
            Some(Line::Result { passed, failed, ignored }) => {
                self.passed += passed;
                self.failed += failed;
                let program = self.program.as_mut();
                let is_documentation = program.as_ref().is_some_and(|p| p.is_documentation);
                if !is_documentation {
                    self.skipped += ignored;
                }
                if let Some(program) = program {
                    program.has_result = true;
                    let unnamed = failed.saturating_sub(std::mem::take(&mut program.failed_names));
                    if unnamed > 0 {
                        self.failures.push(format!("{unnamed} in {}", program.name));
                    }
                }
            }
        }
    }

    /// Takes the end of the output and whether cargo was content.
    pub(crate) fn finish(&mut self, success: bool) {
        self.end_program();
        if !success && self.failed == 0 {
            self.fail("cargo says why above".into());
        }
    }

    /// Counts a failure that no program has counted.
    pub(crate) fn fail(&mut self, what: String) {
        self.failed += 1;
        self.failures.push(what);
    }

    fn end_program(&mut self) {
        if let Some(program) = self.program.take().filter(|program| !program.has_result) {
            self.fail(format!("{} ended without a result", program.name));
        }
    }

    /// Whether there was nothing to count.
    pub(crate) fn is_empty(&self) -> bool {
        self.passed + self.failed + self.skipped == 0
    }

    /// How many failed.
    pub(crate) fn failed(&self) -> u64 {
        self.failed
    }

    /// How many were skipped.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Why, as far as the tests told.
    pub(crate) fn skip_reasons(&self) -> &[String] {
        &self.skip_reasons
    }

    /// What failed.
    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

fn parse(line: &str) -> Option<Line<'_>> {
    let line = line.trim_end();
    if let Some(result) = line.strip_prefix("test result: ") {
        return parse_result(result);
    }
    if let Some(test) = line.strip_prefix("test ").and_then(|test| test.strip_suffix("... FAILED"))
    {
        return Some(Line::Failed(test.trim_end()));
    }
    if line.starts_with("skipped ") && line.contains(": ") {
        return Some(Line::Skipped(line));
    }
    // Cargo aligns its words to the right, at twelve columns; a test would hardly print that.
    if let Some(name) = line.strip_prefix("     Running ").filter(|name| name.ends_with(')')) {
        return Some(Line::Program { name, is_documentation: false });
    }
    let name = line.strip_prefix("   Doc-tests ")?;
    Some(Line::Program { name, is_documentation: true })
}

/// Reads `ok. 5 passed; 0 failed; 1 ignored; ...`.
fn parse_result(result: &str) -> Option<Line<'_>> {
    let (_, counts) = result.split_once(". ")?;
    let count = |what: &str| {
        counts.split("; ").find_map(|part| part.strip_suffix(what)?.trim_end().parse().ok())
    };
    Some(Line::Result {
        passed: count("passed")?,
        failed: count("failed")?,
        ignored: count("ignored")?,
    })
}

/// A line without the escape sequences of a terminal.
fn without_colours(line: &str) -> String {
    let mut pieces = line.split('\x1b');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|letter: char| letter.is_ascii_alphabetic());
        plain.push_str(end.map_or("", |end| &piece[end + 1..]));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(output: &str, success: bool) -> Tally {
        let mut tally = Tally::default();
        output.lines().for_each(|line| tally.take(line));
        tally.finish(success);
        tally
    }

    const GOOD: &str = "
     Running unittests src/lib.rs (target/debug/deps/one-1)

running 3 tests
test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s

     Running tests/suite/main.rs (target/debug/deps/suite-1)
skipped network::tap: needs root
test result: ok. 40 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 3.00s

   Doc-tests one
test result: ok. 1 passed; 0 failed; 5 ignored; 0 measured; 0 filtered out; finished in 0.00s
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    #[test]
    fn results_are_summed_up() {
        let tally = tally(GOOD, true);
        assert_eq!(tally.to_string(), "44 passed, 0 failed, 2 skipped");
        assert_eq!(tally.skip_reasons(), ["skipped network::tap: needs root"]);
        assert!(tally.failures().is_empty());
    }

    #[test]
    fn failures_are_named_with_their_program() {
        let output = GOOD.replace(
            "test result: ok. 40 passed; 0 failed",
            "test a::b   ... FAILED\ntest result: FAILED. 38 passed; 2 failed",
        );
        let tally = tally(&output, false);
        assert_eq!(tally.to_string(), "42 passed, 2 failed, 2 skipped");
        let program = "tests/suite/main.rs (target/debug/deps/suite-1)";
        assert_eq!(tally.failures(), [format!("a::b, in {program}"), format!("1 in {program}")]);
    }

    #[test]
    fn a_program_without_a_result_has_failed() {
        let (before, _) = GOOD.split_once("test result: ok. 40").unwrap();
        for success in [false, true] {
            let tally = tally(before, success);
            assert_eq!(tally.to_string(), "2 passed, 1 failed, 1 skipped");
            assert!(tally.failures()[0].contains("ended without a result"));
        }
        let in_the_midst = GOOD.replace("test result: ok. 2 passed", "killed");
        assert_eq!(tally(&in_the_midst, false).to_string(), "42 passed, 1 failed, 1 skipped");
    }

    #[test]
    fn what_did_not_build_has_failed() {
        let tally = tally("error: could not compile `one` (lib test)\n", false);
        assert_eq!(tally.to_string(), "0 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn colours_do_not_matter() {
        let coloured = "\x1b[1m\x1b[92m     Running\x1b[0m tests/a.rs (target/a)\n\
                        test result: \x1b[32mok\x1b[m. 7 passed; 0 failed; 0 ignored; 0 measured\n";
        assert_eq!(tally(coloured, true).to_string(), "7 passed, 0 failed, 0 skipped");
    }

    #[test]
    fn what_tests_print_is_not_counted() {
        for line in ["Running late (again)", "test result: unknown", "test result: ok. 1 passed"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
