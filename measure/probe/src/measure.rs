//! One measurement: a system under a workload, from its start over its steady state to its end.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::sys::utsname::uname;
use nix::unistd::Pid;
use surface::model::{KernelId, Phase, Policy, Role, Run};
use surface::scenario::{Scenario, Workload};

use crate::block::REST;
use crate::client::Client;
use crate::fuzz;
use crate::held::Held;
use crate::network;
use crate::policies;
use crate::processes::is_traced;
use crate::systems::{self, Cast, Subject};
use crate::tell::say;
use crate::tracer::{Recorded, Tracer};

/// Requests before anything is looked at.
const WARM_UP: u32 = 200;
/// The same with a ring: it has been around by then, so that all of its memory was touched.
const WARM_UP_RING: u32 = 6000;
/// How long a system is left alone before it is looked at, so that what its start left is done.
const SETTLE: Duration = Duration::from_secs(2);
/// How often processes are looked for that may soon be gone.
const GLANCE: Duration = Duration::from_millis(1);

/// What a process does before it confines itself.
pub(crate) const LAUNCH: &str = "launch";

/// Makes it.
///
/// # Errors
/// If something cannot be started, does not answer, or records were lost.
pub(crate) fn measure(scenario: &Scenario) -> Result<Run> {
    let mut tracer = Tracer::new()?;
    let (mut phases, mut policies) = (Vec::new(), Vec::new());
    if scenario.workload == Workload::Fuzz {
        phases = fuzz::measure(&mut tracer, scenario)?;
    } else {
        let subject = systems::prepare(scenario)?;
        say(&format!("starts {}", subject.words.join(" ")));
        match (scenario.workload, subject.address) {
            (Workload::Hello, _) => phases.push(whole(&mut tracer, &subject)?),
            (workload, Some(address)) => {
                let client = Client::new(workload, address);
                policies = serve(&mut tracer, scenario, &subject, client, &mut phases)?;
            }
            (_, None) => batches(&mut tracer, scenario, &subject, &mut phases)?,
        }
    }
    Ok(Run {
        system: scenario.system.to_string(),
        workload: scenario.workload.to_string(),
        seed: scenario.seed,
        kernel: kernel(&tracer)?,
        phases,
        policies,
    })
}

fn kernel(tracer: &Tracer) -> Result<KernelId> {
    let names = uname().context("uname")?;
    Ok(KernelId {
        release: names.release().to_string_lossy().into_owned(),
        version: names.version().to_string_lossy().into_owned(),
        traceable: tracer.traceable(),
        calls: tracer.calls(),
    })
}

/// A program that runs and ends by itself.
fn whole(tracer: &mut Tracer, subject: &Subject) -> Result<Phase> {
    let held = Held::start(&subject.words, subject.namespace, Stdio::inherit())?;
    tracer.start(&[held.id()], true)?;
    let mut child = held.go()?;
    let (status, mut roles) = match subject.cast {
        Cast::Container(_) => watch(subject.cast, &mut child)?,
        _ => (child.wait().context("wait")?, BTreeMap::new()),
    };
    let recorded = tracer.stop()?;
    ensure!(status.success(), "it has ended with {status}");
    if subject.cast == Cast::Nabla {
        // Without a network there are two, and one of them was started here.
        let started = child.id().cast_signed();
        let guests = recorded.tasks.keys().filter(|&&task| task != started);
        roles.extend(guests.map(|&guest| (guest, "guest")));
    }
    Ok(phase("start", 0, 0, recorded, &roles, subject.cast))
}

/// Waits for a program's end, and looks meanwhile who is who: afterwards nobody is there to be asked.
fn watch(cast: Cast, child: &mut Child) -> Result<(ExitStatus, BTreeMap<i32, &'static str>)> {
    let mut known = BTreeMap::new();
    loop {
        if let Some(status) = child.try_wait().context("wait")? {
            return Ok((status, known));
        }
        // Before its first process is there, and after its last, a container has none.
        if let Ok(found) = roles(cast, child) {
            known.extend(found);
        }
        std::thread::sleep(GLANCE);
    }
}

/// A server and its client.
fn serve(
    tracer: &mut Tracer,
    scenario: &Scenario,
    subject: &Subject,
    client: Client,
    phases: &mut Vec<Phase>,
) -> Result<Vec<Policy>> {
    network::make_clients()?;
    let held = Held::start(&subject.words, subject.namespace, Stdio::inherit())?;
    tracer.start(&[held.id()], true)?;
    let mut child = held.go()?;
    client.wait().map_err(|error| ended(subject.cast, &mut child).unwrap_or(error))?;
    let mut known = roles(subject.cast, &child)?;
    phases.push(phase("start", 0, 1, tracer.stop()?, &known, subject.cast));
    client.requests(if scenario.system.has_ring() { WARM_UP_RING } else { WARM_UP })?;
    std::thread::sleep(SETTLE);
    for repeat in 0..scenario.repeats {
        let tasks = tasks(&known)?;
        tracer.start(&tasks, true)?;
        client.requests(scenario.requests)?;
        let recorded = tracer.stop()?;
        ensure!(recorded.events > 0, "nothing was recorded while it worked");
        // Threads come when there is work for them.
        known.extend(roles(subject.cast, &child)?);
        say(&format!("steady state {}: {} records", repeat + 1, recorded.events));
        phases.push(phase("steady", repeat, scenario.requests, recorded, &known, subject.cast));
    }
    let permitted = permitted(&known)?;
    tracer.start(&tasks(&known)?, true)?;
    end(subject.cast, &mut child)?;
    phases.push(phase("exit", 0, 0, tracer.stop()?, &known, subject.cast));
    Ok(permitted)
}

