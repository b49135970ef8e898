//! Reads a unikernel's ELF file and checks all of it, before one byte is loaded.
//!
//! Every number in the file is taken for hostile. What comes out, an [`Image`], is safe to load
//! as it is: segments ascend, share no page, stay inside guest memory and are never writable and
//! executable at once. This module maps nothing and opens nothing; it reads a [`Source`].

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use solo5_sys::extension::{Features, Request, RequestError, STUB_MAX_BYTES, Stub};
use solo5_sys::layout::{LOAD_BASE, PAGE_BYTES, STACK_BYTES};
use solo5_sys::manifest::{Manifest, ManifestError, Stage};
use solo5_sys::note::{self, Abi, AbiError, MANIFEST_PADDING_BYTES, Note, NoteError};

/// Most program headers that a file may have.
pub const PROGRAM_HEADERS_MAX: u16 = 64;
/// Longest note segment in bytes.
pub const NOTE_MAX_BYTES: u64 = 1 << 20;
/// What must remain between the last segment and the end of memory, in bytes: the stack that
/// Solo5's ABI promises on entry.
pub const STACK_MIN_BYTES: u64 = PAGE_BYTES;

const HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
const MAGIC: [u8; 4] = *b"\x7fELF";
const ET_EXEC: u16 = 2;
const EM_X86_64: u16 = 62;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const PF_X: u32 = 1;
const PF_W: u32 = 2;
const PF_R: u32 = 4;

/// Where a file's bytes come from.
pub trait Source {
    /// Size in bytes.
    ///
    /// # Errors
    /// If it cannot be found out.
    fn size_bytes(&self) -> io::Result<u64>;

    /// Fills `out` from `offset` on.
    ///
    /// # Errors
    /// If the source cannot be read or ends before.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
}

impl Source for File {
    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(out, offset)
    }
}

impl Source for [u8] {
    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..)?.get(..out.len()))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }
}

/// What may be done with a segment's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// `PF_R`.
    pub read: bool,
    /// `PF_W`.
    pub write: bool,
    /// `PF_X`.
    pub execute: bool,
}

impl std::fmt::Display for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let letter = |set, letter| if set { letter } else { '-' };
        let (read, write) = (letter(self.read, 'r'), letter(self.write, 'w'));
        write!(f, "{read}{write}{}", letter(self.execute, 'x'))
    }
}

/// A checked `PT_LOAD` segment with a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First address.
    pub address: u64,
    /// Size in memory, in bytes; more than zero.
    pub memory_bytes: u64,
    /// Where its contents start in the file.
    pub file_offset: u64,
    /// How many of its bytes come from the file; the others are zero.
    pub file_bytes: u64,
    /// Protection.
    pub access: Access,
}

impl Segment {
    /// The addresses of the segment itself.
    pub fn addresses(&self) -> Range<u64> {
        self.address..self.address + self.memory_bytes
    }

    /// The addresses of its pages.
    pub fn pages(&self) -> Range<u64> {
        let end = self.address + self.memory_bytes;
        self.address / PAGE_BYTES * PAGE_BYTES..end.next_multiple_of(PAGE_BYTES)
    }
}

/// A unikernel, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Address of the first instruction, in an executable segment.
    pub entry: u64,
    /// What is to be loaded, in ascending order.
    pub segments: Vec<Segment>,
    /// First address after the last segment, page-aligned.
    pub kernel_end: u64,
    /// The ABI that it was built for.
    pub abi: Abi,
    /// The devices that it declares.
    pub manifest: Manifest,
    /// What it asks of Nabla's tender; nothing, if it was built for Solo5 alone.
    pub request: Request,
}

