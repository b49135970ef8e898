//! Netlink: interfaces, addresses, routes, rules, neighbours, queues, tables of filters, transformations, and the
//! families that have a name.

use super::shape::{EMPTY, NETLINK};
use crate::numbers::nr::*;
use crate::term::A::*;
use crate::term::F::*;
use crate::term::{A, F, Group, Kind, Sequence, t};

/// The old tables' `struct ipt_replace`, with an accepting table of nothing.
pub(crate) const XTABLES: A = To(&[
    Name(&["filter", "nat", "mangle", "raw"], 32), U32(Pick(&[0, 8, 14])), U32(Pick(&[0, 1, 4])), U32(Pick(&[0, 152, 616])), Zero(40), U32(N(4)), U64(Room(64)),
    Zero(84), U16(N(112)), U16(N(152)), Zero(20), U16(N(40)), Zero(38),
]);

/// NLM_F_REQUEST with ACK, DUMP, CREATE, EXCL, REPLACE.
const FLAGS: F = U16(Pick(&[1, 5, 5, 5, 0x301, 0x305, 0x405, 0x605, 0x605, 0x105]));
const NUMBERS: F = Bytes(&[1, 0, 0, 0, 0, 0, 0, 0]);
const INDEX: A = Pick(&[0, 1, 1, 2, 3, 4]);
const IP: &[F] = &[B32(Pick(&[0x7f00_0001, 0x0a00_0001, 0x0a00_0002, 0]))];
const WORD: &[F] = &[U32(Pick(&[0, 1, 2, 100, 1500]))];
const NAME: &[F] = &[Name(&["v0", "v1", "d0", "b0", "lo"], 4)];
/// `struct ifinfomsg`.
const INTERFACE: &[F] = &[U8(Pick(&[0, 0, 7, 10])), Zero(1), U16(N(0)), U32(INDEX), U32(Bits(&[0, 1, 0x40, 0x100, 0x1000])), U32(Pick(&[0, 1, 0xffff_ffff]))];
/// Kinds of interfaces with what theirs need.
const KIND: &[F] = &[Attr(18, &[One(&[
    &[Attr(1, &[Bytes(b"veth\0")]), Attr(2, &[Attr(1, &[Zero(16), Some(&[&[Attr(3, NAME)]])])])],
    &[Attr(1, &[Bytes(b"dummy\0")])],
    &[Attr(1, &[Bytes(b"bridge\0")]), Attr(2, &[Some(&[&[Attr(1, WORD)], &[Attr(5, WORD)], &[Attr(7, &[U8(N(1))])], &[Attr(23, &[U8(N(1))])]])])],
    &[Attr(1, &[Bytes(b"vlan\0")]), Attr(2, &[Attr(1, &[U16(N(5))])])],
    &[Attr(1, &[Bytes(b"macvlan\0")]), Attr(2, &[Attr(1, &[U32(Pick(&[1, 2, 4, 8]))])])],
    &[Attr(1, &[Bytes(b"ipvlan\0")]), Attr(2, &[Attr(1, &[U16(Pick(&[0, 1, 2]))])])],
    &[Attr(1, &[Bytes(b"vxlan\0")]), Attr(2, &[Attr(1, &[U32(N(7))]), Some(&[&[Attr(4, IP)], &[Attr(2, IP)]])])],
    &[Attr(1, &[Bytes(b"bond\0")]), Attr(2, &[Attr(1, &[U8(Within(0, 6))])])],
    &[Attr(1, &[Bytes(b"gre\0")]), Attr(2, &[Attr(6, IP), Attr(7, IP)])],
    &[Attr(1, &[Bytes(b"ipip\0")]), Attr(2, &[Attr(2, IP), Attr(3, IP)])],
    &[Attr(1, &[Bytes(b"sit\0")])],
    &[Attr(1, &[Bytes(b"ifb\0")])],
    &[Attr(1, &[Bytes(b"vrf\0")]), Attr(2, &[Attr(1, WORD)])],
    &[Attr(1, &[Bytes(b"wireguard\0")])],
    &[Attr(1, &[Bytes(b"geneve\0")]), Attr(2, &[Attr(1, WORD)])],
    &[Attr(1, &[Bytes(b"team\0")])],
    &[Attr(1, &[Bytes(b"nlmon\0")])],
    &[Attr(1, &[Bytes(b"tun\0")])],
    &[Attr(1, &[Bytes(b"xfrm\0")]), Attr(2, &[Attr(2, WORD)])],
    &[Attr(1, &[Bytes(b"netdevsim\0")])],
])])];
const LINK: &[F] = &[Total, U16(Pick(&[16, 16, 16, 17, 18, 19])), FLAGS, NUMBERS, One(&[INTERFACE]), Some(&[
    &[Attr(3, NAME)], &[Attr(4, WORD)], &[Attr(5, WORD)], &[Attr(10, WORD)], &[Attr(13, WORD)], &[Attr(1, &[Random(6)])], &[Attr(29, WORD)],
    &[Attr(20, &[Bytes(b"alias")])], &[Attr(28, &[U32(Fd)])], &[Attr(16, &[U8(Within(0, 7))])], &[Attr(6, &[Bytes(b"noqueue\0")])],
    &[Attr(26, &[Attr(10, &[Some(&[&[Attr(8, &[U8(Within(0, 4))])], &[Attr(7, &[Zero(8), Random(8)])]])]), Attr(2, &[Attr(1, WORD)])])],
    &[Attr(43, &[Attr(2, &[U32(Fd)]), Attr(3, WORD)])],
    KIND, KIND,
])];
const ADDRESS: &[F] = &[Total, U16(Pick(&[20, 20, 21, 22])), FLAGS, NUMBERS, One(&[
    &[Bytes(&[2, 24, 0, 0]), U32(INDEX), Attr(1, IP), Attr(2, IP), Some(&[&[Attr(3, &[Bytes(b"lo:1\0")])], &[Attr(4, IP)], &[Attr(6, &[Zero(4), Bytes(&[255, 0, 0, 0]), Zero(8)])], &[Attr(8, WORD)]])],
    &[Bytes(&[10, 64, 0, 0]), U32(INDEX), Attr(1, &[Bytes(&[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])])],
    &[Zero(8)],
])];
const ROUTE: &[F] = &[Total, U16(Pick(&[24, 24, 25, 26])), FLAGS, NUMBERS, One(&[
    &[Bytes(&[2]), U8(Pick(&[0, 8, 24, 32])), Zero(1), U8(Pick(&[0, 8])), U8(Pick(&[254, 255, 0, 100])), Bytes(&[4]), U8(Pick(&[0, 253, 254])), U8(Pick(&[1, 1, 2, 3, 5, 6, 7, 8])), U32(Pick(&[0, 0x100, 0x200, 0x1000]))],
    &[Bytes(&[10]), U8(Pick(&[0, 64, 128])), Zero(2), U8(Pick(&[254, 255, 0])), Bytes(&[4, 0, 1]), Zero(4)],
    &[Bytes(&[128, 0, 0, 0, 254, 4, 0, 5]), Zero(4)],
]), Some(&[
    &[Attr(1, IP)], &[Attr(4, WORD)], &[Attr(5, IP)], &[Attr(7, IP)], &[Attr(6, WORD)], &[Attr(2, IP)], &[Attr(3, WORD)],
    &[Attr(8, &[Attr(2, WORD), Attr(5, WORD), Attr(16, &[Bytes(b"reno\0")])])],
    &[Attr(9, &[U16(N(16)), Zero(2), U32(INDEX), Attr(5, IP)])],
    &[Attr(15, WORD)], &[Attr(16, WORD)], &[Attr(21, &[U16(Within(0, 8))]), Attr(22, &[Attr(1, &[Random(16)])])],
])];
const NEIGHBOUR: &[F] = &[Total, U16(Pick(&[28, 29, 30])), FLAGS, NUMBERS, U8(Pick(&[2, 10, 7, 0])), Zero(3), U32(INDEX), U16(Pick(&[2, 4, 0x80, 0x40])), U8(Pick(&[0, 2, 8, 0x80])), Zero(1), Some(&[
    &[Attr(1, IP)], &[Attr(2, &[Random(6)])], &[Attr(5, &[U16(N(1))])], &[Attr(9, WORD)],
])];
const RULE: &[F] = &[Total, U16(Pick(&[32, 33, 34, 64, 65, 66])), FLAGS, NUMBERS, U8(Pick(&[2, 10])), Zero(3), U8(Pick(&[254, 100])), Zero(2), U8(Pick(&[1, 4, 6])), Zero(4), Some(&[
    &[Attr(6, WORD)], &[Attr(10, WORD)], &[Attr(3, NAME)], &[Attr(1, IP)], &[Attr(15, WORD)], &[Attr(20, &[U32(User), U32(User)])], &[Attr(23, &[U16(N(1)), U16(N(99))])],
])];
/// Queues, classes and filters of traffic control.
const QUEUE: &[F] = &[Total, U16(Pick(&[36, 36, 37, 38, 40, 41, 42, 44, 45, 46])), FLAGS, NUMBERS, Zero(4), U32(INDEX), U32(Pick(&[0, 0x1_0000, 0x1_0001, 0xffff_0000])), U32(Pick(&[0xffff_ffff, 0xffff_fff1, 0x1_0000, 0xffff_fff2])), U32(Pick(&[0, 0x300, 0x1_0008])), One(&[
    &[Attr(1, &[Bytes(b"pfifo\0")]), Attr(2, WORD)],
    &[Attr(1, &[Bytes(b"tbf\0")]), Attr(2, &[Attr(1, &[Random(36)])])],
    &[Attr(1, &[Bytes(b"htb\0")]), Attr(2, &[Attr(2, &[U32(N(3)), U32(N(10)), Zero(12)])])],
    &[Attr(1, &[Bytes(b"prio\0")]), Attr(2, &[U32(N(3)), Bytes(&[1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1])])],
    &[Attr(1, &[Bytes(b"sfq\0")])],
    &[Attr(1, &[Bytes(b"fq_codel\0")])],
    &[Attr(1, &[Bytes(b"fq\0")])],
    &[Attr(1, &[Bytes(b"netem\0")]), Attr(2, &[U32(N(0)), U32(N(100)), Random(16)])],
    &[Attr(1, &[Bytes(b"ingress\0")])],
    &[Attr(1, &[Bytes(b"clsact\0")])],
    &[Attr(1, &[Bytes(b"hfsc\0")]), Attr(2, &[U16(N(1))])],
    &[Attr(1, &[Bytes(b"drr\0")])],
    &[Attr(1, &[Bytes(b"qfq\0")])],
    &[Attr(1, &[Bytes(b"mqprio\0")])],
    &[Attr(1, &[Bytes(b"u32\0")]), Attr(2, &[Attr(1, WORD), Attr(5, &[Zero(16)])])],
    &[Attr(1, &[Bytes(b"matchall\0")]), Attr(2, &[Attr(2, &[Attr(1, &[Attr(1, &[Bytes(b"gact\0")]), Attr(2, &[Attr(2, &[Zero(20)])])])])])],
    &[Attr(1, &[Bytes(b"basic\0")])],
    &[Attr(1, &[Bytes(b"flower\0")]), Attr(2, &[Attr(8, &[B16(N(0x800))])])],
    &[Attr(1, &[Bytes(b"bpf\0")]), Attr(2, &[Attr(4, &[U16(N(1))]), Attr(5, &[Bytes(&[6, 0, 0, 0, 0xff, 0, 0, 0])])])],
    &[Attr(1, &[Bytes(b"fw\0")])],
    &[Attr(1, &[Bytes(b"cgroup\0")])],
])];
const ACTION: &[F] = &[Total, U16(Pick(&[48, 49, 50])), FLAGS, NUMBERS, Zero(4), Attr(1, &[Attr(1, &[Attr(1, &[Name(&["gact", "mirred", "police", "skbedit", "pedit", "vlan", "csum", "nat"], 8)]), Attr(2, &[Attr(2, &[Zero(28)])])])])];
const MORE: &[F] = &[Total, U16(Within(16, 122)), FLAGS, NUMBERS, U8(Pick(&[0, 2, 7, 10, 28, 17])), Zero(15), Some(&[&[Attr(1, WORD)], &[Attr(2, IP)], &[Attr(3, NAME)], &[Attr(4, WORD)]])];
const ROUTING: &[&[F]] = &[LINK, LINK, LINK, ADDRESS, ADDRESS, ROUTE, ROUTE, NEIGHBOUR, RULE, QUEUE, QUEUE, ACTION, MORE];

