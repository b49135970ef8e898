//! Packed sequences against a plain vector.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    PushBack(Vec<u8>),
    PushFront(Vec<u8>),
    Insert(usize, Vec<u8>),
    Replace(usize, Vec<u8>),
    Remove(usize, usize),
}

fn item() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..20),
        1 => (120..140_usize, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
        1 => (16_380..16_390_usize, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => item().prop_map(Step::PushBack),
        1 => item().prop_map(Step::PushFront),
        2 => (0..40_usize, item()).prop_map(|(at, item)| Step::Insert(at, item)),
        2 => (0..40_usize, item()).prop_map(|(at, item)| Step::Replace(at, item)),
        3 => (0..40_usize, 0..4_usize).prop_map(|(at, count)| Step::Remove(at, count)),
    ]
}

proptest! {
    #[test]
    fn it_is_a_sequence(steps in prop::collection::vec(step(), 0..80)) {
        let (mut packed, mut model) = (Packed::new(), Vec::<Vec<u8>>::new());
        for step in steps {
            match step {
                Step::PushBack(item) => {
                    packed.push_back(&item);
                    model.push(item);
                }
                Step::PushFront(item) => {
                    packed.push_front(&item);
                    model.insert(0, item);
                }
                Step::Insert(at, item) => {
                    packed.insert(at, &item);
                    model.insert(at.min(model.len()), item);
                }
                Step::Replace(at, item) => {
                    prop_assert_eq!(packed.replace(at, &item), at < model.len());
                    if let Some(old) = model.get_mut(at) {
                        *old = item;
                    }
                }
                Step::Remove(at, count) => {
                    packed.remove(at, count);
                    let at = at.min(model.len());
                    model.drain(at..model.len().min(at + count));
                }
            }
            prop_assert_eq!(packed.len(), model.len());
            prop_assert_eq!(packed.iter().len(), model.len());
            prop_assert!(packed.iter().eq(model.iter().map(Vec::as_slice)));
            prop_assert_eq!(packed.get(3), model.get(3).map(Vec::as_slice));
            let exact: usize = model.iter().map(|item| item.len() + encode(item.len()).1).sum();
            prop_assert_eq!(packed.bytes(), exact);
            prop_assert!(packed.memory_bytes() <= 2 * exact + 64);
        }
        let pairs = model.chunks_exact(2).map(|pair| (pair[0].as_slice(), pair[1].as_slice()));
        prop_assert!(packed.pairs().eq(pairs));
    }

    #[test]
    fn lengths_come_back(len in any::<usize>(), shift in 0..64) {
        let (head, bytes) = encode(len >> shift);
        prop_assert_eq!(decode(&head[..bytes]), Some((len >> shift, &[][..])));
        prop_assert_eq!(decode(&head[..bytes - 1]), None);
    }

    #[test]
    fn no_length_panics(bytes in prop::collection::vec(any::<u8>(), 0..16)) {
        decode(&bytes);
    }
}

#[test]
fn little_is_held_for_growth() {
    let mut packed = Packed::new();
    for _ in 0..1000 {
        packed.push_back(b"0123456789");
        assert!(packed.memory_bytes() <= packed.bytes() + packed.bytes() / 8 + 16);
    }
    packed.remove(3, 1000);
    assert_eq!((packed.len(), packed.bytes()), (3, 33));
    assert!(packed.memory_bytes() < 64);
}
