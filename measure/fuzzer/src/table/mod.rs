//! What is called, as tables. One file for each part of the kernel, in the words of [`crate::term`].
//!
//! Numbers are the kernel's, from the headers in `linux/` and `asm-generic/`; they stand as they are, since a thousand
//! names would be used once each.

// Rows stay rows.
#[rustfmt::skip]
mod events;
#[rustfmt::skip]
mod files;
#[rustfmt::skip]
mod net;
#[rustfmt::skip]
mod netlink;
#[rustfmt::skip]
mod process;
#[rustfmt::skip]
mod shape;
#[rustfmt::skip]
mod system;

pub(crate) use files::{ANY, PATHS};
pub(crate) use process::PRELUDES;

use crate::generator::Manner;
use crate::numbers::nr;
use crate::term::{Group, Sequence, T};

/// What can be made and used; those that have more to them stand twice.
pub(crate) const GROUPS: &[&Group] = &[
    &files::FILE,
    &files::FILE,
    &files::FOLDER,
    &files::KERNEL,
    &files::KERNEL,
    &files::KERNEL,
    &files::TERMINAL,
    &files::AIO,
    &events::PIPE_GROUP,
    &events::EPOLL,
    &events::EVENT,
    &events::TIMER,
    &events::SIGNAL,
    &events::INOTIFY,
    &events::FANOTIFY,
    &events::URING,
    &net::STREAM,
    &net::STREAM,
    &net::DATAGRAM,
    &net::DATAGRAM,
    &net::LOCAL,
    &net::RAW,
    &net::CRYPTO,
    &net::ODD,
    &net::ODD,
    &net::TUN,
    &netlink::GROUP,
    &netlink::GROUP,
    &process::CHILDREN,
    &process::PIDFD,
    &process::SCHEDULING,
    &system::MEMORY,
    &system::USERFAULT,
    &system::SEMAPHORES,
    &system::MESSAGES,
    &system::SHARED,
    &system::QUEUE,
    &system::FUTEXES,
    &system::KEYRING,
    &system::MOUNTS,
    &system::LANDLOCK,
    &system::MEASURING,
    &system::PROGRAMS,
];

/// Every call at least once, by itself.
pub(crate) const ALL: &[&[T]] =
    &[files::SINGLE, net::SINGLE, events::SINGLE, process::SINGLE, process::SINGLE, system::SINGLE];

const SEQUENCES: &[&[Sequence]] = &[
    files::SEQUENCES,
    events::SEQUENCES,
    net::SEQUENCES,
    netlink::SEQUENCES,
    process::SEQUENCES,
    system::SEQUENCES,
];

/// Calls in an order.
pub(crate) fn sequences(random: &mut crate::random::Random) -> Sequence {
    let area = *random.pick(SEQUENCES);
    area[random.below(area.len() as u64) as usize]
}

/// Whether other arguments than the table's could hurt who measures: other processes, and memory that is not the
/// arena's.
pub(crate) fn is_careful(number: u16) -> bool {
    matches!(
        number,
        nr::KILL
            | nr::TKILL
            | nr::TGKILL
            | nr::RT_SIGQUEUEINFO
            | nr::RT_TGSIGQUEUEINFO
            | nr::PIDFD_OPEN
            | nr::PRLIMIT64
            | nr::MMAP
            | nr::MUNMAP
            | nr::MPROTECT
            | nr::PKEY_MPROTECT
            | nr::MREMAP
            | nr::MADVISE
            | nr::PROCESS_MADVISE
            | nr::REMAP_FILE_PAGES
            | nr::BRK
            | nr::SHMAT
            | nr::SHMDT
            | nr::CLONE
            | nr::CLONE3
            | nr::DUP2
            | nr::DUP3
            | nr::CLOSE
            | nr::CLOSE_RANGE
            | nr::PTRACE
            | nr::REBOOT
            | nr::RT_SIGACTION
            | nr::RT_SIGPROCMASK
            | nr::SIGALTSTACK
            | nr::SETITIMER
            | nr::ALARM
            | nr::SCHED_SETSCHEDULER
            | nr::SCHED_SETATTR
            | nr::SETPGID
            | nr::PRCTL
            | nr::FCNTL
            | nr::IOPRIO_SET
            | nr::SETPRIORITY
    )
}

/// Whether it sends a signal to its first argument.
pub(crate) fn is_a_signal(number: u16) -> bool {
    matches!(
        number,
        nr::KILL | nr::TKILL | nr::TGKILL | nr::RT_SIGQUEUEINFO | nr::RT_TGSIGQUEUEINFO
    )
}

/// Whether it does something to the process that one of its first two arguments names.
pub(crate) fn is_about_a_process(number: u16) -> bool {
    const OTHERS: &[u16] = &[
        nr::PTRACE,
        nr::PIDFD_OPEN,
        nr::PRLIMIT64,
        nr::PROCESS_VM_WRITEV,
        nr::SCHED_SETSCHEDULER,
        nr::SCHED_SETATTR,
        nr::SCHED_SETPARAM,
        nr::SCHED_SETAFFINITY,
        nr::SETPRIORITY,
        nr::IOPRIO_SET,
        nr::SETPGID,
        nr::PRCTL,
    ];
    is_a_signal(number) || OTHERS.contains(&number)
}

/// How a call must be made, so that who makes it goes on.
pub(crate) fn manner(number: u16, arguments: &[u64; 6]) -> Manner {
    /// Options of `prctl` after which little is possible: PR_SET_SECCOMP, PR_SET_TSC, PR_SET_SYSCALL_USER_DISPATCH.
    const CRIPPLING: &[u64] = &[22, 26, 59];
    match number {
        nr::FORK | nr::VFORK | nr::CLONE | nr::CLONE3 => Manner::Forks,
        nr::EXIT
        | nr::EXIT_GROUP
        | nr::EXECVE
        | nr::EXECVEAT
        | nr::RT_SIGRETURN
        | nr::ARCH_PRCTL => Manner::Ends,
        nr::RSEQ => Manner::Ends,
        nr::PRCTL if CRIPPLING.contains(&arguments[0]) => Manner::Ends,
        // PTRACE_TRACEME: without a tracer that looks, the next signal stops it for good.
        nr::PTRACE if arguments[0] == 0 => Manner::Ends,
        // SECCOMP_SET_MODE_STRICT, and filters of noise.
        nr::SECCOMP if arguments[0] < 2 => Manner::Ends,
        _ => Manner::Plain,
    }
}
