//! The outside world in memory: a disk, a clock that only tests move, and both ends of a wire.
//!
//! A connection is polled by hand. Nothing but a test changes the world between two polls, so a
//! pending connection that is polled once has done all that it can do.

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
use httpd::{BlockError, BlockRead, Clock, Config, ScanLimits, Server, Site, Stream};

/// The wall clock of all tests: Sun, 06 Nov 1994 08:49:37 GMT.
pub const WALL: u64 = 784_111_777;

/// A disk whose contents are bytes, or a function of the offset beyond them.
#[derive(Clone, Debug)]
pub struct Disk {
    pub bytes: Rc<Vec<u8>>,
    pub block_size: usize,
    pub capacity: u64,
    /// Reads from this offset on fail.
    pub broken_from: Rc<Cell<u64>>,
    pub reads: Rc<Cell<u64>>,
}

impl Disk {
    pub fn new(mut bytes: Vec<u8>, block_size: usize) -> Disk {
        bytes.resize(bytes.len().next_multiple_of(block_size).max(block_size), 0);
        let capacity = bytes.len() as u64;
        Disk {
            bytes: Rc::new(bytes),
            block_size,
            capacity,
            broken_from: Rc::new(Cell::new(u64::MAX)),
            reads: Rc::default(),
        }
    }

    /// The byte that a disk larger than its bytes has at an offset.
    pub fn filler(offset: u64) -> u8 {
        (offset ^ (offset >> 9) ^ (offset >> 30)) as u8
    }
}

impl BlockRead for Disk {
    fn capacity_bytes(&self) -> u64 {
        self.capacity
    }

    fn block_size(&self) -> usize {
        self.block_size
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        let block = self.block_size as u64;
        assert!(offset.is_multiple_of(block) && (buf.len() as u64).is_multiple_of(block));
        assert!(!buf.is_empty() && offset + buf.len() as u64 <= self.capacity);
        self.reads.set(self.reads.get() + 1);
        if offset + buf.len() as u64 > self.broken_from.get() {
            return Err(BlockError { code: 5 });
        }
        for (index, byte) in buf.iter_mut().enumerate() {
            let at = offset + index as u64;
            *byte = match self.bytes.get(at as usize) {
                Some(&byte) => byte,
                None => Disk::filler(at),
            };
        }
        Ok(())
    }
}

/// Time that stands still until a test moves it.
#[derive(Clone, Default)]
pub struct FakeClock {
    now: Rc<Cell<Duration>>,
}

impl FakeClock {
    pub fn advance(&self, by: Duration) {
        self.now.set(self.now.get() + by);
    }
}

pub struct FakeSleep {
    clock: FakeClock,
    until: Duration,
}

impl Future for FakeSleep {
    type Output = ();
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        match self.clock.now.get() >= self.until {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl Clock for FakeClock {
    type Sleep = FakeSleep;

    fn now(&self) -> Duration {
        self.now.get()
    }

    fn wall_unix_seconds(&self) -> u64 {
        WALL
    }

    fn sleep(&self, duration: Duration) -> FakeSleep {
        FakeSleep { clock: self.clone(), until: self.now.get() + duration }
    }
}

/// Both directions of a connection, as the test sees them.
pub struct Wire {
    pub to_server: VecDeque<u8>,
    pub client_closed: bool,
    pub from_server: Vec<u8>,
    pub server_finished: bool,
    pub server_aborted: bool,
    pub is_reset: bool,
    /// Whether the server is to end, which is when it may wait for acknowledgements.
    pub shutdown: bool,
    pub is_unacknowledged: bool,
    /// What the client still takes.
    pub room: usize,
    /// The most bytes that one read gives.
    pub read_max: usize,
    pub writes: Vec<usize>,
}

/// The server's end of a wire.
pub struct ServerEnd(pub Rc<RefCell<Wire>>);

impl ErrorType for ServerEnd {
    type Error = ErrorKind;
}

impl Read for ServerEnd {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        assert!(!buf.is_empty(), "a read into nothing never ends");
        std::future::poll_fn(|_| {
            let mut wire = self.0.borrow_mut();
            if wire.is_reset {
                return Poll::Ready(Err(ErrorKind::ConnectionReset));
            }
            let len = buf.len().min(wire.to_server.len()).min(wire.read_max);
            if len == 0 {
                return if wire.client_closed { Poll::Ready(Ok(0)) } else { Poll::Pending };
            }
            for byte in &mut buf[..len] {
                *byte = wire.to_server.pop_front().unwrap();
            }
            Poll::Ready(Ok(len))
        })
        .await
    }
}

impl Write for ServerEnd {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        std::future::poll_fn(|_| {
            let mut wire = self.0.borrow_mut();
            assert!(!wire.server_finished, "a write after the end");
            if wire.is_reset {
                return Poll::Ready(Err(ErrorKind::ConnectionReset));
            }
            let len = buf.len().min(wire.room);
            if len == 0 {
                return Poll::Pending;
            }
            wire.room -= len;
            wire.from_server.extend_from_slice(&buf[..len]);
            wire.writes.push(len);
            Poll::Ready(Ok(len))
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        assert!(self.0.borrow().shutdown, "the server has promised not to flush");
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
        match wire.is_reset {
            true => Poll::Ready(Err(ErrorKind::ConnectionReset)),
            false if !wire.to_server.is_empty() || wire.client_closed => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<()> {
        if self.0.borrow().shutdown { Poll::Ready(()) } else { Poll::Pending }
    }

    fn peer(&self) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], 4711))
    }

