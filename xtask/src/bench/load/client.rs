//! Requests over many connections: as fast as the server answers, or at a fixed rate, over
//! connections that stay or over a new one for each request. What they are and what answers are right is the
//! matter of a [`Protocol`].
//!
//! At a fixed rate a request's latency counts from when it was due, not from when a connection was
//! free for it: what waits behind a slow answer counts as slow.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lexopt::Parser;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit};

use super::connection::{Answer, Connection, End, READY};
use super::histogram::Histogram;
use super::outcome::{Errors, Outcome};
use super::window::Window;
use crate::bench::meter::Reading;
use crate::bench::number;

/// Connections that are being opened at a time, so that no server's backlog is full.
const OPENING_MAX: usize = 64;
/// What all connections together may take to be open: this, and a share for each.
const OPEN_TIME_OUT: Duration = Duration::from_secs(5);
const OPEN_TIME_OUT_EACH: Duration = Duration::from_millis(1);
/// How long a connection that has failed is left alone.
const PENANCE: Duration = Duration::from_millis(10);
/// How long the last answers may take.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// Due requests that wait for a connection; what is beyond is counted as not made.
const WAITING_MAX: usize = 1_000_000;
const EVENTS: usize = 512;
/// Files that are no connections.
const FILES_BESIDE: u64 = 16;
const BUFFER_BYTES: usize = 64 << 10;

/// What is asked for, and what the answers are.
pub(super) trait Protocol {
    /// Takes the answers of one connection in.
    type Reader: Default;

    /// The next request, whose answer `reader` is to expect; none if nothing is left to ask for.
    fn request(&mut self, reader: &mut Self::Reader) -> Option<&[u8]>;

    /// Takes bytes in. The answers to the request if they end it.
    ///
    /// # Errors
    /// If they are no answer, or more than was asked for.
    fn take(&mut self, reader: &mut Self::Reader, bytes: &[u8]) -> Result<Option<Answers>>;

    /// Requests that count as one each, as they are sent without waiting for answers.
    fn depth(&self) -> u64 {
        1
    }

    /// Whether all has been asked for that there is.
    fn is_done(&self) -> bool {
        false
    }

    /// The first wrong answer, if it can be told.
    fn complaint(&self) -> Option<String> {
        None
    }
}

/// How many answers there are to a request, or to several that were sent at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Answers {
    /// Those that are right.
    pub(super) right: u64,
    /// Those that are not.
    pub(super) wrong: u64,
}

/// How a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// Whom to ask, and for how long.
    pub(crate) window: Window,
    /// Connections at a time.
    pub(crate) connections: usize,
    /// Whether each request has a connection of its own.
    pub(crate) is_short: bool,
    /// Requests a second, all connections together; as many as possible if there is none.
    pub(crate) rate: Option<u64>,
}

impl Load {
    /// One connection that stays, for a client to change by its words.
    pub(super) fn empty(window: Window) -> Self {
        Self { window, connections: 1, is_short: false, rate: None }
    }

    /// The words of a worker.
    pub(super) fn words(&self) -> Vec<String> {
        let mut words = self.window.words();
        words.extend(["--connections".to_owned(), self.connections.to_string()]);
        words.extend(self.rate.iter().flat_map(|rate| ["--rate".to_owned(), rate.to_string()]));
        words.extend(self.is_short.then(|| "--short".to_owned()));
        words
    }

    /// Takes an option in; whether it is one of these.
    pub(super) fn take(&mut self, option: &str, words: &mut Parser) -> Result<bool> {
        match option {
            "connections" => self.connections = number(words, "--connections")?,
            "rate" => self.rate = Some(number(words, "--rate")?),
            "short" => self.is_short = true,
            other => return self.window.take(other, words),
        }
        Ok(true)
    }

    /// Makes sure that there is a server, and a connection to it.
    pub(super) fn check(&self) -> Result<()> {
        self.window.check()?;
        ensure!(self.connections > 0, "a client without connections");
        Ok(())
    }

    /// Makes the requests of a protocol.
    ///
    /// # Errors
    /// If there are too few files or ports for the connections, or none can be opened.
    pub(super) fn run<P: Protocol>(&self, protocol: P) -> Result<Outcome> {
        let (files, _) = getrlimit(Resource::RLIMIT_NOFILE).context("getrlimit")?;
        ensure!(
            files >= self.connections as u64 + FILES_BESIDE,
            "{files} open files are permitted (ulimit -n), too few for {} connections",
            self.connections
        );
        Client::new(self, protocol)?.run()
    }
}

