//! Many instances started at once: how long until all have ended, of programs that do nothing, or until all have answered,
//! of servers; and what idle ones hold.
//!
//! Networks and bundles are there before the clock starts, but for the user-mode network of a tender, whose
//! gateway is a part of the start. A server is asked every two milliseconds, one after the other: what asks
//! takes little from who is starting. Pages of files are in memory already.

mod guests;
mod natives;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guests::{Guests, Taps};
use natives::{Natives, Server, Sleepers};

use super::apart::apart;
use super::candidate::{Candidate, Runner};
use super::oci::{self, Crowd, Kind, Network, Runtime, Stage, State, Wire};
use super::process::Process;
use super::sweep::{Lines, Plan, Rival, sweep};
use super::{containers, folder, http, machine, programs};
use crate::app::{self, App};
use crate::cargo::{self, Profile};
use crate::image;
use crate::packages::Workspace;

const STATE: &str = "/run/nabla-bench-crowd";
const APP: &str = "httpd";
/// What all may take to answer, or to end: this, and a share for each.
const TIME_OUT: Duration = Duration::from_secs(20);
const TIME_OUT_EACH: Duration = Duration::from_millis(100);
/// Between two questions to servers that are starting, as with containers.
const PAUSE: Duration = Duration::from_millis(2);
/// After that what starting has taken is given back.
const SETTLING: Duration = Duration::from_secs(1);
/// The most TAP interfaces and containers: networks are made one by one.
const WIRES_MAX: usize = 1000;
/// A static program that waits for ever.
const ASLEEP: &str = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n";

/// How many are started at once, and how often.
const FULL: [(usize, u64); 8] =
    [(1, 5), (2, 5), (4, 5), (8, 5), (16, 3), (32, 3), (64, 2), (128, 2)];
const QUICK: [(usize, u64); 3] = [(1, 2), (4, 2), (16, 1)];
const IDLE_FULL: [(usize, u64); 4] = [(1, 2), (10, 1), (100, 1), (1000, 1)];
const IDLE_QUICK: [(usize, u64); 2] = [(1, 1), (10, 1)];

/// How long it takes from before the first of many is started until all have ended, in seconds: the unikernel `hello`,
/// and static programs that do nothing, in containers and outside of them.
///
/// # Errors
/// If something does not build.
pub(crate) fn ended(is_quick: bool) -> Result<Lines> {
    let ours = Workspace::ours()?;
    let folder = folder(&ours)?;
    let tender = app::build_tender(&ours)?;
    cargo::build(&ours.root, ["guests"], Profile::Release)?;
    let hello = ours.binaries(Profile::Release).join("guest-hello");
    let runnc = app::Starter::Runnc.build(&ours);
    let runnc = runnc.and_then(|program| containers::ours(&program, &hello, &folder));
    let found = programs::all(&folder, &tender, &hello).into_iter();
    let found = found.chain([runnc.map_err(|reason| ("runnc", reason))]);
    let found = found.chain(containers::all(&folder));
    // One program that does nothing is enough, and one tender of each kind.
    let is_wanted = |found: &programs::Found| match found {
        Ok(candidate) => {
            ![programs::BARE, programs::TRUE, programs::HELLO_ALONE].contains(&&*candidate.name)
        }
        Err(_) => true,
    };
    let found: Vec<_> = found.filter(is_wanted).collect();
    apart(move || {
        let mut remarks = Vec::new();
        let mut rivals: Vec<Box<dyn Rival>> = Vec::new();
        for candidate in found {
            let (name, tried) = match candidate {
                Ok(candidate) => (candidate.name.clone(), attempt(candidate, &folder)),
                Err((name, reason)) => (name.to_owned(), Err(reason)),
            };
            match tried {
                Ok(ended) => rivals.push(Box::new(ended)),
                Err(reason) => remarks.push(format!("{name} is left out: {reason:#}")),
            }
        }
        let sizes = if is_quick { &QUICK[..] } else { &FULL };
        let turn = Duration::from_secs(if is_quick { 2 } else { 3 });
        let mut lines = sweep(&mut rivals, Plan { sizes, turn, fixed: Duration::ZERO });
        lines.remarks.splice(0..0, remarks);
        Ok(lines)
    })
}

