//! Block devices by convention: the device `data` is the block device `/dev/data` that the configuration
//! grants to the container, or else what lies at `/data` or `/data.img`, whoever put it there: the image,
//! a volume.
//!
//! | what lies there | is attached |
//! |---|---|
//! | a file, a block device that is granted | as it is |
//! | a folder, and the guest only reads | as an image that is made of it, in memory |
//! | a folder, and the guest may write | by the file `data.img` in it, which is made if it is not there |
//! | nothing, and the guest can do without | not at all |
//! | nothing, and the guest only reads | as an image of the whole root |
//! | nothing else | is an error |
//!
//! An image can hold a block device of any number, and so name a disk of the host's: what the
//! configuration does not grant is not attached. What was looked at stays open until the tender has it, so
//! nobody can put something else in its place.
//!
//! On a volume a write is on the disk when it returns; the container's own layer is as short-lived as the
//! container. `NABLA_SYNC_data` says otherwise.

mod found;
mod make;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use libcontainer::oci_spec::runtime::{LinuxDeviceType, Spec};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{major, minor};
use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};
use site_image::archive;
use site_image::size;
use site_image::tree::{Strangers, Tree};
use solo5_sys::manifest::DeviceKind;
use tender::{device, run};

use super::workload::Workload;
use super::{is_on_volume, memory};
use found::{Found, Kind};

/// The size of a disk that is made, if nothing is said. It takes room only for what is written.
const DISK_BYTES: u64 = 1 << 30;
/// All images together that are made of folders.
const IMAGES_MAX_BYTES: u64 = 1 << 30;

/// What was attached. To be kept until the tender has opened it.
#[derive(Debug, Default)]
pub(super) struct Disks {
    /// Bytes of images in memory.
    pub(super) image_bytes: u64,
    /// What a person should know.
    pub(super) warnings: Vec<String>,
    attached: Vec<Found>,
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
        let found = disks.find(spec, Path::new("/"), name).with_context(context)?;
        if found.is_none() && request.can_miss(index) {
            continue;
        }
        check_proc().with_context(context)?;
        let found = match found {
            Some(folder) if folder.kind == Kind::Folder => match only_reads {
                true => disks.pack(spec, &folder.path, Strangers::Refused).with_context(context)?,
                false => {
                    let bytes = workload.settings.sizes.get(name).copied().unwrap_or(DISK_BYTES);
                    make::disk(&folder, name, bytes).with_context(context)?
                }
            },
            Some(found) => found,
            None if only_reads => {
                disks.pack(spec, Path::new("/"), Strangers::LeftOut).with_context(context)?
            }
            None => bail!(
                "block device '{name}': there is nothing at /{name} or /{name}.img, and no device \
                 at /dev/{name} that the configuration grants; mount a volume at /{name}, or have \
                 the folder in the image"
            ),
        };
        devices.accept("block", name, Some(found.descriptor().as_os_str()))?;
        let lasts = is_on_volume(spec, &found.path) || matches!(found.kind, Kind::Device(_));
        if !only_reads && workload.settings.sync.get(name).copied().unwrap_or(lasts) {
            devices.accept("block-sync", name, None)?;
        }
        disks.attached.push(found);
    }
    Ok(disks)
}

/// The tender opens what was found by its descriptor's name. Without `/proc`, an image could have files
/// of such names.
fn check_proc() -> Result<()> {
    let file_system = statfs("/proc").ok().map(|found| found.filesystem_type());
    ensure!(
        file_system == Some(PROC_SUPER_MAGIC),
        "the configuration mounts no /proc, by which block devices are attached"
    );
    Ok(())
}

/// Whether the configuration gives the container that block device: as a device, or, as engines do
/// that are not root, by mounting it there.
fn is_granted(spec: &Spec, place: &Path, number: u64) -> bool {
    let devices = spec.linux().as_ref().and_then(|linux| linux.devices().as_ref());
    let is_device = devices.into_iter().flatten().any(|device| {
        device.typ() == LinuxDeviceType::B
            && u64::try_from(device.major()) == Ok(major(number))
            && u64::try_from(device.minor()) == Ok(minor(number))
    });
    is_device || spec.mounts().iter().flatten().any(|mount| mount.destination() == place)
}

