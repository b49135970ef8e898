//! Valid unikernel files, built byte by byte: what mutations start from.

use solo5_sys::extension::Features;
use solo5_sys::layout::LOAD_BASE;
use solo5_sys::manifest::{Device, DeviceKind, Manifest, Name};
use solo5_sys::note::{ABI1, MFT1, NABLA, REQ1, SOLO5, SPT_VERSION, TARGET_SPT};

pub(crate) const PT_LOAD: u32 = 1;
pub(crate) const PT_NOTE: u32 = 4;
const R: u32 = 4;
const W: u32 = 2;
const X: u32 = 1;
const HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;

/// A program header with its contents.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) kind: u32,
    pub(crate) contents: Vec<u8>,
    flags: u32,
    address: u64,
    memory_bytes: u64,
}

impl Program {
    fn load(flags: u32, address: u64, file_bytes: usize, memory_bytes: u64) -> Self {
        Self { kind: PT_LOAD, contents: vec![0xc3; file_bytes], flags, address, memory_bytes }
    }

    fn note(owner: [u8; 8], kind: u32, descriptor: &[u8]) -> Self {
        let mut contents = Vec::new();
        for word in [6, descriptor.len() as u32, kind] {
            contents.extend(word.to_le_bytes());
        }
        contents.extend(owner);
        contents.extend(descriptor);
        Self { kind: PT_NOTE, contents, flags: R, address: 0, memory_bytes: 0 }
    }
}

/// A unikernel's file.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) programs: Vec<Program>,
}

impl File {
    /// Code, constants, data, and the three notes, with two devices.
    pub(crate) fn valid() -> Self {
        Self::with_devices(2).asking(1 << 2, 1 << 2)
    }

    /// A plain Solo5 unikernel.
    pub(crate) fn with_devices(devices: usize) -> Self {
        let manifest = declared(devices);
        let mut descriptor = vec![0; 4 + manifest.encoded_bytes()];
        manifest.encode(&mut descriptor[4..]);
        let programs = vec![
            Program::load(R | X, LOAD_BASE, 100, 100),
            Program::load(R, LOAD_BASE + 0x1000, 10, 10),
            Program::load(R | W, LOAD_BASE + 0x2000, 20, 0x1800),
            Program::note(SOLO5, ABI1, &abi(TARGET_SPT, SPT_VERSION)),
            Program::note(SOLO5, MFT1, &descriptor),
        ];
        Self { programs }
    }

    /// The same, asking for all features, with a stub in its code.
    pub(crate) fn asking(mut self, read_only: u64, optional: u64) -> Self {
        let mut descriptor = vec![3, 0, 0, 0];
        for word in [Features::ALL.bits(), read_only, LOAD_BASE + 4, LOAD_BASE + 6, optional] {
            descriptor.extend(word.to_le_bytes());
        }
        self.programs.push(Program::note(NABLA, REQ1, &descriptor));
        self
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![0; HEADER_BYTES + PROGRAM_HEADER_BYTES * self.programs.len()];
        put(&mut out, 0, b"\x7fELF\x02\x01\x01");
        put(&mut out, 16, &[2, 0, 62, 0, 1]);
        put(&mut out, 24, &LOAD_BASE.to_le_bytes());
        put(&mut out, 32, &(HEADER_BYTES as u64).to_le_bytes());
        put(&mut out, 52, &[HEADER_BYTES as u8, 0, PROGRAM_HEADER_BYTES as u8, 0]);
        put(&mut out, 56, &[self.programs.len() as u8]);
        for (index, program) in self.programs.iter().enumerate() {
            let offset = out.len() as u64;
            let header = &mut out[HEADER_BYTES + PROGRAM_HEADER_BYTES * index..];
            put(header, 0, &program.kind.to_le_bytes());
            put(header, 4, &program.flags.to_le_bytes());
            let file_bytes = program.contents.len() as u64;
            let (address, memory_bytes) = (program.address, program.memory_bytes);
            for (word, value) in
                [offset, address, address, file_bytes, memory_bytes, 8].into_iter().enumerate()
            {
                put(header, 8 * (word + 1), &value.to_le_bytes());
            }
            out.extend(&program.contents);
        }
        out
    }
}

/// The descriptor of an ABI note.
pub(crate) fn abi(target: u32, version: u32) -> Vec<u8> {
    [target, version, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A manifest of so many devices: networks and disks by turns.
pub(crate) fn declared(devices: usize) -> Manifest {
    let mut manifest = Manifest::EMPTY;
    for index in 0..devices {
        let kind = if index % 2 == 0 { DeviceKind::Net } else { DeviceKind::Block };
        let name = Name::new(&format!("device{index}")).expect("letters and digits");
        manifest.add(Device { name, kind, attachment: None }).expect("no other has this name");
    }
    manifest
}

fn put(out: &mut [u8], offset: usize, value: &[u8]) {
    out[offset..offset + value.len()].copy_from_slice(value);
}
