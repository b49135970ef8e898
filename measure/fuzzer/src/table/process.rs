//! Processes: their making, waiting, signals, tracing, identity, limits, scheduling and names.

use super::shape::{EMPTY, EVENT, FULL, SHORT, SIGNALS};
use crate::numbers::nr::*;
use crate::term::A::*;
use crate::term::F::*;
use crate::term::{A, F, Gives, Group, Kind, Sequence, T, t};

/// New namespaces: mount, cgroup, UTS, IPC, user, PID, network, time.
const NAMESPACES: A = Bits(&[0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000, 0x80]);
/// What a clone shares, with the signal that tells its end.
const SHARED: A = OneOf(&[N(17), N(17), N(17), N(0x4011), Pick(&[0x111, 0x211, 0x411, 0x811, 0x2011, 0x1011, 0x4_0011, 0x8_0011, 0x100_0011, 0x8000_0011, 0x8000_8011, 0x1_0f00, 0x21_0f00]),
    Pick(&[0x1000_0011, 0x3000_0011, 0x5002_0011, 0x1e02_0011])]);
const CLONE_ARGUMENTS: A = To(&[
    U64(OneOf(&[N(0), N(0), Pick(&[0x1000, 0x2000, 0x4000, 0x200, 0x400, 0x800, 0x4_0000, 0x1_0000_0000, 0x2_0000_0000, 0x8000_0000, 0x1000_0000, 0x3000_0000, 0x1_0f00])])),
    U64(Room(8)), U64(Room(8)), U64(Room(8)), U64(Pick(&[17, 17, 0, 10])), U64(N(0)), U64(N(0)), U64(N(0)), U64(OneOf(&[N(0), To(&[U32(Pick(&[300, 1]))])])), U64(Pick(&[0, 0, 1])), U64(Of(Kind::Folder)),
]);
const REAL: A = OneOf(&[User, User, N(0), N(u64::MAX), N(1)]);
const INFORMATION: A = To(&[U32(Signal), Zero(4), U32(Pick(&[0xffff_ffff, 0xffff_fffe, 0xffff_fffa, 0])), Zero(4), U32(Pid), U32(User), Zero(104)]);
/// `struct sched_attr`.
const ATTRIBUTES: A = To(&[U32(Pick(&[48, 56])), U32(Pick(&[0, 1, 2, 3, 5, 6])), U64(Bits(&[1, 2, 4, 8, 16, 32, 64])), U32(Pick(&[0, 5, 19])), U32(Pick(&[0, 1])), U64(Pick(&[0, 1_000_000])), U64(Pick(&[0, 2_000_000])), U64(Pick(&[0, 3_000_000])), U32(Pick(&[0, 512])), U32(Pick(&[1024, 512]))]);
const LIMITS: A = To(&[U64(Pick(&[1 << 20, 1 << 26, 100])), U64(Pick(&[1 << 26, 1 << 30, u64::MAX]))]);
const SET_HANDLER: T = t(RT_SIGACTION, &[Pick(&[10, 12, 13, 17, 18, 23, 28, 29, 34, 40]), To(&[U64(OneOf(&[Handler, Handler, N(0), N(1)])), U64(Pick(&[0x0400_0000, 0x0400_0004, 0x1400_0004, 0x0c00_0004, 0x4400_0004, 0x8400_0000])), U64(Restorer), U64(Pick(&[0, 0x800]))]), Room(32), N(8)]);

