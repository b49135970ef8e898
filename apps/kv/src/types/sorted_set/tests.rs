//! The sorted set against ordered pairs, and the promises about its tree.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::Range;

use proptest::collection::vec as many;
use proptest::prelude::*;

use super::packed::{MEMBER_BYTES_MAX, MEMBERS_MAX};
use super::{LexBound, Members, ScoreBound, SortedSet};
use crate::db::dict::Hasher;

/// A score that the standard library can order. Both zeros are this zero.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Score(f64);

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0 + 0.0).total_cmp(&(other.0 + 0.0))
    }
}

#[derive(Default)]
struct Model {
    order: BTreeSet<(Score, Vec<u8>)>,
    scores: BTreeMap<Vec<u8>, f64>,
}

impl Model {
    fn insert(&mut self, member: &[u8], score: f64) -> Option<f64> {
        let old = self.scores.get(member).copied();
        if old != Some(score) {
            self.remove(member);
            self.scores.insert(member.to_vec(), score);
            self.order.insert((Score(score), member.to_vec()));
        }
        old
    }

    fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let score = self.scores.remove(member)?;
        self.order.remove(&(Score(score), member.to_vec()));
        Some(score)
    }

    fn pairs(&self) -> impl DoubleEndedIterator<Item = (&[u8], f64)> {
        self.order.iter().map(|(score, member)| (member.as_slice(), score.0))
    }
}

#[derive(Debug, Clone)]
enum Step {
    Insert(Vec<u8>, f64),
    InsertMany { first: u16, count: u16, stride: u16, scale: f64 },
    Update(usize, f64),
    Remove(Vec<u8>),
    RemoveSome { rank: usize, count: usize, stride: usize },
    RemoveRange(usize, usize),
    PopFirst(usize),
    PopLast(usize),
    Ranks(usize, usize),
    Scores(ScoreBound, ScoreBound),
    Members(Vec<u8>, Vec<u8>),
    Scan(usize),
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(0.0),
        Just(-0.0),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(f64::MIN_POSITIVE / 4.0),
        (-5..5_i32).prop_map(f64::from),
        (-500..500_i32).prop_map(|score| f64::from(score) / 8.0),
    ]
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        10 => (0..2000_u16).prop_map(numbered),
        2 => many(any::<u8>(), 0..4),
        1 => (20..26_usize, 0..3_u8).prop_map(|(len, byte)| vec![byte; len]),
        // Any of these makes a big set of a small one.
        1 => (60..70_usize, 0..3_u8).prop_map(|(len, byte)| vec![byte; len]),
    ]
}

fn numbered(i: u16) -> Vec<u8> {
    format!("m{i}").into_bytes()
}

fn bound() -> impl Strategy<Value = ScoreBound> {
    (score(), any::<bool>()).prop_map(|(value, exclusive)| ScoreBound { value, exclusive })
}

fn step() -> impl Strategy<Value = Step> {
    let rank = || 0..5000_usize;
    prop_oneof![
        4 => (member(), score()).prop_map(|(member, score)| Step::Insert(member, score)),
        4 => (0..2000_u16, 0..500_u16, 1..7_u16, prop_oneof![Just(0.0), Just(1.0), Just(-0.5)])
            .prop_map(|(first, count, stride, scale)| {
                Step::InsertMany { first, count, stride, scale }
            }),
        3 => (rank(), score()).prop_map(|(rank, score)| Step::Update(rank, score)),
        3 => member().prop_map(Step::Remove),
        3 => (rank(), 0..300_usize, 1..5_usize)
            .prop_map(|(rank, count, stride)| Step::RemoveSome { rank, count, stride }),
        1 => (rank(), 0..400_usize).prop_map(|(rank, len)| Step::RemoveRange(rank, len)),
        1 => (0..100_usize).prop_map(Step::PopFirst),
        1 => (0..100_usize).prop_map(Step::PopLast),
        2 => (rank(), 0..500_usize).prop_map(|(rank, len)| Step::Ranks(rank, len)),
        2 => (bound(), bound()).prop_map(|(min, max)| Step::Scores(min, max)),
        2 => (member(), member()).prop_map(|(min, max)| Step::Members(min, max)),
        1 => (1..100_usize).prop_map(Step::Scan),
    ]
}

