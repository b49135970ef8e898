//! Ways through a stack of filters for a call whose arguments and caller are not known. Each word of
//! them may be anything at first; a comparison splits the way in two and limits the word for each.
//!
//! A way that no word permits is left out only when that is proven, and each way that is left comes
//! with words that should take it, which are run through the filters as they are. So «never» and
//! «always» are proven by leaving nothing out, and «sometimes» by two calls that were tried. What is
//! not followed (sums of words, comparisons between two) is taken to go both ways.

use super::program::{Arithmetic, DATA_WORDS, Data, MEMORY_WORDS, Operand, Source, Step, Test};
use super::words::{self, Found, Limit};
use super::{Answer, Permission, Program, Verdict};

/// What is done for one call at most: steps, and looks at limits. Filters of containers need some
/// thousands.
const WORK: u32 = 1_000_000;
/// Of it, what one search for a word may take.
const WORK_OF_WORD: u32 = 100_000;

/// What a register or a word of scratch memory holds.
#[derive(Clone, Copy)]
enum Value {
    Number(u32),
    /// Bits of a word of the call.
    Word {
        index: usize,
        mask: u32,
    },
    Unknown,
}

/// A place on a way.
#[derive(Clone)]
struct Place {
    /// Which filter.
    filter: usize,
    step: usize,
    a: Value,
    x: Value,
    memory: [Value; MEMORY_WORDS],
    /// The verdict of the filters before.
    verdict: Verdict,
    /// A call that gets here, if all was followed.
    example: Data,
    /// How many of the limits hold here.
    limits: usize,
}

struct Search<'a> {
    programs: &'a [Program],
    work: u32,
    /// Limits of the way that is followed, each with its word.
    limits: Vec<(usize, Limit)>,
    /// Places that are still to be followed, each with a last limit of its own. Later ones go first, so
    /// that the limits up to there still stand when their turn comes.
    waiting: Vec<(Place, Option<(usize, Limit)>)>,
    /// Whether a way was found to be permitted, or to be refused or deferred.
    may: (bool, bool),
    /// Calls that were tried.
    tried: (Option<Data>, Option<Data>),
}

/// Whether the call of that number is permitted to that architecture.
pub(super) fn ask(programs: &[Program], architecture: u32, number: u32) -> Answer {
    let mut search = Search {
        programs,
        work: WORK,
        limits: Vec::new(),
        waiting: Vec::new(),
        may: (false, false),
        tried: (None, None),
    };
    let first = Place {
        filter: 0,
        step: 0,
        a: Value::Number(0),
        x: Value::Number(0),
        memory: [Value::Number(0); MEMORY_WORDS],
        verdict: Verdict::Permitted,
        example: Data::new(architecture, number, 0, [0; 6]),
        limits: 0,
    };
    search.waiting.push((first, None));
    while let Some((place, limit)) = search.waiting.pop() {
        search.limits.truncate(place.limits);
        search.limits.extend(limit);
        search.follow(place);
        if search.work == 0 {
            search.may = (true, true);
        }
        if search.tried.0.is_some() && search.tried.1.is_some() || search.work == 0 {
            break;
        }
    }
    search.answer()
}

