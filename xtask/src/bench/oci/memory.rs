//! What containers take while they run and nobody asks them anything.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::network::Network;
use super::runtime::{Kind, Runtime};
use super::stage::{self, Container, Manner, Stage};
use crate::bench::process::{Memory as Held, Process};
use crate::bench::{machine, table};
use crate::size;

/// After that what starting has taken is given back.
const SETTLING: Duration = Duration::from_secs(1);

/// The memory of some containers of a runtime.
#[derive(Debug)]
pub(super) struct Memory {
    /// The runtime.
    pub(super) kind: Kind,
    /// How many containers there are.
    pub(super) containers: u8,
    /// All their processes, with their names.
    pub(super) processes: Vec<(String, Held)>,
    /// What the kernel counts for the containers' cgroups, processes and itself, if it does.
    pub(super) cgroups_bytes: Option<u64>,
    /// What was available to the system before the first container, and is with all of them.
    pub(super) available_bytes: [u64; 2],
}

impl Memory {
    /// Starts so many containers, lets each answer once, and looks at them.
    ///
    /// # Errors
    /// If one does not answer, or does not end.
    pub(super) fn measure(
        stage: &mut Stage,
        network: &Network,
        runtime: &Runtime,
        containers: u8,
    ) -> Result<Self> {
        let wires = (1..=u16::from(containers)).map(|number| network.wire(number));
        let wires: Vec<_> = wires.collect::<Result<_>>()?;
        thread::sleep(SETTLING);
        let before = machine::memory_bytes("MemAvailable")?;
        let mut all: Vec<Container<'_>> = Vec::new();
        for wire in wires {
            let mut container = stage.container(runtime, wire)?;
            container.create(stage, Manner::Try)?;
            container.start(stage, Manner::Try)?;
            container.first_answer()?;
            all.push(container);
        }
        thread::sleep(SETTLING);
        let look = |id| {
            let process = Process::find(id).context("a container has ended")?;
            let held = process.memory()?;
            Ok((process.name, held))
        };
        let processes = stage::family()?.into_iter().map(look).collect::<Result<_>>()?;
        let cgroups_bytes = all.iter().map(Container::cgroup_bytes).sum();
        let available_bytes = [before, machine::memory_bytes("MemAvailable")?];
        for container in &all {
            container.kill(stage, Manner::Try)?;
        }
        stage::wait_for_all()?;
        for container in &mut all {
            container.delete(stage, Manner::Try)?;
        }
        Ok(Self { kind: runtime.kind, containers, processes, cgroups_bytes, available_bytes })
    }

    /// Of a container: the sum over its processes, where shared pages count in part.
    pub(super) fn pss_bytes(&self) -> Option<u64> {
        let sum: Option<u64> = self.processes.iter().map(|(_, held)| held.pss_bytes).sum();
        Some(sum? / u64::from(self.containers))
    }

    fn rss_bytes(&self) -> u64 {
        let sum: u64 = self.processes.iter().map(|(_, held)| held.rss_bytes).sum();
        sum / u64::from(self.containers)
    }

    fn cgroup_bytes(&self) -> Option<u64> {
        Some(self.cgroups_bytes? / u64::from(self.containers))
    }

    /// Of the system's memory, a container; more may have become available meanwhile.
    fn system_bytes(&self) -> u64 {
        let [before, after] = self.available_bytes;
        before.saturating_sub(after) / u64::from(self.containers)
    }

    /// Everything.
    pub(super) fn to_json(&self) -> Value {
        let process = |(name, held): &(String, Held)| json!({ "name": name, "rss_bytes": held.rss_bytes, "pss_bytes": held.pss_bytes });
        json!({
            "candidate": self.kind.name(),
            "containers": self.containers,
            "processes": self.processes.iter().map(process).collect::<Vec<_>>(),
            "cgroups_bytes": self.cgroups_bytes,
            "available_before_bytes": self.available_bytes[0],
            "available_after_bytes": self.available_bytes[1],
        })
    }
}

/// For people, a row for each runtime.
pub(super) fn table(memory: &[Memory]) -> String {
    let heads =
        ["memory of a container", "n", "processes", "RSS", "PSS", "cgroup", "of the system's"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(memory.iter().map(|one| {
        vec![
            one.kind.name().to_owned(),
            one.containers.to_string(),
            (one.processes.len() / usize::from(one.containers)).to_string(),
            size::format(one.rss_bytes()),
            one.pss_bytes().map_or("-".into(), size::format),
            one.cgroup_bytes().map_or("-".into(), size::format),
            size::format(one.system_bytes()),
        ]
    }));
    table::format(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(pss_bytes: Option<u64>) -> Memory {
        let held = |pss_bytes| Held { rss_bytes: 4 << 10, pss_bytes };
        Memory {
            kind: Kind::Runsc,
            containers: 2,
            processes: [Some(1 << 10), pss_bytes, Some(3 << 10), Some(0)]
                .map(|pss_bytes| ("exe".into(), held(pss_bytes)))
                .into(),
            cgroups_bytes: Some(1 << 20),
            available_bytes: [9 << 20, 5 << 20],
        }
    }

    #[test]
    fn memory_is_told_for_a_container() {
        let text = table(&[memory(Some(2 << 10))]);
        let cells: Vec<_> = text.lines().nth(1).unwrap().split("  ").collect();
        let cells: Vec<_> =
            cells.iter().map(|cell| cell.trim()).filter(|cell| !cell.is_empty()).collect();
        assert_eq!(cells, ["runsc", "2", "2", "8.0 KiB", "3.0 KiB", "512.0 KiB", "2.0 MiB"]);
    }

    #[test]
    fn what_is_not_told_is_not_summed() {
        assert_eq!(memory(None).pss_bytes(), None);
        assert!(table(&[memory(None)]).contains("  -  "));
    }

    #[test]
    fn a_system_that_has_more_than_before_has_lost_nothing() {
        let memory = Memory { available_bytes: [1, 2], ..memory(None) };
        assert_eq!(memory.system_bytes(), 0);
    }
}
