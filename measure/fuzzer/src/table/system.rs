//! Memory, messages between processes, keys, mounts, time, measuring, modules and what else there is.

use super::files::{AT, PATHS};
use super::shape::{EVENT, FILTER, SHORT};
use crate::numbers::nr::*;
use crate::term::A::*;
use crate::term::F::*;
use crate::term::{A, F, Group, Kind, Sequence, T, t};

const LENGTH: A = Pick(&[1, 4096, 4096, 8192, 16384, 65536]);
const PROTECTION: A = Bits(&[1, 3, 3, 5, 7, 0]);

pub(crate) const MEMORY: Group = Group {
    makers: &[
        t(MMAP, &[Arena, Pick(&[4096, 16384, 65536]), PROTECTION, Pick(&[0x32, 0x32, 0x31, 0x8032, 0x4032, 0x2032, 0x132, 0x4_0032, 0x10_0032]), N(u64::MAX), N(0)]).gives(Kind::Mapping),
        t(MMAP, &[N(0), N(4096), PROTECTION, Pick(&[0x22, 0x21, 0x62, 0x8022, 0x122, 0x4_0022]), N(u64::MAX), N(0)]).gives(Kind::Mapping),
    ],
    uses: &[
        t(MPROTECT, &[Arena, LENGTH, PROTECTION]),
        t(MADVISE, &[Arena, LENGTH, Pick(&[0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 100, 101])]),
        t(MREMAP, &[Arena, LENGTH, LENGTH, Pick(&[0, 1, 3, 5, 7]), Arena]).gives(Kind::Nothing),
        t(MUNMAP, &[Arena, LENGTH]),
        t(MSYNC, &[Arena, LENGTH, Bits(&[1, 2, 4])]),
        t(MLOCK, &[Arena, LENGTH]),
        t(MLOCK2, &[Arena, LENGTH, Pick(&[0, 1])]),
        t(MUNLOCK, &[Arena, LENGTH]),
        t(MINCORE, &[Arena, LENGTH, Room(64)]),
        t(MBIND, &[Arena, LENGTH, Within(0, 6), To(&[U64(N(1))]), N(64), Bits(&[1, 2])]),
        t(SET_MEMPOLICY, &[Within(0, 6), To(&[U64(N(1))]), N(64)]),
        t(GET_MEMPOLICY, &[Room(4), Room(8), N(64), OneOf(&[N(0), Arena]), Bits(&[1, 2, 4])]),
        t(SET_MEMPOLICY_HOME_NODE, &[Arena, LENGTH, N(0), N(0)]),
        t(REMAP_FILE_PAGES, &[Arena, N(4096), N(0), Pick(&[0, 1]), N(0)]),
        t(PKEY_ALLOC, &[N(0), Within(0, 3)]),
        t(PKEY_MPROTECT, &[Arena, LENGTH, PROTECTION, Pick(&[0, 1, u64::MAX])]),
        t(READ, &[Fd, Arena, LENGTH]),
        t(WRITE, &[Fd, Arena, LENGTH]),
        t(VMSPLICE, &[Of(Kind::PipeOut), To(&[U64(Arena), U64(LENGTH)]), N(1), Pick(&[0, 8])]),
        t(PROCESS_VM_WRITEV, &[Pid, To(&[U64(Arena), U64(LENGTH)]), N(1), To(&[U64(Arena), U64(LENGTH)]), N(1), N(0)]),
        t(GETRANDOM, &[Arena, LENGTH, Bits(&[1, 2, 4])]),
        t(MUNMAP, &[Of(Kind::Mapping), N(4096)]),
    ],
};
/// `struct uffdio_api` and others.
pub(crate) const USERFAULT: Group = Group {
    makers: &[t(USERFAULTFD, &[Pick(&[0, 1, 1, 0x801, 0x80801])]).gives(Kind::Userfault)],
    uses: &[
        t(IOCTL, &[This, N(0xc018_aa3f), To(&[U64(N(0xaa)), U64(Bits(&[0x1, 0x8, 0x80, 0x100])), Zero(8)])]),
        t(IOCTL, &[This, N(0xc020_aa00), To(&[U64(Arena), U64(LENGTH), U64(Pick(&[1, 2, 3, 4])), Zero(8)])]),
        t(IOCTL, &[This, Pick(&[0x8010_aa01, 0x8010_aa02]), To(&[U64(Arena), U64(LENGTH)])]),
        t(IOCTL, &[This, N(0xc028_aa03), To(&[U64(Arena), U64(Arena), U64(N(4096)), U64(Within(0, 3)), Zero(8)])]),
        t(IOCTL, &[This, Pick(&[0xc020_aa04, 0xc020_aa07]), To(&[U64(Arena), U64(N(4096)), U64(Within(0, 3)), Zero(8)])]),
        t(IOCTL, &[This, N(0xc018_aa06), To(&[U64(Arena), U64(N(4096)), U64(Within(0, 3))])]),
        t(READ, &[This, Room(128), Len]),
        t(MADVISE, &[Arena, LENGTH, N(4)]),
        t(MREMAP, &[Arena, LENGTH, LENGTH, N(3), Arena]),
    ],
};

