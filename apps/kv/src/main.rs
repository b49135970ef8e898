//! The unikernel: a store on the block device `data`, served on the network device `service`.
//!
//! Arguments: see [`Arguments`], and those of the runtime (`--log=LEVEL`, and those of [`net`]).
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use core::future::{Future, poll_fn};
use core::net::{Ipv4Addr, SocketAddr};
use core::pin::pin;
use core::task::{Context, Poll};

use guest_rt::embedded_io_async::{ErrorType, Read, Write};
use guest_rt::net::{self, Limits, TcpListener, TcpStream};
use guest_rt::time::{self, Duration};
use guest_rt::{args, block, entropy, log, task};
use kv::arguments::Arguments;
use kv::config::{Config, Heap, Memory};
use kv::log::Options;
use kv::world::{Clock, Disk, DiskError, Stream};
use kv::{Loaded, Server};

guest_rt::manifest! {
    net "service",
    block "data" optional,
    shutdown,
}

/// The most that one connection buffers in the stack.
const RECEIVE_BUFFER_BYTES: usize = 256 << 10;
const SEND_BUFFER_BYTES: usize = 256 << 10;
/// What a connection takes in all while it is idle.
const CONNECTION_BYTES: usize = 2200;
const CONNECTIONS_MAX: usize = 10_000;
/// Spare connections, being refused or closing: one for so many that are served.
const SPARE_SHARE: usize = 16;
const BACKLOG: usize = 1024;
/// How long commands under way may take once the server is asked to end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it looks whether they are done.
const SHUTDOWN_ROUND: Duration = Duration::from_millis(5);
/// How often it tries again to write the last changes, and after how long: the log rests for a second after a failure.
const COMMIT_RETRIES: usize = 2;
const COMMIT_PAUSE: Duration = Duration::from_millis(1100);
const NO_DEVICE: &str = "there is no disk for the data: --block:data=FILE attaches one (cargo xtask image --blank 1G -o \
     kv.img makes it), and --volatile keeps the data in memory only";

#[guest_rt::main]
async fn main() -> Result<(), String> {
    let (_, heap_bytes) = guest_rt::heap_usage();
    let mut config = Config::for_memory(heap_bytes);
    config.clients_ceiling = (heap_bytes / 16 / CONNECTION_BYTES).clamp(16, CONNECTIONS_MAX);
    config.clients_max = config.clients_ceiling;
    let words = args::args();
    let arguments = Arguments::read(words.iter().map(String::as_str), &mut config)?;
    // The network is made for as many as there may be from the start.
    config.clients_ceiling = config.clients_max;
    let port = config.port;

    let net = net::open_with("service", limits(&config, heap_bytes)).map_err(|e| e.to_string())?;
    let server = open_server(config, arguments)?;
    let listener = net.listen(port, BACKLOG).map_err(|e| e.to_string())?;
    // Apart, as there may never be an address, and the wish to end must be heard all the same.
    guest_rt::spawn(async move {
        let (address, prefix_len) = net.address().await;
        log::info!("listening on {address}/{prefix_len} port {port}");
    });

    let server = Rc::new(server);
    guest_rt::spawn(accept(listener, Rc::clone(&server)));
    let mut work = pin!(Rc::clone(&server).work());
    let mut ending = pin!(end_when_asked(&server));
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(()) => {
            log::info!("SHUTDOWN: the end");
            Poll::Ready(Ok(()))
        }
        // The work goes on meanwhile.
        Poll::Pending => ending.as_mut().poll(context),
    })
    .await
}

/// Waits until whoever started the guest wants it to end, and until that can be.
async fn end_when_asked(server: &Server<Device, GuestClock>) -> Result<(), String> {
    task::shutdown().await;
    log::info!("asked to end: {} clients are left", server.clients());
    server.end();
    let done = async {
        while server.clients() > 0 {
            time::sleep(SHUTDOWN_ROUND).await;
        }
    };
    if time::timeout(SHUTDOWN_TIMEOUT, done).await.is_err() {
        let clients = server.clients();
        log::warn!("{clients} clients are cut off, as {SHUTDOWN_TIMEOUT:?} have passed");
    }
    let mut outcome = server.commit_all();
    for _ in 0..COMMIT_RETRIES {
        if outcome.is_err() {
            time::sleep(COMMIT_PAUSE).await;
            outcome = server.commit_all();
        }
    }
    outcome.map_err(|error| {
        format!("the last changes are lost, as the log cannot be written: {error}")
    })?;
    log::info!("all is written: the end");
    Ok(())
}

