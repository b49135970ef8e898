//! What Nabla adds to the ABI. A guest *asks* with a note in its file; Nabla's tender *answers*
//! in a page that Solo5's tender leaves zero. A guest that finds no answer falls back to the
//! plain ABI, so one file runs under both.
//!
//! A feature that is asked for and granted changes which system calls the guest may make: what
//! it replaces is no longer in the policy.

use core::fmt;
use core::ops::BitOr;

use crate::bytes::{array, put, u32_at, u64_at};
use crate::note::{NABLA, NoteHeader, REQ1};

/// A set of features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(u64);

impl Features {
    /// No feature.
    pub const NONE: Self = Self(0);
    /// The guest waits by `ppoll` on its network devices; `timerfd_settime` and `epoll_pwait`
    /// leave the policy.
    pub const PPOLL: Self = Self(1 << 0);
    /// The guest has no thread-local storage; `arch_prctl` leaves the policy.
    pub const NO_TLS: Self = Self(1 << 1);
    /// A block transfer may cover several blocks, see [`crate::hypercall::transfer_tiers`].
    pub const MULTI_BLOCK: Self = Self(1 << 2);
    /// The extension page carries 32 bytes from the host's random number generator.
    pub const SEED: Self = Self(1 << 3);
    /// The guest makes all its system calls in its [`Stub`]; from other code none is permitted.
    pub const STUB: Self = Self(1 << 4);
    /// Heap and stack lie at random addresses, which [`Extension::placement`] tells, each with
    /// nothing mapped around it.
    pub const PLACEMENT: Self = Self(1 << 5);
    /// Frames begin with a [`crate::virtio_net::Header`], on the network devices that
    /// [`Extension::virtio_net`] names; not every wire can carry it.
    pub const VNET: Self = Self(1 << 6);
    /// The guest reads the time from the processor's cycle counter, by [`Extension::clock`]; granted where
    /// the host's kernel itself does. `clock_gettime` stays in the policy, to keep the counter right.
    pub const TSC: Self = Self(1 << 7);
    /// Network devices may be rings in shared memory, which [`Extension::rings`] tells; each frame then
    /// begins with a [`crate::virtio_net::Header`]. Granted with [`Features::PPOLL`] only. See [`crate::ring`].
    pub const RING: Self = Self(1 << 8);
    /// The guest is told by [`Extension::synchronous`] on which block devices a write is on the disk when it
    /// returns.
    pub const SYNC: Self = Self(1 << 9);
    /// The guest ends in order when it is asked to: [`Extension::shutdown`] names a descriptor that becomes
    /// ready then (`POLLHUP`), once and for all. Granted with [`Features::PPOLL`] only, which may wait for one
    /// descriptor more, and where there is a supervisor to be asked.
    pub const SHUTDOWN: Self = Self(1 << 10);
    /// The guest reads variables that its starter has set, in [`Extension::environment`].
    pub const ENVIRONMENT: Self = Self(1 << 11);

    /// Every feature that this version knows.
    pub const ALL: Self = Self(0b1111_1111_1111);

    const NAMES: [(Self, &'static str); 12] = [
        (Self::PPOLL, "ppoll"),
        (Self::NO_TLS, "no-tls"),
        (Self::MULTI_BLOCK, "multi-block"),
        (Self::SEED, "seed"),
        (Self::STUB, "stub"),
        (Self::PLACEMENT, "placement"),
        (Self::VNET, "virtio-net"),
        (Self::TSC, "tsc"),
        (Self::RING, "ring"),
        (Self::SYNC, "sync"),
        (Self::SHUTDOWN, "shutdown"),
        (Self::ENVIRONMENT, "environment"),
    ];

    /// The set as bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The set of these bits, unknown ones included: a newer guest may ask for more than this
    /// version can grant.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Whether all of `other` is in the set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What both have.
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What this set has and `other` has not.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What either has.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The names of the features in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(f, _)| self.contains(*f)).map(|(_, name)| name)
    }
}

