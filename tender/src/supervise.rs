//! The supervisor: what stays of the tender beside a guest.
//!
//! It starts one process for each gateway and one for the guest, jailed or not, waits, and says how
//! the guest ended. Whichever way that is, no process is left: children die with the supervisor, a
//! guest dies with its gateway, a gateway ends when its wire closes, or its lifeline, which is held
//! here. It carries no traffic.

use std::convert::Infallible;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigHandler, Signal, kill, raise, signal};
use nix::sys::signalfd::SignalFd;
use nix::sys::stat::fstat;
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid};
use solo5_sys::hypercall::EXIT_ABORT;

use crate::device::net::Gateway;
use crate::jail::{self, Inmate, Ticket};
use crate::record::{Prepared, Record};
use crate::shutdown::{Meaning, Shutdown};
use crate::{descriptors, launch, report, run, signals};

/// How long gateways may take to deliver what the guest sent last.
const GRACE: Duration = Duration::from_secs(2);
/// Signals that end the guest when the supervisor gets them.
const PASSED_ON: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// How a guest under a supervisor ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With this status.
    Exited(i32),
    /// By the signal with this number.
    Killed(i32),
}

/// Why a guest under a supervisor ended otherwise.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call of the supervisor's.
    #[error("cannot supervise the guest: {call}: {error}")]
    Call {
        /// The system call.
        call: &'static str,
        /// Its error.
        error: Errno,
    },
    /// No jail.
    #[error(transparent)]
    Jail(#[from] jail::Error),
    /// The gateway's process ended before the guest.
    #[error("the gateway of network '{name}' died ({how}); the guest was stopped")]
    GatewayDied {
        /// The network.
        name: String,
        /// In which way.
        how: String,
    },
    /// In a gateway's process: its own failure.
    #[error("the gateway of network '{name}': {error}")]
    Gateway {
        /// The network.
        name: String,
        /// Its reason.
        error: gateway::Error,
    },
}

fn failed(call: &'static str) -> impl Fn(Errno) -> Error {
    move |error| Error::Call { call, error }
}

/// Whether processes are put into a jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jailing {
    /// No.
    Never,
    /// If the host lets this user make one.
    WherePossible,
    /// Or nothing is started.
    Always,
}

/// Starts the gateways, then the guest by `launch`, and waits until all have ended.
///
/// Returns in each of the processes: with the outcome in the supervisor, and in a child that did
/// not become what it should, so that every process ends through `main`. With `shutdown` the guest is
/// asked before it is ended. `say` is told if there is no jail where one was wanted.
pub(crate) fn run<G>(
    mut gateways: Vec<Gateway>,
    guest: G,
    jailing: Jailing,
    hidden: bool,
    shutdown: Option<Shutdown>,
    launch: impl FnOnce(G) -> Result<Infallible, run::Error>,
    say: &mut dyn FnMut(&str),
) -> Result<(Outcome, Option<Record>), run::Error> {
    let signals = take_signals()?;
    let mut null = match gateways.is_empty() {
        true => None,
        false => Some(descriptors::open_null()?),
    };
    let mut running = Vec::new();
    while let Some(gateway) = gateways.pop() {
        match start(c"tender-gateway", Inmate::Gateway, jailing, say)? {
            Started::Supervisor(child) => {
                let (name, lifeline) = (gateway.name.to_string(), gateway.lifeline);
                running.push(Running { child, name, lifeline });
            }
            Started::Child => {
                // What belongs to others is closed by its number.
                std::mem::forget((signals, running, gateways, guest, shutdown));
                return Ok((serve(gateway, null.take())?, None));
            }
        }
    }
    drop(null);
    let prepared = Prepared::map()?;
    match start(c"tender-guest", Inmate::Guest, jailing, say)? {
        Started::Child => {
            // All are closed by their numbers.
            std::mem::forget((signals, running, shutdown));
            launch(guest).map(|never| match never {})
        }
        Started::Supervisor(child) => {
            drop(guest);
            let record = prepared.keep()?;
            renounce_privileges()?;
            if hidden {
                prctl::set_dumpable(false).map_err(failed("prctl(PR_SET_DUMPABLE)"))?;
            }
            let supervisor =
                Supervisor { guest: child, gateways: running, signals, shutdown, asked: None };
            Ok((supervisor.wait()?, record.read()))
        }
    }
}

