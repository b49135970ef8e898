//! Files, folders, paths and what `/proc`, `/sys` and `/dev` have.

use super::shape::{DATES, EMPTY, FULL, SHORT_US};
use crate::numbers::nr::*;
use crate::term::A::*;
use crate::term::F::*;
use crate::term::{A, F, Gives, Group, Kind, Sequence, T, t};

/// What a process may do with its folder: files, folders, links, pipes, sockets, and what is not there.
pub(crate) const PATHS: &[&str] = &[
    "file0", "file1", "file2", "dir0", "dir1", "dir0/file0", "dir0/file1", "dir1/link", "link0", "link1", "fifo0", "s0",
    "none/file", ".", "..", "", "/", "/tmp", "dir0/../dir1/./file0", "/proc/self/fd/0", "/dev/null", "/dev/shm",
    "script", "/proc/self/exe", "dir0/mnt",
];

/// Files that the kernel makes up.
pub(crate) const KERNEL_FILES: &[&str] = &[
    "/proc/self/maps", "/proc/self/smaps", "/proc/self/smaps_rollup", "/proc/self/status", "/proc/self/stat",
    "/proc/self/statm", "/proc/self/io", "/proc/self/limits", "/proc/self/mem", "/proc/self/pagemap", "/proc/self/clear_refs",
    "/proc/self/oom_score_adj", "/proc/self/oom_adj", "/proc/self/comm", "/proc/self/cmdline", "/proc/self/environ",
    "/proc/self/auxv", "/proc/self/cgroup", "/proc/self/mountinfo", "/proc/self/mounts", "/proc/self/mountstats",
    "/proc/self/numa_maps", "/proc/self/sched", "/proc/self/schedstat", "/proc/self/stack", "/proc/self/syscall",
    "/proc/self/wchan", "/proc/self/timers", "/proc/self/timerslack_ns", "/proc/self/coredump_filter",
    "/proc/self/personality", "/proc/self/autogroup", "/proc/self/attr/current", "/proc/self/loginuid",
    "/proc/self/uid_map", "/proc/self/setgroups", "/proc/self/net/tcp", "/proc/self/net/udp", "/proc/self/net/unix",
    "/proc/self/net/dev", "/proc/self/net/route", "/proc/self/net/snmp", "/proc/self/net/netstat",
    "/proc/self/net/packet", "/proc/self/net/netlink", "/proc/self/net/sockstat", "/proc/self/net/fib_trie",
    "/proc/self/net/arp", "/proc/self/net/igmp", "/proc/self/net/if_inet6", "/proc/self/net/raw", "/proc/self/net/ptype",
    "/proc/self/ns/net", "/proc/self/ns/user", "/proc/self/ns/mnt", "/proc/self/ns/uts", "/proc/self/ns/pid_for_children",
    "/proc/self/map_files", "/proc/self/task", "/proc/self/fdinfo/3", "/proc/self/fdinfo/4", "/proc/self/fdinfo/5",
    "/proc/self/fdinfo", "/proc/self/fd", "/proc/self/root", "/proc/self/cwd", "/proc/thread-self/children", "/proc/1/status",
    "/proc/1/maps", "/proc/1/environ", "/proc/meminfo", "/proc/cpuinfo", "/proc/stat", "/proc/uptime", "/proc/loadavg",
    "/proc/version", "/proc/filesystems", "/proc/devices", "/proc/interrupts", "/proc/softirqs", "/proc/kallsyms",
    "/proc/modules", "/proc/vmstat", "/proc/vmallocinfo", "/proc/zoneinfo", "/proc/buddyinfo", "/proc/pagetypeinfo",
    "/proc/slabinfo", "/proc/swaps", "/proc/partitions", "/proc/diskstats", "/proc/locks", "/proc/timer_list",
    "/proc/key-users", "/proc/keys", "/proc/crypto", "/proc/cgroups", "/proc/cmdline", "/proc/consoles", "/proc/fb",
    "/proc/iomem", "/proc/ioports", "/proc/misc", "/proc/mtrr", "/proc/kmsg", "/proc/kpagecount", "/proc/sysvipc/shm",
    "/proc/sysvipc/sem", "/proc/sysvipc/msg", "/proc/tty/drivers", "/proc/bus/pci/devices", "/proc/pressure/cpu",
    "/proc/pressure/memory", "/proc/pressure/io", "/proc/sys/kernel/hostname", "/proc/sys/kernel/random/uuid",
    "/proc/sys/kernel/random/entropy_avail", "/proc/sys/kernel/osrelease", "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/pid_max", "/proc/sys/kernel/ns_last_pid", "/proc/sys/vm/overcommit_memory", "/proc/sys/fs/file-nr",
    "/proc/sys/fs/inode-nr", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/tcp_rmem",
    "/proc/sys/net/ipv4/tcp_congestion_control", "/proc/sys/net/ipv4/ping_group_range",
    "/proc/sys/net/ipv4/tcp_fastopen_key", "/proc/sys/net/ipv4/conf/lo/forwarding", "/proc/sys/net/ipv6/conf/lo/mtu",
    "/proc/sys/net/ipv6/conf/all/forwarding", "/proc/sys/net/core/somaxconn", "/proc/sys/user/max_user_namespaces",
    "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/class/net/lo/mtu", "/sys/class/net/lo/statistics/rx_bytes",
    "/sys/class/net/lo/queues/rx-0/rps_cpus", "/sys/devices/system/cpu/online", "/sys/devices/system/cpu/vulnerabilities/meltdown",
    "/sys/devices/system/node/node0/meminfo", "/sys/kernel/notes", "/sys/kernel/uevent_seqnum", "/sys/kernel/security/lsm",
    "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory.stat", "/sys/fs/cgroup/cpu.stat", "/sys/power/state",
    "/sys/module/tun/refcnt", "/sys/bus/pci/devices", "/sys/class/tty/console/active", "/sys/firmware/acpi/tables/DSDT",
];
/// Devices that are there for all, and some that are not.
const DEVICES: &[&str] = &[
    "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/pts/ptmx",
    "/dev/net/tun", "/dev/fuse", "/dev/kmsg", "/dev/loop-control", "/dev/loop0", "/dev/vhost-net", "/dev/kvm", "/dev/rtc0",
    "/dev/hpet", "/dev/mem", "/dev/port", "/dev/input/event0", "/dev/snd/timer", "/dev/userfaultfd", "/dev/udmabuf",
    "/dev/dma_heap/system", "/dev/console", "/dev/ttyS0", "/dev/vga_arbiter", "/dev/cpu_dma_latency", "/dev/hwrng",
    "/dev/mcelog", "/dev/nvram", "/dev/rfkill", "/dev/uinput", "/dev/vcs", "/dev/snapshot", "/dev/autofs",
    "/dev/mapper/control", "/dev/btrfs-control", "/dev/ppp", "/dev/vsock", "/dev/vda", "/dev/bsg",
];
/// Programs: a script, this program, none.
const PROGRAMS: &[&str] = &["script", "/proc/self/exe", "file0", "/bin/true", "/bin/busybox", "dir0", "none"];

