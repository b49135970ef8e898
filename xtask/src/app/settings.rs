//! `[package.metadata.nabla]`: an app's defaults, checked. What is not known is an error, so that
//! a misspelt key does not go unnoticed.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use crate::run::Publish;

/// How an app wants to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `memory_mb`: the guest's memory; the tender's default if it is not there.
    pub(crate) memory_mb: Option<u64>,
    /// `ready`: a path that answers by HTTP once the app serves.
    pub(crate) ready: Option<String>,
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    /// Its name in the manifest.
    pub(crate) name: String,
    /// `site`: a folder, relative to the `Cargo.toml`, whose image the device is.
    pub(crate) site: Option<String>,
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

fn ready(value: &Value) -> Result<String> {
    let path = value
        .as_str()
        .filter(|path| path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()));
    Ok(path.context("ready is no path such as \"/healthz\"")?.to_owned())
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
    known_keys(table, &["site"], &place)?;
    let folder = |value: &Value| value.as_str().map(str::to_owned);
    let site = table
        .get("site")
        .map(|value| folder(value).with_context(|| format!("{place}.site is no folder")))
        .transpose()?;
    Ok(Block { name: name.clone(), site })
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
            "block": { "site": { "site": "site" }, "data": {} },
        }))
        .unwrap();
        assert_eq!(settings.memory_mb, Some(32));
        assert_eq!(settings.ready.as_deref(), Some("/healthz"));
        assert_eq!(settings.net[0].name, "service");
        let publish: Vec<_> = settings.net[0].publish.iter().map(ToString::to_string).collect();
        assert_eq!(publish, ["127.0.0.1:8080:80", "0.0.0.0:8443:443"]);
        let sites: Vec<_> =
            settings.block.iter().map(|block| (&*block.name, block.site.as_deref())).collect();
        assert_eq!(sites, [("data", None), ("site", Some("site"))]);
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
            (json!({ "net": "service" }), "net"),
            (json!({ "net": { "service": { "ports": [] } } }), "'ports'"),
            (json!({ "net": { "service": { "publish": "80" } } }), "net.service.publish"),
            (json!({ "net": { "service": { "publish": ["80"] } } }), "'80'"),
            (json!({ "net": { "service": { "publish": [80] } } }), "net.service.publish"),
            (json!({ "block": { "site": { "site": 1 } } }), "block.site.site"),
            (json!({ "block": { "site": { "path": "x" } } }), "'path'"),
            (json!([]), "package.metadata.nabla"),
        ] {
            let error = format!("{:#}", Settings::parse(&settings).unwrap_err());
            assert!(error.contains(word), "{settings}: {error}");
        }
    }
}
