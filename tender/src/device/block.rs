//! Block devices: a file or a block device of the host, in blocks of a fixed size.
//!
//! The guest can neither reach beyond the capacity, nor write to a device that it marked
//! read-only; both are rules of the policy, and a read-only device's descriptor cannot write
//! either. Who uses a file is known to all tenders by locks: see [`Access`].

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use solo5_sys::hypercall::{BLOCK_MIN_BYTES, TransferTier, transfer_tiers};
use solo5_sys::manifest::{Attachment, Name};

use super::{OptionError, Typed};
use crate::policy::{Call, Comparison, Condition, Rule};

/// The options of block devices.
pub const OPTIONS: [&str; 3] = ["block", "block-sector-size", "block-sync"];
/// What the value of `--block` looks like.
pub const FORM: &str = "PATH";
/// Block devices' part of the help.
pub const USAGE: &str = "  --block:NAME=PATH               attach the file or block device at PATH; its size is a multiple
                                  of the block size
  --block-sector-size:NAME=BYTES  its block size: a power of two from 512 (default) to 32768
  --block-sync:NAME               a write returns when it is on the disk (O_DSYNC)
";

/// Largest block size in bytes: a power of two that the manifest's 16 bits hold.
pub const BLOCK_MAX_BYTES: u16 = 1 << 15;

/// What the user said about one block device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    path: Option<OsString>,
    block_bytes: Option<u16>,
    sync: Option<()>,
}

impl Options {
    pub(super) fn accept(&mut self, typed: &Typed<'_>) -> Result<(), OptionError> {
        match typed.option {
            "block" => self.path = Some(typed.value(FORM)?.to_owned()),
            "block-sector-size" => {
                let block_bytes = parse_block_bytes(typed.value("BYTES")?).ok_or_else(|| {
                    typed.refuse("a block has a power of two of bytes, from 512 to 32768")
                })?;
                self.block_bytes = Some(block_bytes);
            }
            _ => {
                typed.no_value()?;
                self.sync = Some(());
            }
        }
        Ok(())
    }

    pub(super) fn is_attached(&self) -> bool {
        self.path.is_some()
    }

    fn typed_path(&self) -> String {
        self.path.as_deref().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn block_bytes(&self) -> u16 {
        self.block_bytes.unwrap_or(BLOCK_MIN_BYTES)
    }
}

fn parse_block_bytes(text: &OsStr) -> Option<u16> {
    let bytes = text.to_str()?.parse().ok()?;
    let valid = (BLOCK_MIN_BYTES..=BLOCK_MAX_BYTES).contains(&bytes) && bytes.is_power_of_two();
    valid.then_some(bytes)
}

/// Why a block device cannot be attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// It cannot be opened.
    #[error("cannot open '{path}': {error}")]
    Open {
        /// The path.
        path: String,
        /// The system's reason.
        error: io::Error,
    },
    /// A folder, a pipe, a terminal.
    #[error("'{0}' is neither a regular file nor a block device")]
    Kind(String),
    /// Not a whole number of blocks.
    #[error("'{path}': {error}")]
    Size {
        /// The path.
        path: String,
        /// What is wrong with its size.
        error: SizeError,
    },
    /// To be read only, and somebody can write to it.
    #[error("'{0}' is in use by another guest, which can write to it")]
    Written(String),
    /// To be written to, and somebody relies on being alone or on it not changing.
    #[error(
        "'{0}' is in use by another guest, or attached twice, and this guest could write to it: \
         give each its own copy, or let all of them only read it"
    )]
    Busy(String),
}

/// How a guest uses a file, and with whom it can share it. All of it is advisory: other programs need
/// not care.
///
/// | | together with |
/// |---|---|
/// | read-only | other guests that only read |
/// | shared | other guests that share: plain Solo5 guests, which cannot say whether they write |
/// | exclusive | nobody |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    ReadOnly,
    Shared,
    Exclusive,
}

/// Why a size is not a capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Less than one block.
    #[error("the file has {file_bytes} bytes, less than one block of {block_bytes}")]
    Empty {
        /// The file's size.
        file_bytes: u64,
        /// The block size.
        block_bytes: u16,
    },
    /// A partial block at the end.
    #[error(
        "the file has {file_bytes} bytes, which is no multiple of the block size {block_bytes}: \
         extend it, e.g. by `truncate -s %{block_bytes} FILE`"
    )]
    Partial {
        /// The file's size.
        file_bytes: u64,
        /// The block size.
        block_bytes: u16,
    },
}

/// An attached block device.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) fd: OwnedFd,
    pub(super) description: String,
    /// Whether a write is on the disk when it returns.
    pub(super) synchronous: bool,
    capacity_bytes: u64,
    block_bytes: u16,
}

impl Block {
    pub(super) fn attachment(&self, fd: RawFd) -> Attachment {
        Attachment::Block { capacity_bytes: self.capacity_bytes, block_bytes: self.block_bytes, fd }
    }
}

