//! The fuzzer's program: children that make random system calls as a user without privileges, and a guard that replaces
//! those that have ended. Everything follows from the seed, as far as the kernel answers alike.
//!
//! It says `calls N` from time to time, and before the first call, and waits for a line before it goes on, so that
//! who records it can look at it while it rests.

mod child;
mod filter;
mod guard;
mod machine;
mod peer;
mod raw;

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

pub(crate) use machine::measure;

/// The word of this program.
pub(crate) const WORD: &str = "fuzz";
/// Whom children are: nobody.
const USER: u32 = 65534;
/// Where they may do what they want: on a disk, as a guest's blocks are.
const FOLDER: &str = "/data/fuzz";
/// The option that says that nothing of value is around.
const DISPOSABLE: &str = "--disposable";

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Settings {
    seed: u64,
    /// System calls.
    calls: u64,
    /// How often it says how far it is.
    stops: u64,
    /// Whether children are under Docker's default filter.
    is_filtered: bool,
    folder: PathBuf,
}

/// Its command line.
pub(crate) fn words(seed: u64, calls: u64, stops: u64, is_filtered: bool) -> Vec<String> {
    let numbers = [("--seed", seed), ("--calls", calls), ("--stops", stops)];
    let numbers =
        numbers.iter().flat_map(|(name, number)| [(*name).to_owned(), number.to_string()]);
    let filter = is_filtered.then(|| ["--filter", "docker"].map(str::to_owned));
    let head = [WORD, DISPOSABLE].map(str::to_owned).into_iter();
    head.chain(numbers).chain(filter.into_iter().flatten()).collect()
}

/// Runs it.
///
/// # Errors
/// If it was not told that the machine can be thrown away, or something is refused that children need.
pub(crate) fn main(words: impl Iterator<Item = String>) -> Result<()> {
    guard::guard(&parse(words)?)
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Settings> {
    let mut is_disposable = false;
    let mut settings =
        Settings { seed: 1, calls: 10_000, stops: 10, is_filtered: false, folder: FOLDER.into() };
    while let Some(word) = words.next() {
        if word == DISPOSABLE {
            is_disposable = true;
            continue;
        }
        let value = words.next().with_context(|| format!("{word} needs a value"))?;
        let number = || value.parse().with_context(|| format!("{word}: '{value}' is no number"));
        match &*word {
            "--seed" => settings.seed = number()?,
            "--calls" => settings.calls = number()?,
            "--stops" => settings.stops = number()?.max(1),
            "--folder" => settings.folder = value.into(),
            "--filter" => {
                ensure!(value == "docker", "--filter: '{value}' is unknown; there is docker");
                settings.is_filtered = true;
            }
            _ => bail!("fuzz: '{word}' is unknown"),
        }
    }
    // It ends every process of its user, again and again.
    ensure!(
        is_disposable,
        "fuzz makes any system call and ends other processes: only in a virtual machine or a \
         container that can be thrown away, with {DISPOSABLE}"
    );
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood() {
        let settings = parse(words(7, 500, 3, true).into_iter().skip(1)).unwrap();
        let expected =
            Settings { seed: 7, calls: 500, stops: 3, is_filtered: true, folder: FOLDER.into() };
        assert_eq!(settings, expected);
    }

    #[test]
    fn it_does_not_run_by_accident() {
        for words in ["", "--seed 1", "--disposable --seed", "--disposable --filter none", "x y"] {
            let words = words.split_whitespace().map(str::to_owned);
            assert!(parse(words).is_err());
        }
    }
}
