//! Notes: golden bytes, and hostile ones.

use super::*;
use crate::manifest::{Manifest, Stage};
use proptest::prelude::*;
use std::vec::Vec;

extern crate std;

/// The file's bytes of a note, written field by field.
fn note(owner: &[u8; 8], kind: u32, descriptor: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for word in [6, descriptor.len() as u32, kind] {
        out.extend(word.to_le_bytes());
    }
    out.extend(owner);
    out.extend(descriptor);
    out
}

fn device(name: &str, kind: u32) -> Vec<u8> {
    let mut out = std::vec![0; 104];
    out[..name.len()].copy_from_slice(name.as_bytes());
    out[68..72].copy_from_slice(&kind.to_le_bytes());
    out
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn header_bytes(header: &NoteHeader) -> Vec<u8> {
    let mut out = words(&[header.name_bytes, header.descriptor_bytes, header.kind]);
    out.extend(header.owner);
    out
}

#[test]
fn abi_note_equals_golden_bytes() {
    let golden = note(b"Solo5\0\0\0", 0x3149_4241, &words(&[2, 2, 0, 0]));
    let abi = AbiNote::SPT;
    let mut built = header_bytes(&abi.header);
    built.extend(words(&abi.descriptor));
    assert_eq!(built, golden);

    let parsed = Note::parse(&golden).unwrap().unwrap();
    assert_eq!((parsed.owner, parsed.kind), (SOLO5, ABI1));
    assert_eq!(Abi::parse(parsed.descriptor), Ok(Abi { target: 2, version: 2 }));
}

#[test]
fn manifest_note_equals_golden_bytes() {
    const NOTE: ManifestNote<2> =
        ManifestNote::new([Entry::net("service"), Entry::block("storage")]);
    let mut descriptor = words(&[0, 1, 3]);
    descriptor.extend(device("", 1 << 30));
    descriptor.extend(device("service", 2));
    descriptor.extend(device("storage", 1));
    let golden = note(b"Solo5\0\0\0", 0x3154_464d, &descriptor);
    assert_eq!(header_bytes(&NOTE.header), golden[..20]);

    let manifest = Manifest::parse(&golden[24..], Stage::Declared).unwrap();
    let names: Vec<_> = manifest.devices().map(|(i, d)| (i, d.name.as_str(), d.kind)).collect();
    use crate::manifest::DeviceKind::{Block, Net};
    assert_eq!(names, [(1, "service", Net), (2, "storage", Block)]);

    let mut encoded = std::vec![0xaa; manifest.encoded_bytes()];
    manifest.encode(&mut encoded);
    assert_eq!(encoded, golden[24..]);
    assert_eq!(NOTE.devices[0], Entry::net("service"));
    assert_eq!((NOTE.version, NOTE.entries, NOTE.padding), (1, 3, [0; 4]));
}

#[test]
fn other_targets_and_versions_are_refused_by_name() {
    assert_eq!(Abi::parse(&words(&[1, 2, 0, 0])), Err(AbiError::Target(1)));
    assert!(std::format!("{}", AbiError::Target(1)).contains("hvt"));
    assert_eq!(Abi::parse(&words(&[2, 3, 0, 0])), Err(AbiError::Version(3)));
    assert_eq!(Abi::parse(&words(&[2, 2, 3, 4])), Ok(Abi { target: 2, version: 2 }));
    assert_eq!(Abi::parse(&words(&[2, 2, 0])), Err(AbiError::Size(12)));
}

#[test]
fn descriptor_longer_than_its_segment_is_refused() {
    let mut bytes = note(b"Solo5\0\0\0", ABI1, &words(&[2, 2, 0, 0]));
    bytes[4] = 17;
    let error = NoteError::DescriptorBeyondSegment { descriptor_bytes: 17, available_bytes: 16 };
    assert_eq!(Note::parse(&bytes), Err(error));
    assert_eq!(Note::parse(&bytes[..11]), Err(NoteError::Truncated));
}

#[test]
fn notes_of_others_are_passed_over() {
    assert_eq!(Note::parse(&note(b"GNU\0\0\0\0\0", 3, &[1; 20])), Ok(None));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(Some(found)) = Note::parse(&bytes) {
            prop_assert!(found.descriptor.len() <= bytes.len());
            let _ = Abi::parse(found.descriptor);
        }
        let _ = Abi::parse(&bytes);
    }

    #[test]
    fn every_note_is_read_back(kind in any::<u32>(), contents in proptest::collection::vec(any::<u8>(), 0..200)) {
        let bytes = note(&NABLA, kind, &contents);
        let found = Note::parse(&bytes).unwrap().unwrap();
        prop_assert_eq!((found.owner, found.kind, found.descriptor), (NABLA, kind, &contents[..]));
    }
}
