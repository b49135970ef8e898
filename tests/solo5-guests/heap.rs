//! The heap, from the end of the program to the stack: with `all` a word of every page is written and
//! read back, with `ends` only of the first and the last one.
#![no_std]
#![no_main]

use solo5_guests::{Guest, guest, println};

guest!(main, []);

const PAGE_BYTES: u64 = 4096;
/// What the guest's own stack may take.
const STACK_BYTES: u64 = 64 << 10;

fn main(guest: &Guest) -> i32 {
    let start = guest.info.kernel_end;
    let last = (guest.stack_pointer - STACK_BYTES) / PAGE_BYTES * PAGE_BYTES;
    let step = match guest.command_line() {
        "all" => PAGE_BYTES,
        "ends" => last - start,
        other => panic!("what is '{other}'?"),
    };
    let pages = || (start..=last).step_by(step as usize);
    for address in pages() {
        let page: *mut u64 = core::ptr::with_exposed_provenance_mut(address as usize);
        // SAFETY: the heap is mapped, writable, and used by nobody else.
        let before = unsafe { page.read() };
        assert!(before == 0, "{address:#x} holds {before:#x}");
        // SAFETY: as above.
        unsafe { page.write(address) };
    }
    for address in pages() {
        let page: *const u64 = core::ptr::with_exposed_provenance(address as usize);
        // SAFETY: as above.
        let found = unsafe { page.read() };
        assert!(found == address, "{address:#x} holds {found:#x}");
    }
    println!("{} pages from {start:#x} to {last:#x}", pages().count());
    0
}
