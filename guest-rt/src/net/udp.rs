//! UDP sockets, for both protocols. All futures are cancel-safe: a dropped one has moved nothing.

use alloc::rc::Rc;
use core::future::poll_fn;
use core::net::{IpAddr, SocketAddr};
use core::task::Poll;

use netstack::{Datagram, UdpId, UdpSendError};

use super::Error;
use super::device::Device;

/// A UDP socket bound to a port of all own addresses. Dropping it frees the port.
pub struct UdpSocket {
    device: Rc<Device>,
    id: UdpId,
}

impl UdpSocket {
    pub(super) fn bind(device: &Rc<Device>, port: u16) -> Result<Self, Error> {
        let id = device.with(|stack| stack.udp_bind(port)).map_err(Error::from)?;
        Ok(Self { device: Rc::clone(device), id })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.device.with(|stack| stack.udp_port(self.id)).unwrap_or_default()
    }

    /// The next datagram, cut to the buffer's size, and its sender.
    pub async fn recv_from(&mut self, buffer: &mut [u8]) -> (usize, SocketAddr) {
        let datagram = self.recv(buffer).await;
        (datagram.bytes, datagram.remote)
    }

    /// The next datagram, cut to the buffer's size, and all that is known of it.
    pub async fn recv(&mut self, buffer: &mut [u8]) -> Datagram {
        poll_fn(|context| {
            self.device.with(|stack| match stack.udp_recv(self.id, buffer) {
                Some(datagram) => Poll::Ready(datagram),
                None => {
                    stack.register_udp_recv_waker(self.id, context.waker());
                    Poll::Pending
                }
            })
        })
        .await
    }

    /// Queues a datagram, and waits for room if there is none. A next hop that does not answer
    /// makes it drop out of the queue again.
    ///
    /// # Errors
    /// If it is too large, or there is no route.
    pub async fn send_to(&mut self, data: &[u8], remote: SocketAddr) -> Result<(), Error> {
        self.send(data, remote, None).await
    }

    /// The same from one of the own addresses, as [`Datagram::local`] tells it: an answer should come
    /// from where the question was sent.
    ///
    /// # Errors
    /// As for [`Self::send_to`], and if the address is not an own one.
    pub async fn send_from(
        &mut self,
        data: &[u8],
        remote: SocketAddr,
        local: IpAddr,
    ) -> Result<(), Error> {
        self.send(data, remote, Some(local)).await
    }

    /// Queues a datagram if there is room.
    ///
    /// # Errors
    /// [`Error::Limit`] if there is none, or as for [`Self::send_to`].
    pub fn try_send_to(&self, data: &[u8], remote: SocketAddr) -> Result<(), Error> {
        self.queue(data, remote, None).map_err(Error::from)
    }

    async fn send(
        &mut self,
        data: &[u8],
        remote: SocketAddr,
        local: Option<IpAddr>,
    ) -> Result<(), Error> {
        poll_fn(|context| match self.queue(data, remote, local) {
            Err(UdpSendError::QueueFull) => {
                self.device.with(|stack| stack.register_udp_send_waker(self.id, context.waker()));
                Poll::Pending
            }
            outcome => Poll::Ready(outcome.map_err(Error::from)),
        })
        .await
    }

    fn queue(
        &self,
        data: &[u8],
        remote: SocketAddr,
        local: Option<IpAddr>,
    ) -> Result<(), UdpSendError> {
        self.device.with(|stack| match local {
            None => stack.udp_send_to(self.id, data, remote),
            Some(local) => stack.udp_send_from(self.id, data, remote, local),
        })
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.device.with(|stack| stack.udp_close(self.id));
    }
}
