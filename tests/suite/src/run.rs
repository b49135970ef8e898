//! One run of a guest: options, start, output, end.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{IntoRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, dup2_raw};

use crate::Binaries;

/// How long any run may take; far more than it does.
pub const TIME_OUT: Duration = Duration::from_secs(60);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this status.
    Exit(i32),
    /// By this signal; a shell reports 128 more.
    Signal(i32),
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        match status.code() {
            Some(code) => Self::Exit(code),
            None => Self::Signal(status.signal().unwrap_or_default()),
        }
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How the tender's process ended, which is how the guest did.
    pub ended: Ended,
    /// The console.
    pub stdout: String,
    /// What the tender said.
    pub stderr: String,
}

/// A run to be started.
#[derive(Clone, Debug)]
pub struct Run {
    prefix: Vec<OsString>,
    tender: PathBuf,
    options: Vec<OsString>,
    kernel: PathBuf,
    arguments: Vec<OsString>,
    descriptors: Vec<(RawFd, Arc<OwnedFd>)>,
}

impl Run {
    /// A run of a unikernel under the tender, with 16 MB of memory.
    pub fn new(binaries: &Binaries, kernel: impl Into<PathBuf>) -> Self {
        Self {
            prefix: Vec::new(),
            tender: binaries.tender(),
            options: vec!["--mem=16".into()],
            kernel: kernel.into(),
            arguments: Vec::new(),
            descriptors: Vec::new(),
        }
    }

    /// Adds an option of the tender; the last `--mem` counts.
    pub fn option(mut self, option: impl AsRef<OsStr>) -> Self {
        let option = option.as_ref().to_owned();
        if option.as_encoded_bytes().starts_with(b"--mem=") {
            self.options.remove(0);
            self.options.insert(0, option);
        } else {
            self.options.push(option);
        }
        self
    }

    /// Adds arguments of the guest.
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(OsString::from));
        self
    }

    /// Hands a descriptor to the tender, under a number that nothing else has. It should close on
    /// exec otherwise, as tests beside this one start programs too.
    pub fn descriptor(mut self, number: RawFd, descriptor: OwnedFd) -> Self {
        self.descriptors.push((number, Arc::new(descriptor)));
        self
    }

    /// Starts the tender through another program, such as `strace -f -o FILE`.
    pub fn through(mut self, prefix: &[&str]) -> Self {
        self.prefix = prefix.iter().map(OsString::from).collect();
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// If the process cannot be started.
    pub fn start(&self) -> Result<Running> {
        let mut words = self.prefix.clone();
        words.push(self.tender.clone().into());
        words.extend(self.options.iter().cloned());
        words.push("--".into());
        words.push(self.kernel.clone().into());
        words.extend(self.arguments.iter().cloned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        if !self.descriptors.is_empty() {
            hand_over(&mut command, self.descriptors.clone());
        }
        Running::start(&mut command)
    }

    /// Starts it and waits for its end.
    ///
    /// # Errors
    /// If it cannot be started or takes too long.
    pub fn finish(&self) -> Result<Outcome> {
        self.start()?.wait()
    }
}

fn hand_over(command: &mut Command, descriptors: Vec<(RawFd, Arc<OwnedFd>)>) {
    let duplicate = move || {
        for (number, descriptor) in &descriptors {
            // SAFETY: the number is nobody's in the new process, and stays open.
            let duplicate = unsafe { dup2_raw(descriptor, *number) }?;
            let _ = duplicate.into_raw_fd();
        }
        Ok(())
    };
    // SAFETY: between fork and exec it only makes system calls.
    unsafe { command.pre_exec(duplicate) };
}

/// A running guest. Dropping it kills its processes.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Output,
    stderr: Output,
}

