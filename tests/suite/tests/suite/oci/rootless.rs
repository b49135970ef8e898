//! podman as a user without privileges, whose network is slirp4netns.

use anyhow::{Result, ensure};
use suite::oci::podman::{NEEDS, ROOTLESS_NEEDS};
use suite::oci::{Podman, Sandbox, Traces};
use suite::{Binaries, Ended};

use super::podman::ADDRESS;
use super::{PAGE, image_of, orderly, web};
use crate::Case;

/// All cases of this file.
pub(super) fn cases() -> Vec<Case> {
    let cases = vec![
        Case::new("oci::rootless::a published port", published),
        Case::new("oci::rootless::the host's network, without /dev/net/tun", host),
        Case::new("oci::rootless::statuses, no network", ends),
    ];
    cases.into_iter().map(|case| case.with_needs(&NEEDS).with_needs(&ROOTLESS_NEEDS)).collect()
}

/// Podman keeps a process that holds its user namespace.
fn is_podmans(line: &str) -> bool {
    line.ends_with(" catatonit") || line.ends_with(" podman") || line.ends_with(" podman pause")
}

fn published(binaries: &Binaries) -> Result<()> {
    let sandbox = Sandbox::new()?;
    let podman = Podman::rootless(&sandbox, &binaries.runtime())?;
    let image = web(binaries, &sandbox)?;
    podman.load(&image)?;
    let before = Traces::of(&sandbox)?;
    let options = ["--detach", "--name=web", "--publish=127.0.0.1:8080:80"];
    podman.succeed(&podman.container("run", &options, &image, &[]))?;
    ensure!(sandbox.page(ADDRESS.into())? == PAGE);
    let said = podman.succeed(&["logs", "web"])?;
    ensure!(said.contains("listening on 10.0.2.15/24"), "{said}");
    let processes = podman.succeed(&["top", "web"])?;
    ensure!(processes.lines().count() >= 2, "{processes}");
    orderly("stop", || podman.succeed(&["stop", "--time=20", "web"]))?;
    let said = podman.succeed(&["inspect", "--format={{.State.ExitCode}}", "web"])?;
    ensure!(said == "0\n", "{said}");
    podman.succeed(&["rm", "web"])?;
    before.nothing_more(&sandbox, is_podmans)
}

/// The ports of `NABLA_PUBLISH` are the user's own.
fn host(binaries: &Binaries) -> Result<()> {
    let sandbox = Sandbox::new()?;
    // The sandbox's network only.
    sandbox.succeed(&["sh", "-c", "echo 80 >/proc/sys/net/ipv4/ip_unprivileged_port_start"])?;
    sandbox.succeed(&["chmod", "600", "/dev/net/tun"])?;
    let podman = Podman::rootless(&sandbox, &binaries.runtime())?;
    let image = web(binaries, &sandbox)?;
    podman.load(&image)?;
    let options = ["--detach", "--name=web", "--network=host"];
    podman.succeed(&podman.container("run", &options, &image, &[]))?;
    ensure!(sandbox.page(([127, 0, 0, 1], 80).into())? == PAGE);
    orderly("stop", || podman.succeed(&["stop", "--time=20", "web"]))?;
    podman.succeed(&["rm", "web"]).map(drop)
}

fn ends(binaries: &Binaries) -> Result<()> {
    let sandbox = Sandbox::new()?;
    let podman = Podman::rootless(&sandbox, &binaries.runtime())?;
    let image = image_of(&sandbox, "exit-status", &binaries.guest("exit-status"))?;
    podman.load(&image)?;
    for status in [0, 7] {
        let argument = status.to_string();
        let options = ["--rm", "--network=none"];
        let outcome = podman.run(&podman.container("run", &options, &image, &[&argument]))?;
        ensure!(outcome.ended == Ended::Exit(status), "{outcome:?}");
    }
    Ok(())
}
