//! The namespace's interfaces, and what is changed of a TAP by netlink.

use nix::errno::Errno;

use crate::Error;
use crate::netlink::{Answer, Attributes, Message, Netlink, u32_at};

/// `struct ifinfomsg` (`linux/rtnetlink.h`).
const INFO_BYTES: usize = 16;
const IFLA_EXT_MASK: u16 = 29;
const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const IN6_ADDR_GEN_MODE_NONE: u8 = 1;

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) is_up: bool,
    pub(crate) mtu: u32,
    /// If it is an Ethernet interface.
    pub(crate) mac: Option<[u8; 6]>,
}

/// All interfaces, in order of their numbers.
pub(crate) fn all(netlink: &mut Netlink) -> Result<Vec<Interface>, Error> {
    let request = || {
        let mut message = Message::new(libc::RTM_GETLINK, 0, &info(0, 0));
        message.attribute(IFLA_EXT_MASK, &RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
        message
    };
    let doing = "list the network interfaces";
    let answers = netlink.dump(request, doing)?;
    let mut all = answers
        .iter()
        .filter(|answer| answer.kind == libc::RTM_NEWLINK)
        .map(parse)
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| Error::Answer(doing.to_owned()))?;
    all.sort_by_key(|interface| interface.index);
    Ok(all)
}

fn parse(answer: &Answer) -> Option<Interface> {
    let attributes = Attributes::behind(&answer.body, INFO_BYTES);
    let kind = u16::from_ne_bytes([*answer.body.get(2)?, *answer.body.get(3)?]);
    let flags = u32_at(&answer.body, 8)?;
    let mac = || attributes.find(libc::IFLA_ADDRESS)?.try_into().ok();
    Some(Interface {
        index: u32_at(&answer.body, 4)?,
        name: attributes.find_text(libc::IFLA_IFNAME)?.to_owned(),
        is_up: flags & libc::IFF_UP as u32 != 0,
        mtu: attributes.find_u32(libc::IFLA_MTU)?,
        mac: (kind == libc::ARPHRD_ETHER).then(mac).flatten(),
    })
}

/// Sets a TAP's MTU in bytes and its alias, and that the kernel gives it no IPv6 address: nothing of the kernel's own
/// is to reach the guest.
pub(crate) fn prepare(
    netlink: &mut Netlink,
    index: u32,
    mtu: u32,
    alias: &str,
) -> Result<(), Error> {
    let mut message = Message::new(libc::RTM_NEWLINK, 0, &info(index, 0));
    message.attribute(libc::IFLA_MTU, &mtu.to_ne_bytes()).text(libc::IFLA_IFALIAS, alias);
    netlink.change(message, &format!("give a TAP the MTU {mtu}"))?;
    let mut message = Message::new(libc::RTM_NEWLINK, 0, &info(index, 0));
    message.nested(libc::IFLA_AF_SPEC, |families| {
        families.nested(libc::AF_INET6 as u16, |inet6| {
            inet6.attribute(IFLA_INET6_ADDR_GEN_MODE, &[IN6_ADDR_GEN_MODE_NONE]);
        });
    });
    match netlink.change(message, "keep IPv6 addresses off a TAP") {
        // A kernel, or an interface, without IPv6.
        Err(Error::Refused { errno: Errno::EAFNOSUPPORT | Errno::EOPNOTSUPP, .. }) => Ok(()),
        outcome => outcome,
    }
}

pub(crate) fn set_up(netlink: &mut Netlink, index: u32) -> Result<(), Error> {
    let message = Message::new(libc::RTM_NEWLINK, 0, &info(index, libc::IFF_UP as u32));
    netlink.change(message, "set a TAP up")
}

/// Removes an interface; one that is not there is no error.
pub(crate) fn remove(netlink: &mut Netlink, interface: &Interface) -> Result<(), Error> {
    let message = Message::new(libc::RTM_DELLINK, 0, &info(interface.index, 0));
    match netlink.change(message, &format!("remove the interface {}", interface.name)) {
        Err(Error::Refused { errno: Errno::ENODEV, .. }) => Ok(()),
        outcome => outcome,
    }
}

/// The fixed part; the flags are set that are told, and no other changes.
fn info(index: u32, flags: u32) -> [u8; INFO_BYTES] {
    let mut info = [0; INFO_BYTES];
    info[4..8].copy_from_slice(&index.to_ne_bytes());
    info[8..12].copy_from_slice(&flags.to_ne_bytes());
    info[12..16].copy_from_slice(&flags.to_ne_bytes());
    info
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_no_ethernet() {
        let all = all(&mut Netlink::open().unwrap()).unwrap();
        let lo = all.iter().find(|interface| interface.name == "lo").unwrap();
        assert_eq!((lo.index, lo.mac), (1, None));
    }

    #[test]
    fn a_short_answer_is_no_interface() {
        for len in 0..INFO_BYTES + 4 {
            assert_eq!(parse(&Answer { kind: libc::RTM_NEWLINK, body: vec![0; len] }), None);
        }
    }
}