const ID: A = OneOf(&[This, This, This, N(0), N(1)]);
pub(crate) const SEMAPHORES: Group = Group {
    makers: &[t(SEMGET, &[Pick(&[0, 1, 2, 3]), Within(1, 4), Pick(&[0o1600, 0o1666, 0o3600, 0])]).gives(Kind::Semaphore)],
    uses: &[
        t(SEMOP, &[ID, Array(&[U16(Within(0, 3)), U16(Pick(&[0, 1, 1, 0xffff, 2])), U16(Pick(&[0, 0x800, 0x1000, 0x1800]))], 3), Count]),
        t(SEMTIMEDOP, &[ID, Array(&[U16(Within(0, 3)), U16(Pick(&[0, 1, 0xffff])), U16(Pick(&[0, 0x800, 0x1000]))], 3), Count, To(SHORT)]),
        t(SEMCTL, &[ID, Within(0, 3), Pick(&[11, 12, 14, 15]), N(0)]),
        t(SEMCTL, &[ID, Within(0, 3), Pick(&[2, 3, 13, 18, 19, 20]), Room(200)]),
        t(SEMCTL, &[ID, Within(0, 3), N(16), Within(0, 3)]),
        t(SEMCTL, &[ID, N(0), N(17), Data(8)]),
        t(SEMCTL, &[ID, N(0), N(1), To(&[Zero(4), U32(User), U32(User), Zero(8), U32(N(0o600)), Zero(80)])]),
        t(SEMCTL, &[This, N(0), N(0), N(0)]),
    ],
};
pub(crate) const MESSAGES: Group = Group {
    makers: &[t(MSGGET, &[Pick(&[0, 1, 2, 3]), Pick(&[0o1600, 0o1666, 0o3600, 0])]).gives(Kind::Message)],
    uses: &[
        t(MSGSND, &[ID, To(&[U64(Pick(&[1, 2, 5])), Random(200)]), Within(0, 200), Pick(&[0o4000, 0o4000, 0])]),
        t(MSGRCV, &[ID, Room(300), Within(0, 200), Pick(&[0, 1, u64::MAX]), Bits(&[0o4000, 0o4000, 0o10000, 0o20000, 0o40000])]),
        t(MSGCTL, &[ID, Pick(&[2, 3, 11, 12, 13]), Room(200)]),
        t(MSGCTL, &[ID, N(1), To(&[Zero(4), U32(User), U32(User), Zero(8), U32(N(0o600)), Zero(100)])]),
        t(MSGCTL, &[This, N(0), N(0)]),
    ],
};
pub(crate) const SHARED: Group = Group {
    makers: &[t(SHMGET, &[Pick(&[0, 1, 2, 3]), LENGTH, Pick(&[0o1600, 0o1666, 0o3600, 0o5600, 0])]).gives(Kind::Shared)],
    uses: &[
        t(SHMAT, &[ID, OneOf(&[N(0), Arena]), Bits(&[0o10000, 0o20000, 0o40000, 0o100000])]).gives(Kind::Mapping),
        t(SHMDT, &[OneOf(&[Of(Kind::Mapping), Arena])]),
        t(SHMCTL, &[ID, Pick(&[2, 3, 11, 12, 13, 14, 15]), Room(200)]),
        t(SHMCTL, &[ID, N(1), To(&[Zero(4), U32(User), U32(User), Zero(8), U32(N(0o600)), Zero(100)])]),
        t(SHMCTL, &[This, N(0), N(0)]),
    ],
};
pub(crate) const QUEUE: Group = Group {
    makers: &[
        t(MQ_OPEN, &[Text(&["q0", "q1"]), Pick(&[0o102, 0o4102, 0o302, 2, 0]), N(0o600), OneOf(&[N(0), To(&[U64(N(0)), U64(Within(1, 10)), U64(Pick(&[8, 100, 8192])), Zero(40)])])])
            .gives(Kind::Queue),
    ],
    uses: &[
        t(MQ_TIMEDSEND, &[This, Data(100), Len, Pick(&[0, 1, 40000]), To(SHORT)]),
        t(MQ_TIMEDRECEIVE, &[This, Room(8192), Len, Room(4), To(SHORT)]),
        t(MQ_NOTIFY, &[This, OneOf(&[N(0), To(EVENT), To(&[U64(Data(32)), U32(N(0)), U32(N(2)), U32(Of(Kind::Netlink)), Zero(40)])])]),
        t(MQ_GETSETATTR, &[This, OneOf(&[N(0), To(&[U64(Pick(&[0, 0o4000])), Zero(56)])]), Room(64)]),
        t(MQ_UNLINK, &[Text(&["q0", "q1"])]),
        t(READ, &[This, Room(100), Len]),
        t(CLOSE, &[This]),
    ],
};
const WORD: A = OneOf(&[Window(0x4000), Window(0x4004), Window(0x4008), Room(8)]);
const FUTEX_WORDS: &[(u64, &[F])] = &[(0x4000, &[U32(Pick(&[0, 0, 1, 0x8000_0000])), U32(Pick(&[0, 1])), U32(N(0))])];
pub(crate) const FUTEXES: Group = Group {
    makers: &[t(FUTEX, &[WORD, Pick(&[1, 0x81]), N(1)]).gives(Kind::Child)],
    uses: &[
        t(FUTEX, &[WORD, Pick(&[0, 0x80, 9, 0x89, 0x100, 0x189]), Pick(&[0, 1]), To(SHORT), N(0), N(0xffff_ffff)]).poke(FUTEX_WORDS),
        t(FUTEX, &[WORD, Pick(&[1, 10, 0x8a, 0x81]), Within(0, 4), N(0), N(0), N(0xffff_ffff)]),
        t(FUTEX, &[WORD, Pick(&[3, 4, 5, 0x83, 0x84, 0x85]), Within(0, 2), Within(0, 2), WORD, Pick(&[0, 1, 0x0100_0001, 0x3200_0000])]).poke(FUTEX_WORDS),
        t(FUTEX, &[WORD, Pick(&[6, 7, 8, 13, 0x86, 0x87, 0x88, 0x8d]), N(0), To(SHORT)]).poke(FUTEX_WORDS),
        t(FUTEX, &[WORD, Pick(&[11, 12, 0x8b, 0x8c]), Pick(&[0, 1]), OneOf(&[To(SHORT), N(1)]), WORD, N(0)]).poke(FUTEX_WORDS),
        t(FUTEX_WAITV, &[Array(&[U64(Pick(&[0, 1])), U64(WORD), U32(Pick(&[2, 0x82])), Zero(4)], 4), Count, N(0), To(&[U64(Pick(&[0, 1])), U64(N(5000))]), Pick(&[0, 1])]),
        t(SET_ROBUST_LIST, &[To(&[U64(Window(0x4000)), U64(N(8)), U64(Window(0x4000))]), N(24)]),
    ],
};
const RINGS: A = Pick(&[0xffff_ffff, 0xffff_fffe, 0xffff_fffd, 0xffff_fffc, 0xffff_fffb]);
const KEYS: A = OneOf(&[This, This, Of(Kind::Key), RINGS]);
const TYPES: A = Text(&["user", "keyring", "logon", "big_key", "asymmetric", "encrypted", "trusted", ".dead", "nonsense", "dns_resolver", "rxrpc", "pkcs7_test"]);
const NAMES: A = Text(&["a", "b", "ring", "logon:x", "_ses"]);
pub(crate) const KEYRING: Group = Group {
    makers: &[
        t(ADD_KEY, &[Text(&["user"]), NAMES, Data(30), Len, RINGS]).gives(Kind::Key),
        t(ADD_KEY, &[Text(&["keyring"]), NAMES, N(0), N(0), RINGS]).gives(Kind::Key),
        t(ADD_KEY, &[TYPES, NAMES, Data(100), Len, RINGS]).gives(Kind::Key),
        t(KEYCTL, &[N(0), RINGS, Pick(&[0, 1])]).gives(Kind::Key),
        t(KEYCTL, &[N(1), OneOf(&[N(0), NAMES])]).gives(Kind::Key),
    ],
    uses: &[
        t(REQUEST_KEY, &[TYPES, NAMES, OneOf(&[N(0), Text(&["info"])]), RINGS]).gives(Kind::Key),
        t(KEYCTL, &[N(2), KEYS, Data(40), Len]),
        t(KEYCTL, &[Pick(&[3, 7, 9, 18, 21]), KEYS, N(0)]),
        t(KEYCTL, &[N(4), KEYS, User, Pick(&[u64::MAX, 0])]),
        t(KEYCTL, &[N(5), KEYS, Pick(&[0x3f3f_0000, 0x3f00_0000, 0x3f3f_3f3f])]),
        t(KEYCTL, &[Pick(&[6, 11, 17]), KEYS, Room(200), Len]),
        t(KEYCTL, &[Pick(&[8, 9]), KEYS, KEYS]),
        t(KEYCTL, &[N(10), KEYS, Text(&["user", "keyring"]), NAMES, Pick(&[0, 0xffff_fffd])]),
        t(KEYCTL, &[N(12), KEYS, Data(20), Len, N(0)]),
        t(KEYCTL, &[Pick(&[13, 19]), KEYS, Pick(&[0, 5]), Pick(&[0, 126]), N(0)]),
        t(KEYCTL, &[N(14), Within(0, 8)]),
        t(KEYCTL, &[N(15), KEYS, Pick(&[0, 1, 100])]),
        t(KEYCTL, &[Pick(&[16, 22]), Within(0, 2), KEYS]),
        t(KEYCTL, &[N(23), To(&[U32(KEYS), U32(KEYS), U32(KEYS), Zero(4)]), Room(100), N(100), OneOf(&[N(0), To(&[U64(Text(&["sha256"])), U64(N(0)), Zero(40)])])]),
        t(KEYCTL, &[Pick(&[24, 25, 26, 27, 28]), KEYS, N(0), Text(&["enc=pkcs1"]), Room(100)]),
        t(KEYCTL, &[N(29), KEYS, Text(&["asymmetric"]), Text(&["builtin_trusted"])]),
        t(KEYCTL, &[N(30), KEYS, KEYS, KEYS, Pick(&[0, 1])]),
        t(KEYCTL, &[N(31), Room(8), N(8)]),
        t(KEYCTL, &[N(32), KEYS, Of(Kind::PipeIn), Within(0, 2)]),
    ],
};

