//! Giving members scores: `ZADD`, `ZINCRBY`.

use alloc::vec::Vec;

use super::super::argument::{float, is, word};
use super::super::{Context, Error};
use crate::db::copy::Parts;
use crate::frame::Request;
use crate::number::format_float;
use crate::types::sorted_set::SortedSet;

const NOT_A_NUMBER: Error = Error::Plain("resulting score is not a number (NaN)");

/// The options of `ZADD`.
#[derive(Debug, Default)]
struct Options {
    only_new: bool,
    only_present: bool,
    only_greater: bool,
    only_less: bool,
    counts_changed: bool,
    adds: bool,
    /// The place of the first score.
    first: usize,
}

impl Options {
    fn read(request: Request<'_>) -> Result<Self, Error> {
        let mut options = Self { first: 2, ..Self::default() };
        while let Some(option) = request.get(options.first) {
            let known = [
                ("NX", &mut options.only_new),
                ("XX", &mut options.only_present),
                ("GT", &mut options.only_greater),
                ("LT", &mut options.only_less),
                ("CH", &mut options.counts_changed),
                ("INCR", &mut options.adds),
            ];
            let Some((_, flag)) = known.into_iter().find(|(name, _)| is(option, name)) else {
                break;
            };
            *flag = true;
            options.first += 1;
        }
        let words = request.len() - options.first;
        if words == 0 || words % 2 == 1 {
            return Err(Error::Syntax);
        }
        options.check(words)?;
        Ok(options)
    }

    fn check(&self, words: usize) -> Result<(), Error> {
        let directions = [self.only_new, self.only_greater, self.only_less];
        if self.only_new && self.only_present {
            return Err(Error::Plain("XX and NX options at the same time are not compatible"));
        }
        if directions.into_iter().filter(|it| *it).count() > 1 {
            return Err(Error::Plain(
                "GT, LT, and/or NX options at the same time are not compatible",
            ));
        }
        if self.adds && words > 2 {
            return Err(Error::Plain("INCR option supports a single increment-element pair"));
        }
        Ok(())
    }

    /// Whether every member gets its score.
    const fn is_plain(&self) -> bool {
        !(self.only_new || self.only_present || self.only_greater || self.only_less || self.adds)
    }

    /// Whether a member with the score `old`, if it is one, gets the score `new`.
    fn allows(&self, old: Option<f64>, new: f64) -> bool {
        match old {
            None => !self.only_present,
            Some(old) => {
                !(self.only_new
                    || (self.only_greater && new <= old)
                    || (self.only_less && new >= old))
            }
        }
    }
}

pub(super) fn add(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let options = Options::read(request)?;
    if options.adds {
        let (by, member) = (float(request, options.first)?, word(request, options.first + 1)?);
        let score = increase(context, word(request, 1)?, member, by, &options)?;
        super::write_score(context.reply, score);
        return Ok(());
    }
    let places = (options.first..request.len()).step_by(2);
    let scores: Vec<f64> = places.map(|at| float(request, at)).collect::<Result<_, _>>()?;
    if options.is_plain() {
        add_all(context, request, &options, &scores)
    } else {
        add_some(context, request, &options, &scores)
    }
}

fn add_all(
    context: &mut Context<'_>,
    request: Request<'_>,
    options: &Options,
    scores: &[f64],
) -> Result<(), Error> {
    let keys = &mut context.store.keys;
    let members = request.iter().skip(options.first + 1).step_by(2);
    let (added, changed) = keys.edit_or_create(word(request, 1)?, SortedSet::new, |set| {
        let (mut added, mut changed) = (0, 0);
        for (member, &score) in members.zip(scores) {
            match set.insert(member, score) {
                None => added += 1,
                Some(old) => changed += usize::from(old != score),
            }
        }
        ((added, changed), added + changed > 0)
    })?;
    if added + changed > 0 {
        keys.log_request(request);
    }
    context.reply.count(if options.counts_changed { added + changed } else { added });
    Ok(())
}

/// The same where the options say which members get their scores. The log is told these.
fn add_some(
    context: &mut Context<'_>,
    request: Request<'_>,
    options: &Options,
    scores: &[f64],
) -> Result<(), Error> {
    let keys = &mut context.store.keys;
    let key = word(request, 1)?;
    let members = request.iter().skip(options.first + 1).step_by(2);
    let (mut added, mut changed) = (0, Vec::new());
    keys.edit_or_create(key, SortedSet::new, |set| {
        for (at, (member, &score)) in members.zip(scores).enumerate() {
            let old = set.score(member);
            if options.allows(old, score) && old != Some(score) {
                set.insert(member, score);
                added += usize::from(old.is_none());
                changed.push(options.first + 2 * at);
            }
        }
        ((), !changed.is_empty())
    })?;
    let database = keys.selected();
    let mut parts = Parts::new(&mut keys.effects, database, "ZADD", key);
    for &at in &changed {
        parts.add(&[word(request, at)?, word(request, at + 1)?]);
    }
    parts.write();
    context.reply.count(if options.counts_changed { changed.len() } else { added });
    Ok(())
}

pub(super) fn increase_by(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (by, member) = (float(request, 2)?, word(request, 3)?);
    let score = increase(context, word(request, 1)?, member, by, &Options::default())?;
    super::write_score(context.reply, score);
    Ok(())
}

/// Adds to the score of a member, which is 0 if it is none. The new score, if the options allow it.
fn increase(
    context: &mut Context<'_>,
    key: &[u8],
    member: &[u8],
    by: f64,
    options: &Options,
) -> Result<Option<f64>, Error> {
    let keys = &mut context.store.keys;
    let (old, new) = keys.edit_or_create(key, SortedSet::new, |set| {
        let old = set.score(member);
        let new = old.map_or(by, |old| old + by);
        let is_put = !new.is_nan() && options.allows(old, new);
        if is_put && old != Some(new) {
            set.insert(member, new);
        }
        ((old, is_put.then_some(new).ok_or(new)), is_put && old != Some(new))
    })?;
    match new {
        Ok(new) => {
            if old != Some(new) {
                keys.log(&[b"ZADD", key, format_float(new).as_bytes(), member]);
            }
            Ok(Some(new))
        }
        Err(refused) if refused.is_nan() => Err(NOT_A_NUMBER),
        Err(_) => Ok(None),
    }
}
