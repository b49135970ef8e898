//! `cargo xtask`: everything that a user or a developer does with this workspace, one file per
//! verb. It drives cargo and the tender as programs; it neither links them nor knows what a
//! unikernel looks like inside.
#![forbid(unsafe_code)]

mod app;
mod bench;
mod build;
mod cargo;
mod digest;
mod image;
mod inspect;
mod measure;
mod oci;
mod packages;
mod run;
mod suggestion;
mod test;
mod tidy;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Result, bail};
use lexopt::{Arg, Parser, ValueExt};
use site_image::size;

const OVERVIEW: &str = "\
Unikernels as processes: build them, run them, look at them.

Usage: cargo xtask VERB ...

  run APP        builds an app and runs it, with its network and its site
  build [APP]    builds apps, all of them if none is named
  image DIR      packs a folder as a site image, or makes a blank disk
  oci APP        makes a container image of an app
  inspect APP    says what a unikernel asks of the host
  test [FILTER]  builds all and runs every test of the workspace
  bench NAME     measures starts, density, HTTP or the network, beside others
  measure [PART] measures isolation and speed, and makes a page of it
  tidy           checks the rules of this source tree

An APP is a name such as `httpd`, or the path of a crate, in this workspace or outside of it.
Try `cargo xtask run httpd`, then `cargo xtask VERB --help`.";

/// A verb: its name and what it does with the words behind it.
type Verb = (&'static str, fn(&mut Parser) -> Result<ExitCode>);

const VERBS: [Verb; 9] = [
    ("run", run::main),
    ("build", build::main),
    ("image", image::main),
    ("oci", oci::main),
    ("inspect", inspect::main),
    ("test", test::main),
    ("bench", bench::main),
    ("measure", measure::main),
    ("tidy", tidy::main),
];

fn main() -> ExitCode {
    dispatch(&mut Parser::from_env()).unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}

fn dispatch(words: &mut Parser) -> Result<ExitCode> {
    let verb = match words.next()? {
        None => return Ok(explain(OVERVIEW)),
        Some(Arg::Long("help") | Arg::Short('h')) => return Ok(explain(OVERVIEW)),
        Some(Arg::Value(verb)) => verb.string()?,
        Some(option) => bail!("the verb comes first, then {option:?}; see cargo xtask --help"),
    };
    match VERBS.iter().find(|(name, _)| *name == verb) {
        Some((_, main)) => main(words),
        None => {
            let names = VERBS.map(|(name, _)| name);
            let hint = suggestion::closest(&verb, names)
                .map_or_else(|| format!("there are {}", names.join(", ")), suggestion::ask);
            bail!("there is no verb '{verb}'; {hint}")
        }
    }
}

/// Prints a help text.
fn explain(text: &str) -> ExitCode {
    println!("{text}");
    ExitCode::SUCCESS
}

/// A verb's own words, and those behind `--`, which are the guest's.
fn own_and_guests(words: &mut Parser) -> Result<(Parser, Vec<OsString>)> {
    let mut own: Vec<OsString> = words.raw_args()?.collect();
    let at = own.iter().position(|word| word == "--").unwrap_or(own.len());
    let guests = own.split_off(at).into_iter().skip(1).collect();
    Ok((Parser::from_args(own), guests))
}

/// The error for a word that a verb does not know.
fn unexpected(argument: Arg<'_>, verb: &str) -> anyhow::Error {
    let word = match argument {
        Arg::Short(letter) => format!("-{letter}"),
        Arg::Long(name) => format!("--{name}"),
        Arg::Value(value) => value.to_string_lossy().into_owned(),
    };
    anyhow::anyhow!("'{word}' is not understood here; see cargo xtask {verb} --help")
}