/// Whether it works here.
fn attempt(candidate: Candidate, folder: &Path) -> Result<Ended> {
    let mut runner = Runner::new(folder)?;
    runner.attempt(&candidate)?;
    Ok(Ended { runner, candidate })
}

struct Ended {
    runner: Runner,
    candidate: Candidate,
}

impl Rival for Ended {
    fn name(&self) -> String {
        self.candidate.name.clone()
    }

    fn go(&mut self, count: usize) -> Result<Vec<f64>> {
        Ok(vec![self.runner.time_many(&self.candidate, count)?.as_secs_f64()])
    }
}

/// How long it takes from before the first of many servers is started until all have answered, in seconds.
///
/// # Errors
/// If something does not build, or networks cannot be made, which needs root.
pub(crate) fn answered(is_quick: bool) -> Result<Lines> {
    let builds = Builds::make()?;
    let sizes = if is_quick { &QUICK[..] } else { &FULL };
    let turn = Duration::from_secs(if is_quick { 3 } else { 6 });
    apart(move || builds.sweep(Plan { sizes, turn, fixed: Duration::ZERO }, None))
}

/// What one of many idle instances holds: the memory of all its processes, shared pages in part, and what less of the
/// system's is available, in bytes.
///
/// # Errors
/// If something does not build, or networks cannot be made, which needs root.
pub(crate) fn idle(is_quick: bool) -> Result<Lines> {
    let builds = Builds::make()?;
    let sizes = if is_quick { &IDLE_QUICK[..] } else { &IDLE_FULL };
    let turn = Duration::from_secs(if is_quick { 8 } else { 36 });
    let settling = if is_quick { SETTLING / 4 } else { SETTLING };
    apart(move || builds.sweep(Plan { sizes, turn, fixed: 2 * settling }, Some(settling)))
}

/// What is started.
struct Builds {
    folder: PathBuf,
    tender: PathBuf,
    httpd: PathBuf,
    site: PathBuf,
    /// A guest that waits for ever.
    idle: PathBuf,
    /// The same as a program.
    asleep: Result<PathBuf>,
    worker: PathBuf,
    state: State,
    runtimes: Vec<(Kind, Result<Runtime>)>,
}

impl Builds {
    fn make() -> Result<Self> {
        let ours = Workspace::ours()?;
        let folder = folder(&ours)?.join("crowd");
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let tender = app::build_tender(&ours)?;
        cargo::build(&ours.root, ["guests"], Profile::Release)?;
        let app = App::find(APP, &ours, Profile::Release)?;
        app.build()?;
        let (page, site) = (folder.join("page"), folder.join("page.img"));
        fs::create_dir_all(&page).with_context(|| page.display().to_string())?;
        fs::write(page.join("index.html"), http::page()).context("cannot write the page")?;
        image::refresh(&page, &site)?;
        let asleep = programs::compile(&folder, "asleep", ASLEEP, &["-static"]);
        let state = State::make(Path::new(STATE))?;
        let runtimes = [Kind::Runnc, Kind::Runc, Kind::Runsc]
            .map(|kind| (kind, Runtime::find(kind, &ours, &folder, &state.folder)));
        Ok(Self {
            tender,
            httpd: app.kernel(),
            site,
            idle: ours.binaries(Profile::Release).join("guest-shutdown"),
            asleep,
            worker: std::env::current_exe().context("this program has no file")?,
            state,
            runtimes: runtimes.into(),
            folder,
        })
    }

