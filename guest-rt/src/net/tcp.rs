//! TCP listeners and streams. All futures are cancel-safe: a dropped one has moved nothing.
//!
//! There is no `BufRead`: it lends the bytes that have come for as long as the reader likes, and they
//! lie in the stack, which all connections and the driver share. [`TcpStream::read_with`] lends them
//! to a closure instead.

use alloc::rc::Rc;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::{Context, Poll};
use core::time::Duration;

use embedded_io_async::{ErrorType, Read, ReadReady, Write, WriteReady};
use netstack::{CloseReason, ConnectionId, ConnectionState, ListenerId, Received};

use super::Error;
use super::device::Device;
use crate::time;

/// Accepts connections on a port. Dropping it closes the port; accepted streams live on.
pub struct TcpListener {
    device: Rc<Device>,
    id: ListenerId,
}

impl TcpListener {
    pub(super) fn new(device: &Rc<Device>, port: u16, backlog: usize) -> Result<Self, Error> {
        let id = device.with(|stack| stack.listen(port, backlog)).map_err(Error::from)?;
        Ok(Self { device: Rc::clone(device), id })
    }

    /// The next established connection.
    pub async fn accept(&mut self) -> TcpStream {
        let id = poll_fn(|context| {
            self.device.with(|stack| match stack.accept(self.id) {
                Some(id) => Poll::Ready(id),
                None => {
                    stack.register_accept_waker(self.id, context.waker());
                    Poll::Pending
                }
            })
        })
        .await;
        TcpStream(Connection { device: Rc::clone(&self.device), id })
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.device.with(|stack| stack.close_listener(self.id));
    }
}

/// The last owner releases the connection: what was written still goes out, then it closes.
struct Connection {
    device: Rc<Device>,
    id: ConnectionId,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.device.with(|stack| stack.release(self.id));
    }
}

impl Connection {
    fn poll_read(&self, buffer: &mut [u8], context: &Context<'_>) -> Poll<Result<usize, Error>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.device.with(|stack| match stack.recv(self.id, buffer) {
            Ok(Received::Data(bytes)) => Poll::Ready(Ok(bytes)),
            Ok(Received::Finished) => Poll::Ready(Ok(0)),
            Ok(Received::Empty) => {
                stack.register_recv_waker(self.id, context.waker());
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error.into())),
        })
    }

    fn poll_write(&self, data: &[u8], context: &Context<'_>) -> Poll<Result<usize, Error>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.device.with(|stack| match stack.send(self.id, data) {
            Ok(0) => {
                stack.register_send_waker(self.id, context.waker());
                Poll::Pending
            }
            Ok(bytes) => Poll::Ready(Ok(bytes)),
            Err(error) => Poll::Ready(Err(error.into())),
        })
    }

    async fn read_with<R>(&self, read: impl FnOnce(&[u8]) -> (usize, R)) -> Result<R, Error> {
        let mut read = Some(read);
        poll_fn(|context| self.poll_read_with(&mut read, context)).await
    }

    async fn write_with<R>(&self, write: impl FnOnce(&mut [u8]) -> (usize, R)) -> Result<R, Error> {
        let mut write = Some(write);
        poll_fn(|context| self.poll_write_with(&mut write, context)).await
    }

    /// Lets `read` look at what has come, unless nothing has.
    fn poll_read_with<R>(
        &self,
        read: &mut Option<impl FnOnce(&[u8]) -> (usize, R)>,
        context: &Context<'_>,
    ) -> Poll<Result<R, Error>> {
        self.device.with(|stack| {
            if stack.recv_queued(self.id) == 0 {
                match stack.recv(self.id, &mut []) {
                    Ok(Received::Finished) => {}
                    Ok(_) => {
                        stack.register_recv_waker(self.id, context.waker());
                        return Poll::Pending;
                    }
                    Err(error) => return Poll::Ready(Err(error.into())),
                }
            }
            let Some(read) = read.take() else { panic!("polled after it has ended") };
            Poll::Ready(stack.recv_with(self.id, read).map_err(Error::from))
        })
    }

    /// Lets `write` fill the buffer, unless there is no room.
    fn poll_write_with<R>(
        &self,
        write: &mut Option<impl FnOnce(&mut [u8]) -> (usize, R)>,
        context: &Context<'_>,
    ) -> Poll<Result<R, Error>> {
        self.device.with(|stack| {
            let outcome =
                stack.send_with(self.id, |room| match write.take_if(|_| !room.is_empty()) {
                    Some(write) => {
                        let (bytes, result) = write(room);
                        (bytes, Some(result))
                    }
                    None => (0, None),
                });
            match outcome {
                Ok(Some(result)) => Poll::Ready(Ok(result)),
                Ok(None) => {
                    stack.register_send_waker(self.id, context.waker());
                    Poll::Pending
                }
                Err(error) => Poll::Ready(Err(error.into())),
            }
        })
    }

    fn read_ready(&self) -> Result<bool, Error> {
        self.device.with(|stack| {
            if stack.recv_queued(self.id) > 0 {
                return Ok(true);
            }
            Ok(stack.recv(self.id, &mut [])? == Received::Finished)
        })
    }

    fn write_ready(&self) -> Result<bool, Error> {
        self.device.with(|stack| match stack.state(self.id) {
            ConnectionState::Closed(reason) => Err(reason.into()),
            ConnectionState::Finishing => Err(Error::Closed),
            _ => Ok(stack.send_room(self.id) > 0),
        })
    }

    /// Waits until the peer has acknowledged all that was written.
    fn poll_flush(&self, context: &Context<'_>) -> Poll<Result<(), Error>> {
        self.device.with(|stack| match (stack.state(self.id), stack.send_queued(self.id)) {
            (ConnectionState::Closed(CloseReason::Finished), _) | (_, 0) => Poll::Ready(Ok(())),
            (ConnectionState::Closed(reason), _) => Poll::Ready(Err(reason.into())),
            _ => {
                stack.register_send_waker(self.id, context.waker());
                Poll::Pending
            }
        })
    }
}

