//! The socket: one request, and its answer within seconds. The kernel answers at once.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, sendto,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::message::{Attributes, Message, Messages, u32_at};
use crate::Error;

const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
const ACK: u16 = libc::NLM_F_ACK as u16;
const DUMP: u16 = libc::NLM_F_DUMP as u16;
/// `linux/netlink.h`: the dump is of several states.
const DUMP_INTR: u16 = 0x10;
/// `linux/netlink.h`: attributes follow in an error; without those of the request.
const ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
const NETLINK_CAP_ACK: libc::c_int = 10;
const NETLINK_EXT_ACK: libc::c_int = 11;
/// The kernel fills at most this much for a dump if there is room.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;
const ANSWER_BYTES_MAX: usize = 16 << 20;
const DUMPS_MAX: usize = 8;
const TIMEOUT_S: i64 = 10;

/// One message of a dump.
pub(crate) struct Answer {
    pub(crate) kind: u16,
    /// Fixed part and attributes.
    pub(crate) body: Vec<u8>,
}

/// A socket in the namespace in which it was opened.
pub(crate) struct Netlink {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Netlink {
    pub(crate) fn open() -> Result<Self, Error> {
        let failed = |errno| Error::Call { doing: "open a netlink socket", errno };
        let (family, protocol) = (AddressFamily::Netlink, SockProtocol::NetlinkRoute);
        let fd = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol).map_err(failed)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0)).map_err(failed)?;
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::new(TIMEOUT_S, 0)).map_err(failed)?;
        for option in [NETLINK_EXT_ACK, NETLINK_CAP_ACK] {
            explain_errors(&fd, option);
        }
        Ok(Self { fd, sequence: 0, buffer: vec![0; DATAGRAM_BYTES_MAX] })
    }

    /// Sends a request that changes something. `doing` completes "cannot ...".
    pub(crate) fn change(&mut self, message: Message, doing: &str) -> Result<(), Error> {
        self.send(message, REQUEST | ACK, doing)?;
        loop {
            let len = self.receive(doing)?;
            for message in Messages(&self.buffer[..len]) {
                if message.sequence != self.sequence || message.kind != libc::NLMSG_ERROR as u16 {
                    continue;
                }
                return outcome(message.body, message.flags, doing);
            }
        }
    }

    /// Asks for all there is of something.
    pub(crate) fn dump(
        &mut self,
        message: impl Fn() -> Message,
        doing: &str,
    ) -> Result<Vec<Answer>, Error> {
        for _ in 0..DUMPS_MAX {
            self.send(message(), REQUEST | DUMP, doing)?;
            if let Some(answers) = self.collect(doing)? {
                return Ok(answers);
            }
        }
        Err(Error::Answer(doing.to_owned()))
    }

    /// The messages of a dump; `None` if what it lists changed meanwhile.
    fn collect(&mut self, doing: &str) -> Result<Option<Vec<Answer>>, Error> {
        let (mut answers, mut bytes, mut is_whole) = (Vec::new(), 0, true);
        loop {
            let len = self.receive(doing)?;
            bytes += len;
            if bytes > ANSWER_BYTES_MAX {
                return Err(Error::Answer(doing.to_owned()));
            }
            for message in Messages(&self.buffer[..len]) {
                if message.sequence != self.sequence {
                    continue;
                }
                is_whole &= message.flags & DUMP_INTR == 0;
                match i32::from(message.kind) {
                    libc::NLMSG_DONE => return Ok(is_whole.then_some(answers)),
                    libc::NLMSG_ERROR => outcome(message.body, message.flags, doing)?,
                    _ => {
                        answers.push(Answer { kind: message.kind, body: message.body.to_vec() });
                    }
                }
            }
        }
    }

    fn send(&mut self, mut message: Message, flags: u16, doing: &str) -> Result<(), Error> {
        self.sequence += 1;
        let bytes = message.finish(flags, self.sequence);
        let kernel = NetlinkAddr::new(0, 0);
        sendto(self.fd.as_raw_fd(), bytes, &kernel, MsgFlags::empty())
            .map(drop)
            .map_err(|errno| refused(doing, errno, None))
    }

    /// The length of a datagram of the kernel's, which is in the buffer.
    fn receive(&mut self, doing: &str) -> Result<usize, Error> {
        loop {
            match recvfrom::<NetlinkAddr>(self.fd.as_raw_fd(), &mut self.buffer) {
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(refused(doing, errno, None)),
                Ok((len, Some(from))) if from.pid() == 0 => return Ok(len),
                // Another process's, which may be anything.
                Ok(_) => {}
            }
        }
    }
}

/// Asks for the kernel's words about an error; kernels before 4.12 have none.
fn explain_errors(fd: &OwnedFd, option: libc::c_int) {
    let yes: libc::c_int = 1;
    // SAFETY: the call reads one integer at the pointer, of the length that is told.
    unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            (&raw const yes).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
}

/// `struct nlmsgerr`: the negative error, the header of the request, perhaps attributes.
fn outcome(body: &[u8], flags: u16, doing: &str) -> Result<(), Error> {
    const FIXED_BYTES: usize = 4 + super::message::HEADER_BYTES;
    let error = u32_at(body, 0).ok_or_else(|| Error::Answer(doing.to_owned()))?.cast_signed();
    if error == 0 {
        return Ok(());
    }
    let attributes = match flags & ACK_TLVS {
        0 => Attributes::default(),
        _ => Attributes::behind(body, FIXED_BYTES),
    };
    let said = attributes.find_text(NLMSGERR_ATTR_MSG).map(str::to_owned);
    Err(refused(doing, Errno::from_raw(error.saturating_neg()), said))
}

fn refused(doing: &str, errno: Errno, said: Option<String>) -> Error {
    Error::Refused { doing: doing.to_owned(), errno, said }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_why() {
        let mut netlink = Netlink::open().unwrap();
        let mut header = [0; 16];
        header[4..8].copy_from_slice(&i32::MAX.to_ne_bytes());
        let error = netlink.change(Message::new(libc::RTM_DELLINK, 0, &header), "remove x");
        let Err(Error::Refused { doing, errno, .. }) = error else { panic!("removed") };
        assert_eq!(doing, "remove x");
        assert!([Errno::ENODEV, Errno::EPERM].contains(&errno), "{errno}");
    }

    #[test]
    fn errors_are_bounded_by_their_message() {
        assert!(matches!(outcome(&[], 0, "x"), Err(Error::Answer(_))));
        assert!(outcome(&[0; 4], ACK_TLVS, "x").is_ok());
        let least = i32::MIN.to_ne_bytes();
        assert!(matches!(outcome(&least, ACK_TLVS, "x"), Err(Error::Refused { said: None, .. })));
    }
}
