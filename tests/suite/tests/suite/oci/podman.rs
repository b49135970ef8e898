//! podman as root: bridge network, published ports, and every verb that people use.

use anyhow::{Result, ensure};
use serde_json::Value;
use suite::oci::podman::NEEDS;
use suite::oci::{Contents, Image, Podman, Sandbox, Traces};
use suite::{Binaries, Ended};

use super::{PAGE, image_of, memory_limits, orderly, web};
use crate::Case;

/// All cases of this file.
pub(super) fn cases() -> Vec<Case> {
    let cases = vec![
        Case::new("oci::podman::a published port, and the life of a container", life),
        Case::new("oci::podman::statuses and output of guests are the container's", ends),
        Case::new("oci::podman::killed and removed by force", killed),
        Case::new("oci::podman::created and never started", never_started),
        Case::new("oci::podman::limits, terminal, no network", options),
        Case::new("oci::podman::a volume keeps the data of a store", volume),
        Case::new("oci::podman::what cannot be is refused in words", refused),
    ];
    cases.into_iter().map(|case| case.with_needs(&NEEDS)).collect()
}

pub(super) const ADDRESS: ([u8; 4], u16) = ([127, 0, 0, 1], 8080);

/// A sandbox that has run a container already, so that what podman makes once is there.
fn prepare(podman: &Podman<'_>, sandbox: &Sandbox, binaries: &Binaries) -> Result<Image> {
    let image = image_of(sandbox, "hello", &binaries.guest("hello"))?;
    podman.load(&image)?;
    let words = podman.container("run", &["--rm", "-p", "127.0.0.1:9:9"], &image, &[]);
    ensure!(podman.succeed(&words)? == "hello from a guest\n");
    Ok(image)
}

/// What `podman inspect` says, by a path of names.
fn inspect(podman: &Podman<'_>, name: &str) -> Result<Value> {
    let text = podman.succeed(&["inspect", "--type=container", name])?;
    Ok(serde_json::from_str::<Value>(&text)?[0].take())
}

/// A mount that podman makes and removes as it uses its storage; those of containers lie below.
fn is_podmans(line: &str) -> bool {
    line.starts_with("mount ") && line.contains("/podman/storage/overlay ")
}

fn life(binaries: &Binaries) -> Result<()> {
    let sandbox = Sandbox::new()?;
    let podman = Podman::new(&sandbox, &binaries.runtime())?;
    prepare(&podman, &sandbox, binaries)?;
    let image = web(binaries, &sandbox)?;
    podman.load(&image)?;
    let before = Traces::of(&sandbox)?;
    let options = ["--detach", "--name=web", "--publish=127.0.0.1:8080:80"];
    podman.succeed(&podman.container("run", &options, &image, &[]))?;
    ensure!(sandbox.page(ADDRESS.into())? == PAGE);

    let said = podman.succeed(&["logs", "web"])?;
    ensure!(said.contains("listening on 10.88."), "{said}");
    let state = inspect(&podman, "web")?;
    ensure!(state["State"]["Status"] == "running" && state["OCIRuntime"] == "nabla", "{state:#}");
    let processes = podman.succeed(&["top", "web"])?;
    ensure!(processes.lines().count() >= 2, "{processes}");
    let stats = podman.succeed(&["stats", "--no-stream", "--format=json", "web"])?;
    let stats: Value = serde_json::from_str(&stats)?;
    ensure!(stats[0]["mem_usage"].as_str().is_some_and(|used| !used.starts_with("0B")), "{stats}");

    podman.succeed(&["pause", "web"])?;
    let state = inspect(&podman, "web")?;
    ensure!(state["State"]["Status"] == "paused", "{state:#}");
    podman.succeed(&["unpause", "web"])?;
    ensure!(sandbox.page(ADDRESS.into())? == PAGE);

    orderly("stop", || podman.succeed(&["stop", "--time=20", "web"]))?;
    let state = inspect(&podman, "web")?;
    ensure!(state["State"]["Status"] == "exited" && state["State"]["ExitCode"] == 0, "{state:#}");
    // The same container once more.
    podman.succeed(&["start", "web"])?;
    ensure!(sandbox.page(ADDRESS.into())? == PAGE);
    orderly("restart", || podman.succeed(&["restart", "--time=20", "web"]))?;
    ensure!(sandbox.page(ADDRESS.into())? == PAGE);
    orderly("stop", || podman.succeed(&["stop", "--time=20", "web"]))?;
    podman.succeed(&["rm", "web"])?;
    before.nothing_more(&sandbox, is_podmans)
}