/// AT_FDCWD or a folder.
pub(crate) const AT: A = OneOf(&[N(-100i64 as u64), N(-100i64 as u64), Of(Kind::Folder), Fd]);
const OPEN_FLAGS: A = Bits(&[
    0, 1, 2, 2, 0o100, 0o102, 0o200, 0o1000, 0o2000, 0o4000, 0o10000, 0o20000, 0o40000, 0o100000, 0o200000, 0o400000,
    0o1000000, 0o2000000, 0o4010000, 0o10000000, 0o20200002,
]);
const MODE: A = Pick(&[0o644, 0o755, 0o777, 0o600, 0, 0o4755, 0o2770, 0o1777]);
const NAMES: A = Text(&["user.a", "user.b", "trusted.a", "security.selinux", "security.capability", "system.posix_acl_access",
    "system.posix_acl_default", "user.", "nonsense"]);
const AT_FLAGS: A = Bits(&[0x100, 0x200, 0x400, 0x800, 0x1000, 0x2000, 0x4000, 0x8000]);
const OFFSET: A = Pick(&[0, 1, 511, 4096, 65536, 0xf_ffff, 0x7fff_ffff_ffff_ffff, u64::MAX]);

/// An access control list: version 2 and entries of tag, permissions, who.
const ACL: A = To(&[U32(N(2)), U16(N(1)), U16(N(7)), U32(N(0xffff_ffff)), U16(N(2)), U16(N(6)), U32(User), U16(N(4)), U16(N(5)),
    U32(N(0xffff_ffff)), U16(N(16)), U16(N(7)), U32(N(0xffff_ffff)), U16(N(32)), U16(N(4)), U32(N(0xffff_ffff))]);
const VALUE: A = OneOf(&[Data(40), ACL]);
/// `struct flock`.
const LOCK: A = To(&[U16(Pick(&[0, 1, 2])), U16(Pick(&[0, 1, 2])), Zero(4), U64(Pick(&[0, 5])), U64(Pick(&[0, 10])), U32(Pick(&[0, 0, 1])), Zero(4)]);
/// `struct open_how`.
const HOW: A = To(&[U64(OPEN_FLAGS), U64(Pick(&[0, 0o644])), U64(Bits(&[1, 2, 4, 8, 16, 32]))]);

