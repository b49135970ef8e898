//! Waiting until an app answers. A connection alone tells nothing, because the gateway accepts before the
//! guest is up; only the first bytes that come back count.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);
const ANSWER_TIME_OUT: Duration = Duration::from_secs(1);

/// How to find out whether an app serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// By HTTP: a `GET` of this path succeeds.
    Http(String),
    /// By any other protocol over TCP.
    Talk {
        /// What is sent.
        send: String,
        /// What the answer begins with.
        expect: String,
    },
}

/// Asks until the app serves. `false` if that takes longer than ten seconds.
pub(crate) fn wait(address: SocketAddr, ready: &Ready) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let serves = match ready {
            Ready::Http(path) => ask(address, path),
            Ready::Talk { send, expect } => talk(address, send, expect),
        };
        if serves.unwrap_or(false) {
            return true;
        }
        thread::sleep(PAUSE);
    }
    false
}

/// Whether the answer to one request by HTTP is a success.
///
/// # Errors
/// If there is no answer within a second.
pub(crate) fn ask(address: SocketAddr, path: &str) -> std::io::Result<bool> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let mut start = [0; 12];
    Ok(exchange(address, request.as_bytes(), &mut start)? && is_success(&start))
}

/// Whether the answer to what is sent begins as expected.
///
/// # Errors
/// If there is no answer within a second.
pub(crate) fn talk(address: SocketAddr, send: &str, expect: &str) -> std::io::Result<bool> {
    let mut start = vec![0; expect.len()];
    Ok(exchange(address, send.as_bytes(), &mut start)? && start == expect.as_bytes())
}

/// Fills `start` with the beginning of the answer; `false` if it ends before.
fn exchange(address: SocketAddr, request: &[u8], start: &mut [u8]) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_TIME_OUT)?;
    stream.set_read_timeout(Some(ANSWER_TIME_OUT))?;
    stream.set_write_timeout(Some(ANSWER_TIME_OUT))?;
    stream.write_all(request)?;
    match stream.read_exact(start) {
        Ok(()) => Ok(true),
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

    /// A server on loopback that gives one answer to one request, which ends like this.
    fn answering(
        end: &'static str,
        answer: &'static [u8],
    ) -> (SocketAddr, thread::JoinHandle<Vec<u8>>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(end.as_bytes()) {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            stream.write_all(answer).unwrap();
            request
        });
        (address, server)
    }

    #[test]
    fn only_a_successful_response_counts() {
        let ask = |answer| {
            let (address, server) = answering("\r\n\r\n", answer);
            let result = ask(address, "/healthz");
            assert!(server.join().unwrap().starts_with(b"GET /healthz HTTP/1.1\r\n"));
            result
        };
        assert!(ask(b"HTTP/1.1 200 OK\r\n\r\n").unwrap());
        assert!(ask(b"HTTP/1.0 204 No Content\r\n\r\n").unwrap());
        for answer in [&b"HTTP/1.1 503 Later\r\n\r\n"[..], b"SSH-2.0-2xx-202", b"HTTP/1.1 2", b""] {
            assert!(!ask(answer).unwrap(), "{answer:?}");
        }
    }

    #[test]
    fn only_the_expected_answer_counts() {
        let talk = |answer| {
            let (address, server) = answering("\r\n", answer);
            let result = talk(address, "PING\r\n", "+PONG");
            assert_eq!(server.join().unwrap(), b"PING\r\n");
            result.unwrap()
        };
        assert!(talk(b"+PONG\r\n") && talk(b"+PONG"));
        for answer in [&b"-LOADING\r\n"[..], b"+PON", b"", b" +PONG"] {
            assert!(!talk(answer), "{answer:?}");
        }
    }

    #[test]
    fn an_answer_ends_the_wait() {
        let (address, server) = answering("\r\n", b"+PONG\r\n");
        let ready = Ready::Talk { send: "PING\r\n".into(), expect: "+PONG".into() };
        assert!(wait(address, &ready));
        server.join().unwrap();
    }
}
