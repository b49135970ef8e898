//! The list against a deque of vectors, and the promises about its nodes.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;

use proptest::collection::vec as many;
use proptest::prelude::*;

use super::node::{Node, Side, entry_bytes};
use super::{Frozen, List, MERGED_BYTES_MAX, NODE_BYTES_MAX};

type Model = VecDeque<Vec<u8>>;

#[derive(Debug, Clone)]
enum Step {
    PushFront(Vec<u8>),
    PushBack(Vec<u8>),
    PushMany { element: Vec<u8>, count: usize, to_front: bool },
    PopFront(usize),
    PopBack(usize),
    Set(usize, Vec<u8>),
    InsertBefore(usize, Vec<u8>),
    InsertAfter(usize, Vec<u8>),
    Remove { count: i64, index: usize },
    RemoveMostOf { first: usize, len: usize },
    Trim(usize, usize),
    Freeze,
    Read(usize, usize),
    VisitFrozen(usize),
    Drain(usize),
}

/// Mostly short, some about a node's size and some larger; few distinct ones, so that pivots and
/// elements to remove are found more than once.
fn element() -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![
        8 => 0..12_usize,
        4 => 100..200_usize,
        2 => 1000..3000_usize,
        2 => (NODE_BYTES_MAX - 40)..(NODE_BYTES_MAX + 40),
        1 => Just(20_000_usize),
    ];
    (len, 0..3_u8).prop_map(|(len, byte)| vec![byte; len])
}

fn step() -> impl Strategy<Value = Step> {
    let index = || 0..10_000_usize;
    prop_oneof![
        4 => element().prop_map(Step::PushFront),
        4 => element().prop_map(Step::PushBack),
        4 => (element(), 1..600_usize, any::<bool>())
            .prop_map(|(element, count, to_front)| Step::PushMany { element, count, to_front }),
        2 => (1..300_usize).prop_map(Step::PopFront),
        2 => (1..300_usize).prop_map(Step::PopBack),
        4 => (index(), element()).prop_map(|(index, element)| Step::Set(index, element)),
        4 => (index(), element()).prop_map(|(index, element)| Step::InsertBefore(index, element)),
        4 => (index(), element()).prop_map(|(index, element)| Step::InsertAfter(index, element)),
        4 => (-5..6_i64, index()).prop_map(|(count, index)| Step::Remove { count, index }),
        1 => (index(), 0..300_usize).prop_map(|(first, len)| Step::RemoveMostOf { first, len }),
        2 => (0..40_usize, 0..40_usize).prop_map(|(start, behind)| Step::Trim(start, behind)),
        2 => Just(Step::Freeze),
        2 => (index(), 0..2000_usize).prop_map(|(start, len)| Step::Read(start, len)),
        2 => (0..5000_usize).prop_map(Step::VisitFrozen),
        1 => (0..50_usize).prop_map(Step::Drain),
    ]
}

/// A list, what it should be, and snapshots with what they should be.
#[derive(Default)]
struct Subject {
    list: List,
    model: Model,
    frozen: Vec<(Frozen, Model)>,
}

