//! Both ends against a queue, against a memory that somebody scribbles on, and against each other in
//! two threads.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::boxed::Box;
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use std::vec::Vec;
use std::{println, thread};

use proptest::prelude::*;
use solo5_sys::ring::{FRAME_BYTES_MAX, WORD_BYTES, Way};

use crate::way::View;
use crate::{Consumer, Corrupt, Endpoint, Producer, WORDS, gateway_end, guest_end};

fn zeros(words: usize) -> Vec<AtomicU64> {
    (0..words).map(|_| AtomicU64::new(0)).collect()
}

fn region() -> Box<[AtomicU64; WORDS]> {
    zeros(WORDS).into_boxed_slice().try_into().unwrap()
}

/// A way with room for few frames.
struct Small {
    header: Vec<AtomicU64>,
    data: Vec<AtomicU64>,
}

impl Small {
    const LONGEST: usize = 100;
    const ROOM: usize = 512;

    fn new() -> Self {
        Self { header: zeros(size_of::<Way>() / WORD_BYTES), data: zeros(Self::ROOM / WORD_BYTES) }
    }

    fn view(&self) -> View<'_> {
        View::new(&self.header, &self.data, Self::LONGEST)
    }

    fn ends(&self) -> (Producer<'_>, Consumer<'_>) {
        (Producer::new(self.view()), Consumer::new(self.view()))
    }
}

fn frame(bytes: usize, number: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i * 7 + number) as u8).collect()
}

#[test]
fn what_goes_in_comes_out_until_it_is_full() {
    let small = Small::new();
    let (mut producer, mut consumer) = small.ends();
    assert_eq!(consumer.receive(&mut [0; 9]), Ok(None));
    let mut sent = 0;
    while producer.send(&frame(100, sent)).unwrap() {
        sent += 1;
    }
    assert_eq!(sent, 4, "records of 112 bytes in 512");
    let mut buffer = [0; 100];
    for number in 0..sent {
        assert_eq!(consumer.receive(&mut buffer), Ok(Some(100)));
        assert_eq!(buffer[..], frame(100, number));
    }
    assert_eq!(consumer.receive(&mut buffer), Ok(None));
    assert!(!consumer.claims_more());
}

#[test]
fn a_short_buffer_gets_the_beginning() {
    let small = Small::new();
    let (mut producer, mut consumer) = small.ends();
    assert_eq!(producer.send(&frame(99, 1)), Ok(true));
    assert_eq!(producer.send(&frame(1, 2)), Ok(true));
    let mut buffer = [0; 13];
    assert_eq!(consumer.receive(&mut buffer), Ok(Some(99)));
    assert_eq!(buffer[..], frame(99, 1)[..13]);
    assert_eq!(consumer.receive(&mut buffer), Ok(Some(1)));
}

proptest! {
    /// Valid traffic: what a queue does, at every place of the ring.
    #[test]
    fn it_is_a_queue(steps in proptest::collection::vec((any::<bool>(), 1..=Small::LONGEST, 1..=Small::LONGEST), 0..400)) {
        let small = Small::new();
        let (mut producer, mut consumer) = small.ends();
        let mut model = VecDeque::new();
        let mut buffer = [0; Small::LONGEST];
        for (number, (puts, bytes, written)) in steps.into_iter().enumerate() {
            if puts {
                // By a copy, or by somebody who writes less into the room than there is.
                let frame = frame(bytes.min(written), number);
                let slot = producer.reserve(bytes).unwrap();
                prop_assert!(slot.is_some() || model.len() > 2);
                if let Some(slot) = slot {
                    crate::way::store(slot.words, &frame);
                    producer.commit(&slot, frame.len());
                    model.push_back(frame);
                }
            } else {
                let received = consumer.receive(&mut buffer).unwrap();
                let expected: Option<Vec<u8>> = model.pop_front();
                prop_assert_eq!(received.map(|bytes| &buffer[..bytes]), expected.as_deref());
            }
        }
        while let Some(expected) = model.pop_front() {
            let bytes = consumer.receive(&mut buffer).unwrap().unwrap();
            prop_assert_eq!(&buffer[..bytes], &expected[..]);
        }
        prop_assert_eq!(consumer.receive(&mut buffer), Ok(None));
    }

    /// Whatever the words are: each call ends, with a frame within the limits or an error.
    #[test]
    fn any_words_are_a_frame_or_an_error(
        words in proptest::collection::vec((0..64usize, interesting()), 0..40),
        produced in interesting(),
        consumed in interesting(),
    ) {
        let small = Small::new();
        let (mut producer, mut consumer) = small.ends();
        for (at, word) in words {
            small.data[at].store(word, Ordering::Relaxed);
        }
        small.view().produced.store(produced, Ordering::Relaxed);
        let mut buffer = [0; Small::LONGEST];
        let mut frames = 0;
        while let Ok(Some(bytes)) = consumer.receive(&mut buffer) {
            prop_assert!((1..=Small::LONGEST).contains(&bytes));
            frames += 1;
        }
        prop_assert!(frames <= Small::ROOM / 16);
        small.view().consumed.store(consumed, Ordering::Relaxed);
        let mut sent = 0;
        while producer.send(&[1; 90]) == Ok(true) {
            sent += 1;
        }
        prop_assert!(sent <= 2 * Small::ROOM / 104);
    }
}

