//! What seccomp filters permit, told from their instructions alone: every system call is asked for
//! with arguments and a caller that are not known, and all ways through the filters are followed.
//! Nothing is installed or run, and a hostile filter costs a bounded amount of work.

mod program;
mod search;
mod words;

pub use program::{Data, Instruction, Invalid, Program};

use crate::calls;
use crate::model::Permitted;

/// `AUDIT_ARCH_X86_64` (`linux/audit.h`).
pub const X86_64: u32 = 0xC000_003E;
/// `AUDIT_ARCH_I386`.
pub const I386: u32 = 0x4000_0003;
/// `__X32_SYSCALL_BIT` (`asm/unistd.h`): set in the numbers of x32, whose architecture is x86-64's.
pub const X32: u32 = 0x4000_0000;

/// Most instructions that a stack of filters may have, a few for each filter included
/// (`MAX_INSNS_PER_PATH` in Linux's `kernel/seccomp.c`).
const MAX_INSTRUCTIONS: usize = 32_768;
/// What Linux adds for each filter of a stack.
const PENALTY: usize = 4;

/// The filters of one thread. With none, everything is permitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    programs: Vec<Program>,
}

/// Whether a system call is permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// With no arguments and from nowhere.
    Never,
    /// With some arguments, from some addresses, or if another process agrees.
    Sometimes,
    /// With any arguments and from anywhere.
    Always,
}

/// What is known of one system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether it is permitted. Where that could not be told, it is `Sometimes`.
    pub permission: Permission,
    /// Whether that is proven.
    pub exact: bool,
    /// A call that is permitted.
    pub permitted: Option<Data>,
    /// A call that is not.
    pub refused: Option<Data>,
}

/// How many system calls of other ABIs a thread may make, of the numbers that x86-64 uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Foreign {
    /// Of x32.
    pub x32: u32,
    /// Of i386.
    pub i386: u32,
}

/// What a filter, or a stack of filters, says about a call: the lower wins (seccomp(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// The call is not made.
    Refused,
    /// A tracer or a supervisor is asked.
    Deferred,
    /// The call is made.
    Permitted,
}

impl Verdict {
    /// From a filter's value, as `__seccomp_filter` of Linux 6.1 treats it: an action that it does not
    /// know ends the process.
    const fn of(value: u32) -> Self {
        match value & 0xFFFF_0000 {
            0x7FFF_0000 | 0x7FFC_0000 => Self::Permitted, // SECCOMP_RET_ALLOW, _LOG
            0x7FF0_0000 | 0x7FC0_0000 => Self::Deferred,  // SECCOMP_RET_TRACE, _USER_NOTIF
            _ => Self::Refused,
        }
    }
}

impl Filters {
    /// A stack of filters, in any order.
    ///
    /// # Errors
    /// [`Invalid`] when Linux would not have installed one of them.
    pub fn new(filters: &[Vec<Instruction>]) -> Result<Self, Invalid> {
        let all: usize = filters.iter().map(|filter| filter.len().saturating_add(PENALTY)).sum();
        if all > MAX_INSTRUCTIONS {
            return Err(Invalid::Long { instructions: all, most: MAX_INSTRUCTIONS });
        }
        let programs =
            filters.iter().map(|filter| Program::new(filter)).collect::<Result<_, _>>()?;
        Ok(Self { programs })
    }

    /// Whether the call of that number is permitted to code of that architecture.
    pub fn ask(&self, architecture: u32, number: u32) -> Answer {
        search::ask(&self.programs, architecture, number)
    }

    /// What the filters say about one call of which everything is known.
    pub(crate) fn run(&self, data: &Data) -> Verdict {
        run(&self.programs, data)
    }

    /// Whether that very call is made: what another process is asked about is not.
    pub fn permits(&self, data: &Data) -> bool {
        self.run(data) == Verdict::Permitted
    }

    /// The system calls of Linux 6.1 on x86-64 that are permitted, by name.
    pub fn permitted(&self) -> Vec<Permitted> {
        let asked = calls::ALL.iter().filter_map(|(number, name)| {
            let permission = self.ask(X86_64, *number).permission;
            let conditional = permission == Permission::Sometimes;
            (permission > Permission::Never)
                .then(|| Permitted { name: (*name).to_owned(), conditional })
        });
        let mut calls: Vec<_> = asked.collect();
        calls.sort();
        calls
    }

    /// How much of other ABIs is permitted, each of which has entry points of its own in the kernel.
    pub fn foreign(&self) -> Foreign {
        let count = |architecture, bit| {
            let asked = (0..=calls::LAST).filter(|number| {
                self.ask(architecture, number | bit).permission > Permission::Never
            });
            asked.count().try_into().unwrap_or(u32::MAX)
        };
        Foreign { x32: count(X86_64, X32), i386: count(I386, 0) }
    }
}

fn run(programs: &[Program], data: &Data) -> Verdict {
    let verdicts = programs.iter().map(|program| Verdict::of(program.run(data)));
    verdicts.min().unwrap_or(Verdict::Permitted)
}

#[cfg(test)]
mod tests;
