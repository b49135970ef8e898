//! What stands behind `cargo xtask run`, and the tender's command line that it comes to with the
//! app's own settings.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Result, bail, ensure};
use lexopt::{Arg, Parser, ValueExt};

use super::{Publish, block};
use crate::app::App;
use crate::cargo::Profile;
use crate::inspect::{Kind, Unikernel};
use crate::{own_and_guests, unexpected};

/// The options as typed.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// The app.
    pub(crate) app: String,
    /// How the guest is compiled.
    pub(crate) profile: Profile,
    /// Whether to show the tender's command line.
    pub(crate) verbose: bool,
    publish: Vec<Publish>,
    memory_mb: Option<u64>,
    tap: Option<String>,
    block: block::Options,
    arguments: Vec<OsString>,
}

impl Options {
    /// Reads the words; `None` if they ask for help.
    ///
    /// # Errors
    /// If a word is not understood.
    pub(crate) fn parse(words: &mut Parser) -> Result<Option<Self>> {
        let (mut own, arguments) = own_and_guests(words)?;
        let mut options = Self { arguments, ..Self::default() };
        while let Some(word) = own.next()? {
            match word {
                Arg::Long("help") | Arg::Short('h') => return Ok(None),
                Arg::Long("debug") => options.profile = Profile::Debug,
                Arg::Long("verbose") | Arg::Short('v') => options.verbose = true,
                Arg::Long("publish") | Arg::Short('p') => {
                    options.publish.push(own.value()?.string()?.parse()?);
                }
                Arg::Long("site") => options.block.serve(own.value()?.into()),
                Arg::Long("mem") => options.memory_mb = Some(own.value()?.parse()?),
                Arg::Long("tap") => options.tap = Some(own.value()?.string()?),
                Arg::Long("block") => options.block.attach(&own.value()?.string()?)?,
                Arg::Long("block-sync") => options.block.synchronise(&own.value()?.string()?),
                Arg::Long("no-block") => options.block.leave_away(&own.value()?.string()?),
                // As the tender has them.
                Arg::Long(word) if word.starts_with("block:") => {
                    let name = word["block:".len()..].to_owned();
                    options.block.attach_as(&name, own.value()?.into())?;
                }
                Arg::Long(word) if word.starts_with("block-sync:") => {
                    options.block.synchronise(&word["block-sync:".len()..]);
                }
                Arg::Value(name) if options.app.is_empty() => options.app = name.string()?,
                Arg::Value(word) => bail!(
                    "'{}' is one word too many; the guest's arguments come behind --",
                    word.display()
                ),
                other => return Err(unexpected(other, "run")),
            }
        }
        ensure!(!options.app.is_empty(), "which app? cargo xtask run APP, for instance httpd");
        ensure!(
            options.tap.is_none() || options.publish.is_empty(),
            "-p publishes a port of the host; on a TAP interface the guest has its own address"
        );
        Ok(Some(options))
    }

    /// The ports to publish: those asked for, or else the app's own.
    ///
    /// # Errors
    /// If two are the same port of the host.
    pub(crate) fn publish(&self, app: &App) -> Result<Vec<Publish>> {
        if self.tap.is_some() {
            return Ok(Vec::new());
        }
        let published = match self.publish.is_empty() {
            true => app.settings.net.iter().flat_map(|net| &net.publish).copied().collect(),
            false => self.publish.clone(),
        };
        for (at, publish) in published.iter().enumerate() {
            let twice = published[..at].iter().any(|other| other.host == publish.host);
            ensure!(!twice, "{} is published twice", publish.host);
        }
        Ok(published)
    }

    /// Where the app answers, as far as that is known: the published port that leads to the first one that it
    /// would publish itself, or with a TAP interface the address that the guest is given and that port.
    pub(crate) fn service(&self, app: &App, publish: &[Publish]) -> Option<SocketAddr> {
        let own = app.settings.net.iter().flat_map(|net| &net.publish).next();
        if self.tap.is_none() {
            let is_service =
                |publish: &&Publish| own.is_none_or(|own| own.guest_port == publish.guest_port);
            return publish.iter().find(is_service).map(Publish::reachable);
        }
        let address = self.arguments.iter().find_map(|argument| {
            let (address, _) = argument.to_str()?.strip_prefix("--ipv4=")?.split_once('/')?;
            address.parse::<IpAddr>().ok()
        })?;
        Some(SocketAddr::new(address, own?.guest_port))
    }

