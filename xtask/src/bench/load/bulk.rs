//! A client that sends to a discard service, or receives from a character generator, as much as it
//! can over one connection.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use lexopt::{Arg, Parser};

use super::window::Window;
use crate::unexpected;

/// What is handed to the kernel at once: as much as iperf3 does.
const BUFFER_BYTES: usize = 128 << 10;
/// How long to wait before looking at the clock.
const LOOK: Duration = Duration::from_millis(50);

/// The task of a worker.
pub(in super::super) fn main(words: &mut Parser) -> Result<ExitCode> {
    let (mut window, mut sends) = (Window::empty(), false);
    while let Some(word) = words.next()? {
        match word {
            Arg::Long("send") => sends = true,
            Arg::Long(name) => {
                let name = name.to_owned();
                ensure!(window.take(&name, words)?, "a client has no --{name}");
            }
            other => return Err(unexpected(other, "bench")),
        }
    }
    window.check()?;
    let mut stream = TcpStream::connect(window.address).context("cannot connect")?;
    stream.set_read_timeout(Some(LOOK)).context("SO_RCVTIMEO")?;
    stream.set_write_timeout(Some(LOOK)).context("SO_SNDTIMEO")?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let measured = window.measure(|tally| {
        let moved = if sends { stream.write(&buffer) } else { stream.read(&mut buffer) };
        match moved {
            Ok(0) => bail!("the server has closed the connection"),
            Ok(bytes) => tally.amount += bytes as u64,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error).context("the connection has broken"),
        }
        Ok(())
    });
    println!("{}", measured?.to_json());
    Ok(ExitCode::SUCCESS)
}
