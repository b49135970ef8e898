//! The container's network, handed to the guest: the interfaces that the engine has set up in the container's
//! network namespace are joined to TAPs ([`netjoin`]); where that cannot be, or the namespace is the host's, a
//! gateway speaks for the guest by sockets.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use netjoin::{Device, Joined, Request};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};

use crate::container::{Record, is_rootless};
use crate::plan::{self, Attachment, Plan, Way, Wish};
use crate::process::Process;

/// Longer reasons are cut.
const REASON_MAX_BYTES: u64 = 4096;

/// Makes what the unikernel needs in the network namespace of the container, and sends the plan.
///
/// # Errors
/// If it cannot be made, or the container is gone.
pub(crate) fn join(record: &Record, init: Process, wish: &Wish, stream: &UnixStream) -> Result<()> {
    // The interfaces of the host are the host's.
    if wish.networks.is_empty() || is_own_namespace(init)? {
        return send_gateways(wish, stream, None);
    }
    // Rootless engines lead published ports to the loopback interface, where only a gateway listens.
    let gateway = is_rootless() && wish.publishes;
    match wish.way.unwrap_or(if gateway { Way::Gateway } else { Way::Tap }) {
        Way::Gateway => send_gateways(wish, stream, None),
        Way::Tap => match in_namespace(init, || join_here(&record.id, wish, stream))? {
            Ok(()) => Ok(()),
            // The container waits for a plan still.
            Err(Failure { may_fall_back: true, reason }) if wish.way.is_none() => {
                send_gateways(wish, stream, Some(reason))
            }
            Err(Failure { reason, .. }) => bail!(reason),
        },
    }
}

/// Removes what was made for a container in a network namespace that outlives it.
///
/// # Errors
/// If something is left.
pub(crate) fn leave(record: &Record) -> Result<()> {
    let Some(path) = &record.netns else { return Ok(()) };
    let namespace = match File::open(path) {
        // It went first, and took all along.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        namespace => namespace.with_context(|| format!("cannot open {}", path.display()))?,
    };
    // What was mounted there went first, or it never was one.
    if !is_network_namespace(&namespace) {
        return Ok(());
    }
    if is_same_file(Path::new("/proc/self/ns/net"), path) {
        return Ok(());
    }
    let left = in_child(|| {
        enter(&namespace, None)?;
        netjoin::leave(&record.id).map_err(Failure::from)
    })?;
    left.map_err(|failure| anyhow!(failure.reason))
}

/// The part that happens in the container's network namespace: TAPs, and a plan with them.
fn join_here(id: &str, wish: &Wish, stream: &UnixStream) -> Result<(), Failure> {
    let devices: Vec<Device<'_>> = wish
        .networks
        .iter()
        .map(|network| Device { name: &network.name, headers: network.headers })
        .collect();
    let joined = netjoin::join(&Request { container: id, devices: &devices })?;
    let sent = plan_of(wish, &joined).and_then(|plan| {
        let taps: Vec<RawFd> = joined.iter().map(|one| one.tap.as_raw_fd()).collect();
        plan::send(stream, &plan, &taps)
    });
    sent.map_err(|error| {
        // Who did not get it cannot use it.
        let _ = netjoin::leave(id);
        Failure { may_fall_back: false, reason: format!("{error:#}") }
    })
}

fn plan_of(wish: &Wish, joined: &[Joined]) -> Result<Plan> {
    let servers = netjoin::name_servers(wish.resolv_conf.as_bytes());
    let mut arguments = wish.arguments.clone();
    if wish.is_ours {
        // The user's own come behind them, and count.
        let ours = joined.iter().flat_map(|one| netjoin::arguments(one, &servers));
        arguments = ours.chain(arguments).collect();
    } else {
        netjoin::expand(&mut arguments, joined, &servers)?;
    }
    let warning = |one: &Joined| match &one.interface {
        None => Some(format!("network device '{}' is linked with nothing", one.device)),
        Some(interface) if !one.is_up => Some(format!("the interface {interface} is down")),
        Some(_) => None,
    };
    Ok(Plan {
        attachments: joined.iter().map(|one| Attachment::Tap { mac: one.mac }).collect(),
        arguments,
        warnings: joined.iter().filter_map(warning).collect(),
    })
}

fn send_gateways(wish: &Wish, stream: &UnixStream, reason: Option<String>) -> Result<()> {
    let mut arguments = wish.arguments.clone();
    if !wish.is_ours {
        netjoin::expand(&mut arguments, &[], &[])?;
    }
    let warning = |reason| format!("the network goes through a gateway: {reason}");
    let plan = Plan {
        attachments: wish.networks.iter().map(|_| Attachment::Gateway).collect(),
        arguments,
        warnings: reason.map(warning).into_iter().collect(),
    };
    plan::send(stream, &plan, &[])
}

