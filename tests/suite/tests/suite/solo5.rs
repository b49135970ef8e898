//! The drop-in promise: plain Solo5 guests that know nothing of us, under the tender.
//!
//! These guests share no code with our SDK and carry no note of Nabla's (`tests/solo5-guests`).

use std::fmt::Write as _;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::sys::socket::sockopt::{ReceiveTimeout, SendTimeout};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, recv, send, setsockopt, socketpair,
};
use nix::sys::time::TimeVal;
use suite::run::TIME_OUT;
use suite::{Binaries, Ended, Need, Outcome, Run, Running};
use tempfile::TempDir;

use crate::Case;
use crate::network::Namespace;

const SIGSEGV: Ended = Ended::Signal(11);
const SIGSYS: Ended = Ended::Signal(31);
const OK: Ended = Ended::Exit(0);

/// What a TAP device and a host that sends to it need.
const TAP: &[Need] = &[
    Need::Root,
    Need::Program("ip", "iproute2"),
    Need::Program("python3", "python3"),
    Need::File("/dev/net/tun"),
];

/// A frame that ends the network guests.
const QUIT: &[u8] = b"\xff\xff\xff\xff\xff\xff\x02\0\0\0\0\x01\x88\xb5quit";

/// A guest, its options, its command line, how it ends and what its console contains.
type Behaviour =
    (&'static str, &'static [&'static str], &'static [&'static str], Ended, &'static str);

const BEHAVIOURS: &[Behaviour] = &[
    ("hello", &[], &[], OK, "hello from a plain guest with 16 MB\ncommand line: <>\n"),
    (
        "hello",
        &[],
        &["--solo5:quiet", "a b", "", "--mem=1", "--", "-x"],
        OK,
        "command line: <--solo5:quiet a b  --mem=1 -- -x>\n",
    ),
    ("exit", &[], &["0"], OK, ""),
    ("exit", &[], &["1"], Ended::Exit(1), ""),
    ("exit", &[], &["254"], Ended::Exit(254), ""),
    ("abort", &[], &[], Ended::Exit(255), ""),
    ("tls", &[], &[], OK, "thread-local storage works\n"),
    ("time", &[], &[], OK, "waited\n"),
    ("fpu", &[], &[], OK, "x87 control 0x37f mxcsr 0x1f80\ncomputed\n"),
    ("null", &[], &[], SIGSEGV, ""),
    ("execute", &[], &["heap"], SIGSEGV, ""),
    ("execute", &[], &["stack"], SIGSEGV, ""),
    ("execute", &[], &["read-only"], OK, "executed\n"),
    ("execute", &["--x-exec-heap"], &["heap"], OK, "executed\n"),
    ("execute", &["--x-exec-heap"], &["stack"], OK, "executed\n"),
    // getpid, execve, mmap, ppoll, which only our own guests have, and write by the x32 number.
    ("forbidden", &[], &["39"], SIGSYS, ""),
    ("forbidden", &[], &["59"], SIGSYS, ""),
    ("forbidden", &[], &["9"], SIGSYS, ""),
    ("forbidden", &[], &["271"], SIGSYS, ""),
    ("forbidden", &[], &["1073741825"], SIGSYS, ""),
    // read and pread64, for which it has no device.
    ("forbidden", &[], &["0"], SIGSYS, ""),
    ("forbidden", &[], &["17"], SIGSYS, ""),
    ("heap", &["--mem=2"], &["all"], OK, " pages from 0x104000 to 0x1ef000\n"),
    ("heap", &["--mem=16"], &["all"], OK, " to 0xfef000\n"),
    ("heap", &["--mem=512"], &["all"], OK, " to 0x1ffef000\n"),
    ("heap", &["--mem=4096"], &["ends"], OK, "2 pages from 0x104000 to 0xfffef000\n"),
    ("heap", &["--mem=65536"], &["ends"], OK, "2 pages from 0x104000 to 0xffffef000\n"),
];

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    let behaviours = BEHAVIOURS.iter().map(|behaviour| {
        let (guest, options, arguments, ..) = behaviour;
        let words = [*options, *arguments].concat().join(" ");
        let name = format!("solo5::{guest} {words}");
        Case::new(name.trim_end(), move |binaries| check(behaviour, binaries))
    });
    behaviours
        .chain([
            Case::new("solo5::memory of 512 MB, or what is said last", memory),
            Case::new("solo5::memory of 1 MB is too little", too_little_memory),
            Case::new("solo5::without standard streams", without_streams),
            Case::new("solo5::block::a block at a time, in all sizes", block_sizes),
            Case::new("solo5::block::other contents are noticed", block_contents),
            Case::new("solo5::block::calls beyond the device", block_beyond),
            Case::new("solo5::block::an image shared by two guests", block_shared),
            Case::new("solo5::block::63 devices", many_devices),
            Case::new("solo5::net::echo over a socket", |b| {
                echo_by_socket(b, SockType::SeqPacket)?;
                echo_by_socket(b, SockType::Datagram)
            }),
            Case::new("solo5::net::two networks over sockets", forward),
            Case::new("solo5::tap::an MTU of 9000", jumbo_frames).with_needs(TAP),
            Case::new("solo5::tap::no frame exceeds the MTU", |b| bulk(b, Tap::Fresh))
                .with_needs(TAP),
            Case::new(
                "solo5::tap::no frame exceeds the MTU after another program's offloads",
                |b| bulk(b, Tap::Used),
            )
            .with_needs(TAP),
            Case::new("solo5::tap::no frame exceeds the MTU of a descriptor", |b| {
                bulk(b, Tap::Descriptor)
            })
            .with_needs(TAP),
        ])
        .collect()
}

fn check(behaviour: &Behaviour, binaries: &Binaries) -> Result<()> {
    let (guest, options, arguments, ended, console) = *behaviour;
    let run = Run::new(binaries, binaries.solo5_guest(guest)).arguments(arguments);
    let outcome = options.iter().fold(run, Run::option).finish()?;
    ensure!(outcome.ended == ended, "{outcome:?}");
    ensure!(outcome.stdout.contains(console), "{outcome:?}");
    ensure!(ended == OK || outcome.stdout.is_empty(), "{outcome:?}");
    Ok(())
}

/// Runs the tender with words of the test's own.
fn tender(binaries: &Binaries, words: &[&Path]) -> Result<Outcome> {
    Running::start(Command::new(binaries.tender()).args(words))?.wait()
}

fn memory(binaries: &Binaries) -> Result<()> {
    let hello = binaries.solo5_guest("hello");
    for (options, mib) in [(&[][..], 512), (&["--mem=64M", "--mem=+32"], 32), (&["--"], 512)] {
        let words: Vec<&Path> = options.iter().map(Path::new).chain([&*hello]).collect();
        let outcome = tender(binaries, &words)?;
        let said = outcome.stdout.contains(&format!(" with {mib} MB\n"));
        ensure!(outcome.ended == OK && said, "{options:?}: {outcome:?}");
    }
    Ok(())
}

fn too_little_memory(binaries: &Binaries) -> Result<()> {
    let outcome = tender(binaries, &["--mem=1".as_ref(), &binaries.solo5_guest("hello")])?;
    ensure!(outcome.ended == Ended::Exit(1) && outcome.stdout.is_empty(), "{outcome:?}");
    ensure!(outcome.stderr.lines().count() == 1, "{outcome:?}");
    ensure!(outcome.stderr.ends_with("needs more memory than 1 MB: use --mem=2\n"), "{outcome:?}");
    Ok(())
}

/// Whatever standard streams are missing, the guest runs, and none of its devices is taken for one.
fn without_streams(binaries: &Binaries) -> Result<()> {
    let folder = TempDir::new()?;
    let disk = image(&folder, "disk.img", 4096)?;
    for closed in ["<&-", ">&-", "2>&-", "<&- 2>&-", "<&- >&- 2>&-"] {
        let outcome = Run::new(binaries, binaries.solo5_guest("block"))
            .option(attach("storage", &disk))
            .arguments(&["write"])
            .through(&["sh", "-c", &format!("exec \"$@\" {closed}"), "sh"])
            .finish()?;
        ensure!(outcome.ended == OK, "{closed}: {outcome:?}");
        let heard = outcome.stdout.ends_with("verified\n");
        ensure!(heard != closed.split(' ').any(|word| word == ">&-"), "{closed}: {outcome:?}");
    }
    Ok(())
}

fn image(folder: &TempDir, name: &str, bytes: usize) -> Result<PathBuf> {
    let path = folder.path().join(name);
    fs::write(&path, vec![0x5a; bytes])?;
    Ok(path)
}

fn attach(device: &str, image: &Path) -> String {
    format!("--block:{device}={}", image.display())
}

fn block_run(binaries: &Binaries, disk: &Path, block: usize, what: &str) -> Run {
    Run::new(binaries, binaries.solo5_guest("block"))
        .option(attach("storage", disk))
        .option(format!("--block-sector-size:storage={block}"))
        .arguments(&[what])
}

fn block_sizes(binaries: &Binaries) -> Result<()> {
    let folder = TempDir::new()?;
    let disk = image(&folder, "disk.img", 256 << 10)?;
    for block in (9..16).map(|shift| 1 << shift) {
        for what in ["write", "verify"] {
            let outcome = block_run(binaries, &disk, block, what).finish()?;
            let expected = format!("capacity 262144 block {block}\nverified\n");
            ensure!(outcome.ended == OK && outcome.stdout == expected, "{outcome:?}");
        }
    }
    ensure!(fs::metadata(&disk)?.len() == 256 << 10, "the image has another size");
    Ok(())
}

fn block_contents(binaries: &Binaries) -> Result<()> {
    let folder = TempDir::new()?;
    let disk = image(&folder, "disk.img", 8192)?;
    let outcome = block_run(binaries, &disk, 512, "write").finish()?;
    ensure!(outcome.ended == OK, "{outcome:?}");
    let mut bytes = fs::read(&disk)?;
    bytes[8191] ^= 1;
    fs::write(&disk, bytes)?;
    let outcome = block_run(binaries, &disk, 512, "verify").finish()?;
    ensure!(outcome.ended == Ended::Exit(2), "{outcome:?}");
    ensure!(outcome.stdout.ends_with("the block at 7680 is another\n"), "{outcome:?}");
    Ok(())
}

fn block_beyond(binaries: &Binaries) -> Result<()> {
    let folder = TempDir::new()?;
    let disk = image(&folder, "disk.img", 8192)?;
    for what in ["beyond-read", "beyond-write", "long", "short"] {
        let outcome = block_run(binaries, &disk, 1024, what).finish()?;
        ensure!(outcome.ended == SIGSYS, "{what}: {outcome:?}");
        ensure!(outcome.stdout == "capacity 8192 block 1024\n", "{what}: {outcome:?}");
    }
    ensure!(fs::read(&disk)? == vec![0x5a; 8192], "the image was changed");
    Ok(())
}

/// Solo5's tender locks nothing: guests that cannot say whether they write may share an image. A guest of
/// ours that writes has it alone.
fn block_shared(binaries: &Binaries) -> Result<()> {
    let folder = TempDir::new()?;
    let disk = image(&folder, "disk.img", 8192)?;
    let mut holder = block_run(binaries, &disk, 512, "hold").start()?;
    holder.line_with("holding")?;
    let outcome = block_run(binaries, &disk, 512, "verify").finish()?;
    ensure!(outcome.ended == OK, "{outcome:?}");
    for (guest, named) in [("block", "could write to it"), ("block-read-only", "can write to it")] {
        let ours = Run::new(binaries, binaries.guest(guest)).option(attach("storage", &disk));
        let outcome = ours.finish()?;
        ensure!(outcome.ended == Ended::Exit(1), "{guest}: {outcome:?}");
        ensure!(outcome.stderr.contains(named), "{guest}: {outcome:?}");
        ensure!(outcome.stderr.lines().count() == 1, "{guest}: {outcome:?}");
    }
    Ok(())
}

/// Block sizes differ, and so do capacities.
fn many_devices(binaries: &Binaries) -> Result<()> {
    let folder = TempDir::new()?;
    let mut run = Run::new(binaries, binaries.solo5_guest("devices"));
    let mut expected = String::new();
    for number in 1..=63 {
        let block = 512 << (number % 7);
        let bytes = block * (number + 1);
        let disk = image(&folder, &format!("{number}.img"), bytes)?;
        run = run
            .option(attach(&format!("disk{number:02}"), &disk))
            .option(format!("--block-sector-size:disk{number:02}={block}"));
        writeln!(expected, "disk{number:02} {bytes} {block}")?;
    }
    let outcome = run.finish()?;
    expected.push_str("good\n");
    ensure!(outcome.ended == OK && outcome.stdout == expected, "{outcome:?}");
    for number in 1..=63 {
        let (block, disk) =
            (512 << (number % 7), fs::read(folder.path().join(format!("{number}.img")))?);
        let (first, rest) = disk.split_at(block);
        let (middle, last) = rest.split_at(rest.len() - block);
        let right = first.iter().chain(last).all(|&byte| byte == number as u8)
            && middle.iter().all(|&byte| byte == 0x5a);
        ensure!(right, "image {number} is wrong");
    }
    Ok(())
}

/// Two ends of a wire: the test's, which waits no longer than a run may take, and the guest's.
fn wire(kind: SockType) -> Result<(OwnedFd, OwnedFd)> {
    let (ours, guests) = socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC)?;
    let limit = TimeVal::new(TIME_OUT.as_secs() as i64, 0);
    setsockopt(&ours, ReceiveTimeout, &limit)?;
    setsockopt(&ours, SendTimeout, &limit)?;
    Ok((ours, guests))
}

