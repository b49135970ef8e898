//! What is left to the gateway's process once it serves. It handles whatever a hostile guest or a
//! hostile network sends, so it gives away all that serving does not need, for good:
//!
//! - secrets: the values of its environment are overwritten, since what a guest takes over could read
//!   them;
//! - privileges: no new ones (`no_new_privs`), no capabilities; it leaves no core and cannot be
//!   traced by its user's other processes (not dumpable);
//! - system calls: those of the table in [`rules`], with the arguments named there. Any other kills
//!   the process. So it opens no file, starts no program, makes no memory executable, listens on
//!   no further port and has no sockets but TCP and UDP ones.
//!
//! A panic is told in one line: for a backtrace the standard library would open files.
//!
//! Closing inherited descriptors is up to the caller, who knows which are needed. The soft limit of
//! open files is raised to the hard one, since each connection is a file.

use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::panic::{self, PanicHookInfo};

use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::getpid;
use seccompiler::SeccompCmpOp::{Eq, MaskedEq};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use crate::error::Error;

/// How many files the process may have open once it is confined.
pub(crate) fn files_max() -> Result<usize, Error> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(Error::call("getrlimit"))?;
    Ok(usize::try_from(hard).unwrap_or(usize::MAX))
}

/// What a process is for, and the descriptors that its calls are pinned to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Duty {
    /// A gateway with the host's sockets; on a ring wire it rings the guest's doorbell.
    Gateway { doorbell: Option<RawFd> },
    /// A bridge between a ring wire and a TAP interface.
    Bridge { doorbell: RawFd, tap: RawFd },
}

/// Confines the calling thread, and every process and thread that it will ever start.
///
/// # Errors
/// If the kernel refuses any part of it; the thread is then confined in part.
pub(crate) fn confine(duty: &Duty) -> Result<(), Error> {
    let program = compile(duty)?;
    forget_environment();
    raise_file_limit()?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(Error::call("setrlimit(RLIMIT_CORE)"))?;
    prctl::set_dumpable(false).map_err(Error::call("prctl(PR_SET_DUMPABLE)"))?;
    drop_capabilities()?;
    panic::set_hook(Box::new(tell_of_panic));
    // Sets no_new_privs as well.
    seccompiler::apply_filter(&program).map_err(|error| Error::Confinement(error.to_string()))
}

/// What is said of a panic. The process ends after it as it is built to.
fn tell_of_panic(info: &PanicHookInfo<'_>) {
    let what = info.payload_as_str().unwrap_or("for an unknown reason");
    match info.location() {
        Some(place) => eprintln!("gateway: panicked at {place}: {what}"),
        None => eprintln!("gateway: panicked: {what}"),
    }
}

/// Overwrites all variables of the environment, where the kernel has put them.
fn forget_environment() {
    unsafe extern "C" {
        static environ: *const *mut libc::c_char;
    }
    // SAFETY: the C library sets it before any code of ours runs; this process has one thread.
    let mut entry = unsafe { environ };
    if entry.is_null() {
        return;
    }
    loop {
        // SAFETY: the list ends with a null pointer, at which this loop ends.
        let text = unsafe { *entry };
        if text.is_null() {
            return;
        }
        // SAFETY: each entry is a terminated text.
        let bytes = unsafe { libc::strlen(text) };
        // SAFETY: the kernel places these texts in writable memory, as does the C library.
        unsafe { text.write_bytes(0, bytes) };
        // SAFETY: the null pointer has not been reached.
        entry = unsafe { entry.add(1) };
    }
}

fn raise_file_limit() -> Result<(), Error> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(Error::call("getrlimit"))?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_err(Error::call("setrlimit(RLIMIT_NOFILE)"))
}

/// Takes every capability away, also from the sets that an execve would draw from.
fn drop_capabilities() -> Result<(), Error> {
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let data = [0u32; 6];
    for capability in 0..64 {
        // SAFETY: the call takes numbers only.
        let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        if result != 0 {
            // EINVAL: the kernel has no more of them. EPERM: there is no privilege to give away.
            break;
        }
    }
    // SAFETY: both point to what the third version of the call defines: a header of two words, and
    // two times three words of data, all of which live until it returns.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) };
    Errno::result(result).map(drop).map_err(Error::call("capset"))
}

