//! nginx as it serves small files fastest with one process: no log, no limit to what a connection
//! may ask for, and files kept open.
//!
//! `sendfile` is off: with it head and page leave in two packets, or else in one with two more
//! calls (`tcp_nopush`), and a page of 1 KiB is copied in less time than either takes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::bench::candidate::on_path;
use crate::bench::contained::Harbour;
use crate::bench::oci::Contents;

/// Where it listens.
pub(super) const PORT: u16 = 80;

/// For how many connections it has room, and how many that is in Debian's nginx.conf.
const CONNECTIONS: u32 = 32_768;
const CONNECTIONS_DEBIAN: u32 = 768;

/// Its program.
///
/// # Errors
/// If it is not there.
pub(crate) fn program() -> Result<PathBuf> {
    // Not on every user's PATH.
    let system = PathBuf::from("/usr/sbin/nginx");
    let program = on_path("nginx").or_else(|| Some(system).filter(|file| file.is_file()));
    program.context("nginx is not there; Debian has it in nginx-light")
}

/// Writes a configuration into a folder of its own and returns the program's words.
///
/// # Errors
/// If the folder cannot be written.
pub(super) fn prepare(folder: &Path, site: &Path) -> Result<[String; 4]> {
    write(&folder.join("nginx"), site, &PORT.to_string(), CONNECTIONS)
}

/// The same in this folder, for one that listens elsewhere and has room for as many connections as Debian gives it:
/// the room alone takes megabytes.
///
/// # Errors
/// If the folder cannot be written.
pub(crate) fn prepare_at(folder: &Path, site: &Path, listen: &str) -> Result<[String; 4]> {
    write(folder, site, listen, CONNECTIONS_DEBIAN)
}

fn write(folder: &Path, site: &Path, listen: &str, connections: u32) -> Result<[String; 4]> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let file = folder.join("nginx.conf");
    fs::write(&file, config(folder, site, listen, connections))
        .with_context(|| file.display().to_string())?;
    let words = ["-p", &folder.display().to_string(), "-c", &file.display().to_string()];
    Ok(words.map(str::to_owned))
}

/// What runs in a container: the same, with its files in the root and what it writes in memory.
///
/// # Errors
/// If it is not there, or cannot be copied.
pub(super) fn contents(harbour: &Harbour, site: &Path) -> Result<Contents> {
    let program = program()?;
    let root = harbour.root("nginx", &program)?;
    let (folder, page) = (root.join("site"), "index.html");
    // It complains if there is no place for the log that it is built with.
    for folder in [&folder, &root.join("var/log/nginx")] {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    fs::copy(site.join(page), folder.join(page)).context("cannot copy the page")?;
    let config = config(Path::new("/dev/shm"), Path::new("/site"), &PORT.to_string(), CONNECTIONS);
    fs::write(root.join("nginx.conf"), config).context("cannot fill a root")?;
    let program = program.to_string_lossy();
    Ok(Contents::new(root, [&*program, "-c", "/nginx.conf"], vec!["PATH=/"]))
}

/// Its configuration. What it writes goes to `folder`.
pub(super) fn config(folder: &Path, site: &Path, listen: &str, connections: u32) -> String {
    let (folder, site) = (folder.display(), site.display());
    format!(
        "\
daemon off;
worker_processes 1;
user root root;
pid {folder}/pid;
error_log stderr warn;
events {{
    use epoll;
    worker_connections {connections};
    multi_accept on;
}}
http {{
    access_log off;
    default_type application/octet-stream;
    types {{ text/html html; }}
    server_tokens off;
    sendfile off;
    tcp_nodelay on;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    reset_timedout_connection on;
    open_file_cache max=1000 inactive=1h;
    open_file_cache_valid 1h;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {listen} backlog=4096;
        root {site};
    }}
}}
"
    )
}
