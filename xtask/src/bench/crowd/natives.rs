//! What is compared with, outside of containers: servers as everybody runs them, a program that waits, and the guest that
//! does the same.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Base, Builds, PAUSE, TIME_OUT, TIME_OUT_EACH};
use crate::bench::fleet::free_addresses;
use crate::bench::sweep::Rival;
use crate::bench::{http, kv, oci};
use crate::run;

const SMALL_MEMORY_MB: u64 = 16;

/// Guests, or programs, that wait for ever, without a network.
pub(super) struct Sleepers<'a> {
    pub(super) base: Base<'a>,
    pub(super) is_guest: bool,
}

impl Rival for Sleepers<'_> {
    fn name(&self) -> String {
        let name = if self.is_guest { "idle guest, tender" } else { "idle static program" };
        name.into()
    }

    fn go(&mut self, count: usize) -> Result<Vec<f64>> {
        let available = self.base.available()?;
        let start = Instant::now();
        let signal = if self.is_guest { Signal::SIGTERM } else { Signal::SIGKILL };
        let mut crew = Crew { children: Vec::new(), signal };
        for _ in 0..count {
            let mut command = match (&self.base.builds.asleep, self.is_guest) {
                (Ok(program), false) => Command::new(program),
                _ => {
                    let mut command = self.base.tender(SMALL_MEMORY_MB);
                    command.arg(&self.base.builds.idle).arg("heed");
                    command
                }
            };
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            crew.children.push(command.spawn().context("cannot start a program")?);
        }
        self.base.values(start.elapsed(), count, available)
    }
}

/// Programs that are ended at the end.
struct Crew {
    children: Vec<Child>,
    /// How: politely if one may have children that it alone knows how to end. Others have this signal blocked, as it
    /// is here.
    signal: Signal,
}

impl Drop for Crew {
    fn drop(&mut self) {
        for child in &self.children {
            let _ = kill(Pid::from_raw(child.id().cast_signed()), self.signal);
        }
        let deadline = Instant::now() + TIME_OUT;
        for child in &mut self.children {
            while matches!(child.try_wait(), Ok(None)) {
                if Instant::now() > deadline {
                    let _ = child.kill();
                }
                thread::sleep(PAUSE);
            }
        }
    }
}

/// A server outside of a container, to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    Nginx,
    Redis,
}

impl Server {
    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Redis => "redis",
        }
    }

    /// Its program.
    ///
    /// # Errors
    /// If it is not there.
    pub(super) fn program(self) -> Result<PathBuf> {
        match self {
            Self::Nginx => http::nginx_program(),
            Self::Redis => kv::redis_program(),
        }
    }

    /// The command of one that listens there.
    fn command(self, address: SocketAddr, builds: &Builds) -> Result<Command> {
        let mut command = Command::new(self.program()?);
        let folder = builds.folder.join(format!("{}-{}", self.name(), address.port()));
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        match self {
            Self::Nginx => {
                let page = builds.folder.join("page");
                command.args(http::nginx_words(&folder, &page, &address.to_string())?);
            }
            Self::Redis => {
                command.args(kv::redis_words(address.port(), &folder));
            }
        }
        Ok(command)
    }

    fn answers(self, address: SocketAddr, elapsed: Duration) -> bool {
        match self {
            Self::Nginx => oci::answers(address, elapsed),
            Self::Redis => run::talk(address, "PING\r\n", "+PONG").unwrap_or(false),
        }
    }
}

/// Servers as everybody runs them, each with a port of its own.
pub(super) struct Natives<'a> {
    pub(super) base: Base<'a>,
    pub(super) server: Server,
}

impl Rival for Natives<'_> {
    fn name(&self) -> String {
        self.server.name().into()
    }

    fn go(&mut self, count: usize) -> Result<Vec<f64>> {
        let addresses = free_addresses(count)?;
        let commands =
            addresses.iter().map(|&address| self.server.command(address, self.base.builds));
        let commands = commands.collect::<Result<Vec<_>>>()?;
        let available = self.base.available()?;
        let start = Instant::now();
        let signal = match self.server {
            Server::Nginx => Signal::SIGTERM,
            Server::Redis => Signal::SIGKILL,
        };
        let mut crew = Crew { children: Vec::new(), signal };
        for mut command in commands {
            let log = || self.base.log.try_clone().map(Stdio::from).context("cannot share a file");
            command.stdin(Stdio::null()).stdout(log()?).stderr(log()?);
            crew.children.push(command.spawn().context(self.server.name())?);
        }
        let deadline = start + TIME_OUT + TIME_OUT_EACH * u32::try_from(count)?;
        for &address in &addresses {
            while !self.server.answers(address, start.elapsed()) {
                ensure!(Instant::now() < deadline, "{} is silent", self.server.name());
                thread::sleep(PAUSE);
            }
        }
        self.base.values(start.elapsed(), count, available)
    }
}