impl BitOr for Features {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

const REQUEST_VERSION: u32 = 3;
const REQUEST_BYTES: usize = 44;
/// The version before, which has no optional devices.
const REQUEST_VERSION_2: u32 = 2;
const REQUEST_BYTES_2: usize = 36;

/// Largest stub, in bytes: a page.
pub const STUB_MAX_BYTES: u64 = 4096;

/// The piece of a guest's code in which it makes its system calls: from `start` up to `end`, both
/// zero if it has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stub {
    /// Address of the first instruction.
    pub start: u64,
    /// Address behind the last one.
    pub end: u64,
}

/// What a guest asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The features that it can use.
    pub features: Features,
    /// The block devices that it only reads, as bits by manifest index (bit 1 is the first
    /// device); they are opened read-only and `pwrite64` leaves the policy.
    pub read_only: u64,
    /// Where its system calls are, meaningful with [`Features::STUB`].
    pub stub: Stub,
    /// The block devices that it can do without, as bits by manifest index: what is not attached has neither a
    /// descriptor nor a rule. Solo5's tender, which does not read this, attaches all.
    pub optional: u64,
}

/// The note of a [`Request`], as it stands in the file. The addresses of its stub are symbols that
/// the linker resolves.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub struct RequestNote {
    header: NoteHeader,
    version: u32,
    features: u64,
    read_only: u64,
    stub: [unsafe extern "C" fn(); 2],
    optional: u64,
}

const _: () = assert!(size_of::<RequestNote>() == crate::note::HEADER_BYTES + REQUEST_BYTES);

impl RequestNote {
    /// The note of a guest that asks for `features`, only reads the block devices `read_only`, can do
    /// without those of `optional`, and makes its system calls between the two symbols `stub`.
    pub const fn new(
        features: Features,
        read_only: u64,
        optional: u64,
        stub: [unsafe extern "C" fn(); 2],
    ) -> Self {
        Self {
            header: NoteHeader::new(NABLA, REQ1, REQUEST_BYTES),
            version: REQUEST_VERSION.to_le(),
            features: features.0.to_le(),
            read_only: read_only.to_le(),
            stub,
            optional: optional.to_le(),
        }
    }
}

/// Why a descriptor is not a [`Request`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// Its size is not that of its version.
    Size {
        /// Bytes that there are.
        found: usize,
        /// Bytes that there should be.
        expected: usize,
    },
    /// Another version.
    Version(u32),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { found, expected } => {
                write!(f, "the Nabla note has {found} bytes, not {expected}")
            }
            Self::Version(version) => write!(
                f,
                "the Nabla note has version {version}, known are {REQUEST_VERSION_2} and {REQUEST_VERSION}"
            ),
        }
    }
}

impl core::error::Error for RequestError {}

impl Request {
    /// Whether the guest only reads the device with this manifest index.
    pub const fn only_reads(&self, index: usize) -> bool {
        self.read_only & (1 << index) != 0
    }

    /// Whether the guest can do without the device with this manifest index.
    pub const fn can_miss(&self, index: usize) -> bool {
        self.optional & (1 << index) != 0
    }

    /// Checks a note's descriptor: `u32` version, `u64` features, `u64` read-only devices, two
    /// `u64` that enclose the stub, and since version 3 `u64` optional devices.
    ///
    /// # Errors
    /// [`RequestError`] if it has another size or version.
    pub fn parse(descriptor: &[u8]) -> Result<Self, RequestError> {
        let found = descriptor.len();
        let expected = match u32_at(descriptor, 0) {
            Some(REQUEST_VERSION) | None => REQUEST_BYTES,
            Some(REQUEST_VERSION_2) => REQUEST_BYTES_2,
            Some(version) => return Err(RequestError::Version(version)),
        };
        let size = RequestError::Size { found, expected };
        if found != expected {
            return Err(size);
        }
        Ok(Self {
            features: Features(u64_at(descriptor, 4).ok_or(size)?),
            read_only: u64_at(descriptor, 12).ok_or(size)?,
            stub: Stub {
                start: u64_at(descriptor, 20).ok_or(size)?,
                end: u64_at(descriptor, 28).ok_or(size)?,
            },
            optional: match expected {
                REQUEST_BYTES_2 => 0,
                _ => u64_at(descriptor, 36).ok_or(size)?,
            },
        })
    }
}

const MAGIC: [u8; 8] = *b"NablaExt";
const EXTENSION_VERSION: u32 = 1;