/// Why something in another namespace failed.
struct Failure {
    /// Whether a gateway can do instead.
    may_fall_back: bool,
    reason: String,
}

impl From<netjoin::Error> for Failure {
    fn from(error: netjoin::Error) -> Self {
        let may_fall_back = match &error {
            netjoin::Error::OpenTun(_) | netjoin::Error::NoTrafficControl { .. } => true,
            netjoin::Error::Refused { errno, .. }
            | netjoin::Error::Call { errno, .. }
            | netjoin::Error::Tap { errno, .. } => matches!(errno, Errno::EPERM | Errno::EACCES),
            _ => false,
        };
        Self { may_fall_back, reason: error.to_string() }
    }
}

fn is_own_namespace(init: Process) -> Result<bool> {
    let path = format!("/proc/{}/ns/net", init.pid);
    ensure!(Path::new(&path).exists(), "the container's process has ended");
    Ok(is_same_file(Path::new("/proc/self/ns/net"), Path::new(&path)))
}

/// Whether a file is a network namespace. Others, also namespaces of other kinds, hold nothing of a container's.
fn is_network_namespace(file: &File) -> bool {
    // ioctl_ns(2), which nix does not have.
    const NS_GET_NSTYPE: libc::Ioctl = 0xb703;
    // SAFETY: takes no pointer; other files refuse it.
    let kind = unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_NSTYPE) };
    kind == libc::CLONE_NEWNET
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path| fs::metadata(path).map(|it| (it.dev(), it.ino())).ok();
    identity(one).is_some() && identity(one) == identity(other)
}

/// Runs something in a child that is in the network namespace of a process.
fn in_namespace(
    process: Process,
    work: impl FnOnce() -> Result<(), Failure>,
) -> Result<Result<(), Failure>> {
    let open = |kind: &str| {
        let path = format!("/proc/{}/ns/{kind}", process.pid);
        File::open(&path).with_context(|| format!("cannot open {path}"))
    };
    let (network, user) = (open("net")?, open("user").ok());
    in_child(|| {
        enter(&network, user.as_ref())?;
        work()
    })
}

/// Enters a network namespace, through the user namespace that it may belong to.
fn enter(network: &File, user: Option<&File>) -> Result<(), Failure> {
    let enter = |namespace: &File, kind| setns(namespace.as_fd(), kind);
    let entered = match (enter(network, CloneFlags::CLONE_NEWNET), user) {
        (Err(Errno::EPERM), Some(user)) => enter(user, CloneFlags::CLONE_NEWUSER)
            .and_then(|()| enter(network, CloneFlags::CLONE_NEWNET)),
        (entered, _) => entered,
    };
    entered.map_err(|errno| Failure {
        may_fall_back: errno == Errno::EPERM,
        reason: format!("cannot enter the container's network namespace: {errno}"),
    })
}

/// Runs something in a child, since namespaces of users cannot be left again.
fn in_child(work: impl FnOnce() -> Result<(), Failure>) -> Result<Result<(), Failure>> {
    let (mut ours, mut theirs) = UnixStream::pair().context("cannot make a socket")?;
    // SAFETY: this process has one thread, so the child may do whatever the parent may.
    match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Child => {
            drop(ours);
            let status = match work() {
                Ok(()) => 0,
                Err(failure) => {
                    // Without it the parent has the status.
                    let _ = theirs.write_all(failure.reason.as_bytes());
                    if failure.may_fall_back { FALL_BACK } else { 1 }
                }
            };
            // SAFETY: nothing of the parent's is to be flushed or dropped here.
            unsafe { libc::_exit(status) }
        }
        ForkResult::Parent { child } => {
            drop(theirs);
            let mut reason = String::new();
            let read = (&mut ours).take(REASON_MAX_BYTES).read_to_string(&mut reason);
            let ended =
                waitpid(child, None).context("cannot wait for the child in the namespace")?;
            read.context("cannot read what the child says")?;
            Ok(match ended {
                nix::sys::wait::WaitStatus::Exited(_, 0) => Ok(()),
                nix::sys::wait::WaitStatus::Exited(_, status) if !reason.is_empty() => {
                    Err(Failure { may_fall_back: status == FALL_BACK, reason })
                }
                other => bail!("the child in the container's network namespace: {other:?}"),
            })
        }
    }
}

/// The child's status if a gateway can do instead.
const FALL_BACK: i32 = 2;
