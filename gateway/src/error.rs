//! Why a gateway cannot be made or has to stop.

use std::net::SocketAddr;

use nix::errno::Errno;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another program, or another gateway, listens there.
    #[error("port {} of {} is in use by another program; publish another one", .0.port(), .0.ip())]
    PortInUse(SocketAddr),
    /// Ports below 1024 are for root, unless the host says otherwise.
    #[error(
        "port {} of {} needs a privilege; publish one from 1024 on, or lower \
         net.ipv4.ip_unprivileged_port_start",
        .0.port(), .0.ip()
    )]
    PortNotPermitted(SocketAddr),
    /// No interface of the host has this address.
    #[error("cannot publish at {_0}: the host does not have the address {ip}", ip = .0.ip())]
    AddressNotHere(SocketAddr),
    /// A published port that cannot be opened for another reason.
    #[error("cannot publish at {address}: {call}: {error}")]
    Publish {
        /// What was to be published.
        address: SocketAddr,
        /// The system call.
        call: &'static str,
        /// Its error.
        error: Errno,
    },
    /// The MTU, or another limit, cannot work.
    #[error("the gateway's network stack: {0}")]
    Stack(#[from] netstack::ConfigError),
    /// The wire is not what it should be.
    #[error("the wire is not a seqpacket socket of the unix family")]
    NotAWire,
    /// The shared memory is not what it should be.
    #[error("the wire's memory is not a sealed file of its size")]
    NotARing,
    /// The guest has written to the shared memory what cannot be.
    #[error("the guest has broken its wire: {0}")]
    Broken(#[from] ring::Corrupt),
    /// The interface failed while it was in use.
    #[error("the TAP interface: {call}: {error}")]
    Tap {
        /// The system call.
        call: &'static str,
        /// Its error.
        error: Errno,
    },
    /// The wire failed while it was in use.
    #[error("the wire to the guest: {call}: {error}")]
    Wire {
        /// The system call.
        call: &'static str,
        /// Its error.
        error: Errno,
    },
    /// The system call filter cannot be built or installed.
    #[error("cannot confine the gateway: {0}")]
    Confinement(String),
    /// Another failure.
    #[error("{call}: {error}")]
    Call {
        /// The system call.
        call: &'static str,
        /// Its error.
        error: Errno,
    },
}

impl Error {
    /// Names the system call that failed.
    pub(crate) fn call(call: &'static str) -> impl Fn(Errno) -> Self {
        move |error| Self::Call { call, error }
    }
}
