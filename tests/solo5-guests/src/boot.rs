//! The entry and what the tender told. On entry, as Solo5's tender leaves it:
//!
//! | register | contents |
//! |---|---|
//! | rdi | address of the boot information |
//! | rsp | end of memory - 8, as if called; the stack begins there |
//! | fs base | 0 |

use core::slice;

use solo5_sys::boot::BootInfo;
use solo5_sys::layout::COMMAND_LINE_MAX_BYTES;
use solo5_sys::manifest::{self, Attachment, Entry, Manifest, Stage};

core::arch::global_asm!(
    ".pushsection .text._start, \"ax\", @progbits",
    ".globl _start",
    "_start:",
    "fxsave64 [{state}]",
    "mov rsi, rsp",
    "jmp {start}",
    ".popsection",
    state = sym ENTRY_STATE,
    start = sym start,
);

/// The x87 and SSE state on entry, as FXSAVE writes it.
#[repr(C, align(16))]
struct FxsaveArea([u8; 512]);

// In `.data`, not `.bss`: a segment without bytes in the file does not exist for Solo5's loader.
#[unsafe(link_section = ".data")]
static mut ENTRY_STATE: FxsaveArea = FxsaveArea([0xee; 512]);

unsafe extern "Rust" {
    /// Defined by [`guest!`](crate::guest).
    safe fn __guest_main(guest: &Guest) -> i32;
}

extern "C" fn start(info: *const BootInfo, stack_pointer: u64) -> ! {
    // SAFETY: a tender passes the address of a filled-in structure.
    let info = unsafe { info.read() };
    crate::sys::exit(__guest_main(&Guest { info, stack_pointer }))
}

/// What the tender told the guest.
#[derive(Debug)]
pub struct Guest {
    /// The boot information.
    pub info: BootInfo,
    /// The stack pointer on entry.
    pub stack_pointer: u64,
}

impl Guest {
    /// The command line.
    pub fn command_line(&self) -> &str {
        let start: *const u8 = core::ptr::with_exposed_provenance(self.info.command_line as usize);
        // SAFETY: a tender leaves room for the longest command line and a NUL there, which nobody
        // else uses.
        let area = unsafe { slice::from_raw_parts(start, COMMAND_LINE_MAX_BYTES + 1) };
        let text = area.split(|&byte| byte == 0).next().unwrap_or_default();
        core::str::from_utf8(text).unwrap_or("(not UTF-8)")
    }

    /// The manifest copy.
    ///
    /// # Panics
    /// If it is none.
    pub fn manifest(&self) -> Manifest {
        let start: *const u8 = core::ptr::with_exposed_provenance(self.info.manifest as usize);
        // SAFETY: the copy begins with its version and the number of its entries.
        let header = unsafe { slice::from_raw_parts(start, manifest::HEADER_BYTES) };
        let bytes = manifest::HEADER_BYTES + usize::from(header[4]) * Entry::BYTES;
        // SAFETY: as many entries as it says follow.
        let copy = unsafe { slice::from_raw_parts(start, bytes) };
        Manifest::parse(copy, Stage::Attached { optional: 0 }).expect("the manifest copy")
    }

    /// The block device with that manifest index.
    ///
    /// # Panics
    /// If there is none.
    pub fn block(&self, index: usize) -> Block {
        match self.attachment(index) {
            Attachment::Block { capacity_bytes, block_bytes, fd } => {
                Block { capacity_bytes, block_bytes: usize::from(block_bytes), fd }
            }
            other => panic!("{other:?} is no block device"),
        }
    }

    /// Hardware address, MTU and descriptor of the network with that manifest index.
    ///
    /// # Panics
    /// If there is none.
    pub fn net(&self, index: usize) -> ([u8; 6], u16, i32) {
        match self.attachment(index) {
            Attachment::Net { mac, mtu_bytes, fd } => (mac, mtu_bytes, fd),
            other => panic!("{other:?} is no network"),
        }
    }

    fn attachment(&self, index: usize) -> Attachment {
        let manifest = self.manifest();
        let found = manifest.devices().find(|(other, _)| *other == index);
        found.and_then(|(_, device)| device.attachment).expect("the device")
    }
}

/// A block device: offsets and lengths are whole blocks, as the policy of Solo5's tender wants.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Capacity in bytes.
    pub capacity_bytes: u64,
    /// Block size.
    pub block_bytes: usize,
    /// Descriptor.
    pub fd: i32,
}

impl Block {
    /// Writes one block.
    ///
    /// # Panics
    /// If the kernel does not.
    pub fn write(&self, offset: u64, block: &[u8]) {
        let written = crate::sys::pwrite(self.fd, block, offset);
        assert!(written == block.len() as isize, "write at {offset}: {written}");
    }

    /// Reads one block.
    ///
    /// # Panics
    /// If the kernel does not.
    pub fn read(&self, offset: u64, block: &mut [u8]) {
        let read = crate::sys::pread(self.fd, block, offset);
        assert!(read == block.len() as isize, "read at {offset}: {read}");
    }
}

/// The x87 control word, MXCSR and whether all SSE registers were zero, on entry.
pub fn entry_floating_point() -> (u16, u32, bool) {
    let area = (&raw const ENTRY_STATE).cast::<[u8; 512]>();
    // SAFETY: only the entry writes there, before this.
    let area = unsafe { area.read() };
    let control = u16::from_le_bytes([area[0], area[1]]);
    let mxcsr = u32::from_le_bytes([area[24], area[25], area[26], area[27]]);
    (control, mxcsr, area[160..416].iter().all(|&byte| byte == 0))
}

/// An OpenBSD identification note: Solo5 has one come first in every guest.
#[derive(Debug)]
#[repr(C)]
pub struct OpenBsdNote {
    words: [u32; 3],
    owner: [u8; 8],
    data: u32,
}

impl OpenBsdNote {
    /// The only one there is.
    pub const NOTE: Self =
        Self { words: [8u32.to_le(), 4u32.to_le(), 1u32.to_le()], owner: *b"OpenBSD\0", data: 0 };
}

/// Makes a guest of `main`, a `fn(&Guest) -> i32`, and of a constant array of devices.
#[macro_export]
macro_rules! guest {
    ($main:path, $devices:expr) => {
        const _: () = {
            use $crate::solo5_sys::note::{AbiNote, ManifestNote};

            const COUNT: usize = <[$crate::solo5_sys::manifest::Entry]>::len(&$devices);

            #[used]
            #[unsafe(link_section = ".interp")]
            static INTERPRETER: [u8; 24] = *b"/nonexistent/solo5/\0\0\0\0\0";
            #[used]
            #[unsafe(link_section = ".note.solo5.not-openbsd")]
            static OPENBSD: $crate::boot::OpenBsdNote = $crate::boot::OpenBsdNote::NOTE;
            #[used]
            #[unsafe(link_section = ".note.solo5.abi")]
            static ABI: AbiNote = AbiNote::SPT;
            #[used]
            #[unsafe(link_section = ".note.solo5.manifest")]
            static MANIFEST: ManifestNote<COUNT> = ManifestNote::new($devices);

            #[unsafe(no_mangle)]
            extern "Rust" fn __guest_main(guest: &$crate::Guest) -> i32 {
                $main(guest)
            }
        };
    };
}
