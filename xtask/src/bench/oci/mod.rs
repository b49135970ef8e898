//! `cargo xtask bench oci`: how long container runtimes take until a server answers, and what their
//! containers hold; called as engines call them, with no engine between.

mod bundle;
mod cgroup;
mod crowd;
mod memory;
mod network;
mod report;
mod runtime;
mod stage;
mod view;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use lexopt::{Arg, Parser};
use nix::unistd::geteuid;

use super::candidate::on_path;
use super::{folder, list, machine, number, rounds, save};
use crate::packages::Workspace;
use crate::{explain, unexpected};
pub(super) use bundle::{Contents, empty_root, write as write_bundle};
pub(super) use crowd::Crowd;
use memory::Memory;
pub(super) use network::{Network, Wire, answers};
use report::{Life, Measured, Results};
pub(super) use runtime::{Kind, Runtime};
use stage::Manner;
pub(super) use stage::{ID_PREFIX, Stage, State, family, force};
pub(super) use view::View;

const USAGE: &str = "\
Usage: cargo xtask bench oci [OPTION...]

Container runtimes, called as engines call them: create, start, the first response by HTTP, kill,
delete, in turns. runnc runs our web server as a unikernel; runc, crun and runsc (gVisor) the
smallest server there can be, with the same page. It makes network namespaces of its own, for which
it needs root, and leaves none; a runtime that is not there is left out, and that is said.

  --only LIST            which runtimes, of runnc, runc, crun, runsc; all if nothing is said
  --rounds N             how often each runs a container, 30 if nothing is said
  --memory-containers N  how many containers at once to see what they hold, 10 if nothing is said;
                         0 to leave that out
  --json FILE            where the samples go, target/bench/oci.json if nothing is said";

const ROUNDS: u64 = 30;
const ROUNDS_MAX: u64 = 100_000;
/// A round of these for each ten that count is thrown away first; at least two.
const WARM_UP_SHARE: u64 = 10;
const CONTAINERS: u8 = 10;
/// A network of its own each.
const CONTAINERS_MAX: u8 = 200;
/// Where runtimes keep their state when engines call them, below the folder for such things.
const STATE: &str = "/run/nabla-bench-oci";
/// After a container the kernel removes its namespaces, which nobody waits for.
const SETTLING: Duration = Duration::from_millis(100);
/// The number of the network of a container that is alone.
const ALONE: u16 = 0;

/// What is measured how.
#[derive(Debug)]
struct Options {
    only: Vec<Kind>,
    rounds: u64,
    containers: u8,
    json: Option<PathBuf>,
}

impl Options {
    fn parse(words: &mut Parser) -> Result<Option<Self>> {
        let mut options =
            Self { only: Kind::ALL.into(), rounds: ROUNDS, containers: CONTAINERS, json: None };
        while let Some(word) = words.next()? {
            match word {
                Arg::Long("help") | Arg::Short('h') => return Ok(None),
                Arg::Long("only") => options.only = list(words, Kind::parse)?,
                Arg::Long("rounds") => options.rounds = number(words, "--rounds")?,
                Arg::Long("memory-containers") => {
                    options.containers = number(words, "--memory-containers")?;
                }
                Arg::Long("json") => options.json = Some(words.value()?.into()),
                other => return Err(unexpected(other, "bench oci")),
            }
        }
        let (rounds, containers) = (options.rounds, options.containers);
        ensure!((1..=ROUNDS_MAX).contains(&rounds), "--rounds is from 1 to {ROUNDS_MAX}");
        ensure!(containers <= CONTAINERS_MAX, "--memory-containers is at most {CONTAINERS_MAX}");
        Ok(Some(options))
    }
}

/// The bench.
///
/// # Errors
/// If no runtime works here, something does not build, or the namespaces cannot be made.
pub(super) fn main(words: &mut Parser) -> Result<ExitCode> {
    let Some(options) = Options::parse(words)? else { return Ok(explain(USAGE)) };
    ensure!(geteuid().is_root(), "bench oci needs root: it makes networks and containers");
    on_path("ip").context("ip is not on PATH; Debian has it in iproute2")?;
    let ours = Workspace::ours()?;
    let folder = folder(&ours)?.join("oci");
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;

    let results = measure(&options, &ours, &folder)?;
    print!("\n{}", results.in_words());
    let path = options.json.unwrap_or_else(|| folder.with_extension("json"));
    save(&results.to_json(), &path)?;
    Ok(ExitCode::SUCCESS)
}

