//! One error for all of the network: what a program can act on. The stack's own errors say more
//! than a program needs and are mapped here.

use alloc::string::String;
use core::fmt;

use netstack::{
    BindError, CloseReason, ConnectError, ListenError, RecvError, ResolveError, SendError,
    UdpSendError,
};

/// Why a network operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The manifest declares no network device of that name.
    NoDevice,
    /// The device is open already.
    Busy,
    /// A setting of the command line is wrong; the text says which and why.
    Config(String),
    /// The port is taken, or there are none left.
    PortInUse,
    /// The stack's limit of connections or sockets is reached, or memory is.
    Limit,
    /// There is no address yet, or no route to the destination.
    Unreachable,
    /// The peer refused the connection or reset it.
    Reset,
    /// The peer did not answer in time.
    TimedOut,
    /// The connection is closed for this direction.
    Closed,
    /// The name could not be resolved.
    Name(ResolveError),
    /// The stack does not do this.
    Unsupported,
    /// The datagram is larger than the device or the socket's buffer takes.
    TooLarge,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoDevice => "the manifest declares no such network device",
            Self::Busy => "the network device is open already",
            Self::Config(text) => text,
            Self::PortInUse => "the port is in use",
            Self::Limit => "no more connections fit",
            Self::Unreachable => "no route to the destination",
            Self::Reset => "the connection was reset",
            Self::TimedOut => "the peer did not answer in time",
            Self::Closed => "the connection is closed",
            Self::Name(error) => return error.fmt(f),
            Self::Unsupported => "the network stack does not do this",
            Self::TooLarge => "the datagram is too large",
        })
    }
}

impl core::error::Error for Error {}

impl embedded_io_async::Error for Error {
    fn kind(&self) -> embedded_io_async::ErrorKind {
        use embedded_io_async::ErrorKind;
        match self {
            Self::NoDevice | Self::Name(_) => ErrorKind::NotFound,
            Self::Unsupported => ErrorKind::Unsupported,
            Self::Busy | Self::PortInUse => ErrorKind::AddrInUse,
            Self::Config(_) | Self::TooLarge => ErrorKind::InvalidInput,
            Self::Limit => ErrorKind::OutOfMemory,
            Self::Unreachable => ErrorKind::AddrNotAvailable,
            Self::Reset => ErrorKind::ConnectionReset,
            Self::TimedOut => ErrorKind::TimedOut,
            Self::Closed => ErrorKind::NotConnected,
        }
    }
}

impl From<CloseReason> for Error {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Reset | CloseReason::Refused => Self::Reset,
            CloseReason::TimedOut => Self::TimedOut,
            CloseReason::AddressLost => Self::Unreachable,
            CloseReason::Finished | CloseReason::Aborted | CloseReason::Released => Self::Closed,
        }
    }
}

impl From<RecvError> for Error {
    fn from(error: RecvError) -> Self {
        let RecvError::Closed(reason) = error;
        reason.into()
    }
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Finished => Self::Closed,
            SendError::Closed(reason) => reason.into(),
        }
    }
}

impl From<ListenError> for Error {
    fn from(error: ListenError) -> Self {
        match error {
            ListenError::PortZero | ListenError::PortInUse(_) => Self::PortInUse,
            ListenError::TooMany(_) | ListenError::OutOfMemory => Self::Limit,
        }
    }
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::NotUsable(_) | ConnectError::NoAddress | ConnectError::NoRoute(_) => {
                Self::Unreachable
            }
            ConnectError::InUse(_) | ConnectError::NoPortLeft => Self::PortInUse,
            ConnectError::TooMany(_) | ConnectError::OutOfMemory => Self::Limit,
        }
    }
}

impl From<ResolveError> for Error {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::TooManyQueries => Self::Limit,
            ResolveError::TimedOut => Self::TimedOut,
            error => Self::Name(error),
        }
    }
}

impl From<BindError> for Error {
    fn from(error: BindError) -> Self {
        match error {
            BindError::PortInUse(_) => Self::PortInUse,
            BindError::TooMany(_) | BindError::OutOfMemory => Self::Limit,
        }
    }
}

impl From<UdpSendError> for Error {
    fn from(error: UdpSendError) -> Self {
        match error {
            UdpSendError::Closed => Self::Closed,
            UdpSendError::TooLarge { .. } => Self::TooLarge,
            UdpSendError::QueueFull => Self::Limit,
            _ => Self::Unreachable,
        }
    }
}