    fn sweep(mut self, plan: Plan<'_>, settling: Option<Duration>) -> Result<Lines> {
        let network = Network::enter()?;
        let log = File::create(self.folder.join("crowd.log")).context("cannot make a log")?;
        let mut remarks = Vec::new();
        let mut runtimes = Vec::new();
        for (kind, found) in std::mem::take(&mut self.runtimes) {
            match found.and_then(|runtime| prepare(runtime, &network)) {
                Ok(runtime) => runtimes.push(runtime),
                Err(reason) => remarks.push(format!("{} is left out: {reason:#}", kind.name())),
            }
        }
        let most = plan.sizes.iter().map(|(count, _)| *count).max().unwrap_or_default();
        let most = most.min(WIRES_MAX);
        let stage = std::cell::RefCell::new(Stage::new(&self.folder)?);
        let base = || Base { builds: &self, log: &log, settling };
        let mut rivals: Vec<Box<dyn Rival + '_>> = vec![
            Box::new(Guests { base: base(), taps: None }),
            Box::new(Guests { base: base(), taps: Some(Taps::new(&self.worker)?) }),
        ];
        if settling.is_some() {
            for server in [Server::Nginx, Server::Redis] {
                match server.program() {
                    Ok(_) => rivals.push(Box::new(Natives { base: base(), server })),
                    Err(reason) => {
                        remarks.push(format!("{} is left out: {reason:#}", server.name()))
                    }
                }
            }
            rivals.push(Box::new(Sleepers { base: base(), is_guest: true }));
            match &self.asleep {
                Ok(_) => rivals.push(Box::new(Sleepers { base: base(), is_guest: false })),
                Err(reason) => remarks.push(format!("static program is left out: {reason:#}")),
            }
        }
        for runtime in &runtimes {
            let (stage, network) = (&stage, &network);
            let wires = Vec::new();
            rivals.push(Box::new(Boxes { base: base(), runtime, stage, network, wires, most }));
        }
        let mut lines = sweep(&mut rivals, plan);
        lines.remarks.splice(0..0, remarks);
        drop(rivals);
        drop(stage);
        drop(self.state);
        Ok(lines)
    }
}

/// A runtime with the view that it needs here. This thread's network is one that containers could have.
fn prepare(mut runtime: Runtime, _: &Network) -> Result<Runtime> {
    runtime.clear()?;
    runtime.look_away()?;
    Ok(runtime)
}

/// What all have.
struct Base<'a> {
    builds: &'a Builds,
    log: &'a File,
    /// After that what starting has taken is given back; none where only time is measured.
    settling: Option<Duration>,
}

impl Base<'_> {
    /// What is measured of instances that have answered: the time it took, or what they hold now.
    fn values(&self, elapsed: Duration, count: usize, available: u64) -> Result<Vec<f64>> {
        let Some(settling) = self.settling else { return Ok(vec![elapsed.as_secs_f64()]) };
        thread::sleep(settling);
        let mut pss_bytes = 0;
        for id in oci::family()? {
            let process = Process::find(id).filter(|process| !process.has_ended);
            let Some(process) = process else { continue };
            let held = process.memory()?.pss_bytes;
            pss_bytes += held.context("this system does not tell PSS; root may ask")?;
        }
        let less = available.saturating_sub(machine::memory_bytes("MemAvailable")?);
        Ok([pss_bytes, less].map(|bytes| bytes as f64 / count as f64).into())
    }

    /// What is available before the first starts.
    fn available(&self) -> Result<u64> {
        self.settling.into_iter().for_each(thread::sleep);
        machine::memory_bytes("MemAvailable")
    }

    /// A tender with its memory.
    fn tender(&self, memory_mb: u64) -> Command {
        let mut command = Command::new(&self.builds.tender);
        command.args(["--die-with-parent", &format!("--mem={memory_mb}")]);
        command
    }
}

/// Containers: of our runtime with `httpd`, of others with the smallest server there can be.
struct Boxes<'a> {
    base: Base<'a>,
    runtime: &'a Runtime,
    stage: &'a std::cell::RefCell<Stage>,
    network: &'a Network,
    wires: Vec<Wire<'a>>,
    most: usize,
}

impl Rival for Boxes<'_> {
    fn name(&self) -> String {
        let kind = self.runtime.kind;
        let server = if kind == Kind::Runnc { "httpd" } else { "smallest server" };
        format!("{server} in {}", kind.name())
    }

    fn go(&mut self, count: usize) -> Result<Vec<f64>> {
        ensure!(count <= self.most, "there are networks for {} only", self.most);
        // Each runtime has numbers of its own.
        let first =
            1 + self.most * Kind::ALL.iter().position(|its| *its == self.runtime.kind).unwrap_or(0);
        while self.wires.len() < count {
            let number = u16::try_from(first + self.wires.len())?;
            self.wires.push(self.network.wire(number)?);
        }
        let available = self.base.available()?;
        let mut stage = self.stage.borrow_mut();
        let crowd = Crowd::start(&mut stage, self.runtime, &self.wires[..count])?;
        self.base.values(crowd.elapsed, count, available)
    }
}
