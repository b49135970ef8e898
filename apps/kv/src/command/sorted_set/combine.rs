//! Unions, intersections and differences of sorted sets and sets, whose members count as if they had the score 1.

use alloc::format;
use alloc::vec::Vec;
use core::ops::{ControlFlow, Range};

use super::super::argument::{float, integer, is, positive, word};
use super::super::{Context, Error};
use crate::db::Keyspace;
use crate::db::record::{Record, View};
use crate::db::value::{Collection, Value};
use crate::frame::Request;
use crate::types::set::Set;
use crate::types::sorted_set::SortedSet;

/// How sets are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// What becomes of the scores that a member has in several sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn read(word: &[u8]) -> Result<Self, Error> {
        [("SUM", Self::Sum), ("MIN", Self::Min), ("MAX", Self::Max)]
            .into_iter()
            .find_map(|(name, aggregate)| is(word, name).then_some(aggregate))
            .ok_or(Error::Syntax)
    }

    fn of(self, one: f64, other: f64) -> f64 {
        match self {
            Self::Sum => number_or_zero(one + other),
            Self::Min if other < one => other,
            Self::Max if other > one => other,
            Self::Min | Self::Max => one,
        }
    }
}

/// What is infinite and not makes 0 here.
const fn number_or_zero(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// A set that is combined with others.
#[derive(Debug, Clone, Copy)]
enum Source<'a> {
    Absent,
    Set(&'a Set),
    SortedSet(&'a SortedSet),
}

impl<'a> Source<'a> {
    /// What a key has, which was [checked](check).
    fn of(keys: &'a Keyspace, key: &[u8]) -> Self {
        if let Some(set) = keys.look(key) {
            Self::SortedSet(set)
        } else if let Some(set) = keys.look(key) {
            Self::Set(set)
        } else {
            Self::Absent
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Absent => 0,
            Self::Set(set) => Collection::len(set),
            Self::SortedSet(set) => set.len(),
        }
    }

    fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Self::Absent => None,
            Self::Set(set) => set.contains(member).then_some(1.0),
            Self::SortedSet(set) => set.score(member),
        }
    }

    /// Shows members with their scores until `show` breaks.
    fn visit(self, mut show: impl FnMut(&[u8], f64) -> ControlFlow<()>) {
        // Whether it broke makes no difference to anybody.
        let _ = match self {
            Self::Absent => ControlFlow::Continue(()),
            Self::Set(set) => set.iter().try_for_each(|member| show(&member, 1.0)),
            Self::SortedSet(set) => set.iter().try_for_each(|(member, score)| show(member, score)),
        };
    }

    /// What a sorted set of its members, and that in the log or in a reply, takes at most, about.
    fn result_bytes(self) -> usize {
        let encoded_bytes = match self {
            Self::Absent => 0,
            Self::Set(set) => set.encoded_bytes(),
            Self::SortedSet(set) => set.encoded_bytes(),
        };
        2 * encoded_bytes as usize + super::MEMBER_BYTES * self.len()
    }
}

/// Whether a key can be combined with others.
fn check(record: Option<&Record>) -> Result<(), Error> {
    match record.map(Record::view) {
        None | Some(View::Other(Value::Set(_) | Value::SortedSet(_))) => Ok(()),
        Some(_) => Err(Error::WrongType),
    }
}

/// A command's words.
#[derive(Debug)]
struct Query {
    operation: Operation,
    /// The places of the keys.
    keys: Range<usize>,
    /// One for each key.
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
    limit: usize,
}

/// What a command's reply is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Members,
    Stored,
    Count,
}

const fn name(operation: Operation, form: Form) -> &'static str {
    match (operation, form) {
        (Operation::Union, Form::Stored) => "zunionstore",
        (Operation::Union, _) => "zunion",
        (Operation::Intersection, Form::Stored) => "zinterstore",
        (Operation::Intersection, Form::Members) => "zinter",
        (Operation::Intersection, Form::Count) => "zintercard",
        (Operation::Difference, Form::Stored) => "zdiffstore",
        (Operation::Difference, _) => "zdiff",
    }
}

impl Query {
    /// Reads the words from a place on. The keys are checked before the options.
    fn read(
        context: &mut Context<'_>,
        request: Request<'_>,
        operation: Operation,
        form: Form,
    ) -> Result<Self, Error> {
        let at = if form == Form::Stored { 2 } else { 1 };
        let count = integer(request, at)?;
        if count < 1 {
            return Err(Error::Text(format!(
                "at least 1 input key is needed for '{}' command",
                name(operation, form)
            )));
        }
        let keys = usize::try_from(count).ok().and_then(|count| (at + 1).checked_add(count));
        let end = keys.filter(|end| *end <= request.len()).ok_or(Error::Syntax)?;
        let keys = at + 1..end;
        for at in keys.clone() {
            check(context.store.keys.read(word(request, at)?))?;
        }
        let mut query = Self {
            operation,
            weights: Vec::new(),
            aggregate: Aggregate::Sum,
            with_scores: false,
            limit: usize::MAX,
            keys,
        };
        query.read_options(request, form)?;
        query.weights.resize(query.keys.len(), 1.0);
        Ok(query)
    }

