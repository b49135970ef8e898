//! From the entry to the program: reads what the tender left in low memory, once, and hands out
//! values. The only module that turns addresses into references.

use alloc::string::String;
use core::slice;
use core::sync::atomic::AtomicU64;

use solo5_sys::boot::BootInfo;
use solo5_sys::extension::{Environment, Extension, Features, Request};
use solo5_sys::layout::COMMAND_LINE_MAX_BYTES;
#[cfg(not(test))]
use solo5_sys::layout::{EXTENSION_PAGE, PAGE_BYTES};
use solo5_sys::manifest::{self, Manifest, Stage};

use crate::single_thread::SingleThread;

/// What the tender told the guest.
pub(crate) struct Boot {
    pub(crate) command_line: String,
    pub(crate) manifest: Manifest,
    /// What the program itself declares.
    pub(crate) request: Request,
    /// All zero under a tender that has no extensions.
    pub(crate) extension: Extension,
    /// Strings with a NUL behind each.
    pub(crate) environment: &'static [u8],
    pub(crate) epoll_fd: i32,
    pub(crate) timer_fd: i32,
}

static BOOT: SingleThread<Option<Boot>> = SingleThread::new(None);

#[cfg(not(test))]
unsafe extern "Rust" {
    /// Defined by `guest_rt::main`: claims the heap, then runs the program.
    fn __guest_heap(start: usize, end: usize);
    fn __guest_main() -> !;
    /// Defined by `manifest!`.
    static __guest_request: Request;
    /// Defined by the linker script: the end of everything that the file has, page-aligned.
    safe static __heap_start: u8;
}

/// The first Rust code: called by `_start` on the guest's own stack.
#[cfg(not(test))]
pub(crate) extern "C" fn start(info: *const BootInfo) -> ! {
    // SAFETY: both tenders pass the address of a filled-in structure.
    let info = unsafe { info.read() };
    let extension = read_extension();
    let (heap_start, heap_end) = if extension.features.contains(Features::PLACEMENT) {
        (extension.placement.heap_start as usize, extension.placement.heap_end as usize)
    } else {
        // The tender's initial stack, at the end of memory, is not used after entry.
        let program_end = (&raw const __heap_start).addr();
        (program_end.max(info.kernel_end as usize), info.memory_bytes as usize)
    };
    // SAFETY: this memory is mapped, writable and used by nobody.
    unsafe { __guest_heap(heap_start, heap_end) };
    // SAFETY: defined by the program with the same type.
    let request = unsafe { __guest_request };
    if extension.features.contains(Features::TSC) {
        crate::time::use_counter(extension.clock);
    }
    if let Some(fd) = extension.shutdown_fd() {
        crate::net::devices::expect_shutdown();
        crate::shutdown::expect(fd);
    }
    BOOT.with(|boot| *boot = Some(read_boot(&info, request, extension)));
    crate::logger::init();
    // SAFETY: defined by the program with the same signature.
    unsafe { __guest_main() }
}

/// Runs `f` on what the tender told.
pub(crate) fn with<R>(f: impl FnOnce(&Boot) -> R) -> R {
    BOOT.with(|boot| match boot {
        Some(boot) => f(boot),
        None => panic!("used outside of a guest"),
    })
}

/// The shared memory of the network device with this manifest index, and the number of its gateway's
/// doorbell; `None` if it is no ring. To be asked once for each.
pub(crate) fn ring(index: usize) -> Option<(&'static [AtomicU64; ring::WORDS], i32)> {
    let extension = with(|boot| boot.extension);
    let granted = extension.features.contains(Features::RING);
    let (address, doorbell) = extension.rings.of(index).filter(|_| granted)?;
    let region = core::ptr::with_exposed_provenance(address as usize);
    // SAFETY: the tender has mapped a region of this size there, page-aligned, readable and writable for
    // as long as the guest lives. What the gateway writes meanwhile does not concern a reference to
    // atomics, of which every pattern of bits is one.
    Some((unsafe { &*region }, doorbell))
}

/// Whether the tender granted a feature.
pub(crate) fn has(feature: Features) -> bool {
    with(|boot| boot.extension.features.contains(feature))
}

#[cfg(not(test))]
fn read_extension() -> Extension {
    // SAFETY: the extension page is mapped by both tenders, zero under Solo5's.
    let page = unsafe { region(EXTENSION_PAGE as usize, PAGE_BYTES as usize) };
    Extension::parse(page).unwrap_or(Extension::NONE)
}

fn read_boot(info: &BootInfo, request: Request, extension: Extension) -> Boot {
    Boot {
        command_line: read_command_line(info.command_line as usize),
        manifest: read_manifest(info.manifest as usize, request.optional),
        request,
        extension,
        environment: read_environment(&extension),
        epoll_fd: info.epoll_fd,
        timer_fd: info.timer_fd,
    }
}

fn read_environment(extension: &Extension) -> &'static [u8] {
    let Environment { address, bytes } = extension.environment;
    if !extension.features.contains(Features::ENVIRONMENT) || bytes == 0 {
        return &[];
    }
    // SAFETY: the tender has mapped so many bytes there, for reading only.
    unsafe { region(address as usize, bytes as usize) }
}

fn read_command_line(address: usize) -> String {
    // SAFETY: the tender leaves a text of at most this size with a NUL, in mapped memory.
    let area = unsafe { region(address, COMMAND_LINE_MAX_BYTES + 1) };
    let text = area.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

fn read_manifest(address: usize, optional: u64) -> Manifest {
    // SAFETY: the manifest copy starts with its version and count.
    let header = unsafe { region(address, manifest::HEADER_BYTES) };
    let entries = usize::from(header[4]);
    let bytes = manifest::HEADER_BYTES + entries * manifest::Entry::BYTES;
    // SAFETY: the tender checked the manifest before it copied it.
    let whole = unsafe { region(address, bytes.min(manifest::MAX_BYTES)) };
    match Manifest::parse(whole, Stage::Attached { optional }) {
        Ok(manifest) => manifest,
        Err(error) => panic!("the tender's manifest: {error}"),
    }
}

/// # Safety
/// The range is mapped, readable and not written to while the guest runs.
unsafe fn region(address: usize, bytes: usize) -> &'static [u8] {
    let start = core::ptr::with_exposed_provenance(address);
    // SAFETY: as promised by the caller.
    unsafe { slice::from_raw_parts(start, bytes) }
}
