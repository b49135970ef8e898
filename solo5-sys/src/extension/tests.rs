//! The extension page and its note: golden bytes, round trips, hostile bytes.

use super::*;
use proptest::prelude::*;

extern crate std;

#[test]
fn page_equals_golden_bytes() {
    let page = Extension {
        features: Features::PPOLL | Features::SEED,
        read_only: 4,
        seed: [7; 32],
        placement: Placement { heap_start: 1, heap_end: 2, stack_end: 3 },
        virtio_net: 5,
        clock: Clock { counter: 6, monotonic_ns: 7, scale: 8 },
        rings: Rings { devices: 9, base: 10, doorbells: 11 },
    };
    let bytes = page.to_bytes();
    assert_eq!(bytes[..8], *b"NablaExt");
    assert_eq!(
        bytes[8..32],
        [1, 0, 0, 0, 144, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]
    );
    assert_eq!(bytes[32..64], [7; 32]);
    let words = [1u8, 2, 3, 5, 6, 7, 8, 9, 10, 11].map(|low| [low, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[64..], words.concat());
}

#[test]
fn page_of_a_plain_solo5_tender_offers_nothing() {
    assert_eq!(Extension::parse(&[0; 4096]), None);
}

#[test]
fn longer_pages_of_later_tenders_are_read() {
    let page = Extension { features: Features::ALL, seed: [1; 32], ..Extension::NONE };
    let mut bytes = [0; 160];
    bytes[..Extension::BYTES].copy_from_slice(&page.to_bytes());
    bytes[12] = 160;
    assert_eq!(Extension::parse(&bytes), Some(page));
}

#[test]
fn shorter_pages_of_earlier_tenders_are_read() {
    let page = Extension { features: Features::PPOLL, virtio_net: 2, ..Extension::NONE };
    let mut bytes = page.to_bytes();
    bytes[12] = 88;
    assert_eq!(Extension::parse(&bytes), Some(Extension { virtio_net: 0, ..page }));
    assert_eq!(Extension::parse(&bytes[..88]), Some(Extension { virtio_net: 0, ..page }));
    bytes[12] = 87;
    assert_eq!(Extension::parse(&bytes), None);
}

#[test]
fn headers_are_granted_for_single_devices() {
    let page = Extension { features: Features::VNET, virtio_net: 1 << 2, ..Extension::NONE };
    assert!(page.has_virtio_net(2) && !page.has_virtio_net(1));
    assert!(!Extension { features: Features::NONE, ..page }.has_virtio_net(2));
}

#[test]
fn request_of_another_version_or_size_is_refused() {
    assert_eq!(Request::parse(&[0; 35]), Err(RequestError::Size(35)));
    assert_eq!(Request::parse(&[0; 36]), Err(RequestError::Version(0)));
}

#[test]
fn all_is_the_sum_of_the_named_features() {
    let sum = Features::NAMES.iter().fold(Features::NONE, |sum, (feature, _)| sum | *feature);
    assert_eq!(sum, Features::ALL);
}

extern "C" fn start() {}
extern "C" fn end() {}

fn address(symbol: unsafe extern "C" fn()) -> u64 {
    symbol as usize as u64
}

/// The bytes of a note's descriptor, as the linker leaves them in a file.
fn descriptor(note: &RequestNote) -> std::vec::Vec<u8> {
    let [start, end] = note.stub.map(address);
    let mut bytes = note.version.to_ne_bytes().to_vec();
    [note.features, note.read_only, start, end]
        .into_iter()
        .for_each(|word| bytes.extend(word.to_ne_bytes()));
    bytes
}

#[test]
fn a_request_equals_golden_bytes() {
    let note = RequestNote::new(Features::STUB, 4, [start, end]);
    let bytes = descriptor(&note);
    assert_eq!(bytes.len(), REQUEST_BYTES);
    assert_eq!(bytes[..4], [2, 0, 0, 0]);
    assert_eq!(bytes[4..20], [16, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(core::mem::offset_of!(RequestNote, version), crate::note::HEADER_BYTES);
    assert_eq!(core::mem::offset_of!(RequestNote, features), crate::note::HEADER_BYTES + 4);
    assert_eq!(core::mem::offset_of!(RequestNote, stub), crate::note::HEADER_BYTES + 20);
}

proptest! {
    #[test]
    fn pages_round_trip(
        bits in any::<u64>(),
        read_only in any::<u64>(),
        seed in any::<[u8; 32]>(),
        [heap_start, heap_end, stack_end, virtio_net] in any::<[u64; 4]>(),
        [counter, monotonic_ns, scale] in any::<[u64; 3]>(),
        [devices, base, doorbells] in any::<[u64; 3]>(),
    ) {
        let placement = Placement { heap_start, heap_end, stack_end };
        let features = Features::from_bits(bits);
        let clock = Clock { counter, monotonic_ns, scale };
        let rings = Rings { devices, base, doorbells };
        let page = Extension { features, read_only, seed, placement, virtio_net, clock, rings };
        prop_assert_eq!(Extension::parse(&page.to_bytes()), Some(page));
    }

    #[test]
    fn rings_are_numbered_by_their_order(rings in any::<[u64; 3]>(), index in 0usize..80) {
        let [devices, base, doorbells] = rings;
        let found = Rings { devices, base, doorbells }.of(index);
        let before = (0..index.min(64)).filter(|bit| devices >> bit & 1 == 1).count() as u64;
        let is_ring = index < 64 && devices >> index & 1 == 1;
        let expected = (base.wrapping_add(before << 22), doorbells.wrapping_add(before) as i32);
        prop_assert_eq!(found, is_ring.then_some(expected));
    }

    #[test]
    fn requests_round_trip(bits in any::<u64>(), read_only in any::<u64>()) {
        let features = Features::from_bits(bits);
        let stub = Stub { start: address(start), end: address(end) };
        let note = RequestNote::new(features, read_only, [start, end]);
        prop_assert_eq!(
            Request::parse(&descriptor(&note)),
            Ok(Request { features, read_only, stub })
        );
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = Extension::parse(&bytes);
        let _ = Request::parse(&bytes);
    }
}