fn ends(binaries: &Binaries) -> Result<()> {
    let sandbox = Sandbox::new()?;
    let podman = Podman::new(&sandbox, &binaries.runtime())?;
    let run = |image: &Image, arguments: &[&str]| {
        podman.run(&podman.container("run", &["--rm", "--network=none"], image, arguments))
    };
    let image = image_of(&sandbox, "exit-status", &binaries.guest("exit-status"))?;
    podman.load(&image)?;
    for status in [0, 1, 7, 254] {
        let outcome = run(&image, &[&status.to_string()])?;
        ensure!(outcome.ended == Ended::Exit(status), "{outcome:?}");
    }
    let image = image_of(&sandbox, "arguments", &binaries.guest("arguments"))?;
    podman.load(&image)?;
    let outcome = run(&image, &["one", "--two"])?;
    ensure!(outcome.stdout == "<one>\n<--two>\n", "{outcome:?}");
    let image = image_of(&sandbox, "crash", &binaries.guest("null-dereference"))?;
    podman.load(&image)?;
    let outcome = run(&image, &[])?;
    ensure!(outcome.ended == Ended::Exit(128 + nix::libc::SIGSEGV), "{outcome:?}");
    ensure!(outcome.stderr.contains("SIGSEGV"), "{outcome:?}");
    Ok(())
}

fn killed(binaries: &Binaries) -> Result<()> {
    let sandbox = Sandbox::new()?;
    let podman = Podman::new(&sandbox, &binaries.runtime())?;
    prepare(&podman, &sandbox, binaries)?;
    let image = web(binaries, &sandbox)?;
    podman.load(&image)?;
    let before = Traces::of(&sandbox)?;
    let options = ["--detach", "--name=web", "--publish=127.0.0.1:8080:80"];
    let words = podman.container("run", &options, &image, &[]);
    podman.succeed(&words)?;
    ensure!(sandbox.page(ADDRESS.into())? == PAGE);
    podman.succeed(&["kill", "web"])?;
    podman.succeed(&["wait", "web"])?;
    let state = inspect(&podman, "web")?;
    ensure!(state["State"]["ExitCode"] == 137, "{state:#}");
    podman.succeed(&["rm", "web"])?;
    before.nothing_more(&sandbox, is_podmans)?;

    podman.succeed(&words)?;
    ensure!(sandbox.page(ADDRESS.into())? == PAGE);
    podman.succeed(&["rm", "--force", "--time=0", "web"])?;
    before.nothing_more(&sandbox, is_podmans)?;

    // A paused container can be removed as well.
    podman.succeed(&words)?;
    podman.succeed(&["pause", "web"])?;
    podman.succeed(&["rm", "--force", "--time=0", "web"])?;
    before.nothing_more(&sandbox, is_podmans)
}

fn never_started(binaries: &Binaries) -> Result<()> {
    let sandbox = Sandbox::new()?;
    let podman = Podman::new(&sandbox, &binaries.runtime())?;
    let image = prepare(&podman, &sandbox, binaries)?;
    let before = Traces::of(&sandbox)?;
    podman.succeed(&podman.container("create", &["--name=never"], &image, &[]))?;
    // The runtime's `create` without its `start`.
    podman.succeed(&["init", "never"])?;
    let state = inspect(&podman, "never")?;
    ensure!(state["State"]["Status"] == "initialized", "{state:#}");
    podman.succeed(&["rm", "--force", "--time=0", "never"])?;
    before.nothing_more(&sandbox, is_podmans)
}

