//! What all connections share: the site, the limits, the clock and the counters.
//!
//! Starts no task and accepts no connection; that is the guest's entry, which asks here whether
//! there is room and then runs [`Server::serve`] or [`Server::refuse`] in a task of its own.

use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::Cell;
use core::fmt::{self, Write};
use core::future::Future;
use core::time::Duration;

use crate::connection;
use crate::date;
use crate::inbox::Inbox;
use crate::metrics::{Metrics, describe};
use crate::outbox::Outbox;
use crate::request::HeadLimits;
use crate::site::{File, ReadError, Site, Span};
use crate::world::{BlockRead, Clock, Stream};

/// Refusals under way at one time; beyond these, connections are reset.
const REFUSALS_MAX: u64 = 64;

/// The bounds of a server.
#[derive(Debug, Clone)]
pub struct Config {
    /// The most connections that are served at one time.
    pub connections_max: usize,
    /// The most requests that are under way at one time: only these need memory for a head and an
    /// answer, up to [`head_bytes_max`](HeadLimits::head_bytes_max) and
    /// [`buffer_bytes`](Self::buffer_bytes).
    pub exchanges_max: usize,
    /// The bounds of request heads.
    pub head: HeadLimits,
    /// The longest request body that is read and thrown away to keep a connection.
    pub body_bytes_max: u64,
    /// How long a connection may stay without a request.
    pub idle_timeout: Duration,
    /// The same while more than three quarters of [`connections_max`](Self::connections_max) are
    /// in use, so that idle connections make room for new ones.
    pub crowded_idle_timeout: Duration,
    /// How long a request's head may take to arrive, and its body again.
    pub head_timeout: Duration,
    /// How long a peer may take for a bufferful of a response, on top of a second for each KiB.
    pub send_timeout: Duration,
    /// How long the peer may take to close after the server has.
    pub linger_timeout: Duration,
    /// The memory that a response takes at most; files are sent through it bit by bit.
    pub buffer_bytes: usize,
    /// The value of `Cache-Control` for files.
    pub cache_control: &'static str,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            connections_max: 1024,
            exchanges_max: 1024,
            head: HeadLimits::default(),
            body_bytes_max: 64 * 1024,
            idle_timeout: Duration::from_secs(60),
            crowded_idle_timeout: Duration::from_secs(5),
            head_timeout: Duration::from_secs(10),
            send_timeout: Duration::from_secs(30),
            linger_timeout: Duration::from_secs(2),
            buffer_bytes: 32 * 1024,
            cache_control: "no-cache",
        }
    }
}

type ExtraMetrics = Box<dyn Fn(&mut dyn Write) -> fmt::Result>;

/// A static web server.
pub struct Server<B, C> {
    pub(crate) config: Config,
    pub(crate) site: Site<B>,
    pub(crate) clock: C,
    metrics: Rc<Metrics>,
    extra_metrics: Option<ExtraMetrics>,
    started_at: Duration,
    refusals: Cell<u64>,
    is_closing: Cell<bool>,
    /// The buffers of the last exchange: most begin and end without another between.
    spare: Cell<Option<(Inbox, Outbox)>>,
    /// The date of the second in which it was last asked for.
    date: Cell<(u64, [u8; date::LEN])>,
}

/// The right to be served, which ends when it is dropped.
#[derive(Debug)]
pub struct Permit {
    metrics: Rc<Metrics>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.metrics.connections_current.subtract(1);
    }
}

/// What a connection needs beside itself while a request or its answer is on the way.
pub(crate) struct Exchange {
    pub(crate) inbox: Inbox,
    pub(crate) outbox: Outbox,
    pub(crate) count: Count,
}

/// One of the exchanges that are under way.
pub(crate) struct Count(Rc<Metrics>);

impl Drop for Count {
    fn drop(&mut self) {
        self.0.exchanges.subtract(1);
    }
}

impl<B: BlockRead, C: Clock> Server<B, C> {
    /// A server of `site`. Its uptime begins now.
    pub fn new(mut config: Config, site: Site<B>, clock: C) -> Self {
        let block_size = site.block_size();
        config.buffer_bytes =
            config.buffer_bytes.max(16 * 1024).max(8 * block_size).next_multiple_of(block_size);
        let started_at = clock.now();
        let date = Cell::new((0, date::format(0)));
        Server {
            config,
            site,
            clock,
            metrics: Rc::default(),
            extra_metrics: None,
            started_at,
            refusals: Cell::new(0),
            is_closing: Cell::new(false),
            spare: Cell::new(None),
            date,
        }
    }

