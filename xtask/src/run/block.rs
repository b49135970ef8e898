//! The block devices of a run: which file each is, whether its writes are synchronous, and which is left
//! away. Files that it makes are made once and never erased.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::app::{App, Block, Contents};
use crate::inspect::{Device, Kind, Unikernel};
use crate::{image, size};

/// The options for block devices, as typed.
#[derive(Debug, Default)]
pub(crate) struct Options {
    files: BTreeMap<String, PathBuf>,
    synchronous: BTreeSet<String>,
    without: BTreeSet<String>,
    site: Option<PathBuf>,
}

impl Options {
    /// `--block NAME=FILE`.
    ///
    /// # Errors
    /// If it has another form, or the device has a file already.
    pub(crate) fn attach(&mut self, text: &str) -> Result<()> {
        let (name, path) = text
            .split_once('=')
            .with_context(|| format!("--block {text}: the form is --block NAME=FILE"))?;
        self.attach_as(name, path.into())
    }

    /// `--block:NAME=FILE`, as the tender has it.
    ///
    /// # Errors
    /// As for the other form.
    pub(crate) fn attach_as(&mut self, name: &str, path: PathBuf) -> Result<()> {
        let is_whole = !name.is_empty() && !path.as_os_str().is_empty();
        ensure!(is_whole, "--block {name}={}: the form is --block NAME=FILE", path.display());
        let taken = self.files.insert(name.to_owned(), path);
        ensure!(taken.is_none(), "--block {name}= is there twice");
        Ok(())
    }

    /// `--block-sync NAME`.
    pub(crate) fn synchronise(&mut self, name: &str) {
        self.synchronous.insert(name.to_owned());
    }

    /// `--no-block NAME`.
    pub(crate) fn leave_away(&mut self, name: &str) {
        self.without.insert(name.to_owned());
    }

    /// `--site FOLDER`.
    pub(crate) fn serve(&mut self, folder: PathBuf) {
        self.site = Some(folder);
    }

    /// The tender's words for the devices of a unikernel. Packs the site and makes blank disks, in the
    /// folder `images`.
    ///
    /// # Errors
    /// If a device has no file and needs one, an option names none of them, or an image cannot be made.
    pub(crate) fn words(
        &self,
        app: &App,
        unikernel: &Unikernel,
        images: &Path,
    ) -> Result<Vec<OsString>> {
        self.check(app, unikernel)?;
        let mut words = Vec::new();
        for device in unikernel.of_kind(Kind::Block) {
            let (name, settings) = (&device.name, settings(app, device));
            let Some(path) = self.file(app, device, images)? else { continue };
            let mut word = OsString::from(format!("--block:{name}="));
            word.push(path);
            words.push(word);
            if self.synchronous.contains(name) || settings.is_some_and(|block| block.sync) {
                words.push(format!("--block-sync:{name}").into());
            }
        }
        Ok(words)
    }

    fn check(&self, app: &App, unikernel: &Unikernel) -> Result<()> {
        let has_site = app.settings.block.iter().any(|block| block.site().is_some());
        ensure!(has_site || self.site.is_none(), "{} serves no folder; it has no --site", app.name);
        let named = self.files.keys().chain(&self.synchronous).chain(&self.without);
        for name in named {
            let device = unikernel.of_kind(Kind::Block).find(|device| device.name == *name);
            let device =
                device.with_context(|| format!("{} has no block device '{name}'", app.name))?;
            ensure!(
                !self.without.contains(name) || device.optional,
                "--no-block {name}: {} cannot do without its block device '{name}'",
                app.name
            );
        }
        let both =
            |name: &&String| self.files.contains_key(*name) || self.synchronous.contains(*name);
        if let Some(name) = self.without.iter().find(both) {
            bail!("--no-block {name} leaves the device away, and another option is about its file");
        }
        Ok(())
    }

    /// The file of a device; none, if it is left away.
    fn file(&self, app: &App, device: &Device, images: &Path) -> Result<Option<PathBuf>> {
        let name = &device.name;
        if self.without.contains(name) {
            return Ok(None);
        }
        if let Some(path) = self.files.get(name) {
            return Ok(Some(path.clone()));
        }
        let image = images.join(format!("{}-{name}.img", app.name));
        match settings(app, device).map(|block| &block.contents) {
            Some(Contents::Site(own)) => {
                let folder = self.site.clone().unwrap_or_else(|| app.dir.join(own));
                image::refresh(&folder, &image)?;
            }
            Some(Contents::Blank(bytes)) => {
                let kept = image::keep(&image, *bytes)?;
                let (shown, state) =
                    (size::format(kept.bytes), if kept.is_new { "new" } else { "kept" });
                eprintln!("the block device '{name}' is {} ({shown}, {state})", image.display());
            }
            Some(Contents::Any) | None if device.optional => return Ok(None),
            Some(Contents::Any) | None => bail!(
                "the block device '{name}' of {} needs a file: --block {name}=FILE \
                 (cargo xtask image --blank 64M -o FILE makes an empty one)",
                app.name
            ),
        }
        Ok(Some(image))
    }
}

