//! Opening connections: which two ends one has, and the SYN for it.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use smoltcp::time::Instant;

use super::connection::{Connection, ConnectionId, Owner, Patience, Stage};
use super::flow::Flow;
use super::seq::Seq;
use super::tcb::{Parameters, Tcb};
use crate::agenda::Task;
use crate::stack::Stack;
use crate::wire::ip::{IPV4_HEADER_BYTES, IPV6_HEADER_BYTES, is_host};
use crate::wire::segment;

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
        let tcb = Tcb::open(self.parameters(&flow), self.now);
        let mut connection = Connection::new(flow, tcb, Stage::Opening, self.now);
        connection.owner = Owner::Application;
        connection.peer_timeout = Patience::new(Some(self.limits.peer_timeout));
        let id = self.table.insert(connection).ok_or(ConnectError::OutOfMemory)?;
        self.agenda.make_ready(Task::Tcp(id.slot));
        Ok(id)
    }

    fn choose_flow(
        &mut self,
        remote: SocketAddr,
        local: Option<SocketAddr>,
    ) -> Result<Flow, ConnectError> {
        let destination = remote.ip();
        let is_broadcast =
            matches!(destination, IpAddr::V4(address) if self.routes.is_broadcast(address));
        let is_peer = is_host(destination)
            && remote.port() != 0
            && !self.routes.is_own(destination)
            && !is_broadcast;
        if !is_peer {
            return Err(ConnectError::NotUsable(remote));
        }
        let (source, port) = self.choose_source(destination, local)?;
        self.routes.next_hop(destination).ok_or(ConnectError::NoRoute(remote))?;
        let flow = |port| Flow { local: SocketAddr::new(source, port), remote };
        if port == 0 {
            return self.free_port(flow).ok_or(ConnectError::NoPortLeft);
        }
        let flow = flow(port);
        match self.table.find(&flow) {
            Some(_) => Err(ConnectError::InUse(flow.local)),
            None => Ok(flow),
        }
    }

    fn choose_source(
        &self,
        destination: IpAddr,
        local: Option<SocketAddr>,
    ) -> Result<(IpAddr, u16), ConnectError> {
        let port = local.map_or(0, |local| local.port());
        let wanted = local.map(|local| local.ip()).filter(|source| !source.is_unspecified());
        let own = self.routes.source_for(destination).ok_or(ConnectError::NoAddress)?;
        match wanted {
            None => Ok((own, port)),
            Some(source) if source.is_ipv4() != destination.is_ipv4() => {
                Err(ConnectError::NotUsable(SocketAddr::new(source, port)))
            }
            Some(source) if self.routes.is_own(source) => Ok((source, port)),
            Some(source) if self.serves(source) && is_host(source) => Ok((source, port)),
            Some(_) => Err(ConnectError::NoAddress),
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

    /// What a new connection of this flow begins with.
    pub(crate) fn parameters(&self, flow: &Flow) -> Parameters {
        let ip_header_bytes = match flow.local {
            SocketAddr::V4(_) => IPV4_HEADER_BYTES,
            SocketAddr::V6(_) => IPV6_HEADER_BYTES,
        };
        let mtu = self.mtu(flow.local.is_ipv6());
        let mss = (mtu - ip_header_bytes - segment::HEADER_BYTES) as u32;
        let burst_bytes = match self.offload {
            // Room for the headers at their largest in the largest packet.
            true => (u16::MAX as usize - ip_header_bytes - segment::HEADER_BYTES_MAX) as u32,
            false => 0,
        };
        let [ports, a, b, c, d] = flow.words();
        // RFC 6528: a secret of the flow, and a clock that adds a number every four microseconds.
        let secret = self.secret_of(&[2, ports, a, b, c, d]);
        let clock = (self.now.total_micros() / 4) as u32;
        Parameters {
            initial: Seq((secret as u32).wrapping_add(clock)),
            timestamp_offset: (secret >> 32) as u32,
            mss,
            burst_bytes,
            send_bytes_max: self.limits.send_buffer_bytes as u32,
            receive_bytes_max: self.limits.receive_buffer_bytes as u32,
        }
    }
}