/// What a device that no option attaches is shown with: all tiers of transfers.
const PREVIEW_BYTES: u64 = 1 << 40;

/// The attachment that [`attach`] would make.
pub(super) fn preview(
    options: &Options,
    read_only: bool,
    fd: RawFd,
) -> Result<Attachment, AttachError> {
    let block_bytes = options.block_bytes();
    let capacity_bytes = match options.is_attached() {
        true => open(options, read_only)?.1,
        false => PREVIEW_BYTES,
    };
    Ok(Attachment::Block { capacity_bytes, block_bytes, fd })
}

pub(super) fn attach(options: &Options, access: Access) -> Result<Block, AttachError> {
    let read_only = access == Access::ReadOnly;
    let (file, capacity_bytes) = open(options, read_only)?;
    let typed = options.typed_path();
    match lock(&file, access) {
        Ok(true) => {}
        Ok(false) if read_only => return Err(AttachError::Written(typed)),
        Ok(false) => return Err(AttachError::Busy(typed)),
        Err(error) => return Err(AttachError::Open { path: typed, error: error.into() }),
    }
    let block_bytes = options.block_bytes();
    let blocks = capacity_bytes / u64::from(block_bytes);
    let reading = if read_only { ", read-only" } else { "" };
    let synchronous = options.sync.is_some();
    let durable = if synchronous { ", synchronous" } else { "" };
    let description = format!("{typed}, {blocks} blocks of {block_bytes} bytes{reading}{durable}");
    Ok(Block { fd: file.into(), description, synchronous, capacity_bytes, block_bytes })
}

/// Opens the file and finds out its capacity in bytes.
fn open(options: &Options, read_only: bool) -> Result<(File, u64), AttachError> {
    let typed = options.typed_path();
    let fail = |error| AttachError::Open { path: typed.clone(), error };
    let mut file = open_path(options, read_only).map_err(fail)?;
    let kind = file.metadata().map_err(fail)?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(AttachError::Kind(typed));
    }
    let file_bytes = file.seek(SeekFrom::End(0)).map_err(fail)?;
    let capacity_bytes = capacity(file_bytes, options.block_bytes())
        .map_err(|error| AttachError::Size { path: typed.clone(), error })?;
    Ok((file, capacity_bytes))
}

fn open_path(options: &Options, read_only: bool) -> io::Result<File> {
    // Without O_NONBLOCK, opening a pipe would wait for its other end. Disks ignore it.
    let sync_flag = if options.sync.is_some() { libc::O_DSYNC } else { 0 };
    OpenOptions::new()
        .read(true)
        .write(!read_only)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | sync_flag)
        .open(options.path.as_deref().unwrap_or_default())
}

/// Tells other tenders how the file is used. `Ok(false)` if one uses it in a way that forbids it.
///
/// Two bytes far behind any capacity stand for those who read and those who can write. They are
/// locked by open file description, so the guest holds the locks as long as it has the file.
fn lock(file: &File, access: Access) -> Result<bool, Errno> {
    const READERS: i64 = 1 << 62;
    const WRITERS: i64 = READERS + 1;
    let (kind, first, bytes, excluded) = match access {
        Access::ReadOnly => (libc::F_RDLCK, READERS, 1, Some(WRITERS)),
        Access::Shared => (libc::F_RDLCK, WRITERS, 1, Some(READERS)),
        Access::Exclusive => (libc::F_WRLCK, READERS, 2, None),
    };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&range(kind, first, bytes))) {
        Ok(_) => {}
        Err(Errno::EAGAIN | Errno::EACCES) => return Ok(false),
        // Solo5 locks nothing, so its guests need no file system that can.
        Err(_) if access == Access::Shared => return Ok(true),
        Err(error) => return Err(error),
    }
    // Only now: of two that exclude each other and come at once, one at least sees the other.
    let Some(byte) = excluded else { return Ok(true) };
    let mut question = range(libc::F_WRLCK, byte, 1);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut question))?;
    Ok(question.l_type == libc::F_UNLCK as libc::c_short)
}

fn range(kind: libc::c_int, first: i64, bytes: i64) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: first,
        l_len: bytes,
        l_pid: 0,
    }
}

/// The capacity of a file of `file_bytes` in blocks of `block_bytes`.
///
/// # Errors
/// If it is not a whole, positive number of blocks.
pub fn capacity(file_bytes: u64, block_bytes: u16) -> Result<u64, SizeError> {
    if file_bytes < u64::from(block_bytes) {
        return Err(SizeError::Empty { file_bytes, block_bytes });
    }
    if !file_bytes.is_multiple_of(u64::from(block_bytes)) {
        return Err(SizeError::Partial { file_bytes, block_bytes });
    }
    Ok(file_bytes)
}

/// The transfers that a guest may make on one block device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfers {
    pub(crate) fd: i32,
    pub(crate) capacity_bytes: u64,
    pub(crate) block_bytes: u16,
    pub(crate) multi_block: bool,
    pub(crate) read_only: bool,
}

