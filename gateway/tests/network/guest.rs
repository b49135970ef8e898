//! The guest's side: a stack at the other end of the wire, driven by the test.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant as HostInstant};

use gateway::GATEWAY;
use netstack::{Config, ConnectionId, ConnectionState, Instant, Limits, Received, Stack};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, recv, send, setsockopt, socketpair, sockopt,
};

use crate::child::Wishes;
use crate::host::Background;

pub(crate) const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PATIENCE: Duration = Duration::from_secs(30);
const WIRE_BYTES: usize = 1 << 20;

/// A guest and its gateway.
pub(crate) struct Guest {
    pub(crate) stack: Stack,
    pub(crate) published: Vec<SocketAddr>,
    /// Every frame that came, if the test wants to see them.
    pub(crate) seen: Option<Vec<Vec<u8>>>,
    wire: OwnedFd,
    wire_full: bool,
    clock: HostInstant,
    gateway: Child,
    output: BufReader<ChildStdout>,
}

/// How a gateway ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// What it said after its guest was gone.
    pub(crate) last_words: String,
}

impl Guest {
    /// Starts a gateway. The guest itself does nothing yet.
    pub(crate) fn new(wishes: &Wishes) -> Self {
        let (wire, other) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .unwrap();
        for end in [&wire, &other] {
            setsockopt(end, sockopt::SndBuf, &WIRE_BYTES).unwrap();
        }
        let mut gateway = Command::new(std::env::current_exe().unwrap())
            .args(wishes.to_arguments())
            // A panic must not need more than the gateway may do.
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::from(other))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(gateway.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let published = line.split_whitespace().map(|address| address.parse().unwrap()).collect();
        let limits = Limits {
            receive_buffer_bytes: 64 * 1024,
            send_buffer_bytes: 64 * 1024,
            ..Limits::default()
        };
        let mtu = wishes.mtu.unwrap_or(1500).into();
        let config = Config { limits, ..Config::new(MAC, mtu, 0x6e5) };
        Self {
            stack: Stack::new(config, Instant::ZERO).unwrap(),
            published,
            seen: None,
            wire,
            wire_full: false,
            clock: HostInstant::now(),
            gateway,
            output,
        }
    }

    /// Starts a gateway and gets a lease.
    pub(crate) fn with_lease(wishes: &Wishes) -> Self {
        let mut guest = Self::new(wishes);
        guest.lease();
        guest
    }

    pub(crate) fn lease(&mut self) {
        self.stack.start_dhcp(self.now());
        self.run_until("a lease", |guest| guest.stack.lease().is_some());
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_micros(self.clock.elapsed().as_micros() as i64)
    }

