//! The declarations that a program makes about itself: `manifest!` and what `main` expands to.

use solo5_sys::extension::{Features, Request, RequestNote, Stub};
use solo5_sys::manifest::Entry;

use crate::arch;

/// One line of [`manifest!`](crate::manifest!).
#[derive(Clone, Copy)]
pub struct Declaration {
    /// The entry of the manifest; `None` of a line that declares no device.
    entry: Option<Entry>,
    is_block: bool,
    read_only: bool,
    optional: bool,
    /// What the line asks for.
    features: Features,
}

impl Declaration {
    const NONE: Self = Self {
        entry: None,
        is_block: false,
        read_only: false,
        optional: false,
        features: Features::NONE,
    };

    /// `net "name"`.
    pub const fn net(name: &str) -> Self {
        Self { entry: Some(Entry::net(name)), ..Self::NONE }
    }

    /// `block "name"`.
    pub const fn block(name: &str) -> Self {
        Self { entry: Some(Entry::block(name)), is_block: true, ..Self::NONE }
    }

    /// `shutdown`.
    pub const fn shutdown() -> Self {
        Self { features: Features::SHUTDOWN, ..Self::NONE }
    }

    /// `block "name" read_only`.
    ///
    /// # Panics
    /// At compile time, for other devices.
    pub const fn read_only(mut self) -> Self {
        assert!(self.is_block, "only block devices can be read_only");
        self.read_only = true;
        self
    }

    /// `block "name" optional`.
    ///
    /// # Panics
    /// At compile time, for other devices.
    pub const fn optional(mut self) -> Self {
        assert!(self.is_block, "only block devices can be optional");
        self.optional = true;
        self
    }
}

/// How many of the declarations are devices.
pub const fn count_devices<const N: usize>(declarations: [Declaration; N]) -> usize {
    let (mut count, mut i) = (0, 0);
    while i < N {
        count += declarations[i].entry.is_some() as usize;
        i += 1;
    }
    count
}

/// The manifest's entries of the declarations, of which so many are devices.
pub const fn declared_entries<const N: usize, const DEVICES: usize>(
    declarations: [Declaration; N],
) -> [Entry; DEVICES] {
    let mut entries = [Entry::net("unused"); DEVICES];
    let (mut count, mut i) = (0, 0);
    while i < N {
        if let Some(entry) = declarations[i].entry {
            entries[count] = entry;
            count += 1;
        }
        i += 1;
    }
    entries
}

/// A request for the features and for what the declarations say, without its stub.
const fn requested<const N: usize>(
    mut features: Features,
    declarations: [Declaration; N],
) -> Request {
    let (mut read_only, mut optional) = (0, 0);
    // Of the next device, in the manifest.
    let (mut index, mut i) = (1, 0);
    while i < N {
        let declaration = declarations[i];
        features = features.union(declaration.features);
        if declaration.entry.is_some() {
            read_only |= (declaration.read_only as u64) << index;
            optional |= (declaration.optional as u64) << index;
            index += 1;
        }
        i += 1;
    }
    Request { features, read_only, stub: Stub { start: 0, end: 0 }, optional }
}

/// What the runtime can use of the tender's extensions, whatever the program is.
pub const FEATURES: Features = Features::ALL.without(Features::SHUTDOWN);

/// A request for the features, with the program's read-only and optional devices, as the program
/// itself reads it.
pub const fn request<const N: usize>(
    features: Features,
    declarations: [Declaration; N],
) -> Request {
    requested(features, declarations)
}

/// The same as a note for the tender.
pub const fn request_note<const N: usize>(
    features: Features,
    declarations: [Declaration; N],
) -> RequestNote {
    let stub = [arch::__guest_stub as _, arch::__guest_stub_end as _];
    let Request { features, read_only, optional, .. } = requested(features, declarations);
    RequestNote::new(features, read_only, optional, stub)
}

