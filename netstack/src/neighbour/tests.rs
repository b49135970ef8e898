//! The states one by one, floods, and random sequences.

use super::*;
use core::net::{Ipv4Addr, Ipv6Addr};
use proptest::prelude::*;
use std::vec::Vec;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
const OTHER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 10];
const ANSWER: Kind = Kind::Answer { overrides: true };
const GRATUITOUS: Kind = Kind::Unasked { overrides: true };

fn at(ms: i64) -> Instant {
    Instant::from_millis(ms)
}

fn v4(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + number).into()
}

fn v6(number: u32) -> IpAddr {
    Ipv6Addr::from_bits((0xfe80 << 112) + u128::from(number)).into()
}

fn cache(limit: usize) -> Neighbours {
    Neighbours::new(limit, HashKey::from_seed(7), at(0))
}

fn all_due(cache: &mut Neighbours, now: Instant) -> Vec<Due> {
    core::iter::from_fn(|| cache.due(now)).collect()
}

#[test]
fn asks_three_times_and_gives_up_for_a_while() {
    for target in [v4(1), v6(1)] {
        let mut cache = cache(16);
        assert_eq!(cache.lookup(at(0), target), Lookup::Ask);
        assert_eq!(cache.lookup(at(10), target), Lookup::Wait);
        assert_eq!(cache.next_deadline(), Some(at(1000)));
        assert_eq!(all_due(&mut cache, at(999)), []);
        for ms in [1000, 2000] {
            assert_eq!(all_due(&mut cache, at(ms)), [Due::Request { target, mac: None }]);
        }
        assert_eq!(all_due(&mut cache, at(3000)), [Due::Unresolved(target)]);
        assert_eq!(cache.lookup(at(5999), target), Lookup::Failed);
        assert_eq!(cache.next_deadline(), None);
        assert_eq!(cache.lookup(at(6000), target), Lookup::Ask);
        assert!(cache.learn(at(6001), target, Some(MAC), ANSWER));
        assert_eq!(cache.lookup(at(6002), target), Lookup::Found(MAC));
    }
}

#[test]
fn a_late_answer_counts() {
    let mut cache = cache(16);
    cache.lookup(at(0), v4(1));
    (1..=3).for_each(|s| drop(all_due(&mut cache, at(s * 1000))));
    assert_eq!(cache.lookup(at(3100), v4(1)), Lookup::Failed);
    assert!(cache.learn(at(3200), v4(1), Some(MAC), ANSWER));
    assert_eq!(cache.lookup(at(3300), v4(1)), Lookup::Found(MAC));
}

#[test]
fn an_answer_to_a_closed_question_does_not() {
    let mut cache = cache(16);
    cache.lookup(at(0), v4(1));
    (1..=3).for_each(|s| drop(all_due(&mut cache, at(s * 1000))));
    assert!(!cache.learn(at(6000), v4(1), Some(MAC), ANSWER));
    assert_eq!(cache.lookup(at(6000), v4(1)), Lookup::Ask);
}

#[test]
fn probes_a_neighbour_that_was_silent() {
    for target in [v4(1), v6(1)] {
        let mut cache = cache(16);
        cache.lookup(at(0), target);
        cache.learn(at(1), target, Some(MAC), ANSWER);
        assert_eq!(all_due(&mut cache, at(29_000)), []);
        assert_eq!(cache.next_deadline(), None, "reachable and stale neighbours need no timer");
        assert_eq!(cache.lookup(at(31_000), target), Lookup::Found(MAC));
        let probe = Due::Request { target, mac: Some(MAC) };
        for ms in [36_000, 37_000, 38_000] {
            assert_eq!(all_due(&mut cache, at(ms)), [probe], "{ms}");
            assert_eq!(cache.lookup(at(ms), target), Lookup::Found(MAC));
        }
        assert_eq!(all_due(&mut cache, at(39_000)), [Due::Unreachable(target)]);
        assert_eq!(cache.lookup(at(39_000), target), Lookup::Ask);
    }
}

