//! Addresses of the guest's memory. Guest physical, guest virtual and host virtual addresses
//! are the same.

/// Smallest unit of mapping and protection, in bytes.
pub const PAGE_BYTES: u64 = 0x1000;

/// First mapped address. Everything below faults, so a null pointer does.
pub const MEMORY_BASE: u64 = 0x1_0000;

/// The page that Nabla's tender fills with [`crate::extension::Extension`] and Solo5's leaves zero.
pub const EXTENSION_PAGE: u64 = MEMORY_BASE;

/// Where [`crate::boot::BootInfo`] lies.
pub const BOOT_INFO: u64 = 0x1_1000;

/// Where the strings of [`crate::extension::Environment`] lie, if there are any.
pub const ENVIRONMENT: u64 = 0x3_0000;

/// Most bytes of these, NULs included.
pub const ENVIRONMENT_MAX_BYTES: usize = 256 << 10;

/// Lowest address of a loaded segment.
pub const LOAD_BASE: u64 = 0x10_0000;

/// Longest command line in bytes, without its terminating NUL.
pub const COMMAND_LINE_MAX_BYTES: usize = 8191;

/// Size of a stack that the tender places, in bytes (see [`crate::extension::Features::PLACEMENT`]).
pub const STACK_BYTES: u64 = 256 << 10;

/// Memory of a guest for which none was asked for, in bytes.
pub const DEFAULT_MEMORY_BYTES: u64 = 512 << 20;

/// The path in a unikernel's `PT_INTERP`: it cannot exist, so the kernel refuses to start the
/// file as an ordinary program.
pub const INTERPRETER: &str = "/nonexistent/solo5/";
