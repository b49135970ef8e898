//! Calls one after the other: from groups (something is made and then used), from sequences, and single ones from the
//! table of all. What calls gave is remembered and used again.

use crate::frame;
use crate::memory::{Block, Memory};
use crate::random::Random;
use crate::table;
use crate::term::{A, F, Gives, Group, Kind, Sequence, T};

/// How a call is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As it is.
    Plain,
    /// It may return twice.
    Forks,
    /// It ends or cripples who makes it: in a process of its own.
    Ends,
}

/// A system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its number.
    pub number: u64,
    /// Its arguments.
    pub arguments: [u64; 6],
    /// How to make it.
    pub manner: Manner,
}

/// What a generator is told about the process that makes its calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings {
    /// Its number.
    pub process: u64,
    /// Who watches over it, and is left alone.
    pub guard: u64,
    /// Its user.
    pub user: u64,
    /// Where a range of `arena_bytes` is in which anything may be mapped.
    pub arena: u64,
    /// How long that is.
    pub arena_bytes: u64,
    /// A handler of signals, with its way back.
    pub handler: u64,
    /// The way back.
    pub restorer: u64,
}

const PAGE: u64 = 4096;
const RESOURCES: usize = 48;
const STEPS: usize = 24;
/// Addresses that are none: nothing, the first page, the kernel's, one that no processor has.
const BAD_ADDRESSES: &[u64] =
    &[0, 1, PAGE, 0xffff_8880_0000_0000, 0x8000_0000_0000_0000, u64::MAX - 7];

/// What is going on.
#[derive(Clone, Copy)]
enum Plan {
    Nothing,
    Group { group: &'static Group, made: bool, left: u64 },
    Sequence { steps: Sequence, next: usize },
}

/// The generator of one process's calls.
pub struct Generator {
    random: Random,
    around: Surroundings,
    resources: [(Kind, u64); RESOURCES],
    known: usize,
    this: u64,
    steps: [(u64, u64); STEPS],
    plan: Plan,
    /// The groups that this process prefers, so that their resources meet.
    themes: [&'static Group; 4],
    next: usize,
    len: u64,
    count: u64,
    last: Option<(T, [u64; 6])>,
}

impl Generator {
    /// The generator of this seed.
    #[must_use]
    pub fn new(seed: u64, around: Surroundings) -> Self {
        let mut random = Random::new(seed);
        let themes = core::array::from_fn(|_| *random.pick(table::GROUPS));
        let plan = if random.one_in(3) {
            let steps = *random.pick(table::PRELUDES);
            Plan::Sequence { steps, next: 0 }
        } else {
            Plan::Nothing
        };
        Self {
            random,
            around,
            resources: [(Kind::Nothing, 0); RESOURCES],
            known: 0,
            this: u64::MAX,
            steps: [(u64::MAX, u64::MAX); STEPS],
            plan,
            themes,
            next: 0,
            len: 0,
            count: 0,
            last: None,
        }
    }

    /// The next call. Its structures are written to `bytes`, which the process has at the address `base`.
    ///
    /// # Panics
    /// If there are fewer than [`crate::MEMORY_BYTES`].
    pub fn next(&mut self, bytes: &mut [u8], base: u64) -> Call {
        let mut memory = Memory::new(bytes, base);
        let template = self.choose();
        for &(offset, fields) in template.poke {
            let mut block = Block::new();
            self.fields(fields, &mut block, &mut memory);
            memory.write(offset as usize, block.bytes());
        }
        let mut arguments = [0; 6];
        for (argument, term) in arguments.iter_mut().zip(template.arguments) {
            *argument = self.value(term, &mut memory);
        }
        let careful = table::is_careful(template.number);
        // What is not said may be anything; so now and then may be what is said.
        if !careful {
            for argument in arguments.iter_mut().skip(template.arguments.len()) {
                *argument = if self.random.one_in(4) { self.random.number() } else { 0 };
            }
            if self.random.one_in(40) {
                let changed = self.random.below(template.arguments.len() as u64) as usize;
                arguments[changed] = match self.random.one_in(2) {
                    true => *self.random.pick(BAD_ADDRESSES),
                    false => self.random.number(),
                };
            }
        }
        self.spare(template.number, &mut arguments);
        self.last = Some((template, arguments));
        let manner = table::manner(template.number, &arguments);
        Call { number: template.number.into(), arguments, manner }
    }