/// What any descriptor can be asked.
pub(crate) const ANY: &[T] = &[
    t(READ, &[This, Room(4096), Len]),
    t(WRITE, &[This, Data(2000), Len]),
    t(PREAD64, &[This, Room(2048), Len, OFFSET]),
    t(PWRITE64, &[This, Data(2000), Len, OFFSET]),
    t(READV, &[This, Array(EMPTY, 4), Count]),
    t(WRITEV, &[This, Array(FULL, 4), Count]),
    t(PREADV2, &[This, Array(EMPTY, 3), Count, OFFSET, N(0), Bits(&[1, 2, 4, 8, 16])]),
    t(PWRITEV2, &[This, Array(FULL, 3), Count, OFFSET, N(0), Bits(&[1, 2, 4, 8, 16])]),
    t(FSTAT, &[This, Room(144)]),
    t(NEWFSTATAT, &[This, Text(&[""]), Room(144), Pick(&[0x1000, 0x1100])]),
    t(STATX, &[This, Text(&[""]), N(0x1000), N(0xffff), Room(256)]),
    t(FSTATFS, &[This, Room(120)]),
    t(LSEEK, &[This, OFFSET, Within(0, 5)]),
    t(FCNTL, &[This, Pick(&[0, 1030]), Within(3, 50)]).gives(Kind::File),
    t(FCNTL, &[This, Pick(&[1, 3, 9, 11, 16, 17, 1025, 1032, 1034]), Room(16)]),
    t(FCNTL, &[This, N(4), Bits(&[0o2000, 0o4000, 0o20000, 0o40000, 0o1000000])]),
    t(FCNTL, &[This, N(2), N(1)]),
    t(FCNTL, &[This, Pick(&[5, 6, 36, 37]), LOCK]),
    t(FCNTL, &[This, N(10), Pick(&[0, 10, 12, 34])]),
    t(FCNTL, &[This, N(8), Pid]),
    t(FCNTL, &[This, N(15), To(&[U32(Within(0, 2)), U32(Pid)])]),
    t(FCNTL, &[This, N(1024), Pick(&[0, 1, 2])]),
    t(FCNTL, &[This, N(1026), Bits(&[1, 2, 4, 8, 0x10, 0x20, 0x8000_0000])]),
    t(FCNTL, &[This, N(1031), Pick(&[4096, 65536, 1 << 20])]),
    t(FCNTL, &[This, N(1033), Bits(&[1, 2, 4, 8, 16])]),
    t(FCNTL, &[This, Pick(&[1035, 1036, 1037, 1038, 1039, 1040]), To(&[U64(Within(0, 6))])]),
    t(IOCTL, &[This, Pick(&[0x5421, 0x5452, 0x5450, 0x5451, 0x541b, 0x5460, 0x5411]), To(&[U32(Pick(&[0, 1])), Zero(60)])]),
    t(IOCTL, &[This, Pick(&[0x8901, 0x8902, 0x8903, 0x8904, 0x8905, 0x8906, 0x8907]), To(&[U32(Pid), Zero(12)])]),
    t(IOCTL, &[This, Any, Data(128)]),
    t(POLL, &[Array(&[U32(This), U16(N(7)), Zero(2)], 3), Count, Pick(&[0, 1])]),
    t(DUP, &[This]).gives(Kind::File),
    t(FLOCK, &[This, Pick(&[1, 2, 5, 6, 8])]),
    t(MMAP, &[N(0), Pick(&[4096, 16384, 65536]), Pick(&[1, 3, 5, 7]), Pick(&[1, 2, 3]), This, Pick(&[0, 4096])]).gives(Kind::Mapping),
    t(FCHMOD, &[This, MODE]),
    t(FCHOWN, &[This, User, User]),
    t(FGETXATTR, &[This, NAMES, Room(200), Len]),
    t(FLISTXATTR, &[This, Room(200), Len]),
    t(FSYNC, &[This]),
    t(SPLICE, &[This, N(0), Of(Kind::PipeOut), N(0), N(4096), Bits(&[1, 2, 4])]),
    t(SPLICE, &[Of(Kind::PipeIn), N(0), This, N(0), N(4096), Bits(&[1, 2, 4])]),
    t(SENDFILE, &[Of(Kind::Stream), This, N(0), N(4096)]),
    t(EPOLL_CTL, &[Of(Kind::Epoll), N(1), This, To(&[U32(Bits(&[1, 4, 8, 16, 1 << 30, 1 << 31, 1 << 28, 1 << 29])), U64(Any)])]),
    t(KCMP, &[Pid, Pid, Within(0, 8), This, Fd]),
    t(READLINK, &[Text(&["/proc/self/fd/3", "/proc/self/fd/4", "/proc/self/fd/5", "/proc/self/fd/6"]), Room(200), Len]),
    t(CLOSE, &[This]),
];

