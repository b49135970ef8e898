//! Channels and patterns: who gets what, and a model.

use core::cell::Cell;
use core::mem::{swap, take};
use core::time::Duration;
use std::collections::BTreeSet;
use std::format;
use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;

use crate::client::Session;
use crate::command::harness::Harness;
use crate::config::Memory;

/// Runs lines; `|` stands for the end of a line in what is expected.
fn check(client: &mut Harness, cases: &[(&str, &str)]) {
    for (line, reply) in cases {
        assert_eq!(client.run(line).replace("\r\n", "|"), *reply, "{line}");
    }
}

fn mail(session: &Session) -> String {
    let bytes = take(&mut *session.client.mailbox.borrow_mut());
    String::from_utf8(bytes).unwrap().replace("\r\n", "|")
}

#[test]
fn subscriptions_are_confirmed_and_counted() {
    let mut client = Harness::new();
    check(
        &mut client,
        &[
            (
                "SUBSCRIBE a b a",
                "*3|$9|subscribe|$1|a|:1|*3|$9|subscribe|$1|b|:2|*3|$9|subscribe|$1|a|:2|",
            ),
            ("PSUBSCRIBE x*", "*3|$10|psubscribe|$2|x*|:3|"),
            ("SSUBSCRIBE s", "*3|$10|ssubscribe|$1|s|:1|"),
            ("PING", "*2|$4|pong|$0||"),
            ("PING x", "*2|$4|pong|$1|x|"),
            ("UNSUBSCRIBE nope", "*3|$11|unsubscribe|$4|nope|:3|"),
            ("UNSUBSCRIBE", "*3|$11|unsubscribe|$1|a|:2|*3|$11|unsubscribe|$1|b|:1|"),
            ("UNSUBSCRIBE", "*3|$11|unsubscribe|$-1|:1|"),
            ("PUNSUBSCRIBE", "*3|$12|punsubscribe|$2|x*|:0|"),
        ],
    );
    assert!(client.run("GET a").starts_with("-ERR Can't execute 'get': only (P|S)SUBSCRIBE / "));
    check(
        &mut client,
        &[
            ("SUNSUBSCRIBE", "*3|$12|sunsubscribe|$1|s|:0|"),
            ("SUNSUBSCRIBE", "*3|$12|sunsubscribe|$-1|:0|"),
            ("PING", "+PONG|"),
        ],
    );
    assert!(client.store.pubsub.channels.is_empty() && client.store.pubsub.patterns.is_empty());
    assert!(!client.session.client.is_subscriber());
}

#[test]
fn messages_come_to_all_who_listen() {
    let mut client = Harness::new();
    let mut other = client.another();
    check(&mut client, &[("SUBSCRIBE a", "*3|$9|subscribe|$1|a|:1|")]);
    client.run("PSUBSCRIBE a* ?");
    swap(&mut client.session, &mut other);
    client.run("HELLO 3");
    check(
        &mut client,
        &[
            ("SUBSCRIBE a", ">3|$9|subscribe|$1|a|:1|"),
            ("SSUBSCRIBE a", ">3|$10|ssubscribe|$1|a|:1|"),
            ("PUBLISH a x", ":4|"),
            ("PUBLISH ab y", ":1|"),
            ("PUBLISH zz y", ":0|"),
            ("SPUBLISH a z", ":1|"),
            ("PUBSUB CHANNELS", "*1|$1|a|"),
            ("PUBSUB CHANNELS b*", "*0|"),
            ("PUBSUB NUMSUB a b", "*4|$1|a|:2|$1|b|:0|"),
            ("PUBSUB NUMPAT", ":2|"),
            ("PUBSUB SHARDCHANNELS", "*1|$1|a|"),
            ("PUBSUB SHARDNUMSUB a", "*2|$1|a|:1|"),
            ("PUBSUB NUMPAT x", "-ERR wrong number of arguments for 'pubsub|numpat' command|"),
        ],
    );
    assert_eq!(
        mail(&other),
        "*3|$7|message|$1|a|$1|x|*4|$8|pmessage|$1|?|$1|a|$1|x|*4|$8|pmessage|$2|a*|$1|a|$1|x|\
         *4|$8|pmessage|$2|a*|$2|ab|$1|y|"
    );
    assert_eq!(mail(&client.session), ">3|$7|message|$1|a|$1|x|>3|$8|smessage|$1|a|$1|z|");
    client.store.unsubscribe_all(&mut other);
    check(&mut client, &[("PUBLISH a x", ":1|"), ("PUBSUB NUMPAT", ":0|"), ("RESET", "+RESET|")]);
    check(&mut client, &[("PUBLISH a x", ":0|")]);
}