    /// Serves the wire until something is so.
    pub(crate) fn run_until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        self.run(what, None, |guest| is_so(guest).then_some(()));
    }

    /// Serves the wire, and lets `serve` do the guest's work, until a task of the host is done.
    pub(crate) fn run_while<T>(
        &mut self,
        what: &str,
        background: Background<T>,
        mut serve: impl FnMut(&mut Self),
    ) -> T {
        let end = background.end();
        self.run(what, Some(end), |guest| {
            serve(guest);
            background.is_done().then_some(())
        });
        background.join()
    }

    fn run(
        &mut self,
        what: &str,
        wake: Option<BorrowedFd<'_>>,
        mut check: impl FnMut(&mut Self) -> Option<()>,
    ) {
        let give_up_at = HostInstant::now() + PATIENCE;
        loop {
            self.receive();
            let done = check(self).is_some();
            self.stack.poll(self.now());
            self.send();
            if done {
                return;
            }
            assert!(HostInstant::now() < give_up_at, "waited in vain for {what}");
            self.sleep(wake, give_up_at);
        }
    }

    fn sleep(&mut self, wake: Option<BorrowedFd<'_>>, give_up_at: HostInstant) {
        let now = self.now();
        let left = give_up_at.saturating_duration_since(HostInstant::now());
        let left = match self.stack.deadline(now) {
            Some(deadline) if deadline <= now => Duration::ZERO,
            Some(deadline) => left.min(Duration::from(deadline - now)),
            None => left,
        };
        let timeout =
            PollTimeout::try_from(left.as_millis() + u128::from(!left.is_zero())).unwrap();
        let mut flags = PollFlags::POLLIN;
        flags.set(PollFlags::POLLOUT, self.wire_full);
        let mut descriptors = vec![PollFd::new(self.wire.as_fd(), flags)];
        descriptors.extend(wake.map(|wake| PollFd::new(wake, PollFlags::POLLIN)));
        poll(&mut descriptors, timeout).unwrap();
    }

    fn receive(&mut self) {
        let mut frame = [0; 1 << 16];
        let now = self.now();
        loop {
            match recv(self.wire.as_raw_fd(), &mut frame, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => panic!("the gateway is gone"),
                Ok(bytes) => {
                    self.stack.receive(now, &frame[..bytes]);
                    if let Some(seen) = &mut self.seen {
                        seen.push(frame[..bytes].to_vec());
                    }
                }
                Err(Errno::EAGAIN) => return,
                Err(error) => panic!("the wire: {error}"),
            }
        }
    }

    fn send(&mut self) {
        self.wire_full = false;
        while let Some(frame) = self.stack.front_frame() {
            if !send_frame(&self.wire, frame) {
                self.wire_full = true;
                return;
            }
            self.stack.pop_frame();
        }
    }

    /// Sends a frame of the test's own making.
    pub(crate) fn inject(&mut self, frame: &[u8]) {
        while !send_frame(&self.wire, frame) {
            let mut descriptors = [PollFd::new(self.wire.as_fd(), PollFlags::POLLOUT)];
            poll(&mut descriptors, PollTimeout::from(30_000u16)).unwrap();
        }
    }

    /// Opens a connection to the outside, and waits for what comes of it.
    pub(crate) fn connect(&mut self, remote: SocketAddr) -> (ConnectionId, ConnectionState) {
        let now = self.now();
        let id = self.stack.connect(now, remote, None).unwrap();
        self.run_until("an answer to a SYN", |guest| {
            !matches!(guest.stack.state(id), ConnectionState::Opening)
        });
        (id, self.stack.state(id))
    }

    /// Sends back what comes, until the peer has finished; then finishes, too. Tells when it is over.
    pub(crate) fn echo(&mut self, id: ConnectionId) -> bool {
        loop {
            let room = self.stack.send_room(id);
            let mut buffer = [0; 16 * 1024];
            let len = room.min(buffer.len());
            if len == 0 && self.stack.recv_queued(id) > 0 {
                return false;
            }
            match self.stack.recv(id, &mut buffer[..len]) {
                Ok(Received::Data(bytes)) => {
                    assert_eq!(self.stack.send(id, &buffer[..bytes]), Ok(bytes));
                }
                Ok(Received::Empty) => return false,
                Ok(Received::Finished) | Err(_) => {
                    self.stack.release(id);
                    return true;
                }
            }
        }
    }

    /// The most memory that the gateway has used so far.
    pub(crate) fn peak_memory_bytes(&self) -> usize {
        let path = format!("/proc/{}/status", self.gateway.id());
        let status = std::fs::read_to_string(path).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    /// Exits.
    pub(crate) fn exit(self) -> Ended {
        let Self { wire, mut gateway, mut output, .. } = self;
        drop(wire);
        let mut last_words = String::new();
        output.read_to_string(&mut last_words).unwrap();
        Ended { status: gateway.wait().unwrap(), last_words }
    }

    /// Exits, and expects the gateway to end well.
    pub(crate) fn exit_well(self) -> String {
        let ended = self.exit();
        assert!(ended.status.success(), "{:?} {:?}", ended.status, ended.status.signal());
        ended.last_words
    }
}

/// False if there is no room.
fn send_frame(wire: &OwnedFd, frame: &[u8]) -> bool {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    match send(wire.as_raw_fd(), frame, flags) {
        Ok(_) => true,
        Err(Errno::EAGAIN) => false,
        Err(error) => panic!("the wire: {error}"),
    }
}

/// A port of the host's loopback, as the guest sees it.
pub(crate) fn at_gateway(host: SocketAddr) -> SocketAddr {
    SocketAddr::from((GATEWAY, host.port()))
}

/// An address somewhere.
pub(crate) fn address(ip: [u8; 4], port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from(ip), port))
}
