//! The words in which tables describe arguments, structures and calls. Plain data, without behaviour.

/// What a value is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum A {
    /// This number.
    N(u64),
    /// One of these numbers.
    Pick(&'static [u64]),
    /// Some of these bits.
    Bits(&'static [u64]),
    /// A number between these, both included.
    Within(u64, u64),
    /// Any number.
    Any,
    /// One of these values.
    OneOf(&'static [A]),
    /// The length of what was written last, mostly.
    Len,
    /// How many elements the array written last has, mostly.
    Count,
    /// A size of a transfer.
    Size,
    /// Any descriptor.
    Fd,
    /// A resource of this kind.
    Of(Kind),
    /// The resource that the group is about.
    This,
    /// What the step of this index in the sequence gave.
    Step(usize),
    /// The second of a pair that it gave.
    Second(usize),
    /// A pointer to a path.
    Path,
    /// A pointer to one of these texts, which gets a zero at its end.
    Text(&'static [&'static str]),
    /// A pointer to a structure.
    To(&'static [F]),
    /// A pointer to one of these structures.
    ToOne(&'static [&'static [F]]),
    /// A pointer to up to so many of them in a row.
    Array(&'static [F], u64),
    /// A pointer to at most so many random bytes.
    Data(u64),
    /// A pointer to zeroes that the kernel may write to.
    Room(u64),
    /// An address so far into the memory.
    Window(u64),
    /// The address of a page in the arena.
    Arena,
    /// The process's or a child's number, or none's.
    Pid,
    /// A signal.
    Signal,
    /// The address of a handler of signals.
    Handler,
    /// The address of the handler's way back.
    Restorer,
    /// A pointer to a frame without a header.
    Frame,
    /// The user's number.
    User,
}

/// A part of a structure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum F {
    /// A byte.
    U8(A),
    /// Two bytes.
    U16(A),
    /// Four bytes.
    U32(A),
    /// Eight bytes.
    U64(A),
    /// Two bytes in the network's order.
    B16(A),
    /// Four bytes in the network's order.
    B32(A),
    /// These bytes.
    Bytes(&'static [u8]),
    /// One of these texts, in a room of so many bytes.
    Name(&'static [&'static str], u16),
    /// So many zeroes.
    Zero(u16),
    /// So many random bytes.
    Random(u16),
    /// The length of the whole structure, in four bytes.
    Total,
    /// An attribute of netlink with its length, of this type, padded.
    Attr(u16, &'static [F]),
    /// An ancillary message with its length: level, type.
    Control(u32, u32, &'static [F]),
    /// One of these parts.
    One(&'static [&'static [F]]),
    /// Each of these parts or not.
    Some(&'static [&'static [F]]),
    /// Up to so many times these parts.
    Times(&'static [F], u64),
}

/// What results are, so that they can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing to be kept.
    Nothing,
    File,
    Folder,
    Kernel,
    Terminal,
    PipeIn,
    PipeOut,
    Stream,
    Datagram,
    Unix,
    Raw,
    Packet,
    Netlink,
    Algorithm,
    Odd,
    Epoll,
    Event,
    TimerFd,
    SignalFd,
    Inotify,
    Fanotify,
    Uring,
    Userfault,
    PidFd,
    Perf,
    Bpf,
    Landlock,
    Queue,
    Mount,
    Context,
    Tun,
    /// From here on, no descriptors.
    Semaphore,
    Message,
    Shared,
    Key,
    Timer,
    Aio,
    Mapping,
    Child,
    Watch,
}

impl Kind {
    pub(crate) const fn is_descriptor(self) -> bool {
        (self as u8) > (Kind::Nothing as u8) && (self as u8) < (Kind::Semaphore as u8)
    }
}

/// What a call gives.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gives {
    /// A resource as its result.
    Result(Kind),
    /// Two descriptors in the memory that this argument points to.
    Pair(usize, Kind, Kind),
    /// A resource of eight bytes in the memory that this argument points to.
    Word(usize, Kind),
    /// One of four bytes.
    Half(usize, Kind),
}

/// A call, or something to be written before one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct T {
    pub(crate) number: u16,
    pub(crate) arguments: &'static [A],
    pub(crate) gives: Gives,
    /// What is written to which place in the memory first.
    pub(crate) poke: &'static [(u64, &'static [F])],
}

/// A call.
pub(crate) const fn t(number: u16, arguments: &'static [A]) -> T {
    T { number, arguments, gives: Gives::Result(Kind::Nothing), poke: &[] }
}

impl T {
    /// Its result is of this kind.
    pub(crate) const fn gives(self, kind: Kind) -> Self {
        Self { gives: Gives::Result(kind), ..self }
    }

    /// It gives several, or by memory.
    pub(crate) const fn leaves(self, gives: Gives) -> Self {
        Self { gives, ..self }
    }

    /// These structures are written to these places before.
    pub(crate) const fn poke(self, poke: &'static [(u64, &'static [F])]) -> Self {
        Self { poke, ..self }
    }
}

/// What can be made and then used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) makers: &'static [T],
    pub(crate) uses: &'static [T],
}

/// Calls in this order.
pub(crate) type Sequence = &'static [T];
