//! The jail: what guests and gateways find around them, and that it changes nothing about their end.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use suite::{Binaries, Ended, Need, Run};

use crate::Case;
use crate::behaviours::{SIGSEGV, SIGSYS};
use crate::confinement::{
    AS_NOBODY, Copies, NOBODY, OTHER_USER, ROOT, check_status, descriptors, found, waiting_guest,
};

const NAMESPACE: &[Need] = &[Need::Root, Need::Program("unshare", "util-linux")];

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("jail::namespaces, root and user, as root", of_root).with_needs(ROOT),
        Case::new("jail::namespaces, root and user, as nobody", of_nobody).with_needs(OTHER_USER),
        Case::new("jail::as root of a user namespace", in_namespace).with_needs(NAMESPACE),
        Case::new("jail::ends as the guest does", ends),
        Case::new("jail::a gateway is jailed too", of_gateway).with_needs(ROOT),
    ]
}

/// The namespaces that two processes do not share.
fn differing_namespaces(one: i32, other: i32) -> Result<BTreeSet<&'static str>> {
    let kinds = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];
    let namespace = |process: i32, kind| fs::read_link(format!("/proc/{process}/ns/{kind}"));
    let mut differing = BTreeSet::new();
    for kind in kinds {
        if namespace(one, kind)? != namespace(other, kind)? {
            differing.insert(kind);
        }
    }
    Ok(differing)
}

fn check(guest: i32, supervisor: i32) -> Result<()> {
    let own = differing_namespaces(guest, supervisor)?;
    let all = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];
    ensure!(own == all.into(), "own namespaces: {own:?}");
    let root = format!("/proc/{guest}/root/");
    ensure!(fs::read_dir(&root)?.next().is_none(), "the root is not empty");
    let mounts = fs::read_to_string(format!("/proc/{guest}/mounts"))?;
    ensure!(mounts.lines().count() == 1 && mounts.contains(" / tmpfs ro,"), "{mounts}");
    let status = fs::read_to_string(format!("/proc/{guest}/status"))?;
    ensure!(status.contains(&format!("\nUid:\t{0}\t{0}\t{0}\t{0}\n", NOBODY)), "{status}");
    ensure!(status.contains(&format!("\nGid:\t{0}\t{0}\t{0}\t{0}\n", NOBODY)), "{status}");
    let groups = status.lines().find_map(|line| line.strip_prefix("Groups:")).context("groups")?;
    ensure!(groups.trim().is_empty(), "{status}");
    let user_map = fs::read_to_string(format!("/proc/{guest}/uid_map"))?;
    let map: Vec<_> = user_map.split_whitespace().collect();
    ensure!(map == ["65534", "65534", "1"], "{user_map}");
    let interfaces = fs::read_to_string(format!("/proc/{guest}/net/dev"))?;
    ensure!(interfaces.lines().skip(2).all(|line| line.trim().starts_with("lo:")), "{interfaces}");
    Ok(())
}

fn of_root(binaries: &Binaries) -> Result<()> {
    let running = waiting_guest(binaries, &[], &["--jail"])?;
    check(running.guest_id(), running.id())?;
    check_status(&format!("/proc/{}", running.guest_id()), 0x4000_04d8)?;
    running.signal(Signal::SIGTERM)?;
    let outcome = running.wait()?;
    ensure!(outcome.ended == Ended::Signal(Signal::SIGTERM as i32), "{outcome:?}");
    ensure!(outcome.stderr.ends_with("killed by SIGTERM (asked to end)\n"), "{outcome:?}");
    Ok(())
}

fn of_nobody(binaries: &Binaries) -> Result<()> {
    let copies = Copies::new(binaries, &["net-echo"])?;
    let running = waiting_guest(&copies.binaries, &AS_NOBODY, &["--jail"])?;
    check(running.guest_id(), running.id())
}

/// Root of a user namespace that has one user only, itself.
fn in_namespace(binaries: &Binaries) -> Result<()> {
    let outcome = Run::new(binaries, binaries.guest("hello"))
        .option("--jail")
        .through(&["unshare", "--map-root-user"])
        .finish()?;
    ensure!(outcome.ended == Ended::Exit(0) && outcome.stderr.is_empty(), "{outcome:?}");
    Ok(())
}

/// Status and output are those without a jail.
fn ends(binaries: &Binaries) -> Result<()> {
    for (guest, words, ended) in [
        ("exit-status", &["7"][..], Ended::Exit(7)),
        ("panic", &[], Ended::Exit(255)),
        ("null-dereference", &[], Ended::Signal(SIGSEGV)),
        ("escape", &["syscall", "39"], Ended::Signal(SIGSYS)),
    ] {
        let run = Run::new(binaries, binaries.guest(guest)).arguments(words);
        let (jailed, free) = (run.clone().option("--jail").finish()?, run.finish()?);
        ensure!(jailed.ended == ended && free.ended == ended, "{jailed:?} {free:?}");
        ensure!(jailed.stdout == free.stdout, "{jailed:?} {free:?}");
        let first = |text: &str| text.lines().next().map(str::to_owned);
        ensure!(first(&jailed.stderr) == first(&free.stderr), "{jailed:?} {free:?}");
    }
    Ok(())
}

/// By default, where there is a gateway.
fn of_gateway(binaries: &Binaries) -> Result<()> {
    let secret = "squeamish-ossifrage";
    let mut running = Run::new(binaries, binaries.guest("net-echo"))
        .option("--net:service=user")
        .option("--publish:service=0:7")
        .through(&["env", &format!("SECRET={secret}")])
        .start()?;
    running.line_with("echo on 10.0.2.15/24")?;
    let guest = running.guest_id();
    check(guest, running.id())?;
    let children = suite::run::children(running.id());
    let gateway = *children.iter().find(|child| **child != guest).context("no gateway")?;
    let own = differing_namespaces(gateway, running.id())?;
    ensure!(own == ["user", "mnt", "ipc", "uts", "cgroup"].into(), "own namespaces: {own:?}");
    let root = format!("/proc/{gateway}/root/");
    ensure!(fs::read_dir(&root)?.next().is_none(), "the root is not empty");
    let status = fs::read_to_string(format!("/proc/{gateway}/status"))?;
    ensure!(status.contains(&format!("\nUid:\t{0}\t{0}\t{0}\t{0}\n", NOBODY)), "{status}");
    ensure!(status.contains("\nSeccomp:\t2\n"), "{status}");
    let kinds: BTreeSet<_> = descriptors(&format!("/proc/{gateway}"))?
        .into_iter()
        .map(|line| line.split_once(' ').map_or(line.clone(), |(_, kind)| kind.to_owned()))
        .collect();
    // Its console, the wire, the published port, and what it waits by.
    let expected = ["/dev/null", "pipe", "socket", "anon_inode"].map(String::from);
    ensure!(kinds == expected.into(), "{kinds:?}");
    ensure!(found(gateway, &[secret])?.is_empty(), "the environment is still there");
    // The supervisor has it, so the search finds something.
    ensure!(found(running.id(), &[secret])? == [secret], "the search finds nothing");
    Ok(())
}
