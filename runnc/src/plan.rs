//! How `start` and the container that waits for it speak: over a Unix socket, each message a length and
//! JSON, descriptors beside it.
//!
//! 1. The container: its [`Wish`], which is what it needs from outside.
//! 2. `start`: the [`Plan`], with a descriptor for each TAP.
//! 3. The container: an [`Answer`], when everything is open and checked, or why it is not. After a good
//!    one it becomes the guest's supervisor.

use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// How long a side waits for the other. Images of folders may be made meanwhile.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// The longest message in bytes.
const MESSAGE_MAX_BYTES: usize = 4 << 20;
/// The most descriptors in a message: as many as a manifest has devices.
const DESCRIPTORS_MAX: usize = solo5_sys::manifest::MAX_ENTRIES;

/// What a container needs from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wish {
    /// Whether it only holds namespaces for others, and gets no plan.
    pub(crate) pauses: bool,
    /// The network devices that the unikernel declares.
    pub(crate) networks: Vec<Network>,
    /// How its image or its user wants them attached.
    pub(crate) way: Option<Way>,
    /// Whether it says which ports it listens on, without which a gateway leads nobody in.
    pub(crate) publishes: bool,
    /// Whether it is a guest of ours, which takes the options of our SDK.
    pub(crate) is_ours: bool,
    /// The unikernel's arguments.
    pub(crate) arguments: Vec<String>,
    /// The container's resolv.conf.
    pub(crate) resolv_conf: String,
}

/// A network device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Network {
    /// As the manifest calls it.
    pub(crate) name: String,
    /// Whether the unikernel takes frames with virtio-net headers.
    pub(crate) headers: bool,
}

/// A way to attach network devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Way {
    /// Each to a TAP that is joined to an interface of the container.
    Tap,
    /// Each to a gateway, which speaks for it by sockets in the container's network namespace.
    Gateway,
}

/// What the container gets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The network devices, in the order of the wish.
    pub(crate) attachments: Vec<Attachment>,
    /// The unikernel's arguments, with those that tell of its network.
    pub(crate) arguments: Vec<String>,
    /// What a person should know.
    pub(crate) warnings: Vec<String>,
}

/// How a network device is attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Attachment {
    /// To a TAP, whose descriptor is the next of those beside the message.
    Tap {
        /// The guest's hardware address.
        mac: [u8; 6],
    },
    /// To a gateway in the container's network namespace.
    Gateway,
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// The guest is about to run.
    Ready {
        /// What a person should know.
        warnings: Vec<String>,
    },
    /// It cannot, for this reason.
    Failed(String),
}

/// Sends a message.
///
/// # Errors
/// If the other side is gone.
pub(crate) fn send(
    stream: &UnixStream,
    message: &impl Serialize,
    descriptors: &[RawFd],
) -> Result<()> {
    let body = serde_json::to_vec(message)?;
    ensure!(body.len() <= MESSAGE_MAX_BYTES, "a message of {} bytes is too long", body.len());
    let rights = [ControlMessage::ScmRights(descriptors)];
    let beside = if descriptors.is_empty() { &[][..] } else { &rights };
    let length = (body.len() as u32).to_le_bytes();
    let parts = [IoSlice::new(&length)];
    let sent = sendmsg::<()>(stream.as_raw_fd(), &parts, beside, MsgFlags::MSG_NOSIGNAL, None);
    ensure!(sent.context("cannot send")? == length.len(), "cannot send");
    // As `write_all`, without a signal if nobody reads.
    let mut rest = &body[..];
    while !rest.is_empty() {
        let parts = [IoSlice::new(rest)];
        let sent = sendmsg::<()>(stream.as_raw_fd(), &parts, &[], MsgFlags::MSG_NOSIGNAL, None);
        rest = &rest[sent.context("cannot send")?..];
    }
    Ok(())
}

/// Receives a message. `None` if the other side is gone, which says nothing more.
///
/// # Errors
/// If what comes is no such message.
pub(crate) fn receive<M: DeserializeOwned>(
    mut stream: &UnixStream,
) -> Result<Option<(M, Vec<OwnedFd>)>> {
    let mut length = [0; mem::size_of::<u32>()];
    let mut space = nix::cmsg_space!([RawFd; DESCRIPTORS_MAX]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_WAITALL;
    let mut parts = [IoSliceMut::new(&mut length)];
    let received = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), flags);
    let received = match received {
        Err(Errno::ECONNRESET) => return Ok(None),
        Err(Errno::EAGAIN) => bail!("no answer came for {} seconds", PATIENCE.as_secs()),
        received => received.context("cannot receive")?,
    };
    let mut descriptors = Vec::new();
    for beside in received.cmsgs().context("descriptors were lost")? {
        if let ControlMessageOwned::ScmRights(numbers) = beside {
            // SAFETY: the kernel has just made each for this process.
            descriptors.extend(numbers.iter().map(|&fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    match received.bytes {
        0 => return Ok(None),
        4 => {}
        _ => bail!("a message ends early"),
    }
    let bytes = u32::from_le_bytes(length) as usize;
    ensure!(bytes <= MESSAGE_MAX_BYTES, "a message of {bytes} bytes is too long");
    let mut body = Vec::new();
    let read = stream.by_ref().take(bytes as u64).read_to_end(&mut body);
    match read {
        Ok(read) if read == bytes => Ok(Some((serde_json::from_slice(&body)?, descriptors))),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn messages_arrive_with_their_descriptors() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let plan = Plan {
            attachments: vec![Attachment::Tap { mac: [2, 0, 0, 0, 0, 1] }, Attachment::Gateway],
            arguments: vec!["--port=80".into(), "a \"b\" \n".into()],
            warnings: Vec::new(),
        };
        let file = File::open("/dev/null").unwrap();
        send(&ours, &plan, &[file.as_fd().as_raw_fd(), ours.as_raw_fd()]).unwrap();
        let (received, descriptors) = receive::<Plan>(&theirs).unwrap().unwrap();
        assert_eq!(received, plan);
        assert_eq!(descriptors.len(), 2);
        let mut copy = File::from(descriptors.into_iter().next().unwrap());
        copy.write_all(b"not for writing").unwrap_err();
    }

    #[test]
    fn long_messages_arrive() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let wish = Wish { resolv_conf: "x".repeat(3 << 20), ..Wish::default() };
        let sent = wish.clone();
        let sender = std::thread::spawn(move || send(&ours, &sent, &[]).unwrap());
        let (received, _) = receive::<Wish>(&theirs).unwrap().unwrap();
        sender.join().unwrap();
        assert_eq!(received, wish);
    }

    #[test]
    fn the_end_is_no_message() {
        for rest in [&b""[..], b"\x05\0\0\0", b"\x05\0\0\0ab"] {
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            ours.write_all(rest).unwrap();
            drop(ours);
            assert!(receive::<Answer>(&theirs).unwrap().is_none(), "{rest:?}");
        }
        for wrong in [&b"\x05\0"[..], b"\xff\xff\xff\xff", b"\x02\0\0\0{}", b"\x01\0\0\0\xff"] {
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            ours.write_all(wrong).unwrap();
            drop(ours);
            receive::<Answer>(&theirs).unwrap_err();
        }
    }
}
