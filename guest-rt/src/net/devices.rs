//! All open devices: what the executor does with them in each of its turns, and how it waits for
//! them.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::time::Duration;

use solo5_sys::extension::Features;

use super::Error;
use super::device::Device;
use super::pace::Pace;
use crate::hypercall::{self, Errno, PollFd};
use crate::single_thread::SingleThread;
use crate::time::Instant;
use crate::{boot, shutdown, time};

struct Devices {
    list: Vec<Rc<Device>>,
    /// Room for each device and the shutdown, so that waiting never allocates.
    fds: Vec<PollFd>,
    pace: Pace,
}

static DEVICES: SingleThread<Devices> = SingleThread::new(Devices {
    list: Vec::new(),
    fds: Vec::new(),
    pace: Pace::new(Duration::ZERO),
});

/// Refuses a descriptor whose device is open.
pub(crate) fn check_free(fd: i32) -> Result<(), Error> {
    let is_open = DEVICES.with(|devices| devices.list.iter().any(|device| device.fd == fd));
    if is_open { Err(Error::Busy) } else { Ok(()) }
}

/// Makes room for waiting for the shutdown beside the devices.
pub(crate) fn expect_shutdown() {
    DEVICES.with(|devices| devices.fds.reserve(1));
}

/// Adds a device. From now on the guest looks for at most `patience` before it sleeps.
pub(crate) fn add(device: &Rc<Device>, patience: Duration) {
    DEVICES.with(|devices| {
        devices.list.push(Rc::clone(device));
        devices.fds.reserve(devices.list.len() + 1);
        devices.pace = Pace::new(patience);
    });
}

/// Takes in what the wires have.
pub(crate) fn receive(now: Instant) {
    DEVICES.with(|devices| {
        let arrived = devices.list.iter().fold(false, |any, device| device.receive(now) | any);
        if arrived {
            devices.pace.moved(time::refresh_by_counter(now), true);
        }
    });
}

/// What goes out before there is a look at what came in: answers to it may be waiting there already,
/// and what is in flight stays within the processor's cache.
const FLUSH_BYTES_MAX: usize = 128 << 10;

/// Lets the stacks work and moves frames out, but not more than is good in one turn.
pub(crate) fn flush(now: Instant) {
    flush_bytes(now, FLUSH_BYTES_MAX);
}

/// Moves out all that there is.
pub(crate) fn flush_all(now: Instant) {
    flush_bytes(now, usize::MAX);
}

fn flush_bytes(now: Instant, bytes_max: usize) {
    DEVICES.with(|devices| {
        let sent =
            devices.list.iter().fold(false, |any, device| device.flush(now, bytes_max) | any);
        if sent {
            devices.pace.moved(now, false);
        }
    });
}

/// Yields until a device is ready, a stack's deadline has come, or `timer` has; or not at all, if
/// the next frame is expected at once.
pub(crate) fn wait(now: Instant, timer: Option<Instant>) {
    DEVICES.with(|devices| devices.wait(now, timer));
}

impl Devices {
    fn wait(&mut self, now: Instant, timer: Option<Instant>) {
        let deadlines = self.list.iter().filter_map(|device| device.deadline(now));
        let deadline = deadlines.chain(timer).min();
        if deadline.is_some_and(|deadline| deadline <= now) {
            return;
        }
        self.fds.clear();
        let interests = self.list.iter().filter_map(|device| {
            Some(PollFd { fd: device.fd, events: device.interest()?, returned: 0 })
        });
        self.fds.extend(interests);
        // Where nobody will ask, a guest may wait for it all the same.
        if self.fds.is_empty() && deadline.is_none() && !shutdown::is_awaited() {
            panic!("every task waits for something that cannot happen");
        }
        let is_blocked = self.fds.iter().any(|fd| fd.events & PollFd::OUT != 0);
        if !self.fds.is_empty() && !is_blocked && self.pace.looks_again(now) {
            return;
        }
        self.list.iter().for_each(|device| device.expect_sleep());
        if !self.prepare_rings() {
            return;
        }
        // Interruption and readiness are the same to the caller, who looks again.
        if boot::has(Features::PPOLL) {
            let timeout = deadline.map(|deadline| deadline - now);
            let asked = shutdown::interest();
            self.fds.extend(asked);
            if hypercall::ppoll(&mut self.fds, timeout).is_ok() {
                self.mark_quiet();
                let last = asked.and_then(|_| self.fds.pop());
                last.into_iter().for_each(shutdown::found);
            }
        } else {
            let _ = wait_by_epoll(now, deadline, is_blocked);
        }
        self.wake_rings();
    }

    /// Tells the gateways of rings that the guest sleeps; `false` if there is something to do.
    fn prepare_rings(&self) -> bool {
        let may_sleep = self.list.iter().fold(true, |all, device| device.prepare_to_sleep() & all);
        if !may_sleep {
            self.list.iter().filter_map(|device| device.ring.as_ref()).for_each(|r| r.wake(false));
        }
        may_sleep
    }

    fn wake_rings(&self) {
        for device in &self.list {
            if let Some(ring) = &device.ring {
                ring.wake(self.fds.iter().any(|fd| fd.fd == device.fd && fd.returned != 0));
            }
        }
    }

    /// Spares the devices a read of which `ppoll` says that they have nothing.
    fn mark_quiet(&self) {
        let is_quiet = |fd: &&PollFd| fd.returned & !PollFd::OUT == 0;
        for fd in self.fds.iter().filter(is_quiet) {
            let device = self.list.iter().find(|device| device.fd == fd.fd);
            device.into_iter().for_each(|device| device.mark_quiet());
        }
    }
}

/// Solo5's epoll set tells only what can be read, so a device that is full is tried again soon.
fn wait_by_epoll(now: Instant, deadline: Option<Instant>, blocked: bool) -> Result<usize, Errno> {
    const RETRY: Duration = Duration::from_millis(1);
    let deadline = match (deadline, blocked) {
        (deadline, true) => [deadline, Some(now + RETRY)].into_iter().flatten().min(),
        (deadline, false) => deadline,
    };
    let (epoll_fd, timer_fd) = boot::with(|boot| (boot.epoll_fd, boot.timer_fd));
    hypercall::epoll_yield(epoll_fd, timer_fd, deadline.map(Instant::since_epoch))
}
