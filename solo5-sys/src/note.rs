//! ELF notes. A guest builds its notes at compile time as constants that the linker places in
//! `PT_NOTE` segments; a tender parses them from bytes that anybody may have written.
//!
//! A note is three `u32` (name size, descriptor size, type), the owner's name padded to four
//! bytes, and the descriptor. All owners here have names of five letters, so that a
//! descriptor always starts at offset 20.

use core::fmt;

use crate::bytes::u32_at;
use crate::manifest::{Entry, MAX_DEVICES};

/// Bytes before the descriptor: header and padded name.
pub const HEADER_BYTES: usize = 20;
/// Bytes between the header and the manifest, so that the manifest is 8-aligned.
pub const MANIFEST_PADDING_BYTES: usize = 4;

/// Owner of the notes that every Solo5 unikernel carries.
pub const SOLO5: [u8; 8] = *b"Solo5\0\0\0";
/// Owner of the note that Nabla adds.
pub const NABLA: [u8; 8] = *b"Nabla\0\0\0";

/// Note type of [`Abi`], the letters `ABI1`.
pub const ABI1: u32 = 0x3149_4241;
/// Note type of the manifest, the letters `MFT1`.
pub const MFT1: u32 = 0x3154_464d;
/// Note type of [`crate::extension::Request`], the letters `REQ1`.
pub const REQ1: u32 = 0x3151_4552;

/// The `spt` target.
pub const TARGET_SPT: u32 = 2;
/// The version of the `spt` ABI that this crate describes.
pub const SPT_VERSION: u32 = 2;

/// A note's header with its owner's name.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoteHeader {
    name_bytes: u32,
    descriptor_bytes: u32,
    kind: u32,
    owner: [u8; 8],
}

const _: () = assert!(size_of::<NoteHeader>() == HEADER_BYTES);

impl NoteHeader {
    /// A header for a descriptor of `descriptor_bytes`.
    pub const fn new(owner: [u8; 8], kind: u32, descriptor_bytes: usize) -> Self {
        assert!(descriptor_bytes <= 1 << 20);
        Self {
            name_bytes: 6u32.to_le(),
            descriptor_bytes: (descriptor_bytes as u32).to_le(),
            kind: kind.to_le(),
            owner,
        }
    }
}

/// The `ABI1` note of an `spt` guest, as it stands in the file.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbiNote {
    header: NoteHeader,
    descriptor: [u32; 4],
}

const _: () = assert!(size_of::<AbiNote>() == 36);

impl AbiNote {
    /// The note of ABI version 2.
    pub const SPT: Self = Self {
        header: NoteHeader::new(SOLO5, ABI1, 16),
        descriptor: [TARGET_SPT.to_le(), SPT_VERSION.to_le(), 0, 0],
    };
}

/// The `MFT1` note of a guest with `N` devices, as it stands in the file.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub struct ManifestNote<const N: usize> {
    header: NoteHeader,
    padding: [u8; MANIFEST_PADDING_BYTES],
    version: u32,
    entries: u32,
    first: Entry,
    devices: [Entry; N],
}

const _: () = assert!(size_of::<ManifestNote<0>>() == 24 + 8 + Entry::BYTES);
const _: () = assert!(size_of::<ManifestNote<2>>() == 24 + 8 + 3 * Entry::BYTES);

impl<const N: usize> ManifestNote<N> {
    /// The note that declares `devices`, made with [`Entry::net`] and [`Entry::block`].
    ///
    /// # Panics
    /// At compile time, if there are more than 63 devices or two of a kind share a name.
    pub const fn new(devices: [Entry; N]) -> Self {
        assert!(N <= MAX_DEVICES, "a manifest holds at most 63 devices");
        let mut i = 0;
        while i < N {
            let mut j = 0;
            while j < i {
                assert!(!devices[i].same_device(&devices[j]), "two devices share a name");
                j += 1;
            }
            i += 1;
        }
        let bytes = MANIFEST_PADDING_BYTES + 8 + (N + 1) * Entry::BYTES;
        Self {
            header: NoteHeader::new(SOLO5, MFT1, bytes),
            padding: [0; MANIFEST_PADDING_BYTES],
            version: crate::manifest::VERSION.to_le(),
            entries: (N as u32 + 1).to_le(),
            first: Entry::RESERVED_FIRST,
            devices,
        }
    }
}

