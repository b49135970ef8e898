//! Classic BPF programs as seccomp(2) takes them, and what one says about a call that is known.

use std::fmt::{self, Display};

/// Most instructions of one program (`BPF_MAXINSNS` in `linux/bpf_common.h`).
const MAX_INSTRUCTIONS: usize = 4096;
/// Words of scratch memory (`BPF_MEMWORDS` in `linux/filter.h`).
pub(super) const MEMORY_WORDS: usize = 16;
/// Words of `struct seccomp_data`.
pub(super) const DATA_WORDS: usize = 16;

/// `struct sock_filter` (`linux/filter.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instruction {
    /// What is done.
    pub code: u16,
    /// Instructions that are skipped when a comparison holds.
    pub jt: u8,
    /// And when it does not.
    pub jf: u8,
    /// A number.
    pub k: u32,
}

impl Instruction {
    /// From its eight bytes in the order of x86-64.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        let [c0, c1, jt, jf, k0, k1, k2, k3] = bytes;
        let (code, k) = (u16::from_le_bytes([c0, c1]), u32::from_le_bytes([k0, k1, k2, k3]));
        Self { code, jt, jf, k }
    }
}

/// `struct seccomp_data` (`linux/seccomp.h`) as 32-bit words: number, architecture, the caller's
/// address, six arguments, low halves first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data {
    pub(super) words: [u32; DATA_WORDS],
}

impl Data {
    /// A call of that number by code of that architecture.
    pub fn new(architecture: u32, number: u32, caller: u64, arguments: [u64; 6]) -> Self {
        let mut words = [number, architecture, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let long = [caller].into_iter().chain(arguments);
        for (pair, long) in words[2..].chunks_exact_mut(2).zip(long) {
            pair.copy_from_slice(&[low(long), low(long >> 32)]);
        }
        Self { words }
    }
}

const fn low(long: u64) -> u32 {
    (long & 0xFFFF_FFFF) as u32
}

/// Why a program is none that Linux installs as a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// It has no instructions.
    Empty,
    /// It has too many.
    Long {
        /// How many there are.
        instructions: usize,
        /// How many there may be.
        most: usize,
    },
    /// It does not end with a return.
    Unfinished,
    /// One of its instructions is not for filters, or leads out of the program.
    Instruction {
        /// Which one, from 0.
        at: usize,
        /// Its code.
        code: u16,
    },
}

impl Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the filter has no instructions"),
            Self::Long { instructions, most } => {
                write!(
                    f,
                    "the filters have {instructions} instructions, of which {most} are possible"
                )
            }
            Self::Unfinished => f.write_str("the filter does not end with a return"),
            Self::Instruction { at, code } => {
                write!(
                    f,
                    "instruction {at} of the filter, code {code:#x}, is none that a filter may have"
                )
            }
        }
    }
}

impl std::error::Error for Invalid {}

/// A program whose every instruction is known and whose every jump leads forwards to another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub(super) steps: Vec<Step>,
}

/// One instruction. Jumps are to places in the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Load(Source),
    LoadX(Source),
    Store(usize),
    StoreX(usize),
    AToX,
    XToA,
    Compute(Arithmetic, Operand),
    Negate,
    Jump(usize),
    Branch { test: Test, operand: Operand, yes: usize, no: usize },
    Return(u32),
    ReturnA,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Data(usize),
    Number(u32),
    Memory(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    Number(u32),
    X,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
    Or,
    And,
    Left,
    Right,
    Xor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Equal,
    Greater,
    NotLess,
    Common,
}

impl Arithmetic {
    /// The result, `None` for a division by zero, which makes the program return 0. Shifts take the
    /// low five bits, as the kernel's interpreter does.
    pub(super) const fn apply(self, a: u32, b: u32) -> Option<u32> {
        Some(match self {
            Self::Add => a.wrapping_add(b),
            Self::Sub => a.wrapping_sub(b),
            Self::Mul => a.wrapping_mul(b),
            Self::Div => return a.checked_div(b),
            Self::Or => a | b,
            Self::And => a & b,
            Self::Left => a.wrapping_shl(b),
            Self::Right => a.wrapping_shr(b),
            Self::Xor => a ^ b,
        })
    }
}

impl Test {
    pub(super) const fn holds(self, a: u32, b: u32) -> bool {
        match self {
            Self::Equal => a == b,
            Self::Greater => a > b,
            Self::NotLess => a >= b,
            Self::Common => a & b != 0,
        }
    }
}

impl Program {
    /// A program that Linux would install.
    ///
    /// # Errors
    /// [`Invalid`] when it would not (`bpf_check_classic` and `seccomp_check_filter`); reading scratch
    /// memory that was never written is not looked for, and reads zero.
    pub fn new(instructions: &[Instruction]) -> Result<Self, Invalid> {
        if instructions.len() > MAX_INSTRUCTIONS {
            let instructions = instructions.len();
            return Err(Invalid::Long { instructions, most: MAX_INSTRUCTIONS });
        }
        let decode = |(at, instruction): (usize, &Instruction)| {
            Step::decode(*instruction, at, instructions.len())
                .ok_or(Invalid::Instruction { at, code: instruction.code })
        };
        let steps = instructions.iter().enumerate().map(decode).collect::<Result<Vec<_>, _>>()?;
        match steps.last() {
            None => Err(Invalid::Empty),
            Some(Step::Return(_) | Step::ReturnA) => Ok(Self { steps }),
            Some(_) => Err(Invalid::Unfinished),
        }
    }

