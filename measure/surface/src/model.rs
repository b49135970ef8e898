//! What one virtual machine tells, in an order that does not change from run to run. Nothing of the
//! host and no date is in it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// One system under one workload.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Run {
    /// What was measured, such as `nabla-tap`.
    pub system: String,
    /// What it did, such as `httpd`.
    pub workload: String,
    /// What the virtual machine's random numbers began with.
    pub seed: u64,
    /// The kernel.
    pub kernel: KernelId,
    /// What happened, in order.
    pub phases: Vec<Phase>,
    /// What its processes were permitted.
    pub policies: Vec<Policy>,
}

/// The kernel that was looked at.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct KernelId {
    /// As `uname -r` says.
    pub release: String,
    /// As `uname -v` says.
    pub version: String,
    /// How many functions the tracer knows.
    pub traceable: u32,
    /// How many system calls this kernel has.
    pub calls: u32,
}

/// A time in which functions were recorded.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Phase {
    /// `start`, `steady`, `exit` or `fuzz`.
    pub name: String,
    /// The how manieth of this name, from 0.
    pub repeat: u32,
    /// Requests that were answered in it.
    pub requests: u32,
    /// Records of the tracer.
    pub events: u64,
    /// Who was traced.
    pub roles: BTreeMap<String, Role>,
    /// How a fuzzer got on; empty for others.
    pub progress: Vec<Progress>,
}

/// The processes of one kind.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Role {
    /// How many.
    pub processes: u32,
    /// What they did, by system call, or by another reason to be in the kernel, such as `(page fault)`.
    pub calls: BTreeMap<String, Call>,
}

/// What one system call did.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Call {
    /// How often it was made.
    pub count: u64,
    /// The functions reached in the process's own context.
    pub functions: BTreeSet<String>,
    /// Those reached by interrupts that came meanwhile.
    pub interrupts: BTreeSet<String>,
}

/// How far a fuzzer was.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// System calls made.
    pub calls: u64,
    /// Functions reached.
    pub functions: u32,
}

/// What a process was permitted by the filters that were installed.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Whose.
    pub role: String,
    /// How many filters there are. With none, everything is permitted and `calls` is empty.
    pub filters: u32,
    /// By name.
    pub calls: Vec<Permitted>,
}

/// A system call that a policy permits.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Permitted {
    /// Its name.
    pub name: String,
    /// Whether it depends on arguments or on the place of the call.
    pub conditional: bool,
}

/// The machine code of a kernel's functions.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct KernelCode {
    /// As `uname -r` says.
    pub release: String,
    /// By name.
    pub functions: BTreeMap<String, Code>,
}

/// The machine code of one function.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Code {
    /// Its size.
    pub bytes: u32,
    /// Decision points and one (McCabe 1976).
    pub complexity: u32,
}

impl Role {
    /// Adds what another process of the same kind did.
    pub fn add(&mut self, other: Self) {
        self.processes += other.processes;
        for (name, call) in other.calls {
            let mine = self.calls.entry(name).or_default();
            mine.count += call.count;
            mine.functions.extend(call.functions);
            mine.interrupts.extend(call.interrupts);
        }
    }
}
