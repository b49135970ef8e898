//! Who is at the other side of the guest's wire: servers that a frame can reach, and datagrams that give the guest
//! something to read.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// The ports that the generator of frames thinks of.
const PORTS: [u16; 3] = [4000, 4001, 4002];
const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const PAUSE: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_millis(200);

/// Starts them; they stay as long as the machine.
///
/// # Errors
/// If a port is taken.
pub(super) fn start() -> Result<()> {
    for port in PORTS {
        let listener = TcpListener::bind(("::", port)).with_context(|| format!("port {port}"))?;
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                // One after the other would wait for those that never speak.
                thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(PATIENCE));
                    let mut bytes = [0; 4096];
                    while let Ok(read @ 1..) = stream.read(&mut bytes) {
                        if stream.write_all(&bytes[..read]).is_err() {
                            break;
                        }
                    }
                });
            }
        });
    }
    let socket = UdpSocket::bind(("0.0.0.0", PORTS[0])).context("a port")?;
    thread::spawn(move || {
        let mut bytes = [0; 2048];
        let _ = socket.set_nonblocking(true);
        for round in 0usize.. {
            // Small ones, and one that comes in pieces.
            let length = if round.is_multiple_of(8) { 1900 } else { 40 + round % 64 };
            let _ = socket.send_to(&bytes[..length], (GUEST, PORTS[0]));
            while socket.recv_from(&mut bytes).is_ok() {}
            thread::sleep(PAUSE);
        }
    });
    Ok(())
}
