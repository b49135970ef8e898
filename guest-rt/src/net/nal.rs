//! [`Net`] and its sockets as `embedded-nal-async` wants them, so that libraries on its traits work.

use core::net::{IpAddr, SocketAddr};

use embedded_nal_async::{AddrType, ConnectedUdp, Dns, TcpConnect, UdpStack, UnconnectedUdp};

use super::{Datagram, Error, Net, ResolveError, TcpStream, UdpSocket};

impl TcpConnect for Net {
    type Error = Error;
    type Connection<'a> = TcpStream;

    async fn connect(&self, remote: SocketAddr) -> Result<TcpStream, Error> {
        Net::connect(self, remote).await
    }
}

impl Dns for Net {
    type Error = Error;

    async fn get_host_by_name(&self, host: &str, kind: AddrType) -> Result<IpAddr, Error> {
        let is_wanted = |ip: &IpAddr| match kind {
            AddrType::IPv4 => ip.is_ipv4(),
            AddrType::IPv6 => ip.is_ipv6(),
            AddrType::Either => true,
        };
        let found = self.resolve(host).await?.into_iter().find(is_wanted);
        found.ok_or(Error::Name(ResolveError::NoAddress))
    }

    /// Names of addresses are not looked for: [`Error::Unsupported`].
    async fn get_host_by_address(&self, _: IpAddr, _: &mut [u8]) -> Result<usize, Error> {
        Err(Error::Unsupported)
    }
}

/// A UDP socket that talks to one peer; datagrams of others are dropped.
pub struct ConnectedUdpSocket {
    socket: UdpSocket,
    local: IpAddr,
    remote: SocketAddr,
}

/// A UDP socket for one of the own addresses, or all of one protocol; datagrams for others are
/// dropped.
pub struct BoundUdpSocket {
    socket: UdpSocket,
    /// Unspecified if it is for all.
    local: IpAddr,
}

impl UdpStack for Net {
    type Error = Error;
    type Connected = ConnectedUdpSocket;
    type UniquelyBound = BoundUdpSocket;
    type MultiplyBound = BoundUdpSocket;

    async fn connect_from(
        &self,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Result<(SocketAddr, ConnectedUdpSocket), Error> {
        let own = match local.ip().is_unspecified() {
            true => self.0.with(|stack| stack.source_for(remote.ip())),
            false => Some(local.ip()),
        };
        let own = own.ok_or(Error::Unreachable)?;
        let socket = self.bind_udp(local.port())?;
        let local = SocketAddr::new(own, socket.port());
        Ok((local, ConnectedUdpSocket { socket, local: own, remote }))
    }

    async fn bind_single(&self, local: SocketAddr) -> Result<(SocketAddr, BoundUdpSocket), Error> {
        let own = match local.ip().is_unspecified() {
            true => {
                self.addresses().into_iter().map(|(ip, _)| ip).find(|ip| is_same(*ip, local.ip()))
            }
            false => Some(local.ip()),
        };
        let own = own.ok_or(Error::Unreachable)?;
        let socket = self.bind_udp(local.port())?;
        Ok((SocketAddr::new(own, socket.port()), BoundUdpSocket { socket, local: own }))
    }

    async fn bind_multiple(&self, local: SocketAddr) -> Result<BoundUdpSocket, Error> {
        Ok(BoundUdpSocket { socket: self.bind_udp(local.port())?, local: local.ip() })
    }
}

fn is_same(one: IpAddr, other: IpAddr) -> bool {
    one.is_ipv4() == other.is_ipv4()
}

impl ConnectedUdp for ConnectedUdpSocket {
    type Error = Error;

    async fn send(&mut self, data: &[u8]) -> Result<(), Error> {
        self.socket.send_from(data, self.remote, self.local).await
    }

    async fn receive_into(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        loop {
            let Datagram { sent_bytes, remote, local, .. } = self.socket.recv(buffer).await;
            if remote == self.remote && local.ip() == self.local {
                return Ok(sent_bytes);
            }
        }
    }
}

impl UnconnectedUdp for BoundUdpSocket {
    type Error = Error;

    async fn send(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        data: &[u8],
    ) -> Result<(), Error> {
        match [local.ip(), self.local].into_iter().find(|ip| !ip.is_unspecified()) {
            Some(own) => self.socket.send_from(data, remote, own).await,
            None => self.socket.send_to(data, remote).await,
        }
    }

    async fn receive_into(
        &mut self,
        buffer: &mut [u8],
    ) -> Result<(usize, SocketAddr, SocketAddr), Error> {
        loop {
            let Datagram { sent_bytes, remote, local, .. } = self.socket.recv(buffer).await;
            let is_for_all = self.local.is_unspecified() && is_same(self.local, local.ip());
            if is_for_all || local.ip() == self.local {
                return Ok((sent_bytes, local, remote));
            }
        }
    }
}
