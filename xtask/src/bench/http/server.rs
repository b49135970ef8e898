//! The servers that are compared, and how each is started.

use std::fs;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::nginx;
use crate::bench::contained::{self, Harbour, KINDS, Made, Mooring};
use crate::bench::guest::{Guest, Wire};
use crate::bench::lab::{Lab, Program};
use crate::bench::oci::Kind;
use crate::packages::Workspace;
use crate::{image, run};

const APP: &str = "httpd";
const PORT: u16 = 80;
/// Of the page, which is all that is asked for.
const PAGE_BYTES: usize = 1024;

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Candidate {
    /// Ours.
    Httpd(Wire),
    /// nginx.
    Nginx,
    /// nginx in a container.
    Contained(Kind),
}

impl Candidate {
    fn all() -> impl Iterator<Item = Self> {
        let others = [Self::Nginx].into_iter().chain(KINDS.map(Self::Contained));
        Wire::ALL.map(Self::Httpd).into_iter().chain(others)
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
            Self::Httpd(wire) => wire.word(),
            Self::Nginx => "nginx",
            Self::Contained(kind) => kind.name(),
        }
    }

    /// Its name in a table.
    pub(super) fn name(self) -> String {
        match self {
            Self::Httpd(wire) => format!("httpd, {}", wire.name()),
            Self::Nginx => "nginx, veth".into(),
            Self::Contained(kind) => format!("nginx in {}", kind.name()),
        }
    }
}

/// A server that runs.
#[derive(Debug)]
pub(super) struct Server {
    /// Where clients find it.
    pub(super) address: SocketAddrV4,
    program: Program,
    /// Behind the program, as it is dropped later.
    _mooring: Option<Mooring>,
}

impl AsMut<Program> for Server {
    fn as_mut(&mut self) -> &mut Program {
        &mut self.program
    }
}

/// What servers are started from.
#[derive(Debug)]
pub(super) struct Builds {
    /// Where all files are.
    pub(super) folder: PathBuf,
    guest: Guest,
    site: PathBuf,
    containers: Vec<(Kind, Made)>,
    /// Behind the containers, as it is dropped later.
    _harbour: Option<Harbour>,
}

impl Builds {
    /// Builds our server, makes the page, and puts nginx into a root where it is asked for in containers.
    ///
    /// # Errors
    /// If something does not build.
    pub(super) fn make(
        ours: &Workspace,
        lab: &Lab,
        folder: &Path,
        (candidates, memory_mb): (&[Candidate], u64),
    ) -> Result<Self> {
        let mut guest = Guest::build(ours, APP, memory_mb)?;
        let (site, image) = (folder.join("page"), folder.join("page.img"));
        fs::create_dir_all(&site).with_context(|| site.display().to_string())?;
        fs::write(site.join("index.html"), page()).context("cannot write the page")?;
        image::refresh(&site, &image)?;
        guest.ports.push(PORT);
        guest.options.push(format!("--block:site={}", image.display()));
        let kinds =
            KINDS.into_iter().filter(|&kind| candidates.contains(&Candidate::Contained(kind)));
        let kinds: Vec<_> = kinds.collect();
        let harbour = if kinds.is_empty() { None } else { Some(Harbour::new(folder)?) };
        let containers = harbour.iter().flat_map(|harbour| {
            kinds.iter().zip(0..).map(|(&kind, number)| {
                let made = nginx::contents(harbour, &site)
                    .and_then(|contents| harbour.contained(lab, kind, contents, number));
                (kind, made.map_err(|reason| format!("{reason:#}")))
            })
        });
        let containers = containers.collect();
        Ok(Self { folder: folder.to_owned(), guest, site, containers, _harbour: harbour })
    }

    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// If it does not.
    pub(super) fn start(&self, lab: &Lab, candidate: Candidate) -> Result<Server> {
        let segment = lab.segment();
        let mut mooring = None;
        let (command, address) = match candidate {
            Candidate::Contained(kind) => {
                let contained = contained::of(&self.containers, kind)?;
                let (command, kept) = contained.command(lab)?;
                mooring = Some(kept);
                (command, contained.address(nginx::PORT))
            }
            Candidate::Nginx => (self.nginx(lab)?, SocketAddrV4::new(segment.server, nginx::PORT)),
            Candidate::Httpd(wire) => {
                (self.guest.command(lab, &segment, wire), wire.address(&segment, PORT))
            }
        };
        let log = self.folder.join(format!("http-{}.log", candidate.word()));
        let mut program = Program::start(&candidate.name(), command, &log)?;
        let ask = || run::ask(SocketAddr::V4(address), "/").unwrap_or(false);
        program.wait_until(|| lab.client.within(ask).unwrap_or(false))?;
        Ok(Server { address, program, _mooring: mooring })
    }

    fn nginx(&self, lab: &Lab) -> Result<Command> {
        let program = nginx::program()?;
        let words = nginx::prepare(&self.folder, &self.site)?;
        let mut command = lab.launcher.exec(lab.server_place(&lab.server), program.as_os_str());
        command.args(words);
        Ok(command)
    }
}

/// A page of exactly so many bytes.
pub(crate) fn page() -> String {
    let (head, tail) = ("<!doctype html><title>page</title><p>", "</p>\n");
    let text = "x".repeat(PAGE_BYTES - head.len() - tail.len());
    format!("{head}{text}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_its_size() {
        assert_eq!(page().len(), PAGE_BYTES);
    }

    #[test]
    fn candidates_are_found_by_name() {
        for candidate in Candidate::all() {
            assert_eq!(Candidate::parse(candidate.word()).unwrap(), candidate);
        }
        assert!(Candidate::parse("apache").unwrap_err().to_string().contains("tap, ring"));
    }
}
