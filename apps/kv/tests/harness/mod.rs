//! The outside world in memory: a disk, a clock that only tests move, and both ends of each wire.
//!
//! Connections are polled by hand, all of them in rounds as the executor does. Nothing but a test changes
//! the world between two rounds.

#![allow(dead_code, unreachable_pub, missing_docs)]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use kv::Server;
use kv::config::{Config, Heap, Memory};
use kv::log::Options;
use kv::world::{Clock, Disk, DiskError, Stream};

/// A disk that tests look at and that can fail.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    pub bytes: Rc<RefCell<Vec<u8>>>,
    pub writes: Rc<Cell<usize>>,
    pub fails: Rc<Cell<bool>>,
}

impl MemoryDisk {
    pub fn new(bytes: usize) -> Self {
        Self { bytes: Rc::new(RefCell::new(vec![0; bytes])), ..Self::default() }
    }
}

impl Disk for MemoryDisk {
    fn capacity_bytes(&self) -> u64 {
        self.bytes.borrow().len() as u64
    }

    fn block_bytes(&self) -> usize {
        512
    }

    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        let offset = offset as usize;
        buffer.copy_from_slice(&self.bytes.borrow()[offset..offset + buffer.len()]);
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        if self.fails.get() {
            return Err(DiskError { code: 5 });
        }
        self.writes.set(self.writes.get() + 1);
        let offset = offset as usize;
        self.bytes.borrow_mut()[offset..offset + data.len()].copy_from_slice(data);
        Ok(())
    }
}

/// Time that stands still until a test moves it.
#[derive(Clone, Default)]
pub struct FakeClock(Rc<Cell<Duration>>);

pub struct FakeSleep(FakeClock, Duration);

impl Future for FakeSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.0.now() >= self.1 { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl FakeClock {
    pub fn advance(&self, by: Duration) {
        self.0.set(self.0.get() + by);
    }
}

impl Clock for FakeClock {
    type Sleep = FakeSleep;

    fn now(&self) -> Duration {
        self.0.get()
    }

    fn unix_time(&self) -> Duration {
        Duration::from_secs(1_700_000_000) + self.0.get()
    }

    fn sleep(&self, duration: Duration) -> FakeSleep {
        FakeSleep(self.clone(), self.now() + duration)
    }
}

/// Both directions of a connection, as the test sees them.
pub struct Wire {
    pub to_server: VecDeque<u8>,
    pub client_closed: bool,
    pub from_server: Vec<u8>,
    pub is_aborted: bool,
    pub is_unacknowledged: bool,
    /// What the client still takes.
    pub room: usize,
}

/// The server's end of a wire.
pub struct ServerEnd(Rc<RefCell<Wire>>);

impl ErrorType for ServerEnd {
    type Error = ErrorKind;
}

impl Read for ServerEnd {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        assert!(!buffer.is_empty(), "a read into nothing never ends");
        std::future::poll_fn(|_| {
            let mut wire = self.0.borrow_mut();
            let len = buffer.len().min(wire.to_server.len());
            if len == 0 {
                return if wire.client_closed { Poll::Ready(Ok(0)) } else { Poll::Pending };
            }
            for byte in &mut buffer[..len] {
                *byte = wire.to_server.pop_front().unwrap();
            }
            Poll::Ready(Ok(len))
        })
        .await
    }
}

impl Write for ServerEnd {
    async fn write(&mut self, buffer: &[u8]) -> Result<usize, ErrorKind> {
        std::future::poll_fn(|_| {
            let mut wire = self.0.borrow_mut();
            let len = buffer.len().min(wire.room);
            if len == 0 {
                return Poll::Pending;
            }
            wire.room -= len;
            wire.from_server.extend_from_slice(&buffer[..len]);
            Poll::Ready(Ok(len))
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        assert!(IS_ENDING.get(), "the server has promised not to flush");
        std::future::poll_fn(|_| match self.0.borrow().is_unacknowledged {
            true => Poll::Pending,
            false => Poll::Ready(Ok(())),
        })
        .await
    }
}

impl Stream for ServerEnd {
    fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorKind>> {
        let wire = self.0.borrow();
        let is_readable = !wire.to_server.is_empty() || wire.client_closed;
        if is_readable { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn peer(&self) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], 4711))
    }