impl Disks {
    /// What lies at a device's name.
    fn find(&mut self, spec: &Spec, root: &Path, name: &str) -> Result<Option<Found>> {
        let device = root.join("dev").join(name);
        if let Some(found) = Found::at(&device)?
            && let Kind::Device(number) = found.kind
        {
            if is_granted(spec, &device, number) {
                return Ok(Some(found));
            }
            self.warnings.push(format!(
                "block device '{name}': {} is left alone, as the configuration does not grant it",
                device.display()
            ));
        }
        for place in [root.join(name), root.join(format!("{name}.img"))] {
            let Some(found) = Found::at(&place)? else { continue };
            match found.kind {
                Kind::File | Kind::Folder => return Ok(Some(found)),
                Kind::Device(number) => {
                    ensure!(
                        is_granted(spec, &place, number),
                        "{} is the block device {}:{}, which the configuration does not grant; an \
                         engine grants a device by an option such as --device PATH:/dev/{name}",
                        place.display(),
                        major(number),
                        minor(number)
                    );
                    return Ok(Some(found));
                }
                Kind::Other => {}
            }
        }
        Ok(None)
    }

    /// Makes an image of a folder, in memory.
    fn pack(&mut self, spec: &Spec, folder: &Path, strangers: Strangers) -> Result<Found> {
        let tree = Tree::read_with(folder, strangers)?;
        let all_bytes = self.image_bytes.saturating_add(tree.archive_bytes());
        let context = || {
            format!(
                "the folder {} has {}, too much for an image in memory; pack it before, by `tar` or \
                 `cargo xtask image`, and put the file there",
                folder.display(),
                tree.summary()
            )
        };
        ensure!(
            all_bytes <= IMAGES_MAX_BYTES,
            "{}: all such images together have at most {}",
            context(),
            size::format(IMAGES_MAX_BYTES)
        );
        memory::check_images(spec, all_bytes).with_context(context)?;
        let memory = memfd_create(c"nabla-image", MFdFlags::MFD_CLOEXEC)
            .context("cannot make a file in memory")?;
        let buffer = BufWriter::with_capacity(1 << 16, File::from(memory));
        let mut buffer = archive::write(&tree, buffer, |_| {})?;
        buffer.flush().context("cannot write an image in memory")?;
        let file = buffer.into_inner().context("cannot write an image in memory")?;
        self.image_bytes += file.metadata().context("cannot measure an image")?.len();
        Ok(Found { path: folder.to_owned(), kind: Kind::File, file })
    }

