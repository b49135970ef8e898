//! The name servers of a container's `resolv.conf`, which is the container's and may be anything.

use std::net::IpAddr;

/// Of a larger file the rest is not read.
const BYTES_MAX: usize = 64 << 10;
/// The C library asks three, and a guest of ours no more than eight.
const SERVERS_MAX: usize = 8;

/// The name servers of a `resolv.conf` (resolv.conf(5)) that others than this host can ask: addresses of the loopback
/// interface, which a guest does not share with anybody, and those of one link are left out.
pub fn name_servers(resolv_conf: &[u8]) -> Vec<IpAddr> {
    let bounded = &resolv_conf[..resolv_conf.len().min(BYTES_MAX)];
    let mut servers = Vec::new();
    for line in bounded.split(|byte| *byte == b'\n') {
        let Some(server) = str::from_utf8(line).ok().and_then(server_of) else { continue };
        if !servers.contains(&server) && servers.len() < SERVERS_MAX {
            servers.push(server);
        }
    }
    servers
}

fn server_of(line: &str) -> Option<IpAddr> {
    let mut words = line.split_ascii_whitespace();
    if words.next() != Some("nameserver") {
        return None;
    }
    let server: IpAddr = words.next()?.parse().ok()?;
    let is_usable = match server {
        IpAddr::V4(it) => !it.is_broadcast(),
        IpAddr::V6(it) => !it.is_unicast_link_local(),
    };
    let is_elsewhere = !server.is_loopback() && !server.is_unspecified() && !server.is_multicast();
    (is_usable && is_elsewhere).then_some(server)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn servers_are_read_as_the_c_library_does() {
        let text = b"# nameserver 1.1.1.1\n; x\nsearch a b\nnameserver 10.88.0.1\n\tnameserver\t9.9.9.9  # x\r\n\
            nameserver 10.88.0.1\nnameservers 8.8.8.8\nnameserver fe80::1%eth0\nnameserver fe80::1\nnameserver 127.0.0.11\n\
            nameserver ::1\nnameserver 0.0.0.0\nnameserver\nnameserver fd00::53\noptions ndots:5\n\xff\xfe\n";
        let expected: Vec<IpAddr> =
            ["10.88.0.1", "9.9.9.9", "fd00::53"].map(|ip| ip.parse().unwrap()).to_vec();
        assert_eq!(name_servers(text), expected);
        assert!(name_servers(b"").is_empty());
    }

    #[test]
    fn the_number_is_bounded() {
        let text: String = (0..100_000)
            .map(|n| format!("nameserver 10.0.{}.{}\n", n / 250 % 250, n % 250))
            .collect();
        assert_eq!(name_servers(text.as_bytes()).len(), SERVERS_MAX);
    }

    proptest! {
        #[test]
        fn any_bytes_are_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            prop_assert!(name_servers(&bytes).len() <= SERVERS_MAX);
        }
    }
}