const FOLDERS: A = Text(&["dir0", "dir1", "dir0/mnt", ".", "/tmp", "/proc", "/", "/mnt"]);
const SYSTEMS: A = Text(&["tmpfs", "proc", "sysfs", "overlay", "mqueue", "devpts", "ramfs", "cgroup2", "bpf", "fuse", "ext4", "hugetlbfs", "binfmt_misc", "debugfs", "nfs", "cgroup", "securityfs", "pstore", "devtmpfs", "9p", "autofs"]);
const OPTIONS: A = Text(&["size=64k", "mode=0755,uid=0", "lowerdir=dir0,upperdir=dir1,workdir=dir2", "lowerdir=dir0:dir1", "newinstance,ptmxmode=0666", "hidepid=2", "subset=pid", "fd=3,rootmode=40000,user_id=0,group_id=0", "x", "huge=always,nr_inodes=100", "none,name=a", "mpol=bind:0"]);
const MOUNT_FLAGS: A = Bits(&[1, 2, 4, 8, 16, 32, 64, 1024, 2048, 4096, 4096 | 16384, 8192, 1 << 17, 1 << 18, 1 << 19, 1 << 20, 1 << 21, 1 << 24, 1 << 25]);
pub(crate) const MOUNTS: Group = Group {
    makers: &[
        t(FSOPEN, &[SYSTEMS, Pick(&[0, 1])]).gives(Kind::Context),
        t(FSPICK, &[AT, FOLDERS, Bits(&[1, 2, 4, 8])]).gives(Kind::Context),
        t(OPEN_TREE, &[N(-100i64 as u64), FOLDERS, Bits(&[1, 1, 0x8000, 0x80000, 0x1000])]).gives(Kind::Mount),
    ],
    uses: &[
        t(MOUNT, &[Text(&["none", "dir0", "."]), FOLDERS, SYSTEMS, MOUNT_FLAGS, OPTIONS]),
        t(MOUNT, &[Text(&["none", "dir0", ".", "/proc"]), FOLDERS, N(0), MOUNT_FLAGS, N(0)]),
        t(UMOUNT2, &[FOLDERS, Bits(&[1, 2, 2, 4, 8])]),
        t(FSCONFIG, &[This, N(0), Text(&["ro", "noatime", "source", "x", "newinstance"]), N(0), N(0)]),
        t(FSCONFIG, &[This, N(1), Text(&["size", "mode", "source", "lowerdir", "upperdir", "workdir", "hidepid", "gid"]), Text(&["64k", "755", "dir0", "dir1", "0"]), N(0)]),
        t(FSCONFIG, &[This, Within(2, 5), Text(&["fd", "source", "x"]), OneOf(&[Data(20), Path]), OneOf(&[Fd, N(-100i64 as u64), N(5)])]),
        t(FSCONFIG, &[This, Pick(&[6, 6, 7]), N(0), N(0), N(0)]),
        t(FSMOUNT, &[This, Pick(&[0, 1]), Bits(&[1, 2, 4, 8, 0x10, 0x20, 0x80, 0x100000])]).gives(Kind::Mount),
        t(MOVE_MOUNT, &[OneOf(&[This, Of(Kind::Mount)]), Text(&["", "dir0"]), N(-100i64 as u64), FOLDERS, Bits(&[1, 2, 4, 4, 0x10, 0x20, 0x40, 0x100])]),
        t(MOUNT_SETATTR, &[OneOf(&[This, Of(Kind::Mount), N(-100i64 as u64)]), Text(&["", "dir0", "."]), Pick(&[0x1000, 0x9000, 0]), To(&[U64(Bits(&[1, 2, 4, 8, 0x100000])), U64(Bits(&[1, 2, 0x70])), U64(Pick(&[0, 1 << 18, 1 << 20])), U64(Of(Kind::Kernel))]), N(32)]),
        t(PIVOT_ROOT, &[FOLDERS, FOLDERS]),
        t(READ, &[This, Room(300), Len]),
        t(CHROOT, &[FOLDERS]),
        t(STATFS, &[FOLDERS, Room(120)]),
        t(QUOTACTL, &[Pick(&[0x8000_0100, 0x8000_0200, 0x8000_0400, 0x8000_0500, 0x8000_0700, 0x8000_0800, 0x8000_0900, 0x58_0100, 0x58_0300, 0x58_0500]), Text(&["/dev/vda", "none"]), User, Room(120)]),
    ],
};
pub(crate) const LANDLOCK: Group = Group {
    makers: &[t(LANDLOCK_CREATE_RULESET, &[To(&[U64(Pick(&[1, 0x1fff, 0x3fff, 0xffff]))]), N(8), N(0)]).gives(Kind::Landlock)],
    uses: &[
        t(LANDLOCK_ADD_RULE, &[This, Pick(&[1, 1, 2]), To(&[U64(Pick(&[1, 0xff, 0x1fff])), U32(OneOf(&[Of(Kind::Folder), Fd]))]), N(0)]),
        t(LANDLOCK_CREATE_RULESET, &[N(0), N(0), N(1)]),
        t(LANDLOCK_RESTRICT_SELF, &[This, N(0)]),
    ],
};
/// `struct perf_event_attr`, of all kinds.
const PERF: A = To(&[U32(Pick(&[0, 1, 1, 1, 2, 3, 4, 5, 6, 7])), U32(Pick(&[64, 112, 128])), U64(Within(0, 12)), U64(Pick(&[0, 1, 1000, 100_000])), U64(Bits(&[1, 2, 4, 8, 0x10, 0x100, 0x400, 0x4000, 0x8000])),
    U64(Bits(&[1, 2, 4, 8])), U64(Bits(&[1, 2, 0x20, 0x40, 0x60, 0x100, 0x400, 0x2000, 0x4000, 0x40000])), Zero(80)]);
