//! Images that are made on the way to something else: packed anew only if the folder has changed.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use anyhow::{Context, Result};
use site_image::tree::Tree;

use super::pack::{self, Times};

/// Changes with what [`pack`] makes of the same tree.
const FORMAT: u32 = 1;

/// Packs a folder, unless the image is of this folder as it is now.
///
/// # Errors
/// If the folder cannot be packed.
pub(crate) fn refresh(folder: &Path, image: &Path) -> Result<()> {
    let tree = Tree::read(folder)?;
    let fingerprint = fingerprint(&tree);
    let stamp = image.with_extension("stamp");
    if image.is_file() && fs::read_to_string(&stamp).is_ok_and(|found| found == fingerprint) {
        return Ok(());
    }
    if let Some(images) = image.parent() {
        fs::create_dir_all(images).with_context(|| images.display().to_string())?;
    }
    // An image without a stamp is made anew, so an interruption leaves no wrong pair.
    let _ = fs::remove_file(&stamp);
    eprintln!("packing {}: {}", folder.display(), tree.summary());
    pack::write(&tree, Times::Own, image)?;
    fs::write(&stamp, fingerprint).with_context(|| stamp.display().to_string())
}

/// A digest of the names, sizes and times.
fn fingerprint(tree: &Tree) -> String {
    let mut hasher = DefaultHasher::new();
    FORMAT.hash(&mut hasher);
    tree.entries.hash(&mut hasher);
    format!("{:016x}\n", hasher.finish())
}
