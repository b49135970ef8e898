//! What waits for what: pipes, epoll, eventfd, timers, signals, inotify, fanotify, io_uring.

use super::files::{AT, KERNEL_FILES};
use super::shape::{ADDRESS, EMPTY, FULL, INTERVAL, INTERVAL_US, MESSAGE, MESSAGE_ROOM, POLL, SHORT, SHORT_US, SIGNALS};
use crate::numbers::nr::*;
use crate::term::A::*;
use crate::term::F::*;
use crate::term::{A, F, Gives, Group, Kind, Sequence, T, t};

const MOVE: A = Bits(&[1, 2, 2, 4, 8]);

pub(crate) const PIPE_GROUP: Group = Group {
    makers: &[
        t(PIPE, &[Room(8)]).leaves(Gives::Pair(0, Kind::PipeIn, Kind::PipeOut)),
        t(PIPE2, &[Room(8), Bits(&[0o4000, 0o4000, 0o40000, 0o2000000, 0o200])]).leaves(Gives::Pair(0, Kind::PipeIn, Kind::PipeOut)),
    ],
    uses: &[
        t(WRITE, &[Of(Kind::PipeOut), Data(2000), Len]),
        t(READ, &[This, Room(600), Len]),
        t(SPLICE, &[This, N(0), Of(Kind::File), OneOf(&[N(0), To(&[U64(Pick(&[0, 100]))])]), Pick(&[100, 4096, 65536]), MOVE]),
        t(SPLICE, &[Of(Kind::File), OneOf(&[N(0), To(&[U64(Pick(&[0, 100]))])]), Of(Kind::PipeOut), N(0), Pick(&[100, 4096, 65536]), MOVE]),
        t(SPLICE, &[This, N(0), Of(Kind::Stream), N(0), N(4096), MOVE]),
        t(SPLICE, &[Of(Kind::Kernel), N(0), Of(Kind::PipeOut), N(0), N(4096), MOVE]),
        t(TEE, &[This, Of(Kind::PipeOut), N(4096), MOVE]),
        t(VMSPLICE, &[Of(Kind::PipeOut), Array(FULL, 4), Count, MOVE]),
        t(VMSPLICE, &[This, Array(EMPTY, 4), Count, MOVE]),
        t(FCNTL, &[This, Pick(&[1031, 1032]), Pick(&[4096, 8192, 65536, 1 << 20])]),
        t(IOCTL, &[This, N(0x541b), Room(4)]),
        t(IOCTL, &[This, N(0x5760), Pick(&[2, 16])]),
        t(SENDFILE, &[Of(Kind::PipeOut), Of(Kind::File), N(0), N(4000)]),
        t(CLOSE, &[Of(Kind::PipeOut)]),
    ],
};

const WATCH: A = To(&[U32(Bits(&[1, 2, 4, 8, 0x10, 0x2000, 1 << 28, 1 << 29, 1 << 30, 1 << 31])), U64(Any)]);
pub(crate) const EPOLL: Group = Group {
    makers: &[
        t(EPOLL_CREATE, &[Within(0, 10)]).gives(Kind::Epoll),
        t(EPOLL_CREATE1, &[Pick(&[0, 0x80000])]).gives(Kind::Epoll),
    ],
    uses: &[
        t(EPOLL_CTL, &[This, N(1), Fd, WATCH]),
        t(EPOLL_CTL, &[This, N(1), Of(Kind::Event), WATCH]),
        t(EPOLL_CTL, &[This, N(1), Of(Kind::Epoll), WATCH]),
        t(EPOLL_CTL, &[This, Pick(&[2, 3]), Fd, WATCH]),
        t(EPOLL_WAIT, &[This, Room(120), Within(1, 10), Pick(&[0, 0, 1])]),
        t(EPOLL_PWAIT, &[This, Room(120), Within(1, 10), Pick(&[0, 1]), To(SIGNALS), N(8)]),
        t(EPOLL_PWAIT2, &[This, Room(120), Within(1, 10), To(SHORT), OneOf(&[N(0), To(SIGNALS)]), N(8)]),
        t(EPOLL_CTL_OLD, &[]),
        t(EPOLL_WAIT_OLD, &[]),
    ],
};
pub(crate) const EVENT: Group = Group {
    makers: &[
        t(EVENTFD, &[Pick(&[0, 1, 5])]).gives(Kind::Event),
        t(EVENTFD2, &[Pick(&[0, 1, 0xffff_ffff]), Bits(&[1, 0o4000, 0o4000, 0o2000000])]).gives(Kind::Event),
    ],
    uses: &[
        t(WRITE, &[This, To(&[U64(Pick(&[0, 1, 7, u64::MAX, u64::MAX - 1]))]), N(8)]),
        t(READ, &[This, Room(8), N(8)]),
        t(POLL_CALL, &[Array(&[U32(This), U16(N(7)), Zero(2)], 2), Count, Pick(&[0, 1])]),
    ],
};
use crate::numbers::nr::POLL as POLL_CALL;

