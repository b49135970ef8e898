//! What a running guest's process has, seen from outside: its memory map, its descriptors, its
//! status in /proc, and the system calls that it makes. Its jail is in `jail`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use suite::{Binaries, Ended, Need, Run, Running};
use tempfile::TempDir;

use crate::Case;
use crate::behaviours::{Abi, SIGSEGV, SIGSYS};

/// The process is not dumpable, so only root may look into it.
pub(crate) const ROOT: &[Need] = &[Need::Root, Need::Program("python3", "python3")];
const STRACE: &[Need] = &[Need::Program("strace", "strace")];
const GDB: &[Need] = &[Need::Root, Need::Program("gdb", "gdb")];
pub(crate) const OTHER_USER: &[Need] =
    &[Need::Root, Need::Program("setpriv", "util-linux"), Need::Program("python3", "python3")];
const NO_RANDOM: &[Need] = &[Need::Root, Need::Program("setarch", "util-linux")];

/// One process, or a supervisor beside the guest.
const MODES: [&[&str]; 2] = [&["--no-supervisor"], &[]];

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("confinement::only guest memory is mapped", only_guest_memory).with_needs(ROOT),
        Case::new("confinement::nothing of the tender is left in memory", no_secrets)
            .with_needs(ROOT),
        Case::new("confinement::heap and stack are elsewhere each time", placement)
            .with_needs(ROOT),
        Case::new("confinement::nothing is where the tender was", nothing_where_the_tender_was)
            .with_needs(NO_RANDOM),
        Case::new("confinement::descriptors and privileges", descriptors_and_privileges)
            .with_needs(ROOT),
        Case::new("confinement::other processes of the user keep out", not_dumpable)
            .with_needs(OTHER_USER),
        Case::new("confinement::what is installed is what inspect shows", inspected_filter)
            .with_needs(ROOT),
        Case::new("confinement::gdb attaches and knows functions", gdb).with_needs(GDB),
        Case::new("confinement::a stray system call instruction is useless", stray_call),
        Case::new("confinement::calls of a guest with a disk", calls_with_disk).with_needs(STRACE),
        Case::new("confinement::calls of a plain Solo5 guest", calls_of_plain_guest)
            .with_needs(STRACE),
        Case::new("confinement::the kernel writes nowhere", rseq_is_withdrawn).with_needs(STRACE),
    ]
}

/// Starts a command with a wire as its descriptor 9: one end of a socket pair.
const WITH_WIRE: [&str; 3] = [
    "python3",
    "-c",
    "import os,signal,socket,sys\n\
     [signal.signal(s,signal.SIG_DFL) for s in (signal.SIGPIPE,signal.SIGXFSZ)]\n\
     a,b=socket.socketpair(socket.AF_UNIX,socket.SOCK_SEQPACKET)\n\
     os.dup2(a.fileno(),9,inheritable=True)\n\
     os.set_inheritable(b.fileno(),True)\n\
     os.execvp(sys.argv[1],sys.argv[1:])",
];

/// A guest that waits for its network.
pub(crate) fn waiting_guest(
    binaries: &Binaries,
    prefix: &[&str],
    options: &[&str],
) -> Result<Running> {
    let run = Run::new(binaries, binaries.guest("net-echo"))
        .option("--net:service=@9")
        .arguments(&["--ipv4=10.0.0.2/24"])
        .through(&[&WITH_WIRE, prefix].concat());
    let mut running = options.iter().fold(run, Run::option).start()?;
    running.line_with("echo on 10.0.0.2/24")?;
    Ok(running)
}

/// A line of /proc/PID/maps.
pub(crate) struct Mapping {
    pub(crate) range: Range<u64>,
    pub(crate) access: String,
    /// The file, or what the kernel says instead; empty if it says nothing.
    pub(crate) name: String,
}

/// What is mapped in a process besides the kernel's fixed page.
pub(crate) fn mappings(process: i32) -> Result<Vec<Mapping>> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps"))?;
    ensure!(!maps.is_empty(), "no maps");
    let lines = maps.lines().filter(|line| !line.ends_with("[vsyscall]"));
    lines
        .map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let (start, end) = fields[0].split_once('-').context("no range")?;
            let parse = |text| u64::from_str_radix(text, 16);
            let range = parse(start)?..parse(end)?;
            let name = fields.get(5).copied().unwrap_or_default().to_owned();
            Ok(Mapping { range, access: fields[1].to_owned(), name })
        })
        .collect()
}