    /// The words behind `tender`. Packs the site if there is one, and makes blank disks.
    ///
    /// # Errors
    /// If a device has no backing, or an image cannot be made.
    pub(crate) fn tender_words(
        &self,
        app: &App,
        unikernel: &Unikernel,
        publish: &[Publish],
        images: &Path,
    ) -> Result<Vec<OsString>> {
        let mut words: Vec<OsString> = Vec::new();
        if let Some(mb) = self.memory_mb.or(app.settings.memory_mb) {
            words.push(format!("--mem={mb}").into());
        }
        if self.verbose {
            words.push("--verbose".into());
        }
        words.extend(self.net_words(app, unikernel, publish)?);
        let devices: Vec<&str> = unikernel.names(Kind::Block).collect();
        let declared = app.settings.block.iter().map(|block| &*block.name);
        check_declared(app, "block", declared, &devices)?;
        words.extend(self.block.words(app, unikernel, images)?);
        words.push("--".into());
        words.push(app.kernel().into());
        words.extend(self.arguments.iter().cloned());
        Ok(words)
    }

    fn net_words(
        &self,
        app: &App,
        unikernel: &Unikernel,
        publish: &[Publish],
    ) -> Result<Vec<OsString>> {
        let devices: Vec<&str> = unikernel.names(Kind::Net).collect();
        let declared = app.settings.net.iter().map(|net| &*net.name);
        check_declared(app, "net", declared, &devices)?;
        let several = devices.len() > 1 && (self.tap.is_some() || !self.publish.is_empty());
        ensure!(
            !several,
            "{} has the network devices {}; --tap and -p are for a single one",
            app.name,
            devices.join(", ")
        );
        ensure!(
            !devices.is_empty() || (self.tap.is_none() && publish.is_empty()),
            "{} has no network device; it runs without --tap and -p",
            app.name
        );

        let wire = self.tap.as_deref().unwrap_or("user");
        let mut words: Vec<OsString> = Vec::new();
        for name in devices {
            words.push(format!("--net:{name}={wire}").into());
            let own = app.settings.net.iter().find(|net| net.name == name);
            let ports = match (self.tap.is_some(), self.publish.is_empty()) {
                (true, _) => &[][..],
                (false, false) => publish,
                (false, true) => own.map_or(&[][..], |net| &net.publish),
            };
            words.extend(ports.iter().map(|port| format!("--publish:{name}={port}").into()));
        }
        Ok(words)
    }
}

