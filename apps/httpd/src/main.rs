//! The unikernel: a site image on the block device `site`, served on the network device `service`.
//!
//! Arguments: `--port=80`, and those of the runtime (`--log=LEVEL`, and those of [`net`]).
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use core::cell::Cell;
use core::future::{Future, poll_fn};
use core::net::{Ipv4Addr, SocketAddr};
use core::pin::{Pin, pin};
use core::task::{Context, Poll};

use guest_rt::embedded_io_async::{ErrorType, Read, Write};
use guest_rt::net::{self, Counter, CounterKind, Limits, Net, TcpListener, TcpStream};
use guest_rt::time::{self, Duration, Instant};
use guest_rt::{args, block, log, task};
use httpd::{BlockError, BlockRead, Clock, Config, ScanLimits, Server, Site, Stream};

guest_rt::manifest! {
    net "service",
    block "site" read_only,
    shutdown,
}

/// The most that one connection buffers in the stack.
const RECEIVE_BUFFER_BYTES: usize = 64 << 10;
const SEND_BUFFER_BYTES: usize = 256 << 10;
/// The memory of a response on its way, at most; the stack buffers, too.
const RESPONSE_BUFFER_BYTES: usize = 16 << 10;
/// What a request and its response may take beside the stack's buffers.
const EXCHANGE_BYTES: usize = RESPONSE_BUFFER_BYTES + (19 << 10);
/// What a connection takes in all while it is idle.
const CONNECTION_BYTES: usize = 1100;
const CONNECTIONS_MAX: usize = 50_000;
/// Spare connections, being refused or closing: one for so many that are served.
const SPARE_SHARE: usize = 16;
const BACKLOG: usize = 1024;
/// How long answers under way may take once the server is asked to end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it looks whether they are done.
const SHUTDOWN_ROUND: Duration = Duration::from_millis(5);
/// The most memory for small files that were asked for.
const SMALL_FILES_BYTES_MAX: usize = 16 << 20;

#[guest_rt::main]
async fn main() -> Result<(), String> {
    let port = port()?;
    let mut site = open_site()?;
    log::info!("site: {} files and folders", site.index().len());

    let shares = Shares::of_free_memory();
    site.keep_small_files(shares.small_files_bytes);
    let net = net::open_with("service", shares.limits()).map_err(|e| e.to_string())?;
    let mut listener = net.listen(port, BACKLOG).map_err(|e| e.to_string())?;
    let connections_max = shares.connections;
    // Apart, as there may never be an address, and the wish to end must be heard all the same.
    guest_rt::spawn({
        let net = net.clone();
        async move {
            let (address, prefix_len) = net.address().await;
            log::info!(
                "listening on {address}/{prefix_len} port {port}, at most {connections_max} connections"
            );
        }
    });

    let config = Config {
        connections_max,
        exchanges_max: shares.exchanges,
        buffer_bytes: RESPONSE_BUFFER_BYTES,
        ..Config::default()
    };
    let server = Server::new(config, site, GuestClock::new()).with_extra_metrics(Box::new(
        move |out: &mut dyn core::fmt::Write| write_runtime_metrics(&net, out),
    ));
    let server = Rc::new(server);
    accept(&mut listener, &server).await;
    drop(listener);
    server.close();
    log::info!("asked to end: {} connections are left", server.connections());
    let done = async {
        while server.connections() > 0 {
            time::sleep(SHUTDOWN_ROUND).await;
        }
    };
    match time::timeout(SHUTDOWN_TIMEOUT, done).await {
        Ok(()) => log::info!("all is answered: the end"),
        Err(time::Elapsed) => log::warn!(
            "the end, and {} connections are cut off, as {SHUTDOWN_TIMEOUT:?} have passed",
            server.connections()
        ),
    }
    Ok(())
}

/// Accepts connections until the server is asked to end.
async fn accept(listener: &mut TcpListener, server: &Rc<Server<Disk, GuestClock>>) {
    let mut shutdown = pin!(task::shutdown());
    loop {
        // Those that have come already are still served.
        let mut next = pin!(listener.accept());
        let next = poll_fn(|context| match next.as_mut().poll(context) {
            Poll::Ready(stream) => Poll::Ready(Some(stream)),
            Poll::Pending => shutdown.as_mut().poll(context).map(|()| None),
        });
        let Some(stream) = next.await else { return };
        let (server, peer) = (Rc::clone(server), Peer { stream, shutdown: task::shutdown() });
        let spawned = match server.try_admit() {
            Some(permit) => task::try_spawn(server.serve(permit, peer)),
            None => task::try_spawn(server.refuse(peer)),
        };
        if spawned.is_err() {
            log::warn!("no memory for a connection");
        }
    }
}

fn port() -> Result<u16, String> {
    match args::option("--port") {
        None => Ok(80),
        Some(text) => text
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| format!("--port={text} is no port number from 1 to 65535")),
    }
}

