//! The servers that are compared, how each is started, and how it is asked.

use std::io::{Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::iperf3;
use super::row::Row;
use super::task::Task;
use crate::bench::contest::{Turn, warm_up};
use crate::bench::guest::{Guest, Wire};
use crate::bench::lab::{Lab, Program, Segment};
use crate::bench::load::Window;
use crate::bench::load::services::{self, CHARGEN, DISCARD, ECHO};
use crate::packages::Workspace;

const APP: &str = "inetd";
const ANSWER_TIME_OUT: Duration = Duration::from_secs(1);

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Candidate {
    /// Our guest.
    Guest(Wire),
    /// A plain program on the kernel's stack.
    Kernel,
    /// iperf3, with its own client.
    Iperf3,
}

impl Candidate {
    fn all() -> impl Iterator<Item = Self> {
        Wire::ALL.map(Self::Guest).into_iter().chain([Self::Kernel, Self::Iperf3])
    }

    /// By its name.
    ///
    /// # Errors
    /// If there is none of that name.
    pub(super) fn parse(name: &str) -> Result<Self> {
        let found = Self::all().find(|candidate| candidate.word() == name);
        let words: Vec<_> = Self::all().map(Self::word).collect();
        found.with_context(|| format!("'{name}' is no candidate; there are {}", words.join(", ")))
    }

    fn word(self) -> &'static str {
        match self {
            Self::Guest(wire) => wire.word(),
            Self::Kernel => "kernel",
            Self::Iperf3 => "iperf3",
        }
    }

    /// Its name in a table.
    pub(super) fn name(self) -> String {
        match self {
            Self::Guest(wire) => format!("guest, {}", wire.name()),
            Self::Kernel => "kernel, veth".into(),
            Self::Iperf3 => "iperf3, veth".into(),
        }
    }

    /// Whether there is such a row with it.
    ///
    /// # Errors
    /// If not: why.
    pub(super) fn can(self, row: Row) -> Result<()> {
        match self {
            Self::Iperf3 if !row.is_bulk() => bail!("iperf3 has no such test"),
            Self::Guest(Wire::User) if row == Row::Udp => bail!("a gateway publishes no UDP port"),
            _ => Ok(()),
        }
    }

    fn address(self, segment: &Segment<'_>, port: u16) -> SocketAddrV4 {
        match self {
            Self::Guest(wire) => wire.address(segment, port),
            Self::Kernel => SocketAddrV4::new(segment.server, port),
            Self::Iperf3 => SocketAddrV4::new(segment.server, iperf3::PORT),
        }
    }
}

/// A server that runs.
#[derive(Debug)]
pub(super) struct Server {
    candidate: Candidate,
    echo: SocketAddrV4,
    discard: SocketAddrV4,
    chargen: SocketAddrV4,
    program: Program,
}

impl AsMut<Program> for Server {
    fn as_mut(&mut self) -> &mut Program {
        &mut self.program
    }
}

impl Server {
    /// What a client is told.
    pub(super) fn task(&self, turn: &Turn<Row>, outstanding: usize) -> Task {
        let (row, time, watched) = (turn.row, turn.time, turn.watched.clone());
        let address = match row {
            Row::Out | Row::LossyOut => self.chargen,
            Row::In | Row::LossyIn => self.discard,
            Row::Udp | Row::Rtt => self.echo,
        };
        let window = Window { address, warm_up: warm_up(time), time, watched };
        Task { window, row, outstanding, is_iperf3: self.candidate == Candidate::Iperf3 }
    }
}

/// What servers are started from.
#[derive(Debug)]
pub(super) struct Builds {
    /// Where all files are.
    pub(super) folder: PathBuf,
    guest: Guest,
}

impl Builds {
    /// Builds our guest.
    ///
    /// # Errors
    /// If something does not build.
    pub(super) fn make(
        ours: &Workspace,
        folder: &Path,
        memory_mb: u64,
        buffer_kib: u64,
    ) -> Result<Self> {
        let mut guest = Guest::build(ours, APP, memory_mb)?;
        guest.ports.extend([ECHO, DISCARD, CHARGEN]);
        guest.words.push(format!("--buffer={buffer_kib}"));
        Ok(Self { folder: folder.to_owned(), guest })
    }

    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// If it does not.
    pub(super) fn start(
        &self,
        lab: &Lab,
        segment: &Segment<'_>,
        candidate: Candidate,
    ) -> Result<Server> {
        let place = lab.server_place(segment.servers);
        let command = match candidate {
            Candidate::Guest(wire) => self.guest.command(lab, segment, wire),
            Candidate::Kernel => lab.launcher.task(place, ["services"]),
            Candidate::Iperf3 => {
                let mut command = lab.launcher.exec(place, iperf3::program()?.as_os_str());
                command.args(iperf3::server_words());
                command
            }
        };
        let log = self.folder.join(format!("net-{}.log", candidate.word()));
        let mut program = Program::start(&candidate.name(), command, &log)?;
        let address = |port| candidate.address(segment, port);
        match candidate {
            // A gateway accepts before its guest is there, so only an answer tells.
            Candidate::Guest(_) => {
                let ask = || answers(address(ECHO)).unwrap_or(false);
                program.wait_until(|| segment.guests.within(ask).unwrap_or(false))?;
            }
            Candidate::Kernel => program.wait_until_it_says(services::READY)?,
            Candidate::Iperf3 => program.wait_until_it_says(iperf3::READY)?,
        }
        let [echo, discard, chargen] = [ECHO, DISCARD, CHARGEN].map(address);
        Ok(Server { candidate, echo, discard, chargen, program })
    }
}

/// Whether a byte comes back.
fn answers(address: SocketAddrV4) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::V4(address), ANSWER_TIME_OUT)?;
    stream.set_read_timeout(Some(ANSWER_TIME_OUT))?;
    stream.write_all(b"?")?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    Ok(answer == *b"?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_found_by_name() {
        for candidate in Candidate::all() {
            assert_eq!(Candidate::parse(candidate.word()).unwrap(), candidate);
        }
        assert!(Candidate::parse("netperf").unwrap_err().to_string().contains("kernel, iperf3"));
    }

    #[test]
    fn what_cannot_be_is_said() {
        assert!(Candidate::Iperf3.can(Row::Rtt).is_err() && Candidate::Iperf3.can(Row::In).is_ok());
        assert!(Candidate::Guest(Wire::User).can(Row::Udp).is_err());
        assert!(Candidate::Guest(Wire::Tap).can(Row::Udp).is_ok());
    }
}
