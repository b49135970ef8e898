//! Guests that try to get out, each in a process of its own: by every number and every entry point,
//! by every descriptor, beyond every bound. Each must end by the exact signal, or do nothing.

mod support;

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use solo5_sys::extension::{Features, Request};
use solo5_sys::manifest::DeviceKind;
use support::process::Guest;
use support::{CODE, Code, File, HEAP};

/// `uretprobe` and `uprobe`, which Linux 6.14 and later let pass by all filters. They end the process
/// or fail, unless the kernel itself has placed the instruction.
const NEVER_FILTERED: [i64; 2] = [335, 336];
const X32: i64 = 0x4000_0000;
/// What a guest exits with whose call was made.
const MADE: i32 = 77;

/// One process, so that a violation is not first told to a supervisor, as there are thousands.
const ALONE: &str = "--no-supervisor";

/// How a guest ended that makes this call and then exits.
fn end_of(code: Code, modern: bool) -> (Option<i32>, Option<i32>) {
    let file = File::of_code(&code.exit(MADE as u64).0, &[]);
    let output = Guest::new(&if modern { file.modern() } else { file }).run(&[ALONE]);
    assert_eq!(output.stdout, b"", "{output:?}");
    (output.status.signal(), output.status.code())
}

#[test]
fn every_number_ends_the_guest() {
    // By these a guest without devices may call with arguments of zero.
    let harmless = |modern: bool| match modern {
        true => vec![libc::SYS_clock_gettime, libc::SYS_exit_group, libc::SYS_ppoll],
        false => vec![libc::SYS_clock_gettime, libc::SYS_exit_group],
    };
    for modern in [false, true] {
        for number in 0..=1023 {
            if harmless(modern).contains(&number) {
                continue;
            }
            let end = end_of(Code::default().call(number, &[0; 6]), modern);
            let permitted: &[_] = if NEVER_FILTERED.contains(&number) {
                &[(Some(libc::SIGSYS), None), (Some(libc::SIGILL), None), (None, Some(MADE))]
            } else {
                &[(Some(libc::SIGSYS), None)]
            };
            assert!(permitted.contains(&end), "{number}: {end:?}");
        }
    }
}

#[test]
fn every_number_of_x32_ends_the_guest() {
    for number in 0..=1023 {
        let end = end_of(Code::default().call(number | X32, &[0; 6]), number % 2 == 0);
        assert_eq!(end, (Some(libc::SIGSYS), None), "{number}");
    }
}

#[test]
fn every_number_of_the_32_bit_entry_ends_the_guest() {
    for number in 0..=1023u32 {
        // mov eax, number; int 0x80
        let code = Code::default().bytes(b"\xb8").bytes(&number.to_le_bytes()).bytes(b"\xcd\x80");
        let (signal, status) = end_of(code, number % 2 == 0);
        // A kernel without 32-bit programs has no such interrupt.
        let ended = signal == Some(libc::SIGSYS) || signal == Some(libc::SIGSEGV);
        assert!(ended && status.is_none(), "{number}: {signal:?} {status:?}");
    }
}

#[test]
fn sysenter_ends_the_guest() {
    // mov eax, number; sysenter
    for number in [0u8, 1, 4, 20, 252] {
        let code = Code::default().bytes(&[0xb8, number, 0, 0, 0]).bytes(b"\x0f\x34");
        let (signal, status) = end_of(code, true);
        // It leads to the kernel on some processors and is illegal on others.
        let ended = [libc::SIGSYS, libc::SIGILL, libc::SIGSEGV].map(Some).contains(&signal);
        assert!(ended && status.is_none(), "{number}: {signal:?} {status:?}");
    }
}

#[test]
fn the_fixed_vsyscall_page_does_nothing() {
    let page = 0xffff_ffff_ff60_0000u64;
    let is_readable = fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .any(|line| line.ends_with("[vsyscall]") && line.contains(" r"));
    let read = end_of(Code::default().load_rax(page), true);
    match is_readable {
        // It holds the same few instructions on every machine.
        true => assert_eq!(read, (None, Some(MADE))),
        false => assert_eq!(read, (Some(libc::SIGSEGV), None)),
    }
    // gettimeofday, time, getcpu: the kernel does these calls for who jumps there.
    for entry in [0, 0x400, 0x800] {
        let code = Code::default().set_rax(page + entry).bytes(b"\xff\xd0");
        let (signal, status) = end_of(code, true);
        let ended = [libc::SIGSYS, libc::SIGSEGV].map(Some).contains(&signal);
        assert!(ended && status.is_none(), "{entry:#x}: {signal:?} {status:?}");
    }
}

