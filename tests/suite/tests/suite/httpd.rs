//! The web server as a user runs it: a site image, 32 MB of memory, a published port.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use suite::run::{TIME_OUT, connect, free_port};
use suite::{Binaries, Ended, Need, Run, Running};
use tempfile::TempDir;

use crate::Case;
use crate::network::{Namespace, TAP};

const WRK: &[Need] = &[Need::Program("wrk", "wrk")];
const STRACE: &[Need] = &[Need::Program("strace", "strace")];
const PAGE: &str = "<!doctype html><title>suite</title>";
const LARGE_BYTES: u64 = 1 << 30;

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("httpd::answers", answers),
        Case::new("httpd::a file of 1 GiB through 32 MB", large_file),
        Case::new("httpd::garbage does no harm", garbage),
        Case::new("httpd::slow and half-open clients give way to others", slow_clients),
        Case::new("httpd::more clients than a small memory holds", small_memory),
        Case::new("httpd::an image that is none is refused", no_image),
        Case::new("httpd::256 connections by wrk", by_wrk).with_needs(WRK),
        Case::new("httpd::the same file on a TAP device", |b| on_tap(b, "tap0")).with_needs(TAP),
        Case::new("httpd::the same file by a ring before a TAP device", |b| on_tap(b, "ring:tap0"))
            .with_needs(TAP),
        Case::new("httpd::system calls in service", calls_in_service).with_needs(STRACE),
    ]
}

/// A running web server.
struct Site {
    running: Running,
    port: u16,
    _folder: TempDir,
}

impl Site {
    fn start(binaries: &Binaries) -> Result<Self> {
        Self::start_in(binaries, "--mem=32")
    }

    fn start_in(binaries: &Binaries, memory: &str) -> Result<Self> {
        Self::start_with(
            binaries,
            memory,
            |image| {
                append(image, "index.html", PAGE.len() as u64, PAGE.as_bytes())?;
                append(image, "data.bin", 100_000, &vec![7; 100_000])
            },
            &[],
        )
    }

    fn start_with(
        binaries: &Binaries,
        memory: &str,
        fill: impl FnOnce(&mut File) -> Result<()>,
        prefix: &[&str],
    ) -> Result<Self> {
        let folder = TempDir::new()?;
        let image = folder.path().join("site.img");
        let mut file = File::create(&image)?;
        fill(&mut file)?;
        file.write_all(&[0; 1024])?;
        let port = free_port()?;
        let mut running = run(binaries, &image, port).option(memory).through(prefix).start()?;
        running.line_with("listening on 10.0.2.15/24")?;
        Ok(Self { running, port, _folder: folder })
    }

    /// Sends a request on a connection of its own and returns head and body.
    fn ask(&self, request: &str) -> Result<(String, Vec<u8>)> {
        let mut stream = connect(self.port)?;
        stream.write_all(request.as_bytes())?;
        response(&mut BufReader::new(stream))
    }

    /// The server is alive and keeps its wits.
    fn check(&self) -> Result<()> {
        let (head, body) = self.ask("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        ensure!(head.starts_with("HTTP/1.1 200 ") && body == PAGE.as_bytes(), "{head}");
        Ok(())
    }

    fn stop(self) -> Result<()> {
        self.running.signal(Signal::SIGTERM)?;
        let outcome = self.running.wait()?;
        ensure!(outcome.ended == Ended::Exit(0), "{outcome:?}");
        ensure!(!outcome.stdout.contains("panicked"), "{outcome:?}");
        Ok(())
    }
}

fn run(binaries: &Binaries, image: &Path, port: u16) -> Run {
    Run::new(binaries, binaries.app("httpd"))
        .option("--mem=32")
        .option("--net:service=user")
        .option(format!("--publish:service={port}:80"))
        .option(format!("--block:site={}", image.display()))
}

/// Appends a file to a tar archive; `data` may be shorter than `bytes`, the rest is a hole.
pub(crate) fn append(archive: &mut File, name: &str, bytes: u64, data: &[u8]) -> Result<()> {
    let mut header = [0u8; 512];
    let mut put =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{bytes:011o}\0"));
    put(136, "14000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    archive.write_all(&header)?;
    archive.write_all(data)?;
    let end = archive.stream_position()? - data.len() as u64 + bytes.next_multiple_of(512);
    archive.set_len(end)?;
    archive.seek(SeekFrom::Start(end))?;
    Ok(())
}

/// Reads one response whose length is known from its head.
pub(crate) fn response(stream: &mut BufReader<TcpStream>) -> Result<(String, Vec<u8>)> {
    let head = response_head(stream)?;
    let mut body = vec![0; content_length(&head)?];
    stream.read_exact(&mut body)?;
    Ok((head, body))
}

fn response_head(stream: &mut BufReader<TcpStream>) -> Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        ensure!(stream.read_line(&mut head)? > 0, "closed after {head:?}");
    }
    Ok(head)
}