    async fn finish(&mut self) -> Result<(), ErrorKind> {
        self.0.borrow_mut().server_finished = true;
        Ok(())
    }

    fn abort(&mut self) {
        self.0.borrow_mut().server_aborted = true;
    }
}

pub type TestServer = Server<Disk, FakeClock>;

/// A server of an image, and its clock.
pub fn server(image: Vec<u8>, config: Config) -> (Rc<TestServer>, FakeClock) {
    serve_disk(Disk::new(image, 512), config)
}

pub fn serve_disk(disk: Disk, config: Config) -> (Rc<TestServer>, FakeClock) {
    let clock = FakeClock::default();
    let site = Site::open(disk, &ScanLimits::default()).expect("the image is sound");
    (Rc::new(Server::new(config, site, clock.clone())), clock)
}

/// A client with its connection.
pub struct Client {
    pub wire: Rc<RefCell<Wire>>,
    connection: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Client {
    pub fn connect(server: &Rc<TestServer>) -> Client {
        let server = Rc::clone(server);
        let permit = server.try_admit().expect("there is room");
        Client::new(move |end| server.serve(permit, end))
    }

    pub fn refused(server: &Rc<TestServer>) -> Client {
        let server = Rc::clone(server);
        Client::new(move |end| server.refuse(end))
    }

    fn new<F: Future<Output = ()> + 'static>(connection: impl FnOnce(ServerEnd) -> F) -> Client {
        let wire = Rc::new(RefCell::new(Wire {
            to_server: VecDeque::new(),
            client_closed: false,
            from_server: Vec::new(),
            server_finished: false,
            server_aborted: false,
            is_reset: false,
            shutdown: false,
            is_unacknowledged: false,
            room: usize::MAX,
            read_max: usize::MAX,
            writes: Vec::new(),
        }));
        let connection = Box::pin(connection(ServerEnd(Rc::clone(&wire))));
        let mut client = Client { wire, connection: Some(connection) };
        client.run();
        client
    }

    /// Lets the connection do all that it can.
    pub fn run(&mut self) {
        if let Some(connection) = &mut self.connection {
            let mut context = Context::from_waker(Waker::noop());
            if connection.as_mut().poll(&mut context).is_ready() {
                self.connection = None;
            }
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.wire.borrow_mut().to_server.extend(bytes.as_ref());
        self.run();
    }

    pub fn close(&mut self) {
        self.wire.borrow_mut().client_closed = true;
        self.run();
    }

    /// What has been received since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.wire.borrow_mut().from_server)
    }

    pub fn take_text(&mut self) -> String {
        String::from_utf8(self.take()).expect("the response is text")
    }

    /// The connection's task has ended.
    pub fn is_over(&self) -> bool {
        self.connection.is_none()
    }

    /// The server has reset the connection.
    pub fn is_aborted(&self) -> bool {
        self.wire.borrow().server_aborted
    }

    /// The server has closed its half.
    pub fn is_finished(&self) -> bool {
        self.wire.borrow().server_finished
    }
}

/// Sends everything at once, closes, and returns all that comes back.
pub fn exchange(server: &Rc<TestServer>, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut client = Client::connect(server);
    client.send(bytes);
    client.close();
    assert!(client.is_over(), "the connection has to end with the client");
    client.take()
}

/// A response taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} is repeated");
        value
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }
}

/// Takes the first response off `bytes`; an error says what is not well-formed.
pub fn parse_response(bytes: &mut &[u8], is_head: bool) -> Result<Response, String> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").ok_or("no end of head")?;
    let head = std::str::from_utf8(&bytes[..end]).map_err(|e| e.to_string())?;
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.split_once(' '))
        .and_then(|(code, reason)| Some((code.parse::<u16>().ok()?, reason)))
        .filter(|(code, reason)| (200..600).contains(code) && !reason.is_empty())
        .ok_or_else(|| format!("status line {status_line:?}"))?
        .0;
    let mut fields = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(": ").ok_or_else(|| format!("field {line:?}"))?;
        if line.bytes().any(|b| b.is_ascii_control()) {
            return Err(format!("control byte in {line:?}"));
        }
        fields.push((name.to_owned(), value.to_owned()));
    }
    *bytes = &bytes[end + 4..];
    let mut response = Response { status, fields, body: Vec::new() };
    let has_body = !is_head && status != 304;
    if has_body {
        let len = response.field("Content-Length").ok_or("no length")?;
        let len: usize = len.parse().map_err(|_| format!("length {len}"))?;
        let body = bytes.get(..len).ok_or("the body is short")?;
        response.body = body.to_vec();
        *bytes = &bytes[len..];
    }
    Ok(response)
}

/// One request on a connection of its own.
pub fn request(server: &Rc<TestServer>, head: &str) -> Response {
    let bytes = exchange(server, head);
    let mut rest = bytes.as_slice();
    let response = parse_response(&mut rest, head.starts_with("HEAD ")).expect("a response");
    assert!(rest.is_empty(), "more than one response");
    response
}

/// A `GET` with more fields, each line with its end.
pub fn get(server: &Rc<TestServer>, target: &str, fields: &str) -> Response {
    request(server, &format!("GET {target} HTTP/1.1\r\nHost: test\r\n{fields}\r\n"))
}

/// A tar image of files with a time of change, in order.
pub fn image(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, data) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(WALL - 1000);
        builder.append_data(&mut header, name, *data).expect("the name fits");
    }
    builder.into_inner().expect("memory does not fail")
}
