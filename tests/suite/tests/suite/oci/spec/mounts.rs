//! The root file system, mounts, devices, and paths that are masked or read-only, as the container's first process has
//! them: the guest itself sees none of it, and gets what is opened there.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use suite::Binaries;

use super::Place;
use crate::Case;

/// All cases of this file.
pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("oci::spec::mounts::the root, read-only or not", root),
        Case::new("oci::spec::mounts::the root's propagation", propagation),
        Case::new("oci::spec::mounts::binds with options, recursive ones too", binds),
        Case::new("oci::spec::mounts::a bind with mapped owners is refused", mapped),
        Case::new("oci::spec::mounts::a bind follows the host's mounts", follows),
        Case::new("oci::spec::mounts::a bind of a file, and of what is not there", sources),
        Case::new(
            "oci::spec::mounts::file systems with options, one above the other",
            file_systems,
        ),
        Case::new("oci::spec::mounts::what no guest can see is not mounted", unseen),
        Case::new("oci::spec::mounts::a link out of the root leads into it", links),
        Case::new("oci::spec::mounts::masked and read-only paths", masked),
        Case::new("oci::spec::mounts::devices", devices),
        Case::new("oci::spec::mounts::the guest's root is empty", guest_root),
    ]
}

fn add(config: &mut Value, mounts: &[Value]) {
    if let Some(all) = config["mounts"].as_array_mut() {
        all.extend_from_slice(mounts);
    }
}

fn bind(source: &str, place: &str, options: &[&str]) -> Value {
    json!({ "destination": place, "type": "bind", "source": source, "options": options })
}

fn root(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    for readonly in [true, false] {
        let life = place.start(|config| config["root"]["readonly"] = json!(readonly))?;
        ensure!(life.mount("/")?.has("ro") == readonly);
        let inside = place.proc(life.first, "root/exit-status");
        ensure!(fs::metadata(inside)?.ino() == fs::metadata(place.root.join("exit-status"))?.ino());
        life.end()?;
    }
    Ok(())
}

fn propagation(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    for (name, shown) in
        [("shared", "shared:"), ("unbindable", "unbindable"), ("private", ""), ("slave", "")]
    {
        let life = place.start(|config| config["linux"]["rootfsPropagation"] = json!(name))?;
        let found = life.mount("/")?.propagation;
        ensure!(
            found.contains(shown) && (name == "shared" || !found.contains("shared:")),
            "{name}: {found}"
        );
        life.end()?;
    }
    place.refused("", |config| config["linux"]["rootfsPropagation"] = json!("nonsense"))
}

/// A folder of the sandbox's with a mount below it.
fn source(place: &Place) -> Result<()> {
    let script = "mkdir -p /run/source/below && mount -t tmpfs tmpfs /run/source/below && echo text >/run/source/file";
    place.sandbox.succeed(&["sh", "-c", script]).map(drop)
}

fn binds(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    source(&place)?;
    for (options, own, below) in [
        (&["bind"][..], &["rw"][..], None),
        (&["bind", "ro", "nosuid", "nodev"], &["ro", "nosuid", "nodev"], None),
        (&["rbind", "ro"], &["ro"], Some(&["rw"][..])),
        (&["rbind", "rro"], &["ro"], Some(&["ro"][..])),
        (
            &["rbind", "rnosuid", "rnodev", "rnoexec", "rnoatime"],
            &["nosuid", "nodev", "noexec", "noatime"],
            Some(&["nosuid", "nodev", "noexec", "noatime"][..]),
        ),
        (&["rbind", "ro", "rrw"], &["rw"], Some(&["rw"][..])),
    ] {
        let life = place.start(|config| add(config, &[bind("/run/source", "/data", options)]))?;
        let found = life.mount("/data")?;
        ensure!(own.iter().all(|option| found.has(option)), "{options:?}: {:?}", found.options);
        match below {
            None => ensure!(life.mount("/data/below").is_err(), "{options:?}"),
            Some(below) => {
                let found = life.mount("/data/below")?;
                ensure!(
                    below.iter().all(|option| found.has(option)),
                    "{options:?}: {:?}",
                    found.options
                );
            }
        }
        life.end()?;
    }
    Ok(())
}

fn mapped(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    source(&place)?;
    let map = json!([{ "containerID": 0, "hostID": 1000, "size": 1 }]);
    place.refused("idmapped mount", |config| {
        let mut mount = bind("/run/source", "/data", &["bind", "idmap"]);
        (mount["uidMappings"], mount["gidMappings"]) = (map.clone(), map);
        add(config, &[mount]);
    })
}

/// As `rslave` says, which is what engines ask for where it matters.
fn follows(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    place.sandbox.succeed(&["mkdir", "-p", "/run/source/later"])?;
    for options in [&["rbind", "rslave"][..], &["rbind"]] {
        let life = place.start(|config| add(config, &[bind("/run/source", "/data", options)]))?;
        ensure!(life.mount("/data")?.propagation.starts_with("master:"), "{options:?}");
        place.sandbox.succeed(&["mount", "-t", "tmpfs", "tmpfs", "/run/source/later"])?;
        life.mount("/data/later").with_context(|| format!("{options:?}"))?;
        place.sandbox.succeed(&["umount", "/run/source/later"])?;
        ensure!(life.mount("/data/later").is_err(), "{options:?}");
        life.end()?;
    }
    Ok(())
}

