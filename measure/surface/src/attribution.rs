//! Which system call, or which other reason to be in the kernel, a function was entered for; and
//! whether by the task itself or by an interrupt that came meanwhile.
//!
//! Each task has a stack of the functions that it is in, as far as the tracer's records tell: a record's
//! caller is looked for from the top, what lies above it has returned, and the function is put on it.
//! Callers that the tracer does not see are put on the stack when they are named first.
//! The bottom of a stack says why the task is in the kernel.
//!
//! # What counts as what
//! - A system call begins with `do_syscall_64`'s functions (those of filters and of tracers among them) and ends
//!   with `syscall_exit_to_user_mode`'s. A page fault meanwhile is a part of it.
//! - `(page fault)`: one in user mode, with the way back there. `(signal)`: the delivery of one, wherever.
//!   `(exit)`: the end of a task that did not ask for it. `(start)`: a new task's way to user mode.
//!   `(refused)`: a call that a filter or a tracer kept from being made. `(other)`: all else, such as what a
//!   task did that was in the kernel when the tracer came.
//! - Interrupts: what is flagged hardirq, softirq or NMI; what stands above `sysvec_*`, `common_interrupt`,
//!   `handle_softirqs` and their like; and the way back to user mode from an interrupt.

mod kind;
mod task;

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Call, Role};
use crate::pages::Entry;
use crate::symbols::{Function, Symbols};
use kind::Kind;
pub use kind::is_landmark;
use task::Task;

/// Gathers what tasks did.
#[derive(Debug)]
pub struct Attribution<'a> {
    symbols: &'a Symbols,
    kinds: Vec<Kind>,
    tasks: BTreeMap<i32, Task>,
    unknown: u64,
}

/// Why a task is in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Context {
    Call(Function),
    Fault,
    Signal,
    Exit,
    Start,
    Refused,
    Other,
}

/// Functions as bits, since there is one of these to be set for each record.
#[derive(Clone, Debug, Default)]
struct Set(Vec<u64>);

#[derive(Clone, Debug, Default)]
struct Gathered {
    count: u64,
    functions: Set,
    interrupts: Set,
}

impl<'a> Attribution<'a> {
    /// Knows no task yet.
    pub fn new(symbols: &'a Symbols) -> Self {
        let kinds = symbols.all().map(|(function, name)| match symbols.call(function) {
            Some(_) => Kind::Entry,
            None => Kind::of(name),
        });
        Self { symbols, kinds: kinds.collect(), tasks: BTreeMap::new(), unknown: 0 }
    }

    /// Tells of a task that runs already, and of the system call that it is in, by its entry.
    /// A task of which nobody tells is `(other)` until it comes from user mode.
    pub fn attach(&mut self, pid: i32, call: Option<Function>) {
        self.tasks.insert(pid, Task::new(call));
    }

    /// Takes a record.
    pub fn enter(&mut self, entry: &Entry) {
        let Some(function) = self.symbols.at(entry.ip) else {
            self.unknown += 1;
            return;
        };
        let caller = self.symbols.before(entry.parent);
        let kinds = &self.kinds;
        let kind = |function: Function| kinds.get(function.index()).copied().unwrap_or_default();
        let task = self.tasks.entry(entry.pid).or_insert_with(|| Task::new(None));
        let (function, caller) = (
            task::Place { function, kind: kind(function) },
            caller.map(|caller| task::Place { function: caller, kind: kind(caller) }),
        );
        task.enter(function, caller, entry.flags);
    }

    /// Records of functions that have no symbol.
    pub const fn unknown(&self) -> u64 {
        self.unknown
    }

    /// The functions that any task entered so far, interrupts among them or not.
    pub fn functions(&self, interrupts: bool) -> BTreeSet<&'a str> {
        let mut all = Set::default();
        for gathered in self.tasks.values().flat_map(|task| task.gathered.values()) {
            all.add(&gathered.functions);
            if interrupts {
                all.add(&gathered.interrupts);
            }
        }
        all.iter().map(|function| self.symbols.name(function)).collect()
    }

    /// What each task did since the last time, and forgets it; where the tasks are it does not forget.
    /// Each is told as one process. Tasks that did nothing are left out.
    pub fn take(&mut self) -> BTreeMap<i32, Role> {
        let symbols = self.symbols;
        let mut roles = BTreeMap::new();
        for (&pid, task) in &mut self.tasks {
            let gathered = task.take();
            if gathered.is_empty() {
                continue;
            }
            let mut role = Role { processes: 1, ..Role::default() };
            for (context, gathered) in gathered {
                let call = role.calls.entry(context.name(symbols).to_owned()).or_default();
                gathered.add_to(call, symbols);
            }
            roles.insert(pid, role);
        }
        roles
    }
}

impl Context {
    fn name(self, symbols: &Symbols) -> &str {
        match self {
            Self::Call(function) => symbols.call(function).unwrap_or("(other)"),
            Self::Fault => "(page fault)",
            Self::Signal => "(signal)",
            Self::Exit => "(exit)",
            Self::Start => "(start)",
            Self::Refused => "(refused)",
            Self::Other => "(other)",
        }
    }
}

impl Gathered {
    fn add_to(&self, call: &mut Call, symbols: &Symbols) {
        let names =
            |set: &Set| set.iter().map(|function| symbols.name(function).to_owned()).collect();
        let functions: BTreeSet<String> = names(&self.functions);
        let interrupts: BTreeSet<String> = names(&self.interrupts);
        call.count += self.count;
        call.functions.extend(functions);
        call.interrupts.extend(interrupts);
    }
}

impl Set {
    fn insert(&mut self, function: Function) {
        let (word, bit) = (function.index() / 64, function.index() % 64);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << bit;
    }

    fn add(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (mine, others) in self.0.iter_mut().zip(&other.0) {
            *mine |= others;
        }
    }

    fn iter(&self) -> impl Iterator<Item = Function> {
        let bits = self.0.iter().enumerate();
        bits.flat_map(|(word, &bits)| {
            let set = (0..64).filter(move |bit| bits >> bit & 1 == 1);
            set.map(move |bit| Function::new(word * 64 + bit))
        })
    }
}

#[cfg(test)]
mod tests;
