//! The classic services as a user runs them: behind published ports, and on a TAP device, where
//! there is UDP as well.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use suite::run::{connect, free_port};
use suite::{Binaries, Ended, Run, Running};

use crate::Case;
use crate::network::{Namespace, TAP, echo_round_trip};

/// Bytes of the generator's pattern until it begins anew.
const PERIOD_BYTES: usize = 95 * 74;

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("inetd::echo, discard and chargen by published ports", by_gateway),
        Case::new("inetd::a connection too many is reset", one_too_many),
        Case::new("inetd::wrong arguments are named", wrong_arguments),
        Case::new("inetd::streams and datagrams on a TAP device", on_tap).with_needs(TAP),
        Case::new("inetd::chargen by datagrams if asked for", udp_chargen).with_needs(TAP),
    ]
}

/// A guest with its ports published, as many as are named.
fn start(binaries: &Binaries, options: &[String], arguments: &[&str]) -> Result<Running> {
    let mut run = Run::new(binaries, binaries.app("inetd")).option("--net:service=user");
    for option in options {
        run = run.option(option);
    }
    let mut running = run.arguments(arguments).start()?;
    running.line_with("chargen on 10.0.2.15/24 port 19")?;
    Ok(running)
}

fn stop(running: Running) -> Result<()> {
    running.signal(Signal::SIGTERM)?;
    let outcome = running.wait()?;
    ensure!(outcome.ended == Ended::Exit(0), "{outcome:?}");
    ensure!(!outcome.stdout.contains("panicked"), "{outcome:?}");
    Ok(())
}

fn by_gateway(binaries: &Binaries) -> Result<()> {
    let ports = [free_port()?, free_port()?, free_port()?];
    let guest_ports = [7, 9, 19];
    let publish = ports.iter().zip(guest_ports);
    let mut options: Vec<String> =
        publish.map(|(port, guest)| format!("--publish:service={port}:{guest}")).collect();
    options.push("--mem=32".into());
    let running = start(binaries, &options, &[])?;
    let [echo, discard, chargen] = ports;
    echo_round_trip(echo, 4 << 20)?;

    let mut stream = connect(discard)?;
    stream.write_all(&vec![7; 4 << 20])?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    ensure!(answer.is_empty(), "discard answers {} bytes", answer.len());

    // What is sent to it changes nothing.
    let mut stream = connect(chargen)?;
    stream.write_all(&vec![b'x'; 100_000])?;
    let mut characters = vec![0; 300 * PERIOD_BYTES];
    stream.read_exact(&mut characters)?;
    ensure!(characters.starts_with(b" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQ"));
    ensure!(characters.chunks(PERIOD_BYTES).all(|period| *period == characters[..PERIOD_BYTES]));
    drop(stream);
    echo_round_trip(echo, 1000)?;
    stop(running)
}

fn one_too_many(binaries: &Binaries) -> Result<()> {
    let port = free_port()?;
    let options = [format!("--publish:service={port}:7"), "--mem=32".into()];
    let mut running = start(binaries, &options, &["--buffer=1024"])?;
    let line = running.line_with("at most ")?;
    let count = line.split_once("at most ").and_then(|(_, rest)| rest.split(' ').next());
    let count: usize = count.context("no number")?.parse()?;
    ensure!((2..20).contains(&count), "{line}");
    let ask = || -> Result<_> {
        let mut stream = connect(port)?;
        stream.write_all(b"x")?;
        let mut answer = [0];
        let is_served = matches!(stream.read(&mut answer), Ok(1));
        Ok((stream, is_served))
    };
    let served = (0..count).map(|_| ask()).collect::<Result<Vec<_>>>()?;
    ensure!(served.iter().all(|(_, is_served)| *is_served), "connections that fit are refused");
    ensure!(!ask()?.1, "a connection too many is served");
    running.line_with("no more connections fit")?;
    drop(served);
    // Their places are free as soon as the guest has seen their ends.
    while !ask()?.1 {}
    stop(running)
}

fn wrong_arguments(binaries: &Binaries) -> Result<()> {
    for (argument, what) in [
        ("--buffer=x", "--buffer=x is no number of KiB"),
        ("--buffer=0", "--buffer=0 is no number of KiB"),
        ("--buffer=16384", "no connection of 16777216 B each way fits"),
    ] {
        let outcome = Run::new(binaries, binaries.app("inetd"))
            .option("--mem=32")
            .option("--net:service=user")
            .arguments(&[argument])
            .finish()?;
        ensure!(outcome.ended == Ended::Exit(1), "{outcome:?}");
        ensure!(outcome.stdout.contains(what), "{outcome:?}");
    }
    Ok(())
}

/// A guest on the TAP device of a namespace of its own.
fn start_on_tap(binaries: &Binaries, namespace: &Namespace, more: &[&str]) -> Result<Running> {
    let words = [&["--ipv4=10.0.0.2/24"], more].concat();
    let mut running = Run::new(binaries, binaries.app("inetd"))
        .option("--mem=32")
        .option("--net:service=tap0")
        .arguments(&words)
        .through(&namespace.inside(&[]))
        .start()?;
    running.line_with("chargen on 10.0.0.2/24 port 19")?;
    Ok(running)
}

/// Runs a client beside the guest. `u` is a UDP socket, `t` makes a TCP connection.
fn client(namespace: &Namespace, script: &str) -> Result<()> {
    let prelude = "import socket\n\
        u=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); u.settimeout(30)\n\
        g='10.0.0.2'\n\
        t=lambda port: socket.create_connection((g,port),timeout=30)\n";
    let script = format!("{prelude}{script}");
    let words = namespace.inside(&["python3", "-c", &script]);
    let output = Command::new(words[0]).args(&words[1..]).output()?;
    ensure!(output.status.success(), "client: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn on_tap(binaries: &Binaries) -> Result<()> {
    let namespace = Namespace::new("inetd")?;
    let running = start_on_tap(binaries, &namespace, &[])?;
    // Neither discard nor chargen answers a datagram, nor echo one from a service's port: only the
    // answers to the last ones come.
    client(
        &namespace,
        "s=t(7); s.sendall(b'over tcp'); assert s.recv(99)==b'over tcp'\n\
         c=t(19); assert c.recv(99).startswith(b' !\"#$%&')\n\
         u.bind(('10.0.0.1',1023)); u.sendto(b'from a service',(g,7)); u.close()\n\
         u=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); u.settimeout(30)\n\
         u.sendto(b'x',(g,9)); u.sendto(b'x',(g,19))\n\
         for size in (0,1,1472):\n\
         \x20 u.sendto(b'd'*size,(g,7)); assert u.recvfrom(9999)==(b'd'*size,(g,7))\n",
    )?;
    stop(running)
}

fn udp_chargen(binaries: &Binaries) -> Result<()> {
    let namespace = Namespace::new("chargen")?;
    let running = start_on_tap(binaries, &namespace, &["--udp-chargen"])?;
    client(
        &namespace,
        "got=[]\n\
         for _ in range(50):\n\
         \x20 u.sendto(b'x',(g,19)); got.append(u.recv(9999))\n\
         assert len(set(map(len,got)))>1 and max(map(len,got))<=512, got\n\
         assert all(' !\"#$%&'.encode().startswith(d[:7]) for d in got), got\n",
    )?;
    stop(running)
}