/// Names of tables, chains, sets in the new tables.
const FILTER_NAME: &[F] = &[Name(&["t", "c", "s", "f"], 2)];
const BE: &[F] = &[B32(Pick(&[0, 1, 2, 3, 4, 8]))];
const BE64: &[F] = &[Zero(4), B32(Pick(&[1, 2, 3]))];
const DATA: &[F] = &[Attr(1, &[Random(4)])];
const EXPRESSION: &[F] = &[Attr(1, &[One(&[
    &[Attr(1, &[Bytes(b"payload\0")]), Attr(2, &[Attr(1, BE), Attr(2, BE), Attr(3, BE), Attr(4, &[B32(Pick(&[1, 2, 4, 8, 16]))])])],
    &[Attr(1, &[Bytes(b"cmp\0")]), Attr(2, &[Attr(1, BE), Attr(2, BE), Attr(3, DATA)])],
    &[Attr(1, &[Bytes(b"meta\0")]), Attr(2, &[Attr(1, BE), Attr(2, &[B32(Within(0, 30))])])],
    &[Attr(1, &[Bytes(b"immediate\0")]), Attr(2, &[Attr(1, BE), Attr(2, &[One(&[DATA, &[Attr(2, &[Attr(1, &[B32(Pick(&[0, 1, 0xffff_ffff]))])])]])])])],
    &[Attr(1, &[Bytes(b"counter\0")])],
    &[Attr(1, &[Bytes(b"bitwise\0")]), Attr(2, &[Attr(1, BE), Attr(2, BE), Attr(3, &[B32(N(4))]), Attr(4, DATA), Attr(5, DATA)])],
    &[Attr(1, &[Bytes(b"ct\0")]), Attr(2, &[Attr(1, BE), Attr(2, &[B32(Within(0, 20))])])],
    &[Attr(1, &[Bytes(b"lookup\0")]), Attr(2, &[Attr(1, FILTER_NAME), Attr(2, BE)])],
    &[Attr(1, &[Bytes(b"limit\0")]), Attr(2, &[Attr(1, BE64), Attr(2, BE64)])],
    &[Attr(1, &[Bytes(b"log\0")])],
    &[Attr(1, &[Bytes(b"nat\0")]), Attr(2, &[Attr(1, BE), Attr(2, BE), Attr(3, BE)])],
    &[Attr(1, &[Bytes(b"masq\0")])],
    &[Attr(1, &[Bytes(b"reject\0")]), Attr(2, &[Attr(1, BE), Attr(2, &[Zero(1)])])],
    &[Attr(1, &[Bytes(b"range\0")]), Attr(2, &[Attr(1, BE), Attr(2, BE), Attr(3, DATA), Attr(4, DATA)])],
    &[Attr(1, &[Bytes(b"rt\0")]), Attr(2, &[Attr(1, BE), Attr(2, BE)])],
    &[Attr(1, &[Bytes(b"socket\0")]), Attr(2, &[Attr(1, BE), Attr(2, BE)])],
    &[Attr(1, &[Bytes(b"hash\0")])], &[Attr(1, &[Bytes(b"numgen\0")]), Attr(2, &[Attr(1, BE), Attr(2, &[B32(N(4))]), Attr(3, BE)])],
    &[Attr(1, &[Bytes(b"quota\0")]), Attr(2, &[Attr(1, BE64)])],
    &[Attr(1, &[Bytes(b"fib\0")]), Attr(2, &[Attr(1, BE), Attr(2, BE), Attr(3, BE)])],
    &[Attr(1, &[Bytes(b"dup\0")])], &[Attr(1, &[Bytes(b"queue\0")])], &[Attr(1, &[Bytes(b"exthdr\0")]), Attr(2, &[Attr(1, BE), Attr(2, &[U8(N(2))]), Attr(3, BE), Attr(4, BE)])],
])])];
const FAMILY: F = U8(Pick(&[2, 2, 10, 1, 5, 7]));
/// A transaction: begin, some changes, end.
const TRANSACTION: &[F] = &[
    Bytes(&[20, 0, 0, 0, 16, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10]),
    Times(&[One(&[
        &[One(&[&[Total, Bytes(&[0, 10, 5, 4]), NUMBERS, FAMILY, Zero(3), Attr(1, FILTER_NAME)]])],
        &[One(&[&[Total, Bytes(&[3, 10, 5, 4]), NUMBERS, FAMILY, Zero(3), Attr(1, FILTER_NAME), Attr(3, FILTER_NAME), Some(&[&[Attr(4, &[Attr(1, BE), Attr(2, BE)]), Attr(7, &[Name(&["filter", "nat", "route"], 8)])], &[Attr(5, BE)]])]])],
        &[One(&[&[Total, Bytes(&[6, 10, 5, 12]), NUMBERS, FAMILY, Zero(3), Attr(1, FILTER_NAME), Attr(2, FILTER_NAME), Attr(4, &[Times(EXPRESSION, 4)])]])],
        &[One(&[&[Total, Bytes(&[9, 10, 5, 4]), NUMBERS, FAMILY, Zero(3), Attr(1, FILTER_NAME), Attr(2, FILTER_NAME), Attr(3, &[B32(Bits(&[1, 2, 4, 8, 16]))]), Attr(5, &[B32(N(4))]), Attr(4, BE), Attr(10, BE), Some(&[&[Attr(6, BE), Attr(7, &[B32(N(4))])], &[Attr(11, BE64)]])]])],
        &[One(&[&[Total, Bytes(&[12, 10, 5, 4]), NUMBERS, FAMILY, Zero(3), Attr(1, FILTER_NAME), Attr(2, FILTER_NAME), Attr(3, &[Times(&[Attr(1, &[Attr(1, DATA)])], 3)])]])],
        &[One(&[&[Total, Bytes(&[18, 10, 5, 4]), NUMBERS, FAMILY, Zero(3), Attr(1, FILTER_NAME), Attr(2, FILTER_NAME), Attr(3, &[B32(Within(1, 9))]), Attr(4, &[Attr(1, BE64)])]])],
        &[One(&[&[Total, U8(Within(0, 25)), Bytes(&[10]), FLAGS, NUMBERS, FAMILY, Zero(3), Some(&[&[Attr(1, FILTER_NAME)], &[Attr(2, FILTER_NAME)], &[Attr(3, FILTER_NAME)]])]])],
    ])], 5),
    Bytes(&[20, 0, 0, 0, 17, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10]),
];
/// Connection tracking, queues, logs, sets of addresses: any message with attributes.
const FILTERING: &[F] = &[Total, U8(Within(0, 14)), U8(Within(0, 13)), FLAGS, NUMBERS, U8(Pick(&[0, 2, 10])), U8(Pick(&[0, 1, 6])), B16(Pick(&[0, 1])), Some(&[
    &[Attr(1, &[Bytes(&[2])])], &[Attr(1, BE)], &[Attr(2, FILTER_NAME)], &[Attr(2, &[U8(N(1)), Zero(4)])], &[Attr(1, &[Attr(1, &[Attr(1, IP), Attr(2, IP)]), Attr(2, &[Attr(1, &[U8(N(6))]), Attr(2, &[B16(N(80))]), Attr(3, &[B16(N(81))])])])],
    &[Attr(7, BE)], &[Attr(3, BE)],
])];
/// IPsec: states and policies.
const TRANSFORM: &[F] = &[Total, U16(Within(16, 40)), FLAGS, NUMBERS, One(&[
    // `struct xfrm_usersa_info`, with the algorithms.
    &[Zero(56), B32(N(0x7f00_0001)), Zero(12), B32(N(256)), U8(Pick(&[50, 51, 108])), Zero(3), B32(N(0x7f00_0001)), Zero(12), Bytes(&[0xff; 64]), Zero(60), U16(N(2)), U8(Pick(&[0, 1])), U8(N(32)), Zero(6),
        Some(&[&[Attr(2, &[Name(&["cbc(aes)", "ecb(cipher_null)"], 64), U32(N(128)), Random(16)])], &[Attr(1, &[Name(&["hmac(sha256)", "hmac(sha1)"], 64), U32(N(160)), Random(20)])]])],
    // `struct xfrm_userpolicy_info`.
    &[Zero(40), U16(N(2)), Bytes(&[32, 32, 0, 0, 0, 0]), Zero(8), Bytes(&[0xff; 64]), Zero(32), U32(N(1)), U32(Within(0, 9)), U8(Within(0, 2)), U8(Pick(&[0, 1])), Zero(6)],
    // `struct xfrm_usersa_id`, and others by their first bytes.
    &[B32(N(0x7f00_0001)), Zero(12), B32(N(256)), U16(N(2)), U8(N(50)), Zero(1)],
    &[Zero(200)],
])];
/// `struct inet_diag_req_v2`, unix, netlink and packet likes.
const DIAGNOSIS: &[F] = &[Total, U16(Pick(&[20, 20, 21, 18])), U16(Pick(&[1, 0x301])), NUMBERS, U8(Pick(&[1, 2, 2, 10, 16, 17, 38, 40])), U8(Pick(&[0, 6, 17, 255, 132])), U8(Bits(&[1, 2, 4, 8, 16, 32, 64, 128])), Zero(1), U32(Pick(&[0xffff_ffff, 1])), Zero(12), U32(N(0)), Zero(32), Some(&[&[Attr(1, &[Bytes(&[1, 8, 12, 0, 0, 0, 0, 0])])]])];
/// Named families: who is there, and any of their commands.
const NAMED: &[F] = &[Total, U16(Within(16, 40)), U16(Pick(&[1, 5, 0x301])), NUMBERS, U8(Within(0, 20)), U8(Pick(&[1, 2])), Zero(2), Some(&[
    &[Attr(2, &[Name(&["nlctrl", "TASKSTATS", "ethtool", "tcp_metrics", "mptcp_pm", "wireguard", "netlabel", "SEG6", "IPVS", "acpi_event", "devlink", "NET_DM", "thermal", "VFS_DQUOT"], 16)])],
    &[Attr(1, &[U16(Within(16, 40))])], &[Attr(1, &[U32(Pid)])], &[Attr(1, &[Attr(1, WORD), Attr(2, NAME)])], &[Attr(3, WORD)], &[Attr(4, &[Bytes(b"0-1\0")])],
])];
/// Audit, events, security, connectors, what there is.
const OTHER: &[F] = &[Total, U16(OneOf(&[Within(0, 40), Within(1000, 1020), Any])), U16(Pick(&[1, 5, 0x305])), NUMBERS, Random(40)];

