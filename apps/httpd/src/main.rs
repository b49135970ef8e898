//! The unikernel: a site image on the block device `site`, served on the network device `service`.
//!
//! Arguments: `--port=80`, and those of the runtime (`--log=LEVEL`, and what [`guest_rt::net`] lists;
//! if nothing is said it asks DHCP and IPv6 routers for addresses).
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use core::cell::Cell;
use core::convert::Infallible;
use core::net::{Ipv4Addr, SocketAddr};

use guest_rt::embedded_io_async::{ErrorType, Read, Write};
use guest_rt::net::{self, Limits, Net, TcpListener, TcpStream};
use guest_rt::time::{self, Duration, Instant};
use guest_rt::{args, block, log, task};
use httpd::{
    BlockError, BlockRead, Clock, Config, ScanLimits, Server, Site, Stream, network_metrics,
};

guest_rt::manifest! {
    net "service",
    block "site" read_only,
}

/// Buffers of a connection in the stack, at most.
const RECEIVE_BUFFER_BYTES: usize = 8 << 10;
const SEND_BUFFER_BYTES: usize = 32 << 10;
/// The memory of a response on its way, at most.
const RESPONSE_BUFFER_BYTES: usize = 32 << 10;
/// What a connection is counted with: one that is idle takes half of it, and few have buffers at one
/// time. Those that find no memory for them are answered 503, or wait.
const CONNECTION_BYTES: usize = 3 << 10;
const CONNECTIONS_MAX: usize = 16_384;
/// Spare connections, being refused or closing: a few, and one for so many that are served, up to a
/// limit.
const SPARE_MIN: usize = 4;
const SPARE_SHARE: usize = 4;
const SPARE_MAX: usize = 64;
/// The part of the heap that buffers leave alone, for what cannot be refused, and its most.
const KEPT_SHARE: usize = 8;
const KEPT_BYTES_MAX: usize = 8 << 20;
const BACKLOG: usize = 1024;
/// The share of the heap, and the most, for small files that were asked for.
const SMALL_FILES_SHARE: usize = 8;
const SMALL_FILES_BYTES_MAX: usize = 16 << 20;

#[guest_rt::main]
async fn main() -> Result<Infallible, String> {
    let port = port()?;
    let mut site = open_site()?;
    let small_files_bytes =
        (guest_rt::heap_usage().1 / SMALL_FILES_SHARE).min(SMALL_FILES_BYTES_MAX);
    site.keep_small_files(small_files_bytes);
    log::info!("site: {} files and folders", site.index().len());

    guest_rt::keep_for_small((guest_rt::heap_usage().1 / KEPT_SHARE).min(KEPT_BYTES_MAX));
    let connections_max = connections_that_fit(small_files_bytes);
    let limits = Limits {
        connections: connections_max + spare_connections(connections_max),
        half_open: connections_max.min(1024),
        time_wait: connections_max.min(1024),
        receive_buffer_bytes: RECEIVE_BUFFER_BYTES,
        send_buffer_bytes: SEND_BUFFER_BYTES,
        ..net::limits()
    };
    let net = net::open_with("service", limits).map_err(|e| e.to_string())?;
    let mut listener = net.listen(port, BACKLOG).map_err(|e| e.to_string())?;
    let (address, prefix_len) = net.address().await;
    log::info!(
        "listening on {address}/{prefix_len} port {port}, at most {connections_max} connections"
    );

    let config =
        Config { connections_max, buffer_bytes: RESPONSE_BUFFER_BYTES, ..Config::default() };
    let server = Server::new(config, site, GuestClock::new()).with_extra_metrics(Box::new(
        move |out: &mut dyn core::fmt::Write| write_runtime_metrics(&net, out),
    ));
    accept(&mut listener, Rc::new(server)).await
}

async fn accept(listener: &mut TcpListener, server: Rc<Server<Disk, GuestClock>>) -> ! {
    loop {
        let stream = listener.accept().await;
        let server = Rc::clone(&server);
        let task = match server.try_admit() {
            Some(permit) => task::try_spawn(async move {
                let unknown = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
                let peer = stream.remote().unwrap_or(unknown);
                server.serve(permit, Peer(stream), peer).await;
            }),
            None => task::try_spawn(async move { server.refuse(Peer(stream)).await }),
        };
        if let Err(error) = task {
            log::warn!("a connection is turned away: {error}");
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

/// How many connections are served at most: as many as fit into three quarters of the memory that
/// the site's index has left.
fn connections_that_fit(small_files_bytes: usize) -> usize {
    let (used_bytes, heap_bytes) = guest_rt::heap_usage();
    let free_bytes = heap_bytes.saturating_sub(used_bytes + small_files_bytes) / 4 * 3;
    (free_bytes / CONNECTION_BYTES).clamp(1, CONNECTIONS_MAX)
}

/// Connections beyond those that are served: being refused, or closing.
fn spare_connections(served: usize) -> usize {
    (SPARE_MIN + served / SPARE_SHARE).min(SPARE_MAX)
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

struct Peer(TcpStream);

impl ErrorType for Peer {
    type Error = net::Error;
}

impl Read for Peer {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, net::Error> {
        self.0.read(buffer).await
    }
}

impl Write for Peer {
    async fn write(&mut self, data: &[u8]) -> Result<usize, net::Error> {
        Write::write(&mut self.0, data).await
    }

    async fn flush(&mut self) -> Result<(), net::Error> {
        Write::flush(&mut self.0).await
    }
}

impl Stream for Peer {
    fn finish(&mut self) {
        self.0.finish();
    }

    fn abort(&mut self) {
        self.0.abort();
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
    network_metrics::write(out, &net.counters())
}
