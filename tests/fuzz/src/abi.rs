//! The parsers of `solo5-sys`: whatever they accept can be written again and reads the same, and
//! whatever they refuse has a reason of one line.

use solo5_sys::extension::{Clock, Environment, Extension, Features, Placement, Request, Rings};
use solo5_sys::manifest::{Attachment, Device, DeviceKind, Manifest, Name, Stage};
use solo5_sys::note::{Abi, Note};

use crate::elf::file::{self, File};
use crate::{Target, Verdict, assert_one_line};

/// This target.
pub const TARGET: Target = Target { name: "abi", run, seeds, words, inputs: 100_000 };

/// Gives the bytes to every parser.
///
/// # Panics
/// If something does not hold that must.
pub fn run(data: &[u8]) -> Verdict {
    let accepted = [
        check_note(data),
        check_abi(data),
        check_manifest(data, Stage::Declared),
        check_manifest(data, Stage::Attached { optional: 0 }),
        check_manifest(data, Stage::Attached { optional: 0b1010 }),
        check_request(data),
        check_extension(data),
    ];
    if accepted.contains(&true) { Verdict::Accepted } else { Verdict::Refused }
}

fn check_note(data: &[u8]) -> bool {
    match Note::parse(data) {
        Ok(Some(note)) => {
            assert!(data[20..].starts_with(note.descriptor));
            check_abi(note.descriptor);
            check_request(note.descriptor);
            check_manifest(note.descriptor.get(4..).unwrap_or_default(), Stage::Declared);
            true
        }
        Ok(None) => false,
        Err(error) => refuse(error),
    }
}

fn check_abi(data: &[u8]) -> bool {
    match Abi::parse(data) {
        Ok(abi) => {
            // The reserved words may be anything.
            assert_eq!(file::abi(abi.target, abi.version)[..8], data[..8]);
            true
        }
        Err(error) => refuse(error),
    }
}

fn check_manifest(data: &[u8], stage: Stage) -> bool {
    let manifest = match Manifest::parse(data, stage) {
        Ok(manifest) => manifest,
        Err(error) => return refuse(error),
    };
    for (index, device) in manifest.devices() {
        assert_eq!(
            manifest.find(device.name.as_str(), device.kind).map(|found| found.0),
            Some(index)
        );
        assert_eq!(Name::new(device.name.as_str()), Some(device.name));
        match stage {
            Stage::Declared => assert!(device.attachment.is_none()),
            Stage::Attached { optional } => {
                assert!(device.attachment.is_some() || optional >> index & 1 == 1);
            }
        }
    }
    let mut bytes = vec![0xff; manifest.encoded_bytes()];
    assert_eq!(manifest.encode(&mut bytes), data.len());
    assert_eq!(Manifest::parse(&bytes, stage), Ok(manifest));
    true
}

fn check_request(data: &[u8]) -> bool {
    match Request::parse(data) {
        Ok(request) => {
            let known = request.features.intersection(Features::ALL);
            assert_eq!(known.names().count(), known.bits().count_ones() as usize);
            assert!(data[0] == 3 || request.optional == 0);
            true
        }
        Err(error) => refuse(error),
    }
}

fn check_extension(data: &[u8]) -> bool {
    let Some(extension) = Extension::parse(data) else { return false };
    assert_eq!(Extension::parse(&extension.to_bytes()), Some(extension));
    true
}

fn refuse(error: impl std::fmt::Display) -> bool {
    assert_one_line(&error.to_string());
    false
}

/// Notes as in a file, their descriptors alone, and what a tender leaves in a guest's memory.
pub fn seeds() -> Vec<Vec<u8>> {
    let notes: Vec<Vec<u8>> = File::valid()
        .programs
        .into_iter()
        .filter(|p| p.kind == file::PT_NOTE)
        .map(|p| p.contents)
        .collect();
    let manifest_note_bytes_min = 100;
    let short = notes.iter().filter(|note| note.len() < manifest_note_bytes_min);
    let descriptors: Vec<Vec<u8>> = short.map(|note| note[20..].to_vec()).collect();
    let mut seeds = [notes, descriptors].concat();
    for devices in [0, 1, 5, 63] {
        seeds.push(encode(&file::declared(devices)));
        seeds.push(encode(&attached(devices)));
    }
    let placement = Placement { heap_start: 1 << 32, heap_end: 1 << 33, stack_end: 1 << 40 };
    let extension = Extension {
        features: Features::ALL,
        read_only: 1 << 2,
        seed: [7; 32],
        placement,
        virtio_net: 1 << 1,
        clock: Clock { counter: 1 << 50, monotonic_ns: 1 << 45, scale: 1 << 31 },
        rings: Rings { devices: 1 << 3, base: 1 << 41, doorbells: 8 },
        synchronous: 1 << 2,
        shutdown: 9,
        environment: Environment { address: 0x3_0000, bytes: 1 << 10 },
    };
    seeds.push(extension.to_bytes().to_vec());
    seeds
}

fn encode(manifest: &Manifest) -> Vec<u8> {
    let mut bytes = vec![0; manifest.encoded_bytes()];
    manifest.encode(&mut bytes);
    bytes
}

fn attached(devices: usize) -> Manifest {
    let mut manifest = Manifest::EMPTY;
    for (index, device) in file::declared(devices).devices() {
        let fd = index as i32 + 2;
        let attachment = match device.kind {
            DeviceKind::Net => Attachment::Net { mac: [2, 0, 0, 0, 0, 1], mtu_bytes: 1500, fd },
            DeviceKind::Block => {
                Attachment::Block { capacity_bytes: 1 << 30, block_bytes: 512, fd }
            }
        };
        let attached = Device { attachment: Some(attachment), ..*device };
        manifest.add(attached).expect("it was declared");
    }
    manifest
}

fn words() -> Vec<Vec<u8>> {
    [&b"Solo5\0\0\0"[..], b"Nabla\0\0\0", b"ABI1", b"MFT1", b"REQ1", b"NablaExt", &[6, 0, 0, 0]]
        .map(<[u8]>::to_vec)
        .to_vec()
}
