//! Ends in order: guests that heed being asked to end, those that do not, and what our apps do meanwhile. What was
//! promised to clients is kept.

use std::fs::{self, File};
use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use suite::run::{Running, TIME_OUT, connect, descendants, free_port};
use suite::{Binaries, Ended, Need, Run};
use tempfile::TempDir;

use crate::Case;
use crate::behaviours::Abi;
use crate::httpd::append;
use crate::network::is_alive;

const SETSID: &[Need] = &[Need::Program("setsid", "util-linux")];

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    let modes = ["--jail", "--no-jail"];
    let mut cases = vec![
        Case::new("shutdown::a guest that heeds it ends by itself", heeded),
        Case::new("shutdown::one that never sleeps hears of it", |b| {
            alone(b, "busy", "many turns")
        }),
        Case::new("shutdown::one that waits late hears of it", |b| alone(b, "late", "waits now")),
        Case::new("shutdown::one that is deaf is ended by the next signal", deaf),
        Case::new("shutdown::SIGQUIT ends at once", quit),
        Case::new("shutdown::a signal to all processes asks", whole_group).with_needs(SETSID),
        Case::new("shutdown::a guest that is stopped goes on", stopped),
        Case::new("shutdown::an orphan is not asked", orphan),
        Case::new("shutdown::is not for guests that do not say so", not_granted),
        Case::new("shutdown::inspect tells of it", inspected),
    ];
    for mode in modes {
        cases.extend([
            Case::new(format!("shutdown::httpd answers what is under way, {mode}"), move |b| {
                httpd(b, mode)
            }),
            Case::new(format!("shutdown::kv keeps what it said, {mode}"), move |b| kv(b, mode)),
        ]);
    }
    cases
}

fn start(binaries: &Binaries, argument: &str, options: &[&str]) -> Result<Running> {
    let run = Run::new(binaries, binaries.guest("shutdown")).arguments(&[argument]);
    let mut running = options.iter().fold(run, Run::option).start()?;
    running.line_with("up: ")?;
    Ok(running)
}

/// It said that it was asked, and ended by itself.
fn check(running: Running) -> Result<String> {
    let outcome = running.wait()?;
    ensure!(outcome.ended == Ended::Exit(7), "{outcome:?}");
    ensure!(outcome.stdout.ends_with("asked\n") && outcome.stderr.is_empty(), "{outcome:?}");
    Ok(outcome.stdout)
}

fn heeded(binaries: &Binaries) -> Result<()> {
    for options in [&["--no-jail"][..], &["--jail"], &["--die-with-parent"]] {
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            let running = start(binaries, "heed", options)?;
            running.signal(signal)?;
            check(running)?;
        }
    }
    Ok(())
}

fn alone(binaries: &Binaries, mode: &str, told: &str) -> Result<()> {
    let running = start(binaries, mode, &[])?;
    running.signal(Signal::SIGTERM)?;
    let console = check(running)?;
    ensure!(console.contains(told), "{console}");
    Ok(())
}

