//! The one layer of an image: a compressed tar archive of a few files at the top of the tree. Only
//! what is given goes in, with the times that are given: the same files give the same bytes.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::digest::{Digest, Digesting};

/// Something at the top of the image's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name, without the slash.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: Kind,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A copy of a file that can be executed.
    Program(PathBuf),
    /// A copy of a file that can be read.
    File(PathBuf),
    /// An empty folder.
    Folder,
}

/// A layer that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    /// The digest of the archive, which engines call the layer's `diff_id`.
    pub(crate) archive: Digest,
    /// The length of the archive in bytes.
    pub(crate) archive_bytes: u64,
    /// The digest of the compressed archive.
    pub(crate) compressed: Digest,
    /// The length of the compressed archive in bytes.
    pub(crate) compressed_bytes: u64,
}

/// Writes a layer. The time is in seconds since 1970.
///
/// # Errors
/// If a file cannot be read or the layer not written.
pub(crate) fn write(entries: &[Entry], time: u64, output: impl Write) -> Result<Layer> {
    let compressed = Digesting::new(BufWriter::with_capacity(1 << 18, output));
    // The header of this format has room for a time and a name as well; both stay empty.
    let archive = Digesting::new(GzEncoder::new(compressed, Compression::default()));
    let mut builder = tar::Builder::new(archive);
    for entry in entries {
        append(&mut builder, entry, time)?;
    }
    let unwritten = "cannot write the layer";
    let (encoder, archive, archive_bytes) = builder.into_inner().context(unwritten)?.finish();
    let (buffer, compressed, compressed_bytes) = encoder.finish().context(unwritten)?.finish();
    buffer.into_inner().map_err(io::IntoInnerError::into_error).context(unwritten)?;
    Ok(Layer { archive, archive_bytes, compressed, compressed_bytes })
}

fn append(builder: &mut tar::Builder<impl Write>, entry: &Entry, time: u64) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(time);
    let (path, mode) = match &entry.kind {
        Kind::Program(path) => (path, 0o755),
        Kind::File(path) => (path, 0o644),
        Kind::Folder => {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(0o755);
            header.set_size(0);
            let added = builder.append_data(&mut header, format!("{}/", entry.name), io::empty());
            return added.context("cannot write the layer");
        }
    };
    let cannot_pack = || format!("cannot pack {}", path.display());
    let mut file = File::open(path).with_context(cannot_pack)?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(mode);
    header.set_size(file.metadata().with_context(cannot_pack)?.len());
    builder.append_data(&mut header, &entry.name, &mut file).with_context(cannot_pack)
}
