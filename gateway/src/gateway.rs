//! The gateway: what is opened before it is confined, and the way into the service.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::os::fd::{OwnedFd, RawFd};
use std::path::Path;

use netstack::{Duration, Instant, Limits, Stack};

use crate::address::{DestinationPolicy, GATEWAY, GATEWAY_MAC, PREFIX_LEN};
use crate::config::{Config, Publish, RESOLV_CONF, host_resolvers};
use crate::counters::Counters;
use crate::error::Error;
use crate::policy::Duty;
use crate::service::Service;
use crate::tcp_in::Listener;
use crate::wire::Ends;
use crate::wire::ring::Link;
use crate::{dns, host, policy, udp};

/// Bytes that wait in the gateway for each direction of a connection; the host's sockets hold more.
const BUFFER_BYTES: usize = 64 * 1024;
/// A guest that does not take the rest of a connection which is over for the host has this long.
const LINGER: Duration = Duration::from_secs(300);
/// How long the host may take to open a connection for the guest.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(75);
/// Descriptors besides connections, flows, questions and published ports.
const FILES_RESERVED: usize = 32;

/// A gateway that is ready to serve: its ports are open, and nothing is served yet.
pub struct Gateway {
    pub(crate) ends: Ends,
    pub(crate) ports: Vec<Listener>,
    pub(crate) stack: Stack,
    pub(crate) resolvers: Vec<SocketAddr>,
    pub(crate) destinations: DestinationPolicy,
    pub(crate) guest_mac: Option<[u8; 6]>,
    pub(crate) mtu: u16,
    pub(crate) startup: std::time::Duration,
}

/// Why a gateway's service ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The guest has closed its end of the wire, most often by its exit.
    GuestGone,
}

impl Gateway {
    /// Opens the published ports and reads the host's list of resolvers. The wire is a seqpacket
    /// socket of the unix family, one Ethernet frame per record.
    ///
    /// # Errors
    /// If a port cannot be opened, the wire is of another kind, or the MTU or a limit cannot work.
    pub fn new(config: Config, wire: OwnedFd) -> Result<Self, Error> {
        Self::on(config, Ends::of_socket(wire)?)
    }

    /// The same with a wire in shared memory, which is mapped when the service begins.
    ///
    /// # Errors
    /// As for [`Gateway::new`].
    pub fn on_ring(config: Config, link: Link) -> Result<Self, Error> {
        Self::on(config, Ends::Ring(link))
    }

    fn on(config: Config, ends: Ends) -> Result<Self, Error> {
        let stack = new_stack(&config, matches!(ends, Ends::Ring(_)))?;
        let ports = config
            .publish
            .iter()
            .map(|publish| Ok(Listener::new(host::publish(publish.host)?, publish.guest_port)))
            .collect::<Result<_, Error>>()?;
        let resolvers = match config.dns.is_empty() {
            true => host_resolvers(Path::new(RESOLV_CONF)),
            false => config.dns,
        };
        Ok(Self {
            ends,
            ports,
            stack,
            resolvers,
            destinations: DestinationPolicy::new(config.allow_host_loopback),
            guest_mac: config.guest_mac,
            mtu: config.mtu,
            startup: config.startup,
        })
    }

    /// Where ports are published, with the real port in place of 0.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn published(&self) -> Result<Vec<Publish>, Error> {
        let of_listener = |listener: &Listener| listener.publish();
        self.ports.iter().map(of_listener).collect()
    }

    /// The descriptors that it needs, besides the standard streams.
    pub fn descriptors(&self) -> Vec<RawFd> {
        let ports = self.ports.iter().map(Listener::descriptor);
        ports.chain(self.ends.descriptors()).collect()
    }

    /// Confines the process and serves until the guest is gone. Whatever else the process wants to
    /// do afterwards must be within the gateway's own system call filter: printing and ending are.
    ///
    /// # Errors
    /// If the process cannot be confined or the wire fails.
    pub fn run(self) -> Result<Ended, Error> {
        self.run_counting(&mut Counters::default())
    }

    /// [`Gateway::run`], and counts what happens.
    ///
    /// # Errors
    /// As for [`Gateway::run`].
    pub fn run_counting(self, counters: &mut Counters) -> Result<Ended, Error> {
        let doorbell = self.ends.guest_doorbell();
        let mut service = Service::new(self, counters)?;
        policy::confine(&Duty::Gateway { doorbell })?;
        service.serve()?;
        service.close();
        Ok(Ended::GuestGone)
    }
}

/// On a ring, segments are as large as they come, and nobody computes checksums.
fn new_stack(config: &Config, offload: bool) -> Result<Stack, Error> {
    let connections = connections_max(config)?;
    let limits = Limits {
        connections,
        receive_buffer_bytes: BUFFER_BYTES,
        send_buffer_bytes: BUFFER_BYTES,
        listeners: 0,
        udp_sockets: 0,
        offer_timeout: CONNECT_TIMEOUT,
        linger_timeout: LINGER,
        ..Limits::default()
    };
    // The standard library draws its keys from the kernel.
    let seed = RandomState::new().hash_one(());
    let config = netstack::Config {
        limits,
        any_ip: true,
        offload,
        ..netstack::Config::new(GATEWAY_MAC, config.mtu.into(), seed)
    };
    let mut stack = Stack::new(config, Instant::ZERO)?;
    stack.set_ipv4(GATEWAY, PREFIX_LEN, None)?;
    stack.set_offer_unmatched(true);
    stack.set_track_touched(true);
    Ok(stack)
}

/// What the user allows and the limit of open files leaves.
fn connections_max(config: &Config) -> Result<usize, Error> {
    let others = udp::FLOWS_MAX + dns::QUESTIONS_MAX + config.publish.len() + FILES_RESERVED;
    let files = policy::files_max()?.saturating_sub(others);
    Ok(config.connections_max.min(files).max(1))
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    use super::*;

    fn wire() -> OwnedFd {
        let kind = SockType::SeqPacket;
        socketpair(AddressFamily::Unix, kind, None, SockFlag::empty()).unwrap().0
    }

    #[test]
    fn a_published_port_is_open_at_once() {
        let publish = vec!["0:80".parse().unwrap()];
        let config = Config { publish, ..Config::default() };
        let gateway = Gateway::new(config, wire()).unwrap();
        let published = gateway.published().unwrap();
        assert_eq!(published[0].guest_port, 80);
        std::net::TcpStream::connect(published[0].host).expect("it listens");
    }

    #[test]
    fn an_mtu_that_cannot_work_is_refused() {
        let config = Config { mtu: 100, ..Config::default() };
        let error = Gateway::new(config, wire()).err().unwrap();
        assert!(error.to_string().contains("100 bytes"), "{error}");
    }

    #[test]
    fn connections_are_as_many_as_files_allow() {
        let config = |connections_max| Config { connections_max, ..Config::default() };
        assert_eq!(connections_max(&config(10)).unwrap(), 10);
        assert!(connections_max(&config(usize::MAX)).unwrap() < policy::files_max().unwrap());
    }
}