/// Where the tender has placed heap and stack: heap from `heap_start` up to `heap_end`, the stack
/// below `stack_end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// First address of the heap.
    pub heap_start: u64,
    /// Address behind the heap.
    pub heap_end: u64,
    /// Address behind the stack, which has [`crate::layout::STACK_BYTES`].
    pub stack_end: u64,
}

/// How to read the host's monotonic clock from the processor's cycle counter:
/// `monotonic_ns + ((counter - self.counter) * scale >> 32)`.
///
/// An estimate, measured while the tender started: right to some 10 or 100 parts in a million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// The counter at some moment.
    pub counter: u64,
    /// The clock at the same moment.
    pub monotonic_ns: u64,
    /// Nanoseconds of a tick, times 2^32.
    pub scale: u64,
}

/// The network devices that are rings in memory, and where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rings {
    /// Which, as bits by manifest index. The descriptor of each in the manifest is the guest's own
    /// doorbell.
    pub devices: u64,
    /// Address of the first one's region; those of the others follow at distances of
    /// [`crate::ring::STRIDE_BYTES`].
    pub base: u64,
    /// The first one's other doorbell, by which the guest wakes its gateway; those of the others have
    /// the numbers behind.
    pub doorbells: u64,
}

impl Rings {
    /// Address of the region and number of the gateway's doorbell of the device with this manifest
    /// index; `None` if it is no ring.
    pub const fn of(&self, index: usize) -> Option<(u64, i32)> {
        if index >= u64::BITS as usize || self.devices & (1 << index) == 0 {
            return None;
        }
        let position = (self.devices & ((1 << index) - 1)).count_ones() as u64;
        let address = self.base.wrapping_add(position * crate::ring::STRIDE_BYTES);
        Some((address, self.doorbells.wrapping_add(position) as i32))
    }
}

/// The variables that the guest's starter has set: `NAME=VALUE` strings, each with a NUL behind it, one
/// after the other. Both zero if there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Address of the first one: [`crate::layout::ENVIRONMENT`].
    pub address: u64,
    /// Size of all, at most [`crate::layout::ENVIRONMENT_MAX_BYTES`].
    pub bytes: u64,
}

/// What the tender grants: the contents of [`crate::layout::EXTENSION_PAGE`].
///
/// Laid out as magic `NablaExt`, `u32` version, `u32` size, `u64` features, `u64` read-only
/// devices, 32 bytes of seed, three `u64` of the placement, `u64` devices with virtio-net headers,
/// three `u64` of the clock, three `u64` of the rings, `u64` synchronous devices, `u64` descriptor of the
/// shutdown, two `u64` of the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension {
    /// The features in force: what was asked for and is known here.
    pub features: Features,
    /// The block devices that were opened read-only, as in [`Request::read_only`].
    pub read_only: u64,
    /// Random bytes, meaningful with [`Features::SEED`].
    pub seed: [u8; 32],
    /// Heap and stack, meaningful with [`Features::PLACEMENT`].
    pub placement: Placement,
    /// The network devices whose frames begin with a [`crate::virtio_net::Header`], as bits by
    /// manifest index, meaningful with [`Features::VNET`].
    pub virtio_net: u64,
    /// The clock, meaningful with [`Features::TSC`].
    pub clock: Clock,
    /// Network devices in shared memory, meaningful with [`Features::RING`].
    pub rings: Rings,
    /// The block devices on which a write is on the disk when it returns, as bits by manifest index, meaningful
    /// with [`Features::SYNC`].
    pub synchronous: u64,
    /// The descriptor that becomes ready when the guest is to end, meaningful with [`Features::SHUTDOWN`].
    pub shutdown: u64,
    /// The variables, meaningful with [`Features::ENVIRONMENT`].
    pub environment: Environment,
}

