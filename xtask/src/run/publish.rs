//! A published port: `[ADDRESS:]PORT:GUEST-PORT`.

use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::str::FromStr;

use anyhow::{Context, Error, Result, bail};

/// A TCP port of the host that leads to one of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Publish {
    /// Where the host listens.
    pub(crate) host: SocketAddr,
    /// The guest's port.
    pub(crate) guest_port: u16,
}

impl FromStr for Publish {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let (host, guest) = text.rsplit_once(':')?;
            let host = match host.contains(':') {
                true => host.parse().ok().filter(|host: &SocketAddr| host.port() > 0)?,
                false => SocketAddr::from((Ipv4Addr::LOCALHOST, port(host)?)),
            };
            Some(Self { host, guest_port: port(guest)? })
        };
        parse().with_context(|| {
            format!(
                "'{text}' is no port to publish; the form is [ADDRESS:]PORT:GUEST-PORT, 8080:80"
            )
        })
    }
}

fn port(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|port| is_number && *port > 0)
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.guest_port)
    }
}

impl Publish {
    /// Whether the host's port can be listened on, found out before anything is built.
    ///
    /// # Errors
    /// If not, with a port that can.
    pub(crate) fn check_is_free(&self) -> Result<()> {
        let (address, port) = (self.host.ip(), self.host.port());
        match TcpListener::bind(self.host).map_err(|error| (error.kind(), error)) {
            Ok(_) => Ok(()),
            Err((ErrorKind::AddrInUse, _)) => {
                bail!("port {port} of {address} is in use; another: -p {}", self.alternative())
            }
            Err((ErrorKind::PermissionDenied, _)) => {
                bail!("port {port} is kept for root; another: -p {}", self.alternative())
            }
            Err((_, error)) => {
                Err(error).with_context(|| format!("cannot listen on {}", self.host))
            }
        }
    }

    /// The same with a port that is free now, as one would type it.
    fn alternative(&self) -> String {
        let is_free = |host: &SocketAddr| TcpListener::bind(host).is_ok();
        let above = self.host.port().max(8079).saturating_add(1);
        let host = (above..=u16::MAX)
            .take(1000)
            .map(|port| SocketAddr::new(self.host.ip(), port))
            .find(is_free)
            .unwrap_or(self.host);
        match host.ip() == Ipv4Addr::LOCALHOST {
            true => format!("{}:{}", host.port(), self.guest_port),
            false => format!("{host}:{}", self.guest_port),
        }
    }

    /// The address to reach the host's port at from this machine.
    pub(crate) fn reachable(&self) -> SocketAddr {
        let own: IpAddr = match self.host.ip() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
            address => address,
        };
        SocketAddr::new(own, self.host.port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(text: &str) -> Publish {
        text.parse().unwrap()
    }

    #[test]
    fn ports_are_read_with_and_without_address() {
        assert_eq!(publish("8080:80").to_string(), "127.0.0.1:8080:80");
        assert_eq!(publish("0.0.0.0:1:65535").to_string(), "0.0.0.0:1:65535");
        assert_eq!(publish("[::1]:1:2").to_string(), "[::1]:1:2");
        assert_eq!(publish("[::]:1:2").reachable().to_string(), "[::1]:1");
        assert_eq!(publish("0.0.0.0:1:2").reachable().to_string(), "127.0.0.1:1");
    }

    #[test]
    fn other_texts_are_refused_with_the_text() {
        let wrong =
            ["", "80", ":80", "80:", "0:80", "80:0", "65536:80", "+1:80", "a:1:2", "::1:1:2"];
        for text in wrong.into_iter().chain([
            "127.0.0.1:80",
            "1.2.3.4:0:80",
            "localhost:8080:80",
            "8080:80/tcp",
        ]) {
            let error = text.parse::<Publish>().unwrap_err().to_string();
            assert!(error.contains(&format!("'{text}'")), "{error}");
        }
    }

    #[test]
    fn a_port_in_use_is_named_with_another() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = publish(&format!("{port}:80")).check_is_free().unwrap_err().to_string();
        assert!(error.contains(&format!("port {port} of 127.0.0.1 is in use")), "{error}");
        assert!(error.contains(":80"), "{error}");
    }
}