fn apply(set: &mut SortedSet, model: &mut Model, step: Step) {
    let at = |rank: usize| rank.checked_rem(model.order.len()).unwrap_or(0);
    match step {
        Step::Insert(member, score) => {
            assert_eq!(set.insert(&member, score), model.insert(&member, score));
        }
        Step::InsertMany { first, count, stride, scale } => {
            for i in 0..count {
                let member = numbered((first + i * stride) % 2000);
                let score = f64::from(i) * scale;
                assert_eq!(set.insert(&member, score), model.insert(&member, score));
            }
        }
        Step::Update(rank, score) => {
            let Some((_, member)) = model.order.iter().nth(at(rank)).cloned() else { return };
            assert_eq!(set.insert(&member, score), model.insert(&member, score));
        }
        Step::Remove(member) => assert_eq!(set.remove(&member), model.remove(&member)),
        Step::RemoveSome { rank, count, stride } => {
            let some = model.order.iter().skip(at(rank)).step_by(stride).take(count);
            for (_, member) in some.cloned().collect::<Vec<_>>() {
                assert_eq!(set.remove(&member), model.remove(&member));
            }
        }
        Step::RemoveRange(rank, len) => {
            let start = at(rank);
            let gone: Vec<_> = model.order.iter().skip(start).take(len).cloned().collect();
            let mut shown = Vec::new();
            let removed = set.remove_range(start..start + len, |member, score| {
                shown.push((Score(score), member.to_vec()));
            });
            assert_eq!(removed, gone.len());
            assert_eq!(shown, gone);
            gone.iter().for_each(|(_, member)| assert!(model.remove(member).is_some()));
        }
        Step::PopFirst(count) => {
            for _ in 0..count {
                let first = model.order.pop_first();
                first.iter().for_each(|(_, member)| assert!(model.scores.remove(member).is_some()));
                assert_eq!(pop_first(set), first.map(|(score, member)| (member, score.0)));
            }
        }
        Step::PopLast(count) => {
            for _ in 0..count {
                let last = model.order.pop_last();
                last.iter().for_each(|(_, member)| assert!(model.scores.remove(member).is_some()));
                assert_eq!(pop_last(set), last.map(|(score, member)| (member, score.0)));
            }
        }
        Step::Ranks(rank, len) => read_ranks(set, model, at(rank), len),
        Step::Scores(min, max) => read_scores(set, model, min, max),
        Step::Members(min, max) => read_members(set, &min, &max),
        Step::Scan(count) => scan(set, model, count),
    }
}

fn read_ranks(set: &SortedSet, model: &Model, start: usize, len: usize) {
    let wanted: Vec<_> = model.pairs().skip(start).take(len).collect();
    assert_eq!(set.range_by_rank(start, len).collect::<Vec<_>>(), wanted);
    assert!(set.range_by_rank(start, len).rev().eq(wanted.iter().rev().copied()));
    assert_eq!(set.range_by_rank(start, len).len(), wanted.len());
    assert_eq!(set.get(start), model.pairs().nth(start));
    for (i, (member, _)) in wanted.iter().enumerate() {
        assert_eq!(set.rank(member), Some(start + i));
    }
    // From both ends in turns.
    let mut iter = set.range_by_rank(start, len);
    let mut rest = wanted.as_slice();
    while let Some((first, behind)) = rest.split_first() {
        assert_eq!(iter.next(), Some(*first));
        rest = behind;
        if let Some((last, before)) = rest.split_last() {
            assert_eq!(iter.next_back(), Some(*last));
            rest = before;
        }
    }
    assert_eq!((iter.next(), iter.next_back()), (None, None));
}

fn read_scores(set: &SortedSet, model: &Model, min: ScoreBound, max: ScoreBound) {
    let is_in = |score: f64| {
        let above = if min.exclusive { score > min.value } else { score >= min.value };
        let below = if max.exclusive { score < max.value } else { score <= max.value };
        above && below
    };
    let ranks = set.ranks_by_score(min, max);
    let found = set.range_by_rank(ranks.start, ranks.len());
    assert!(found.eq(model.pairs().filter(|&(_, score)| is_in(score))));
}

