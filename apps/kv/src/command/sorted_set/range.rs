//! Ranges of members: by rank, by score, and by member where all scores are equal.
//!
//! Each is turned into ranks first. So a limit skips nothing by walking, and counting and removing are
//! the same for all.

use core::ops::Range;

use super::super::argument::{self, integer, is, word};
use super::super::{Context, Error};
use crate::frame::Request;
use crate::types::sorted_set::{LexBound, ScoreBound, SortedSet};

/// What a range goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Member,
}

/// Two ends of a range, the lower in front.
#[derive(Debug, Clone, Copy)]
enum Bounds<'a> {
    Ranks(i64, i64),
    Scores(ScoreBound, ScoreBound),
    Members(LexBound<'a>, LexBound<'a>),
}

impl<'a> Bounds<'a> {
    /// Reads two words, at `min` and `max`.
    fn read(request: Request<'a>, by: By, min: usize, max: usize) -> Result<Self, Error> {
        Ok(match by {
            By::Rank => Self::Ranks(integer(request, min)?, integer(request, max)?),
            By::Score => Self::Scores(score(word(request, min)?)?, score(word(request, max)?)?),
            By::Member => Self::Members(member(word(request, min)?)?, member(word(request, max)?)?),
        })
    }

    /// The ranks of what is between; counted from the other end, if they are ranks and that is meant.
    fn ranks(self, set: &SortedSet, is_reversed: bool) -> Range<usize> {
        match self {
            Self::Ranks(start, stop) => {
                let (start, len) = argument::range(start, stop, set.len());
                if is_reversed {
                    set.len() - start - len..set.len() - start
                } else {
                    start..start + len
                }
            }
            Self::Scores(min, max) => set.ranks_by_score(min, max),
            Self::Members(min, max) => set.ranks_by_lex(min, max),
        }
    }
}

/// A score, or one that is outside itself after a parenthesis. As in C, no digits at all are 0.
fn score(word: &[u8]) -> Result<ScoreBound, Error> {
    let (exclusive, digits) = match word.split_first() {
        Some((b'(', digits)) => (true, digits),
        _ => (false, word),
    };
    let value = match core::str::from_utf8(digits) {
        Ok("") => Some(0.0),
        Ok(text) => text.parse::<f64>().ok().filter(|value| !value.is_nan()),
        Err(_) => None,
    };
    let value = value.ok_or(Error::Plain("min or max is not a float"))?;
    Ok(ScoreBound { value, exclusive })
}

fn member(word: &[u8]) -> Result<LexBound<'_>, Error> {
    match word {
        b"-" => Ok(LexBound::NegInf),
        b"+" => Ok(LexBound::PosInf),
        [b'[', member @ ..] => Ok(LexBound::Inclusive(member)),
        [b'(', member @ ..] => Ok(LexBound::Exclusive(member)),
        _ => Err(Error::Plain("min or max not valid string range item")),
    }
}

/// What a command leaves to its options.
#[derive(Debug, Clone, Copy)]
struct Form {
    /// The place of the first bound.
    at: usize,
    by: Option<By>,
    is_reversed: Option<bool>,
    may_have_scores: bool,
}

/// A range as a command asks for it.
#[derive(Debug)]
struct Query<'a> {
    bounds: Bounds<'a>,
    is_reversed: bool,
    with_scores: bool,
    /// Members to skip, and how many there may be; negative for all.
    limit: (i64, i64),
}

