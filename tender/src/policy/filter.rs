//! Compiles a [`Policy`] to the classic BPF program that seccomp runs at every system call.
//!
//! A policy becomes a graph of decisions, each a comparison of one word, whose ends are the two
//! verdicts. Equal decisions are one, so devices with the same rules for two calls cost once. The
//! graph is then laid out from its ends to its start: a jump's target has always got its place.
//!
//! The order is: architecture, address of the caller, number (calls that a guest makes often come
//! first), arguments. The address comes before the number for one more reason: the kernel tries a
//! new filter with every number there is, as long as its answer depends on nothing else, which
//! takes longer than all the rest of a start.
//!
//! That the program says what the policy says is what this module's tests check.

use std::collections::BTreeMap;

use super::bpf::{ARCHITECTURE_X86_64, INSTRUCTIONS_MAX, Instruction, Program, Verdict, Word};
use super::{Callers, Comparison, Condition, Policy, Rule, Width};

/// Why a policy cannot be compiled.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too many devices.
    #[error(
        "the unikernel declares more devices than one system call filter can hold \
         (its policy takes {0} instructions of at most {INSTRUCTIONS_MAX})"
    )]
    TooLarge(usize),
}

/// Compiles a policy for x86-64; what it does not permit gets the verdict `otherwise`.
///
/// # Errors
/// If the program would be too long.
pub fn compile(policy: &Policy, otherwise: Verdict) -> Result<Program, Error> {
    let mut graph = Graph::new(otherwise);
    let start = graph.policy(policy);
    let program = Layout::of(&graph, start);
    let length = program.instructions().len();
    if length > INSTRUCTIONS_MAX { Err(Error::TooLarge(length)) } else { Ok(program) }
}

