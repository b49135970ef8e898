//! Where network benches take place: a namespace for clients, one for servers, a wire between
//! them, and processors that both keep to.

mod calls;
mod launch;
mod namespace;

use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use nix::sched::sched_getaffinity;
use nix::unistd::Pid;

pub(crate) use calls::CallCounter;
pub(crate) use launch::{Launcher, Program, ask};
pub(crate) use namespace::Namespace;

use super::worker::Place;
use crate::cargo::{self, Profile};
use crate::packages::Workspace;

/// The server's end of the wire between the namespaces; 10.77.0.1 is the clients'.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
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
    cpus: Option<(usize, usize)>,
}

impl Lab {
    /// Makes the namespaces with a veth pair between them.
    ///
    /// # Errors
    /// If this user may not, or `ip` is not there.
    pub(crate) fn new(ours: &Workspace) -> Result<Self> {
        let launcher = Launcher::new(build_worker(ours)?);
        let lab =
            Self { launcher, client: Namespace::new()?, server: Namespace::new()?, cpus: cpus()? };
        let link = "link add veth0 type veth peer name veth0 netns";
        lab.client.ip(&lab.launcher, &format!("{link} {}", lab.server.path().display()))?;
        for (namespace, address) in [(&lab.client, "10.77.0.1"), (&lab.server, "10.77.0.2")] {
            namespace.ip(&lab.launcher, "link set lo up")?;
            namespace.ip(&lab.launcher, &format!("addr add {address}/24 dev veth0"))?;
            namespace.ip(&lab.launcher, "link set veth0 up")?;
            // As many short connections as there can be, from one address.
            namespace.sysctl(&lab.launcher, "net.ipv4.ip_local_port_range", "1024 65535")?;
        }
        Ok(lab)
    }

    /// Makes a TAP interface for a guest among the clients and returns its name, and the guest's
    /// address and router. Each number is a network of its own.
    ///
    /// # Errors
    /// If `ip` cannot.
    pub(crate) fn tap(&self, number: u8) -> Result<Tap> {
        let name = format!("tap{number}");
        let router = Ipv4Addr::new(10, 78, number, 1);
        self.client.ip(&self.launcher, &format!("tuntap add {name} mode tap"))?;
        self.client.ip(&self.launcher, &format!("addr add {router}/24 dev {name}"))?;
        self.client.ip(&self.launcher, &format!("link set {name} up"))?;
        Ok(Tap { name, router, guest: Ipv4Addr::new(10, 78, number, 2) })
    }

    /// Frames that were dropped on the wires so far.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub(crate) fn drops(&self) -> Result<u64> {
        Ok(self.client.drops()? + self.server.drops()?)
    }

    /// Where a server runs, in this namespace.
    pub(crate) fn server_place(&self, namespace: &Namespace) -> Place {
        self.place(namespace, self.cpus.map(|(server, _)| server))
    }

    /// Where a client runs.
    pub(crate) fn client_place(&self) -> Place {
        self.place(&self.client, self.cpus.map(|(_, client)| client))
    }

    fn place(&self, namespace: &Namespace, cpu: Option<usize>) -> Place {
        Place { network: Some(namespace.path()), cpu, files: Some(FILES), parent: None }
    }

    /// Which processor is whose, in words.
    pub(crate) fn in_words(&self) -> String {
        match self.cpus {
            Some((server, client)) => {
                format!("servers on processor {server}, the client on processor {client}")
            }
            None => "one processor for servers and client".into(),
        }
    }
}

/// A TAP interface for a guest.
#[derive(Clone, Debug)]
pub(crate) struct Tap {
    /// Its name.
    pub(crate) name: String,
    /// The host's address on it.
    pub(crate) router: Ipv4Addr,
    /// The guest's.
    pub(crate) guest: Ipv4Addr,
}

impl Tap {
    /// What a guest is told about its address.
    pub(crate) fn guest_words(&self) -> [String; 2] {
        [format!("--ipv4={}/24", self.guest), format!("--ipv4-gateway={}", self.router)]
    }
}

/// A processor for servers and one for clients, if there are two.
fn cpus() -> Result<Option<(usize, usize)>> {
    let set = sched_getaffinity(Pid::from_raw(0)).context("cannot ask for processors")?;
    let mut mine = (0..nix::sched::CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false));
    Ok(mine.next().zip(mine.next()))
}

/// A client that is not optimised would be what is measured.
fn build_worker(ours: &Workspace) -> Result<PathBuf> {
    cargo::build(&ours.root, ["xtask"], Profile::Release)?;
    Ok(ours.binaries(Profile::Release).join("xtask"))
}
