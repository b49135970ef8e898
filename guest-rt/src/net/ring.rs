//! The driver of a network device that is a ring: frames in memory that is shared with the gateway. The
//! only system calls are those of sleeping and waking, once for any number of frames.

use core::cell::RefCell;

use ring::{Corrupt, Endpoint};

use crate::time::Duration;
use crate::{boot, hypercall};

pub(crate) struct Ring {
    end: RefCell<Endpoint<'static>>,
    doorbell: i32,
    gateway_doorbell: i32,
    patience: Duration,
}

impl Ring {
    /// The ring of the device with this manifest index and doorbell; `None` if it is no ring.
    pub(crate) fn open(index: usize, doorbell: i32) -> Option<Self> {
        let (region, gateway_doorbell) = boot::ring(index)?;
        let patience = Duration::from_nanos(ring::spin_ns(region));
        Some(Self {
            end: RefCell::new(ring::guest_end(region)),
            doorbell,
            gateway_doorbell,
            patience,
        })
    }

    /// For how long to look before sleeping, at most.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// Copies the next frame into the buffer. Tells its length, also if the buffer is shorter.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> Result<Option<usize>, Corrupt> {
        self.end.borrow_mut().incoming().receive(buffer)
    }

    /// Sends a frame; `false` if there is no room.
    pub(crate) fn send(&self, frame: &[u8]) -> Result<bool, Corrupt> {
        self.end.borrow_mut().outgoing().send(frame)
    }

    /// Wakes the gateway, if it sleeps and something has happened that it waits for.
    pub(crate) fn ring(&self) {
        if self.end.borrow_mut().must_ring() {
            // It fails only while the doorbell holds a ring already.
            let _ = hypercall::write(self.gateway_doorbell, &1u64.to_ne_bytes());
        }
    }

    /// Tells the gateway that the guest sleeps, until there are frames, or also until a frame of so
    /// many bytes has room; `false` if it must not.
    pub(crate) fn prepare_to_sleep(&self, room_for: Option<usize>) -> Result<bool, Corrupt> {
        self.end.borrow_mut().prepare_to_sleep(room_for)
    }

    /// Takes back that the guest sleeps; `rang` says whether the doorbell did.
    pub(crate) fn wake(&self, rang: bool) {
        self.end.borrow_mut().wake();
        if rang {
            let _ = hypercall::read(self.doorbell, &mut [0; 8]);
        }
    }
}
