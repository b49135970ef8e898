//! What systems and workloads are called in print, their order, and their tones in pictures. A name that
//! is not known here is shown as it is.

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

    /// Of a system or a series by its name, in whatever words.
    pub(crate) fn of(name: &str) -> Tone {
        let name = name.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
        if has(&["runnc", "nabla", "ours", "tender"]) {
            Tone::Ours
        } else if has(&["gvisor", "runsc"]) {
            Tone::Gvisor
        } else if has(&["docker", "profile"]) {
            Tone::Profile
        } else if has(&["runc", "crun", "container", "podman"]) {
            Tone::Container
        } else if has(&["solo5"]) {
            Tone::Solo5
        } else if has(&["native", "nginx", "redis", "no filter", "host"]) {
            Tone::Native
        } else {
            Tone::Ours
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

/// Whether a workload needs a network, and so a system is worth naming as missing under it.
pub(crate) fn is_expected(workload: &str, system: &str) -> bool {
    let network = matches!(workload, "httpd" | "kv");
    network || !matches!(system, "nabla-ring" | "nabla-user" | "nabla-plain")
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
    fn runnc_is_not_runc() {
        assert_eq!(Tone::of("runnc + httpd"), Tone::Ours);
        assert_eq!(Tone::of("runc + nginx"), Tone::Container);
        assert_eq!(Tone::of("nginx in gVisor"), Tone::Gvisor);
        assert_eq!(Tone::of("nginx"), Tone::Native);
    }
}
