//! Compiles a [`Policy`] to the classic BPF program that seccomp runs at every system call.
//!
//! Whatever the policy does not permit kills the process: other calls, other arguments, other
//! architectures' entry points. The program is made by seccompiler; that it says what the policy
//! says is what this module's tests check, with an interpreter of their own.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use super::{Comparison, Condition, Policy, Rule, Width};

/// Bytes of an instruction (`struct sock_filter`).
pub const INSTRUCTION_BYTES: usize = 8;
/// Most instructions that the kernel takes.
pub const INSTRUCTIONS_MAX: usize = 4096;

/// Why a policy cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Too many devices.
    #[error(
        "the unikernel declares more devices than one system call filter can hold \
         (its policy takes {0} instructions of at most {INSTRUCTIONS_MAX})"
    )]
    TooLarge(usize),
    /// A refusal by seccompiler that no policy should cause.
    #[error("cannot compile the system call policy: {0}")]
    Compile(String),
}

/// A compiled policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    program: BpfProgram,
}

impl Filter {
    /// Compiles a policy for x86-64.
    ///
    /// # Errors
    /// If the program would be too long.
    pub fn compile(policy: &Policy) -> Result<Self, Error> {
        let filter = SeccompFilter::new(
            rules_by_number(policy)?,
            SeccompAction::KillProcess,
            SeccompAction::Allow,
            TargetArch::x86_64,
        )
        .map_err(explain)?;
        Ok(Self { program: BpfProgram::try_from(filter).map_err(explain)? })
    }

    /// The instructions.
    pub fn instructions(&self) -> &[sock_filter] {
        &self.program
    }

    /// The program as the kernel reads it.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.program
            .iter()
            .flat_map(|instruction| {
                let mut raw = [0; INSTRUCTION_BYTES];
                raw[..2].copy_from_slice(&instruction.code.to_le_bytes());
                raw[2..4].copy_from_slice(&[instruction.jt, instruction.jf]);
                raw[4..].copy_from_slice(&instruction.k.to_le_bytes());
                raw
            })
            .collect()
    }
}

fn rules_by_number(policy: &Policy) -> Result<BTreeMap<i64, Vec<SeccompRule>>, Error> {
    let mut rules = BTreeMap::new();
    for call in policy.calls() {
        let of_call: Vec<&Rule> = policy.rules().iter().filter(|rule| rule.call == call).collect();
        // To seccompiler a call without rules is one that is always permitted.
        let unconditional = of_call.iter().any(|rule| rule.conditions.is_empty());
        let compiled = if unconditional {
            Vec::new()
        } else {
            of_call.into_iter().map(compile_rule).collect::<Result<_, _>>()?
        };
        rules.insert(call.number(), compiled);
    }
    Ok(rules)
}

fn compile_rule(rule: &Rule) -> Result<SeccompRule, Error> {
    let conditions: Result<Vec<_>, _> = rule.conditions.iter().map(compile_condition).collect();
    SeccompRule::new(conditions?).map_err(explain)
}

fn compile_condition(condition: &Condition) -> Result<SeccompCondition, Error> {
    let width = match condition.width {
        Width::Bits32 => SeccompCmpArgLen::Dword,
        Width::Bits64 => SeccompCmpArgLen::Qword,
    };
    let comparison = match condition.comparison {
        Comparison::Equal => SeccompCmpOp::Eq,
        Comparison::AtMost => SeccompCmpOp::Le,
    };
    SeccompCondition::new(condition.argument, width, comparison, condition.value).map_err(explain)
}

fn explain(error: seccompiler::BackendError) -> Error {
    match error {
        seccompiler::BackendError::FilterTooLarge(instructions) => Error::TooLarge(instructions),
        other => Error::Compile(other.to_string()),
    }
}