fn settings<'a>(app: &'a App, device: &Device) -> Option<&'a Block> {
    app.settings.block.iter().find(|block| block.name == device.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Settings;
    use serde_json::json;

    fn store() -> App {
        let settings = json!({ "block": {
            "data": { "blank": "64K", "sync": true },
            "spare": { "blank": "1M" },
            "extra": { "sync": true },
        }});
        App::at("store", "/apps/store", Settings::parse(&settings).unwrap())
    }

    fn unikernel() -> Unikernel {
        let block =
            |name: &str, optional| Device { kind: Kind::Block, name: name.into(), optional };
        let devices = vec![block("data", true), block("spare", false), block("extra", true)];
        Unikernel { devices, calls: Vec::new() }
    }

    fn words(options: &Options, images: &Path) -> Result<Vec<String>> {
        let words = options.words(&store(), &unikernel(), images)?;
        let short = |word: &OsString| {
            word.to_string_lossy().replace(&format!("{}/", images.display()), "images/")
        };
        Ok(words.iter().map(short).collect())
    }

    #[test]
    fn blank_disks_are_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let images = folder.path().join("nabla");
        let expected = [
            "--block:data=images/store-data.img",
            "--block-sync:data",
            "--block:spare=images/store-spare.img",
        ];
        let options = Options::default();
        assert_eq!(words(&options, &images).unwrap(), expected);
        let image = images.join("store-data.img");
        assert_eq!(std::fs::metadata(&image).unwrap().len(), 64 << 10);
        std::fs::write(&image, [7; 512]).unwrap();
        assert_eq!(words(&options, &images).unwrap(), expected);
        assert_eq!(std::fs::read(&image).unwrap(), [7; 512]);
    }

    #[test]
    fn files_and_what_is_left_away_are_the_users() {
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options::default();
        options.attach("data=/d.img").unwrap();
        options.attach_as("spare", "/s=1.img".into()).unwrap();
        options.synchronise("spare");
        let expected = [
            "--block:data=/d.img",
            "--block-sync:data",
            "--block:spare=/s=1.img",
            "--block-sync:spare",
        ];
        assert_eq!(words(&options, folder.path()).unwrap(), expected);

        let mut options = Options::default();
        options.leave_away("data");
        options.attach("extra=/e.img").unwrap();
        let expected =
            ["--block:spare=images/store-spare.img", "--block:extra=/e.img", "--block-sync:extra"];
        assert_eq!(words(&options, folder.path()).unwrap(), expected);
        assert!(!folder.path().join("store-data.img").exists());
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |set: &dyn Fn(&mut Options) -> Result<()>, word: &str| {
            let mut options = Options::default();
            let result = set(&mut options).and_then(|()| words(&options, folder.path()));
            let error = format!("{:#}", result.unwrap_err());
            assert!(error.contains(word), "{error}");
        };
        refused(&|options| options.attach("data"), "NAME=FILE");
        refused(&|options| options.attach_as("data", "".into()), "NAME=FILE");
        refused(&|options| options.attach("=x"), "NAME=FILE");
        refused(&|options| options.attach("x=/y"), "'x'");
        refused(&|options| options.attach("data=/a").and(options.attach("data=/b")), "twice");

        let named = |set: fn(&mut Options), word: &str| {
            let set = |options: &mut Options| {
                set(options);
                Ok(())
            };
            refused(&set, word);
        };
        named(|options| options.synchronise("x"), "'x'");
        named(|options| options.leave_away("x"), "'x'");
        named(|options| options.leave_away("spare"), "cannot do without");
        named(|options| options.serve("/folder".into()), "no --site");
        named(
            |options| {
                options.leave_away("data");
                options.synchronise("data");
            },
            "--no-block data",
        );
        named(
            |options| {
                options.leave_away("data");
                options.attach("data=/a").unwrap();
            },
            "--no-block data",
        );
    }
}
