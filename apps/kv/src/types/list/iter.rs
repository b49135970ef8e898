//! Walking a list: borrowed and in both directions, or bit by bit through a snapshot.

use alloc::collections::VecDeque;
use alloc::rc::Rc;

use super::node::{self, Node, Side};

/// The nodes of a list.
pub(super) type Nodes = VecDeque<Rc<Node>>;

/// Elements of a list, walked from either end.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    nodes: &'a Nodes,
    /// The node that `front` is the rest of.
    front_node: usize,
    front: &'a [u8],
    /// The node that `back` is the rest of.
    back_node: usize,
    back: &'a [u8],
    /// How many elements lie between the two ends. Nothing else ends the walk.
    remaining: usize,
}

impl<'a> Iter<'a> {
    /// The elements with the indices from `start` on, `len` of them, which all have to exist.
    pub(super) fn new(nodes: &'a Nodes, list_len: usize, start: usize, len: usize) -> Self {
        let (front_node, front_index) = locate(nodes, list_len, start);
        let (back_node, back_index) = locate(nodes, list_len, start + len);
        let front = nodes.get(front_node).map_or(&[][..], |node| {
            node.live().get(node.offset_of(front_index)..).unwrap_or_default()
        });
        let back = nodes.get(back_node).map_or(&[][..], |node| {
            node.live().get(..node.offset_of(back_index)).unwrap_or_default()
        });
        Self { nodes, front_node, front, back_node, back, remaining: len }
    }
}

/// The node that holds the element with that index, and the index in the node. The end of the list
/// is in a node behind the last.
pub(super) fn locate(nodes: &Nodes, list_len: usize, index: usize) -> (usize, usize) {
    if index < list_len / 2 {
        let mut left = index;
        for (at, node) in nodes.iter().enumerate() {
            if left < node.count() {
                return (at, left);
            }
            left -= node.count();
        }
    } else {
        let mut behind = list_len.saturating_sub(index);
        for (at, node) in nodes.iter().enumerate().rev() {
            if behind == 0 {
                break;
            }
            if behind <= node.count() {
                return (at, node.count() - behind);
            }
            behind -= node.count();
        }
    }
    (nodes.len(), 0)
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.remaining = self.remaining.checked_sub(1)?;
        if self.front.is_empty() {
            self.front_node += 1;
            self.front = self.nodes.get(self.front_node)?.live();
        }
        let (element, rest) = node::first_entry(self.front)?;
        self.front = rest;
        Some(element)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.remaining = self.remaining.checked_sub(1)?;
        if self.back.is_empty() {
            self.back_node = self.back_node.checked_sub(1)?;
            self.back = self.nodes.get(self.back_node)?.live();
        }
        let (element, rest) = node::last_entry(self.back)?;
        self.back = rest;
        Some(element)
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// What a list was at one moment. The list may change since: each node that it changes is copied
/// first, as long as a snapshot holds it.
#[derive(Debug, Clone)]
pub struct Frozen {
    pub(super) nodes: Nodes,
    pub(super) len: usize,
    /// How many elements of the first node have been visited.
    pub(super) visited: usize,
}

impl Frozen {
    /// How many elements have not been visited.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether all elements have been visited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements that have not been visited.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        Iter::new(&self.nodes, self.len + self.visited, self.visited, self.len)
    }

    /// Shows the next elements, until `bytes_max` bytes or more have been shown or no element is
    /// left. Lets go of each node as soon as it's done with it. Returns how many elements it
    /// showed; 0 only at the end, or if `bytes_max` is 0.
    pub fn visit_next(&mut self, bytes_max: usize, mut visit: impl FnMut(&[u8])) -> usize {
        let before = self.len;
        let mut shown_bytes = 0;
        while shown_bytes < bytes_max {
            let Some(node) = self.nodes.front() else { break };
            let mut rest = node.live().get(node.offset_of(self.visited)..).unwrap_or_default();
            while shown_bytes < bytes_max
                && let Some((element, remaining)) = node::first_entry(rest)
            {
                visit(element);
                self.visited += 1;
                self.len -= 1;
                // An empty element isn't free.
                shown_bytes += element.len() + 1;
                rest = remaining;
            }
            if rest.is_empty() {
                self.nodes.pop_front();
                self.visited = 0;
            }
        }
        before - self.len
    }
}

/// Takes the next node at one end.
pub(super) fn take(nodes: &mut Nodes, side: Side) -> Option<Rc<Node>> {
    match side {
        Side::Front => nodes.pop_front(),
        Side::Back => nodes.pop_back(),
    }
}

/// Adds a node at one end.
pub(super) fn put(nodes: &mut Nodes, side: Side, node: Rc<Node>) {
    match side {
        Side::Front => nodes.push_front(node),
        Side::Back => nodes.push_back(node),
    }
}