/// A note found in a file: owner and type known, descriptor yet unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note<'a> {
    /// Who defines the type.
    pub owner: [u8; 8],
    /// The type, meaningful only together with the owner.
    pub kind: u32,
    /// The contents.
    pub descriptor: &'a [u8],
}

/// Why bytes are not a note of Solo5's or Nabla's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteError {
    /// The segment is shorter than a note header.
    Truncated,
    /// The descriptor is said to be longer than the segment.
    DescriptorBeyondSegment {
        /// Bytes that the header speaks of.
        descriptor_bytes: u32,
        /// Bytes that there are.
        available_bytes: usize,
    },
}

impl fmt::Display for NoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => write!(f, "the note segment is shorter than a note's header"),
            Self::DescriptorBeyondSegment { descriptor_bytes, available_bytes } => write!(
                f,
                "the note speaks of {descriptor_bytes} bytes of contents, its segment holds {available_bytes}"
            ),
        }
    }
}

impl core::error::Error for NoteError {}

impl<'a> Note<'a> {
    /// Reads the first note of a `PT_NOTE` segment, as Solo5's loader does. `Ok(None)` is a
    /// well-formed note of another owner.
    ///
    /// # Errors
    /// [`NoteError`] if the segment cannot hold what its header says.
    pub fn parse(segment: &'a [u8]) -> Result<Option<Self>, NoteError> {
        let name_bytes = u32_at(segment, 0).ok_or(NoteError::Truncated)?;
        let descriptor_bytes = u32_at(segment, 4).ok_or(NoteError::Truncated)?;
        let kind = u32_at(segment, 8).ok_or(NoteError::Truncated)?;
        let Some(owner) = crate::bytes::array::<8>(segment, 12) else {
            return Ok(None);
        };
        if name_bytes != 6 || (owner != SOLO5 && owner != NABLA) {
            return Ok(None);
        }
        let contents = &segment[HEADER_BYTES..];
        let descriptor = usize::try_from(descriptor_bytes)
            .ok()
            .and_then(|bytes| contents.get(..bytes))
            .ok_or(NoteError::DescriptorBeyondSegment {
                descriptor_bytes,
                available_bytes: contents.len(),
            })?;
        Ok(Some(Self { owner, kind, descriptor }))
    }
}

/// What an `ABI1` note says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abi {
    /// The kind of tender the guest was built for: 1 hvt, 2 spt, 3 virtio, 4 muen, 5 genode, 6 xen.
    pub target: u32,
    /// The version of that target's ABI.
    pub version: u32,
}

/// Why a file's ABI is not one that can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbiError {
    /// The descriptor does not have 16 bytes.
    Size(usize),
    /// Built for another kind of tender.
    Target(u32),
    /// Another version of the spt ABI.
    Version(u32),
}

impl fmt::Display for AbiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Size(bytes) => write!(f, "the ABI note has {bytes} bytes, not 16"),
            Self::Target(target) => write!(
                f,
                "the unikernel was built for the Solo5 target {}, this tender runs spt: build it for spt",
                target_name(target)
            ),
            Self::Version(version) => write!(
                f,
                "the unikernel uses version {version} of the spt ABI, this tender knows version {SPT_VERSION}"
            ),
        }
    }
}

impl core::error::Error for AbiError {}

/// Solo5's name of a target number.
pub const fn target_name(target: u32) -> &'static str {
    match target {
        1 => "hvt",
        2 => "spt",
        3 => "virtio",
        4 => "muen",
        5 => "genode",
        6 => "xen",
        _ => "(unknown)",
    }
}

impl Abi {
    /// Checks an `ABI1` descriptor. Its two reserved words may be anything, as for Solo5.
    ///
    /// # Errors
    /// [`AbiError`] for everything but the `spt` target's version 2.
    pub fn parse(descriptor: &[u8]) -> Result<Self, AbiError> {
        let size = AbiError::Size(descriptor.len());
        if descriptor.len() != 16 {
            return Err(size);
        }
        let target = u32_at(descriptor, 0).ok_or(size)?;
        let version = u32_at(descriptor, 4).ok_or(size)?;
        if target != TARGET_SPT {
            return Err(AbiError::Target(target));
        }
        if version != SPT_VERSION {
            return Err(AbiError::Version(version));
        }
        Ok(Self { target, version })
    }
}

#[cfg(test)]
mod tests;
