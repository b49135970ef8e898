//! The application manifest: the devices that a guest declares in its file, and, in the copy
//! that the tender leaves in guest memory, what was attached to each.
//!
//! A manifest is a `u32` version, a `u32` count and that many entries of 104 bytes (Solo5's
//! `mft_abi.h`). The first entry is reserved.

use core::fmt;
use core::mem::{offset_of, size_of};

use crate::bytes::{array, put, u32_at, u64_at};

/// The version that this module reads and writes.
pub const VERSION: u32 = 1;
/// Most entries, the reserved first one included.
pub const MAX_ENTRIES: usize = 64;
/// Most devices.
pub const MAX_DEVICES: usize = MAX_ENTRIES - 1;
/// Bytes before the first entry.
pub const HEADER_BYTES: usize = 8;
/// Largest size in bytes.
pub const MAX_BYTES: usize = HEADER_BYTES + MAX_ENTRIES * Entry::BYTES;
/// Longest name in bytes.
pub const NAME_MAX_BYTES: usize = 67;

const TYPE_RESERVED_FIRST: u32 = 1 << 30;
const TYPE_BLOCK_BASIC: u32 = 1;
const TYPE_NET_BASIC: u32 = 2;

/// `struct mft_entry` with its unions as plain words.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    name: [u8; NAME_MAX_BYTES + 1],
    kind: u32,
    property: [u64; 2],
    attachment: u64,
    attached: u8,
    padding: [u8; 7],
}

const _: () = assert!(size_of::<Entry>() == Entry::BYTES);
const _: () = assert!(offset_of!(Entry, name) == 0);
const _: () = assert!(offset_of!(Entry, kind) == 68);
const _: () = assert!(offset_of!(Entry, property) == 72);
const _: () = assert!(offset_of!(Entry, attachment) == 88);
const _: () = assert!(offset_of!(Entry, attached) == 96);

impl Entry {
    /// Size in bytes.
    pub const BYTES: usize = 104;

    pub(crate) const RESERVED_FIRST: Self = Self::raw("", TYPE_RESERVED_FIRST);

    /// Declares a network device.
    ///
    /// # Panics
    /// At compile time, if the name is not 1 to 67 alphanumerics.
    pub const fn net(name: &str) -> Self {
        check_literal(name);
        Self::raw(name, TYPE_NET_BASIC)
    }

    /// Declares a block device.
    ///
    /// # Panics
    /// At compile time, if the name is not 1 to 67 alphanumerics.
    pub const fn block(name: &str) -> Self {
        check_literal(name);
        Self::raw(name, TYPE_BLOCK_BASIC)
    }

    const fn raw(name: &str, kind: u32) -> Self {
        let text = name.as_bytes();
        let mut padded = [0; NAME_MAX_BYTES + 1];
        let mut i = 0;
        while i < text.len() {
            padded[i] = text[i];
            i += 1;
        }
        Self {
            name: padded,
            kind: kind.to_le(),
            property: [0; 2],
            attachment: 0,
            attached: 0,
            padding: [0; 7],
        }
    }

    /// Whether both have the same kind and name.
    pub(crate) const fn same_device(&self, other: &Self) -> bool {
        let mut i = 0;
        while i < self.name.len() {
            if self.name[i] != other.name[i] {
                return false;
            }
            i += 1;
        }
        self.kind == other.kind
    }
}

const fn check_literal(name: &str) {
    let text = name.as_bytes();
    assert!(
        !text.is_empty() && text.len() <= NAME_MAX_BYTES,
        "a device's name has 1 to 67 letters"
    );
    let mut i = 0;
    while i < text.len() {
        assert!(text[i].is_ascii_alphanumeric(), "a device's name has only letters and digits");
        i += 1;
    }
}

/// The name of a device: 1 to 67 ASCII letters and digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    bytes: [u8; NAME_MAX_BYTES],
    len: u8,
}

impl Name {
    /// Checks a name.
    pub fn new(text: &str) -> Option<Self> {
        Self::from_bytes(text.as_bytes())
    }

