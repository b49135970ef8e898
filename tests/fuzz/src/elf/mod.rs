//! The tender's ELF reader, with several sizes of memory. What it accepts can be loaded as it is;
//! its policy permits what the manifest declares and nothing else; the filter says what the policy
//! says; and the report of it is one that people and programs can read.

pub(crate) mod file;
mod filter;

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use nix::sys::memfd::{MFdFlags, memfd_create};
use solo5_sys::extension::{Features, Request, Rings};
use solo5_sys::layout::{LOAD_BASE, PAGE_BYTES};
use solo5_sys::manifest::{Attachment, DeviceKind, Manifest};
use tender::elf::{self, Error, Image};
use tender::options::{self, Command};
use tender::policy::bpf::Verdict as FilterVerdict;
use tender::policy::{Call, Policy, filter as compiler};

use crate::{Target, Verdict, assert_one_line};
use file::File;

/// This target.
pub const TARGET: Target = Target { name: "elf", run, seeds, words, inputs: 15_000 };

const MIB: u64 = 1 << 20;
/// Sizes of memory that a file is tried with, in ascending order.
const MEMORIES_BYTES: [u64; 5] = [2 * MIB, 3 * MIB, 64 * MIB, 512 * MIB, tender::memory::TASK_END];
const BLOCK_BYTES: u16 = 512;
const CAPACITY_BYTES: u64 = 1 << 30;

/// Reads the bytes as a unikernel's file.
///
/// # Panics
/// If something does not hold that must.
pub fn run(data: &[u8]) -> Verdict {
    let mut smallest: Option<Image> = None;
    for memory_bytes in MEMORIES_BYTES {
        match (elf::parse(data, memory_bytes), &smallest) {
            (Ok(image), None) => {
                check_image(&image, data.len() as u64, memory_bytes);
                check_policy(&image, memory_bytes);
                check_report(data, memory_bytes);
                smallest = Some(image);
            }
            (Ok(image), Some(smallest)) => assert_eq!(image, *smallest),
            (Err(error), Some(_)) => panic!("more memory is not enough: {error}"),
            (Err(error), None) => check_refusal(data, memory_bytes, &error),
        }
    }
    if smallest.is_some() { Verdict::Accepted } else { Verdict::Refused }
}

fn check_refusal(data: &[u8], memory_bytes: u64, error: &Error) {
    assert_one_line(&error.to_string());
    if let Error::MemoryTooSmall { memory_mib, needed_mib } = error {
        assert_eq!(*memory_mib, memory_bytes / MIB);
        let with = |mib: u64| elf::parse(data, mib * MIB);
        let is_too_small = |result| matches!(result, Err(Error::MemoryTooSmall { .. }));
        assert!(!is_too_small(with(*needed_mib)), "{needed_mib} MiB were said to be enough");
        assert!(is_too_small(with(needed_mib - 1)), "{needed_mib} MiB are more than it takes");
    }
}

fn check_image(image: &Image, file_bytes: u64, memory_bytes: u64) {
    let mut free = LOAD_BASE;
    for segment in &image.segments {
        assert!(segment.memory_bytes > 0);
        assert!(segment.file_bytes <= segment.memory_bytes);
        assert!(!(segment.access.write && segment.access.execute));
        let (pages, addresses) = (segment.pages(), segment.addresses());
        assert!(pages.start.is_multiple_of(PAGE_BYTES) && pages.end.is_multiple_of(PAGE_BYTES));
        assert!(pages.start <= addresses.start && addresses.end <= pages.end);
        assert!(free <= pages.start, "{segment:?} shares a page or precedes another");
        if segment.file_bytes > 0 {
            assert!(segment.file_offset <= file_bytes - segment.file_bytes);
        }
        free = pages.end;
    }
    assert_eq!(image.kernel_end, free);
    assert!(image.kernel_end + elf::STACK_MIN_BYTES <= memory_bytes);
    let holds_entry = |segment: &&elf::Segment| segment.addresses().contains(&image.entry);
    assert!(image.segments.iter().find(holds_entry).is_some_and(|segment| segment.access.execute));
}

