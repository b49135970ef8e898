//! Takes pages from the buffer and makes functions by call of them, a page at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use surface::attribution::Attribution;
use surface::format::Formats;
use surface::pages::{Event, Page};
use surface::symbols::Function;

use super::control::Control;
use super::{Recorded, hold, is_first};

const PAGE_BYTES: usize = 4096;
/// How often the buffer is looked at.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct Recorder {
    /// While there is one the tracer cannot be made another.
    pages: Option<File>,
    formats: Formats,
    attribution: Attribution<'static>,
    /// Who may be recorded, and whether it is a process.
    tasks: BTreeMap<i32, bool>,
    follow: bool,
    events: u64,
}

impl Recorder {
    pub(super) fn new(formats: Formats, attribution: Attribution<'static>) -> Self {
        Self { pages: None, formats, attribution, tasks: BTreeMap::new(), follow: false, events: 0 }
    }

    pub(super) fn learn(&mut self, attribution: Attribution<'static>) {
        self.attribution = attribution;
    }

    pub(super) fn clear(&mut self, pages: File, follow: bool) {
        self.pages = Some(pages);
        self.attribution.forget();
        self.tasks.clear();
        self.follow = follow;
        self.events = 0;
    }

    pub(super) fn attach(&mut self, task: i32, process: bool, call: Option<Function>) {
        self.tasks.insert(task, process);
        self.attribution.attach(task, call);
    }

    /// All that there is by now.
    pub(super) fn drain(&mut self) -> Result<()> {
        let mut bytes = [0; PAGE_BYTES];
        loop {
            let pages = self.pages.as_mut().context("the tracer does not record")?;
            match pages.read(&mut bytes) {
                Ok(0) => return Ok(()),
                Ok(length) => self.page(&bytes[..length])?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot read the tracer's buffer"),
            }
        }
    }

    fn page(&mut self, bytes: &[u8]) -> Result<()> {
        let page = Page::new(bytes)?;
        if let Some(lost) = page.lost() {
            bail!("the tracer has lost {lost} records between two pages; its buffer is too small");
        }
        for event in page.events(&self.formats) {
            match event? {
                Event::Function(entry) => {
                    let pid = entry.pid;
                    ensure!(
                        self.tasks.contains_key(&pid),
                        "the tracer has recorded task {pid} unasked"
                    );
                    self.events += 1;
                    self.attribution.enter(&entry);
                }
                Event::Fork { parent, child } => {
                    if self.follow && self.tasks.contains_key(&parent) {
                        // One that has ended by now was a process, as far as anybody knows.
                        self.tasks.insert(child, is_first(child).unwrap_or(true));
                        self.attribution.attach(child, None);
                    }
                }
            }
        }
        let unknown = self.attribution.unknown();
        ensure!(
            unknown == 0,
            "{unknown} records are of functions without a symbol; was a module added?"
        );
        Ok(())
    }

    pub(super) fn functions(&self) -> std::collections::BTreeSet<&'static str> {
        self.attribution.functions(false)
    }

    pub(super) fn take(&mut self) -> Recorded {
        self.pages = None;
        let mut tasks = self.attribution.take();
        for (task, done) in &mut tasks {
            if self.tasks.get(task) == Some(&false) {
                done.before.processes = 0;
                done.role.processes = 0;
            }
        }
        Recorded { events: self.events, tasks }
    }
}

/// Keeps the buffer from getting full.
#[derive(Debug)]
pub(super) struct Reader {
    thread: JoinHandle<Result<()>>,
    ends: Arc<AtomicBool>,
}

impl Reader {
    pub(super) fn start(recorder: Arc<Mutex<Recorder>>, control: Control) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Acquire) {
                std::thread::park_timeout(LOOK);
                if control.is_half_full()? {
                    hold(&recorder).drain()?;
                }
            }
            control.check()
        });
        Self { thread, ends }
    }

    pub(super) fn stop(self) -> Result<()> {
        self.ends.store(true, Ordering::Release);
        self.thread.thread().unpark();
        self.thread.join().unwrap_or_else(|_| bail!("the reader of the tracer's buffer has ended"))
    }
}