fn options(binaries: &Binaries) -> Result<()> {
    let sandbox = Sandbox::new()?;
    let podman = Podman::new(&sandbox, &binaries.runtime())?;
    let hello = prepare(&podman, &sandbox, binaries)?;
    let options = ["--rm", "--tty", "--network=none"];
    let said = podman.succeed(&podman.container("run", &options, &hello, &[]))?;
    ensure!(said == "hello from a guest\r\n", "{said:?}");
    for options in [
        &["--rm", "--network=host"][..],
        &["--rm", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"],
        &["--rm", "--user=1000:1000"],
        &["--rm", "--privileged"],
        &["--rm", "--init=false", "--pids-limit=20", "--cpus=1"],
    ] {
        let said = podman.succeed(&podman.container("run", options, &hello, &[]))?;
        ensure!(said == "hello from a guest\n", "{options:?}: {said:?}");
    }

    let image = web(binaries, &sandbox)?;
    podman.load(&image)?;
    let options = ["--detach", "--name=web", "--memory=48m", "-p", "127.0.0.1:8080:80"];
    podman.succeed(&podman.container("run", &options, &image, &[]))?;
    ensure!(sandbox.page(ADDRESS.into())? == PAGE);
    let limits = memory_limits(&sandbox);
    ensure!(limits.contains(&(48 << 20).to_string()), "{limits:?}");
    orderly("stop", || podman.succeed(&["rm", "--force", "--time=20", "web"]))?;

    // A server without a network waits; it does not fail.
    let options = ["--detach", "--name=alone", "--network=none"];
    podman.succeed(&podman.container("run", &options, &image, &[]))?;
    let state = inspect(&podman, "alone")?;
    ensure!(state["State"]["Status"] == "running", "{state:#}");
    orderly("stop", || podman.succeed(&["stop", "--time=20", "alone"])).map(drop)
}

fn volume(binaries: &Binaries) -> Result<()> {
    let sandbox = Sandbox::new()?;
    let podman = Podman::new(&sandbox, &binaries.runtime())?;
    let contents = Contents {
        files: &[("kv", &binaries.app("kv"))],
        entrypoint: &["/kv"],
        environment: &["NABLA_MEMORY=64M", "NABLA_SIZE_data=64M", "NABLA_PUBLISH=6379"],
    };
    let image = Image::write(sandbox.folder(), "kv", &contents)?;
    podman.load(&image)?;
    podman.succeed(&["volume", "create", "kept"])?;
    let address = ([127, 0, 0, 1], 6379);
    let options = ["--detach", "--name=kv", "-v", "kept:/data", "-p", "127.0.0.1:6379:6379"];
    // A container of its own each time; only the volume lasts.
    for round in 0..2 {
        podman.succeed(&podman.container("run", &options, &image, &[]))?;
        if round == 0 {
            ensure!(super::ask(&sandbox, address.into(), "SET key value\r\n")? == "+OK");
        }
        ensure!(super::ask(&sandbox, address.into(), "GET key\r\n")? == "$5");
        orderly("stop", || podman.succeed(&["stop", "--time=20", "kv"]))?;
        podman.succeed(&["rm", "kv"])?;
    }
    Ok(())
}

fn refused(binaries: &Binaries) -> Result<()> {
    let sandbox = Sandbox::new()?;
    let podman = Podman::new(&sandbox, &binaries.runtime())?;
    prepare(&podman, &sandbox, binaries)?;
    let before = Traces::of(&sandbox)?;
    // An ordinary program.
    let image = image_of(&sandbox, "program", &binaries.tender())?;
    podman.load(&image)?;
    let options = ["--rm", "--network=none"];
    let outcome = podman.run(&podman.container("run", &options, &image, &[]))?;
    ensure!(outcome.ended != Ended::Exit(0) && outcome.stderr.contains("program"), "{outcome:?}");
    let words =
        podman.container("run", &["--rm", "--network=none", "--entrypoint=/gone"], &image, &[]);
    let outcome = podman.run(&words)?;
    ensure!(outcome.ended != Ended::Exit(0) && outcome.stderr.contains("/gone"), "{outcome:?}");

    let image = web(binaries, &sandbox)?;
    podman.load(&image)?;
    podman.succeed(&podman.container(
        "run",
        &["--detach", "--name=web", "--network=none"],
        &image,
        &[],
    ))?;
    let outcome = podman.run(&["exec", "web", "/bin/true"])?;
    ensure!(outcome.ended != Ended::Exit(0) && !outcome.stderr.is_empty(), "{outcome:?}");
    podman.succeed(&["rm", "--force", "--time=0", "web"])?;
    before.nothing_more(&sandbox, is_podmans)
}
