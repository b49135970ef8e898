//! What a program of this processor is linked with: of an ELF file (elf(5)) its loader and its libraries. All
//! else about it is the kernel's and the loader's business.

use anyhow::{Context, Result, ensure};

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
/// The size of a program header, and of an entry of the dynamic section.
const HEADER_BYTES: usize = 56;
const ENTRY_BYTES: usize = 16;

/// What a file is linked with; nothing if it is static.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Needed {
    /// The loader's path.
    pub(super) loader: Option<String>,
    /// The names of libraries.
    pub(super) libraries: Vec<String>,
}

struct Segment {
    kind: u32,
    offset: usize,
    address: u64,
    bytes: usize,
}

/// Reads what a program or a library is linked with.
///
/// # Errors
/// If it is no ELF file of 64 bits in this processor's order, or not whole.
pub(super) fn read(file: &[u8]) -> Result<Needed> {
    ensure!(file.starts_with(b"\x7fELF\x02\x01"), "no ELF file of 64 bits, lowest byte first");
    let segments = segments(file).context("an ELF file that is cut off")?;
    let of = |kind| segments.iter().find(|segment| segment.kind == kind);
    let loader = of(PT_INTERP)
        .map(|segment| text(file, segment.offset).context("the loader's name is cut off"))
        .transpose()?;
    let Some(dynamic) = of(PT_DYNAMIC) else { return Ok(Needed { loader, libraries: Vec::new() }) };
    let entries = entries(file, dynamic).context("a dynamic section that is cut off")?;
    let strings = entries.iter().find(|(tag, _)| *tag == DT_STRTAB).map(|(_, address)| *address);
    let named = entries.iter().filter(|(tag, _)| *tag == DT_NEEDED);
    let libraries = named.map(|(_, name)| {
        let at = file_offset(&segments, strings?.checked_add(*name)?)?;
        text(file, at)
    });
    let libraries = libraries.collect::<Option<_>>().context("a library without a name")?;
    Ok(Needed { loader, libraries })
}

fn segments(file: &[u8]) -> Option<Vec<Segment>> {
    let offset = usize::try_from(number::<8>(file, 32)?).ok()?;
    let size = usize::try_from(number::<2>(file, 54)?).ok()?;
    let count = usize::try_from(number::<2>(file, 56)?).ok()?;
    let read = |index: usize| {
        let at = offset.checked_add(index.checked_mul(size.max(HEADER_BYTES))?)?;
        Some(Segment {
            kind: u32::try_from(number::<4>(file, at)?).ok()?,
            offset: usize::try_from(number::<8>(file, at.checked_add(8)?)?).ok()?,
            address: number::<8>(file, at.checked_add(16)?)?,
            bytes: usize::try_from(number::<8>(file, at.checked_add(32)?)?).ok()?,
        })
    };
    (0..count).map(read).collect()
}

/// The entries of a dynamic section up to its end: tag and value.
fn entries(file: &[u8], dynamic: &Segment) -> Option<Vec<(u64, u64)>> {
    let end = dynamic.offset.checked_add(dynamic.bytes)?;
    let section = file.get(dynamic.offset..end)?;
    let all = section
        .chunks_exact(ENTRY_BYTES)
        .map(|entry| Some((number::<8>(entry, 0)?, number::<8>(entry, 8)?)));
    let all: Vec<_> = all.collect::<Option<_>>()?;
    Some(all.into_iter().take_while(|(tag, _)| *tag != DT_NULL).collect())
}

/// Where in the file lies what is loaded at an address.
fn file_offset(segments: &[Segment], address: u64) -> Option<usize> {
    segments.iter().filter(|segment| segment.kind == PT_LOAD).find_map(|segment| {
        let inside = usize::try_from(address.checked_sub(segment.address)?).ok()?;
        (inside < segment.bytes).then(|| segment.offset.checked_add(inside))?
    })
}

fn number<const BYTES: usize>(file: &[u8], at: usize) -> Option<u64> {
    let bytes = file.get(at..at.checked_add(BYTES)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn text(file: &[u8], at: usize) -> Option<String> {
    let rest = file.get(at..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    String::from_utf8(rest[..end].to_vec()).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A file with a loader, one segment at 0x1000, and these libraries.
    pub(in crate::measure::parts) fn file(libraries: &[&str]) -> Vec<u8> {
        let mut strings = vec![0];
        let mut entries = Vec::new();
        for library in libraries {
            entries.extend([DT_NEEDED, strings.len() as u64]);
            strings.extend_from_slice(library.as_bytes());
            strings.push(0);
        }
        let loader = 64 + 3 * HEADER_BYTES;
        let dynamic = loader + 16;
        let names = dynamic + (entries.len() + 4) * 8;
        entries.extend([DT_STRTAB, 0x1000 + names as u64, DT_NULL, 0]);
        let total = names + strings.len();
        let mut file = vec![0; 64];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[32] = 64;
        file[54] = HEADER_BYTES as u8;
        file[56] = 3;
        for (kind, offset, bytes) in
            [(PT_LOAD, 0, total), (PT_INTERP, loader, 16), (PT_DYNAMIC, dynamic, entries.len() * 8)]
        {
            let (offset, bytes) = (offset as u64, bytes as u64);
            file.extend(u64::from(kind).to_le_bytes());
            for field in [offset, 0x1000 + offset, 0x1000 + offset, bytes, bytes, 0] {
                file.extend(field.to_le_bytes());
            }
        }
        file.extend(b"/lib64/ld.so\0\0\0\0");
        file.extend(entries.iter().flat_map(|entry| entry.to_le_bytes()));
        file.extend(&strings);
        file
    }

    #[test]
    fn names_are_read() {
        let needed = read(&file(&["liba.so.1", "libb.so"])).unwrap();
        assert_eq!(needed.loader.as_deref(), Some("/lib64/ld.so"));
        assert_eq!(needed.libraries, ["liba.so.1", "libb.so"]);
    }

    #[test]
    fn this_program_is_read() {
        let needed = read(&std::fs::read("/proc/self/exe").unwrap()).unwrap();
        let is_static = needed.loader.is_none();
        assert!(is_static || needed.libraries.iter().any(|name| name.starts_with("libc.")));
    }

    #[test]
    fn any_part_of_a_file_is_an_error_or_read() {
        let whole = file(&["liba.so.1"]);
        for end in 0..whole.len() {
            let _ = read(&whole[..end]);
        }
        for at in 0..whole.len() {
            let mut wrong = whole.clone();
            wrong[at] = 0xff;
            let _ = read(&wrong);
        }
        assert!(read(b"#!/bin/sh").unwrap_err().to_string().contains("no ELF file"));
    }
}