/// The body of a gateway's process. It ends with its wire; signals to the whole group are the
/// supervisor's business, and stay blocked here.
fn serve(gateway: Gateway, null: Option<OwnedFd>) -> Result<Outcome, run::Error> {
    let Gateway { name, service, lifeline } = gateway;
    // Closed by its number.
    std::mem::forget(lifeline);
    descriptors::keep_only(null, service.descriptors())?;
    match service.run() {
        Ok(_) => Ok(Outcome::Exited(0)),
        Err(error) => Err(Error::Gateway { name: name.to_string(), error }.into()),
    }
}

/// Takes the supervisor's signals as events from now on. What its starter had it ignore stays ignored,
/// by the guest as well.
fn take_signals() -> Result<SignalFd, Error> {
    // If the starter had this ignored, children would vanish without a status.
    // SAFETY: the default action is no pointer to code.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }.map_err(failed("signal"))?;
    let all = [&PASSED_ON[..], &[Signal::SIGCHLD, Signal::SIGTSTP]].concat();
    signals::as_events(&all).map_err(failed("signalfd"))
}

/// A process that the supervisor has started.
struct Child {
    pid: Pid,
    /// Its jail's line to the supervisor, by which it knows that that still lives.
    ticket: Option<Ticket>,
}

enum Started {
    /// In the supervisor.
    Supervisor(Child),
    /// In the child, which has its name in `ps` and dies with the supervisor.
    Child,
}

fn start(
    name: &CStr,
    inmate: Inmate,
    jailing: Jailing,
    say: &mut dyn FnMut(&str),
) -> Result<Started, Error> {
    if jailing == Jailing::Never {
        return start_free(name);
    }
    match start_jailed(name, inmate) {
        Err(Error::Jail(error)) if jailing == Jailing::WherePossible => {
            say(&format!("no jail: {error}"));
            start_free(name)
        }
        started => started,
    }
}

fn start_free(name: &CStr) -> Result<Started, Error> {
    let supervisor = getpid();
    // SAFETY: the process has one thread, so the child may do whatever the parent may.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Parent { child } => Ok(Started::Supervisor(Child { pid: child, ticket: None })),
        ForkResult::Child => {
            die_with_supervisor()?;
            if getppid() != supervisor {
                // It died before it could take the child along.
                std::process::exit(1);
            }
            prctl::set_name(name).map_err(failed("prctl(PR_SET_NAME)"))?;
            Ok(Started::Child)
        }
    }
}

fn start_jailed(name: &CStr, inmate: Inmate) -> Result<Started, Error> {
    let (mut ours, mut theirs) = Ticket::pair().map_err(|error| jail::Error::new("pair", error))?;
    // SAFETY: the process has one thread.
    let forked = unsafe { jail::fork_into(inmate.flags()) };
    match forked.map_err(|error| jail::Error::new("clone", error))? {
        Some(pid) => {
            drop(theirs);
            if let Err(error) = jail::admit(pid, &mut ours) {
                kill(pid, Signal::SIGKILL).map_err(failed("kill"))?;
                wait(pid, 0)?;
                return Err(error.into());
            }
            Ok(Started::Supervisor(Child { pid, ticket: Some(ours) }))
        }
        None => {
            drop(ours);
            // The signal is forgotten when the user changes, so it is asked for behind that.
            if !jail::enter(&mut theirs) {
                std::process::exit(1);
            }
            die_with_supervisor()?;
            if jail::is_orphan(&mut theirs) {
                std::process::exit(1);
            }
            prctl::set_name(name).map_err(failed("prctl(PR_SET_NAME)"))?;
            Ok(Started::Child)
        }
    }
}

/// Gives up what a process has no use for that only waits for others: capabilities and new privileges. It
/// may signal what it has started all the same, as the owner of its namespace.
///
/// # Errors
/// If the kernel refuses.
pub fn renounce_privileges() -> Result<(), launch::Error> {
    launch::strip::supervisor()
}

fn die_with_supervisor() -> Result<(), Error> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(failed("prctl(PR_SET_PDEATHSIG)"))
}

/// A gateway that has ended.
struct Ended {
    name: String,
    outcome: Outcome,
}

impl Ended {
    fn is_well(&self) -> bool {
        self.outcome == Outcome::Exited(0)
    }

    fn into_error(self) -> Error {
        let how = match self.outcome {
            Outcome::Exited(status) => format!("exit status {status}"),
            Outcome::Killed(number) => format!("killed by {}", report::signal_name(number)),
        };
        Error::GatewayDied { name: self.name, how }
    }
}

/// A gateway that runs.
struct Running {
    child: Child,
    name: String,
    /// What it is told by that the guest is gone, if its wire does not.
    lifeline: Option<OwnedFd>,
}

