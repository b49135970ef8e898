//! Numbered places for things that come and go. A key names one thing and never its successor in
//! the same place, so that an event which comes too late finds nothing.

/// Names one thing in a [`Slab`]. It fits into 56 bits, to travel through epoll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

/// The generation wraps at 24 bits: an event does not live through 16 million successors.
const GENERATIONS: u32 = 1 << 24;

impl Key {
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self { index: bits as u32, generation: (bits >> 32) as u32 % GENERATIONS }
    }
}

struct Place<T> {
    generation: u32,
    thing: Option<T>,
}

/// Up to `limit` things.
pub(crate) struct Slab<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
    limit: usize,
}

impl<T> Slab<T> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { places: Vec::new(), free: Vec::new(), limit }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.limit
    }

    /// Puts a thing somewhere; gives it back if there is no place.
    pub(crate) fn insert(&mut self, thing: T) -> Result<Key, T> {
        if self.is_full() {
            return Err(thing);
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { generation: 0, thing: None });
            self.places.len() as u32 - 1
        });
        let place = &mut self.places[index as usize];
        place.thing = Some(thing);
        Ok(Key { index, generation: place.generation })
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.places.get_mut(key.index as usize)?;
        place.thing.as_mut().filter(|_| place.generation == key.generation)
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.generation != key.generation {
            return None;
        }
        let thing = place.thing.take()?;
        place.generation = (place.generation + 1) % GENERATIONS;
        self.free.push(key.index);
        Some(thing)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.places.iter().enumerate().filter_map(|(index, place)| {
            let key = Key { index: index as u32, generation: place.generation };
            Some((key, place.thing.as_ref()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_never_names_a_successor() {
        let mut slab = Slab::new(1);
        let first = slab.insert('a').unwrap();
        assert_eq!(slab.insert('b'), Err('b'), "full");
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert('b').unwrap();
        assert_ne!(first, second);
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get_mut(second), Some(&mut 'b'));
        assert_eq!(slab.iter().collect::<Vec<_>>(), [(second, &'b')]);
    }

    #[test]
    fn a_key_travels_as_a_number() {
        let key = Key { index: u32::MAX, generation: GENERATIONS - 1 };
        assert_eq!(Key::from_bits(key.to_bits()), key);
        assert!(key.to_bits() < 1 << 56);
    }
}
