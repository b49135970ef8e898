//! The extension page and its note: golden bytes, round trips, hostile bytes.

use super::*;
use proptest::prelude::*;

extern crate std;

#[test]
fn page_equals_golden_bytes() {
    let page =
        Extension { features: Features::PPOLL | Features::SEED, read_only: 4, seed: [7; 32] };
    let bytes = page.to_bytes();
    assert_eq!(bytes[..8], *b"NablaExt");
    assert_eq!(
        bytes[8..32],
        [1, 0, 0, 0, 64, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]
    );
    assert_eq!(bytes[32..], [7; 32]);
}

#[test]
fn page_of_a_plain_solo5_tender_offers_nothing() {
    assert_eq!(Extension::parse(&[0; 4096]), None);
}

#[test]
fn longer_pages_of_later_tenders_are_read() {
    let page = Extension { features: Features::ALL, read_only: 0, seed: [1; 32] };
    let mut bytes = [0; 128];
    bytes[..64].copy_from_slice(&page.to_bytes());
    bytes[12] = 128;
    assert_eq!(Extension::parse(&bytes), Some(page));
}

#[test]
fn request_of_another_version_or_size_is_refused() {
    assert_eq!(Request::parse(&[0; 23]), Err(RequestError::Size(23)));
    assert_eq!(Request::parse(&[0; 24]), Err(RequestError::Version(0)));
}

#[test]
fn all_is_the_sum_of_the_named_features() {
    let sum = Features::NAMES.iter().fold(Features::NONE, |sum, (feature, _)| sum | *feature);
    assert_eq!(sum, Features::ALL);
}

proptest! {
    #[test]
    fn pages_round_trip(bits in any::<u64>(), read_only in any::<u64>(), seed in any::<[u8; 32]>()) {
        let page = Extension { features: Features::from_bits(bits), read_only, seed };
        prop_assert_eq!(Extension::parse(&page.to_bytes()), Some(page));
    }

    #[test]
    fn requests_round_trip(bits in any::<u64>(), read_only in any::<u64>()) {
        let request = Request { features: Features::from_bits(bits), read_only };
        let note = RequestNote::new(request);
        let mut bytes = std::vec::Vec::new();
        for word in note.descriptor {
            bytes.extend(word.to_ne_bytes());
        }
        prop_assert_eq!(Request::parse(&bytes), Ok(request));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = Extension::parse(&bytes);
        let _ = Request::parse(&bytes);
    }
}
