//! What a guest is told of its network: the SDK's options, or for other guests words in their own arguments.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::Joined;
use crate::settings::{bits, network};

/// The options of `guest-rt` for a device; they stand best before those of the user. Name servers are those of
/// [`name_servers`](crate::name_servers).
///
/// A device that is linked with nothing gets no addresses; an interface without any address is taken for one whose
/// network tells the guest itself, and it is told nothing.
pub fn arguments(joined: &Joined, name_servers: &[IpAddr]) -> Vec<String> {
    let name = &joined.device;
    if joined.interface.is_none() {
        return vec![format!("--ipv4:{name}=off"), format!("--ipv6:{name}=off")];
    }
    let mut arguments = Vec::new();
    if !joined.addresses.is_empty() {
        arguments.extend(family(joined, "--ipv4", IpAddr::is_ipv4));
        arguments.extend(family(joined, "--ipv6", IpAddr::is_ipv6));
    }
    arguments.extend(name_servers.iter().map(|server| format!("--dns:{name}={server}")));
    arguments
}

fn family(joined: &Joined, option: &str, is_its: fn(&IpAddr) -> bool) -> Vec<String> {
    let name = &joined.device;
    let addresses: Vec<String> = addresses(joined, is_its).map(cidr).collect();
    if addresses.is_empty() {
        return vec![format!("{option}:{name}=off")];
    }
    let mut arguments = vec![format!("{option}:{name}={}", addresses.join(","))];
    let default = gateway(joined, is_its);
    if let Some(gateway) = default {
        arguments.push(format!("{option}-gateway:{name}={gateway}"));
    }
    let mut is_told = default.is_none();
    for route in joined.routes.iter().filter(|route| is_its(&route.destination.0)) {
        if let Some(gateway) = route.gateway
            && !is_on_link(joined, gateway)
        {
            arguments.push(format!("--route:{name}={gateway}/{}", bits(gateway)));
        }
        let is_default = route.destination.1 == 0 && route.gateway == default;
        if is_default && !is_told {
            is_told = true;
            continue;
        }
        let gateway = route.gateway.map(|gateway| format!(",{gateway}")).unwrap_or_default();
        arguments.push(format!("--route:{name}={}{gateway}", cidr(route.destination)));
    }
    arguments
}

fn addresses(joined: &Joined, is_its: fn(&IpAddr) -> bool) -> impl Iterator<Item = (IpAddr, u8)> {
    joined.addresses.iter().copied().filter(move |(address, _)| is_its(address))
}

fn gateway(joined: &Joined, is_its: fn(&IpAddr) -> bool) -> Option<IpAddr> {
    let mut gateways = joined.routes.iter().filter(|route| route.destination.1 == 0);
    gateways.find_map(|route| route.gateway.filter(is_its))
}

/// Whether a guest knows of this router that it is on the link, by an address or a route.
fn is_on_link(joined: &Joined, gateway: IpAddr) -> bool {
    let on_link = joined.routes.iter().filter(|route| route.gateway.is_none());
    let is_link_local = matches!(gateway, IpAddr::V6(it) if it.is_unicast_link_local());
    let mut networks = joined.addresses.iter().copied().chain(on_link.map(|it| it.destination));
    is_link_local
        || networks.any(|(ip, len)| {
            ip.is_ipv4() == gateway.is_ipv4() && network(ip, len) == network(gateway, len)
        })
}

fn cidr((address, len): (IpAddr, u8)) -> String {
    format!("{address}/{len}")
}

/// Why a word for the network's settings stands for nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// There is no such setting.
    #[error("{0} stands for nothing here: the container's network has {1}")]
    Unknown(String, String),
}

/// Replaces words of the form `$(NABLA_...)` in a guest's arguments by what they stand for: of the first device, or
/// with `_NAME` at their end of the device `NAME`. Every other `$(...)` stays.
///
/// | word | |
/// |---|---|
/// | `$(NABLA_IPV4)`, `$(NABLA_IPV6)` | the first address with its prefix length, `10.88.0.5/16` |
/// | `$(NABLA_IPV4_GATEWAY)`, `$(NABLA_IPV6_GATEWAY)` | the router |
/// | `$(NABLA_MAC)` | the Ethernet address |
/// | `$(NABLA_MTU)` | in bytes |
/// | `$(NABLA_DNS)` | the first name server |
///
/// # Errors
/// If the network has no such thing: a guest without its address would only fail later.
pub fn expand(
    arguments: &mut [String],
    joined: &[Joined],
    name_servers: &[IpAddr],
) -> Result<(), ExpandError> {
    let words = words(joined, name_servers);
    for argument in arguments {
        *argument = expand_one(argument, &words)?;
    }
    Ok(())
}

fn expand_one(argument: &str, words: &BTreeMap<String, String>) -> Result<String, ExpandError> {
    const OPENING: &str = "$(NABLA_";
    let (mut expanded, mut rest) = (String::with_capacity(argument.len()), argument);
    while let Some(start) = rest.find(OPENING) {
        let (before, word) = rest.split_at(start);
        let Some(end) = word.find(')') else { break };
        let key = &word[OPENING.len()..end];
        let value = words.get(key).ok_or_else(|| {
            let known: Vec<&str> = words.keys().map(String::as_str).collect();
            ExpandError::Unknown(word[..=end].to_owned(), list(&known))
        })?;
        expanded.push_str(before);
        expanded.push_str(value);
        rest = &word[end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn list(known: &[&str]) -> String {
    match known {
        [] => "nothing".to_owned(),
        _ => known.iter().map(|key| format!("$(NABLA_{key})")).collect::<Vec<_>>().join(", "),
    }
}

fn words(joined: &[Joined], name_servers: &[IpAddr]) -> BTreeMap<String, String> {
    let mut words = BTreeMap::new();
    // The plain words come last, so that no device's name hides them.
    let named = joined.iter().map(|one| (one, format!("_{}", one.device)));
    for (one, suffix) in named.chain(joined.first().map(|first| (first, String::new()))) {
        let mut put = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                words.insert(format!("{key}{suffix}"), value);
            }
        };
        let families =
            [("IPV4", IpAddr::is_ipv4 as fn(&IpAddr) -> bool), ("IPV6", IpAddr::is_ipv6)];
        for (key, is_its) in families {
            put(key, addresses(one, is_its).next().map(cidr));
            put(&format!("{key}_GATEWAY"), gateway(one, is_its).map(|it| it.to_string()));
        }
        put("MAC", Some(one.mac.map(|byte| format!("{byte:02x}")).join(":")));
        put("MTU", Some(one.mtu.to_string()));
        put("DNS", name_servers.first().map(IpAddr::to_string));
    }
    words
}

#[cfg(test)]
mod tests;
