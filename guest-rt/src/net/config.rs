//! What the command line says of a network device: addresses, routes, name servers, and how long the
//! guest looks before it sleeps.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;
use core::time::Duration;

use super::Error;
use crate::args;

/// Addresses with the prefix lengths of their networks, at least one, and the router for everything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Static<A> {
    pub(crate) addresses: Vec<(A, u8)>,
    pub(crate) gateway: Option<A>,
}

/// Where addresses of one protocol come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source<A> {
    Off,
    /// From the network, DHCP for IPv4 and routers for IPv6, perhaps with a router of one's own.
    Network {
        gateway: Option<A>,
    },
    Static(Static<A>),
}

/// A destination network and the router for it; without one, its hosts are on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) network: IpAddr,
    pub(crate) prefix_len: u8,
    pub(crate) gateway: Option<IpAddr>,
}

/// The settings of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) ipv4: Source<Ipv4Addr>,
    pub(crate) ipv6: Source<Ipv6Addr>,
    pub(crate) routes: Vec<Route>,
    pub(crate) dns: Vec<IpAddr>,
}

impl Settings {
    /// Reads the settings of the device `name`. Those without a device's name are those of the
    /// `only` device; those with it go before them.
    pub(crate) fn parse(command_line: &str, name: &str, only: bool) -> Result<Self, Error> {
        let words = Words { command_line, name, only };
        let ipv4_gateway = words.address("--ipv4-gateway", "10.0.0.1")?;
        let ipv6_gateway = words.address("--ipv6-gateway", "fe80::1")?;
        Ok(Self {
            ipv4: words.source("--ipv4", "dhcp", "10.0.0.2/24", ipv4_gateway)?,
            ipv6: words.source("--ipv6", "auto", "2001:db8::2/64", ipv6_gateway)?,
            routes: words.routes()?,
            dns: words.dns()?,
        })
    }
}

struct Words<'a> {
    command_line: &'a str,
    name: &'a str,
    only: bool,
}

impl Words<'_> {
    /// The values of an option for the device, in order, those that name the device last.
    fn all(&self, option: &str) -> Vec<String> {
        let unnamed =
            if self.only { args::values(self.command_line, option) } else { args::values("", "") };
        let named = format!("{option}:{}", self.name);
        unnamed.chain(args::values(self.command_line, &named)).map(String::from).collect()
    }

    fn last(&self, option: &str) -> Option<String> {
        self.all(option).pop()
    }

    fn address<A: FromStr>(&self, option: &str, example: &str) -> Result<Option<A>, Error> {
        let Some(text) = self.last(option) else { return Ok(None) };
        let malformed = || format!("{option}={text} is no address such as {example}");
        text.parse().map(Some).map_err(|_| Error::Config(malformed()))
    }

    fn source<A: FromStr + Into<IpAddr> + Copy>(
        &self,
        option: &str,
        network: &str,
        example: &str,
        gateway: Option<A>,
    ) -> Result<Source<A>, Error> {
        match self.last(option).as_deref() {
            Some("off") if gateway.is_some() => {
                Err(Error::Config(format!("{option}-gateway has no use with {option}=off")))
            }
            Some("off") => Ok(Source::Off),
            None if network == "dhcp" && gateway.is_some() => {
                Err(Error::Config(format!("{option}-gateway needs {option}=ADDRESS/LENGTH")))
            }
            None => Ok(Source::Network { gateway }),
            Some(text) if text == network => Ok(Source::Network { gateway }),
            Some(text) => {
                let malformed = || {
                    let forms =
                        format!("nor several with commas between, nor `{network}` nor `off`");
                    Error::Config(format!(
                        "{option}={text} is no address with a prefix length such as {example}, {forms}"
                    ))
                };
                let addresses: Option<Vec<_>> = text.split(',').map(prefix::<A>).collect();
                let addresses = addresses.ok_or_else(malformed)?;
                Ok(Source::Static(Static { addresses, gateway }))
            }
        }
    }

    fn routes(&self) -> Result<Vec<Route>, Error> {
        let parse = |text: String| {
            let malformed = || {
                let example = "10.1.0.0/16,10.0.0.9";
                Error::Config(format!(
                    "--route={text} is no network and router such as {example}, nor a network alone \
                     whose hosts are on the wire"
                ))
            };
            let (network, gateway) = match text.split_once(',') {
                Some((network, gateway)) => {
                    (network, Some(gateway.parse::<IpAddr>().map_err(|_| malformed())?))
                }
                None => (text.as_str(), None),
            };
            let (network, prefix_len) = prefix::<IpAddr>(network).ok_or_else(malformed)?;
            if gateway.is_some_and(|gateway| gateway.is_ipv4() != network.is_ipv4()) {
                return Err(malformed());
            }
            Ok(Route { network, prefix_len, gateway })
        };
        self.all("--route").into_iter().map(parse).collect()
    }

    fn dns(&self) -> Result<Vec<IpAddr>, Error> {
        let parse = |text: String| {
            text.parse().map_err(|_| {
                Error::Config(format!(
                    "--dns={text} is no address of a name server such as 9.9.9.9"
                ))
            })
        };
        self.all("--dns").into_iter().map(parse).collect()
    }
}

