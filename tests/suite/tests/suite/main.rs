//! The suite: guests under the real tender. Each file is one subject; a case is a function from the
//! binaries to a result, with the needs that must be met for it to run.

mod behaviours;
mod confinement;
mod economy;
mod environment;
mod hostile;
mod httpd;
mod idle;
mod image;
mod inetd;
mod ipv6;
mod jail;
mod joined;
mod kv;
mod lossy;
mod network;
mod oci;
mod offload;
mod optional;
mod ring;
mod shutdown;
mod solo5;
mod xtask;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};
use suite::{Binaries, Need};

/// One test.
pub(crate) struct Case {
    name: String,
    needs: Vec<Need>,
    body: Body,
}

type Body = Box<dyn FnOnce(&Binaries) -> Result<()> + Send>;

impl Case {
    /// A test that runs everywhere.
    pub(crate) fn new(
        name: impl Into<String>,
        body: impl FnOnce(&Binaries) -> Result<()> + Send + 'static,
    ) -> Self {
        Self { name: name.into(), needs: Vec::new(), body: Box::new(body) }
    }

    /// A test that is skipped where a need is not met, besides those that it has already.
    pub(crate) fn with_needs(mut self, needs: &[Need]) -> Self {
        self.needs.extend_from_slice(needs);
        self
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let binaries = if arguments.list {
        None
    } else {
        match Binaries::locate() {
            Ok(binaries) => Some(binaries),
            Err(error) => {
                eprintln!("suite: {error:#}");
                return ExitCode::FAILURE;
            }
        }
    };
    let binaries = Arc::new(binaries);
    let cases = behaviours::cases()
        .into_iter()
        .chain(optional::cases())
        .chain(hostile::cases())
        .chain(confinement::cases())
        .chain(economy::cases())
        .chain(jail::cases())
        .chain(environment::cases())
        .chain(shutdown::cases())
        .chain(network::cases())
        .chain(joined::cases())
        .chain(ipv6::cases())
        .chain(lossy::cases())
        .chain(idle::cases())
        .chain(offload::cases())
        .chain(ring::cases())
        .chain(solo5::cases())
        .chain(httpd::cases())
        .chain(inetd::cases())
        .chain(kv::cases())
        .chain(image::cases())
        .chain(oci::cases())
        .chain(xtask::cases());
    let asked = |case: &Case| arguments.filter.as_ref().is_none_or(|text| case.name.contains(text));
    let trials = cases.filter(asked).map(|case| trial(case, Arc::clone(&binaries))).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(case: Case, binaries: Arc<Option<Binaries>>) -> Trial {
    let missing: Vec<String> = case.needs.iter().filter_map(|need| need.missing()).collect();
    if !missing.is_empty() {
        println!("skipped {}: {}", case.name, missing.join(", "));
    }
    let body = case.body;
    Trial::test(case.name, move || match &*binaries {
        Some(binaries) => body(binaries).map_err(|error| Failed::from(format!("{error:#}"))),
        None => Err("the binaries were not built".into()),
    })
    .with_ignored_flag(!missing.is_empty())
}
