//! The host's side: programs with ordinary, blocking sockets, each in a thread of its own.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

const PATIENCE: Duration = Duration::from_secs(30);

/// A task in a thread, whose end can be waited for together with descriptors.
pub(crate) struct Background<T> {
    thread: JoinHandle<T>,
    end: UnixStream,
}

impl<T: Send + 'static> Background<T> {
    pub(crate) fn start(task: impl FnOnce() -> T + Send + 'static) -> Self {
        let (end, held) = UnixStream::pair().unwrap();
        let thread = std::thread::spawn(move || {
            // Closed when the task is done, or has panicked.
            let _held = held;
            task()
        });
        Self { thread, end }
    }
}

impl<T> Background<T> {
    /// Readable when the task is done.
    pub(crate) fn end(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }

    pub(crate) fn is_done(&self) -> bool {
        let mut descriptors = [PollFd::new(self.end.as_fd(), PollFlags::POLLIN)];
        poll(&mut descriptors, PollTimeout::ZERO).unwrap() > 0
    }

    pub(crate) fn join(self) -> T {
        self.thread.join().expect("the host's side failed")
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    be_patient(&stream);
    stream
}

pub(crate) fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

pub(crate) fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    be_patient(&stream);
    stream
}

fn be_patient(stream: &TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
}

/// Sends all of it and the end, and reads until the other side's end, both at once.
pub(crate) fn exchange(stream: TcpStream, data: Vec<u8>) -> Vec<u8> {
    let mut writer = stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        writer.write_all(&data).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let received = read_to_end(stream);
    sending.join().unwrap();
    received
}

pub(crate) fn read_to_end(mut stream: TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    received
}

/// Bytes without a period that fits anything.
pub(crate) fn pattern(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}
