//! redis-benchmark as the client: somebody else's, to see whether ours tells the truth. It sends a number of
//! commands and not for a time, so it is asked first how fast it goes; it has no warm-up, does not look
//! at values, and clocks are read around it, with its start and its end.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::bench::contest::Sample;
use crate::bench::lab::Lab;
use crate::bench::load::resp::Plan;
use crate::bench::meter::Reading;

/// Commands to find out how fast it goes, and while system calls are counted.
const FEW: u64 = 20_000;

/// Runs it.
///
/// # Errors
/// If it fails or says something unknown.
pub(super) fn run(lab: &Lab, plan: &Plan, behind: Option<&[OsString]>) -> Result<Sample> {
    let attempt = send(lab.client(&words(plan, FEW), behind), plan, FEW)?;
    if behind.is_some() {
        return Ok(attempt);
    }
    let milliseconds = u64::try_from(plan.load.window.time.as_millis())?;
    let count = (attempt.rate().saturating_mul(milliseconds) / 1000).max(FEW);
    send(lab.client(&words(plan, count), None), plan, count)
}

fn words(plan: &Plan, count: u64) -> Vec<String> {
    let address = plan.load.window.address;
    let options = [
        ("-h", address.ip().to_string()),
        ("-p", address.port().to_string()),
        ("-c", plan.load.connections.to_string()),
        ("-P", plan.depth.to_string()),
        ("-n", count.to_string()),
        ("-r", plan.keys.to_string()),
        ("-d", plan.value_bytes.to_string()),
        ("-t", plan.command.to_string()),
    ];
    let program = ["exec", "redis-benchmark", "--csv"].map(str::to_owned);
    let options = options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
    program.into_iter().chain(options).collect()
}

fn send(mut command: Command, plan: &Plan, count: u64) -> Result<Sample> {
    let watched = &plan.load.window.watched;
    let before = Reading::take(watched)?;
    let output = command.stdin(Stdio::null()).output().context("redis-benchmark")?;
    let clocks = Reading::take(watched)?.since(&before);
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    let reason = complaint.lines().last().unwrap_or("it does not say why");
    ensure!(output.status.success(), "redis-benchmark: {reason}");
    let found = parse(&said).with_context(|| format!("redis-benchmark says: {said}"))?;
    Ok(Sample {
        amount: count,
        amount_in_all: count,
        elapsed_ns: (count as f64 * 1e9 / found.rate) as u64,
        p50_ns: found.p50_ns,
        p99_ns: found.p99_ns,
        max_ns: found.max_ns,
        failed: 0,
        drops: 0,
        clocks,
        detail: json!(said),
    })
}

#[derive(Debug, PartialEq)]
struct Found {
    rate: f64,
    p50_ns: u64,
    p99_ns: u64,
    max_ns: u64,
}

/// Reads a table of a head and one row.
fn parse(said: &str) -> Option<Found> {
    let mut lines = said.lines().map(|line| line.split(',').map(|cell| cell.trim_matches('"')));
    let (head, row) = (lines.find(|line| line.clone().next() == Some("test"))?, lines.next()?);
    let cells: Vec<(&str, &str)> = head.zip(row).collect();
    let number = |name: &str| -> Option<f64> {
        cells.iter().find(|(head, _)| *head == name)?.1.parse().ok().filter(|number| *number >= 0.0)
    };
    let nanoseconds = |name| number(name).map(|milliseconds| (milliseconds * 1e6) as u64);
    Some(Found {
        rate: number("rps").filter(|rate| *rate > 0.0)?,
        p50_ns: nanoseconds("p50_latency_ms")?,
        p99_ns: nanoseconds("p99_latency_ms")?,
        max_ns: nanoseconds("max_latency_ms")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_benchmark_says_is_understood() {
        let said = "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\
                    \"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\"\n\
                    \"GET\",\"125000.00\",\"0.2\",\"0.08\",\"0.199\",\"0.3\",\"0.5\",\"1.25\"\n";
        let expected =
            Found { rate: 125_000.0, p50_ns: 199_000, p99_ns: 500_000, max_ns: 1_250_000 };
        assert_eq!(parse(said), Some(expected));
        assert_eq!(parse("Could not connect\n"), None);
    }
}