/// By its contents alone, since ranges of members are about sets with a single score.
fn read_members(set: &SortedSet, min: &[u8], max: &[u8]) {
    let mut equal = SortedSet::new(Hasher::new(3, 4));
    set.iter().for_each(|(member, _)| assert_eq!(equal.insert(member, 1.5), None));
    let members: Vec<Vec<u8>> = equal.iter().map(|(member, _)| member.to_vec()).collect();
    assert!(members.is_sorted());
    let check = |bounds: (LexBound<'_>, LexBound<'_>), is_in: &dyn Fn(&[u8]) -> bool| {
        let Range { start, end } = equal.ranks_by_lex(bounds.0, bounds.1);
        let found = equal.range_by_rank(start, end - start).map(|(member, _)| member);
        assert!(found.eq(members.iter().map(Vec::as_slice).filter(|member| is_in(member))));
        // On mixed scores the answer means nothing, but it's a range.
        let mixed = set.ranks_by_lex(bounds.0, bounds.1);
        assert!(mixed.start <= mixed.end && mixed.end <= set.len());
    };
    use LexBound::{Exclusive, Inclusive, NegInf, PosInf};
    check((Inclusive(min), Inclusive(max)), &|member| member >= min && member <= max);
    check((Exclusive(min), Exclusive(max)), &|member| member > min && member < max);
    check((Inclusive(min), PosInf), &|member| member >= min);
    check((NegInf, Exclusive(max)), &|member| member < max);
    check((NegInf, PosInf), &|_| true);
    check((PosInf, NegInf), &|_| false);
}

