//! Manifests: arbitrary ones round-trip, arbitrary bytes never yield an invalid one.

use super::*;
use proptest::prelude::*;
use std::vec::Vec;

extern crate std;

fn attachment(kind: DeviceKind) -> BoxedStrategy<Attachment> {
    match kind {
        DeviceKind::Block => (9u32..16, 1u64..1 << 40, 0..i32::MAX)
            .prop_map(|(shift, blocks, fd)| Attachment::Block {
                capacity_bytes: blocks << shift,
                block_bytes: 1 << shift,
                fd,
            })
            .boxed(),
        DeviceKind::Net => (any::<[u8; 6]>(), any::<u16>(), 0..i32::MAX)
            .prop_map(|(mac, mtu_bytes, fd)| Attachment::Net { mac, mtu_bytes, fd })
            .boxed(),
    }
}

fn device(stage: Stage) -> impl Strategy<Value = Device> {
    ("[A-Za-z0-9]{1,67}", prop_oneof![Just(DeviceKind::Block), Just(DeviceKind::Net)])
        .prop_flat_map(move |(name, kind)| {
            let attached = match stage {
                Stage::Declared => Just(None).boxed(),
                Stage::Attached { .. } => attachment(kind).prop_map(Some).boxed(),
            };
            (Just(Name::new(&name).unwrap()), Just(kind), attached)
        })
        .prop_map(|(name, kind, attachment)| Device { name, kind, attachment })
}

