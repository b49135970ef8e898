//! Addresses without a server: hosts on a wire with a router that the test plays, and with others who
//! have what they want.

use std::net::{IpAddr, Ipv6Addr};

use netstack::{Config, Duration, Stack};

use crate::packets::{Ends, fill_checksum, frame, open};
use crate::sim::{Faults, Net, mac_of};
use crate::transfer::{exchange, patient_limits};

const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ROUTER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xfe];
const STRANGER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xdd];
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
const NETWORK: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 0);
const NAME_SERVER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53);

fn message(mac: [u8; 6], source: Ipv6Addr, mut message: Vec<u8>) -> Vec<u8> {
    let ends: Ends = (source.into(), ALL_NODES.into());
    fill_checksum(ends, ICMPV6, &mut message, 2);
    frame((mac, ALL_NODES_MAC), ends, ICMPV6, &message)
}

/// A router advertisement with a network for addresses, an MTU and a name server.
fn advertisement(lifetime_s: u16, mtu: u32) -> Vec<u8> {
    let router = "fe80::fe".parse().unwrap();
    let [high, low] = lifetime_s.to_be_bytes();
    let mut bytes = vec![134, 0, 0, 0, 64, 0, high, low, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1];
    bytes.extend(ROUTER_MAC);
    bytes.extend([5, 1, 0, 0]);
    bytes.extend(mtu.to_be_bytes());
    bytes.extend([3, 4, 64, 0xc0]);
    bytes.extend(7200u32.to_be_bytes());
    bytes.extend(3600u32.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(NETWORK.octets());
    bytes.extend([25, 3, 0, 0]);
    bytes.extend(600u32.to_be_bytes());
    bytes.extend(NAME_SERVER.octets());
    message(ROUTER_MAC, router, bytes)
}

/// Somebody says that an address is theirs.
fn claim(address: Ipv6Addr) -> Vec<u8> {
    let mut bytes = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
    bytes.extend(address.octets());
    bytes.extend([2, 1]);
    bytes.extend(STRANGER_MAC);
    message(STRANGER_MAC, address, bytes)
}

fn hosts(seed: u64) -> Net {
    let mut net = Net::new(seed, Faults::NONE);
    for host in 0..2 {
        let limits = patient_limits();
        let config = Config { limits, ..Config::new(mac_of(host), 1500, net.random.next()) };
        let mut stack = Stack::new(config, net.now).unwrap();
        stack.start_autoconfiguration(net.now, seed);
        net.hosts.push(stack);
    }
    net.record = Some(Vec::new());
    net
}

/// The targets of the solicitations that ask whether an address is free.
fn probed(net: &mut Net) -> Vec<Ipv6Addr> {
    let sent = net.record.replace(Vec::new()).unwrap();
    let targets = sent.iter().filter_map(|sent| {
        let (ends, protocol, payload) = open(sent)?;
        let is_probe = protocol == ICMPV6
            && payload[0] == SOLICITATION
            && ends.0 == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        is_probe.then(|| <[u8; 16]>::try_from(&payload[8..24]).unwrap().into())
    });
    targets.collect()
}

fn hear(net: &mut Net, host: usize, frame: &[u8]) {
    let now = net.now;
    net.hosts[host].receive(now, frame);
}

fn address_in_network(net: &Net, host: usize) -> Option<Ipv6Addr> {
    let mut all = net.hosts[host].ipv6();
    all.find_map(|(it, len)| {
        (len == 64 && it.segments()[..4] == NETWORK.segments()[..4]).then_some(it)
    })
}

#[test]
fn hosts_of_a_router_find_addresses_and_each_other() {
    for seed in 0..20 {
        let mut net = hosts(seed);
        net.run_for(Duration::from_millis(10));
        (0..2).for_each(|host| hear(&mut net, host, &advertisement(1800, 1400)));
        net.run_for(Duration::from_secs(5));
        let [own, other] = [0, 1].map(|host| address_in_network(&net, host).unwrap());
        assert_ne!(own, other);
        assert_eq!(net.hosts[0].ipv6_dns_servers().collect::<Vec<_>>(), [NAME_SERVER]);
        net.server = other.into();
        net.faults = Faults::ROUGH;
        net.record = Some(Vec::new());
        exchange(&mut net, seed, 20_000);
        let longest = net.record.unwrap().iter().map(Vec::len).max();
        assert_eq!(longest, Some(14 + 1400), "the router's MTU");
    }
}

/// Every address that the stack is about to take is somebody's, for a while.
#[test]
fn an_address_that_somebody_has_is_not_taken() {
    let mut net = hosts(5);
    net.run_for(Duration::from_millis(10));
    hear(&mut net, 0, &advertisement(1800, 1500));
    net.hosts.truncate(1);
    let mut taken = Vec::new();
    for _ in 0..2 {
        net.run_for(Duration::from_millis(10));
        for target in probed(&mut net) {
            hear(&mut net, 0, &claim(target));
            taken.push(target);
        }
    }
    assert!(taken.len() >= 2, "{taken:?}");
    net.run_for(Duration::from_secs(20));
    assert!(net.hosts[0].counters().addresses_duplicate >= 2);
    let own: Vec<_> = net.hosts[0].ipv6().map(|(address, _)| address).collect();
    assert!(own.iter().all(|address| !taken.contains(address)), "{own:?} {taken:?}");
    assert!(address_in_network(&net, 0).is_some(), "another one was found");
}

/// Nobody else gets an address by asking, and none is lost to a claim once it is in use.
#[test]
fn an_address_in_use_is_defended() {
    let mut net = hosts(6);
    net.run_for(Duration::from_millis(10));
    hear(&mut net, 0, &advertisement(1800, 1500));
    net.run_for(Duration::from_secs(5));
    let own = address_in_network(&net, 0).unwrap();
    hear(&mut net, 0, &claim(own));
    net.run_for(Duration::from_secs(5));
    assert_eq!(address_in_network(&net, 0), Some(own));
    // The router goes, and with time so does the network.
    hear(&mut net, 0, &advertisement(0, 1500));
    net.run_for(Duration::from_secs(8000));
    assert_eq!(address_in_network(&net, 0), None);
}