    /// Keeps the guard, and with signals everybody else, out of it.
    fn spare(&self, number: u16, arguments: &mut [u64; 6]) {
        /// No process has this number.
        const NOBODY: u64 = 1 << 20;
        if table::is_about_a_process(number) {
            for whom in &mut arguments[..2] {
                if *whom == self.around.guard && *whom != 0 {
                    *whom = NOBODY;
                }
            }
        }
        let whom = arguments[0] as i32;
        if table::is_a_signal(number) && (whom < 0 || whom == 1) {
            arguments[0] = NOBODY;
        }
    }

    /// What the last call gave: a result, or an error's number below 0.
    pub fn done(&mut self, bytes: &[u8], base: u64, result: i64) {
        let Some((template, arguments)) = self.last.take() else { return };
        let read = |argument: usize, offset: u64, wide: bool| {
            let place = arguments[argument].wrapping_sub(base).wrapping_add(offset) as usize;
            let end = place.checked_add(if wide { 8 } else { 4 })?;
            let found = bytes.get(place..end)?;
            Some(found.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)))
        };
        let gave = match template.gives {
            _ if result < 0 => None,
            Gives::Result(kind) => Some((kind, result as u64, u64::MAX)),
            Gives::Pair(argument, first, second) => {
                let pair = read(argument, 0, false).zip(read(argument, 4, false));
                pair.map(|(one, other)| {
                    self.keep(second, other);
                    (first, one, other)
                })
            }
            Gives::Word(argument, kind) => read(argument, 0, true).map(|word| (kind, word, 0)),
            Gives::Half(argument, kind) => read(argument, 0, false).map(|word| (kind, word, 0)),
        };
        if let Some((kind, value, _)) = gave {
            self.keep(kind, value);
        }
        let (first, second) = gave.map_or((u64::MAX, u64::MAX), |(_, one, other)| (one, other));
        match &mut self.plan {
            Plan::Group { made, .. } if !*made => {
                *made = true;
                self.this = first;
                if first == u64::MAX {
                    self.plan = Plan::Nothing;
                }
            }
            Plan::Sequence { next, .. } => {
                if let Some(step) = self.steps.get_mut(next.wrapping_sub(1)) {
                    *step = (first, second);
                }
            }
            _ => {}
        }
    }

    /// From here on it makes the calls of another process, a copy of the one before: other calls.
    pub fn become_child(&mut self, process: u64) {
        self.around.process = process;
        self.plan = Plan::Nothing;
        self.last = None;
        self.random = Random::new(self.random.word() ^ 1);
    }

    fn keep(&mut self, kind: Kind, value: u64) {
        if kind != Kind::Nothing {
            self.resources[self.known % RESOURCES] = (kind, value);
            self.known += 1;
        }
    }

    fn choose(&mut self) -> T {
        loop {
            match &mut self.plan {
                Plan::Group { group, made: false, .. } => return *self.random.pick(group.makers),
                Plan::Group { group, left, .. } if *left > 0 => {
                    *left -= 1;
                    let uses = if self.random.one_in(8) { table::ANY } else { group.uses };
                    return *self.random.pick(uses);
                }
                Plan::Sequence { steps, next } if *next < steps.len() => {
                    *next += 1;
                    return steps[*next - 1];
                }
                _ => {}
            }
            self.plan = Plan::Nothing;
            match self.random.below(8) {
                0 | 1 => {
                    let area = *self.random.pick(table::ALL);
                    return *self.random.pick(area);
                }
                2 => {
                    self.steps = [(u64::MAX, u64::MAX); STEPS];
                    self.plan =
                        Plan::Sequence { steps: table::sequences(&mut self.random), next: 0 };
                }
                choice => {
                    let group = if choice == 3 {
                        *self.random.pick(table::GROUPS)
                    } else {
                        *self.random.pick(&self.themes)
                    };
                    self.plan = Plan::Group { group, made: false, left: self.random.within(2, 14) };
                }
            }
        }
    }

    /// A resource that fits, or a number that is none.
    fn resource(&mut self, fits: impl Fn(Kind) -> bool) -> u64 {
        let count = self.known.min(RESOURCES);
        let start = self.random.below(count as u64) as usize;
        let mut found = (0..count).map(|index| self.resources[(start + index) % count]);
        let found = found.find(|&(kind, _)| fits(kind));
        match found {
            Some((_, value)) if !self.random.one_in(64) => value,
            _ if self.random.one_in(2) => self.random.below(12),
            _ => u64::MAX,
        }
    }