pub(crate) const FILE: Group = Group {
    makers: &[
        t(OPEN, &[Path, OPEN_FLAGS, MODE]).gives(Kind::File),
        t(OPENAT, &[AT, Path, OPEN_FLAGS, MODE]).gives(Kind::File),
        t(OPENAT, &[N(-100i64 as u64), Text(&["file0", "file1", "dir0/file0"]), Pick(&[0o102, 0o1102, 0o2102, 0o40102]), N(0o755)]).gives(Kind::File),
        t(OPENAT, &[N(-100i64 as u64), Text(&[".", "dir0", "/tmp", "/dev/shm"]), N(0o20200002), N(0o600)]).gives(Kind::File),
        t(OPENAT2, &[AT, Path, HOW, N(24)]).gives(Kind::File),
        t(CREAT, &[Text(&["file0", "file1", "file2"]), MODE]).gives(Kind::File),
        t(MEMFD_CREATE, &[Text(&["m", ""]), Bits(&[1, 2, 4])]).gives(Kind::File),
        t(MEMFD_SECRET, &[N(0)]).gives(Kind::File),
    ],
    uses: &[
        t(WRITE, &[This, Data(2000), Len]),
        t(PWRITE64, &[This, Data(2000), Len, Pick(&[0, 100, 5000, 70000, 0xf_0000])]),
        t(READ, &[This, Room(4096), Len]),
        t(FTRUNCATE, &[This, Pick(&[0, 1, 5000, 65536, 0xf_ffff, 1 << 40])]),
        t(FALLOCATE, &[This, Pick(&[0, 1, 3, 8, 16, 32, 64]), Pick(&[0, 4096, 10000]), Pick(&[1, 4096, 20000, 1 << 21])]),
        t(FDATASYNC, &[This]),
        t(SYNC_FILE_RANGE, &[This, N(0), N(4096), Within(0, 7)]),
        t(SYNCFS, &[This]),
        t(FADVISE64, &[This, N(0), Size, Within(0, 6)]),
        t(READAHEAD, &[This, N(0), N(65536)]),
        t(COPY_FILE_RANGE, &[This, OneOf(&[N(0), To(&[U64(Pick(&[0, 100]))])]), Of(Kind::File), N(0), N(3000), N(0)]),
        t(SENDFILE, &[Of(Kind::File), This, OneOf(&[N(0), To(&[U64(Pick(&[0, 100]))])]), N(3000)]),
        t(FSETXATTR, &[This, NAMES, VALUE, Len, Pick(&[0, 1, 2])]),
        t(FREMOVEXATTR, &[This, NAMES]),
        t(UTIMENSAT, &[This, N(0), To(DATES), N(0)]),
        t(FUTIMESAT, &[This, Path, N(0)]),
        t(MMAP, &[Arena, Pick(&[4096, 16384, 65536]), Pick(&[1, 3, 5]), Pick(&[0x11, 0x12, 0x8011, 0x2012]), This, N(0)]).gives(Kind::Mapping),
        t(IOCTL, &[This, Pick(&[0xc020_660b, 0x8008_6601, 0x8010_5820, 0x801c_581f, 0x5460, 1, 2]), Room(128)]),
        t(IOCTL, &[This, N(0xc020_660b), To(&[U64(N(0)), U64(N(1 << 20)), U32(Pick(&[0, 1, 2])), U32(N(0)), U32(N(2)), Zero(132)])]),
        t(IOCTL, &[This, N(0x4008_6602), To(&[U32(Bits(&[1, 2, 8, 0x10, 0x20, 0x40, 0x80, 0x800000]))])]),
        t(IOCTL, &[This, N(0x401c_5820), To(&[U32(Bits(&[1, 8, 0x10, 0x40])), Zero(24)])]),
        t(IOCTL, &[This, N(0x4004_9409), Of(Kind::File)]),
        t(IOCTL, &[This, N(0x4020_940d), To(&[U64(Of(Kind::File)), U64(N(0)), U64(N(4096)), U64(N(0))])]),
        t(IOCTL, &[This, N(0xc018_9436), To(&[U64(N(0)), U64(N(4096)), U16(N(1)), Zero(6), U64(Of(Kind::File)), U64(N(0)), Zero(16)])]),
        t(IOCTL, &[This, Pick(&[0xc004_5877, 0xc004_5878, 0xc018_5879, 0x4030_582a]), Data(64)]),
        t(IOCTL, &[This, Pick(&[0xc080_6685, 0xc004_6686, 0x800c_6613, 0xc040_6617]), Data(128)]),
        t(EXECVEAT, &[This, Text(&[""]), N(0), N(0), N(0x1000)]),
        t(LINKAT, &[This, Text(&[""]), N(-100i64 as u64), Text(&["file2", "link1"]), N(0x1000)]),
        t(NAME_TO_HANDLE_AT, &[This, Text(&[""]), To(&[U32(N(128)), Zero(132)]), Room(8), N(0x1000)]),
        t(LSEEK, &[This, Pick(&[0, 100, 4096]), Pick(&[3, 4])]),
        t(IO_SUBMIT, &[Of(Kind::Aio), N(1), To(&[U64(To(&[U64(Any), Zero(8), U16(Pick(&[0, 1, 2, 3, 5, 7, 8])), Zero(2), U32(This), U64(Data(500)), U64(Len), Zero(24)]))])]),
        t(QUOTACTL_FD, &[This, Pick(&[0x8000_0700, 0x8000_0200]), User, Room(100)]),
    ],
};

