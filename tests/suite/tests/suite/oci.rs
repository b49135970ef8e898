//! The container runtime under real engines, and by its own command line. Every case has a sandbox: the
//! machine's own networks, cgroups, mounts and processes are as before when it is done.

mod cri;
mod ctr;
mod docker;
mod failures;
mod many;
mod podman;
mod rootless;
mod spec;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use suite::Binaries;
use suite::oci::sandbox::NEEDS;
use suite::oci::{Contents, Image, Sandbox};
use suite::run::TIME_OUT;

use crate::Case;
use crate::httpd::append;

/// What the web server serves.
const PAGE: &str = "<!doctype html><title>suite</title>";
/// How long a guest may take that ends by itself when it is asked to. Engines wait for ten seconds and
/// more until they kill.
const ORDERLY: Duration = Duration::from_secs(7);

/// All cases of these files.
pub(crate) fn cases() -> Vec<Case> {
    let files = [
        podman::cases(),
        rootless::cases(),
        ctr::cases(),
        cri::cases(),
        docker::cases(),
        failures::cases(),
        many::cases(),
        spec::cases(),
    ];
    files.into_iter().flatten().map(|case| case.with_needs(&NEEDS)).collect()
}

/// The site image of the web server, in a file.
fn site(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("site.img");
    let mut file = File::create(&path)?;
    append(&mut file, "index.html", PAGE.len() as u64, PAGE.as_bytes())?;
    file.write_all(&[0; 1024])?;
    Ok(path)
}

/// An image of the web server with its site.
fn web(binaries: &Binaries, sandbox: &Sandbox) -> Result<Image> {
    let site = site(sandbox.folder())?;
    let contents = Contents {
        files: &[("httpd", &binaries.app("httpd")), ("site.img", &site)],
        entrypoint: &["/httpd"],
        environment: &["NABLA_MEMORY=32M", "NABLA_PUBLISH=80"],
    };
    Image::write(sandbox.folder(), "httpd", &contents)
}

/// A root folder of the web server with its site, for bundles.
fn web_root(binaries: &Binaries, sandbox: &Sandbox) -> Result<PathBuf> {
    let root = sandbox.folder().join("root");
    let site = site(sandbox.folder())?;
    let files: &[(&str, &Path)] = &[("httpd", &binaries.app("httpd")), ("site.img", &site)];
    Contents { files, entrypoint: &[], environment: &[] }.lay(&root)?;
    Ok(root)
}

/// An image of one unikernel, which lies in it as `/NAME`.
fn image_of(sandbox: &Sandbox, name: &str, kernel: &Path) -> Result<Image> {
    let entrypoint = format!("/{name}");
    let contents = Contents {
        files: &[(name, kernel)],
        entrypoint: &[&entrypoint],
        environment: &["NABLA_MEMORY=16M"],
    };
    Image::write(sandbox.folder(), name, &contents)
}

/// Does something that must not take longer than an orderly end.
fn orderly<T>(what: &str, action: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let result = action()?;
    let took = start.elapsed();
    ensure!(took < ORDERLY, "{what} took {took:?}: the guest was killed in the end");
    Ok(result)
}

/// The memory limit of a cgroup below the sandbox's, in whichever version of the hierarchy.
fn memory_limits(sandbox: &Sandbox) -> Vec<String> {
    let files = ["memory.limit_in_bytes", "memory.max"];
    let groups = sandbox.cgroups().into_iter();
    let limits = groups.flat_map(|group| files.map(|file| fs::read_to_string(group.join(file))));
    limits.flatten().map(|limit| limit.trim().to_owned()).collect()
}

/// The first line that a server answers to a line, once it serves.
fn ask(sandbox: &Sandbox, address: SocketAddr, line: &str) -> Result<String> {
    let deadline = Instant::now() + TIME_OUT;
    let attempt = || -> Result<String> {
        let mut stream = sandbox.connect(address)?;
        stream.write_all(line.as_bytes())?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        // A proxy in between accepts before the server does.
        ensure!(!answer.is_empty(), "no answer");
        Ok(answer.trim_end().to_owned())
    };
    loop {
        match attempt() {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}
