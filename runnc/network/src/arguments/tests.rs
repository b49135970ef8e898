//! What guests are told of networks as engines make them.

use std::fs::File;

use super::*;
use crate::Route;

fn joined(addresses: &[&str], routes: &[&str]) -> Joined {
    let prefix = |text: &str| {
        let (address, len) = text.split_once('/').unwrap();
        (address.parse().unwrap(), len.parse().unwrap())
    };
    let route = |text: &str| {
        let (destination, gateway) = text.split_once(' ').unwrap_or((text, ""));
        Route { destination: prefix(destination), gateway: gateway.parse().ok() }
    };
    Joined {
        device: "service".into(),
        interface: Some("eth0".into()),
        is_up: true,
        tap: File::open("/dev/null").unwrap().into(),
        mac: [2, 0, 0, 0, 0xa, 1],
        mtu: 1450,
        addresses: addresses.iter().map(|text| prefix(text)).collect(),
        routes: routes.iter().map(|text| route(text)).collect(),
    }
}

fn told(joined: &Joined) -> String {
    arguments(joined, &[]).join(" ").replace(":service", "")
}

#[test]
fn a_bridge_network() {
    let joined = joined(&["10.88.0.5/16"], &["0.0.0.0/0 10.88.0.1"]);
    assert_eq!(told(&joined), "--ipv4=10.88.0.5/16 --ipv4-gateway=10.88.0.1 --ipv6=off");
    let servers = ["10.88.0.1".parse().unwrap(), "fd00::53".parse().unwrap()];
    let all = arguments(&joined, &servers);
    assert_eq!(all[3..], ["--dns:service=10.88.0.1", "--dns:service=fd00::53"]);
    assert_eq!(all[0], "--ipv4:service=10.88.0.5/16");
}

#[test]
fn calico_has_a_router_outside_of_its_single_address() {
    let routes = ["169.254.1.1/32", "0.0.0.0/0 169.254.1.1"];
    let calico = joined(&["10.244.3.7/32"], &routes);
    let expected =
        "--ipv4=10.244.3.7/32 --ipv4-gateway=169.254.1.1 --route=169.254.1.1/32 --ipv6=off";
    assert_eq!(told(&calico), expected);
    // As with the flag `onlink`, without the route to the router.
    let onlink = joined(&["10.244.3.7/32"], &routes[1..]);
    assert_eq!(told(&onlink), expected);
}

#[test]
fn both_protocols_and_several_addresses() {
    let joined = joined(
        &["10.0.0.2/24", "10.0.1.2/24", "2001:db8::2/64", "2001:db8:1::2/64"],
        &["0.0.0.0/0 10.0.0.1", "10.9.0.0/16 10.0.1.9", "::/0 fe80::1", "::/0 fe80::2"],
    );
    assert_eq!(
        told(&joined),
        "--ipv4=10.0.0.2/24,10.0.1.2/24 --ipv4-gateway=10.0.0.1 --route=10.9.0.0/16,10.0.1.9 \
         --ipv6=2001:db8::2/64,2001:db8:1::2/64 --ipv6-gateway=fe80::1 --route=::/0,fe80::2"
    );
}

#[test]
fn only_one_protocol_or_none() {
    assert_eq!(told(&joined(&["2001:db8::2/128"], &[])), "--ipv4=off --ipv6=2001:db8::2/128");
    assert_eq!(told(&joined(&[], &[])), "");
    let alone = Joined { interface: None, ..joined(&[], &[]) };
    assert_eq!(told(&alone), "--ipv4=off --ipv6=off");
    assert_eq!(
        told(&joined(&["10.0.0.2/32"], &["0.0.0.0/0"])),
        "--ipv4=10.0.0.2/32 --route=0.0.0.0/0 --ipv6=off"
    );
}

#[test]
fn words_are_replaced() {
    let joined = [joined(&["10.88.0.5/16"], &["0.0.0.0/0 10.88.0.1"])];
    let servers = ["9.9.9.9".parse().unwrap()];
    let expand = |text: &str| {
        let mut arguments = [text.to_owned()];
        expand(&mut arguments, &joined, &servers).map(|()| arguments[0].clone())
    };
    let line = "--ipv4=$(NABLA_IPV4) --gw=$(NABLA_IPV4_GATEWAY) $(NABLA_MAC),$(NABLA_DNS)";
    let expanded = "--ipv4=10.88.0.5/16 --gw=10.88.0.1 02:00:00:00:0a:01,9.9.9.9";
    assert_eq!(expand(line).as_deref(), Ok(expanded));
    assert_eq!(expand("$(NABLA_IPV4_service)").as_deref(), Ok("10.88.0.5/16"));
    assert_eq!(expand("$(NABLA_IPV4_GATEWAY_service)").as_deref(), Ok("10.88.0.1"));
    for same in ["$(HOME) $(NABLA_IPV4", "$NABLA_IPV4", "", "$(", "ü$(nabla_ipv4)"] {
        assert_eq!(expand(same).as_deref(), Ok(same));
    }
    for unknown in ["$(NABLA_IPV6)", "$(NABLA_)", "x$(NABLA_IPV4_other)y"] {
        let ExpandError::Unknown(word, known) = expand(unknown).unwrap_err();
        assert!(unknown.contains(&word) && known.contains("$(NABLA_IPV4)"), "{word}: {known}");
    }
}