impl Subject {
    fn apply(&mut self, step: Step) {
        let Self { list, model, .. } = self;
        let some_index = |index: usize| index.checked_rem(model.len());
        match step {
            Step::PushFront(element) => push(list, model, &element, true),
            Step::PushBack(element) => push(list, model, &element, false),
            Step::PushMany { element, count, to_front } => {
                let count = if element.len() > 200 { count % 5 } else { count };
                for i in 0..count {
                    let mut element = element.clone();
                    element.push(i as u8);
                    push(list, model, &element, to_front);
                }
            }
            Step::PopFront(count) => {
                (0..count).for_each(|_| assert_eq!(list.pop_front(), model.pop_front()));
            }
            Step::PopBack(count) => {
                (0..count).for_each(|_| assert_eq!(list.pop_back(), model.pop_back()));
            }
            Step::Set(index, element) => {
                let Some(index) = some_index(index) else { return };
                assert!(list.set(index, &element));
                model[index] = element;
            }
            Step::InsertBefore(index, element) => {
                let Some(index) = some_index(index) else { return };
                let pivot = model[index].clone();
                assert!(list.insert_before(&pivot, &element));
                let at = model.iter().position(|other| *other == pivot).unwrap();
                model.insert(at, element);
            }
            Step::InsertAfter(index, element) => {
                let Some(index) = some_index(index) else { return };
                let pivot = model[index].clone();
                assert!(list.insert_after(&pivot, &element));
                let at = model.iter().position(|other| *other == pivot).unwrap();
                model.insert(at + 1, element);
            }
            Step::Remove { count, index } => {
                let Some(index) = some_index(index) else { return };
                remove(list, model, count, &model[index].clone());
            }
            Step::RemoveMostOf { first, len } => {
                let Some(first) = some_index(first) else { return };
                let range: Vec<_> = model.iter().skip(first).take(len).cloned().collect();
                for (i, element) in range.into_iter().enumerate() {
                    remove(list, model, if i % 2 == 0 { 1 } else { -1 }, &element);
                }
            }
            Step::Trim(start, behind) => {
                let kept = model.len().saturating_sub(start + behind);
                list.trim(start, kept);
                model.truncate(start + kept);
                model.drain(..start.min(model.len()));
            }
            Step::Freeze => {
                self.frozen.truncate(3);
                self.frozen.push((list.freeze(), model.clone()));
            }
            Step::Read(start, len) => read(list, model, start, len),
            Step::VisitFrozen(bytes_max) => {
                let Some((frozen, model)) = self.frozen.first_mut() else { return };
                let was_empty = model.is_empty();
                let mut shown = 0;
                let count = frozen.visit_next(bytes_max, |element| {
                    assert_eq!(model.pop_front().as_deref(), Some(element));
                    shown += 1;
                });
                assert_eq!(count, shown);
                assert_eq!(shown == 0, bytes_max == 0 || was_empty);
            }
            Step::Drain(count) => {
                let drained = list.drain_some(count);
                assert!(drained >= count.min(model.len()));
                model.truncate(model.len() - drained);
            }
        }
    }

    fn check(&self) {
        check(&self.list);
        assert!(self.list.iter().eq(self.model.iter().map(Vec::as_slice)));
        for (frozen, model) in &self.frozen {
            assert_eq!(frozen.len(), model.len());
            assert!(frozen.iter().eq(model.iter().map(Vec::as_slice)));
        }
    }
}

fn push(list: &mut List, model: &mut Model, element: &[u8], to_front: bool) {
    if to_front {
        list.push_front(element);
        model.push_front(element.to_vec());
    } else {
        list.push_back(element);
        model.push_back(element.to_vec());
    }
}

fn remove(list: &mut List, model: &mut Model, count: i64, element: &[u8]) {
    let mut left = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
    let before = model.len();
    let mut keeps = |other: &Vec<u8>| {
        let goes = left > 0 && other == element;
        left -= usize::from(goes);
        !goes
    };
    if count < 0 {
        let mut kept: Model = model.drain(..).rev().filter(&mut keeps).collect();
        kept.make_contiguous().reverse();
        *model = kept;
    } else {
        model.retain(&mut keeps);
    }
    assert_eq!(list.remove(count, element), before - model.len());
}

fn read(list: &List, model: &Model, start: usize, len: usize) {
    let start = start.checked_rem(model.len() + 1).unwrap_or(0);
    let wanted: Vec<&[u8]> = model.iter().skip(start).take(len).map(Vec::as_slice).collect();
    assert_eq!(list.range(start, len).collect::<Vec<_>>(), wanted);
    assert_eq!(list.range(start, len).len(), wanted.len());
    assert!(list.range(start, len).rev().eq(wanted.iter().rev().copied()));
    assert!(list.range(start, usize::MAX).eq(model.iter().skip(start).map(Vec::as_slice)));
    assert_eq!(list.get(start), model.get(start).map(Vec::as_slice));

    // From both ends in turns.
    let mut iter = list.range(start, len);
    let mut front = 0;
    let mut back = wanted.len();
    while front < back {
        assert_eq!(iter.next(), Some(wanted[front]));
        front += 1;
        if front < back {
            back -= 1;
            assert_eq!(iter.next_back(), Some(wanted[back]));
        }
    }
    assert_eq!((iter.next(), iter.next_back()), (None, None));
}