struct Client<'a, P: Protocol> {
    plan: &'a Load,
    protocol: P,
    epoll: Epoll,
    buffer: Vec<u8>,
    connections: Vec<Connection<P::Reader>>,
    /// Connections that could take a request, the one that waits longest first.
    free: VecDeque<usize>,
    /// Connections that are to be opened again, and when.
    broken: VecDeque<(Instant, usize)>,
    /// When the requests were due that wait for a connection.
    waiting: VecDeque<Instant>,
    /// When the next request is due; never, but when a connection is free, without a rate.
    next_due: Instant,
    latency: Histogram,
    errors: Errors,
    answers_in_all: u64,
    is_ending: bool,
}

impl<'a, P: Protocol> Client<'a, P> {
    fn new(plan: &'a Load, protocol: P) -> Result<Self> {
        Ok(Self {
            plan,
            protocol,
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll")?,
            buffer: vec![0; BUFFER_BYTES],
            connections: (0..plan.connections).map(|_| Connection::default()).collect(),
            free: VecDeque::new(),
            broken: VecDeque::new(),
            waiting: VecDeque::new(),
            next_due: Instant::now(),
            latency: Histogram::default(),
            errors: Errors::default(),
            answers_in_all: 0,
            is_ending: false,
        })
    }

    fn run(mut self) -> Result<Outcome> {
        let opened = if self.plan.is_short {
            self.free.extend(0..self.connections.len());
            self.connections.len()
        } else {
            self.open_all()?
        };
        ensure!(opened > 0, "no connection to {} can be opened", self.plan.window.address);

        self.next_due = Instant::now();
        self.go_on_until(Instant::now() + self.plan.window.warm_up)?;
        self.latency = Histogram::default();
        let clocks = Reading::take(&self.plan.window.watched)?;
        let start = Instant::now();
        self.go_on_until(start + self.plan.window.time)?;
        let elapsed = start.elapsed();
        let clocks = Reading::take(&self.plan.window.watched)?.since(&clocks);
        let (latency, answers) = (self.latency.clone(), self.latency.count());
        self.end()?;
        Ok(Outcome {
            opened,
            answers,
            elapsed_ns: u64::try_from(elapsed.as_nanos())?,
            answers_in_all: self.answers_in_all,
            latency,
            errors: self.errors,
            complaint: self.protocol.complaint(),
            clocks,
        })
    }

    /// Opens the connections, a few at a time, and returns how many are open in time.
    fn open_all(&mut self) -> Result<usize> {
        let count = self.connections.len();
        let each = OPEN_TIME_OUT_EACH * u32::try_from(count).unwrap_or(u32::MAX);
        let deadline = Instant::now() + OPEN_TIME_OUT + each;
        let (mut started, mut open) = (0, 0);
        while open < count && Instant::now() < deadline {
            let now = Instant::now();
            while started < count && started < open + self.broken.len() + OPENING_MAX {
                self.open(started, now);
                started += 1;
            }
            self.reopen(now);
            self.wait(EpollTimeout::from(10u8), true)?;
            open = self.connections.iter().filter(|one| one.is_open()).count();
        }
        Ok(open)
    }

    /// Makes requests and takes answers.
    fn go_on_until(&mut self, end: Instant) -> Result<()> {
        loop {
            let now = Instant::now();
            if now >= end || self.is_done() {
                return Ok(());
            }
            self.reopen(now);
            self.ask(now);
            // At a rate it does not sleep: a timer would come later than the next request is due.
            let pause = if self.plan.rate.is_some() { 0u8 } else { 10 };
            self.wait(EpollTimeout::from(pause), false)?;
        }
    }

    /// Whether everything has been asked for and answered.
    fn is_done(&self) -> bool {
        self.protocol.is_done() && !self.connections.iter().any(Connection::is_busy)
    }

    /// Waits for the answers to what was asked.
    fn end(&mut self) -> Result<()> {
        self.is_ending = true;
        let deadline = Instant::now() + LAST_ANSWERS;
        let busy = |client: &Self| client.connections.iter().filter(|one| one.is_busy()).count();
        while busy(self) > 0 && Instant::now() < deadline {
            self.wait(EpollTimeout::from(10u8), true)?;
        }
        self.errors.silent += busy(self) as u64;
        Ok(())
    }

