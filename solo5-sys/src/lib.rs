//! The Solo5 `spt` ABI, version 2, as a tender and a guest must agree on it, and the
//! extension page by which Nabla's tender offers more to guests that ask for it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`layout`] | the addresses: where memory starts, where the tender leaves what |
//! | [`note`] | ELF notes: built at compile time by guests, parsed from hostile bytes by tenders |
//! | [`manifest`] | the devices that a guest declares, and what the tender attached to them |
//! | [`boot`] | the boot information that `rdi` points at on entry |
//! | [`extension`] | what Nabla adds: a note that asks, a page that answers |
//! | [`virtio_net`] | the header before frames whose checksums and segmentation are the wire's |
//! | [`ring`] | frames in memory that a guest shares with its gateway |
//! | [`hypercall`] | the system calls a guest makes and the limits on their arguments |
//!
//! Nothing here touches memory that it was not handed as a slice, and nothing makes a system
//! call: bytes in, checked values out, and back. The facts follow Solo5's `include/` headers
//! and `tenders/common`; everything is little endian, as the ABI's only architectures are.
#![no_std]
#![forbid(unsafe_code)]

pub mod boot;
pub mod extension;
pub mod hypercall;
pub mod layout;
pub mod manifest;
pub mod note;
pub mod ring;
pub mod virtio_net;

pub mod bytes;
