//! The stores that are compared, and how each is started.

use std::fs::{self, File};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};

use super::ask::ask;
use super::redis;
use crate::bench::contained::{self, Harbour, KINDS, Made, Mooring};
use crate::bench::guest::{Guest, Wire};
use crate::bench::lab::{Lab, Program};
use crate::bench::oci::Kind;
use crate::packages::Workspace;

const APP: &str = "kv";
const PORT: u16 = 6379;
/// Of our disk, which takes no room yet.
const DISK_BYTES: u64 = 8 << 30;
const ANSWER_TIME_OUT: Duration = Duration::from_secs(1);

/// A store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Candidate {
    /// Ours.
    Kv(Wire),
    /// Redis.
    Redis,
    /// Redis in a container, which keeps nothing.
    Contained(Kind),
}

impl Candidate {
    fn all() -> impl Iterator<Item = Self> {
        let others = [Self::Redis].into_iter().chain(KINDS.map(Self::Contained));
        Wire::ALL.map(Self::Kv).into_iter().chain(others)
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
            Self::Kv(wire) => wire.word(),
            Self::Redis => "redis",
            Self::Contained(kind) => kind.name(),
        }
    }

    /// Its name in a table.
    pub(super) fn name(self) -> String {
        match self {
            Self::Kv(wire) => format!("kv, {}", wire.name()),
            Self::Redis => "redis, veth".into(),
            Self::Contained(kind) => format!("redis in {}", kind.name()),
        }
    }

    /// How it can keep a million keys over a restart.
    pub(super) fn durable(self) -> &'static [Storage] {
        match self {
            Self::Kv(_) => &[Storage::Log],
            Self::Redis => &[Storage::Log, Storage::Snapshot],
            Self::Contained(_) => &[],
        }
    }
}

/// What a store keeps on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Storage {
    /// Nothing.
    None,
    /// A log that is brought to the disk once a second.
    Log,
    /// A log that is on the disk before there is an answer.
    Synchronous,
    /// A snapshot, when it is asked for one.
    Snapshot,
}

impl Storage {
    /// Its name in a table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "memory",
            Self::Log => "log",
            Self::Synchronous => "synchronous log",
            Self::Snapshot => "snapshot",
        }
    }
}

/// A store that runs.
#[derive(Debug)]
pub(super) struct Server {
    /// Where clients find it.
    pub(super) address: SocketAddrV4,
    pub(super) program: Program,
    /// Behind the program, as it is dropped later.
    _mooring: Option<Mooring>,
}

impl AsMut<Program> for Server {
    fn as_mut(&mut self) -> &mut Program {
        &mut self.program
    }
}

/// What stores are started from.
#[derive(Debug)]
pub(super) struct Builds {
    /// Where all files are.
    pub(super) folder: PathBuf,
    /// Ours, or why there is none.
    guest: Result<Guest, String>,
    containers: Vec<(Kind, Made)>,
    /// Behind the containers, as it is dropped later.
    _harbour: Option<Harbour>,
}

impl Builds {
    /// Builds our store and puts Redis into a root, where it is there and asked for.
    ///
    /// # Errors
    /// If another bench has containers.
    pub(super) fn make(
        ours: &Workspace,
        lab: &Lab,
        folder: &Path,
        (candidates, memory_mb): (&[Candidate], u64),
    ) -> Result<Self> {
        let wanted = candidates.iter().any(|candidate| matches!(candidate, Candidate::Kv(_)));
        let guest = match wanted {
            true => Guest::build(ours, APP, memory_mb).map_err(|error| first_line(&error)),
            false => Err("it was not asked for".into()),
        };
        let guest = guest.map(|mut guest| {
            guest.ports.push(PORT);
            guest
        });
        let kinds =
            KINDS.into_iter().filter(|&kind| candidates.contains(&Candidate::Contained(kind)));
        let kinds: Vec<_> = kinds.collect();
        let harbour = if kinds.is_empty() { None } else { Some(Harbour::new(folder)?) };
        let containers = harbour.iter().flat_map(|harbour| {
            kinds.iter().zip(0..).map(|(&kind, number)| {
                let made = redis::contents(harbour, PORT)
                    .and_then(|contents| harbour.contained(lab, kind, contents, number));
                (kind, made.map_err(|reason| format!("{reason:#}")))
            })
        });
        let containers = containers.collect();
        Ok(Self { folder: folder.to_owned(), guest, containers, _harbour: harbour })
    }