pub(crate) const TIMER: Group = Group {
    makers: &[t(TIMERFD_CREATE, &[Pick(&[0, 1, 7, 8, 9]), Bits(&[0o4000, 0o2000000])]).gives(Kind::TimerFd)],
    uses: &[
        t(TIMERFD_SETTIME, &[This, Bits(&[1, 2]), To(INTERVAL), OneOf(&[N(0), Room(32)])]),
        t(TIMERFD_GETTIME, &[This, Room(32)]),
        t(READ, &[This, Room(8), N(8)]),
        t(IOCTL, &[This, N(0x4008_5400), To(&[U64(N(3))])]),
        t(POLL_CALL, &[Array(&[U32(This), U16(N(1)), Zero(2)], 1), Count, Pick(&[0, 2])]),
    ],
};
pub(crate) const SIGNAL: Group = Group {
    makers: &[
        t(SIGNALFD, &[N(u64::MAX), To(SIGNALS), N(8)]).gives(Kind::SignalFd),
        t(SIGNALFD4, &[N(u64::MAX), To(SIGNALS), N(8), Bits(&[0o4000, 0o2000000])]).gives(Kind::SignalFd),
    ],
    uses: &[
        t(SIGNALFD4, &[This, To(SIGNALS), N(8), N(0)]),
        t(RT_SIGPROCMASK, &[N(0), To(SIGNALS), Room(8), N(8)]),
        t(KILL, &[OneOf(&[N(0), Pid]), Pick(&[10, 12, 17, 34])]),
        t(READ, &[This, Room(256), N(256)]),
        t(RT_SIGPROCMASK, &[N(1), To(SIGNALS), N(0), N(8)]),
    ],
};
pub(crate) const INOTIFY: Group = Group {
    makers: &[
        t(INOTIFY_INIT, &[]).gives(Kind::Inotify),
        t(INOTIFY_INIT1, &[Bits(&[0o4000, 0o2000000])]).gives(Kind::Inotify),
    ],
    uses: &[
        t(INOTIFY_ADD_WATCH, &[This, Path, OneOf(&[N(0xfff), Bits(&[1, 2, 4, 8, 0x20, 0x100, 0x200, 0x100_0000, 0x400_0000, 0x2000_0000, 0x8000_0000])])]).gives(Kind::Watch),
        t(INOTIFY_ADD_WATCH, &[This, Text(&[".", "dir0", "file0"]), N(0xfff)]).gives(Kind::Watch),
        t(INOTIFY_ADD_WATCH, &[This, Text(KERNEL_FILES), N(0xfff)]).gives(Kind::Watch),
        t(INOTIFY_RM_WATCH, &[This, Of(Kind::Watch)]),
        t(OPEN, &[Path, N(0o102), N(0o644)]).gives(Kind::File),
        t(RENAME, &[Path, Path]),
        t(UNLINK, &[Path]),
        t(READ, &[This, Room(2000), Len]),
        t(IOCTL, &[This, Pick(&[0x541b, 0x4004_4900]), Room(4)]),
    ],
};
pub(crate) const FANOTIFY: Group = Group {
    makers: &[t(FANOTIFY_INIT, &[Bits(&[1, 2, 4, 8, 0x10, 0x20, 0x200, 0x200, 0x400, 0x800, 0xc00, 0x1000]), Pick(&[0, 2, 0o4000])]).gives(Kind::Fanotify)],
    uses: &[
        t(FANOTIFY_MARK, &[This, Pick(&[1, 1, 2, 0x80, 0x101, 0x11]), Bits(&[1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 0x100, 0x200, 0x400, 0x4000_0000, 0x0800_0000, 0x1_0000]), AT, Path]),
        t(OPEN, &[Path, N(0o102), N(0o644)]).gives(Kind::File),
        t(RENAME, &[Path, Path]),
        t(READ, &[This, Room(2000), Len]),
        t(WRITE, &[This, To(&[U32(Fd), U32(Pick(&[1, 2]))]), N(8)]),
    ],
};

