//! Inside of the container: libcontainer's first process, in the container's namespaces and root and
//! without privileges, on its way to be the supervisor of a guest.
//!
//! | module | what it does |
//! |---|---|
//! | [`workload`] | which unikernel the entrypoint names, or why it is none |
//! | [`settings`] | what the environment says to this runtime, and what to the guest |
//! | [`disks`] | block devices by what lies at their names |
//! | [`memory`] | how much memory the guest has |
//! | [`profile`] | holds the engine's seccomp profile against the guest's policy |
//! | [`pause`] | the process of a sandbox, which does nothing |

mod disks;
mod memory;
mod pause;
mod profile;
mod settings;
mod workload;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, anyhow, ensure};
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::{
    Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError,
};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use solo5_sys::extension::Features;
use solo5_sys::manifest::DeviceKind;
use tender::environment::Environment;
use tender::options::Options;
use tender::run::{End, Prepared};
use tender::signals::{self, Inherited};
use tender::supervise::{Jailing, Outcome};
use tender::{descriptors, device, message};

use crate::plan::{self, Answer, Attachment, Network, Plan, Wish};
use workload::{Entrypoint, Workload};

/// Stands before a reason of ours, which libcontainer puts into words of its own.
pub(crate) const REASON: char = '\u{1e}';
/// More of a resolv.conf is not read.
const RESOLV_CONF_MAX_BYTES: u64 = 64 << 10;

/// What libcontainer's first process becomes, instead of a program of the image.
#[derive(Clone)]
pub(crate) struct Unikernel {
    /// Where `start` is waited for. A number, as the process that uses it is a copy of the one that
    /// opened it.
    listener: RawFd,
    /// The bundle's configuration, of which libcontainer is given what it is to do.
    spec: Rc<Spec>,
}

impl Unikernel {
    pub(crate) fn new(listener: RawFd, spec: Rc<Spec>) -> Self {
        Self { listener, spec }
    }
}

impl Executor for Unikernel {
    /// Part of `create`, so that the engine hears of a wrong entrypoint then.
    fn validate(&self, _: &Spec) -> Result<(), ExecutorValidationError> {
        let wrong =
            |error| ExecutorValidationError::ArgValidationError(format!("{REASON}{error:#}"));
        Entrypoint::of(&self.spec).map(drop).map_err(wrong)
    }

    /// The environment is the guest's, not this process's.
    fn setup_envs(&self, _: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        Ok(())
    }

    fn exec(&self, _: &Spec) -> Result<(), ExecutorError> {
        // SAFETY: `create` has opened it, and this process, which is a copy of that one, uses it here only.
        let listener = unsafe { UnixListener::from_raw_fd(self.listener) };
        let code = match become_supervisor(&self.spec, listener) {
            Ok(code) => code,
            Err(error) => {
                tell(&format!("{error:#}"));
                1
            }
        };
        std::process::exit(code)
    }
}

/// One line on standard error, which engines keep with the guest's console.
fn tell(line: &str) {
    // Nobody listens where it is closed.
    let _ = writeln!(io::stderr(), "runnc: {}", message::one_line(line));
}

/// Takes the plan, prepares, answers, and runs: the status that the container ends with.
fn become_supervisor(spec: &Spec, listener: UnixListener) -> Result<i32> {
    let (stream, _) = listener.accept().context("cannot wait for the start")?;
    drop(listener);
    let signals = Inherited::take().context("cannot block SIGPIPE")?;
    // One that comes before the supervisor looks for them waits for it. Without this, the first process of a
    // namespace would never hear of it.
    let stop: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect();
    stop.thread_block().context("cannot block signals")?;
    let prepared = match Entrypoint::of(spec) {
        Ok(Entrypoint::Pause) => agree_to_nothing(&stream).map(|()| None),
        Ok(Entrypoint::Unikernel(workload)) => prepare(spec, &workload, &stream).map(Some),
        Err(error) => Err(error),
    };
    match prepared {
        Ok(None) => {
            drop(stream);
            pause::run()
        }
        Ok(Some((prepared, warnings))) => {
            plan::send(&stream, &Answer::Ready { warnings }, &[])?;
            drop(stream);
            Ok(supervise(prepared, signals))
        }
        Err(error) => {
            // `start` tells it; if nobody listens there, the container's log does.
            plan::send(&stream, &Answer::Failed(format!("{error:#}")), &[])?;
            Ok(1)
        }
    }
}

fn agree_to_nothing(stream: &UnixStream) -> Result<()> {
    plan::send(stream, &Wish { pauses: true, ..Wish::default() }, &[])?;
    plan::send(stream, &Answer::Ready { warnings: Vec::new() }, &[])
}