fn content_length(head: &str) -> Result<usize> {
    let field = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse())
    });
    Ok(field.with_context(|| format!("no length in {head}"))??)
}

fn answers(binaries: &Binaries) -> Result<()> {
    let site = Site::start(binaries)?;
    site.check()?;
    for (request, status) in [
        ("GET /data.bin HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        ("GET /data.bin HTTP/1.1\r\nHost: x\r\nRange: bytes=5-9\r\n\r\n", 206),
        ("GET /data.bin HTTP/1.1\r\nHost: x\r\nRange: bytes=100000-\r\n\r\n", 416),
        ("GET /absent HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    ] {
        let (head, body) = site.ask(request)?;
        ensure!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request} {head}");
        ensure!(status != 206 || body == [7; 5], "{head}");
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(100_000));
    ensure!(site.ask(&long)?.0.starts_with("HTTP/1.1 414 "));
    let (_, metrics) = site.ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let metrics = String::from_utf8(metrics)?;
    ensure!(metrics.contains("guest_heap_used_bytes "), "{metrics}");
    let documented = include_str!("../../../../docs/httpd.md");
    for help in metrics.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
        let name = help.split(' ').next().unwrap_or_default();
        ensure!(documented.contains(&format!("`{name}`")), "{name} is not in docs/httpd.md");
    }

    // Pipelined requests are answered in order on one connection.
    let mut stream = connect(site.port)?;
    stream.write_all("GET /data.bin HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20).as_bytes())?;
    let mut reader = BufReader::new(stream);
    for _ in 0..20 {
        let (_, body) = response(&mut reader)?;
        ensure!(body.len() == 100_000 && body.iter().all(|&byte| byte == 7));
    }
    site.stop()
}

fn large_file(binaries: &Binaries) -> Result<()> {
    const STEP: usize = 1 << 20;
    let stamp = |at: u64| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    let site = Site::start_with(
        binaries,
        "--mem=32",
        |image| {
            append(image, "large", LARGE_BYTES, &[])?;
            for at in (0..LARGE_BYTES).step_by(STEP) {
                image.seek(SeekFrom::Start(512 + at))?;
                image.write_all(&stamp(at))?;
            }
            image.seek(SeekFrom::End(0))?;
            append(image, "index.html", PAGE.len() as u64, PAGE.as_bytes())
        },
        &[],
    )?;
    let mut stream = connect(site.port)?;
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let mut reader = BufReader::with_capacity(STEP, stream);
    let head = response_head(&mut reader)?;
    ensure!(content_length(&head)? as u64 == LARGE_BYTES, "{head}");
    let mut chunk = vec![0; STEP];
    let mut expected = vec![0; STEP];
    for at in (0..LARGE_BYTES).step_by(STEP) {
        reader.read_exact(&mut chunk).with_context(|| format!("at {at}"))?;
        expected[..8].copy_from_slice(&stamp(at));
        ensure!(chunk == expected, "wrong bytes in the mebibyte at {at}");
    }
    site.check()?;
    site.stop()
}

fn garbage(binaries: &Binaries) -> Result<()> {
    let site = Site::start(binaries)?;
    let mut state = 1u64;
    for round in 0..4 {
        let noise: Vec<u8> = (0..1 << 20)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Without and with line ends.
                if round % 2 == 0 {
                    (state >> 33) as u8
                } else {
                    b"\r\nGET /:\0 "[(state >> 33) as usize % 10]
                }
            })
            .collect();
        let mut stream = connect(site.port)?;
        // The server answers 400 and closes; the rest cannot be sent then.
        let _ = stream.write_all(&noise);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        site.check()?;
    }
    site.stop()
}

fn slow_clients(binaries: &Binaries) -> Result<()> {
    let site = Site::start_in(binaries, "--mem=4")?;
    let (_, metrics) = site.ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let metrics = String::from_utf8(metrics)?;
    let limit: usize = metrics
        .lines()
        .find_map(|line| line.strip_prefix("httpd_exchanges_max ")?.parse().ok())
        .context("no limit in the metrics")?;
    let mut slow = Vec::new();
    for number in 0..2 * limit {
        let mut stream = connect(site.port)?;
        if number % 2 == 0 {
            stream.write_all(b"GET / HT")?;
        }
        slow.push(stream);
    }
    // As many requests are under way as there may be: others are told so.
    let deadline = Instant::now() + TIME_OUT;
    loop {
        match site.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n") {
            Ok((head, _)) if head.starts_with("HTTP/1.1 503 ") => break,
            answer => ensure!(Instant::now() < deadline, "never full: {answer:?}"),
        }
    }
    // Those that never finish their request are sent away in time (408), with everyone else served.
    let mut answer = String::new();
    slow[0].read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    while site.check().is_err() {
        ensure!(Instant::now() < deadline, "slow clients hold the server");
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(slow);
    site.check()?;
    site.stop()
}

