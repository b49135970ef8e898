//! Waiting until an app answers by HTTP. A connection alone tells nothing, because the gateway
//! accepts before the guest is up; only the first line of a response counts.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);
const ANSWER_TIME_OUT: Duration = Duration::from_secs(1);

/// Asks for `path` until the answer is a success. `false` if that takes longer than ten seconds.
pub(crate) fn wait(address: SocketAddr, path: &str) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if ask(address, path).unwrap_or(false) {
            return true;
        }
        thread::sleep(PAUSE);
    }
    false
}

/// Whether the answer to one request is a success.
///
/// # Errors
/// If there is no answer within a second.
pub(crate) fn ask(address: SocketAddr, path: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_TIME_OUT)?;
    stream.set_read_timeout(Some(ANSWER_TIME_OUT))?;
    stream.set_write_timeout(Some(ANSWER_TIME_OUT))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut start = [0; 12];
    match stream.read_exact(&mut start) {
        Ok(()) => Ok(is_success(&start)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether a response starts like `HTTP/1.1 200`.
fn is_success(start: &[u8; 12]) -> bool {
    let [version @ .., class, tens, units] = start;
    matches!(version, b"HTTP/1.1 " | b"HTTP/1.0 ")
        && *class == b'2'
        && tens.is_ascii_digit()
        && units.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server on loopback that gives one answer to one connection.
    fn answering(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            assert!(request.starts_with(b"GET /healthz HTTP/1.1\r\n"));
            stream.write_all(answer).unwrap();
        });
        address
    }

    #[test]
    fn only_a_successful_response_counts() {
        let ask = |answer| ask(answering(answer), "/healthz");
        assert!(ask(b"HTTP/1.1 200 OK\r\n\r\n").unwrap());
        assert!(ask(b"HTTP/1.0 204 No Content\r\n\r\n").unwrap());
        for answer in [&b"HTTP/1.1 503 Later\r\n\r\n"[..], b"SSH-2.0-2xx-202", b"HTTP/1.1 2", b""] {
            assert!(!ask(answer).unwrap(), "{answer:?}");
        }
    }
}
