//! How it was measured, what that cannot tell, and how to do it again.

use crate::document::{Block, Table, Text};
use crate::measurement::Measurement;

pub(super) fn blocks(_: &Measurement) -> Vec<Block> {
    let how = [
        "A virtual machine without hardware help (QEMU, TCG) whose clock counts instructions \
         (`-icount`), with a seed: the same results byte for byte, each time, whatever else the host does. One \
         boot for each system and workload.",
        "In it a pinned kernel of Debian's, with the tracer `function`: each function that is entered \
         is recorded with its caller, for the processes of the system and for what they fork. A run in \
         which one record was lost, or came from another process, is refused.",
        "A function belongs to the system call in which it was reached, until the return to user mode; \
         page faults, signals, a task's start and its exit are contexts of their own.",
        "Left out (filtered): what carries the flags of an interrupt, a soft interrupt or an NMI, and \
         what lies above an interrupt's entry in the chain of calls. The unfiltered number has it. \
         It matters: a packet that is written to a TAP interface is received in the writer's context, \
         while a socket's packets may arrive in a soft interrupt.",
        "At work: 200 requests to warm up (6,000 with a ring, until it has been around), then several \
         times 100 requests, 10 on each of 10 connections. Any repeat is the union of these, every repeat \
         their intersection. Nobody logs requests. Clients are behind a router, so that no server's calls do \
         the work of the other end of a connection.",
        "Policies are the filters that processes really have, read with `PTRACE_SECCOMP_GET_FILTER` \
         and evaluated for each system call over all arguments.",
        "Speed, starts and memory are measured on the machine itself, rivals in turns, with raw \
         samples kept. Medians and quartiles are computed here.",
    ];
    let limits = [
        "One kernel: 6.1 of Debian, for clouds. Others have other functions, and inline others: what the \
         compiler has inlined is no function.",
        "One processor. What only happens between several (waking another, migration, contended \
         locks) is not seen.",
        "Emulation reaches the same code of the kernel, but not that of other machines' devices; the \
         processor is plain (no virtualisation, and gVisor therefore on its `ptrace` platform).",
        "Functions that refuse to be traced (early entry code, some of the tracer's own) are in no \
         number, of no system.",
        "A count of functions is a measure of exposure, not of vulnerability. Weights by code and the \
         table of vulnerabilities are there for the same question from other sides.",
        "A fuzzer reaches what it happens to reach: its numbers compare policies, and bound nothing.",
        "Workloads are small and the same for all; other applications reach other functions.",
    ];
    let list = |items: &[&str]| Block::List(items.iter().map(|item| Text::of(item)).collect());
    vec![
        Block::Heading("Method".into()),
        list(&how),
        Block::Heading("Limits".into()),
        list(&limits),
    ]
}

pub(super) fn repeat(measurement: &Measurement) -> Vec<Block> {
    let mut table = Table::new("Commands", &["What", "Command"]);
    let commands = [
        ("Everything, and this report", "cargo xtask measure all"),
        ("Kernel functions", "cargo xtask measure surface"),
        ("System calls and vulnerabilities", "cargo xtask measure syscalls"),
        ("The fuzzer", "cargo xtask measure fuzz"),
        ("Throughput", "cargo xtask measure throughput"),
        ("Starts", "cargo xtask measure start"),
        ("Memory and density", "cargo xtask measure memory"),
        ("This report, from results that are there", "cargo xtask measure report"),
    ];
    for (what, command) in commands {
        table.row(vec![what.into(), Text::default().code(command).into()]);
    }
    let mut blocks = vec![Block::Table(table)];
    let commit = &measurement.about.commit;
    let is_plain = commit.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if is_plain && !commit.is_empty() {
        blocks.push(Block::Paragraph(Text::of("At the revision that was measured:")));
        blocks.push(Block::Command(format!("git checkout {commit}\ncargo xtask measure all")));
    }
    blocks.push(Block::Paragraph(Text::of(
        "Results lie in `target/measure/data` as JSON; `--quick` takes fewer samples.",
    )));
    blocks
}