fn send_frame(wire: &OwnedFd, frame: &[u8]) -> Result<()> {
    let sent = send(wire.as_raw_fd(), frame, MsgFlags::MSG_NOSIGNAL)?;
    ensure!(sent == frame.len(), "sent {sent} of {}", frame.len());
    Ok(())
}

fn expect_frame(wire: &OwnedFd, frame: &[u8]) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let bytes = recv(wire.as_raw_fd(), &mut buffer, MsgFlags::empty()).context("no frame")?;
    ensure!(buffer[..bytes] == *frame, "{bytes} bytes came, {} are right", frame.len());
    Ok(())
}

fn frame(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i * 7 + i / 251) as u8).collect()
}

fn echo_by_socket(binaries: &Binaries, kind: SockType) -> Result<()> {
    let (wire, guests) = wire(kind)?;
    let mut running = Run::new(binaries, binaries.solo5_guest("net"))
        .descriptor(500, guests)
        .option("--net:service=@500")
        .option("--net-mac:service=2:0:0:0:a:b")
        .start()?;
    running.line_with("mtu 1500 mac [02, 00, 00, 00, 0a, 0b]")?;
    for bytes in [14, 60, 61, 1514, 9014, 60_000] {
        send_frame(&wire, &frame(bytes))?;
        expect_frame(&wire, &frame(bytes))?;
    }
    send_frame(&wire, QUIT)?;
    let outcome = running.wait()?;
    ensure!(outcome.ended == OK, "{outcome:?}");
    ensure!(outcome.stdout.ends_with("longest frame 60000\n"), "{outcome:?}");
    Ok(())
}

