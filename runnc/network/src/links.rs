//! Whose filters stand behind an interface, and in which order they change, so that no guest loses frames and the
//! host's own stack gets none of theirs.
//!
//! Each guest has one filter. The last one takes the frames away, those before it copy them. A new
//! guest's copies, before the others; when the last goes, the one before it is first made to take frames away.

use std::ops::RangeInclusive;

use crate::Error;
use crate::filter::program::{DROP_ALL, DROP_IPV4_ANSWERS, DROP_IPV6_ANSWERS};
use crate::filter::{self, Filters, Link};
use crate::interface::{self, Interface};
use crate::netlink::Netlink;

/// Filters of ours on interfaces: behind those of others that were made with a preference by hand, and before those whose
/// preference the kernel chose.
const PREFERENCES: RangeInclusive<u16> = 0xa000..=0xb000;
/// On TAPs, which have no filters but ours.
const ANSWERS_IPV4: u16 = 1;
const ANSWERS_IPV6: u16 = 2;
const LINK: u16 = 3;

/// The guests behind an interface whose TAPs are there still.
fn alive(filters: &Filters, taps: &[Interface]) -> Vec<Link> {
    let is_there = |link: &&Link| taps.iter().any(|tap| tap.index == link.target);
    filters.links.iter().filter(is_there).copied().collect()
}

/// Links a new TAP with an interface, and sets it up in between: nothing that a guest sends reaches the host's stack, and
/// nothing is sent to a TAP that is down. `taps` are all others of ours in the namespace.
pub(crate) fn add(
    netlink: &mut Netlink,
    interface: &Interface,
    tap: &Interface,
    taps: &[Interface],
    owner: u64,
) -> Result<(), Error> {
    filter::add_qdisc(netlink, tap)?;
    filter::add_qdisc(netlink, interface)?;
    let filters = filter::list(netlink, interface)?;
    let mut links = alive(&filters, taps);
    if !links.is_empty() {
        drop_answers(netlink, tap)?;
        for other in taps.iter().filter(|tap| links.iter().any(|link| link.target == tap.index)) {
            drop_answers(netlink, other)?;
        }
    }
    let out = Link { preference: LINK, owner, target: interface.index, copies: false };
    filter::put_link(netlink, tap, &out)?;
    interface::set_up(netlink, tap.index)?;
    let (preference, copies) =
        place(&filters, &links).ok_or_else(|| Error::TooManyGuests(interface.name.clone()))?;
    let new = Link { preference, owner, target: tap.index, copies };
    filter::put_link(netlink, interface, &new)?;
    links.push(new);
    settle(netlink, interface, &filters, links)
}

/// Lets nothing out of a new TAP that is linked with no interface, and sets it up.
pub(crate) fn seal(netlink: &mut Netlink, tap: &Interface) -> Result<(), Error> {
    filter::add_qdisc(netlink, tap)?;
    filter::put_program(netlink, tap, LINK, filter::ALL, &DROP_ALL)?;
    interface::set_up(netlink, tap.index)
}

/// Takes away an owner's filters on an interface, and those whose TAPs are gone.
pub(crate) fn remove(
    netlink: &mut Netlink,
    interface: &Interface,
    taps: &[Interface],
    owner: u64,
) -> Result<(), Error> {
    let filters = filter::list(netlink, interface)?;
    if filters.links.is_empty() {
        return Ok(());
    }
    let mut links = alive(&filters, taps);
    links.retain(|link| link.owner != owner);
    let alone = match links[..] {
        [link] => taps.iter().find(|tap| tap.index == link.target),
        _ => None,
    };
    let is_unused = links.is_empty() && filters.others.is_empty();
    settle(netlink, interface, &filters, links)?;
    if let Some(tap) = alone {
        filter::remove(netlink, tap, ANSWERS_IPV4)?;
        filter::remove(netlink, tap, ANSWERS_IPV6)?;
    }
    if is_unused { filter::remove_qdisc(netlink, interface) } else { Ok(()) }
}