/// Declares the program's devices, and whether it ends in order, once per program:
///
/// ```ignore
/// guest_rt::manifest! {
///     net "service",
///     block "site" read_only,
///     block "data",
///     block "cache" optional,
///     shutdown,
/// }
/// ```
///
/// Names have 1 to 67 letters and digits. A tender refuses to start the program before each is
/// attached (`--net:service=...`, `--block:site=...`), but for those that are `optional`: without
/// them [`block::open`](crate::block::open) says [`NotAttached`](crate::block::Error::NotAttached).
/// Solo5's own tender knows nothing of that and wants all. A device may be `read_only optional`. An
/// empty manifest is `manifest! {}`.
///
/// With `shutdown`, the signals that ask a process to end (SIGTERM, SIGINT, SIGHUP) do not end this one but make
/// [`task::shutdown`](crate::task::shutdown) ready; the program promises to wait for that, and to return from `main`
/// soon after. A second such signal ends it all the same.
#[macro_export]
macro_rules! manifest {
    ($($declarations:tt)*) => {
        $crate::__manifest! { $crate::internal::FEATURES; $($declarations)* }
    };
}

/// A manifest and a request for these features.
#[doc(hidden)]
#[macro_export]
macro_rules! __manifest {
    ($features:expr; $($kind:ident $($name:literal $($option:ident)*)?),* $(,)?) => {
        const _: () = {
            use $crate::internal::solo5_sys::{extension, note};
            use $crate::internal::{
                Declaration, count_devices, declared_entries, request, request_note,
            };

            const COUNT: usize = <[&str]>::len(&[$(stringify!($kind)),*]);
            const DECLARATIONS: [Declaration; COUNT] =
                [$(Declaration::$kind($($name)?)$($(.$option())*)?),*];
            const DEVICES: usize = count_devices(DECLARATIONS);

            #[used]
            #[unsafe(link_section = ".interp")]
            static INTERPRETER: [u8; 20] = *b"/nonexistent/solo5/\0";
            #[used]
            #[unsafe(link_section = ".note.solo5.abi")]
            static ABI: note::AbiNote = note::AbiNote::SPT;
            #[used]
            #[unsafe(link_section = ".note.solo5.manifest")]
            static MANIFEST: note::ManifestNote<DEVICES> =
                note::ManifestNote::new(declared_entries(DECLARATIONS));
            #[unsafe(no_mangle)]
            #[allow(non_upper_case_globals)]
            static __guest_request: extension::Request = request($features, DECLARATIONS);
            #[used]
            #[unsafe(link_section = ".note.nabla.request")]
            static REQUEST: extension::RequestNote = request_note($features, DECLARATIONS);
        };
    };
}

/// What `#[guest_rt::main]` expands to: the entry, the heap, the panic handler.
#[doc(hidden)]
#[macro_export]
macro_rules! __entry {
    ($main:ident, $runner:ident) => {
        const _: () = {
            #[global_allocator]
            static HEAP: $crate::internal::Heap = $crate::internal::Heap::new();

            #[unsafe(no_mangle)]
            unsafe extern "Rust" fn __guest_heap(start: usize, end: usize) {
                // SAFETY: called once by the entry, with memory that is the heap's.
                unsafe { HEAP.claim(start, end) }
            }

            #[unsafe(no_mangle)]
            extern "Rust" fn __guest_heap_usage() -> (usize, usize) {
                HEAP.usage()
            }

            #[unsafe(no_mangle)]
            extern "Rust" fn __guest_heap_available() -> usize {
                HEAP.available()
            }

            #[unsafe(no_mangle)]
            extern "Rust" fn __guest_heap_would_move(address: usize) -> bool {
                HEAP.would_move(address)
            }

            #[unsafe(no_mangle)]
            extern "Rust" fn __guest_main() -> ! {
                $crate::internal::$runner($main)
            }

            #[panic_handler]
            fn panic(info: &::core::panic::PanicInfo<'_>) -> ! {
                $crate::internal::panicked(info)
            }

            // Two names of the unwinder that the precompiled libraries mention; neither is ever
            // called, as panics do not unwind here.
            #[unsafe(no_mangle)]
            extern "C" fn rust_eh_personality() {}

            #[unsafe(no_mangle)]
            extern "C" fn _Unwind_Resume() -> ! {
                $crate::internal::abort()
            }
        };
    };
}
