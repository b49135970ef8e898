//! The kernel's function tracer: records what some tasks do, and says which calls it was for. Nothing may be
//! lost and nothing may come from others; else there is an error instead of figures.
//!
//! Records are read while tasks go on, but not before the buffer is half full: reading takes the one
//! processor from those who are looked at.

mod control;
mod recorder;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use surface::attribution::{Attribution, Done, is_landmark};
use surface::symbols::Symbols;

use crate::kcore::Kcore;
use control::Control;
use recorder::{Reader, Recorder};

/// Pages of the buffer: 18 million records.
const BUFFER_KIB: u32 = 512 << 10;
const MODULES: &str = "/proc/modules";
/// A number that no task has (the kernel ends at 4194304): with no number at all the tracer would
/// record everything, and it forgets those of tasks that end.
const NOBODY: i32 = 1 << 29;

/// The tracer, of which there is one.
#[derive(Debug)]
pub(crate) struct Tracer {
    control: Control,
    /// Which modules there were when symbols were read, with what else is known of them.
    modules: String,
    symbols: &'static Symbols,
    /// Which lines of `available_filter_functions` a name stands in, from 1.
    lines: BTreeMap<String, Vec<u32>>,
    /// Entries of system calls by number.
    table: Vec<u64>,
    recorder: Arc<Mutex<Recorder>>,
    reader: Option<Reader>,
}

/// What was recorded.
#[derive(Debug)]
pub(crate) struct Recorded {
    /// How many functions were entered.
    pub(crate) events: u64,
    /// What each task did. A thread that is not its process's first counts as no process.
    pub(crate) tasks: BTreeMap<i32, Done>,
}

impl Tracer {
    /// Makes the tracer ready. Needs tracefs and one processor: records of several have no common order.
    ///
    /// # Errors
    /// If the kernel's tracer is not what is known here.
    pub(crate) fn new() -> Result<Self> {
        let control = Control::new(BUFFER_KIB)?;
        let modules = fs::read_to_string(MODULES).context(MODULES)?;
        let (symbols, lines) = learn(&control)?;
        let table = match symbols.table() {
            Some((begin, end)) => Kcore::open()?.words(begin, end)?,
            None => Vec::new(),
        };
        let recorder = Recorder::new(control.formats()?, Attribution::new(symbols));
        let recorder = Arc::new(Mutex::new(recorder));
        Ok(Self { control, modules, symbols, lines, table, recorder, reader: None })
    }

    /// Modules bring symbols, which are read again when there are others.
    fn look_for_modules(&mut self) -> Result<()> {
        let modules = fs::read_to_string(MODULES).context(MODULES)?;
        if names_of(&modules).ne(names_of(&self.modules)) {
            (self.symbols, self.lines) = learn(&self.control)?;
            hold(&self.recorder).learn(Attribution::new(self.symbols));
            self.modules = modules;
        }
        Ok(())
    }

    /// Records these tasks (numbers of threads), and with `follow` those that they start.
    ///
    /// # Errors
    /// If one of them is not there, or something is recorded already.
    pub(crate) fn start(&mut self, tasks: &[i32], follow: bool) -> Result<()> {
        ensure!(self.reader.is_none(), "the tracer records already");
        ensure!(!tasks.is_empty(), "there is no task to be traced");
        self.look_for_modules()?;
        self.control.clear(follow)?;
        let numbers: Vec<i32> = tasks.iter().copied().chain([NOBODY]).collect();
        self.control.trace(&numbers)?;
        {
            let mut recorder = hold(&self.recorder);
            recorder.clear(self.control.pages()?, follow);
            for &task in tasks {
                recorder.attach(task, is_first(task)?, self.call_of(task)?);
            }
        }
        self.control.switch(true)?;
        self.reader = Some(Reader::start(Arc::clone(&self.recorder), self.control.clone()));
        Ok(())
    }

    /// Ends recording.
    ///
    /// # Errors
    /// If records were lost, are not understood, or came from others.
    pub(crate) fn stop(&mut self) -> Result<Recorded> {
        self.control.switch(false)?;
        let reader = self.reader.take().context("the tracer does not record")?;
        reader.stop()?;
        let mut recorder = hold(&self.recorder);
        recorder.drain()?;
        let recorded = recorder.take();
        self.control.end()?;
        Ok(recorded)
    }

