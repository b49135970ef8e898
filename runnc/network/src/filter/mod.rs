//! Traffic control of what comes in (tc(8), `linux/pkt_cls.h`): the qdisc `ingress`, and behind it filters of classic
//! BPF, in order of their preference. Some hand every frame to another interface, some judge frames.

pub(crate) mod program;

use nix::errno::Errno;

use crate::Error;
use crate::interface::Interface;
use crate::netlink::{Answer, Attributes, Message, Netlink, u32_at};
use program::{Instruction, MATCH_ALL};

/// `struct tcmsg`.
const TC_BYTES: usize = 20;
const TC_H_INGRESS: u32 = 0xffff_fff1;
const INGRESS_HANDLE: u32 = 0xffff_0000;
/// TC_H_CLSACT and TC_H_MIN_INGRESS: right for `ingress` and, should somebody have made that, `clsact`.
const INGRESS_FILTERS: u32 = 0xffff_fff2;
const HANDLE: u32 = 1;
/// ETH_P_ALL.
pub(crate) const ALL: u16 = 3;

const TCA_BPF_ACT: u16 = 1;
const TCA_BPF_OPS_LEN: u16 = 4;
const TCA_BPF_OPS: u16 = 5;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_FLAG_ACT_DIRECT: u32 = 1;
const TCA_ACT_KIND: u16 = 1;
const TCA_ACT_OPTIONS: u16 = 2;
const TCA_ACT_COOKIE: u16 = 6;
const TCA_MIRRED_PARMS: u16 = 2;
/// `struct tc_mirred`: index, capabilities, verdict, two counts; direction, interface.
const MIRRED_BYTES: usize = 28;
const TCA_EGRESS_REDIR: u32 = 1;
const TCA_EGRESS_MIRROR: u32 = 2;
const TC_ACT_UNSPEC: i32 = -1;
const TC_ACT_STOLEN: i32 = 4;

/// What is noted at an action, as large as the kernel allows: four letters, and whose it is.
const COOKIE_BYTES: usize = 16;
const COOKIE_MARK: [u8; 8] = *b"nabla\0\0\x01";

/// A filter of ours that hands frames to another interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// The lower, the earlier.
    pub(crate) preference: u16,
    /// The container that it is for: a hash.
    pub(crate) owner: u64,
    /// The number of the interface that frames go to; 0 if it is gone, and then they go nowhere.
    pub(crate) target: u32,
    /// Frames pass on to the next filter as well.
    pub(crate) copies: bool,
}

/// What stands behind the ingress qdisc of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filters {
    /// Ours, in order.
    pub(crate) links: Vec<Link>,
    /// Preferences of others' filters.
    pub(crate) others: Vec<u16>,
}

/// Gives an interface the qdisc, if it has none.
pub(crate) fn add_qdisc(netlink: &mut Netlink, on: &Interface) -> Result<(), Error> {
    let flags = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
    let fixed = fixed(on.index, INGRESS_HANDLE, TC_H_INGRESS, 0);
    let mut message = Message::new(libc::RTM_NEWQDISC, flags, &fixed);
    message.text(libc::TCA_KIND, "ingress");
    match netlink.change(message, &format!("add an ingress qdisc to {}", on.name)) {
        Err(Error::Refused { errno: Errno::EEXIST, .. }) => Ok(()),
        outcome => outcome.map_err(explain),
    }
}

/// Takes the qdisc away. One of another kind stays, as does an interface that is gone.
pub(crate) fn remove_qdisc(netlink: &mut Netlink, on: &Interface) -> Result<(), Error> {
    let fixed = fixed(on.index, INGRESS_HANDLE, TC_H_INGRESS, 0);
    let mut message = Message::new(libc::RTM_DELQDISC, 0, &fixed);
    message.text(libc::TCA_KIND, "ingress");
    match netlink.change(message, &format!("remove the ingress qdisc of {}", on.name)) {
        Err(Error::Refused { errno: Errno::ENOENT | Errno::EINVAL | Errno::ENODEV, .. }) => Ok(()),
        outcome => outcome,
    }
}

/// What there is on an interface; without a qdisc nothing.
pub(crate) fn list(netlink: &mut Netlink, on: &Interface) -> Result<Filters, Error> {
    let request = || Message::new(libc::RTM_GETTFILTER, 0, &fixed(on.index, 0, INGRESS_FILTERS, 0));
    let answers = netlink.dump(request, &format!("list the filters of {}", on.name))?;
    let mut filters = Filters::default();
    for answer in answers.iter().filter(|answer| answer.kind == libc::RTM_NEWTFILTER) {
        match parse(answer) {
            Some((_, Some(link))) => filters.links.push(link),
            Some((preference, None)) => filters.others.push(preference),
            // What belongs to all filters of a preference.
            None => {}
        }
    }
    filters.links.sort_by_key(|link| link.preference);
    Ok(filters)
}

