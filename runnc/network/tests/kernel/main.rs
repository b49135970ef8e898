//! What the kernel makes of it: namespaces of the tests' own, a raw reader and writer at the TAP in place of a guest.
//! Without root, or the kernel's traffic control, the cases are skipped with the reason.

mod cases;
mod guest;
mod namespace;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    if let Some(told) = cases::child() {
        println!("{told}");
        return ExitCode::SUCCESS;
    }
    let missing = namespace::missing();
    let trials = cases::ALL.iter().map(|(name, case)| {
        let missing = missing.clone();
        let ignored = missing.is_some();
        let run = move || case().map_err(|error| format!("{error}").into());
        let kind = missing.map(|reason| format!("skipped: {reason}")).unwrap_or_default();
        Trial::test(*name, run).with_ignored_flag(ignored).with_kind(kind)
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}
