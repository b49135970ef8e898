//! The configuration of an image: what an engine gives to the container by default, and what our runtime
//! reads from it.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use crate::app::{App, Contents};
use crate::digest::Digest;
use crate::size;

/// The end of the year 9999, in seconds since 1970: later times have no text of the usual form.
const TIME_MAX: u64 = 253_402_300_799;

/// The configuration as JSON. `arguments` are the guest's, `layer` is the digest of the archive that was
/// not compressed, `time` is in seconds since 1970.
///
/// # Errors
/// If the time is too late to be written.
pub(crate) fn image(
    app: &App,
    arguments: &[String],
    layer: Digest,
    time: Option<u64>,
) -> Result<Value> {
    let created = time.map(timestamp).transpose()?;
    let mut history = json!({ "created_by": format!("cargo xtask oci {}", app.name) });
    let mut image = json!({
        "architecture": "amd64",
        "config": container(app, arguments),
        "os": "linux",
        "rootfs": { "diff_ids": [format!("sha256:{layer}")], "type": "layers" },
    });
    if let Some(created) = created {
        history["created"] = json!(created);
        image["created"] = json!(created);
    }
    image["history"] = json!([history]);
    Ok(image)
}

/// What stands under `config`. Of what is empty, nothing is said.
fn container(app: &App, arguments: &[String]) -> Value {
    let ports = ports(app).map(|port| format!("{port}/tcp"));
    let volumes = app.settings.block.iter().filter_map(|block| match block.contents {
        Contents::Blank(_) => Some(format!("/{}", block.name)),
        Contents::Any | Contents::Site(_) => None,
    });
    let mut config = json!({
        "Entrypoint": [format!("/{}", app.name)],
        "Labels": labels(app),
        "StopSignal": "SIGTERM",
    });
    let mut set = |key: &str, value: Value, is_empty: bool| {
        if !is_empty {
            config[key] = value;
        }
    };
    let environment = environment(app);
    set("Cmd", json!(arguments), arguments.is_empty());
    set("Env", json!(environment), environment.is_empty());
    let ports = keys(ports);
    set("ExposedPorts", json!(ports), ports.is_empty());
    let volumes = keys(volumes);
    set("Volumes", json!(volumes), volumes.is_empty());
    config
}

/// What our runtime is told. Engines let a user replace each.
fn environment(app: &App) -> Vec<String> {
    let mut variables = Vec::new();
    if let Some(mb) = app.settings.memory_mb {
        variables.push(format!("NABLA_MEMORY={mb}M"));
    }
    let ports: Vec<_> = ports(app).map(|port| port.to_string()).collect();
    if !ports.is_empty() {
        variables.push(format!("NABLA_PUBLISH={}", ports.join(",")));
    }
    for block in &app.settings.block {
        if let Contents::Blank(bytes) = block.contents {
            variables.push(format!("NABLA_SIZE_{}={}", block.name, size::exact(bytes)));
        }
    }
    for block in app.settings.block.iter().filter(|block| block.sync) {
        variables.push(format!("NABLA_SYNC_{}=1", block.name));
    }
    variables
}

/// What is known about the app, under the names that the image specification gives.
pub(crate) fn labels(app: &App) -> Map<String, Value> {
    [
        ("description", &app.about.description),
        ("licenses", &app.about.license),
        ("title", &app.name),
        ("version", &app.about.version),
    ]
    .into_iter()
    .filter(|(_, text)| !text.is_empty())
    .map(|(key, text)| (format!("org.opencontainers.image.{key}"), json!(text)))
    .collect()
}

/// The ports of the guest that the app publishes, each once, in order.
fn ports(app: &App) -> impl Iterator<Item = u16> {
    let published = app.settings.net.iter().flat_map(|net| &net.publish);
    published.map(|port| port.guest_port).collect::<BTreeSet<_>>().into_iter()
}

/// A set as the format has it: an object whose values are empty.
fn keys(names: impl Iterator<Item = String>) -> Map<String, Value> {
    names.map(|name| (name, json!({}))).collect()
}

