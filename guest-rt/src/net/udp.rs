//! UDP sockets.

use alloc::rc::Rc;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::Poll;

use netstack::UdpId;

use super::Error;
use super::device::Device;

/// A UDP socket bound to a port. Dropping it frees the port.
pub struct UdpSocket {
    device: Rc<Device>,
    id: UdpId,
}

impl UdpSocket {
    pub(super) fn bind(device: &Rc<Device>, port: u16) -> Result<Self, Error> {
        let id = device.with(|stack| stack.udp_bind(port)).map_err(Error::from)?;
        Ok(Self { device: Rc::clone(device), id })
    }

    /// The next datagram, cut to the buffer's size, and its sender.
    pub async fn recv_from(&mut self, buffer: &mut [u8]) -> (usize, SocketAddr) {
        poll_fn(|context| {
            self.device.with(|stack| match stack.udp_recv_from(self.id, buffer) {
                Some(received) => Poll::Ready(received),
                None => {
                    stack.register_udp_recv_waker(self.id, context.waker());
                    Poll::Pending
                }
            })
        })
        .await
    }

    /// Queues a datagram.
    ///
    /// # Errors
    /// If it is too large, the queue is full, or there is no route.
    pub fn send_to(&self, data: &[u8], remote: SocketAddr) -> Result<(), Error> {
        self.device.with(|stack| stack.udp_send_to(self.id, data, remote)).map_err(Error::from)
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.device.with(|stack| stack.udp_close(self.id));
    }
}
