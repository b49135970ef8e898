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
        Case::new("xtask::run says when an app serves that does not speak HTTP", no_http),
        Case::new("xtask::run of a crate elsewhere keeps its disk", elsewhere),
        Case::new("xtask::bench of a few guests", density),
        Case::new("xtask::mistakes are named with the way out", mistakes),
    ]
}

/// `cargo xtask` with these words.
pub(crate) fn command(binaries: &Binaries, words: &[&str]) -> Command {
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

fn no_http(binaries: &Binaries) -> Result<()> {
    let port = free_port()?;
    let publish = format!("{port}:7");
    let mut running = Running::start(&mut command(binaries, &["run", "inetd", "-p", &publish]))?;
    let line = running.error_line_with("serving ")?;
    ensure!(line.starts_with(&format!("serving 127.0.0.1:{port}  (5 system calls: ")), "{line}");
    running.signal(Signal::SIGINT)?;
    ensure!(running.wait()?.ended == Ended::Exit(130));

    // Nothing can be asked of a service that only takes.
    let publish = format!("{port}:9");
    let mut running = Running::start(&mut command(binaries, &["run", "inetd", "-p", &publish]))?;
    running.error_line_with(&format!("starting at 127.0.0.1:{port}  (5 system calls: "))?;
    running.signal(Signal::SIGINT)?;
    ensure!(running.wait()?.ended == Ended::Exit(130));
    Ok(())
}

/// A crate outside of the workspace, with a disk that it can do without.
struct Elsewhere<'a> {
    binaries: &'a Binaries,
    folder: TempDir,
}

const CRATE_NAME: &str = "suite-elsewhere";
const CRATE_MANIFEST: &str = r#"
[package]
name = "suite-elsewhere"
version = "0.1.0"
edition = "2024"

[dependencies]
guest-rt = { path = "WORKSPACE/guest-rt" }

[build-dependencies]
guest-link = { path = "WORKSPACE/guest-rt/link" }

[[bin]]
name = "suite-elsewhere"
test = false
bench = false

[profile.dev]
panic = "abort"

[profile.release]
panic = "abort"
lto = "thin"
codegen-units = 4

[package.metadata.nabla]
memory_mb = 16
ready = { send = "PING\r\n", expect = "+PONG" }

[package.metadata.nabla.block.data]
blank = "64K"
sync = true
"#;
const CRATE_MAIN: &str = r#"
#![no_std]
#![no_main]

guest_rt::manifest! {
    net "service",
    block "data" optional,
}

/// Counts its starts on the disk.
fn count() -> Result<(), guest_rt::block::Error> {
    let disk = guest_rt::block::open("data")?;
    let mut block = [0; 512];
    disk.read(0, &mut block)?;
    block[0] += 1;
    disk.write(0, &block)?;
    let (bytes, synchronous) = (disk.capacity_bytes(), disk.is_synchronous());
    guest_rt::println!("start {} on {bytes} bytes, synchronous {synchronous}", block[0]);
    Ok(())
}

#[guest_rt::main]
async fn main() -> Result<(), guest_rt::net::Error> {
    if let Err(error) = count() {
        guest_rt::println!("{error}");
    }
    let mut listener = guest_rt::net::open("service")?.listen(7, 4)?;
    loop {
        let mut stream = listener.accept().await;
        let mut request = [0; 6];
        if let Ok(1..) = stream.read(&mut request).await {
            let _ = stream.write_all(b"+PONG\r\n").await;
        }
    }
}
"#;

impl<'a> Elsewhere<'a> {
    /// Writes and builds the crate, into the same target folder, where most of it is built already.
    fn new(binaries: &'a Binaries) -> Result<Self> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        let place = workspace.to_str().context("the workspace's name")?;
        let folder = TempDir::new()?;
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text);
        fs::create_dir(folder.path().join("src"))?;
        write("Cargo.toml", &CRATE_MANIFEST.replace("WORKSPACE", place))?;
        write("build.rs", "fn main() { guest_link::configure(); }")?;
        write("src/main.rs", CRATE_MAIN)?;
        fs::copy(workspace.join("Cargo.lock"), folder.path().join("Cargo.lock"))?;
        let this = Self { binaries, folder };
        let built = this.command("build", &[])?.output()?;
        ensure!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        match fs::remove_file(this.image()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error)?,
            _ => Ok(this),
        }
    }

    fn target(&self) -> std::path::PathBuf {
        self.binaries.tender().with_file_name("..")
    }

    fn image(&self) -> std::path::PathBuf {
        self.target().join(format!("nabla/{CRATE_NAME}-data.img"))
    }

    fn command(&self, verb: &str, words: &[&str]) -> Result<Command> {
        let folder = self.folder.path().to_str().context("the folder's name")?;
        let mut command = command(self.binaries, &[&[verb, folder], words].concat());
        command.env("CARGO_TARGET_DIR", self.target());
        Ok(command)
    }

    fn run(&self, words: &[&str]) -> Result<Running> {
        let publish = format!("{}:7", free_port()?);
        let words = [&["-p", &publish], words].concat();
        Running::start(&mut self.command("run", &words)?)
    }
}

fn elsewhere(binaries: &Binaries) -> Result<()> {
    let app = Elsewhere::new(binaries)?;
    let stop = |running: Running| -> Result<()> {
        running.signal(Signal::SIGINT)?;
        let outcome = running.wait()?;
        ensure!(outcome.ended == Ended::Exit(130), "{outcome:?}");
        Ok(())
    };
    for (start, state) in [(1, "new"), (2, "kept")] {
        let mut running = app.run(&[])?;
        let told = running.error_line_with("the block device 'data' is ")?;
        let expected = format!("{CRATE_NAME}-data.img (64.0 KiB, {state})");
        ensure!(told.ends_with(&expected), "{told}");
        running.error_line_with("  (7 system calls: ")?;
        running.line_with(&format!("start {start} on 65536 bytes, synchronous true"))?;
        let second = app.run(&[])?.wait()?;
        ensure!(second.ended == Ended::Exit(1), "{second:?}");
        ensure!(second.stderr.contains("-data.img' is in use by another guest"), "{second:?}");
        stop(running)?;
    }
    let mut running = app.run(&["--no-block", "data"])?;
    running.error_line_with("  (5 system calls: ")?;
    running.line_with("no file is attached to the optional block device")?;
    stop(running)?;

    // As the tender has it.
    let own = app.folder.path().join("own.img");
    fs::write(&own, [0; 1024])?;
    let mut running = app.run(&[&format!("--block:data={}", own.display())])?;
    running.line_with("start 1 on 1024 bytes, synchronous true")?;
    stop(running)?;
    fs::remove_file(app.image())?;
    Ok(())
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
