//! The policy: which system calls a guest may make, with which arguments.
//!
//! A [`Policy`] is a plain value: the code that may make calls, and a list of rules of which one
//! must hold. From it are made the seccomp filter ([`filter`], a program in the form of [`bpf`])
//! and the table that people read. It is derived from the manifest and the granted features
//! alone; devices contribute their rules ([`crate::device`]). Nothing here talks to the kernel.

pub mod bpf;
pub mod filter;

use std::fmt;

use solo5_sys::extension::{Features, Request, Rings, Stub};
use solo5_sys::hypercall::{ARCH_SET_FS, CLOCK_MONOTONIC, CLOCK_REALTIME, CONSOLE_FD};
use solo5_sys::manifest::{Attachment, DeviceKind, Manifest};

use crate::descriptors;
use crate::device::{block, net, ring};

/// A system call that some policy permits; those that a guest makes all the time come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Call {
    /// `read`.
    Read,
    /// `write`.
    Write,
    /// `ppoll`.
    Ppoll,
    /// `epoll_pwait`, of guests that don't know `ppoll`.
    EpollPwait,
    /// `timerfd_settime`, of guests that don't know `ppoll`.
    TimerfdSettime,
    /// `pread64`.
    Pread64,
    /// `pwrite64`.
    Pwrite64,
    /// `clock_gettime`.
    ClockGettime,
    /// `exit_group`.
    ExitGroup,
    /// `arch_prctl`, of guests with thread-local storage.
    ArchPrctl,
}

impl Call {
    /// Its name in the manual.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Ppoll => "ppoll",
            Self::Pread64 => "pread64",
            Self::Pwrite64 => "pwrite64",
            Self::ClockGettime => "clock_gettime",
            Self::ExitGroup => "exit_group",
            Self::TimerfdSettime => "timerfd_settime",
            Self::EpollPwait => "epoll_pwait",
            Self::ArchPrctl => "arch_prctl",
        }
    }

    /// Its number on this architecture.
    pub const fn number(self) -> i64 {
        match self {
            Self::Read => libc::SYS_read,
            Self::Write => libc::SYS_write,
            Self::Ppoll => libc::SYS_ppoll,
            Self::Pread64 => libc::SYS_pread64,
            Self::Pwrite64 => libc::SYS_pwrite64,
            Self::ClockGettime => libc::SYS_clock_gettime,
            Self::ExitGroup => libc::SYS_exit_group,
            Self::TimerfdSettime => libc::SYS_timerfd_settime,
            Self::EpollPwait => libc::SYS_epoll_pwait,
            Self::ArchPrctl => libc::SYS_arch_prctl,
        }
    }
}

/// How much of an argument's register counts: as much as the kernel looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// An `int`: the lower half.
    Bits32,
    /// A pointer, size or offset.
    Bits64,
}

/// How an argument is compared, unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// It equals the value.
    Equal,
    /// It is the value or less.
    AtMost,
}

/// What must hold for one argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Which argument, from 0 to 5.
    pub argument: u8,
    /// Its name, for people.
    pub name: &'static str,
    /// How much of it counts.
    pub width: Width,
    /// How it is compared.
    pub comparison: Comparison,
    /// With what.
    pub value: u64,
    /// What the value means, for people; empty if it speaks for itself.
    pub meaning: String,
}

impl Condition {
    /// Argument 0 is the descriptor `fd`.
    pub fn descriptor(fd: i32, meaning: impl Into<String>) -> Self {
        Self::int(0, "fd", Comparison::Equal, fd.unsigned_abs(), meaning)
    }

    /// An `int` argument.
    pub fn int(
        argument: u8,
        name: &'static str,
        comparison: Comparison,
        value: u32,
        meaning: impl Into<String>,
    ) -> Self {
        let (value, meaning) = (u64::from(value), meaning.into());
        Self { argument, name, width: Width::Bits32, comparison, value, meaning }
    }