pub(crate) const MEASURING: Group = Group {
    makers: &[
        t(PERF_EVENT_OPEN, &[PERF, OneOf(&[N(0), Pid]), Pick(&[u64::MAX, 0]), OneOf(&[N(u64::MAX), Of(Kind::Perf)]), Bits(&[1, 2, 4, 8])]).gives(Kind::Perf),
    ],
    uses: &[
        t(IOCTL, &[This, Pick(&[0x2400, 0x2401, 0x2402, 0x2403]), Pick(&[0, 1])]),
        t(IOCTL, &[This, Pick(&[0x4008_2404, 0x2405, 0x4008_2406, 0x8008_2407, 0x4004_2408, 0x4004_2409, 0xc008_240a, 0x4008_240b]), OneOf(&[Room(64), Fd])]),
        t(READ, &[This, Room(200), Len]),
        t(MMAP, &[Arena, Pick(&[4096, 8192, 36864]), N(3), N(0x11), This, N(0)]).gives(Kind::Mapping),
        t(POLL, &[Array(&[U32(This), U16(N(1)), Zero(2)], 1), N(1), N(0)]),
        t(CLOSE, &[This]),
    ],
};
/// `union bpf_attr`: maps, programs, objects. Where unprivileged programs are refused, only the refusal is reached.
pub(crate) const PROGRAMS: Group = Group {
    makers: &[
        t(BPF, &[N(0), To(&[U32(Within(1, 32)), U32(Pick(&[0, 4, 8])), U32(Pick(&[0, 4, 8, 64])), U32(Pick(&[1, 16, 4096])), U32(Bits(&[1, 2, 8, 0x10, 0x400])), Zero(60)]), Pick(&[72, 128])]).gives(Kind::Bpf),
        t(BPF, &[N(5), To(&[U32(Within(1, 31)), U32(N(2)), U64(To(&[Bytes(&[0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0])])), U64(Text(&["GPL"])), U32(N(1)), U32(N(512)), U64(Room(512)), Zero(80)]), N(120)]).gives(Kind::Bpf),
        t(BPF, &[N(18), To(&[U64(To(&[Bytes(&[0x9f, 0xeb, 1, 0, 24, 0, 0, 0]), Zero(24)])), U64(Room(100)), U32(N(32)), U32(N(100)), Zero(8)]), N(32)]).gives(Kind::Bpf),
    ],
    uses: &[
        t(BPF, &[Pick(&[1, 2, 3, 4, 21, 24, 25, 26, 27]), To(&[U32(This), Zero(4), U64(Room(16)), U64(Room(64)), U64(Pick(&[0, 1, 2])), Zero(40)]), N(72)]),
        t(BPF, &[Within(6, 36), To(&[U32(This), U32(Fd), Random(64)]), N(72)]),
        t(SETSOCKOPT, &[Fd, N(1), N(50), To(&[U32(This)]), N(4)]),
    ],
};

