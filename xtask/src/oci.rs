//! `cargo xtask oci`: an app as a container image. It needs no container engine, and the same sources give
//! the same bytes.

mod config;
mod layer;
mod layout;
mod reference;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use lexopt::{Arg, Parser, ValueExt};

use crate::app::{App, Contents, Starter};
use crate::cargo::Profile;
use crate::packages::Workspace;
use crate::run::Publish;
use crate::{explain, image, own_and_guests, size, unexpected};
use layer::{Entry, Kind};
use layout::Layout;
use reference::Reference;

const USAGE: &str = "\
Usage: cargo xtask oci APP [OPTION...] [-- ARGUMENT...]

Builds an app and makes a container image of it: a folder of the OCI image layout, and a tar archive
of it, which podman, containerd and Docker load. Arguments behind -- are the guest's if a user
gives no others.

  --tag NAME[:TAG]    what engines call the image; localhost/APP:latest if nothing is said
  -o, --output FOLDER where to write it, with FOLDER.tar beside; target/nabla/oci/APP otherwise
  --site FOLDER       the folder that the app serves

The image holds the unikernel, the site, and an empty folder for each disk. Times are 0, or
SOURCE_DATE_EPOCH.";

/// Names at the top of a container's tree that are the runtime's.
const RESERVED: [&str; 5] = ["dev", "etc", "proc", "run", "sys"];

/// The options as typed.
#[derive(Debug, Default)]
struct Options {
    app: String,
    tag: Option<Reference>,
    output: Option<PathBuf>,
    site: Option<PathBuf>,
    arguments: Vec<String>,
}

impl Options {
    /// Reads the words; `None` if they ask for help.
    fn parse(words: &mut Parser) -> Result<Option<Self>> {
        let (mut own, guests) = own_and_guests(words)?;
        let text = |word: OsString| {
            let not_text = |word: OsString| anyhow::anyhow!("'{}' is no UTF-8", word.display());
            word.into_string().map_err(not_text)
        };
        let arguments = guests.into_iter().map(text).collect::<Result<_>>()?;
        let mut options = Self { arguments, ..Self::default() };
        while let Some(word) = own.next()? {
            match word {
                Arg::Long("help") | Arg::Short('h') => return Ok(None),
                Arg::Long("tag") => options.tag = Some(own.value()?.string()?.parse()?),
                Arg::Long("output") | Arg::Short('o') => options.output = Some(own.value()?.into()),
                Arg::Long("site") => options.site = Some(own.value()?.into()),
                Arg::Value(name) if options.app.is_empty() => options.app = name.string()?,
                other => return Err(unexpected(other, "oci")),
            }
        }
        ensure!(!options.app.is_empty(), "which app? cargo xtask oci APP, for instance httpd");
        Ok(Some(options))
    }
}

/// The verb.
pub(crate) fn main(words: &mut Parser) -> Result<ExitCode> {
    let Some(options) = Options::parse(words)? else {
        return Ok(explain(USAGE));
    };
    let ours = Workspace::ours()?;
    let app = App::find(&options.app, &ours, Profile::Release)?;
    let reference = match &options.tag {
        Some(reference) => reference.clone(),
        None => app.name.to_ascii_lowercase().parse().context("--tag gives it another")?,
    };
    let time = config::time()?;
    check(&app, options.site.is_some())?;
    app.build()?;

    let standard = || ours.target_dir.join("nabla/oci").join(&app.name);
    let folder = options.output.clone().unwrap_or_else(standard);
    let made = make(&app, &options, &reference, time, &folder)?;
    made.report(&app, &reference, &ours)?;
    Ok(ExitCode::SUCCESS)
}

/// Refuses an app whose parts would be in each other's way.
fn check(app: &App, site_is_named: bool) -> Result<()> {
    let has_site = app.settings.block.iter().any(|block| block.site().is_some());
    ensure!(has_site || !site_is_named, "{} serves no folder; it has no --site", app.name);
    let mut taken = BTreeSet::new();
    for name in [&app.name].into_iter().chain(app.settings.block.iter().map(|block| &block.name)) {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        ensure!(name.bytes().all(is_plain), "'{name}' cannot be the name of a file in the image");
        ensure!(
            !RESERVED.contains(&&**name),
            "/{name} is the runtime's; the image has no room for it"
        );
        // Where our runtime looks for a device it would find the unikernel.
        ensure!(taken.insert(name), "the app and its block device are both named '{name}'");
    }
    Ok(())
}

/// An image that was made.
#[derive(Debug)]
struct Made {
    folder: PathBuf,
    tar: PathBuf,
    digest: String,
    layer: layer::Layer,
}

