//! Sockets: of all families, with their options, ancillary messages and requests.

use super::netlink;
use super::shape::{
    ADDRESS, ALGORITHM, EMPTY, FILTER, FULL, INET, INET6, LINK, MESSAGE, MESSAGE_ROOM, MESSAGE_ROOMS, MESSAGES, NETLINK, SHORT,
    UNIX, VSOCK,
};
use crate::numbers::nr::*;
use crate::term::A::*;
use crate::term::F::*;
use crate::term::{A, Gives, Group, Kind, Sequence, T, t};

const SEND_FLAGS: A = Bits(&[0x40, 0x40, 1, 4, 0x10, 0x80, 0x200, 0x800, 0x4000, 0x8000, 0x400_0000, 0x2000_0000]);
const RECEIVE_FLAGS: A = Bits(&[0x40, 0x40, 1, 2, 0x20, 0x100, 0x2000, 0x1_0000, 0x4000_0000]);
const TYPE: A = Pick(&[1, 2, 3, 5, 0x801, 0x802, 0x80803]);
const NUMBER: A = To(&[U32(Pick(&[0, 1, 1, 2, 7, 64, 1000, 65535, 0xffff_ffff]))]);
const INTERFACE: A = Text(&["lo", "eth0", "tap0", "v0", ""]);
/// `struct ip_mreqn`, `ip_mreq_source`, `group_req`.
const MEMBERSHIP: A = ToOne(&[
    &[B32(Pick(&[0xe000_0005, 0xefff_0001])), B32(Pick(&[0, 0x7f00_0001])), U32(Pick(&[0, 1]))],
    &[B32(N(0xefff_0001)), B32(N(0x7f00_0001)), B32(N(0x7f00_0002))],
    &[U32(N(1)), Zero(4), U16(N(2)), Zero(2), B32(N(0xefff_0001)), Zero(120)],
    &[U32(N(1)), Zero(4), U16(N(10)), Zero(6), Bytes(&[0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]), Zero(104)],
    &[Bytes(&[0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]), U32(Pick(&[0, 1]))],
]);
/// `struct ifreq`: a name, and flags, an index, an address or a pointer.
const REQUEST: A = To(&[Name(&["lo", "eth0", "tap0", "v0", "nope"], 16), One(&[
    &[U16(Bits(&[1, 2, 4, 8, 0x10, 0x40, 0x80, 0x100])), Zero(22)],
    &[U32(Pick(&[0, 1, 68, 1500, 65536])), Zero(20)],
    &[U16(N(2)), Zero(2), B32(Pick(&[0x7f00_0001, 0x0a00_0001, 0xff00_0000])), Zero(16)],
    &[U64(To(&[U32(Pick(&[1, 3, 4, 5, 0xa, 0xe, 0x10, 0x12, 0x14, 0x15, 0x1d, 0x20, 0x23, 0x25, 0x27, 0x29, 0x37, 0x38, 0x3a, 0x41, 0x45, 0x46, 0x48, 0x4b, 0x4c])), Zero(250)])), Zero(16)],
    &[Random(24)],
])]);
const ETHERNET_AND_MORE: A = Pick(&[
    0x8910, 0x8911, 0x8912, 0x8913, 0x8914, 0x8915, 0x8916, 0x8917, 0x8918, 0x8919, 0x891a, 0x891b, 0x891c, 0x891d, 0x891e, 0x891f,
    0x8920, 0x8921, 0x8922, 0x8923, 0x8924, 0x8926, 0x8927, 0x8929, 0x8931, 0x8932, 0x8933, 0x8937, 0x8938, 0x8942, 0x8943, 0x8946,
    0x8947, 0x8948, 0x8949, 0x894a, 0x8953, 0x8954, 0x8955, 0x8960, 0x8961, 0x8962, 0x8970, 0x8971, 0x8980, 0x8981, 0x8982, 0x8983,
    0x8990, 0x8991, 0x89a0, 0x89a1, 0x89a2, 0x89a3, 0x89b0, 0x89b1, 0x89e0, 0x89f0, 0x89f1, 0x89f2, 0x89f3, 0x8b01, 0x8b1b,
]);
/// `struct rtentry`.
const ROUTE: A = To(&[
    Zero(8), U16(N(2)), Zero(2), B32(Pick(&[0x0a00_0000, 0])), Zero(8), U16(N(2)), Zero(2), B32(Pick(&[0, 0x7f00_0001])), Zero(8), U16(N(2)),
    Zero(2), B32(Pick(&[0xff00_0000, 0])), Zero(8), U16(Pick(&[1, 3, 5])), Zero(38), U64(INTERFACE), Zero(24),
]);
/// `struct arpreq`.
const ARP: A = To(&[U16(N(2)), Zero(2), B32(Pick(&[0x7f00_0001, 0x0a00_0002])), Zero(8), U16(N(1)), Random(14), U32(Bits(&[2, 4, 8])), Zero(16), Name(&["lo", "v0"], 16)]);

