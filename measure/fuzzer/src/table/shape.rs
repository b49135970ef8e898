//! Structures that several tables use. Their layouts are in `linux/` and `asm-generic/` headers.

use crate::term::A::*;
use crate::term::F::*;
use crate::term::{A, F};

/// Ports that somebody may listen at.
pub(crate) const PORT: F = B16(Pick(&[0, 7, 53, 80, 4000, 4001, 4002, 5353, 6081, 4789]));

/// `struct sockaddr_in`: 127.0.0.1, any, a neighbour, multicast, broadcast.
pub(crate) const INET: &[F] = &[
    U16(N(2)),
    PORT,
    B32(Pick(&[0x7f00_0001, 0x7f00_0001, 0, 0x7f00_0002, 0x0a00_0002, 0xe000_0001, 0xefff_0001, 0xffff_ffff])),
    Zero(8),
];
/// `struct sockaddr_in6`: ::1, ::, mapped, multicast, link-local.
pub(crate) const INET6: &[F] = &[
    U16(N(10)),
    PORT,
    U32(Pick(&[0, 1])),
    One(&[
        &[Bytes(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])],
        &[Zero(16)],
        &[Bytes(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1])],
        &[Bytes(&[0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])],
        &[Bytes(&[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])],
    ]),
    U32(Pick(&[0, 1])),
];
/// `struct sockaddr_un`: by path, abstract, unnamed.
pub(crate) const UNIX: &[F] = &[
    U16(N(1)),
    One(&[
        &[Name(&["s0", "s1", "file0", "none/s"], 20)],
        &[Zero(1), Name(&["a", "b", "c"], 3)],
        &[Zero(1)],
        &[],
    ]),
];
/// `struct sockaddr_nl`.
pub(crate) const NETLINK: &[F] = &[U16(N(16)), Zero(2), U32(OneOf(&[N(0), N(0), Pid])), U32(Pick(&[0, 1, 0xffff_ffff]))];
/// `struct sockaddr_ll`.
pub(crate) const LINK: &[F] = &[
    U16(N(17)),
    B16(Pick(&[3, 0x800, 0x86dd, 0x806, 0x88b5])),
    U32(Pick(&[0, 1, 2, 3])),
    U16(N(1)),
    U8(Pick(&[0, 1, 2, 3, 4])),
    U8(N(6)),
    Bytes(&[0xff; 8]),
];
/// `struct sockaddr_vm`: port, and a number of whom.
pub(crate) const VSOCK: &[F] = &[U16(N(40)), Zero(2), U32(Pick(&[0xffff_ffff, 80])), U32(Pick(&[0, 1, 2, 0xffff_ffff])), Zero(4)];
/// `struct sockaddr_alg`.
pub(crate) const ALGORITHM: &[F] = &[
    U16(N(38)),
    One(&[
        &[Name(&["hash"], 14), Zero(8), Name(&["sha256", "sha1", "md5", "crc32c", "hmac(sha256)"], 64)],
        &[Name(&["skcipher"], 14), Zero(8), Name(&["cbc(aes)", "ecb(aes)", "ctr(aes)", "xts(aes)"], 64)],
        &[Name(&["aead"], 14), Zero(8), Name(&["gcm(aes)", "ccm(aes)"], 64)],
        &[Name(&["rng"], 14), Zero(8), Name(&["stdrng", "jitterentropy_rng"], 64)],
    ]),
];
/// Of any family, mostly nonsense.
pub(crate) const STRANGE: &[F] = &[U16(Within(0, 46)), Random(24)];
pub(crate) const ADDRESSES: &[&[F]] = &[INET, INET, INET6, INET6, UNIX, NETLINK, LINK, VSOCK, ALGORITHM, STRANGE];
/// A pointer to an address of any family.
pub(crate) const ADDRESS: A = ToOne(ADDRESSES);

/// `struct timespec`: at most some milliseconds.
pub(crate) const SHORT: &[F] = &[U64(Pick(&[0, 0, 0, 0, 0, u64::MAX])), U64(Pick(&[0, 1, 1000, 100_000, 2_000_000, 1_000_000_000]))];
/// `struct itimerspec`.
pub(crate) const INTERVAL: &[F] = &[U64(N(0)), U64(Pick(&[0, 1_000_000, 3_000_000])), U64(N(0)), U64(Pick(&[0, 1, 500_000]))];
/// `struct itimerval`, and `timeval` as its half.
pub(crate) const INTERVAL_US: &[F] = &[U64(N(0)), U64(Pick(&[0, 5000])), U64(N(0)), U64(Pick(&[0, 1, 3000]))];
pub(crate) const SHORT_US: &[F] = &[U64(N(0)), U64(Pick(&[0, 1, 2000, 1_000_000]))];
/// A date as `struct timespec` twice, with UTIME_NOW and UTIME_OMIT.
pub(crate) const DATES: &[F] = &[
    U64(Pick(&[0, 1_000_000_000])),
    U64(Pick(&[0, 0x3fff_ffff, 0x3fff_fffe])),
    U64(Pick(&[0, 1_000_000_000])),
    U64(Pick(&[0, 0x3fff_ffff, 0x3fff_fffe])),
];

