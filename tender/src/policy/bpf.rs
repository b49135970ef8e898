//! Classic BPF as seccomp runs it: the program, its bytes for the kernel, its text for people, and
//! an interpreter, so that a policy can be asked what its filter will say. It makes no programs
//! ([`super::filter`] does) and knows no policy.
//!
//! Instructions follow `linux/bpf_common.h` and `linux/filter.h`, of which filters here use five
//! kinds; the data is `struct seccomp_data` (`linux/seccomp.h`).

use std::fmt;

/// Most instructions that the kernel takes (`BPF_MAXINSNS`).
pub const INSTRUCTIONS_MAX: usize = 4096;
/// Bytes of an instruction (`struct sock_filter`).
pub const INSTRUCTION_BYTES: usize = 8;
/// The architecture's number for x86-64 (`AUDIT_ARCH_X86_64`).
pub const ARCHITECTURE_X86_64: u32 = 0xc000_003e;

const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const RETURN: u16 = 0x06;

/// A 32-bit word of the data, by its offset in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Word(u32);

impl Word {
    /// The system call's number.
    pub const NUMBER: Self = Self(0);
    /// The architecture of its entry point.
    pub const ARCHITECTURE: Self = Self(4);
    /// Lower half of the address behind the instruction that made the call.
    pub const ADDRESS_LOW: Self = Self(8);
    /// Its upper half.
    pub const ADDRESS_HIGH: Self = Self(12);

    /// Lower half of argument 0 to 5.
    pub const fn argument_low(argument: u8) -> Self {
        Self(16 + 8 * argument as u32)
    }

    /// Upper half of argument 0 to 5.
    pub const fn argument_high(argument: u8) -> Self {
        Self(20 + 8 * argument as u32)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NUMBER => write!(f, "number"),
            Self::ARCHITECTURE => write!(f, "architecture"),
            Self::ADDRESS_LOW => write!(f, "address"),
            Self::ADDRESS_HIGH => write!(f, "address, upper half"),
            Self(offset) => {
                let argument = (offset - 16) / 8;
                let half = if offset % 8 == 4 { ", upper half" } else { "" };
                write!(f, "argument {argument}{half}")
            }
        }
    }
}

/// What becomes of a call (`SECCOMP_RET_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is made.
    Allow,
    /// The process ends by SIGSYS.
    Kill,
    /// SIGSYS goes to the process's handler, which ends it; without a handler as [`Self::Kill`].
    Trap,
}

impl Verdict {
    const fn value(self) -> u32 {
        match self {
            Self::Allow => libc::SECCOMP_RET_ALLOW,
            Self::Kill => libc::SECCOMP_RET_KILL_PROCESS,
            Self::Trap => libc::SECCOMP_RET_TRAP,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Kill => "kill",
            Self::Trap => "trap",
        })
    }
}

/// One instruction. Jumps count the instructions that are skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// The accumulator becomes a word of the data.
    Load(Word),
    /// Always jumps.
    Jump(u32),
    /// Jumps by `yes` if the accumulator equals the value, else by `no`.
    IfEqual {
        /// The value.
        value: u32,
        /// The jump if it does.
        yes: u8,
        /// The jump if not.
        no: u8,
    },
    /// Jumps by `yes` if the accumulator is greater than the value, unsigned, else by `no`.
    IfGreater {
        /// The value.
        value: u32,
        /// The jump if it is.
        yes: u8,
        /// The jump if not.
        no: u8,
    },
    /// The end.
    Return(Verdict),
}

impl Instruction {
    fn to_bytes(self) -> [u8; INSTRUCTION_BYTES] {
        let (code, yes, no, k) = match self {
            Self::Load(Word(offset)) => (LOAD, 0, 0, offset),
            Self::Jump(by) => (JUMP, 0, 0, by),
            Self::IfEqual { value, yes, no } => (JUMP_EQUAL, yes, no, value),
            Self::IfGreater { value, yes, no } => (JUMP_GREATER, yes, no, value),
            Self::Return(verdict) => (RETURN, 0, 0, verdict.value()),
        };
        let ([code_low, code_high], [a, b, c, d]) = (code.to_le_bytes(), k.to_le_bytes());
        [code_low, code_high, yes, no, a, b, c, d]
    }
}

/// A system call as a filter sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallData {
    /// The architecture of the entry point.
    pub architecture: u32,
    /// The number.
    pub number: u32,
    /// The address behind the instruction that made it.
    pub address: u64,
    /// The arguments.
    pub arguments: [u64; 6],
}

impl CallData {
    fn word(&self, word: Word) -> u32 {
        let halves = |value: u64, high: bool| (value >> if high { 32 } else { 0 }) as u32;
        match word {
            Word::NUMBER => self.number,
            Word::ARCHITECTURE => self.architecture,
            Word(offset @ (8 | 12)) => halves(self.address, offset == 12),
            Word(offset) => {
                halves(self.arguments[(offset as usize - 16) / 8], !offset.is_multiple_of(8))
            }
        }
    }
}

/// A program that always ends: every jump goes forward, and the last instruction returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program(pub(super) Vec<Instruction>);

impl Program {
    /// The instructions.
    pub fn instructions(&self) -> &[Instruction] {
        &self.0
    }

    /// The program as the kernel reads it, an array of `struct sock_filter`.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|instruction| instruction.to_bytes()).collect()
    }

    /// What the program says of a call, and in how many instructions.
    pub fn run(&self, call: &CallData) -> (Verdict, usize) {
        let (mut at, mut steps, mut accumulator) = (0, 0, 0);
        loop {
            steps += 1;
            let jump = match self.0[at] {
                Instruction::Load(word) => {
                    accumulator = call.word(word);
                    0
                }
                Instruction::Jump(by) => by as usize,
                Instruction::IfEqual { value, yes, no } => {
                    usize::from(if accumulator == value { yes } else { no })
                }
                Instruction::IfGreater { value, yes, no } => {
                    usize::from(if accumulator > value { yes } else { no })
                }
                Instruction::Return(verdict) => return (verdict, steps),
            };
            at += 1 + jump;
        }
    }
}

impl fmt::Display for Program {
    /// One instruction a line, indented, with the targets of jumps by their numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, instruction) in self.0.iter().enumerate() {
            let target = |by: u8| at + 1 + usize::from(by);
            write!(f, "  {at:>4}  ")?;
            match *instruction {
                Instruction::Load(word) => writeln!(f, "load {word}"),
                Instruction::Jump(by) => writeln!(f, "goto {}", at + 1 + by as usize),
                Instruction::IfEqual { value, yes, no } => {
                    writeln!(f, "if = {value:#x} goto {}, else {}", target(yes), target(no))
                }
                Instruction::IfGreater { value, yes, no } => {
                    writeln!(f, "if > {value:#x} goto {}, else {}", target(yes), target(no))
                }
                Instruction::Return(verdict) => writeln!(f, "{verdict}"),
            }?;
        }
        Ok(())
    }
}
