//! Runs a unikernel: read, attach, derive the policy, load, launch.
//!
//! Without user networks the process itself becomes the guest. With them it stays as the
//! supervisor of the guest and its gateways ([`crate::supervise`]).

use std::convert::Infallible;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
use solo5_sys::boot::BootInfo;
use solo5_sys::extension::{Extension, Features, Request};
use solo5_sys::hypercall::TIMER_EVENT;
use solo5_sys::layout::{BOOT_INFO, EXTENSION_PAGE};
use solo5_sys::manifest::{DeviceKind, MAX_BYTES, Manifest};

use crate::device::{self, Attached};
use crate::elf::Image;
use crate::memory::{self, COMMAND_LINE, MANIFEST, Memory};
use crate::options::Options;
use crate::policy::filter::{self, Filter};
use crate::policy::{Policy, Waiting};
use crate::supervise::{self, Outcome};
use crate::{entropy, inspect, launch};

/// Why a unikernel could not be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its file.
    #[error(transparent)]
    Kernel(#[from] inspect::Error),
    /// Its devices.
    #[error(transparent)]
    Attach(#[from] device::AttachError),
    /// Its policy.
    #[error(transparent)]
    Filter(#[from] filter::Error),
    /// Its memory.
    #[error(transparent)]
    Memory(#[from] memory::Error),
    /// Its random seed.
    #[error(transparent)]
    Entropy(#[from] entropy::Error),
    /// The epoll set or the timer.
    #[error("cannot make the guest's epoll set: {0}")]
    Waiting(Errno),
    /// The last steps.
    #[error(transparent)]
    Launch(#[from] launch::Error),
    /// The processes around the guest.
    #[error(transparent)]
    Supervise(#[from] supervise::Error),
}

/// Everything that a guest needs, attached and checked.
struct Guest {
    options: Options,
    file: File,
    image: Image,
    granted: Request,
    manifest: Manifest,
    descriptors: Vec<OwnedFd>,
    waiting: WaitingSet,
    filter: Filter,
}

/// Runs a unikernel. Comes back only with an error, or, in the supervisor, when the guest has
/// ended. `say` gets the lines of `--verbose`.
///
/// Closes all descriptors but the standard streams and those that options name, and must be
/// called while the process has one thread.
///
/// # Errors
/// Before the guest has run one instruction.
pub fn run(options: Options, say: &mut dyn FnMut(&str)) -> Result<Outcome, Error> {
    launch::check_kernel()?;
    if options.die_with_parent {
        launch::die_with_parent()?;
    }
    options.devices.check_descriptors()?;
    let mut keep = options.descriptors();
    keep.extend([libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO]);
    launch::close_others(keep)?;

    let (file, image) = inspect::read_image(&options.kernel, options.memory_bytes)?;
    let granted = inspect::grant(&image.request);
    let Attached { manifest, descriptors, gateways, descriptions } =
        device::attach(&options.devices, &image.manifest, &granted)?;
    let waiting = WaitingSet::new(&manifest, &descriptors, &granted).map_err(Error::Waiting)?;
    let policy = Policy::new(&manifest, &granted, waiting.of_policy());
    let filter = Filter::compile(&policy)?;
    if options.verbose {
        descriptions.iter().for_each(|line| say(line));
        say(&format!("policy: {}", policy.summary()));
    }
    let guest = Guest { options, file, image, granted, manifest, descriptors, waiting, filter };
    if gateways.is_empty() {
        guest.launch().map(|never| match never {})
    } else {
        supervise::run(gateways, guest, Guest::launch)
    }
}

impl Guest {
    /// Loads the image and becomes the guest.
    fn launch(self) -> Result<Infallible, Error> {
        let mut memory = Memory::map(self.options.memory_bytes)?;
        memory.load(&self.image, &self.file)?;
        self.write_low(&mut memory)?;
        launch::write(&mut memory, self.image.entry, &self.filter);
        let memory = memory.protect(self.image.kernel_end, self.options.execute_heap)?;
        let mut keep: Vec<RawFd> = self.descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        keep.extend(self.waiting.descriptors());
        // SAFETY: memory was filled above, and the process has one thread, as `run` asks for.
        Ok(unsafe { launch::enter(memory, &keep) }?)
    }

    fn write_low(&self, memory: &mut Memory) -> Result<(), Error> {
        let seeded = self.granted.features.contains(Features::SEED);
        let extension = Extension {
            features: self.granted.features,
            read_only: self.granted.read_only,
            seed: if seeded { entropy::bytes()? } else { [0; 32] },
        };
        let (epoll_fd, timer_fd) = match self.waiting.of_policy() {
            Waiting::Ppoll => (-1, -1),
            Waiting::Epoll { epoll_fd, timer_fd } => (epoll_fd, timer_fd),
        };
        let boot = BootInfo {
            memory_bytes: memory.end(),
            kernel_end: self.image.kernel_end,
            command_line: COMMAND_LINE,
            manifest: MANIFEST,
            epoll_fd,
            timer_fd,
        };
        let mut manifest = [0; MAX_BYTES];
        let manifest_bytes = self.manifest.encode(&mut manifest);
        memory.write_low(EXTENSION_PAGE, &extension.to_bytes());
        memory.write_low(BOOT_INFO, &boot.to_bytes());
        memory.write_low(MANIFEST, &manifest[..manifest_bytes]);
        memory.write_low(COMMAND_LINE, &self.options.command_line);
        Ok(())
    }
}

/// What a guest waits with.
enum WaitingSet {
    Ppoll,
    Epoll { epoll: Epoll, timer: TimerFd },
}

impl WaitingSet {
    /// Makes the epoll set of Solo5's ABI for guests that need it.
    fn new(manifest: &Manifest, descriptors: &[OwnedFd], granted: &Request) -> Result<Self, Errno> {
        if granted.features.contains(Features::PPOLL) {
            return Ok(Self::Ppoll);
        }
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER_EVENT))?;
        for ((index, device), fd) in manifest.devices().zip(descriptors) {
            if device.kind == DeviceKind::Net {
                epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, index as u64))?;
            }
        }
        Ok(Self::Epoll { epoll, timer })
    }

    fn of_policy(&self) -> Waiting {
        match self {
            Self::Ppoll => Waiting::Ppoll,
            Self::Epoll { epoll, timer } => Waiting::Epoll {
                epoll_fd: epoll.0.as_raw_fd(),
                timer_fd: timer.as_fd().as_raw_fd(),
            },
        }
    }

    fn descriptors(&self) -> Vec<RawFd> {
        match self.of_policy() {
            Waiting::Ppoll => Vec::new(),
            Waiting::Epoll { epoll_fd, timer_fd } => vec![epoll_fd, timer_fd],
        }
    }
}
