//! The ELF reader: each refusal by its reason, and mutated files never yield a bad image.

mod support;

use proptest::prelude::*;
use solo5_sys::extension::{Features, Request, Stub};
use solo5_sys::layout::LOAD_BASE;
use solo5_sys::manifest::DeviceKind;
use support::{CODE, Code, DATA, File, HEAP, Program, R, W, X};
use tender::elf::{self, Error, Image};

const MEMORY_BYTES: u64 = 4 << 20;

fn parse(file: &File) -> Result<Image, Error> {
    elf::parse(&file.to_bytes()[..], MEMORY_BYTES)
}

fn valid() -> File {
    let code = Code::default().exit(0).0;
    let devices = [("service", DeviceKind::Net), ("data", DeviceKind::Block)];
    let stub = Stub { start: CODE, end: CODE + 4 };
    let request = Request { features: Features::ALL, read_only: 1 << 2, stub, optional: 0 };
    File::of_code(&code, &devices).asking(request)
}

/// What every accepted image must satisfy, stated apart from the reader.
fn assert_sound(image: &Image, file_bytes: u64, memory_bytes: u64) {
    let mut previous_end = LOAD_BASE;
    for segment in &image.segments {
        assert!(segment.memory_bytes > 0);
        assert!(segment.address >= LOAD_BASE);
        assert!(segment.address / 4096 * 4096 >= previous_end);
        let end = segment.address.checked_add(segment.memory_bytes).unwrap();
        assert!(end < memory_bytes);
        assert!(segment.file_bytes <= segment.memory_bytes);
        if segment.file_bytes > 0 {
            assert!(segment.file_offset.checked_add(segment.file_bytes).unwrap() <= file_bytes);
        }
        assert!(!(segment.access.write && segment.access.execute));
        previous_end = end.next_multiple_of(4096);
    }
    assert_eq!(image.kernel_end, previous_end);
    assert!(image.kernel_end < memory_bytes);
    assert!(image.segments.iter().any(|s| {
        s.access.execute && (s.address..s.address + s.memory_bytes).contains(&image.entry)
    }));
}

#[test]
fn a_valid_file_is_read() {
    let file = valid();
    let image = parse(&file).unwrap();
    assert_sound(&image, file.to_bytes().len() as u64, MEMORY_BYTES);
    assert_eq!((image.entry, image.kernel_end), (CODE, HEAP));
    assert_eq!(image.segments.len(), 2);
    assert_eq!(image.segments[1].file_bytes, 0);
    assert_eq!(image.manifest.devices().count(), 2);
    assert_eq!(image.request.read_only, 0b100);
}

#[test]
fn files_without_a_request_ask_for_nothing() {
    let image = parse(&File::of_code(&[0xc3], &[])).unwrap();
    assert_eq!(image.request, Request::default());
}

/// Parses the valid file after a change and returns the refusal.
fn refused(change: impl FnOnce(&mut File)) -> Error {
    let mut file = valid();
    change(&mut file);
    parse(&file).unwrap_err()
}

/// Parses the valid file with some bytes replaced and returns the refusal.
fn refused_bytes(offset: usize, value: &[u8]) -> Error {
    let mut bytes = valid().to_bytes();
    bytes[offset..offset + value.len()].copy_from_slice(value);
    elf::parse(&bytes[..], MEMORY_BYTES).unwrap_err()
}

#[test]
fn other_files_are_refused() {
    assert!(matches!(elf::parse(&b""[..], MEMORY_BYTES), Err(Error::NotElf)));
    assert!(matches!(elf::parse(&[b'x'; 100][..], MEMORY_BYTES), Err(Error::NotElf)));
    for (offset, value) in [(4, 1), (5, 2), (6, 0), (16, 3), (18, 183), (20, 0)] {
        let error = refused_bytes(offset, &[value]);
        assert!(matches!(error, Error::OtherKind(_)), "{offset}: {error}");
    }
}

