//! The servers that are compared, and how each is started.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::nginx;
use crate::app::{self, App};
use crate::bench::lab::{self, Lab, Program, Tap};
use crate::cargo::Profile;
use crate::packages::Workspace;
use crate::{image, run};

const APP: &str = "httpd";
/// The port that a gateway publishes, beside nginx's.
const PUBLISHED: u16 = 8080;
/// Of the page, which is all that is asked for.
const PAGE_BYTES: usize = 1024;

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Candidate {
    /// Ours on a TAP interface.
    Tap,
    /// Ours on a ring, with a TAP interface at the gateway.
    Ring,
    /// Ours behind the user-mode gateway.
    User,
    /// nginx.
    Nginx,
}

impl Candidate {
    const ALL: [Self; 4] = [Self::Tap, Self::Ring, Self::User, Self::Nginx];

    /// By its name.
    ///
    /// # Errors
    /// If there is none of that name.
    pub(super) fn parse(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|candidate| candidate.word() == name);
        let words = Self::ALL.map(Self::word).join(", ");
        found.with_context(|| format!("'{name}' is no candidate; there are {words}"))
    }

    fn word(self) -> &'static str {
        match self {
            Self::Tap => "tap",
            Self::Ring => "ring",
            Self::User => "user",
            Self::Nginx => "nginx",
        }
    }

    /// Its name in a table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tap => "httpd, TAP",
            Self::Ring => "httpd, ring and TAP",
            Self::User => "httpd, gateway",
            Self::Nginx => "nginx, veth",
        }
    }
}

/// A server that runs.
#[derive(Debug)]
pub(super) struct Server {
    /// Where clients find it.
    pub(super) address: SocketAddrV4,
    program: Program,
}

impl Server {
    /// Its processes.
    ///
    /// # Errors
    /// If there is no /proc.
    pub(super) fn family(&self) -> Result<Vec<i32>> {
        self.program.family()
    }

    /// Makes sure that it runs.
    ///
    /// # Errors
    /// If it has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        self.program.check()
    }
}

/// What servers are started from.
#[derive(Debug)]
pub(super) struct Builds {
    /// Where all files are.
    pub(super) folder: PathBuf,
    tender: PathBuf,
    kernel: PathBuf,
    memory_mb: u64,
    site: PathBuf,
    image: PathBuf,
    taps: Vec<(Candidate, Tap)>,
}

impl Builds {
    /// Builds our server and makes the page and the interfaces.
    ///
    /// # Errors
    /// If something does not build.
    pub(super) fn make(
        ours: &Workspace,
        lab: &Lab,
        folder: &Path,
        memory_mb: u64,
        candidates: &[Candidate],
    ) -> Result<Self> {
        let tender = app::build_tender(ours)?;
        let app = App::find(APP, ours, Profile::Release)?;
        app.build()?;
        let (site, image) = (folder.join("page"), folder.join("page.img"));
        fs::create_dir_all(&site).with_context(|| site.display().to_string())?;
        fs::write(site.join("index.html"), page()).context("cannot write the page")?;
        image::refresh(&site, &image)?;
        let wires = candidates.iter().filter(|one| matches!(one, Candidate::Tap | Candidate::Ring));
        let taps = wires.zip(0..).map(|(&one, number)| Ok((one, lab.tap(number)?)));
        Ok(Self {
            folder: folder.to_owned(),
            tender,
            kernel: app.kernel(),
            memory_mb,
            site,
            image,
            taps: taps.collect::<Result<_>>()?,
        })
    }

    /// Those that work here, and in words why others do not.
    pub(super) fn choose(
        &self,
        lab: &Lab,
        candidates: &[Candidate],
    ) -> (Vec<Candidate>, Vec<String>) {
        let (mut chosen, mut left_out) = (Vec::new(), Vec::new());
        for &candidate in candidates {
            match self.start(lab, candidate) {
                Ok(_) => chosen.push(candidate),
                Err(reason) => {
                    left_out.push(format!("{} is left out: {reason:#}", candidate.name()));
                }
            }
        }
        (chosen, left_out)
    }

    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// If it does not.
    pub(super) fn start(&self, lab: &Lab, candidate: Candidate) -> Result<Server> {
        let (command, address) = match candidate {
            Candidate::Nginx => self.nginx(lab)?,
            Candidate::User => {
                let publish = format!("--publish:service={}:{PUBLISHED}:80", lab::SERVER);
                let command = self.guest(lab, &lab.server, &["--net:service=user", &publish], &[]);
                (command, SocketAddrV4::new(lab::SERVER, PUBLISHED))
            }
            Candidate::Tap | Candidate::Ring => self.on_tap(lab, candidate)?,
        };
        let log = self.folder.join(format!("http-{}.log", candidate.word()));
        let mut program = Program::start(candidate.name(), command, &log)?;
        let ask = || run::ask(SocketAddr::V4(address), "/").unwrap_or(false);
        program.wait_until(|| lab.client.within(ask).unwrap_or(false))?;
        Ok(Server { address, program })
    }

    fn nginx(&self, lab: &Lab) -> Result<(Command, SocketAddrV4)> {
        let program = nginx::program()?;
        let words = nginx::prepare(&self.folder, &self.site)?;
        let mut command = lab.launcher.exec(lab.server_place(&lab.server), program.as_os_str());
        command.args(words);
        Ok((command, SocketAddrV4::new(lab::SERVER, nginx::PORT)))
    }

    fn on_tap(&self, lab: &Lab, candidate: Candidate) -> Result<(Command, SocketAddrV4)> {
        let found = self.taps.iter().find(|(whose, _)| *whose == candidate);
        let Some((_, tap)) = found else { bail!("there is no interface for it") };
        let ring = if candidate == Candidate::Ring { "ring:" } else { "" };
        let wire = format!("--net:service={ring}{}", tap.name);
        // A server that is started anew is known to its neighbours.
        let [.., number, _] = Ipv4Addr::octets(&tap.guest);
        let mac = format!("--net-mac:service=02:00:00:00:00:{number:02x}");
        let [own, router] = tap.guest_words();
        let command = self.guest(lab, &lab.client, &[&wire, &mac], &[&own, &router]);
        Ok((command, SocketAddrV4::new(tap.guest, 80)))
    }

    fn guest(
        &self,
        lab: &Lab,
        namespace: &lab::Namespace,
        options: &[&str],
        words: &[&str],
    ) -> Command {
        let mut command = lab.launcher.exec(lab.server_place(namespace), self.tender.as_os_str());
        command.args(["--die-with-parent", &format!("--mem={}", self.memory_mb)]).args(options);
        command.arg(format!("--block:site={}", self.image.display()));
        command.arg("--").arg(&self.kernel).arg("--log=warn").args(words);
        command
    }
}

/// A page of exactly so many bytes.
fn page() -> String {
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
        for candidate in Candidate::ALL {
            assert_eq!(Candidate::parse(candidate.word()).unwrap(), candidate);
        }
        assert!(Candidate::parse("apache").unwrap_err().to_string().contains("tap, ring"));
    }
}
