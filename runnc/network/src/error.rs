//! Why a network cannot be joined.

use std::io;

use nix::errno::Errno;

/// Why a network cannot be joined or left.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refuses a request.
    #[error("cannot {doing}: {errno}{}", said.as_deref().map(|s| format!(" ({s})")).unwrap_or_default())]
    Refused {
        /// What was to be done.
        doing: String,
        /// The kernel's error.
        errno: Errno,
        /// The kernel's own words, if it has any.
        said: Option<String>,
    },
    /// The kernel cannot filter.
    #[error(
        "cannot {doing}: {errno}: the kernel needs the ingress qdisc, BPF classifier and mirred \
         action (`modprobe -a sch_ingress cls_bpf act_mirred`)"
    )]
    NoTrafficControl {
        /// What was to be done.
        doing: String,
        /// The kernel's error.
        errno: Errno,
    },
    /// A system call fails.
    #[error("cannot {doing}: {errno}")]
    Call {
        /// What was to be done.
        doing: &'static str,
        /// Its error.
        errno: Errno,
    },
    /// The kernel's answer is not as `linux/rtnetlink.h` has it, or it changes without end.
    #[error("the kernel's answer to a request ({0}) is not understood")]
    Answer(String),
    /// The device of all TAPs cannot be opened.
    #[error(
        "cannot open /dev/net/tun: {0}: the runtime needs it to give a unikernel its network device"
    )]
    OpenTun(io::Error),
    /// The TAP's name is taken.
    #[error(
        "the TAP {0} of this container is still in use: another start of it is under way or its guest still runs"
    )]
    Busy(String),
    /// Another failure of the TAP driver.
    #[error("cannot make the TAP {name}: {call}: {errno}")]
    Tap {
        /// The TAP.
        name: String,
        /// The `ioctl`.
        call: &'static str,
        /// Its error.
        errno: Errno,
    },
    /// The device's name is that of something that is not Ethernet.
    #[error(
        "the interface '{0}' is no Ethernet interface, which the unikernel's network device of this name needs"
    )]
    NotEthernet(String),
    /// More devices than a manifest can declare.
    #[error("{0} network devices are more than a unikernel can have (63)")]
    TooManyDevices(usize),
    /// Far more guests than fit behind an interface.
    #[error("the interface '{0}' has no room for another guest")]
    TooManyGuests(String),
    /// The lock cannot be had.
    #[error("cannot lock the network namespace: {0}")]
    Lock(io::Error),
    /// Somebody holds the lock for too long.
    #[error("the network namespace is locked by another runtime process for over {0} seconds")]
    Locked(u64),
}