    /// What it returns for that call.
    pub(super) fn run(&self, data: &Data) -> u32 {
        let (mut a, mut x, mut memory) = (0u32, 0u32, [0u32; MEMORY_WORDS]);
        let mut at = 0;
        // Every jump leads forwards, so this ends; a place outside does not occur.
        while let Some(step) = self.steps.get(at) {
            at += 1;
            let value = |operand| match operand {
                Operand::Number(number) => number,
                Operand::X => x,
            };
            let load = |source| match source {
                Source::Data(word) => data.words[word],
                Source::Number(number) => number,
                Source::Memory(word) => memory[word],
            };
            match *step {
                Step::Load(source) => a = load(source),
                Step::LoadX(source) => x = load(source),
                Step::Store(word) => memory[word] = a,
                Step::StoreX(word) => memory[word] = x,
                Step::AToX => x = a,
                Step::XToA => a = x,
                Step::Compute(arithmetic, operand) => match arithmetic.apply(a, value(operand)) {
                    Some(result) => a = result,
                    None => return 0,
                },
                Step::Negate => a = a.wrapping_neg(),
                Step::Jump(to) => at = to,
                Step::Branch { test, operand, yes, no } => {
                    at = if test.holds(a, value(operand)) { yes } else { no };
                }
                Step::Return(value) => return value,
                Step::ReturnA => return a,
            }
        }
        0
    }
}

impl Step {
    /// `None` for what `seccomp_check_filter` refuses. Codes are those of `linux/bpf_common.h`.
    fn decode(instruction: Instruction, at: usize, count: usize) -> Option<Self> {
        let Instruction { code, jt, jf, k } = instruction;
        let operand = if code & 0x08 == 0 { Operand::Number(k) } else { Operand::X };
        let memory = || usize::try_from(k).ok().filter(|word| *word < MEMORY_WORDS);
        let to = |skip: usize| at.checked_add(1)?.checked_add(skip).filter(|to| *to < count);
        Some(match code {
            0x20 => Self::Load(Source::Data(data_word(k)?)),
            0x80 => Self::Load(Source::Number(64)), // BPF_LEN: the size of seccomp_data
            0x81 => Self::LoadX(Source::Number(64)),
            0x00 => Self::Load(Source::Number(k)),
            0x01 => Self::LoadX(Source::Number(k)),
            0x60 => Self::Load(Source::Memory(memory()?)),
            0x61 => Self::LoadX(Source::Memory(memory()?)),
            0x02 => Self::Store(memory()?),
            0x03 => Self::StoreX(memory()?),
            0x07 => Self::AToX,
            0x87 => Self::XToA,
            0x06 => Self::Return(k),
            0x16 => Self::ReturnA,
            0x84 => Self::Negate,
            0x05 => Self::Jump(to(usize::try_from(k).ok()?)?),
            _ if code & 0xFF07 == 0x04 => Self::compute(code, operand)?,
            _ if code & 0xFF07 == 0x05 => {
                let (yes, no) = (to(usize::from(jt))?, to(usize::from(jf))?);
                Self::Branch { test: test(code)?, operand, yes, no }
            }
            _ => return None,
        })
    }

    fn compute(code: u16, operand: Operand) -> Option<Self> {
        let arithmetic = match code & 0xF0 {
            0x00 => Arithmetic::Add,
            0x10 => Arithmetic::Sub,
            0x20 => Arithmetic::Mul,
            0x30 => Arithmetic::Div,
            0x40 => Arithmetic::Or,
            0x50 => Arithmetic::And,
            0x60 => Arithmetic::Left,
            0x70 => Arithmetic::Right,
            0xA0 => Arithmetic::Xor,
            _ => return None,
        };
        let refused = match (arithmetic, operand) {
            (Arithmetic::Div, Operand::Number(k)) => k == 0,
            (Arithmetic::Left | Arithmetic::Right, Operand::Number(k)) => k >= 32,
            _ => false,
        };
        (!refused).then_some(Self::Compute(arithmetic, operand))
    }
}

/// A word of `seccomp_data`: loads are of whole words at their own places.
fn data_word(offset: u32) -> Option<usize> {
    let offset = usize::try_from(offset).ok()?;
    (offset % 4 == 0 && offset < 4 * DATA_WORDS).then_some(offset / 4)
}

const fn test(code: u16) -> Option<Test> {
    match code & 0xF0 {
        0x10 => Some(Test::Equal),
        0x20 => Some(Test::Greater),
        0x30 => Some(Test::NotLess),
        0x40 => Some(Test::Common),
        _ => None,
    }
}