fn small_memory(binaries: &Binaries) -> Result<()> {
    let site = Site::start_in(binaries, "--mem=4")?;
    let mut clients = Vec::new();
    for _ in 0..200 {
        let mut stream = connect(site.port)?;
        // None of them reads what it asks for; many are refused.
        let _ = stream.write_all("GET /data.bin HTTP/1.1\r\nHost: x\r\n\r\n".repeat(9).as_bytes());
        clients.push(stream);
    }
    drop(clients);
    let deadline = Instant::now() + TIME_OUT;
    while site.check().is_err() {
        ensure!(Instant::now() < deadline, "the server is gone or stays full");
        std::thread::sleep(Duration::from_millis(50));
    }
    site.stop()
}

fn no_image(binaries: &Binaries) -> Result<()> {
    let folder = TempDir::new()?;
    let image = folder.path().join("noise.img");
    fs::write(&image, vec![0x33; 4096])?;
    let outcome = run(binaries, &image, free_port()?).finish()?;
    ensure!(outcome.ended == Ended::Exit(1), "{outcome:?}");
    ensure!(outcome.stdout.contains("'site' is no tar archive"), "{outcome:?}");
    Ok(())
}

fn by_wrk(binaries: &Binaries) -> Result<()> {
    let seconds = std::env::var("NABLA_WRK_SECONDS").unwrap_or_else(|_| "5".into());
    let site = Site::start(binaries)?;
    let address = format!("http://127.0.0.1:{}/data.bin", site.port);
    let duration = format!("{seconds}s");
    let output = Command::new("wrk")
        .args(["-c", "256", "-t", "2", "-d", &duration, "--timeout", "20s", &address])
        .output()?;
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    let requests: u64 = report
        .lines()
        .find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok())
        .with_context(|| report.clone())?;
    ensure!(requests > 256, "{report}");
    for bad in ["Socket errors", "Non-2xx"] {
        ensure!(!report.contains(bad), "{report}");
    }
    site.check()?;
    site.stop()
}

fn on_tap(binaries: &Binaries, network: &str) -> Result<()> {
    let namespace = Namespace::new(&format!("httpd-{}", network.len()))?;
    let folder = TempDir::new()?;
    let image = folder.path().join("site.img");
    let mut file = File::create(&image)?;
    append(&mut file, "index.html", PAGE.len() as u64, PAGE.as_bytes())?;
    let mut running = Run::new(binaries, binaries.app("httpd"))
        .option("--mem=32")
        .option(format!("--net:service={network}"))
        .option(format!("--block:site={}", image.display()))
        .arguments(&["--ipv4=10.0.0.2/24", "--port=8000"])
        .through(&namespace.inside(&[]))
        .start()?;
    running.line_with("listening on 10.0.0.2/24 port 8000")?;
    let client = "import urllib.request as r; \
                  print(r.urlopen('http://10.0.0.2:8000/', timeout=30).read().decode(), end='')";
    let words = namespace.inside(&["python3", "-c", client]);
    let output = Command::new(words[0]).args(&words[1..]).output()?;
    ensure!(output.stdout == PAGE.as_bytes(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The calls of each process after its filter was in force, from strace's log.
fn calls_by_process(log: &Path) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut processes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in fs::read_to_string(log)?.lines() {
        let Some((process, call)) = line.split_once(' ') else {
            continue;
        };
        let call = call.trim_start();
        let name = call.split('(').next().unwrap_or_default();
        // The supervisor, which has no filter, ends the guest. In which call that is then, strace only
        // guesses.
        if name == "kill" && !processes.contains_key(process) {
            break;
        }
        if let Some(names) = processes.get_mut(process)
            && call.contains('(')
            && !call.starts_with(['<', '+', '-'])
        {
            names.insert(name.to_owned());
        }
        if call.contains("SECCOMP_SET_MODE_FILTER") {
            processes.entry(process.to_owned()).or_default();
        }
    }
    Ok(processes)
}

fn calls_in_service(binaries: &Binaries) -> Result<()> {
    let folder = TempDir::new()?;
    let log: PathBuf = folder.path().join("log");
    let site = Site::start_with(
        binaries,
        "--mem=32",
        |image| append(image, "index.html", PAGE.len() as u64, PAGE.as_bytes()),
        &["strace", "-f", "-o", &log.to_string_lossy()],
    )?;
    for _ in 0..20 {
        site.check()?;
    }
    drop(site);
    let processes = calls_by_process(&log)?;
    let policy: BTreeSet<String> =
        ["read", "write", "ppoll", "pread64", "clock_gettime", "exit_group"]
            .map(str::to_owned)
            .into();
    let Some(guest) = processes.values().find(|names| names.contains("pread64")) else {
        bail!("no guest in {processes:?}");
    };
    ensure!(guest.is_subset(&policy), "the guest made {guest:?}");
    ensure!(guest.contains("ppoll") && guest.contains("read"), "{guest:?}");
    Ok(())
}
