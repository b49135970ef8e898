//! Many guests at once, each under a tender of its own with a network of its own, and all of their
//! processes. Dropping a fleet ends it; none of them outlives this program.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::process::Process;
use crate::run;

/// Below the ports that kernels give to those who connect, so that nobody takes one meanwhile.
const PORTS: std::ops::Range<u16> = 20_000..32_768;
/// How often to ask a guest that does not answer yet.
const PAUSE: Duration = Duration::from_millis(5);

/// What a process does for a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It is the guest.
    Guest,
    /// It is the other end of its wire.
    Gateway,
    /// It waits for both.
    Supervisor,
}

impl Role {
    /// All of them, the most interesting first.
    pub(super) const ALL: [Self; 3] = [Self::Guest, Self::Gateway, Self::Supervisor];

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Gateway => "gateway",
            Self::Supervisor => "supervisor",
        }
    }

    /// By the name of the process, as the tender gives it.
    fn of(process: &Process) -> Self {
        match &*process.name {
            "tender-guest" => Self::Guest,
            "tender-gateway" => Self::Gateway,
            _ => Self::Supervisor,
        }
    }
}

/// A tender and where its guest can be reached.
#[derive(Debug)]
struct Member {
    tender: Child,
    address: SocketAddr,
}

/// Guests that run.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    members: Vec<Member>,
}

impl Fleet {
    /// Starts a guest for each address by the command that is given for it. They all say what they
    /// have to say to one file.
    ///
    /// # Errors
    /// If one cannot be started; those before are ended.
    pub(super) fn start(
        addresses: &[SocketAddr],
        log: &File,
        command: impl Fn(SocketAddr) -> Command,
    ) -> Result<Self> {
        let mut fleet = Self::default();
        for &address in addresses {
            let output = || log.try_clone().map(Stdio::from).context("cannot share a file");
            let mut command = command(address);
            command.stdin(Stdio::null()).stdout(output()?).stderr(output()?);
            let tender = command.spawn().context("cannot start a tender")?;
            fleet.members.push(Member { tender, address });
        }
        Ok(fleet)
    }

    /// Waits until each has answered, or one has ended.
    ///
    /// # Errors
    /// If one ends, or does not answer before the deadline.
    pub(super) fn wait_until_all_answer(&mut self, path: &str, deadline: Instant) -> Result<()> {
        self.wait_until_each(deadline, PAUSE, |address| run::ask(address, path).unwrap_or(false))
    }

    /// The same with another question, and a pause between two of them.
    ///
    /// # Errors
    /// If one ends, or does not answer before the deadline.
    pub(super) fn wait_until_each(
        &mut self,
        deadline: Instant,
        pause: Duration,
        ask: impl Fn(SocketAddr) -> bool,
    ) -> Result<()> {
        let count = self.members.len();
        for (number, member) in self.members.iter_mut().enumerate() {
            while !ask(member.address) {
                if let Some(status) = member.tender.try_wait().context("wait")? {
                    bail!("guest {} of {count} has ended with {status}", number + 1);
                }
                ensure!(Instant::now() < deadline, "guest {} of {count} is silent", number + 1);
                thread::sleep(pause);
            }
        }
        Ok(())
    }

    /// Asks each once and returns how long each answer took, connecting included.
    ///
    /// # Errors
    /// If one does not answer.
    pub(super) fn ask_each(&self, path: &str) -> Result<Vec<Duration>> {
        let ask = |member: &Member| {
            let start = Instant::now();
            let answer = run::ask(member.address, path).context("a guest does not answer")?;
            ensure!(answer, "a guest answers with an error");
            Ok(start.elapsed())
        };
        self.members.iter().map(ask).collect()
    }

    /// All processes of the guests: tenders and their children.
    ///
    /// # Errors
    /// If the system does not tell.
    pub(super) fn processes(&self) -> Result<Vec<(Role, Process)>> {
        let tenders: BTreeSet<i32> =
            self.members.iter().map(|member| id(&member.tender).as_raw()).collect();
        let ours =
            |process: &Process| tenders.contains(&process.id) || tenders.contains(&process.parent);
        Ok(Process::all()?
            .into_iter()
            .filter(ours)
            .map(|process| (Role::of(&process), process))
            .collect())
    }

    /// Asks all to end and waits for it. Those that take longer than until the deadline are killed.
    ///
    /// # Errors
    /// If one had to be killed.
    pub(super) fn stop(mut self, deadline: Instant) -> Result<()> {
        for member in &mut self.members {
            // One that has been waited for has no id any more.
            if member.tender.try_wait().context("wait")?.is_none() {
                kill(id(&member.tender), Signal::SIGTERM).context("cannot stop a tender")?;
            }
        }
        let is_running = |member: &mut Member| -> Result<bool> {
            Ok(member.tender.try_wait().context("wait")?.is_none())
        };
        for member in &mut self.members {
            while is_running(member)? {
                ensure!(Instant::now() < deadline, "a tender does not end; it is killed");
                thread::sleep(PAUSE);
            }
        }
        Ok(())
    }
}

impl Drop for Fleet {
    /// A child that was waited for already is left alone by the standard library.
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.tender.kill();
        }
        for member in &mut self.members {
            let _ = member.tender.wait();
        }
    }
}

fn id(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// As many addresses on loopback where nobody listens.
///
/// # Errors
/// If there are not so many.
pub(super) fn free_addresses(count: usize) -> Result<Vec<SocketAddr>> {
    let addresses: Vec<SocketAddr> = PORTS
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .filter(|address| TcpListener::bind(address).is_ok())
        .take(count)
        .collect();
    ensure!(addresses.len() == count, "only {} ports are free", addresses.len());
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_free_and_differ() {
        let addresses = free_addresses(3).unwrap();
        let listeners: Vec<_> = addresses.iter().map(TcpListener::bind).collect();
        assert!(listeners.iter().all(Result::is_ok), "{listeners:?}");
    }

    #[test]
    fn a_fleet_ends_when_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let sleep = |_| {
            let mut command = Command::new("sleep");
            command.arg("60");
            command
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let fleet = Fleet::start(&[address, address], &log, sleep).unwrap();
        let processes = fleet.processes().unwrap();
        assert_eq!(processes.len(), 2);
        drop(fleet);
        assert!(processes.iter().all(|(_, process)| !process.is_running()));
    }

    #[test]
    fn a_guest_that_ends_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let mut fleet = Fleet::start(&[address], &log, |_| Command::new("true")).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let error = fleet.wait_until_all_answer("/", deadline).unwrap_err().to_string();
        assert!(error.contains("guest 1 of 1 has ended"), "{error}");
        fleet.stop(deadline).unwrap();
    }
}