impl<'a> Query<'a> {
    fn read(request: Request<'a>, form: Form) -> Result<Self, Error> {
        let (mut by, mut is_reversed) = (form.by, form.is_reversed);
        let (mut with_scores, mut limit) = (false, (0, -1));
        let mut at = form.at + 2;
        while let Some(option) = request.get(at) {
            if form.may_have_scores && is(option, "WITHSCORES") {
                with_scores = true;
            } else if is(option, "LIMIT") && at + 2 < request.len() {
                limit = (integer(request, at + 1)?, integer(request, at + 2)?);
                at += 2;
            } else if is_reversed.is_none() && is(option, "REV") {
                is_reversed = Some(true);
            } else if by.is_none() && is(option, "BYLEX") {
                by = Some(By::Member);
            } else if by.is_none() && is(option, "BYSCORE") {
                by = Some(By::Score);
            } else {
                return Err(Error::Syntax);
            }
            at += 1;
        }
        let (by, is_reversed) = (by.unwrap_or(By::Rank), is_reversed.unwrap_or(false));
        if by == By::Rank && limit.1 != -1 {
            return Err(Error::Plain(
                "syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if by == By::Member && with_scores {
            return Err(Error::Plain(
                "syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        // The higher score or member comes first in a reversed range; ranks are counted reversed.
        let (min, max) = if is_reversed && by != By::Rank { (1, 0) } else { (0, 1) };
        let bounds = Bounds::read(request, by, form.at + min, form.at + max)?;
        if by == By::Rank {
            limit = (0, -1);
        }
        Ok(Self { bounds, is_reversed, with_scores, limit })
    }

    fn ranks(&self, set: &SortedSet) -> Range<usize> {
        let ranks = self.bounds.ranks(set, self.is_reversed);
        let (skipped, count) = self.limit;
        let Ok(skipped) = usize::try_from(skipped) else { return 0..0 };
        let skipped = skipped.min(ranks.len());
        let left = ranks.len() - skipped;
        let count = usize::try_from(count).map_or(left, |count| count.min(left));
        if self.is_reversed {
            let end = ranks.end - skipped;
            end - count..end
        } else {
            let start = ranks.start + skipped;
            start..start + count
        }
    }
}

const RANGE: Form = Form { at: 2, by: None, is_reversed: None, may_have_scores: true };

pub(super) fn range(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    show(context, request, RANGE)
}

pub(super) fn reverse_range(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    show(context, request, Form { by: Some(By::Rank), is_reversed: Some(true), ..RANGE })
}

pub(super) fn by_score(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    show(context, request, Form { by: Some(By::Score), is_reversed: Some(false), ..RANGE })
}

pub(super) fn reverse_by_score(
    context: &mut Context<'_>,
    request: Request<'_>,
) -> Result<(), Error> {
    show(context, request, Form { by: Some(By::Score), is_reversed: Some(true), ..RANGE })
}

pub(super) fn by_member(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    show(context, request, Form { by: Some(By::Member), is_reversed: Some(false), ..RANGE })
}

pub(super) fn reverse_by_member(
    context: &mut Context<'_>,
    request: Request<'_>,
) -> Result<(), Error> {
    show(context, request, Form { by: Some(By::Member), is_reversed: Some(true), ..RANGE })
}

fn show(context: &mut Context<'_>, request: Request<'_>, form: Form) -> Result<(), Error> {
    let query = Query::read(request, form)?;
    let Some(set) = context.store.keys.collection::<SortedSet>(word(request, 1)?)? else {
        context.reply.array(0);
        return Ok(());
    };
    let ranks = query.ranks(set);
    let members = set.range_by_rank(ranks.start, ranks.len());
    if query.is_reversed {
        super::write_members(context.reply, members.rev(), query.with_scores);
    } else {
        super::write_members(context.reply, members, query.with_scores);
    }
    Ok(())
}

pub(super) fn store(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let query = Query::read(request, Form { at: 3, may_have_scores: false, ..RANGE })?;
    let source = word(request, 2)?;
    let hasher = context.store.keys.hasher();
    let (mut ranks, mut bytes) = (0..0, 0);
    if let Some(set) = context.store.keys.collection::<SortedSet>(source)? {
        ranks = query.ranks(set);
        let whole_bytes = 2 * set.encoded_bytes() as usize + super::MEMBER_BYTES * set.len();
        // As if all members were equally long.
        bytes = whole_bytes / set.len().max(1) * ranks.len();
    }
    context.store.check_room(bytes)?;
    let mut result = SortedSet::new(hasher);
    if let Some(set) = context.store.keys.collection::<SortedSet>(source)? {
        for (member, score) in set.range_by_rank(ranks.start, ranks.len()) {
            result.insert(member, score);
        }
    }
    super::combine::put(context, word(request, 1)?, result)
}

pub(super) fn count_by_score(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    count(context, request, By::Score)
}

pub(super) fn count_by_member(
    context: &mut Context<'_>,
    request: Request<'_>,
) -> Result<(), Error> {
    count(context, request, By::Member)
}

fn count(context: &mut Context<'_>, request: Request<'_>, by: By) -> Result<(), Error> {
    let bounds = Bounds::read(request, by, 2, 3)?;
    let set = super::collection(context, request)?;
    let count = set.map_or(0, |set| bounds.ranks(set, false).len());
    context.reply.count(count);
    Ok(())
}

pub(super) fn remove_by_rank(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    remove(context, request, By::Rank)
}

pub(super) fn remove_by_score(
    context: &mut Context<'_>,
    request: Request<'_>,
) -> Result<(), Error> {
    remove(context, request, By::Score)
}

pub(super) fn remove_by_member(
    context: &mut Context<'_>,
    request: Request<'_>,
) -> Result<(), Error> {
    remove(context, request, By::Member)
}

fn remove(context: &mut Context<'_>, request: Request<'_>, by: By) -> Result<(), Error> {
    let bounds = Bounds::read(request, by, 2, 3)?;
    let set = super::collection(context, request)?;
    let ranks = set.map_or(0..0, |set| bounds.ranks(set, false));
    let removed = super::remove_ranks(&mut context.store.keys, word(request, 1)?, ranks)?;
    context.reply.count(removed);
    Ok(())
}