impl Running {
    /// Starts a command, with its output read from now on and no input.
    ///
    /// # Errors
    /// If the process cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let program = command.get_program().display().to_string();
        let mut child = command.spawn().with_context(|| format!("cannot start {program}"))?;
        let stdout = Output::of(child.stdout.take().context("no stdout")?);
        let stderr = Output::of(child.stderr.take().context("no stderr")?);
        Ok(Self { child, stdout, stderr })
    }

    /// Process id of the tender: the supervisor, or the guest itself if there is none.
    pub fn id(&self) -> i32 {
        self.child.id() as i32
    }

    /// Process id of the guest.
    pub fn guest_id(&self) -> i32 {
        let named = |id: &i32| {
            let name = std::fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
            name.trim_end() == "tender-guest"
        };
        descendants(self.id()).into_iter().find(named).unwrap_or(self.id())
    }

    /// Sends a signal to the tender's process.
    ///
    /// # Errors
    /// If it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(self.id()), signal)?)
    }

    /// Waits for a line on the console that contains `text` and returns it.
    ///
    /// # Errors
    /// If the console closes or the time-out passes before.
    pub fn line_with(&mut self, text: &str) -> Result<String> {
        let line = self.stdout.line_with(text);
        line.with_context(|| format!("standard error: {}", self.stderr.take_waiting()))
    }

    /// Waits for a line on standard error that contains `text` and returns it.
    ///
    /// # Errors
    /// If it closes or the time-out passes before.
    pub fn error_line_with(&mut self, text: &str) -> Result<String> {
        let line = self.stderr.line_with(text);
        line.with_context(|| format!("console: {}", self.stdout.take_waiting()))
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// If it does not come in time.
    pub fn wait(mut self) -> Result<Outcome> {
        let deadline = Instant::now() + TIME_OUT;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(Instant::now() < deadline, "still running after {TIME_OUT:?}: {self:?}");
            thread::sleep(Duration::from_millis(2));
        };
        let (stdout, stderr) = (self.stdout.take_all(deadline), self.stderr.take_all(deadline));
        Ok(Outcome { ended: status.into(), stdout, stderr })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The supervisor ends its children; a tracer only lets go of them.
        let descendants = descendants(self.id());
        let _ = self.signal(Signal::SIGTERM);
        // A guest that ends in order is not to take its time for that.
        let _ = self.signal(Signal::SIGQUIT);
        for process in descendants {
            let _ = kill(Pid::from_raw(process), Signal::SIGQUIT);
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The processes whose parent is `parent`.
pub fn children(parent: i32) -> Vec<i32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

/// The processes below `of`, however deep.
pub fn descendants(of: i32) -> Vec<i32> {
    children(of).into_iter().flat_map(|child| [vec![child], descendants(child)].concat()).collect()
}

/// One of a process's streams, line by line.
#[derive(Debug)]
struct Output {
    lines: Receiver<String>,
    seen: String,
}

impl Output {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let (sender, lines) = channel();
        thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
                line.clear();
            }
        });
        Self { lines, seen: String::new() }
    }

    fn line_with(&mut self, text: &str) -> Result<String> {
        let deadline = Instant::now() + TIME_OUT;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push_str(&line);
                    if line.contains(text) {
                        return Ok(line.trim_end().to_owned());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("no line with '{text}' in time: {}", self.seen)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("ended without a line with '{text}': {}", self.seen)
                }
            }
        }
    }

    /// What has come so far.
    fn take_waiting(&mut self) -> String {
        let mut text = std::mem::take(&mut self.seen);
        text.extend(self.lines.try_iter());
        text
    }

    /// Everything, up to the end of the stream, which a process that is left may hold open.
    fn take_all(&mut self, deadline: Instant) -> String {
        let mut text = std::mem::take(&mut self.seen);
        let left = || deadline.saturating_duration_since(Instant::now());
        while let Ok(line) = self.lines.recv_timeout(left()) {
            text.push_str(&line);
        }
        text
    }
}

/// A loopback port that was free a moment ago.
///
/// # Errors
/// If none can be bound.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Connects to a loopback port, again until something listens there.
///
/// # Errors
/// If nothing does in time.
pub fn connect(port: u16) -> Result<TcpStream> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let deadline = Instant::now() + TIME_OUT;
    loop {
        match TcpStream::connect_timeout(&address, TIME_OUT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(TIME_OUT))?;
                stream.set_write_timeout(Some(TIME_OUT))?;
                return Ok(stream);
            }
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}