/// What the policy says about every device, and that the filter agrees.
fn check_policy(image: &Image, memory_bytes: u64) {
    let granted =
        Request { features: image.request.features.intersection(Features::ALL), ..image.request };
    check_policy_of(&attach(&image.manifest, 0), &granted, memory_bytes);
    if granted.optional != 0 {
        check_policy_of(&attach(&image.manifest, granted.optional), &granted, memory_bytes);
    }
}

fn check_policy_of(attached: &Manifest, granted: &Request, memory_bytes: u64) {
    let policy = Policy::new(attached, granted, &Rings::default(), memory_bytes);
    for (index, device) in attached.devices() {
        // Where nothing is attached, this asks about the number that it would have.
        let is_there = device.attachment.is_some();
        let fd = fd_of(index) as u64;
        let (block, end) = (u64::from(BLOCK_BYTES), CAPACITY_BYTES);
        let allows = |call: Call, start: u64| {
            filter::allows(&policy, call.number(), &[fd, 0x10_0000, block, start, 0, 0])
        };
        let is_block = device.kind == DeviceKind::Block && is_there;
        let is_net = device.kind == DeviceKind::Net;
        let is_read_only = granted.read_only & 1 << index != 0;
        assert_eq!(allows(Call::Pread64, end - block), is_block);
        assert_eq!(allows(Call::Pwrite64, end - block), is_block && !is_read_only);
        assert!(!allows(Call::Pread64, end) && !allows(Call::Pwrite64, end));
        assert_eq!(allows(Call::Read, 0), is_net);
        assert_eq!(allows(Call::Write, 0), is_net);
    }
    match compiler::compile(&policy, FilterVerdict::Kill) {
        Ok(program) => filter::check(&policy, &program.to_bytes()),
        Err(error) => assert_one_line(&error.to_string()),
    }
}

/// The number of the device with this manifest index.
fn fd_of(index: usize) -> i32 {
    10 + index as i32
}

/// Attaches all but the devices `left_out`.
fn attach(declared: &Manifest, left_out: u64) -> Manifest {
    let mut manifest = *declared;
    let is_there = |index: usize| left_out >> index & 1 == 0;
    for (index, device) in declared.devices().filter(|(index, _)| is_there(*index)) {
        let fd = fd_of(index);
        let attachment = match device.kind {
            DeviceKind::Net => Attachment::Net { mac: [2; 6], mtu_bytes: 1500, fd },
            DeviceKind::Block => {
                Attachment::Block { capacity_bytes: CAPACITY_BYTES, block_bytes: BLOCK_BYTES, fd }
            }
        };
        manifest.attach(index, attachment);
    }
    manifest
}

fn check_report(data: &[u8], memory_bytes: u64) {
    let (_open, path) = store(data);
    let memory = format!("--mem={}", memory_bytes / MIB);
    let words = ["--inspect".into(), memory.into(), path.into_os_string()];
    let Ok(Command::Inspect { options, .. }) = options::parse(words) else {
        panic!("no command line");
    };
    match tender::inspect(&options) {
        Ok(report) => {
            report.to_string().lines().for_each(assert_one_line);
            let json = report.to_json();
            let value: serde_json::Value = serde_json::from_str(&json).expect("valid JSON");
            assert_eq!(value["entry"], report.image.entry);
        }
        Err(error) => assert_one_line(&error.to_string()),
    }
}

/// A file in memory, and its path for as long as it is open.
fn store(data: &[u8]) -> (OwnedFd, PathBuf) {
    let fd = memfd_create(c"unikernel", MFdFlags::MFD_CLOEXEC).expect("a file in memory");
    assert_eq!(nix::unistd::write(&fd, data), Ok(data.len()));
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    (fd, path.into())
}

/// Unikernels with and without devices and requests.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut files = vec![File::valid()];
    for devices in [0, 1, 2, 12] {
        files.push(File::with_devices(devices));
        files.push(File::with_devices(devices).asking(0, 0));
    }
    files.iter().map(File::to_bytes).collect()
}

fn words() -> Vec<Vec<u8>> {
    [&b"\x7fELF\x02\x01\x01"[..], b"Solo5\0\0\0", b"Nabla\0\0\0", b"ABI1", b"MFT1", b"REQ1"]
        .map(<[u8]>::to_vec)
        .to_vec()
}
