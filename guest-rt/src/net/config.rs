//! A device's address from the command line, and how long the guest looks before it sleeps.

use alloc::format;
use core::net::Ipv4Addr;
use core::time::Duration;

use super::Error;
use crate::args;

/// A static IPv4 configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StaticAddress {
    /// The device's address.
    pub(crate) address: Ipv4Addr,
    /// Length of the subnet's prefix in bits.
    pub(crate) prefix_len: u8,
    /// The router for everything beyond the subnet.
    pub(crate) gateway: Option<Ipv4Addr>,
}

/// The setting of the device, `None` for DHCP. Settings without a device's name are those of the
/// `only` device.
pub(crate) fn static_address(name: &str, only: bool) -> Result<Option<StaticAddress>, Error> {
    let find = |option: &str| {
        let unnamed = || if only { args::option(option) } else { None };
        args::option(&format!("{option}:{name}")).or_else(unnamed)
    };
    parse(find("--ipv4").as_deref(), find("--ipv4-gateway").as_deref())
}

/// How long to look for frames at most before sleeping, if nothing is said.
const PATIENCE: Duration = Duration::from_micros(50);
const PATIENCE_MAX_US: u64 = 10_000;

/// The setting `--spin`: how long to look for frames before sleeping, while waits are short.
pub(crate) fn patience() -> Result<Duration, Error> {
    parse_patience(args::option("--spin").as_deref())
}

fn parse_patience(text: Option<&str>) -> Result<Duration, Error> {
    let Some(text) = text else { return Ok(PATIENCE) };
    if text == "off" {
        return Ok(Duration::ZERO);
    }
    match text.parse() {
        Ok(microseconds @ 0..=PATIENCE_MAX_US) => Ok(Duration::from_micros(microseconds)),
        _ => Err(Error::Config(format!(
            "--spin={text} is neither `off` nor 0 to 10000 microseconds"
        ))),
    }
}

fn parse(address: Option<&str>, gateway: Option<&str>) -> Result<Option<StaticAddress>, Error> {
    let gateway = gateway
        .map(|text| {
            text.parse().map_err(|_| {
                Error::Config(format!("--ipv4-gateway={text} is no IPv4 address such as 10.0.0.1"))
            })
        })
        .transpose()?;
    let Some(text) = address else {
        return match gateway {
            None => Ok(None),
            Some(_) => Err(Error::Config("--ipv4-gateway needs --ipv4=ADDRESS/LENGTH".into())),
        };
    };
    let malformed = || {
        Error::Config(format!(
            "--ipv4={text} is no address with a prefix length such as 10.0.0.2/24"
        ))
    };
    let (address, length) = text.split_once('/').ok_or_else(malformed)?;
    let address = address.parse().map_err(|_| malformed())?;
    let prefix_len = length.parse().ok().filter(|len| *len <= 32).ok_or_else(malformed)?;
    Ok(Some(StaticAddress { address, prefix_len, gateway }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_prefix_and_gateway() {
        let setting = StaticAddress {
            address: Ipv4Addr::new(10, 0, 0, 2),
            prefix_len: 24,
            gateway: Some(Ipv4Addr::new(10, 0, 0, 1)),
        };
        assert_eq!(parse(Some("10.0.0.2/24"), Some("10.0.0.1")), Ok(Some(setting)));
        assert_eq!(parse(None, None), Ok(None));
    }

    #[test]
    fn patience_is_off_or_microseconds() {
        assert_eq!(parse_patience(None), Ok(PATIENCE));
        assert_eq!(parse_patience(Some("off")), Ok(Duration::ZERO));
        assert_eq!(parse_patience(Some("50")), Ok(Duration::from_micros(50)));
        for refused in ["", "on", "-1", "10001", "5us"] {
            let Err(Error::Config(text)) = parse_patience(Some(refused)) else {
                panic!("{refused} was taken");
            };
            assert!(text.starts_with("--spin="), "{text}");
        }
    }

    #[test]
    fn wrong_settings_are_named() {
        for (address, gateway) in [
            (Some("10.0.0.2"), None),
            (Some("10.0.0/24"), None),
            (Some("10.0.0.2/33"), None),
            (Some("10.0.0.2/24"), Some("router")),
            (None, Some("10.0.0.1")),
        ] {
            let Err(Error::Config(text)) = parse(address, gateway) else {
                panic!("{address:?} {gateway:?} was taken");
            };
            assert!(text.contains("--ipv4"), "{text}");
        }
    }
}
