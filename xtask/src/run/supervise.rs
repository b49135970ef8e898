//! The tender as a child, from its start to its end. Signals that ask this program to stop are
//! passed on to the child and waited out, so that nothing is left running, and a guest can end in order.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use super::ready::{self, Ready};

/// The signals that ask to stop.
const STOP: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];
/// How long a child that was asked to stop may take before it is killed: more than our apps give their clients, and
/// the tender then its gateways.
const GRACE: Duration = Duration::from_secs(10);

/// What is said once the app is up.
#[derive(Debug)]
pub(crate) struct Announcement {
    /// Where it can be reached, if that is known.
    pub(crate) endpoint: Option<SocketAddr>,
    /// How to find out whether it serves, if there is a way.
    pub(crate) ready: Option<Ready>,
    /// The system calls that it may make.
    pub(crate) calls: Vec<String>,
}

#[derive(Debug)]
enum Event {
    Signal {
        signal: Signal,
        /// Whether the tender has got it as well, as a terminal signals all processes of its foreground.
        by_terminal: bool,
    },
    Ready(bool),
}

/// Starts the tender and waits for its end.
///
/// # Errors
/// If it cannot be started.
pub(crate) fn run(mut command: Command, app: &str, announcement: Announcement) -> Result<ExitCode> {
    let (sender, events) = channel();
    forward_signals(sender.clone())?;
    let start = Instant::now();
    let program = command.get_program().display().to_string();
    let mut child = command.spawn().with_context(|| format!("cannot start {program}"))?;
    announcement.check(sender);

    let (status, stopped_by) = attend(&mut child, &events, &announcement)?;
    let end = End { status, stopped_by };
    tell(&format!("{app}: {} after {}", end.in_words(), elapsed(start.elapsed())));
    Ok(end.exit_code())
}

/// Blocks the signals, in this and all later threads, and sends them as events instead. A child
/// starts with none blocked.
fn forward_signals(sender: Sender<Event>) -> Result<()> {
    let mut signals: SigSet = STOP.into_iter().collect();
    signals.add(Signal::SIGCHLD);
    signals.thread_block().context("cannot block signals")?;
    let signals =
        SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC).context("cannot wait for signals")?;
    thread::spawn(move || {
        while let Some(event) = next_signal(&signals) {
            if sender.send(event).is_err() {
                return;
            }
        }
    });
    Ok(())
}

fn next_signal(signals: &SignalFd) -> Option<Event> {
    loop {
        match signals.read_signal() {
            Ok(Some(info)) => {
                let signal = Signal::try_from(info.ssi_signo as i32).ok()?;
                let by_terminal = info.ssi_code == libc::SI_KERNEL;
                return Some(Event::Signal { signal, by_terminal });
            }
            Ok(None) | Err(Errno::EINTR) => {}
            Err(_) => return None,
        }
    }
}

/// Waits for the child's end. Returns its status and the signal that asked for it, if one did.
fn attend(
    child: &mut Child,
    events: &Receiver<Event>,
    announcement: &Announcement,
) -> Result<(ExitStatus, Option<Signal>)> {
    let mut stopped_by = None;
    loop {
        let event = match stopped_by {
            None => events.recv().ok(),
            Some(_) => events.recv_timeout(GRACE).ok(),
        };
        match event {
            Some(Event::Signal { signal: Signal::SIGCHLD, .. }) => {}
            Some(Event::Signal { signal, by_terminal }) if stopped_by.is_none() => {
                stopped_by = Some(signal);
                if !by_terminal {
                    terminate(child)?;
                }
            }
            Some(Event::Ready(answers)) if stopped_by.is_none() => announcement.say(answers),
            Some(Event::Ready(_)) => {}
            // Asked a second time, or out of patience.
            Some(Event::Signal { .. }) | None => child.kill().context("cannot kill the tender")?,
        }
        if let Some(status) = child.try_wait().context("cannot wait for the tender")? {
            return Ok((status, stopped_by));
        }
    }
}

fn terminate(child: &Child) -> Result<()> {
    let id = i32::try_from(child.id()).context("process id")?;
    kill(Pid::from_raw(id), Signal::SIGTERM).context("cannot stop the tender")
}

