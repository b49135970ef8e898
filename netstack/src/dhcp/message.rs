//! The messages between a DHCP client and its servers (RFC 2131, RFC 2132). Options that continue
//! in the fields for the file and the server's name (RFC 2132, 9.3) or come in several pieces
//! (RFC 3396) are not read.

use core::net::Ipv4Addr;

use smoltcp::time::Duration;
use smoltcp::wire::{
    ArpHardware, DhcpMessageType, DhcpOpCode, DhcpPacket, DhcpRepr, EthernetAddress,
};

use super::lease::Lease;
use crate::wire::ip::is_ipv4_host as is_host;

/// The size of each message of the client. It is what BOOTP had at least (RFC 1542, 2.1), which
/// some servers and relays still insist on.
pub(crate) const MESSAGE_BYTES: usize = 300;
/// The largest message that a client must take (RFC 2132, 9.10).
const REPLY_BYTES_MAX: u16 = 576;
const MAGIC: u32 = 0x6382_5363;

const SUBNET_MASK: u8 = 1;
const ROUTER: u8 = 3;
const DNS_SERVERS: u8 = 6;
const MTU: u8 = 26;
const LEASE_TIME: u8 = 51;
const MESSAGE_TYPE: u8 = 53;
const SERVER_IDENTIFIER: u8 = 54;
const RENEWAL_TIME: u8 = 58;
const REBINDING_TIME: u8 = 59;
const WANTED: [u8; 7] =
    [SUBNET_MASK, ROUTER, DNS_SERVERS, MTU, LEASE_TIME, RENEWAL_TIME, REBINDING_TIME];

const FOREVER: u32 = u32::MAX;
/// For a server that does not say: then it should be asked again soon.
const LEASE_TIME_DEFAULT: Duration = Duration::from_secs(120);

/// What the client says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) kind: DhcpMessageType,
    pub(super) mac: [u8; 6],
    pub(super) xid: u32,
    /// Since the client began to ask.
    pub(super) seconds: u16,
    /// The own address, if it has one.
    pub(super) own: Option<Ipv4Addr>,
    pub(super) requested: Option<Ipv4Addr>,
    pub(super) server: Option<Ipv4Addr>,
}

impl Request {
    /// Writes [`MESSAGE_BYTES`], or nothing if the buffer is smaller.
    pub(super) fn write(&self, buffer: &mut [u8]) -> Option<usize> {
        let buffer = buffer.get_mut(..MESSAGE_BYTES)?;
        buffer.fill(0);
        let repr = DhcpRepr {
            message_type: self.kind,
            transaction_id: self.xid,
            secs: self.seconds,
            client_hardware_address: EthernetAddress(self.mac),
            client_ip: self.own.unwrap_or(Ipv4Addr::UNSPECIFIED),
            your_ip: Ipv4Addr::UNSPECIFIED,
            server_ip: Ipv4Addr::UNSPECIFIED,
            router: None,
            subnet_mask: None,
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: false,
            requested_ip: self.requested,
            client_identifier: Some(EthernetAddress(self.mac)),
            server_identifier: self.server,
            parameter_request_list: Some(&WANTED),
            dns_servers: None,
            max_size: Some(REPLY_BYTES_MAX),
            lease_duration: None,
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        };
        repr.emit(&mut DhcpPacket::new_unchecked(buffer)).ok()?;
        Some(MESSAGE_BYTES)
    }
}

/// What a server says to this client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) kind: DhcpMessageType,
    pub(super) server: Ipv4Addr,
    /// `None` if it gives nothing that a host can use.
    pub(super) given: Option<(Lease, Terms)>,
}

/// How long a lease lasts, and when to ask for more of it; `None` if it lasts for ever.
pub(super) type Terms = Option<Times>;

/// From the request that was granted: `renew` < `rebind` < `expire`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) renew: Duration,
    pub(super) rebind: Duration,
    pub(super) expire: Duration,
}

impl Reply {
    /// Reads a message if it answers the client with this Ethernet address and transaction.
    pub(super) fn parse(message: &[u8], mac: [u8; 6], xid: u32) -> Option<Self> {
        let packet = DhcpPacket::new_checked(message).ok()?;
        let is_ethernet =
            packet.hardware_type() == ArpHardware::Ethernet && packet.hardware_len() == 6;
        if packet.opcode() != DhcpOpCode::Reply
            || packet.magic_number() != MAGIC
            || !is_ethernet
            || packet.client_hardware_address() != EthernetAddress(mac)
            || packet.transaction_id() != xid
        {
            return None;
        }
        let options = |kind: u8| packet.options().filter(move |option| option.kind == kind);
        let bytes = |kind: u8| options(kind).next().map(|option| option.data);
        let [kind] = *bytes(MESSAGE_TYPE)? else { return None };
        let kind = DhcpMessageType::from(kind);
        let server = addresses(bytes(SERVER_IDENTIFIER)).next().filter(|it| is_host(*it))?;

        let prefix_len = addresses(bytes(SUBNET_MASK)).next().and_then(prefix_len_of);
        let mtu = bytes(MTU).and_then(|mtu| Some(u16::from_be_bytes(mtu.try_into().ok()?)));
        let routers = addresses(bytes(ROUTER));
        let dns = addresses(bytes(DNS_SERVERS));
        let times = Times::from_seconds(
            seconds(bytes(LEASE_TIME)),
            seconds(bytes(RENEWAL_TIME)),
            seconds(bytes(REBINDING_TIME)),
        );
        let given = prefix_len
            .and_then(|len| Lease::checked(packet.your_ip(), len, routers, dns, mtu))
            .zip(times);
        Some(Self { kind, server, given })
    }
}

impl Times {
    /// RFC 2131, 4.4.5. `None` if the lease has ended already; a renewal or rebinding time out of
    /// order is replaced by what the RFC has for none.
    fn from_seconds(lease: Option<u32>, renew: Option<u32>, rebind: Option<u32>) -> Option<Terms> {
        let expire = match lease {
            Some(0) => return None,
            Some(FOREVER) => return Some(None),
            Some(seconds) => Duration::from_secs(seconds.into()),
            None => LEASE_TIME_DEFAULT,
        };
        let is_within = |time: &Duration| *time > Duration::ZERO && *time < expire;
        let given = |seconds: Option<u32>| {
            seconds.map(|seconds| Duration::from_secs(seconds.into())).filter(is_within)
        };
        let (renew, rebind) = match (given(renew), given(rebind)) {
            (Some(renew), Some(rebind)) if renew < rebind => (renew, rebind),
            (Some(renew), None) => (renew, renew + (expire - renew) * 3 / 4),
            (None, Some(rebind)) => ((expire / 2).min(rebind * 3 / 4), rebind),
            _ => (expire / 2, expire * 7 / 8),
        };
        Some(Some(Self { renew, rebind, expire }))
    }
}

fn addresses(option: Option<&[u8]>) -> impl Iterator<Item = Ipv4Addr> {
    let (chunks, _) = option.unwrap_or_default().as_chunks::<4>();
    chunks.iter().map(|octets| Ipv4Addr::from(*octets))
}

fn seconds(option: Option<&[u8]>) -> Option<u32> {
    Some(u32::from_be_bytes(option?.try_into().ok()?))
}

fn prefix_len_of(mask: Ipv4Addr) -> Option<u8> {
    let bits = mask.to_bits();
    (bits.leading_ones() + bits.trailing_zeros() == 32).then_some(bits.leading_ones() as u8)
}