pub(crate) const FOLDER: Group = Group {
    makers: &[
        t(OPEN, &[Text(&[".", "dir0", "dir1", "/", "/proc", "/proc/self", "/proc/self/fd", "/proc/self/task", "/sys", "/dev", "/tmp",
            "/proc/self/ns", "/proc/sys/net", "/proc/self/net", "/sys/class/net", "/sys/fs/cgroup", "/dev/pts"]), Pick(&[0o200000, 0o2200000])])
        .gives(Kind::Folder),
        t(OPENAT, &[AT, Text(&[".", "dir0", ".."]), N(0o10200000), N(0)]).gives(Kind::Folder),
    ],
    uses: &[
        t(GETDENTS64, &[This, Room(2048), Len]),
        t(GETDENTS64, &[This, Room(4096), Len]),
        t(GETDENTS, &[This, Room(2048), Len]),
        t(FCHDIR, &[This]),
        t(MKDIRAT, &[This, Path, MODE]),
        t(MKNODAT, &[This, Path, Pick(&[0o10644, 0o140644, 0o20666, 0o60666, 0o100644]), Pick(&[0, 0x103])]),
        t(UNLINKAT, &[This, Path, Pick(&[0, 0x200])]),
        t(RENAMEAT, &[This, Path, This, Path]),
        t(RENAMEAT2, &[This, Path, AT, Path, Bits(&[1, 2, 4])]),
        t(LINKAT, &[This, Path, AT, Path, AT_FLAGS]),
        t(SYMLINKAT, &[Path, This, Path]),
        t(READLINKAT, &[This, Path, Room(100), Len]),
        t(FCHMODAT, &[This, Path, MODE]),
        t(FCHOWNAT, &[This, Path, User, User, AT_FLAGS]),
        t(FACCESSAT, &[This, Path, Within(0, 7)]),
        t(FACCESSAT2, &[This, Path, Within(0, 7), AT_FLAGS]),
        t(NEWFSTATAT, &[This, Path, Room(144), AT_FLAGS]),
        t(STATX, &[This, Path, AT_FLAGS, Bits(&[1, 0x7ff, 0x800, 0x1000, 0x2000]), Room(256)]),
        t(UTIMENSAT, &[This, Path, To(DATES), AT_FLAGS]),
        t(FUTIMESAT, &[This, Path, To(&[U64(N(1)), U64(N(1)), U64(N(1)), U64(N(1))])]),
        t(NAME_TO_HANDLE_AT, &[This, Path, To(&[U32(Pick(&[0, 8, 128])), Zero(132)]), Room(8), AT_FLAGS]),
        t(OPEN_BY_HANDLE_AT, &[This, To(&[U32(N(8)), U32(N(1)), Random(8)]), N(0)]),
        t(OPEN_TREE, &[This, Text(&["", "."]), Pick(&[0x1000, 0x1001, 0x9001])]).gives(Kind::Mount),
        t(FANOTIFY_MARK, &[Of(Kind::Fanotify), Pick(&[1, 2, 0x9]), Bits(&[1, 2, 8, 0x20, 0x100, 0x200, 0x4000_0000, 0x0800_0000]), This, Path]),
    ],
};

/// Files of the kernel are read and written by any process.
pub(crate) const KERNEL: Group = Group {
    makers: &[
        t(OPEN, &[Text(KERNEL_FILES), Pick(&[0, 0, 0, 2, 1, 0o4000])]).gives(Kind::Kernel),
        t(OPENAT, &[N(-100i64 as u64), Text(KERNEL_FILES), Pick(&[0, 2]), N(0)]).gives(Kind::Kernel),
        t(OPEN, &[Text(DEVICES), Pick(&[0, 2, 2, 0o4002])]).gives(Kind::Kernel),
    ],
    uses: &[
        t(READ, &[This, Room(4096), Len]),
        t(READ, &[This, Room(4096), Len]),
        t(READ, &[This, Room(100), Len]),
        t(PREAD64, &[This, Room(2048), Len, Pick(&[0, 100, 4096, 0x40_0000])]),
        t(LSEEK, &[This, Pick(&[0, 10, 4096]), Within(0, 2)]),
        t(WRITE, &[This, Text(&["0", "1", "1\n", "-1", "100", "name", "0 0 1", "deny", "exec x", "4096 8192 16384", "reno", "always", "cubic"]), Pick(&[1, 2, 4])]),
        t(POLL, &[Array(&[U32(This), U16(Pick(&[1, 2, 10])), Zero(2)], 1), N(1), N(0)]),
        t(IOCTL, &[This, Pick(&[0x8004_5200, 0x5203, 0x8004_5201, 0x5401, 0xb701, 0xb702, 0xb703, 0xb704, 0x5413, 0xae00, 0xae01, 0xae03, 0x1260,
            0x4c82, 0x4c00, 0x8008_7009, 0x8024_7009, 0xc010_5604, 0xaf01, 0xc0c0_4101]), To(&[U32(Pick(&[0, 1])), Zero(200)])]),
        t(GETDENTS64, &[This, Room(2048), Len]),
        t(READV, &[This, Array(EMPTY, 3), Count]),
        t(MMAP, &[Arena, N(4096), Pick(&[1, 3]), Pick(&[0x11, 0x12]), This, N(0)]).gives(Kind::Mapping),
        t(SENDFILE, &[Of(Kind::PipeOut), This, N(0), N(4096)]),
        t(SPLICE, &[This, N(0), Of(Kind::PipeOut), N(0), N(4096), N(2)]),
        t(SETNS, &[This, N(0)]),
        t(INOTIFY_ADD_WATCH, &[Of(Kind::Inotify), Text(KERNEL_FILES), N(0xfff)]),
        t(CLOSE, &[This]),
    ],
};

