//! Guests on a ring wire: what their process has, and what becomes of those that misuse it.

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use suite::run::{TIME_OUT, children, free_port};
use suite::{Binaries, Ended, Run, Running};
use tempfile::TempDir;

use crate::Case;
use crate::behaviours::Abi;
use crate::confinement::{ROOT, descriptors, mappings};
use crate::network::{Namespace, TAP, echo_by_tap, echo_round_trip};

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("ring::only guest memory and the ring are mapped", mapped).with_needs(ROOT),
        Case::new("ring::echo before a TAP device", |b| {
            echo_by_tap(b, Abi::Extended, "ring:tap0", "50")
        })
        .with_needs(TAP),
        Case::new("ring::a plain guest is told what to use instead", plain_guest).with_needs(TAP),
        Case::new("ring::what cannot be ends the guest", spoilt),
        Case::new("ring::what cannot be ends the guest before a TAP device", spoilt_before_tap)
            .with_needs(TAP),
        Case::new("ring::a doorbell that never rests harms nobody", restless),
        Case::new("ring::a guest that never reads costs nothing", deaf).with_needs(TAP),
    ]
}

fn gateway_of(running: &Running) -> Result<i32> {
    let is_gateway = |process: &i32| {
        let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
        name.trim_end() == "tender-gateway"
    };
    children(running.id()).into_iter().find(is_gateway).context("no gateway")
}

fn mapped(binaries: &Binaries) -> Result<()> {
    const REGION_BYTES: u64 = 4096 + (2 << 20);
    let mut starts = Vec::new();
    for jail in ["--jail", "--no-jail"] {
        let run = Run::new(binaries, binaries.guest("net-echo")).option("--net:service=user");
        let mut running = run.option(jail).start()?;
        running.line_with("echo on")?;
        let guest = running.guest_id();
        let mapped = mappings(guest)?;
        let is_ring = |name: &str| name.starts_with("/memfd:nabla-ring");
        let rings: Vec<_> = mapped.iter().filter(|mapping| is_ring(&mapping.name)).collect();
        let [ring] = rings[..] else { anyhow::bail!("{} rings", rings.len()) };
        ensure!(ring.range.end - ring.range.start == REGION_BYTES && ring.access == "rw-s");
        starts.push(ring.range.start);
        let near = ring.range.start - (1 << 20)..ring.range.end + (1 << 20);
        for mapping in &mapped {
            let is_beside = mapping.range.start < near.end && near.start < mapping.range.end;
            ensure!(!is_beside || is_ring(&mapping.name), "beside it: {:x?}", mapping.range);
            // The record of a death is at its fixed address.
            let is_shared = mapping.access.ends_with('s') && mapping.range.start != 0x2_0000;
            ensure!(!is_shared || is_ring(&mapping.name), "{:x?} is shared", mapping.range);
            let of_file = !mapping.name.is_empty() && mapping.range.start != 0x2_0000;
            ensure!(!of_file || is_ring(&mapping.name), "{} is mapped", mapping.name);
        }
        let expected = ["0 /dev/null", "1 pipe", "3 anon_inode", "4 anon_inode"];
        ensure!(descriptors(&format!("/proc/{guest}"))? == expected.map(String::from));
    }
    ensure!(starts[0] != starts[1], "twice at the same address");
    Ok(())
}

fn plain_guest(binaries: &Binaries) -> Result<()> {
    let namespace = Namespace::new("ring-plain")?;
    let folder = TempDir::new()?;
    let kernel = Abi::Plain.kernel(binaries.guest("net-echo"), &folder)?;
    let run = Run::new(binaries, kernel).option("--net:service=ring:tap0");
    let outcome = run.through(&namespace.inside(&[])).finish()?;
    ensure!(outcome.ended == Ended::Exit(1) && outcome.stdout.is_empty(), "{outcome:?}");
    let expected = "tender: --net:service: the unikernel knows no rings: attach the interface itself by \
                    --net:NAME=tap0\n";
    ensure!(outcome.stderr == expected, "{outcome:?}");
    Ok(())
}

/// What a guest writes, and what its gateway says.
const SPOILT: [(&str, &str); 5] = [
    ("position", "a position 18446744073709551608 bytes away in a ring of 1048576"),
    ("length", "0x10000000000 for a frame's length, of at most 65559 bytes"),
    ("skip", "a skip to the start where none can be"),
    ("beyond", "a record of 2008 bytes, of which only 64 are there"),
    ("noise", ""),
];

