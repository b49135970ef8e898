//! Guests on a network: the user-mode gateway, a TAP device in a network namespace of the test's own.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use suite::run::{children, connect, free_port};
use suite::{Binaries, Ended, Need, Run, Running};
use tempfile::TempDir;

use crate::Case;
use crate::behaviours::Abi;

/// What a TAP device in a namespace of its own needs.
pub(crate) const TAP: &[Need] =
    &[Need::Root, Need::Program("ip", "iproute2"), Need::File("/dev/net/tun")];

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("network::user::echo, extended", |b| echo_by_gateway(b, Abi::Extended, "user")),
        Case::new("network::user::echo, plain", |b| echo_by_gateway(b, Abi::Plain, "user")),
        Case::new("network::user::echo, extended, by the plain wire", |b| {
            echo_by_gateway(b, Abi::Extended, "user,wire=plain")
        }),
        Case::new("network::user::a port in use is named", port_in_use),
        Case::new("network::user::the gateway's death is reported", gateway_dies),
        Case::new("network::user::SIGTERM ends every process", terminated),
        Case::new("network::user::a crash is reported with its signal", crash_reported),
        Case::new("network::tap::echo, extended", |b| echo_by_tap(b, Abi::Extended, "tap0", "50"))
            .with_needs(TAP),
        Case::new("network::tap::echo, extended, sleeping at once", |b| {
            echo_by_tap(b, Abi::Extended, "tap0", "off")
        })
        .with_needs(TAP),
        Case::new("network::tap::echo, plain", |b| echo_by_tap(b, Abi::Plain, "tap0", "50"))
            .with_needs(TAP),
        Case::new("network::a wrong --spin is named", wrong_spin),
        Case::new("network::tap::an absent or down interface is named", tap_refusals)
            .with_needs(TAP),
    ]
}

fn start_echo(
    binaries: &Binaries,
    abi: Abi,
    folder: &TempDir,
    network: &str,
    port: u16,
) -> Result<Running> {
    let kernel = abi.kernel(binaries.guest("net-echo"), folder)?;
    let mut running = Run::new(binaries, kernel)
        .option(format!("--net:service={network}"))
        .option(format!("--publish:service={port}:7"))
        .start()?;
    running.line_with("echo on 10.0.2.15/24")?;
    Ok(running)
}

fn echo_by_gateway(binaries: &Binaries, abi: Abi, network: &str) -> Result<()> {
    let folder = TempDir::new()?;
    let port = free_port()?;
    let running = start_echo(binaries, abi, &folder, network, port)?;
    echo_round_trip(port, 4 << 20)?;

    let mut last = connect(port)?;
    last.write_all(b"quit")?;
    let mut answer = [0; 4];
    last.read_exact(&mut answer)?;
    ensure!(&answer == b"quit");
    drop(last);
    let outcome = running.wait()?;
    ensure!(outcome.ended == Ended::Exit(0), "{outcome:?}");
    Ok(())
}

/// Sends a pattern and reads it back while sending.
pub(crate) fn echo_round_trip(port: u16, bytes: usize) -> Result<()> {
    let stream = connect(port)?;
    let pattern: Vec<u8> = (0..bytes).map(|i| (i % 251) as u8).collect();
    let mut writer = stream.try_clone()?;
    let to_send = pattern.clone();
    let sender = std::thread::spawn(move || {
        writer.write_all(&to_send)?;
        writer.shutdown(Shutdown::Write)
    });
    let mut echoed = Vec::new();
    (&stream).read_to_end(&mut echoed)?;
    sender.join().ok().context("the sender panicked")??;
    ensure!(echoed == pattern, "{} of {bytes} bytes came back, or changed", echoed.len());
    Ok(())
}

fn port_in_use(binaries: &Binaries) -> Result<()> {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let port = taken.local_addr()?.port();
    let outcome = Run::new(binaries, binaries.guest("net-echo"))
        .option("--net:service=user")
        .option(format!("--publish:service={port}:7"))
        .finish()?;
    ensure!(outcome.ended == Ended::Exit(1), "{outcome:?}");
    ensure!(outcome.stderr.contains(&format!("port {port} of 127.0.0.1 is in use")), "{outcome:?}");
    ensure!(outcome.stdout.is_empty(), "{outcome:?}");
    Ok(())
}