/// The supervisor's view of its children.
struct Supervisor {
    guest: Child,
    gateways: Vec<Running>,
    signals: SignalFd,
    /// How the guest is asked to end, if it heeds that.
    shutdown: Option<Shutdown>,
    /// What a guest was ended for by SIGKILL.
    asked: Option<Signal>,
}

impl Supervisor {
    fn wait(mut self) -> Result<Outcome, Error> {
        let console = self.console();
        loop {
            match self.next_event(console)? {
                Some(Signal::SIGCHLD) => {}
                Some(Signal::SIGTSTP) => self.stop()?,
                Some(signal) => match self.shutdown.as_mut().map(|it| it.take(signal)) {
                    // One that is stopped would not notice.
                    Some(Meaning::Ask) => self.resume()?,
                    Some(Meaning::End) | None => self.pass_on(signal)?,
                },
                None => continue,
            }
            if let Some(outcome) = self.outcome_of_guest()? {
                return self.finish(outcome, Vec::new());
            }
            let ended = self.reap_gateways()?;
            if !ended.is_empty() {
                return self.finish_without(ended);
            }
        }
    }

    /// Ends the guest by a signal. The first process of a namespace, as a jailed guest is one,
    /// heeds none but SIGKILL; one that is asked to end ignores those that ask.
    fn pass_on(&mut self, signal: Signal) -> Result<(), Error> {
        let is_deaf = self.guest.ticket.is_some() || self.shutdown.is_some();
        if is_deaf {
            self.asked = Some(signal);
        }
        let signal = if is_deaf { Signal::SIGKILL } else { signal };
        kill(self.guest.pid, signal).map_err(failed("kill"))?;
        // One that is stopped would never see it.
        self.resume()
    }

    fn resume(&self) -> Result<(), Error> {
        kill(self.guest.pid, Signal::SIGCONT).map_err(failed("kill"))
    }

    /// Stops with the guest, and goes on with it.
    fn stop(&self) -> Result<(), Error> {
        kill(self.guest.pid, Signal::SIGSTOP).map_err(failed("kill"))?;
        raise(Signal::SIGSTOP).map_err(failed("raise"))?;
        self.resume()
    }

    fn outcome_of_guest(&self) -> Result<Option<Outcome>, Error> {
        let outcome = wait_no_hang(self.guest.pid)?;
        Ok(outcome.map(|outcome| match (outcome, self.asked) {
            (KILLED, Some(asked)) => Outcome::Killed(asked as i32),
            (outcome, _) => outcome,
        }))
    }

    /// Gateways have ended. One whose wire was closed does so by itself: a guest closes it in
    /// dying, a moment before it can be seen dead.
    fn finish_without(&mut self, ended: Vec<Ended>) -> Result<Outcome, Error> {
        let well = ended.iter().all(Ended::is_well);
        match self.end_guest(if well { GRACE } else { Duration::ZERO })? {
            Some(outcome) => self.finish(outcome, ended),
            None => {
                self.kill_gateways()?;
                let first = ended.into_iter().min_by_key(Ended::is_well);
                first.map_or(Ok(KILLED), |ended| Err(ended.into_error()))
            }
        }
    }

    /// The guest has ended by itself. If that may be for a gateway's death, that is the news.
    fn finish(&mut self, outcome: Outcome, mut ended: Vec<Ended>) -> Result<Outcome, Error> {
        let lost_wire =
            matches!(outcome, Outcome::Killed(libc::SIGPIPE) | Outcome::Exited(EXIT_ABORT));
        ended.extend(self.end_gateways(GRACE)?);
        match ended.into_iter().find(|ended| !ended.is_well()) {
            Some(died) if lost_wire => Err(died.into_error()),
            _ => Ok(outcome),
        }
    }

    /// Waits for the guest and kills it if it takes longer than `grace`; `None` if it did.
    fn end_guest(&self, grace: Duration) -> Result<Option<Outcome>, Error> {
        let deadline = Instant::now() + grace;
        loop {
            let outcome = self.outcome_of_guest()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if outcome.is_some() {
                return Ok(outcome);
            }
            if left.is_zero() {
                break;
            }
            self.next_signal(Some(left))?;
        }
        kill(self.guest.pid, Signal::SIGKILL).map_err(failed("kill"))?;
        let outcome = wait(self.guest.pid, 0)?;
        Ok(outcome.filter(|&outcome| outcome != KILLED))
    }

