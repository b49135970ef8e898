//! Runs a unikernel: read, attach, derive the policy, load, launch.
//!
//! The process stays as the supervisor of the guest and of its gateways ([`crate::supervise`]);
//! or, if it is told to, becomes the guest itself.

use std::convert::Infallible;
use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
use solo5_sys::boot::BootInfo;
use solo5_sys::extension::{self, Extension, Features, Request, Rings};
use solo5_sys::hypercall::TIMER_EVENT;
use solo5_sys::layout::{BOOT_INFO, ENVIRONMENT, EXTENSION_PAGE};
use solo5_sys::manifest::{DeviceKind, MAX_BYTES, Manifest};
use solo5_sys::ring::{REGION_BYTES, STRIDE_BYTES};

use crate::clock::Reading;
use crate::device::net::Gateway;
use crate::device::{self, Attached};
use crate::elf::Image;
use crate::memory::{self, COMMAND_LINE, MANIFEST, Memory, Plan};
use crate::options::Options;
use crate::policy::bpf::{Program, Verdict};
use crate::policy::{Policy, Waiting, filter};
use crate::shutdown::{self, Shutdown};
use crate::signals::Inherited;
use crate::supervise::{self, Jailing, Outcome};
use crate::{descriptors, entropy, inspect, launch, report};

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
    /// Its descriptors.
    #[error(transparent)]
    Descriptors(#[from] descriptors::Error),
    /// The file's second descriptor, for the supervisor.
    #[error("cannot keep the unikernel's file open (see `ulimit -n`): {0}")]
    Symbols(std::io::Error),
    /// The epoll set or the timer.
    #[error("cannot make the guest's epoll set: {0}")]
    Waiting(Errno),
    /// What asks the guest to end.
    #[error("cannot prepare for asking the guest to end: {0}")]
    Shutdown(Errno),
    /// The last steps.
    #[error(transparent)]
    Launch(#[from] launch::Error),
    /// The processes around the guest.
    #[error(transparent)]
    Supervise(#[from] supervise::Error),
}

/// How a guest has ended.
#[derive(Debug)]
pub struct End {
    /// In which way.
    pub outcome: Outcome,
    /// What there is to say about it, in lines for people; nothing, if it ended well.
    pub report: Vec<String>,
}

/// Everything that a guest needs, attached and checked.
#[derive(Debug)]
struct Guest {
    options: Options,
    file: File,
    image: Image,
    granted: Request,
    manifest: Manifest,
    virtio_net: u64,
    synchronous: u64,
    /// Taken at the start, if the guest reads the counter.
    reading: Option<Reading>,
    descriptors: Vec<OwnedFd>,
    /// The network devices in shared memory, whose place is not known yet, and that memory.
    rings: Rings,
    ring_memory: Vec<OwnedFd>,
    waiting: Waiting,
    /// The number of the descriptor that asks it to end.
    shutdown: u64,
    null: OwnedFd,
    filter: Program,
}

/// Runs a unikernel. Comes back only with an error, or, in the supervisor, when the guest has
/// ended. `say` gets the lines of `--verbose`, and is told if there is no jail where one is usual.
///
/// Closes all descriptors but the standard streams and those that options name, and must be
/// called while the process has one thread.
///
/// # Errors
/// Before the guest has run one instruction, or if its gateway has died.
pub fn run(options: Options, signals: Inherited, say: &mut dyn FnMut(&str)) -> Result<End, Error> {
    if options.die_with_parent {
        launch::die_with_parent()?;
    }
    options.devices.check_descriptors()?;
    descriptors::keep_only(None, options.descriptors())?;
    prepare(options, say)?.run(signals, say)
}

/// A unikernel that is checked, with its devices attached and its policy compiled.
#[derive(Debug)]
pub struct Prepared {
    guest: Guest,
    gateways: Vec<Gateway>,
    policy: Policy,
    jailing: Jailing,
    /// What asks the guest to end.
    shutdown: Option<Shutdown>,
    /// The file once more, from which the supervisor reads names of functions. Its children close it
    /// by its number.
    symbols: Option<ManuallyDrop<File>>,
}

/// Reads, attaches and derives, and starts nothing yet: what can be wrong with a unikernel, its options
/// and its devices shows here. `say` gets the lines of `--verbose`.
///
/// # Errors
/// The first thing that is wrong.
pub fn prepare(options: Options, say: &mut dyn FnMut(&str)) -> Result<Prepared, Error> {
    launch::check_kernel()?;
    let (file, image) = inspect::read_image(&options.kernel, options.memory_bytes)?;
    let mut granted = inspect::grant(&image.request, &options)?;
    let reading = granted.features.contains(Features::TSC).then(Reading::take).flatten();
    if reading.is_none() {
        granted.features = granted.features.without(Features::TSC);
    }
    let Attached {
        manifest,
        virtio_net,
        synchronous,
        mut descriptors,
        rings,
        ring_memory,
        gateways,
        descriptions,
    } = device::attach(&options.devices, &image.manifest, &granted)?;
    let waiting = Waiting::of(&manifest, &granted);
    let policy = Policy::new(&manifest, &granted, &rings, options.memory_bytes);
    let filter = filter::compile(&policy, options.otherwise())?;
    if options.verbose {
        descriptions.iter().for_each(|line| say(line));
        say(&format!("policy: {}", policy.summary()));
    }
    if waiting != Waiting::Ppoll {
        let set = make_waiting_set(&manifest, &descriptors).map_err(Error::Waiting)?;
        descriptors.extend(set);
    }
    let mut shutdown = None;
    let mut shutdown_fd = 0;
    if granted.features.contains(Features::SHUTDOWN) {
        let (read_end, asking) =
            Shutdown::pipe(options.die_with_parent).map_err(Error::Shutdown)?;
        shutdown_fd = descriptors::number(descriptors.len()) as u64;
        descriptors.push(read_end);
        shutdown = Some(asking);
    }
    let null = descriptors::open_null()?;
    let jailing = options.jail.unwrap_or(match gateways.is_empty() {
        true => Jailing::Never,
        false => Jailing::WherePossible,
    });
    let symbols = match options.supervised {
        true => Some(ManuallyDrop::new(file.try_clone().map_err(Error::Symbols)?)),
        false => None,
    };
    let guest = Guest {
        options,
        file,
        image,
        granted,
        manifest,
        virtio_net,
        synchronous,
        reading,
        descriptors,
        rings,
        ring_memory,
        waiting,
        shutdown: shutdown_fd,
        null,
        filter,
    };
    Ok(Prepared { guest, gateways, policy, jailing, shutdown, symbols })
}

impl Prepared {
    /// The names of the system calls that the guest's policy permits with some arguments.
    pub fn calls(&self) -> impl Iterator<Item = &'static str> {
        self.policy.rules().iter().map(|rule| rule.call.name())
    }

    /// Starts the guest, and comes back as [`run`] does. In the guest's process, and in those of its
    /// gateways, all descriptors are closed that are not theirs; not in the supervisor's. The process has
    /// one thread.
    ///
    /// # Errors
    /// As [`run`].
    pub fn run(self, signals: Inherited, say: &mut dyn FnMut(&str)) -> Result<End, Error> {
        let Self { guest, gateways, policy, jailing, shutdown, symbols } = self;
        let Some(symbols) = symbols else {
            return guest.launch(signals).map(|never| match never {});
        };
        let hidden = guest.options.hidden;
        let launch = |guest: Guest| guest.launch(signals);
        let (outcome, record) =
            supervise::run(gateways, guest, jailing, hidden, shutdown, launch, say)?;
        let report = match outcome {
            Outcome::Exited(status) => report::of_status(status),
            Outcome::Killed(signal) => {
                report::of_signal(signal, record.as_ref(), &policy, &*symbols)
            }
        };
        Ok(End { outcome, report })
    }
}

impl Options {
    /// What becomes of calls that the policy does not permit.
    pub(crate) fn otherwise(&self) -> Verdict {
        if self.supervised { Verdict::Trap } else { Verdict::Kill }
    }
}

impl Guest {
    /// Loads the image and becomes the guest.
    fn launch(self, signals: Inherited) -> Result<Infallible, Error> {
        let plan = Plan {
            memory_bytes: self.options.memory_bytes,
            scattered: self.granted.features.contains(Features::PLACEMENT),
            execute_heap: self.options.execute_heap,
        };
        let mut memory = Memory::load(&self.image, &self.file, plan)?;
        let environment = self.options.environment.to_bytes();
        memory.load_environment(&environment)?;
        let environment = match environment.len() as u64 {
            0 => extension::Environment::default(),
            bytes => extension::Environment { address: ENVIRONMENT, bytes },
        };
        let base = memory.share(&self.ring_memory, REGION_BYTES as u64, STRIDE_BYTES)?;
        self.write_low(&mut memory, Rings { base, ..self.rings }, environment)?;
        launch::write(&mut memory, self.image.entry, &self.filter);
        let memory = memory.protect()?;
        drop((self.file, self.ring_memory));
        let behind = descriptors::number(self.descriptors.len()) as u64;
        descriptors::arrange(self.null, self.descriptors)?;
        if self.granted.features.contains(Features::SHUTDOWN) {
            shutdown::ignore_signals().map_err(Error::Shutdown)?;
        }
        // SAFETY: memory was filled above, the record is mapped if there is a supervisor, and
        // the process has one thread, as `run` asks for.
        Ok(unsafe { launch::enter(memory, behind, signals, self.options.supervised) }?)
    }

    fn write_low(
        &self,
        memory: &mut Memory,
        rings: Rings,
        environment: extension::Environment,
    ) -> Result<(), Error> {
        let mut features = self.granted.features;
        let clock = self.reading.and_then(|first| first.clock_until(Reading::take()?));
        if clock.is_none() {
            features = features.without(Features::TSC);
        }
        let placement = match features.contains(Features::PLACEMENT) {
            false => extension::Placement::default(),
            true => extension::Placement {
                heap_start: memory.placement().heap.start,
                heap_end: memory.placement().heap.end,
                stack_end: memory.placement().stack_end,
            },
        };
        let extension = Extension {
            features,
            read_only: self.granted.read_only,
            seed: if features.contains(Features::SEED) { entropy::bytes()? } else { [0; 32] },
            placement,
            virtio_net: self.virtio_net,
            clock: clock.unwrap_or_default(),
            rings,
            synchronous: self.synchronous,
            shutdown: self.shutdown,
            environment,
        };
        let (epoll_fd, timer_fd) = match self.waiting {
            Waiting::Ppoll => (-1, -1),
            Waiting::Epoll { epoll_fd, timer_fd } => (epoll_fd, timer_fd),
        };
        let boot = BootInfo {
            memory_bytes: self.options.memory_bytes,
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

/// The epoll set and the timer of Solo5's ABI.
fn make_waiting_set(manifest: &Manifest, devices: &[OwnedFd]) -> Result<[OwnedFd; 2], Errno> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
    epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER_EVENT))?;
    for ((index, device), fd) in manifest.attached().zip(devices) {
        if device.kind == DeviceKind::Net {
            epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, index as u64))?;
        }
    }
    Ok([epoll.0, timer.into()])
}