/// Heap and stack of a guest, as the tender told it.
fn placed(process: i32) -> Result<[Range<u64>; 2]> {
    const PLACEMENT: u64 = 0x1_0000 + 64;
    const STACK_BYTES: u64 = 256 << 10;
    let memory = File::open(format!("/proc/{process}/mem"))?;
    let word = |offset| -> Result<u64> {
        let mut bytes = [0; 8];
        memory.read_exact_at(&mut bytes, PLACEMENT + offset)?;
        Ok(u64::from_le_bytes(bytes))
    };
    let stack_end = word(16)?;
    Ok([word(0)?..word(8)?, stack_end - STACK_BYTES..stack_end])
}

fn only_guest_memory(binaries: &Binaries) -> Result<()> {
    for mode in MODES {
        let running = waiting_guest(binaries, &[], mode)?;
        let [heap, stack] = placed(running.guest_id())?;
        ensure!(heap.end - heap.start < 16 << 20, "{heap:x?}");
        let record = 0x2_0000..0x2_1000;
        for Mapping { range, access, name } in mappings(running.guest_id())? {
            let inside = |whole: &Range<u64>| whole.start <= range.start && range.end <= whole.end;
            ensure!(
                inside(&(0x1_0000..16 << 20)) || inside(&heap) || inside(&stack),
                "outside of guest memory: {range:x?} {access}"
            );
            let is_record = mode.is_empty() && range == record && access == "rw-s";
            ensure!(is_record || name.is_empty() && access.ends_with('p'), "{range:x?} {access}");
            ensure!(!(access.contains('w') && access.contains('x')), "{range:x?} {access}");
        }
    }
    Ok(())
}

fn placement(binaries: &Binaries) -> Result<()> {
    let mut starts = BTreeSet::new();
    for _ in 0..4 {
        let running = waiting_guest(binaries, &[], &["--no-supervisor"])?;
        let mapped = mappings(running.id())?;
        for region in placed(running.id())? {
            starts.insert(region.start);
            let near = region.start - (1 << 20)..region.end + (1 << 20);
            let beside = mapped.iter().filter(|other| {
                let inside = region.start <= other.range.start && other.range.end <= region.end;
                !inside && other.range.start < near.end && near.start < other.range.end
            });
            ensure!(beside.count() == 0, "something lies beside {region:x?}");
        }
    }
    ensure!(starts.len() == 8, "{starts:x?}");
    Ok(())
}

/// The needles that are found in a process's memory.
pub(crate) fn found<'a>(process: i32, needles: &[&'a str]) -> Result<Vec<&'a str>> {
    let memory = File::open(format!("/proc/{process}/mem"))?;
    let mut found = BTreeSet::new();
    for Mapping { range, access, name } in mappings(process)? {
        // The kernel's clock pages cannot be read by others.
        if !access.starts_with('r') || name.starts_with("[vvar") {
            continue;
        }
        let mut contents = vec![0; (range.end - range.start) as usize];
        memory.read_exact_at(&mut contents, range.start)?;
        let holds = |needle: &&str| {
            contents.windows(needle.len()).any(|window| window == needle.as_bytes())
        };
        found.extend(needles.iter().copied().filter(holds));
    }
    Ok(found.into_iter().collect())
}

fn no_secrets(binaries: &Binaries) -> Result<()> {
    // In the environment; in the arguments and from there on the heap; in the tender's own data.
    let (environment, argument) = ("squeamish-ossifrage", "xyzzy-plugh");
    let folder = TempDir::new()?;
    let kernel = folder.path().join(argument);
    fs::copy(binaries.guest("net-echo"), &kernel)?;
    for mode in MODES {
        let secret = format!("SECRET={environment}");
        let run = Run::new(binaries, &kernel)
            .option("--net:service=@9")
            .arguments(&["--ipv4=10.0.0.2/24"])
            .through(&[&["env", &*secret][..], &WITH_WIRE].concat());
        let mut running = mode.iter().fold(run, Run::option).start()?;
        running.line_with("echo on")?;
        let needles = [environment, argument, "solo5-spt", "echo on ", "--ipv4=10.0.0.2/24"];
        let found = found(running.guest_id(), &needles)?;
        // What the guest itself has shows that the search finds something.
        ensure!(found == ["--ipv4=10.0.0.2/24", "echo on "], "found {found:?}");
    }
    Ok(())
}

