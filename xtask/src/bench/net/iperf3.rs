//! iperf3: somebody else's bulk transfer, server and client, on the kernel's stack.
//!
//! Clocks are read around its client, so what it does before and after the transfer counts too; all
//! of the transfer counts, its beginning included.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::bench::candidate::on_path;
use crate::bench::contest::Sample;
use crate::bench::lab;
use crate::bench::load::Window;
use crate::bench::meter::Reading;

/// Where it listens.
pub(super) const PORT: u16 = 5201;
/// What it says when it does.
pub(super) const READY: &str = "Server listening";
/// What its client may take beyond its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Its program.
///
/// # Errors
/// If it is not there.
pub(super) fn program() -> Result<PathBuf> {
    on_path("iperf3").context("iperf3 is not on PATH; Debian has it in iperf3")
}

/// The words of its server.
pub(super) fn server_words() -> [String; 4] {
    ["--server", "--forceflush", "--port", &PORT.to_string()].map(str::to_owned)
}

/// The words of a worker that is its client.
pub(super) fn client_words(window: &Window, sends: bool) -> Vec<String> {
    let seconds = window.time.as_secs().max(1).to_string();
    let (address, port) = (window.address.ip().to_string(), window.address.port().to_string());
    let words = ["exec", "iperf3", "--json", "--client", &address, "--port", &port, "--time"];
    let direction = (!sends).then_some("--reverse");
    words.into_iter().chain([&*seconds]).chain(direction).map(str::to_owned).collect()
}

/// Runs the client.
///
/// # Errors
/// If it fails, or takes too long.
pub(super) fn run(window: &Window, command: Command) -> Result<Sample> {
    let at_most = window.duration() + PATIENCE;
    let before = Reading::take(&window.watched)?;
    let said = lab::ask(command, at_most).context("iperf3")?;
    let clocks = Reading::take(&window.watched)?.since(&before);
    let mut sample = parse(&said)?;
    sample.clocks = Reading { own_ns: sample.clocks.own_ns, ..clocks };
    Ok(sample)
}

fn parse(said: &Value) -> Result<Sample> {
    if let Some(error) = said["error"].as_str() {
        return Err(anyhow::anyhow!("iperf3: {error}"));
    }
    let sum = &said["end"]["sum_received"];
    let amount = sum["bytes"].as_u64().context("iperf3 says no number of bytes")?;
    let seconds = sum["seconds"].as_f64().context("iperf3 says no time")?;
    ensure!(seconds > 0.0, "iperf3 has taken no time");
    let client_percent = said["end"]["cpu_utilization_percent"]["host_total"].as_f64();
    let client_seconds = client_percent.unwrap_or_default() / 100.0 * seconds;
    Ok(Sample {
        amount,
        amount_in_all: amount,
        elapsed_ns: (seconds * 1e9) as u64,
        p50_ns: 0,
        p99_ns: 0,
        max_ns: 0,
        failed: 0,
        drops: 0,
        clocks: Reading { own_ns: (client_seconds * 1e9) as u64, ..Reading::default() },
        detail: said["end"].clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::net::row::Row;
    use crate::bench::net::unit;
    use serde_json::json;

    #[test]
    fn what_iperf3_says_is_understood() {
        let said = json!({ "end": {
            "sum_received": { "bytes": 250_000_000u64, "seconds": 2.0 },
            "cpu_utilization_percent": { "host_total": 50.0 },
        } });
        let sample = parse(&said).unwrap();
        assert_eq!(unit::rate(Row::Out, &sample), 1_000_000);
        assert_eq!(sample.clocks.own_ns, 1_000_000_000);
        let refused = json!({ "error": "unable to connect" });
        assert!(parse(&refused).unwrap_err().to_string().contains("unable to connect"));
    }
}