#[test]
fn program_header_tables_must_fit() {
    for (offset, value) in [(54, 55), (56, 0)] {
        assert!(matches!(refused_bytes(offset, &[value, 0]), Error::ProgramHeaders));
    }
    assert!(matches!(refused_bytes(32, &[0xff; 8]), Error::ProgramHeaders));
    assert!(matches!(refused_bytes(56, &[65, 0]), Error::TooManyProgramHeaders(65)));
    let bytes = valid().to_bytes();
    let cut = elf::parse(&bytes[..100], MEMORY_BYTES);
    assert!(matches!(cut, Err(Error::ProgramHeaders)));
    let cut = elf::parse(&bytes[..bytes.len() - 1], MEMORY_BYTES);
    assert!(matches!(cut, Err(Error::OutsideFile(_))));
}

#[test]
fn segments_must_lie_in_memory_and_apart() {
    let file_larger = refused(|file| file.programs[0].memory_bytes = 1);
    assert!(matches!(file_larger, Error::FileLargerThanMemory(0)));
    let low = refused(|file| file.programs[0].address = LOAD_BASE - 4096);
    assert!(matches!(low, Error::OutsideMemory(0)));
    let wrapping = refused(|file| file.programs[1].memory_bytes = u64::MAX - 4096);
    assert!(matches!(wrapping, Error::OutsideMemory(1)));
    let half = refused(|file| file.programs[1].memory_bytes = u64::MAX / 2);
    assert!(matches!(half, Error::OutsideMemory(1)));
    let order = refused(|file| file.programs.swap(0, 1));
    assert!(matches!(order, Error::Overlap(1)));
    let same_page = refused(|file| file.programs[1].address = CODE + 0x800);
    assert!(matches!(same_page, Error::Overlap(1)));
    let align = refused(|file| file.programs[0].align_bytes = 3);
    assert!(matches!(align, Error::Alignment(0)));
}

#[test]
fn the_memory_that_is_needed_is_named() {
    let full = refused(|file| file.programs[1].memory_bytes = MEMORY_BYTES - DATA);
    let text = full.to_string();
    assert!(matches!(full, Error::MemoryTooSmall { memory_mib: 4, needed_mib: 5 }), "{text}");
    assert!(text.ends_with("use --mem=5"));
    let fits =
        refused_is_none(|file| file.programs[1].memory_bytes = MEMORY_BYTES - DATA - (260 << 10));
    assert!(fits);
}

fn refused_is_none(change: impl FnOnce(&mut File)) -> bool {
    let mut file = valid();
    change(&mut file);
    parse(&file).is_ok()
}

#[test]
fn nothing_is_writable_and_executable() {
    let error = refused(|file| file.programs[0].flags = R | W | X);
    assert!(matches!(error, Error::WritableAndExecutable(0)));
}

#[test]
fn the_entry_is_executable() {
    for entry in [0, DATA, CODE - 1, HEAP, u64::MAX] {
        assert!(matches!(refused(|file| file.entry = entry), Error::Entry(e) if e == entry));
    }
}

#[test]
fn notes_are_complete_and_well_formed() {
    let abi = refused(|file| drop(file.programs.remove(2)));
    assert!(matches!(abi, Error::NoteMissing("ABI1")));
    let manifest = refused(|file| drop(file.programs.remove(3)));
    assert!(matches!(manifest, Error::NoteMissing("MFT1")));
    let hvt = refused(|file| file.programs[2].contents[20] = 1);
    assert!(matches!(hvt, Error::Abi(_)) && hvt.to_string().contains("hvt"));
    let long = refused(|file| file.programs[3].contents.resize((1 << 20) + 1, 0));
    assert!(matches!(long, Error::NoteTooLong(_)));
    let cut = refused(|file| file.programs[3].contents.truncate(30));
    assert!(matches!(cut, Error::Note(_)));
    let version = refused(|file| file.programs[3].contents[24] = 9);
    assert!(matches!(version, Error::Manifest(_)));
    let request = refused(|file| file.programs[4].contents[20] = 9);
    assert!(matches!(request, Error::Request(_)));
}

#[test]
fn the_first_of_several_notes_counts() {
    let alone = parse(&valid()).unwrap();
    let expected = (alone.abi, alone.manifest, alone.request);
    for index in 2..5 {
        let mut file = valid();
        let mut second = file.programs[index].clone();
        second.contents[20..].fill(9);
        file.programs.push(second);
        let image = parse(&file).unwrap();
        assert_eq!((image.abi, image.manifest, image.request), expected);
    }
}