fn is_told(run: Run, reason: &str) -> Result<()> {
    let outcome = run.finish()?;
    ensure!(outcome.ended == Ended::Exit(1), "{outcome:?}");
    let said = format!(
        "tender: the gateway of network 'service': the guest has broken its wire: {reason}"
    );
    ensure!(outcome.stderr.contains(&said), "{outcome:?}");
    let end =
        "tender: the gateway of network 'service' died (exit status 1); the guest was stopped";
    ensure!(outcome.stderr.contains(end), "{outcome:?}");
    Ok(())
}

fn spoilt(binaries: &Binaries) -> Result<()> {
    for (how, reason) in SPOILT {
        let run = Run::new(binaries, binaries.guest("ring")).option("--net:service=user");
        is_told(run.arguments(&["write", how]), reason)?;
    }
    Ok(())
}

fn spoilt_before_tap(binaries: &Binaries) -> Result<()> {
    let namespace = Namespace::new("ring-spoilt")?;
    for (how, reason) in SPOILT {
        let run = Run::new(binaries, binaries.guest("ring")).option("--net:service=ring:tap0");
        let run = run.through(&namespace.inside(&[]));
        is_told(run.arguments(&["write", how, "--ipv4=10.0.0.2/24"]), reason)?;
    }
    Ok(())
}

/// A guest that does nothing but ring, and another beside it, with a gateway of its own.
fn restless(binaries: &Binaries) -> Result<()> {
    let mut ringing = Run::new(binaries, binaries.guest("ring"))
        .option("--net:service=user")
        .arguments(&["bell", "1000000"])
        .start()?;
    ringing.line_with("up")?;
    let port = free_port()?;
    let mut other = Run::new(binaries, binaries.guest("net-echo"))
        .option("--net:service=user")
        .option(format!("--publish:service={port}:7"))
        .start()?;
    other.line_with("echo on")?;
    echo_round_trip(port, 1 << 20)?;
    ringing.line_with("rang")?;
    let outcome = ringing.wait()?;
    ensure!(outcome.ended == Ended::Exit(0) && outcome.stderr.is_empty(), "{outcome:?}");
    Ok(())
}

/// Frames for a guest that takes none fill its ring and then the interface's queue, and the gateway
/// rests.
fn deaf(binaries: &Binaries) -> Result<()> {
    let namespace = Namespace::new("ring-deaf")?;
    let mut running = Run::new(binaries, binaries.guest("ring"))
        .option("--net:service=ring:tap0")
        .option("--net-mac:service=02:00:00:00:00:02")
        .arguments(&["deaf", "--ipv4=10.0.0.2/24"])
        .through(&namespace.inside(&[]))
        .start()?;
    running.line_with("up")?;
    let flood = "ip neigh replace 10.0.0.2 lladdr 02:00:00:00:00:02 dev tap0 && python3 -c \"\n\
        import socket\n\
        s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n\
        for _ in range(20000): s.sendto(bytes(1400),('10.0.0.2',7))\"";
    let words = namespace.inside(&["sh", "-c", flood]);
    let output = Command::new(words[0]).args(&words[1..]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let gateway = gateway_of(&running)?;
    let deadline = Instant::now() + TIME_OUT;
    let spent = || {
        let stat = fs::read_to_string(format!("/proc/{gateway}/stat")).unwrap_or_default();
        let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        (fields.first() == Some(&"S")).then(|| fields[11..13].join(" "))
    };
    // Asleep, with no more time spent than a while before.
    let mut before = None;
    loop {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let now = spent();
        if now.is_some() && now == before {
            break;
        }
        before = now;
        ensure!(Instant::now() < deadline, "the gateway is busy with nothing");
    }
    let status = fs::read_to_string(format!("/proc/{gateway}/status"))?;
    let resident =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no size")?;
    let kib: u64 = resident.trim().trim_end_matches(" kB").parse()?;
    ensure!(kib < 16 << 10, "the gateway has {kib} KiB");
    running.signal(Signal::SIGTERM)?;
    let outcome = running.wait()?;
    ensure!(outcome.ended == Ended::Signal(Signal::SIGTERM as i32), "{outcome:?}");
    Ok(())
}
