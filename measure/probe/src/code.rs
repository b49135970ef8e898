//! The machine code of the kernel's functions, as a weight of how much there is to attack. It is read from
//! the memory of the kernel that runs, whose package is `linux-image-` and its release.
//!
//! Complexity is McCabe's number, counted in the machine code: conditional branches, and jumps through a
//! table (one for each; how many ways they have is not looked up), and one. Conditional moves are no
//! branches. A function's parts that the compiler has put elsewhere (`name.cold`) are counted with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result};
use iced_x86::{Code as Opcode, Decoder, DecoderOptions, FlowControl};
use nix::sys::utsname::uname;
use surface::model::{Code, KernelCode};
use surface::symbols::Symbols;

use crate::kcore::Kcore;

const KALLSYMS: &str = "/proc/kallsyms";
const TRACEABLE: &str = "/sys/kernel/tracing/available_filter_functions";
/// The largest function that is decoded. What is larger is no function, but the last one before a gap.
const BYTES: u64 = 128 << 10;

/// Weighs all functions that the tracer knows. Several of one name count as the largest and the most complex.
///
/// # Errors
/// If the kernel's memory or its symbols cannot be read.
pub(crate) fn weigh() -> Result<KernelCode> {
    let (kallsyms, traceable) = (read(KALLSYMS)?, read(TRACEABLE)?);
    let symbols = Symbols::parse(&kallsyms, &traceable)?;
    let kcore = Kcore::open()?;
    let wanted: BTreeSet<&str> = surface::symbols::names(&traceable).into_keys().collect();
    let mut functions = BTreeMap::<String, Code>::new();
    let mut cold = BTreeMap::<String, Code>::new();
    for (name, begin, end, _) in symbols.functions() {
        let whole = name.strip_suffix(".cold");
        if !wanted.contains(whole.unwrap_or(name)) || end - begin > BYTES {
            continue;
        }
        let code = measure(&kcore.read(begin, end)?);
        let place = if whole.is_some() { &mut cold } else { &mut functions };
        let entry = place.entry(whole.unwrap_or(name).to_owned()).or_insert(code);
        entry.bytes = entry.bytes.max(code.bytes);
        entry.complexity = entry.complexity.max(code.complexity);
    }
    for (name, part) in cold {
        if let Some(code) = functions.get_mut(&name) {
            code.bytes += part.bytes;
            code.complexity += part.complexity - 1;
        }
    }
    Ok(KernelCode { release: uname()?.release().to_string_lossy().into_owned(), functions })
}

fn read(file: &str) -> Result<String> {
    fs::read_to_string(file).with_context(|| file.to_owned())
}

/// One function without what fills the gap to the next.
fn measure(bytes: &[u8]) -> Code {
    let mut decoder = Decoder::new(64, bytes, DecoderOptions::NONE);
    let (mut end, mut complexity) = (0, 1);
    while decoder.can_decode() {
        let instruction = decoder.decode();
        // Patched code and data between functions: what follows a byte that is none is looked at anew.
        if instruction.is_invalid() {
            continue;
        }
        if !is_filling(instruction.code()) {
            end = decoder.position();
        }
        let decides = match instruction.flow_control() {
            FlowControl::ConditionalBranch => true,
            // Through a register it is a tail call, or a thunk against speculation.
            FlowControl::IndirectBranch => instruction.op0_kind() == iced_x86::OpKind::Memory,
            _ => false,
        };
        complexity += u32::from(decides);
    }
    Code { bytes: end as u32, complexity }
}

fn is_filling(code: Opcode) -> bool {
    use Opcode::{Int3, Nop_rm16, Nop_rm32, Nop_rm64, Nopd, Nopq, Nopw};
    matches!(code, Int3 | Nopw | Nopd | Nopq | Nop_rm16 | Nop_rm32 | Nop_rm64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_are_counted() {
        assert_eq!(measure(&[0xc3]), Code { bytes: 1, complexity: 1 });
        // test edi,edi; je +1; cmovne eax,ebx; jrcxz 0; jmp [rax*8+0]; ret; int3; nop dword [rax]
        let code = [
            0x85, 0xff, 0x74, 0x01, 0x0f, 0x45, 0xc3, 0xe3, 0x00, 0xff, 0x24, 0xc5, 0, 0, 0, 0,
            0xc3, 0xcc, 0x0f, 0x1f, 0x00,
        ];
        assert_eq!(measure(&code), Code { bytes: 17, complexity: 4 });
    }

    #[test]
    fn any_bytes_end() {
        assert_eq!(measure(&[]), Code { bytes: 0, complexity: 1 });
        assert_eq!(measure(&[0xcc; 16]).bytes, 0);
        assert_eq!(measure(&[0x06, 0xff, 0xff, 0x0f]).complexity, 1);
    }
}
