//! A list of byte strings: quick at both ends, and cheap to take a snapshot of.
//!
//! The elements are packed into nodes of up to 8 KiB, which a deque of counted references holds. A
//! snapshot is a copy of that deque; whoever changes a node that is shared copies it first. Finding
//! an element by its index walks over the nodes, not over the elements.
//!
//! Two neighbours that would fit well into one node are merged, except at the two ends, so that a
//! list from whose middle most elements were removed doesn't keep as many nodes.

mod iter;
mod node;
#[cfg(test)]
mod tests;

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::mem;
use core::ops::Range;

pub use iter::{Frozen, Iter};
use iter::{Nodes, locate, put, take};
use node::{NODE_BYTES_MAX, Node, Side};

/// Neighbours are merged when together they aren't larger than that. Less than a node's maximum, so
/// that a node that was just merged isn't split by the next insertion.
const MERGED_BYTES_MAX: usize = NODE_BYTES_MAX / 4 * 3;

/// What the log needs for an element beside its bytes.
const ENCODED_ELEMENT_BYTES: u64 = 9;

/// Byte strings in an order that the client chooses. A clone shares nodes until one of both changes.
#[derive(Debug, Clone, Default)]
pub struct List {
    nodes: Nodes,
    len: usize,
    payload_bytes: u64,
}

