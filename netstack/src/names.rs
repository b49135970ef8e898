//! Names of hosts: the stack's side of `resolver`. The servers are those that the owner, DHCP or
//! routers told of.

use core::net::{IpAddr, SocketAddr};
use core::task::Waker;

use smoltcp::time::Instant;

use crate::agenda::Task;
use crate::egress::Way;
use crate::resolver::{Answer, Kind, Outgoing, QUERY_BYTES_MAX, QueryId, ResolveError};
use crate::stack::Stack;
use crate::udp::{Route, push_datagram};

const SERVER_PORT: u16 = 53;
const SERVERS_MAX: usize = 4;

impl Stack {
    /// Asks for the addresses of a host. [`Stack::query_result`] has the answer later; each query
    /// must be ended by taking it, or by [`Stack::cancel_query`].
    ///
    /// # Errors
    /// If it cannot even be asked.
    pub fn query(&mut self, now: Instant, name: &str, kind: Kind) -> Result<QueryId, ResolveError> {
        self.set_now(now);
        self.renew_servers();
        let id = self.resolver.query(self.now, name, kind)?;
        self.agenda.make_ready(Task::Resolver);
        Ok(id)
    }

    /// The answer, once: `None` as long as there is none.
    pub fn query_result(&mut self, id: QueryId) -> Option<Result<Answer, ResolveError>> {
        self.resolver.result(id)
    }

    /// Wakes once when there is a result.
    pub fn register_query_waker(&mut self, id: QueryId, waker: &Waker) {
        self.resolver.register_waker(id, waker);
    }

    /// Ends a query whose answer nobody wants any more.
    pub fn cancel_query(&mut self, id: QueryId) {
        self.resolver.cancel(id);
    }

    /// Servers for name resolution, which go before those that the network tells of. The first four
    /// of all count.
    pub fn set_dns_servers(&mut self, servers: impl IntoIterator<Item = IpAddr>) {
        self.own_servers.clear();
        for server in servers.into_iter().take(SERVERS_MAX) {
            if self.own_servers.try_reserve(1).is_ok() {
                self.own_servers.push(server);
            }
        }
        self.renew_servers();
    }

    /// The servers for name resolution, the preferred one first.
    pub fn dns_servers(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let own = self.own_servers.iter().copied();
        let leased = self.lease().into_iter().flat_map(|lease| lease.dns.iter().copied());
        own.chain(leased.map(IpAddr::V4)).chain(self.ipv6_dns_servers().map(IpAddr::V6))
    }

    fn renew_servers(&mut self) {
        let mut servers = [None; SERVERS_MAX];
        for (place, server) in servers.iter_mut().zip(self.dns_servers()) {
            *place = Some(server);
        }
        self.resolver.set_servers(servers.into_iter().flatten());
    }

    pub(crate) fn run_resolver(&mut self) {
        let mut buffer = [0; QUERY_BYTES_MAX];
        while self.frames.has_room() {
            let udp = &self.udp;
            let outgoing =
                self.resolver.poll(self.now, &mut buffer, |port| udp.find(port).is_none());
            let Some(outgoing) = outgoing else { break };
            self.send_query(&outgoing, &buffer[..outgoing.bytes]);
        }
        self.agenda.set_deadline(Task::Resolver, self.resolver.deadline());
    }

    /// A query that finds no way now is as lost as one on the wire: it is sent again.
    fn send_query(&mut self, outgoing: &Outgoing, query: &[u8]) {
        let server = outgoing.server;
        let Some(own) = self.routes.source_for(server) else { return };
        let Way::To(mac) = self.way_to(Task::Resolver, server) else { return };
        let route = Route {
            macs: (self.mac, mac),
            source: (own, outgoing.local_port),
            destination: (server, SERVER_PORT),
        };
        push_datagram(&mut self.frames, self.offload, &route, (query, &[]));
    }

    pub(crate) fn deliver_to_resolver(&mut self, from: SocketAddr, port: u16, message: &[u8]) {
        self.resolver.receive(self.now, from, port, message);
        self.agenda.make_ready(Task::Resolver);
    }
}