fn forward(binaries: &Binaries) -> Result<()> {
    let (inside, inside_guests) = wire(SockType::SeqPacket)?;
    let (outside, outside_guests) = wire(SockType::Datagram)?;
    let mut running = Run::new(binaries, binaries.solo5_guest("forward"))
        .descriptor(501, outside_guests)
        .descriptor(500, inside_guests)
        .option("--net:outside=@501")
        .option("--net:inside=@500")
        .start()?;
    running.line_with("inside [")?;
    for bytes in (14..1514).step_by(50) {
        send_frame(&inside, &frame(bytes))?;
        expect_frame(&outside, &frame(bytes))?;
        send_frame(&outside, &frame(bytes + 1))?;
        expect_frame(&inside, &frame(bytes + 1))?;
    }
    send_frame(&outside, QUIT)?;
    expect_frame(&inside, QUIT)?;
    let outcome = running.wait()?;
    ensure!(outcome.ended == OK, "{outcome:?}");
    ensure!(outcome.stdout.ends_with("forwarded 30 and 31\n"), "{outcome:?}");
    Ok(())
}

/// Runs a program in the namespace to its end.
fn inside(namespace: &Namespace, words: &[&str]) -> Result<()> {
    let words = namespace.inside(words);
    let outcome = Running::start(Command::new(words[0]).args(&words[1..]))?.wait()?;
    ensure!(outcome.ended == OK, "{words:?}: {outcome:?}");
    Ok(())
}

