//! What a running guest's process has, seen from outside: its memory map, its descriptors, its
//! status in /proc, and the system calls that it makes.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use suite::{Binaries, Need, Run};
use tempfile::TempDir;

use crate::Case;
use crate::behaviours::Abi;

/// The process is not dumpable, so only root may look into it.
const ROOT: &[Need] = &[Need::Root];
const STRACE: &[Need] = &[Need::Program("strace", "strace")];

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("confinement::only guest memory is mapped", only_guest_memory).with_needs(ROOT),
        Case::new("confinement::descriptors and privileges", descriptors_and_privileges)
            .with_needs(ROOT),
        Case::new("confinement::calls of a guest with a disk", calls_with_disk).with_needs(STRACE),
        Case::new("confinement::calls of a plain Solo5 guest", calls_of_plain_guest)
            .with_needs(STRACE),
        Case::new("confinement::the kernel writes nowhere", rseq_is_withdrawn).with_needs(STRACE),
    ]
}

/// A guest that waits for its network without a supervisor: its wire is descriptor 9 of a socket pair.
fn waiting_guest(binaries: &Binaries) -> Result<suite::Running> {
    let wire = "import os,socket,sys\n\
                a,b=socket.socketpair(socket.AF_UNIX,socket.SOCK_SEQPACKET)\n\
                os.dup2(a.fileno(),9,inheritable=True)\n\
                os.set_inheritable(b.fileno(),True)\n\
                os.execvp(sys.argv[1],sys.argv[1:])";
    let mut running = Run::new(binaries, binaries.guest("net-echo"))
        .option("--net:service=@9")
        .arguments(&["--ipv4=10.0.0.2/24"])
        .through(&["python3", "-c", wire])
        .start()?;
    running.line_with("echo on 10.0.0.2/24")?;
    Ok(running)
}

fn only_guest_memory(binaries: &Binaries) -> Result<()> {
    let running = waiting_guest(binaries)?;
    let maps = fs::read_to_string(format!("/proc/{}/maps", running.id()))?;
    ensure!(!maps.is_empty(), "no maps");
    for line in maps.lines().filter(|line| !line.ends_with("[vsyscall]")) {
        let end = line.split(['-', ' ']).nth(1).context("no range")?;
        ensure!(
            u64::from_str_radix(end, 16)? <= 16 << 20,
            "outside of guest memory: {line}\n{maps}"
        );
        let fields: Vec<_> = line.split_whitespace().collect();
        ensure!(fields.len() == 5, "not anonymous: {line}");
        ensure!(!(fields[1].contains('w') && fields[1].contains('x')), "{line}");
    }
    Ok(())
}

fn descriptors_and_privileges(binaries: &Binaries) -> Result<()> {
    let running = waiting_guest(binaries)?;
    let process = format!("/proc/{}", running.id());
    let mut kinds = BTreeSet::new();
    for entry in fs::read_dir(format!("{process}/fd"))? {
        let entry = entry?;
        let target = fs::read_link(entry.path())?.display().to_string();
        let kind = target.split(':').next().unwrap_or_default().to_owned();
        kinds.insert((entry.file_name().to_string_lossy().into_owned(), kind));
    }
    let expected = [("1".to_owned(), "pipe".to_owned()), ("9".to_owned(), "socket".to_owned())];
    ensure!(kinds == expected.into(), "{kinds:?}");

    let status = fs::read_to_string(format!("{process}/status"))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim).with_context(|| format!("no {name}"))
    };
    ensure!(field("Seccomp")? == "2" && field("NoNewPrivs")? == "1", "{status}");
    ensure!(field("Threads")? == "1", "{status}");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        ensure!(field(set)?.bytes().all(|digit| digit == b'0'), "{set} {status}");
    }
    for set in ["SigBlk", "SigIgn", "SigCgt"] {
        // Signals 32 and 33 are the C library's own, which keeps what its parent ignored.
        let signals = u64::from_str_radix(field(set)?, 16)? & !(0b11 << 31);
        ensure!(signals == 0, "{set} {status}");
    }
    let limits = fs::read_to_string(format!("{process}/limits"))?;
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size"));
    let core_bytes = core.and_then(|line| line.split_whitespace().nth(1));
    ensure!(core_bytes == Some("0"), "{limits}");
    let environment = fs::read(format!("{process}/environ")).unwrap_or_default();
    ensure!(environment.is_empty(), "the environment can be read");
    running.signal(Signal::SIGKILL)?;
    Ok(())
}