/// A time as RFC 3339 has it.
fn timestamp(unix_seconds: u64) -> Result<String> {
    ensure!(unix_seconds <= TIME_MAX, "the time {unix_seconds} lies behind the year 9999");
    let (mut days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let (mut year, mut month) = (1970, 0);
    while days >= days_of_year(year) {
        days -= days_of_year(year);
        year += 1;
    }
    let february = days_of_year(year) - 337;
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    while days >= months[month] {
        days -= months[month];
        month += 1;
    }
    let (hour, minute) = (second / 3600, second / 60 % 60);
    Ok(format!(
        "{year:04}-{:02}-{:02}T{hour:02}:{minute:02}:{:02}Z",
        month + 1,
        days + 1,
        second % 60
    ))
}

fn days_of_year(year: u64) -> u64 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    if is_leap { 366 } else { 365 }
}

/// The time of everything in the image, if the environment gives one in `SOURCE_DATE_EPOCH`, which is what
/// reproducible builds have agreed on.
///
/// # Errors
/// If it is no number of seconds.
pub(crate) fn time() -> Result<Option<u64>> {
    let Some(text) = std::env::var_os("SOURCE_DATE_EPOCH") else { return Ok(None) };
    let seconds = text.to_str().and_then(|text| text.parse().ok());
    let wrong = || format!("SOURCE_DATE_EPOCH={} is no number of seconds", text.display());
    Ok(Some(seconds.with_context(wrong)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{About, Settings};

    fn store() -> App {
        let settings = json!({
            "memory_mb": 256,
            "net": {
                "a": { "publish": ["8443:443", "8080:80"] },
                "b": { "publish": ["9090:80"] },
            },
            "block": {
                "data": { "blank": "1536M", "sync": true },
                "site": { "site": "site" },
                "spare": {},
            },
        });
        let mut app = App::at("store", "/apps/store", Settings::parse(&settings).unwrap());
        app.about = About {
            description: "Stores.".into(),
            version: "1.2.3".into(),
            license: "MIT OR Apache-2.0".into(),
        };
        app
    }

    #[test]
    fn all_settings_come_to_the_configuration() {
        let arguments = ["--log=debug".to_owned()];
        let layer = Digest::of(b"");
        let expected = json!({
            "architecture": "amd64",
            "os": "linux",
            "created": "2001-09-09T01:46:40Z",
            "config": {
                "Entrypoint": ["/store"],
                "Cmd": ["--log=debug"],
                "Env": [
                    "NABLA_MEMORY=256M",
                    "NABLA_PUBLISH=80,443",
                    "NABLA_SIZE_data=1536M",
                    "NABLA_SYNC_data=1",
                ],
                "ExposedPorts": { "80/tcp": {}, "443/tcp": {} },
                "Labels": {
                    "org.opencontainers.image.title": "store",
                    "org.opencontainers.image.version": "1.2.3",
                    "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
                    "org.opencontainers.image.description": "Stores.",
                },
                "StopSignal": "SIGTERM",
                "Volumes": { "/data": {} },
            },
            "rootfs": {
                "type": "layers",
                "diff_ids":
                    ["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
            },
            "history": [
                { "created": "2001-09-09T01:46:40Z", "created_by": "cargo xtask oci store" },
            ],
        });
        assert_eq!(image(&store(), &arguments, layer, Some(1_000_000_000)).unwrap(), expected);
    }

    #[test]
    fn of_what_is_not_there_nothing_is_said() {
        let app = App::at("hello", "/apps/hello", Settings::default());
        let expected = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Entrypoint": ["/hello"],
                "Labels": { "org.opencontainers.image.title": "hello" },
                "StopSignal": "SIGTERM",
            },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", Digest::of(b"x"))] },
            "history": [{ "created_by": "cargo xtask oci hello" }],
        });
        assert_eq!(image(&app, &[], Digest::of(b"x"), None).unwrap(), expected);
    }

    #[test]
    fn times_are_written() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_200, "2024-03-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (TIME_MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(timestamp(seconds).unwrap(), text);
        }
        assert!(timestamp(TIME_MAX + 1).is_err());
    }
}
