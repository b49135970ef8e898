//! Looks for system call instructions outside of a guest's stub. The filter refuses what they ask
//! for; where they are is worth knowing all the same. Every byte sequence counts, also one that
//! lies across instructions or in a constant: a hijacked guest can jump into the middle.

use std::fmt;
use std::io;

use solo5_sys::extension::{Features, Request};

use crate::elf::{Image, Source};

/// The instructions, by their bytes.
const INSTRUCTIONS: [([u8; 2], &str); 3] =
    [([0x0f, 0x05], "syscall"), ([0x0f, 0x34], "sysenter"), ([0xcd, 0x80], "int 0x80")];

/// Most that are listed; others are counted.
const LISTED_MAX: usize = 1000;
/// How much of the code is looked at in one piece.
const PIECE_BYTES: u64 = 1 << 20;

/// A system call instruction outside of the stub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stray {
    /// Its address.
    pub address: u64,
    /// Its name.
    pub instruction: &'static str,
}

impl fmt::Display for Stray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x} {}", self.address, self.instruction)
    }
}

/// All that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strays {
    /// The first of them.
    pub listed: Vec<Stray>,
    /// How many there are.
    pub count: usize,
}

/// All of them in the executable segments of a guest with a stub; none of a guest without.
///
/// # Errors
/// If the file cannot be read.
pub(crate) fn find<S: Source + ?Sized>(
    source: &S,
    image: &Image,
    granted: &Request,
) -> io::Result<Strays> {
    let mut strays = Strays::default();
    if !granted.features.contains(Features::STUB) {
        return Ok(strays);
    }
    let stub = granted.stub.start..granted.stub.end;
    for segment in image.segments.iter().filter(|segment| segment.access.execute) {
        let mut at = 0;
        while at + 1 < segment.file_bytes {
            // Pieces overlap by a byte, so that no instruction is cut.
            let mut code = vec![0; (segment.file_bytes - at).min(PIECE_BYTES) as usize];
            source.read_at(segment.file_offset + at, &mut code)?;
            let pairs = code.windows(2).zip(segment.address + at..);
            let found = pairs.filter_map(|(bytes, address)| {
                let (_, instruction) = INSTRUCTIONS.iter().find(|(known, _)| known == bytes)?;
                (!stub.contains(&address)).then_some(Stray { address, instruction })
            });
            for stray in found {
                strays.count += 1;
                if strays.listed.len() < LISTED_MAX {
                    strays.listed.push(stray);
                }
            }
            at += PIECE_BYTES - 1;
        }
    }
    Ok(strays)
}