pub(crate) const CHILDREN: Group = Group {
    makers: &[
        t(FORK, &[]).gives(Kind::Child),
        t(VFORK, &[]).gives(Kind::Child),
        t(CLONE, &[SHARED, N(0), Room(8), Room(8), N(0)]).gives(Kind::Child),
        t(CLONE3, &[CLONE_ARGUMENTS, Pick(&[64, 80, 88])]).gives(Kind::Child),
    ],
    uses: &[
        t(WAIT4, &[OneOf(&[This, N(u64::MAX), N(0)]), Room(4), Bits(&[1, 1, 2, 8, 0x4000_0000, 0x8000_0000]), Room(144)]),
        t(WAITID, &[Within(0, 3), This, Room(128), Bits(&[1, 2, 4, 5, 8, 0x100_0000]), Room(144)]),
        t(PIDFD_OPEN, &[This, Pick(&[0, 0o4000])]).gives(Kind::PidFd),
        t(KILL, &[This, Signal]),
        t(KILL, &[This, Pick(&[19, 18, 9, 15, 0])]),
        t(RT_SIGQUEUEINFO, &[Of(Kind::Child), Signal, INFORMATION]),
        t(PTRACE, &[Pick(&[16, 0x4206]), This, N(0), Pick(&[0, 1, 0x7f])]),
        t(PTRACE, &[Pick(&[1, 2, 3, 12, 14, 18, 0x4201, 0x4202, 0x420a, 0x420c, 0x420e]), This, Pick(&[0, 8, 0x400000, 120]), Room(600)]),
        t(PTRACE, &[Pick(&[7, 8, 9, 17, 24, 31, 0x4207, 0x4208]), This, N(0), Pick(&[0, 0, 10, 19])]),
        t(PTRACE, &[Pick(&[0x4204, 0x4205]), This, Pick(&[1, 2, 0x202, 0x200]), To(&[U64(Room(1000)), U64(N(1000))])]),
        t(PTRACE, &[Pick(&[0x4200, 4, 5, 6, 13, 0x4203, 0x420b, 0x4209, 0x420d, 0x420f, 0x4210]), This, Pick(&[0, 848, 896]), OneOf(&[Any, Room(300)])]),
        t(PROCESS_VM_READV, &[This, Array(EMPTY, 3), Count, Array(EMPTY, 3), Count, N(0)]),
        t(PROCESS_VM_WRITEV, &[This, Array(FULL, 3), Count, Array(EMPTY, 3), Count, N(0)]),
        t(SETPGID, &[This, OneOf(&[N(0), This])]),
        t(PRLIMIT64, &[This, Within(0, 15), OneOf(&[N(0), LIMITS]), Room(16)]),
        t(KCMP, &[This, Pid, Within(0, 7), N(0), N(1)]),
        t(SCHED_SETAFFINITY, &[This, N(8), To(&[U64(Pick(&[1, 3, 2]))])]),
        t(OPEN, &[Text(&["/proc/self/task", "/proc/thread-self/children"]), N(0)]).gives(Kind::Kernel),
    ],
};
pub(crate) const PIDFD: Group = Group {
    makers: &[t(PIDFD_OPEN, &[Pid, Pick(&[0, 0o4000])]).gives(Kind::PidFd)],
    uses: &[
        t(PIDFD_SEND_SIGNAL, &[This, Pick(&[0, 10, 12]), OneOf(&[N(0), INFORMATION]), N(0)]),
        t(PIDFD_GETFD, &[This, Within(0, 12), N(0)]).gives(Kind::File),
        t(WAITID, &[N(3), This, Room(128), Pick(&[5, 0x100_0005]), N(0)]),
        t(PROCESS_MADVISE, &[This, Array(&[U64(Arena), U64(N(65536))], 3), Count, Pick(&[20, 21, 3, 14, 25]), N(0)]),
        t(PROCESS_MRELEASE, &[This, N(0)]),
        t(SETNS, &[This, NAMESPACES]),
        t(READ, &[This, Room(8), N(8)]),
        t(OPEN, &[Text(&["/proc/self/fdinfo/3", "/proc/self/fdinfo/4", "/proc/self/fdinfo/5"]), N(0)]).gives(Kind::Kernel),
    ],
};
pub(crate) const SCHEDULING: Group = Group {
    makers: &[t(GETPID, &[]).gives(Kind::Child)],
    uses: &[
        t(SCHED_SETSCHEDULER, &[Pid, Pick(&[0, 1, 2, 3, 5, 6]), To(&[U32(Pick(&[0, 1, 99]))])]),
        t(SCHED_GETSCHEDULER, &[Pid]),
        t(SCHED_SETPARAM, &[Pid, To(&[U32(Pick(&[0, 1]))])]),
        t(SCHED_GETPARAM, &[Pid, Room(4)]),
        t(SCHED_SETATTR, &[Pid, ATTRIBUTES, N(0)]),
        t(SCHED_GETATTR, &[Pid, Room(64), Pick(&[48, 56]), N(0)]),
        t(SCHED_SETAFFINITY, &[Pid, N(8), To(&[U64(Pick(&[1, 3, 0]))])]),
        t(SCHED_GETAFFINITY, &[Pid, N(8), Room(8)]),
        t(SCHED_RR_GET_INTERVAL, &[Pid, Room(16)]),
        t(SCHED_GET_PRIORITY_MAX, &[Within(0, 6)]),
        t(SCHED_GET_PRIORITY_MIN, &[Within(0, 6)]),
        t(SCHED_YIELD, &[]),
        t(SETPRIORITY, &[Within(0, 2), Pid, Pick(&[0, 5, 19, u64::MAX])]),
        t(GETPRIORITY, &[Within(0, 2), Pid]),
        t(IOPRIO_SET, &[Within(1, 3), Pid, Pick(&[0, 0x2004, 0x4007, 0x6000])]),
        t(IOPRIO_GET, &[Within(1, 3), Pid]),
        t(GETCPU, &[Room(4), Room(4), N(0)]),
        t(MEMBARRIER, &[Pick(&[0, 2, 4, 8, 16, 32, 64, 128, 256]), Pick(&[0, 1]), N(0)]),
        t(PRCTL, &[N(62), Within(0, 4), Pid, Within(0, 2), Room(8)]),
    ],
};