#[test]
fn an_answer_or_a_layer_above_ends_the_probing() {
    let mut cache = cache(16);
    for target in [v4(1), v6(2)] {
        cache.lookup(at(0), target);
        cache.learn(at(1), target, Some(MAC), ANSWER);
        cache.lookup(at(31_000), target);
    }
    cache.confirm(at(32_000), v4(1));
    assert_eq!(all_due(&mut cache, at(36_000)), [Due::Request { target: v6(2), mac: Some(MAC) }]);
    // An advertisement need not repeat the Ethernet address.
    assert!(cache.learn(at(36_001), v6(2), None, Kind::Answer { overrides: false }));
    assert_eq!(all_due(&mut cache, at(60_000)), []);
    assert_eq!(cache.next_deadline(), None);
}

#[test]
fn only_answers_to_questions_create_entries() {
    let mut cache = cache(16);
    for kind in [ANSWER, GRATUITOUS, Kind::Unasked { overrides: false }] {
        assert!(!cache.learn(at(0), v4(1), Some(MAC), kind));
    }
    cache.confirm(at(0), v4(1));
    assert_eq!(cache.lookup(at(0), v4(1)), Lookup::Ask);
    assert!(!cache.learn(at(0), v4(1), None, ANSWER));
    assert_eq!(cache.lookup(at(0), v4(1)), Lookup::Wait);
}

#[test]
fn what_is_known_changes_as_rfc_4861_says() {
    let mut cache = cache(16);
    cache.lookup(at(0), v6(1));
    cache.learn(at(0), v6(1), Some(MAC), ANSWER);
    let gentle = Kind::Unasked { overrides: false };
    assert!(cache.learn(at(1), v6(1), Some(OTHER_MAC), gentle));
    // It is stale now, so that it will be probed, but not replaced.
    assert_eq!(cache.lookup(at(2), v6(1)), Lookup::Found(MAC));
    assert_eq!(cache.next_deadline(), Some(at(5002)));
    cache.learn(at(3), v6(1), Some(OTHER_MAC), GRATUITOUS);
    assert_eq!(cache.lookup(at(4), v6(1)), Lookup::Found(OTHER_MAC));
    cache.learn(at(5), v6(1), Some(MAC), Kind::Request);
    assert_eq!(cache.lookup(at(6), v6(1)), Lookup::Found(MAC));
    // An answer that nobody asked for proves nothing.
    cache.learn(at(7), v6(1), Some(MAC), ANSWER);
    assert_eq!(all_due(&mut cache, at(5006)), [Due::Request { target: v6(1), mac: Some(MAC) }]);
}

#[test]
fn a_flood_of_requests_is_cut_but_answers_pass() {
    let mut cache = cache(1024);
    let learned = |cache: &mut Neighbours, range: core::ops::Range<u32>, now| {
        range.filter(|n| cache.learn(now, v4(*n), Some(MAC), Kind::Request)).count()
    };
    assert_eq!(learned(&mut cache, 10..1010, at(0)), LEARNED_PER_PERIOD as usize);
    let router = v4(1);
    assert!(!cache.learn(at(0), router, Some(MAC), Kind::Request));
    assert_eq!(cache.lookup(at(0), router), Lookup::Ask);
    assert!(cache.learn(at(0), router, Some(MAC), ANSWER));
    assert_eq!(learned(&mut cache, 2000..2100, at(1000)), 16, "a new period");
    let answered = (0..5000).filter(|_| cache.may_answer(at(0))).count();
    assert_eq!(answered, ANSWERED_PER_PERIOD as usize);
}

