//! The seccomp filters that processes really have, as the kernel hands them to a tracer. A process is
//! held still for as long as its filters are read, and then goes on; nothing of it is changed.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use surface::filter::{Filters, Instruction};
use surface::model::{Permitted, Policy};

use crate::processes::threads;

/// `PTRACE_SECCOMP_GET_FILTER` (`linux/ptrace.h`).
const GET_FILTER: libc::c_uint = 0x420c;
/// Most filters that are read of one thread. Each has at least one instruction and costs four more of
/// the 32768 that a thread may have, so there are never more.
const MAX_FILTERS: usize = 32_768 / 5 + 1;
/// `BPF_MAXINSNS` (`linux/bpf_common.h`).
const MAX_INSTRUCTIONS: usize = 4096;

/// What the threads of these processes are permitted, taken together: what one may do, the role may.
///
/// A system call that is interrupted for this is begun again, with two exceptions: epoll_wait(2) and
/// its like fail with EINTR, and sleeps go on by restart_syscall(2), which must then be permitted. So
/// this belongs after all measurements of a process.
///
/// # Errors
/// When a process is gone, is traced by another, or when the kernel does not tell filters: it has to be
/// built with `CONFIG_CHECKPOINT_RESTORE`, and the caller needs CAP_SYS_ADMIN and no filter itself.
pub(crate) fn read(role: &str, pids: &[i32]) -> Result<Policy> {
    ensure!(!pids.is_empty(), "no process of the role '{role}' to read the filters of");
    let mut stacks = Vec::new();
    for pid in pids {
        for thread in threads(*pid).with_context(|| format!("process {pid} is not there"))? {
            let stack = filters(thread)
                .with_context(|| format!("cannot read the filters of thread {thread} ({role})"))?;
            if !stacks.contains(&stack) {
                stacks.push(stack);
            }
        }
    }
    together(role, &stacks)
}

type Stack = Vec<Vec<Instruction>>;

fn together(role: &str, stacks: &[Stack]) -> Result<Policy> {
    let mut calls: BTreeMap<String, bool> = BTreeMap::new();
    for stack in stacks {
        let filters = Filters::new(stack)?;
        for Permitted { name, conditional } in filters.permitted() {
            calls.entry(name).and_modify(|before| *before &= conditional).or_insert(conditional);
        }
    }
    let filters = stacks.iter().map(Vec::len).min().unwrap_or(0);
    let permitted = calls.into_iter().map(|(name, conditional)| Permitted { name, conditional });
    let calls = if filters == 0 { Vec::new() } else { permitted.collect() };
    Ok(Policy { role: role.to_owned(), filters: filters.try_into()?, calls })
}

/// Whether a task is a process that still runs, and not one of its threads.
pub(crate) fn is_process(task: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{task}/status")).unwrap_or_default();
    let group = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    group.is_some_and(|group| group.trim().parse() == Ok(task))
}

/// The filters of a thread, the newest first.
fn filters(thread: i32) -> Result<Stack> {
    match mode(thread)? {
        0 => return Ok(Vec::new()),
        2 => {}
        mode => bail!("it has the seccomp mode {mode}, which is no filter"),
    }
    let held = Held::new(thread)?;
    let mut stack = Vec::new();
    while let Some(filter) = held.filter(stack.len())? {
        ensure!(stack.len() < MAX_FILTERS, "it has more filters than a thread can have");
        stack.push(filter);
    }
    ensure!(!stack.is_empty(), "it has a filter, but the kernel shows none");
    Ok(stack)
}

/// The line `Seccomp` of `/proc/PID/status`: 0 for none, 1 for the strict mode, 2 for filters.
fn mode(thread: i32) -> Result<u32> {
    let file = format!("/proc/{thread}/status");
    let status = fs::read_to_string(&file).with_context(|| format!("thread {thread} is gone"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
    let mode = line.with_context(|| format!("{file} has no line 'Seccomp:'"))?;
    mode.trim().parse().with_context(|| format!("{file} has the seccomp mode '{}'", mode.trim()))
}

/// A thread that is traced and stands still until this is dropped.
struct Held {
    thread: Pid,
    /// What it is given when it goes on: a signal that had just come to it.
    signal: Option<Signal>,
}

impl Held {
    fn new(thread: i32) -> Result<Self> {
        let thread = Pid::from_raw(thread);
        ptrace::seize(thread, Options::empty()).context("it cannot be traced (is it already?)")?;
        let mut held = Self { thread, signal: None };
        ptrace::interrupt(thread).context("it cannot be interrupted")?;
        match waitpid(thread, Some(WaitPidFlag::__WALL)).context("it cannot be waited for")? {
            WaitStatus::PtraceEvent(..) => Ok(held),
            WaitStatus::Stopped(_, signal) => {
                held.signal = Some(signal);
                Ok(held)
            }
            status => bail!("it ended instead of standing still: {status:?}"),
        }
    }

    /// A filter by its place, `None` after the last.
    fn filter(&self, index: usize) -> Result<Option<Vec<Instruction>>> {
        let Some(count) = self.ask(index, std::ptr::null_mut())? else { return Ok(None) };
        ensure!(count <= MAX_INSTRUCTIONS, "its filter {index} has {count} instructions");
        let mut bytes = vec![[0u8; 8]; count];
        let copied = self.ask(index, bytes.as_mut_ptr())?;
        ensure!(copied == Some(count), "its filter {index} changed while it was read");
        Ok(Some(bytes.into_iter().map(Instruction::from_bytes).collect()))
    }

    /// How many instructions a filter has, which are written to `room` unless that is null. There must
    /// be room for all of them.
    fn ask(&self, index: usize, room: *mut [u8; 8]) -> Result<Option<usize>> {
        let pid = self.thread.as_raw();
        // SAFETY: this reads nothing of ours, and writes the filter's instructions, eight bytes each,
        // to `room` if it is not null. It has room for as many as the same filter had when it was null,
        // and the filters of a thread that stands still do not change.
        let answer = unsafe { libc::ptrace(GET_FILTER, pid, index, room) };
        match Errno::result(answer) {
            Ok(count) => Ok(Some(usize::try_from(count)?)),
            Err(Errno::ENOENT) => Ok(None),
            Err(Errno::EINVAL) => bail!(
                "the kernel does not tell filters; it has to be built with CONFIG_CHECKPOINT_RESTORE"
            ),
            Err(Errno::EACCES) => bail!(
                "filters are told to a process with CAP_SYS_ADMIN that has none itself; be root"
            ),
            Err(error) => Err(io::Error::from(error)).context(format!("its filter {index}")),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // It may have ended by now, in which case there is nothing to let go.
        let _ = ptrace::detach(self.thread, self.signal);
    }
}

#[cfg(test)]
mod tests;