/// Without randomisation the tender's mappings are where they were in another run of it.
fn nothing_where_the_tender_was(binaries: &Binaries) -> Result<()> {
    let prefix = ["setarch", "-R"];
    let waiting = waiting_guest(binaries, &prefix, &[])?;
    let of_tender = mappings(waiting.id())?;
    let above: Vec<_> =
        of_tender.iter().filter(|mapping| mapping.range.start >= 16 << 20).collect();
    ensure!(above.len() > 5, "the tender has {} mappings", above.len());
    let escape = |words: &[&str]| {
        Run::new(binaries, binaries.guest("escape")).arguments(words).through(&prefix).finish()
    };
    let text = |range: &Range<u64>| format!("{:x}-{:x}", range.start, range.end);
    let ranges: Vec<String> = above.iter().map(|mapping| text(&mapping.range)).collect();
    let mut words = vec!["probe"];
    words.extend(ranges.iter().map(|range| &**range));
    let outcome = escape(&words)?;
    ensure!(outcome.ended == Ended::Exit(0), "{outcome:?}");
    ensure!(outcome.stdout == "returned 0\n", "{outcome:?}");
    // The search finds what there is: the guest's own first page of code.
    let outcome = escape(&["probe", "100000-101000"])?;
    ensure!(outcome.stdout.ends_with("returned 1\n"), "{outcome:?}");
    for mapping in above {
        let address = format!("{:#x}", mapping.range.start);
        for way in ["read", "jump"] {
            let outcome = escape(&[way, &address])?;
            ensure!(outcome.ended == Ended::Signal(SIGSEGV), "{way} {address}: {outcome:?}");
        }
    }
    Ok(())
}

fn descriptors_and_privileges(binaries: &Binaries) -> Result<()> {
    // The signals that a guest can cause, which are noted for its supervisor.
    let noted = [4, 5, 7, 8, 11, 31].iter().fold(0u64, |set, signal| set | 1 << (signal - 1));
    for (mode, caught) in MODES.into_iter().zip([0, noted]) {
        let running = waiting_guest(binaries, &[], mode)?;
        let process = format!("/proc/{}", running.guest_id());
        ensure!(descriptors(&process)? == ["0 /dev/null", "1 pipe", "3 socket"].map(String::from));
        check_status(&process, caught)?;
        let limits = fs::read_to_string(format!("{process}/limits"))?;
        for (name, limit) in [
            ("Max core file size", "0"),
            ("Max processes", "0"),
            ("Max locked memory", "0"),
            ("Max open files", "4"),
        ] {
            let line = limits.lines().find_map(|line| line.strip_prefix(name));
            let values: Vec<_> = line.context("no limit")?.split_whitespace().take(2).collect();
            ensure!(values == [limit; 2], "{name}: {values:?}");
        }
        let environment = fs::read(format!("{process}/environ")).unwrap_or_default();
        ensure!(environment.is_empty(), "the environment can be read");
        running.signal(Signal::SIGKILL)?;
    }
    Ok(())
}

/// Number and kind of each of a process's descriptors.
pub(crate) fn descriptors(process: &str) -> Result<Vec<String>> {
    let mut kinds = Vec::new();
    for entry in fs::read_dir(format!("{process}/fd"))? {
        let entry = entry?;
        let target = fs::read_link(entry.path())?.display().to_string();
        let kind = target.split(':').next().unwrap_or_default().to_owned();
        kinds.push(format!("{} {kind}", entry.file_name().display()));
    }
    kinds.sort();
    Ok(kinds)
}

pub(crate) fn check_status(process: &str, caught: u64) -> Result<()> {
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
    for (set, expected) in [("SigBlk", 0), ("SigIgn", 0), ("SigCgt", caught)] {
        // Signals 32 and 33 are the C library's own, which keeps what its parent ignored.
        let signals = u64::from_str_radix(field(set)?, 16)? & !(0b11 << 31);
        ensure!(signals == expected, "{set} {status}");
    }
    Ok(())
}

/// A process that is not dumpable belongs to root in /proc, and with it all that there is to read.
fn not_dumpable(binaries: &Binaries) -> Result<()> {
    let copies = Copies::new(binaries, &["net-echo"])?;
    for mode in MODES {
        let running = waiting_guest(&copies.binaries, &AS_NOBODY, mode)?;
        let process = format!("/proc/{}", running.guest_id());
        let status = fs::read_to_string(format!("{process}/status"))?;
        ensure!(status.contains(&format!("\nUid:\t{0}\t{0}\t{0}\t{0}\n", NOBODY)), "{status}");
        ensure!(fs::metadata(format!("{process}/mem"))?.uid() == 0, "{process}/mem can be opened");
    }
    Ok(())
}

pub(crate) const NOBODY: u32 = 65534;
pub(crate) const AS_NOBODY: [&str; 4] =
    ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// Copies of binaries in a folder that every user may enter.
pub(crate) struct Copies {
    pub(crate) binaries: Binaries,
    _folder: TempDir,
}

