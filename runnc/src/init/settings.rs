//! What the environment says: variables that begin with `NABLA_` are for this runtime, the others are
//! the guest's.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use site_image::size;

use crate::plan::Way;

const PREFIX: &str = "NABLA_";

/// What the environment says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// `NABLA_MEMORY`: the guest's memory in bytes, where no limit says it.
    pub(super) memory_bytes: Option<u64>,
    /// `NABLA_PUBLISH`: the TCP ports that the guest listens on, for a network behind a gateway.
    pub(super) publish: Vec<u16>,
    /// `NABLA_NETWORK=gateway` or `tap`: how the network is attached, whatever else speaks for another way.
    pub(super) network: Option<Way>,
    /// `NABLA_SIZE_name`: bytes of a disk that is made for a block device.
    pub(super) sizes: BTreeMap<String, u64>,
    /// `NABLA_SYNC_name=1` or `0`: whether a write to that block device is on the disk when it returns.
    pub(super) sync: BTreeMap<String, bool>,
    /// `NABLA_EXECUTE_HEAP=1`: the guest generates code.
    pub(super) execute_heap: bool,
    /// The guest's own.
    pub(super) environment: Vec<String>,
}

impl Settings {
    /// Reads an environment. Of a variable that stands there twice the last one counts.
    ///
    /// # Errors
    /// If a variable of ours is not known or has no such value.
    pub(super) fn of(environment: &[String]) -> Result<Self> {
        let mut settings = Self::default();
        for variable in environment {
            match variable.strip_prefix(PREFIX) {
                None => settings.environment.push(variable.clone()),
                Some(ours) => {
                    let (name, value) = ours.split_once('=').unwrap_or((ours, ""));
                    settings
                        .take(name, value)
                        .with_context(|| format!("{PREFIX}{name}={value}"))?;
                }
            }
        }
        Ok(settings)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "MEMORY" => self.memory_bytes = Some(size::parse(value)?),
            "PUBLISH" => {
                let ports = value.split(',').filter(|port| !port.is_empty());
                self.publish = ports.map(port).collect::<Result<_>>()?;
            }
            "NETWORK" => {
                self.network = Some(match value {
                    "gateway" => Way::Gateway,
                    "tap" => Way::Tap,
                    _ => bail!("it is gateway or tap"),
                });
            }
            "EXECUTE_HEAP" => self.execute_heap = flag(value)?,
            _ => match name.split_once('_') {
                Some(("SIZE", device)) => {
                    let bytes = size::parse(value)?;
                    ensure!(
                        bytes > 0 && bytes.is_multiple_of(512),
                        "a disk has a multiple of 512 bytes"
                    );
                    self.sizes.insert(device.to_owned(), bytes);
                }
                Some(("SYNC", device)) => {
                    self.sync.insert(device.to_owned(), flag(value)?);
                }
                _ => bail!(
                    "there are MEMORY, NETWORK, PUBLISH, SIZE_name, SYNC_name and EXECUTE_HEAP behind {PREFIX}"
                ),
            },
        }
        Ok(())
    }
}

fn flag(value: &str) -> Result<bool> {
    ensure!(["0", "1"].contains(&value), "it is 0 or 1");
    Ok(value == "1")
}

/// `80`, or `80/tcp` as images write it.
fn port(text: &str) -> Result<u16> {
    let number = text.strip_suffix("/tcp").unwrap_or(text).parse().ok();
    number.filter(|&port| port != 0).with_context(|| format!("'{text}' is no TCP port such as 80"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[&str]) -> Result<Settings> {
        Settings::of(&variables.iter().map(|&variable| variable.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn ours_are_read_and_others_passed_on() {
        let settings = read(&[
            "PATH=/bin",
            "NABLA_MEMORY=32M",
            "NABLA_PUBLISH=80,8443/tcp",
            "NABLA_SIZE_data=1G",
            "NABLA_SYNC_data=1",
            "NABLA_NETWORK=gateway",
            "NABLA_MEMORY=64M",
            "NABLA_EXECUTE_HEAP=1",
            "NABLAX=1",
        ])
        .unwrap();
        assert_eq!(settings.memory_bytes, Some(64 << 20));
        assert_eq!(settings.network, Some(Way::Gateway));
        assert_eq!(settings.publish, [80, 8443]);
        assert_eq!(settings.sizes["data"], 1 << 30);
        assert!(settings.execute_heap && settings.sync["data"]);
        assert_eq!(settings.environment, ["PATH=/bin", "NABLAX=1"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (variable, word) in [
            ("NABLA_MEMORY=much", "NABLA_MEMORY=much"),
            ("NABLA_MEMORY=", "NABLA_MEMORY="),
            ("NABLA_PUBLISH=80,http", "'http'"),
            ("NABLA_PUBLISH=0", "'0'"),
            ("NABLA_PUBLISH=53/udp", "'53/udp'"),
            ("NABLA_SIZE_data=513", "multiple of 512"),
            ("NABLA_SIZE_data=0", "multiple of 512"),
            ("NABLA_EXECUTE_HEAP=yes", "0 or 1"),
            ("NABLA_NETWORK=bridge", "gateway or tap"),
            ("NABLA_SYNC_data=yes", "0 or 1"),
            ("NABLA_MEM=1", "NABLA_MEM=1"),
            ("NABLA_", "there are MEMORY"),
        ] {
            let error = format!("{:#}", read(&[variable]).unwrap_err());
            assert!(error.contains(word), "{variable}: {error}");
        }
    }
}
