//! The DHCP client: smoltcp's, in a set of its own. It checks what the server gave before it is
//! applied, since smoltcp would panic on some of it. There is no DHCP server here.

use core::net::Ipv4Addr;
use core::ops::Deref;

use smoltcp::socket::dhcpv4;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::Ipv4Cidr;

use crate::address::{checked_cidr, is_gateway};
use crate::agenda::Task;
use crate::egress::{STALL, emit};
use crate::ingress::ingest;
use crate::stack::Stack;
use crate::wire::lone::Lone;
use crate::wire::port::Outcome;

/// smoltcp would wait ten seconds; a guest whose wire comes up late should not.
const DISCOVER_PERIOD: Duration = Duration::from_secs(2);
const FIRST_REQUEST_PERIOD: Duration = Duration::from_secs(1);
/// As many as smoltcp reads from a server's answer.
const DNS_SERVERS_MAX: usize = 3;

/// What a DHCP server gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The own address.
    pub address: Ipv4Addr,
    /// The length of the network's prefix in bits.
    pub prefix_len: u8,
    /// The router, if it is in the own network.
    pub router: Option<Ipv4Addr>,
    /// The servers for name resolution, the preferred one first.
    pub dns: DnsServers,
}

/// A few addresses of servers for name resolution: a slice that needs no heap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsServers {
    servers: [Ipv4Addr; DNS_SERVERS_MAX],
    len: usize,
}

impl FromIterator<Ipv4Addr> for DnsServers {
    /// Keeps the first three.
    fn from_iter<I: IntoIterator<Item = Ipv4Addr>>(addresses: I) -> Self {
        let mut servers = [Ipv4Addr::UNSPECIFIED; DNS_SERVERS_MAX];
        let mut len = 0;
        for (place, address) in servers.iter_mut().zip(addresses) {
            *place = address;
            len += 1;
        }
        Self { servers, len }
    }
}

impl Deref for DnsServers {
    type Target = [Ipv4Addr];

    fn deref(&self) -> &[Ipv4Addr] {
        &self.servers[..self.len]
    }
}

pub(crate) struct Dhcp {
    socket: Lone<dhcpv4::Socket<'static>>,
    lease: Option<Lease>,
}

impl Stack {
    /// Asks for an address on the wire, from now on and again before each lease ends. An address
    /// that the stack has is given up. Without memory for the socket, nothing happens.
    pub fn start_dhcp(&mut self, now: Instant) {
        self.set_now(now);
        let mut socket = dhcpv4::Socket::new();
        let mut retry = socket.get_retry_config();
        retry.discover_timeout = DISCOVER_PERIOD;
        retry.initial_request_timeout = FIRST_REQUEST_PERIOD;
        socket.set_retry_config(retry);
        self.dhcp = Lone::new(socket).ok().map(|socket| Dhcp { socket, lease: None });
        self.apply_address(None);
        self.agenda.make_ready(Task::Dhcp);
    }

    /// What the DHCP server gave, while it is valid.
    pub fn lease(&self) -> Option<&Lease> {
        self.dhcp.as_ref()?.lease.as_ref()
    }

    pub(crate) fn deliver_to_dhcp(&mut self, frame: &[u8]) {
        let Some(dhcp) = &mut self.dhcp else { return };
        let set = dhcp.socket.set_mut();
        let outcome = ingest(self.now, &mut self.interface, &mut self.frames, self.mtu, frame, set);
        self.note_answer(outcome);
        self.settle_dhcp(false);
    }

    pub(crate) fn run_dhcp(&mut self) {
        let Some(dhcp) = &mut self.dhcp else { return };
        let server = dhcp.lease.as_ref().and_then(|lease| lease.router);
        let set = dhcp.socket.set_mut();
        let outcome = emit(self.now, &mut self.interface, &mut self.frames, self.mtu, set);
        let outcome = self.note_emission(Task::Dhcp, outcome, server);
        self.settle_dhcp(outcome == Outcome::Idle);
    }

    fn settle_dhcp(&mut self, stalled: bool) {
        let Some(dhcp) = &mut self.dhcp else { return };
        let address = match dhcp.socket.socket_mut().poll() {
            None => None,
            Some(dhcpv4::Event::Deconfigured) => {
                dhcp.lease = None;
                Some(None)
            }
            Some(dhcpv4::Event::Configured(config)) => {
                let checked = check_lease(&config);
                dhcp.lease = checked.as_ref().map(|(lease, _)| lease.clone());
                Some(checked.map(|(lease, cidr)| (cidr, lease.router)))
            }
        };
        let due = self.interface.poll_at(self.now, dhcp.socket.set());
        if let Some(address) = address {
            self.apply_address(address);
        }
        match due {
            Some(due) if due <= self.now && !stalled => self.agenda.make_ready(Task::Dhcp),
            due => self.agenda.set_deadline(Task::Dhcp, due.map(|due| due.max(self.now + STALL))),
        }
    }
}

/// A server may give anything; only an address that a host can have is taken, and only a router
/// that such a host can reach.
fn check_lease(config: &dhcpv4::Config<'_>) -> Option<(Lease, Ipv4Cidr)> {
    let (address, prefix_len) = (config.address.address(), config.address.prefix_len());
    let cidr = checked_cidr(address, prefix_len).ok()?;
    let router = config.router.filter(|router| is_gateway(&cidr, *router));
    let dns = config.dns_servers.iter().copied().collect();
    Some((Lease { address, prefix_len, router, dns }, cidr))
}
