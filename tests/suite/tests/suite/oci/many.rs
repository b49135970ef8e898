//! Many containers at once on one machine, by the runtime itself.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use suite::Binaries;
use suite::oci::bundle::{Description, make_bridge, make_networks};
use suite::oci::{Runtime, Sandbox, Traces};

use super::{PAGE, web_root};
use crate::Case;

/// How many.
const CONTAINERS: usize = 200;
/// How long all may take together, from the first `create` to the last `delete`; far more than they do.
const LIMIT: Duration = Duration::from_secs(240);

/// All cases of this file.
pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("oci::many::200 web servers at once", at_once)]
}

fn at_once(binaries: &Binaries) -> Result<()> {
    let sandbox = Sandbox::new()?;
    let root = web_root(binaries, &sandbox)?;
    make_bridge(&sandbox)?;
    let names: Vec<String> = (0..CONTAINERS).map(|index| format!("c{index}")).collect();
    let addresses = make_networks(&sandbox, &names)?;
    let runtime = Runtime::new(&sandbox, &binaries.runtime());
    let before = Traces::of(&sandbox)?;
    let start = Instant::now();
    let mut bundles = Vec::new();
    for name in &names {
        let description = Description {
            root: &root,
            words: &["/httpd"],
            environment: &["NABLA_MEMORY=16M"],
            network: Some(name),
        };
        let bundle = runtime.bundle(name, description)?;
        runtime.create(&bundle)?;
        runtime.about(&bundle, &["start"])?;
        bundles.push(bundle);
    }
    for address in &addresses {
        ensure!(sandbox.page((*address, 80).into())? == PAGE);
    }
    for bundle in &bundles {
        ensure!(runtime.state(bundle)?["status"] == "running");
        runtime.about(bundle, &["kill", "TERM"])?;
    }
    for bundle in &bundles {
        runtime.wait_for(bundle, "stopped")?;
        runtime.about(bundle, &["delete"])?;
    }
    let took = start.elapsed();
    ensure!(took < LIMIT, "took {took:?}");
    before.nothing_more(&sandbox, |line| line == "file /run/nabla-state")
}