/// What the processes of each role may do. It is asked for when nothing is measured any more, as it
/// interrupts them. Of those that have a tracer it cannot be: those are gVisor's stubs, whose calls its
/// sentry catches one and all, so that it is the sentry's filter that counts.
fn permitted(known: &BTreeMap<i32, &'static str>) -> Result<Vec<Policy>> {
    let mut roles = BTreeMap::<_, Vec<_>>::new();
    for (&task, &role) in known {
        // Of a process it tells all threads.
        if policies::is_process(task) && !is_traced(task) {
            roles.entry(role).or_default().push(task);
        }
    }
    roles.into_iter().map(|(role, tasks)| policies::read(role, &tasks)).collect()
}

/// A program that does its work in batches and says when the next one comes.
fn batches(
    tracer: &mut Tracer,
    scenario: &Scenario,
    subject: &Subject,
    phases: &mut Vec<Phase>,
) -> Result<()> {
    let held = Held::start(&subject.words, subject.namespace, Stdio::piped())?;
    tracer.start(&[held.id()], true)?;
    let mut child = held.go()?;
    let output = child.stdout.take().context("no pipe")?;
    let mut lines = BufReader::new(output);
    wait_for(&mut lines, 0)?;
    let mut rest = Instant::now();
    let mut known = roles(subject.cast, &child)?;
    phases.push(phase("start", 0, 0, tracer.stop()?, &known, subject.cast));
    for repeat in 0..scenario.repeats {
        tracer.start(&tasks(&known)?, true)?;
        ensure!(rest.elapsed() < REST / 2, "a batch may have begun before it was looked at");
        wait_for(&mut lines, repeat + 1)?;
        rest = Instant::now();
        let recorded = tracer.stop()?;
        ensure!(recorded.events > 0, "nothing was recorded while it worked");
        known.extend(roles(subject.cast, &child).unwrap_or_default());
        say(&format!("batch {}: {} records", repeat + 1, recorded.events));
        phases.push(phase("steady", repeat, scenario.requests, recorded, &known, subject.cast));
    }
    let status = child.wait().context("wait")?;
    ensure!(status.success(), "it has ended with {status}");
    if let Cast::Container(engine) = subject.cast {
        engine.wait()?;
    }
    Ok(())
}

fn wait_for(lines: &mut BufReader<ChildStdout>, batch: u32) -> Result<()> {
    let expected = format!("ready {batch}");
    let mut line = String::new();
    while lines.read_line(&mut line).context("its output")? > 0 {
        if line.trim_end() == expected {
            return Ok(());
        }
        say(&format!("it says {}", line.trim_end()));
        line.clear();
    }
    anyhow::bail!("it has ended before it said '{expected}'")
}

/// By process. All threads of a process play its role.
fn roles(cast: Cast, child: &Child) -> Result<BTreeMap<i32, &'static str>> {
    let mut roles = BTreeMap::new();
    for (process, role) in cast.of(child.id().cast_signed())? {
        for thread in crate::processes::threads(process)? {
            roles.insert(thread, role);
        }
    }
    Ok(roles)
}

/// Those that are still there.
fn tasks(roles: &BTreeMap<i32, &'static str>) -> Result<Vec<i32>> {
    let is_there = |task: &&i32| std::path::Path::new(&format!("/proc/{task}/stat")).exists();
    let tasks: Vec<_> = roles.keys().filter(is_there).copied().collect();
    ensure!(!tasks.is_empty(), "all have ended");
    Ok(tasks)
}

fn phase(
    name: &str,
    repeat: u32,
    requests: u32,
    recorded: Recorded,
    known: &BTreeMap<i32, &'static str>,
    cast: Cast,
) -> Phase {
    let (events, roles) = (recorded.events, by_role(recorded, known, cast.helper()));
    Phase { name: name.into(), repeat, requests, events, roles, progress: Vec::new() }
}

/// What was recorded, by role. Who is not known is a helper.
pub(crate) fn by_role(
    recorded: Recorded,
    known: &BTreeMap<i32, &'static str>,
    helper: &str,
) -> BTreeMap<String, Role> {
    let mut roles = BTreeMap::<String, Role>::new();
    for (task, done) in recorded.tasks {
        let name = known.get(&task).copied().unwrap_or(helper);
        // Until a process has confined itself, it is not what it is going to be.
        for (name, role) in [(LAUNCH, done.before), (name, done.role)] {
            if !role.calls.is_empty() {
                roles.entry(name.to_owned()).or_default().add(role);
            }
        }
    }
    roles
}

/// Why a program has ended, if it has. Of a container the runtime ends when all is well.
fn ended(cast: Cast, child: &mut Child) -> Option<anyhow::Error> {
    let status = child.try_wait().ok()??;
    match cast {
        Cast::Container(engine) if status.success() => engine.processes().err(),
        _ => Some(anyhow::anyhow!("it has ended with {status}")),
    }
}

/// Ends a server as an operator would.
fn end(cast: Cast, child: &mut Child) -> Result<()> {
    if let Cast::Container(engine) = cast {
        child.wait().context("wait")?;
        return engine.end();
    }
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).context("kill")?;
    child.wait().context("wait")?;
    Ok(())
}