    fn value(&mut self, term: &A, memory: &mut Memory<'_>) -> u64 {
        match *term {
            A::N(number) => number,
            A::Pick(numbers) => *self.random.pick(numbers),
            A::Bits(bits) => match self.random.below(5) {
                0 => 0,
                1 | 2 => *self.random.pick(bits),
                3 => *self.random.pick(bits) | *self.random.pick(bits),
                _ => bits.iter().filter(|_| self.random.one_in(3)).fold(0, |all, bit| all | bit),
            },
            A::Within(first, last) => self.random.within(first, last),
            A::Any => self.random.number(),
            A::OneOf(terms) => {
                let term = self.random.pick(terms);
                self.value(term, memory)
            }
            A::Len => self.roughly(self.len),
            A::Count => self.roughly(self.count),
            A::Size => match self.random.below(6) {
                0 => self.random.below(16),
                1 | 2 => self.random.below(512),
                3 => PAGE << self.random.below(3),
                4 => self.random.below(0x1_0000),
                _ => self.random.number(),
            },
            A::Fd => self.resource(Kind::is_descriptor),
            A::Of(kind) => self.resource(|other| other == kind),
            A::This => self.this,
            A::Step(index) => self.steps[index].0,
            A::Second(index) => self.steps[index].1,
            A::Path => self.text(table::PATHS, memory),
            A::Text(texts) => self.text(texts, memory),
            A::To(fields) => self.structure(fields, memory),
            A::ToOne(choices) => {
                let fields = self.random.pick(choices);
                self.structure(fields, memory)
            }
            A::Array(fields, most) => {
                let count = self.random.within(1, most);
                let mut block = Block::new();
                (0..count).for_each(|_| self.fields(fields, &mut block, memory));
                self.count = count;
                self.place(&block, memory)
            }
            A::Data(most) => {
                let bytes = self.random.within(1, most) as usize;
                let offset = memory.room(&mut self.next, bytes);
                self.random.fill(memory.at(offset, bytes.min(Block::BYTES)));
                self.len = bytes as u64;
                memory.address(offset as u64)
            }
            A::Room(bytes) => {
                self.len = bytes;
                let offset = memory.room(&mut self.next, bytes as usize);
                memory.address(offset as u64)
            }
            A::Window(offset) => memory.address(offset),
            A::Arena => {
                let pages = self.around.arena_bytes / PAGE;
                self.around.arena + self.random.below(pages.saturating_sub(64)) / 16 * 16 * PAGE
            }
            A::Pid => match self.random.below(5) {
                0 => 0,
                1 | 2 => self.around.process,
                3 => self.resource(|kind| kind == Kind::Child).clamp(2, 1 << 20),
                _ => 1 << 20,
            },
            A::Signal => {
                *self.random.pick(&[0, 1, 2, 10, 10, 12, 12, 17, 18, 23, 28, 29, 34, 40, 64, 65])
            }
            A::Handler => self.around.handler,
            A::Restorer => self.around.restorer,
            A::Frame => {
                let offset = memory.room(&mut self.next, frame::BYTES_MAX);
                let bytes = memory.at(offset, frame::BYTES_MAX);
                self.len =
                    frame::Frames::default().write(&mut self.random, frame::Header::None, bytes)
                        as u64;
                memory.address(offset as u64)
            }
            A::User => self.around.user,
        }
    }

    /// A number, or rarely one beside it.
    fn roughly(&mut self, number: u64) -> u64 {
        match self.random.below(24) {
            0 => self.random.below(number.saturating_add(1)),
            1 => number.wrapping_add(self.random.below(16)),
            _ => number,
        }
    }

    fn text(&mut self, texts: &[&str], memory: &mut Memory<'_>) -> u64 {
        let mut block = Block::new();
        block.push(self.random.pick(texts).as_bytes());
        block.push(&[0]);
        self.place(&block, memory)
    }

    fn structure(&mut self, fields: &[F], memory: &mut Memory<'_>) -> u64 {
        let mut block = Block::new();
        self.fields(fields, &mut block, memory);
        self.place(&block, memory)
    }

    fn place(&mut self, block: &Block, memory: &mut Memory<'_>) -> u64 {
        self.len = block.len() as u64;
        let offset = memory.room(&mut self.next, block.len());
        memory.write(offset, block.bytes());
        memory.address(offset as u64)
    }