/// Why a file is not a unikernel that can run here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// No ELF magic.
    #[error("is not an ELF file; a unikernel built for the Solo5 target spt is needed")]
    NotElf,
    /// An ELF file for something else.
    #[error("is not a static 64-bit little-endian x86-64 program ({0})")]
    OtherKind(&'static str),
    /// The program header table has an impossible size or lies outside of the file.
    #[error("has a program header table that is malformed or lies outside of the file")]
    ProgramHeaders,
    /// More program headers than [`PROGRAM_HEADERS_MAX`].
    #[error("has {0} program headers, at most {PROGRAM_HEADERS_MAX} are accepted")]
    TooManyProgramHeaders(u16),
    /// A segment's contents are said to lie outside of the file.
    #[error("is cut off: the segment of program header {0} lies outside of the file")]
    OutsideFile(u16),
    /// More bytes in the file than in memory.
    #[error("has a segment (program header {0}) that is larger in the file than in memory")]
    FileLargerThanMemory(u16),
    /// An alignment that is not a power of two.
    #[error("has a segment (program header {0}) whose alignment is not a power of two")]
    Alignment(u16),
    /// A segment that wraps around or starts below the base.
    #[error(
        "has a segment (program header {0}) outside of guest memory, which starts at {LOAD_BASE:#x}"
    )]
    OutsideMemory(u16),
    /// Segments that need more memory than there is.
    #[error("needs more memory than {memory_mib} MB: use --mem={needed_mib}")]
    MemoryTooSmall {
        /// What there is, in MiB.
        memory_mib: u64,
        /// What the segments and a minimal stack take, in MiB.
        needed_mib: u64,
    },
    /// Segments out of order or sharing a page.
    #[error("has a segment (program header {0}) that overlaps or precedes the one before it")]
    Overlap(u16),
    /// A segment that could be written to and executed.
    #[error("has a segment (program header {0}) that is writable and executable")]
    WritableAndExecutable(u16),
    /// An entry outside of all executable segments.
    #[error("has its entry point {0:#x} outside of its executable segments")]
    Entry(u64),
    /// A note segment that is too long.
    #[error("has a note segment of {0} bytes, at most {NOTE_MAX_BYTES} are accepted")]
    NoteTooLong(u64),
    /// A malformed note.
    #[error("has a malformed note: {0}")]
    Note(#[from] NoteError),
    /// No `ABI1` or `MFT1` note.
    #[error("has no {0} note: it is not a Solo5 unikernel")]
    NoteMissing(&'static str),
    /// Another ABI.
    #[error("cannot run here: {0}")]
    Abi(#[from] AbiError),
    /// A bad manifest.
    #[error("has a bad manifest: {0}")]
    Manifest(#[from] ManifestError),
    /// A bad Nabla note.
    #[error("has a bad request: {0}")]
    Request(#[from] RequestError),
    /// A stub that cannot be one.
    #[error(
        "has a bad request: its system call stub {start:#x} to {end:#x} is no piece of 2 to \
         {STUB_MAX_BYTES} bytes inside of an executable segment"
    )]
    Stub {
        /// Where it is said to start.
        start: u64,
        /// Where it is said to end.
        end: u64,
    },
    /// Read-only or optional bits of devices that are no block devices.
    #[error("has a bad request: it marks a device {0} that is not a declared block device")]
    Mark(&'static str),
}

/// Reads and checks a unikernel that is to run in `memory_bytes` of memory.
///
/// # Errors
/// The first [`Error`] found.
pub fn parse<S: Source + ?Sized>(source: &S, memory_bytes: u64) -> Result<Image, Error> {
    let file_bytes = source.size_bytes()?;
    let header = Header::read(source, file_bytes)?;
    let mut segments = Segments::default();
    let mut notes = Notes::default();
    for (index, raw) in header.read_program_headers(source)?.iter().enumerate() {
        let program = ProgramHeader::parse(raw, index as u16, file_bytes)?;
        match program.kind {
            PT_LOAD => segments.add(&program)?,
            PT_NOTE => notes.add(source, &program)?,
            _ => {}
        }
    }
    let kernel_end = segments.end();
    if !segments.accepted.iter().any(|s| s.access.execute && s.addresses().contains(&header.entry))
    {
        return Err(Error::Entry(header.entry));
    }
    let manifest = notes.manifest.ok_or(Error::NoteMissing("MFT1"))?;
    let request = notes.request.unwrap_or_default();
    check_marks(&request, &manifest)?;
    check_stub(&request, &segments.accepted)?;
    check_room(&request, kernel_end, memory_bytes)?;
    Ok(Image {
        entry: header.entry,
        segments: segments.accepted,
        kernel_end,
        abi: notes.abi.ok_or(Error::NoteMissing("ABI1"))?,
        manifest,
        request,
    })
}

struct Header {
    entry: u64,
    program_headers_offset: u64,
    program_headers: u16,
}

impl Header {
    fn read<S: Source + ?Sized>(source: &S, file_bytes: u64) -> Result<Self, Error> {
        if file_bytes < HEADER_BYTES as u64 {
            return Err(Error::NotElf);
        }
        let mut raw = [0; HEADER_BYTES];
        source.read_at(0, &mut raw)?;
        check_identity(&raw)?;
        let header = Self {
            entry: u64_at(&raw, 24),
            program_headers_offset: u64_at(&raw, 32),
            program_headers: u16_at(&raw, 56),
        };
        if usize::from(u16_at(&raw, 54)) != PROGRAM_HEADER_BYTES || header.program_headers == 0 {
            return Err(Error::ProgramHeaders);
        }
        if header.program_headers > PROGRAM_HEADERS_MAX {
            return Err(Error::TooManyProgramHeaders(header.program_headers));
        }
        let table_bytes = u64::from(header.program_headers) * PROGRAM_HEADER_BYTES as u64;
        let end = header.program_headers_offset.checked_add(table_bytes);
        if end.is_none_or(|end| end > file_bytes) {
            return Err(Error::ProgramHeaders);
        }
        Ok(header)
    }

    fn read_program_headers<S: Source + ?Sized>(
        &self,
        source: &S,
    ) -> Result<Vec<[u8; PROGRAM_HEADER_BYTES]>, Error> {
        let mut table = vec![[0; PROGRAM_HEADER_BYTES]; usize::from(self.program_headers)];
        source.read_at(self.program_headers_offset, table.as_flattened_mut())?;
        Ok(table)
    }
}

fn check_identity(raw: &[u8; HEADER_BYTES]) -> Result<(), Error> {
    if raw[..4] != MAGIC {
        return Err(Error::NotElf);
    }
    let checks = [
        (raw[4] == 2, "not of class ELF64"),
        (raw[5] == 1, "not little endian"),
        (raw[6] == 1 && u32_at(raw, 20) == 1, "unknown ELF version"),
        (u16_at(raw, 16) == ET_EXEC, "not of type ET_EXEC"),
        (u16_at(raw, 18) == EM_X86_64, "for another machine"),
    ];
    match checks.into_iter().find(|(holds, _)| !holds) {
        Some((_, reason)) => Err(Error::OtherKind(reason)),
        None => Ok(()),
    }
}

struct ProgramHeader {
    index: u16,
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    file_bytes: u64,
    memory_bytes: u64,
    align_bytes: u64,
}

impl ProgramHeader {
    /// Reads a program header; what it says about the file is checked for the kinds that count.
    fn parse(raw: &[u8; PROGRAM_HEADER_BYTES], index: u16, file_bytes: u64) -> Result<Self, Error> {
        let program = Self {
            index,
            kind: u32_at(raw, 0),
            flags: u32_at(raw, 4),
            offset: u64_at(raw, 8),
            address: u64_at(raw, 16),
            file_bytes: u64_at(raw, 32),
            memory_bytes: u64_at(raw, 40),
            align_bytes: u64_at(raw, 48),
        };
        let end = program.offset.checked_add(program.file_bytes);
        let counts = matches!(program.kind, PT_LOAD | PT_NOTE) && program.file_bytes > 0;
        if counts && end.is_none_or(|end| end > file_bytes) {
            return Err(Error::OutsideFile(index));
        }
        Ok(program)
    }
}

/// The segments accepted so far.
#[derive(Default)]
struct Segments {
    accepted: Vec<Segment>,
}

impl Segments {
    fn add(&mut self, program: &ProgramHeader) -> Result<(), Error> {
        let index = program.index;
        if program.file_bytes > program.memory_bytes {
            return Err(Error::FileLargerThanMemory(index));
        }
        if program.memory_bytes == 0 {
            return Ok(());
        }
        if program.align_bytes != 0 && !program.align_bytes.is_power_of_two() {
            return Err(Error::Alignment(index));
        }
        let access = Access {
            read: program.flags & PF_R != 0,
            write: program.flags & PF_W != 0,
            execute: program.flags & PF_X != 0,
        };
        if access.write && access.execute {
            return Err(Error::WritableAndExecutable(index));
        }
        // An address half-way to the end of u64 can be in no memory, and below it no later sum,
        // rounding included, wraps around.
        let end = program.address.checked_add(program.memory_bytes);
        if program.address < LOAD_BASE || end.is_none_or(|end| end > u64::MAX / 2) {
            return Err(Error::OutsideMemory(index));
        }
        let segment = Segment {
            address: program.address,
            memory_bytes: program.memory_bytes,
            file_offset: program.offset,
            file_bytes: program.file_bytes,
            access,
        };
        if self.accepted.last().is_some_and(|last| segment.pages().start < last.pages().end) {
            return Err(Error::Overlap(index));
        }
        self.accepted.push(segment);
        Ok(())
    }

    /// The page-aligned end of the last segment.
    fn end(&self) -> u64 {
        self.accepted.last().map_or(LOAD_BASE, |last| last.pages().end)
    }
}

/// The notes found so far.
#[derive(Default)]
struct Notes {
    abi: Option<Abi>,
    manifest: Option<Manifest>,
    request: Option<Request>,
}

impl Notes {
    fn add<S: Source + ?Sized>(
        &mut self,
        source: &S,
        program: &ProgramHeader,
    ) -> Result<(), Error> {
        if program.file_bytes == 0 {
            return Ok(());
        }
        if program.file_bytes > NOTE_MAX_BYTES {
            return Err(Error::NoteTooLong(program.file_bytes));
        }
        let mut segment = vec![0; program.file_bytes as usize];
        source.read_at(program.offset, &mut segment)?;
        let Some(note) = Note::parse(&segment)? else { return Ok(()) };
        match (note.owner, note.kind) {
            (note::SOLO5, note::ABI1) => first(&mut self.abi, || Abi::parse(note.descriptor)),
            (note::SOLO5, note::MFT1) => {
                let bytes = note.descriptor.get(MANIFEST_PADDING_BYTES..).unwrap_or_default();
                first(&mut self.manifest, || Manifest::parse(bytes, Stage::Declared))
            }
            (note::NABLA, note::REQ1) => {
                first(&mut self.request, || Request::parse(note.descriptor))
            }
            _ => Ok(()),
        }
    }
}

/// Of several notes of one kind the first counts, as for Solo5's loader.
fn first<T, E>(slot: &mut Option<T>, parse: impl FnOnce() -> Result<T, E>) -> Result<(), Error>
where
    Error: From<E>,
{
    if slot.is_none() {
        *slot = Some(parse()?);
    }
    Ok(())
}

/// The stub lies in one executable segment and holds at least one instruction.
fn check_stub(request: &Request, segments: &[Segment]) -> Result<(), Error> {
    const INSTRUCTION_BYTES: u64 = 2;
    if !request.features.contains(Features::STUB) {
        return Ok(());
    }
    let Stub { start, end } = request.stub;
    let bytes = end.checked_sub(start).ok_or(Error::Stub { start, end })?;
    let holds = |segment: &&Segment| {
        segment.access.execute
            && segment.address <= start
            && end <= segment.address + segment.memory_bytes
    };
    let fits = (INSTRUCTION_BYTES..=STUB_MAX_BYTES).contains(&bytes);
    match segments.iter().find(holds) {
        Some(_) if fits => Ok(()),
        _ => Err(Error::Stub { start, end }),
    }
}

/// What must remain for stack and heap: a stack that the tender places takes its room from memory.
fn check_room(request: &Request, kernel_end: u64, memory_bytes: u64) -> Result<(), Error> {
    let room_bytes = match request.features.contains(Features::PLACEMENT) {
        true => STACK_BYTES + PAGE_BYTES,
        false => STACK_MIN_BYTES,
    };
    let needed_bytes = kernel_end + room_bytes;
    if needed_bytes > memory_bytes {
        let (memory_mib, needed_mib) = (memory_bytes >> 20, needed_bytes.div_ceil(1 << 20));
        return Err(Error::MemoryTooSmall { memory_mib, needed_mib });
    }
    Ok(())
}

fn check_marks(request: &Request, manifest: &Manifest) -> Result<(), Error> {
    use solo5_sys::manifest::DeviceKind;
    let blocks = manifest
        .devices()
        .filter(|(_, device)| device.kind == DeviceKind::Block)
        .fold(0, |bits, (index, _)| bits | 1u64 << index);
    let marks = [(request.read_only, "read-only"), (request.optional, "optional")];
    match marks.iter().find(|(bits, _)| bits & !blocks != 0) {
        Some((_, mark)) => Err(Error::Mark(mark)),
        None => Ok(()),
    }
}

// The callers' offsets are constants inside arrays of constant size.

fn u16_at(raw: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes([raw[offset], raw[offset + 1]])
}

fn u32_at(raw: &[u8], offset: usize) -> u32 {
    u32::from(u16_at(raw, offset)) | u32::from(u16_at(raw, offset + 2)) << 16
}

fn u64_at(raw: &[u8], offset: usize) -> u64 {
    u64::from(u32_at(raw, offset)) | u64::from(u32_at(raw, offset + 4)) << 32
}
