//! The network that an engine sets up before it calls a runtime: a namespace for each container, a
//! veth pair, addresses and a route; and the client at the other end.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::bench::lab::{Launcher, Namespace};
use crate::bench::load::response::Reader;

const PORT: u16 = 80;
/// A server that takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long to ask before looking whether the server still runs.
const LOOK: Duration = Duration::from_millis(250);
/// Between two attempts.
const PAUSE: Duration = Duration::from_micros(100);
/// An attempt may take this long: a question that came too early may be lost, and the kernel would
/// repeat it after a second ...
const ATTEMPT_MIN: Duration = Duration::from_millis(5);
/// ... or, on a slow machine, this part of what all attempts have taken.
const ATTEMPT_SHARE: u32 = 10;

/// Where clients are.
#[derive(Debug)]
pub(in crate::bench) struct Network {
    client: Namespace,
    launcher: Launcher,
}

impl Network {
    /// Makes a namespace for clients. This thread is in it from here on, and with it what it starts.
    ///
    /// # Errors
    /// If this user may not.
    pub(in crate::bench) fn enter() -> Result<Self> {
        let program = std::env::current_exe().context("this program has no file")?;
        let (client, launcher) = (Namespace::new()?, Launcher::new(program));
        client.ip(&launcher, "link set lo up")?;
        client.enter()?;
        Ok(Self { client, launcher })
    }

    /// Makes a network for a container.
    ///
    /// # Errors
    /// If `ip` cannot.
    pub(in crate::bench) fn wire(&self, number: u16) -> Result<Wire<'_>> {
        let wire = Wire { network: self, number, container: Namespace::new()? };
        let (name, [ours, theirs]) = (wire.interface(), wire.addresses());
        let (launcher, container) = (&self.launcher, &wire.container);
        let pair = format!("link add {name} type veth peer name eth0 netns");
        self.client.ip(launcher, &format!("{pair} {}", container.path().display()))?;
        self.client.attach(launcher, &name, ours)?;
        container.attach(launcher, "eth0", theirs)?;
        container.ip(launcher, "link set lo up")?;
        container.ip(launcher, &format!("route add default via {ours}"))?;
        // Who was not there yet is asked for again soon.
        self.client.sysctl(launcher, &format!("net.ipv4.neigh.{name}.retrans_time_ms"), "10")?;
        Ok(wire)
    }
}

/// A container's network.
#[derive(Debug)]
pub(in crate::bench) struct Wire<'a> {
    network: &'a Network,
    number: u16,
    container: Namespace,
}

impl Wire<'_> {
    /// A file that stands for the container's namespace.
    pub(super) fn path(&self) -> PathBuf {
        self.container.path()
    }

    /// Where the container's server is.
    pub(super) fn server(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.addresses()[1], PORT)
    }

    /// Gives the container's interface the address that gVisor has taken with it.
    ///
    /// # Errors
    /// If `ip` cannot.
    pub(super) fn restore(&self) -> Result<()> {
        let (launcher, [ours, theirs]) = (&self.network.launcher, self.addresses());
        self.container.ip(launcher, &format!("addr replace {theirs}/24 dev eth0"))?;
        self.container.ip(launcher, &format!("route replace default via {ours}"))
    }

    fn interface(&self) -> String {
        format!("oci{}", self.number)
    }

    fn addresses(&self) -> [Ipv4Addr; 2] {
        let [high, low] = self.number.to_be_bytes();
        [1, 2].map(|last| Ipv4Addr::new(10, 80 + high, low, last))
    }
}

impl Drop for Wire<'_> {
    fn drop(&mut self) {
        // The kernel takes its time to remove a namespace, and the name is needed again.
        let remove = format!("link delete {}", self.interface());
        let _ = self.network.client.ip(&self.network.launcher, &remove);
    }
}

/// A response and how long it took from the first question on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// From the first attempt until the last byte.
    pub(super) elapsed: Duration,
    /// Head and body.
    pub(super) bytes: usize,
}

/// Asks again and again until a server answers that is running.
///
/// # Errors
/// If it has ended, or never answers.
pub(super) fn first_answer(server: SocketAddrV4, is_running: impl Fn() -> bool) -> Result<Answer> {
    let start = Instant::now();
    let mut look = LOOK;
    loop {
        let reason = match ask(SocketAddr::V4(server), attempt_time_out(start.elapsed())) {
            Ok(bytes) => return Ok(Answer { elapsed: start.elapsed(), bytes }),
            Err(reason) => reason,
        };
        if start.elapsed() >= look {
            ensure!(is_running(), "the container has ended");
            look += LOOK;
        }
        if start.elapsed() >= PATIENCE {
            return Err(reason)
                .with_context(|| format!("no answer after {} s", PATIENCE.as_secs()));
        }
        thread::sleep(PAUSE);
    }
}

fn attempt_time_out(elapsed: Duration) -> Duration {
    ATTEMPT_MIN.max(elapsed / ATTEMPT_SHARE)
}

/// Asks once, for as long as an attempt may take after so long; whether the answer is a page.
pub(in crate::bench) fn answers(server: SocketAddr, elapsed: Duration) -> bool {
    ask(server, attempt_time_out(elapsed)).is_ok()
}

/// Asks once. How many bytes the response has.
fn ask(server: SocketAddr, time_out: Duration) -> Result<usize> {
    let mut stream = TcpStream::connect_timeout(&server, time_out)?;
    stream.set_read_timeout(Some(time_out))?;
    let request = format!("GET / HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let (mut reader, mut buffer, mut bytes) = (Reader::default(), [0; 4096], 0);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => bail!("the server has closed the connection"),
            Ok(more) => {
                bytes += more;
                if let Some(status) = reader.take(&buffer[..more])? {
                    ensure!(status == 200, "the server answers with {status}");
                    return Ok(bytes);
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("no answer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn an_attempt_takes_longer_on_a_slow_machine() {
        assert_eq!(attempt_time_out(Duration::ZERO), ATTEMPT_MIN);
        assert_eq!(attempt_time_out(Duration::from_secs(1)), Duration::from_millis(100));
    }

    #[test]
    fn the_first_good_answer_counts() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!("no IPv4") };
        let good = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        let server = thread::spawn(move || {
            for answer in ["", "HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n", good] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 512];
                assert!(stream.read(&mut request).unwrap() > 0);
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let answer = first_answer(address, || true).unwrap();
        assert_eq!(answer.bytes, good.len());
        server.join().unwrap();
        let error = first_answer(address, || false).unwrap_err();
        assert_eq!(error.to_string(), "the container has ended");
    }
}
