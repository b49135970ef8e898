//! Version 2: a control group is one folder.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::ROOT;

/// Makes the folder, with all controllers that there are.
pub(super) fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut above: Vec<&Path> =
        folder.ancestors().skip(1).take_while(|it| it.starts_with(ROOT)).collect();
    above.reverse();
    for parent in above {
        let controllers = fs::read_to_string(parent.join("cgroup.controllers")).unwrap_or_default();
        for controller in controllers.split_whitespace() {
            // A limit that needs one which cannot be had fails when it is set.
            let _ = fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
    Ok(())
}