    fn fields(&mut self, fields: &[F], block: &mut Block, memory: &mut Memory<'_>) {
        let start = block.len();
        let mut total = None;
        for field in fields {
            match *field {
                F::U8(ref term) => block.push(&[self.value(term, memory) as u8]),
                F::U16(ref term) => block.push(&(self.value(term, memory) as u16).to_le_bytes()),
                F::U32(ref term) => block.push(&(self.value(term, memory) as u32).to_le_bytes()),
                F::U64(ref term) => block.push(&self.value(term, memory).to_le_bytes()),
                F::B16(ref term) => block.push(&(self.value(term, memory) as u16).to_be_bytes()),
                F::B32(ref term) => block.push(&(self.value(term, memory) as u32).to_be_bytes()),
                F::Bytes(bytes) => block.push(bytes),
                F::Name(names, room) => {
                    let mut bytes = [0; 256];
                    let name = self.random.pick(names).as_bytes();
                    bytes[..name.len()].copy_from_slice(name);
                    block.push(&bytes[..room.into()]);
                }
                F::Zero(bytes) => block.push(&[0; 512][..bytes.into()]),
                F::Random(bytes) => {
                    let mut noise = [0; 256];
                    self.random.fill(&mut noise[..bytes.into()]);
                    block.push(&noise[..bytes.into()]);
                }
                F::Total => {
                    total = Some(block.len());
                    block.push(&[0; 4]);
                }
                F::Attr(kind, inner) => {
                    block.pad(4);
                    let place = block.len();
                    block.push(&[0; 2]);
                    block.push(&kind.to_le_bytes());
                    self.fields(inner, block, memory);
                    let bytes = (block.len() - place) as u64;
                    let bytes = self.roughly(bytes) as u16;
                    block.patch(place, &bytes.to_le_bytes());
                    block.pad(4);
                }
                F::Control(level, kind, inner) => {
                    block.pad(8);
                    let place = block.len();
                    block.push(&[0; 8]);
                    block.push(&level.to_le_bytes());
                    block.push(&kind.to_le_bytes());
                    self.fields(inner, block, memory);
                    let bytes = (block.len() - place) as u64;
                    let bytes = self.roughly(bytes);
                    block.patch(place, &bytes.to_le_bytes());
                    block.pad(8);
                }
                F::One(choices) => {
                    let choice = self.random.pick(choices);
                    self.fields(choice, block, memory);
                }
                F::Some(parts) => {
                    for part in parts {
                        if self.random.one_in(2) {
                            self.fields(part, block, memory);
                        }
                    }
                }
                F::Times(part, most) => {
                    let times = self.random.within(1, most);
                    (0..times).for_each(|_| self.fields(part, block, memory));
                }
            }
        }
        if let Some(place) = total {
            let bytes = (block.len() - start) as u64;
            let bytes = self.roughly(bytes) as u32;
            block.patch(place, &bytes.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::{MEMORY_BYTES, numbers};

    const BASE: u64 = 0x10_0000;

    fn calls(seed: u64, count: usize) -> Vec<Call> {
        let around = Surroundings {
            process: 77,
            guard: 7,
            arena: 1 << 30,
            arena_bytes: 1 << 22,
            ..Surroundings::default()
        };
        let mut generator = Generator::new(seed, around);
        let mut bytes = vec![0; MEMORY_BYTES];
        let call = |index: usize| {
            let call = generator.next(&mut bytes, BASE);
            generator.done(
                &bytes,
                BASE,
                if index.is_multiple_of(5) { -22 } else { index as i64 % 40 },
            );
            call
        };
        (0..count).map(call).collect()
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(calls(3, 2000), calls(3, 2000));
        assert_ne!(calls(3, 2000), calls(4, 2000));
    }

    #[test]
    fn every_call_of_the_kernel_comes_up() {
        let mut seen = vec![0; 512];
        for seed in 0..200 {
            calls(seed, 500).iter().for_each(|call| seen[call.number as usize] += 1);
        }
        for (number, name) in numbers::all() {
            assert!(seen[number as usize] > 0, "{name} never comes up");
        }
        assert!(
            seen.iter()
                .enumerate()
                .all(|(number, &count)| count == 0 || numbers::name(number as u64).is_some())
        );
    }

    #[test]
    fn nobody_but_itself_and_its_children_is_signalled() {
        for call in (0..300).flat_map(|seed| calls(seed, 500)) {
            if table::is_a_signal(call.number as u16) {
                let whom = call.arguments[0] as i32;
                assert!(whom == 0 || (2..=1 << 20).contains(&whom) && whom != 7, "{call:?}");
            }
        }
    }
}