    /// Adds a function that writes metrics of its own, whole lines, at the end of `/metrics`.
    pub fn with_extra_metrics(
        mut self,
        write: impl Fn(&mut dyn Write) -> fmt::Result + 'static,
    ) -> Self {
        self.extra_metrics = Some(Box::new(write));
        self
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The site.
    pub fn site(&self) -> &Site<B> {
        &self.site
    }

    /// The right to serve one more connection, if there is room.
    pub fn try_admit(&self) -> Option<Permit> {
        if self.metrics.connections_current.get() >= self.config.connections_max as u64 {
            return None;
        }
        self.metrics.connections_current.add(1);
        self.metrics.connections.add(1);
        Some(Permit { metrics: Rc::clone(&self.metrics) })
    }

    /// From now on each answer is the last one of its connection. Those that wait for a request are told by
    /// [`Stream::poll_shutdown`].
    pub fn close(&self) {
        self.is_closing.set(true);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.get()
    }

    /// How many connections there are, those that are being refused included.
    pub fn connections(&self) -> u64 {
        self.metrics.connections_current.get() + self.refusals.get()
    }

    /// Whether connections that only wait are in the way of new ones.
    pub(crate) fn is_crowded(&self) -> bool {
        let most = self.config.connections_max as u64;
        self.metrics.connections_current.get().saturating_mul(4) > most.saturating_mul(3)
    }

    /// Serves one connection until it ends. Never fails: what goes wrong ends the connection.
    pub fn serve<S: Stream>(self: Rc<Self>, permit: Permit, stream: S) -> impl Future<Output = ()> {
        connection::serve(self, permit, stream)
    }

    /// Answers a connection for which there is no room with a 503, and closes it.
    pub async fn refuse<S: Stream>(self: Rc<Self>, mut stream: S) {
        self.metrics.refused.add(1);
        if self.refusals.get() >= REFUSALS_MAX {
            return stream.abort();
        }
        self.refusals.set(self.refusals.get() + 1);
        connection::refuse(&self, stream).await;
        self.refusals.set(self.refusals.get() - 1);
    }

    /// Begins to attend to a peer that has sent something, if there is room for one more.
    pub(crate) fn try_begin(&self) -> Option<Exchange> {
        if self.metrics.exchanges.get() >= self.config.exchanges_max as u64 {
            return None;
        }
        let (inbox, outbox) = self
            .spare
            .take()
            .unwrap_or_else(|| (Inbox::new(self.config.head.head_bytes_max + 2), Outbox::new()));
        self.metrics.exchanges.add(1);
        Some(Exchange { inbox, outbox, count: Count(Rc::clone(&self.metrics)) })
    }

    /// Ends that. The buffers serve the next one.
    pub(crate) fn end(&self, exchange: Exchange) {
        let Exchange { mut inbox, mut outbox, .. } = exchange;
        inbox.clear();
        outbox.clear();
        self.spare.set(Some((inbox, outbox)));
    }

    /// The value of a `Date` field, and the same in seconds since 1970.
    pub(crate) fn date(&self) -> (u64, [u8; date::LEN]) {
        let now = self.clock.wall_unix_seconds();
        if self.date.get().0 != now {
            self.date.set((now, date::format(now)));
        }
        self.date.get()
    }

    /// The same for the start of a file, which may be in memory.
    pub(crate) fn read_file(
        &self,
        file: &File,
        span: &mut Span,
        outbox: &mut Outbox,
    ) -> Result<(), ReadError> {
        let bytes_max = self.config.buffer_bytes.saturating_sub(outbox.len());
        self.site.read_file(file, span, outbox, bytes_max)
    }

    /// Moves as much of a file to the outbox as fits into the memory of one response.
    pub(crate) fn read_into(&self, span: &mut Span, outbox: &mut Outbox) -> Result<(), ReadError> {
        let bytes_max = self.config.buffer_bytes.saturating_sub(outbox.len());
        self.site.read_into(span, outbox, bytes_max)
    }

    pub(crate) fn write_metrics(&self, out: &mut dyn Write) -> fmt::Result {
        self.metrics.write(out)?;
        let uptime = self.clock.now().saturating_sub(self.started_at);
        describe(out, "uptime_seconds", "gauge", "Seconds since the server started.")?;
        writeln!(out, "httpd_uptime_seconds {}.{:03}", uptime.as_secs(), uptime.subsec_millis())?;
        describe(out, "connections_max", "gauge", "Connections that are served at one time.")?;
        writeln!(out, "httpd_connections_max {}", self.config.connections_max)?;
        describe(out, "exchanges_max", "gauge", "Requests that are under way at one time.")?;
        writeln!(out, "httpd_exchanges_max {}", self.config.exchanges_max)?;
        describe(out, "site_entries", "gauge", "Files and directories in the site image.")?;
        writeln!(out, "httpd_site_entries {}", self.site.index().len())?;
        describe(out, "kept_bytes", "gauge", "Bytes of small files that are kept in memory.")?;
        writeln!(out, "httpd_kept_bytes {}", self.site.kept_bytes())?;
        match &self.extra_metrics {
            Some(write) => write(out),
            None => Ok(()),
        }
    }
}
