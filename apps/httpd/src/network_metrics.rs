//! The network stack's counters as metrics: every one that it has, from its own list.

use core::fmt::{self, Write};

use netstack::{Counter, CounterKind, Counters};

/// Writes all counters, each as `netstack_` and its name, and those names that dashboards may know
/// from before.
pub fn write(out: &mut dyn Write, counters: &Counters) -> fmt::Result {
    for Counter { name, help, kind, value } in counters.each() {
        let (suffix, kind) = match kind {
            CounterKind::Total => ("_total", "counter"),
            CounterKind::Current => ("", "gauge"),
        };
        writeln!(out, "# HELP netstack_{name}{suffix} {help}")?;
        writeln!(out, "# TYPE netstack_{name}{suffix} {kind}")?;
        writeln!(out, "netstack_{name}{suffix} {value}")?;
    }
    let syns_dropped =
        counters.syns_dropped_backlog + counters.syns_dropped_limit + counters.syns_dropped_memory;
    for (name, help, value) in [
        ("malformed", "The same as netstack_dropped_malformed_total.", counters.dropped_malformed),
        (
            "accepted",
            "The same as netstack_connections_accepted_total.",
            counters.connections_accepted,
        ),
        ("resets", "The same as netstack_connections_reset_total.", counters.connections_reset),
        (
            "timeouts",
            "The same as netstack_connections_timed_out_total.",
            counters.connections_timed_out,
        ),
        ("syns_dropped", "The sum of all netstack_syns_dropped_*_total.", syns_dropped),
    ] {
        writeln!(out, "# HELP netstack_{name}_total {help}\n# TYPE netstack_{name}_total counter")?;
        writeln!(out, "netstack_{name}_total {value}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    fn text(counters: &Counters) -> String {
        let mut text = String::new();
        write(&mut text, counters).unwrap();
        text
    }

    #[test]
    fn every_counter_is_there_once_with_its_help_and_its_type() {
        let text = text(&Counters { connections: 7, ..Counters::default() });
        let lines: Vec<&str> = text.lines().collect();
        let mut names = BTreeSet::new();
        for [help, kind, sample] in lines.as_chunks().0 {
            let name = sample.split(' ').next().unwrap();
            assert!(help.starts_with(&format!("# HELP {name} ")), "{help}");
            let expected = if name.ends_with("_total") { "counter" } else { "gauge" };
            assert_eq!(*kind, format!("# TYPE {name} {expected}"));
            assert!(
                name.bytes()
                    .all(|byte| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit())
            );
            assert!(names.insert(name), "{name} is there twice");
        }
        assert_eq!(3 * names.len(), lines.len());
        for Counter { name, kind, .. } in Counters::default().each() {
            let suffix = if kind == CounterKind::Total { "_total" } else { "" };
            assert!(names.contains(&*format!("netstack_{name}{suffix}")), "{name} is missing");
        }
        assert!(text.ends_with('\n') && lines.contains(&"netstack_connections 7"));
    }

    #[test]
    fn earlier_names_stay() {
        let counters = Counters {
            dropped_malformed: 1,
            connections_accepted: 2,
            connections_reset: 3,
            connections_timed_out: 4,
            syns_dropped_backlog: 5,
            syns_dropped_limit: 6,
            syns_dropped_memory: 7,
            ..Counters::default()
        };
        let text = text(&counters);
        for line in [
            "netstack_malformed_total 1",
            "netstack_accepted_total 2",
            "netstack_resets_total 3",
            "netstack_timeouts_total 4",
            "netstack_syns_dropped_total 18",
            "netstack_frames_received_total 0",
            "netstack_frames_sent_total 0",
            "netstack_half_open 0",
            "netstack_time_wait 0",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
    }
}