#[test]
fn a_transaction_may_subscribe_and_publish() {
    let mut client = Harness::new();
    check(
        &mut client,
        &[
            ("MULTI", "+OK|"),
            ("SUBSCRIBE a", "+QUEUED|"),
            ("PUBLISH a x", "+QUEUED|"),
            ("PING", "+QUEUED|"),
            ("EXEC", "*3|*3|$9|subscribe|$1|a|:1|:1|*2|$4|pong|$0||"),
        ],
    );
    assert_eq!(mail(&client.session), "*3|$7|message|$1|a|$1|x|");
}

#[test]
fn who_does_not_fetch_messages_is_ended() {
    let mut client = Harness::new();
    let config = &mut client.store.config;
    (config.mailbox_hard_bytes, config.mailbox_soft_bytes, config.mailbox_soft_s) = (1000, 500, 10);
    let mut slow = client.another();
    swap(&mut client.session, &mut slow);
    client.run("SUBSCRIBE a");
    swap(&mut client.session, &mut slow);
    let message = std::format!("PUBLISH a {}", "x".repeat(68));
    for _ in 0..10 {
        assert_eq!(client.run(&message), ":1\r\n");
    }
    assert!(!slow.client.is_killed() && slow.client.mailbox.borrow().len() > 900);
    assert_eq!(client.run(&message), ":0\r\n");
    assert!(slow.client.is_killed() && slow.client.mailbox.borrow().capacity() == 0);
}

#[test]
fn who_fetches_too_slowly_for_long_is_ended() {
    let mut client = Harness::new();
    let config = &mut client.store.config;
    (config.mailbox_hard_bytes, config.mailbox_soft_bytes, config.mailbox_soft_s) = (0, 500, 10);
    let mut slow = client.another();
    swap(&mut client.session, &mut slow);
    client.run("SUBSCRIBE a");
    swap(&mut client.session, &mut slow);
    let message = std::format!("PUBLISH a {}", "x".repeat(450));
    for (seconds, fetches, expected) in
        [(0, false, ":1"), (1, false, ":1"), (11, true, ":1"), (13, false, ":1"), (24, false, ":0")]
    {
        client.store.now = Duration::from_secs(seconds);
        if fetches {
            mail(&slow);
        }
        assert_eq!(client.run(&message).trim_end(), expected, "{seconds}");
    }
    assert!(slow.client.is_killed());
}

#[test]
fn messages_leave_memory_for_the_data() {
    let mut client = Harness::new();
    client.run("HELLO 3");
    client.run("SUBSCRIBE a");
    assert_eq!(client.run("PUBLISH a x"), ":1\r\n");
    mail(&client.session);
    client.fill_memory();
    assert!(client.run("SUBSCRIBE b").starts_with("-OOM"));
    assert_eq!(client.run("PUBLISH a x"), ":0\r\n");
    assert!(client.session.client.is_killed());
}

std::thread_local! {
    static QUESTIONS: Cell<usize> = const { Cell::new(0) };
}

/// Full when it is asked for the second time.
fn memory_that_fills() -> Memory {
    QUESTIONS.set(QUESTIONS.get() + 1);
    let used_bytes = if QUESTIONS.get() == 2 { 1 << 30 } else { 0 };
    Memory { used_bytes, size_bytes: 1 << 30, available_bytes: 1 << 30 }
}