const MESSAGES: A = ToOne(&[LINK, ADDRESS, ROUTE, NEIGHBOUR, RULE, QUEUE, TRANSACTION, FILTERING, TRANSFORM, DIAGNOSIS, NAMED, OTHER]);

/// Netlink sockets of all protocols.
pub(crate) const GROUP: Group = Group {
    makers: &[t(SOCKET, &[N(16), Pick(&[3, 2, 0x803]), Pick(&[0, 0, 0, 4, 6, 12, 12, 16, 16, 2, 9, 10, 15, 18, 20, 21, 11])]).gives(Kind::Netlink)],
    uses: &[
        t(BIND, &[This, To(NETLINK), N(12)]),
        t(SENDTO, &[This, ToOne(ROUTING), Len, N(0x40), N(0), N(0)]),
        t(SENDTO, &[This, ToOne(ROUTING), Len, N(0x40), N(0), N(0)]),
        t(SENDTO, &[This, MESSAGES, Len, N(0x40), N(0), N(0)]),
        t(SENDTO, &[This, MESSAGES, Len, N(0x40), N(0), N(0)]),
        t(SENDTO, &[This, MESSAGES, Len, N(0x40), To(NETLINK), N(12)]),
        t(RECVFROM, &[This, Room(4096), Len, Pick(&[0x40, 0x42, 0x60]), N(0), N(0)]),
        t(READV, &[This, Array(EMPTY, 3), Count]),
        t(SETSOCKOPT, &[This, N(270), Within(1, 12), To(&[U32(Pick(&[0, 1, 5, 9]))]), N(4)]),
        t(GETSOCKOPT, &[This, N(270), Within(1, 12), Room(64), To(&[U32(N(64))])]),
    ],
};

