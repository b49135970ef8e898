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
        synchronous: 12,
        shutdown: 13,
        environment: Environment { address: 14, bytes: 15 },
    };
    let bytes = page.to_bytes();
    assert_eq!(bytes[..8], *b"NablaExt");
    assert_eq!(
        bytes[8..32],
        [1, 0, 0, 0, 176, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]
    );
    assert_eq!(bytes[32..64], [7; 32]);
    let words =
        [1u8, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15].map(|low| [low, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[64..], words.concat());
}

#[test]
fn page_of_a_plain_solo5_tender_offers_nothing() {
    assert_eq!(Extension::parse(&[0; 4096]), None);
}

#[test]
fn longer_pages_of_later_tenders_are_read() {
    let page = Extension { features: Features::ALL, seed: [1; 32], ..Extension::NONE };
    let mut bytes = [0; 192];
    bytes[..Extension::BYTES].copy_from_slice(&page.to_bytes());
    bytes[12] = 192;
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

    let page = Extension { features: Features::SYNC, synchronous: 2, ..Extension::NONE };
    let mut bytes = page.to_bytes();
    bytes[12] = 144;
    assert_eq!(Extension::parse(&bytes), Some(Extension { synchronous: 0, ..page }));

    let environment = Environment { address: 1, bytes: 2 };
    let page = Extension { shutdown: 5, environment, ..Extension::NONE };
    let mut bytes = page.to_bytes();
    bytes[12] = 152;
    assert_eq!(Extension::parse(&bytes), Some(Extension::NONE));
    bytes[12] = 160;
    assert_eq!(Extension::parse(&bytes), Some(Extension { shutdown: 5, ..Extension::NONE }));
}

#[test]
fn headers_are_granted_for_single_devices() {
    let page = Extension { features: Features::VNET, virtio_net: 1 << 2, ..Extension::NONE };
    assert!(page.has_virtio_net(2) && !page.has_virtio_net(1));
    assert!(!Extension { features: Features::NONE, ..page }.has_virtio_net(2));
}

#[test]
fn synchronous_are_single_devices_where_the_tender_tells() {
    let page = Extension { features: Features::SYNC, synchronous: 1 << 2, ..Extension::NONE };
    assert!(page.is_synchronous(2) && !page.is_synchronous(1));
    assert!(!Extension { features: Features::NONE, ..page }.is_synchronous(2));
    assert!(!Extension::NONE.is_synchronous(2));
}

#[test]
fn the_shutdown_is_told_where_it_is_granted() {
    let page = Extension { features: Features::SHUTDOWN, shutdown: 5, ..Extension::NONE };
    assert_eq!(page.shutdown_fd(), Some(5));
    assert_eq!(Extension { features: Features::NONE, ..page }.shutdown_fd(), None);
    assert_eq!(Extension { shutdown: 1 << 31, ..page }.shutdown_fd(), None);
}

#[test]
fn request_of_another_version_or_size_is_refused() {
    let of = |version: u8, bytes: usize| {
        let mut descriptor = std::vec![0; bytes];
        descriptor[0] = version;
        Request::parse(&descriptor)
    };
    let size = |found, expected| Err(RequestError::Size { found, expected });
    assert_eq!(Request::parse(&[3, 0, 0]), size(3, 44));
    for (version, bytes) in [(3, 44), (2, 36)] {
        assert!(of(version, bytes).is_ok());
        for other in [4, 35, 36, 37, 43, 44, 45].into_iter().filter(|other| *other != bytes) {
            assert_eq!(of(version, other), size(other, bytes), "version {version}");
        }
    }
    for version in [0, 1, 4] {
        assert_eq!(of(version, 44), Err(RequestError::Version(version.into())));
    }
}

/// What a guest's file of before the optional devices says.
#[test]
fn a_request_of_version_2_has_no_optional_devices() {
    let mut descriptor = [0; 36];
    for (at, byte) in [(0, 2), (4, 16), (12, 4), (20, 0x10), (28, 0x12)] {
        descriptor[at] = byte;
    }
    let stub = Stub { start: 0x10, end: 0x12 };
    let expected = Request { features: Features::STUB, read_only: 4, stub, optional: 0 };
    assert_eq!(Request::parse(&descriptor), Ok(expected));
}

#[test]
fn a_guest_can_miss_its_optional_devices_only() {
    let request = Request { optional: 1 << 2 | 1 << 63, ..Request::default() };
    assert!(request.can_miss(2) && request.can_miss(63));
    assert!(!request.can_miss(1) && !request.can_miss(62));
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
    [note.features, note.read_only, start, end, note.optional]
        .into_iter()
        .for_each(|word| bytes.extend(word.to_ne_bytes()));
    bytes
}

#[test]
fn a_request_equals_golden_bytes() {
    let note = RequestNote::new(Features::STUB, 4, 2, [start, end]);
    let bytes = descriptor(&note);
    assert_eq!(bytes.len(), REQUEST_BYTES);
    assert_eq!(bytes[..4], [3, 0, 0, 0]);
    assert_eq!(bytes[4..20], [16, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[36..], [2, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(core::mem::offset_of!(RequestNote, version), crate::note::HEADER_BYTES);
    assert_eq!(core::mem::offset_of!(RequestNote, features), crate::note::HEADER_BYTES + 4);
    assert_eq!(core::mem::offset_of!(RequestNote, stub), crate::note::HEADER_BYTES + 20);
    assert_eq!(core::mem::offset_of!(RequestNote, optional), crate::note::HEADER_BYTES + 36);
}

proptest! {
    #[test]
    fn pages_round_trip(
        bits in any::<u64>(),
        read_only in any::<u64>(),
        seed in any::<[u8; 32]>(),
        [heap_start, heap_end, stack_end, virtio_net] in any::<[u64; 4]>(),
        [counter, monotonic_ns, scale] in any::<[u64; 3]>(),
        [devices, base, doorbells, synchronous] in any::<[u64; 4]>(),
        [shutdown, address, bytes] in any::<[u64; 3]>(),
    ) {
        let placement = Placement { heap_start, heap_end, stack_end };
        let features = Features::from_bits(bits);
        let clock = Clock { counter, monotonic_ns, scale };
        let rings = Rings { devices, base, doorbells };
        let page = Extension {
            features, read_only, seed, placement, virtio_net, clock, rings, synchronous, shutdown,
            environment: Environment { address, bytes },
        };
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
    fn requests_round_trip([bits, read_only, optional] in any::<[u64; 3]>()) {
        let features = Features::from_bits(bits);
        let stub = Stub { start: address(start), end: address(end) };
        let note = RequestNote::new(features, read_only, optional, [start, end]);
        prop_assert_eq!(
            Request::parse(&descriptor(&note)),
            Ok(Request { features, read_only, stub, optional })
        );
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = Extension::parse(&bytes);
        let _ = Request::parse(&bytes);
    }
}
