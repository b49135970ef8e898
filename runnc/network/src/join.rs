//! Joining and leaving.

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use crate::interface::{self, Interface};
use crate::netlink::Netlink;
use crate::settings::{self, Route};
use crate::{Error, links, lock, tap};

/// As many as a manifest has entries for, less the one that it begins with.
const DEVICES_MAX: usize = 63;
/// The kernel's TAPs end here: 65535 less an Ethernet header; and begin there.
const MTU_RANGE: (u32, u32) = (68, 65_521);
const MTU_ALONE: u32 = 1500;
/// The kernel takes 255 bytes.
const ALIAS_BYTES_MAX: usize = 200;

/// Who wants to join.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The container's id, any text. Two must not have the same in one namespace.
    pub container: &'a str,
    /// The unikernel's network devices.
    pub devices: &'a [Device<'a>],
}

/// A network device of a unikernel.
#[derive(Clone, Copy, Debug)]
pub struct Device<'a> {
    /// Its name in the manifest.
    pub name: &'a str,
    /// Its frames begin with virtio-net headers.
    pub headers: bool,
}

/// A network device with its TAP, and what the guest must know.
#[derive(Debug)]
pub struct Joined {
    /// The device's name.
    pub device: String,
    /// The interface that it is linked with. Without one, nothing goes in or out.
    pub interface: Option<String>,
    /// Whether the interface is up: one that is not carries nothing until somebody sets it up.
    pub is_up: bool,
    /// The TAP, which is there as long as a descriptor of it: not blocking, closed by `execve`.
    pub tap: OwnedFd,
    /// The guest's Ethernet address: the interface's.
    pub mac: [u8; 6],
    /// The largest packet in bytes.
    pub mtu: u16,
    /// The interface's addresses with the bits of their networks' prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
    /// The interface's routes that its addresses do not imply.
    pub routes: Vec<Route>,
}

/// Makes a TAP for each device and links it with an interface of this thread's network namespace: with the one of
/// the device's name, or else with the first that is left, in order of their numbers. Devices that find none
/// get a TAP that is linked with nothing.
///
/// Several containers may join one namespace, and then share its interfaces.
///
/// # Errors
/// If the kernel refuses something; then nothing is left behind. [`Error::Busy`] if this container has
/// joined and still runs.
pub fn join(request: &Request<'_>) -> Result<Vec<Joined>, Error> {
    if request.devices.len() > DEVICES_MAX {
        return Err(Error::TooManyDevices(request.devices.len()));
    }
    if request.devices.is_empty() {
        return Ok(Vec::new());
    }
    let _lock = lock::namespace()?;
    let mut netlink = Netlink::open()?;
    let all = interface::all(&mut netlink)?;
    if let Some(tap) = all.iter().find(|it| owner_in_name(&it.name) == Some(name_hash(request))) {
        return Err(Error::Busy(tap.name.clone()));
    }
    let (mut taps, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|interface| owner_in_name(&interface.name).is_some());
    let chosen = choose(request.devices, &others)?;
    let mut joined = Vec::new();
    for (position, device) in request.devices.iter().enumerate() {
        match join_one(&mut netlink, request, position, device, chosen[position], &mut taps) {
            Ok(one) => joined.push(one),
            Err(error) => {
                // What is wrong is told already.
                let _ = leave_in(&mut netlink, request.container);
                return Err(error);
            }
        }
    }
    Ok(joined)
}

/// Removes a container's filters from this thread's network namespace, and its TAPs if they are there still. Those of
/// other containers are made right, and what dead ones left is removed. If there is nothing, that is right.
///
/// # Errors
/// If the kernel refuses something.
pub fn leave(container: &str) -> Result<(), Error> {
    let _lock = lock::namespace()?;
    leave_in(&mut Netlink::open()?, container)
}

fn leave_in(netlink: &mut Netlink, container: &str) -> Result<(), Error> {
    let owner = hash(container);
    let all = interface::all(netlink)?;
    let (taps, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|interface| owner_in_name(&interface.name).is_some());
    // All are tried, whatever happens to one.
    let mut outcome = Ok(());
    for interface in &others {
        outcome = outcome.and(links::remove(netlink, interface, &taps, owner));
    }
    for tap in taps.iter().filter(|tap| owner_in_name(&tap.name) == Some(owner & NAME_MASK)) {
        outcome = outcome.and(interface::remove(netlink, tap));
    }
    outcome
}

fn join_one(
    netlink: &mut Netlink,
    request: &Request<'_>,
    position: usize,
    device: &Device<'_>,
    interface: Option<&Interface>,
    taps: &mut Vec<Interface>,
) -> Result<Joined, Error> {
    let name = tap_name(request, position);
    let mtu = interface.map_or(MTU_ALONE, |it| it.mtu).clamp(MTU_RANGE.0, MTU_RANGE.1);
    let fd = tap::make(&name, device.headers)?;
    let all = interface::all(netlink)?;
    let not_there = || Error::Answer(format!("make the TAP {name}"));
    let tap = all.into_iter().find(|it| it.name == name).ok_or_else(not_there)?;
    let tap_mac = tap.mac.ok_or_else(not_there)?;
    interface::prepare(netlink, tap.index, mtu, &alias(request.container, device.name))?;
    let (mut addresses, mut routes) = (Vec::new(), Vec::new());
    match interface {
        None => links::seal(netlink, &tap)?,
        Some(interface) => {
            addresses = settings::addresses(netlink, interface.index)?;
            routes = settings::routes(netlink, interface.index, &addresses)?;
            links::add(netlink, interface, &tap, taps, hash(request.container))?;
        }
    }
    taps.push(tap);
    Ok(Joined {
        device: device.name.to_owned(),
        interface: interface.map(|it| it.name.clone()),
        is_up: interface.is_none_or(|it| it.is_up),
        tap: fd,
        mac: interface.and_then(|it| it.mac).unwrap_or_else(|| neighbour_of(tap_mac)),
        mtu: mtu as u16,
        addresses,
        routes,
    })
}

