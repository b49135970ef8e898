//! Blank disks: files of some size that take no room yet. One that is kept from run to run is made if it
//! is not there, and is never erased.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// The smallest unit of a block device.
const BLOCK_BYTES: u64 = 512;

/// Whether a disk can have this size.
///
/// # Errors
/// If not.
pub(crate) fn check_size(bytes: u64) -> Result<()> {
    ensure!(
        bytes > 0 && bytes.is_multiple_of(BLOCK_BYTES),
        "a disk of {bytes} bytes: the size is a multiple of {BLOCK_BYTES}, and not zero"
    );
    Ok(())
}

/// A disk that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Whether it was made by this call.
    pub(crate) is_new: bool,
    /// The size that it has, whatever the size that a new one would have.
    pub(crate) bytes: u64,
}

/// Makes the disk if it is not there, with the folder that it is in.
///
/// # Errors
/// If the file can be neither found nor made.
pub(crate) fn keep(image: &Path, bytes: u64) -> Result<Kept> {
    let make = || -> std::io::Result<Kept> {
        if let Some(folder) = image.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = File::options().write(true).create(true).truncate(false).open(image)?;
        let found = file.metadata()?.len();
        // An empty file holds nothing: it is what an interruption at this place leaves.
        if found == 0 {
            file.set_len(bytes)?;
        }
        Ok(Kept { is_new: found == 0, bytes: if found == 0 { bytes } else { found } })
    };
    make().with_context(|| format!("cannot make the disk {}", image.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("a/b/disk.img");
        assert_eq!(keep(&image, 4096).unwrap(), Kept { is_new: true, bytes: 4096 });
        fs::write(&image, [9; 1024]).unwrap();
        assert_eq!(keep(&image, 4096).unwrap(), Kept { is_new: false, bytes: 1024 });
        assert_eq!(fs::read(&image).unwrap(), [9; 1024]);
        fs::write(&image, []).unwrap();
        assert_eq!(keep(&image, 8192).unwrap(), Kept { is_new: true, bytes: 8192 });
        assert!(keep(folder.path(), 4096).is_err());
    }

    #[test]
    fn sizes_are_whole_blocks() {
        assert!(check_size(512).is_ok() && check_size(1 << 40).is_ok());
        assert!([0, 1, 511, 513].into_iter().all(|bytes| check_size(bytes).is_err()));
    }
}
