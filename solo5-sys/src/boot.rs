//! The boot information: the only thing a guest is told on entry, by the address in `rdi`.

use core::mem::{offset_of, size_of};

/// `struct spt_boot_info` of Solo5's `spt_abi.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootInfo {
    /// Size of memory in bytes; addresses end below it.
    pub memory_bytes: u64,
    /// First address after the loaded segments, page-aligned: the heap starts here.
    pub kernel_end: u64,
    /// Address of the command line, NUL-terminated.
    pub command_line: u64,
    /// Address of the manifest copy with the attached devices filled in.
    pub manifest: u64,
    /// Descriptor that every network device and the timer are registered with.
    pub epoll_fd: i32,
    /// Descriptor of the `CLOCK_MONOTONIC` timer that bounds a wait.
    pub timer_fd: i32,
}

const _: () = assert!(size_of::<BootInfo>() == BootInfo::BYTES);
const _: () = assert!(offset_of!(BootInfo, memory_bytes) == 0);
const _: () = assert!(offset_of!(BootInfo, kernel_end) == 8);
const _: () = assert!(offset_of!(BootInfo, command_line) == 16);
const _: () = assert!(offset_of!(BootInfo, manifest) == 24);
const _: () = assert!(offset_of!(BootInfo, epoll_fd) == 32);
const _: () = assert!(offset_of!(BootInfo, timer_fd) == 36);

impl BootInfo {
    /// Size in memory, in bytes.
    pub const BYTES: usize = 40;

    /// The structure as it lies in guest memory.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        crate::bytes::put(&mut out, 0, &self.memory_bytes.to_le_bytes());
        crate::bytes::put(&mut out, 8, &self.kernel_end.to_le_bytes());
        crate::bytes::put(&mut out, 16, &self.command_line.to_le_bytes());
        crate::bytes::put(&mut out, 24, &self.manifest.to_le_bytes());
        crate::bytes::put(&mut out, 32, &self.epoll_fd.to_le_bytes());
        crate::bytes::put(&mut out, 36, &self.timer_fd.to_le_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_structure_of_the_header() {
        let info = BootInfo {
            memory_bytes: 0x2000_0000,
            kernel_end: 0x10_3000,
            command_line: 0x1_4000,
            manifest: 0x1_2000,
            epoll_fd: 3,
            timer_fd: -1,
        };
        let golden = [
            0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0x30, 0x10, 0, 0, 0, 0, 0, 0, 0x40, 1, 0, 0, 0, 0, 0, 0,
            0x20, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,
        ];
        assert_eq!(info.to_bytes(), golden);
    }
}
