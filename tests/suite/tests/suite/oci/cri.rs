//! containerd's Kubernetes CRI, driven as a kubelet does: a pod of two unikernels, step by step.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use suite::oci::containerd::NEEDS;
use suite::oci::sandbox::succeeded;
use suite::oci::{Containerd, Sandbox, Traces};
use suite::{Binaries, Need, Running};

use super::{image_of, web};
use crate::Case;

const PROTOC: &[Need] = &[Need::Program("protoc", "protobuf-compiler")];

/// All cases of this file.
pub(super) fn cases() -> Vec<Case> {
    let case = Case::new("oci::cri::a pod of two, from its sandbox to its removal", pod);
    vec![case.with_needs(&NEEDS).with_needs(PROTOC)]
}

/// Builds the client, which is a workspace of its own.
fn build_client() -> Result<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| workspace.join("target")).join("cri");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(workspace.join("tests/cri"))
        .args(["build", "--quiet", "--locked", "--release", "--target-dir"])
        .arg(&target)
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "building tests/cri failed");
    Ok(target.join("release/cri-steps"))
}

fn pod(binaries: &Binaries) -> Result<()> {
    let client = build_client()?;
    let sandbox = Sandbox::new()?;
    let pause = super::ctr::pause(binaries, &sandbox)?;
    let containerd = Containerd::start(&sandbox, &binaries.runtime(), &pause)?;
    let web = web(binaries, &sandbox)?;
    let inetd = image_of(&sandbox, "inetd", &binaries.app("inetd"))?;
    for image in [&pause, &web, &inetd] {
        containerd.import(image)?;
    }
    let logs = sandbox.folder().join("logs");
    fs::create_dir(&logs)?;
    let before = Traces::of(&sandbox)?;
    let mut command = sandbox.command(&client);
    command.arg("--socket").arg(containerd.socket());
    command.arg("--logs").arg(&logs);
    command.args(["--handler=nabla", "--cgroup-parent", &sandbox.cgroup()]);
    command.arg(format!("--container=web,{},80", web.reference));
    command.arg(format!("--container=inetd,{},7", inetd.reference));
    let steps = succeeded(Running::start(&mut command)?.wait()?)?;
    for step in ["RunPodSandbox", "ExecSync", "StopContainer", "RemovePodSandbox"] {
        ensure!(steps.contains(&format!("\"step\":\"{step}\"")), "no {step}: {steps}");
    }
    // The bridge and the allocator's folder stay, as they do with any runtime.
    before.nothing_more(&sandbox, |line| {
        line == "interface nabla0"
            || line.starts_with("file /run/nabla-ipam")
            || super::ctr::is_containerds(line)
    })
}
