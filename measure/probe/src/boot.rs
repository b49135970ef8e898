//! From the kernel's first root to one that containers can leave: file systems, modules, a disk.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::unistd::{chdir, chroot};

const NEW_ROOT: &str = "/new";
/// What the kernel makes, and where.
const KERNEL_FILE_SYSTEMS: [(&str, &str); 5] = [
    ("devtmpfs", "/dev"),
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("tracefs", "/sys/kernel/tracing"),
    ("tmpfs", "/run"),
];
/// Modules, in this order, that are loaded if they are there.
const MODULES: [(&str, &str); 4] = [
    ("/modules/tun.ko", ""),
    ("/modules/veth.ko", ""),
    ("/modules/overlay.ko", ""),
    // One disk of 128 MiB in memory: one outside would answer when the host likes.
    ("/modules/brd.ko", "rd_nr=1 rd_size=131072"),
];
const DISK: &str = "/dev/ram0";
/// Where all data is that is on a disk.
pub(crate) const DATA: &str = "/data";

/// Makes the machine ready.
///
/// # Errors
/// If the kernel refuses something: what.
pub(crate) fn boot() -> Result<()> {
    switch_root()?;
    for (kind, place) in KERNEL_FILE_SYSTEMS {
        fs::create_dir_all(place).with_context(|| place.to_owned())?;
        mount(Some(kind), place, Some(kind), MsFlags::empty(), None::<&str>)
            .with_context(|| format!("cannot mount {place}"))?;
    }
    for (module, options) in MODULES {
        let file = match File::open(module) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            file => file.with_context(|| module.to_owned())?,
        };
        let options = std::ffi::CString::new(options)?;
        finit_module(file, &options, ModuleInitFlags::empty())
            .with_context(|| format!("cannot load {module}"))?;
    }
    for (setting, value) in [
        // Advertisements would come at any time.
        ("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1"),
        ("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1"),
    ] {
        fs::write(setting, value).with_context(|| setting.to_owned())?;
    }
    run("/sbin/ip", &["link", "set", "lo", "up"])?;
    make_disk()
}

/// Runs a program to its end.
///
/// # Errors
/// If it fails: what it says last.
pub(crate) fn run(program: &str, words: &[&str]) -> Result<()> {
    let output = Command::new(program).args(words).output();
    let output = output.with_context(|| format!("cannot start {program}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    let last = complaint.lines().last().unwrap_or("it does not say why");
    ensure!(output.status.success(), "{program} {} failed: {last}", words.join(" "));
    Ok(())
}

/// A container's runtime cannot leave the root that the kernel begins with.
fn switch_root() -> Result<()> {
    fs::create_dir_all(NEW_ROOT).context(NEW_ROOT)?;
    mount(Some("root"), NEW_ROOT, Some("tmpfs"), MsFlags::empty(), None::<&str>)
        .context("cannot mount a root")?;
    for entry in fs::read_dir("/").context("/")? {
        let path = entry.context("/")?.path();
        if path != Path::new(NEW_ROOT) && path != Path::new("/dev") {
            let relative = path.strip_prefix("/")?;
            copy(&path, &Path::new(NEW_ROOT).join(relative))?;
        }
    }
    chdir(NEW_ROOT).context("cannot go to the root")?;
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)
        .context("cannot move the root")?;
    chroot(".").context("cannot enter the root")?;
    chdir("/").context("cannot go to the root")
}

/// What was copied is removed, so that nothing is in memory twice.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let kind = from.symlink_metadata().with_context(|| from.display().to_string())?.file_type();
    if kind.is_dir() {
        fs::create_dir(to).with_context(|| to.display().to_string())?;
        for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
            let entry = entry.with_context(|| from.display().to_string())?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    if kind.is_symlink() {
        symlink(fs::read_link(from)?, to).with_context(|| to.display().to_string())?;
    } else {
        fs::copy(from, to).with_context(|| from.display().to_string())?;
    }
    fs::remove_file(from).with_context(|| from.display().to_string())
}

/// A file system as a server's disk has one, the same bytes each time.
fn make_disk() -> Result<()> {
    const ID: &str = "6e61626c-6100-4000-8000-000000000000";
    let seed = format!("hash_seed={ID},lazy_itable_init=0,lazy_journal_init=0");
    run("/sbin/mke2fs", &["-q", "-F", "-t", "ext4", "-U", ID, "-E", &seed, DISK])?;
    fs::create_dir_all(DATA).context(DATA)?;
    mount(Some(DISK), DATA, Some("ext4"), MsFlags::empty(), None::<&str>)
        .context("cannot mount the disk")
}
