//! Many containers of a runtime at once, each with a server in a network of its own that is there before. They are
//! created and started in one step (`run --detach`), all steps at the same time.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::bundle;
use super::network::{Wire, answers};
use super::runtime::{Kind, Runtime};
use super::stage::{self, Stage};

/// What all together may take to answer: this, and a share for each.
const PATIENCE: Duration = Duration::from_secs(20);
const PATIENCE_EACH: Duration = Duration::from_millis(500);
/// Between two questions: they take the processor from who is starting.
const PAUSE: Duration = Duration::from_millis(2);

/// Containers that run. Dropping them removes them.
#[derive(Debug)]
pub(in crate::bench) struct Crowd<'a> {
    runtime: &'a Runtime,
    wires: &'a [Wire<'a>],
    places: Vec<(String, PathBuf)>,
    /// From before the first was started until all had answered.
    pub(in crate::bench) elapsed: Duration,
}

impl<'a> Crowd<'a> {
    /// Starts a container on each wire, and waits until all have answered.
    ///
    /// # Errors
    /// If one fails, or is silent.
    pub(in crate::bench) fn start(
        stage: &mut Stage,
        runtime: &'a Runtime,
        wires: &'a [Wire<'a>],
    ) -> Result<Self> {
        stage.check()?;
        let places: Vec<_> = wires.iter().map(|_| stage.place()).collect();
        let mut crowd = Self { runtime, wires, places, elapsed: Duration::ZERO };
        let mut commands = Vec::new();
        for ((id, bundle), wire) in crowd.places.iter().zip(wires) {
            bundle::write(bundle, id, &runtime.contents, &wire.path())?;
            let pid = bundle.join("pid");
            let (bundle, pid) = (bundle.to_string_lossy(), pid.to_string_lossy());
            commands.push(
                ["run", "--detach", "--bundle", &bundle, "--pid-file", &pid, id].map(str::to_owned),
            );
        }
        let patience = PATIENCE + PATIENCE_EACH * u32::try_from(wires.len()).unwrap_or(u32::MAX);
        let start = Instant::now();
        let mut children = crowd.spawn(commands.iter().map(<[String; 7]>::as_slice))?;
        let answered = wires.iter().try_for_each(|wire| {
            while !answers(wire.server().into(), start.elapsed()) {
                stage.check()?;
                for child in &mut children {
                    let status = child.try_wait().context("wait")?;
                    let failed = status.filter(|status| !status.success());
                    ensure!(failed.is_none(), "{} run has failed", runtime.kind.name());
                }
                ensure!(start.elapsed() < patience, "{}: no answer", runtime.kind.name());
                thread::sleep(PAUSE);
            }
            Ok(())
        });
        crowd.elapsed = start.elapsed();
        for child in &mut children {
            if answered.is_err() {
                let _ = child.kill();
            }
            child.wait().context("wait")?;
        }
        answered.map(|()| crowd)
    }

    /// Calls the runtime for each list of words, all at once.
    fn spawn<'w>(&self, calls: impl Iterator<Item = &'w [String]> + Send) -> Result<Vec<Child>> {
        let spawn = move || -> Result<Vec<Child>> {
            let mut children = Vec::new();
            for words in calls {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let candidate = self.runtime.command(&words);
                let mut command = Command::new(&candidate.program);
                command.args(&candidate.arguments).stdin(Stdio::null());
                command.stdout(Stdio::null()).stderr(Stdio::null());
                children.push(command.spawn().with_context(|| candidate.name.clone())?);
            }
            Ok(children)
        };
        match &self.runtime.view {
            None => spawn(),
            Some(view) => view.within(spawn)?,
        }
    }

    fn remove(&self) -> Result<()> {
        // One that is told to delete what still runs waits for its end, gVisor's for seconds.
        self.call_all(|id| vec!["kill".into(), id.into(), "KILL".into()])?;
        let ended = stage::wait_for_all();
        self.call_all(|id| vec!["delete".into(), "--force".into(), id.into()])?;
        ended.or_else(|_| stage::wait_for_all())?;
        if self.runtime.kind == Kind::Runsc {
            self.wires.iter().try_for_each(Wire::restore)?;
        }
        Ok(())
    }
}

impl Crowd<'_> {
    /// Calls the runtime for each container at the same time. What it says does not matter.
    fn call_all(&self, words: impl Fn(&str) -> Vec<String>) -> Result<()> {
        let calls: Vec<_> = self.places.iter().map(|(id, _)| words(id)).collect();
        for mut child in self.spawn(calls.iter().map(Vec::as_slice))? {
            child.wait().context("wait")?;
        }
        Ok(())
    }
}

impl Drop for Crowd<'_> {
    fn drop(&mut self) {
        if let Err(reason) = self.remove() {
            eprintln!("  {}: {reason:#}", self.runtime.kind.name());
        }
        for (_, bundle) in &self.places {
            let _ = fs::remove_dir_all(bundle);
        }
    }
}