#[test]
fn marks_belong_to_block_devices() {
    let with = |request| {
        File::of_code(&[0xc3], &[("n", DeviceKind::Net), ("b", DeviceKind::Block)]).asking(request)
    };
    let read_only = |bits| Request { read_only: bits, ..Request::default() };
    let optional = |bits| Request { optional: bits, ..Request::default() };
    for bit in [0, 1, 3, 63] {
        for (request, word) in
            [(read_only(1 << bit), "read-only"), (optional(1 << bit), "optional")]
        {
            let error = refused(|file| *file = with(request));
            assert!(matches!(error, Error::Mark(mark) if mark == word), "{bit}: {error}");
        }
    }
    for request in [read_only(1 << 2), optional(1 << 2)] {
        assert_eq!(parse(&with(request)).unwrap().request, request);
    }
}

#[test]
fn a_stub_lies_in_executable_code() {
    let stub = |start: u64, end: u64| {
        let stub = Stub { start, end };
        let request = Request { features: Features::STUB, stub, ..Request::default() };
        parse(&File::of_code(&[0xc3; 4000], &[]).asking(request))
    };
    assert!(stub(CODE, CODE + 2).is_ok() && stub(CODE + 4, CODE + 4000).is_ok());
    for (start, end) in [
        (CODE, CODE),
        (CODE, CODE + 1),
        (CODE + 2, CODE),
        (CODE - 1, CODE + 2),
        (CODE + 3999, CODE + 4001),
        (DATA, DATA + 2),
        (0, 0),
        (u64::MAX - 1, u64::MAX),
        (u64::MAX, 1),
    ] {
        assert!(stub(start, end).is_err(), "{start:#x} {end:#x}");
    }
}

#[test]
fn a_placed_stack_takes_its_room_from_memory() {
    let guest = |bytes| {
        let mut file = File::of_code(&[0xc3], &[]).asking_with_stub(Features::PLACEMENT);
        file.programs[1].memory_bytes = bytes;
        parse(&file)
    };
    let room = MEMORY_BYTES - DATA;
    assert!(guest(room - (260 << 10)).is_ok());
    let error = guest(room - (260 << 10) + 1).unwrap_err();
    assert!(matches!(error, Error::MemoryTooSmall { needed_mib: 5, .. }), "{error}");
}

#[test]
fn empty_segments_and_foreign_notes_are_skipped() {
    let mut file = valid();
    file.programs.insert(0, Program::load(R, 0, &[]));
    file.programs.push(Program::note(*b"Other\0\0\0", 1, &[1, 2, 3]));
    assert_eq!(parse(&file).unwrap().segments.len(), 2);
}

/// Values that tend to break arithmetic.
fn hostile() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0u64..16,
        (0u64..64).prop_map(|shift| 1 << shift),
        (0u64..8192).prop_map(|less| u64::MAX - less),
        (0u64..0x4000).prop_map(|more| LOAD_BASE + more),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn mutated_files_are_refused_or_sound(
        words in proptest::collection::vec((0usize..43, hostile()), 0..4),
        bytes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
        memory_mib in 2u64..64,
    ) {
        let mut file = valid().to_bytes();
        for (word, value) in words {
            // The header and the program headers consist of words of eight bytes.
            file[8 * word..8 * word + 8].copy_from_slice(&value.to_le_bytes());
        }
        for (position, value) in bytes {
            let position = position.index(file.len());
            file[position] = value;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        if let Ok(image) = elf::parse(&file[..], memory_mib << 20) {
            assert_sound(&image, file.len() as u64, memory_mib << 20);
        }
    }

    #[test]
    fn arbitrary_segments_are_refused_or_sound(
        segments in proptest::collection::vec(
            (0u32..8, hostile(), 0usize..5000, hostile(), hostile()), 0..5,
        ),
        entry in hostile(),
    ) {
        let mut file = valid();
        for (flags, address, file_bytes, memory_bytes, align_bytes) in segments {
            let mut program = Program::load(flags, address, &vec![0; file_bytes]);
            program.memory_bytes = memory_bytes;
            program.align_bytes = align_bytes;
            file.programs.insert(2, program);
        }
        file.entry = entry;
        let bytes = file.to_bytes();
        if let Ok(image) = elf::parse(&bytes[..], MEMORY_BYTES) {
            assert_sound(&image, bytes.len() as u64, MEMORY_BYTES);
        }
    }
}