/// Accepts connections until the guest is asked to end.
async fn accept(mut listener: TcpListener, server: Rc<Server<Device, GuestClock>>) {
    let mut shutdown = pin!(task::shutdown());
    loop {
        // Those that have come already are still served.
        let mut next = pin!(listener.accept());
        let next = poll_fn(|context| match next.as_mut().poll(context) {
            Poll::Ready(stream) => Poll::Ready(Some(stream)),
            Poll::Pending => shutdown.as_mut().poll(context).map(|()| None),
        });
        let Some(stream) = next.await else { return };
        if task::try_spawn(Rc::clone(&server).serve(Peer(stream))).is_err() {
            log::warn!("no memory for a connection");
        }
    }
}

fn open_server(config: Config, arguments: Arguments) -> Result<Server<Device, GuestClock>, String> {
    let seed = [entropy::random_u64(), entropy::random_u64(), entropy::random_u64()];
    let mut server = Server::new(config, GuestClock, HEAP, seed);
    if arguments.is_volatile {
        log::warn!("--volatile: the data is in memory only, and gone when this ends");
        return Ok(server);
    }
    let device = block::open("data").map_err(|error| match error {
        block::Error::NotAttached => String::from(NO_DEVICE),
        error => error.to_string(),
    })?;
    if !device.is_synchronous() {
        log::warn!(
            "the host writes the data to its disk when it likes; --block-sync:data makes it wait"
        );
    }
    let options =
        Options { entropy: entropy::random_u64(), is_format_forced: arguments.is_format_forced };
    let start = time::now();
    let opened = server.open(Device(device), options).map_err(|error| error.to_string())?;
    let milliseconds = (time::now() - start).as_millis();
    if opened.report.is_incomplete && !arguments.takes_remains {
        return Err(format!(
            "{} What is left is not what there was at any moment; nothing was written. --recover goes on with it",
            opened.report
        ));
    }
    let level = if opened.report.is_loss() { log::Level::Warn } else { log::Level::Info };
    log::log!(level, "{}", opened.report);
    let Loaded { keys, records } = opened.loaded;
    log::info!("{keys} keys from {records} records in {milliseconds} ms");
    Ok(server)
}

const HEAP: Heap = Heap { memory, would_move: guest_rt::heap_would_move };

fn memory() -> Memory {
    let (used_bytes, size_bytes) = guest_rt::heap_usage();
    Memory { used_bytes, size_bytes, available_bytes: guest_rt::heap_available() }
}

fn limits(config: &Config, heap_bytes: usize) -> Limits {
    let connections = config.clients_max + config.clients_max.div_ceil(SPARE_SHARE);
    Limits {
        connections,
        half_open: connections.min(1024),
        time_wait: connections.min(1024),
        receive_buffer_bytes: RECEIVE_BUFFER_BYTES,
        send_buffer_bytes: SEND_BUFFER_BYTES,
        buffers_bytes: (heap_bytes / 16).clamp(64 << 10, 1 << 30),
        small_buffers_bytes: (heap_bytes / 64).clamp(64 << 10, 1 << 30),
        ..Limits::default()
    }
}

struct Device(block::Device);

impl Disk for Device {
    fn capacity_bytes(&self) -> u64 {
        self.0.capacity_bytes()
    }

    fn block_bytes(&self) -> usize {
        usize::from(self.0.block_bytes())
    }

    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        self.0.read(offset, buffer).map_err(disk_error)
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.0.write(offset, data).map_err(disk_error)
    }
}

fn disk_error(error: block::Error) -> DiskError {
    DiskError { code: if let block::Error::Host(number) = error { number } else { -1 } }
}

struct GuestClock;

impl Clock for GuestClock {
    type Sleep = time::Sleep;

    fn now(&self) -> Duration {
        time::recent().since_epoch()
    }

    fn precise_now(&self) -> Duration {
        time::now().since_epoch()
    }

    fn unix_time(&self) -> Duration {
        time::unix_time()
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
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<Result<(), net::Error>> {
        self.0.poll_readable(context)
    }

    fn peer(&self) -> SocketAddr {
        self.0.remote().unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
    }

    fn local(&self) -> SocketAddr {
        self.0.local().unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
    }

    fn abort(&mut self) {
        self.0.abort();
    }
}