    /// Waits until all gateways have ended, kills those that take longer than `grace`, and says
    /// how those ended that were not killed here.
    fn end_gateways(&mut self, grace: Duration) -> Result<Vec<Ended>, Error> {
        let deadline = Instant::now() + grace;
        self.gateways.iter_mut().for_each(|gateway| gateway.lifeline = None);
        let mut ended = self.reap_gateways()?;
        while !self.gateways.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let urged = !matches!(self.next_signal(Some(left))?, None | Some(Signal::SIGCHLD));
            ended.extend(self.reap_gateways()?);
            if urged || left.is_zero() {
                self.kill_gateways()?;
            }
        }
        Ok(ended)
    }

    fn kill_gateways(&mut self) -> Result<(), Error> {
        for Running { child, .. } in self.gateways.drain(..) {
            kill(child.pid, Signal::SIGKILL).map_err(failed("kill"))?;
            wait(child.pid, 0)?;
        }
        Ok(())
    }

    /// Takes note of gateways that have ended and says how.
    fn reap_gateways(&mut self) -> Result<Vec<Ended>, Error> {
        let mut ended = Vec::new();
        let mut running = Vec::new();
        for gateway in self.gateways.drain(..) {
            match wait_no_hang(gateway.child.pid)? {
                None => running.push(gateway),
                Some(outcome) => ended.push(Ended { name: gateway.name, outcome }),
            }
        }
        self.gateways = running;
        Ok(ended)
    }

    /// The console of a jailed guest, if it is a pipe whose loss is to be noticed here: the guest is the
    /// first process of its namespace, which no SIGPIPE ends.
    fn console(&self) -> Option<BorrowedFd<'static>> {
        // SAFETY: standard output is open, if only to /dev/null, as `main` has seen to.
        let stdout = unsafe { BorrowedFd::borrow_raw(libc::STDOUT_FILENO) };
        let is_pipe = fstat(stdout).is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFIFO);
        let matters = self.guest.ticket.is_some() && is_pipe;
        (matters && !signals::is_ignored(Signal::SIGPIPE)).then_some(stdout)
    }

    /// The next signal of all, which a lost console counts as one of.
    fn next_event(&self, console: Option<BorrowedFd<'_>>) -> Result<Option<Signal>, Error> {
        let Some(console) = console.filter(|_| self.asked.is_none()) else {
            return self.next_signal(None);
        };
        // Asks for nothing: the loss of the reader is told all the same.
        let mut descriptors = [
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(console, PollFlags::empty()),
        ];
        wait_for(&mut descriptors, PollTimeout::NONE)?;
        let is_lost = descriptors[1].revents().is_some_and(|e| e.contains(PollFlags::POLLERR));
        match self.read_signal()? {
            None if is_lost => Ok(Some(Signal::SIGPIPE)),
            signal => Ok(signal),
        }
    }

    /// The next signal; `None` if none comes within `timeout`.
    fn next_signal(&self, timeout: Option<Duration>) -> Result<Option<Signal>, Error> {
        let timeout = match timeout {
            None => PollTimeout::NONE,
            Some(left) => PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO),
        };
        wait_for(&mut [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)], timeout)?;
        self.read_signal()
    }

    /// A signal that has come, if one has.
    fn read_signal(&self) -> Result<Option<Signal>, Error> {
        let info = self.signals.read_signal().map_err(failed("read"))?;
        Ok(info.and_then(|info| Signal::try_from(info.ssi_signo as i32).ok()))
    }
}

fn wait_for(descriptors: &mut [PollFd<'_>], timeout: PollTimeout) -> Result<(), Error> {
    match poll(descriptors, timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(failed("poll")(error)),
    }
}

/// How SIGKILL ends a process.
const KILLED: Outcome = Outcome::Killed(libc::SIGKILL);

fn wait_no_hang(pid: Pid) -> Result<Option<Outcome>, Error> {
    wait(pid, libc::WNOHANG)
}

/// Waits for the end of a process; `None` if it goes on. Not by nix, which has no name for a real-time
/// signal and takes it for an error.
fn wait(pid: Pid, flags: i32) -> Result<Option<Outcome>, Error> {
    let mut status = 0;
    // SAFETY: `status` is writable.
    let waited = unsafe { libc::waitpid(pid.as_raw(), &raw mut status, flags) };
    match Errno::result(waited).map_err(failed("waitpid"))? {
        0 => Ok(None),
        _ if libc::WIFEXITED(status) => Ok(Some(Outcome::Exited(libc::WEXITSTATUS(status)))),
        _ => Ok(Some(Outcome::Killed(libc::WTERMSIG(status)))),
    }
}