/// Where the submission ring, the submissions and the completions lie in the window.
const RING: u64 = 0;
const SUBMISSIONS: u64 = 0x1000;
/// `struct io_uring_sqe`: an operation, with a descriptor and what that operation wants.
const ENTRY: &[F] = &[One(&[
    &[U8(Pick(&[1, 2])), FLAGS, U16(N(0)), U32(Fd), U64(Pick(&[0, 100])), U64(Array(EMPTY, 3)), U32(Count), Zero(28)],
    &[U8(Pick(&[22, 23])), FLAGS, U16(N(0)), U32(Fd), U64(Pick(&[0, 100, u64::MAX])), U64(Data(500)), U32(Len), Zero(28)],
    &[U8(Pick(&[4, 5])), FLAGS, U16(N(0)), U32(Fd), U64(N(0)), U64(Data(500)), U32(Len), Zero(12), U16(Within(0, 3)), Zero(14)],
    &[U8(N(3)), FLAGS, Zero(2), U32(Of(Kind::File)), Zero(20), U32(Pick(&[0, 1])), Zero(32)],
    &[U8(Pick(&[6, 7])), FLAGS, Zero(2), U32(Fd), Zero(20), U32(Bits(&[1, 4])), U64(N(5)), Zero(24)],
    &[U8(Pick(&[9, 10])), FLAGS, U16(N(0)), U32(Fd), U64(N(0)), U64(OneOf(&[To(MESSAGE), To(MESSAGE_ROOM)])), U32(N(1)), U32(Bits(&[0x40, 2, 0x20])), Zero(24)],
    &[U8(Pick(&[26, 27, 47])), FLAGS, U16(N(0)), U32(Fd), U64(N(0)), U64(Data(800)), U32(Len), U32(Pick(&[0x40, 0])), Zero(24)],
    &[U8(Pick(&[11, 15])), FLAGS, Zero(2), U32(N(0)), U64(Pick(&[0, 1])), U64(To(SHORT)), U32(N(1)), U32(Bits(&[1, 4, 8])), Zero(24)],
    &[U8(Pick(&[12, 14])), FLAGS, Zero(2), U32(Fd), U64(N(0)), U64(N(5)), U32(N(0)), U32(Bits(&[1, 2, 4])), Zero(24)],
    &[U8(Pick(&[13, 16])), FLAGS, Zero(2), U32(Fd), U64(OneOf(&[N(16), N(28)])), U64(ADDRESS), U32(N(0)), Zero(28)],
    &[U8(N(17)), FLAGS, Zero(2), U32(Of(Kind::File)), U64(N(0)), U64(N(4096)), U32(N(0)), Zero(28)],
    &[U8(N(18)), FLAGS, Zero(2), U32(N(0xffff_ff9c)), Zero(8), U64(Path), U32(N(0o644)), U32(Pick(&[0o102, 0])), Zero(24)],
    &[U8(N(28)), FLAGS, Zero(2), U32(N(0xffff_ff9c)), U64(To(&[U64(Pick(&[0, 0o102])), Zero(16)])), U64(Path), U32(N(24)), Zero(28)],
    &[U8(N(19)), FLAGS, Zero(2), U32(Within(10, 30)), Zero(56)],
    &[U8(N(20)), FLAGS, Zero(2), U32(N(0xffff_ffff)), U64(N(0)), U64(To(&[U32(Fd)])), U32(N(1)), Zero(28)],
    &[U8(N(21)), FLAGS, Zero(2), U32(N(0xffff_ff9c)), U64(Room(256)), U64(Path), U32(N(0xfff)), Zero(28)],
    &[U8(Pick(&[24, 25])), FLAGS, Zero(2), U32(Of(Kind::File)), Zero(8), U64(Arena), U32(N(4096)), U32(Within(0, 6)), Zero(24)],
    &[U8(N(29)), FLAGS, Zero(2), U32(Of(Kind::Epoll)), U64(WATCH), U64(Fd), U32(Within(1, 3)), Zero(28)],
    &[U8(Pick(&[30, 33])), FLAGS, Zero(2), U32(Of(Kind::PipeOut)), U64(N(u64::MAX)), U64(N(u64::MAX)), U32(N(1000)), Zero(16), U32(Of(Kind::PipeIn)), Zero(8)],
    &[U8(Pick(&[31, 32])), FLAGS, Zero(2), U32(N(4)), U64(N(0)), U64(Room(2000)), U32(N(500)), Zero(12), U16(N(1)), Zero(14)],
    &[U8(N(34)), FLAGS, Zero(2), U32(Fd), Zero(16), U32(Within(0, 2)), Zero(28)],
    &[U8(Pick(&[35, 36, 37, 38, 39])), FLAGS, Zero(2), U32(N(0xffff_ff9c)), U64(Path), U64(Path), U32(N(0xffff_ff9c)), Zero(28)],
    &[U8(N(40)), FLAGS, Zero(2), U32(Of(Kind::Uring)), U64(Any), Zero(8), U32(Any), Zero(28)],
    &[U8(Pick(&[41, 42, 43, 44])), FLAGS, Zero(2), U32(Fd), U64(Text(&["v"])), U64(Text(&["user.a"])), U32(N(1)), Zero(12), U32(N(0)), Zero(8), Zero(4)],
    &[U8(N(45)), FLAGS, Zero(2), U32(Pick(&[1, 2, 10])), U64(Pick(&[1, 2])), Zero(8), U32(N(0)), Zero(28)],
    &[U8(N(46)), FLAGS, Zero(2), U32(Fd), Zero(56)],
    &[U8(N(0)), FLAGS, Zero(62)],
    &[U8(Within(0, 60)), FLAGS, U16(Any), U32(Fd), Random(56)],
])];
const FLAGS: F = U8(Pick(&[0, 0, 0, 1, 2, 4, 8, 16, 32, 64]));
const ENTRIES: &[F] = &[One(&[ENTRY]), One(&[ENTRY]), One(&[ENTRY]), One(&[ENTRY])];
/// The tail behind four submissions more; the array of eight indices lies behind 16 completions.
const TAILS: &[(u64, &[F])] = &[(SUBMISSIONS, ENTRIES), (RING + 64, &[U32(Pick(&[4, 4, 8, 12, 16]))]), (RING + 576, &[U32(N(0)), U32(N(1)), U32(N(2)), U32(N(3)), U32(N(0)), U32(N(1)), U32(N(2)), U32(N(3))])];
const ENTER: T = t(IO_URING_ENTER, &[Step(0), Pick(&[4, 4, 1, 8]), Pick(&[0, 1]), Bits(&[1, 1, 2, 4]), N(0), N(8)]).poke(TAILS);
const REGISTER_UPDATE: A = To(&[U32(N(0)), Zero(4), U64(To(&[U32(Fd), U32(Fd)]))]);

