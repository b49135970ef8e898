//! The `tender` command with guests of a few instructions: what they can do, what ends them, and
//! what is left of the tender while they run.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use solo5_sys::extension::{Features, Request, Stub};
use solo5_sys::manifest::DeviceKind;
use support::process::{Guest, Running};
use support::{CODE, Code, DATA, File, HEAP, Program, R, W};

const BOOT_INFO: u64 = 0x1_1000;

#[test]
fn a_guest_prints_and_exits() {
    let output = Guest::of(Code::default().write(1, b"hi\n").exit(7)).run(&[]);
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(output.stdout, b"hi\n");
    assert_eq!(output.stderr, b"");
}

#[test]
fn verbose_says_what_is_permitted() {
    let guest = Guest::new(&File::of_code(&Code::default().exit(0).0, &[]).modern());
    let output = guest.run(&["--verbose"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "tender: policy: 4 system calls: write, ppoll, clock_gettime, exit_group\n");
}

#[test]
fn forbidden_calls_kill() {
    let getpid = Code::default().call(libc::SYS_getpid, &[]).exit(0);
    assert_eq!(Guest::of(getpid).signal(&[]), libc::SIGSYS);
    let other_fd = Code::default().call(libc::SYS_write, &[2, DATA, 1]).exit(0);
    assert_eq!(Guest::of(other_fd).signal(&[]), libc::SIGSYS);
    let elsewhere = Code::default().exit(0);
    let mut file = File::of_code(&elsewhere.0, &[]).modern();
    assert_eq!(Guest::new(&file).status(&[]), 0);
    file.programs.pop();
    let stub = Stub { start: CODE, end: CODE + 2 };
    let file = file.asking(Request { features: Features::STUB, stub, ..Request::default() });
    assert_eq!(Guest::new(&file).signal(&[]), libc::SIGSYS);
    let modern = Code::default().call(libc::SYS_arch_prctl, &[0x1002, 0]).exit(0);
    let guest = Guest::new(&File::of_code(&modern.0, &[]).modern());
    assert_eq!(guest.signal(&[]), libc::SIGSYS);
    assert_eq!(Guest::of(modern).status(&[]), 0);
}

#[test]
fn memory_faults_kill() {
    // Leaves `xor edi, edi; mov eax, 231; syscall` at an address, exit_group(0), and jumps there.
    let planted = |address: u64| {
        let code = Code::default().set_rax(u64::from_le_bytes(*b"\x31\xff\xb8\xe7\0\0\0\x0f"));
        let code = code.store_rax(address).set_rax(5).store_rax(address + 8);
        code.set_rax(address).bytes(b"\xff\xe0")
    };
    let faults = [
        ("null", Code::default().load_rax(8)),
        ("below memory", Code::default().load_rax(0xfff8)),
        ("between low region and image", Code::default().load_rax(0x3_0000)),
        ("code", Code::default().store_rax(CODE)),
        ("extension page", Code::default().store_rax(0x1_0000)),
        ("launch code", Code::default().store_rax(0x1_6000)),
        ("filter", Code::default().store_rax(0x1_8000)),
        ("record executed", planted(0x2_0000)),
        ("its stack executed", planted(0x2_2000)),
        ("beyond memory", Code::default().load_rax(4 << 20)),
        ("data executed", planted(DATA)),
        ("heap executed", planted(HEAP)),
    ];
    for (name, code) in faults {
        assert_eq!(Guest::of(code.exit(0)).signal(&[]), libc::SIGSEGV, "{name}");
    }
}

#[test]
fn variables_lie_in_pages_of_their_own_for_reading() {
    let of = |code: Code| Guest::new(&File::of_code(&code.exit(0).0, &[]).modern());
    let env = "--env=A=1";
    for mode in ["--no-supervisor", "--jail"] {
        let output = of(Code::default().call(libc::SYS_write, &[1, 0x3_0000, 4])).run(&[env, mode]);
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"A=1\0"[..]), "{mode}");
        assert_eq!(of(Code::default().store_rax(0x3_0000)).signal(&[env, mode]), libc::SIGSEGV);
        assert_eq!(of(Code::default().load_rax(0x3_1000)).signal(&[env, mode]), libc::SIGSEGV);
        assert_eq!(of(Code::default().load_rax(0x3_0000)).signal(&[mode]), libc::SIGSEGV);
    }
    let output = Guest::of(Code::default().exit(0)).run(&[env]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.ends_with("' reads no variables (it does not ask for the feature `environment`), but --env sets some\n"), "{said}");
}