/// What a list promises about itself.
fn check(list: &List) {
    let entries: usize = list.iter().map(|element| entry_bytes(element.len())).sum();
    let payload: usize = list.iter().map(<[u8]>::len).sum();
    assert_eq!(list.encoded_bytes(), (payload + 9 * list.len()) as u64);
    assert_eq!(list.nodes.iter().map(|node| node.live_bytes()).sum::<usize>(), entries);
    assert_eq!(list.nodes.iter().map(|node| node.count()).sum::<usize>(), list.len());
    assert_eq!(list.nodes.iter().map(|node| node.payload_bytes()).sum::<usize>(), payload);
    for node in &list.nodes {
        assert!(node.count() > 0);
        assert!(node.count() == 1 || node.live_bytes() <= NODE_BYTES_MAX);
    }
    let sizes: Vec<usize> = list.nodes.iter().map(|node| node.live_bytes()).collect();
    let inner = sizes.get(1..sizes.len().saturating_sub(1)).unwrap_or_default();
    assert!(inner.windows(2).all(|pair| pair[0] + pair[1] > MERGED_BYTES_MAX), "{sizes:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn does_what_a_deque_does(steps in many(step(), 1..60)) {
        let mut subject = Subject::default();
        for step in steps {
            subject.apply(step);
            subject.check();
        }
    }

    #[test]
    fn node_is_walked_from_both_ends(elements in many(many(any::<u8>(), 0..400), 0..20)) {
        let mut node = Node::default();
        for element in &elements {
            prop_assert!(node.push(Side::Back, element));
        }
        for element in elements.iter().rev() {
            let popped = node.pop(Side::Back);
            prop_assert_eq!(popped.as_deref(), Some(element.as_slice()));
        }
        prop_assert_eq!(node.live_bytes(), 0);
    }
}

fn numbered(i: u32) -> [u8; 10] {
    let mut element = *b"element:  ";
    element[6..].copy_from_slice(&i.to_be_bytes());
    element
}

#[test]
fn empty_list_has_nothing() {
    let mut list = List::new();
    assert!(list.is_empty());
    assert_eq!(list.pop_front(), None);
    assert_eq!(list.pop_back(), None);
    assert_eq!(list.get(0), None);
    assert!(!list.set(0, b"x"));
    assert!(!list.insert_before(b"x", b"y"));
    assert_eq!(list.remove(0, b"x"), 0);
    list.trim(3, usize::MAX);
    assert_eq!(list.range(5, usize::MAX).next(), None);
    assert_eq!(list.drain_some(10), 0);
    assert_eq!(list.encoded_bytes(), 0);
    assert_eq!(list.encoding(), "listpack");
}

#[test]
fn encoding_follows_the_size() {
    let mut list = List::new();
    list.push_back(b"small");
    assert_eq!(list.encoding(), "listpack");
    list.push_back(&[0; NODE_BYTES_MAX]);
    assert_eq!(list.encoding(), "quicklist");
    list.pop_front();
    assert_eq!(list.encoding(), "quicklist");
    assert!(list.set(0, b"small again"));
    assert_eq!(list.encoding(), "listpack");
}

#[test]
fn one_sided_pushes_fill_the_nodes() {
    for to_front in [false, true] {
        let mut list = List::new();
        for i in 0..100_000 {
            let element = numbered(i);
            if to_front { list.push_front(&element) } else { list.push_back(&element) }
        }
        check(&list);
        assert_eq!(list.nodes.len(), (100_000 * 12_usize).div_ceil(NODE_BYTES_MAX / 12 * 12));
        assert!(list.memory_bytes() < 100_000 * 13);
    }
}