impl Extension {
    /// What a guest finds under a tender that offers nothing.
    pub const NONE: Self = Self {
        features: Features::NONE,
        read_only: 0,
        seed: [0; 32],
        placement: Placement { heap_start: 0, heap_end: 0, stack_end: 0 },
        virtio_net: 0,
        clock: Clock { counter: 0, monotonic_ns: 0, scale: 0 },
        rings: Rings { devices: 0, base: 0, doorbells: 0 },
        synchronous: 0,
        shutdown: 0,
        environment: Environment { address: 0, bytes: 0 },
    };
    /// Size of the encoded form in bytes.
    pub const BYTES: usize = 176;
    /// Size of the first tenders' page.
    const BYTES_MIN: usize = 88;
    /// Offset of the features, which an entry may have to look at before it has a stack.
    pub const FEATURES_OFFSET: usize = 16;

    /// The page's first bytes; the rest of it is zero.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        put(&mut out, 0, &MAGIC);
        put(&mut out, 8, &EXTENSION_VERSION.to_le_bytes());
        put(&mut out, 12, &(Self::BYTES as u32).to_le_bytes());
        put(&mut out, Self::FEATURES_OFFSET, &self.features.0.to_le_bytes());
        put(&mut out, 24, &self.read_only.to_le_bytes());
        put(&mut out, 32, &self.seed);
        put(&mut out, 64, &self.placement.heap_start.to_le_bytes());
        put(&mut out, 72, &self.placement.heap_end.to_le_bytes());
        put(&mut out, 80, &self.placement.stack_end.to_le_bytes());
        put(&mut out, 88, &self.virtio_net.to_le_bytes());
        put(&mut out, 96, &self.clock.counter.to_le_bytes());
        put(&mut out, 104, &self.clock.monotonic_ns.to_le_bytes());
        put(&mut out, 112, &self.clock.scale.to_le_bytes());
        put(&mut out, 120, &self.rings.devices.to_le_bytes());
        put(&mut out, 128, &self.rings.base.to_le_bytes());
        put(&mut out, 136, &self.rings.doorbells.to_le_bytes());
        put(&mut out, 144, &self.synchronous.to_le_bytes());
        put(&mut out, 152, &self.shutdown.to_le_bytes());
        put(&mut out, 160, &self.environment.address.to_le_bytes());
        put(&mut out, 168, &self.environment.bytes.to_le_bytes());
        out
    }

    /// Whether frames of the network device with this manifest index begin with a header.
    pub const fn has_virtio_net(&self, index: usize) -> bool {
        self.features.contains(Features::VNET) && self.virtio_net & (1 << index) != 0
    }

    /// Whether a write to the block device with this manifest index is on the disk when it returns.
    pub const fn is_synchronous(&self, index: usize) -> bool {
        self.features.contains(Features::SYNC) && self.synchronous & (1 << index) != 0
    }

    /// The descriptor that becomes ready when the guest is to end; `None` if nothing will tell it.
    pub fn shutdown_fd(&self) -> Option<i32> {
        let granted = self.features.contains(Features::SHUTDOWN);
        i32::try_from(self.shutdown).ok().filter(|_| granted)
    }

    /// Reads the page; `None` under a tender that offers none (Solo5's), or another version.
    /// Later versions only append: what a longer page has more is not looked at, what a shorter one
    /// lacks is zero.
    pub fn parse(page: &[u8]) -> Option<Self> {
        let size = u32_at(page, 12)? as usize;
        let known = array::<8>(page, 0)? == MAGIC
            && u32_at(page, 8)? == EXTENSION_VERSION
            && size >= Self::BYTES_MIN;
        if !known {
            return None;
        }
        let appended = |offset| if offset + 8 <= size { u64_at(page, offset) } else { Some(0) };
        Some(Self {
            features: Features(u64_at(page, Self::FEATURES_OFFSET)?),
            read_only: u64_at(page, 24)?,
            seed: array(page, 32)?,
            placement: Placement {
                heap_start: u64_at(page, 64)?,
                heap_end: u64_at(page, 72)?,
                stack_end: u64_at(page, 80)?,
            },
            virtio_net: appended(88)?,
            clock: Clock {
                counter: appended(96)?,
                monotonic_ns: appended(104)?,
                scale: appended(112)?,
            },
            rings: Rings {
                devices: appended(120)?,
                base: appended(128)?,
                doorbells: appended(136)?,
            },
            synchronous: appended(144)?,
            shutdown: appended(152)?,
            environment: Environment { address: appended(160)?, bytes: appended(168)? },
        })
    }
}

#[cfg(test)]
mod tests;