#[test]
fn a_death_is_told_with_its_cause_and_place() {
    let deaths: [(&str, &[u8], i32, &str); 9] = [
        ("ud2", b"\x0f\x0b", libc::SIGILL, "SIGILL: an illegal instruction"),
        ("int3", b"\xcc", libc::SIGTRAP, "SIGTRAP: a breakpoint"),
        ("div ecx", b"\x31\xc9\xf7\xf1", libc::SIGFPE, "SIGFPE: an arithmetic fault"),
        (
            "push to no address",
            b"\x6a\x01\x5c\x48\xc1\xe4\x3f\x50",
            libc::SIGBUS,
            "SIGBUS: a memory fault",
        ),
        ("hlt", b"\xf4", libc::SIGSEGV, "SIGSEGV: it used an impossible address or a privileged"),
        (
            "jmp to null",
            b"\x31\xc0\xff\xe0",
            libc::SIGSEGV,
            "SIGSEGV: it jumped to 0x0, where nothing is mapped",
        ),
        (
            "mov [0x10000], eax",
            b"\x89\x04\x25\x00\x00\x01\x00",
            libc::SIGSEGV,
            "SIGSEGV: it wrote to 0x10000, which is protected from that",
        ),
        (
            "int 0x80",
            b"\xb8\x04\x00\x00\x00\xcd\x80",
            libc::SIGSYS,
            "SIGSYS: it made system call 4 by the 32-bit entry point",
        ),
        (
            "getpid of x32",
            b"\xb8\x27\x00\x00\x40\x0f\x05",
            libc::SIGSYS,
            "SIGSYS: it made system call 39 of the x32 ABI",
        ),
    ];
    for (name, code, signal, told) in deaths {
        let output = Guest::of(Code::default().bytes(code).exit(0)).run(&[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.signal(), Some(signal), "{name}: {said}");
        assert!(said.starts_with(&format!("tender: the guest was killed by {told}")), "{said}");
        assert!(said.contains("\ntender:   rax "), "{name}: {said}");
        assert!(said.lines().all(|line| line.len() <= 100), "{said}");
        let alone = Guest::of(Code::default().bytes(code).exit(0)).run(&["--no-supervisor"]);
        assert_eq!(alone.status.signal(), Some(signal), "{name}");
        assert_eq!(alone.stderr, b"", "{name}");
    }
}

#[test]
fn a_file_may_have_as_many_holes_as_segments() {
    let mut file = File::of_code(&Code::default().exit(7).0, &[]);
    for i in 0..60 {
        file.programs.push(Program::load(R | W, 0x20_0000 + i * 0x4000, &[1; 8]));
    }
    for mode in [&[][..], &["--no-supervisor"], &["--jail"]] {
        let options = [&["--mem=16"], mode].concat();
        assert_eq!(Guest::new(&file).status(&options), 7, "{mode:?}");
    }
}

#[test]
fn an_image_may_lie_high() {
    const HIGH: u64 = 0x6000_0000_0000;
    let mut file = File::of_code(&Code::default().exit(7).0, &[]);
    file.programs[0].address = HIGH;
    file.programs[1].address = HIGH + 0x10_0000;
    file.entry = HIGH;
    let mem = format!("--mem={}", (HIGH + 0x20_0000) >> 20);
    for mode in ["--no-supervisor", "--no-jail", "--jail"] {
        assert_eq!(Guest::new(&file).status(&[&mem, mode]), 7, "{mode}");
    }
}

#[test]
fn no_stack_pointer_changes_how_a_guest_ends() {
    let stacks = [0, 0x2_0800, 0x2_2010, 0x2_2800, 0x2_fff0, 0x3_0000, 1 << 47, 1 << 63, u64::MAX];
    for stack in stacks {
        // mov rsp, rax; then a forbidden call
        let code = Code::default().set_rax(stack).bytes(b"\x48\x89\xc4");
        let code = code.call(libc::SYS_getpid, &[]).exit(0);
        for mode in ["--no-supervisor", "--no-jail", "--jail"] {
            assert_eq!(Guest::of(Code(code.0.clone())).signal(&[mode]), libc::SIGSYS, "{stack:#x}");
        }
    }
}

#[test]
fn a_signal_from_outside_is_told_as_one() {
    for (number, name) in [
        (libc::SIGSEGV, "SIGSEGV (sent by somebody)"),
        (libc::SIGSYS, "SIGSYS (sent by somebody)"),
        (libc::SIGKILL, "SIGKILL (by somebody, or by the kernel for lack of memory)"),
        (libc::SIGUSR1, "SIGUSR1 (sent by somebody)"),
        (40, "signal 40 (sent by somebody)"),
    ] {
        let running = Running::start(Guest::of(Code::up().spin()).command(&[]));
        let children = running.proc(&format!("task/{}/children", running.child.id()));
        let guest: i32 = children.trim().parse().unwrap();
        // SAFETY: takes no pointer.
        assert_eq!(unsafe { libc::kill(guest, number) }, 0);
        let said = format!("tender: the guest was killed by {name}\n");
        assert_eq!(end(running), (Some(number), said));
    }
}

/// Code that fills a record as for a death by a signal of the guest's own making.
fn forging(signal: u64) -> Code {
    // The signal's number; in its information si_code 1; above, registers.
    let code = Code::default().set_rax(signal).store_rax(0x2_0000);
    let code = code.set_rax(1).store_rax(0x2_0018).set_rax(u64::MAX);
    (0..23).fold(code, |code, register| code.store_rax(0x2_0040 + 8 * register))
}

/// The tender with a guest that has forged its record, and the guest's process.
fn forger(signal: i32) -> (Running, i32) {
    let up = Code::up();
    let code = Code([forging(signal as u64).0, up.0].concat()).spin();
    let running = Running::start(Guest::of(code).command(&[]));
    let children = running.proc(&format!("task/{}/children", running.child.id()));
    let guest = children.trim().parse().unwrap();
    (running, guest)
}

fn end(mut running: Running) -> (Option<i32>, String) {
    let mut said = String::new();
    running.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (running.child.wait().unwrap().signal(), said)
}

#[test]
fn a_forged_record_is_not_believed_against_the_signal() {
    let (running, guest) = forger(libc::SIGSEGV);
    // SAFETY: takes no pointer.
    assert_eq!(unsafe { libc::kill(guest, libc::SIGKILL) }, 0);
    let (signal, said) = end(running);
    assert_eq!(signal, Some(libc::SIGKILL));
    let why = "(by somebody, or by the kernel for lack of memory)";
    assert_eq!(said, format!("tender: the guest was killed by SIGKILL {why}\n"));
}

#[test]
fn a_forged_record_of_the_same_signal_is_only_read() {
    // The worst numbers there are, and a death by that signal: what is told is wrong, and nothing else.
    for signal in [libc::SIGSYS, libc::SIGSEGV] {
        let code = forging(signal as u64).exit(3);
        let output = Guest::of(code).run(&[]);
        assert_eq!((output.status.code(), &*output.stderr), (Some(3), &b""[..]));
        let (running, guest) = forger(signal);
        // The handler notes this one over the forged one.
        // SAFETY: takes no pointer.
        assert_eq!(unsafe { libc::kill(guest, signal) }, 0);
        let (ended_by, said) = end(running);
        assert_eq!(ended_by, Some(signal), "{said}");
        assert!(said.contains("(sent by somebody)"), "{said}");
    }
}

#[test]
fn a_death_is_told_whatever_the_starter_has_blocked() {
    let guest = Guest::of(Code::default().load_rax(8).exit(0));
    let mut command = guest.command(&[]);
    let block_all = || {
        // SAFETY: zero is a valid set.
        let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: `set` is one.
        unsafe { libc::sigfillset(&raw mut set) };
        // SAFETY: `set` is one, and a null pointer is ignored.
        unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
        Ok(())
    };
    // SAFETY: the closure allocates nothing.
    let command = unsafe { std::os::unix::process::CommandExt::pre_exec(&mut command, block_all) };
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{said}");
    assert!(
        said.starts_with("tender: the guest was killed by SIGSEGV: it read from 0x8"),
        "{said}"
    );
}

#[test]
fn a_listener_that_is_gone_changes_no_status() {
    let guest = Guest::of(Code::default().exit(7));
    for (options, status) in [(&["--bogus"][..], 1), (&["--verbose"], 7)] {
        for mode in [&[][..], &["--no-supervisor"]] {
            let mut command = guest.command(&[mode, options].concat());
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let status_seen = command.stderr(writer).status().unwrap();
            assert_eq!(status_seen.code(), Some(status), "{options:?} {mode:?}");
        }
    }
}

#[test]
fn the_heap_is_executable_only_when_asked() {
    // Writes a `syscall` instruction to the heap and jumps there with exit_group(7) prepared.
    let code = Code::default()
        .set_rax(0x050f)
        .store_rax(HEAP)
        .set_rax(HEAP)
        .bytes(b"\x48\x89\xc1\xbf\x07\x00\x00\x00")
        .set_rax(libc::SYS_exit_group as u64)
        .bytes(b"\xff\xe1");
    let guest = Guest::of(code);
    assert_eq!(guest.signal(&[]), libc::SIGSEGV);
    assert_eq!(guest.status(&["--x-exec-heap"]), 7);
}

#[test]
fn registers_are_clean_on_entry() {
    // Ors all registers but rdi and rsp into rax, the flags too, and xors in what the two
    // should be. lea rcx keeps flags; pushfq first.
    let code = b"\x9c"; // pushfq
    let ors: [&[u8]; 13] = [
        b"\x48\x09\xd8",
        b"\x48\x09\xc8",
        b"\x48\x09\xd0",
        b"\x48\x09\xf0",
        b"\x48\x09\xe8",
        b"\x4c\x09\xc0",
        b"\x4c\x09\xc8",
        b"\x4c\x09\xd0",
        b"\x4c\x09\xd8",
        b"\x4c\x09\xe0",
        b"\x4c\x09\xe8",
        b"\x4c\x09\xf0",
        b"\x4c\x09\xf8",
    ];
    let mut code = Code::default().bytes(code);
    for or in ors {
        code = code.bytes(or);
    }
    let code = code
        // pop rbx; and rbx, 0xcd5 (status flags, DF); or rax, rbx
        .bytes(b"\x5b\x48\x81\xe3\xd5\x0c\x00\x00\x48\x09\xd8")
        // or rax, [rsp] (the place of the return address)
        .bytes(b"\x48\x0b\x04\x24")
        // xor rdi, 0x11000; or rax, rdi
        .bytes(b"\x48\x81\xf7\x00\x10\x01\x00\x48\x09\xf8")
        // xor rsp, 0x3ffff8; or rax, rsp
        .bytes(b"\x48\x81\xf4\xf8\xff\x3f\x00\x48\x09\xe0")
        // movq rcx, xmm0; or rax, rcx; movq rcx, xmm15; or rax, rcx
        .bytes(b"\x66\x48\x0f\x7e\xc1\x48\x09\xc8\x66\x4c\x0f\x7e\xf9\x48\x09\xc8")
        // neg rax; sbb rax, rax; neg rax: 1 if anything was set
        .bytes(b"\x48\xf7\xd8\x48\x19\xc0\x48\xf7\xd8")
        .exit_with_rax();
    assert_eq!(Guest::of(code).status(&[]), 0);
}

#[test]
fn boot_information_is_what_the_abi_says() {
    let arguments = ["--solo5:quiet", "a b"];
    // Adds up the differences from what is expected.
    let expected = [(0, 4 << 20), (8, HEAP), (16, 0x1_4000), (24, 0x1_2000)];
    let mut code = Code::default().bytes(b"\x31\xdb"); // xor ebx, ebx
    for (offset, value) in expected {
        code = code
            .load_rax(BOOT_INFO + offset)
            .bytes(b"\x48\x89\xc1") // mov rcx, rax
            .set_rax(value)
            .bytes(b"\x48\x31\xc8\x48\x09\xc3"); // xor rax, rcx; or rbx, rax
    }
    let ok = code
        .bytes(b"\x48\x89\xd8\x48\xf7\xd8\x48\x19\xc0\x48\xf7\xd8") // mov rax, rbx; then 0 or 1
        .store_rax(DATA)
        .call(libc::SYS_write, &[1, 0x1_4000, 17])
        .load_rax(DATA)
        .exit_with_rax();
    let output = Guest::of(ok).command(&[]).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(output.stdout, b"--solo5:quiet a b");
}

#[test]
fn a_plain_guest_waits_by_epoll() {
    // timerfd_settime(timer, TFD_TIMER_ABSTIME, {0, 1ns}, NULL); epoll_pwait(.., 4, -1, NULL).
    let wait = |code: Code, number: i64, fd_at: u64, arguments: &[u64]| {
        let prepared = code.call(libc::SYS_clock_gettime, &[1, HEAP]);
        let mut all = vec![0];
        all.extend(arguments);
        let call = Code::default().call(number, &all).0;
        // mov edi, [fd_at] just before the `syscall` instruction.
        let (before, syscall) = call.split_at(call.len() - 2);
        let load = [b"\x8b\x3c\x25".as_slice(), &(fd_at as u32).to_le_bytes()].concat();
        prepared.bytes(before).bytes(&load).bytes(syscall)
    };
    let (epoll_at, timer_at) = (BOOT_INFO + 32, BOOT_INFO + 36);
    let code = Code::default().set_rax(1).store_rax(DATA + 24);
    let code = wait(code, libc::SYS_timerfd_settime, timer_at, &[1, DATA, 0]);
    let code = wait(code, libc::SYS_epoll_pwait, epoll_at, &[DATA + 64, 4, u64::MAX, 0, 0]);
    // The event's data must be the timer's mark: exit status 1 event + (mark - 0xfffffffe).
    let code = code
        .bytes(b"\x48\x89\xc3") // mov rbx, rax
        .load_rax(DATA + 68)
        .bytes(b"\x48\x01\xd8\xb9\xfe\xff\xff\xff\x48\x29\xc8") // add rax, rbx; sub rax, mark
        .exit_with_rax();
    assert_eq!(Guest::of(code).status(&[]), 1);
}

#[test]
fn a_guest_waits_by_ppoll_only_if_it_asks() {
    let code = Code::default().call(libc::SYS_ppoll, &[0, 0, DATA, 0, 0]).exit_with_rax();
    let file = File::of_code(&code.0, &[]);
    assert_eq!(Guest::new(&file).signal(&[]), libc::SIGSYS);
    assert_eq!(Guest::new(&file.modern()).status(&[]), 0);
}

const DISK: [(&str, DeviceKind); 1] = [("data", DeviceKind::Block)];
/// The first device's descriptor.
const FIRST_FD: u64 = 3;

fn block_guest(number: i64, arguments: &[u64], request: Request) -> Guest {
    let code = Code::default().call(number, arguments).bytes(b"\x48\xc1\xe8\x08").exit_with_rax();
    Guest::new(&File::of_code(&code.0, &DISK).asking(request))
}

#[test]
fn a_block_device_is_read_and_written_within_its_capacity() {
    let multi = Request { features: Features::MULTI_BLOCK, ..Request::default() };
    for (request, length, offset, permitted) in [
        (Request::default(), 512, 0, true),
        (Request::default(), 512, 7 * 512, true),
        (Request::default(), 512, 7 * 512 + 1, false),
        (Request::default(), 1024, 0, false),
        (Request::default(), 512, u64::MAX, false),
        (multi, 4096, 0, true),
        (multi, 4096, 512, false),
        (multi, 4608, 0, false),
    ] {
        for number in [libc::SYS_pread64, libc::SYS_pwrite64] {
            let guest = block_guest(number, &[FIRST_FD, HEAP, length, offset], request);
            let option = format!("--block:data={}", guest.disk(&[0x5a; 4096]));
            let output = guest.run(&[&option]);
            let case = format!("{number} {length} {offset} {output:?}");
            if permitted {
                assert_eq!(output.status.code(), Some((length >> 8) as i32), "{case}");
            } else {
                assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{case}");
            }
        }
    }
}

#[test]
fn writes_reach_the_file_and_read_only_devices_take_none() {
    let arguments = [FIRST_FD, HEAP, 512, 512];
    let guest = block_guest(libc::SYS_pwrite64, &arguments, Request::default());
    let disk = guest.disk(&[0x5a; 1024]);
    assert_eq!(guest.status(&[&format!("--block:data={disk}"), "--block-sync:data"]), 2);
    assert_eq!(fs::read(&disk).unwrap(), [[0x5a; 512], [0; 512]].concat());

    let read_only = Request { read_only: 1 << 1, ..Request::default() };
    let guest = block_guest(libc::SYS_pwrite64, &arguments, read_only);
    let disk = guest.disk(&[0x5a; 1024]);
    assert_eq!(guest.signal(&[&format!("--block:data={disk}")]), libc::SIGSYS);
}

#[test]
fn an_optional_device_that_is_not_attached_has_no_descriptor() {
    // The mark of the first entry, which is zero if nothing is attached.
    let attached_at = 0x1_2000 + 8 + 104 + 96;
    let optional = Request { optional: 1 << 1, ..Request::default() };
    let mark = Code::default().load_rax(attached_at).exit_with_rax();
    let guest = Guest::new(&File::of_code(&mark.0, &DISK).asking(optional));
    let attach = format!("--block:data={}", guest.disk(&[0x5a; 1024]));
    for mode in ["--no-supervisor", "--no-jail", "--jail"] {
        assert_eq!(guest.status(&[mode]), 0, "{mode}");
        assert_eq!(guest.status(&[mode, &attach]), 1, "{mode}");
        let call = block_guest(libc::SYS_pread64, &[FIRST_FD, HEAP, 512, 0], optional);
        assert_eq!(call.signal(&[mode]), libc::SIGSYS, "{mode}");
    }
}

#[test]
fn synchronous_devices_are_told_to_guests_that_ask() {
    // The word of the extension page.
    let code = Code::default().load_rax(0x1_0000 + 144).exit_with_rax();
    let asking = Request { features: Features::SYNC, ..Request::default() };
    let guest = Guest::new(&File::of_code(&code.0, &DISK).asking(asking));
    let attach = format!("--block:data={}", guest.disk(&[0x5a; 1024]));
    assert_eq!(guest.status(&[&attach]), 0);
    assert_eq!(guest.status(&[&attach, "--block-sync:data"]), 1 << 1);
}

/// The guest holds the lock, whatever is around it, and nothing is left of it when the guest is gone.
#[test]
fn a_disk_that_is_written_to_is_in_use_as_long_as_its_guest_lives() {
    let spinning = Guest::new(&File::of_code(&Code::up().spin().0, &DISK).modern());
    let attach = format!("--block:data={}", spinning.disk(&[0x5a; 1024]));
    let second = Guest::new(&File::of_code(&Code::default().exit(7).0, &DISK).modern());
    for mode in ["--no-supervisor", "--no-jail", "--jail"] {
        let running = Running::start(spinning.command(&[mode, &attach]));
        for second_mode in ["--no-supervisor", "--jail"] {
            let output = second.run(&[second_mode, &attach]);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{mode}: {output:?}");
            assert!(said.contains("disk.img' is in use by another guest"), "{mode}: {said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
        // The supervisor is killed, and takes the guest along.
        drop(running);
        let deadline = Instant::now() + Duration::from_secs(20);
        while second.run(&[&attach]).status.code() != Some(7) {
            assert!(Instant::now() < deadline, "{mode}: the disk is still in use");
        }
    }
}

const NET: [(&str, DeviceKind); 1] = [("service", DeviceKind::Net)];

fn echo_guest() -> File {
    // Polls its one network device, reads a frame, writes it back, exits with its length.
    let fd_at = 0x1_2000 + 8 + 104 + 88;
    let code = Code::default()
        .load_rax(fd_at)
        .bytes(b"\x89\x04\x25")
        .bytes(&(DATA as u32).to_le_bytes()) // mov [DATA], eax
        .set_rax(1)
        .bytes(b"\x89\x04\x25")
        .bytes(&(DATA as u32 + 4).to_le_bytes()) // events = POLLIN
        .call(libc::SYS_ppoll, &[DATA, 1, 0, 0, 0]);
    let call = |code: Code, number: i64, length: &[u8]| {
        code.set_rax(HEAP)
            .bytes(b"\x48\x89\xc6") // mov rsi, rax
            .bytes(length)
            .bytes(b"\x8b\x3c\x25")
            .bytes(&(fd_at as u32).to_le_bytes()) // mov edi, [fd_at]
            .set_rax(number as u64)
            .bytes(b"\x0f\x05")
    };
    let code = call(code, libc::SYS_read, b"\xba\xdc\x05\x00\x00"); // mov edx, 1500
    let code = code.bytes(b"\x48\x89\xc3"); // mov rbx, rax
    let code = call(code, libc::SYS_write, b"\x89\xda"); // mov edx, ebx
    File::of_code(&code.exit_with_rax().0, &NET).modern()
}

#[test]
fn frames_cross_a_descriptor() {
    let (ours, theirs) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::empty()).unwrap();
    let guest = Guest::new(&echo_guest());
    let option = format!("--net:service=@{}", theirs.as_raw_fd());
    let mut ours = fs::File::from(ours);
    ours.write_all(&[0x11; 60]).unwrap();
    assert_eq!(guest.status(&[&option]), 60);
    let mut frame = [0; 100];
    assert_eq!(ours.read(&mut frame).unwrap(), 60);
    assert_eq!(frame[..60], [0x11; 60]);
    drop::<OwnedFd>(theirs);
}

#[test]
fn what_cannot_run_gives_one_line_and_status_1() {
    let guest = Guest::new(&File::of_code(&Code::default().exit(0).0, &DISK));
    let disk = guest.disk(&[0; 1000]);
    let partial = format!("--block:data={disk}");
    for (options, expected) in [
        (
            vec![],
            "tender: the unikernel declares the block device 'data': attach it by --block:data=PATH",
        ),
        (vec![&*partial], "which is no multiple of the block size 512"),
        (vec!["--block:data=/nonexistent"], "tender: --block:data: cannot open '/nonexistent'"),
        (vec!["--block:data=/dev/null"], "is neither a regular file nor a block device"),
        (vec!["--what"], "tender: unknown option '--what'"),
        (vec!["/dev/null"], "tender: '/dev/null' is not a regular file"),
        (vec!["/proc/self/status"], "is not an ELF file"),
        (vec!["/nonexistent"], "tender: '/nonexistent' cannot be read"),
    ] {
        let output = guest.run(&options);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{options:?}: {said}");
        assert!(said.starts_with("tender: ") && said.contains(expected), "{options:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert_eq!(output.stdout, b"");
    }
}

#[test]
fn memory_beyond_the_tender_is_refused_with_what_fits() {
    let guest = Guest::of(Code::default().exit(0));
    let tender = env!("CARGO_BIN_EXE_tender");
    let output = Command::new(tender).arg("--mem=134217726").arg(&guest.path).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.starts_with("tender: --mem=134217726 reaches into"), "{said}");
    assert!(said.ends_with(" is the largest possible here\n"), "{said}");
}

#[test]
fn help_version_and_inspect_print() {
    let guest = Guest::new(&File::of_code(&Code::default().exit(0).0, &DISK).modern());
    let print = |options: &[&str]| {
        let output = guest.run(options);
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(print(&["--help"]).contains("Usage: tender "));
    assert!(print(&["--version"]).starts_with("tender "));
    let report = print(&["--inspect"]);
    assert!(report.contains("device    block data, not attached: shown with "), "{report}");
    let disk = format!("--block:data={}", guest.disk(&[0; 4096]));
    let attached = print(&["--inspect", &disk]);
    assert!(attached.contains("device    block data, 8 blocks of 512 bytes\n"), "{attached}");
    assert!(attached.contains("  pwrite64        fd = block:data, length <= 512, "), "{attached}");
    assert!(attached.contains("     0  load architecture\n"), "{attached}");
    assert!(report.contains("6 system calls: write, ppoll, pread64, pwrite64,"), "{report}");
    let json = print(&["--inspect=json"]);
    assert!(json.starts_with("{\"target\":\"spt\",\"abi_version\":2,"), "{json}");
}

#[test]
fn what_was_typed_cannot_forge_a_line() {
    let guest = Guest::of(Code::default().exit(0));
    for (options, quoted) in [
        (&["--fro\nbnicate"][..], r"--fro\nbnicate"),
        (&["--mem=\u{1b}[2J"], r"--mem=\u{1b}[2J"),
        (&["--block:a\r=b"], r"--block:a\r:"),
        (&["--", "/nonexistent/a\nb"], r"/nonexistent/a\nb"),
    ] {
        let output = guest.run(options);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said:?}");
        let line = said.strip_suffix('\n').unwrap();
        assert!(line.contains(quoted) && !line.contains(char::is_control), "{said:?}");
    }
}
