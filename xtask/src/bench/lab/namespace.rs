//! Network namespaces that are held open by nothing but this program and what it starts: when the
//! last of them has ended, however it did, they are gone with every interface in them.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::Output;

use anyhow::{Context, Result, anyhow, ensure};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};

use super::launch::Launcher;
use crate::bench::worker::Place;

/// A network namespace.
#[derive(Debug)]
pub(crate) struct Namespace {
    file: File,
}

impl Namespace {
    /// Makes one, with nothing in it but loopback.
    ///
    /// # Errors
    /// If this user may not.
    pub(crate) fn new() -> Result<Self> {
        // A thread has a namespace of its own, and the file outlives the thread.
        let make = || {
            match unshare(CloneFlags::CLONE_NEWNET) {
                Err(Errno::EPERM) => {
                    let way = "run it as root, or in `unshare --map-root-user --net`";
                    return Err(Errno::EPERM).context(format!("network namespaces: {way}"));
                }
                made => made.context("cannot make a network namespace")?,
            }
            File::open("/proc/thread-self/ns/net").context("/proc/thread-self/ns/net")
        };
        let made = std::thread::spawn(make).join();
        let file = made.map_err(|_| anyhow!("a thread has panicked"))??;
        Ok(Self { file })
    }

    /// The one that this thread is in.
    ///
    /// # Errors
    /// If there is no /proc.
    pub(crate) fn of_this_thread() -> Result<Self> {
        let file = File::open("/proc/thread-self/ns/net").context("/proc/thread-self/ns/net")?;
        Ok(Self { file })
    }

    /// A file that stands for it, for children of this process.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()).into()
    }

    /// This thread is in it from here on, and with it what it starts.
    ///
    /// # Errors
    /// If it cannot be entered.
    pub(crate) fn enter(&self) -> Result<()> {
        setns(&self.file, CloneFlags::CLONE_NEWNET).context("cannot enter a namespace")
    }

    /// Does something in it, such as opening a connection.
    ///
    /// # Errors
    /// If it cannot be entered.
    pub(crate) fn within<R: Send>(&self, act: impl FnOnce() -> R + Send) -> Result<R> {
        let enter_and_act = || {
            setns(&self.file, CloneFlags::CLONE_NEWNET).context("cannot enter a namespace")?;
            Ok(act())
        };
        let done = std::thread::scope(|scope| scope.spawn(enter_and_act).join());
        done.map_err(|_| anyhow!("a thread has panicked"))?
    }

    /// Runs `ip` with these words in it.
    ///
    /// # Errors
    /// If it fails, or is not there.
    pub(crate) fn ip(&self, launcher: &Launcher, words: &str) -> Result<()> {
        let output = self.output(launcher, "ip", words.split_whitespace())?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "ip {words}: {}", said.trim());
        Ok(())
    }

    /// Gives an interface an address with a network of 24 bits, and switches it on.
    ///
    /// # Errors
    /// If `ip` cannot.
    pub(crate) fn attach(
        &self,
        launcher: &Launcher,
        interface: &str,
        address: Ipv4Addr,
    ) -> Result<()> {
        self.ip(launcher, &format!("addr add {address}/24 dev {interface}"))?;
        self.ip(launcher, &format!("link set {interface} up"))
    }

    /// Makes a veth pair to another one, both ends with this name, each with its address.
    ///
    /// # Errors
    /// If `ip` cannot.
    pub(crate) fn connect(
        &self,
        launcher: &Launcher,
        other: &Self,
        name: &str,
        addresses: [Ipv4Addr; 2],
    ) -> Result<()> {
        let pair = format!("link add {name} type veth peer name {name} netns");
        self.ip(launcher, &format!("{pair} {}", other.path().display()))?;
        self.attach(launcher, name, addresses[0])?;
        other.attach(launcher, name, addresses[1])
    }

    /// Sets a variable of the network in it.
    ///
    /// # Errors
    /// If there is none, or the value is wrong.
    pub(crate) fn sysctl(&self, launcher: &Launcher, name: &str, value: &str) -> Result<()> {
        let script = format!("echo '{value}' >/proc/sys/{}", name.replace('.', "/"));
        let output = self.output(launcher, "sh", ["-c", &*script])?;
        ensure!(output.status.success(), "cannot set {name} to {value}");
        Ok(())
    }

    /// Frames that its interfaces have dropped, as their queues were full or nobody wanted them.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub(crate) fn drops(&self) -> Result<u64> {
        let text = self.within(|| fs::read_to_string("/proc/thread-self/net/dev"))?;
        drops(&text.context("/proc/net/dev")?).context("/proc/net/dev has no such columns")
    }

    fn output<'a>(
        &self,
        launcher: &Launcher,
        program: &str,
        words: impl IntoIterator<Item = &'a str>,
    ) -> Result<Output> {
        let place = Place { network: Some(self.path()), ..Place::default() };
        let mut command = launcher.exec(place, program.as_ref());
        command.args(words).output().with_context(|| program.to_owned())
    }
}

fn drops(table: &str) -> Option<u64> {
    let interfaces = table.lines().skip(2).filter_map(|line| line.split_once(':'));
    let counts = interfaces.map(|(_, numbers)| {
        let numbers: Vec<&str> = numbers.split_whitespace().collect();
        let number = |at: usize| numbers.get(at)?.parse::<u64>().ok();
        Some(number(3)? + number(11)?)
    });
    counts.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_of_both_directions_count() {
        let table = "Inter-|   Receive                            |  Transmit\n \
             face |bytes    packets errs drop fifo frame compressed multicast|bytes ...\n  \
             lo: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n\
             tap0:9 9 9 3 9 9 9 9 9 9 9 40 9 9 9 9\n";
        assert_eq!(drops(table), Some(43));
        assert_eq!(drops("\n\nx: 1 2\n"), None);
    }
}