fn open_site() -> Result<Site<Disk>, String> {
    let disk = block::open("site").map_err(|e| e.to_string())?;
    Site::open(Disk(disk), &ScanLimits::default()).map_err(|error| {
        format!("the image on the block device 'site' is no tar archive of a site: {error}")
    })
}

/// What the memory that the site's index has left is for. Requests and buffers come and go, so far
/// more connections can be idle than busy. The last quarter is for what is small and cannot be
/// refused, such as timers.
struct Shares {
    connections: usize,
    exchanges: usize,
    buffers_bytes: usize,
    small_buffers_bytes: usize,
    small_files_bytes: usize,
}

impl Shares {
    fn of_free_memory() -> Self {
        let (used_bytes, heap_bytes) = guest_rt::heap_usage();
        let part_bytes = heap_bytes.saturating_sub(used_bytes) / 16;
        Self {
            connections: (3 * part_bytes / CONNECTION_BYTES).clamp(1, CONNECTIONS_MAX),
            exchanges: (5 * part_bytes / EXCHANGE_BYTES).max(1),
            buffers_bytes: 2 * part_bytes,
            small_buffers_bytes: part_bytes,
            small_files_bytes: part_bytes.min(SMALL_FILES_BYTES_MAX),
        }
    }

    fn limits(&self) -> Limits {
        let connections = self.connections + self.connections.div_ceil(SPARE_SHARE);
        Limits {
            connections,
            half_open: connections.min(1024),
            time_wait: connections.min(1024),
            receive_buffer_bytes: RECEIVE_BUFFER_BYTES,
            send_buffer_bytes: SEND_BUFFER_BYTES,
            buffers_bytes: self.buffers_bytes.clamp(64 << 10, 1 << 30),
            small_buffers_bytes: self.small_buffers_bytes.clamp(64 << 10, 1 << 30),
            ..Limits::default()
        }
    }
}

struct Disk(block::Device);

impl BlockRead for Disk {
    fn capacity_bytes(&self) -> u64 {
        self.0.capacity_bytes()
    }

    fn block_size(&self) -> usize {
        usize::from(self.0.block_bytes())
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), BlockError> {
        self.0.read(offset, buffer).map_err(|error| {
            let code = if let block::Error::Host(number) = error { number } else { -1 };
            BlockError { code }
        })
    }
}

/// Time as of the executor's turn, so that only the end of a request costs a system call. The wall
/// clock is read again each second.
struct GuestClock {
    wall: Cell<(Instant, u64)>,
}

impl GuestClock {
    fn new() -> Self {
        Self { wall: Cell::new((time::recent(), time::unix_time().as_secs())) }
    }
}

impl Clock for GuestClock {
    type Sleep = time::Sleep;

    fn now(&self) -> Duration {
        time::recent().since_epoch()
    }

    fn precise_now(&self) -> Duration {
        time::now().since_epoch()
    }

    fn wall_unix_seconds(&self) -> u64 {
        let now = time::recent();
        if now - self.wall.get().0 >= Duration::from_secs(1) {
            self.wall.set((now, time::unix_time().as_secs()));
        }
        self.wall.get().1
    }

    fn sleep(&self, duration: Duration) -> time::Sleep {
        time::sleep_until(time::recent() + duration)
    }
}

struct Peer {
    stream: TcpStream,
    shutdown: task::Shutdown,
}

impl ErrorType for Peer {
    type Error = net::Error;
}

impl Read for Peer {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, net::Error> {
        self.stream.read(buffer).await
    }
}

impl Write for Peer {
    async fn write(&mut self, data: &[u8]) -> Result<usize, net::Error> {
        Write::write(&mut self.stream, data).await
    }

    async fn flush(&mut self) -> Result<(), net::Error> {
        Write::flush(&mut self.stream).await
    }
}

impl Stream for Peer {
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<Result<(), net::Error>> {
        self.stream.poll_readable(context)
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.shutdown).poll(context)
    }

    fn peer(&self) -> SocketAddr {
        self.stream.remote().unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
    }

    async fn finish(&mut self) -> Result<(), net::Error> {
        self.stream.finish();
        Ok(())
    }

    fn abort(&mut self) {
        self.stream.abort();
    }
}

fn write_runtime_metrics(net: &Net, out: &mut dyn core::fmt::Write) -> core::fmt::Result {
    let (heap_used, heap_size) = guest_rt::heap_usage();
    for (name, help, value) in [
        ("guest_heap_used_bytes", "Memory that the program has in use.", heap_used),
        ("guest_heap_size_bytes", "Memory that there is.", heap_size),
    ] {
        writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}")?;
    }
    for Counter { name, help, kind, value } in net.counters().each() {
        let (suffix, kind) = match kind {
            CounterKind::Total => ("_total", "counter"),
            CounterKind::Current => ("", "gauge"),
        };
        writeln!(out, "# HELP netstack_{name}{suffix} {help}")?;
        writeln!(out, "# TYPE netstack_{name}{suffix} {kind}")?;
        writeln!(out, "netstack_{name}{suffix}{{device=\"{}\"}} {value}", net.name())?;
    }
    Ok(())
}