macro_rules! uring {
    ($flags:expr) => {
        &[
            t(IO_URING_SETUP, &[N(8), To(&[Zero(8), U32($flags), Zero(4), U32(N(50)), Zero(100)])]).gives(Kind::Uring),
            t(MMAP, &[Window(RING), N(4096), N(3), N(0x8011), Step(0), N(0)]),
            t(MMAP, &[Window(SUBMISSIONS), N(4096), N(3), N(0x8011), Step(0), N(0x1000_0000)]),
            t(IO_URING_REGISTER, &[Step(0), Pick(&[0, 2, 4, 7, 8]), OneOf(&[Array(EMPTY, 3), To(&[U32(Fd), U32(Fd), U32(Fd)]), To(&[U32(Of(Kind::Event))]), Room(1024)]), Pick(&[1, 3, 60])]),
            ENTER,
            ENTER,
            ENTER,
            t(POLL_CALL, &[Array(&[U32(Step(0)), U16(N(5)), Zero(2)], 1), N(1), N(1)]),
            ENTER,
            t(CLOSE, &[Step(0)]),
        ]
    };
}

pub(crate) const URING: Group = Group {
    makers: &[t(IO_URING_SETUP, &[Pick(&[1, 8, 100]), To(&[U32(N(0)), U32(Pick(&[0, 16])), U32(Bits(&[0, 1, 4, 8, 0x10, 0x20, 0x40, 0x80, 0x100, 0x200, 0x400, 0x800, 0x1000, 0x2000])), Zero(108)])]).gives(Kind::Uring)],
    uses: &[
        t(IO_URING_REGISTER, &[This, Pick(&[0, 15]), OneOf(&[Array(EMPTY, 3), To(&[U32(N(2)), U32(Pick(&[0, 1])), Zero(8), U64(Array(EMPTY, 2)), Zero(8)])]), Pick(&[1, 3, 32])]),
        t(IO_URING_REGISTER, &[This, Pick(&[1, 3, 5, 10, 12, 14]), N(0), N(0)]),
        t(IO_URING_REGISTER, &[This, Pick(&[2, 6]), OneOf(&[REGISTER_UPDATE, To(&[U32(Fd), U32(Fd)])]), Pick(&[1, 2])]),
        t(IO_URING_REGISTER, &[This, Pick(&[4, 7]), To(&[U32(Of(Kind::Event))]), N(1)]),
        t(IO_URING_REGISTER, &[This, N(8), Room(2000), N(60)]),
        t(IO_URING_REGISTER, &[This, N(9), N(0), N(0)]),
        t(IO_URING_REGISTER, &[This, N(11), Array(&[U16(Within(0, 3)), U8(Any), Zero(13)], 3), Count]),
        t(IO_URING_REGISTER, &[This, N(13), To(&[U32(N(2)), U32(N(0)), Zero(8), U64(To(&[U32(Fd), U32(Fd)])), Zero(8)]), N(32)]),
        t(IO_URING_REGISTER, &[This, Pick(&[17, 18]), To(&[U64(N(1)), Zero(56)]), Pick(&[8, 0])]),
        t(IO_URING_REGISTER, &[This, N(19), To(&[U32(N(2)), U32(N(2))]), N(2)]),
        t(IO_URING_REGISTER, &[This, Pick(&[20, 21]), To(&[U32(N(0xffff_ffff)), Zero(4), U64(N(0))]), N(1)]),
        t(IO_URING_REGISTER, &[This, Pick(&[22, 23]), To(&[U64(Arena), U32(N(8)), U16(N(1)), Zero(26)]), N(1)]),
        t(IO_URING_REGISTER, &[This, Pick(&[24, 25]), OneOf(&[To(&[U64(N(0)), U32(Fd), U32(N(0)), U64(N(0)), U64(N(0)), Zero(32)]), To(&[U32(N(0)), U32(N(1)), Zero(8)])]), Pick(&[1, 0])]),
        t(IO_URING_ENTER, &[This, Within(0, 4), Within(0, 1), Bits(&[1, 2, 4, 8, 16]), OneOf(&[N(0), To(SIGNALS), To(&[U64(N(0)), U32(N(8)), Zero(4), U64(To(SHORT))])]), Pick(&[8, 24])]),
        t(MMAP, &[Arena, N(4096), N(3), N(1), This, Pick(&[0, 0x800_0000, 0x1000_0000])]).gives(Kind::Mapping),
    ],
};

