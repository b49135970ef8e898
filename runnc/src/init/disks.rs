//! Block devices by convention: the device `data` is what lies at `/data` in the container, or else at
//! `/data.img` or `/dev/data`, whoever put it there: the image, a volume, a device.
//!
//! | what lies there | is attached |
//! |---|---|
//! | a file, a block device | as it is |
//! | a folder, and the guest only reads | as an image that is made of it, in memory |
//! | a folder, and the guest may write | by the file `data.img` in it, which is made if it is not there |
//! | nothing, and the guest can do without | not at all |
//! | nothing, and the guest only reads | as an image of the whole root |
//! | nothing else | is an error |
//!
//! On a volume a write is on the disk when it returns; the container's own layer is as short-lived as the
//! container. `NABLA_SYNC_data` says otherwise.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{BufWriter, ErrorKind, Write};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use libcontainer::oci_spec::runtime::Spec;
use nix::sys::memfd::{MFdFlags, memfd_create};
use site_image::archive;
use site_image::tree::{Strangers, Tree};
use solo5_sys::manifest::DeviceKind;
use tender::device;

use super::is_on_volume;
use super::workload::Workload;

/// The size of a disk that is made, if nothing is said. It takes room only for what is written.
const DISK_BYTES: u64 = 1 << 30;
/// The largest image that is made of a folder.
const IMAGE_MAX_BYTES: u64 = 1 << 30;

/// What was attached.
#[derive(Debug, Default)]
pub(super) struct Disks {
    /// Bytes of images in memory.
    pub(super) image_bytes: u64,
    /// What a person should know.
    pub(super) warnings: Vec<String>,
}

/// Attaches all block devices of a unikernel.
///
/// # Errors
/// If what lies at a device's name cannot be attached, or nothing does.
pub(super) fn attach(
    spec: &Spec,
    workload: &Workload,
    devices: &mut device::Options,
) -> Result<Disks> {
    let mut disks = Disks::default();
    let (manifest, request) = (&workload.image.manifest, &workload.image.request);
    for (index, device) in manifest.devices().filter(|(_, one)| one.kind == DeviceKind::Block) {
        let name = device.name.as_str();
        let only_reads = request.only_reads(index);
        let context = || format!("block device '{name}'");
        let path = match find(Path::new("/"), name) {
            Some((folder, metadata)) if metadata.is_dir() => match only_reads {
                true => disks.pack(&folder, Strangers::Refused).with_context(context)?,
                false => {
                    let bytes = workload.settings.sizes.get(name).copied().unwrap_or(DISK_BYTES);
                    make_disk(&folder, name, bytes).with_context(context)?
                }
            },
            Some((path, _)) => path,
            None if request.can_miss(index) => continue,
            None if only_reads => {
                disks.pack(Path::new("/"), Strangers::LeftOut).with_context(context)?
            }
            None => bail!(
                "block device '{name}': there is nothing at /{name}, /{name}.img or /dev/{name}; \
                 mount a volume at /{name}, or have the folder in the image"
            ),
        };
        devices.accept("block", name, Some(path.as_os_str()))?;
        let lasts = is_on_volume(spec, &path) || path.starts_with("/dev");
        if !only_reads && workload.settings.sync.get(name).copied().unwrap_or(lasts) {
            devices.accept("block-sync", name, None)?;
        }
    }
    Ok(disks)
}

/// What lies at a device's name.
fn find(root: &Path, name: &str) -> Option<(PathBuf, Metadata)> {
    let places = [root.join(name), root.join(format!("{name}.img")), root.join("dev").join(name)];
    places.into_iter().find_map(|place| {
        let metadata = fs::metadata(&place).ok()?;
        let kind = metadata.file_type();
        let is_one = kind.is_file() || kind.is_dir() || kind.is_block_device();
        is_one.then_some((place, metadata))
    })
}

/// The disk in a folder. It appears under its name only in its full size.
fn make_disk(folder: &Path, name: &str, bytes: u64) -> Result<PathBuf> {
    let path = folder.join(format!("{name}.img"));
    let cannot = || format!("cannot make the disk {}", path.display());
    match fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_file() => return Ok(path),
        Ok(_) => bail!("{} is no file", path.display()),
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(cannot);
        }
        Err(_) => {}
    }
    let unfinished = folder.join(format!(".{name}.img.{}", std::process::id()));
    // One that was left by a start that was interrupted.
    let _ = fs::remove_file(&unfinished);
    let file = File::options()
        .write(true)
        .create_new(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&unfinished)
        .with_context(cannot)?;
    let made = file.set_len(bytes).and_then(|()| file.sync_all()).and_then(|()| {
        // Not by renaming: another container may have made it meanwhile, and use it.
        match fs::hard_link(&unfinished, &path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    });
    let _ = fs::remove_file(&unfinished);
    made.with_context(cannot)?;
    Ok(path)
}

impl Disks {
    /// Makes an image of a folder, in memory, and says where it can be opened.
    fn pack(&mut self, folder: &Path, strangers: Strangers) -> Result<PathBuf> {
        let tree = Tree::read_with(folder, strangers)?;
        ensure!(
            tree.bytes() <= IMAGE_MAX_BYTES,
            "the folder {} has {}, too much for an image in memory; pack it before, by `tar` or \
             `cargo xtask image`, and put the file there",
            folder.display(),
            tree.summary()
        );
        let memory = memfd_create(c"nabla-image", MFdFlags::MFD_CLOEXEC)
            .context("cannot make a file in memory")?;
        let buffer = BufWriter::with_capacity(1 << 16, File::from(memory));
        let mut buffer = archive::write(&tree, buffer, |_| {})?;
        buffer.flush().context("cannot write an image in memory")?;
        let file = buffer.into_inner().context("cannot write an image in memory")?;
        self.image_bytes += file.metadata().context("cannot measure an image")?.len();
        // Open until the tender has opened it by that name; with this process's other descriptors the
        // guest does not get it.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let _ = file.into_raw_fd();
        Ok(OsStr::new(&path).into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_name_is_a_path_an_image_or_a_device() {
        let root = TempDir::new().unwrap();
        let place = |name: &str| root.path().join(name);
        assert!(find(root.path(), "data").is_none());
        fs::create_dir(place("dev")).unwrap();
        for (made, is_folder) in [("dev/data", false), ("data.img", false), ("data", true)] {
            if is_folder {
                fs::create_dir(place(made)).unwrap();
            } else {
                fs::write(place(made), "").unwrap();
            }
            let (found, metadata) = find(root.path(), "data").unwrap();
            assert_eq!((found, metadata.is_dir()), (place(made), is_folder));
        }
    }

    #[test]
    fn a_disk_is_made_once() {
        let folder = TempDir::new().unwrap();
        let path = make_disk(folder.path(), "data", 1 << 20).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 1 << 20);
        fs::write(&path, "kept").unwrap();
        assert_eq!(make_disk(folder.path(), "data", 1 << 21).unwrap(), path);
        assert_eq!(fs::read(&path).unwrap(), b"kept");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_volume_may_hold_instead_of_a_disk_is_refused() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("data.img");
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        let error = make_disk(folder.path(), "data", 512).unwrap_err().to_string();
        assert!(error.contains("is no file"), "{error}");
    }

    #[test]
    fn a_folder_becomes_an_archive_in_memory() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("index.html"), "<p>hello</p>").unwrap();
        let mut disks = Disks::default();
        let path = disks.pack(folder.path(), Strangers::Refused).unwrap();
        let mut bytes = Vec::new();
        File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, disks.image_bytes);
        assert!(bytes.len().is_multiple_of(512) && bytes.starts_with(b"index.html"));
    }
}