fn jumbo_frames(binaries: &Binaries) -> Result<()> {
    let namespace = Namespace::new("jumbo")?;
    inside(&namespace, &["ip", "link", "set", "tap0", "mtu", "9000"])?;
    let mut running = Run::new(binaries, binaries.solo5_guest("net"))
        .option("--net:service=tap0")
        .through(&namespace.inside(&[]))
        .start()?;
    running.line_with("mtu 9000 mac [")?;
    // A frame that goes out comes back with the same contents, addresses included.
    let peer = "import socket\n\
        s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW,socket.htons(0x88b6))\n\
        s.bind(('tap0',0x88b6)); s.settimeout(30)\n\
        for size in (60,1514,1515,9013,9014):\n\
        \x20 f=b'\\x02\\0\\0\\0\\0\\x02\\x02\\0\\0\\0\\0\\x01\\x88\\xb6'\n\
        \x20 f+=bytes(i*7%256 for i in range(size-14))\n\
        \x20 assert s.send(f)==size\n\
        \x20 got=s.recv(1<<16); assert got==f,(len(got),size)\n\
        try: s.send(bytes(9015)); raise SystemExit('9015 bytes went out')\n\
        except OSError: pass\n\
        s.send(b'\\xff'*6+b'\\x02\\0\\0\\0\\0\\x01\\x88\\xb5quit'+bytes(42))\n";
    inside(&namespace, &["python3", "-c", peer])?;
    let outcome = running.wait()?;
    ensure!(outcome.ended == OK, "{outcome:?}");
    ensure!(outcome.stdout.ends_with("longest frame 9014\n"), "{outcome:?}");
    Ok(())
}