    /// A size or an offset.
    pub fn long(
        argument: u8,
        name: &'static str,
        comparison: Comparison,
        value: u64,
        meaning: impl Into<String>,
    ) -> Self {
        let meaning = meaning.into();
        Self { argument, name, width: Width::Bits64, comparison, value, meaning }
    }

    /// A pointer that must be null.
    pub fn null(argument: u8, name: &'static str) -> Self {
        Self::long(argument, name, Comparison::Equal, 0, "NULL")
    }

    /// Whether no call can meet both conditions.
    fn excludes(&self, other: &Self) -> bool {
        let equal = |condition: &Self| condition.comparison == Comparison::Equal;
        let same_argument = (self.argument, self.width) == (other.argument, other.width);
        same_argument && equal(self) && equal(other) && self.value != other.value
    }

    /// Whether the arguments of a call meet the condition.
    pub fn holds(&self, arguments: &[u64; 6]) -> bool {
        let raw = arguments[usize::from(self.argument)];
        let found = match self.width {
            Width::Bits32 => raw & u64::from(u32::MAX),
            Width::Bits64 => raw,
        };
        match self.comparison {
            Comparison::Equal => found == self.value,
            Comparison::AtMost => found <= self.value,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.comparison {
            Comparison::Equal => "=",
            Comparison::AtMost => "<=",
        };
        if self.meaning.is_empty() {
            write!(f, "{} {sign} {}", self.name, self.value)
        } else {
            write!(f, "{} {sign} {}", self.name, self.meaning)
        }
    }
}

/// A permitted call: all conditions must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The call.
    pub call: Call,
    /// What must hold for its arguments.
    pub conditions: Vec<Condition>,
}

impl Rule {
    /// A rule.
    pub fn new(call: Call, conditions: impl Into<Vec<Condition>>) -> Self {
        Self { call, conditions: conditions.into() }
    }
}

/// How a guest waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// By `ppoll` on its network devices, and on what asks it to end.
    Ppoll,
    /// By an epoll set that holds a timer, as Solo5's bindings do.
    Epoll {
        /// The epoll set.
        epoll_fd: i32,
        /// The timer.
        timer_fd: i32,
    },
}

impl Waiting {
    /// How a guest with these attached devices and granted features waits.
    pub fn of(manifest: &Manifest, granted: &Request) -> Self {
        if granted.features.contains(Features::PPOLL) {
            return Self::Ppoll;
        }
        let devices = manifest.attached().count();
        Self::Epoll {
            epoll_fd: descriptors::number(devices),
            timer_fd: descriptors::number(devices + 1),
        }
    }
}

/// The code that may make calls, by the addresses that the kernel sees: those behind the
/// instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Callers {
    /// The lowest.
    pub first: u64,
    /// The highest.
    pub last: u64,
}

impl Callers {
    /// Any code in guest memory that ends at `memory_end`.
    pub const fn anywhere(memory_end: u64) -> Self {
        Self { first: 0, last: memory_end }
    }

    /// The stub and no other code.
    pub const fn stub(stub: Stub) -> Self {
        const INSTRUCTION_BYTES: u64 = 2;
        Self { first: stub.start + INSTRUCTION_BYTES, last: stub.end }
    }
}

impl fmt::Display for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self { first: 0, last } => write!(f, "anywhere in guest memory, below {last:#x}"),
            Self { first, last } if first == last => write!(f, "the instruction before {last:#x}"),
            Self { first, last } => write!(f, "the instructions before {first:#x} to {last:#x}"),
        }
    }
}

/// Everything that a guest may ask of the kernel. Whatever no rule permits kills it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    callers: Callers,
    rules: Vec<Rule>,
}

