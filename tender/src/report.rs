//! What is told about a guest's death: how, where, and the registers. It reads the [`Record`] that
//! the dying process left, the policy, and the symbols of the unikernel's file.

use nix::sys::signal::Signal;
use syscalls::x86_64::Sysno;

use crate::elf::Source;
use crate::policy::Policy;
use crate::policy::bpf::ARCHITECTURE_X86_64;
use crate::record::{Record, SHOWN, SIGNALS};
use crate::symbols;

/// Set in the numbers of calls by the x32 ABI (`__X32_SYSCALL_BIT`).
const X32: u32 = 0x4000_0000;
/// Trap numbers of the processor (AMD64 manual volume 2, 8.2).
const GENERAL_PROTECTION: u64 = 13;
const PAGE_FAULT: u64 = 14;
/// Bits of a page fault's error code (8.4.2 there).
const WRITE: u64 = 1 << 1;
const FETCH: u64 = 1 << 4;
/// How far from the stack pointer a fault counts as one of the stack.
const STACK_REACH_BYTES: u64 = 64 << 10;
const REGISTERS_A_LINE: usize = 4;

/// The lines of the report on a guest that the signal with this number has ended; the first says it
/// all.
pub(crate) fn of_signal<S: Source + ?Sized>(
    number: i32,
    record: Option<&Record>,
    policy: &Policy,
    file: &S,
) -> Vec<String> {
    let name = signal_name(number);
    let record = record.filter(|record| record.signal() == number && record.is_of_process());
    let Some(record) = record else {
        // A fault of its own making would have been noted.
        let is_fault = SIGNALS.contains(&number);
        let why = if is_fault { "sent by somebody" } else { explain(number) };
        return vec![format!("the guest was killed by {name} ({why})")];
    };
    let (cause, address) = match number {
        libc::SIGSYS => of_call(record, policy),
        libc::SIGSEGV => (of_fault(record), record.register(libc::REG_RIP)),
        _ => (explain(number).to_owned(), record.register(libc::REG_RIP)),
    };
    let function = symbols::function(file, address);
    let place = function.map_or_else(String::new, |function| format!(" in {function}"));
    let mut lines = vec![
        format!("the guest was killed by {name}: {cause}"),
        format!("  at {address:#x}{place}"),
    ];
    let registers =
        SHOWN.map(|(name, number)| format!("{name:>5} {:016x}", record.register(number)));
    lines.extend(registers.chunks(REGISTERS_A_LINE).map(|line| line.join(" ")));
    lines
}

/// The report on a guest that ended by itself; empty if there is nothing to say.
pub(crate) fn of_status(status: i32) -> Vec<String> {
    match status {
        solo5_sys::hypercall::EXIT_ABORT => vec!["the guest aborted (status 255)".to_owned()],
        _ => Vec::new(),
    }
}

/// A signal's name, or its number if it has none.
pub(crate) fn signal_name(number: i32) -> String {
    Signal::try_from(number)
        .map_or_else(|_| format!("signal {number}"), |signal| signal.to_string())
}

/// What a signal that ended a guest means, in a few words.
fn explain(number: i32) -> &'static str {
    match number {
        libc::SIGILL => "an illegal instruction",
        libc::SIGTRAP => "a breakpoint",
        libc::SIGFPE => "an arithmetic fault",
        libc::SIGSEGV | libc::SIGBUS => "a memory fault",
        libc::SIGSYS => "a system call outside its policy",
        libc::SIGPIPE => "its output was closed",
        libc::SIGKILL => "by somebody, or by the kernel for lack of memory",
        libc::SIGINT => "interrupted",
        libc::SIGTERM | libc::SIGHUP | libc::SIGQUIT => "asked to end",
        _ => "sent by somebody",
    }
}

/// A call that the policy does not permit, and the address of its instruction.
fn of_call(record: &Record, policy: &Policy) -> (String, u64) {
    const INSTRUCTION_BYTES: u64 = 2;
    let (behind, number, architecture) = record.call();
    let address = behind.wrapping_sub(INSTRUCTION_BYTES);
    if architecture != ARCHITECTURE_X86_64 {
        return (format!("it made system call {number} by the 32-bit entry point"), address);
    }
    if number & X32 != 0 {
        return (format!("it made system call {} of the x32 ABI", number & !X32), address);
    }
    let name = Sysno::new(number as usize).map_or("an unknown system call", |call| call.name());
    let is_permitted = policy.calls().iter().any(|call| call.number() == i64::from(number));
    let callers = policy.callers();
    let why = if !is_permitted {
        "which is not in its policy"
    } else if !(callers.first..=callers.last).contains(&behind) {
        "outside of its system call stub"
    } else {
        "with arguments that its policy does not permit"
    };
    (format!("it called {name} ({number}), {why}"), address)
}

/// A memory fault.
fn of_fault(record: &Record) -> String {
    /// `SEGV_MAPERR`.
    const NOT_MAPPED: i32 = 1;
    let address = record.register(libc::REG_CR2);
    let error = record.register(libc::REG_ERR);
    match record.register(libc::REG_TRAPNO) {
        PAGE_FAULT => {}
        GENERAL_PROTECTION => {
            return "it used an impossible address or a privileged instruction".to_owned();
        }
        _ => return "a memory fault".to_owned(),
    }
    let attempt = match (error & FETCH != 0, error & WRITE != 0) {
        (true, _) => "jumped",
        (false, true) => "wrote",
        (false, false) => "read",
    };
    let preposition = if attempt == "read" { "from" } else { "to" };
    let on_stack = address.abs_diff(record.register(libc::REG_RSP)) < STACK_REACH_BYTES;
    let why = match record.code() {
        _ if on_stack && attempt != "jumped" => "the stack has overflowed",
        NOT_MAPPED => "where nothing is mapped",
        _ => "which is protected from that",
    };
    format!("it {attempt} {preposition} {address:#x}, {why}")
}
