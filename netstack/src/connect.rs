//! Opening connections: which two ends one has, and the SYN for it.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use smoltcp::time::Instant;
use smoltcp::wire::{IpAddress, IpEndpoint, IpListenEndpoint};

use crate::connection::{Connection, ConnectionId, Owner, Stage, new_socket};
use crate::egress::Cause;
use crate::flow::Flow;
use crate::stack::Stack;
use crate::wire::demux::is_host;

const EPHEMERAL_PORTS: core::ops::RangeInclusive<u16> = 49_152..=65_535;

/// Why a connection cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// No host can have this address and port, or it is our own.
    NotUsable(SocketAddr),
    /// The stack has no address yet, or not this one.
    NoAddress,
    /// The destination is outside of the own network, and there is no router.
    NoRoute(SocketAddr),
    /// The same two ends have a connection, perhaps one in TIME-WAIT.
    InUse(SocketAddr),
    /// All ephemeral ports have a connection to this peer.
    NoPortLeft,
    /// The limit of connections is reached.
    TooMany(usize),
    /// There is no memory for buffers.
    OutOfMemory,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUsable(address) => write!(f, "{address} cannot be an end of a connection"),
            Self::NoAddress => f.write_str("the stack does not have that address yet"),
            Self::NoRoute(remote) => write!(f, "no route to {remote}: there is no gateway"),
            Self::InUse(local) => write!(f, "{local} has a connection to this peer already"),
            Self::NoPortLeft => f.write_str("no port is left for another connection to this peer"),
            Self::TooMany(limit) => {
                write!(f, "the limit of {limit} connections is reached; raise limits.connections")
            }
            Self::OutOfMemory => f.write_str("not enough memory for a connection's buffers"),
        }
    }
}

impl core::error::Error for ConnectError {}

impl Stack {
    /// Opens a connection. Without `local` it comes from the own address and a free port, and so it
    /// does with port 0; another address can be given if the stack has `any_ip`.
    ///
    /// # Errors
    /// If it cannot even be tried. What the peer answers is told by [`Stack::state`].
    pub fn connect(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        local: Option<SocketAddr>,
    ) -> Result<ConnectionId, ConnectError> {
        self.set_now(now);
        let flow = self.choose_flow(remote, local)?;
        if !self.has_room_for_connection() {
            return Err(ConnectError::TooMany(self.limits.connections));
        }
        let mut lone = new_socket(&self.limits).map_err(|_| ConnectError::OutOfMemory)?;
        let mut opener = self.new_opener();
        lone.socket_mut()
            .connect(
                opener.context(),
                endpoint(flow.remote),
                IpListenEndpoint::from(endpoint(flow.local)),
            )
            .map_err(|_| ConnectError::NotUsable(remote))?;
        let mut connection = Connection::new(flow, lone, Stage::Opening, self.now);
        connection.owner = Owner::Application;
        connection.peer_timeout = Some(self.limits.peer_timeout);
        let id = self.table.insert(connection).ok_or(ConnectError::OutOfMemory)?;
        self.schedule(id.slot, Cause::Egress, false);
        Ok(id)
    }

    fn choose_flow(
        &mut self,
        remote: SocketAddr,
        local: Option<SocketAddr>,
    ) -> Result<Flow, ConnectError> {
        let SocketAddr::V4(remote_v4) = remote else {
            return Err(ConnectError::NotUsable(remote));
        };
        let destination = *remote_v4.ip();
        let is_peer = is_host(destination)
            && remote.port() != 0
            && !self.addresses.is_own(destination)
            && !self.addresses.is_broadcast(destination);
        if !is_peer {
            return Err(ConnectError::NotUsable(remote));
        }
        let (source, port) = self.choose_source(local)?;
        self.addresses.next_hop(destination).ok_or(ConnectError::NoRoute(remote))?;
        let flow = |port| Flow { local: SocketAddrV4::new(source, port), remote: remote_v4 };
        if port == 0 {
            return self.free_port(flow).ok_or(ConnectError::NoPortLeft);
        }
        let flow = flow(port);
        match self.table.find(&flow) {
            Some(_) => Err(ConnectError::InUse(flow.local.into())),
            None => Ok(flow),
        }
    }

    fn choose_source(&self, local: Option<SocketAddr>) -> Result<(Ipv4Addr, u16), ConnectError> {
        let own = self.addresses.own().ok_or(ConnectError::NoAddress)?;
        let Some(local) = local else {
            return Ok((own, 0));
        };
        match local.ip() {
            IpAddr::V4(source) if source.is_unspecified() => Ok((own, local.port())),
            IpAddr::V4(source) if source == own => Ok((own, local.port())),
            IpAddr::V4(source) if self.any_ip && is_host(source) => Ok((source, local.port())),
            IpAddr::V4(_) => Err(ConnectError::NoAddress),
            IpAddr::V6(_) => Err(ConnectError::NotUsable(local)),
        }
    }

    /// A flow with an ephemeral port, chosen where nobody can foresee it (RFC 6056).
    fn free_port(&mut self, flow: impl Fn(u16) -> Flow) -> Option<Flow> {
        let count = EPHEMERAL_PORTS.len();
        let first = self.draw_secret() as usize % count;
        (0..count).map(|step| flow(EPHEMERAL_PORTS.start() + ((first + step) % count) as u16)).find(
            |flow| {
                self.table.find(flow).is_none() && self.listeners.find(flow.local.port()).is_none()
            },
        )
    }
}

fn endpoint(address: SocketAddrV4) -> IpEndpoint {
    IpEndpoint { addr: IpAddress::Ipv4(*address.ip()), port: address.port() }
}
