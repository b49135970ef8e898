//! `--net:NAME=user`: three processes that begin and end together. What the gateway carries is
//! its own crate's matter.

mod support;

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use solo5_sys::manifest::DeviceKind;
use support::process::{Guest, Running};
use support::{Code, File};

const USER: [&str; 1] = ["--net:service=user"];

fn guest(code: Code) -> Guest {
    Guest::new(&File::of_code(&code.0, &[("service", DeviceKind::Net)]).modern())
}

/// The gateway's process: the child that is not the guest, which has its name by now.
fn gateway(running: &Running) -> Pid {
    let tender = running.child.id();
    let children = running.proc(&format!("task/{tender}/children"));
    let found = children.split_whitespace().find(|pid| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
        name.trim() != "tender-guest"
    });
    Pid::from_raw(found.unwrap().parse().unwrap())
}

/// Waits until every process that could print is gone, then for the tender.
fn end(mut running: Running) -> (ExitStatus, String) {
    let mut said = String::new();
    running.child.stdout.take().unwrap().read_to_string(&mut String::new()).unwrap();
    running.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (running.child.wait().unwrap(), said)
}

#[test]
fn the_guests_status_is_the_tenders() {
    let output = guest(Code::default().write(1, b"hi\n").exit(7)).run(&USER);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert_eq!(output.stdout, b"hi\n");
    assert_eq!(output.stderr, b"");
}

#[test]
fn a_crash_is_named_and_passed_on() {
    for (code, signal, reason) in [
        (
            Code::default().load_rax(8),
            libc::SIGSEGV,
            "SIGSEGV: it read from 0x8, where nothing is mapped",
        ),
        (
            Code::default().call(libc::SYS_getpid, &[]),
            libc::SIGSYS,
            "SIGSYS: it called getpid (39), which is not in its policy",
        ),
    ] {
        let output = guest(code.exit(0)).run(&USER);
        assert_eq!(output.status.signal(), Some(signal), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with(&format!("tender: the guest was killed by {reason}\n")), "{said}");
    }
}

#[test]
fn a_guest_does_not_outlive_its_gateway() {
    let running = Running::start(guest(Code::up().spin()).command(&USER));
    kill(gateway(&running), Signal::SIGKILL).unwrap();
    let (status, said) = end(running);
    assert_eq!(status.code(), Some(1));
    let expected = "tender: the gateway of network 'service' died (killed by SIGKILL); \
                    the guest was stopped\n";
    assert_eq!(said, expected);
}

#[test]
fn signals_to_the_tender_end_the_guest() {
    for (signal, reason) in [
        (Signal::SIGTERM, "SIGTERM (asked to end)"),
        (Signal::SIGINT, "SIGINT (interrupted)"),
        (Signal::SIGHUP, "SIGHUP (asked to end)"),
    ] {
        let running = Running::start(guest(Code::up().spin()).command(&USER));
        kill(Pid::from_raw(running.child.id() as i32), signal).unwrap();
        let (status, said) = end(running);
        assert_eq!(status.signal(), Some(signal as i32), "{said}");
        assert_eq!(said, format!("tender: the guest was killed by {reason}\n"));
    }
}

#[test]
fn what_the_starter_ignores_is_ignored() {
    for mode in ["--jail", "--no-jail"] {
        let guest = guest(Code::up().spin());
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "trap '' HUP; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_tender")]);
        command
            .args(["--mem=4", mode, USER[0]])
            .arg(&guest.path)
            .stdin(std::process::Stdio::null());
        let running = Running::start(command);
        let tender = Pid::from_raw(running.child.id() as i32);
        kill(tender, Signal::SIGHUP).unwrap();
        kill(tender, Signal::SIGTERM).unwrap();
        let (status, said) = end(running);
        assert_eq!(status.signal(), Some(libc::SIGTERM), "{mode} {said}");
    }
}

#[test]
fn a_lost_console_ends_a_guest() {
    // Writes for ever.
    let code = Code::up().call(libc::SYS_write, &[1, support::CODE, 1]);
    let back = -(code.0.len() as i32 + 5);
    let code = code.bytes(b"\xe9").bytes(&back.to_le_bytes());
    // One that prints nothing does not notice, unless it is jailed.
    for (mode, code) in
        [("--jail", code.0.clone()), ("--no-jail", code.0), ("--jail", Code::up().spin().0)]
    {
        let mut running = Running::start(guest(Code(code)).command(&[mode, USER[0]]));
        drop(running.child.stdout.take());
        let mut said = String::new();
        running.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(running.child.wait().unwrap().signal(), Some(libc::SIGPIPE), "{mode} {said}");
        assert_eq!(said, "tender: the guest was killed by SIGPIPE (its output was closed)\n");
    }
}

/// The letter of a process's state.
fn state(pid: i32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(')').next().unwrap().trim().chars().next().unwrap()
}

fn wait_for(pid: i32, wanted: char) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while state(pid) != wanted {
        assert!(std::time::Instant::now() < deadline, "{pid} is in state {}", state(pid));
        std::thread::yield_now();
    }
}

#[test]
fn a_stopped_tender_stops_its_guest() {
    for mode in ["--jail", "--no-jail"] {
        let running = Running::start(guest(Code::up().spin()).command(&[mode, USER[0]]));
        let tender = running.child.id() as i32;
        let children = running.proc(&format!("task/{tender}/children"));
        let gateway = gateway(&running).as_raw();
        let guest = children.split_whitespace().map(|pid| pid.parse().unwrap());
        let guest = guest.into_iter().find(|pid: &i32| *pid != gateway).unwrap();
        kill(Pid::from_raw(tender), Signal::SIGTSTP).unwrap();
        wait_for(tender, 'T');
        wait_for(guest, 'T');
        kill(Pid::from_raw(tender), Signal::SIGCONT).unwrap();
        wait_for(guest, 'R');
        kill(Pid::from_raw(tender), Signal::SIGTERM).unwrap();
        let (status, said) = end(running);
        assert_eq!(status.signal(), Some(libc::SIGTERM), "{mode} {said}");
    }
}

#[test]
fn nothing_outlives_the_tender() {
    let running = Running::start(guest(Code::up().spin()).command(&USER));
    kill(Pid::from_raw(running.child.id() as i32), Signal::SIGKILL).unwrap();
    // Returns only when the guest and the gateway have closed what they inherited.
    let (status, said) = end(running);
    assert_eq!(status.signal(), Some(libc::SIGKILL));
    assert_eq!(said, "");
}

#[test]
fn a_port_in_use_is_named_before_the_guest_starts() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let publish = format!("--publish:service={port}:80");
    let output = guest(Code::up().exit(0)).run(&[USER[0], &publish]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.starts_with(&format!("tender: --net:service: port {port} of 127.0.0.1")),
        "{said}"
    );
    assert_eq!(output.stdout, b"");
}
