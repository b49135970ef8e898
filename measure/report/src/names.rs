//! What systems and workloads are called in print, their order, and their tones in pictures. A name that
//! is not known here is shown as it is.

use surface::scenario::{System, Workload};

/// A system's colour in every picture. Labels say the same, so nothing rests on colour alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Ours.
    Ours,
    /// A program on the kernel itself.
    Native,
    /// An ordinary container.
    Container,
    /// gVisor.
    Gvisor,
    /// The tender of Solo5's.
    Solo5,
    /// A published profile.
    Profile,
}

impl Tone {
    /// Its name in the style sheet.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Tone::Ours => "ours",
            Tone::Native => "native",
            Tone::Container => "container",
            Tone::Gvisor => "gvisor",
            Tone::Solo5 => "solo5",
            Tone::Profile => "profile",
        }
    }

    /// Of a system or a series by its name, in whatever words: what it runs in comes before what it
    /// is, and what is not known is an ordinary program.
    pub(crate) fn of(name: &str) -> Tone {
        let name = name.to_ascii_lowercase();
        let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(word));
        if has(&["runnc", "nabla", "ours"]) {
            Tone::Ours
        } else if has(&["gvisor", "runsc"]) {
            Tone::Gvisor
        } else if has(&["docker", "profile"]) {
            Tone::Profile
        } else if has(&["runc", "crun", "podman"]) {
            Tone::Container
        } else if has(&["solo5"]) {
            Tone::Solo5
        } else if has(&["tender", "guest", "httpd", "kv", "tap", "ring"]) {
            Tone::Ours
        } else {
            Tone::Native
        }
    }
}

/// Systems in the order of tables.
pub(crate) const SYSTEMS: [&str; 8] = [
    "nabla-ring",
    "nabla-tap",
    "nabla-user",
    "nabla-plain",
    "solo5-tap",
    "native",
    "runc",
    "gvisor",
];

/// Workloads in the order of tables, without the fuzzer.
pub(crate) const WORKLOADS: [&str; 4] = ["httpd", "kv", "block", "hello"];

/// Systems that are fuzzed, in the order of tables.
pub(crate) const FUZZED: [&str; 6] =
    ["native", "docker", "runc", "gvisor", "nabla-tap", "nabla-ring"];

/// Workloads in which a program only runs and ends, so that there is no steady state.
pub(crate) fn has_steady_state(workload: &str) -> bool {
    workload != "hello"
}

/// Whether a system was to be measured under a workload, and so is named if it was not.
pub(crate) fn is_expected(workload: &str, system: &str) -> bool {
    match (system.parse::<System>(), workload.parse::<Workload>()) {
        (Ok(system), Ok(workload)) => system.does(workload),
        _ => false,
    }
}

/// A system in print.
pub(crate) fn system(name: &str) -> &str {
    match name {
        "nabla-tap" => "Nabla, TAP",
        "nabla-plain" => "Nabla, plain wire",
        "nabla-ring" => "Nabla, ring",
        "nabla-user" => "Nabla, user network",
        "solo5-tap" => "solo5-spt, TAP",
        "docker" => "Docker's profile",
        "gvisor" => "gVisor",
        other => other,
    }
}

/// A workload in print, with what does it natively.
pub(crate) fn workload(name: &str) -> &str {
    match name {
        "httpd" => "httpd: 100 requests of HTTP",
        "kv" => "kv: 100 commands of Redis",
        "block" => "block: reads and writes of a disk",
        "hello" => "hello: one line, and the end",
        other => other,
    }
}

/// Where a name stands in an order; what is not known stands last.
pub(crate) fn rank(order: &[&str], name: &str) -> usize {
    order.iter().position(|known| *known == name).unwrap_or(order.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_and_workload_has_its_place() {
        for system in System::ALL.map(System::word) {
            let placed = SYSTEMS.contains(&system) || FUZZED.contains(&system);
            assert!(placed, "{system}");
        }
        for workload in Workload::SURFACE.map(Workload::word) {
            assert!(WORKLOADS.contains(&workload), "{workload}");
        }
        let fuzzed = |system: &&str| is_expected("fuzz", system);
        assert!(FUZZED.iter().all(fuzzed));
    }

    #[test]
    fn runnc_is_not_runc() {
        assert_eq!(Tone::of("runnc + httpd"), Tone::Ours);
        assert_eq!(Tone::of("runc + nginx"), Tone::Container);
        assert_eq!(Tone::of("nginx in gVisor"), Tone::Gvisor);
        assert_eq!(Tone::of("nginx, veth"), Tone::Native);
        assert_eq!(Tone::of("/bin/true"), Tone::Native);
        assert_eq!(Tone::of("guest, solo5-spt"), Tone::Solo5);
        assert_eq!(Tone::of("kv, ring and TAP"), Tone::Ours);
    }
}