impl Announcement {
    /// Finds out, on a thread of its own, whether the app answers.
    fn check(&self, sender: Sender<Event>) {
        match (self.endpoint, self.ready.clone()) {
            (Some(address), Some(ready)) => {
                thread::spawn(move || sender.send(Event::Ready(ready::wait(address, &ready))));
            }
            (Some(_), None) => self.say(true),
            (None, _) => {}
        }
    }

    fn say(&self, answers: bool) {
        let Some(address) = self.endpoint else { return };
        let confinement = self.confinement();
        let (place, asked) = match &self.ready {
            Some(Ready::Http(path)) => {
                (format!("{}/", url(address)), format!("{}{path}", url(address)))
            }
            Some(Ready::Talk { .. }) | None => (address.to_string(), address.to_string()),
        };
        tell(&match (&self.ready, answers) {
            (Some(_), true) => format!("serving {place}  ({confinement})"),
            (Some(_), false) => {
                format!("{asked} does not answer yet; the guest goes on (Ctrl-C stops)")
            }
            (None, _) => format!("starting at {place}  ({confinement})"),
        });
    }

    fn confinement(&self) -> String {
        format!("{} system calls: {}; Ctrl-C stops", self.calls.len(), self.calls.join(", "))
    }
}

/// Says something on standard error. Nobody may be listening there any more; that is no reason to
/// leave the guest alone, as a panic would.
fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The address as a browser shows it.
fn url(address: SocketAddr) -> String {
    let text = address.to_string();
    format!("http://{}", text.strip_suffix(":80").unwrap_or(&text))
}

/// How it ended.
#[derive(Clone, Copy, Debug)]
struct End {
    status: ExitStatus,
    stopped_by: Option<Signal>,
}

impl End {
    fn in_words(&self) -> String {
        let signal_name = |number| Signal::try_from(number).map_or("a signal", Signal::as_str);
        match (self.stopped_by, self.status.code(), self.status.signal()) {
            (Some(signal), ..) => format!("stopped by {signal}"),
            (None, Some(code), _) => format!("exited with status {code}"),
            (None, None, Some(number)) => {
                format!("ended by {} (status {})", signal_name(number), 128 + number)
            }
            (None, None, None) => "ended".into(),
        }
    }

    /// The status of a shell: the guest's, or 128 and the number of the signal.
    fn exit_code(&self) -> ExitCode {
        let by_signal = |number: i32| u8::try_from(128 + number).unwrap_or(u8::MAX);
        match (self.stopped_by, self.status.code(), self.status.signal()) {
            (Some(signal), ..) => by_signal(signal as i32).into(),
            (None, Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX).into(),
            (None, None, signal) => by_signal(signal.unwrap_or_default()).into(),
        }
    }
}

fn elapsed(duration: Duration) -> String {
    match duration.as_secs() {
        0..10 => format!("{:.2} s", duration.as_secs_f64()),
        seconds @ 10..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(raw: i32, stopped_by: Option<Signal>) -> End {
        End { status: ExitStatus::from_raw(raw), stopped_by }
    }

    #[test]
    fn addresses_are_shown_without_the_port_of_http() {
        for (address, shown) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("10.0.0.2:80", "http://10.0.0.2"),
            ("[::1]:80", "http://[::1]"),
        ] {
            assert_eq!(url(address.parse().unwrap()), shown);
        }
    }

    #[test]
    fn ends_are_told_like_a_shell_does() {
        for (end, words, code) in [
            (end(0, None), "exited with status 0", 0),
            (end(7 << 8, None), "exited with status 7", 7),
            (end(255 << 8, None), "exited with status 255", 255),
            (end(11, None), "ended by SIGSEGV (status 139)", 139),
            (end(31, None), "ended by SIGSYS (status 159)", 159),
            (end(2, Some(Signal::SIGINT)), "stopped by SIGINT", 130),
            (end(0, Some(Signal::SIGTERM)), "stopped by SIGTERM", 143),
        ] {
            assert_eq!(end.in_words(), words);
            assert_eq!(end.exit_code(), ExitCode::from(code));
        }
    }
}