#[test]
fn a_queue_stays_small() {
    for length in [1, 10, 680, 1000] {
        let mut list = List::new();
        for i in 0..length {
            list.push_front(&numbered(i));
        }
        for i in length..length + 20_000 {
            list.push_front(&numbered(i));
            assert_eq!(list.pop_back().as_deref(), Some(&numbered(i - length)[..]));
        }
        check(&list);
        assert!(list.memory_bytes() < 300 + length as usize * 12 * 3);
    }
}

/// Makes a list of single-byte elements with these lengths, or its mirror image.
fn mirrored(elements: &[(u8, usize)], is_mirrored: bool) -> List {
    let mut list = List::new();
    for &(byte, len) in elements {
        let element = vec![byte; len];
        if is_mirrored { list.push_front(&element) } else { list.push_back(&element) }
    }
    list
}

#[test]
fn removal_that_stops_early_merges_with_what_it_did_not_reach() {
    let sizes =
        [(b'a', 6000), (b'b', 3000), (b'x', 3000), (b'c', 2900), (b'd', 5300), (b'e', 6000)];
    for is_mirrored in [false, true] {
        let mut list = mirrored(&sizes, is_mirrored);
        assert_eq!(list.nodes.len(), 5);
        assert_eq!(list.remove(if is_mirrored { -1 } else { 1 }, &[b'x'; 3000]), 1);
        assert_eq!(list.nodes.len(), 4);
        check(&list);
    }
}

#[test]
fn push_of_a_node_merges_what_was_the_end() {
    for is_mirrored in [false, true] {
        let sizes = [(b'a', 4000), (b'b', 90), (b'c', 4100), (b'x', 4080), (b'd', 6000)];
        let mut list = mirrored(&sizes, is_mirrored);
        list.remove(0, &[b'x'; 4080]);
        assert_eq!(list.nodes.len(), 3);
        if is_mirrored {
            list.pop_back()
        } else {
            list.pop_front()
        };
        assert_eq!(list.nodes.len(), 3);
        if is_mirrored {
            list.push_back(&[0; 9000])
        } else {
            list.push_front(&[0; 9000])
        }
        assert_eq!(list.nodes.len(), 3);
        check(&list);
    }
}

#[test]
fn removal_from_the_middle_leaves_few_nodes() {
    let mut list = List::new();
    for i in 0..50_000_u32 {
        list.push_back(if i % 100 == 0 { b"keep" } else { b"drop" });
    }
    let nodes = list.nodes.len();
    assert_eq!(list.remove(-20_000, b"drop"), 20_000);
    check(&list);
    assert_eq!(list.remove(0, b"drop"), 29_500);
    check(&list);
    assert_eq!(list.len(), 500);
    assert!(list.nodes.len() <= nodes / 30);
}

#[test]
fn snapshot_shares_what_does_not_change() {
    let mut list = List::new();
    (0..10_000).for_each(|i| list.push_back(&numbered(i)));
    let mut frozen = list.freeze();
    assert_eq!(frozen.len(), 10_000);
    list.push_back(b"new");
    list.set(5000, b"other");
    let shared = list.nodes.iter().zip(&frozen.nodes).filter(|(one, other)| Rc::ptr_eq(one, other));
    assert_eq!(shared.count(), list.nodes.len() - 2);

    // Popping through a snapshot lets go of the nodes.
    let mut i = 0;
    while frozen.visit_next(1000, |element| {
        assert_eq!(element, numbered(i));
        i += 1;
    }) > 0
    {}
    assert_eq!(i, 10_000);
    assert!(frozen.nodes.is_empty());
    assert!(list.nodes.iter().all(|node| Rc::strong_count(node) == 1));
}

#[test]
fn what_a_snapshot_shares_is_known() {
    let mut list = List::new();
    (0..100).for_each(|number: u32| list.push_back(&[number as u8; 1000]));
    assert_eq!(list.shared_bytes(), 0);
    let frozen = list.freeze();
    assert!((100_000..list.memory_bytes()).contains(&list.shared_bytes()));
    list.remove(1, &[50; 1000]);
    assert!((80_000..100_000).contains(&list.shared_bytes()), "{}", list.shared_bytes());
    drop(frozen);
    assert_eq!(list.shared_bytes(), 0);
}
