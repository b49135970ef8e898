//! The classic services on the kernel's own stack, to compare with: the plainest program that does
//! what the guest does, a thread for each connection.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result};
use lexopt::Parser;

/// What it says when it serves.
pub(crate) const READY: &str = "serving";
/// The guest's.
pub(crate) const ECHO: u16 = 7;
pub(crate) const DISCARD: u16 = 9;
pub(crate) const CHARGEN: u16 = 19;

const BUFFER_BYTES: usize = 64 << 10;

/// The task of a worker. It ends when it is told to.
pub(in super::super) fn main(_: &mut Parser) -> Result<ExitCode> {
    let listeners = [(ECHO, echo as fn(TcpStream)), (DISCARD, discard), (CHARGEN, generate)];
    for (port, serve) in listeners {
        let listener = TcpListener::bind(("0.0.0.0", port)).context("cannot listen")?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = stream.set_nodelay(true);
                thread::spawn(move || serve(stream));
            }
        });
    }
    let socket = UdpSocket::bind(("0.0.0.0", ECHO)).context("cannot make a socket")?;
    println!("{READY}");
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        if let Ok((bytes, sender)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..bytes], sender);
        }
    }
}

fn echo(mut stream: TcpStream) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(bytes @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..bytes]).is_err() {
            return;
        }
    }
}

fn discard(mut stream: TcpStream) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(1..) = stream.read(&mut buffer) {}
}

fn generate(mut stream: TcpStream) {
    let buffer = vec![b'x'; BUFFER_BYTES];
    while stream.write_all(&buffer).is_ok() {}
}