/// Words near what they may be.
fn interesting() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..130u64,
        (0..70u64).prop_map(|words| words * 8),
        Just(0xffff_ffff),
        (0..64u64).prop_map(|bit| 1 << bit),
        any::<u64>(),
    ]
}

#[test]
fn errors_name_what_is_wrong() {
    let cases: [(u64, u64, &str); 6] = [
        (520, 0, "a position 520 bytes away in a ring of 512"),
        (13, 0, "a position 13 bytes away in a ring of 512"),
        (24, 101, "0x65 for a frame's length, of at most 100 bytes"),
        (24, 1 << 40 | 8, "0x10000000008 for a frame's length, of at most 100 bytes"),
        (24, 17, "a record of 32 bytes, of which only 24 are there"),
        (512, 0xffff_ffff, "a skip to the start where none can be"),
    ];
    for (produced, word, expected) in cases {
        let small = Small::new();
        let (_, mut consumer) = small.ends();
        small.data[0].store(word, Ordering::Relaxed);
        small.view().produced.store(produced, Ordering::Relaxed);
        let error: Corrupt = consumer.receive(&mut [0; 100]).unwrap_err();
        assert_eq!(std::format!("{error}"), expected);
    }
}

/// A generator of numbers (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Somebody writes over the whole region all the time: positions, flags, records.
#[test]
fn scribbling_makes_errors_and_nothing_else() {
    const CALLS: usize = 200_000;
    let region = region();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random(0x9e37_79b9_7f4a_7c15);
            while !stop.load(Ordering::Relaxed) {
                let number = random.next();
                // Half of it to the header and the first words of each way.
                let at = match number & 3 {
                    0 => (number >> 32) as usize % WORDS,
                    1 => 512 + (number >> 32) as usize % 64,
                    _ => (number >> 32) as usize % 144,
                };
                let word = match number >> 2 & 3 {
                    0 => random.next(),
                    1 => 0xffff_ffff,
                    _ => (random.next() % (1 << 21)) & !7,
                };
                region[at].store(word, Ordering::Relaxed);
            }
        });
        let mut buffer = std::vec![0; FRAME_BYTES_MAX];
        let (mut frames, mut errors, mut calls) = (0, 0, 0);
        // The host may run the other thread late.
        while calls < CALLS || frames == 0 || errors < 100 {
            // Each error ends a wire; a new one begins.
            let mut end = if calls % 2 == 0 { gateway_end(&region) } else { guest_end(&region) };
            loop {
                calls += 1;
                match end.incoming().receive(&mut buffer) {
                    Ok(Some(bytes)) => {
                        assert!((1..=FRAME_BYTES_MAX).contains(&bytes));
                        frames += 1;
                    }
                    Ok(None) => {}
                    Err(_) => break,
                }
                let _ = end.must_ring();
                let sent = end.outgoing().send(&buffer[..1 + calls % 1500]);
                if sent.and_then(|_| end.prepare_to_sleep(Some(1514))).is_err() {
                    break;
                }
            }
            errors += 1;
        }
        stop.store(true, Ordering::Relaxed);
        println!("{calls} calls: {frames} frames, {errors} errors");
    });
}

/// A doorbell: keeps one ring until it is taken.
fn doorbell() -> (SyncSender<()>, Receiver<()>) {
    sync_channel(1)
}

struct Side<'a> {
    end: Endpoint<'a>,
    own: Receiver<()>,
    others: SyncSender<()>,
    sleeps: usize,
}