    fn read_options(&mut self, request: Request<'_>, form: Form) -> Result<(), Error> {
        let may_weigh = self.operation != Operation::Difference && form != Form::Count;
        let mut at = self.keys.end;
        while let Some(option) = request.get(at) {
            let left = request.len() - at - 1;
            if may_weigh && is(option, "WEIGHTS") && left >= self.keys.len() {
                let places = at + 1..=at + self.keys.len();
                let weights = places.map(|at| float(request, at)).collect::<Result<_, _>>();
                self.weights = weights.map_err(|_| Error::Plain("weight value is not a float"))?;
                at += self.keys.len();
            } else if may_weigh && is(option, "AGGREGATE") && left >= 1 {
                self.aggregate = Aggregate::read(word(request, at + 1)?)?;
                at += 1;
            } else if form == Form::Members && is(option, "WITHSCORES") {
                self.with_scores = true;
            } else if form == Form::Count && is(option, "LIMIT") && left >= 1 {
                let limit = positive(request, at + 1);
                let limit = limit.map_err(|_| Error::Plain("LIMIT can't be negative"))?;
                self.limit = if limit == 0 { usize::MAX } else { limit };
                at += 1;
            } else {
                return Err(Error::Syntax);
            }
            at += 1;
        }
        Ok(())
    }

    /// The sets with their weights: the smallest first, but for a difference.
    fn sources<'a>(
        &self,
        keys: &'a Keyspace,
        request: Request<'_>,
    ) -> Result<Vec<(Source<'a>, f64)>, Error> {
        let mut sources = Vec::with_capacity(self.keys.len());
        for (at, &weight) in self.keys.clone().zip(&self.weights) {
            sources.push((Source::of(keys, word(request, at)?), weight));
        }
        if self.operation != Operation::Difference {
            sources.sort_by_key(|(source, _)| source.len());
        }
        Ok(sources)
    }

    /// What the result takes at most, about.
    fn result_bytes(&self, sources: &[(Source<'_>, f64)]) -> usize {
        let most = if self.operation == Operation::Union { sources.len() } else { 1 };
        sources.iter().take(most).map(|(source, _)| source.result_bytes()).sum()
    }

    fn run(&self, sources: &[(Source<'_>, f64)], result: &mut SortedSet) {
        let Some((&(first, weight), others)) = sources.split_first() else { return };
        match self.operation {
            Operation::Union => self.unite(sources, result),
            Operation::Intersection => first.visit(|member, score| {
                let mut sum = number_or_zero(score * weight);
                for (other, weight) in others {
                    let Some(score) = other.score(member) else {
                        return ControlFlow::Continue(());
                    };
                    sum = self.aggregate.of(sum, score * weight);
                }
                result.insert(member, sum);
                ControlFlow::Continue(())
            }),
            Operation::Difference => first.visit(|member, score| {
                if others.iter().all(|(other, _)| other.score(member).is_none()) {
                    result.insert(member, score);
                }
                ControlFlow::Continue(())
            }),
        }
    }

    fn unite(&self, sources: &[(Source<'_>, f64)], result: &mut SortedSet) {
        for (source, weight) in sources {
            source.visit(|member, score| {
                let score = number_or_zero(score * weight);
                let old = result.score(member);
                result.insert(member, old.map_or(score, |old| self.aggregate.of(old, score)));
                ControlFlow::Continue(())
            });
        }
    }
}

/// Replies the members of the result.
fn show(
    context: &mut Context<'_>,
    request: Request<'_>,
    operation: Operation,
) -> Result<(), Error> {
    let query = Query::read(context, request, operation, Form::Members)?;
    let keys = &context.store.keys;
    let sources = query.sources(keys, request)?;
    context.store.check_reserve(query.result_bytes(&sources))?;
    let mut result = SortedSet::new(keys.hasher());
    query.run(&sources, &mut result);
    super::write_members(context.reply, result.iter(), query.with_scores);
    Ok(())
}

/// Puts the result at the first key.
fn store(
    context: &mut Context<'_>,
    request: Request<'_>,
    operation: Operation,
) -> Result<(), Error> {
    let query = Query::read(context, request, operation, Form::Stored)?;
    let keys = &context.store.keys;
    let sources = query.sources(keys, request)?;
    context.store.check_room(query.result_bytes(&sources))?;
    let mut result = SortedSet::new(keys.hasher());
    query.run(&sources, &mut result);
    put(context, word(request, 1)?, result)
}

/// Puts a sorted set at a key, whatever was there, and replies how many members it has.
pub(super) fn put(context: &mut Context<'_>, key: &[u8], set: SortedSet) -> Result<(), Error> {
    let keys = &mut context.store.keys;
    context.reply.count(set.len());
    keys.put(key, set.into_value(), None);
    keys.log_whole(key);
    Ok(())
}

pub(super) fn union(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    show(context, request, Operation::Union)
}

pub(super) fn intersection(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    show(context, request, Operation::Intersection)
}

pub(super) fn difference(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    show(context, request, Operation::Difference)
}

pub(super) fn store_union(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    store(context, request, Operation::Union)
}

pub(super) fn store_intersection(
    context: &mut Context<'_>,
    request: Request<'_>,
) -> Result<(), Error> {
    store(context, request, Operation::Intersection)
}

pub(super) fn store_difference(
    context: &mut Context<'_>,
    request: Request<'_>,
) -> Result<(), Error> {
    store(context, request, Operation::Difference)
}

pub(super) fn count_intersection(
    context: &mut Context<'_>,
    request: Request<'_>,
) -> Result<(), Error> {
    let query = Query::read(context, request, Operation::Intersection, Form::Count)?;
    let sources = query.sources(&context.store.keys, request)?;
    let mut count = 0;
    if let Some((&(first, _), others)) = sources.split_first() {
        first.visit(|member, _| {
            let is_common = others.iter().all(|(other, _)| other.score(member).is_some());
            count += usize::from(is_common);
            if count < query.limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
    }
    context.reply.count(count);
    Ok(())
}