    /// What the tender says of what was attached, in terms of who attached it by a path.
    pub(super) fn explain(&self, error: run::Error) -> anyhow::Error {
        let run::Error::Attach(device::AttachError::Block { name, error }) = error else {
            return error.into();
        };
        let mut text = format!("block device '{name}': {error}");
        for found in &self.attached {
            let quoted = |path: &Path| format!("'{}'", path.display());
            text = text.replace(&quoted(&found.descriptor()), &quoted(&found.path));
        }
        anyhow!(text)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;

    use nix::sys::stat::{Mode, SFlag, makedev, mknod};
    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::*;

    fn spec(linux: &Value, mounted: &[&Path]) -> Spec {
        let mounts: Vec<_> = mounted.iter().map(|path| json!({ "destination": path })).collect();
        serde_json::from_value(json!({ "ociVersion": "1.0.2", "linux": linux, "mounts": mounts }))
            .unwrap()
    }

    fn limited(limit: u64) -> Spec {
        spec(&json!({ "resources": { "memory": { "limit": limit } } }), &[])
    }

    fn granting(kind: &str, major: u64, minor: u64) -> Spec {
        let device = json!({ "path": "/x", "type": kind, "major": major, "minor": minor });
        spec(&json!({ "devices": [device] }), &[])
    }

    #[test]
    fn a_name_is_a_path_or_an_image() {
        let root = TempDir::new().unwrap();
        let place = |name: &str| root.path().join(name);
        let find = || Disks::default().find(&spec(&json!({}), &[]), root.path(), "data").unwrap();
        assert!(find().is_none());
        fs::create_dir(place("dev")).unwrap();
        // No device, and so not meant.
        fs::write(place("dev/data"), "").unwrap();
        assert!(find().is_none());
        fs::write(place("data.img"), "").unwrap();
        let found = find().unwrap();
        assert_eq!((found.path, found.kind), (place("data.img"), Kind::File));
        fs::create_dir(place("data")).unwrap();
        let found = find().unwrap();
        assert_eq!((found.path, found.kind), (place("data"), Kind::Folder));
    }

    #[test]
    fn a_block_device_is_attached_only_if_it_is_granted() {
        let root = TempDir::new().unwrap();
        let place = |name: &str| root.path().join(name);
        fs::create_dir(place("dev")).unwrap();
        let make = |name| mknod(&place(name), SFlag::S_IFBLK, Mode::S_IRWXU, makedev(8, 3));
        if let Err(error) = make("data.img") {
            eprintln!("skipped: this user cannot make a block device ({error})");
            return;
        }
        let find = |spec: &Spec| Disks::default().find(spec, root.path(), "data");
        let others = [granting("b", 8, 4), granting("b", 9, 3), granting("c", 8, 3), limited(0)];
        for spec in &others {
            let error = find(spec).unwrap_err().to_string();
            assert!(error.contains("data.img is the block device 8:3, which"), "{error}");
        }
        let grant = granting("b", 8, 3);
        assert_eq!(find(&grant).unwrap().unwrap().path, place("data.img"));
        let mounted = spec(&json!({}), &[&place("data.img")]);
        assert_eq!(find(&mounted).unwrap().unwrap().path, place("data.img"));

        // One that is granted comes before what the image has.
        make("dev/data").unwrap();
        fs::create_dir(place("data")).unwrap();
        let found = find(&grant).unwrap().unwrap();
        assert_eq!((found.path, found.kind), (place("dev/data"), Kind::Device(makedev(8, 3))));
        for spec in &others {
            let mut disks = Disks::default();
            let found = disks.find(spec, root.path(), "data").unwrap().unwrap();
            assert_eq!((found.path, found.kind), (place("data"), Kind::Folder));
            assert!(disks.warnings[0].contains("dev/data is left alone"), "{disks:?}");
        }
    }

    #[test]
    fn a_folder_becomes_an_archive_in_memory() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("index.html"), "<p>hello</p>").unwrap();
        let mut disks = Disks::default();
        let no_limit = spec(&json!({}), &[]);
        let found = disks.pack(&no_limit, folder.path(), Strangers::Refused).unwrap();
        let mut bytes = Vec::new();
        File::open(found.descriptor()).unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, disks.image_bytes);
        assert!(bytes.len().is_multiple_of(512) && bytes.starts_with(b"index.html"));
        assert_eq!(found.path, folder.path());
    }

    #[test]
    fn images_that_do_not_fit_are_not_begun() {
        let folder = TempDir::new().unwrap();
        let file = File::create(folder.path().join("large")).unwrap();
        file.set_len(10 << 20).unwrap();
        let mut disks = Disks::default();
        let spec = limited(26 << 20);
        disks.pack(&spec, folder.path(), Strangers::Refused).unwrap();
        let image_bytes = disks.image_bytes;
        // Another of the kind is too much.
        let error = disks.pack(&spec, folder.path(), Strangers::Refused).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("1 file, 0 folders, 10.0 MiB, too much for an image"), "{text}");
        assert!(text.contains("memory limit of 27262976 bytes"), "{text}");
        assert_eq!(disks.image_bytes, image_bytes);

        file.set_len(IMAGES_MAX_BYTES + 1).unwrap();
        let no_limit = limited(0);
        let error = disks.pack(&no_limit, folder.path(), Strangers::Refused).unwrap_err();
        assert!(error.to_string().contains("at most 1.0 GiB"), "{error}");
    }

    #[test]
    fn the_tenders_words_name_the_path() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("data");
        fs::write(&path, "").unwrap();
        let found = Found::at(&path).unwrap().unwrap();
        let typed = found.descriptor().display().to_string();
        let disks = Disks { attached: vec![found], ..Disks::default() };
        let error = device::block::AttachError::Written(typed);
        let error = device::AttachError::Block { name: "data".into(), error };
        let text = disks.explain(run::Error::Attach(error)).to_string();
        let start = format!("block device 'data': '{}' is in use", path.display());
        assert!(text.starts_with(&start), "{text}");
    }
}
