//! Policies that were read, and one that is published, held against the table of vulnerabilities.

use std::collections::{BTreeMap, BTreeSet};

use surface::model::Policy;

use crate::cve::{Subject, TAP, Table};
use crate::measurement::{Measurement, Reference};
use crate::profile::Profile;

/// Roles that neither run the program nor handle what it sends.
const APART: [&str; 2] = ["supervisor", "runtime"];

/// The role of our guests.
const GUEST: &str = "guest";

impl Measurement {
    /// Fills in the verdicts and, as a reference, Docker's profile, which is from `source`. A system of
    /// which no policy was read is not judged; of a guest that has helpers, the guest is judged alone as
    /// well (`nabla-ring, guest`).
    pub fn judge(&mut self, table: &Table, docker: &Profile, source: &str) {
        let mut systems = BTreeMap::<String, Vec<Subject<'_>>>::new();
        for (system, policies) in policies(self) {
            let of = |wanted: &dyn Fn(&Policy) -> bool| -> Vec<Subject<'_>> {
                let policies = policies.iter().filter(|policy| wanted(policy));
                policies.map(|policy| subject(system, policy)).collect()
            };
            let guests = of(&|policy| policy.role == GUEST);
            if !guests.is_empty() && guests.len() < policies.len() {
                systems.insert(format!("{system}, {GUEST}"), guests);
            }
            systems.insert(system.to_owned(), of(&|_| true));
        }
        let nothing = BTreeSet::new();
        systems.insert("docker".into(), vec![Subject { judge: docker, held: nothing }]);
        self.verdicts = table.verdicts(&systems);
        self.references.retain(|reference| reference.system != "docker");
        self.references.push(Reference {
            system: "docker".into(),
            source: source.into(),
            calls: docker.permitted(),
        });
    }
}

/// A process with what it was handed: who of them has the TAP interface is known.
fn subject<'a>(system: &str, policy: &'a Policy) -> Subject<'a> {
    let has_tap = match policy.role.as_str() {
        GUEST => matches!(system, "nabla-tap" | "solo5-tap"),
        role => system == "nabla-ring" && role == "gateway",
    };
    Subject { judge: policy, held: has_tap.then_some(TAP).into_iter().collect() }
}

/// The policies of each system's processes that matter, over all workloads.
fn policies(measurement: &Measurement) -> BTreeMap<&str, Vec<&Policy>> {
    let mut systems = BTreeMap::<&str, Vec<&Policy>>::new();
    for run in measurement.runs.iter().filter(|run| run.system != "docker") {
        let policies = run.policies.iter().filter(|policy| !APART.contains(&policy.role.as_str()));
        systems.entry(&run.system).or_default().extend(policies);
    }
    systems.retain(|_, policies| !policies.is_empty());
    systems
}

#[cfg(test)]
mod tests {
    use surface::model::{KernelId, Permitted, Run};

    use super::*;

    fn policy(role: &str, filters: u32, calls: &[&str]) -> Policy {
        let permitted = |name: &&str| Permitted { name: (*name).into(), conditional: false };
        Policy { role: role.into(), filters, calls: calls.iter().map(permitted).collect() }
    }

    fn run(system: &str, policies: Vec<Policy>) -> Run {
        Run {
            system: system.into(),
            workload: "httpd".into(),
            seed: 1,
            kernel: KernelId {
                release: String::new(),
                version: String::new(),
                traceable: 1,
                calls: 1,
            },
            phases: Vec::new(),
            policies,
        }
    }

    #[test]
    fn the_pinned_data_are_held_against_what_was_read() {
        let table = Table::read(include_str!("../../data/cves.json")).unwrap();
        let text = include_str!("../../data/docker-seccomp.json");
        let docker = Profile::read(text, &[], (6, 1)).unwrap();
        let guest = || policy(GUEST, 1, &["read", "write", "ppoll", "exit_group"]);
        let mut measurement = Measurement {
            runs: vec![
                run("nabla-tap", vec![guest(), policy("supervisor", 0, &[])]),
                run(
                    "nabla-ring",
                    vec![guest(), policy("gateway", 1, &["bpf", "socket", "unshare"])],
                ),
                run("native", vec![policy("server", 0, &[])]),
                run("gvisor", Vec::new()),
            ],
            ..Measurement::default()
        };
        measurement.judge(&table, &docker, "https://example.org/");
        let reachable = |system: &str| {
            let verdicts = measurement.verdicts.iter();
            verdicts.filter(|verdict| verdict.reachable.get(system) == Some(&true)).count()
        };
        assert_eq!(measurement.verdicts.len(), table.entries().len());
        assert!(reachable("native") > table.entries().len() / 2);
        assert!(reachable("docker") < reachable("native"));
        assert!(reachable("nabla-tap") < reachable("docker"));
        // What takes nothing but frames to a TAP interface.
        assert!(reachable("nabla-tap") > 0);
        assert_eq!(reachable("nabla-ring, guest"), 0);
        assert!(reachable("nabla-ring") > reachable("nabla-tap"));
        let keys: Vec<&str> =
            measurement.verdicts[0].reachable.keys().map(String::as_str).collect();
        assert_eq!(keys, ["docker", "nabla-ring", "nabla-ring, guest", "nabla-tap", "native"]);
        assert!(measurement.references[0].calls.len() > 250);
    }
}
