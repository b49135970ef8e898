//! The addresses that a host makes for itself. It holds no state.

use core::net::Ipv6Addr;

use crate::siphash::HashKey;

/// Groups of all nodes and all routers on the wire (RFC 4291, 2.7.1).
pub(crate) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
pub(crate) const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// The first half of link-local addresses.
pub(super) const LINK_LOCAL: u64 = 0xfe80 << 48;

/// Identifiers that are taken for others (RFC 5453; the registry that it founded).
const RESERVED: [core::ops::RangeInclusive<u64>; 3] = [
    0..=0,
    0x0200_5eff_fe00_0000..=0x0200_5eff_feff_ffff,
    0xfdff_ffff_ffff_ff80..=0xfdff_ffff_ffff_ffff,
];

/// The group in which a host with this address is asked for (RFC 4291, 2.7.1).
pub(crate) fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let prefix = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0).to_bits();
    Ipv6Addr::from_bits(prefix | address.to_bits() & 0x00ff_ffff)
}

/// An address in the network with these first 64 bits, another one for each number of duplicates
/// that were found. Link-local ones have the Ethernet address in them (RFC 4291, appendix A) if
/// nobody else has it; all others are opaque and stay the same in a network as long as the key
/// does (RFC 7217).
pub(super) fn own_address(network: u64, mac: [u8; 6], duplicates: u8, key: &HashKey) -> Ipv6Addr {
    let identifier = if network == LINK_LOCAL && duplicates == 0 {
        eui64(mac)
    } else {
        opaque(network, mac, duplicates, key)
    };
    Ipv6Addr::from_bits(u128::from(network) << 64 | u128::from(identifier))
}

/// The link-local address of a host with this Ethernet address (RFC 4291, appendix A).
pub(crate) fn link_local(mac: [u8; 6]) -> Ipv6Addr {
    Ipv6Addr::from_bits(u128::from(LINK_LOCAL) << 64 | u128::from(eui64(mac)))
}

fn eui64([a, b, c, d, e, f]: [u8; 6]) -> u64 {
    u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

fn opaque(network: u64, mac: [u8; 6], duplicates: u8, key: &HashKey) -> u64 {
    let interface = eui64(mac);
    let mut identifiers =
        (0..8).map(|attempt| key.hash(&[network, interface, duplicates.into(), attempt]));
    let is_free = |it: &u64| !RESERVED.iter().any(|range| range.contains(it));
    identifiers.find(is_free).unwrap_or(interface)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

    #[test]
    fn link_local_addresses_have_the_mac_in_them() {
        let key = HashKey::from_seed(1);
        let address = own_address(LINK_LOCAL, MAC, 0, &key);
        assert_eq!(address, "fe80::5054:ff:fe12:3456".parse::<Ipv6Addr>().unwrap());
        assert_ne!(own_address(LINK_LOCAL, MAC, 1, &key), address);
    }

    #[test]
    fn others_are_stable_but_tell_nothing() {
        let (key, network) = (HashKey::from_seed(1), 0x2001_0db8_0000_0000);
        let address = own_address(network, MAC, 0, &key);
        assert_eq!(address, own_address(network, MAC, 0, &key));
        assert_eq!((address.to_bits() >> 64) as u64, network);
        assert_ne!(address.to_bits() as u64, eui64(MAC));
        let others = [
            own_address(network, MAC, 1, &key),
            own_address(network + 1, MAC, 0, &key),
            own_address(network, [2, 0, 0, 0, 0, 1], 0, &key),
            own_address(network, MAC, 0, &HashKey::from_seed(2)),
        ];
        assert!(others.iter().all(|other| other.to_bits() as u64 != address.to_bits() as u64));
    }

    #[test]
    fn the_solicited_node_group_has_the_last_three_bytes() {
        let address = "4037::01:800:200e:8c6c".parse().unwrap();
        assert_eq!(solicited_node(address), "ff02::1:ff0e:8c6c".parse::<Ipv6Addr>().unwrap());
    }
}
