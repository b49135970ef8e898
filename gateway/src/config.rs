//! What a gateway is made from: published ports, resolvers, limits. It reads the host's list of
//! resolvers and parses what a user types for `--publish`; it opens nothing else.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

/// Where the host lists its resolvers.
pub(crate) const RESOLV_CONF: &str = "/etc/resolv.conf";
const DNS_PORT: u16 = 53;
/// As many as the C library asks.
const RESOLVERS_MAX: usize = 3;
/// The loopback address: a port is published to others only when the user says so.
const PUBLISH_DEFAULT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// How to make a [`Gateway`](crate::Gateway).
#[derive(Clone, Debug)]
pub struct Config {
    /// TCP ports of the host that lead to the guest.
    pub publish: Vec<Publish>,
    /// The Ethernet address that the guest was given. Frames from any other are dropped. `None`
    /// takes the first that asks for a lease.
    pub guest_mac: Option<[u8; 6]>,
    /// The largest IP packet on the wire in bytes.
    pub mtu: u16,
    /// The resolvers that questions to the gateway's DNS address are forwarded to, in order.
    /// Empty means those that the host uses at [`Gateway::new`](crate::Gateway::new).
    pub dns: Vec<SocketAddr>,
    /// Whether the guest reaches the host's loopback services, at the gateway's address.
    pub allow_host_loopback: bool,
    /// For how long after its own start the gateway takes a guest's refusal of a published port's
    /// client for "not yet", and tries again.
    pub startup: Duration,
    /// TCP connections at most, in both directions together; each holds up to 128 KiB here, and what
    /// the kernel holds for a socket. It is lowered to what the limit of open files allows.
    pub connections_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            publish: Vec::new(),
            guest_mac: None,
            mtu: 1500,
            dns: Vec::new(),
            allow_host_loopback: false,
            startup: Duration::from_secs(10),
            connections_max: 4096,
        }
    }
}

/// A TCP port of the host that leads to a port of the guest.
///
/// Typed as `[ADDR:]HOST:GUEST[/tcp]`; without an address it is the host's loopback. An IPv6
/// address stands in brackets. Host port 0 means any free one, see
/// [`Gateway::published`](crate::Gateway::published).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Publish {
    /// Where the host listens.
    pub host: SocketAddr,
    /// The guest's port.
    pub guest_port: u16,
}

/// Why text is not a [`Publish`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Not two ports with a colon between.
    #[error("'{0}' is not [ADDR:]HOST:GUEST, for example 8080:80")]
    Form(String),
    /// A protocol that is not forwarded.
    #[error("'{0}' asks for '{1}', but only TCP ports can be published")]
    Protocol(String, String),
    /// Not an IP address.
    #[error("'{1}' in '{0}' is not an IP address; IPv6 addresses stand in brackets")]
    Address(String, String),
    /// Not a port.
    #[error("'{1}' in '{0}' is not a port")]
    Port(String, String),
}

impl FromStr for Publish {
    type Err = PublishError;

    fn from_str(text: &str) -> Result<Self, PublishError> {
        let whole = || text.to_owned();
        let (ends, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        if !protocol.eq_ignore_ascii_case("tcp") {
            return Err(PublishError::Protocol(whole(), protocol.to_owned()));
        }
        let port =
            |part: &str| parse_port(part).ok_or(PublishError::Port(whole(), part.to_owned()));

        let (host, guest) = ends.rsplit_once(':').ok_or(PublishError::Form(whole()))?;
        let guest_port = port(guest)?;
        if guest_port == 0 {
            return Err(PublishError::Port(whole(), guest.to_owned()));
        }
        let (address, host_port) = match host.rsplit_once(':') {
            None => (PUBLISH_DEFAULT, port(host)?),
            Some((address, host_port)) => {
                let parsed = parse_address(address)
                    .ok_or(PublishError::Address(whole(), address.to_owned()))?;
                (parsed, port(host_port)?)
            }
        };
        Ok(Self { host: SocketAddr::new(address, host_port), guest_port })
    }
}

/// Digits only: `u16::from_str` would take a sign as well.
fn parse_port(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn parse_address(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None => text.parse().ok().map(IpAddr::V4),
    }
}

/// The host's own resolvers. A host without a list, or with one that cannot be read, has none; the
/// guest's questions are then answered by a failure.
pub(crate) fn host_resolvers(path: &Path) -> Vec<SocketAddr> {
    std::fs::read_to_string(path).map_or_else(|_| Vec::new(), |text| parse_resolvers(&text))
}

/// The `nameserver` lines of resolv.conf(5). Addresses with a zone (`fe80::1%eth0`) are passed over.
fn parse_resolvers(text: &str) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let is_resolver = words.next() == Some("nameserver");
            words.next().filter(|_| is_resolver)?.parse::<IpAddr>().ok()
        })
        .map(|address| SocketAddr::new(address, DNS_PORT))
        .take(RESOLVERS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn publish(host: &str, guest_port: u16) -> Publish {
        Publish { host: host.parse().unwrap(), guest_port }
    }

    #[test]
    fn published_ports_are_read() {
        for (text, expected) in [
            ("8080:80", publish("127.0.0.1:8080", 80)),
            ("8080:80/tcp", publish("127.0.0.1:8080", 80)),
            ("0.0.0.0:8080:80/TCP", publish("0.0.0.0:8080", 80)),
            ("[::1]:0:65535", publish("[::1]:0", 65535)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn wrong_ports_are_refused_with_what_was_typed() {
        for (text, expected) in [
            ("80", "'80' is not [ADDR:]HOST:GUEST, for example 8080:80"),
            ("53:53/udp", "'53:53/udp' asks for 'udp', but only TCP ports can be published"),
            ("8080:0", "'0' in '8080:0' is not a port"),
            ("8080:+80", "'+80' in '8080:+80' is not a port"),
            ("65536:80", "'65536' in '65536:80' is not a port"),
            (
                "::1:80:80",
                "'::1' in '::1:80:80' is not an IP address; IPv6 addresses stand in brackets",
            ),
        ] {
            assert_eq!(text.parse::<Publish>().unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn resolvers_are_the_first_three_addresses() {
        let text = "# a comment\nsearch example.org\nnameserver 192.0.2.1\n nameserver ::1 # local\n\
                    nameserver fe80::1%eth0\nnameserver\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n";
        let expected = ["192.0.2.1:53", "[::1]:53", "192.0.2.2:53"];
        assert_eq!(parse_resolvers(text), expected.map(|address| address.parse().unwrap()));
        assert!(host_resolvers(Path::new("/nonexistent")).is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in ".{0,40}") {
            let _ = text.parse::<Publish>();
            prop_assert!(parse_resolvers(&text).len() <= RESOLVERS_MAX);
        }

        #[test]
        fn what_is_written_is_read(ip: [u8; 4], host: u16, guest in 1u16..) {
            let host = SocketAddr::from((ip, host));
            prop_assert_eq!(
                format!("{host}:{guest}").parse::<Publish>().unwrap(),
                Publish { host, guest_port: guest }
            );
        }
    }
}