macro_rules! talk {
    ($protocol:literal, $($messages:expr),*) => {
        &[
            t(SOCKET, &[N(16), N(3), N($protocol)]).gives(Kind::Netlink),
            $(
                t(SENDTO, &[Step(0), $messages, Len, N(0x40), N(0), N(0)]),
                t(RECVFROM, &[Step(0), Room(4096), Len, N(0x40), N(0), N(0)]),
            )*
            t(CLOSE, &[Step(0)]),
        ]
    };
}

/// The loopback up: `RTM_NEWLINK` of index 1 with `IFF_UP`.
pub(crate) const UP: &[F] = &[Total, Bytes(&[16, 0, 5, 0]), NUMBERS, Zero(4), U32(Pick(&[1, 1, 2, 3])), U32(N(1)), U32(N(1))];

pub(crate) const SEQUENCES: &[Sequence] = &[
    talk!(0, To(LINK), To(UP), To(ADDRESS), To(ROUTE), To(NEIGHBOUR)),
    talk!(0, To(UP), To(ADDRESS), To(QUEUE), To(QUEUE), To(QUEUE), To(RULE)),
    talk!(0, To(LINK), To(LINK), To(UP), To(LINK), To(MORE)),
    talk!(12, To(TRANSACTION), To(TRANSACTION), To(TRANSACTION), To(FILTERING)),
    talk!(12, To(FILTERING), To(FILTERING), To(FILTERING)),
    talk!(6, To(TRANSFORM), To(TRANSFORM), To(TRANSFORM)),
    talk!(4, To(DIAGNOSIS), To(DIAGNOSIS), To(DIAGNOSIS)),
    talk!(16, To(NAMED), To(NAMED), To(NAMED), To(NAMED)),
    talk!(9, To(OTHER), To(OTHER)),
];
