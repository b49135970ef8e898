//! A DHCP server with one lease: the guest's. Bytes of a request in, bytes of the reply out
//! (RFC 2131); it sends nothing itself. It knows no relays and no other address than the guest's.

use std::net::Ipv4Addr;

use smoltcp::wire::{DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr};

use crate::address::{DNS, GATEWAY, GUEST, NETMASK};

/// Nobody else ever gets the address, so there is no reason for a short one.
const LEASE_SECONDS: u32 = 7 * 24 * 60 * 60;
const BROADCAST_MAC: [u8; 6] = [0xff; 6];

/// Relays and old clients drop shorter messages (RFC 1542, 2.1).
const MESSAGE_BYTES_MIN: usize = 300;

/// Options that smoltcp does not write, or not with the mask before the router (RFC 2132, 3.3).
const OPTION_SUBNET_MASK: u8 = 1;
const OPTION_ROUTER: u8 = 3;
const OPTION_DNS: u8 = 6;
const OPTION_MTU: u8 = 26;
const OPTION_CLIENT_ID: u8 = 61;

/// The server.
pub(crate) struct Server {
    mtu: u16,
    leased_to: Option<[u8; 6]>,
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) message: Vec<u8>,
    pub(crate) mac: [u8; 6],
    pub(crate) address: Ipv4Addr,
    /// The client has the address from now on.
    pub(crate) leases: bool,
}

/// What the server has to say to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Offer,
    Lease,
    /// Options without a lease.
    Inform,
    Refuse,
}

impl Server {
    /// A server whose lease waits for `client`, or for the first that takes it.
    pub(crate) fn new(mtu: u16, client: Option<[u8; 6]>) -> Self {
        Self { mtu, leased_to: client }
    }

    /// The answer to a message from this Ethernet address, if it deserves one.
    pub(crate) fn answer(&mut self, mac: [u8; 6], message: &[u8]) -> Option<Reply> {
        let packet = DhcpPacket::new_checked(message).ok()?;
        let request = DhcpRepr::parse(&packet).ok()?;
        let is_relayed = !request.relay_agent_ip.is_unspecified();
        let is_client = self.leased_to.is_none_or(|client| client == mac);
        if request.client_hardware_address.0 != mac || is_relayed || !is_client {
            return None;
        }
        let verdict = judge(&request)?;
        if verdict == Verdict::Lease {
            self.leased_to = Some(mac);
        }
        let client_id = packet.options().find(|option| option.kind == OPTION_CLIENT_ID);
        let message = self.write(&request, verdict, client_id)?;
        let (mac, address) = way_back(&request, verdict);
        Some(Reply { message, mac, address, leases: verdict == Verdict::Lease })
    }

    fn write(
        &self,
        request: &DhcpRepr<'_>,
        verdict: Verdict,
        client_id: Option<DhcpOption<'_>>,
    ) -> Option<Vec<u8>> {
        let option = |kind, data| DhcpOption { kind, data };
        let (mask, router, dns) = (NETMASK.octets(), GATEWAY.octets(), DNS.octets());
        let mtu = self.mtu.to_be_bytes();
        let network = [
            option(OPTION_SUBNET_MASK, &mask[..]),
            option(OPTION_ROUTER, &router[..]),
            option(OPTION_DNS, &dns[..]),
            option(OPTION_MTU, &mtu[..]),
        ];
        let tells_network = verdict != Verdict::Refuse;
        let mut options = Vec::from(if tells_network { &network[..] } else { &[] });
        // RFC 6842: a client may know itself by nothing else.
        options.extend(client_id);

        let reply = DhcpRepr {
            message_type: match verdict {
                Verdict::Offer => DhcpMessageType::Offer,
                Verdict::Lease | Verdict::Inform => DhcpMessageType::Ack,
                Verdict::Refuse => DhcpMessageType::Nak,
            },
            your_ip: match verdict {
                Verdict::Offer | Verdict::Lease => GUEST,
                Verdict::Inform | Verdict::Refuse => Ipv4Addr::UNSPECIFIED,
            },
            lease_duration: matches!(verdict, Verdict::Offer | Verdict::Lease)
                .then_some(LEASE_SECONDS),
            additional_options: &options,
            ..blank_reply(request)
        };
        let mut message = vec![0; reply.buffer_len().max(MESSAGE_BYTES_MIN)];
        let mut packet = DhcpPacket::new_unchecked(&mut message[..]);
        reply.emit(&mut packet).ok()?;
        Some(message)
    }
}

/// What a client asks for, and whether it gets it; nothing if it asks somebody else.
fn judge(request: &DhcpRepr<'_>) -> Option<Verdict> {
    match request.message_type {
        DhcpMessageType::Discover => Some(Verdict::Offer),
        DhcpMessageType::Inform => Some(Verdict::Inform),
        DhcpMessageType::Request => {
            if request.server_identifier.is_some_and(|server| server != GATEWAY) {
                return None;
            }
            // A client that renews names its address in the header, any other in an option.
            let wanted = request.requested_ip.unwrap_or(request.client_ip);
            Some(if wanted == GUEST { Verdict::Lease } else { Verdict::Refuse })
        }
        _ => None,
    }
}

/// Where the reply goes (RFC 2131, 4.1).
fn way_back(request: &DhcpRepr<'_>, verdict: Verdict) -> ([u8; 6], Ipv4Addr) {
    let mac = request.client_hardware_address.0;
    if verdict == Verdict::Refuse {
        (BROADCAST_MAC, Ipv4Addr::BROADCAST)
    } else if request.client_ip == GUEST {
        (mac, GUEST)
    } else if request.broadcast || verdict == Verdict::Inform {
        (BROADCAST_MAC, Ipv4Addr::BROADCAST)
    } else {
        (mac, GUEST)
    }
}

fn blank_reply<'a>(request: &DhcpRepr<'_>) -> DhcpRepr<'a> {
    DhcpRepr {
        message_type: DhcpMessageType::Nak,
        transaction_id: request.transaction_id,
        secs: 0,
        client_hardware_address: request.client_hardware_address,
        client_ip: request.client_ip,
        your_ip: Ipv4Addr::UNSPECIFIED,
        server_ip: Ipv4Addr::UNSPECIFIED,
        router: None,
        subnet_mask: None,
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        broadcast: request.broadcast,
        requested_ip: None,
        client_identifier: None,
        server_identifier: Some(GATEWAY),
        parameter_request_list: None,
        dns_servers: None,
        max_size: None,
        lease_duration: None,
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    }
}

#[cfg(test)]
mod tests;
