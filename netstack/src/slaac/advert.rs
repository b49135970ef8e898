//! Router advertisements (RFC 4861, 4.2 and 6.1.2), with the options of RFC 8106. A message that
//! is malformed anywhere is refused as a whole; options that are unknown or too long are skipped.

use core::net::Ipv6Addr;

use smoltcp::wire::{
    Icmpv6Message, Icmpv6Packet, NdiscOption, NdiscOptionType, NdiscPrefixInfoFlags,
};

const RDNSS: NdiscOptionType = NdiscOptionType::Unknown(25);
/// A lifetime without end.
pub(super) const FOREVER: u32 = u32::MAX;

pub(super) struct Advert<'a> {
    /// In seconds; 0 if the sender is no default router.
    pub(super) router_lifetime: u16,
    options: &'a [u8],
}

/// What an option says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Info<'a> {
    SourceMac([u8; 6]),
    Prefix(PrefixInfo),
    Mtu(u32),
    DnsServers { lifetime: u32, servers: &'a [[u8; 16]] },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PrefixInfo {
    pub(super) network: Ipv6Addr,
    pub(super) len: u8,
    /// Hosts in it are on the wire.
    pub(super) on_link: bool,
    /// Hosts may make themselves addresses in it.
    pub(super) autonomous: bool,
    pub(super) valid: u32,
    pub(super) preferred: u32,
}

impl<'a> Advert<'a> {
    /// Reads an ICMPv6 message whose checksum was good.
    pub(super) fn parse(message: &'a [u8]) -> Option<Self> {
        let packet = Icmpv6Packet::new_checked(message).ok()?;
        if packet.msg_type() != Icmpv6Message::RouterAdvert || packet.msg_code() != 0 {
            return None;
        }
        let router_lifetime = packet.router_lifetime().secs() as u16;
        let mut rest = packet.payload();
        while !rest.is_empty() {
            (_, rest) = split_option(rest)?;
        }
        Some(Self { router_lifetime, options: packet.payload() })
    }

    pub(super) fn infos(&self) -> impl Iterator<Item = Info<'a>> {
        let mut rest = self.options;
        let options = core::iter::from_fn(move || {
            let (option, after) = split_option(rest)?;
            rest = after;
            Some(option)
        });
        options.filter_map(Info::parse)
    }
}

impl<'a> Info<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let option = NdiscOption::new_checked(bytes).ok()?;
        match (option.option_type(), bytes.len()) {
            (NdiscOptionType::SourceLinkLayerAddr, 8) => {
                Some(Self::SourceMac(bytes[2..].try_into().ok()?))
            }
            (NdiscOptionType::Mtu, 8) => Some(Self::Mtu(option.mtu())),
            (NdiscOptionType::PrefixInformation, 32) => Some(Self::Prefix(PrefixInfo {
                network: option.prefix(),
                len: option.prefix_len(),
                on_link: option.prefix_flags().contains(NdiscPrefixInfoFlags::ON_LINK),
                autonomous: option.prefix_flags().contains(NdiscPrefixInfoFlags::ADDRCONF),
                valid: option.valid_lifetime().secs() as u32,
                preferred: option.preferred_lifetime().secs() as u32,
            })),
            (RDNSS, _) => {
                let (_, data) = bytes.split_at_checked(4)?;
                let (lifetime, servers) = data.split_first_chunk()?;
                let (servers, _) = servers.as_chunks();
                Some(Self::DnsServers { lifetime: u32::from_be_bytes(*lifetime), servers })
            }
            _ => None,
        }
    }
}

/// The first option, with its header, and what comes behind it.
fn split_option(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = usize::from(*bytes.get(1)?) * 8;
    if len == 0 { None } else { bytes.split_at_checked(len) }
}
