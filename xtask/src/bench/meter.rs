//! For how long processors run: those that serve, and all of the machine's.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::process::Process;

/// The kernel's unit in `/proc/stat`, the same on every machine with x86-64.
const TICK_NS: u64 = 10_000_000;

/// What goes elsewhere on a machine that does nothing else.
const QUIET_PERCENT: u64 = 10;

/// What the clocks of some processes and of the machine say at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The processes' time on a processor.
    pub(crate) watched_ns: u64,
    /// This process's.
    pub(crate) own_ns: u64,
    /// The machine's time that was not idle, interrupts included.
    pub(crate) busy_ns: u64,
}

impl Reading {
    /// Reads the clocks. A process that has ended counts nothing.
    ///
    /// # Errors
    /// If the kernel has no such clocks.
    pub(crate) fn take(watched: &[i32]) -> Result<Self> {
        let text = fs::read_to_string("/proc/stat").context("/proc/stat")?;
        let own = std::process::id().cast_signed();
        Ok(Self {
            watched_ns: watched.iter().filter_map(|&id| run_ns(id)).sum(),
            own_ns: run_ns(own).context("this kernel does not count for how long programs run")?,
            busy_ns: busy_ns(&text).context("/proc/stat: no line of the machine")?,
        })
    }

    /// How far the clocks have come since an earlier reading.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            watched_ns: self.watched_ns.saturating_sub(earlier.watched_ns),
            own_ns: self.own_ns.saturating_sub(earlier.own_ns),
            busy_ns: self.busy_ns.saturating_sub(earlier.busy_ns),
        }
    }

    /// The part of all processors' time that went elsewhere, in per cent: other programs, and what
    /// the kernel does in nobody's name.
    pub(crate) fn others_percent(&self, elapsed_ns: u64) -> u64 {
        let processors = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
        let others_ns = self.busy_ns.saturating_sub(self.watched_ns + self.own_ns);
        others_ns.saturating_mul(100) / elapsed_ns.saturating_mul(processors).max(1)
    }

    /// As JSON.
    pub(crate) fn to_json(self) -> Value {
        json!({
            "server_ns": self.watched_ns,
            "client_ns": self.own_ns,
            "machine_ns": self.busy_ns,
        })
    }

    /// Reads what [`Self::to_json`] writes.
    ///
    /// # Errors
    /// If it is something else.
    pub(crate) fn from_json(value: &Value) -> Result<Self> {
        let number = |name: &str| value[name].as_u64().with_context(|| format!("no {name}"));
        Ok(Self {
            watched_ns: number("server_ns")?,
            own_ns: number("client_ns")?,
            busy_ns: number("machine_ns")?,
        })
    }
}

/// A line about a machine that was not quiet, from how much went elsewhere in each run.
pub(crate) fn unrest(mut percents: Vec<u64>) -> Option<String> {
    percents.sort_unstable();
    let middle = *percents.get(percents.len() / 2)?;
    let most = *percents.last()?;
    (most > QUIET_PERCENT).then(|| {
        format!("the machine was not quiet: others had {middle} % of it, at times {most} %")
    })
}

/// A process and all that it has started, those included that these have started.
///
/// # Errors
/// If there is no /proc.
pub(crate) fn family(root: i32) -> Result<Vec<i32>> {
    let all = Process::all()?;
    let mut family = vec![root];
    let mut at = 0;
    while let Some(&parent) = family.get(at) {
        let children = all.iter().filter(|process| process.parent == parent);
        family.extend(children.map(|process| process.id));
        at += 1;
    }
    Ok(family)
}

/// For how long all threads of a process have run.
fn run_ns(id: i32) -> Option<u64> {
    let threads = fs::read_dir(format!("/proc/{id}/task")).ok()?;
    let run = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    run.reduce(|sum, one| sum + one)
}

/// The time of all processors that was not idle. What the host of a virtual machine has taken is
/// not counted.
fn busy_ns(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Vec<u64> =
        line.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    // user, nice, system, idle, iowait, irq, softirq; the guests' time is in user's.
    let [user, nice, system, _idle, _iowait, irq, softirq, ..] = fields[..] else { return None };
    Some((user + nice + system + irq + softirq) * TICK_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_idle_does_not_count() {
        let text = "cpu  1 2 3 1000 100 4 5 50 7 7\ncpu0 9 9 9 9 9 9 9 9 9 9\n";
        assert_eq!(busy_ns(text), Some(15 * TICK_NS));
        assert_eq!(busy_ns("cpu0 1 2 3"), None);
    }

    #[test]
    fn a_machine_that_is_not_quiet_is_told() {
        let reading = Reading { watched_ns: 1, own_ns: 2, busy_ns: 3 };
        assert_eq!(reading.others_percent(1_000_000), 0);
        assert_eq!(unrest(vec![10, 0, 3]), None);
        assert!(unrest(vec![50, 0, 11]).unwrap().contains("had 11 % of it, at times 50 %"));
        assert_eq!(unrest(Vec::new()), None);
    }

    #[test]
    fn clocks_go_on() {
        let own = std::process::id().cast_signed();
        let before = Reading::take(&[own]).unwrap();
        let sum = (0..1_000_000u64).fold(0, |sum, number| std::hint::black_box(sum ^ number));
        assert_ne!(sum, 1);
        let after = Reading::take(&[own, i32::MAX]).unwrap().since(&before);
        assert!(after.own_ns > 0 && after.watched_ns > 0, "{after:?}");
        assert_eq!(Reading::from_json(&after.to_json()).unwrap(), after);
    }

    #[test]
    fn a_family_has_its_children() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let family = family(std::process::id().cast_signed());
        let has_child = family.is_ok_and(|family| family.contains(&child.id().cast_signed()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(has_child);
    }
}