#[test]
fn floods_do_not_push_out_entries_in_use() {
    let mut cache = cache(64);
    let router = v6(1);
    cache.lookup(at(0), router);
    cache.learn(at(0), router, Some(MAC), ANSWER);
    for second in 1..120 {
        let now = at(second * 1000);
        cache.confirm(now, router);
        assert_eq!(cache.lookup(now, router), Lookup::Found(MAC), "second {second}");
        for n in 0..500 {
            let stranger = v6(1000 * second as u32 + n);
            cache.learn(now, stranger, Some(OTHER_MAC), Kind::Request);
            cache.learn(now, stranger, Some(OTHER_MAC), ANSWER);
            // As if a packet came from there and the answer looks for its way.
            cache.lookup(now, v6(1_000_000 + 1000 * second as u32 + n));
        }
        drop(all_due(&mut cache, now));
        assert!(cache.entries.len() <= 64);
    }
}

#[test]
fn neighbours_in_use_are_not_given_up_for_strangers_but_idle_ones_are() {
    let mut cache = cache(4);
    for n in 1..=3 {
        cache.lookup(at(0), v4(n));
        cache.learn(at(0), v4(n), Some(MAC), ANSWER);
    }
    assert!(!cache.learn(at(59_999), v4(9), Some(MAC), Kind::Request));
    cache.lookup(at(59_999), v4(1));
    assert!(cache.learn(at(60_000), v4(9), Some(MAC), Kind::Request));
    // One that the stack wants itself takes the place of the one unused for longest.
    assert_eq!(cache.lookup(at(60_000), v4(7)), Lookup::Ask);
    assert!(cache.learn(at(60_000), v4(7), Some(MAC), ANSWER));
    assert_eq!(cache.lookup(at(60_000), v4(1)), Lookup::Found(MAC));
    assert_eq!(cache.lookup(at(60_000), v4(9)), Lookup::Ask);
}

#[test]
fn nonsense_is_refused() {
    let mut cache = cache(16);
    let nowhere = ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "ff02::1"];
    for address in nowhere.iter().chain(&["::ffff:10.0.0.1"]) {
        let address = address.parse().unwrap();
        assert!(!cache.learn(at(0), address, Some(MAC), Kind::Request), "{address}");
    }
    for mac in [[0xff; 6], [0; 6], [1, 0, 0, 0, 0, 1]] {
        assert!(!cache.learn(at(0), v4(1), Some(mac), Kind::Request));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    /// Whatever comes: the table stays within its limit and finds what it holds, every deadline is
    /// told in time, and `due` comes to an end.
    #[test]
    fn holds_together(
        limit in 0_usize..40,
        steps in prop::collection::vec((0_u8..6, 0_u32..60, any::<bool>(), 0_i64..4000), 0..400),
    ) {
        let mut cache = cache(limit);
        let mut ms = 0;
        for (action, number, flag, wait) in steps {
            ms += wait * wait / 4000;
            let now = at(ms);
            let address = if number % 2 == 0 { v4(number) } else { v6(number) };
            let mac = if flag { MAC } else { OTHER_MAC };
            match action {
                0 => drop(cache.lookup(now, address)),
                1 => drop(cache.learn(now, address, Some(mac), Kind::Answer { overrides: flag })),
                2 => drop(cache.learn(now, address, flag.then_some(mac), Kind::Request)),
                3 => drop(cache.learn(now, address, Some(mac), Kind::Unasked { overrides: flag })),
                4 => cache.confirm(now, address),
                _ => {
                    prop_assert!(all_due(&mut cache, now).len() <= limit.max(NEIGHBOURS_MIN));
                    prop_assert!(cache.next_deadline().is_none_or(|at| at > now));
                }
            }
            prop_assert!(cache.entries.len() <= limit.max(NEIGHBOURS_MIN));
            prop_assert_eq!(cache.by_address.len(), cache.entries.len());
            prop_assert_eq!(cache.resolved, cache.slots(true).count());
            for (slot, entry) in cache.entries.iter().enumerate() {
                prop_assert_eq!(cache.find(entry.address), Some(slot));
            }
            let earliest = cache.entries.iter().filter_map(Entry::deadline).min();
            prop_assert!(earliest.is_none_or(|at| cache.next_deadline().is_some_and(|d| d <= at)));
        }
    }
}
