//! The gateway as a process: how it ends, and what it may not do.

use std::os::unix::process::ExitStatusExt;

use gateway::GATEWAY;
use nix::sys::signal::Signal;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::child::Wishes;
use crate::guest::Guest;
use crate::host::{Background, connect, pattern, read_to_end};
use crate::services::{echo_replies, ping};

pub(crate) fn what_was_sent_last_arrives() {
    let mut guest = Guest::with_lease(&Wishes { publish: vec![80], ..Wishes::default() });
    let listener = guest.stack.listen(80, 1).unwrap();
    let client = connect(guest.published[0]);
    let mut accepted = None;
    guest.run_until("a client", |guest| {
        accepted = guest.stack.accept(listener);
        accepted.is_some()
    });
    let id = accepted.unwrap();
    // As much as the gateway's window takes at once, and the end.
    let data = pattern(48 * 1024);
    assert_eq!(guest.stack.send(id, &data), Ok(data.len()));
    guest.stack.finish(id);
    guest.run_until("nothing on its way", |guest| {
        guest.stack.send_queued(id) == 0 && guest.stack.front_frame().is_none()
    });
    let reading = Background::start(move || read_to_end(client));
    guest.exit_well();
    assert!(reading.join() == data);
}

pub(crate) fn garbage_is_counted_and_changes_nothing() {
    let mut guest = Guest::with_lease(&Wishes { publish: vec![80], ..Wishes::default() });
    guest.seen = Some(Vec::new());
    let base = ping(GATEWAY, 1);
    let change = (any::<prop::sample::Index>(), any::<u8>());
    let frames = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..1600),
        prop::collection::vec(change, 1..8).prop_map(move |changes| {
            let mut frame = base.clone();
            for (at, value) in changes {
                // Not the addresses: the frame is to come far.
                let at = 12 + at.index(frame.len() - 12);
                frame[at] = value;
            }
            frame
        }),
    ];
    let mut runner = TestRunner::deterministic();
    for _ in 0..2000 {
        let frame = frames.new_tree(&mut runner).unwrap().current();
        guest.inject(&frame);
        guest.run_until("nothing", |_| true);
    }
    guest.inject(&ping(GATEWAY, 0xcafe));
    guest.run_until("a pong", |guest| {
        let seen = guest.seen.as_deref().unwrap_or_default();
        echo_replies(seen).contains(&(GATEWAY, 0xcafe))
    });
    let counters = guest.exit_well();
    assert!(!counters.contains("dropped_malformed: 0"), "{counters}");
    assert!(!counters.contains("dropped_oversized: 0"), "{counters}");
}

pub(crate) fn a_file_cannot_be_opened_any_more() {
    let ended = Guest::new(&Wishes { then_open_a_file: true, ..Wishes::default() }).exit();
    assert_eq!(ended.status.signal(), Some(Signal::SIGSYS as i32), "{:?}", ended.status);
    assert!(ended.last_words.starts_with("Counters"), "it served: {}", ended.last_words);
    assert!(!ended.last_words.contains("opened"));
}

pub(crate) fn a_panic_is_told_in_one_line() {
    let ended = Guest::new(&Wishes { then_panic: true, ..Wishes::default() }).exit();
    assert_ne!(ended.status.signal(), Some(Signal::SIGSYS as i32), "{:?}", ended.status);
    assert!(!ended.status.success());
    let (counters, panic) = ended.last_words.split_once('\n').unwrap();
    assert!(counters.starts_with("Counters"), "it served: {counters}");
    assert!(panic.starts_with("gateway: panicked at "), "{panic}");
    assert!(panic.ends_with(": as wished\n"), "{panic}");
    assert_eq!(panic.lines().count(), 1, "{panic}");
}