    fn local(&self) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 2], 6379))
    }

    fn abort(&mut self) {
        self.0.borrow_mut().is_aborted = true;
    }
}

pub type TestServer = Server<MemoryDisk, FakeClock>;

thread_local! {
    static USED_BYTES: Cell<usize> = const { Cell::new(0) };
    /// Whether the server ends, which is when it may wait for acknowledgements.
    static IS_ENDING: Cell<bool> = const { Cell::new(false) };
}

/// What the server believes to have in use.
pub fn set_used_bytes(bytes: usize) {
    USED_BYTES.set(bytes);
}

pub const MEMORY_BYTES: usize = 64 << 20;

fn memory() -> Memory {
    let used_bytes = USED_BYTES.get();
    let available_bytes = MEMORY_BYTES - used_bytes;
    Memory { used_bytes, size_bytes: MEMORY_BYTES, available_bytes }
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// A server, its clock and disk, and its tasks.
pub struct World {
    pub server: Rc<TestServer>,
    pub clock: FakeClock,
    pub disk: MemoryDisk,
    work: Task,
    clients: Vec<Option<Task>>,
}

impl World {
    pub fn new(config: Config) -> Self {
        Self::on(MemoryDisk::new(1 << 20), config)
    }

    pub fn on(disk: MemoryDisk, config: Config) -> Self {
        set_used_bytes(0);
        IS_ENDING.set(false);
        let clock = FakeClock::default();
        let mut server = Server::new(config, clock.clone(), Heap::of(memory), [1, 2, 3]);
        let options = Options { entropy: 4, is_format_forced: false };
        server.open(disk.clone(), options).expect("the disk opens");
        let server = Rc::new(server);
        let work = Box::pin(Rc::clone(&server).work());
        Self { server, clock, disk, work, clients: Vec::new() }
    }

    /// A client that has just connected.
    pub fn connect(&mut self) -> Client {
        let wire = Rc::new(RefCell::new(Wire {
            to_server: VecDeque::new(),
            client_closed: false,
            from_server: Vec::new(),
            is_aborted: false,
            is_unacknowledged: false,
            room: usize::MAX,
        }));
        let task = Rc::clone(&self.server).serve(ServerEnd(Rc::clone(&wire)));
        self.clients.push(Some(Box::pin(task)));
        self.round();
        Client { wire, number: self.clients.len() - 1 }
    }

    /// Every task does once what it can.
    pub fn round(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        let _ = self.work.as_mut().poll(&mut context);
        for client in &mut self.clients {
            if let Some(task) = client
                && task.as_mut().poll(&mut context).is_ready()
            {
                *client = None;
            }
        }
    }

    /// Rounds until nothing more happens. A commit may wait for some dozens.
    pub fn settle(&mut self) {
        (0..100).for_each(|_| self.round());
    }

    /// Asks the server to end.
    pub fn end(&mut self) {
        IS_ENDING.set(true);
        self.server.end();
    }

    pub fn advance(&mut self, by: Duration) {
        self.clock.0.set(self.clock.now() + by);
        self.settle();
    }

    /// Sends a line, and returns what has come by then.
    pub fn run(&mut self, client: &Client, line: &str) -> String {
        client.send(format!("{line}\r\n"));
        self.settle();
        client.take()
    }

    pub fn is_over(&self, client: &Client) -> bool {
        self.clients[client.number].is_none()
    }
}

/// The client's end of a wire.
pub struct Client {
    pub wire: Rc<RefCell<Wire>>,
    number: usize,
}

impl Client {
    pub fn send(&self, bytes: impl AsRef<[u8]>) {
        self.wire.borrow_mut().to_server.extend(bytes.as_ref());
    }

    pub fn close(&self) {
        self.wire.borrow_mut().client_closed = true;
    }

    /// What has been received since the last call.
    pub fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.wire.borrow_mut().from_server)).unwrap()
    }
}
