//! The fuzzer in the virtual machine: what is started for each system, recorded while it runs, and told.
//!
//! Functions that were seen are not recorded again where a system's processes count together, since a million calls
//! make too many records; each then stands at the call that reached it first. Those of a guest and of
//! who stands around it are recorded to the end, since each counts by itself.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use surface::model::{Phase, Progress, Role};
use surface::scenario::{Scenario, System};

use crate::boot::{DATA, run};
use crate::container::{Bundle, Engine, Volume};
use crate::held::Held;
use crate::network::{self, TAP};
use crate::systems::Cast;
use crate::tell::say;
use crate::tracer::{Recorded, Tracer};

/// How often it is looked at how far a fuzzer is.
const STOPS: u64 = 40;
/// Of the calls of a process, so many are made by a guest, whose calls have less to vary, and by a program under
/// gVisor, whose calls are many of the kernel's.
const GUEST_PART: u64 = 10;
const GVISOR_PART: u64 = 10;
/// Of so many calls there is one guest that does what it may not.
const CALLS_PER_DEATH: u64 = 6000;
const DEATHS: std::ops::RangeInclusive<u64> = 8..=60;
/// How long anything may take, in the machine's time.
const PATIENCE: Duration = Duration::from_secs(3600);
const PAUSE: Duration = Duration::from_millis(20);
const OUTPUT: &str = "/run/fuzz.out";
const DISK_BYTES: u64 = 1 << 20;

/// Runs the fuzzer of a system.
///
/// # Errors
/// If something cannot be started, ends before its time, or records were lost.
pub(crate) fn measure(tracer: &mut Tracer, scenario: &Scenario) -> Result<Vec<Phase>> {
    let calls = scenario.calls.max(STOPS);
    // As it is where nobody wants the least of everything.
    for name in ["all", "default"] {
        let file = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
        fs::write(&file, "0").with_context(|| file.clone())?;
    }
    let words = |calls, is_filtered| super::words(scenario.seed, calls, STOPS, is_filtered);
    match scenario.system {
        System::Native => process(tracer, &words(calls, false)),
        System::Docker => process(tracer, &words(calls, true)),
        System::Runc => container(tracer, Engine::Runc, words(calls, false)),
        System::Gvisor => {
            let calls = (calls / GVISOR_PART).max(STOPS);
            container(tracer, Engine::Gvisor, words(calls, false))
        }
        System::NablaTap => guest(tracer, scenario, TAP),
        System::NablaRing => guest(tracer, scenario, &format!("ring:{TAP}")),
        other => bail!("there is no fuzzer for {other}"),
    }
}

/// What a system is while it runs.
trait Subject {
    /// Its tasks and the roles that they play.
    fn roles(&mut self) -> Result<BTreeMap<i32, &'static str>>;
    /// Why it has ended, if it has.
    fn ended(&mut self) -> Option<String>;
    /// The role of tasks that were not seen.
    fn helper(&self) -> &'static str;
}

struct Process(Child);

impl Subject for Process {
    fn roles(&mut self) -> Result<BTreeMap<i32, &'static str>> {
        Ok([(self.0.id().cast_signed(), "fuzzer")].into())
    }

    fn ended(&mut self) -> Option<String> {
        Some(self.0.try_wait().ok()??.to_string())
    }

    fn helper(&self) -> &'static str {
        "fuzzer"
    }
}

struct Contained(Engine);

impl Subject for Contained {
    fn roles(&mut self) -> Result<BTreeMap<i32, &'static str>> {
        let helper = self.helper();
        let mut roles = BTreeMap::new();
        for (process, role) in self.0.processes()? {
            let role = if self.0 == Engine::Runc { helper } else { role };
            let threads = crate::processes::threads(process)?;
            roles.extend(threads.into_iter().map(|thread| (thread, role)));
        }
        Ok(roles)
    }

    fn ended(&mut self) -> Option<String> {
        self.0.processes().err().map(|error| error.to_string())
    }

    fn helper(&self) -> &'static str {
        if self.0 == Engine::Runc { "fuzzer" } else { "stub" }
    }
}

struct Guest(Child);

impl Subject for Guest {
    fn roles(&mut self) -> Result<BTreeMap<i32, &'static str>> {
        let mut roles = BTreeMap::new();
        for (process, role) in Cast::Nabla.of(self.0.id().cast_signed())? {
            let threads = crate::processes::threads(process)?;
            roles.extend(threads.into_iter().map(|thread| (thread, role)));
        }
        Ok(roles)
    }

    fn ended(&mut self) -> Option<String> {
        Some(self.0.try_wait().ok()??.to_string())
    }

    fn helper(&self) -> &'static str {
        "supervisor"
    }
}