#[test]
fn calls_from_outside_of_the_stub_end_the_guest() {
    // The stub is the first exit, which this guest jumps over.
    let exit = Code::default().exit(1).0;
    let jump_over = Code::default().bytes(&[0xeb, exit.len() as u8]).bytes(&exit);
    let stub_end = CODE + jump_over.0.len() as u64;
    for number in [libc::SYS_exit_group, libc::SYS_clock_gettime, libc::SYS_write] {
        let code = Code(jump_over.0.clone()).call(number, &[1, CODE, 1]).exit(MADE as u64);
        let stub = solo5_sys::extension::Stub { start: stub_end - 2, end: stub_end };
        let request = Request { features: Features::STUB, stub, ..Request::default() };
        let guest = Guest::new(&File::of_code(&code.0, &[]).asking(request));
        let output = guest.run(&[ALONE]);
        assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{number}: {output:?}");
        assert_eq!(output.stdout, b"");
    }
}

/// Each way in, in each mode: the verdict and what follows it differ, the end does not.
#[test]
fn all_modes_end_alike() {
    let ways: [(&[u8], i32); 4] = [
        (b"\xb8\x27\x00\x00\x00\x0f\x05", libc::SIGSYS),
        (b"\xb8\x27\x00\x00\x40\x0f\x05", libc::SIGSYS),
        (b"\xb8\x14\x00\x00\x00\xcd\x80", libc::SIGSYS),
        // rt_sigreturn, with a frame of the guest's making
        (b"\xb8\x0f\x00\x00\x00\x0f\x05", libc::SIGSYS),
    ];
    for (way, signal) in ways {
        for mode in [ALONE, "--no-jail", "--jail"] {
            for modern in [false, true] {
                let code = Code::default().bytes(way).exit(MADE as u64);
                let file = File::of_code(&code.0, &[]);
                let guest = Guest::new(&if modern { file.modern() } else { file });
                assert_eq!(guest.signal(&[mode]), signal, "{way:x?} {mode}");
            }
        }
    }
}

const DEVICES: [(&str, DeviceKind); 3] =
    [("service", DeviceKind::Net), ("data", DeviceKind::Block), ("other", DeviceKind::Net)];

/// A guest with two networks and a disk of eight blocks, which makes one call.
struct Attached {
    wires: [(OwnedFd, OwnedFd); 2],
}

impl Attached {
    fn new() -> Self {
        let flags = SockFlag::empty();
        let pair = || socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
        Self { wires: [pair(), pair()] }
    }

    /// How the guest ends; its disk must be as it was, unless the call is made.
    fn end_of(&self, number: i64, arguments: &[u64], modern: bool) -> Option<i32> {
        let code = Code::default().call(number, arguments).exit(MADE as u64);
        let file = File::of_code(&code.0, &DEVICES);
        let guest = Guest::new(&if modern { file.modern() } else { file });
        let disk = guest.disk(&[0x5a; 4096]);
        let options = [
            ALONE.to_owned(),
            format!("--net:service=@{}", self.wires[0].0.as_raw_fd()),
            format!("--net:other=@{}", self.wires[1].0.as_raw_fd()),
            format!("--block:data={disk}"),
        ];
        let output = guest.run(&options.each_ref().map(|option| &**option));
        let signal = output.status.signal();
        if signal.is_some() {
            assert_eq!(output.stdout, b"", "{output:?}");
            assert_eq!(fs::read(&disk).unwrap(), [0x5a; 4096], "{number} {arguments:x?}");
        } else {
            assert_eq!(output.status.code(), Some(MADE), "{output:?}");
        }
        signal
    }
}

