//! An image as files: a folder of the OCI image layout, and a tar archive of it that Docker loads as well.
//! Both appear under their names only when they are complete.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use super::layer::{self, Entry, Layer};
use super::reference::Reference;
use crate::digest::Digest;
use crate::image::Unfinished;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The file that says that a folder is such a layout.
const MARK: &str = "oci-layout";
const BLOBS: &str = "blobs/sha256";

/// A layout that is being written, in a folder beside its place.
#[derive(Debug)]
pub(crate) struct Layout {
    folder: PathBuf,
    place: PathBuf,
}

/// Something in the layout: what it is, its digest, its length in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    media_type: &'static str,
    /// The digest of its bytes, and its name.
    pub(crate) digest: Digest,
    bytes: u64,
}

impl Blob {
    fn descriptor(&self) -> Value {
        json!({
            "digest": format!("sha256:{}", self.digest),
            "mediaType": self.media_type,
            "size": self.bytes,
        })
    }

    fn path(&self) -> String {
        format!("{BLOBS}/{}", self.digest)
    }
}

impl Layout {
    /// Begins a layout that will be the folder `place`.
    ///
    /// # Errors
    /// If something else than a layout is there, or nothing can be written there.
    pub(crate) fn create(place: &Path) -> Result<Self> {
        check_place(place)?;
        let name = place.file_name().with_context(|| format!("{} has no name", place.display()))?;
        let above = place.parent().filter(|above| *above != Path::new(""));
        let above = above.unwrap_or(Path::new("."));
        let unwritable = || format!("cannot write {}", place.display());
        fs::create_dir_all(above).with_context(unwritable)?;
        let hidden = format!(".{}.{}", name.display(), std::process::id());
        let folder = above.join(hidden);
        // One that was left behind by a process that had the same number.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).with_context(unwritable)?;
        let layout = Self { folder, place: place.to_owned() };
        fs::create_dir_all(layout.folder.join(BLOBS)).with_context(unwritable)?;
        Ok(layout)
    }

    /// The folder for files that will not be a part of the layout: it is on the same disk, and goes with it.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Adds a layer of these files.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn add_layer(&self, entries: &[Entry], time: u64) -> Result<(Layer, Blob)> {
        let unnamed = self.scratch("layer");
        let file = File::create(&unnamed).with_context(|| unnamed.display().to_string())?;
        let layer = layer::write(entries, time, file)?;
        let blob =
            Blob { media_type: LAYER, digest: layer.compressed, bytes: layer.compressed_bytes };
        let path = self.folder.join(blob.path());
        fs::rename(&unnamed, &path).with_context(|| path.display().to_string())?;
        Ok((layer, blob))
    }

    /// Adds the configuration.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn add_config(&self, config: &Value) -> Result<Blob> {
        self.add_json(CONFIG, config)
    }

    fn add_json(&self, media_type: &'static str, value: &Value) -> Result<Blob> {
        let text = value.to_string();
        let blob =
            Blob { media_type, digest: Digest::of(text.as_bytes()), bytes: text.len() as u64 };
        self.write(&blob.path(), &text)?;
        Ok(blob)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Adds manifest and index, writes the archive to `tar`, and gives both their names. Returns the
    /// manifest, whose digest is the image's.
    ///
    /// # Errors
    /// If something cannot be written.
    pub(crate) fn finish(
        self,
        config: Blob,
        layer: Blob,
        annotations: Map<String, Value>,
        reference: &Reference,
        tar: &Path,
    ) -> Result<Blob> {
        let manifest = self.add_json(
            MANIFEST,
            &json!({
                "annotations": annotations,
                "config": config.descriptor(),
                "layers": [layer.descriptor()],
                "mediaType": MANIFEST,
                "schemaVersion": 2,
            }),
        )?;
        let mut entry = manifest.descriptor();
        // What a layout calls an image is its tag alone; containerd's key is the whole name, which
        // podman reads as well.
        entry["annotations"] = json!({
            "io.containerd.image.name": reference.to_string(),
            "org.opencontainers.image.ref.name": reference.tag,
        });
        entry["platform"] = json!({ "architecture": "amd64", "os": "linux" });
        let index = json!({ "manifests": [entry], "mediaType": INDEX, "schemaVersion": 2 });
        self.write("index.json", &index.to_string())?;
        self.write(MARK, &json!({ "imageLayoutVersion": "1.0.0" }).to_string())?;

        let for_docker = json!([{
            "Config": config.path(),
            "Layers": [layer.path()],
            "RepoTags": [reference.to_string()],
        }]);
        let unfinished = Unfinished::create(tar)?;
        self.archive(&[config, layer, manifest], &for_docker.to_string(), unfinished.file())
            .with_context(|| format!("cannot write {}", tar.display()))?;
        self.take_place()?;
        unfinished.finish()?;
        Ok(manifest)
    }

    fn archive(&self, blobs: &[Blob], for_docker: &str, output: &File) -> io::Result<()> {
        let mut names: Vec<_> = blobs.iter().map(Blob::path).collect();
        names.sort();
        let mut archive = tar::Builder::new(BufWriter::with_capacity(1 << 18, output));
        for name in [MARK, "index.json"].into_iter().chain(names.iter().map(String::as_str)) {
            let mut file = File::open(self.folder.join(name))?;
            let bytes = file.metadata()?.len();
            archive.append_data(&mut header(bytes), name, &mut file)?;
        }
        let bytes = for_docker.len() as u64;
        archive.append_data(&mut header(bytes), "manifest.json", for_docker.as_bytes())?;
        archive.into_inner()?.flush()
    }

    /// Moves the folder to its place.
    fn take_place(self) -> Result<()> {
        check_place(&self.place)?;
        let unwritable = || format!("cannot write {}", self.place.display());
        if self.place.exists() {
            fs::remove_dir_all(&self.place).with_context(unwritable)?;
        }
        fs::rename(&self.folder, &self.place).with_context(unwritable)
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        // There is nothing to remove if it has been given its name.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Nothing is removed that is not such a layout or empty.
fn check_place(place: &Path) -> Result<()> {
    let Ok(mut contents) = fs::read_dir(place) else {
        ensure!(!place.exists(), "{} is no folder", place.display());
        return Ok(());
    };
    ensure!(
        place.join(MARK).is_file() || contents.next().is_none(),
        "{} is no image layout; nothing is written over it",
        place.display()
    );
    Ok(())
}

fn header(bytes: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes);
    header
}

#[cfg(test)]
mod tests;
