//! A single command and its answer, from the bench itself.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

const CONNECT_TIME_OUT_MAX: Duration = Duration::from_secs(1);
/// Longer than any answer that the bench asks for.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Sends a command and returns its answer as text: a line, a number, or a value.
///
/// # Errors
/// If there is none in that time, or it is an error.
pub(super) fn ask(address: SocketAddrV4, words: &[&str], time_out: Duration) -> Result<String> {
    let connect_time_out = time_out.min(CONNECT_TIME_OUT_MAX);
    let mut stream = TcpStream::connect_timeout(&SocketAddr::V4(address), connect_time_out)?;
    stream.set_read_timeout(Some(time_out))?;
    let mut command = format!("*{}\r\n", words.len());
    for word in words {
        command += &format!("${}\r\n{word}\r\n", word.len());
    }
    stream.write_all(command.as_bytes())?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(text) = parse(&answer)? {
            return Ok(text);
        }
        match stream.read(&mut buffer) {
            Ok(0) => bail!("the server has closed the connection"),
            Ok(bytes) => answer.extend_from_slice(&buffer[..bytes]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("no answer"),
        }
        ensure!(answer.len() <= ANSWER_BYTES_MAX, "an answer without an end");
    }
}

fn parse(answer: &[u8]) -> Result<Option<String>> {
    let text = String::from_utf8_lossy(answer);
    let Some((line, rest)) = text.split_once("\r\n") else { return Ok(None) };
    match line.split_at_checked(1) {
        Some(("+" | ":", text)) => Ok(Some(text.to_owned())),
        Some(("-", reason)) => bail!("{reason}"),
        Some(("$", "-1")) => bail!("there is no such value"),
        Some(("$", bytes)) => {
            let bytes: usize = bytes.parse().context("an answer's length")?;
            Ok(rest.get(..bytes).filter(|_| rest.len() >= bytes + 2).map(str::to_owned))
        }
        _ => bail!("'{line}' is no answer"),
    }
}

/// The number behind a name in what `INFO` says.
pub(super) fn field(info: &str, name: &str) -> Option<u64> {
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        for (answer, text) in [
            (&b"+PONG\r\n"[..], "PONG"),
            (b":12\r\n", "12"),
            (b"$3\r\nabc\r\n", "abc"),
            (b"$0\r\n\r\n", ""),
        ] {
            assert_eq!(parse(answer).unwrap().as_deref(), Some(text));
            assert_eq!(parse(&answer[..answer.len() - 1]).unwrap(), None);
        }
        for answer in ["-LOADING it loads\r\n", "$-1\r\n", "HTTP/1.1\r\n", "*1\r\n"] {
            assert!(parse(answer.as_bytes()).is_err(), "{answer}");
        }
        let info = "# Memory\r\nused_memory:1024\r\nused_memory_human:1K\r\n";
        assert_eq!(field(info, "used_memory"), Some(1024));
        assert_eq!(field(info, "used"), None);
    }
}