/// Two signals at once are one wish, so the second comes again until it is heard.
fn deaf(binaries: &Binaries) -> Result<()> {
    for mode in ["--no-jail", "--jail"] {
        let running = start(binaries, "deaf", &[mode])?;
        running.signal(Signal::SIGTERM)?;
        let supervisor = running.id();
        let asking = thread::spawn(move || {
            while is_alive(supervisor) && kill(Pid::from_raw(supervisor), Signal::SIGINT).is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
        let outcome = running.wait()?;
        asking.join().ok().context("the thread")?;
        ensure!(outcome.ended == Ended::Signal(Signal::SIGINT as i32), "{mode}: {outcome:?}");
        ensure!(outcome.stderr.contains("killed by SIGINT"), "{mode}: {outcome:?}");
    }
    Ok(())
}

fn quit(binaries: &Binaries) -> Result<()> {
    for mode in ["--no-jail", "--jail"] {
        let running = start(binaries, "heed", &[mode])?;
        running.signal(Signal::SIGQUIT)?;
        let outcome = running.wait()?;
        ensure!(outcome.ended == Ended::Signal(Signal::SIGQUIT as i32), "{mode}: {outcome:?}");
        ensure!(!outcome.stdout.contains("asked"), "{mode}: {outcome:?}");
    }
    Ok(())
}

/// As a terminal does it, timeout(1), and service managers.
fn whole_group(binaries: &Binaries) -> Result<()> {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let run = Run::new(binaries, binaries.guest("shutdown")).arguments(&["heed"]);
        let mut running = run.through(&["setsid"]).start()?;
        running.line_with("up: ")?;
        let (supervisor, guest) = (running.id(), running.guest_id());
        ensure!(supervisor != guest, "there is no supervisor");
        for process in [guest, -supervisor, supervisor] {
            kill(Pid::from_raw(process), signal)?;
        }
        check(running)?;
    }
    Ok(())
}

fn stopped(binaries: &Binaries) -> Result<()> {
    for mode in ["--no-jail", "--jail"] {
        let running = start(binaries, "heed", &[mode])?;
        kill(Pid::from_raw(running.guest_id()), Signal::SIGSTOP)?;
        running.signal(Signal::SIGTERM)?;
        check(running)?;
    }
    Ok(())
}

/// With `--die-with-parent` nothing outlives whoever started it, deaf or not.
fn orphan(binaries: &Binaries) -> Result<()> {
    for mode in ["heed", "deaf"] {
        let mut running = Run::new(binaries, binaries.guest("shutdown"))
            .option("--die-with-parent")
            .arguments(&[mode])
            .through(&["sh", "-c", "\"$@\" & wait", "sh"])
            .start()?;
        running.line_with("up: ")?;
        let processes = descendants(running.id());
        ensure!(processes.len() == 2, "supervisor and guest: {processes:?}");
        running.signal(Signal::SIGKILL)?;
        let outcome = running.wait()?;
        ensure!(!outcome.stdout.contains("asked"), "{outcome:?}");
        let deadline = Instant::now() + TIME_OUT;
        while processes.iter().any(|&process| is_alive(process)) {
            ensure!(Instant::now() < deadline, "a process is left of {processes:?}");
            thread::sleep(Duration::from_millis(2));
        }
    }
    Ok(())
}

fn not_granted(binaries: &Binaries) -> Result<()> {
    let sigterm = Ended::Signal(Signal::SIGTERM as i32);
    let running = start(binaries, "heed", &["--no-supervisor"])?;
    sleeps(running.id())?;
    running.signal(Signal::SIGTERM)?;
    let outcome = running.wait()?;
    ensure!(outcome.ended == sigterm, "{outcome:?}");

    let folder = TempDir::new()?;
    let plain = Abi::Plain.kernel(binaries.guest("shutdown"), &folder)?;
    let mut running = Run::new(binaries, plain).arguments(&["heed"]).start()?;
    running.line_with("up: ")?;
    sleeps(running.guest_id())?;
    running.signal(Signal::SIGTERM)?;
    let outcome = running.wait()?;
    ensure!(outcome.ended == sigterm, "{outcome:?}");
    Ok(())
}

/// Waits until a process has nothing to do.
fn sleeps(process: i32) -> Result<()> {
    let deadline = Instant::now() + TIME_OUT;
    while !fs::read_to_string(format!("/proc/{process}/stat"))?.contains(") S ") {
        ensure!(Instant::now() < deadline, "it is busy");
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

fn inspected(binaries: &Binaries) -> Result<()> {
    let report = |options: &[&str]| -> Result<String> {
        let mut command = Command::new(binaries.tender());
        command.arg("--inspect").args(options).arg(binaries.guest("shutdown"));
        Ok(String::from_utf8(command.output()?.stdout)?)
    };
    let with = report(&[])?;
    ensure!(with.contains(", shutdown, ") && with.contains("nfds <= 1,"), "{with}");
    let without = report(&["--no-supervisor"])?;
    ensure!(!without.contains("shutdown") && without.contains("nfds <= 0,"), "{without}");
    ensure!(with.contains("4 system calls: ") && without.contains("4 system calls: "), "{with}");
    Ok(())
}

/// The end of a stream that is closed in order.
fn rest(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn httpd(binaries: &Binaries, mode: &str) -> Result<()> {
    /// More than all buffers on the way hold.
    const BYTES: usize = 64 << 20;
    let folder = TempDir::new()?;
    let image = folder.path().join("site.img");
    let mut file = File::create(&image)?;
    append(&mut file, "data.bin", BYTES as u64, &[])?;
    append(&mut file, "index.html", 4, b"page")?;
    file.write_all(&[0; 1024])?;
    let port = free_port()?;
    let mut running = Run::new(binaries, binaries.app("httpd"))
        .option("--mem=32")
        .option("--net:service=user")
        .option(format!("--publish:service={port}:80"))
        .option(format!("--block:site={}", image.display()))
        .option(mode)
        .start()?;
    running.line_with("listening on")?;

    let mut idle = connect(port)?;
    idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let mut answer = [0; 1 << 12];
    let length = idle.read(&mut answer)?;
    ensure!(answer[..length].ends_with(b"page"), "{:?}", &answer[..length]);
    let mut silent = connect(port)?;
    let mut busy = connect(port)?;
    busy.write_all(b"GET /data.bin HTTP/1.1\r\nHost: x\r\n\r\n")?;
    busy.read_exact(&mut answer)?;

    running.signal(Signal::SIGTERM)?;
    running.line_with("asked to end: 3 connections are left")?;
    ensure!(rest(&mut idle)?.is_empty() && rest(&mut silent)?.is_empty());
    let mut refused = connect(port)?;
    let _ = refused.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let body = BufReader::new(busy).bytes().count() + answer.len();
    ensure!((BYTES..BYTES + 1000).contains(&body), "{body} bytes of {BYTES} and a head");
    let outcome = running.wait()?;
    ensure!(outcome.ended == Ended::Exit(0), "{outcome:?}");
    ensure!(outcome.stdout.contains("all is answered: the end"), "{outcome:?}");
    // The gateway tries for a while, as the guest could be about to listen.
    ensure!(rest(&mut refused).unwrap_or_default().is_empty(), "it still accepts");
    Ok(())
}

fn kv(binaries: &Binaries, mode: &str) -> Result<()> {
    const COMMANDS: usize = 50_000;
    let folder = TempDir::new()?;
    let disk = folder.path().join("kv.img");
    File::create(&disk)?.set_len(64 << 20)?;
    let port = free_port()?;
    let run = Run::new(binaries, binaries.app("kv"))
        .option("--mem=64")
        .option("--net:service=user")
        .option(format!("--publish:service={port}:6379"))
        .option(format!("--block:data={}", disk.display()))
        .option(mode);
    let mut running = run.start()?;
    running.line_with("listening on")?;

    let mut blocked = connect(port)?;
    blocked.write_all(b"PING\r\nBLPOP l 0\r\n")?;
    blocked.read_exact(&mut [0; 7])?;
    let mut busy = connect(port)?;
    let mut writer = busy.try_clone()?;
    let writing = thread::spawn(move || {
        let commands: String = (0..COMMANDS).map(|key| format!("SET k{key} 1\r\n")).collect();
        // Whether all of it is taken is the server's to say.
        let _ = writer.write_all(commands.as_bytes());
    });
    let mut first = [0; 5];
    busy.read_exact(&mut first)?;
    running.signal(Signal::SIGTERM)?;
    ensure!(rest(&mut blocked)?.is_empty());
    let mut replies = first.to_vec();
    // What it sends to a closed connection is answered by a reset, behind the replies.
    let end = busy.read_to_end(&mut replies);
    ensure!(end.as_ref().err().is_none_or(|e| e.kind() == ErrorKind::ConnectionReset), "{end:?}");
    writing.join().ok().context("the thread")?;
    let outcome = running.wait()?;
    ensure!(outcome.ended == Ended::Exit(0), "{outcome:?}");
    ensure!(outcome.stdout.contains("all is written: the end"), "{outcome:?}");
    ensure!(replies.len() % 5 == 0 && replies.chunks(5).all(|reply| reply == b"+OK\r\n"));

    let mut running = run.start()?;
    running.line_with(&format!("{} keys from", replies.len() / 5))?;
    running.line_with("listening on")?;
    running.signal(Signal::SIGTERM)?;
    let outcome = running.wait()?;
    ensure!(outcome.ended == Ended::Exit(0), "{outcome:?}");
    Ok(())
}
