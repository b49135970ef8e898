//! Images: an archive as `docker save` writes it, which podman, containerd and Docker load, of one
//! layer with a few files.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};

/// What is to be in an image.
#[derive(Clone, Copy, Debug)]
pub struct Contents<'a> {
    /// Files: the path in the image, without the leading `/`, and where the bytes come from.
    pub files: &'a [(&'a str, &'a Path)],
    /// The entry point: the path of the unikernel and its arguments.
    pub entrypoint: &'a [&'a str],
    /// The environment, `NAME=VALUE`.
    pub environment: &'a [&'a str],
}

impl Contents<'_> {
    /// Lays the files down in a folder, as an engine does for a container's root.
    ///
    /// # Errors
    /// If one cannot be copied.
    pub fn lay(&self, root: &Path) -> Result<()> {
        for (path, source) in self.files {
            let target = root.join(path);
            fs::create_dir_all(target.parent().context("no parent")?)?;
            fs::copy(source, &target).with_context(|| source.display().to_string())?;
        }
        Ok(())
    }
}

/// An image in a file.
#[derive(Clone, Debug)]
pub struct Image {
    /// The name that engines know it by.
    pub reference: String,
    /// The file.
    pub archive: PathBuf,
}

impl Image {
    /// Writes one to `FOLDER/NAME.tar`, to be called `localhost/NAME:latest`.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub fn write(folder: &Path, name: &str, contents: &Contents<'_>) -> Result<Self> {
        let mut layer = tar::Builder::new(Vec::new());
        for (path, source) in contents.files {
            let data = fs::read(source).with_context(|| source.display().to_string())?;
            append(&mut layer, path, 0o755, &data)?;
        }
        let layer = layer.into_inner()?;
        let digest: String =
            Sha256::digest(&layer).iter().map(|byte| format!("{byte:02x}")).collect();
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Entrypoint": contents.entrypoint,
                "Env": contents.environment,
                "StopSignal": "SIGTERM",
            },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
        });
        let reference = format!("localhost/{name}:latest");
        let manifest = json!([
            { "Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"] }
        ]);
        let archive = folder.join(format!("{name}.tar"));
        let mut file = tar::Builder::new(File::create(&archive)?);
        append(&mut file, "manifest.json", 0o644, manifest.to_string().as_bytes())?;
        append(&mut file, "config.json", 0o644, config.to_string().as_bytes())?;
        append(&mut file, "layer.tar", 0o644, &layer)?;
        file.finish()?;
        Ok(Self { reference, archive })
    }
}

fn append(
    archive: &mut tar::Builder<impl std::io::Write>,
    path: &str,
    mode: u32,
    data: &[u8],
) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(data.len() as u64);
    header.set_mode(mode);
    header.set_cksum();
    Ok(archive.append_data(&mut header, path, data)?)
}