/// A process, with a filter or without.
fn process(tracer: &mut Tracer, words: &[String]) -> Result<Vec<Phase>> {
    network::make_namespace()?;
    run("/sbin/ip", &["link", "set", "lo", "up"])?;
    open_tmp("/tmp")?;
    let mut command = Command::new("/bin/probe");
    command.args(words).env_clear().current_dir("/").stdin(Stdio::piped()).stdout(output_file()?);
    let mut child = command.spawn().context("cannot start the fuzzer")?;
    let input = child.stdin.take().context("no pipe")?;
    let mut subject = Process(child);
    let phase = lockstep(tracer, &mut subject, input)?;
    let status = subject.0.wait().context("wait")?;
    ensure!(status.success(), "the fuzzer has ended with {status}");
    Ok(vec![phase])
}

/// A process in a container.
fn container(tracer: &mut Tracer, engine: Engine, words: Vec<String>) -> Result<Vec<Phase>> {
    network::make_namespace()?;
    open_tmp("/image/tmp")?;
    let folder = Path::new(super::FOLDER);
    fs::create_dir_all(folder).context(super::FOLDER)?;
    std::os::unix::fs::chown(folder, Some(super::USER), Some(super::USER))
        .context(super::FOLDER)?;
    engine.prepare(&Bundle {
        words: ["/bin/probe".to_owned()].into_iter().chain(words).collect(),
        volumes: vec![Volume { outside: DATA.into(), inside: DATA.into(), is_read_only: false }],
        network: Some(network::NAMESPACE.into()),
        uid: super::USER,
    })?;
    let words = engine.run_words(true);
    let (reader, writer) = std::io::pipe().context("pipe")?;
    let mut command = Command::new(&words[0]);
    let output = output_file()?;
    command
        .args(&words[1..])
        .stdin(reader)
        .stderr(output.try_clone().context(OUTPUT)?)
        .stdout(output);
    let status = command.status().with_context(|| format!("cannot start {}", words[0]))?;
    // It would hold the pipe's other end, so that no end is ever seen.
    drop(command);
    ensure!(status.success(), "{}: {status}{}", words[0], said());
    let phase = lockstep(tracer, &mut Contained(engine), writer)?;
    engine.wait()?;
    Ok(vec![phase])
}

/// Records a fuzzer that waits for a line at each stop.
fn lockstep(
    tracer: &mut Tracer,
    subject: &mut impl Subject,
    mut input: impl Write,
) -> Result<Phase> {
    let mut lines = Lines::default();
    lines.next(subject)?;
    let mut roles = subject.roles()?;
    tracer.start(&roles.keys().copied().collect::<Vec<_>>(), true)?;
    let mut progress = Vec::new();
    for stop in 1..=STOPS {
        input.write_all(b"\n").context("the fuzzer's input")?;
        let calls = lines.next(subject)?;
        roles.extend(subject.roles()?);
        // At the last stop nothing comes any more.
        let functions = if stop < STOPS { tracer.exclude_seen()? } else { tracer.seen()?.len() };
        say(&format!("{calls} calls, {functions} functions"));
        progress.push(Progress { calls, functions: functions as u32 });
    }
    let recorded = tracer.stop()?;
    input.write_all(b"\n").context("the fuzzer's input")?;
    Ok(phase("fuzz", recorded, &roles, subject.helper(), progress))
}