pub(crate) const SINGLE: &[T] = &[
    t(POLL_CALL, &[Array(POLL, 6), Count, Pick(&[0, 0, 1, 2])]),
    t(PPOLL, &[Array(POLL, 6), Count, To(SHORT), OneOf(&[N(0), To(SIGNALS)]), N(8)]),
    t(SELECT, &[Within(0, 40), To(&[Random(8)]), To(&[Random(8)]), N(0), To(SHORT_US)]),
    t(PSELECT6, &[Within(0, 40), To(&[Random(8)]), N(0), N(0), To(SHORT), To(&[U64(To(SIGNALS)), U64(N(8))])]),
    t(SETITIMER, &[Pick(&[1, 2]), To(INTERVAL_US), Room(32)]),
    t(GETITIMER, &[Within(0, 2), Room(32)]),
    t(ALARM, &[Pick(&[1, 2])]),
    t(TIMER_CREATE, &[Pick(&[0, 1, 2, 3, 4, 7, 9]), To(super::shape::EVENT), Room(4)]).leaves(Gives::Half(2, Kind::Timer)),
    t(TIMER_SETTIME, &[Of(Kind::Timer), Pick(&[0, 1]), To(INTERVAL), Room(32)]),
    t(TIMER_GETTIME, &[Of(Kind::Timer), Room(32)]),
    t(TIMER_GETOVERRUN, &[Of(Kind::Timer)]),
    t(TIMER_DELETE, &[Of(Kind::Timer)]),
    t(RESTART_SYSCALL, &[]),
];

