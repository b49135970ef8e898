//! What a guest must know to read the time from the processor's cycle counter: whether it may, and how
//! the counter runs against the monotonic clock. It is measured between the tender's start and the
//! guest's, so it costs no time of its own. The guest keeps it right from then on.

use std::fs::File;
use std::io::Read;

use nix::time::{ClockId, clock_gettime};
use solo5_sys::extension::Clock;

/// The clocks' source, as the kernel has it now.
const CURRENT: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// Whether guests can rely on the counter and may read it.
///
/// The kernel's own choice says all that matters: it takes the counter for its clocks only if that runs
/// at one rate, on all processors alike and in idle, and watches it. Where a hypervisor has a clock of
/// its own, Linux still prefers an invariant counter. Rejected: to ask `cpuid` as well, which says less,
/// and traps in virtual machines.
pub(crate) fn is_counter_usable() -> bool {
    let mut name = [0; 8];
    let read = File::open(CURRENT).and_then(|mut file| file.read(&mut name));
    read.is_ok_and(|bytes| name[..bytes] == *b"tsc\n") && is_counter_readable()
}

/// Whether this process, and so the guest, may read the counter at all.
fn is_counter_readable() -> bool {
    let mut setting: libc::c_int = 0;
    // SAFETY: the call writes one integer at the pointer.
    let result = unsafe { libc::prctl(libc::PR_GET_TSC, &raw mut setting) };
    result == 0 && setting == libc::PR_TSC_ENABLE
}

/// Counter and clock at the same moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    counter: u64,
    monotonic_ns: u64,
}

impl Reading {
    /// Reads both, `None` without such a clock. The counter must be readable.
    pub(crate) fn take() -> Option<Self> {
        // Of a few attempts the one that was not interrupted.
        const ATTEMPTS: usize = 3;
        let attempt = |_| {
            let before = counter();
            let time = clock_gettime(ClockId::CLOCK_MONOTONIC).ok()?;
            let ticks = counter().saturating_sub(before);
            let seconds_ns = u64::try_from(time.tv_sec()).ok()?.checked_mul(1_000_000_000)?;
            let monotonic_ns = seconds_ns + u64::try_from(time.tv_nsec()).ok()?;
            Some((ticks, Self { counter: before + ticks / 2, monotonic_ns }))
        };
        let best = (0..ATTEMPTS).filter_map(attempt).min_by_key(|(ticks, _)| *ticks);
        best.map(|(_, reading)| reading)
    }

    /// How the counter has run from this reading to a later one, `None` if it has not.
    pub(crate) fn clock_until(self, later: Self) -> Option<Clock> {
        let ticks = later.counter.checked_sub(self.counter)?;
        let elapsed_ns = later.monotonic_ns.checked_sub(self.monotonic_ns)?;
        let scale = (u128::from(elapsed_ns) << 32).checked_div(ticks.into())?;
        let scale = u64::try_from(scale).ok().filter(|&scale| scale > 0)?;
        Some(Clock { counter: later.counter, monotonic_ns: later.monotonic_ns, scale })
    }
}

fn counter() -> u64 {
    // SAFETY: whoever takes a reading has made sure that the counter can be read.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(counter: u64, monotonic_ns: u64) -> Reading {
        Reading { counter, monotonic_ns }
    }

    #[test]
    fn the_scale_is_time_by_ticks() {
        // 3 GHz for half a millisecond.
        let clock = reading(1000, 50).clock_until(reading(1_501_000, 500_050));
        assert_eq!(
            clock,
            Some(Clock { counter: 1_501_000, monotonic_ns: 500_050, scale: (1 << 32) / 3 })
        );
    }

    #[test]
    fn a_counter_that_stands_or_goes_back_is_none() {
        assert_eq!(reading(5, 5).clock_until(reading(5, 6)), None);
        assert_eq!(reading(5, 5).clock_until(reading(4, 6)), None);
        assert_eq!(reading(5, 5).clock_until(reading(6, 5)), None);
        assert_eq!(reading(0, 0).clock_until(reading(1, u64::MAX)), None);
    }

    #[test]
    fn readings_go_forward() {
        if is_counter_usable() {
            let first = Reading::take().unwrap();
            assert!(first.clock_until(Reading::take().unwrap()).is_some());
        }
    }
}