/// `struct iovec` of something to send, and of room.
pub(crate) const FULL: &[F] = &[U64(Data(600)), U64(Len)];
pub(crate) const EMPTY: &[F] = &[U64(Room(600)), U64(Len)];

/// Ancillary messages: descriptors, credentials, packet information, TTL, timestamps, algorithm.
pub(crate) const CONTROLS: &[F] = &[Times(
    &[One(&[
        &[Control(1, 1, &[U32(Fd), U32(Fd)])],
        &[Control(1, 1, &[U32(Fd)])],
        &[Control(1, 2, &[U32(Pid), U32(User), U32(User)])],
        &[Control(0, 8, &[U32(Pick(&[0, 1])), Zero(8)])],
        &[Control(0, 1, &[U32(Pick(&[0, 8, 255]))])],
        &[Control(0, 2, &[U32(Pick(&[1, 64]))])],
        &[Control(0, 7, &[Bytes(&[7, 11, 4]), Zero(9)])],
        &[Control(41, 50, &[Zero(16), U32(Pick(&[0, 1]))])],
        &[Control(41, 52, &[U32(Pick(&[1, 64]))])],
        &[Control(41, 54, &[Bytes(&[59, 0, 5, 2, 0, 0, 1, 0])])],
        &[Control(41, 59, &[Bytes(&[59, 0, 1, 4, 0, 0, 0, 0])])],
        &[Control(17, 103, &[U16(Pick(&[100, 1200]))])],
        &[Control(1, 37, &[U32(N(3))])],
        &[Control(1, 61, &[U64(Any)])],
        &[Control(279, 3, &[U32(Pick(&[0, 1]))])],
        &[Control(279, 2, &[U32(N(16)), Random(16)])],
        &[Control(279, 4, &[U32(N(8))])],
    ])],
    3,
)];
const NO_CONTROLS: &[F] = &[U64(N(0)), U64(N(0))];
const SOME_CONTROLS: &[F] = &[U64(To(CONTROLS)), U64(Len)];
/// `struct msghdr` to be sent, with and without an address.
pub(crate) const MESSAGE: &[F] = &[
    One(&[&[U64(ADDRESS), U32(Len), Zero(4)], &[Zero(16)]]),
    U64(Array(FULL, 4)),
    U64(Count),
    One(&[NO_CONTROLS, SOME_CONTROLS]),
    Zero(8),
];
/// `struct msghdr` to be received into.
pub(crate) const MESSAGE_ROOM: &[F] =
    &[U64(Room(128)), U32(Len), Zero(4), U64(Array(EMPTY, 4)), U64(Count), U64(Room(256)), U64(Len), Zero(8)];
/// `struct mmsghdr`.
pub(crate) const MESSAGES: &[F] = &[One(&[MESSAGE]), Zero(8)];
pub(crate) const MESSAGE_ROOMS: &[F] = &[One(&[MESSAGE_ROOM]), Zero(8)];

/// `struct pollfd`.
pub(crate) const POLL: &[F] = &[U32(Fd), U16(Bits(&[1, 2, 4, 8, 0x10, 0x40, 0x100, 0x2000])), Zero(2)];
/// A set of signals without those that the harness lives by.
pub(crate) const SIGNALS: &[F] = &[U64(Pick(&[0, 0x200, 0x800, 0xa00, 0x10000, 0x8_0000_0000]))];
/// `struct sigevent`: by a signal or not at all.
pub(crate) const EVENT: &[F] = &[U64(Any), U32(Pick(&[10, 12, 34])), U32(Pick(&[0, 0, 1, 4])), U32(Pid), Zero(44)];
/// `struct sock_fprog` and programs of the classic packet filter: accept, by length, by a load, nonsense.
pub(crate) const FILTER: &[F] = &[U16(N(4)), Zero(6), U64(To(&[
    One(&[
        &[Bytes(&[0x30, 0, 0, 0, 0, 0, 0, 0]), Bytes(&[0x54, 0, 0, 0, 15, 0, 0, 0])],
        &[Bytes(&[0x80, 0, 0, 0, 0, 0, 0, 0]), Bytes(&[0x04, 0, 0, 0, 1, 0, 0, 0])],
        &[Bytes(&[0x20, 0, 0, 0, 0, 0xf0, 0xff, 0xff]), Bytes(&[0x15, 0, 0, 1, 4, 0, 0, 0])],
        &[Random(16)],
    ]),
    Bytes(&[0x06, 0, 0, 0, 0xff, 0xff, 0, 0]),
    Bytes(&[0x06, 0, 0, 0, 0, 0, 0, 0]),
]))];
