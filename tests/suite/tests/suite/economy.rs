//! How few calls guests make: for the time, and for a request.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use suite::{Binaries, Ended, Need, Run, Running};
use tempfile::TempDir;

use crate::Case;
use crate::behaviours::Abi;
use crate::network::Namespace;

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    const NEEDS: &[Need] = &[
        Need::Root,
        Need::Program("ip", "iproute2"),
        Need::Program("python3", "python3"),
        Need::Program("strace", "strace"),
        Need::File("/dev/net/tun"),
    ];
    vec![
        Case::new("economy::clocks agree with the host's, extended", |b| {
            clocks_agree(b, Abi::Extended)
        }),
        Case::new("economy::clocks agree with the host's, plain", |b| clocks_agree(b, Abi::Plain)),
        Case::new("economy::a counter that is forbidden is not read", counter_forbidden)
            .with_needs(&[Need::Program("python3", "python3")]),
        Case::new("economy::a request takes three calls", calls_of_requests).with_needs(NEEDS),
    ]
}

/// Whether the host's kernel itself reads the time from the counter.
fn has_counter() -> bool {
    let path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    fs::read_to_string(path).is_ok_and(|name| name == "tsc\n")
}

fn clocks_agree(binaries: &Binaries, abi: Abi) -> Result<()> {
    const APART_US: u64 = 2_000;
    let folder = TempDir::new()?;
    let outcome =
        Run::new(binaries, abi.kernel(binaries.guest("clock-compare"), &folder)?).finish()?;
    ensure!(outcome.ended == Ended::Exit(0), "{outcome:?}");
    let counter = abi == Abi::Extended && has_counter();
    ensure!(outcome.stdout.contains(&format!("counter {counter}\n")), "{outcome:?}");
    let apart = outcome.stdout.lines().find(|line| line.starts_with("apart"));
    let numbers = apart.context("no result")?.split(' ').filter_map(|word| word.parse().ok());
    let numbers: Vec<u64> = numbers.collect();
    ensure!(numbers.len() == 2 && numbers.iter().all(|&us| us < APART_US), "{outcome:?}");
    Ok(())
}

/// The tender must be static: a dynamic linker reads the counter itself.
fn counter_forbidden(binaries: &Binaries) -> Result<()> {
    const FORBID: &str = "import ctypes,os,sys\n\
        assert ctypes.CDLL(None).prctl(26,2)==0\n\
        os.execv(sys.argv[1],sys.argv[1:])\n";
    let run = Run::new(binaries, binaries.guest("clock-compare"))
        .option("--no-supervisor")
        .through(&["python3", "-c", FORBID]);
    let outcome = run.finish()?;
    ensure!(outcome.ended == Ended::Exit(0), "{outcome:?}");
    ensure!(outcome.stdout.contains("counter false\n"), "{outcome:?}");
    Ok(())
}

fn calls_of_requests(binaries: &Binaries) -> Result<()> {
    const REQUESTS: usize = 300;
    let namespace = Namespace::new("economy")?;
    let folder = TempDir::new()?;
    let log = folder.path().join("log");
    let mut running = Run::new(binaries, binaries.guest("net-echo"))
        .option("--net:service=tap0")
        .option("--no-supervisor")
        .arguments(&["--ipv4=10.0.0.2/24", "--spin=off"])
        .through(&namespace.inside(&["strace", "-s", "99", "-o", &log.to_string_lossy()]))
        .start()?;
    running.line_with("echo on 10.0.0.2/24")?;
    // The warm-up takes what is asked but once: the neighbour's address, the first looks at the clocks.
    let client = format!(
        "import socket\n\
        s=socket.create_connection(('10.0.0.2',7),timeout=30)\n\
        s.setsockopt(6,1,1)\n\
        def ask(what):\n\
        \x20 s.sendall(what)\n\
        \x20 got=b''\n\
        \x20 while len(got)<len(what): got+=s.recv(99)\n\
        ask(b'first')\n\
        for i in range({REQUESTS}): ask(b'more')\n\
        ask(b'last')\n\
        ask(b'quit')\n"
    );
    let words = namespace.inside(&["python3", "-c", &client]);
    let client = Running::start(Command::new(words[0]).args(&words[1..]))?.wait()?;
    ensure!(client.ended == Ended::Exit(0), "{client:?}");
    let outcome = running.wait()?;
    ensure!(outcome.ended == Ended::Exit(0), "{outcome:?}");

    let text = fs::read_to_string(&log)?;
    let (_, text) = text.split_once("first").context("no first request")?;
    let (text, _) = text.split_once("last").context("no last request")?;
    let count = |call: &str| text.lines().filter(|line| line.starts_with(call)).count();
    let counts = ["read(", "write(", "ppoll(", "clock_gettime("].map(count);
    let [read, write, ppoll, clock] = counts;
    // A frame more now and then: acknowledgements that could not wait.
    let few = REQUESTS + REQUESTS / 4;
    ensure!(read <= few && write <= few && ppoll <= few, "{counts:?}");
    ensure!(write >= REQUESTS, "{counts:?}");
    ensure!(clock <= REQUESTS / 4 || !has_counter(), "{counts:?}");
    Ok(())
}