const TERMIOS: &[F] = &[U32(Bits(&[1, 2, 4, 0x100, 0x200, 0x400, 0x2000])), U32(Bits(&[1, 4, 0x1800])), U32(Bits(&[0xf, 0x30, 0x80, 0x100])),
    U32(Bits(&[1, 2, 8, 0x10, 0x40, 0x100, 0x800, 0x8000, 0x10000])), U8(Pick(&[0, 0, 1, 2, 25])), Random(19), Zero(20)];

/// A pseudo-terminal: line disciplines, windows, sessions.
pub(crate) const TERMINAL: Group = Group {
    makers: &[
        t(OPEN, &[Text(&["/dev/ptmx", "/dev/pts/ptmx"]), Pick(&[2, 0o402, 0o4402])]).gives(Kind::Terminal),
        t(OPEN, &[Text(&["/dev/pts/0", "/dev/pts/1", "/dev/tty"]), Pick(&[2, 0o4002])]).gives(Kind::Terminal),
    ],
    uses: &[
        t(IOCTL, &[This, N(0x4004_5431), To(&[U32(Pick(&[0, 0, 1]))])]),
        t(IOCTL, &[This, N(0x5441), Pick(&[0o402, 0o4402])]).gives(Kind::Terminal),
        t(IOCTL, &[This, N(0x8004_5430), Room(4)]),
        t(IOCTL, &[This, Pick(&[0x5402, 0x5403, 0x5404]), To(TERMIOS)]),
        t(IOCTL, &[This, Pick(&[0x402c_542b, 0x402c_542c, 0x402c_542d]), To(TERMIOS)]),
        t(IOCTL, &[This, Pick(&[0x5406, 0x5407, 0x5408]), To(TERMIOS)]),
        t(IOCTL, &[This, Pick(&[0x5401, 0x5405, 0x802c_542a, 0x5413, 0x540f, 0x5429, 0x5411, 0x541b, 0x5415, 0x541e, 0x5457, 0x5424, 0x8004_5438, 0x8004_5439, 0x545d, 0x545c]), Room(100)]),
        t(IOCTL, &[This, N(0x5414), To(&[U16(Any), U16(Any), U16(Any), U16(Any)])]),
        t(IOCTL, &[This, Pick(&[0x540a, 0x540b, 0x5409, 0x5425, 0x5427, 0x5428]), Within(0, 3)]),
        t(IOCTL, &[This, Pick(&[0x540e, 0x5422, 0x540c, 0x540d, 0x5437]), N(0)]),
        t(IOCTL, &[This, N(0x5410), To(&[U32(Pid)])]),
        t(IOCTL, &[This, N(0x5420), To(&[U32(Pick(&[0, 1]))])]),
        t(IOCTL, &[This, N(0x5423), To(&[U32(Within(0, 29))])]),
        t(IOCTL, &[This, N(0x5412), Data(1)]),
        t(WRITE, &[This, Text(&["hello\n", "\x03", "\x04", "a\x7f\x15\x17b\x16\x12", "\x1b[2J\t\r\n", "\x13\x11", "\x1c", "\x1a"]), Within(1, 8)]),
        t(READ, &[This, Room(200), Len]),
        t(POLL, &[Array(&[U32(This), U16(N(5)), Zero(2)], 1), N(1), N(0)]),
        t(VHANGUP, &[]),
        t(CLOSE, &[This]),
    ],
};

