//! TCP listeners and streams. Reads and writes are cancel-safe: a dropped future has moved nothing.

use alloc::rc::Rc;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::{Context, Poll};

use embedded_io_async::{ErrorType, Read, Write};
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
        TcpStream(Rc::new(Connection { device: Rc::clone(&self.device), id }))
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
pub struct TcpStream(Rc<Connection>);

impl TcpStream {
    pub(super) async fn connect(device: &Rc<Device>, remote: SocketAddr) -> Result<Self, Error> {
        let now = time::recent().to_netstack();
        let id = device.with(|stack| stack.connect(now, remote, None)).map_err(Error::from)?;
        let stream = Self(Rc::new(Connection { device: Rc::clone(device), id }));
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

    /// The peer.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.0.device.with(|stack| stack.remote(self.0.id))
    }

    /// Reads what is there, at least a byte; 0 is the end.
    ///
    /// # Errors
    /// If the connection was reset or timed out.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        Read::read(self, buffer).await
    }

    /// Hands all of `data` to the stack.
    ///
    /// # Errors
    /// If the connection was reset, timed out, or is closed for writing.
    pub async fn write_all(&mut self, data: &[u8]) -> Result<(), Error> {
        Write::write_all(self, data).await
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
        (ReadHalf(Rc::clone(&self.0)), WriteHalf(self.0))
    }
}

/// The reading half of a [`TcpStream`].
pub struct ReadHalf(Rc<Connection>);

/// The writing half of a [`TcpStream`].
pub struct WriteHalf(Rc<Connection>);

impl WriteHalf {
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