fn parse(answer: &Answer) -> Option<(u16, Option<Link>)> {
    let preference = (u32_at(&answer.body, 16)? >> 16) as u16;
    let handle = u32_at(&answer.body, 8)?;
    let link = || {
        let options = Attributes::behind(&answer.body, TC_BYTES).find_nested(libc::TCA_OPTIONS)?;
        let (_, action) = options.find_nested(TCA_BPF_ACT)?.next()?;
        let action = Attributes(action);
        let (mark, owner) = action.find(TCA_ACT_COOKIE)?.split_first_chunk()?;
        if *mark != COOKIE_MARK {
            return None;
        }
        let mirred = action.find_nested(TCA_ACT_OPTIONS)?.find(TCA_MIRRED_PARMS)?;
        Some(Link {
            preference,
            owner: u64::from_be_bytes(owner.try_into().ok()?),
            target: u32_at(mirred, 24)?,
            copies: u32_at(mirred, 20)? == TCA_EGRESS_MIRROR,
        })
    };
    (handle != 0).then(|| (preference, link()))
}

/// Hands every frame that comes in to another interface, or copies of them. One of the same preference is replaced,
/// and no frame passes in between.
pub(crate) fn put_link(netlink: &mut Netlink, on: &Interface, link: &Link) -> Result<(), Error> {
    let (direction, verdict) = match link.copies {
        true => (TCA_EGRESS_MIRROR, TC_ACT_UNSPEC),
        false => (TCA_EGRESS_REDIR, TC_ACT_STOLEN),
    };
    let mut mirred = [0; MIRRED_BYTES];
    mirred[8..12].copy_from_slice(&verdict.to_ne_bytes());
    mirred[20..24].copy_from_slice(&direction.to_ne_bytes());
    mirred[24..28].copy_from_slice(&link.target.to_ne_bytes());
    let mut cookie = [0; COOKIE_BYTES];
    cookie[..8].copy_from_slice(&COOKIE_MARK);
    cookie[8..].copy_from_slice(&link.owner.to_be_bytes());
    put(netlink, on, (link.preference, ALL), &MATCH_ALL, |options| {
        options.nested(TCA_BPF_ACT, |actions| {
            actions.nested(1, |action| {
                action.text(TCA_ACT_KIND, "mirred").attribute(TCA_ACT_COOKIE, &cookie);
                action.nested(TCA_ACT_OPTIONS, |options| {
                    options.attribute(TCA_MIRRED_PARMS, &mirred);
                });
            });
        });
    })
}

/// Has a program judge what comes in with this EtherType: it returns what happens to a frame.
pub(crate) fn put_program(
    netlink: &mut Netlink,
    on: &Interface,
    preference: u16,
    protocol: u16,
    program: &[Instruction],
) -> Result<(), Error> {
    put(netlink, on, (preference, protocol), program, |options| {
        options.attribute(TCA_BPF_FLAGS, &TCA_BPF_FLAG_ACT_DIRECT.to_ne_bytes());
    })
}

fn put(
    netlink: &mut Netlink,
    on: &Interface,
    (preference, protocol): (u16, u16),
    program: &[Instruction],
    fill: impl FnOnce(&mut Message),
) -> Result<(), Error> {
    let fixed = fixed(on.index, HANDLE, INGRESS_FILTERS, info(preference, protocol));
    let mut message = Message::new(libc::RTM_NEWTFILTER, libc::NLM_F_CREATE as u16, &fixed);
    message.text(libc::TCA_KIND, "bpf").nested(libc::TCA_OPTIONS, |options| {
        options.attribute(TCA_BPF_OPS_LEN, &(program.len() as u16).to_ne_bytes());
        options.attribute(TCA_BPF_OPS, &program::to_bytes(program));
        fill(options);
    });
    netlink.change(message, &format!("add a filter to {}", on.name)).map_err(explain)
}

/// Removes all filters of a preference; if there are none, nothing.
pub(crate) fn remove(netlink: &mut Netlink, on: &Interface, preference: u16) -> Result<(), Error> {
    let fixed = fixed(on.index, 0, INGRESS_FILTERS, info(preference, 0));
    let message = Message::new(libc::RTM_DELTFILTER, 0, &fixed);
    match netlink.change(message, &format!("remove a filter of {}", on.name)) {
        Err(Error::Refused { errno: Errno::ENOENT | Errno::EINVAL | Errno::ENODEV, .. }) => Ok(()),
        outcome => outcome,
    }
}

/// The kernel says "no such file" of a qdisc, classifier or action that it has not.
fn explain(error: Error) -> Error {
    match error {
        Error::Refused { doing, errno: errno @ (Errno::ENOENT | Errno::EOPNOTSUPP), .. } => {
            Error::NoTrafficControl { doing, errno }
        }
        other => other,
    }
}

fn info(preference: u16, protocol: u16) -> u32 {
    u32::from(preference) << 16 | u32::from(protocol.to_be())
}

fn fixed(interface: u32, handle: u32, parent: u32, info: u32) -> [u8; TC_BYTES] {
    let mut fixed = [0; TC_BYTES];
    for (place, value) in fixed[4..].chunks_exact_mut(4).zip([interface, handle, parent, info]) {
        place.copy_from_slice(&value.to_ne_bytes());
    }
    fixed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_answer_is_no_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&Answer { kind: libc::RTM_NEWTFILTER, body });
        }
    }

    #[test]
    fn the_fixed_part_has_its_places() {
        let fixed = fixed(0x0102_0304, 5, 6, 7);
        assert_eq!(u32_at(&fixed, 4), Some(0x0102_0304));
        assert_eq!((u32_at(&fixed, 8), u32_at(&fixed, 12)), (Some(5), Some(6)));
        assert_eq!(u32_at(&fixed, 16), Some(7));
        assert_eq!(info(7, 0x0800), 0x0007_0008);
    }
}
