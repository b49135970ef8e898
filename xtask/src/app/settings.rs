//! `[package.metadata.nabla]`: an app's defaults, checked. What is not known is an error, so that
//! a misspelt key does not go unnoticed.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use crate::run::{Publish, Ready};
use crate::{image, size};

/// How an app wants to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `memory_mb`: the guest's memory; the tender's default if it is not there.
    pub(crate) memory_mb: Option<u64>,
    /// `ready`: how to find out whether the app serves: a path that answers by HTTP, or what to send and
    /// what to expect.
    pub(crate) ready: Option<Ready>,
    /// `net.NAME`: its network devices.
    pub(crate) net: Vec<Net>,
    /// `block.NAME`: its block devices.
    pub(crate) block: Vec<Block>,
}

/// A network device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Net {
    /// Its name in the manifest.
    pub(crate) name: String,
    /// `publish`: the ports of the host that lead to ports of the guest.
    pub(crate) publish: Vec<Publish>,
}

/// A block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Its name in the manifest.
    pub(crate) name: String,
    /// What is on it if nothing else is said.
    pub(crate) contents: Contents,
    /// `sync`: whether a write returns when it is on the disk.
    pub(crate) sync: bool,
}

/// What a block device holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    /// Whatever file the user names.
    Any,
    /// `site`: a folder, relative to the `Cargo.toml`, whose image the device is.
    Site(String),
    /// `blank`: a disk of so many bytes that is made once, blank, and kept.
    Blank(u64),
}

impl Block {
    /// The folder of a site.
    pub(crate) fn site(&self) -> Option<&str> {
        match &self.contents {
            Contents::Site(folder) => Some(folder),
            Contents::Any | Contents::Blank(_) => None,
        }
    }
}

impl Settings {
    /// Reads the table; null, for a package that has none, gives the defaults.
    ///
    /// # Errors
    /// If a key is not known or has a value of another kind; the error names it.
    pub(crate) fn parse(nabla: &Value) -> Result<Self> {
        if nabla.is_null() {
            return Ok(Self::default());
        }
        const WHERE: &str = "package.metadata.nabla";
        let table = table(nabla, WHERE)?;
        known_keys(table, &["memory_mb", "ready", "net", "block"], WHERE)?;
        Ok(Self {
            memory_mb: table.get("memory_mb").map(memory).transpose()?,
            ready: table.get("ready").map(ready).transpose()?,
            net: devices(table, "net")?.map(net).collect::<Result<_>>()?,
            block: devices(table, "block")?.map(block).collect::<Result<_>>()?,
        })
    }
}

fn memory(value: &Value) -> Result<u64> {
    value.as_u64().filter(|mb| *mb > 0).context("memory_mb is no number of megabytes")
}

fn ready(value: &Value) -> Result<Ready> {
    if let Value::Object(table) = value {
        known_keys(table, &["send", "expect"], "ready")?;
        let text = |key: &str| {
            let text = table.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
            let text =
                text.with_context(|| format!("ready.{key} is no text such as \"PING\\r\\n\""))?;
            Ok::<_, anyhow::Error>(text.to_owned())
        };
        return Ok(Ready::Talk { send: text("send")?, expect: text("expect")? });
    }
    let path = value
        .as_str()
        .filter(|path| path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()));
    let path = path.context(
        "ready is neither a path such as \"/healthz\" nor a table { send = \"...\", expect = \"...\" }",
    )?;
    Ok(Ready::Http(path.to_owned()))
}

/// The devices of a kind, each with its name and settings.
fn devices<'a>(
    table: &'a Map<String, Value>,
    kind: &str,
) -> Result<impl Iterator<Item = (&'a String, &'a Value)>> {
    let devices = match table.get(kind) {
        Some(Value::Object(devices)) => Some(devices),
        None => None,
        Some(_) => bail!("{kind} is no table of devices"),
    };
    Ok(devices.into_iter().flatten())
}

fn net((name, value): (&String, &Value)) -> Result<Net> {
    let place = format!("net.{name}");
    let table = table(value, &place)?;
    known_keys(table, &["publish"], &place)?;
    let publish = match table.get("publish") {
        None => &[][..],
        Some(Value::Array(ports)) => ports,
        Some(_) => bail!("{place}.publish is no list such as [\"8080:80\"]"),
    };
    let publish = publish
        .iter()
        .map(|port| port.as_str().unwrap_or_default().parse())
        .collect::<Result<_>>()
        .with_context(|| format!("{place}.publish"))?;
    Ok(Net { name: name.clone(), publish })
}

