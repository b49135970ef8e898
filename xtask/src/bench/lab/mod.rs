//! Where network benches take place: a namespace for clients, one for servers, wires between them,
//! and processors that both keep to.

mod calls;
mod launch;
mod lossy;
mod namespace;

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

pub(crate) use calls::CallCounter;
pub(crate) use launch::{Launcher, Program, ask};
pub(crate) use lossy::{DELAY, LOSS_PERCENT, Lossy};
pub(crate) use namespace::Namespace;

use super::worker::Place;
use crate::cargo::{self, Profile};
use crate::packages::Workspace;

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// Open files of clients and servers.
const FILES: u64 = 65_536;

/// The place of a bench.
#[derive(Debug)]
pub(crate) struct Lab {
    /// Starts workers.
    pub(crate) launcher: Launcher,
    /// Where clients are, and the host's ends of the guests' TAP interfaces.
    pub(crate) client: Namespace,
    /// Where servers are that have no network of their own.
    pub(crate) server: Namespace,
    taps: [Tap; 2],
    congestion: String,
    cpus: Option<(usize, usize)>,
}

/// Where guests and servers are attached, and found by clients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    /// Where guests with a TAP interface are.
    pub(crate) guests: &'a Namespace,
    /// Their interfaces: a plain one and one for the gateway's ring.
    pub(crate) taps: &'a [Tap; 2],
    /// Where other servers are.
    pub(crate) servers: &'a Namespace,
    /// Their address.
    pub(crate) server: Ipv4Addr,
}

impl Lab {
    /// Makes the namespaces, with a veth pair between them and the guests' interfaces. Kernels in
    /// them use this congestion control, or reno if they do not have it.
    ///
    /// # Errors
    /// If this user may not, or `ip` is not there.
    pub(crate) fn new(ours: &Workspace, congestion: &str) -> Result<Self> {
        let (client, server) = (Namespace::new()?, Namespace::new()?);
        let launcher = Launcher::new(build_worker(ours)?);
        client.connect(&launcher, &server, "veth0", [CLIENT, SERVER])?;
        let mut used = congestion;
        for namespace in [&client, &server] {
            namespace.ip(&launcher, "link set lo up")?;
            // As many short connections as there can be, from one address.
            namespace.sysctl(&launcher, "net.ipv4.ip_local_port_range", "1024 65535")?;
            let name = "net.ipv4.tcp_congestion_control";
            if namespace.sysctl(&launcher, name, used).is_err() {
                used = "reno";
                namespace.sysctl(&launcher, name, used)?;
            }
        }
        let tap = |number| Tap::make(&client, &launcher, [10, 78, number]);
        let taps = [tap(0)?, tap(1)?];
        let congestion = used.to_owned();
        Ok(Self { launcher, client, server, taps, congestion, cpus: cpus()? })
    }

    /// What clients reach without a detour.
    pub(crate) fn segment(&self) -> Segment<'_> {
        Segment { guests: &self.client, taps: &self.taps, servers: &self.server, server: SERVER }
    }

    /// Frames that were dropped on the wires so far.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub(crate) fn drops(&self) -> Result<u64> {
        Ok(self.client.drops()? + self.server.drops()?)
    }

    /// The servers' processor, if they have one of their own.
    pub(crate) fn server_cpu(&self) -> Option<usize> {
        self.cpus.map(|(server, _)| server)
    }

    /// Where a server runs, in this namespace.
    pub(crate) fn server_place(&self, namespace: &Namespace) -> Place {
        self.place(namespace, self.server_cpu())
    }

    /// A client with this task, behind the words of a program that watches if there are any.
    pub(crate) fn client(&self, task: &[String], behind: Option<&[OsString]>) -> Command {
        let place = self.place(&self.client, self.cpus.map(|(_, client)| client));
        match behind {
            None => self.launcher.task(place, task),
            Some(words) => {
                let task: Vec<OsString> = task.iter().map(OsString::from).collect();
                self.launcher.around(words, &place, &task)
            }
        }
    }

    fn place(&self, namespace: &Namespace, cpu: Option<usize>) -> Place {
        let network = Some(namespace.path());
        Place { network, mounts: None, cpu, files: Some(FILES), parent: None }
    }

    /// Which processor is whose, and what the kernel does, in words.
    pub(crate) fn in_words(&self) -> String {
        let place = match self.cpus {
            Some((server, client)) => {
                format!("servers on processor {server}, the client on processor {client}")
            }
            None => "one processor for servers and client".into(),
        };
        format!("{place}; Linux sends with {}", self.congestion)
    }
}

/// A TAP interface for a guest, in a network of its own.
#[derive(Clone, Debug)]
pub(crate) struct Tap {
    /// Its name.
    pub(crate) name: String,
    /// The guest's address.
    pub(crate) guest: Ipv4Addr,
    router: Ipv4Addr,
}

impl Tap {
    /// Makes one whose network begins with these numbers.
    fn make(namespace: &Namespace, launcher: &Launcher, network: [u8; 3]) -> Result<Self> {
        let [first, second, third] = network;
        let name = format!("tap{third}");
        let address = |last| Ipv4Addr::new(first, second, third, last);
        namespace.ip(launcher, &format!("tuntap add {name} mode tap"))?;
        // As many frames as there may be connections, each with one under way.
        namespace.ip(launcher, &format!("link set {name} txqueuelen 20000"))?;
        namespace.attach(launcher, &name, address(1))?;
        Ok(Self { name, guest: address(2), router: address(1) })
    }

    /// What a guest is told about its address.
    pub(crate) fn guest_words(&self) -> [String; 2] {
        [format!("--ipv4={}/24", self.guest), format!("--ipv4-gateway={}", self.router)]
    }
}

/// A processor for servers and one for clients, if there are two.
fn cpus() -> Result<Option<(usize, usize)>> {
    let set = sched_getaffinity(Pid::from_raw(0)).context("cannot ask for processors")?;
    let mut mine = (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false));
    Ok(mine.next().zip(mine.next()))
}

/// A client that is not optimised would be what is measured.
fn build_worker(ours: &Workspace) -> Result<PathBuf> {
    cargo::build(&ours.root, ["xtask"], Profile::Release)?;
    Ok(ours.binaries(Profile::Release).join("xtask"))
}
