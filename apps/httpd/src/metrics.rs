//! Counters of the server and their text form (Prometheus exposition format 0.0.4).
//!
//! Plain cells: the server runs in one thread. Nothing here is per path or per peer, so the size
//! of the output does not depend on the clients.

use core::cell::Cell;
use core::fmt::{self, Write};
use core::time::Duration;

use crate::response::Status;

/// The content type of the text form.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the duration buckets in microseconds, with their label values in seconds.
const BUCKETS: [(u64, &str); 14] = [
    (50, "0.00005"),
    (100, "0.0001"),
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (5_000_000, "5"),
    (30_000_000, "30"),
];

/// What a connection waited for in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// A request to begin.
    Idle,
    /// The rest of a request head.
    Head,
    /// The rest of a request body.
    Body,
    /// The peer to take a response.
    Send,
}

impl Wait {
    const ALL: [(Wait, &str); 4] =
        [(Wait::Idle, "idle"), (Wait::Head, "head"), (Wait::Body, "body"), (Wait::Send, "send")];
}

/// A number that only grows, unless it is a gauge.
#[derive(Debug, Default)]
pub struct Counter(Cell<u64>);

impl Counter {
    /// Adds `amount`.
    pub fn add(&self, amount: u64) {
        self.0.set(self.0.get().wrapping_add(amount));
    }

    /// Takes `amount` away: for gauges.
    pub fn subtract(&self, amount: u64) {
        self.0.set(self.0.get().saturating_sub(amount));
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// All counters of one server.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Bytes handed to the network, heads included.
    pub sent_bytes: Counter,
    /// Connections that are being served.
    pub connections_current: Counter,
    /// Connections that were admitted.
    pub connections: Counter,
    /// Connections with a request or an answer on the way.
    pub exchanges: Counter,
    /// Connections that were refused for want of room.
    pub refused: Counter,
    /// Responses that ended before their last byte.
    pub aborted: Counter,
    requests: [Counter; Status::ALL.len()],
    timeouts: [Counter; Wait::ALL.len()],
    durations: [Counter; BUCKETS.len()],
    duration_micros: Counter,
}

impl Metrics {
    /// Counts a request that was answered.
    pub fn count_request(&self, status: Status, duration: Duration) {
        self.requests[status as usize].add(1);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.duration_micros.add(micros);
        if let Some(bucket) = BUCKETS.iter().position(|&(bound, _)| micros <= bound) {
            self.durations[bucket].add(1);
        }
    }

    /// Counts a wait that took too long.
    pub fn count_timeout(&self, wait: Wait) {
        self.timeouts[wait as usize].add(1);
    }

    /// The requests answered with `status`.
    pub fn requests(&self, status: Status) -> u64 {
        self.requests[status as usize].get()
    }

    /// The requests answered.
    pub fn requests_total(&self) -> u64 {
        self.requests.iter().map(Counter::get).sum()
    }

    /// How often a wait took too long.
    pub fn timeouts(&self, wait: Wait) -> u64 {
        self.timeouts[wait as usize].get()
    }

    /// Writes all counters.
    pub fn write(&self, out: &mut dyn Write) -> fmt::Result {
        self.write_requests(out)?;
        self.write_durations(out)?;
        for (name, kind, help, counter) in [
            ("sent_bytes_total", "counter", "Bytes handed to the network.", &self.sent_bytes),
            ("connections", "gauge", "Connections being served.", &self.connections_current),
            ("exchanges", "gauge", "Connections with a request under way.", &self.exchanges),
            ("connections_total", "counter", "Connections admitted.", &self.connections),
            ("connections_refused_total", "counter", "Connections refused.", &self.refused),
            ("responses_aborted_total", "counter", "Responses cut short.", &self.aborted),
        ] {
            describe(out, name, kind, help)?;
            writeln!(out, "httpd_{name} {}", counter.get())?;
        }
        describe(out, "timeouts_total", "counter", "Waits that took too long, by what for.")?;
        for (wait, label) in Wait::ALL {
            writeln!(out, "httpd_timeouts_total{{wait=\"{label}\"}} {}", self.timeouts(wait))?;
        }
        Ok(())
    }

    /// Statuses that never occurred are left out, except for 200.
    fn write_requests(&self, out: &mut dyn Write) -> fmt::Result {
        describe(out, "requests_total", "counter", "Requests answered, by status.")?;
        for &status in Status::ALL {
            let count = self.requests(status);
            if count > 0 || status == Status::Ok {
                writeln!(out, "httpd_requests_total{{code=\"{}\"}} {count}", status.code())?;
            }
        }
        Ok(())
    }

    fn write_durations(&self, out: &mut dyn Write) -> fmt::Result {
        let name = "request_duration_seconds";
        describe(out, name, "histogram", "From the end of a request's head to its answer's end.")?;
        let mut below = 0;
        for ((_, label), counter) in BUCKETS.iter().zip(&self.durations) {
            below += counter.get();
            writeln!(out, "httpd_{name}_bucket{{le=\"{label}\"}} {below}")?;
        }
        let (total, micros) = (self.requests_total(), self.duration_micros.get());
        writeln!(out, "httpd_{name}_bucket{{le=\"+Inf\"}} {total}")?;
        writeln!(out, "httpd_{name}_sum {}.{:06}", micros / 1_000_000, micros % 1_000_000)?;
        writeln!(out, "httpd_{name}_count {total}")
    }
}

/// The `HELP` and `TYPE` lines of a metric.
pub fn describe(out: &mut dyn Write, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(out, "# HELP httpd_{name} {help}\n# TYPE httpd_{name} {kind}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    #[test]
    fn labels_agree_with_bounds() {
        assert!(BUCKETS.is_sorted_by_key(|&(bound, _)| bound));
        for (bound, label) in BUCKETS {
            let seconds: f64 = label.parse().unwrap();
            assert_eq!((seconds * 1e6).round() as u64, bound);
        }
        for (index, (wait, _)) in Wait::ALL.iter().enumerate() {
            assert_eq!(*wait as usize, index);
        }
    }

    #[test]
    fn the_text_form_adds_up() {
        let metrics = Metrics::default();
        metrics.count_request(Status::Ok, Duration::from_micros(50));
        metrics.count_request(Status::NotFound, Duration::from_micros(51));
        metrics.count_request(Status::Ok, Duration::from_secs(60));
        metrics.count_timeout(Wait::Head);
        metrics.connections_current.add(2);
        metrics.connections_current.subtract(1);
        let mut text = String::new();
        metrics.write(&mut text).unwrap();
        for line in [
            "# TYPE httpd_requests_total counter",
            "httpd_requests_total{code=\"200\"} 2",
            "httpd_requests_total{code=\"404\"} 1",
            "httpd_request_duration_seconds_bucket{le=\"0.00005\"} 1",
            "httpd_request_duration_seconds_bucket{le=\"0.0001\"} 2",
            "httpd_request_duration_seconds_bucket{le=\"30\"} 2",
            "httpd_request_duration_seconds_bucket{le=\"+Inf\"} 3",
            "httpd_request_duration_seconds_sum 60.000101",
            "httpd_request_duration_seconds_count 3",
            "httpd_connections 1",
            "httpd_timeouts_total{wait=\"head\"} 1",
            "httpd_timeouts_total{wait=\"idle\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("code=\"503\""));
    }
}