/// Reads `ADDRESS/LENGTH`.
fn prefix<A: FromStr + Into<IpAddr> + Copy>(text: &str) -> Option<(A, u8)> {
    let (address, length) = text.split_once('/')?;
    let address: A = address.parse().ok()?;
    let bits = if address.into().is_ipv4() { 32 } else { 128 };
    Some((address, length.parse().ok().filter(|len| *len <= bits)?))
}

/// Chooses the IPv6 addresses in the networks that routers tell of (RFC 7217). It is the same at each
/// start, as addresses should be, and so it comes from the Ethernet address and the device's name:
/// who knows both can tell the addresses. FNV-1a, 64 bits.
pub(crate) fn address_secret(mac: [u8; 6], name: &str) -> u64 {
    mac.iter().chain(name.as_bytes()).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(command_line: &str) -> Result<Settings, Error> {
        Settings::parse(command_line, "service", true)
    }

    #[test]
    fn without_a_word_the_network_is_asked() {
        let settings = parse("--port=80 index.html").unwrap();
        assert_eq!(settings.ipv4, Source::Network { gateway: None });
        assert_eq!(settings.ipv6, Source::Network { gateway: None });
        assert!(settings.routes.is_empty() && settings.dns.is_empty());
    }

    #[test]
    fn addresses_are_read_with_prefix_and_gateway() {
        let settings = parse(
            "--ipv4=10.0.0.2/24 --ipv4-gateway=10.0.0.1 --ipv6=2001:db8::2/64 --ipv6-gateway=fe80::1 \
             --route=10.1.0.0/16,10.0.0.9 --route=2001:db8:1::/48,fe80::9 --dns=10.0.0.1 --dns=::2",
        );
        let settings = settings.unwrap();
        let ipv4 = Static {
            addresses: [("10.0.0.2".parse().unwrap(), 24)].into(),
            gateway: "10.0.0.1".parse().ok(),
        };
        assert_eq!(settings.ipv4, Source::Static(ipv4));
        let ipv6 = Static {
            addresses: [("2001:db8::2".parse().unwrap(), 64)].into(),
            gateway: "fe80::1".parse().ok(),
        };
        assert_eq!(settings.ipv6, Source::Static(ipv6));
        let lens: Vec<u8> = settings.routes.iter().map(|route| route.prefix_len).collect();
        assert_eq!(lens, [16, 48]);
        assert_eq!(settings.dns, ["10.0.0.1".parse::<IpAddr>().unwrap(), "::2".parse().unwrap()]);
    }

    #[test]
    fn several_addresses_and_routes_without_a_router_are_read() {
        let line =
            "--ipv4=10.0.0.9/8 --ipv4=10.0.0.2/24,10.0.1.2/32 --route=169.254.1.1/32 --route=::/0";
        let settings = parse(line).unwrap();
        let Source::Static(ipv4) = settings.ipv4 else { panic!("no addresses") };
        let two = [([10, 0, 0, 2].into(), 24), ([10, 0, 1, 2].into(), 32)];
        assert_eq!((ipv4.addresses, ipv4.gateway), (two.to_vec(), None));
        let told: Vec<_> = settings.routes.iter().map(|it| (it.prefix_len, it.gateway)).collect();
        assert_eq!(told, [(32, None), (0, None)]);
    }

    #[test]
    fn a_named_setting_goes_before_one_for_all_and_is_no_other_devices() {
        let line =
            "--ipv6:service=off --ipv6=auto --ipv4:other=10.0.0.2/24 --dns=::1 --dns:service=::2";
        let settings = parse(line).unwrap();
        assert_eq!((settings.ipv6, settings.dns.len()), (Source::Off, 2));
        assert_eq!(settings.ipv4, Source::Network { gateway: None });
        let one_of_two = Settings::parse(line, "service", false).unwrap();
        assert_eq!(one_of_two.dns, ["::2".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn the_secret_is_the_same_each_time_and_another_for_each_device() {
        let secret = address_secret([2, 0, 0, 0, 0, 1], "service");
        assert_eq!(secret, address_secret([2, 0, 0, 0, 0, 1], "service"));
        assert_ne!(secret, address_secret([2, 0, 0, 0, 0, 2], "service"));
        assert_ne!(secret, address_secret([2, 0, 0, 0, 0, 1], "storage"));
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
        for words in [
            "--ipv4=10.0.0.2",
            "--ipv4=10.0.0/24",
            "--ipv4=10.0.0.2/33",
            "--ipv4=auto",
            "--ipv4=::1/64",
            "--ipv4=10.0.0.2/24,",
            "--ipv4=10.0.0.2/24,dhcp",
            "--ipv4=10.0.0.2/24,10.0.0.3",
            "--ipv4=10.0.0.2/24 --ipv4-gateway=router",
            "--ipv4-gateway=10.0.0.1",
            "--ipv6=2001:db8::2",
            "--ipv6=2001:db8::2/129",
            "--ipv6=off --ipv6-gateway=fe80::1",
            "--ipv6-gateway=10.0.0.1",
            "--route=10.1.0.0",
            "--route=10.1.0.0/16,",
            "--route=10.1.0.0/16,10.0.0.1,10.0.0.2",
            "--route=10.1.0.0,10.0.0.1",
            "--route=10.1.0.0/16,fe80::1",
            "--dns=resolver",
        ] {
            let Err(Error::Config(text)) = parse(words) else {
                panic!("{words} was taken");
            };
            let option = words.split_whitespace().next_back().unwrap().split('=').next().unwrap();
            assert!(text.contains(option), "{words}: {text}");
        }
    }
}