fn measure(options: &Options, ours: &Workspace, folder: &Path) -> Result<Results> {
    let about = machine::describe(&ours.root);
    let state = State::make(Path::new(STATE))?;
    let (mut found, mut left_out) = (Vec::new(), Vec::new());
    for &kind in &options.only {
        match Runtime::find(kind, ours, folder, &state.folder) {
            Ok(runtime) => found.push(runtime),
            Err(reason) => left_out.push((kind, format!("{reason:#}"))),
        }
    }
    // After the builds: they may need the system's network, and a signal may end them.
    let network = Network::enter()?;
    let mut stage = Stage::new(folder)?;
    let mut measured = Vec::new();
    for mut runtime in found {
        let attempt = attempt(&mut stage, &network, &mut runtime);
        match attempt {
            Ok(()) => measured.push(Measured { runtime, lives: Vec::new() }),
            Err(reason) => {
                stage.check()?;
                left_out.push((runtime.kind, format!("{reason:#}")));
            }
        }
    }
    if measured.is_empty() {
        let reasons = left_out.iter().map(|(kind, why)| format!("\n{}: {why}", kind.name()));
        bail!("no runtime works here{}", reasons.collect::<String>());
    }
    run_rounds(&mut stage, &network, &mut measured, options.rounds)?;
    let mut memory = Vec::new();
    for one in measured.iter().filter(|_| options.containers > 0) {
        eprintln!("memory: {} containers of {}", options.containers, one.runtime.kind.name());
        memory.push(Memory::measure(&mut stage, &network, &one.runtime, options.containers)?);
        thread::sleep(SETTLING);
    }
    Ok(Results { about, rounds: options.rounds, measured, memory, left_out })
}

/// Whether a runtime works here, maybe with a view of its own.
fn attempt(stage: &mut Stage, network: &Network, runtime: &mut Runtime) -> Result<()> {
    runtime.clear()?;
    let Err(reason) = live(stage, network, runtime, Manner::Try) else { return Ok(()) };
    if !runtime.adapt(&reason)? {
        return Err(reason);
    }
    live(stage, network, runtime, Manner::Try).map(drop).context(reason)
}

/// Runs a container of each runtime in each round, the first of which do not count.
fn run_rounds(
    stage: &mut Stage,
    network: &Network,
    measured: &mut [Measured],
    count: u64,
) -> Result<()> {
    let warm_up = (count / WARM_UP_SHARE).max(2);
    let start = Instant::now();
    for round in 0..warm_up + count {
        for at in rounds::order(measured.len(), round) {
            let one = &mut measured[at];
            let life = live(stage, network, &one.runtime, Manner::Time)?;
            if round >= warm_up {
                one.lives.push(life);
            }
        }
        if round.is_multiple_of(10) {
            eprintln!("round {round} of {}, {} s", warm_up + count, start.elapsed().as_secs());
        }
    }
    Ok(())
}

/// A container from its bundle to its end.
fn live(stage: &mut Stage, network: &Network, runtime: &Runtime, manner: Manner) -> Result<Life> {
    let mut container = stage.container(runtime, network.wire(ALONE)?)?;
    let create = container.create(stage, manner)?;
    let start = container.start(stage, manner)?;
    let answer = container.first_answer()?;
    container.kill(stage, manner)?;
    stage::wait_for_all()?;
    let delete = container.delete(stage, manner)?;
    drop(container);
    thread::sleep(SETTLING);
    let ns = |time: Duration| u64::try_from(time.as_nanos()).context("a step of centuries");
    Ok(Life {
        create_ns: ns(create)?,
        start_ns: ns(start)?,
        answer_ns: ns(answer.elapsed)?,
        delete_ns: ns(delete)?,
        answer_bytes: answer.bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Option<Options>> {
        Options::parse(&mut Parser::from_args(words))
    }

    #[test]
    fn options_have_bounds() {
        let options = parse(&["--only", "runc,runsc,runc", "--rounds", "7"]).unwrap().unwrap();
        assert_eq!((options.only, options.rounds), (vec![Kind::Runc, Kind::Runsc], 7));
        assert!(parse(&["--help"]).unwrap().is_none());
        for wrong in [
            &["--rounds", "0"][..],
            &["--memory-containers", "201"],
            &["--only", "podman"],
            &["--seconds", "1"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