impl Search<'_> {
    fn answer(self) -> Answer {
        let (permitted, refused) = self.tried;
        let (permission, exact) = match self.may {
            (false, _) => (Permission::Never, true),
            (true, false) => (Permission::Always, true),
            (true, true) => (Permission::Sometimes, permitted.is_some() && refused.is_some()),
        };
        Answer { permission, exact, permitted, refused }
    }

    /// Follows one way to its end; others that branch off wait.
    fn follow(&mut self, mut place: Place) {
        loop {
            let Some(program) = self.programs.get(place.filter) else {
                return self.end(&place);
            };
            let Some(step) = program.steps.get(place.step).copied() else { return };
            let Some(left) = self.work.checked_sub(1) else { return };
            self.work = left;
            place.step += 1;
            match step {
                Step::Load(source) => place.a = place.load(source),
                Step::LoadX(source) => place.x = place.load(source),
                Step::Store(word) => place.memory[word] = place.a,
                Step::StoreX(word) => place.memory[word] = place.x,
                Step::AToX => place.x = place.a,
                Step::XToA => place.a = place.x,
                Step::Compute(arithmetic, operand) => {
                    if self.compute(&mut place, arithmetic, operand) {
                        return self.end(&place);
                    }
                }
                Step::Negate => {
                    place.a = match place.a {
                        Value::Number(a) => Value::Number(a.wrapping_neg()),
                        _ => Value::Unknown,
                    };
                }
                Step::Jump(to) => place.step = to,
                Step::Branch { test, operand, yes, no } => {
                    let split = compare(test, place.a, place.value(operand));
                    if !self.split(&mut place, split, yes, no) {
                        return;
                    }
                }
                Step::Return(value) => {
                    if place.leave(Verdict::of(value)) {
                        return self.end(&place);
                    }
                }
                Step::ReturnA => {
                    if let Value::Number(a) = place.a {
                        if place.leave(Verdict::of(a)) {
                            return self.end(&place);
                        }
                    } else {
                        self.refuse(&place);
                        place.leave(Verdict::Permitted);
                    }
                }
            }
        }
    }

    /// Computes. True when this ended the program with 0, which refuses.
    fn compute(&mut self, place: &mut Place, arithmetic: Arithmetic, operand: Operand) -> bool {
        let by = place.value(operand);
        let result = match (place.a, by) {
            (Value::Number(a), Value::Number(b)) => arithmetic.apply(a, b).map(Value::Number),
            (Value::Word { index, mask }, Value::Number(b))
            | (Value::Number(b), Value::Word { index, mask })
                if arithmetic == Arithmetic::And =>
            {
                Some(masked(index, mask & b))
            }
            (_, Value::Number(0)) if arithmetic == Arithmetic::Div => None,
            (_, Value::Number(_)) => Some(Value::Unknown),
            _ => {
                if arithmetic == Arithmetic::Div {
                    self.refuse(place);
                }
                Some(Value::Unknown)
            }
        };
        place.a = result.unwrap_or(Value::Number(0));
        if result.is_none() {
            place.verdict = Verdict::Refused;
        }
        result.is_none()
    }

    /// Takes notice that a filter may refuse here.
    fn refuse(&mut self, place: &Place) {
        self.end(&Place { verdict: Verdict::Refused, ..place.clone() });
    }

    /// Goes on on one side of a comparison, and lets the other wait if there is one. False when there
    /// was too much to do.
    fn split(&mut self, place: &mut Place, split: Split, yes: usize, no: usize) -> bool {
        let (index, limit) = match split {
            Split::Known(holds) => {
                place.step = if holds { yes } else { no };
                return true;
            }
            Split::Unknown => {
                let mut other = place.clone();
                (place.step, other.step) = (yes, no);
                other.limits = self.limits.len();
                self.waiting.push((other, None));
                return true;
            }
            Split::Word(index, limit) => (index, limit),
        };
        let here = limit.fits(place.example.words[index]);
        let (here_limit, there_limit) =
            if here { (limit, limit.not()) } else { (limit.not(), limit) };
        let (here_step, there_step) = if here { (yes, no) } else { (no, yes) };
        let found = self.find(index, there_limit);
        if found != Found::None {
            let mut other = Place { step: there_step, limits: self.limits.len(), ..place.clone() };
            if let Found::Word(word) = found {
                other.example.words[index] = word;
            }
            self.waiting.push((other, Some((index, there_limit))));
        }
        self.limits.push((index, here_limit));
        place.step = here_step;
        self.work > 0
    }

    /// Looks for a word that fits what is known of it, and one thing more.
    fn find(&mut self, index: usize, limit: Limit) -> Found {
        let of_word = self.limits.iter().filter(|known| known.0 == index).map(|known| known.1);
        let limits: Vec<_> = of_word.chain([limit]).collect();
        let cost = u32::try_from(self.limits.len()).unwrap_or(u32::MAX);
        self.work = self.work.saturating_sub(cost);
        let allowed = self.work.min(WORK_OF_WORD);
        let mut left = allowed;
        let found = words::find(&limits, &mut left);
        self.work = self.work.saturating_sub(allowed - left);
        found
    }

    /// Takes notice of a way's end, and tries its example.
    fn end(&mut self, place: &Place) {
        match place.verdict {
            Verdict::Permitted => self.note(true, None),
            Verdict::Refused => self.note(false, None),
            Verdict::Deferred => self.may = (true, true),
        }
        let steps: usize = self.programs.iter().map(|program| program.steps.len()).sum();
        self.work = self.work.saturating_sub(u32::try_from(steps).unwrap_or(u32::MAX));
        let tried = super::run(self.programs, &place.example) == Verdict::Permitted;
        self.note(tried, Some(place.example));
    }

    fn note(&mut self, permitted: bool, example: Option<Data>) {
        let (may, tried) = if permitted {
            (&mut self.may.0, &mut self.tried.0)
        } else {
            (&mut self.may.1, &mut self.tried.1)
        };
        *may = true;
        *tried = tried.or(example);
    }
}

