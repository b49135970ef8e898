//! The files of tracefs that say what is recorded. Source: Documentation/trace/ftrace.rst of Linux 6.1.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use surface::format::{Fork, Formats, Function};

/// Where it is mounted.
const TRACEFS: &str = "/sys/kernel/tracing";
const CPU: &str = "per_cpu/cpu0";
const FORKS: &str = "events/sched/sched_process_fork";
const FUNCTIONS: &str = "events/ftrace/function";

#[derive(Clone, Debug)]
pub(super) struct Control {
    folder: PathBuf,
    buffer_kib: u32,
}

impl Control {
    pub(super) fn new(buffer_kib: u32) -> Result<Self> {
        let control = Self { folder: TRACEFS.into(), buffer_kib };
        let tracers = control.read("available_tracers")?;
        let has = tracers.split_whitespace().any(|tracer| tracer == "function");
        ensure!(has, "this kernel has no function tracer, only {}", tracers.trim());
        let cpus = fs::read_dir(control.path("per_cpu")).context("per_cpu")?.count();
        ensure!(
            cpus == 1,
            "there are {cpus} processors; the order of records needs a machine with one"
        );
        control.end()?;
        // What comes when it is full is dropped and counted: nothing that was recorded goes.
        control.write("options/overwrite", "0")?;
        control.write("buffer_size_kb", &buffer_kib.to_string())?;
        control.write(&format!("{FORKS}/enable"), "1")?;
        Ok(control)
    }

    pub(super) fn formats(&self) -> Result<Formats> {
        let function = Function::parse(&self.read(&format!("{FUNCTIONS}/format"))?)?;
        let fork = Fork::parse(&self.read(&format!("{FORKS}/format"))?)?;
        Ok(Formats { function, fork: Some(fork) })
    }

    /// The buffer. Reading takes a page, and does not wait for one.
    pub(super) fn pages(&self) -> Result<File> {
        let path = self.path(&format!("{CPU}/trace_pipe_raw"));
        let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(&path);
        file.with_context(|| path.display().to_string())
    }

    /// Forgets what there is.
    pub(super) fn clear(&self, follow: bool) -> Result<()> {
        self.write("tracing_on", "0")?;
        self.write("trace", "")?;
        self.write("set_ftrace_notrace", "")?;
        self.write("options/function-fork", if follow { "1" } else { "0" })
    }

    pub(super) fn trace(&self, tasks: &[i32]) -> Result<()> {
        let words: Vec<String> = tasks.iter().map(i32::to_string).collect();
        self.write("set_ftrace_pid", &(words.join(" ") + "\n"))?;
        let there = self.read("set_ftrace_pid")?;
        let is_there =
            |word: &&String| !there.split_whitespace().any(|there| there == word.as_str());
        let missing: Vec<_> = words.iter().filter(is_there).collect();
        ensure!(missing.is_empty(), "the tracer does not take tasks {missing:?}");
        self.write("current_tracer", "function")
    }

    pub(super) fn switch(&self, on: bool) -> Result<()> {
        self.write("tracing_on", if on { "1" } else { "0" })
    }

    /// Makes functions ordinary again, which costs tasks less.
    pub(super) fn end(&self) -> Result<()> {
        self.switch(false)?;
        self.write("current_tracer", "nop")
    }

    /// By line of `available_filter_functions`: looking for names takes the kernel a second each here.
    pub(super) fn exclude(&self, lines: &[u32]) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let path = self.path("set_ftrace_notrace");
        let words: String = lines.iter().map(|line| format!("{line} ")).collect();
        let file = OpenOptions::new().append(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(words.as_bytes()));
        written.with_context(|| path.display().to_string())
    }

    /// Whether a task that goes on for long may lose records.
    pub(super) fn is_half_full(&self) -> Result<bool> {
        Ok(self.stat("bytes")? > u64::from(self.buffer_kib) * 1024 / 2)
    }

    pub(super) fn check(&self) -> Result<()> {
        for name in ["overrun", "commit overrun", "dropped events"] {
            let lost = self.stat(name)?;
            ensure!(
                lost == 0,
                "the tracer has lost {lost} records ({name}); its buffer is too small"
            );
        }
        Ok(())
    }

    fn stat(&self, name: &str) -> Result<u64> {
        let stats = self.read(&format!("{CPU}/stats"))?;
        number(&stats, name).with_context(|| format!("the tracer does not say its '{name}'"))
    }

    pub(super) fn read(&self, name: &str) -> Result<String> {
        let path = self.path(name);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path(name);
        fs::write(&path, text)
            .with_context(|| format!("cannot write '{text}' to {}", path.display()))
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(&self.folder).join(name)
    }
}

fn number(stats: &str, name: &str) -> Option<u64> {
    let line = stats.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_read_by_whole_names() {
        let stats = "entries: 5\noverrun: 1\ncommit overrun: 2\nbytes: 380\ndropped events: 3\n";
        assert_eq!(number(stats, "overrun"), Some(1));
        assert_eq!(number(stats, "commit overrun"), Some(2));
        assert_eq!(number(stats, "dropped events"), Some(3));
        assert_eq!(number(stats, "drop"), None);
    }
}
