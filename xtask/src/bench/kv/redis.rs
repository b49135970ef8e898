//! Redis as it does these things fastest in one process: one thread, no snapshots in between, and a log only
//! where it is measured.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::server::Storage;
use crate::bench::candidate::on_path;
use crate::bench::contained::Harbour;
use crate::bench::oci::Contents;

/// Its program.
///
/// # Errors
/// If it is not there.
pub(crate) fn program() -> Result<PathBuf> {
    on_path("redis-server").context("redis-server is not on PATH; Debian has it in redis-server")
}

/// What runs in a container: the same, which keeps nothing.
///
/// # Errors
/// If it is not there, or cannot be copied.
pub(super) fn contents(harbour: &Harbour, port: u16) -> Result<Contents> {
    let program = program()?;
    let root = harbour.root("redis", &program)?;
    let words = words(Ipv4Addr::UNSPECIFIED, port, Path::new("/dev/shm"), Storage::None);
    let mut contents = Contents::new(root, [&*program.to_string_lossy()], vec!["PATH=/"]);
    contents.words.extend(words);
    Ok(contents)
}

/// The words of one that keeps nothing and listens on loopback.
pub(crate) fn words_on_loopback(port: u16, folder: &Path) -> Vec<String> {
    words(Ipv4Addr::LOCALHOST, port, folder, Storage::None)
}

/// Its words. What it keeps is in `folder`.
pub(super) fn words(address: Ipv4Addr, port: u16, folder: &Path, storage: Storage) -> Vec<String> {
    let (append, fsync) = match storage {
        Storage::None | Storage::Snapshot => ("no", "everysec"),
        Storage::Log => ("yes", "everysec"),
        Storage::Synchronous => ("yes", "always"),
    };
    let (port, address) = (port.to_string(), address.to_string());
    let folder = folder.display().to_string();
    let options = [
        ("--port", &*port),
        ("--bind", &*address),
        ("--protected-mode", "no"),
        ("--daemonize", "no"),
        ("--loglevel", "warning"),
        ("--io-threads", "1"),
        ("--save", ""),
        ("--appendonly", append),
        ("--appendfsync", fsync),
        ("--dir", &*folder),
    ];
    options.into_iter().flat_map(|(name, value)| [name.to_owned(), value.to_owned()]).collect()
}