impl Copies {
    pub(crate) fn new(binaries: &Binaries, guests: &[&str]) -> Result<Self> {
        let folder = TempDir::new()?;
        let copies = Binaries::in_folder(folder.path());
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        fs::copy(binaries.tender(), copies.tender())?;
        for guest in guests {
            fs::copy(binaries.guest(guest), copies.guest(guest))?;
        }
        Ok(Self { binaries: copies, _folder: folder })
    }
}

/// The filter lies in the guest's memory as the kernel got it.
fn inspected_filter(binaries: &Binaries) -> Result<()> {
    const FILTER: u64 = 0x1_8000;
    for mode in MODES {
        let running = waiting_guest(binaries, &[], mode)?;
        let run = Run::new(binaries, binaries.guest("net-echo")).option("--inspect=json");
        let outcome = mode.iter().fold(run, Run::option).finish()?;
        let bytes: String = outcome
            .stdout
            .split("{\"bytes\":\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        ensure!(bytes.len() > 16 * 20, "{outcome:?}");
        let mut installed = vec![0; bytes.len() / 2 + 8];
        let memory = File::open(format!("/proc/{}/mem", running.guest_id()))?;
        memory.read_exact_at(&mut installed, FILTER)?;
        let (program, behind) = installed.split_at(bytes.len() / 2);
        let program: String = program.iter().map(|byte| format!("{byte:02x}")).collect();
        ensure!(program == bytes && behind == [0; 8], "installed {program}, shown {bytes}");
    }
    Ok(())
}

fn gdb(binaries: &Binaries) -> Result<()> {
    let running = waiting_guest(binaries, &[], &[])?;
    let (kernel, process) = (binaries.guest("net-echo"), running.guest_id().to_string());
    let mut command = std::process::Command::new("gdb");
    command.args(["-q", "-nx", "-batch", "-ex", "bt", "-ex", "info registers rip", "-p", &process]);
    let outcome = Running::start(command.arg(&kernel))?.wait()?;
    ensure!(outcome.stdout.contains("__guest_stub"), "{outcome:?}");
    ensure!(outcome.stdout.contains("guest_rt::task::"), "{outcome:?}");
    Ok(())
}

fn stray_call(binaries: &Binaries) -> Result<()> {
    let folder = TempDir::new()?;
    let escape = binaries.guest("escape");
    // clock_gettime(CLOCK_REALTIME, NULL): permitted, and answered by EFAULT.
    let by = |abi: Abi, way| {
        let kernel = abi.kernel(escape.clone(), &folder)?;
        Run::new(binaries, kernel).arguments(&[way, "228"]).finish()
    };
    for (abi, way) in [(Abi::Extended, "stub"), (Abi::Plain, "stub"), (Abi::Plain, "syscall")] {
        let outcome = by(abi, way)?;
        ensure!(outcome.stdout == "returned -14\n", "{outcome:?}");
    }
    let outcome = by(Abi::Extended, "syscall")?;
    ensure!(outcome.ended == Ended::Signal(SIGSYS) && outcome.stdout.is_empty(), "{outcome:?}");
    let expected = "it called clock_gettime (228), outside of its system call stub";
    ensure!(outcome.stderr.contains(expected), "{outcome:?}");
    ensure!(outcome.stderr.contains(" in guest_escape::by_syscall+"), "{outcome:?}");
    Ok(())
}

/// The names of the calls that a guest made after its filter was in force.
fn calls(run: &Run) -> Result<BTreeSet<String>> {
    let folder = TempDir::new()?;
    let log = folder.path().join("log");
    let outcome = run.clone().through(&["strace", "-f", "-o", &log.to_string_lossy()]).finish()?;
    let text = fs::read_to_string(&log)?;
    let mut guest = None;
    let mut names = BTreeSet::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (process, call) = (words.next(), words.next().unwrap_or_default());
        let name = call.split('(').next().unwrap_or_default();
        if guest == process && call.contains('(') {
            names.insert(name.to_owned());
        }
        if line.contains("SECCOMP_SET_MODE_FILTER") && line.ends_with("= 0") {
            guest = process;
        }
    }
    ensure!(guest.is_some(), "no filter was installed: {outcome:?}\n{text}");
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
    ensure!(!registered.is_empty(), "the C library registers nothing: {text}");
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
    let mut made = calls(&disk_run(binaries, Abi::Extended, &folder)?)?;
    // With the cycle counter it is made after a while only.
    made.remove("clock_gettime");
    ensure!(made == names(&["write", "pread64", "pwrite64", "exit_group"]), "made {made:?}");
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