impl Transfers {
    /// The rules: each transfer begins and ends inside the capacity.
    pub(crate) fn rules(&self, name: &Name) -> Vec<Rule> {
        let calls: &[Call] =
            if self.read_only { &[Call::Pread64] } else { &[Call::Pread64, Call::Pwrite64] };
        let rules_of = |&call: &Call| {
            self.tiers().into_iter().map(move |tier| Rule::new(call, self.conditions(name, tier)))
        };
        calls.iter().flat_map(rules_of).collect()
    }

    fn tiers(&self) -> Vec<TransferTier> {
        let count = if self.multi_block { usize::MAX } else { 1 };
        transfer_tiers(self.block_bytes, self.capacity_bytes).take(count).collect()
    }

    fn conditions(&self, name: &Name, tier: TransferTier) -> [Condition; 3] {
        // Solo5's bindings transfer exactly one block.
        let length = if self.multi_block { Comparison::AtMost } else { Comparison::Equal };
        let room = format!("capacity - {}", tier.bytes);
        [
            Condition::descriptor(self.fd, format!("block:{name}")),
            Condition::long(2, "length", length, tier.bytes, ""),
            Condition::long(3, "offset", Comparison::AtMost, tier.last_offset, room),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn block_sizes_are_powers_of_two_in_range() {
        let parse = |text: &str| parse_block_bytes(OsStr::new(text));
        assert_eq!(parse("512"), Some(512));
        assert_eq!(parse("32768"), Some(32768));
        for refused in ["", "0", "256", "513", "65536", "-512", "512 ", "0x200", "99999999999"] {
            assert_eq!(parse(refused), None, "{refused}");
        }
    }

    #[test]
    fn capacities_are_whole_blocks() {
        assert_eq!(capacity(512, 512), Ok(512));
        assert_eq!(capacity(8192, 4096), Ok(8192));
        let empty = SizeError::Empty { file_bytes: 0, block_bytes: 512 };
        assert_eq!(capacity(0, 512), Err(empty));
        let small = SizeError::Empty { file_bytes: 512, block_bytes: 4096 };
        assert_eq!(capacity(512, 4096), Err(small));
        let partial = SizeError::Partial { file_bytes: 4608, block_bytes: 4096 };
        assert_eq!(capacity(4608, 4096), Err(partial));
    }

    #[test]
    fn a_file_is_shared_only_with_those_who_use_it_alike() {
        use Access::{Exclusive, ReadOnly, Shared};
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1024).unwrap();
        // What other programs lock is their affair.
        file.as_file().lock().unwrap();
        let path = Some(file.path().as_os_str().to_owned());
        let options = Options { path, ..Options::default() };
        for first in [ReadOnly, Shared, Exclusive] {
            let held = attach(&options, first).unwrap();
            assert_eq!(held.capacity_bytes, 1024);
            for second in [ReadOnly, Shared, Exclusive] {
                let result = attach(&options, second);
                let expected = match (first, second) {
                    (ReadOnly, ReadOnly) | (Shared, Shared) => result.is_ok(),
                    (_, ReadOnly) => matches!(result, Err(AttachError::Written(_))),
                    _ => matches!(result, Err(AttachError::Busy(_))),
                };
                assert!(expected, "{first:?} and then {second:?}");
            }
        }
    }

    #[test]
    fn only_files_and_disks_are_attached() {
        for path in ["/dev/null", "/", "/proc/self/ns"] {
            let options = Options { path: Some(path.into()), ..Options::default() };
            let error = attach(&options, Access::ReadOnly).unwrap_err();
            assert!(matches!(error, AttachError::Kind(_) | AttachError::Open { .. }), "{error}");
        }
        let options = Options { path: Some("/does-not-exist".into()), ..Options::default() };
        assert!(matches!(attach(&options, Access::Shared), Err(AttachError::Open { .. })));
    }

    proptest! {
        #[test]
        fn no_permitted_transfer_leaves_the_capacity(
            shift in 9u32..16,
            blocks in 1u64..1 << 30,
            multi_block: bool,
            read_only: bool,
            length in prop_oneof![any::<u64>(), 0u64..1 << 22],
            offset in prop_oneof![any::<u64>(), 0u64..1 << 45],
        ) {
            let block_bytes = 1u16 << shift;
            let capacity_bytes = u64::from(block_bytes) * blocks;
            let transfers = Transfers { fd: 7, capacity_bytes, block_bytes, multi_block, read_only };
            let rules = transfers.rules(&Name::new("data").unwrap());
            for rule in rules {
                prop_assert!(!read_only || rule.call == Call::Pread64);
                let [fd, size, start] = &rule.conditions[..] else { panic!("three conditions") };
                prop_assert_eq!(fd.value, 7);
                let size_fits = match size.comparison {
                    Comparison::Equal => length == size.value,
                    Comparison::AtMost => length <= size.value,
                };
                if size_fits && offset <= start.value {
                    prop_assert!(offset.checked_add(length).unwrap() <= capacity_bytes);
                }
            }
        }
    }
}