/// The interface for each device.
fn choose<'a>(
    devices: &[Device<'_>],
    interfaces: &'a [Interface],
) -> Result<Vec<Option<&'a Interface>>, Error> {
    let named = devices.iter().map(|device| interfaces.iter().find(|it| it.name == device.name));
    let mut chosen: Vec<Option<&Interface>> = named.collect();
    if let Some(other) = chosen.iter().flatten().find(|it| it.mac.is_none()) {
        return Err(Error::NotEthernet(other.name.clone()));
    }
    let is_free = |it: &&Interface| it.mac.is_some() && !chosen.contains(&Some(*it));
    let free: Vec<&Interface> = interfaces.iter().filter(is_free).collect();
    let open = chosen.iter_mut().filter(|choice| choice.is_none());
    open.zip(free).for_each(|(choice, interface)| *choice = Some(interface));
    Ok(chosen)
}

/// Another address than this one: the TAP's own, which the kernel drew.
fn neighbour_of(mut mac: [u8; 6]) -> [u8; 6] {
    mac[5] ^= 1;
    mac
}

/// As much of a container's hash as is in the name of a TAP: 40 bits.
const NAME_MASK: u64 = (1 << 40) - 1;
const NAME_DIGITS: usize = 10;

fn name_hash(request: &Request<'_>) -> u64 {
    hash(request.container) & NAME_MASK
}

/// Fifteen letters at most, as Linux has it.
fn tap_name(request: &Request<'_>, position: usize) -> String {
    format!("nb{:010x}-{position}", name_hash(request))
}

/// Whose TAP it is, if it is one of ours.
fn owner_in_name(name: &str) -> Option<u64> {
    let (digits, position) = name.strip_prefix("nb")?.split_once('-')?;
    let is_hash = digits.len() == NAME_DIGITS
        && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_position = !position.is_empty() && position.bytes().all(|byte| byte.is_ascii_digit());
    (is_hash && is_position).then(|| u64::from_str_radix(digits, 16).ok())?
}

/// What `ip link` shows to people.
fn alias(container: &str, device: &str) -> String {
    let mut alias = format!("unikernel {container}, device {device}");
    alias.truncate(alias.floor_char_boundary(ALIAS_BYTES_MAX));
    alias.retain(|letter| !letter.is_control());
    alias
}

/// FNV-1a of 64 bits. Whoever names containers may do all to them, so it need not resist anybody.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(index: u32, name: &str, is_ethernet: bool) -> Interface {
        let mac = is_ethernet.then_some([2; 6]);
        Interface { index, name: name.to_owned(), is_up: true, mtu: 1500, mac }
    }

    fn devices<'a>(names: &[&'a str]) -> Vec<Device<'a>> {
        names.iter().map(|name| Device { name, headers: false }).collect()
    }

    #[test]
    fn equal_names_go_before_the_order() {
        let all = [
            interface(1, "lo", false),
            interface(2, "eth0", true),
            interface(3, "tunl0", false),
            interface(4, "eth1", true),
        ];
        let names = |wanted: &[&str]| -> Vec<Option<String>> {
            let chosen = choose(&devices(wanted), &all).unwrap();
            chosen.into_iter().map(|it| it.map(|it| it.name.clone())).collect()
        };
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(names(&["service"]), [some("eth0")]);
        assert_eq!(names(&["a", "eth0", "b"]), [some("eth1"), some("eth0"), None]);
        assert_eq!(names(&["eth1", "x"]), [some("eth1"), some("eth0")]);
        assert!(matches!(choose(&devices(&["lo"]), &all), Err(Error::NotEthernet(_))));
        assert_eq!(choose(&devices(&["a"]), &all[..1]).unwrap(), [None]);
    }

    #[test]
    fn the_name_tells_the_owner() {
        for container in ["", "c1", &"x".repeat(5000)] {
            let request = Request { container, devices: &[] };
            let name = tap_name(&request, DEVICES_MAX - 1);
            assert!(name.len() < tap::NAME_BYTES_MAX, "{name}");
            assert_eq!(owner_in_name(&name), Some(hash(container) & NAME_MASK));
        }
        for other in ["nb0", "nb0123456789", "nb0123456789-", "nb012345678x-0", "eth0", "nb-1"] {
            assert_eq!(owner_in_name(other), None, "{other}");
        }
    }

    #[test]
    fn the_alias_is_short_text() {
        assert_eq!(alias("c\n1", "service"), "unikernel c1, device service");
        assert!(alias(&"ü".repeat(3000), "x").len() <= ALIAS_BYTES_MAX);
    }
}