fn manifest(stage: Stage) -> impl Strategy<Value = Manifest> {
    proptest::collection::vec(device(stage), 0..=MAX_DEVICES).prop_map(|devices| {
        let mut manifest = Manifest::EMPTY;
        for device in devices {
            match manifest.add(device) {
                Ok(()) | Err(ManifestError::Duplicate(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        manifest
    })
}

const ATTACHED: Stage = Stage::Attached { optional: 0 };

fn encoded(manifest: &Manifest) -> Vec<u8> {
    let mut out = std::vec![0xff; manifest.encoded_bytes()];
    assert_eq!(manifest.encode(&mut out), out.len());
    out
}

/// What every accepted manifest must satisfy, stated apart from the parser.
fn assert_valid(manifest: &Manifest) {
    let devices: Vec<_> = manifest.devices().collect();
    assert!(devices.len() <= 63);
    for (position, (index, device)) in devices.iter().enumerate() {
        assert_eq!(*index, position + 1);
        let name = device.name.as_str();
        assert!((1..=67).contains(&name.len()));
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric()));
        for (_, other) in &devices[..position] {
            assert!((other.kind, other.name) != (device.kind, device.name));
        }
        if let Some(Attachment::Block { capacity_bytes, block_bytes, .. }) = device.attachment {
            assert!(block_bytes >= 512 && block_bytes.is_power_of_two());
            assert!(capacity_bytes > 0 && capacity_bytes % u64::from(block_bytes) == 0);
        }
    }
}

proptest! {
    #[test]
    fn declared_manifests_round_trip(manifest in manifest(Stage::Declared)) {
        prop_assert_eq!(Manifest::parse(&encoded(&manifest), Stage::Declared), Ok(manifest));
    }

    #[test]
    fn attached_manifests_round_trip(manifest in manifest(ATTACHED)) {
        prop_assert_eq!(Manifest::parse(&encoded(&manifest), ATTACHED), Ok(manifest));
    }

    /// Any devices may be missing, if they are optional, and no others.
    #[test]
    fn manifests_without_optional_devices_round_trip(
        mut manifest in manifest(ATTACHED),
        missing: u64,
        unneeded: u64,
    ) {
        let len = manifest.len;
        let is_missing = |index: usize| missing >> index & 1 == 1;
        let devices = manifest.devices[..len].iter_mut();
        devices.zip(1..).filter(|(_, i)| is_missing(*i)).for_each(|(d, _)| d.attachment = None);
        let bytes = encoded(&manifest);
        let optional = missing | unneeded;
        prop_assert_eq!(Manifest::parse(&bytes, Stage::Attached { optional }), Ok(manifest));
        for index in (1..=len).filter(|index| is_missing(*index)) {
            let optional = optional & !(1 << index);
            let refused = ManifestError::Attached(manifest.devices[index - 1].name);
            prop_assert_eq!(Manifest::parse(&bytes, Stage::Attached { optional }), Err(refused));
        }
    }

    #[test]
    fn mutated_manifests_are_refused_or_valid(
        manifest in manifest(ATTACHED),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        stage in prop_oneof![
            Just(Stage::Declared),
            any::<u64>().prop_map(|optional| Stage::Attached { optional }),
        ],
    ) {
        let mut bytes = encoded(&manifest);
        for (position, value) in changes {
            let position = position.index(bytes.len());
            bytes[position] = value;
        }
        if let Ok(parsed) = Manifest::parse(&bytes, stage) {
            assert_valid(&parsed);
        }
        let shorter = &bytes[..cut.index(bytes.len())];
        prop_assert!(Manifest::parse(shorter, stage).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for stage in [Stage::Declared, ATTACHED, Stage::Attached { optional: !0 }] {
            if let Ok(parsed) = Manifest::parse(&bytes, stage) {
                assert_valid(&parsed);
            }
        }
    }
}

fn declared(devices: &[(&str, u32, u8)]) -> Vec<u8> {
    let mut out = std::vec![0; 8 + 104 * (devices.len() + 1)];
    out[0] = 1;
    out[4] = devices.len() as u8 + 1;
    out[8 + 68..8 + 72].copy_from_slice(&(1u32 << 30).to_le_bytes());
    for (i, (name, kind, attached)) in devices.iter().enumerate() {
        let entry = &mut out[8 + 104 * (i + 1)..];
        entry[..name.len()].copy_from_slice(name.as_bytes());
        entry[68..72].copy_from_slice(&kind.to_le_bytes());
        entry[96] = *attached;
    }
    out
}

#[test]
fn each_refusal_names_its_reason() {
    let parse = |bytes: &[u8]| Manifest::parse(bytes, Stage::Declared).map(|_| ()).unwrap_err();
    let name = |text| Name::new(text).unwrap();

    assert_eq!(parse(&[1, 0, 0]), ManifestError::Truncated);
    assert_eq!(parse(&[2, 0, 0, 0, 1, 0, 0, 0]), ManifestError::Version(2));
    assert_eq!(parse(&[1, 0, 0, 0, 0, 0, 0, 0]), ManifestError::Entries(0));
    assert_eq!(parse(&[1, 0, 0, 0, 65, 0, 0, 0]), ManifestError::Entries(65));
    let size = ManifestError::Size { found: 8, expected: 112 };
    assert_eq!(parse(&[1, 0, 0, 0, 1, 0, 0, 0]), size);
    assert_eq!(parse(&declared(&[("", 2, 0)])), ManifestError::Name(1));
    assert_eq!(parse(&declared(&[("a", 2, 0), ("b_", 2, 0)])), ManifestError::Name(2));
    let long = std::string::String::from_iter(std::iter::repeat_n('x', 68));
    assert_eq!(parse(&declared(&[(&long, 2, 0)])), ManifestError::Name(1));
    let kind = ManifestError::Kind { name: name("a"), kind: 9 };
    assert_eq!(parse(&declared(&[("a", 9, 0)])), kind);
    assert_eq!(parse(&declared(&[("a", 2, 1)])), ManifestError::Attached(name("a")));
    let twice = declared(&[("a", 2, 0), ("a", 2, 0)]);
    assert_eq!(parse(&twice), ManifestError::Duplicate(name("a")));
    for (at, value) in [(8, b'x'), (8 + 71, 0), (8 + 96, 1)] {
        let mut first = declared(&[]);
        first[at] = value;
        assert_eq!(parse(&first), ManifestError::FirstEntry);
    }
    assert!(Manifest::parse(&declared(&[("a", 2, 0), ("a", 1, 0)]), Stage::Declared).is_ok());
}

#[test]
fn attached_entry_equals_golden_bytes() {
    let mut manifest =
        Manifest::parse(&declared(&[("n", 2, 0), ("b", 1, 0)]), Stage::Declared).unwrap();
    manifest.attach(1, Attachment::Net { mac: [2, 3, 4, 5, 6, 7], mtu_bytes: 1500, fd: 5 });
    manifest.attach(2, Attachment::Block { capacity_bytes: 1 << 20, block_bytes: 512, fd: 6 });
    let bytes = encoded(&manifest);
    let net = &bytes[8 + 104..8 + 208];
    assert_eq!(net[72..88], [2, 3, 4, 5, 6, 7, 0xdc, 5, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(net[88..104], [5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    let block = &bytes[8 + 208..];
    assert_eq!(block[72..88], [0, 0, 0x10, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0]);
    assert_eq!(block[88..97], [6, 0, 0, 0, 0, 0, 0, 0, 1]);
}