/// A guest within its policy, then some that leave it.
fn guest(tracer: &mut Tracer, scenario: &Scenario, attached: &str) -> Result<Vec<Phase>> {
    network::make_tap()?;
    run("/sbin/ip", &["-6", "address", "add", "fd00::1/64", "dev", TAP, "nodad"])?;
    super::peer::start()?;
    let disk = Path::new(DATA).join("fuzz.img");
    let size = vec![b'x'; DISK_BYTES as usize];
    fs::write(&disk, size).with_context(|| disk.display().to_string())?;
    let start = |words: &[String]| -> Result<Guest> {
        let mut all = vec![
            "/nabla/tender".to_owned(),
            format!("--block:storage={}", disk.display()),
            format!("--net:service={attached}"),
            "--mem=64".into(),
            "/nabla/fuzz".into(),
        ];
        all.extend_from_slice(words);
        Ok(Guest(Held::start(&all, None, output_file()?.into())?.go()?))
    };
    let calls = (scenario.calls / GUEST_PART).max(STOPS);
    let words = ["permitted".into(), scenario.seed.to_string(), calls.to_string()];
    let mut phases = permitted(tracer, start(&words)?)?;
    let deaths = (scenario.calls / CALLS_PER_DEATH).clamp(*DEATHS.start(), *DEATHS.end());
    let mut denied: Option<Phase> = None;
    for death in 0..deaths {
        let mut subject = start(&["denied".into(), (scenario.seed + death).to_string()])?;
        Lines::default().next(&mut subject)?;
        let roles = subject.roles()?;
        tracer.start(&roles.keys().copied().collect::<Vec<_>>(), true)?;
        subject.0.wait().context("wait")?;
        let one = phase("denied", tracer.stop()?, &roles, subject.helper(), Vec::new());
        match &mut denied {
            None => denied = Some(one),
            Some(all) => {
                all.events += one.events;
                for (name, role) in one.roles {
                    all.roles.entry(name).or_default().add(role);
                }
            }
        }
    }
    say(&format!("{deaths} guests were ended"));
    phases.extend(denied);
    Ok(phases)
}

/// A guest that says how far it is, from its first word to its last, and then its end.
fn permitted(tracer: &mut Tracer, mut subject: Guest) -> Result<Vec<Phase>> {
    let mut lines = Lines::default();
    lines.next(&mut subject)?;
    let roles = subject.roles()?;
    let tasks: Vec<i32> = roles.keys().copied().collect();
    tracer.start(&tasks, true)?;
    let mut progress: Vec<Progress> = Vec::new();
    loop {
        let calls = lines.next(&mut subject)?;
        if progress.last().is_some_and(|last| last.calls == calls) {
            break;
        }
        progress.push(Progress { calls, functions: tracer.seen()?.len() as u32 });
        if progress.len().is_multiple_of(10) {
            let functions = progress.last().map_or(0, |last| last.functions);
            say(&format!("{calls} calls, {functions} functions"));
        }
    }
    let helper = subject.helper();
    let fuzz = phase("fuzz", tracer.stop()?, &roles, helper, progress);
    tracer.start(&tasks, true)?;
    let status = subject.0.wait().context("wait")?;
    let exit = phase("exit", tracer.stop()?, &roles, helper, Vec::new());
    ensure!(status.success(), "the guest has ended with {status}");
    Ok(vec![fuzz, exit])
}

fn phase(
    name: &str,
    recorded: Recorded,
    known: &BTreeMap<i32, &'static str>,
    helper: &str,
    progress: Vec<Progress>,
) -> Phase {
    let mut roles = BTreeMap::<String, Role>::new();
    for (task, done) in recorded.tasks {
        let name = known.get(&task).copied().unwrap_or(helper);
        let role = roles.entry(name.to_owned()).or_default();
        // A filter that it gives itself is nothing that confines it from the start.
        role.add(done.before);
        role.add(done.role);
    }
    let events = recorded.events;
    Phase { name: name.into(), repeat: 0, requests: 0, events, roles, progress }
}

/// What a fuzzer says: how many calls it has made.
#[derive(Default)]
struct Lines {
    read: usize,
}

impl Lines {
    /// The next one.
    fn next(&mut self, subject: &mut impl Subject) -> Result<u64> {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let ended = subject.ended();
            let text = fs::read(OUTPUT).context(OUTPUT)?;
            let new = text.get(self.read..).unwrap_or_default();
            if let Some(end) = new.iter().position(|&byte| byte == b'\n') {
                self.read += end + 1;
                let line = String::from_utf8_lossy(&new[..end]);
                if let Some(calls) = line.trim().strip_prefix("calls ") {
                    return calls.parse().with_context(|| format!("the fuzzer says '{line}'"));
                }
                // A guest also writes what it happens to write.
                continue;
            }
            if let Some(reason) = ended {
                bail!("the fuzzer has ended: {reason}{}", said());
            }
            ensure!(std::time::Instant::now() < deadline, "the fuzzer says nothing any more");
            std::thread::sleep(PAUSE);
        }
    }
}

/// For the end of an error's line: the last that was said.
fn said() -> String {
    let text = fs::read(OUTPUT).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    last.map_or_else(String::new, |line| format!("; it said {line:?}"))
}

fn output_file() -> Result<File> {
    File::create(OUTPUT).context(OUTPUT)
}

/// A folder for temporary files of everybody.
fn open_tmp(path: &str) -> Result<()> {
    fs::create_dir_all(path).context(path.to_owned())?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o1777)).context(path.to_owned())
}
