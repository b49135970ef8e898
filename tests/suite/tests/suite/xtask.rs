//! `cargo xtask run` and `bench` as a user types them: what they say, how they end, and that nothing is
//! left.

use std::fs;
use std::io::{BufReader, Write};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use suite::run::{TIME_OUT, connect, descendants, free_port};
use suite::{Binaries, Ended, Outcome, Running};
use tempfile::TempDir;

use crate::Case;
use crate::httpd::response;
use crate::network::is_alive;

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("xtask::run of an app without devices", hello),
        Case::new("xtask::run of a web server with a folder, until Ctrl-C", |b| {
            serves_until(b, Signal::SIGINT, Ended::Exit(130))
        }),
        Case::new("xtask::run ended by SIGTERM", |b| {
            serves_until(b, Signal::SIGTERM, Ended::Exit(143))
        }),
        Case::new("xtask::run killed leaves nothing", |b| {
            serves_until(b, Signal::SIGKILL, Ended::Signal(Signal::SIGKILL as i32))
        }),
        Case::new("xtask::a second Ctrl-C kills what does not end", second_interrupt),
        Case::new("xtask::bench of a few guests", density),
        Case::new("xtask::mistakes are named with the way out", mistakes),
    ]
}

fn command(binaries: &Binaries, words: &[&str]) -> Command {
    let mut command = Command::new(binaries.xtask());
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    command.args(words).current_dir(workspace).env_remove("CARGO_MANIFEST_DIR");
    command
}

fn finish(binaries: &Binaries, words: &[&str]) -> Result<Outcome> {
    Running::start(&mut command(binaries, words))?.wait()
}

fn hello(binaries: &Binaries) -> Result<()> {
    let outcome = finish(binaries, &["run", "apps/hello", "--", "one", "two"])?;
    ensure!(outcome.ended == Ended::Exit(0), "{outcome:?}");
    ensure!(outcome.stdout.ends_with("argument: one\nargument: two\n"), "{outcome:?}");
    ensure!(outcome.stderr.contains("\nhello: exited with status 0 after "), "{outcome:?}");
    Ok(())
}

/// Serves a folder of the test's own until xtask gets a signal.
fn serves_until(binaries: &Binaries, signal: Signal, ended: Ended) -> Result<()> {
    let page = format!("<!doctype html><title>{signal}</title>");
    let site = TempDir::new()?;
    fs::write(site.path().join("index.html"), &page)?;
    let port = free_port()?;
    let mut running = serve(binaries, site.path(), port)?;
    let line = running.error_line_with("serving ")?;
    let expected =
        format!("serving http://127.0.0.1:{port}/  (6 system calls: read, write, ppoll, ");
    ensure!(line.starts_with(&expected), "{line}");

    let mut stream = connect(port)?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let (_, body) = response(&mut BufReader::new(stream))?;
    ensure!(body == page.as_bytes(), "{body:?}");

    let processes = descendants(running.id());
    ensure!(processes.len() == 3, "supervisor, gateway and guest: {processes:?}");
    running.signal(signal)?;
    let outcome = running.wait()?;
    ensure!(outcome.ended == ended, "{outcome:?}");
    let said = outcome.stderr.contains(&format!("httpd: stopped by {signal} after "));
    ensure!(said || signal == Signal::SIGKILL, "{outcome:?}");
    all_end(&processes)
}

fn serve(binaries: &Binaries, site: &Path, port: u16) -> Result<Running> {
    let site = site.to_str().context("the folder's name")?;
    let publish = format!("{port}:80");
    Running::start(&mut command(binaries, &["run", "httpd", "--site", site, "-p", &publish]))
}

fn all_end(processes: &[i32]) -> Result<()> {
    let deadline = Instant::now() + TIME_OUT;
    while processes.iter().any(|&process| is_alive(process)) {
        ensure!(Instant::now() < deadline, "processes are left of {processes:?}");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn second_interrupt(binaries: &Binaries) -> Result<()> {
    let site = TempDir::new()?;
    fs::write(site.path().join("index.html"), "page")?;
    let mut running = serve(binaries, site.path(), free_port()?)?;
    running.error_line_with("serving ")?;
    let processes = descendants(running.id());
    let supervisor = *processes.first().context("no supervisor")?;
    // A supervisor that is stopped cannot answer.
    kill(Pid::from_raw(supervisor), Signal::SIGSTOP)?;
    running.signal(Signal::SIGINT)?;
    running.signal(Signal::SIGINT)?;
    let outcome = running.wait()?;
    ensure!(outcome.ended == Ended::Exit(130), "{outcome:?}");
    all_end(&processes)
}

/// The bench itself fails if a guest does not answer or a process is left.
fn density(binaries: &Binaries) -> Result<()> {
    let folder = TempDir::new()?;
    let samples = folder.path().join("samples.json");
    let json = samples.to_str().context("the folder's name")?;
    let outcome = finish(binaries, &["bench", "density", "--guests", "3", "--json", json])?;
    ensure!(outcome.ended == Ended::Exit(0), "{outcome:?}");
    ensure!(outcome.stdout.contains("no process is left"), "{outcome:?}");
    ensure!(fs::read_to_string(samples)?.contains("\"guests\": 3"));
    Ok(())
}

fn mistakes(binaries: &Binaries) -> Result<()> {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let publish = format!("{}:80", taken.local_addr()?.port());
    let absent = ["run", "httpd", "--site", "/nonexistent/folder"];
    for (words, named) in [
        (&["run", "nonsense"][..], &["'nonsense'", "hello", "httpd"][..]),
        (&["run", "httpd", "-p", &publish], &["is in use", "another: -p "]),
        (&["run", "httpd", "-p", "eighty"], &["'eighty'", "8080:80"]),
        (&absent, &["/nonexistent/folder"]),
        (&["fly"], &["'fly'", "run", "build"]),
        (&["bench", "end"], &["'end'", "start", "density"]),
        (&["bench", "density", "--guests", "0"], &["--guests"]),
        (&["bench", "start", "--guests", "9"], &["--guests", "density"]),
        (&["inspect", "README.md"], &["README.md", "is not an ELF file"]),
    ] {
        let outcome = finish(binaries, words)?;
        ensure!(outcome.ended == Ended::Exit(1) && outcome.stdout.is_empty(), "{outcome:?}");
        for name in named {
            ensure!(outcome.stderr.contains(name), "{words:?} without {name}: {outcome:?}");
        }
    }
    Ok(())
}