    fn from_bytes(text: &[u8]) -> Option<Self> {
        let valid = (1..=NAME_MAX_BYTES).contains(&text.len())
            && text.iter().all(u8::is_ascii_alphanumeric);
        if !valid {
            return None;
        }
        let mut bytes = [0; NAME_MAX_BYTES];
        bytes[..text.len()].copy_from_slice(text);
        Some(Self { bytes, len: text.len() as u8 })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What kind of device an entry declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// `BLOCK_BASIC`.
    Block,
    /// `NET_BASIC`.
    Net,
}

impl DeviceKind {
    const fn code(self) -> u32 {
        match self {
            Self::Block => TYPE_BLOCK_BASIC,
            Self::Net => TYPE_NET_BASIC,
        }
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Block => "block",
            Self::Net => "net",
        })
    }
}

/// What the tender attached to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// A block device: the first `capacity_bytes` of `fd`, in blocks of `block_bytes`.
    Block {
        /// Capacity, a multiple of the block size.
        capacity_bytes: u64,
        /// Block size, a power of two of at least 512.
        block_bytes: u16,
        /// Host descriptor.
        fd: i32,
    },
    /// A network device: Ethernet frames, one per `read` or `write`.
    Net {
        /// Hardware address.
        mac: [u8; 6],
        /// Largest IP packet in bytes; a frame has 14 more.
        mtu_bytes: u16,
        /// Host descriptor.
        fd: i32,
    },
}

impl Attachment {
    /// The kind of device that it fits.
    pub const fn kind(&self) -> DeviceKind {
        match self {
            Self::Block { .. } => DeviceKind::Block,
            Self::Net { .. } => DeviceKind::Net,
        }
    }

    /// The host descriptor.
    pub const fn fd(&self) -> i32 {
        match *self {
            Self::Block { fd, .. } | Self::Net { fd, .. } => fd,
        }
    }
}

/// A declared device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name, unique among devices of its kind.
    pub name: Name,
    /// Its kind.
    pub kind: DeviceKind,
    /// What is attached to it; nothing in a file, something in a running guest's copy, unless the device is
    /// optional.
    pub attachment: Option<Attachment>,
}

impl Device {
    const UNUSED: Self = Self {
        name: Name { bytes: [0; NAME_MAX_BYTES], len: 0 },
        kind: DeviceKind::Block,
        attachment: None,
    };
}

/// Whose manifest is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// From a file: nothing may be attached.
    Declared,
    /// From a running guest's memory: everything must be, but for its optional devices.
    Attached {
        /// These, as in [`crate::extension::Request::optional`].
        optional: u64,
    },
}

/// A valid manifest.
#[derive(Clone, Copy)]
pub struct Manifest {
    devices: [Device; MAX_DEVICES],
    len: usize,
}

/// Why bytes are not a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestError {
    /// Shorter than its header.
    Truncated,
    /// Another version.
    Version(u32),
    /// Zero entries or more than 64.
    Entries(u32),
    /// The size does not fit the number of entries.
    Size {
        /// Bytes that there are.
        found: usize,
        /// Bytes that there should be.
        expected: usize,
    },
    /// The first entry is not the reserved one.
    FirstEntry,
    /// The name of the entry with this index is empty, unterminated or not alphanumeric.
    Name(usize),
    /// The entry has a type that no tender knows.
    Kind {
        /// Which device.
        name: Name,
        /// Its type.
        kind: u32,
    },
    /// Two devices of one kind have this name.
    Duplicate(Name),
    /// A file's entry says that it is attached, or a running guest's that it is not.
    Attached(Name),
    /// The attachment's numbers are out of their range.
    Attachment(Name),
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => write!(f, "the manifest is shorter than its header"),
            Self::Version(v) => write!(f, "the manifest has version {v}, known is {VERSION}"),
            Self::Entries(n) => write!(f, "the manifest has {n} entries, not 1 to {MAX_ENTRIES}"),
            Self::Size { found, expected } => {
                write!(f, "the manifest has {found} bytes where its entries need {expected}")
            }
            Self::FirstEntry => write!(f, "the manifest's first entry is not the reserved one"),
            Self::Name(index) => write!(
                f,
                "the manifest's entry {index} has no valid name (1 to {NAME_MAX_BYTES} letters and digits)"
            ),
            Self::Kind { name, kind } => {
                write!(f, "the manifest's device '{name}' has the unknown type {kind:#x}")
            }
            Self::Duplicate(name) => {
                write!(f, "the manifest declares two devices of one kind named '{name}'")
            }
            Self::Attached(name) => {
                write!(f, "the manifest's device '{name}' has the wrong attachment mark")
            }
            Self::Attachment(name) => {
                write!(f, "the manifest's device '{name}' has an impossible attachment")
            }
        }
    }
}