/// The names of the calls that a guest made after its filter was in force.
fn calls(run: &Run) -> Result<BTreeSet<String>> {
    let folder = TempDir::new()?;
    let log = folder.path().join("log");
    let outcome = run.clone().through(&["strace", "-f", "-o", &log.to_string_lossy()]).finish()?;
    let text = fs::read_to_string(&log)?;
    let mut filtered = false;
    let mut names = BTreeSet::new();
    for line in text.lines() {
        let call = line.split_whitespace().nth(1).unwrap_or_default();
        let name = call.split('(').next().unwrap_or_default();
        if filtered && call.contains('(') {
            names.insert(name.to_owned());
        }
        filtered |= line.contains("SECCOMP_SET_MODE_FILTER") && line.ends_with("= 0");
    }
    ensure!(filtered, "no filter was installed: {outcome:?}\n{text}");
    Ok(names)
}

/// What a C library registers for restartable sequences is gone with it: the kernel would write there
/// whenever it reschedules the guest, and end it at some starts in a hundred.
fn rseq_is_withdrawn(binaries: &Binaries) -> Result<()> {
    const UNREGISTER: &str = ", 0x1, ";
    let folder = TempDir::new()?;
    let log = folder.path().join("strace");
    let run = Run::new(binaries, binaries.guest("hello"));
    run.through(&["strace", "-f", "-o", &log.to_string_lossy()]).finish()?;
    let text = fs::read_to_string(&log)?;
    let calls = text.lines().filter(|line| line.contains("rseq(") && line.ends_with("= 0"));
    let (withdrawn, registered): (Vec<_>, Vec<_>) =
        calls.partition(|line| line.contains(UNREGISTER));
    ensure!(withdrawn.len() == registered.len(), "{registered:?}, but {withdrawn:?}");
    Ok(())
}

fn disk_run(binaries: &Binaries, abi: Abi, folder: &TempDir) -> Result<Run> {
    let disk = folder.path().join("disk.img");
    fs::write(&disk, vec![0; 64 << 10])?;
    let kernel = abi.kernel(binaries.guest("block"), folder)?;
    Ok(Run::new(binaries, kernel).option(format!("--block:storage={}", disk.display())))
}

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(ToString::to_string).collect()
}

fn calls_with_disk(binaries: &Binaries) -> Result<()> {
    let folder = TempDir::new()?;
    let made = calls(&disk_run(binaries, Abi::Extended, &folder)?)?;
    let allowed = names(&["clock_gettime", "write", "pread64", "pwrite64", "exit_group"]);
    ensure!(made == allowed, "made {made:?}");
    let made = calls(&Run::new(binaries, binaries.guest("clocks")))?;
    ensure!(made == names(&["clock_gettime", "ppoll", "write", "exit_group"]), "made {made:?}");
    Ok(())
}

fn calls_of_plain_guest(binaries: &Binaries) -> Result<()> {
    let folder = TempDir::new()?;
    let kernel = Abi::Plain.kernel(binaries.guest("clocks"), &folder)?;
    let made = calls(&Run::new(binaries, kernel))?;
    let allowed =
        names(&["clock_gettime", "timerfd_settime", "epoll_pwait", "write", "exit_group"]);
    ensure!(made == allowed, "made {made:?}");
    Ok(())
}