fn block((name, value): (&String, &Value)) -> Result<Block> {
    let place = format!("block.{name}");
    let table = table(value, &place)?;
    known_keys(table, &["site", "blank", "sync"], &place)?;
    let contents = match (table.get("site"), table.get("blank")) {
        (None, None) => Contents::Any,
        (Some(site), None) => {
            let folder = site.as_str().with_context(|| format!("{place}.site is no folder"))?;
            Contents::Site(folder.to_owned())
        }
        (None, Some(blank)) => {
            Contents::Blank(disk_bytes(blank).with_context(|| format!("{place}.blank"))?)
        }
        (Some(_), Some(_)) => bail!("{place} is either a site or blank"),
    };
    let sync = match table.get("sync") {
        None => false,
        Some(value) => {
            value.as_bool().with_context(|| format!("{place}.sync is no true or false"))?
        }
    };
    Ok(Block { name: name.clone(), contents, sync })
}

fn disk_bytes(value: &Value) -> Result<u64> {
    let bytes = size::parse(value.as_str().context("it is no size such as \"256M\"")?)?;
    image::check_size(bytes)?;
    Ok(bytes)
}

fn table<'a>(value: &'a Value, place: &str) -> Result<&'a Map<String, Value>> {
    value.as_object().with_context(|| format!("{place} is no table"))
}

fn known_keys(table: &Map<String, Value>, known: &[&str], place: &str) -> Result<()> {
    let stranger = table.keys().find(|key| !known.contains(&key.as_str()));
    ensure!(
        stranger.is_none(),
        "{place} has '{}', which is not known; there are {}",
        stranger.map_or("", |key| key),
        known.join(", ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_settings_are_read() {
        let settings = Settings::parse(&json!({
            "memory_mb": 32,
            "ready": "/healthz",
            "net": { "service": { "publish": ["8080:80", "0.0.0.0:8443:443"] } },
            "block": {
                "site": { "site": "site" },
                "data": {},
                "log": { "blank": "256M", "sync": true },
            },
        }))
        .unwrap();
        assert_eq!(settings.memory_mb, Some(32));
        assert_eq!(settings.ready, Some(Ready::Http("/healthz".into())));
        assert_eq!(settings.net[0].name, "service");
        let publish: Vec<_> = settings.net[0].publish.iter().map(ToString::to_string).collect();
        assert_eq!(publish, ["127.0.0.1:8080:80", "0.0.0.0:8443:443"]);
        let block = |name: &str, contents, sync| Block { name: name.into(), contents, sync };
        let expected = [
            block("data", Contents::Any, false),
            block("log", Contents::Blank(256 << 20), true),
            block("site", Contents::Site("site".into()), false),
        ];
        assert_eq!(settings.block, expected);
    }

    #[test]
    fn an_app_may_speak_any_protocol() {
        let ready = json!({ "send": "PING\r\n", "expect": "+PONG" });
        let settings = Settings::parse(&json!({ "ready": ready })).unwrap();
        let expected = Ready::Talk { send: "PING\r\n".into(), expect: "+PONG".into() };
        assert_eq!(settings.ready, Some(expected));
    }

    #[test]
    fn a_package_without_the_table_has_the_defaults() {
        assert_eq!(Settings::parse(&Value::Null).unwrap(), Settings::default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (settings, word) in [
            (json!({ "memory": 32 }), "'memory'"),
            (json!({ "memory_mb": "32" }), "memory_mb"),
            (json!({ "memory_mb": 0 }), "memory_mb"),
            (json!({ "ready": "healthz" }), "ready"),
            (json!({ "ready": "/a b\r\n" }), "ready"),
            (json!({ "ready": "tcp" }), "expect"),
            (json!({ "ready": { "send": "PING" } }), "ready.expect"),
            (json!({ "ready": { "send": "", "expect": "+PONG" } }), "ready.send"),
            (json!({ "ready": { "send": "a", "expect": "b", "path": "/" } }), "'path'"),
            (json!({ "net": "service" }), "net"),
            (json!({ "net": { "service": { "ports": [] } } }), "'ports'"),
            (json!({ "net": { "service": { "publish": "80" } } }), "net.service.publish"),
            (json!({ "net": { "service": { "publish": ["80"] } } }), "'80'"),
            (json!({ "net": { "service": { "publish": [80] } } }), "net.service.publish"),
            (json!({ "block": { "site": { "site": 1 } } }), "block.site.site"),
            (json!({ "block": { "site": { "path": "x" } } }), "'path'"),
            (json!({ "block": { "d": { "blank": "x" } } }), "block.d.blank"),
            (json!({ "block": { "d": { "blank": 512 } } }), "block.d.blank"),
            (json!({ "block": { "d": { "blank": "513" } } }), "513"),
            (json!({ "block": { "d": { "blank": "1M", "site": "x" } } }), "block.d"),
            (json!({ "block": { "d": { "sync": "yes" } } }), "block.d.sync"),
            (json!([]), "package.metadata.nabla"),
        ] {
            let error = format!("{:#}", Settings::parse(&settings).unwrap_err());
            assert!(error.contains(word), "{settings}: {error}");
        }
    }
}