/// Has only the last one of `links` take frames away, and then removes what else is there of ours.
fn settle(
    netlink: &mut Netlink,
    interface: &Interface,
    filters: &Filters,
    links: Vec<Link>,
) -> Result<(), Error> {
    for link in changes(&links) {
        filter::put_link(netlink, interface, &link)?;
    }
    let is_gone = |link: &&Link| links.iter().all(|kept| kept.preference != link.preference);
    filters
        .links
        .iter()
        .filter(is_gone)
        .try_for_each(|link| filter::remove(netlink, interface, link.preference))
}

fn drop_answers(netlink: &mut Netlink, tap: &Interface) -> Result<(), Error> {
    let ethertypes = [libc::ETH_P_IP, libc::ETH_P_IPV6].map(|ethertype| ethertype as u16);
    filter::put_program(netlink, tap, ANSWERS_IPV4, ethertypes[0], &DROP_IPV4_ANSWERS)?;
    filter::put_program(netlink, tap, ANSWERS_IPV6, ethertypes[1], &DROP_IPV6_ANSWERS)
}

/// The preference of a new filter and whether it copies: before the last one that there is, or else behind it.
fn place(filters: &Filters, alive: &[Link]) -> Option<(u16, bool)> {
    let taken = |preference: &u16| {
        filters.links.iter().any(|link| link.preference == *preference)
            || filters.others.contains(preference)
    };
    let mut free = PREFERENCES.rev().filter(|preference| !taken(preference));
    let Some(last) = alive.iter().map(|link| link.preference).max() else {
        return free.next().map(|preference| (preference, false));
    };
    let highest = free.next()?;
    let before = Some(highest).filter(|it| *it < last).or_else(|| free.find(|it| *it < last));
    before.map(|preference| (preference, true)).or(Some((highest, false)))
}

/// What must be put in place of what is there, in this order: first the one that takes frames away.
fn changes(links: &[Link]) -> Vec<Link> {
    let last = links.iter().map(|link| link.preference).max();
    let wanted = links.iter().filter_map(|link| {
        let copies = Some(link.preference) != last;
        (link.copies != copies).then_some(Link { copies, ..*link })
    });
    let mut wanted: Vec<Link> = wanted.collect();
    wanted.sort_by_key(|link| link.copies);
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn link(preference: u16, copies: bool) -> Link {
        Link { preference, owner: 1, target: 9, copies }
    }

    #[test]
    fn the_first_takes_frames_away_and_later_ones_copy_before_it() {
        let mut filters = Filters::default();
        assert_eq!(place(&filters, &[]), Some((0xb000, false)));
        filters.links.push(link(0xb000, false));
        assert_eq!(place(&filters, &filters.links), Some((0xafff, true)));
        filters.others.push(0xafff);
        assert_eq!(place(&filters, &filters.links), Some((0xaffe, true)));
        filters.links = vec![link(0xa000, false)];
        assert_eq!(place(&filters, &filters.links), Some((0xb000, false)));
        filters.others = (0xa000..=0xb000).collect();
        assert_eq!(place(&filters, &filters.links), None);
    }

    #[test]
    fn who_takes_frames_away_is_put_first() {
        assert!(changes(&[link(1, true), link(2, false)]).is_empty());
        assert_eq!(changes(&[link(1, true)]), [link(1, false)]);
        let both = changes(&[link(1, false), link(2, true)]);
        assert_eq!(both, [link(2, false), link(1, true)]);
    }

    proptest! {
        /// Guests come and go; at each moment at most one takes frames away for good, and it is the last.
        #[test]
        fn any_order_of_guests_ends_with_one_that_takes_frames(steps in proptest::collection::vec(0..6_usize, 1..60)) {
            let mut links: Vec<Link> = Vec::new();
            for step in steps {
                if step < links.len() {
                    links.remove(step);
                } else {
                    let filters = Filters { links: links.clone(), others: vec![] };
                    let (preference, copies) = place(&filters, &links).unwrap();
                    links.push(link(preference, copies));
                }
                for change in changes(&links) {
                    *links.iter_mut().find(|it| it.preference == change.preference).unwrap() = change;
                }
                let taking: Vec<u16> =
                    links.iter().filter(|it| !it.copies).map(|it| it.preference).collect();
                let last = links.iter().map(|it| it.preference).max();
                prop_assert_eq!(taking, last.into_iter().collect::<Vec<_>>());
            }
        }
    }
}