impl core::error::Error for ManifestError {}

impl Manifest {
    /// A manifest without devices.
    pub const EMPTY: Self = Self { devices: [Device::UNUSED; MAX_DEVICES], len: 0 };

    /// Reads a manifest and checks all of it.
    ///
    /// # Errors
    /// The first [`ManifestError`], in the order of the bytes.
    pub fn parse(bytes: &[u8], stage: Stage) -> Result<Self, ManifestError> {
        let version = u32_at(bytes, 0).ok_or(ManifestError::Truncated)?;
        let entries = u32_at(bytes, 4).ok_or(ManifestError::Truncated)?;
        if version != VERSION {
            return Err(ManifestError::Version(version));
        }
        let count = match usize::try_from(entries) {
            Ok(count @ 1..=MAX_ENTRIES) => count,
            _ => return Err(ManifestError::Entries(entries)),
        };
        let expected = HEADER_BYTES + count * Entry::BYTES;
        if bytes.len() != expected {
            return Err(ManifestError::Size { found: bytes.len(), expected });
        }
        let (first, rest) = bytes[HEADER_BYTES..].split_at(Entry::BYTES);
        if u32_at(first, 68) != Some(TYPE_RESERVED_FIRST) || first[0] != 0 || first[96] != 0 {
            return Err(ManifestError::FirstEntry);
        }
        let mut manifest = Self::EMPTY;
        for (i, raw) in rest.chunks_exact(Entry::BYTES).enumerate() {
            let device = parse_device(raw, i + 1, stage)?;
            manifest.add(device)?;
        }
        Ok(manifest)
    }

    /// Adds a device.
    ///
    /// # Errors
    /// If there are 63 already, the name is taken, or the attachment is of another kind.
    pub fn add(&mut self, device: Device) -> Result<(), ManifestError> {
        if self.find(device.name.as_str(), device.kind).is_some() {
            return Err(ManifestError::Duplicate(device.name));
        }
        if device.attachment.is_some_and(|attachment| attachment.kind() != device.kind) {
            return Err(ManifestError::Attachment(device.name));
        }
        let slot =
            self.devices.get_mut(self.len).ok_or(ManifestError::Entries(MAX_ENTRIES as u32 + 1))?;
        *slot = device;
        self.len += 1;
        Ok(())
    }

    /// The devices with their manifest indices, which are Solo5's handles: from 1 on.
    pub fn devices(&self) -> impl Iterator<Item = (usize, &Device)> + Clone {
        self.devices[..self.len].iter().enumerate().map(|(i, device)| (i + 1, device))
    }

    /// Those of the devices to which something is attached.
    pub fn attached(&self) -> impl Iterator<Item = (usize, &Device)> + Clone {
        self.devices().filter(|(_, device)| device.attachment.is_some())
    }

    /// The device of that name and kind with its manifest index.
    pub fn find(&self, name: &str, kind: DeviceKind) -> Option<(usize, &Device)> {
        self.devices().find(|(_, device)| device.kind == kind && device.name.as_str() == name)
    }

    /// Attaches something to the device with that manifest index.
    ///
    /// # Panics
    /// If there is no such device or its kind is another; both are mistakes of the caller.
    pub fn attach(&mut self, index: usize, attachment: Attachment) {
        let device = &mut self.devices[..self.len][index - 1];
        assert!(device.kind == attachment.kind());
        device.attachment = Some(attachment);
    }

