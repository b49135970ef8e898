//! Builds unikernel files byte by byte, with just enough of an assembler for tiny guests.
#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod process;

use solo5_sys::extension::{Features, Request, Stub};
use solo5_sys::manifest::{Device, DeviceKind, Manifest, Name};

/// Where [`File::of_code`] places code.
pub(crate) const CODE: u64 = 0x10_0000;
/// Where [`File::of_code`] places writable data.
pub(crate) const DATA: u64 = 0x10_1000;
/// First address of the heap of such a guest.
pub(crate) const HEAP: u64 = 0x10_2000;

pub(crate) const PT_LOAD: u32 = 1;
pub(crate) const PT_NOTE: u32 = 4;
pub(crate) const R: u32 = 4;
pub(crate) const W: u32 = 2;
pub(crate) const X: u32 = 1;

/// A program header with its contents.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) address: u64,
    pub(crate) contents: Vec<u8>,
    pub(crate) memory_bytes: u64,
    pub(crate) align_bytes: u64,
}

impl Program {
    pub(crate) fn load(flags: u32, address: u64, contents: &[u8]) -> Self {
        let memory_bytes = contents.len() as u64;
        let contents = contents.to_vec();
        Self { kind: PT_LOAD, flags, address, contents, memory_bytes, align_bytes: 4096 }
    }

    pub(crate) fn note(owner: [u8; 8], kind: u32, descriptor: &[u8]) -> Self {
        let mut contents = Vec::new();
        for word in [6, descriptor.len() as u32, kind] {
            contents.extend(word.to_le_bytes());
        }
        contents.extend(owner);
        contents.extend(descriptor);
        Self { kind: PT_NOTE, flags: R, address: 0, contents, memory_bytes: 0, align_bytes: 4 }
    }
}

/// A unikernel's file.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) entry: u64,
    pub(crate) programs: Vec<Program>,
}

impl File {
    /// A guest with this code, a page of data and these devices, that asks for nothing.
    pub(crate) fn of_code(code: &[u8], devices: &[(&str, DeviceKind)]) -> Self {
        let mut data = Program::load(R | W, DATA, &[]);
        data.memory_bytes = 4096;
        let abi: Vec<u8> = [2u32, 2, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
        let programs = vec![
            Program::load(R | X, CODE, code),
            data,
            Program::note(*b"Solo5\0\0\0", 0x3149_4241, &abi),
            Program::note(*b"Solo5\0\0\0", 0x3154_464d, &manifest(devices)),
        ];
        Self { entry: CODE, programs }
    }

    /// The same guest with a request to Nabla's tender.
    pub(crate) fn asking(mut self, request: Request) -> Self {
        let mut descriptor = vec![3, 0, 0, 0];
        let Stub { start, end } = request.stub;
        for word in [request.features.bits(), request.read_only, start, end, request.optional] {
            descriptor.extend(word.to_le_bytes());
        }
        self.programs.push(Program::note(*b"Nabla\0\0\0", 0x3151_4552, &descriptor));
        self
    }

    /// The same guest, asking for what it can use without looking at the extension page: the
    /// features but for the placement and an end in order, with all of its code as its stub.
    pub(crate) fn modern(self) -> Self {
        let looked_for = Features::PLACEMENT.union(Features::SHUTDOWN);
        self.asking_with_stub(Features::ALL.without(looked_for))
    }

    /// The same guest with a request for features, and all of its code as its stub.
    pub(crate) fn asking_with_stub(self, features: Features) -> Self {
        let bytes = self.programs[0].contents.len() as u64;
        let stub = Stub { start: CODE, end: CODE + bytes };
        self.asking(Request { features, stub, ..Request::default() })
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![0; 64 + 56 * self.programs.len()];
        out[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        put(&mut out, 16, &2u16.to_le_bytes());
        put(&mut out, 18, &62u16.to_le_bytes());
        put(&mut out, 20, &1u32.to_le_bytes());
        put(&mut out, 24, &self.entry.to_le_bytes());
        put(&mut out, 32, &64u64.to_le_bytes());
        put(&mut out, 52, &64u16.to_le_bytes());
        put(&mut out, 54, &56u16.to_le_bytes());
        put(&mut out, 56, &(self.programs.len() as u16).to_le_bytes());
        for (i, program) in self.programs.iter().enumerate() {
            let offset = out.len() as u64;
            let header = &mut out[64 + 56 * i..];
            put(header, 0, &program.kind.to_le_bytes());
            put(header, 4, &program.flags.to_le_bytes());
            put(header, 8, &offset.to_le_bytes());
            put(header, 16, &program.address.to_le_bytes());
            put(header, 24, &program.address.to_le_bytes());
            put(header, 32, &(program.contents.len() as u64).to_le_bytes());
            put(header, 40, &program.memory_bytes.to_le_bytes());
            put(header, 48, &program.align_bytes.to_le_bytes());
            out.extend(&program.contents);
        }
        out
    }
}

fn put(out: &mut [u8], offset: usize, value: &[u8]) {
    out[offset..offset + value.len()].copy_from_slice(value);
}

/// A manifest as the descriptor of its note, padding included.
fn manifest(devices: &[(&str, DeviceKind)]) -> Vec<u8> {
    let mut manifest = Manifest::EMPTY;
    for &(name, kind) in devices {
        let name = Name::new(name).unwrap();
        manifest.add(Device { name, kind, attachment: None }).unwrap();
    }
    let mut out = vec![0; 4 + manifest.encoded_bytes()];
    manifest.encode(&mut out[4..]);
    out
}

/// Machine code, appended to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Code(pub(crate) Vec<u8>);

impl Code {
    /// A system call with these arguments; its result is in `rax`.
    pub(crate) fn call(mut self, number: i64, arguments: &[u64]) -> Self {
        let registers: [&[u8]; 6] =
            [b"\x48\xbf", b"\x48\xbe", b"\x48\xba", b"\x49\xba", b"\x49\xb8", b"\x49\xb9"];
        for (register, value) in registers.iter().zip(arguments) {
            self.0.extend(*register);
            self.0.extend(value.to_le_bytes());
        }
        self.set_rax(number as u64).bytes(b"\x0f\x05")
    }

    /// `write(fd, DATA, ..)` of a text that is stored there first, eight bytes at a time.
    pub(crate) fn write(mut self, fd: u64, text: &[u8]) -> Self {
        for (i, chunk) in text.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self = self.set_rax(u64::from_le_bytes(word)).store_rax(DATA + 8 * i as u64);
        }
        self.call(libc::SYS_write, &[fd, DATA, text.len() as u64])
    }

    /// Says that it runs.
    pub(crate) fn up() -> Self {
        Self::default().write(1, b"up\n")
    }

    pub(crate) fn exit(self, status: u64) -> Self {
        self.call(libc::SYS_exit_group, &[status])
    }

    /// Exits with the status in `rax`.
    pub(crate) fn exit_with_rax(self) -> Self {
        self.bytes(b"\x48\x89\xc7").set_rax(libc::SYS_exit_group as u64).bytes(b"\x0f\x05")
    }

    pub(crate) fn set_rax(self, value: u64) -> Self {
        self.bytes(b"\x48\xb8").bytes(&value.to_le_bytes())
    }

    pub(crate) fn store_rax(self, address: u64) -> Self {
        self.bytes(b"\x48\xa3").bytes(&address.to_le_bytes())
    }

    pub(crate) fn load_rax(self, address: u64) -> Self {
        self.bytes(b"\x48\xa1").bytes(&address.to_le_bytes())
    }

    pub(crate) fn spin(self) -> Self {
        self.bytes(b"\xeb\xfe")
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }
}