/// What every socket understands.
macro_rules! socket_uses {
    ($($more:expr,)*) => {
        &[
            t(BIND, &[This, ADDRESS, Len]),
            t(CONNECT, &[This, ADDRESS, Len]),
            t(LISTEN, &[This, Within(0, 5)]),
            t(ACCEPT4, &[This, Room(128), To(&[U32(N(128))]), Pick(&[0, 0x800, 0x80000])]).gives(Kind::Stream),
            t(SENDTO, &[This, Data(1500), Len, SEND_FLAGS, N(0), N(0)]),
            t(SENDTO, &[This, Data(1500), Len, SEND_FLAGS, ADDRESS, Len]),
            t(SENDMSG, &[This, To(MESSAGE), SEND_FLAGS]),
            t(SENDMMSG, &[This, Array(MESSAGES, 3), Count, SEND_FLAGS]),
            t(RECVFROM, &[This, Room(2000), Len, RECEIVE_FLAGS, Room(128), To(&[U32(N(128))])]),
            t(RECVMSG, &[This, To(MESSAGE_ROOM), RECEIVE_FLAGS]),
            t(RECVMMSG, &[This, Array(MESSAGE_ROOMS, 3), Count, RECEIVE_FLAGS, To(SHORT)]),
            t(SHUTDOWN, &[This, Within(0, 2)]),
            t(GETSOCKNAME, &[This, Room(128), To(&[U32(N(128))])]),
            t(GETPEERNAME, &[This, Room(128), To(&[U32(N(128))])]),
            t(SETSOCKOPT, &[This, N(1), Within(1, 75), NUMBER, Pick(&[4, 4, 4, 8, 1])]),
            t(GETSOCKOPT, &[This, N(1), Within(1, 75), Room(200), To(&[U32(Pick(&[4, 8, 16, 200]))])]),
            t(SETSOCKOPT, &[This, N(1), Pick(&[13, 20, 21, 66, 67]), To(&[U64(Pick(&[0, 1])), U64(N(3000))]), Pick(&[8, 16])]),
            t(SETSOCKOPT, &[This, N(1), Pick(&[26, 51]), To(FILTER), N(16)]),
            t(SETSOCKOPT, &[This, N(1), N(25), INTERFACE, Within(0, 5)]),
            t(IOCTL, &[This, ETHERNET_AND_MORE, REQUEST]),
            t(IOCTL, &[This, Pick(&[0x890b, 0x890c]), ROUTE]),
            t(IOCTL, &[This, Pick(&[0x5411, 0x541b, 0x8905, 0x8906, 0x8907, 0x894b]), Room(16)]),
            t(WRITEV, &[This, Array(FULL, 4), Count]),
            t(READV, &[This, Array(EMPTY, 3), Count]),
            $($more,)*
        ]
    };
}