pub(crate) const SEQUENCES: &[Sequence] = &[
    uring!(N(0)),
    uring!(N(0)),
    uring!(N(0)),
    uring!(Pick(&[0x10, 0x40, 0x80, 0x100, 0x1000, 0x3000])),
    // A doorbell that epoll watches, and one that is watched by another set.
    &[
        t(EVENTFD2, &[N(0), N(0o4000)]).gives(Kind::Event),
        t(EPOLL_CREATE1, &[N(0)]).gives(Kind::Epoll),
        t(EPOLL_CTL, &[Step(1), N(1), Step(0), WATCH]),
        t(EPOLL_CREATE1, &[N(0)]).gives(Kind::Epoll),
        t(EPOLL_CTL, &[Step(3), N(1), Step(1), To(&[U32(N(1)), U64(N(7))])]),
        t(WRITE, &[Step(0), To(&[U64(N(1))]), N(8)]),
        t(EPOLL_WAIT, &[Step(3), Room(48), N(4), N(1)]),
        t(EPOLL_CTL, &[Step(1), Pick(&[2, 3]), Step(0), WATCH]),
        t(EPOLL_PWAIT2, &[Step(1), Room(48), N(4), To(SHORT), N(0), N(8)]),
        t(CLOSE, &[Step(0)]),
        t(CLOSE, &[Step(1)]),
    ],
    // A timer by signal, heard by a handler and by a wait.
    &[
        t(RT_SIGACTION, &[N(10), To(&[U64(Handler), U64(Pick(&[0x0400_0000, 0x0400_0004, 0x1400_0004, 0x0c00_0004])), U64(Restorer), U64(N(0))]), N(0), N(8)]),
        t(TIMER_CREATE, &[Pick(&[0, 1, 7]), To(super::shape::EVENT), Room(4)]).leaves(Gives::Half(2, Kind::Timer)),
        t(TIMER_SETTIME, &[Step(1), N(0), To(INTERVAL), N(0)]),
        t(RT_SIGTIMEDWAIT, &[To(SIGNALS), Room(128), To(SHORT), N(8)]),
        t(NANOSLEEP, &[To(&[U64(N(0)), U64(N(2_000_000))]), Room(16)]),
        t(CLOCK_NANOSLEEP, &[Pick(&[0, 1, 7, 11]), Pick(&[0, 1]), To(&[U64(N(0)), U64(N(2_000_000))]), Room(16)]),
        t(TIMER_GETOVERRUN, &[Step(1)]),
        t(TIMER_DELETE, &[Step(1)]),
    ],
];