    /// Starts a store, without keys unless what it kept is wanted, and waits until it answers.
    ///
    /// # Errors
    /// If it does not.
    pub(super) fn start(
        &self,
        lab: &Lab,
        candidate: Candidate,
        storage: Storage,
    ) -> Result<Server> {
        self.erase(candidate, storage)?;
        let mut server = self.spawn(lab, candidate, storage)?;
        let address = server.address;
        let answers = || ask(address, &["PING"], ANSWER_TIME_OUT).is_ok_and(|text| text == "PONG");
        server.program.wait_until(|| lab.client.within(answers).unwrap_or(false))?;
        Ok(server)
    }

    /// Starts a store with what it has kept, and does not wait.
    ///
    /// # Errors
    /// If it cannot.
    pub(super) fn spawn(
        &self,
        lab: &Lab,
        candidate: Candidate,
        storage: Storage,
    ) -> Result<Server> {
        let segment = lab.segment();
        let mut mooring = None;
        let (command, address) = match candidate {
            Candidate::Contained(kind) => {
                ensure!(storage == Storage::None, "in a container it keeps nothing");
                let contained = contained::of(&self.containers, kind)?;
                let (command, kept) = contained.command(lab)?;
                mooring = Some(kept);
                (command, contained.address(PORT))
            }
            Candidate::Kv(wire) => {
                let guest = self.guest(storage, &self.place(candidate, storage))?;
                (guest.command(lab, &segment, wire), wire.address(&segment, PORT))
            }
            Candidate::Redis => {
                let folder = self.place(candidate, storage);
                let program = redis::program()?;
                let place = lab.server_place(segment.servers);
                let mut command: Command = lab.launcher.exec(place, program.as_os_str());
                command.args(redis::words(segment.server, PORT, &folder, storage));
                (command, SocketAddrV4::new(segment.server, PORT))
            }
        };
        let log = self.folder.join(format!("kv-{}.log", candidate.word()));
        let program = Program::start(&candidate.name(), command, &log)?;
        Ok(Server { address, program, _mooring: mooring })
    }

    fn guest(&self, storage: Storage, disk: &Path) -> Result<Guest> {
        let mut guest = self.guest.clone().map_err(|reason| anyhow!(reason))?;
        let word = match storage {
            Storage::None | Storage::Snapshot => "--volatile",
            Storage::Log => "--appendfsync=everysec",
            Storage::Synchronous => "--appendfsync=always",
        };
        guest.words.push(word.into());
        if matches!(storage, Storage::Log | Storage::Synchronous) {
            guest.options.push(format!("--block:data={}", disk.display()));
        }
        if storage == Storage::Synchronous {
            guest.options.push("--block-sync:data".into());
        }
        Ok(guest)
    }

    /// Where a store keeps its keys: a disk of ours, a folder of Redis'; on one file system.
    fn place(&self, candidate: Candidate, storage: Storage) -> PathBuf {
        let name = format!("kv-{}-{}", candidate.word(), storage.name().replace(' ', "-"));
        match candidate {
            Candidate::Kv(_) => self.folder.join(name + ".img"),
            Candidate::Redis | Candidate::Contained(_) => self.folder.join(name),
        }
    }

    /// Makes an empty place.
    fn erase(&self, candidate: Candidate, storage: Storage) -> Result<()> {
        let place = self.place(candidate, storage);
        let make = || match candidate {
            Candidate::Kv(_) | Candidate::Contained(_) if storage == Storage::None => Ok(()),
            Candidate::Kv(_) => File::create(&place)?.set_len(DISK_BYTES),
            Candidate::Redis | Candidate::Contained(_) => {
                if place.exists() {
                    fs::remove_dir_all(&place)?;
                }
                fs::create_dir_all(&place)
            }
        };
        make().with_context(|| place.display().to_string())
    }

    /// Removes all that stores have kept.
    pub(super) fn clean_up(&self) {
        for candidate in Candidate::all() {
            for storage in [Storage::None, Storage::Log, Storage::Synchronous, Storage::Snapshot] {
                let place = self.place(candidate, storage);
                let _ = fs::remove_file(&place).or_else(|_| fs::remove_dir_all(&place));
            }
        }
    }
}

/// A reason of one line.
fn first_line(error: &anyhow::Error) -> String {
    format!("{error:#}").lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_found_by_name() {
        for candidate in Candidate::all() {
            assert_eq!(Candidate::parse(candidate.word()).unwrap(), candidate);
        }
        assert!(Candidate::parse("memcached").unwrap_err().to_string().contains("tap, ring"));
    }
}