impl Side<'_> {
    fn ring(&mut self) {
        if self.end.must_ring() {
            let _ = self.others.try_send(());
        }
    }

    fn sleep(&mut self, room_for: Option<usize>) {
        if !self.end.prepare_to_sleep(room_for).unwrap() {
            return;
        }
        self.sleeps += 1;
        let rung = self.own.recv_timeout(Duration::from_secs(20));
        assert!(rung.is_ok(), "nobody woke this side");
        self.end.wake();
    }
}

/// Each side sends as many frames as the other, of all lengths, and sleeps whenever it can do nothing. A
/// wake-up that is lost is a time-out.
#[test]
fn no_wake_up_is_lost() {
    const FRAMES: usize = 100_000;
    let region = region();
    let (guest_bell, guest_own) = doorbell();
    let (gateway_bell, gateway_own) = doorbell();
    let run = |end, own, others, seed: u64| {
        let mut side = Side { end, own, others, sleeps: 0 };
        let mut random = Random(seed);
        let (mut sent, mut received) = (0, 0);
        let mut buffer = std::vec![0; FRAME_BYTES_MAX];
        let mut waiting: Option<usize> = None;
        while sent < FRAMES || received < FRAMES {
            let burst = random.next() as usize % 40;
            for _ in 0..burst {
                if sent == FRAMES {
                    break;
                }
                let bytes = waiting.take().unwrap_or_else(|| match random.next() % 50 {
                    0 => FRAME_BYTES_MAX,
                    _ => 1 + random.next() as usize % 100,
                });
                if !side.end.outgoing().send(&buffer[..bytes]).unwrap() {
                    waiting = Some(bytes);
                    break;
                }
                sent += 1;
            }
            side.ring();
            // Leaves some, now and then.
            for _ in 0..random.next() % 60 {
                match side.end.incoming().receive(&mut buffer).unwrap() {
                    Some(_) => received += 1,
                    None => break,
                }
            }
            side.ring();
            let has_work = sent < FRAMES && waiting.is_none();
            if !has_work && (sent < FRAMES || received < FRAMES) {
                side.sleep(waiting);
            }
        }
        side.sleeps
    };
    let started = Instant::now();
    thread::scope(|scope| {
        let guest = scope.spawn(|| run(guest_end(&region), guest_own, gateway_bell, 1));
        let gateway = run(gateway_end(&region), gateway_own, guest_bell, 2);
        let guest = guest.join().unwrap();
        println!("slept {guest} and {gateway} times in {:?}", started.elapsed());
        assert!(guest + gateway > 10, "hardly anybody slept");
    });
}

/// Waits for something by looking, and lets others run now and then.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        for _ in 0..1000 {
            if holds() {
                return;
            }
            core::hint::spin_loop();
        }
        assert!(Instant::now() < deadline, "{what}");
        thread::yield_now();
    }
}

/// Lets some nanoseconds go by.
fn dally(random: &mut Random) {
    for _ in 0..random.next() % 1024 {
        core::hint::black_box(());
    }
}

/// A consumer goes to sleep just when the next frame is sent: as soon as it has taken one, the next follows.
/// Without the fences this fails in each run on a machine with two processors.
#[test]
fn a_sleep_that_begins_with_a_frame_ends() {
    const ROUNDS: usize = 50_000;
    let region = region();
    let bell = AtomicBool::new(false);
    let taken = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut guest = guest_end(&region);
            let mut random = Random(7);
            for round in 0..ROUNDS as u64 {
                wait_until("the frame is not taken", || taken.load(Ordering::Acquire) == round);
                dally(&mut random);
                assert_eq!(guest.outgoing().send(&[1]), Ok(true));
                if guest.must_ring() {
                    bell.store(true, Ordering::Release);
                }
            }
        });
        let mut gateway = gateway_end(&region);
        let mut random = Random(9);
        let (mut frames, mut sleeps) = (0, 0);
        while frames < ROUNDS as u64 {
            if gateway.incoming().receive(&mut [0; 8]) == Ok(Some(1)) {
                frames += 1;
                taken.store(frames, Ordering::Release);
                dally(&mut random);
            } else if gateway.prepare_to_sleep(None) == Ok(true) {
                sleeps += 1;
                wait_until("nobody woke the gateway", || bell.swap(false, Ordering::Acquire));
                gateway.wake();
            }
        }
        println!("slept {sleeps} times");
        assert!(sleeps > 100);
    });
}