const TCP_INFO_AND_MORE: A = Within(1, 40);
pub(crate) const STREAM: Group = Group {
    makers: &[
        t(SOCKET, &[Pick(&[2, 10]), Pick(&[1, 0x801]), Pick(&[0, 6])]).gives(Kind::Stream),
        t(SOCKET, &[Pick(&[2, 10]), Pick(&[1, 5, 0x801]), Pick(&[132, 262, 33])]).gives(Kind::Stream),
    ],
    uses: socket_uses![
        t(BIND, &[This, To(INET), Len]),
        t(CONNECT, &[This, ToOne(&[INET, INET6]), Len]),
        t(LISTEN, &[This, N(5)]),
        t(SETSOCKOPT, &[This, N(6), TCP_INFO_AND_MORE, NUMBER, N(4)]),
        t(GETSOCKOPT, &[This, N(6), TCP_INFO_AND_MORE, Room(256), To(&[U32(Pick(&[4, 104, 256]))])]),
        t(SETSOCKOPT, &[This, N(6), Pick(&[13, 31]), Text(&["reno", "cubic", "bbr", "tls", "mptcp", "espintcp"]), Within(3, 5)]),
        t(SETSOCKOPT, &[This, N(6), Pick(&[14, 38]), To(&[U16(N(2)), Zero(2), B32(N(0x7f00_0001)), Zero(120), Zero(2), U16(N(8)), Zero(4), Random(80)]), N(216)]),
        t(SETSOCKOPT, &[This, N(6), N(22), To(&[U32(Pick(&[2, 3, 4])), U32(N(10))]), N(8)]),
        t(SETSOCKOPT, &[This, N(6), N(33), Data(16), N(16)]),
        t(GETSOCKOPT, &[This, N(6), N(35), To(&[U64(Arena), U32(N(4096)), Zero(52)]), To(&[U32(N(64))])]),
        t(SETSOCKOPT, &[This, N(282), Pick(&[1, 2]), To(&[Bytes(&[3, 3, 51, 0]), Random(36)]), N(40)]),
        t(SETSOCKOPT, &[This, Pick(&[0, 41]), Within(1, 80), NUMBER, Pick(&[1, 4])]),
        t(GETSOCKOPT, &[This, Pick(&[0, 41, 284, 132]), Within(1, 80), Room(200), To(&[U32(Pick(&[4, 40, 200]))])]),
        t(CONNECT, &[This, To(&[U16(N(0)), Zero(14)]), N(16)]),
        t(SENDTO, &[This, Data(1000), Len, N(0x2000_0040), To(INET), Len]),
        t(SENDFILE, &[This, Of(Kind::File), N(0), N(3000)]),
        t(MMAP, &[Arena, N(4096), N(1), N(0x11), This, N(0)]),
    ],
};
pub(crate) const DATAGRAM: Group = Group {
    makers: &[
        t(SOCKET, &[Pick(&[2, 10]), Pick(&[2, 0x802]), Pick(&[0, 17, 136, 1, 58])]).gives(Kind::Datagram),
        t(SOCKET, &[Pick(&[2, 10]), N(2), N(0)]).gives(Kind::Datagram),
    ],
    uses: socket_uses![
        t(BIND, &[This, ToOne(&[INET, INET6]), Len]),
        t(CONNECT, &[This, ToOne(&[INET, INET6]), Len]),
        t(SENDTO, &[This, Data(1500), Len, SEND_FLAGS, ToOne(&[INET, INET6]), Len]),
        t(SENDTO, &[This, Room(9000), Len, SEND_FLAGS, To(INET), Len]),
        t(SETSOCKOPT, &[This, Pick(&[0, 41]), Within(1, 80), NUMBER, Pick(&[1, 4])]),
        t(GETSOCKOPT, &[This, Pick(&[0, 41]), Within(1, 80), Room(200), To(&[U32(Pick(&[4, 40, 200]))])]),
        t(SETSOCKOPT, &[This, N(0), Pick(&[32, 33, 35, 36, 37, 38, 39, 40, 42, 44, 45, 46, 47]), MEMBERSHIP, Len]),
        t(SETSOCKOPT, &[This, N(41), Pick(&[17, 20, 21, 27, 28, 42, 44, 45, 46, 47]), MEMBERSHIP, Len]),
        t(SETSOCKOPT, &[This, N(0), N(4), ToOne(&[&[Bytes(&[7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0])], &[Bytes(&[68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0])],
            &[Bytes(&[131, 7, 4, 127, 0, 0, 1, 0])], &[Bytes(&[148, 4, 0, 0])], &[Bytes(&[134, 6, 0, 0, 0, 1, 0, 0])]]), Len]),
        t(SETSOCKOPT, &[This, N(41), Pick(&[54, 55, 57, 59]), ToOne(&[&[Bytes(&[59, 0, 1, 4, 0, 0, 0, 0])], &[Bytes(&[59, 2, 0, 1, 0, 0, 0, 0]), Zero(16)],
            &[Bytes(&[59, 2, 4, 0, 0, 0, 0, 0]), Zero(16)], &[]]), Len]),
        t(SETSOCKOPT, &[This, N(17), Pick(&[1, 100, 101, 102, 103, 104]), NUMBER, N(4)]),
        t(GETSOCKOPT, &[This, N(17), Pick(&[1, 100, 101, 102, 103, 104]), Room(4), To(&[U32(N(4))])]),
        t(SETSOCKOPT, &[This, N(0), Pick(&[16, 17, 34]), To(&[Zero(24), Bytes(&[1, 0, 0, 0, 0, 0, 0, 0]), Random(120), Zero(16)]), Pick(&[168, 184])]),
        t(SETSOCKOPT, &[This, N(0), Pick(&[64, 65, 80, 81, 96]), netlink::XTABLES, Len]),
        t(GETSOCKOPT, &[This, Pick(&[0, 41]), Pick(&[64, 65, 66, 67, 80, 83, 96, 97, 128]), To(&[Name(&["filter", "nat", "mangle", "raw"], 32), Zero(128)]), To(&[U32(Pick(&[84, 40, 160]))])]),
        t(IOCTL, &[This, Pick(&[0x8953, 0x8954, 0x8955]), ARP]),
        t(SENDTO, &[This, To(&[Bytes(&[8, 0, 0, 0, 0, 1, 0, 1]), Random(48)]), Len, N(0x40), To(INET), N(16)]),
        t(SENDTO, &[This, To(&[Bytes(&[128, 0, 0, 0, 0, 1, 0, 1]), Random(48)]), Len, N(0x40), To(INET6), N(28)]),
        t(CONNECT, &[This, To(&[U16(N(0)), Zero(14)]), N(16)]),
    ],
};
pub(crate) const LOCAL: Group = Group {
    makers: &[
        t(SOCKET, &[N(1), TYPE, N(0)]).gives(Kind::Unix),
        t(SOCKETPAIR, &[N(1), TYPE, N(0), Room(8)]).leaves(Gives::Pair(3, Kind::Unix, Kind::Unix)),
    ],
    uses: socket_uses![
        t(BIND, &[This, To(UNIX), Len]),
        t(CONNECT, &[This, To(UNIX), Len]),
        t(SENDTO, &[Of(Kind::Unix), Data(1500), Len, SEND_FLAGS, N(0), N(0)]),
        t(SENDMSG, &[Of(Kind::Unix), To(MESSAGE), SEND_FLAGS]),
        t(ACCEPT, &[This, N(0), N(0)]).gives(Kind::Unix),
        t(SENDTO, &[This, Data(500), Len, N(0x41), To(UNIX), Len]),
        t(IOCTL, &[This, N(0x89e0), N(0)]).gives(Kind::File),
        t(GETSOCKOPT, &[This, N(1), Pick(&[17, 31, 59, 73, 77]), Room(200), To(&[U32(Pick(&[12, 200]))])]),
        t(SPLICE, &[This, N(0), Of(Kind::PipeOut), N(0), N(1000), N(2)]),
    ],
};
pub(crate) const RAW: Group = Group {
    makers: &[
        t(SOCKET, &[Pick(&[2, 10]), N(3), Pick(&[0, 1, 2, 4, 6, 17, 41, 47, 58, 255])]).gives(Kind::Raw),
        t(SOCKET, &[N(17), Pick(&[2, 3]), Pick(&[0, 0x300, 0x8, 0xdd86])]).gives(Kind::Packet),
    ],
    uses: socket_uses![
        t(BIND, &[This, To(LINK), N(20)]),
        t(SENDTO, &[This, Frame, Len, N(0x40), To(LINK), N(20)]),
        t(SENDTO, &[This, Frame, Len, N(0x40), ToOne(&[INET, INET6]), Len]),
        t(SENDTO, &[This, Frame, Len, N(0x40), N(0), N(0)]),
        t(SETSOCKOPT, &[This, N(263), Within(1, 24), NUMBER, N(4)]),
        t(GETSOCKOPT, &[This, N(263), Within(1, 24), Room(64), To(&[U32(Pick(&[4, 24]))])]),
        t(SETSOCKOPT, &[This, N(263), N(10), To(&[U32(Pick(&[0, 1, 2]))]), N(4)]),
        t(SETSOCKOPT, &[This, N(263), Pick(&[5, 13]), ToOne(&[&[U32(N(4096)), U32(N(2)), U32(N(2048)), U32(N(4))], &[U32(N(4096)), U32(N(2)), U32(N(2048)), U32(N(4)), U32(N(10)), Zero(8)]]), Len]),
        t(SETSOCKOPT, &[This, N(263), N(18), To(&[U32(Any), U32(Pick(&[0, 1, 2, 3, 4, 5, 0x1000])), U32(N(4))]), Pick(&[4, 8])]),
        t(SETSOCKOPT, &[This, N(263), Pick(&[1, 2]), To(&[U32(N(1)), U16(Within(0, 3)), U16(N(6)), Random(8)]), N(16)]),
        t(MMAP, &[Arena, N(8192), N(3), N(0x11), This, N(0)]).gives(Kind::Mapping),
        t(SETSOCKOPT, &[This, Pick(&[0, 41, 255, 58]), Within(1, 80), NUMBER, N(4)]),
        t(SETSOCKOPT, &[This, N(0), Within(200, 212), Data(64), Len]),
    ],
};
/// Crypto by sockets.
pub(crate) const CRYPTO: Group = Group {
    makers: &[t(SOCKET, &[N(38), N(5), N(0)]).gives(Kind::Algorithm)],
    uses: &[
        t(BIND, &[This, To(ALGORITHM), N(88)]),
        t(SETSOCKOPT, &[This, N(279), Pick(&[1, 5, 6]), Data(32), Pick(&[16, 32, 4])]),
        t(ACCEPT, &[This, N(0), N(0)]).gives(Kind::Algorithm),
        t(SENDMSG, &[Of(Kind::Algorithm), To(MESSAGE), SEND_FLAGS]),
        t(RECVFROM, &[Of(Kind::Algorithm), Room(500), Len, N(0x40), N(0), N(0)]),
        t(READ, &[Of(Kind::Algorithm), Room(64), Len]),
    ],
};
/// Families that few use.
pub(crate) const ODD: Group = Group {
    makers: &[
        t(SOCKET, &[Within(0, 46), Within(1, 10), Pick(&[0, 0, 0, 1, 2, 3, 6])]).gives(Kind::Odd),
        t(SOCKET, &[Pick(&[40, 44, 30, 29, 24, 15, 21, 31, 43, 28, 9, 4]), TYPE, Pick(&[0, 1, 2, 7])]).gives(Kind::Odd),
    ],
    uses: socket_uses![
        t(BIND, &[This, To(VSOCK), N(16)]),
        t(CONNECT, &[This, To(VSOCK), N(16)]),
        t(SETSOCKOPT, &[This, Pick(&[40, 271, 283, 101, 276]), Within(0, 12), NUMBER, Pick(&[4, 8, 16])]),
        t(GETSOCKOPT, &[This, Pick(&[40, 271, 283, 101, 276]), Within(0, 12), Room(64), To(&[U32(Pick(&[4, 8, 16]))])]),
        t(SETSOCKOPT, &[This, N(283), Within(1, 8), To(&[U64(Arena), U64(N(65536)), U32(N(2048)), Zero(12)]), Pick(&[4, 32])]),
    ],
};
/// A tun device, where one may be made.
pub(crate) const TUN: Group = Group {
    makers: &[t(OPEN, &[Text(&["/dev/net/tun"]), Pick(&[2, 0o4002])]).gives(Kind::Tun)],
    uses: &[
        t(IOCTL, &[This, N(0x4004_54ca), To(&[Name(&["t0", "", "tap0"], 16), U16(Pick(&[1, 2, 0x1001, 0x1002, 0x5002, 0x4002, 0x1012, 0x1022, 0x1102])), Zero(22)])]),
        t(IOCTL, &[This, Pick(&[0x4004_54c8, 0x4004_54c9, 0x4004_54cb, 0x4004_54cc, 0x4004_54ce, 0x4004_54cd, 0x4004_54d0]), Within(0, 31)]),
        t(IOCTL, &[This, Pick(&[0x800454cf, 0x8004_54d2, 0x8004_54d3, 0x4004_54d4, 0x4004_54d8, 0x4004_54dc, 0x4004_54de, 0x8004_54d7, 0x4004_54e2, 0x8004_54e0]), To(&[U32(Pick(&[0, 1, 10, 12, 1000])), Zero(36)])]),
        t(IOCTL, &[This, Pick(&[0x4010_54d5, 0x4010_54d6, 0x4004_54d1]), To(FILTER)]),
        t(IOCTL, &[This, N(0x4004_54d9), To(&[Zero(16), U16(Pick(&[0x200, 0x400])), Zero(22)])]),
        t(IOCTL, &[This, Pick(&[0x8914, 0x8924, 0x8927, 0x8933]), REQUEST]),
        t(WRITE, &[This, Frame, Len]),
        t(WRITEV, &[This, To(&[U64(Frame), U64(Len)]), N(1)]),
        t(READ, &[This, Room(2000), Len]),
        t(POLL, &[Array(&[U32(This), U16(N(5)), Zero(2)], 1), N(1), N(0)]),
    ],
};