    /// Makes the requests that are due.
    fn ask(&mut self, now: Instant) {
        let Some(rate) = self.plan.rate else {
            while !self.protocol.is_done()
                && let Some(at) = self.next_free()
            {
                self.send(at, now, now);
            }
            return;
        };
        while self.next_due <= now {
            if self.waiting.len() < WAITING_MAX {
                self.waiting.push_back(self.next_due);
            } else {
                self.errors.late += 1;
            }
            self.next_due +=
                Duration::from_nanos(1_000_000_000 * self.protocol.depth() / rate.max(1));
        }
        while let Some(&due) = self.waiting.front()
            && let Some(at) = self.next_free()
        {
            self.waiting.pop_front();
            self.send(at, due, now);
        }
    }

    /// The connection that has waited longest. One that was closed meanwhile is in the list twice.
    fn next_free(&mut self) -> Option<usize> {
        loop {
            let at = self.free.pop_front()?;
            let connection = &self.connections[at];
            if !connection.is_busy() && (self.plan.is_short || !connection.is_closed()) {
                return Some(at);
            }
        }
    }

    /// Makes a request over this connection, which is opened first if it has to be.
    fn send(&mut self, at: usize, due: Instant, now: Instant) {
        let connection = &mut self.connections[at];
        connection.due(due);
        if connection.is_closed() {
            self.open(at, now);
        } else if let Err(end) = connection.send(&mut self.protocol) {
            self.end_one(at, end, now);
        }
    }

    fn open(&mut self, at: usize, now: Instant) {
        let opened = self.connections[at].open(self.plan.window.address, |stream| {
            self.epoll.add(stream, EpollEvent::new(READY, at as u64)).context("epoll")
        });
        if opened.is_err() {
            self.end_one(at, End::Refused, now);
        }
    }

    /// Opens again what has failed some time ago.
    fn reopen(&mut self, now: Instant) {
        while let Some(&(when, at)) = self.broken.front()
            && when <= now
        {
            self.broken.pop_front();
            if self.plan.is_short {
                self.free.push_back(at);
            } else {
                self.open(at, now);
            }
        }
    }

    fn wait(&mut self, timeout: EpollTimeout, is_opening: bool) -> Result<()> {
        let mut events = [EpollEvent::empty(); EVENTS];
        let count = match self.epoll.wait(&mut events, timeout) {
            Ok(count) => count,
            Err(nix::errno::Errno::EINTR) => 0,
            Err(error) => return Err(error).context("epoll"),
        };
        for event in &events[..count] {
            self.react(event.data() as usize, event, is_opening);
        }
        Ok(())
    }

    fn react(&mut self, at: usize, event: &EpollEvent, is_opening: bool) {
        let connection = &mut self.connections[at];
        let news = connection.react(event.events(), &mut self.protocol, &mut self.buffer);
        if news.is_open {
            self.free.push_back(at);
        }
        let now = if news.answer.is_some() || news.end.is_some() { Instant::now() } else { return };
        if let Some(answer) = news.answer {
            self.count(answer, now);
        }
        if let Some(end) = news.end {
            self.end_one(at, end, now);
        } else if !self.plan.is_short {
            // An answer is followed by a request at once, as long as there is no rate. Of a short
            // connection the end is waited for: the server closes first and keeps what is left.
            match self.plan.rate {
                None if !is_opening && !self.is_ending && !self.protocol.is_done() => {
                    self.send(at, now, now);
                }
                _ => self.free.push_back(at),
            }
        }
    }

    fn count(&mut self, answer: Answer, now: Instant) {
        let Answers { right, wrong } = answer.answers;
        self.answers_in_all += right + wrong;
        let took = now.saturating_duration_since(answer.due);
        self.latency.add_times(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), right);
        self.errors.wrong += wrong;
    }

    fn end_one(&mut self, at: usize, end: End, now: Instant) {
        self.connections[at].close();
        match end {
            End::Closed if self.plan.is_short => return self.free.push_back(at),
            End::Closed => self.errors.closed += 1,
            End::Refused => self.errors.connect += 1,
            End::Broken => self.errors.broken += 1,
        }
        self.broken.push_back((now + PENANCE, at));
    }
}
