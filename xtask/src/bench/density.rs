//! `cargo xtask bench density`: many idle web servers at once, on one machine.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::fleet::{Fleet, Role, free_addresses};
use super::process::{Memory, Process};
use super::stats::Summary;
use super::{folder, machine, save, table};
use crate::app::{self, App};
use crate::cargo::Profile;
use crate::packages::Workspace;
use crate::{image, size};

/// Guests if nothing is said.
pub(super) const GUESTS: usize = 1000;
/// The most guests: a port each.
const GUESTS_MAX: usize = 10_000;
/// What all guests together may take to answer, and to end: this, and a share for each.
const TIME_OUT: Duration = Duration::from_secs(30);
const TIME_OUT_EACH: Duration = Duration::from_millis(50);
/// Over how long to look at what idle guests do.
const IDLE: Duration = Duration::from_secs(5);
/// What an idle guest may hold at most.
const MEMORY_TARGET_BYTES: u64 = 3 << 19;

const APP: &str = "httpd";
const PATH: &str = "/healthz";
/// Of the system's memory, what tells where it went.
const SYSTEM: [&str; 6] =
    ["MemAvailable", "MemFree", "AnonPages", "Slab", "PageTables", "KernelStack"];

/// What came out.
struct Outcome {
    guests: usize,
    started: Duration,
    answered: Duration,
    answers_ns: Vec<u64>,
    memory: Vec<(Role, Memory)>,
    before: Vec<u64>,
    after: Vec<u64>,
    idle_run_ns: Option<u64>,
    stopped: Duration,
}

/// The bench.
///
/// # Errors
/// If something does not build, a guest does not answer, or a process is left at the end.
pub(super) fn run(guests: usize, json: Option<PathBuf>) -> Result<ExitCode> {
    ensure!((1..=GUESTS_MAX).contains(&guests), "--guests is a number from 1 to {GUESTS_MAX}");
    let ours = Workspace::ours()?;
    let tender = app::build_tender(&ours)?;
    let app = App::find(APP, &ours, Profile::Release)?;
    app.build()?;
    let folder = folder(&ours)?;
    let site = folder.join("density.img");
    image::refresh(&app.dir.join("site"), &site)?;
    let site_bytes = fs::metadata(&site).with_context(|| site.display().to_string())?.len();

    let about = machine::describe(&ours.root);
    let log = folder.join("density.log");
    let outcome = measure(guests, &tender, &app, &site, &log)
        .with_context(|| format!("what the guests say: {}", log.display()))?;
    println!("\n{}\n", machine::in_words(&about));
    println!("{guests} guests of {APP}, each with a site of {}\n", size::format(site_bytes));
    print!("{}", outcome.in_words());
    let path = json.unwrap_or_else(|| folder.join("density.json"));
    save(&outcome.report(about), &path)?;
    Ok(ExitCode::SUCCESS)
}

fn measure(guests: usize, tender: &Path, app: &App, site: &Path, log: &Path) -> Result<Outcome> {
    let addresses = free_addresses(guests)?;
    let log = File::create(log).with_context(|| log.display().to_string())?;
    let time_out = TIME_OUT + TIME_OUT_EACH * u32::try_from(guests).unwrap_or(u32::MAX);
    let before = system()?;

    eprintln!("starting {guests} guests");
    let start = Instant::now();
    let mut fleet = Fleet::start(&addresses, &log, |address| {
        let mut command = Command::new(tender);
        command.arg("--die-with-parent");
        command.args(app.settings.memory_mb.map(|mb| format!("--mem={mb}")));
        command.arg("--net:service=user").arg(format!("--publish:service={address}:80"));
        command.arg(format!("--block:site={}", site.display()));
        command.arg("--").arg(app.kernel());
        command
    })?;
    let started = start.elapsed();
    eprintln!("waiting for their answers");
    fleet.wait_until_all_answer(PATH, start + time_out)?;
    let answered = start.elapsed();
    let answers = fleet.ask_each(PATH)?;

    eprintln!("looking at them");
    let processes = fleet.processes()?;
    let idle_run_ns = idle(&processes);
    let memory = processes.iter().map(|(role, process)| Ok((*role, process.memory()?)));
    let memory: Vec<_> = memory.collect::<Result<_>>()?;
    let after = system()?;

    eprintln!("stopping them");
    let stop = Instant::now();
    fleet.stop(stop + time_out)?;
    let stopped = stop.elapsed();
    let left = processes.iter().filter(|(_, process)| process.is_running()).count();
    ensure!(left == 0, "{left} processes are left");

    let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let answers_ns = answers.into_iter().map(ns).collect();
    Ok(Outcome {
        guests,
        started,
        answered,
        answers_ns,
        memory,
        before,
        after,
        idle_run_ns,
        stopped,
    })
}

/// For how long all of them together run while nobody asks them anything, if the kernel counts.
fn idle(processes: &[(Role, Process)]) -> Option<u64> {
    let run_ns = || processes.iter().map(|(_, process)| process.run_ns()).sum::<Option<u64>>();
    let before = run_ns()?;
    thread::sleep(IDLE);
    Some(run_ns()?.saturating_sub(before))
}

fn system() -> Result<Vec<u64>> {
    SYSTEM.into_iter().map(machine::memory_bytes).collect()
}

