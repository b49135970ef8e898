//! `cargo xtask oci`: images are the same bytes every time, other programs read them, and what is in them is
//! served.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use suite::run::{connect, free_port};
use suite::{Binaries, Ended, Need, Outcome, Running};
use tempfile::TempDir;

use crate::Case;
use crate::httpd::response;
use crate::xtask::command;

const SKOPEO: &[Need] = &[Need::Program("skopeo", "skopeo")];

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("image::the same sources give the same bytes", reproducible),
        Case::new("image::the packed site is served with tags of its contents", served),
        Case::new("image::skopeo reads and copies an image", skopeo).with_needs(SKOPEO),
        Case::new("image::mistakes are named", mistakes),
    ]
}

/// Makes an image in the folder `NAME` of a place.
fn make(binaries: &Binaries, place: &Path, name: &str, words: &[&str]) -> Result<Outcome> {
    let mut command = command(binaries, &["oci", "apps/httpd", "--output"]);
    command.arg(place.join(name)).args(words).env_remove("SOURCE_DATE_EPOCH");
    let outcome = Running::start(&mut command)?.wait()?;
    ensure!(outcome.ended == Ended::Exit(0), "{outcome:?}");
    Ok(outcome)
}

/// The files of a layout.
fn files(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for part in ["", "blobs/sha256"] {
        for entry in fs::read_dir(folder.join(part))? {
            let path = entry?.path();
            if path.is_file() {
                files.insert(path.strip_prefix(folder)?.to_owned(), fs::read(&path)?);
            }
        }
    }
    Ok(files)
}

fn reproducible(binaries: &Binaries) -> Result<()> {
    let place = TempDir::new()?;
    let place = place.path();
    let first = make(binaries, place, "first", &[])?;
    ensure!(first.stdout.starts_with("localhost/httpd:latest: "), "{first:?}");

    // The same site elsewhere, with other times.
    let (own, copy) = (workspace().join("apps/httpd/site"), place.join("site"));
    run(Command::new("cp").arg("-r").arg(own).arg(&copy))?;
    File::open(copy.join("index.html"))?.set_modified(UNIX_EPOCH + Duration::from_secs(1 << 30))?;
    let site = copy.to_str().context("the folder's name")?;
    make(binaries, place, "second", &["--site", site])?;

    let (first, second) = (files(&place.join("first"))?, files(&place.join("second"))?);
    ensure!(first.len() == 5, "{:?}", first.keys());
    ensure!(first == second, "{:?} and {:?}", first.keys(), second.keys());
    let [first, second] = ["first.tar", "second.tar"].map(|name| fs::read(place.join(name)));
    ensure!(first? == second?, "the archives differ");
    Ok(())
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn served(binaries: &Binaries) -> Result<()> {
    let place = TempDir::new()?;
    let (place, site) = (place.path(), place.path().join("site"));
    fs::create_dir(&site)?;
    // Longer than a name in the plain format.
    let long = format!("{}.txt", "n".repeat(160));
    fs::write(site.join(&long), "far")?;
    fs::write(site.join("index.html"), "<p>near</p>")?;
    let site = site.to_str().context("the folder's name")?;
    make(binaries, place, "image", &["--site", site])?;
    unpack_layer(&place.join("image"), place)?;
    let names = ["httpd", "site.img"].map(|name| place.join(name).is_file());
    ensure!(names == [true, true], "{names:?}");

    let port = free_port()?;
    let (publish, block) =
        (format!("{port}:80"), format!("site={}", place.join("site.img").display()));
    let words = ["run", "httpd", "-p", &publish, "--block", &block];
    let mut running = Running::start(&mut command(binaries, &words))?;
    running.error_line_with("serving ")?;
    let mut tags = Vec::new();
    for (path, expected) in [("", "<p>near</p>"), (&*long, "far")] {
        let mut stream = connect(port)?;
        write!(stream, "GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n")?;
        let (head, body) = response(&mut BufReader::new(stream))?;
        ensure!(body == expected.as_bytes(), "{head}");
        ensure!(!head.contains("Last-Modified"), "nobody knows when: {head}");
        tags.extend(head.lines().find_map(|line| line.strip_prefix("ETag: ")).map(str::to_owned));
    }
    ensure!(tags.len() == 2 && tags[0] != tags[1], "{tags:?}");
    running.signal(Signal::SIGINT)?;
    ensure!(running.wait()?.ended == Ended::Exit(130));
    Ok(())
}

/// Unpacks the layer of a layout, which is its largest blob.
fn unpack_layer(image: &Path, place: &Path) -> Result<()> {
    let blobs = files(image)?;
    let (layer, _) = blobs.iter().max_by_key(|(_, bytes)| bytes.len()).context("no blobs")?;
    run(Command::new("tar").arg("-xzf").arg(image.join(layer)).arg("-C").arg(place))?;
    Ok(())
}

fn skopeo(binaries: &Binaries) -> Result<()> {
    let place = TempDir::new()?;
    let place = place.path();
    let made = make(binaries, place, "image", &["--tag", "me/web:1", "--", "--log=debug"])?;
    let digest = made.stdout.lines().find_map(|line| line.strip_prefix("digest: "));
    let digest = digest.context("no digest")?;

    let image = place.join("image");
    let source = format!("oci:{}:1", image.display());
    let about = run(Command::new("skopeo").args(["inspect", &source]))?;
    let config = run(Command::new("skopeo").args(["inspect", "--config", &source]))?;
    let packed = |text: &str| text.split_whitespace().collect::<String>();
    for (text, part) in [
        (&about, &*format!(r#""Digest":"{digest}""#)),
        (&about, r#""org.opencontainers.image.title":"httpd""#),
        (&config, r#""architecture":"amd64""#),
        (&config, r#""Entrypoint":["/httpd"],"#),
        (&config, r#""Cmd":["--log=debug"],"#),
        (&config, r#""NABLA_MEMORY=32M","NABLA_PUBLISH=80""#),
        (&config, r#""80/tcp":{}"#),
        (&config, r#""StopSignal":"SIGTERM""#),
    ] {
        ensure!(packed(text).contains(part), "{part} is not in {text}");
    }

    let tar = place.join("image.tar");
    for (name, source) in [
        ("from-folder", source),
        ("from-archive", format!("oci-archive:{}", tar.display())),
        ("from-docker", format!("docker-archive:{}:localhost/me/web:1", tar.display())),
    ] {
        let copy = place.join(name);
        let target = format!("dir:{}", copy.display());
        run(Command::new("skopeo").args(["--insecure-policy", "copy", &source, &target]))?;
        ensure!(copy.join("manifest.json").is_file(), "{source}");
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().context("cannot start it")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {errors}");
    Ok(String::from_utf8(output.stdout)?)
}

fn mistakes(binaries: &Binaries) -> Result<()> {
    let place = TempDir::new()?;
    fs::write(place.path().join("mine"), "mine")?;
    let folder = place.path().to_str().context("the folder's name")?;
    for (words, named) in [
        (&["oci"][..], "which app"),
        (&["oci", "httpd", "--tag", "Web"], "'Web'"),
        (&["oci", "hello", "--site", folder], "no --site"),
        (&["oci", "hello", "--output", folder], "no image layout"),
    ] {
        let outcome = Running::start(&mut command(binaries, words))?.wait()?;
        ensure!(outcome.ended == Ended::Exit(1) && outcome.stdout.is_empty(), "{outcome:?}");
        ensure!(outcome.stderr.contains(named), "{words:?} without {named}: {outcome:?}");
    }
    ensure!(fs::read(place.path().join("mine"))? == b"mine");
    Ok(())
}
