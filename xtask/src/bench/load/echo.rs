//! Clients of echo services: a byte over TCP, back and forth, and datagrams of which some are on
//! their way at any time.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lexopt::{Arg, Parser};

use super::window::{Tally, Window};
use crate::bench::number;
use crate::unexpected;

/// Of a datagram, without headers.
const DATAGRAM_BYTES: usize = 64;
/// An answer that takes longer is lost.
const DATAGRAM_TIME_OUT: Duration = Duration::from_millis(100);
const BYTE_TIME_OUT: Duration = Duration::from_secs(5);

/// The task of a worker: a byte over TCP.
pub(in super::super) fn byte(words: &mut Parser) -> Result<ExitCode> {
    let (window, _) = parse(words)?;
    let mut stream = TcpStream::connect(window.address).context("cannot connect")?;
    stream.set_nodelay(true).context("TCP_NODELAY")?;
    stream.set_read_timeout(Some(BYTE_TIME_OUT)).context("SO_RCVTIMEO")?;
    let measured = window.measure(|tally| {
        let (start, mut byte) = (Instant::now(), [1]);
        stream.write_all(&byte).context("the server does not take a byte")?;
        stream.read_exact(&mut byte).context("the server does not answer")?;
        tally.amount += 1;
        tally.latency.add(nanoseconds(start.elapsed()));
        Ok(())
    });
    println!("{}", measured?.to_json());
    Ok(ExitCode::SUCCESS)
}

/// The task of a worker: datagrams.
pub(in super::super) fn datagrams(words: &mut Parser) -> Result<ExitCode> {
    let (window, outstanding) = parse(words)?;
    ensure!(outstanding > 0, "no datagram is to be on its way");
    let socket = UdpSocket::bind("0.0.0.0:0").context("cannot make a socket")?;
    socket.connect(window.address).context("cannot connect")?;
    socket.set_read_timeout(Some(DATAGRAM_TIME_OUT / 10)).context("SO_RCVTIMEO")?;
    let mut flight = Flight { socket, first: 0, sent: VecDeque::new() };
    for _ in 0..outstanding {
        flight.send()?;
    }
    println!("{}", window.measure(|tally| flight.step(tally))?.to_json());
    Ok(ExitCode::SUCCESS)
}

fn parse(words: &mut Parser) -> Result<(Window, usize)> {
    let (mut window, mut outstanding) = (Window::empty(), 1);
    while let Some(word) = words.next()? {
        match word {
            Arg::Long("outstanding") => outstanding = number(words, "--outstanding")?,
            Arg::Long(name) => {
                let name = name.to_owned();
                ensure!(window.take(&name, words)?, "a client has no --{name}");
            }
            other => return Err(unexpected(other, "bench")),
        }
    }
    window.check()?;
    Ok((window, outstanding))
}

/// Datagrams on their way.
struct Flight {
    socket: UdpSocket,
    /// The number of the first of those below.
    first: u64,
    /// When each was sent, in order; none if it was answered.
    sent: VecDeque<Option<Instant>>,
}

impl Flight {
    /// Takes an answer, if one comes, and sends a datagram for each that is not on its way any more.
    fn step(&mut self, tally: &mut Tally) -> Result<()> {
        let mut answer = [0; DATAGRAM_BYTES];
        match self.socket.recv(&mut answer) {
            Ok(bytes) if bytes == DATAGRAM_BYTES => {
                let now = Instant::now();
                if let Some(took) = self.answered(number_of(&answer), now) {
                    tally.amount += 1;
                    tally.latency.add(nanoseconds(took));
                    self.send()?;
                }
            }
            Ok(_) => {}
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error).context("the server does not answer"),
        }
        while self.is_first_late() {
            self.forget_first();
            tally.lost += 1;
            self.send()?;
        }
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        let mut datagram = [0; DATAGRAM_BYTES];
        let number = self.first + self.sent.len() as u64;
        datagram[..8].copy_from_slice(&number.to_le_bytes());
        self.sent.push_back(Some(Instant::now()));
        match self.socket.send(&datagram) {
            // What does not fit into the queue is lost, as on the way.
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error).context("cannot send"),
        }
    }

    /// How long the answer took, if it is one to a datagram that is on its way.
    fn answered(&mut self, number: u64, now: Instant) -> Option<Duration> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let sent = self.sent.get_mut(at)?.take()?;
        while let Some(None) = self.sent.front() {
            self.forget_first();
        }
        Some(now.saturating_duration_since(sent))
    }

    fn is_first_late(&self) -> bool {
        matches!(self.sent.front(), Some(Some(sent)) if sent.elapsed() > DATAGRAM_TIME_OUT)
    }

    fn forget_first(&mut self) {
        self.sent.pop_front();
        self.first += 1;
        while let Some(None) = self.sent.front() {
            self.sent.pop_front();
            self.first += 1;
        }
    }
}

fn number_of(datagram: &[u8; DATAGRAM_BYTES]) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&datagram[..8]);
    u64::from_le_bytes(number)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_from_losses_in_any_order() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server.local_addr().unwrap()).unwrap();
        let mut flight = Flight { socket, first: 0, sent: VecDeque::new() };
        (0..4).for_each(|_| flight.send().unwrap());
        let now = Instant::now();
        assert!(flight.answered(2, now).is_some() && flight.answered(2, now).is_none());
        assert!(flight.answered(4, now).is_none());
        assert!(flight.answered(0, now).is_some());
        assert_eq!((flight.first, flight.sent.len()), (1, 3));
        flight.forget_first();
        assert_eq!((flight.first, flight.sent.len()), (3, 1));
        assert!(flight.answered(1, now).is_none() && flight.answered(3, now).is_some());
        assert_eq!((flight.first, flight.sent.len()), (4, 0));
    }
}