impl Place {
    fn load(&self, source: Source) -> Value {
        match source {
            // The number and the architecture are known.
            Source::Data(index @ 0..2) => Value::Number(self.example.words[index]),
            Source::Data(index) => masked(index, u32::MAX),
            Source::Number(number) => Value::Number(number),
            Source::Memory(word) => self.memory[word],
        }
    }

    const fn value(&self, operand: Operand) -> Value {
        match operand {
            Operand::Number(number) => Value::Number(number),
            Operand::X => self.x,
        }
    }

    /// Goes on to the next filter; true when none can change a refusal.
    fn leave(&mut self, verdict: Verdict) -> bool {
        self.verdict = self.verdict.min(verdict);
        self.filter += 1;
        self.step = 0;
        (self.a, self.x) = (Value::Number(0), Value::Number(0));
        self.memory = [Value::Number(0); MEMORY_WORDS];
        self.verdict == Verdict::Refused
    }
}

const fn masked(index: usize, mask: u32) -> Value {
    assert!(index < DATA_WORDS);
    if mask == 0 { Value::Number(0) } else { Value::Word { index, mask } }
}

/// What a comparison asks of the call.
enum Split {
    /// Nothing.
    Known(bool),
    /// It holds when that word is within that limit.
    Word(usize, Limit),
    /// It may go either way.
    Unknown,
}

fn compare(test: Test, a: Value, b: Value) -> Split {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => Split::Known(test.holds(a, b)),
        (Value::Word { index, mask }, Value::Number(b)) => limited(index, mask, test, b, false),
        (Value::Number(a), Value::Word { index, mask }) => limited(index, mask, test, a, true),
        _ => Split::Unknown,
    }
}

/// When the bits of a word compare to a number, or, turned round, the number to the bits.
fn limited(index: usize, mask: u32, test: Test, number: u32, turned: bool) -> Split {
    let from = |low: Option<u32>| low.map(|low| (low, u32::MAX));
    let range = match (test, turned) {
        (Test::Equal, _) => Some((number, number)),
        (Test::Greater, false) => from(number.checked_add(1)),
        (Test::NotLess, false) => from(Some(number)),
        (Test::Greater, true) => number.checked_sub(1).map(|high| (0, high)),
        (Test::NotLess, true) => Some((0, number)),
        (Test::Common, _) => {
            let mask = mask & number;
            let some = Limit { mask, low: 0, high: 0, inside: false };
            return if mask == 0 { Split::Known(false) } else { Split::Word(index, some) };
        }
    };
    let Some((low, high)) = range else { return Split::Known(false) };
    Split::Word(index, Limit { mask, low, high, inside: true })
}