impl List {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The name that `OBJECT ENCODING` gives this representation.
    #[must_use]
    pub fn encoding(&self) -> &'static str {
        match self.nodes.front() {
            Some(node) if self.nodes.len() > 1 || node.live_bytes() > NODE_BYTES_MAX => "quicklist",
            _ => "listpack",
        }
    }

    /// An upper bound of what the list takes in the log.
    #[must_use]
    pub fn encoded_bytes(&self) -> u64 {
        self.payload_bytes + self.len as u64 * ENCODED_ELEMENT_BYTES
    }

    /// The memory that the list takes. Looks at each node; what it shares with a snapshot is
    /// counted in full.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let node_bytes = mem::size_of::<Node>() + 2 * mem::size_of::<usize>();
        let nodes = self.nodes.iter().map(|node| node_bytes + node.capacity_bytes());
        mem::size_of::<Self>()
            + self.nodes.capacity() * mem::size_of::<Rc<Node>>()
            + nodes.sum::<usize>()
    }

    /// What of that is shared with a snapshot, and is copied when it changes.
    #[must_use]
    pub fn shared_bytes(&self) -> usize {
        let shared = self.nodes.iter().filter(|node| Rc::strong_count(node) > 1);
        shared.map(|node| mem::size_of::<Node>() + node.capacity_bytes()).sum()
    }

    /// Puts an element in front of the others.
    pub fn push_front(&mut self, element: &[u8]) {
        self.push(Side::Front, element);
    }

    /// Puts an element behind the others.
    pub fn push_back(&mut self, element: &[u8]) {
        self.push(Side::Back, element);
    }

    fn push(&mut self, side: Side, element: &[u8]) {
        self.count_in(element);
        let end = self.end_mut(side);
        if let Some(node) = end
            && node.takes(element.len())
            && Rc::make_mut(node).push(side, element)
        {
            return;
        }
        if let Some(node) = self.end_mut(side).and_then(Rc::get_mut) {
            node.seal();
        }
        put(&mut self.nodes, side, Rc::new(Node::of(element)));
        // What was the end no longer is.
        match side {
            Side::Front => self.merge(1),
            Side::Back => self.merge(self.nodes.len().wrapping_sub(3)),
        };
    }

    fn end_mut(&mut self, side: Side) -> Option<&mut Rc<Node>> {
        match side {
            Side::Front => self.nodes.front_mut(),
            Side::Back => self.nodes.back_mut(),
        }
    }

    /// Takes the first element away.
    pub fn pop_front(&mut self) -> Option<Vec<u8>> {
        self.pop(Side::Front)
    }

    /// Takes the last element away.
    pub fn pop_back(&mut self) -> Option<Vec<u8>> {
        self.pop(Side::Back)
    }

    fn pop(&mut self, side: Side) -> Option<Vec<u8>> {
        let node = self.end_mut(side)?;
        let element = Rc::make_mut(node).pop(side)?;
        if node.count() == 0 {
            take(&mut self.nodes, side);
        }
        self.len -= 1;
        self.payload_bytes -= element.len() as u64;
        Some(element)
    }

    /// The element with that index, counted from 0 at the front.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        if index >= self.len {
            return None;
        }
        let (at, index) = locate(&self.nodes, self.len, index);
        let node = self.nodes.get(at)?;
        let entries = node.live().get(node.offset_of(index)..)?;
        node::first_entry(entries).map(|(element, _)| element)
    }

    /// Replaces the element with that index. Returns whether there is one.
    pub fn set(&mut self, index: usize, element: &[u8]) -> bool {
        let Some(old_bytes) = self.get(index).map(<[u8]>::len) else { return false };
        let (at, index) = locate(&self.nodes, self.len, index);
        self.payload_bytes -= old_bytes as u64;
        self.payload_bytes += element.len() as u64;
        let Some(node) = self.nodes.get_mut(at) else { return false };
        if node.count() == 1 {
            *node = Rc::new(Node::of(element));
        } else {
            let node = Rc::make_mut(node);
            let offset = node.offset_of(index);
            if node.overwrite(offset, element) {
                return true;
            }
            node.remove(offset);
            self.insert_at(at, offset, element);
        }
        self.settle(at..at + 1);
        true
    }

    /// Puts an element in front of the first one that equals `pivot`. Returns whether there is one.
    pub fn insert_before(&mut self, pivot: &[u8], element: &[u8]) -> bool {
        self.insert_beside(pivot, Side::Front, element)
    }

    /// Puts an element behind the first one that equals `pivot`. Returns whether there is one.
    pub fn insert_after(&mut self, pivot: &[u8], element: &[u8]) -> bool {
        self.insert_beside(pivot, Side::Back, element)
    }

    fn insert_beside(&mut self, pivot: &[u8], side: Side, element: &[u8]) -> bool {
        let found = self
            .nodes
            .iter()
            .enumerate()
            .find_map(|(at, node)| node.find(pivot).map(|offset| (at, offset)));
        let Some((at, offset)) = found else { return false };
        let behind = offset + node::entry_bytes(pivot.len());
        self.count_in(element);
        self.insert_at(at, if side == Side::Front { offset } else { behind }, element);
        true
    }

    /// Puts an element at an offset of a node, or of one that this makes there.
    fn insert_at(&mut self, at: usize, offset: usize, element: &[u8]) {
        let Some(node) = self.nodes.get_mut(at) else { return };
        if node.takes(element.len()) {
            Rc::make_mut(node).insert(offset, element);
            return;
        }
        let new = Rc::new(Node::of(element));
        if offset == 0 {
            self.nodes.insert(at, new);
        } else if offset == node.live_bytes() {
            self.nodes.insert(at + 1, new);
        } else {
            let right = Rc::make_mut(node).split_off(offset);
            self.nodes.insert(at + 1, Rc::new(right));
            self.nodes.insert(at + 1, new);
        }
        self.settle(at..at + 3);
    }

    /// Takes elements that equal this one away: all if `count` is 0, else that many, from the back
    /// if it's negative. Returns how many have gone.
    pub fn remove(&mut self, count: i64, element: &[u8]) -> usize {
        let side = if count < 0 { Side::Back } else { Side::Front };
        let wanted = match usize::try_from(count.unsigned_abs()) {
            Ok(0) | Err(_) => usize::MAX,
            Ok(wanted) => wanted,
        };
        let removed = self.remove_from(side, wanted, element);
        self.len -= removed;
        self.payload_bytes -= (removed * element.len()) as u64;
        removed
    }

    /// Turns the deque once around, or as far as is needed, and looks at each node that passes: it
    /// leaves the deque at one end and comes back in at the other, unless nothing is left of it.
    fn remove_from(&mut self, side: Side, wanted: usize, element: &[u8]) -> usize {
        let other = if side == Side::Front { Side::Back } else { Side::Front };
        let mut removed = 0;
        let mut kept = 0;
        for _ in 0..self.nodes.len() {
            if removed == wanted {
                break;
            }
            let Some(mut node) = take(&mut self.nodes, side) else { break };
            let matches = node.count_of(element);
            let count = matches.min(wanted - removed);
            if count > 0 {
                let skip = if side == Side::Front { 0 } else { matches - count };
                Rc::make_mut(&mut node).remove_matches(element, skip, count);
                removed += count;
            }
            if node.count() == 0 {
                continue;
            }
            // Only what was put there by this loop comes before this node.
            let previous = if kept > 0 { self.end_mut(other) } else { None };
            match previous {
                Some(previous) if removed > 0 && fits_into(previous, &node) => {
                    Rc::make_mut(previous).append(other, &node);
                }
                _ => {
                    put(&mut self.nodes, other, node);
                    kept += 1;
                }
            }
        }
        let unturned = self.nodes.len() - kept;
        match side {
            Side::Front => {
                self.nodes.rotate_right(kept);
                self.settle(kept..kept);
            }
            Side::Back => {
                self.nodes.rotate_left(kept);
                self.settle(unturned..unturned);
            }
        }
        removed
    }

    /// Keeps `len` elements from the index `start` on, or as many as there are, and no others.
    pub fn trim(&mut self, start: usize, len: usize) {
        let start = start.min(self.len);
        let behind = self.len - start - len.min(self.len - start);
        self.drop_elements(Side::Front, start);
        self.drop_elements(Side::Back, behind);
    }

    fn drop_elements(&mut self, side: Side, mut count: usize) {
        while count > 0 {
            let Some(node) = self.end_mut(side) else { return };
            let (before, payload) = (node.count(), node.payload_bytes());
            if count >= before {
                self.payload_bytes -= payload as u64;
                self.len -= before;
                count -= before;
                take(&mut self.nodes, side);
            } else {
                let node = Rc::make_mut(node);
                node.drop_elements(side, count);
                self.payload_bytes -= (payload - node.payload_bytes()) as u64;
                self.len -= count;
                count = 0;
            }
        }
    }

    /// All elements, from the front; `rev` for the other direction.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        self.range(0, self.len)
    }

    /// `len` elements from the index `start` on, or as many as there are.
    #[must_use]
    pub fn range(&self, start: usize, len: usize) -> Iter<'_> {
        let start = start.min(self.len);
        Iter::new(&self.nodes, self.len, start, len.min(self.len - start))
    }

    /// The list as it is now. Costs as much as a walk over the nodes.
    #[must_use]
    pub fn freeze(&self) -> Frozen {
        Frozen { nodes: self.nodes.clone(), len: self.len, visited: 0 }
    }

    /// Drops the last elements, whole nodes of them, until at least `count` have gone, and at least
    /// one, or none is left. Returns how many, 0 when nothing is left. So a large list can be freed
    /// in pieces.
    pub fn drain_some(&mut self, count: usize) -> usize {
        let before = self.len;
        while before - self.len < count.max(1)
            && let Some(node) = self.nodes.pop_back()
        {
            self.len -= node.count();
            self.payload_bytes -= node.payload_bytes() as u64;
        }
        before - self.len
    }

    fn count_in(&mut self, element: &[u8]) {
        self.len += 1;
        self.payload_bytes += element.len() as u64;
    }

    /// Merges what can be merged around nodes that have changed.
    fn settle(&mut self, changed: Range<usize>) {
        for at in (changed.start.saturating_sub(1)..changed.end).rev() {
            self.merge(at);
        }
    }

    /// Merges a node with the one behind it, if they fit well into one.
    fn merge(&mut self, at: usize) {
        let Some(next) = at.checked_add(1).and_then(|next| self.nodes.get(next)) else { return };
        let next = Rc::clone(next);
        let Some(node) = self.nodes.get_mut(at) else { return };
        if fits_into(node, &next) {
            Rc::make_mut(node).append(Side::Back, &next);
            self.nodes.remove(at + 1);
        }
    }
}

fn fits_into(node: &Node, other: &Node) -> bool {
    node.live_bytes() + other.live_bytes() <= MERGED_BYTES_MAX
}

impl<'a> IntoIterator for &'a List {
    type Item = &'a [u8];
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}