/// Calls on paths.
pub(crate) const SINGLE: &[T] = &[
    t(STAT, &[Path, Room(144)]),
    t(LSTAT, &[Path, Room(144)]),
    t(ACCESS, &[Path, Within(0, 7)]),
    t(STATFS, &[OneOf(&[Path, Text(KERNEL_FILES)]), Room(120)]),
    t(STATX, &[AT, Path, AT_FLAGS, N(0xfff), Room(256)]),
    t(MKDIR, &[Path, MODE]),
    t(RMDIR, &[Path]),
    t(RENAME, &[Path, Path]),
    t(RENAMEAT2, &[AT, Path, AT, Path, Bits(&[1, 2, 4])]),
    t(LINK, &[Path, Path]),
    t(SYMLINK, &[Path, Path]),
    t(UNLINK, &[Path]),
    t(READLINK, &[Path, Room(200), Len]),
    t(CHMOD, &[Path, MODE]),
    t(CHOWN, &[Path, User, User]),
    t(LCHOWN, &[Path, OneOf(&[User, N(0)]), User]),
    t(TRUNCATE, &[Path, Pick(&[0, 100, 100_000])]),
    t(UTIME, &[Path, OneOf(&[N(0), To(&[U64(N(1)), U64(N(2))])])]),
    t(UTIMES, &[Path, To(&[U64(N(1)), U64(N(2)), U64(N(1)), U64(N(2))])]),
    t(MKNOD, &[Path, Pick(&[0o10644, 0o140644, 0o20666, 0o100644]), Pick(&[0, 0x103])]),
    t(CHDIR, &[Text(&["dir0", ".", "..", "none", "/tmp", "/proc/self/cwd"])]),
    t(GETCWD, &[Room(200), Len]),
    t(UMASK, &[Pick(&[0, 0o22, 0o77])]),
    t(SETXATTR, &[Path, NAMES, VALUE, Len, Pick(&[0, 1, 2])]),
    t(LSETXATTR, &[Path, NAMES, VALUE, Len, Pick(&[0, 1, 2])]),
    t(GETXATTR, &[Path, NAMES, Room(200), Len]),
    t(LGETXATTR, &[Path, NAMES, Room(200), Len]),
    t(LISTXATTR, &[Path, Room(200), Len]),
    t(LLISTXATTR, &[Path, Room(200), Len]),
    t(REMOVEXATTR, &[Path, NAMES]),
    t(LREMOVEXATTR, &[Path, NAMES]),
    t(CLOSE, &[Within(3, 40)]),
    t(CLOSE_RANGE, &[Within(20, 40), Within(30, 60), Bits(&[2, 4])]),
    t(DUP2, &[Fd, Within(10, 40)]).gives(Kind::File),
    t(DUP3, &[Fd, Within(10, 40), Pick(&[0, 0o2000000])]).gives(Kind::File),
    t(SYNC, &[]),
    t(USTAT, &[Pick(&[1, 5, 0x15]), Room(40)]),
    t(SYSFS, &[Within(1, 3), Text(&["tmpfs", "proc", "none"]), Room(40)]),
    t(LOOKUP_DCOOKIE, &[Any, Room(100), Len]),
    t(PREADV, &[Fd, Array(EMPTY, 3), Count, N(0), N(0)]),
    t(PWRITEV, &[Fd, Array(FULL, 3), Count, N(0), N(0)]),
    t(EXECVE, &[Text(PROGRAMS), To(&[U64(Text(&["true", "a"])), Zero(8)]), To(&[U64(Text(&["A=b"])), Zero(8)])]),
    t(EXECVEAT, &[AT, Text(PROGRAMS), To(&[U64(Text(&["true"])), Zero(8)]), N(0), AT_FLAGS]),
    t(USELIB, &[Path]),
    t(ACCT, &[OneOf(&[N(0), Path])]),
    t(CHROOT, &[Path]),
    t(SELECT, &[Within(0, 64), Room(16), Room(16), Room(16), To(SHORT_US)]),
];

