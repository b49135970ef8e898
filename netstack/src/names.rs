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
        // A server's Ethernet address may be known now.
        self.resolver.retry_unsent(self.now);
        while self.frames.has_room() {
            let udp = &self.udp;
            let outgoing =
                self.resolver.poll(self.now, &mut buffer, |port| udp.find(port).is_none());
            let Some(outgoing) = outgoing else { break };
            self.send_query(&outgoing, &buffer[..outgoing.bytes]);
        }
        self.agenda.set_deadline(Task::Resolver, self.resolver.deadline());
    }

    /// A query to a server whose Ethernet address is not known yet waits for that. One that finds no
    /// way at all is as lost as one on the wire: it is sent again.
    fn send_query(&mut self, outgoing: &Outgoing, query: &[u8]) {
        let server = outgoing.server;
        let Some(own) = self.routes.source_for(server) else { return };
        let mac = match self.way_to(Task::Resolver, server) {
            Way::To(mac) => mac,
            Way::Unknown => return self.resolver.note_unsent(outgoing),
            Way::None => return,
        };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use smoltcp::time::Duration;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

    /// The ARP answer of 10.0.0.1.
    fn answer() -> std::vec::Vec<u8> {
        let server = [2, 0, 0, 0, 0, 9];
        let kind = [0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 2];
        let ends = [&server[..], &[10, 0, 0, 1], &MAC, &[10, 0, 0, 2]];
        [&MAC[..], &server, &kind, &ends.concat()].concat()
    }

    fn sent(stack: &mut Stack, now: Instant) -> std::vec::Vec<std::vec::Vec<u8>> {
        stack.poll(now);
        let mut frames = std::vec::Vec::new();
        while let Some(frame) = stack.front_frame() {
            frames.push(frame.to_vec());
            stack.pop_frame();
        }
        frames
    }

    #[test]
    fn a_query_goes_out_as_soon_as_its_server_can_be_reached() {
        let mut now = Instant::ZERO;
        let mut stack = Stack::new(Config::new(MAC, 1500, 1), now).unwrap();
        stack.set_ipv4([10, 0, 0, 2].into(), 24, None).unwrap();
        stack.set_dns_servers(["10.0.0.1".parse().unwrap()]);
        let id = stack.query(now, "host.example", Kind::A).unwrap();
        // Whatever else makes the resolver look, no attempt is lost to a server that nobody knows yet.
        for _ in 0..5 {
            let is_question = |frame: &std::vec::Vec<u8>| frame[12..14] == [0x08, 0x06];
            assert!(sent(&mut stack, now).iter().all(is_question));
            stack.agenda.make_ready(Task::Resolver);
        }
        now += Duration::from_millis(1);
        stack.receive(now, &answer());
        let frames = sent(&mut stack, now);
        assert!(frames.iter().any(|frame| frame[12..14] == [0x08, 0] && frame[36..38] == [0, 53]));
        assert!(stack.query_result(id).is_none());
        for _ in 0..4 {
            now += Duration::from_secs(2);
            sent(&mut stack, now);
        }
        assert_eq!(stack.query_result(id), Some(Err(ResolveError::TimedOut)));
    }
}
