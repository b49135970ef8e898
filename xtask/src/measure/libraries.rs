//! Which shared libraries a program of a Debian root needs: what its ELF file and those of its
//! libraries name (gABI, "Dynamic Section": DT_NEEDED, DT_STRTAB; program header PT_INTERP).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
/// Where Debian keeps libraries.
const FOLDERS: [&str; 4] = [
    "lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu",
    "lib64",
    "usr/lib/x86_64-linux-gnu/systemd",
];

/// What one file asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// The program that loads it, with its whole path.
    pub(super) interpreter: Option<String>,
    /// Libraries, by name.
    pub(super) libraries: Vec<String>,
}

/// All that programs need, directly or not: the place of each file in the root, and where it is now.
///
/// # Errors
/// If something is no ELF file, or a library is in none of Debian's folders below this root.
pub(super) fn closure(root: &Path, programs: &[PathBuf]) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut waiting = programs.to_vec();
    while let Some(file) = waiting.pop() {
        let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
        let needs = needs(&bytes).with_context(|| file.display().to_string())?;
        let interpreter = needs.interpreter.map(|path| path.trim_start_matches('/').to_owned());
        for name in interpreter.into_iter().chain(needs.libraries) {
            let (place, path) = find(root, &name)
                .with_context(|| format!("{} needs {name}, which is not there", file.display()))?;
            if found.insert(place, path.clone()).is_none() {
                waiting.push(path);
            }
        }
    }
    Ok(found)
}

fn find(root: &Path, name: &str) -> Option<(String, PathBuf)> {
    if name.contains('/') {
        return Some((name.to_owned(), resolve(root, name)?));
    }
    FOLDERS.iter().find_map(|folder| {
        let place = format!("{folder}/{name}");
        Some((place.clone(), resolve(root, &place)?))
    })
}

/// The file behind links, which are meant as from within the root.
fn resolve(root: &Path, place: &str) -> Option<PathBuf> {
    let mut path = root.join(place);
    for _ in 0..8 {
        if !path.is_symlink() {
            return path.is_file().then_some(path);
        }
        let target = fs::read_link(&path).ok()?;
        path = match target.strip_prefix("/") {
            Ok(inside) => root.join(inside),
            Err(_) => path.parent()?.join(target),
        };
    }
    None
}

/// What a file asks for.
///
/// # Errors
/// If it is no ELF file for 64 bits, or damaged.
pub(super) fn needs(file: &[u8]) -> Result<Needs> {
    ensure!(file.starts_with(b"\x7fELF\x02\x01"), "it is no 64-bit little-endian ELF file");
    let table = word(file, 32)?;
    let (size, count) = (half(file, 54)?, half(file, 56)?);
    let mut needs = Needs::default();
    let (mut segments, mut dynamic) = (Vec::new(), None);
    for number in 0..count {
        let at = table.checked_add(number * size).context("a program header is nowhere")?;
        let (offset, address) = (word(file, at + 8)?, word(file, at + 16)?);
        let length = word(file, at + 32)?;
        match u32::try_from(word(file, at)? & 0xffff_ffff)? {
            PT_LOAD => segments.push((address, offset, length)),
            PT_DYNAMIC => dynamic = Some((offset, length)),
            PT_INTERP => needs.interpreter = Some(text(file, offset)?),
            _ => {}
        }
    }
    let Some((offset, length)) = dynamic else { return Ok(needs) };
    let (mut names, mut strings) = (Vec::new(), None);
    for entry in 0..length / 16 {
        let at = offset.checked_add(entry * 16).context("the dynamic section is nowhere")?;
        match (word(file, at)?, word(file, at + 8)?) {
            (DT_NULL, _) => break,
            (DT_NEEDED, name) => names.push(name),
            (DT_STRTAB, address) => strings = Some(address),
            _ => {}
        }
    }
    let Some(address) = strings else { return Ok(needs) };
    let inside = |&&(start, _, length): &&(u64, u64, u64)| {
        address.checked_sub(start).is_some_and(|distance| distance < length)
    };
    let &(start, at, _) = segments.iter().find(inside).context("the names are nowhere")?;
    for name in names {
        let place = (address - start).checked_add(at).and_then(|table| table.checked_add(name));
        needs.libraries.push(text(file, place.context("a name is nowhere")?)?);
    }
    Ok(needs)
}

fn bytes<const N: usize>(file: &[u8], at: u64) -> Result<[u8; N]> {
    let at = usize::try_from(at)?;
    let end = at.checked_add(N).context("a position is too large")?;
    Ok(file.get(at..end).context("it is cut off")?.try_into()?)
}

fn word(file: &[u8], at: u64) -> Result<u64> {
    Ok(u64::from_le_bytes(bytes(file, at)?))
}

fn half(file: &[u8], at: u64) -> Result<u64> {
    Ok(u16::from_le_bytes(bytes(file, at)?).into())
}

fn text(file: &[u8], at: u64) -> Result<String> {
    let rest = file.get(usize::try_from(at)?..).context("a text is nowhere")?;
    let end = rest.iter().position(|&byte| byte == 0).context("a text has no end")?;
    Ok(std::str::from_utf8(&rest[..end]).context("a text is no UTF-8")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_needs_the_c_library_or_nothing() {
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        let needs = needs(&own).unwrap();
        match needs.interpreter {
            Some(_) => assert!(needs.libraries.iter().any(|name| name.starts_with("libc.so"))),
            None => assert!(needs.libraries.is_empty()),
        }
    }

    #[test]
    fn damaged_files_are_errors() {
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(needs(b"#!/bin/sh").is_err());
        let mut head = own[..4096].to_vec();
        for length in 0..128 {
            assert!(needs(&own[..length]).is_err() || length >= 64);
        }
        for at in 32..1024 {
            let old = head[at];
            for value in [0, 0x7f, 0xff] {
                head[at] = value;
                let _ = needs(&head);
            }
            head[at] = old;
        }
    }
}