#[test]
fn who_has_most_unfetched_goes_first() {
    let mut client = Harness::new();
    let (mut fast, mut slow) = (client.another(), client.another());
    for (listener, line) in [(&mut fast, "SUBSCRIBE a"), (&mut slow, "SUBSCRIBE a b")] {
        swap(&mut client.session, listener);
        client.run(line);
        swap(&mut client.session, listener);
    }
    client.store.set_memory(memory_that_fills);
    assert_eq!(client.run("PUBLISH b xxxxx"), ":1\r\n");
    assert_eq!(client.run("PUBLISH a x"), ":1\r\n");
    assert!(slow.client.is_killed() && !fast.client.is_killed());
    assert_eq!(mail(&fast), "*3|$7|message|$1|a|$1|x|");
}

const CHANNELS: [&str; 3] = ["a", "ab", "b"];
/// Patterns, and which of the channels they match.
const PATTERNS: [(&str, [bool; 3]); 4] = [
    ("*", [true, true, true]),
    ("a*", [true, true, false]),
    ("?", [true, false, true]),
    ("b", [false, false, true]),
];

#[derive(Debug, Clone, Copy)]
enum Step {
    Subscribe(usize),
    Unsubscribe(usize),
    SubscribeToPattern(usize),
    UnsubscribeFromPattern(usize),
    Publish(usize),
    Leave,
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let step = prop_oneof![
        (0..3_usize).prop_map(Step::Subscribe),
        (0..3_usize).prop_map(Step::Unsubscribe),
        (0..4_usize).prop_map(Step::SubscribeToPattern),
        (0..4_usize).prop_map(Step::UnsubscribeFromPattern),
        (0..3_usize).prop_map(Step::Publish),
        Just(Step::Leave),
    ];
    prop::collection::vec((0..3_usize, step), 1..80)
}

proptest! {
    #[test]
    fn messages_are_as_in_the_model(steps in steps()) {
        let mut harness = Harness::new();
        let mut sessions: Vec<Session> = (0..3).map(|_| harness.another()).collect();
        let mut model = [(); 3].map(|()| (BTreeSet::new(), BTreeSet::new()));
        for (who, step) in steps {
            swap(&mut harness.session, &mut sessions[who]);
            harness.run("HELLO 3");
            let (channels, patterns) = &mut model[who];
            let line = match step {
                Step::Subscribe(at) => {
                    channels.insert(at);
                    format!("SUBSCRIBE {}", CHANNELS[at])
                }
                Step::Unsubscribe(at) => {
                    channels.remove(&at);
                    format!("UNSUBSCRIBE {}", CHANNELS[at])
                }
                Step::SubscribeToPattern(at) => {
                    patterns.insert(at);
                    format!("PSUBSCRIBE {}", PATTERNS[at].0)
                }
                Step::UnsubscribeFromPattern(at) => {
                    patterns.remove(&at);
                    format!("PUNSUBSCRIBE {}", PATTERNS[at].0)
                }
                Step::Publish(at) => format!("PUBLISH {} x", CHANNELS[at]),
                Step::Leave => {
                    channels.clear();
                    patterns.clear();
                    "RESET".into()
                }
            };
            let reply = harness.run(&line);
            swap(&mut harness.session, &mut sessions[who]);
            if let Step::Publish(at) = step {
                let expected: Vec<usize> = model
                    .iter()
                    .map(|(channels, patterns)| {
                        let matching = patterns.iter().filter(|it| PATTERNS[**it].1[at]);
                        usize::from(channels.contains(&at)) + matching.count()
                    })
                    .collect();
                prop_assert_eq!(reply, format!(":{}\r\n", expected.iter().sum::<usize>()));
                for (session, expected) in sessions.iter().zip(expected) {
                    prop_assert_eq!(mail(session).matches("message|").count(), expected);
                }
            } else if !matches!(step, Step::Leave) {
                let count = model[who].0.len() + model[who].1.len();
                prop_assert!(reply.ends_with(&format!(":{count}\r\n")), "{}", reply);
            }
        }
        for session in &mut sessions {
            harness.store.unsubscribe_all(session);
        }
        prop_assert!(harness.store.pubsub.channels.is_empty());
        prop_assert!(harness.store.pubsub.patterns.is_empty());
    }
}
