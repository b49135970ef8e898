//! The clock by a counter that a test moves as it likes.

use super::*;

extern crate std;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
/// What a call takes.
const CALL_NS: u64 = 400;

/// A machine.
struct Machine {
    /// The counter, and how many ticks it makes in 1,000 ns.
    ticks: u64,
    per_1000_ns: u64,
    ns: u64,
    wall_ahead_ns: u64,
    calls: u32,
    is_readable: bool,
}

impl Machine {
    fn new() -> Self {
        let ns = 5_000 * SECOND;
        Self {
            ticks: 1 << 40,
            per_1000_ns: 3000,
            ns,
            wall_ahead_ns: 1 << 60,
            calls: 0,
            is_readable: true,
        }
    }

    fn pass(&mut self, ns: u64) {
        self.ns += ns;
        self.ticks = self.ticks.wrapping_add(ns * self.per_1000_ns / 1000);
    }

    /// A clock whose estimate is wrong by some parts in a million.
    fn clock(&self, wrong_ppm: i64) -> Clock {
        let right = (1000u64 << 32) / self.per_1000_ns;
        let scale = right.saturating_add_signed(right as i64 * wrong_ppm / 1_000_000);
        Clock::by_counter(extension::Clock { counter: self.ticks, monotonic_ns: self.ns, scale })
    }

    /// Lets time pass in steps and reads the clock after each; the largest error, and whether it
    /// never went back.
    fn run(&mut self, clock: &mut Clock, ns: u64, step_ns: u64) -> u64 {
        let (mut worst, mut last) = (0, clock.last_ns);
        for _ in 0..ns / step_ns {
            self.pass(step_ns);
            let now = clock.monotonic_ns(self);
            assert!(now >= last, "the clock went back by {} ns", last - now);
            last = now;
            worst = worst.max(now.abs_diff(self.ns));
        }
        worst
    }
}

impl Host for Machine {
    fn counter(&mut self) -> u64 {
        assert!(self.is_readable);
        self.ticks
    }

    fn clock_ns(&mut self, clock_id: i32) -> u64 {
        self.calls += 1;
        self.pass(CALL_NS / 2);
        let ns = self.ns + if clock_id == CLOCK_REALTIME { self.wall_ahead_ns } else { 0 };
        self.pass(CALL_NS - CALL_NS / 2);
        ns
    }
}

#[test]
fn a_rough_estimate_becomes_exact_with_two_calls_a_look() {
    let mut machine = Machine::new();
    let mut clock = machine.clock(100);
    assert!(machine.run(&mut clock, 9 * MS, 10_000) < 2_000);
    assert_eq!(machine.calls, 0);
    machine.run(&mut clock, 200 * MS, 10_000);
    assert_eq!(machine.calls, 4);
    assert!(machine.run(&mut clock, 10 * SECOND, MS) < 2 * CALL_NS);
    assert_eq!(machine.calls, 4 + 2 * 10);
}

#[test]
fn an_idle_guest_makes_one_look_when_it_wakes() {
    let mut machine = Machine::new();
    let mut clock = machine.clock(0);
    machine.run(&mut clock, 3 * SECOND, SECOND);
    machine.calls = 0;
    assert!(machine.run(&mut clock, 30 * SECOND, 30 * SECOND) < 2 * CALL_NS);
    assert_eq!(machine.calls, 2);
}

#[test]
fn the_counter_may_wrap_around() {
    let mut machine = Machine::new();
    machine.ticks = u64::MAX - 3 * 50 * MS;
    let mut clock = machine.clock(50);
    assert!(machine.run(&mut clock, SECOND, 10_000) < 10_000);
    assert_eq!(clock.counter.unwrap().failures, 0);
}

#[test]
fn a_drift_is_followed() {
    let mut machine = Machine::new();
    let mut clock = machine.clock(0);
    machine.run(&mut clock, 3 * SECOND, MS);
    // Exactly 3 GHz is 3000.3 MHz from here on, 100 parts in a million more.
    for _ in 0..5 {
        machine.per_1000_ns = 30_003 / 10;
        machine.ticks += SECOND * 3 / 10_000;
        assert!(machine.run(&mut clock, SECOND, MS) < 500_000);
    }
    assert_eq!(clock.counter.unwrap().failures, 0);
}

#[test]
fn a_clock_that_is_slewed_is_followed() {
    let mut machine = Machine::new();
    let mut clock = machine.clock(0);
    machine.run(&mut clock, 2 * SECOND, MS);
    let mut worst = 0;
    for _ in 0..10 * SECOND / MS {
        // 500 parts in a million slower, as the kernel does at most.
        machine.ticks += 3 * 500;
        worst = worst.max(machine.run(&mut clock, MS, MS));
    }
    assert!(worst < 600_000, "{worst}");
    assert!(clock.counter.is_some());
    // Slewing ends, and a few looks later everything is right.
    machine.run(&mut clock, 4 * SECOND, MS);
    assert!(machine.run(&mut clock, 4 * SECOND, MS) < 5_000);
}