pub(crate) const SINGLE: &[T] = &[
    t(FORK, &[]).gives(Kind::Child),
    t(VFORK, &[]).gives(Kind::Child),
    t(CLONE, &[SHARED, N(0), Room(8), Room(8), N(0)]).gives(Kind::Child),
    t(CLONE3, &[CLONE_ARGUMENTS, Pick(&[64, 80, 88])]).gives(Kind::Child),
    t(EXIT, &[Within(0, 255)]),
    t(EXIT_GROUP, &[Within(0, 255)]),
    t(WAIT4, &[OneOf(&[N(u64::MAX), Pid]), Room(4), Bits(&[1, 2, 8]), Room(144)]),
    t(WAITID, &[Within(0, 3), Pid, Room(128), Pick(&[5, 7, 15]), Room(144)]),
    t(KILL, &[Pid, Pick(&[0, 10, 12, 17, 18, 28, 34])]),
    t(TKILL, &[OneOf(&[Of(Kind::Child), N(1 << 20)]), Signal]),
    t(TGKILL, &[OneOf(&[Of(Kind::Child), N(1 << 20)]), Pid, Signal]),
    t(RT_SIGQUEUEINFO, &[OneOf(&[Of(Kind::Child), N(1 << 20)]), Signal, INFORMATION]),
    t(RT_TGSIGQUEUEINFO, &[OneOf(&[Of(Kind::Child), N(1 << 20)]), Pid, Signal, INFORMATION]),
    SET_HANDLER,
    t(RT_SIGPROCMASK, &[Within(0, 2), To(SIGNALS), Room(8), N(8)]),
    t(RT_SIGPENDING, &[Room(8), N(8)]),
    t(RT_SIGTIMEDWAIT, &[To(SIGNALS), Room(128), To(SHORT), N(8)]),
    t(RT_SIGSUSPEND, &[To(SIGNALS), N(8)]),
    t(RT_SIGRETURN, &[]),
    t(SIGALTSTACK, &[To(&[U64(Arena), U32(Pick(&[0, 2, 0x8000_0000])), Zero(4), U64(N(16384))]), Room(24)]),
    t(PAUSE, &[]),
    t(GETPID, &[]),
    t(GETPPID, &[]),
    t(GETTID, &[]),
    t(GETPGRP, &[]),
    t(GETPGID, &[Pid]),
    t(GETSID, &[Pid]),
    t(SETPGID, &[OneOf(&[N(0), Pid]), OneOf(&[N(0), Pid])]),
    t(SETSID, &[]),
    t(GETUID, &[]),
    t(GETEUID, &[]),
    t(GETGID, &[]),
    t(GETEGID, &[]),
    t(GETRESUID, &[Room(4), Room(4), Room(4)]),
    t(GETRESGID, &[Room(4), Room(4), Room(4)]),
    t(SETUID, &[REAL]),
    t(SETGID, &[REAL]),
    t(SETREUID, &[REAL, REAL]),
    t(SETREGID, &[REAL, REAL]),
    t(SETRESUID, &[REAL, REAL, REAL]),
    t(SETRESGID, &[REAL, REAL, REAL]),
    t(SETFSUID, &[REAL]),
    t(SETFSGID, &[REAL]),
    t(GETGROUPS, &[Pick(&[0, 10]), Room(40)]),
    t(SETGROUPS, &[Within(0, 3), To(&[U32(User), U32(N(0)), U32(N(5))])]),
    t(CAPGET, &[To(&[U32(Pick(&[0x1998_0330, 0x2007_1026, 0x2008_0522])), U32(Pid)]), Room(24)]),
    t(CAPSET, &[To(&[U32(N(0x2008_0522)), U32(N(0))]), To(&[U32(Pick(&[0, 0xffff_ffff])), U32(Pick(&[0, 0xffff_ffff])), U32(N(0)), U32(N(0)), U32(N(0)), U32(N(0))])]),
    t(GETRLIMIT, &[Within(0, 16), Room(16)]),
    t(SETRLIMIT, &[Pick(&[0, 1, 3, 4, 6, 8, 10, 11, 12, 13, 14, 15]), LIMITS]),
    t(PRLIMIT64, &[Pid, Within(0, 16), OneOf(&[N(0), LIMITS]), Room(16)]),
    t(GETRUSAGE, &[Pick(&[0, 1, u64::MAX]), Room(144)]),
    t(TIMES, &[Room(32)]),
    t(PRCTL, &[Within(1, 65), Pick(&[0, 1, 2, 3]), N(0), N(0), N(0)]),
    t(PRCTL, &[Pick(&[15, 16, 40]), Room(64), N(0), N(0), N(0)]),
    t(PRCTL, &[N(15), Text(&["name", "a long name that is cut"])]),
    t(PRCTL, &[N(35), Within(1, 15), OneOf(&[Arena, Room(200)]), Pick(&[0, 104]), N(0)]),
    t(PRCTL, &[N(47), Within(1, 4), Pick(&[0, 10, 13]), N(0), N(0)]),
    t(PRCTL, &[Pick(&[23, 24]), Within(0, 41), N(0), N(0), N(0)]),
    t(PRCTL, &[Pick(&[52, 53]), Within(0, 2), Pick(&[2, 4, 8, 16]), N(0), N(0)]),
    t(PRCTL, &[N(0x5356_4d41), N(0), Arena, N(4096), Text(&["heap", "x]"])]),
    t(ARCH_PRCTL, &[Pick(&[0x1001, 0x1002, 0x1003, 0x1004, 0x1011, 0x1012, 0x1021, 0x1022, 0x1023, 0x2001]), Room(8)]),
    t(PERSONALITY, &[Pick(&[0, 0xffff_ffff, 8, 0x40000, 0x200_0000])]),
    t(MODIFY_LDT, &[Pick(&[0, 1, 2, 0x11]), To(&[U32(Within(0, 5)), U32(N(0)), U32(N(0xfff)), U32(Pick(&[0x51, 0x7b, 0x28]))]), N(16)]),
    t(SET_THREAD_AREA, &[To(&[U32(Pick(&[0xffff_ffff, 12])), U32(N(0)), U32(N(0xfff)), U32(N(0x51))])]),
    t(GET_THREAD_AREA, &[To(&[U32(N(12)), Zero(12)])]),
    t(SET_TID_ADDRESS, &[Room(8)]),
    t(SET_ROBUST_LIST, &[To(&[U64(N(0)), U64(N(0)), U64(N(0))]), N(24)]),
    t(GET_ROBUST_LIST, &[Pid, Room(8), Room(8)]),
    t(RSEQ, &[Room(32), Pick(&[32, 31]), Pick(&[0, 1]), N(0x5305_3053)]),
    t(IOPL, &[Within(0, 3)]),
    t(IOPERM, &[Pick(&[0, 0x378]), N(3), Pick(&[0, 1])]),
    t(UNSHARE, &[OneOf(&[NAMESPACES, Bits(&[0x200, 0x400, 0x4_0000, 0x1_0000])])]),
    t(SETNS, &[OneOf(&[Of(Kind::Kernel), Of(Kind::PidFd)]), OneOf(&[N(0), NAMESPACES])]),
    t(PTRACE, &[N(0), N(0), N(0), N(0)]),
    t(PTRACE, &[Within(0, 40), Pid, Any, Any]),
    t(PROCESS_VM_READV, &[Pid, Array(EMPTY, 3), Count, Array(EMPTY, 3), Count, N(0)]),
    t(KCMP, &[Pid, Pid, Within(0, 8), Fd, Fd]),
    t(TIMER_CREATE, &[Pick(&[2, 3]), To(EVENT), Room(4)]).leaves(Gives::Half(2, Kind::Timer)),
    t(SECCOMP, &[Pick(&[2, 2, 3, 0]), Pick(&[0, 0, 1]), ToOne(&[&[U32(N(0x7fff_0000))], &[U32(N(0x7fc0_0000))], &[Zero(8)]])]),
    t(SECCOMP, &[N(1), Bits(&[1, 2, 4, 8, 16]), To(super::shape::FILTER)]).gives(Kind::Odd),
];