const FIFO: A = Text(&["fifo0"]);
pub(crate) const SEQUENCES: &[Sequence] = &[
    // A named pipe, both ends.
    &[
        t(MKNOD, &[FIFO, N(0o10644), N(0)]),
        t(OPEN, &[FIFO, N(0o4002)]).gives(Kind::PipeOut),
        t(OPEN, &[FIFO, N(0o4000)]).gives(Kind::PipeIn),
        t(WRITE, &[Step(1), Data(600), Len]),
        t(READ, &[Step(2), Room(100), Len]),
        t(FCNTL, &[Step(2), N(1031), Pick(&[4096, 65536])]),
        t(CLOSE, &[Step(1)]),
        t(READ, &[Step(2), Room(4096), Len]),
    ],
    // Sealed memory, mapped.
    &[
        t(MEMFD_CREATE, &[Text(&["sealed"]), Pick(&[2, 3])]).gives(Kind::File),
        t(FTRUNCATE, &[Step(0), N(65536)]),
        t(MMAP, &[Arena, N(65536), N(3), N(0x11), Step(0), N(0)]).gives(Kind::Mapping),
        t(FCNTL, &[Step(0), N(1033), Pick(&[8, 16, 7])]),
        t(WRITE, &[Step(0), Data(100), Len]),
        t(FALLOCATE, &[Step(0), N(3), N(0), N(8192)]),
        t(MSYNC, &[Step(2), N(65536), Pick(&[1, 4, 2, 6])]),
        t(MUNMAP, &[Step(2), N(65536)]),
    ],
    // A lease that is broken, and a lock that is waited for.
    &[
        t(OPEN, &[Text(&["file0"]), N(0o102), N(0o644)]).gives(Kind::File),
        t(FCNTL, &[Step(0), N(1024), Pick(&[0, 1])]),
        t(OPEN, &[Text(&["file0"]), Pick(&[0o4001, 0o4000])]).gives(Kind::File),
        t(TRUNCATE, &[Text(&["file0"]), N(10)]),
        t(FCNTL, &[Step(0), N(1024), N(2)]),
        t(FCNTL, &[Step(0), N(37), To(&[U16(N(1)), Zero(6), U64(N(0)), U64(N(100)), Zero(8)])]),
        t(FCNTL, &[Step(2), N(38), To(&[U16(N(1)), Zero(6), U64(N(50)), U64(N(100)), Zero(8)])]),
        t(FLOCK, &[Step(0), N(2)]),
        t(FLOCK, &[Step(2), N(2)]),
    ],
    // A program of one's own.
    &[
        t(OPEN, &[Text(&["script"]), N(0o1101), N(0o755)]).gives(Kind::File),
        t(WRITE, &[Step(0), Text(&["#!/bin/true\n", "#!/proc/self/exe x\n", "\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0"]), Pick(&[12, 19, 24])]),
        t(CLOSE, &[Step(0)]),
        t(CHMOD, &[Text(&["script"]), N(0o755)]),
        t(EXECVE, &[Text(&["script"]), To(&[U64(Text(&["a"])), Zero(8)]), To(&[Zero(8)])]),
    ],
    // Both sides of a pseudo-terminal, as a session's.
    &[
        t(OPEN, &[Text(&["/dev/ptmx"]), N(0o402)]).gives(Kind::Terminal),
        t(IOCTL, &[Step(0), N(0x4004_5431), To(&[U32(N(0))])]),
        t(IOCTL, &[Step(0), N(0x5441), N(0o4002)]).gives(Kind::Terminal),
        t(SETSID, &[]),
        t(IOCTL, &[Step(2), N(0x540e), N(0)]),
        t(WRITE, &[Step(0), Text(&["hello\n\x04", "a\x15b\n", "\x1a\x03"]), Within(2, 7)]),
        t(READ, &[Step(2), Room(100), Len]),
        t(WRITE, &[Step(2), Data(100), Len]),
        t(READ, &[Step(0), Room(200), Len]),
        t(OPEN, &[Text(&["/dev/tty"]), N(2)]).gives(Kind::Terminal),
        t(CLOSE, &[Step(0)]),
    ],
    // A folder's life.
    &[
        t(MKDIR, &[Text(&["dir0"]), N(0o755)]),
        t(OPEN, &[Text(&["dir0/file0"]), N(0o102), N(0o644)]).gives(Kind::File),
        t(LINK, &[Text(&["dir0/file0"]), Text(&["dir0/file1"])]),
        t(SYMLINK, &[Text(&["file0"]), Text(&["dir0/link"])]),
        t(OPEN, &[Text(&["dir0"]), N(0o200000)]).gives(Kind::Folder),
        t(GETDENTS64, &[Step(4), Room(2048), Len]),
        t(RENAME, &[Text(&["dir0/file1"]), Text(&["dir0/file0", "file0", "dir0/x"])]),
        t(RENAMEAT2, &[Step(4), Text(&["file0"]), Step(4), Text(&["link"]), Pick(&[1, 2])]),
        t(UNLINK, &[Text(&["dir0/file0"])]),
        t(RMDIR, &[Text(&["dir0"])]),
    ],
];

/// Asynchronous reads and writes of the old kind.
pub(crate) const AIO: Group = Group {
    makers: &[t(IO_SETUP, &[Pick(&[1, 8, 100]), Room(8)]).leaves(Gives::Word(1, Kind::Aio))],
    uses: &[
        t(IO_SUBMIT, &[Of(Kind::Aio), N(1), To(&[U64(To(&[U64(Any), Zero(8), U16(Pick(&[0, 1, 2, 3, 5, 7, 8])), U16(Pick(&[0, 1, 0x4001])), U32(Fd), U64(Data(500)), U64(Len), U64(N(0)), Zero(8), U32(Pick(&[0, 0, 1])), U32(Of(Kind::Event))]))])]),
        t(IO_SUBMIT, &[Of(Kind::Aio), N(1), To(&[U64(To(&[U64(Any), Zero(8), U16(N(5)), Zero(2), U32(Fd), U64(Pick(&[1, 4, 5])), Zero(32)]))])]),
        t(IO_SUBMIT, &[Of(Kind::Aio), N(1), To(&[U64(To(&[U64(Any), Zero(8), U16(Pick(&[7, 8])), Zero(2), U32(Fd), U64(Array(FULL, 3)), U64(Count), U64(N(0)), Zero(16)]))])]),
        t(IO_GETEVENTS, &[Of(Kind::Aio), Pick(&[0, 1]), N(4), Room(128), To(super::shape::SHORT)]),
        t(IO_PGETEVENTS, &[Of(Kind::Aio), Pick(&[0, 1]), N(4), Room(128), To(super::shape::SHORT), To(&[U64(To(super::shape::SIGNALS)), U64(N(8))])]),
        t(IO_CANCEL, &[Of(Kind::Aio), Room(64), Room(32)]),
        t(IO_DESTROY, &[Of(Kind::Aio)]),
    ],
};