pub(crate) const SINGLE: &[T] = &[
    t(BRK, &[N(0)]),
    t(MMAP, &[Arena, Pick(&[4096, 65536]), PROTECTION, Pick(&[0x32, 0x31]), N(u64::MAX), N(0)]).gives(Kind::Mapping),
    t(MPROTECT, &[Arena, LENGTH, PROTECTION]),
    t(MLOCKALL, &[Within(1, 4)]),
    t(MUNLOCKALL, &[]),
    t(PKEY_ALLOC, &[N(0), Within(0, 3)]),
    t(PKEY_FREE, &[Within(0, 15)]),
    t(MIGRATE_PAGES, &[Pid, N(64), To(&[U64(N(1))]), To(&[U64(N(1))])]),
    t(MOVE_PAGES, &[Pid, Within(1, 2), To(&[U64(Arena), U64(Arena)]), OneOf(&[N(0), To(&[U32(N(0)), U32(N(0))])]), Room(8), Pick(&[2, 4])]),
    t(NANOSLEEP, &[To(SHORT), Room(16)]),
    t(CLOCK_NANOSLEEP, &[Within(0, 11), Pick(&[0, 1]), To(SHORT), Room(16)]),
    t(CLOCK_GETTIME, &[Within(0, 12), Room(16)]),
    t(CLOCK_GETRES, &[Within(0, 12), Room(16)]),
    t(CLOCK_SETTIME, &[Within(0, 11), To(SHORT)]),
    t(CLOCK_ADJTIME, &[Within(0, 11), To(&[U32(Pick(&[0, 0, 1])), Zero(204)])]),
    t(ADJTIMEX, &[To(&[U32(Pick(&[0, 0, 0x8000])), Zero(204)])]),
    t(GETTIMEOFDAY, &[Room(16), Room(8)]),
    t(SETTIMEOFDAY, &[To(SHORT), N(0)]),
    t(TIME, &[Room(8)]),
    t(SYSINFO, &[Room(112)]),
    t(UNAME, &[Room(400)]),
    t(SYSLOG, &[Within(0, 10), Room(100), Len]),
    t(SETHOSTNAME, &[Text(&["host"]), N(4)]),
    t(SETDOMAINNAME, &[Text(&["host"]), N(4)]),
    t(GETRANDOM, &[Room(300), Len, Bits(&[1, 2, 4])]),
    t(MOUNT, &[Text(&["none"]), FOLDERS, SYSTEMS, MOUNT_FLAGS, OPTIONS]),
    t(SWAPON, &[Path, N(0)]),
    t(SWAPOFF, &[Path]),
    t(REBOOT, &[N(0xfee1_dead), N(0x2812_1969), N(0x1234_5678)]),
    t(INIT_MODULE, &[Data(100), Len, Text(&[""])]),
    t(FINIT_MODULE, &[Fd, Text(&[""]), N(0)]),
    t(DELETE_MODULE, &[Text(&["tun", "none"]), N(0o4000)]),
    t(KEXEC_LOAD, &[N(0), N(0), N(0), N(0)]),
    t(KEXEC_FILE_LOAD, &[Fd, Fd, N(1), Text(&[""]), N(0)]),
    t(OPEN_BY_HANDLE_AT, &[Of(Kind::Folder), To(&[U32(N(8)), U32(N(1)), Random(8)]), N(0)]),
    t(CREATE_MODULE, &[]),
    t(GET_KERNEL_SYMS, &[]),
    t(QUERY_MODULE, &[]),
    t(NFSSERVCTL, &[]),
    t(GETPMSG, &[]),
    t(PUTPMSG, &[]),
    t(AFS_SYSCALL, &[]),
    t(TUXCALL, &[]),
    t(SECURITY, &[]),
    t(VSERVER, &[]),
    t(SYSFS, &[Within(1, 3), Text(PATHS), Room(40)]),
    t(SYSCTL, &[Room(64)]),
    t(PERF_EVENT_OPEN, &[PERF, N(0), Pick(&[u64::MAX, 0]), N(u64::MAX), N(0)]).gives(Kind::Perf),
    t(SETSOCKOPT, &[Fd, N(1), Pick(&[26, 51]), To(FILTER), N(16)]),
];