/// Whether a process is there, and not only waited for.
pub(crate) fn is_alive(process: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

fn name(process: i32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

fn gateway_dies(binaries: &Binaries) -> Result<()> {
    let folder = TempDir::new()?;
    let running = start_echo(binaries, Abi::Extended, &folder, "user", free_port()?)?;
    let children = children(running.id());
    ensure!(children.len() == 2, "{children:?}");
    let gateway = children
        .iter()
        .copied()
        .find(|&child| name(child) == "tender-gateway")
        .context("no gateway")?;
    kill(Pid::from_raw(gateway), Signal::SIGKILL)?;
    let outcome = running.wait()?;
    ensure!(outcome.ended == Ended::Exit(1), "{outcome:?}");
    ensure!(
        outcome.stderr.contains("gateway") && outcome.stderr.contains("service"),
        "{outcome:?}"
    );
    ensure!(!children.iter().any(|&child| is_alive(child)), "a process is left");
    Ok(())
}

fn terminated(binaries: &Binaries) -> Result<()> {
    let folder = TempDir::new()?;
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGKILL] {
        let running = start_echo(binaries, Abi::Extended, &folder, "user", free_port()?)?;
        let children = children(running.id());
        running.signal(signal)?;
        let outcome = running.wait()?;
        ensure!(outcome.ended == Ended::Signal(signal as i32), "{outcome:?}");
        let deadline = std::time::Instant::now() + suite::run::TIME_OUT;
        while children.iter().any(|&child| is_alive(child)) {
            ensure!(std::time::Instant::now() < deadline, "{signal}: a process is left");
            std::thread::yield_now();
        }
    }
    Ok(())
}

fn crash_reported(binaries: &Binaries) -> Result<()> {
    let outcome =
        Run::new(binaries, binaries.guest("net-crash")).option("--net:service=user").finish()?;
    ensure!(outcome.ended == Ended::Signal(Signal::SIGSEGV as i32), "{outcome:?}");
    ensure!(outcome.stderr.contains("SIGSEGV"), "{outcome:?}");
    Ok(())
}

/// A network namespace with a TAP device `tap0` at 10.0.0.1/24; gone when dropped.
pub(crate) struct Namespace(String);

impl Namespace {
    pub(crate) fn new(label: &str) -> Result<Self> {
        let namespace = Self(format!("nabla-{}-{label}", std::process::id()));
        ip(&["netns", "add", &namespace.0])?;
        for command in [
            "link set lo up",
            "tuntap add tap0 mode tap",
            "addr add 10.0.0.1/24 dev tap0",
            "link set tap0 up",
            "tuntap add down0 mode tap",
        ] {
            namespace.ip(command)?;
        }
        Ok(namespace)
    }

    /// Runs `ip` in it.
    pub(crate) fn ip(&self, words: &str) -> Result<()> {
        ip(&["-n", &self.0].into_iter().chain(words.split(' ')).collect::<Vec<_>>())
    }

    /// Runs a Python program in it to its end, and returns what it prints.
    pub(crate) fn python(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let words = [&["python3", "-c", program], arguments].concat();
        let words = self.inside(&words);
        let output = Command::new(words[0]).args(&words[1..]).output()?;
        ensure!(output.status.success(), "python3: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    pub(crate) fn inside<'a>(&'a self, words: &[&'a str]) -> Vec<&'a str> {
        [&["ip", "netns", "exec", &self.0][..], words].concat()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = ip(&["netns", "del", &self.0]);
    }
}

fn ip(words: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(words).output()?;
    ensure!(output.status.success(), "ip {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn wrong_spin(binaries: &Binaries) -> Result<()> {
    let outcome = Run::new(binaries, binaries.guest("net-echo"))
        .option("--net:service=user")
        .arguments(&["--spin=fast"])
        .finish()?;
    ensure!(outcome.ended == Ended::Exit(1), "{outcome:?}");
    ensure!(outcome.stdout.contains("--spin=fast is neither"), "{outcome:?}");
    Ok(())
}

/// By `tap0` in a namespace of its own, or by something before it.
pub(crate) fn echo_by_tap(binaries: &Binaries, abi: Abi, network: &str, spin: &str) -> Result<()> {
    let namespace = Namespace::new(&format!("echo-{abi:?}-{}-{spin}", network.len()))?;
    let folder = TempDir::new()?;
    let mut running = Run::new(binaries, abi.kernel(binaries.guest("net-echo"), &folder)?)
        .option(format!("--net:service={network}"))
        .arguments(&["--ipv4=10.0.0.2/24", "--ipv4-gateway=10.0.0.1"])
        .arguments(&[&format!("--spin={spin}")])
        .through(&namespace.inside(&[]))
        .start()?;
    running.line_with("echo on 10.0.0.2/24")?;

    let client = "import socket,threading,sys\n\
        data=bytes(i%251 for i in range(1<<20))\n\
        s=socket.create_connection(('10.0.0.2',7),timeout=30)\n\
        threading.Thread(target=lambda:(s.sendall(data),s.shutdown(socket.SHUT_WR))).start()\n\
        got=b''\n\
        while True:\n\
        \x20 part=s.recv(1<<16)\n\
        \x20 if not part: break\n\
        \x20 got+=part\n\
        assert got==data, len(got)\n\
        u=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); u.settimeout(30)\n\
        u.sendto(b'datagram',('10.0.0.2',7)); assert u.recv(99)==b'datagram'\n\
        q=socket.create_connection(('10.0.0.2',7),timeout=30); q.sendall(b'quit'); assert q.recv(9)==b'quit'\n";
    let words = namespace.inside(&["python3", "-c", client]);
    let output = Command::new(words[0]).args(&words[1..]).output()?;
    ensure!(output.status.success(), "client: {}", String::from_utf8_lossy(&output.stderr));
    let outcome = running.wait()?;
    ensure!(outcome.ended == Ended::Exit(0), "{outcome:?}");
    Ok(())
}

fn tap_refusals(binaries: &Binaries) -> Result<()> {
    let namespace = Namespace::new("refusals")?;
    for interface in ["absent0", "down0", "lo"] {
        let outcome = Run::new(binaries, binaries.guest("net-echo"))
            .option(format!("--net:service={interface}"))
            .through(&namespace.inside(&[]))
            .finish()?;
        ensure!(outcome.ended == Ended::Exit(1), "{outcome:?}");
        ensure!(outcome.stderr.contains(interface), "{outcome:?}");
        ensure!(outcome.stderr.lines().count() == 1, "{outcome:?}");
    }
    Ok(())
}