/// A TCP connection. Dropping it sends what was written, for as long as the guest runs, and closes;
/// unread input resets it, as on Linux.
pub struct TcpStream(Connection);

impl TcpStream {
    pub(super) async fn connect(device: &Rc<Device>, remote: SocketAddr) -> Result<Self, Error> {
        let now = time::recent().to_netstack();
        let id = device.with(|stack| stack.connect(now, remote, None)).map_err(Error::from)?;
        let stream = Self(Connection { device: Rc::clone(device), id });
        poll_fn(|context| {
            device.with(|stack| match stack.state(id) {
                ConnectionState::Opening => {
                    stack.register_send_waker(id, context.waker());
                    Poll::Pending
                }
                ConnectionState::Closed(reason) => Poll::Ready(Err(Error::from(reason))),
                _ => Poll::Ready(Ok(())),
            })
        })
        .await?;
        Ok(stream)
    }

    /// The peer's end, as long as the connection is there.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.0.device.with(|stack| stack.remote(self.0.id))
    }

    /// The own end, as long as the connection is there.
    pub fn local(&self) -> Option<SocketAddr> {
        self.0.device.with(|stack| stack.local(self.0.id))
    }

    /// Whether small writes wait for the acknowledgement of earlier ones, so that they can go
    /// together. They do not if nothing is said: programs mostly write whole messages.
    pub fn set_nagle(&mut self, enabled: bool) {
        self.0.device.with(|stack| stack.set_nagle(self.0.id, enabled));
    }

    /// Asks a silent peer for a sign of life this often; one that does not answer is given up after
    /// [`Self::set_timeout`]. Never, if nothing is said.
    pub fn set_keep_alive(&mut self, interval: Option<Duration>) {
        let interval = interval.map(Into::into);
        self.0.device.with(|stack| stack.set_keep_alive(self.0.id, interval));
    }

    /// How long a peer may owe an answer to what was sent; `None` is for ever. If nothing is said it
    /// is [`Limits::peer_timeout`](super::Limits::peer_timeout).
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        let timeout = timeout.map(Into::into);
        self.0.device.with(|stack| stack.set_timeout(self.0.id, timeout));
    }

    /// Reads what is there, at least a byte; 0 is the end.
    ///
    /// # Errors
    /// If the connection was reset or timed out.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        Read::read(self, buffer).await
    }

    /// Hands all of `data` to the stack. Dropped before its end, it has moved a part.
    ///
    /// # Errors
    /// If the connection was reset, timed out, or is closed for writing.
    pub async fn write_all(&mut self, data: &[u8]) -> Result<(), Error> {
        Write::write_all(self, data).await
    }

    /// Waits until something has come, and lets `read` look at it in the stack's buffer. It returns how
    /// many bytes it is done with, and a result. The bytes end where the buffer wraps, so a message
    /// may take two calls; there are none when the peer has finished. It must not use the network, which
    /// is borrowed meanwhile: that would panic.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub async fn read_with<R>(
        &mut self,
        read: impl FnOnce(&[u8]) -> (usize, R),
    ) -> Result<R, Error> {
        self.0.read_with(read).await
    }

    /// Waits until something can be written, and lets `write` fill a part of the stack's buffer. It
    /// returns how many bytes it wrote, from the beginning on, and a result. It must not use the
    /// network, which is borrowed meanwhile: that would panic.
    ///
    /// # Errors
    /// As for [`Self::write_all`].
    pub async fn write_with<R>(
        &mut self,
        write: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Result<R, Error> {
        self.0.write_with(write).await
    }

    /// Ready when a read would not wait, which is also at the end and after an error; wakes the task
    /// otherwise. For futures written by hand, and for waiting without a buffer.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_read_with(&mut Some(|_: &[u8]| (0, ())), context)
    }

    /// Tells the peer that nothing more is written; reading goes on.
    pub fn finish(&mut self) {
        self.0.device.with(|stack| stack.finish(self.0.id));
    }

    /// Resets the connection. What was not sent yet is lost, and reads and writes fail from now on.
    pub fn abort(&mut self) {
        self.0.device.with(|stack| stack.abort(self.0.id));
    }

    /// Two halves, for tasks that read and write at the same time.
    pub fn split(self) -> (ReadHalf, WriteHalf) {
        let shared = Rc::new(self.0);
        (ReadHalf(Rc::clone(&shared)), WriteHalf(shared))
    }
}