/// How the guest comes to the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tap {
    /// By its name, as it was made.
    Fresh,
    /// By its name, after another program had switched on all offloads.
    Used,
    /// By a descriptor whose offloads are on.
    Descriptor,
}

/// Opens tap0 as descriptor 9 with plain frames, and switches on checksum, TSO and USO offload.
const OPEN: &str = "import fcntl,os,struct,sys\n\
    t=os.open('/dev/net/tun',os.O_RDWR)\n\
    fcntl.ioctl(t,0x400454ca,struct.pack('16sH22x',b'tap0',0x1002))\n\
    for offloads in (0x67,0x07):\n\
    \x20 try: fcntl.ioctl(t,0x400454d0,offloads); break\n\
    \x20 except OSError: pass\n\
    else: raise SystemExit('no offloads')\n\
    os.dup2(t,9); os.set_inheritable(9,True)\n";

/// The host sends a stream by TCP and datagrams by UDP, as large as it likes; the guest gets frames
/// that its MTU permits, with their checksums.
fn bulk(binaries: &Binaries, tap: Tap) -> Result<()> {
    let namespace = Namespace::new(&format!("bulk-{tap:?}"))?;
    let neighbour = ["ip", "neigh", "add", "10.0.0.2", "lladdr", "02:00:00:00:00:02"];
    inside(&namespace, &[&neighbour[..], &["dev", "tap0"]].concat())?;
    let hand_over = format!("{OPEN}os.execvp(sys.argv[1],sys.argv[1:])");
    let mut prefix = namespace.inside(&[]);
    let mut device = "tap0";
    match tap {
        Tap::Fresh => {}
        Tap::Used => inside(&namespace, &["python3", "-c", OPEN])?,
        Tap::Descriptor => {
            prefix.extend(["python3", "-c", &hand_over]);
            device = "@9";
        }
    }
    let mut running = Run::new(binaries, binaries.solo5_guest("sink"))
        .option(format!("--net:service={device}"))
        .option("--net-mac:service=02:00:00:00:00:02")
        .through(&prefix)
        .start()?;
    running.line_with("mtu 1500")?;
    let peer = "import socket\n\
        t=socket.create_connection(('10.0.0.2',7),timeout=30)\n\
        t.sendall(bytes(4<<20)); t.shutdown(socket.SHUT_WR); assert t.recv(1)==b''\n\
        u=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); u.setsockopt(17,103,1400)\n\
        for i in range(8): u.sendto(bytes(56000),('10.0.0.2',7))\n\
        s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW); s.bind(('tap0',0))\n\
        s.send(b'\\xff'*6+b'\\x02\\0\\0\\0\\0\\x01\\x88\\xb5quit'+bytes(42))\n";
    inside(&namespace, &["python3", "-c", peer])?;
    let outcome = running.wait()?;
    ensure!(outcome.ended == OK, "{outcome:?}");
    let expected = format!("longest 1514 bad 0\ntcp {} udp {}\n", 4 << 20, 8 * 56_000);
    ensure!(outcome.stdout.ends_with(&expected), "{outcome:?}");
    Ok(())
}
