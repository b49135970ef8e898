//! What is done to the leaves of the order.

use alloc::vec::Vec;
use core::cmp::{Ordering, min};

use super::{Entry, LEAF_MAX, LEAF_MIN, Node, Position, Split};

/// A leaf grows by that many entries.
const GROWTH: usize = 8;

/// Two leaves are merged when together they aren't larger than that.
const MERGED_MAX: usize = LEAF_MAX / 4 * 3;

pub(super) fn insert(entries: &mut Vec<Entry>, entry: Entry) -> Option<Split> {
    let at = find(entries, entry.score, entry.member()).unwrap_or_else(|at| at);
    if entries.len() < LEAF_MAX {
        insert_at(entries, at, entry);
        return None;
    }
    let middle = LEAF_MAX / 2;
    let mut right = entries.split_off(middle);
    if at <= middle {
        entries.shrink_to(middle + GROWTH);
        insert_at(entries, at, entry);
    } else {
        entries.shrink_to_fit();
        insert_at(&mut right, at - middle, entry);
    }
    let lower = right.first()?.clone();
    Some(Split { lower, count: right.len(), node: Node::Leaf(right) })
}

pub(super) fn update(entries: &mut [Entry], old: f64, member: &[u8], new: f64) -> bool {
    let Ok(at) = find(entries, old, member) else { return false };
    let stays = if new < old {
        let previous = at.checked_sub(1).and_then(|previous| entries.get(previous));
        previous.is_some_and(|previous| previous.compare(new, member) == Ordering::Less)
    } else {
        entries.get(at + 1).is_some_and(|next| next.compare(new, member) == Ordering::Greater)
    };
    match entries.get_mut(at) {
        Some(entry) if stays => {
            entry.score = new;
            true
        }
        _ => false,
    }
}

fn find(entries: &[Entry], score: f64, member: &[u8]) -> Result<usize, usize> {
    entries.binary_search_by(|entry| entry.compare(score, member))
}

fn insert_at(entries: &mut Vec<Entry>, at: usize, entry: Entry) {
    if entries.len() == entries.capacity() {
        entries.reserve_exact(min(GROWTH, LEAF_MAX.saturating_sub(entries.len()).max(1)));
    }
    entries.insert(at, entry);
}

pub(super) fn remove(entries: &mut Vec<Entry>, position: Position<'_>) -> Option<Entry> {
    let at = match position {
        Position::Rank(rank) if rank < entries.len() => rank,
        Position::Rank(_) => return None,
        Position::Key(score, member) => find(entries, score, member).ok()?,
    };
    let entry = entries.remove(at);
    if entries.capacity() - entries.len() > GROWTH + GROWTH / 2 {
        entries.shrink_to(entries.len() + GROWTH / 2);
    }
    Some(entry)
}

pub(super) fn even_out(
    entries: &mut Vec<Entry>,
    lower: &mut Entry,
    next: &mut Vec<Entry>,
) -> (bool, isize) {
    let total = entries.len() + next.len();
    if total <= MERGED_MAX {
        let moved = next.len();
        entries.reserve_exact(moved);
        entries.append(next);
        return (true, moved.cast_signed());
    }
    let half = total / 2;
    let gained = half.cast_signed() - entries.len().cast_signed();
    match entries.len().cmp(&half) {
        Ordering::Less => {
            let moved = half - entries.len();
            entries.reserve_exact(moved);
            entries.extend(next.drain(..moved));
        }
        _ => {
            let mut moved = entries.split_off(half);
            moved.reserve_exact(next.len());
            moved.append(next);
            *next = moved;
        }
    }
    entries.shrink_to_fit();
    next.shrink_to_fit();
    if let Some(first) = next.first() {
        *lower = first.clone();
    }
    debug_assert!(entries.len() >= LEAF_MIN && next.len() >= LEAF_MIN);
    (false, gained)
}

#[cfg(test)]
pub(super) fn check(
    entries: &[Entry],
    lower: Option<&Entry>,
    upper: Option<&Entry>,
    is_root: bool,
) {
    assert!(is_root || entries.len() >= LEAF_MIN);
    assert!(entries.len() <= LEAF_MAX);
    let order = |one: &Entry, other: &Entry| one.compare(other.score, other.member());
    assert!(entries.windows(2).all(|pair| order(&pair[0], &pair[1]) == Ordering::Less));
    for entry in entries {
        assert!(lower.is_none_or(|lower| order(lower, entry) != Ordering::Greater));
        assert!(upper.is_none_or(|upper| order(entry, upper) == Ordering::Less));
    }
}