fn sources(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    source(&place)?;
    // Places that are not there are made.
    let life = place.start(|config| {
        add(config, &[bind("/run/source/file", "/some/new/file", &["bind", "ro"])])
    })?;
    let inside = place.proc(life.first, "root/some/new/file");
    ensure!(fs::read_to_string(inside)? == "text\n");
    life.end()?;
    place.refused("/run/nothing", |config| add(config, &[bind("/run/nothing", "/data", &["bind"])]))
}

fn file_systems(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let tmpfs = |place: &str, options: &[&str]| json!({ "destination": place, "type": "tmpfs", "source": "tmpfs", "options": options });
    let life = place.start(|config| {
        add(
            config,
            &[
                tmpfs("/one", &["size=1m", "mode=700", "noexec"]),
                tmpfs("/one/two", &["nodev"]),
                // A place that does not begin with a slash is one below the root all the same.
                tmpfs("three", &[]),
            ],
        );
    })?;
    let one = life.mount("/one")?;
    ensure!(one.kind == "tmpfs" && one.has("noexec"), "{:?}", one.options);
    ensure!(
        one.super_options.contains("size=1024k") && one.super_options.contains("mode=700"),
        "{}",
        one.super_options
    );
    ensure!(life.mount("/one/two")?.has("nodev"));
    life.mount("/three")?;
    for (place, kind) in
        [("/proc", "proc"), ("/dev", "tmpfs"), ("/dev/pts", "devpts"), ("/dev/shm", "tmpfs")]
    {
        ensure!(life.mount(place)?.kind == kind, "{place}");
    }
    life.end()?;
    place.refused("", |config| add(config, &[tmpfs("/data", &["nonsense"])]))
}

fn unseen(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let life = place.start(|config| {
        add(config, &[json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"] })]);
    })?;
    for place in ["/sys", "/sys/fs/cgroup", "/dev/mqueue"] {
        ensure!(life.mount(place).is_err(), "{place}");
    }
    life.end()
}

fn links(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    source(&place)?;
    fs::create_dir(place.root.join("run"))?;
    std::os::unix::fs::symlink("../../../../run", place.root.join("link"))?;
    let before = place.sandbox.succeed(&["ls", "/run"])?;
    let life =
        place.start(|config| add(config, &[bind("/run/source", "/link/data", &["bind"])]))?;
    life.mount("/run/data")?;
    ensure!(place.root.join("run/data").is_dir());
    let after = place.sandbox.succeed(&["ls", "/run"])?;
    ensure!(after.lines().filter(|it| *it != "nabla-state").eq(before.lines()), "{after}");
    life.end()
}

fn masked(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    fs::create_dir_all(place.root.join("secret"))?;
    fs::write(place.root.join("secret/one"), "text")?;
    fs::write(place.root.join("key"), "text")?;
    fs::create_dir_all(place.root.join("fixed"))?;
    let life = place.start(|config| {
        config["root"]["readonly"] = json!(false);
        config["linux"]["maskedPaths"] = json!(["/secret", "/key", "/no/such"]);
        config["linux"]["readonlyPaths"] = json!(["/fixed", "/proc/sys", "/no/such"]);
    })?;
    let inside = |path: &str| place.proc(life.first, &format!("root/{path}"));
    ensure!(fs::read_dir(inside("secret"))?.next().is_none());
    ensure!(life.mount("/secret")?.has("ro"));
    ensure!(fs::metadata(inside("key"))?.file_type().is_char_device());
    ensure!(fs::read(inside("key"))?.is_empty());
    for path in ["/fixed", "/proc/sys"] {
        ensure!(life.mount(path)?.has("ro"), "{path}");
    }
    life.end()?;
    place.refused("", |config| {
        if let Some(all) = config["linux"]["namespaces"].as_array_mut() {
            all.retain(|one| one["type"] != "mount");
        }
    })
}

fn devices(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let life = place.start(|config| {
        config["linux"]["devices"] = json!([
            { "path": "/dev/one", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 5, "gid": 6 },
            { "path": "/dev/deep/two", "type": "b", "major": 7, "minor": 0 },
        ]);
    })?;
    let inside = |path: &str| fs::metadata(place.proc(life.first, &format!("root/dev/{path}")));
    let one = inside("one")?;
    ensure!(one.file_type().is_char_device() && one.rdev() == nix::libc::makedev(1, 3));
    ensure!((one.uid(), one.gid(), one.mode() & 0o7777) == (5, 6, 0o640), "{one:?}");
    ensure!(inside("deep/two")?.file_type().is_block_device());
    // Those that every container has.
    for (name, major, minor) in [
        ("null", 1, 3),
        ("zero", 1, 5),
        ("full", 1, 7),
        ("random", 1, 8),
        ("urandom", 1, 9),
        ("tty", 5, 0),
    ] {
        let found = inside(name)?;
        ensure!(found.rdev() == nix::libc::makedev(major, minor), "{name}");
        ensure!(found.mode() & 0o777 == 0o666, "{name}: {:o}", found.mode());
    }
    for (name, target) in
        [("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("ptmx", "pts/ptmx")]
    {
        let found = fs::read_link(place.proc(life.first, &format!("root/dev/{name}")))?;
        ensure!(found.as_os_str() == target, "{name}: {found:?}");
    }
    life.end()
}

/// Whatever is mounted, the guest's process has no file system but an empty one.
fn guest_root(binaries: &Binaries) -> Result<()> {
    let place = Place::new(binaries)?;
    let life = place.start(|_| {})?;
    let guest = life.guest_process()?;
    let mounts = super::read(&place.proc(guest, "mountinfo"))?;
    ensure!(mounts.lines().count() == 1, "{mounts}");
    ensure!(fs::read_dir(place.proc(guest, "root"))?.next().is_none());
    life.end()
}