/// The reading half of a [`TcpStream`].
pub struct ReadHalf(Rc<Connection>);

/// The writing half of a [`TcpStream`].
pub struct WriteHalf(Rc<Connection>);

impl ReadHalf {
    /// As [`TcpStream::read_with`].
    ///
    /// # Errors
    /// As for [`TcpStream::read`].
    pub async fn read_with<R>(
        &mut self,
        read: impl FnOnce(&[u8]) -> (usize, R),
    ) -> Result<R, Error> {
        self.0.read_with(read).await
    }
}

impl WriteHalf {
    /// As [`TcpStream::write_with`].
    ///
    /// # Errors
    /// As for [`TcpStream::write_all`].
    pub async fn write_with<R>(
        &mut self,
        write: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Result<R, Error> {
        self.0.write_with(write).await
    }

    /// Tells the peer that nothing more is written.
    pub fn finish(&mut self) {
        self.0.device.with(|stack| stack.finish(self.0.id));
    }
}

macro_rules! stream_traits {
    (read $type:ident) => {
        impl Read for $type {
            async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
                poll_fn(|context| self.0.poll_read(buffer, context)).await
            }
        }

        impl ReadReady for $type {
            fn read_ready(&mut self) -> Result<bool, Error> {
                self.0.read_ready()
            }
        }
    };
    (write $type:ident) => {
        impl Write for $type {
            async fn write(&mut self, data: &[u8]) -> Result<usize, Error> {
                poll_fn(|context| self.0.poll_write(data, context)).await
            }

            async fn flush(&mut self) -> Result<(), Error> {
                poll_fn(|context| self.0.poll_flush(context)).await
            }
        }

        impl WriteReady for $type {
            fn write_ready(&mut self) -> Result<bool, Error> {
                self.0.write_ready()
            }
        }
    };
}

impl ErrorType for TcpStream {
    type Error = Error;
}
impl ErrorType for ReadHalf {
    type Error = Error;
}
impl ErrorType for WriteHalf {
    type Error = Error;
}
stream_traits!(read TcpStream);
stream_traits!(write TcpStream);
stream_traits!(read ReadHalf);
stream_traits!(write WriteHalf);