fn compile(duty: &Duty) -> Result<BpfProgram, Error> {
    let failed = |error: seccompiler::BackendError| Error::Confinement(error.to_string());
    let filter = SeccompFilter::new(
        rules(duty).map_err(failed)?,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        TargetArch::x86_64,
    )
    .map_err(failed)?;
    BpfProgram::try_from(filter).map_err(failed)
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;
/// The value that an argument must have, or some of its bits.
type Condition = (u8, SeccompCmpOp, u64);

/// The permitted calls. One with several lines is permitted if any of them fits; one without
/// conditions, always.
fn rules(duty: &Duty) -> Result<Rules, seccompiler::BackendError> {
    let mut rules = Rules::new();
    add(&mut rules, &process_calls())?;
    let ring = |doorbell| (libc::SYS_write, vec![equals(0, doorbell), (2, Eq, 8)]);
    match *duty {
        Duty::Gateway { doorbell } => {
            add(&mut rules, &socket_calls())?;
            add(&mut rules, &doorbell.map(ring).into_iter().collect::<Vec<_>>())?;
        }
        Duty::Bridge { doorbell, tap } => {
            let frames = [libc::SYS_read, libc::SYS_write].map(|call| (call, vec![equals(0, tap)]));
            add(&mut rules, &[ring(doorbell)])?;
            add(&mut rules, &frames)?;
        }
    }
    Ok(rules)
}

/// A permitted call; all of its conditions must hold.
type Line = (libc::c_long, Vec<Condition>);

fn equals(argument: u8, value: libc::c_int) -> Condition {
    (argument, Eq, value as u64)
}

fn add(rules: &mut Rules, lines: &[Line]) -> Result<(), seccompiler::BackendError> {
    for (call, conditions) in lines {
        let of_call = rules.entry(*call).or_default();
        if !conditions.is_empty() {
            of_call.push(SeccompRule::new(compile_conditions(conditions)?)?);
        }
    }
    Ok(())
}

/// What serving takes besides the wire: the host's sockets.
fn socket_calls() -> Vec<Line> {
    let number = |value: libc::c_int| value as u64;
    let (inet, inet6) = (number(libc::AF_INET), number(libc::AF_INET6));
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let stream = number(libc::SOCK_STREAM | flags);
    let datagram = number(libc::SOCK_DGRAM | flags);
    let (socket_level, tcp_level) = (number(libc::SOL_SOCKET), number(libc::IPPROTO_TCP));
    let table: &[(libc::c_long, &[Condition])] = &[
        (libc::SYS_epoll_ctl, &[]),
        (libc::SYS_recvfrom, &[]),
        (libc::SYS_sendto, &[]),
        (libc::SYS_accept4, &[]),
        (libc::SYS_socket, &[(0, Eq, inet), (1, Eq, stream), (2, Eq, 0)]),
        (libc::SYS_socket, &[(0, Eq, inet6), (1, Eq, stream), (2, Eq, 0)]),
        (libc::SYS_socket, &[(0, Eq, inet), (1, Eq, datagram), (2, Eq, 0)]),
        (libc::SYS_socket, &[(0, Eq, inet6), (1, Eq, datagram), (2, Eq, 0)]),
        (libc::SYS_connect, &[]),
        (libc::SYS_shutdown, &[]),
        (libc::SYS_getsockopt, &[(1, Eq, socket_level), (2, Eq, number(libc::SO_ERROR))]),
        (libc::SYS_setsockopt, &[(1, Eq, socket_level), (2, Eq, number(libc::SO_LINGER))]),
        (libc::SYS_setsockopt, &[(1, Eq, tcp_level), (2, Eq, number(libc::TCP_NODELAY))]),
    ];
    table.iter().map(|(call, conditions)| (*call, conditions.to_vec())).collect()
}

/// What any of these processes may do: wait, use memory, end.
fn process_calls() -> Vec<Line> {
    let number = |value: libc::c_int| value as u64;
    let not_executable: Condition = (2, MaskedEq(number(libc::PROT_EXEC)), 0);
    let anonymous = number(libc::MAP_ANONYMOUS);
    let own = u64::from(getpid().as_raw() as u32);
    let table: &[(libc::c_long, &[Condition])] = &[
        // The loop.
        (libc::SYS_epoll_wait, &[]),
        (libc::SYS_epoll_pwait, &[]),
        (libc::SYS_clock_gettime, &[]),
        // Before it closes a descriptor, the standard library's debug build asks whether it is open.
        (libc::SYS_fcntl, &[(1, Eq, number(libc::F_GETFD))]),
        (libc::SYS_close, &[]),
        // Memory, never executable.
        (libc::SYS_mmap, &[not_executable.clone(), (3, MaskedEq(anonymous), anonymous)]),
        (libc::SYS_mprotect, &[not_executable]),
        (libc::SYS_munmap, &[]),
        (libc::SYS_mremap, &[]),
        (libc::SYS_brk, &[]),
        (libc::SYS_madvise, &[]),
        (libc::SYS_futex, &[]),
        // The end, and what is said at the end. A panic prints and aborts.
        (libc::SYS_write, &[(0, Eq, number(libc::STDOUT_FILENO))]),
        (libc::SYS_write, &[(0, Eq, number(libc::STDERR_FILENO))]),
        (libc::SYS_getpid, &[]),
        (libc::SYS_gettid, &[]),
        (libc::SYS_tgkill, &[(0, Eq, own), (2, Eq, number(libc::SIGABRT))]),
        (libc::SYS_rt_sigprocmask, &[]),
        (libc::SYS_rt_sigaction, &[]),
        (libc::SYS_rt_sigreturn, &[]),
        (libc::SYS_sigaltstack, &[]),
        (libc::SYS_restart_syscall, &[]),
        (libc::SYS_exit, &[]),
        (libc::SYS_exit_group, &[]),
    ];
    table.iter().map(|(call, conditions)| (*call, conditions.to_vec())).collect()
}

fn compile_conditions(
    conditions: &[Condition],
) -> Result<Vec<SeccompCondition>, seccompiler::BackendError> {
    conditions
        .iter()
        .cloned()
        .map(|(argument, operator, value)| {
            // All of these arguments are ints, whose upper half the kernel ignores.
            SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUTIES: [Duty; 3] = [
        Duty::Gateway { doorbell: None },
        Duty::Gateway { doorbell: Some(7) },
        Duty::Bridge { doorbell: 7, tap: 9 },
    ];

    #[test]
    fn the_filters_compile_and_fit() {
        for duty in DUTIES {
            let program = compile(&duty).unwrap();
            assert!(program.len() < 4096, "{duty:?}: {}", program.len());
        }
    }

    #[test]
    fn a_call_with_conditions_is_never_permitted_without() {
        for duty in DUTIES {
            let rules = rules(&duty).unwrap();
            for call in [
                libc::SYS_socket,
                libc::SYS_setsockopt,
                libc::SYS_getsockopt,
                libc::SYS_mmap,
                libc::SYS_mprotect,
                libc::SYS_read,
                libc::SYS_write,
                libc::SYS_tgkill,
                libc::SYS_fcntl,
            ] {
                assert!(rules.get(&call).is_none_or(|rules| !rules.is_empty()), "{call}");
            }
            for call in [
                libc::SYS_open,
                libc::SYS_openat,
                libc::SYS_execve,
                libc::SYS_clone,
                libc::SYS_bind,
                libc::SYS_listen,
                libc::SYS_ptrace,
                libc::SYS_kill,
                libc::SYS_prctl,
                libc::SYS_ioctl,
            ] {
                assert!(!rules.contains_key(&call), "{call}");
            }
        }
    }

    #[test]
    fn a_bridge_has_no_sockets() {
        let rules = rules(&Duty::Bridge { doorbell: 7, tap: 9 }).unwrap();
        for call in [
            libc::SYS_socket,
            libc::SYS_connect,
            libc::SYS_accept4,
            libc::SYS_sendto,
            libc::SYS_recvfrom,
            libc::SYS_epoll_ctl,
        ] {
            assert!(!rules.contains_key(&call), "{call}");
        }
    }
}