pub(crate) const SINGLE: &[T] = &[
    t(SOCKET, &[Within(0, 46), Within(0, 11), Within(0, 20)]).gives(Kind::Odd),
    t(SOCKETPAIR, &[Pick(&[1, 1, 2, 30, 16]), TYPE, N(0), Room(8)]).leaves(Gives::Pair(3, Kind::Unix, Kind::Unix)),
    t(ACCEPT, &[Of(Kind::Stream), N(0), N(0)]).gives(Kind::Stream),
    t(SETSOCKOPT, &[Fd, Any, Any, Data(100), Len]),
    t(GETSOCKOPT, &[Fd, Any, Any, Room(100), To(&[U32(N(100))])]),
    t(SENDTO, &[Of(Kind::Netlink), Data(100), Len, N(0), To(NETLINK), Len]),
];

const LOOPBACK: A = To(&[U16(N(2)), B16(Pick(&[4100, 4101, 4102])), B32(N(0x7f00_0001)), Zero(8)]);
const LOOPBACK6: A = To(&[U16(N(10)), B16(Pick(&[4100, 4101])), Zero(4), Bytes(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), Zero(4)]);
pub(crate) const SEQUENCES: &[Sequence] = &[
    // A connection over the loopback: both ends talk, then one goes.
    &[
        t(SOCKET, &[N(2), N(1), Pick(&[0, 262])]).gives(Kind::Stream),
        t(SETSOCKOPT, &[Step(0), N(1), Pick(&[2, 15]), To(&[U32(N(1))]), N(4)]),
        t(BIND, &[Step(0), LOOPBACK, N(16)]),
        t(LISTEN, &[Step(0), N(5)]),
        t(SOCKET, &[N(2), Pick(&[1, 0x801]), Pick(&[0, 262])]).gives(Kind::Stream),
        t(GETSOCKNAME, &[Step(0), Room(16), To(&[U32(N(16))])]),
        t(CONNECT, &[Step(4), LOOPBACK, N(16)]),
        t(ACCEPT4, &[Step(0), N(0), N(0), N(0x800)]).gives(Kind::Stream),
        t(SENDTO, &[Step(4), Data(1500), Len, N(0x40), N(0), N(0)]),
        t(RECVFROM, &[Step(7), Room(2000), Len, RECEIVE_FLAGS, N(0), N(0)]),
        t(SETSOCKOPT, &[Step(4), N(6), TCP_INFO_AND_MORE, NUMBER, N(4)]),
        t(SETSOCKOPT, &[Step(7), N(6), N(31), Text(&["tls"]), N(4)]),
        t(SETSOCKOPT, &[Step(7), N(282), Pick(&[1, 2]), To(&[Bytes(&[3, 3, 51, 0]), Random(36)]), N(40)]),
        t(SENDFILE, &[Step(7), Of(Kind::File), N(0), N(5000)]),
        t(SENDTO, &[Step(7), Data(1500), Len, Pick(&[0x40, 0x41, 0x8040, 0x400_0040]), N(0), N(0)]),
        t(SPLICE, &[Step(4), N(0), Of(Kind::PipeOut), N(0), N(1000), N(2)]),
        t(GETSOCKOPT, &[Step(4), N(6), Pick(&[11, 26, 9]), Room(256), To(&[U32(N(256))])]),
        t(IOCTL, &[Step(4), Pick(&[0x541b, 0x5411, 0x8905, 0x894b]), Room(8)]),
        t(SETSOCKOPT, &[Step(4), N(1), N(13), To(&[U32(Pick(&[0, 1])), U32(Pick(&[0, 1]))]), N(8)]),
        t(SHUTDOWN, &[Step(7), Within(0, 2)]),
        t(CLOSE, &[Step(4)]),
        t(RECVFROM, &[Step(7), Room(2000), Len, N(0x40), N(0), N(0)]),
        t(SENDTO, &[Step(7), Data(100), Len, N(0x4040), N(0), N(0)]),
        t(CLOSE, &[Step(7)]),
    ],
    // The same by version 6, with a fast open.
    &[
        t(SOCKET, &[N(10), N(1), N(0)]).gives(Kind::Stream),
        t(BIND, &[Step(0), LOOPBACK6, N(28)]),
        t(SETSOCKOPT, &[Step(0), N(6), Pick(&[23, 9]), To(&[U32(N(5))]), N(4)]),
        t(LISTEN, &[Step(0), N(5)]),
        t(SOCKET, &[N(10), N(0x801), N(0)]).gives(Kind::Stream),
        t(SENDTO, &[Step(4), Data(1000), Len, Pick(&[0x2000_0000, 0x2000_0040]), LOOPBACK6, N(28)]),
        t(CONNECT, &[Step(4), LOOPBACK6, N(28)]),
        t(ACCEPT4, &[Step(0), N(0), N(0), N(0x800)]).gives(Kind::Stream),
        t(SENDMSG, &[Step(7), To(MESSAGE), SEND_FLAGS]),
        t(RECVMSG, &[Step(4), To(MESSAGE_ROOM), RECEIVE_FLAGS]),
        t(SETSOCKOPT, &[Step(4), N(41), Within(1, 80), NUMBER, N(4)]),
        t(POLL, &[Array(&[U32(Step(4)), U16(N(5)), Zero(2)], 1), N(1), N(1)]),
        t(SHUTDOWN, &[Step(4), N(1)]),
        t(READ, &[Step(7), Room(2000), Len]),
        t(CLOSE, &[Step(7)]),
    ],
    // Datagrams to itself, with segmentation, corking and an error queue.
    &[
        t(SOCKET, &[N(2), N(2), Pick(&[0, 136])]).gives(Kind::Datagram),
        t(BIND, &[Step(0), LOOPBACK, N(16)]),
        t(SETSOCKOPT, &[Step(0), N(17), Pick(&[1, 103, 104]), To(&[U32(Pick(&[0, 1, 100]))]), N(4)]),
        t(SETSOCKOPT, &[Step(0), N(0), Pick(&[8, 11, 10, 2]), To(&[U32(Pick(&[1, 2]))]), N(4)]),
        t(CONNECT, &[Step(0), LOOPBACK, N(16)]),
        t(SENDTO, &[Step(0), Data(1500), Len, Pick(&[0x40, 0x8040, 0x400_0040]), N(0), N(0)]),
        t(SENDMSG, &[Step(0), To(MESSAGE), N(0x40)]),
        t(SETSOCKOPT, &[Step(0), N(1), Pick(&[37, 60, 42, 29]), To(&[U32(Pick(&[1, 0x1ff]))]), N(4)]),
        t(SENDTO, &[Step(0), Room(4000), Len, N(0x40), LOOPBACK, N(16)]),
        t(RECVMSG, &[Step(0), To(MESSAGE_ROOM), Pick(&[0x40, 0x2040])]),
        t(RECVMMSG, &[Step(0), Array(MESSAGE_ROOMS, 3), N(3), N(0x40), To(SHORT)]),
        t(CLOSE, &[Step(0)]),
    ],
    // Descriptors are sent to oneself.
    &[
        t(SOCKETPAIR, &[N(1), TYPE, N(0), Room(8)]).leaves(Gives::Pair(3, Kind::Unix, Kind::Unix)),
        t(SETSOCKOPT, &[Step(0), N(1), Pick(&[16, 34]), To(&[U32(N(1))]), N(4)]),
        t(SENDMSG, &[Step(0), To(MESSAGE), N(0x40)]),
        t(RECVMSG, &[Second(0), To(MESSAGE_ROOM), Pick(&[0x40, 0x4000_0040, 0x42])]),
        t(SENDTO, &[Second(0), Data(1000), Len, Pick(&[0x40, 0x41]), N(0), N(0)]),
        t(SPLICE, &[Step(0), N(0), Of(Kind::PipeOut), N(0), N(1000), N(2)]),
        t(SHUTDOWN, &[Step(0), N(1)]),
        t(CLOSE, &[Step(0)]),
        t(RECVFROM, &[Second(0), Room(100), Len, N(0x40), N(0), N(0)]),
    ],
    // A name in the folder, and who connects to it.
    &[
        t(SOCKET, &[N(1), Pick(&[1, 5]), N(0)]).gives(Kind::Unix),
        t(UNLINK, &[Text(&["s0"])]),
        t(BIND, &[Step(0), To(&[U16(N(1)), Bytes(b"s0\0")]), N(5)]),
        t(LISTEN, &[Step(0), N(2)]),
        t(SOCKET, &[N(1), Pick(&[1, 5]), N(0)]).gives(Kind::Unix),
        t(CONNECT, &[Step(4), To(&[U16(N(1)), Bytes(b"s0\0")]), N(5)]),
        t(ACCEPT4, &[Step(0), Room(128), To(&[U32(N(128))]), N(0x800)]).gives(Kind::Unix),
        t(SENDMSG, &[Step(4), To(MESSAGE), N(0x40)]),
        t(RECVMSG, &[Step(6), To(MESSAGE_ROOM), N(0x40)]),
        t(CLOSE, &[Step(4)]),
    ],
    // A hash and a cipher.
    &[
        t(SOCKET, &[N(38), N(5), N(0)]).gives(Kind::Algorithm),
        t(BIND, &[Step(0), To(ALGORITHM), N(88)]),
        t(SETSOCKOPT, &[Step(0), N(279), N(1), Data(32), Pick(&[16, 32])]),
        t(ACCEPT, &[Step(0), N(0), N(0)]).gives(Kind::Algorithm),
        t(SENDMSG, &[Step(3), To(&[Zero(16), U64(Array(&[U64(Data(64)), U64(N(32))], 2)), U64(Count), U64(To(&[Control(279, 3, &[U32(Pick(&[0, 1]))]), Control(279, 2, &[U32(N(16)), Random(16)])])), U64(Len), Zero(8)]), Pick(&[0, 0x8000])]),
        t(SENDTO, &[Step(3), Data(64), Len, N(0), N(0), N(0)]),
        t(RECVFROM, &[Step(3), Room(64), Len, N(0x40), N(0), N(0)]),
        t(CLOSE, &[Step(3)]),
    ],
];
