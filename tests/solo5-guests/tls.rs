//! Sets up thread-local storage from the initial contents that PT_TLS names, as a C library would, and
//! reads and writes it through `fs`.
#![no_std]
#![no_main]

use core::arch::asm;
use core::ptr;

use solo5_guests::{Guest, guest, println, sys};

guest!(main, []);

const INITIAL: u64 = 0x1122_3344_5566_7788;

// One variable with an initial value, one without.
core::arch::global_asm!(
    ".pushsection .tdata, \"awT\", @progbits",
    ".p2align 3",
    ".globl solo5_tls_initial",
    "solo5_tls_initial: .quad {initial}",
    ".popsection",
    ".pushsection .tbss, \"awT\", @nobits",
    ".p2align 3",
    ".globl solo5_tls_zero",
    "solo5_tls_zero: .zero 8",
    ".popsection",
    initial = const INITIAL,
);

unsafe extern "C" {
    // Defined by the linker script: the initial contents, their end, the end with zeros.
    safe static __tls_start: u8;
    safe static __tdata_end: u8;
    safe static __tls_end: u8;
}

/// The block of thread-local storage and, right above it, the thread's own structure, whose first
/// word is its address.
#[repr(C, align(64))]
struct Area([u8; 128]);

const THREAD: usize = 64;

fn main(_guest: &Guest) -> i32 {
    let (start, initial_bytes) = (&raw const __tls_start, tls_bytes(&raw const __tdata_end));
    // The block ends at the thread structure, its size being rounded up to its alignment.
    let block_bytes = tls_bytes(&raw const __tls_end).next_multiple_of(64);
    assert!(block_bytes <= THREAD && initial_bytes == 8);
    let mut area = Area([0; 128]);
    let block = &mut area.0[THREAD - block_bytes..][..initial_bytes];
    // SAFETY: the initial contents are as long as the symbols say, and lie elsewhere.
    unsafe { ptr::copy_nonoverlapping(start, block.as_mut_ptr(), initial_bytes) };
    let base = area.0[THREAD..].as_mut_ptr().expose_provenance();
    area.0[THREAD..][..8].copy_from_slice(&base.to_le_bytes());

    // SAFETY: the area lives until the guest ends.
    unsafe { sys::set_thread_base(base) };
    let (own_address, initial, zero): (u64, u64, u64);
    // SAFETY: the three words lie in the area.
    unsafe {
        asm!(
            "mov {}, qword ptr fs:[0]",
            "mov {}, qword ptr fs:[solo5_tls_initial@tpoff]",
            "mov {}, qword ptr fs:[solo5_tls_zero@tpoff]",
            out(reg) own_address,
            out(reg) initial,
            out(reg) zero,
            options(nostack, readonly),
        );
    }
    assert!(own_address == base as u64, "{own_address:#x}");
    assert!(initial == INITIAL && zero == 0, "{initial:#x} {zero:#x}");
    let read_back: u64;
    // SAFETY: the word lies in the area.
    unsafe {
        asm!(
            "mov qword ptr fs:[solo5_tls_zero@tpoff], {}",
            "mov {}, qword ptr fs:[solo5_tls_zero@tpoff]",
            in(reg) 42u64,
            out(reg) read_back,
            options(nostack),
        );
    }
    assert!(read_back == 42, "{read_back}");
    println!("thread-local storage works");
    0
}

fn tls_bytes(end: *const u8) -> usize {
    end.addr() - (&raw const __tls_start).addr()
}
