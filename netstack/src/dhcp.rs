//! DHCP (RFC 2131): the client's place in the stack. What it says and hears is in `client` and
//! `message`, what it may be given in `lease`. There is no DHCP server here.

use core::net::IpAddr;

use smoltcp::time::Instant;

mod client;
mod lease;
mod message;
#[cfg(test)]
mod tests;

pub(crate) use client::Client;
pub use lease::{DnsServers, Lease};

use client::{Event, Outgoing, Step};
use message::MESSAGE_BYTES;

use crate::address::checked_cidr;
use crate::agenda::Task;
use crate::egress::Way;
use crate::stack::Stack;
use crate::udp::{Route, push_datagram};

pub(crate) const SERVER_PORT: u16 = 67;
pub(crate) const CLIENT_PORT: u16 = 68;

impl Stack {
    /// Asks for an address on the wire, from now on and again before each lease ends. An IPv4
    /// address that the stack has is given up.
    pub fn start_dhcp(&mut self, now: Instant) {
        self.set_now(now);
        let seed = self.draw_secret();
        self.dhcp = Some(Client::new(self.mac, seed, self.now));
        self.apply_ipv4(None);
        self.agenda.make_ready(Task::Dhcp);
    }

    /// What the DHCP server gave, while it is valid.
    pub fn lease(&self) -> Option<&Lease> {
        self.dhcp.as_ref()?.lease()
    }

    pub(crate) fn deliver_to_dhcp(&mut self, message: &[u8]) {
        let event = self.dhcp.as_mut().and_then(|client| client.receive(self.now, message));
        match event {
            Some(Event::Configured(lease)) => self.apply_lease(&lease),
            Some(Event::Deconfigured) => self.apply_ipv4(None),
            None => {}
        }
        self.agenda.make_ready(Task::Dhcp);
    }

    pub(crate) fn run_dhcp(&mut self) {
        let mut buffer = [0; MESSAGE_BYTES];
        while self.frames.has_room() {
            let step = self.dhcp.as_mut().and_then(|client| client.poll(self.now, &mut buffer));
            match step {
                None => break,
                Some(Step::Deconfigured) => self.apply_ipv4(None),
                Some(Step::Send(outgoing)) => self.send_to_server(&outgoing, &buffer),
            }
        }
        let deadline = self.dhcp.as_ref().and_then(Client::deadline);
        self.agenda.set_deadline(Task::Dhcp, deadline);
    }

    /// A message that finds no way now is as lost as one on the wire: the client asks again.
    fn send_to_server(&mut self, outgoing: &Outgoing, message: &[u8]) {
        let destination = IpAddr::V4(outgoing.destination);
        let mac = match self.way_to(Task::Dhcp, destination) {
            Way::To(mac) => mac,
            Way::Unknown | Way::None => return,
        };
        let route = Route {
            macs: (self.mac, mac),
            source: (outgoing.source.into(), CLIENT_PORT),
            destination: (destination, SERVER_PORT),
        };
        push_datagram(&mut self.frames, self.offload, &route, (&message[..outgoing.bytes], &[]));
    }

    fn apply_lease(&mut self, lease: &Lease) {
        let cidr = checked_cidr(lease.address, lease.prefix_len).ok();
        self.ipv4_mtu = lease.mtu.map_or(usize::MAX, usize::from);
        self.apply_ipv4(cidr.map(|cidr| (cidr, lease.router)));
    }
}
