//! Sends every frame of the experimental destination 02:..:02 back as it came, header included if frames have
//! one, and says what it saw, until a frame of the EtherType 0x88b5 says `quit`. It reads the device
//! itself, without the runtime's driver, which would take the frames.
#![no_std]
#![no_main]

extern crate alloc;

use core::slice;

use guest_rt::internal::FEATURES;
use guest_rt::internal::raw_hypercall;
use guest_rt::internal::solo5_sys::extension::{Extension, Features};
use guest_rt::internal::solo5_sys::layout::{EXTENSION_PAGE, PAGE_BYTES};
use guest_rt::internal::solo5_sys::virtio_net::{FRAME_BYTES_MAX, HEADER_BYTES, Header};
use guest_rt::println;

guest_rt::__manifest! {
    FEATURES.without(Features::RING);
    net "service",
}

/// The only device's index in the manifest, and its descriptor.
const INDEX: usize = 1;
const FD: usize = 3;
const READ: usize = 0;
const WRITE: usize = 1;
const PPOLL: usize = 271;
const AGAIN: isize = -11;

const PEER: &[u8] = b"\x02\0\0\0\0\x02";
const QUIT: &[u8] = b"\x88\xb5quit";

#[guest_rt::main]
fn main() {
    let page = core::ptr::with_exposed_provenance(EXTENSION_PAGE as usize);
    // SAFETY: both tenders map the page, and nobody writes to it.
    let page = unsafe { slice::from_raw_parts(page, PAGE_BYTES as usize) };
    let has_headers = Extension::parse(page).is_some_and(|page| page.has_virtio_net(INDEX));
    let skip = if has_headers { HEADER_BYTES } else { 0 };
    println!("headers {has_headers}");
    // Longer than any frame may be.
    let mut buffer = alloc::vec![0; FRAME_BYTES_MAX + 1];
    loop {
        let bytes = read(&mut buffer);
        assert!(bytes < FRAME_BYTES_MAX + 1, "a frame of {bytes} bytes");
        let (header, frame) = buffer[..bytes].split_at(skip);
        if frame.get(12..).is_some_and(|payload| payload.starts_with(QUIT)) {
            return;
        }
        if frame.starts_with(PEER) {
            println!("frame {} {:?}", frame.len(), Header::parse(header));
            let arguments = [FD, buffer.as_ptr().expose_provenance(), bytes, 0, 0, 0];
            // SAFETY: the kernel only reads the slice.
            let sent = unsafe { raw_hypercall(WRITE, arguments) };
            assert!(sent == bytes as isize, "sent {sent} of {bytes}");
        }
    }
}

/// Waits for the next frame.
fn read(buffer: &mut [u8]) -> usize {
    loop {
        let arguments = [FD, buffer.as_mut_ptr().expose_provenance(), buffer.len(), 0, 0, 0];
        // SAFETY: the kernel writes within the slice.
        let result = unsafe { raw_hypercall(READ, arguments) };
        if result != AGAIN {
            return usize::try_from(result).expect("a frame");
        }
        // `struct pollfd` with POLLIN.
        let mut poll = FD as u64 | 1 << 32;
        let arguments = [(&raw mut poll).expose_provenance(), 1, 0, 0, 0, 0];
        // SAFETY: the kernel reads and writes the structure.
        unsafe { raw_hypercall(PPOLL, arguments) };
    }
}