fn scan(set: &SortedSet, model: &Model, count: usize) {
    let mut found = BTreeMap::new();
    let mut cursor = 0;
    loop {
        cursor = set.scan(cursor, count, |member, score| {
            found.insert(member.to_vec(), score);
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(found, model.scores);
}

fn check(set: &SortedSet, model: &Model) {
    assert!(set.iter().eq(model.pairs()));
    assert_eq!(set.len(), model.order.len());
    let payload: usize = model.scores.keys().map(Vec::len).sum();
    assert_eq!(set.encoded_bytes(), (payload + set.len() * 42) as u64);
    match &set.members {
        Members::Small(_) => {
            assert!(set.len() <= MEMBERS_MAX);
            assert!(model.scores.keys().all(|member| member.len() <= MEMBER_BYTES_MAX));
            assert_eq!(set.encoding(), "listpack");
        }
        Members::Big(big) => {
            big.check();
            assert_eq!(set.encoding(), "skiplist");
        }
    }
    for random in [0, 1 << 40, u64::MAX / 3, u64::MAX] {
        assert_eq!(set.random(random).is_none(), set.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn does_what_ordered_pairs_do(steps in many(step(), 1..50)) {
        let mut set = SortedSet::new(Hasher::new(1, 2));
        let mut model = Model::default();
        for step in steps {
            apply(&mut set, &mut model, step);
            check(&set, &model);
        }
        let mut drained = 0;
        loop {
            match set.drain_some(100) {
                0 => break,
                some => drained += some,
            }
        }
        prop_assert_eq!(drained, model.order.len());
        prop_assert_eq!((set.len(), set.encoded_bytes()), (0, 0));
    }
}

#[test]
fn tree_stays_sound_at_several_levels() {
    let mut set = SortedSet::new(Hasher::new(1, 2));
    let mut model = Model::default();
    let mut state = 7_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u32
    };
    let member = |i: u32| i.to_be_bytes();
    for i in 0..30_000 {
        let score = f64::from(random() % 10_000);
        assert_eq!(set.insert(&member(i), score), model.insert(&member(i), score));
    }
    check(&set, &model);
    for _ in 0..30_000 {
        let i = random() % 30_000;
        assert_eq!(set.remove(&member(i)), model.remove(&member(i)));
    }
    check(&set, &model);
    // From the middle out, so that nodes are merged with both neighbours.
    while set.len() > 10 {
        let removed = set.remove_range(set.len() / 2..set.len() / 2 + 50, |member, _| {
            model.remove(member);
        });
        assert!(removed > 0);
    }
    check(&set, &model);
}

#[test]
fn tree_stays_sound_when_one_end_is_eaten() {
    for is_front in [true, false] {
        let mut set = SortedSet::new(Hasher::new(1, 2));
        let mut model = Model::default();
        for i in 0..30_000_u32 {
            let score = f64::from(i.wrapping_mul(0x9e37_79b9));
            assert_eq!(set.insert(&i.to_be_bytes(), score), model.insert(&i.to_be_bytes(), score));
        }
        while !set.is_empty() {
            for _ in 0..3000 {
                let popped = if is_front { pop_first(&mut set) } else { pop_last(&mut set) };
                let (member, score) = popped.unwrap();
                assert_eq!(model.remove(&member), Some(score));
            }
            check(&set, &model);
        }
    }
}

#[test]
fn ascending_scores_leave_no_waste() {
    let mut set = SortedSet::new(Hasher::new(1, 2));
    for i in 0..100_000_u32 {
        set.insert(&i.to_be_bytes(), f64::from(i));
    }
    let Members::Big(big) = &set.members else { panic!("it's small") };
    big.check();
    assert!(set.memory_bytes() < 100_000 * 90, "{}", set.memory_bytes() / 100_000);
}

#[test]
fn zeros_are_equal_and_only_a_big_set_shows_the_sign() {
    let zero = ScoreBound { value: 0.0, exclusive: false };
    let above = ScoreBound { value: -0.0, exclusive: true };
    let mut set = SortedSet::new(Hasher::new(1, 2));
    for len in 1..=MEMBERS_MAX + 2 {
        let member = [len as u8];
        assert_eq!(set.insert(&member, -0.0), None);
        assert_eq!(set.insert(&member, 0.0), Some(0.0));
        let is_negative = set.score(&member).map(f64::is_sign_negative);
        assert_eq!(is_negative, Some(len > MEMBERS_MAX));
        assert_eq!(set.ranks_by_score(zero, zero), 0..len);
        assert_eq!(set.rank_of_score_min(above), len);
    }
}

#[test]
fn small_set_grows_up_at_its_limits() {
    let mut set = SortedSet::new(Hasher::new(1, 2));
    for i in 0..MEMBERS_MAX {
        set.insert(&i.to_be_bytes(), 1.0);
    }
    set.insert(&0_usize.to_be_bytes(), 2.0);
    assert_eq!(set.encoding(), "listpack");
    set.insert(b"one more", 1.0);
    assert_eq!(set.encoding(), "skiplist");

    let mut set = SortedSet::new(Hasher::new(1, 2));
    set.insert(&[1; MEMBER_BYTES_MAX], 1.0);
    assert_eq!(set.encoding(), "listpack");
    set.insert(&[1; MEMBER_BYTES_MAX + 1], 1.0);
    assert_eq!(set.encoding(), "skiplist");
    assert_eq!(set.len(), 2);
}

#[test]
fn empty_set_has_nothing() {
    let mut set = SortedSet::new(Hasher::new(1, 2));
    assert!(set.is_empty());
    assert_eq!(pop_first(&mut set), None);
    assert_eq!(pop_last(&mut set), None);
    assert_eq!(set.remove(b"x"), None);
    assert_eq!(set.rank(b"x"), None);
    assert_eq!(set.random(5), None);
    assert_eq!(set.range_by_rank(3, usize::MAX).next(), None);
    assert_eq!(set.remove_range(0..9, |_, _| ()), 0);
    assert_eq!(set.drain_some(9), 0);
}

fn pop_first(set: &mut SortedSet) -> Option<(Vec<u8>, f64)> {
    set.remove_at(0)
}

fn pop_last(set: &mut SortedSet) -> Option<(Vec<u8>, f64)> {
    set.remove_at(set.len().checked_sub(1)?)
}
