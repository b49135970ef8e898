//! The kernel's own verdict: a child process takes the filter, with both verdicts turned into error
//! numbers, so that it can make a million calls of which none is carried out.

use std::arch::global_asm;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use nix::libc;
use solo5_sys::extension::Features;
use tender::policy::bpf::{ARCHITECTURE_X86_64, CallData, Program};

use crate::statement::{Device, Guest, Random};
use crate::{compile, full};

const CALLS: usize = 1_000_000;
const PERMITTED: i32 = 201;
const REFUSED: i32 = 202;
const TIME_OUT: Duration = Duration::from_secs(60);
/// `uretprobe` and `uprobe`, which Linux 6.14 and later let pass by all filters. They do nothing but
/// end the process (SIGILL) or fail (ENXIO), unless the kernel itself has placed the instruction.
const NEVER_FILTERED: [u32; 2] = [335, 336];

// call_by_stub(number, arguments) and the same by another instruction.
global_asm!(
    ".macro enter_kernel name",
    "\\name:",
    "mov rax, rdi",
    "mov r11, rsi",
    "mov rdi, [r11]",
    "mov rsi, [r11 + 8]",
    "mov rdx, [r11 + 16]",
    "mov r10, [r11 + 24]",
    "mov r8, [r11 + 32]",
    "mov r9, [r11 + 40]",
    "syscall",
    "\\name\\()_end:",
    "ret",
    ".endm",
    "enter_kernel call_by_stub",
    "enter_kernel call_elsewhere",
);

unsafe extern "C" {
    fn call_by_stub(number: u64, arguments: *const u64) -> i64;
    static call_by_stub_end: u8;
    fn call_elsewhere(number: u64, arguments: *const u64) -> i64;
    static call_elsewhere_end: u8;
}

/// The program with its verdicts as error numbers.
fn with_errors(program: &Program) -> Vec<libc::sock_filter> {
    let verdict = |errno: i32| libc::SECCOMP_RET_ERRNO | errno as u32;
    let instruction = |bytes: &[u8]| {
        let mut k = u32::from_le_bytes(bytes[4..8].try_into().unwrap());
        let code = u16::from_le_bytes(bytes[..2].try_into().unwrap());
        if code == 6 {
            k = verdict(if k == libc::SECCOMP_RET_ALLOW { PERMITTED } else { REFUSED });
        }
        libc::sock_filter { code, jt: bytes[2], jf: bytes[3], k }
    };
    program.to_bytes().chunks(8).map(instruction).collect()
}

/// Room that parent and child share.
struct Shared {
    done: AtomicI32,
    verdicts: [AtomicI32; CALLS],
}

fn shared() -> &'static Shared {
    // SAFETY: a new mapping, which disturbs nobody.
    let room = unsafe {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        libc::mmap(std::ptr::null_mut(), size_of::<Shared>(), protection, flags, -1, 0)
    };
    assert_ne!(room, libc::MAP_FAILED);
    // SAFETY: it is mapped, large enough, zero, which all of its fields may be, and never unmapped.
    unsafe { &*room.cast() }
}

/// What the kernel says to each of the calls, by turns from the stub and from elsewhere.
fn ask_kernel(program: &Program, calls: &[CallData]) -> Vec<i32> {
    let mut filter = with_errors(program);
    let fprog = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    let shared = shared();
    // SAFETY: the child allocates nothing and waits for nobody.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        // SAFETY: takes no pointer.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        // SAFETY: takes no pointer.
        unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        let mode = libc::SECCOMP_SET_MODE_FILTER;
        // SAFETY: the program outlives the call.
        let result = unsafe { libc::syscall(libc::SYS_seccomp, mode, 0, &raw const fprog) };
        if result != 0 {
            // Without a filter, the calls would be carried out.
            // SAFETY: ends the child.
            unsafe { libc::_exit(1) };
        }
        for (i, (call, verdict)) in calls.iter().zip(&shared.verdicts).enumerate() {
            let ask = if i % 8 == 7 { call_elsewhere } else { call_by_stub };
            // SAFETY: no call is carried out, whatever its arguments are.
            let answer = unsafe { ask(u64::from(call.number), call.arguments.as_ptr()) };
            verdict.store(-answer as i32, Ordering::Relaxed);
        }
        shared.done.store(1, Ordering::Release);
        loop {
            std::hint::spin_loop();
        }
    }
    let deadline = Instant::now() + TIME_OUT;
    while shared.done.load(Ordering::Acquire) == 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    // SAFETY: the child of this process, which has not been waited for.
    unsafe { libc::kill(child, libc::SIGKILL) };
    let mut status = 0;
    // SAFETY: `status` is writable.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(shared.done.load(Ordering::Acquire), 1, "the child ended early: {status:#x}");
    shared.verdicts[..calls.len()].iter().map(|v| v.load(Ordering::Relaxed)).collect()
}

fn check(guest: &Guest, seed: u64, count: usize) {
    let mut random = Random(seed);
    let stub = (&raw const call_by_stub_end).addr() as u64;
    let elsewhere = (&raw const call_elsewhere_end).addr() as u64;
    let call = |i: usize| {
        let address = if i % 8 == 7 { elsewhere } else { stub };
        let architecture = ARCHITECTURE_X86_64;
        let mut call = CallData { address, architecture, ..guest.call(&mut random) };
        if NEVER_FILTERED.contains(&call.number) {
            call.number = 0;
        }
        call
    };
    let calls: Vec<CallData> = (0..count).map(call).collect();
    let verdicts = ask_kernel(&compile(guest), &calls);
    let mut permitted = 0;
    for (call, verdict) in calls.iter().zip(verdicts) {
        let stated = guest.permits(call);
        assert_eq!(verdict, if stated { PERMITTED } else { REFUSED }, "{call:x?} of {guest:?}");
        permitted += usize::from(stated);
    }
    println!("{count} calls, of which {permitted} are permitted");
    assert!(permitted > count / 100 && permitted < count / 2, "{permitted}");
}

#[test]
fn the_kernel_permits_a_million_random_calls_as_stated() {
    let stub = (&raw const call_by_stub_end).addr() as u64;
    let guest = Guest { stub: stub - 2..stub, ..full(Features::ALL) };
    check(&guest, 42, CALLS);
}

#[test]
fn the_kernel_agrees_on_plain_guests_and_on_many_devices() {
    // All of the address space counts as guest memory, as this test's code lies at its end.
    let memory_end = (1 << 47) - 1;
    check(&Guest { memory_end, ..full(Features::NONE) }, 1, 100_000);
    let stub = (&raw const call_by_stub_end).addr() as u64;
    let devices = (0..63)
        .map(|i| match i % 6 {
            0 => Device::Net,
            3 => Device::Ring,
            _ => Device::Block {
                block_bytes: 512 << (i % 7),
                blocks: 1 << i.min(40),
                read_only: i % 2 == 0,
            },
        })
        .collect();
    let guest = Guest { devices, stub: stub - 2..stub, ..full(Features::ALL) };
    check(&guest, 2, 100_000);
}