fn prepare(
    spec: &Spec,
    workload: &Workload,
    stream: &UnixStream,
) -> Result<(Prepared, Vec<String>)> {
    let wish = wish(workload);
    plan::send(stream, &wish, &[])?;
    let received = plan::receive::<Plan>(stream)?;
    let (plan, taps) = received.context("the runtime's `start` ended early")?;
    ensure!(plan.attachments.len() == wish.networks.len(), "the plan is not for this unikernel");

    // The tender takes over what its options name by number.
    let taps: Vec<RawFd> = taps.into_iter().map(IntoRawFd::into_raw_fd).collect();
    let keep = [&taps[..], &[stream.as_raw_fd()]].concat();
    // What libcontainer still has open ends here; nothing of it is used again.
    crate::log::be_silent();
    descriptors::keep_only(None, keep)?;
    prctl::set_name(c"runnc").context("cannot take a name")?;
    // Else only root could put the guest into its jail. There is nothing of the host's left here.
    prctl::set_dumpable(true).context("cannot become dumpable")?;

    let mut warnings = plan.warnings;
    let settings = &workload.settings;
    let mut devices = device::Options::default();
    let mut taps = taps.into_iter();
    // A port of the namespace leads to one device.
    let mut publish = &settings.publish[..];
    for (network, attachment) in wish.networks.iter().zip(&plan.attachments) {
        attach_network(&mut devices, &network.name, attachment, &mut taps, publish)?;
        publish = &[];
    }
    let disks = disks::attach(spec, workload, &mut devices)?;
    warnings.extend(disks.warnings.iter().cloned());
    let options = Options {
        memory_bytes: memory::guest_bytes(spec, settings, disks.image_bytes)?,
        execute_heap: settings.execute_heap,
        die_with_parent: false,
        supervised: true,
        hidden: true,
        jail: Some(Jailing::WherePossible),
        verbose: false,
        devices,
        kernel: workload.kernel.clone(),
        command_line: command_line(&plan.arguments)?,
        environment: environment(workload)?,
    };
    let prepared =
        tender::run::prepare(options, &mut |line| tell(line)).map_err(
            |error| match memory::explain(spec, settings, disks.image_bytes, &error) {
                Some(text) => anyhow!(text),
                None => disks.explain(error),
            },
        )?;
    profile::check(spec, prepared.calls())?;
    Ok((prepared, warnings))
}

fn wish(workload: &Workload) -> Wish {
    let image = &workload.image;
    let nets = image.manifest.devices().filter(|(_, device)| device.kind == DeviceKind::Net);
    let headers = image.request.features.contains(Features::VNET);
    Wish {
        pauses: false,
        networks: nets
            .map(|(_, device)| Network { name: device.name.to_string(), headers })
            .collect(),
        way: workload.settings.network,
        publishes: !workload.settings.publish.is_empty(),
        is_ours: image.request.features != Features::NONE,
        arguments: workload.arguments.clone(),
        resolv_conf: read_resolv_conf(),
    }
}

fn read_resolv_conf() -> String {
    let mut bytes = Vec::new();
    let file = File::open("/etc/resolv.conf").map(|file| file.take(RESOLV_CONF_MAX_BYTES));
    // Without one there are no name servers.
    let _ = file.and_then(|mut file| file.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

fn attach_network(
    devices: &mut device::Options,
    name: &str,
    attachment: &Attachment,
    taps: &mut impl Iterator<Item = RawFd>,
    publish: &[u16],
) -> Result<()> {
    let mut accept =
        |option: &str, value: &str| devices.accept(option, name, Some(OsStr::new(value))).map(drop);
    match attachment {
        Attachment::Tap { mac } => {
            let tap = taps.next().context("the plan has too few descriptors")?;
            let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
            accept("net", &format!("@{tap}"))?;
            accept("net-mac", &mac)?;
        }
        Attachment::Gateway => {
            accept("net", "user")?;
            for port in publish {
                accept("publish", &format!("0.0.0.0:{port}:{port}"))?;
            }
        }
    }
    Ok(())
}

/// The arguments as a guest finds them: one line, each behind a blank.
fn command_line(arguments: &[String]) -> Result<Vec<u8>> {
    const MAX_BYTES: usize = solo5_sys::layout::COMMAND_LINE_MAX_BYTES;
    let line = arguments.join(" ").into_bytes();
    ensure!(line.len() <= MAX_BYTES, "the arguments take {} bytes, {MAX_BYTES} fit", line.len());
    ensure!(!line.contains(&0), "an argument holds a NUL");
    Ok(line)
}

/// The variables, for a guest that reads any.
fn environment(workload: &Workload) -> Result<Environment> {
    let mut environment = Environment::default();
    if workload.image.request.features.contains(Features::ENVIRONMENT) {
        for variable in &workload.settings.environment {
            let set = environment.set(variable.as_bytes());
            set.with_context(|| format!("environment variable '{variable}'"))?;
        }
    }
    Ok(environment)
}

/// Runs the guest and waits for its end; the status of the container.
fn supervise(prepared: Prepared, signals: Inherited) -> i32 {
    match prepared.run(signals, &mut |line| tell(line)) {
        Err(error) => {
            tell(&error.to_string());
            1
        }
        Ok(End { outcome, report }) => {
            report.iter().for_each(|line| tell(line));
            match outcome {
                Outcome::Exited(status) => status,
                // The first process of a namespace ends by no signal of its own, and exits instead.
                Outcome::Killed(signal) => signals::die_by(signal),
            }
        }
    }
}

/// Whether something is mounted at the path or above it, other than the root.
fn is_on_volume(spec: &Spec, path: &Path) -> bool {
    let mounts = spec.mounts().iter().flatten().map(|mount| mount.destination());
    mounts.into_iter().any(|place| place != Path::new("/") && path.starts_with(place))
}