    /// Size of the encoded form in bytes.
    pub const fn encoded_bytes(&self) -> usize {
        HEADER_BYTES + (self.len + 1) * Entry::BYTES
    }

    /// Writes the encoded form to the start of `out` and returns its size in bytes.
    ///
    /// # Panics
    /// If `out` is shorter than [`Self::encoded_bytes`].
    pub fn encode(&self, out: &mut [u8]) -> usize {
        let bytes = self.encoded_bytes();
        let out = &mut out[..bytes];
        out.fill(0);
        put(out, 0, &VERSION.to_le_bytes());
        put(out, 4, &(self.len as u32 + 1).to_le_bytes());
        put(out, HEADER_BYTES + 68, &TYPE_RESERVED_FIRST.to_le_bytes());
        for (index, device) in self.devices() {
            encode_device(device, &mut out[HEADER_BYTES + index * Entry::BYTES..][..Entry::BYTES]);
        }
        bytes
    }
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.devices().map(|(_, device)| device)).finish()
    }
}

impl PartialEq for Manifest {
    fn eq(&self, other: &Self) -> bool {
        self.devices[..self.len] == other.devices[..other.len]
    }
}

fn parse_device(raw: &[u8], index: usize, stage: Stage) -> Result<Device, ManifestError> {
    let text = raw[..NAME_MAX_BYTES + 1]
        .split(|&byte| byte == 0)
        .next()
        .filter(|text| text.len() <= NAME_MAX_BYTES)
        .ok_or(ManifestError::Name(index))?;
    let name = Name::from_bytes(text).ok_or(ManifestError::Name(index))?;
    let kind = match u32_at(raw, 68).unwrap_or_default() {
        TYPE_BLOCK_BASIC => DeviceKind::Block,
        TYPE_NET_BASIC => DeviceKind::Net,
        kind => return Err(ManifestError::Kind { name, kind }),
    };
    let attachment = match (stage, raw[96]) {
        (Stage::Declared, 0) => None,
        (Stage::Attached { optional }, 0) if optional & (1 << index) != 0 => None,
        (Stage::Attached { .. }, 1) => {
            Some(parse_attachment(raw, kind).ok_or(ManifestError::Attachment(name))?)
        }
        _ => return Err(ManifestError::Attached(name)),
    };
    Ok(Device { name, kind, attachment })
}

fn parse_attachment(raw: &[u8], kind: DeviceKind) -> Option<Attachment> {
    let fd = i32::from_le_bytes(array(raw, 88)?);
    if fd < 0 {
        return None;
    }
    match kind {
        DeviceKind::Block => {
            let capacity_bytes = u64_at(raw, 72)?;
            let block_bytes = u16::from_le_bytes(array(raw, 80)?);
            let valid = block_bytes >= crate::hypercall::BLOCK_MIN_BYTES
                && block_bytes.is_power_of_two()
                && capacity_bytes >= u64::from(block_bytes)
                && capacity_bytes.is_multiple_of(u64::from(block_bytes));
            valid.then_some(Attachment::Block { capacity_bytes, block_bytes, fd })
        }
        DeviceKind::Net => {
            let mac = array(raw, 72)?;
            let mtu_bytes = u16::from_le_bytes(array(raw, 78)?);
            Some(Attachment::Net { mac, mtu_bytes, fd })
        }
    }
}

fn encode_device(device: &Device, out: &mut [u8]) {
    put(out, 0, device.name.as_str().as_bytes());
    put(out, 68, &device.kind.code().to_le_bytes());
    match device.attachment {
        None => return,
        Some(Attachment::Block { capacity_bytes, block_bytes, .. }) => {
            put(out, 72, &capacity_bytes.to_le_bytes());
            put(out, 80, &block_bytes.to_le_bytes());
        }
        Some(Attachment::Net { mac, mtu_bytes, .. }) => {
            put(out, 72, &mac);
            put(out, 78, &mtu_bytes.to_le_bytes());
        }
    }
    if let Some(attachment) = device.attachment {
        put(out, 88, &attachment.fd().to_le_bytes());
    }
    out[96] = 1;
}

#[cfg(test)]
mod tests;