pub(crate) const SEQUENCES: &[Sequence] = &[
    // A child is stopped, goes on, is traced, and is killed.
    &[
        t(FORK, &[]).gives(Kind::Child),
        t(KILL, &[Step(0), N(19)]),
        t(WAIT4, &[Step(0), Room(4), Pick(&[2, 3]), Room(144)]),
        t(KILL, &[Step(0), N(18)]),
        t(WAIT4, &[Step(0), Room(4), N(9), N(0)]),
        t(PTRACE, &[Pick(&[16, 0x4206]), Step(0), N(0), Pick(&[0, 0x7f])]),
        t(PTRACE, &[N(0x4207), Step(0), N(0), N(0)]),
        t(WAIT4, &[Step(0), Room(4), N(0x4000_0002), N(0)]),
        t(PTRACE, &[Pick(&[12, 14, 0x4204, 0x420e, 0x4202, 3]), Step(0), Pick(&[1, 0, 80]), To(&[U64(Room(600)), U64(N(600))])]),
        t(PTRACE, &[Pick(&[24, 7, 9, 31]), Step(0), N(0), N(0)]),
        t(WAIT4, &[Step(0), Room(4), N(0x4000_0003), N(0)]),
        t(PTRACE, &[Pick(&[7, 17, 24]), Step(0), N(0), N(0)]),
        t(KILL, &[Step(0), N(9)]),
        t(WAIT4, &[Step(0), Room(4), N(0), Room(144)]),
    ],
    // A signal with its handler, queued and delivered.
    &[
        SET_HANDLER,
        SET_HANDLER,
        t(RT_SIGPROCMASK, &[N(0), To(SIGNALS), N(0), N(8)]),
        t(KILL, &[N(0), Pick(&[10, 12, 17, 28, 34])]),
        t(RT_SIGPENDING, &[Room(8), N(8)]),
        t(RT_SIGTIMEDWAIT, &[To(SIGNALS), Room(128), To(SHORT), N(8)]),
        t(RT_SIGPROCMASK, &[N(1), To(SIGNALS), N(0), N(8)]),
        t(GETPPID, &[]),
    ],
    // A child by its descriptor.
    &[
        t(CLONE3, &[To(&[U64(N(0x1000)), U64(Room(8)), Zero(16), U64(N(17)), Zero(24)]), N(64)]).gives(Kind::Child),
        t(PIDFD_OPEN, &[Step(0), N(0)]).gives(Kind::PidFd),
        t(PIDFD_GETFD, &[Step(1), Within(0, 8), N(0)]).gives(Kind::File),
        t(PROCESS_MADVISE, &[Step(1), Array(&[U64(Arena), U64(N(65536))], 3), Count, Pick(&[20, 21]), N(0)]),
        t(POLL, &[Array(&[U32(Step(1)), U16(N(1)), Zero(2)], 1), N(1), N(1)]),
        t(PIDFD_SEND_SIGNAL, &[Step(1), Pick(&[9, 10, 15]), N(0), N(0)]),
        t(WAITID, &[N(3), Step(1), Room(128), N(4), Room(144)]),
        t(CLOSE, &[Step(1)]),
    ],
];

