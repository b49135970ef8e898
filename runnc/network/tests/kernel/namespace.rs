//! Two namespaces with a veth pair: `inside` has `eth0` as an engine would make it, `outside` is the rest of the world.

use std::fs::File;
use std::process::{Command, id};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use nix::sched::{CloneFlags, setns};

pub(crate) type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Why the cases cannot run here.
pub(crate) fn missing() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("needs root".into());
    }
    if Command::new("ip").arg("-V").output().is_err() {
        return Some("needs ip (Debian package iproute2)".into());
    }
    if File::options().read(true).write(true).open("/dev/net/tun").is_err() {
        return Some("needs /dev/net/tun".into());
    }
    None
}

/// Removes both when dropped.
pub(crate) struct Pair {
    pub(crate) inside: String,
    pub(crate) outside: String,
}

impl Pair {
    /// With `eth0` inside and `peer` outside, both up, in the words of `ip` then what is told.
    pub(crate) fn new(commands: &[&str]) -> Result<Self, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = |side| format!("netjoin-{}-{number}-{side}", id());
        let pair = Self { inside: name("in"), outside: name("out") };
        ip(&format!("netns add {}", pair.inside))?;
        ip(&format!("netns add {}", pair.outside))?;
        let (inside, outside) = (&pair.inside, &pair.outside);
        ip(&format!("-n {inside} link add eth0 type veth peer name peer netns {outside}"))?;
        for (namespace, interface) in [(inside, "eth0"), (outside, "peer")] {
            // No addresses are looked for on a link that carries nothing else.
            ip(&format!("-n {namespace} link set lo up"))?;
            ip(&format!("-n {namespace} link set {interface} up"))?;
        }
        for command in commands {
            let (side, words) = command.split_once(' ').unwrap_or_default();
            let namespace = if side == "in" { inside } else { outside };
            ip(&format!("-n {namespace} {words}"))?;
        }
        Ok(pair)
    }

    /// Runs something in the inner namespace.
    pub(crate) fn inside<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        within(&self.inside, action)
    }

    /// Runs something in the outer namespace.
    pub(crate) fn outside<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        within(&self.outside, action)
    }

    /// What `tc` and `ip` show inside.
    pub(crate) fn shown(&self) -> String {
        let shell = "ip link; tc qdisc; tc filter show dev eth0 ingress";
        let output =
            Command::new("ip").args(["netns", "exec", &self.inside, "sh", "-c", shell]).output();
        output.map(|it| String::from_utf8_lossy(&it.stdout).into_owned()).unwrap_or_default()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = ip(&format!("netns del {}", self.inside));
        let _ = ip(&format!("netns del {}", self.outside));
    }
}

/// In a thread of its own, which ends then: a thread's namespace is its own.
fn within<T: Send>(namespace: &str, action: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let file = File::open(format!("/run/netns/{namespace}")).unwrap();
            setns(file, CloneFlags::CLONE_NEWNET).unwrap();
            action()
        });
        thread.join().unwrap()
    })
}

pub(crate) fn ip(words: &str) -> Result<(), String> {
    let output = Command::new("ip").args(words.split(' ')).output().map_err(|it| it.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("ip {words}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}
