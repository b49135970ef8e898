//! wrk as the client: somebody else's, to see whether ours tells the truth. It says less: its
//! latencies are of whole runs, and clocks are read around it, with its start and its end.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::bench::contest::Sample;
use crate::bench::load::http::Plan;
use crate::bench::meter::Reading;

/// The words of a worker that follows the plan.
pub(super) fn words(plan: &Plan) -> Vec<String> {
    let seconds = plan.load.window.time.as_secs().max(1);
    let (connections, duration) = (format!("-c{}", plan.load.connections), format!("-d{seconds}s"));
    let address = format!("http://{}{}", plan.load.window.address, plan.path);
    let options = ["exec", "wrk", "-t1", "--latency", "--timeout", "10s", &connections, &duration];
    options.into_iter().chain([&*address]).map(str::to_owned).collect()
}

/// Runs it.
///
/// # Errors
/// If it fails or says something unknown.
pub(super) fn run(plan: &Plan, mut command: Command) -> Result<Sample> {
    let before = Reading::take(&plan.load.window.watched)?;
    let output = command.stdin(Stdio::null()).output().context("wrk")?;
    let clocks = Reading::take(&plan.load.window.watched)?.since(&before);
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    let reason = complaint.lines().last().unwrap_or("it does not say why");
    ensure!(output.status.success(), "wrk: {reason}");
    let found = parse(&said).with_context(|| format!("wrk says: {said}"))?;
    Ok(Sample {
        amount: found.answers,
        amount_in_all: found.answers,
        elapsed_ns: u64::try_from(found.elapsed.as_nanos())?,
        p50_ns: u64::try_from(found.p50.as_nanos())?,
        p99_ns: u64::try_from(found.p99.as_nanos())?,
        max_ns: 0,
        failed: found.errors,
        drops: 0,
        clocks,
        detail: json!(said),
    })
}

#[derive(Debug, PartialEq)]
struct Found {
    answers: u64,
    elapsed: Duration,
    p50: Duration,
    p99: Duration,
    errors: u64,
}

fn parse(said: &str) -> Option<Found> {
    let lines = || said.lines().map(str::trim);
    let after = |start: &str| lines().find_map(|line| line.strip_prefix(start)).map(str::trim);
    let total = lines().find(|line| line.contains(" requests in "))?;
    let (answers, rest) = total.split_once(" requests in ")?;
    let errors = lines().filter(|line| {
        line.starts_with("Socket errors:") || line.starts_with("Non-2xx or 3xx responses:")
    });
    let numbers =
        errors.flat_map(|line| line.split([' ', ',']).filter_map(|word| word.parse::<u64>().ok()));
    Some(Found {
        answers: answers.parse().ok()?,
        elapsed: duration(rest.split(',').next()?)?,
        p50: duration(after("50%")?)?,
        p99: duration(after("99%")?)?,
        errors: numbers.sum(),
    })
}

/// A time such as `512.00us`, `1.20ms`, `2.00s` or `1.01m`.
fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let number: f64 = text[..unit].parse().ok()?;
    let seconds = match &text[unit..] {
        "us" => number / 1e6,
        "ms" => number / 1e3,
        "s" => number,
        "m" => number * 60.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_says_is_understood() {
        let said = "Running 5s test @ http://10.77.0.2:80/\n  1 threads and 64 connections\n  \
             Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency     1.00ms  2.00ms\n  \
             Latency Distribution\n     50%  512.00us\n     75%    1.20ms\n     90%  2.00ms\n     \
             99%    1.01s\n  123456 requests in 5.10s, 1.00MB read\n  \
             Socket errors: connect 1, read 2, write 0, timeout 3\nRequests/sec:  1.0\n";
        let expected = Found {
            answers: 123_456,
            elapsed: Duration::from_millis(5100),
            p50: Duration::from_micros(512),
            p99: Duration::from_millis(1010),
            errors: 6,
        };
        assert_eq!(parse(said), Some(expected));
        assert_eq!(parse("unable to connect"), None);
    }
}