/// The user's number may stand in the maps as root's.
const MAP: &[F] = &[Bytes(b"0 65534 1\n")];
macro_rules! namespace {
    ($flags:expr) => {
        &[
            t(UNSHARE, &[$flags]),
            t(OPEN, &[Text(&["/proc/self/setgroups"]), N(1)]),
            t(WRITE, &[Step(1), Text(&["deny"]), N(4)]),
            t(OPEN, &[Text(&["/proc/self/uid_map"]), N(1)]),
            t(WRITE, &[Step(3), To(MAP), N(10)]),
            t(OPEN, &[Text(&["/proc/self/gid_map"]), N(1)]),
            t(WRITE, &[Step(5), To(MAP), N(10)]),
            t(CLOSE, &[Step(1)]),
            t(CLOSE, &[Step(3)]),
            t(CLOSE, &[Step(5)]),
            t(SOCKET, &[N(16), N(3), N(0)]).gives(Kind::Netlink),
            t(SENDTO, &[Step(10), To(&[Total, Bytes(&[16, 0, 5, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0])]), Len, N(0x40), N(0), N(0)]),
            t(MOUNT, &[N(0), Text(&["/"]), N(0), N(0x4_4000), N(0)]),
            t(CLOSE, &[Step(10)]),
        ]
    };
}
/// What a process does first, if it does: namespaces of its own, a filter, a Landlock.
pub(crate) const PRELUDES: &[Sequence] = &[
    namespace!(N(0x1000_0000 | 0x4000_0000 | 0x2_0000)),
    namespace!(N(0x1000_0000 | 0x4000_0000 | 0x2_0000)),
    namespace!(N(0x1000_0000 | 0x2_0000 | 0x400_0000 | 0x800_0000 | 0x2000_0000 | 0x80 | 0x200_0000)),
    namespace!(N(0x1000_0000 | 0x4000_0000 | 0x800_0000 | 0x2000_0000)),
    &[t(PRCTL, &[N(38), N(1), N(0), N(0), N(0)]), t(SECCOMP, &[N(1), Pick(&[0, 1, 2]), To(ALLOW)])],
    &[
        t(PRCTL, &[N(38), N(1), N(0), N(0), N(0)]),
        t(LANDLOCK_CREATE_RULESET, &[To(&[U64(Pick(&[0x1fff, 0xff, 0x8]))]), N(8), N(0)]).gives(Kind::Landlock),
        t(OPEN, &[Text(&["."]), N(0o10200000)]),
        t(LANDLOCK_ADD_RULE, &[Step(1), N(1), To(&[U64(Pick(&[0xff, 0x1fff])), U32(Step(2))]), N(0)]),
        t(LANDLOCK_RESTRICT_SELF, &[Step(1), N(0)]),
    ],
];
/// A filter that permits everything, after a look at the number.
const ALLOW: &[F] = &[U16(N(2)), Zero(6), U64(To(&[Bytes(&[0x20, 0, 0, 0, 0, 0, 0, 0, 0x06, 0, 0, 0, 0, 0, 0xff, 0x7f])]))];