/// A decision, by its position in the graph.
type Id = usize;
/// The decision to permit.
const ALLOW: Id = 0;
/// The decision not to.
const REFUSE: Id = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Test {
    Equal,
    Greater,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Decision {
    End(Verdict),
    Ask { word: Word, test: Test, value: u32, yes: Id, no: Id },
}

/// Decisions, each behind those that it leads to.
struct Graph {
    decisions: Vec<Decision>,
    known: BTreeMap<Decision, Id>,
}

impl Graph {
    fn new(otherwise: Verdict) -> Self {
        let decisions = vec![Decision::End(Verdict::Allow), Decision::End(otherwise)];
        Self { decisions, known: BTreeMap::new() }
    }

    fn ask(&mut self, word: Word, test: Test, value: u32, yes: Id, no: Id) -> Id {
        // Who comes to the same question with the answer no knows where it leads.
        let no = match self.decisions[no] {
            Decision::Ask { word: w, test: t, value: v, no: next, .. }
                if (w, t, v) == (word, test, value) =>
            {
                next
            }
            _ => no,
        };
        if yes == no {
            return yes;
        }
        let decision = Decision::Ask { word, test, value, yes, no };
        *self.known.entry(decision).or_insert_with(|| {
            self.decisions.push(decision);
            self.decisions.len() - 1
        })
    }

    fn policy(&mut self, policy: &Policy) -> Id {
        let calls = policy.calls();
        let mut next = REFUSE;
        for call in calls.into_iter().rev() {
            let rules: Vec<&Rule> =
                policy.rules().iter().filter(|rule| rule.call == call).collect();
            let permitted = self.rules(&rules, 0, REFUSE);
            next = self.ask(Word::NUMBER, Test::Equal, call.number() as u32, permitted, next);
        }
        let from = self.callers(policy.callers(), next);
        self.ask(Word::ARCHITECTURE, Test::Equal, ARCHITECTURE_X86_64, from, REFUSE)
    }

    fn callers(&mut self, callers: Callers, yes: Id) -> Id {
        let (low, high) = (Word::ADDRESS_LOW, Word::ADDRESS_HIGH);
        let Callers { first, last } = callers;
        if first == last {
            return self.equal(low, high, first, yes, REFUSE);
        }
        let not_below = match first {
            0 => yes,
            first => self.at_most(low, high, first - 1, REFUSE, yes),
        };
        self.at_most(low, high, last, not_below, REFUSE)
    }

    /// Permits what one of the rules permits, of which the first `depth` conditions hold; else
    /// goes on with `otherwise`.
    fn rules(&mut self, rules: &[&Rule], depth: usize, otherwise: Id) -> Id {
        let Some(first) = rules.first() else { return otherwise };
        let Some(condition) = first.conditions.get(depth) else { return ALLOW };
        let same = |rule: &&&Rule| rule.conditions.get(depth) == Some(condition);
        let (group, rest) = rules.split_at(rules.iter().take_while(same).count());
        let rest_permits = self.rules(rest, depth, otherwise);
        let excluded = rest
            .iter()
            .all(|rule| rule.conditions.get(depth).is_some_and(|other| condition.excludes(other)));
        let miss = if excluded { otherwise } else { rest_permits };
        let hit = self.rules(group, depth + 1, miss);
        self.condition(condition, hit, rest_permits)
    }

    fn condition(&mut self, condition: &Condition, yes: Id, no: Id) -> Id {
        let low = Word::argument_low(condition.argument);
        let high = Word::argument_high(condition.argument);
        let value_low = condition.value as u32;
        match (condition.width, condition.comparison) {
            (Width::Bits32, Comparison::Equal) => self.ask(low, Test::Equal, value_low, yes, no),
            (Width::Bits32, Comparison::AtMost) => self.ask(low, Test::Greater, value_low, no, yes),
            (Width::Bits64, Comparison::Equal) => self.equal(low, high, condition.value, yes, no),
            (Width::Bits64, Comparison::AtMost) => {
                self.at_most(low, high, condition.value, yes, no)
            }
        }
    }

    fn equal(&mut self, low: Word, high: Word, value: u64, yes: Id, no: Id) -> Id {
        let low_equals = self.ask(low, Test::Equal, value as u32, yes, no);
        self.ask(high, Test::Equal, (value >> 32) as u32, low_equals, no)
    }

    fn at_most(&mut self, low: Word, high: Word, value: u64, yes: Id, no: Id) -> Id {
        let (value_low, value_high) = (value as u32, (value >> 32) as u32);
        let low_at_most = self.ask(low, Test::Greater, value_low, no, yes);
        if value_high == 0 {
            return self.ask(high, Test::Equal, 0, low_at_most, no);
        }
        let high_below = self.ask(high, Test::Equal, value_high, low_at_most, yes);
        self.ask(high, Test::Greater, value_high, no, high_below)
    }
}

/// A program in the making, its last instruction first. Places count from the end.
struct Layout {
    reversed: Vec<Instruction>,
    /// The place of each decision, or of a copy or a jump to it, whichever is nearest.
    places: BTreeMap<Id, usize>,
    /// The places of decisions behind their loads.
    loaded: BTreeMap<Id, usize>,
}

impl Layout {
    fn of(graph: &Graph, start: Id) -> Program {
        let loads = loads(graph, start);
        let mut layout =
            Self { reversed: Vec::new(), places: BTreeMap::new(), loaded: BTreeMap::new() };
        for (id, decision) in graph.decisions.iter().enumerate() {
            match (*decision, loads.get(&id)) {
                (Decision::End(verdict), _) => layout.place(id, Instruction::Return(verdict)),
                (_, None) => {}
                (Decision::Ask { word, test, value, yes, no }, Some(&needs_load)) => {
                    let word_of = |id| match graph.decisions[id] {
                        Decision::Ask { word: other, .. } if other == word => true,
                        Decision::Ask { .. } | Decision::End(_) => false,
                    };
                    layout.bring_near([yes, no], graph, word_of);
                    let (yes, no) = (layout.jump(yes, word_of(yes)), layout.jump(no, word_of(no)));
                    layout.reversed.push(match test {
                        Test::Equal => Instruction::IfEqual { value, yes, no },
                        Test::Greater => Instruction::IfGreater { value, yes, no },
                    });
                    layout.loaded.insert(id, layout.reversed.len());
                    if needs_load {
                        layout.place(id, Instruction::Load(word));
                    }
                }
            }
        }
        layout.reversed.reverse();
        Program(layout.reversed)
    }

    fn place(&mut self, id: Id, instruction: Instruction) {
        self.reversed.push(instruction);
        self.places.insert(id, self.reversed.len());
    }

    fn place_of(&self, id: Id, loaded: bool) -> usize {
        if loaded { self.loaded[&id] } else { self.places[&id] }
    }

    /// Puts a jump, or a copy of an end, within the reach of a comparison that comes next.
    fn bring_near(&mut self, targets: [Id; 2], graph: &Graph, is_loaded: impl Fn(Id) -> bool) {
        // The second may itself move the first out of reach by one.
        const REACH: usize = u8::MAX as usize - 1;
        for id in targets {
            let loaded = is_loaded(id);
            let distance = self.reversed.len() - self.place_of(id, loaded);
            if distance <= REACH {
                continue;
            }
            match graph.decisions[id] {
                Decision::End(verdict) => self.place(id, Instruction::Return(verdict)),
                Decision::Ask { .. } => {
                    self.reversed.push(Instruction::Jump(distance as u32));
                    let places = if loaded { &mut self.loaded } else { &mut self.places };
                    places.insert(id, self.reversed.len());
                }
            }
        }
    }

    /// How many instructions a comparison that comes next must skip.
    fn jump(&self, id: Id, loaded: bool) -> u8 {
        u8::try_from(self.reversed.len() - self.place_of(id, loaded)).expect("brought near")
    }
}

/// The decisions that can be reached, and which of them come from one that has loaded another
/// word.
fn loads(graph: &Graph, start: Id) -> BTreeMap<Id, bool> {
    let mut loads = BTreeMap::from([(start, true)]);
    // Each decision leads to lower ones only.
    for id in (0..=start).rev() {
        let Decision::Ask { word, yes, no, .. } = graph.decisions[id] else { continue };
        if !loads.contains_key(&id) {
            continue;
        }
        for next in [yes, no] {
            if let Decision::Ask { word: other, .. } = graph.decisions[next] {
                *loads.entry(next).or_default() |= other != word;
            }
        }
    }
    loads
}