pub(crate) const SEQUENCES: &[Sequence] = &[
    // A folder mounted by the new calls, entered and left.
    &[
        t(MKDIR, &[Text(&["dir0"]), N(0o755)]),
        t(FSOPEN, &[Text(&["tmpfs", "ramfs", "mqueue", "proc", "overlay", "devpts"]), N(0)]).gives(Kind::Context),
        t(FSCONFIG, &[Step(1), N(1), Text(&["size", "lowerdir", "mode"]), Text(&["64k", "dir0", "755"]), N(0)]),
        t(FSCONFIG, &[Step(1), N(6), N(0), N(0), N(0)]),
        t(FSMOUNT, &[Step(1), N(0), N(0)]).gives(Kind::Mount),
        t(MOVE_MOUNT, &[Step(4), Text(&[""]), N(-100i64 as u64), Text(&["dir0"]), N(4)]),
        t(CREAT, &[Text(&["dir0/file0"]), N(0o644)]).gives(Kind::File),
        t(WRITE, &[Step(6), Data(1000), Len]),
        t(STATFS, &[Text(&["dir0"]), Room(120)]),
        t(MOUNT_SETATTR, &[Step(4), Text(&[""]), N(0x1000), To(&[U64(Pick(&[1, 2, 8])), Zero(24)]), N(32)]),
        t(UMOUNT2, &[Text(&["dir0"]), Pick(&[0, 2])]),
    ],
    // An overlay.
    &[
        t(MOUNT, &[Text(&["none"]), Text(&["/tmp"]), Text(&["tmpfs"]), N(0), N(0)]),
        t(CHDIR, &[Text(&["/tmp"])]),
        t(MKDIR, &[Text(&["dir0"]), N(0o755)]),
        t(MKDIR, &[Text(&["dir1"]), N(0o755)]),
        t(MKDIR, &[Text(&["dir2"]), N(0o755)]),
        t(MKDIR, &[Text(&["dir3"]), N(0o755)]),
        t(CREAT, &[Text(&["dir0/file0"]), N(0o644)]).gives(Kind::File),
        t(MOUNT, &[Text(&["none"]), Text(&["dir3"]), Text(&["overlay"]), N(0), Text(&["lowerdir=dir0,upperdir=dir1,workdir=dir2", "lowerdir=dir0:dir1"])]),
        t(OPEN, &[Text(&["dir3/file0", "dir3/file1"]), N(0o102), N(0o644)]).gives(Kind::File),
        t(WRITE, &[Step(8), Data(500), Len]),
        t(RENAME, &[Text(&["dir3/file0"]), Text(&["dir3/file1"])]),
        t(UNLINK, &[Text(&["dir3/file1"])]),
        t(CHMOD, &[Text(&["dir3/file0"]), N(0o600)]),
        t(UMOUNT2, &[Text(&["dir3"]), N(2)]),
    ],
    // Old mounts, bound and made private.
    &[
        t(MKDIR, &[Text(&["dir0"]), N(0o755)]),
        t(MOUNT, &[Text(&["none"]), Text(&["dir0"]), SYSTEMS, MOUNT_FLAGS, OPTIONS]),
        t(MOUNT, &[Text(&["."]), Text(&["dir0"]), N(0), Pick(&[4096, 4096 | 16384]), N(0)]),
        t(MOUNT, &[N(0), Text(&["dir0"]), N(0), Pick(&[1 << 18, 1 << 19, 1 << 20, 1 << 17, 32 | 4096 | 1]), N(0)]),
        t(OPEN, &[Text(&["dir0"]), N(0o200000)]).gives(Kind::Folder),
        t(OPEN_TREE, &[Step(4), Text(&["", "."]), Pick(&[1, 0x8001, 0x9001])]).gives(Kind::Mount),
        t(UMOUNT2, &[Text(&["dir0"]), Pick(&[0, 2, 8])]),
        t(PIVOT_ROOT, &[Text(&["."]), Text(&["."])]),
    ],
    // Faults of one's own, served.
    &[
        t(USERFAULTFD, &[N(0x801)]).gives(Kind::Userfault),
        t(IOCTL, &[Step(0), N(0xc018_aa3f), To(&[U64(N(0xaa)), Zero(16)])]),
        t(MMAP, &[Arena, N(65536), N(3), Pick(&[0x32, 0x31]), N(u64::MAX), N(0)]).gives(Kind::Mapping),
        t(IOCTL, &[Step(0), N(0xc020_aa00), To(&[U64(Step(2)), U64(N(65536)), U64(Pick(&[1, 2, 3])), Zero(8)])]),
        t(IOCTL, &[Step(0), N(0xc020_aa04), To(&[U64(Step(2)), U64(N(4096)), Zero(16)])]),
        t(IOCTL, &[Step(0), N(0xc028_aa03), To(&[U64(Step(2)), U64(Window(0x2000)), U64(N(4096)), U64(Pick(&[0, 1, 2])), Zero(8)])]),
        t(IOCTL, &[Step(0), N(0xc018_aa06), To(&[U64(Step(2)), U64(N(4096)), U64(Pick(&[0, 1]))])]),
        t(WRITE, &[Of(Kind::PipeOut), Step(2), N(8192)]),
        t(MUNMAP, &[Step(2), N(65536)]),
        t(READ, &[Step(0), Room(96), Len]),
    ],
    // Something huge, and what it does when split.
    &[
        t(MMAP, &[N(0), N(4 << 20), N(3), N(0x22), N(u64::MAX), N(0)]),
        t(MADVISE, &[Step(0), N(4 << 20), Pick(&[14, 23, 12, 15])]),
        t(GETRANDOM, &[Step(0), N(4096), N(0)]),
        t(MADVISE, &[Step(0), N(2 << 20), Pick(&[25, 23, 4, 20, 21, 8])]),
        t(MPROTECT, &[Step(0), N(8192), N(1)]),
        t(MREMAP, &[Step(0), N(4 << 20), N(2 << 20), N(1), N(0)]),
        t(MUNMAP, &[Step(0), N(2 << 20)]),
    ],
];