fn make(
    app: &App,
    options: &Options,
    reference: &Reference,
    time: Option<u64>,
    folder: &Path,
) -> Result<Made> {
    let layout = Layout::create(folder)?;
    let seconds = time.unwrap_or_default();
    let mut entries = vec![Entry { name: app.name.clone(), kind: Kind::Program(app.kernel()) }];
    let mut scratch = Vec::new();
    for block in &app.settings.block {
        match &block.contents {
            Contents::Site(own) => {
                let site = options.site.clone().unwrap_or_else(|| app.dir.join(own));
                let file = layout.scratch(&format!("{}.img", block.name));
                let time = i64::try_from(seconds).context("the time lies too far ahead")?;
                image::pack_with_time(&site, &file, time)?;
                scratch.push(file.clone());
                entries.push(Entry { name: format!("{}.img", block.name), kind: Kind::File(file) });
            }
            Contents::Blank(_) => {
                entries.push(Entry { name: block.name.clone(), kind: Kind::Folder });
            }
            Contents::Any => {}
        }
    }
    let (layer, layer_blob) = layout.add_layer(&entries, seconds)?;
    for file in scratch {
        fs::remove_file(&file).with_context(|| file.display().to_string())?;
    }
    let config = config::image(app, &options.arguments, layer.archive, time)?;
    let config = layout.add_config(&config)?;
    let tar = beside(folder);
    let manifest = layout.finish(config, layer_blob, config::labels(app), reference, &tar)?;
    let digest = format!("sha256:{}", manifest.digest);
    Ok(Made { folder: folder.to_owned(), tar, digest, layer })
}

/// The archive of a folder.
fn beside(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".tar");
    name.into()
}

impl Made {
    fn report(&self, app: &App, reference: &Reference, ours: &Workspace) -> Result<()> {
        let tar = self.tar.display();
        let bytes = fs::metadata(&self.tar).with_context(|| tar.to_string())?.len();
        let (packed, unpacked) = (self.layer.compressed_bytes, self.layer.archive_bytes);
        println!("{reference}: {} ({} unpacked)", size::format(packed), size::format(unpacked));
        println!("digest: {}", self.digest);
        println!("folder: {}", self.folder.display());
        println!("tar:    {tar}, {}", size::format(bytes));
        for block in &app.settings.block {
            if block.contents == Contents::Any {
                println!("the block device '{0}' is not in the image: -v FILE:/{0}", block.name);
            }
        }
        let ports: String = app
            .settings
            .net
            .iter()
            .flat_map(|net| &net.publish)
            .map(|port| format!(" -p {}", published(port)))
            .collect();
        // A volume with a name outlives its container.
        let disks = app.settings.block.iter().filter_map(|block| match block.contents {
            Contents::Blank(_) => Some(format!(" -v {}-{1}:/{1}", app.name, block.name)),
            Contents::Any | Contents::Site(_) => None,
        });
        let disks: String = disks.collect();
        println!("\nnext, with the runtime of cargo xtask build --runnc:");
        println!("  podman load -i {tar}");
        let runtime = Starter::Runnc.path(ours);
        let runtime = runtime.display();
        println!("  podman --runtime {runtime} run --rm{ports}{disks} {reference}");
        Ok(())
    }
}

/// A port as engines are told it: they have the address in front as well.
fn published(port: &Publish) -> String {
    format!("{}:{}", port.host, port.guest_port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Settings;

    fn options(line: &str) -> Result<Options> {
        let words = line.split(' ').map(OsString::from);
        Ok(Options::parse(&mut Parser::from_args(words))?.expect("no help was asked for"))
    }

    #[test]
    fn options_are_read() {
        let options = options("web --tag me/web:1 -o out --site s -- --log=debug -- x").unwrap();
        assert_eq!(options.app, "web");
        assert_eq!(options.tag.unwrap().to_string(), "localhost/me/web:1");
        assert_eq!(options.output, Some("out".into()));
        assert_eq!(options.site, Some("s".into()));
        assert_eq!(options.arguments, ["--log=debug", "--", "x"]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (line, word) in [
            ("--site s", "which app"),
            ("web more", "'more'"),
            ("web --tag A", "'A'"),
            ("web -x", "-x"),
        ] {
            let error = format!("{:#}", options(line).unwrap_err());
            assert!(error.contains(word), "{line}: {error}");
        }
    }

    #[test]
    fn names_that_are_in_the_way_are_refused() {
        let error = |name: &str, settings, site| {
            let app = App::at(name, "/", Settings::parse(&settings).unwrap());
            check(&app, site).map_err(|error| error.to_string())
        };
        let device = |name: &str| serde_json::json!({ "block": { name: {} } });
        assert_eq!(error("web", device("data"), false), Ok(()));
        assert!(error("web", device("web"), false).unwrap_err().contains("'web'"));
        assert!(error("proc", device("data"), false).unwrap_err().contains("/proc"));
        assert!(error("web", device("../x"), false).unwrap_err().contains("'../x'"));
        assert!(error("web", device("data"), true).unwrap_err().contains("--site"));
    }

    #[test]
    fn the_archive_lies_beside_the_folder() {
        assert_eq!(beside(Path::new("a/web.d")), Path::new("a/web.d.tar"));
    }
}