#[test]
fn every_other_descriptor_ends_the_guest() {
    let attached = Attached::new();
    let calls = [
        (libc::SYS_read, &[3, 5][..]),
        (libc::SYS_write, &[1, 3, 5]),
        (libc::SYS_pread64, &[4]),
        (libc::SYS_pwrite64, &[4]),
    ];
    for (number, permitted) in calls {
        for fd in (0..=1023).chain([u64::MAX, 1 << 31]) {
            let signal = attached.end_of(number, &[fd, HEAP, 512, 0], fd % 2 == 0);
            let expected = if permitted.contains(&fd) { None } else { Some(libc::SIGSYS) };
            assert_eq!(signal, expected, "{number} {fd}");
        }
    }
}

/// The doorbells of a ring are the only descriptors beside the console, each for one call of one size.
#[test]
fn doorbells_take_eight_bytes() {
    let end_of = |call: i64, fd: u64, bytes: u64| {
        let code = Code::default().call(call, &[fd, HEAP, bytes]).exit(MADE as u64);
        let guest = Guest::new(&File::of_code(&code.0, &DEVICES[..1]).modern());
        let output = guest.run(&["--net:service=user", "--no-jail"]);
        assert_eq!(output.stdout, b"", "{output:?}");
        (output.status.signal(), output.status.code())
    };
    let (made, killed) = ((None, Some(MADE)), (Some(libc::SIGSYS), None));
    assert_eq!(end_of(libc::SYS_read, 3, 8), made);
    assert_eq!(end_of(libc::SYS_write, 4, 8), made);
    for bytes in [0, 1, 7, 9, 16, 1 << 32 | 8, u64::MAX] {
        assert_eq!(end_of(libc::SYS_read, 3, bytes), killed, "{bytes}");
        assert_eq!(end_of(libc::SYS_write, 4, bytes), killed, "{bytes}");
    }
    for fd in [0, 1, 2, 4, 5, 6, 7, 1023] {
        assert_eq!(end_of(libc::SYS_read, fd, 8), killed, "{fd}");
    }
    for fd in [0, 2, 3, 5, 6, 7, 1023] {
        assert_eq!(end_of(libc::SYS_write, fd, 8), killed, "{fd}");
    }
}

#[test]
fn no_transfer_leaves_the_disk() {
    let attached = Attached::new();
    let capacity = 4096u64;
    let lengths =
        [0, 1, 511, 512, 513, 1024, 4095, 4096, 4097, 1 << 20, 1 << 32, 1 << 63, u64::MAX];
    let offsets = [
        0,
        1,
        capacity - 512,
        capacity - 511,
        capacity - 1,
        capacity,
        capacity + 1,
        1 << 31,
        1 << 32,
        (1 << 32) + capacity - 512,
        i64::MAX as u64,
        1 << 63,
        u64::MAX - 511,
        u64::MAX,
    ];
    for length in lengths {
        for offset in offsets {
            let inside = length.checked_add(offset).is_some_and(|end| end <= capacity);
            for (number, modern) in [(libc::SYS_pread64, true), (libc::SYS_pwrite64, false)] {
                let signal = attached.end_of(number, &[4, HEAP, length, offset], modern);
                let permitted = if modern {
                    // One tier of 512 bytes and one of all.
                    inside && (length <= 512 && offset <= capacity - 512 || offset == 0)
                } else {
                    inside && length == 512
                };
                let expected = if permitted { None } else { Some(libc::SIGSYS) };
                assert_eq!(signal, expected, "{number} {length:#x} {offset:#x}");
            }
        }
    }
}

#[test]
fn no_wait_takes_more_than_the_devices() {
    let attached = Attached::new();
    // With descriptors from memory that is zero: the standard input, at once, again and again.
    let wait = |count: u64, mask: u64| {
        attached.end_of(libc::SYS_ppoll, &[HEAP, count, HEAP, mask, 8], true)
    };
    assert_eq!([0, 1, 2].map(|count| wait(count, 0)), [None; 3]);
    for count in [3, 4, 63, 1024, 1 << 31, u64::from(u32::MAX)] {
        assert_eq!(wait(count, 0), Some(libc::SIGSYS), "{count}");
    }
    assert_eq!(wait(1, HEAP), Some(libc::SIGSYS));
    assert_eq!(wait(1, 1 << 32), Some(libc::SIGSYS));
}