/// What the metadata names must be in the unikernel.
fn check_declared<'a>(
    app: &App,
    kind: &str,
    mut names: impl Iterator<Item = &'a str>,
    devices: &[&str],
) -> Result<()> {
    match names.find(|name| !devices.contains(name)) {
        None => Ok(()),
        Some(name) => bail!(
            "{}: package.metadata.nabla.{kind}.{name}: the unikernel declares no such device",
            app.dir.join("Cargo.toml").display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Settings;
    use crate::inspect::Device;

    fn options(line: &str) -> Result<Options> {
        let words = line.split(' ').map(OsString::from);
        Ok(Options::parse(&mut Parser::from_args(words))?.expect("no help was asked for"))
    }

    fn httpd() -> App {
        let settings = serde_json::json!({
            "memory_mb": 32,
            "net": { "service": { "publish": ["8080:80"] } },
            "block": { "site": { "site": "site" }, "data": {} },
        });
        App::at("httpd", "/apps/httpd", Settings::parse(&settings).unwrap())
    }

    fn unikernel() -> Unikernel {
        let device = |kind, name: &str| Device { kind, name: name.into(), optional: false };
        Unikernel {
            devices: vec![
                device(Kind::Net, "service"),
                device(Kind::Block, "site"),
                device(Kind::Block, "data"),
            ],
            calls: Vec::new(),
        }
    }

    fn words(line: &str) -> Result<Vec<String>> {
        let (options, app) = (options(line)?, httpd());
        let publish = options.publish(&app)?;
        let words = options.tender_words(&app, &unikernel(), &publish, Path::new("/images"))?;
        Ok(words.iter().map(|word| word.to_string_lossy().into_owned()).collect())
    }

    #[test]
    fn settings_are_the_defaults() {
        assert_eq!(
            words("httpd --block site=/s.img --block data=/d.img").unwrap(),
            [
                "--mem=32",
                "--net:service=user",
                "--publish:service=127.0.0.1:8080:80",
                "--block:site=/s.img",
                "--block:data=/d.img",
                "--",
                "/bin/httpd"
            ]
        );
    }

    #[test]
    fn options_replace_settings() {
        let line = "httpd --block site=/s.img --block data=/d.img --mem 64 -p 9000:80 \
                    -p0.0.0.0:9001:81 -- --log=debug -- -p";
        assert_eq!(
            words(line).unwrap(),
            [
                "--mem=64",
                "--net:service=user",
                "--publish:service=127.0.0.1:9000:80",
                "--publish:service=0.0.0.0:9001:81",
                "--block:site=/s.img",
                "--block:data=/d.img",
                "--",
                "/bin/httpd",
                "--log=debug",
                "--",
                "-p"
            ]
        );
    }

    #[test]
    fn block_devices_may_be_typed_as_for_the_tender() {
        let line =
            "httpd --block:site=/s.img --block:data /d.img --block-sync:data --block-sync site";
        let expected = [
            "--block:site=/s.img",
            "--block-sync:site",
            "--block:data=/d.img",
            "--block-sync:data",
        ];
        assert_eq!(words(line).unwrap()[3..7], expected);
    }

    #[test]
    fn a_tap_interface_takes_no_ports_and_has_the_address_of_the_arguments() {
        let line = "httpd --tap tap0 --block site=/s --block data=/d -- --ipv4=10.0.0.2/24";
        let words = words(line).unwrap();
        assert_eq!(words[1], "--net:service=tap0");
        assert!(!words.iter().any(|word| word.starts_with("--publish")), "{words:?}");
        let service = options(line).unwrap().service(&httpd(), &[]);
        assert_eq!(service, Some("10.0.0.2:80".parse().unwrap()));
    }

    #[test]
    fn the_service_is_where_the_apps_own_port_is_published() {
        let service = |line: &str, app: &App| {
            let options = options(line).unwrap();
            let publish = options.publish(app).unwrap();
            options.service(app, &publish).map(|address| address.port())
        };
        assert_eq!(service("httpd", &httpd()), Some(8080));
        assert_eq!(service("httpd -p 9000:81 -p 9001:80", &httpd()), Some(9001));
        assert_eq!(service("httpd -p 9000:81", &httpd()), None);
        let mut app = httpd();
        app.settings.net.clear();
        assert_eq!(service("httpd -p 9000:81", &app), Some(9000));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (line, word) in [
            ("--debug", "which app"),
            ("httpd more", "'more'"),
            ("httpd --frob", "--frob"),
            ("httpd --mem lots", "lots"),
            ("httpd -p 80", "'80'"),
            ("httpd --block site", "--block site"),
            ("httpd --block site=", "--block site="),
            ("httpd --block site=/s --block site=/t", "twice"),
            ("httpd --block site=/s --block:site=/t", "twice"),
            ("httpd --block:site", "block:site"),
            ("httpd --block-sync:site=yes", "yes"),
            ("httpd --block site=/s --block data=/d --no-block data", "cannot do without"),
            ("httpd --block site=/s --block data=/d --block-sync x", "'x'"),
            ("httpd --block site=/s", "'data'"),
            ("httpd --block site=/s --block data=/d --block x=/y", "'x'"),
            ("httpd -p 1:2 -p 1:3", "twice"),
            ("httpd --tap tap0 -p 1:2", "-p"),
        ] {
            let error = format!("{:#}", words(line).unwrap_err());
            assert!(error.contains(word), "{line}: {error}");
        }
    }

    #[test]
    fn settings_for_a_device_that_is_not_declared_are_refused() {
        let mut app = httpd();
        app.settings.net[0].name = "sevrice".into();
        let options = options("httpd").unwrap();
        let error = options.tender_words(&app, &unikernel(), &[], Path::new("/")).unwrap_err();
        assert!(error.to_string().contains("net.sevrice"), "{error}");
    }
}