impl Outcome {
    fn in_words(&self) -> String {
        let mut lines = vec![
            format!("all started after {:.2} s", self.started.as_secs_f64()),
            format!("all answered after {:.2} s", self.answered.as_secs_f64()),
        ];
        lines.extend(Summary::of(&self.answers_ns).map(|answer| {
            format!(
                "one more answer of each: median {} us, p90 {} us, longest {} us",
                table::microseconds(answer.median),
                table::microseconds(answer.p90),
                table::microseconds(answer.max),
            )
        }));
        lines.extend(self.idle_run_ns.map(|run_ns| {
            let percent = run_ns as f64 / IDLE.as_nanos() as f64 * 100.0;
            format!("idle, all together: {percent:.2} % of a processor")
        }));
        lines.push(format!("\n{}", self.memory_table()));
        lines.push(format!(
            "of the system's memory, a guest: {}",
            size::format(self.before[0].saturating_sub(self.after[0]) / self.guests as u64)
        ));
        lines.push(format!(
            "all stopped after {:.2} s, no process is left\n\n{}\n",
            self.stopped.as_secs_f64(),
            self.target()
        ));
        lines.join("\n")
    }

    fn memory_table(&self) -> String {
        let heads = ["memory of a process", "n", "RSS", "largest RSS", "PSS"];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        for role in Role::ALL {
            let Some(rss) = Summary::of(&self.rss(role)) else { continue };
            let pss = Summary::of(&self.pss(role));
            rows.push(vec![
                role.name().to_owned(),
                rss.count.to_string(),
                size::format(rss.median),
                size::format(rss.max),
                pss.map_or("-".into(), |pss| size::format(pss.median)),
            ]);
        }
        let pss = self.memory.iter().map(|(_, memory)| memory.pss_bytes).sum::<Option<u64>>();
        let pss = pss.map_or("-".into(), |pss| size::format(pss / self.guests as u64));
        rows.push(["together, a guest", "", "", "", &pss].map(str::to_owned).to_vec());
        table::format(&rows)
    }

    fn rss(&self, role: Role) -> Vec<u64> {
        self.of(role).map(|memory| memory.rss_bytes).collect()
    }

    fn pss(&self, role: Role) -> Vec<u64> {
        self.of(role).filter_map(|memory| memory.pss_bytes).collect()
    }

    fn of(&self, role: Role) -> impl Iterator<Item = &Memory> {
        self.memory.iter().filter(move |(its, _)| *its == role).map(|(_, memory)| memory)
    }

    fn target(&self) -> String {
        let most = self.rss(Role::Guest).into_iter().max().unwrap_or_default();
        let verdict = if most < MEMORY_TARGET_BYTES { "met" } else { "missed" };
        let aim = size::format(MEMORY_TARGET_BYTES);
        format!("RSS of an idle guest below {aim}: {}, {verdict}", size::format(most))
    }

    fn report(&self, about: Value) -> Value {
        let system = |values: &[u64]| -> Value {
            let pairs = SYSTEM.iter().zip(values);
            pairs.map(|(name, &value)| ((*name).to_owned(), json!(value))).collect()
        };
        let role = |role: Role| json!({ "rss_bytes": self.rss(role), "pss_bytes": self.pss(role) });
        json!({
            "bench": "density",
            "about": about,
            "guests": self.guests,
            "started_ns": u64::try_from(self.started.as_nanos()).ok(),
            "answered_ns": u64::try_from(self.answered.as_nanos()).ok(),
            "stopped_ns": u64::try_from(self.stopped.as_nanos()).ok(),
            "answers_ns": self.answers_ns,
            "idle_ns": u64::try_from(IDLE.as_nanos()).ok(),
            "idle_run_ns": self.idle_run_ns,
            "guest": role(Role::Guest),
            "gateway": role(Role::Gateway),
            "supervisor": role(Role::Supervisor),
            "system_before_bytes": system(&self.before),
            "system_after_bytes": system(&self.after),
            "target": self.target(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(memory: Vec<(Role, Memory)>) -> Outcome {
        Outcome {
            guests: 2,
            started: Duration::from_secs(1),
            answered: Duration::from_secs(2),
            answers_ns: vec![1000, 3000],
            memory,
            before: vec![10 << 20; SYSTEM.len()],
            after: vec![8 << 20; SYSTEM.len()],
            idle_run_ns: Some(5_000_000),
            stopped: Duration::from_secs(1),
        }
    }

    fn memory(rss_bytes: u64, pss_bytes: Option<u64>) -> Memory {
        Memory { rss_bytes, pss_bytes }
    }

    #[test]
    fn memory_is_told_by_role_and_for_a_guest_as_a_whole() {
        let outcome = outcome(vec![
            (Role::Guest, memory(512 << 10, Some(512 << 10))),
            (Role::Guest, memory(3 << 19, Some(512 << 10))),
            (Role::Supervisor, memory(2 << 20, Some(1 << 20))),
        ]);
        let text = outcome.in_words();
        for part in ["idle, all together: 0.10 %", "a guest: 1.0 MiB", "1.5 MiB, missed"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let rows: Vec<_> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        let expected = ["together,", "a", "guest", "1.0", "MiB"];
        assert!(rows.iter().any(|row: &Vec<_>| *row == expected), "{text}");
        assert!(!text.contains("gateway"), "{text}");
    }

    #[test]
    fn what_is_not_told_is_not_summed() {
        let text =
            outcome(vec![(Role::Guest, memory(1, None)), (Role::Gateway, memory(1, Some(1)))])
                .memory_table();
        assert!(text.lines().last().unwrap().ends_with(" -"), "{text}");
    }
}
