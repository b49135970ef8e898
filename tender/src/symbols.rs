//! Names of functions, from the symbol table of a unikernel's file. A table that is missing,
//! malformed or too large gives no names; it is never an error, as the file ran without it.

use solo5_sys::bytes::{array, u32_at, u64_at};
use solo5_sys::layout::LOAD_BASE;

use crate::elf::Source;

/// Largest table that is read, in bytes.
const TABLE_MAX_BYTES: u64 = 64 << 20;
/// Longest part of a name that is looked at, in bytes.
const NAME_MAX_BYTES: usize = 1024;
/// Longest part of it that is shown, in characters.
const SHOWN_MAX: usize = 200;
const SECTION_BYTES: usize = 64;
const SYMBOL_BYTES: usize = 24;
const SHT_SYMTAB: u32 = 2;
const STT_FUNC: u8 = 2;
const STT_NOTYPE: u8 = 0;

/// The function that an address lies in, as `name+0x12`; `None` if there is no telling.
pub fn function<S: Source + ?Sized>(source: &S, address: u64) -> Option<String> {
    let (symbols, names) = tables(source)?;
    let mut found: Option<(u64, u32)> = None;
    for symbol in symbols.chunks_exact(SYMBOL_BYTES) {
        let kind = symbol[4] & 0xf;
        let (start, bytes) = (u64_at(symbol, 8)?, u64_at(symbol, 16)?);
        let holds = match kind {
            STT_FUNC if bytes > 0 => address.checked_sub(start).is_some_and(|at| at < bytes),
            // Assembly often says neither kind nor size.
            STT_FUNC | STT_NOTYPE => bytes == 0 && start == address,
            _ => false,
        };
        let nearest = start >= LOAD_BASE && found.is_none_or(|(best, _)| start >= best);
        let name = u32_at(symbol, 0)?;
        let is_named = names.get(name as usize).is_some_and(|&first| first != 0);
        if holds && nearest && is_named {
            found = Some((start, name));
        }
    }
    let (start, name) = found?;
    let name = String::from_utf8_lossy(name_at(&names, name)).into_owned();
    let name = format!("{:#}", rustc_demangle::demangle(&name));
    let name: String = name.chars().take(SHOWN_MAX).collect();
    Some(format!("{name}+{:#x}", address - start))
}

/// The symbol table and the strings that it refers to.
fn tables<S: Source + ?Sized>(source: &S) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut header = [0; 64];
    source.read_at(0, &mut header).ok()?;
    let sections_offset = u64_at(&header, 40)?;
    let (section_bytes, count) = (u16_at(&header, 58)?, u16_at(&header, 60)?);
    if usize::from(section_bytes) != SECTION_BYTES {
        return None;
    }
    let sections = read(source, sections_offset, u64::from(count) * SECTION_BYTES as u64)?;
    let mut sections = sections.chunks_exact(SECTION_BYTES);
    let all = sections.clone();
    let symbols = sections.find(|section| u32_at(section, 4) == Some(SHT_SYMTAB))?;
    let names = all.clone().nth(u32_at(symbols, 40)? as usize)?;
    let contents = |section: &[u8]| read(source, u64_at(section, 24)?, u64_at(section, 32)?);
    Some((contents(symbols)?, contents(names)?))
}

fn read<S: Source + ?Sized>(source: &S, offset: u64, bytes: u64) -> Option<Vec<u8>> {
    let end = offset.checked_add(bytes)?;
    if bytes > TABLE_MAX_BYTES || end > source.size_bytes().ok()? {
        return None;
    }
    let mut out = vec![0; bytes as usize];
    source.read_at(offset, &mut out).ok()?;
    Some(out)
}

fn name_at(names: &[u8], offset: u32) -> &[u8] {
    let rest = names.get(offset as usize..).unwrap_or_default();
    let name = &rest[..rest.len().min(NAME_MAX_BYTES)];
    name.split(|&byte| byte == 0).next().unwrap_or_default()
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    array(bytes, offset).map(u16::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use proptest::prelude::*;

    use super::*;

    /// A file with these symbols: kind, start, size, name.
    fn file(symbols: &[(u8, u64, u64, &str)]) -> Vec<u8> {
        let mut names = vec![0];
        let mut table = Vec::new();
        for (kind, start, bytes, name) in symbols {
            table.extend((names.len() as u32).to_le_bytes());
            table.extend([*kind, 0, 1, 0]);
            table.extend(start.to_le_bytes());
            table.extend(bytes.to_le_bytes());
            names.extend(name.bytes().chain([0]));
        }
        let mut out = vec![0; 64];
        let section = |kind: u32, offset: usize, bytes: usize, link: u32| {
            let mut section = [0; SECTION_BYTES];
            section[4..8].copy_from_slice(&kind.to_le_bytes());
            section[24..32].copy_from_slice(&(offset as u64).to_le_bytes());
            section[32..40].copy_from_slice(&(bytes as u64).to_le_bytes());
            section[40..44].copy_from_slice(&link.to_le_bytes());
            section
        };
        let sections = 64 + table.len() + names.len();
        out[40..48].copy_from_slice(&(sections as u64).to_le_bytes());
        out[58..60].copy_from_slice(&(SECTION_BYTES as u16).to_le_bytes());
        out[60..62].copy_from_slice(&2u16.to_le_bytes());
        out.extend(&table);
        out.extend(&names);
        out.extend(section(SHT_SYMTAB, 64, table.len(), 1));
        out.extend(section(3, 64 + table.len(), names.len(), 0));
        out
    }

    #[test]
    fn the_innermost_function_is_named() {
        let file = file(&[
            (2, 0x10_1000, 0x100, "outer"),
            (2, 0x10_1010, 0x10, "_ZN4core9panicking5panic17h0123456789abcdefE"),
            (1, 0x10_1014, 4, "data"),
            (0, 0x10_2000, 0, "label"),
            (0, 0, 0, "nowhere"),
        ]);
        let name = |address| function(&file[..], address);
        assert_eq!(name(0x10_1001).unwrap(), "outer+0x1");
        assert_eq!(name(0x10_1015).unwrap(), "core::panicking::panic+0x5");
        assert_eq!(name(0x10_10ff).unwrap(), "outer+0xff");
        assert_eq!(name(0x10_2000).unwrap(), "label+0x0");
        assert_eq!(name(0x10_1100), None);
        assert_eq!(name(0), None);
    }

    #[test]
    fn names_without_an_end_cost_no_more_than_others() {
        let mut symbols = vec![(2, 0x10_1000, 0x100, "a"); 50_000];
        symbols[0].1 += 4;
        let mut file = file(&symbols);
        // All names run into each other up to the section headers.
        let names = 64 + symbols.len() * SYMBOL_BYTES;
        let end = file.len() - 2 * SECTION_BYTES;
        file[names..end].fill(b'x');
        let name = function(&file[..], 0x10_1005).unwrap();
        assert_eq!(name, format!("{}+0x1", "x".repeat(200)));
    }

    #[test]
    fn this_program_knows_its_own_functions() {
        let file = File::open("/proc/self/exe").unwrap();
        assert!(tables(&file).is_some());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            at in 0usize..400, bytes in any::<[u8; 8]>(), address in any::<u64>(),
        ) {
            let mut file = file(&[(2, 0x10_1000, 0x100, "a"), (2, 0x10_2000, 0x100, "b")]);
            let end = (at + 8).min(file.len());
            let at = at.min(end);
            file[at..end].copy_from_slice(&bytes[..end - at]);
            for address in [address, 0x10_1001, u64::MAX] {
                let _ = function(&file[..], address);
            }
        }
    }
}
