//! Docker's daemon, with the runtime as one of two.

use anyhow::{Result, ensure};
use suite::oci::docker::NEEDS;
use suite::oci::{Docker, Sandbox};
use suite::{Binaries, Ended};

use super::podman::ADDRESS;
use super::{PAGE, image_of, orderly, web};
use crate::Case;

/// All cases of this file.
pub(super) fn cases() -> Vec<Case> {
    let cases = vec![
        Case::new("oci::docker::a published port, and the life of a container", life),
        Case::new("oci::docker::statuses and output of guests are the container's", ends),
    ];
    cases.into_iter().map(|case| case.with_needs(&NEEDS)).collect()
}

fn life(binaries: &Binaries) -> Result<()> {
    let sandbox = Sandbox::new()?;
    let docker = Docker::start(&sandbox, &binaries.runtime())?;
    let image = web(binaries, &sandbox)?;
    docker.load(&image)?;
    let words = ["run", "--runtime=nabla", "--detach", "--name=web", "-p", "127.0.0.1:8080:80"];
    docker.succeed(&[&words[..], &["--memory=48m", &image.reference]].concat())?;
    ensure!(sandbox.page(ADDRESS.into())? == PAGE);
    let said = docker.succeed(&["logs", "web"])?;
    ensure!(said.contains("listening on 10.78.0.2/24"), "{said}");
    let processes = docker.succeed(&["top", "web"])?;
    ensure!(processes.lines().count() >= 2, "{processes}");
    let runtime = docker.succeed(&["inspect", "--format={{.HostConfig.Runtime}}", "web"])?;
    ensure!(runtime == "nabla\n", "{runtime}");
    docker.succeed(&["stats", "--no-stream", "web"])?;
    docker.succeed(&["pause", "web"])?;
    docker.succeed(&["unpause", "web"])?;
    ensure!(sandbox.page(ADDRESS.into())? == PAGE);
    orderly("stop", || docker.succeed(&["stop", "--time=20", "web"]))?;
    let status = docker.succeed(&["inspect", "--format={{.State.ExitCode}}", "web"])?;
    ensure!(status == "0\n", "{status}");
    docker.succeed(&["start", "web"])?;
    ensure!(sandbox.page(ADDRESS.into())? == PAGE);
    docker.succeed(&["rm", "--force", "web"])?;
    let list = docker.succeed(&["ps", "--all", "--quiet"])?;
    ensure!(list.is_empty(), "{list}");
    Ok(())
}

fn ends(binaries: &Binaries) -> Result<()> {
    let sandbox = Sandbox::new()?;
    let docker = Docker::start(&sandbox, &binaries.runtime())?;
    let image = image_of(&sandbox, "exit-status", &binaries.guest("exit-status"))?;
    docker.load(&image)?;
    for status in [0, 7] {
        let words = ["run", "--rm", "--runtime=nabla", "--network=none", &image.reference];
        let outcome = docker.run(&[&words[..], &[&*status.to_string()]].concat())?;
        ensure!(outcome.ended == Ended::Exit(status), "{outcome:?}");
    }
    let image = image_of(&sandbox, "hello", &binaries.guest("hello"))?;
    docker.load(&image)?;
    let said = docker.succeed(&["run", "--rm", "--runtime=nabla", &image.reference])?;
    ensure!(said == "hello from a guest\n", "{said}");
    Ok(())
}