#[test]
fn after_a_sleep_of_the_machine_the_next_reading_is_right() {
    // The counter has run on, the monotonic clock has not.
    let mut machine = Machine::new();
    let mut clock = machine.clock(0);
    machine.run(&mut clock, 3 * SECOND, MS);
    machine.ticks += 3 * 3600 * SECOND;
    assert!(machine.run(&mut clock, SECOND, MS) < 5 * CALL_NS);
    assert_eq!(clock.counter.as_ref().unwrap().failures, 0);
    // The clock has run on, the counter has not.
    machine.ns += 3600 * SECOND;
    machine.run(&mut clock, SECOND, MS);
    assert!(machine.run(&mut clock, SECOND, MS) < 5 * CALL_NS);
}

#[test]
fn a_counter_that_starts_again_does_no_harm() {
    let mut machine = Machine::new();
    let mut clock = machine.clock(0);
    machine.run(&mut clock, 3 * SECOND, MS);
    machine.ticks = 1000;
    assert!(machine.run(&mut clock, SECOND, MS) < 5 * CALL_NS);
    assert!(clock.counter.is_some());
}

#[test]
fn processors_may_differ_a_little() {
    let mut machine = Machine::new();
    let mut clock = machine.clock(0);
    machine.run(&mut clock, 2 * SECOND, MS);
    machine.calls = 0;
    for _ in 0..1000 {
        machine.ticks -= 60;
        machine.run(&mut clock, 100, 100);
        machine.ticks += 60;
        machine.run(&mut clock, 100, 100);
    }
    assert_eq!(machine.calls, 0);
}

#[test]
fn a_jump_forward_between_looks_is_made_good_without_going_back() {
    let mut machine = Machine::new();
    let mut clock = machine.clock(0);
    machine.run(&mut clock, 3 * SECOND, MS);
    machine.ticks += 3 * 300 * MS;
    machine.run(&mut clock, 2 * SECOND, MS);
    assert!(machine.run(&mut clock, SECOND, MS) < 5 * CALL_NS);
    assert!(clock.counter.is_some());
}

#[test]
fn another_rate_is_learnt() {
    let mut machine = Machine::new();
    let mut clock = machine.clock(0);
    machine.run(&mut clock, 3 * SECOND, MS);
    machine.per_1000_ns = 2200;
    machine.run(&mut clock, 2 * SECOND, MS);
    assert!(machine.run(&mut clock, 2 * SECOND, MS) < 5 * CALL_NS);
    assert!(clock.counter.is_some());
}

#[test]
fn a_counter_without_a_rate_is_given_up() {
    let mut machine = Machine::new();
    let mut clock = machine.clock(0);
    for step in 0..5000 {
        machine.per_1000_ns = 1000 + 500 * (step / 7 % 8);
        machine.run(&mut clock, MS, MS);
    }
    assert!(clock.counter.is_none());
    assert!(machine.run(&mut clock, SECOND, MS) <= CALL_NS);
}

#[test]
fn without_an_estimate_the_host_is_asked() {
    let mut machine = Machine::new();
    for mut clock in [Clock::of_host(), Clock::by_counter(extension::Clock::default())] {
        machine.calls = 0;
        machine.is_readable = false;
        let now = clock.monotonic_ns(&mut machine);
        assert!(machine.ns - now <= CALL_NS);
        assert!(clock.wall_ns(&mut machine) - machine.wall_ahead_ns - now <= 3 * CALL_NS);
        assert!(machine.calls >= 2);
    }
}

#[test]
fn the_wall_clock_follows_a_step_within_a_second() {
    let mut machine = Machine::new();
    let mut clock = machine.clock(100);
    let error = |clock: &mut Clock, machine: &mut Machine| {
        let wall = clock.wall_ns(machine);
        wall.abs_diff(machine.ns + machine.wall_ahead_ns)
    };
    assert!(error(&mut clock, &mut machine) < 5 * CALL_NS);
    machine.run(&mut clock, 2 * SECOND, MS);
    for step in [3600 * SECOND, 3_000 * MS] {
        machine.wall_ahead_ns -= step;
        assert!(error(&mut clock, &mut machine) > step / 2);
        machine.run(&mut clock, SECOND, MS);
        assert!(error(&mut clock, &mut machine) < 5 * CALL_NS);
    }
    // It runs on without a call, but for a look that may be due, as exact as the other.
    machine.calls = 0;
    machine.pass(100 * MS);
    assert!(error(&mut clock, &mut machine) < 5 * CALL_NS);
    assert!(machine.calls <= 2);
}

#[test]
fn whatever_the_host_says_the_clock_does_not_go_back() {
    // A generator of little quality, for the same values in each run.
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    struct Liar<R>(R);
    impl<R: FnMut() -> u64> Host for Liar<R> {
        fn counter(&mut self) -> u64 {
            (self.0)()
        }
        fn clock_ns(&mut self, _: i32) -> u64 {
            (self.0)()
        }
    }
    for _ in 0..2000 {
        let [counter, monotonic_ns] = [random(), random()];
        let scale = random() >> (random() % 64);
        let mut clock = Clock::by_counter(extension::Clock { counter, monotonic_ns, scale });
        let (mut liar, mut last) = (Liar(&mut random), 0);
        for _ in 0..20 {
            let now = clock.monotonic_ns(&mut liar);
            assert!(now >= last);
            last = now;
            let _ = clock.wall_ns(&mut liar);
        }
    }
}