impl Policy {
    /// The policy of a guest with these attached devices, in memory that ends at `memory_end`.
    ///
    /// `granted` holds the features in force, and `rings` the network devices that are rings; devices
    /// without an attachment get no rules.
    pub fn new(manifest: &Manifest, granted: &Request, rings: &Rings, memory_end: u64) -> Self {
        let mut rules = baseline_rules();
        rules.extend(waiting_rules(manifest, granted));
        if !granted.features.contains(Features::NO_TLS) {
            let code =
                Condition::int(0, "code", Comparison::Equal, ARCH_SET_FS as u32, "ARCH_SET_FS");
            rules.push(Rule::new(Call::ArchPrctl, [code]));
        }
        for (index, device) in manifest.devices() {
            match device.attachment {
                None => {}
                Some(Attachment::Net { fd, .. }) => rules.extend(match rings.of(index) {
                    None => net::rules(&device.name, fd),
                    Some((_, gateway)) => ring::rules(&device.name, fd, gateway),
                }),
                Some(Attachment::Block { capacity_bytes, block_bytes, fd }) => {
                    let transfers = block::Transfers {
                        fd,
                        capacity_bytes,
                        block_bytes,
                        multi_block: granted.features.contains(Features::MULTI_BLOCK),
                        read_only: granted.only_reads(index),
                    };
                    rules.extend(transfers.rules(&device.name));
                }
            }
        }
        rules.sort_by_key(|rule| rule.call);
        let callers = match granted.features.contains(Features::STUB) {
            true => Callers::stub(granted.stub),
            false => Callers::anywhere(memory_end),
        };
        Self { callers, rules }
    }

    /// The code that may make calls.
    pub fn callers(&self) -> Callers {
        self.callers
    }

    /// The rules, those of one call together.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The permitted calls, each once.
    pub fn calls(&self) -> Vec<Call> {
        let mut calls: Vec<Call> = self.rules.iter().map(|rule| rule.call).collect();
        calls.dedup();
        calls
    }

    /// One line: how many calls there are and which.
    pub fn summary(&self) -> String {
        let names: Vec<&str> = self.calls().into_iter().map(Call::name).collect();
        format!("{} system calls: {}", names.len(), names.join(", "))
    }
}

impl fmt::Display for Policy {
    /// Where calls may come from, then one rule a line, all indented.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {:<16}{}", "from", self.callers)?;
        for rule in &self.rules {
            let conditions: Vec<String> =
                rule.conditions.iter().map(Condition::to_string).collect();
            writeln!(
                f,
                "{}",
                format!("  {:<16}{}", rule.call.name(), conditions.join(", ")).trim_end()
            )?;
        }
        Ok(())
    }
}

fn baseline_rules() -> Vec<Rule> {
    let clock = |id: i32, meaning| {
        let condition = Condition::int(0, "clock", Comparison::Equal, id.unsigned_abs(), meaning);
        Rule::new(Call::ClockGettime, [condition])
    };
    vec![
        Rule::new(Call::Write, [Condition::descriptor(CONSOLE_FD, "console")]),
        clock(CLOCK_REALTIME, "CLOCK_REALTIME"),
        clock(CLOCK_MONOTONIC, "CLOCK_MONOTONIC"),
        Rule::new(Call::ExitGroup, []),
    ]
}

fn waiting_rules(manifest: &Manifest, granted: &Request) -> Vec<Rule> {
    match Waiting::of(manifest, granted) {
        Waiting::Ppoll => {
            let nets = manifest.devices().filter(|(_, d)| d.kind == DeviceKind::Net).count();
            let shutdown = u32::from(granted.features.contains(Features::SHUTDOWN));
            let count = Condition::int(1, "nfds", Comparison::AtMost, nets as u32 + shutdown, "");
            vec![Rule::new(Call::Ppoll, [count, Condition::null(3, "sigmask")])]
        }
        Waiting::Epoll { epoll_fd, timer_fd } => {
            let absolute = libc::TFD_TIMER_ABSTIME.unsigned_abs();
            let settime = [
                Condition::descriptor(timer_fd, "timer"),
                Condition::int(1, "flags", Comparison::Equal, absolute, "TFD_TIMER_ABSTIME"),
                Condition::null(3, "old_value"),
            ];
            let wait = [Condition::descriptor(epoll_fd, "epoll"), Condition::null(4, "sigmask")];
            vec![Rule::new(Call::TimerfdSettime, settime), Rule::new(Call::EpollPwait, wait)]
        }
    }
}