    /// How many functions tasks entered by themselves so far.
    ///
    /// # Errors
    /// As [`Tracer::stop`]'s.
    pub(crate) fn seen(&mut self) -> Result<BTreeSet<&'static str>> {
        let mut recorder = hold(&self.recorder);
        recorder.drain()?;
        Ok(recorder.functions())
    }

    /// Records functions no more that tasks entered by themselves and that attribution can do without, until the
    /// next start: for who makes so many calls that their records take too long, and wants to know
    /// no more than which functions there are. Gives how many were seen.
    ///
    /// # Errors
    /// As [`Tracer::stop`]'s.
    pub(crate) fn exclude_seen(&mut self) -> Result<usize> {
        let seen = self.seen()?;
        let names = seen.iter().copied().filter(|name| !is_landmark(name));
        self.exclude(&names.collect::<Vec<_>>())?;
        Ok(seen.len())
    }

    /// Records these functions no more, until the next start.
    ///
    /// # Errors
    /// If attribution needs one, or the tracer does not know it.
    pub(crate) fn exclude(&mut self, names: &[&str]) -> Result<()> {
        let mut numbers = Vec::new();
        for &name in names {
            ensure!(
                !is_landmark(name),
                "'{name}' must be recorded, to know why a task is in the kernel"
            );
            let lines = self.lines.get(name);
            numbers
                .extend(lines.with_context(|| format!("'{name}' is no function of the tracer's"))?);
        }
        self.control.exclude(&numbers)
    }

    /// How many functions the tracer knows.
    pub(crate) fn traceable(&self) -> u32 {
        self.symbols.traceable()
    }

    /// How many system calls the kernel has.
    pub(crate) fn calls(&self) -> u32 {
        let table = self.table.iter();
        table.filter_map(|&entry| self.symbols.call_at(entry)).collect::<BTreeSet<_>>().len() as u32
    }

    /// The entry of the system call that a task waits in.
    fn call_of(&self, task: i32) -> Result<Option<surface::symbols::Function>> {
        let file = format!("/proc/{task}/syscall");
        let text = fs::read_to_string(&file).with_context(|| file.clone())?;
        // "running", or -1 for another reason to be in the kernel.
        let number = text.split(' ').next().and_then(|number| number.parse::<usize>().ok());
        let entry = number.and_then(|number| self.table.get(number));
        Ok(entry.and_then(|&entry| self.symbols.at(entry)))
    }
}

/// The kernel's symbols, and which lines the tracer's functions stand in.
fn learn(control: &Control) -> Result<(&'static Symbols, BTreeMap<String, Vec<u32>>)> {
    let traceable = control.read("available_filter_functions")?;
    let kallsyms = fs::read_to_string("/proc/kallsyms").context("/proc/kallsyms")?;
    // They stay as long as this machine.
    let symbols: &Symbols = Box::leak(Box::new(Symbols::parse(&kallsyms, &traceable)?));
    let mut lines = BTreeMap::<String, Vec<u32>>::new();
    for (number, line) in (1..).zip(traceable.lines()) {
        let name = line.split(' ').next().unwrap_or("");
        lines.entry(name.to_owned()).or_default().push(number);
    }
    Ok((symbols, lines))
}

fn names_of(modules: &str) -> impl Iterator<Item = &str> {
    modules.lines().filter_map(|line| line.split(' ').next())
}

/// Whether a thread is its process's first one.
fn is_first(task: i32) -> Result<bool> {
    let file = format!("/proc/{task}/status");
    let status = fs::read_to_string(&file);
    let status = status.with_context(|| format!("there is no task {task} to be traced"))?;
    let group = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    Ok(group.is_none_or(|group| group.trim().parse() == Ok(task)))
}

/// A panic ends the program, so that no lock is left broken.
fn hold(recorder: &Mutex<Recorder>) -> MutexGuard<'_, Recorder> {
    recorder.lock().unwrap_or_else(PoisonError::into_inner)
}
