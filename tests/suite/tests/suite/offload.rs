//! Virtio-net headers before the frames of a TAP, as the kernel writes and reads them.
//!
//! A packet socket at the interface's other side sends a TCP segment of 30,000 bytes with its own
//! virtio-net header, and a datagram without checksum. The guest sends back what it gets. With headers
//! both come back as they went; without, the kernel has cut the one and completed both.

use std::process::Command;

use anyhow::{Result, ensure};
use suite::{Binaries, Ended, Need, Run, Running};

use crate::Case;
use crate::network::Namespace;

const NEEDS: &[Need] = &[
    Need::Root,
    Need::Program("ip", "iproute2"),
    Need::Program("python3", "python3"),
    Need::File("/dev/net/tun"),
];

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("offload::tap::headers, plain frames and headers again", in_turn)
            .with_needs(NEEDS),
        Case::new("offload::tap::a descriptor with headers", |b| {
            by_descriptor(b, Opened::WithHeaders)
        })
        .with_needs(NEEDS),
        Case::new("offload::tap::a descriptor without headers", |b| {
            by_descriptor(b, Opened::Plain)
        })
        .with_needs(NEEDS),
        Case::new("offload::tap::a plain guest takes no headers", refused).with_needs(NEEDS),
        Case::new(
            "offload::a user network has plain frames where the guest knows no ring",
            by_gateway,
        ),
    ]
}

/// The peer. Its argument says what it is to expect.
const PEER: &str = "import socket,struct,sys\n\
    def total(b):\n\
    \x20 s=sum(struct.unpack('>%dH'%(len(b)//2),b))\n\
    \x20 while s>>16: s=(s>>16)+(s&0xffff)\n\
    \x20 return s\n\
    source,target=socket.inet_aton('10.0.0.9'),socket.inet_aton('10.0.0.2')\n\
    ethernet=b'\\x02\\0\\0\\0\\0\\x02\\x02\\0\\0\\0\\0\\x01\\x08\\0'\n\
    def packet(protocol,at,segment):\n\
    \x20 pseudo=total(source+target+struct.pack('>HH',protocol,len(segment)))\n\
    \x20 segment=segment[:at]+struct.pack('>H',pseudo)+segment[at+2:]\n\
    \x20 ip=struct.pack('>BBHHHBBH',0x45,0,20+len(segment),7,0x4000,64,protocol,0)+source+target\n\
    \x20 return ethernet+ip[:10]+struct.pack('>H',0xffff^total(ip))+ip[12:]+segment\n\
    def is_right(frame):\n\
    \x20 segment=frame[34:14+struct.unpack('>H',frame[16:18])[0]]\n\
    \x20 pseudo=source+target+struct.pack('>HH',frame[23],len(segment))\n\
    \x20 return total(frame[14:34])==0xffff==total(pseudo+segment)\n\
    data=bytes(i*7%251 for i in range(30000))\n\
    stream=packet(6,16,struct.pack('>HHIIBBHHH',1,2,1000,1,0x50,0x10,9999,0,0)+data)\n\
    datagram=packet(17,6,struct.pack('>HHHH',1,2,208,0)+data[:200])\n\
    s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW,socket.htons(0x800))\n\
    s.setsockopt(263,15,1); s.bind(('tap0',0x800)); s.settimeout(30)\n\
    def send(header,frame): assert s.send(struct.pack('<BBHHHH',*header)+frame)==10+len(frame)\n\
    def receive():\n\
    \x20 while True:\n\
    \x20\x20 got=s.recv(1<<17)\n\
    \x20\x20 if got[10:24]==ethernet: return struct.unpack('<BBHHHH',got[:10]),got[10:]\n\
    send((1,1,54,1000,34,16),stream)\n\
    if sys.argv[1]=='headers':\n\
    \x20 header,frame=receive()\n\
    \x20 assert (header[:2],header[3:])==((1,1),(1000,34,16)),header\n\
    \x20 assert frame==stream,len(frame)\n\
    else:\n\
    \x20 for i in range(30):\n\
    \x20\x20 header,frame=receive()\n\
    \x20\x20 assert header[1]==0 and is_right(frame),(header,i)\n\
    \x20\x20 assert frame[54:]==data[i*1000:i*1000+1000],i\n\
    send((1,0,0,0,34,6),datagram)\n\
    header,frame=receive()\n\
    if sys.argv[1]=='headers':\n\
    \x20 assert header==(1,0,0,0,34,6),header\n\
    \x20 assert frame==datagram,frame\n\
    else: assert is_right(frame) and frame[42:]==data[:200],frame\n\
    send((0,)*6,b'\\xff'*6+b'\\x02\\0\\0\\0\\0\\x01\\x88\\xb5quit'+bytes(42))\n";

/// Opens tap0 as descriptor 9 and becomes the program; the first argument is the interface's flags.
/// Headers are longer than ours are, as if it had served a virtual machine.
const HAND_OVER: &str = "import fcntl,os,struct,sys\n\
    t=os.open('/dev/net/tun',os.O_RDWR)\n\
    flags=int(sys.argv[1],16)\n\
    fcntl.ioctl(t,0x400454ca,struct.pack('16sH22x',b'tap0',flags))\n\
    if flags&0x4000: fcntl.ioctl(t,0x400454d8,struct.pack('i',12))\n\
    os.dup2(t,9); os.set_inheritable(9,True)\n\
    os.execvp(sys.argv[2],sys.argv[2:])\n";

/// How the interface was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opened {
    WithHeaders,
    Plain,
}

impl Opened {
    fn has_headers(self) -> bool {
        self == Self::WithHeaders
    }

    fn flags(self) -> &'static str {
        if self.has_headers() { "5002" } else { "1002" }
    }
}

/// Talks to a guest that is running, until its end, and returns its console.
fn talk(mut running: Running, namespace: &Namespace, first: &str, headers: bool) -> Result<String> {
    running.line_with(first)?;
    let expected = if headers { "headers" } else { "plain" };
    let words = namespace.inside(&["python3", "-c", PEER, expected]);
    let peer = Running::start(Command::new(words[0]).args(&words[1..]))?.wait()?;
    let outcome = running.wait()?;
    ensure!(peer.ended == Ended::Exit(0), "{peer:?}, {outcome:?}");
    ensure!(outcome.ended == Ended::Exit(0), "{outcome:?}");
    Ok(outcome.stdout + &outcome.stderr)
}

fn in_turn(binaries: &Binaries) -> Result<()> {
    let namespace = Namespace::new("offload")?;
    let run = |kernel| {
        Run::new(binaries, kernel)
            .option("--net:service=tap0")
            .option("--verbose")
            .through(&namespace.inside(&[]))
    };
    for _ in 0..2 {
        let guest = run(binaries.guest("net-headers")).start()?;
        let said = talk(guest, &namespace, "headers true", true)?;
        ensure!(said.contains(", mtu 1500, virtio-net headers"), "{said}");
        let seen = "frame 30054 Some(Header { flags: 1, segment_kind: 1,";
        ensure!(said.contains(seen) && said.contains("segment_bytes: 1000,"), "{said}");

        let plain = run(binaries.solo5_guest("net")).start()?;
        let said = talk(plain, &namespace, "mtu 1500", false)?;
        ensure!(said.contains("longest frame 1054\n") && !said.contains("headers"), "{said}");
    }
    Ok(())
}

fn by_descriptor(binaries: &Binaries, opened: Opened) -> Result<()> {
    let namespace = Namespace::new(&format!("offload-{opened:?}"))?;
    let guest = Run::new(binaries, binaries.guest("net-headers"))
        .option("--net:service=@9")
        .through(&namespace.inside(&["python3", "-c", HAND_OVER, opened.flags()]))
        .start()?;
    let headers = opened.has_headers();
    let said = talk(guest, &namespace, &format!("headers {headers}"), headers)?;
    ensure!(said.contains("frame 30054 ") == headers, "{said}");
    Ok(())
}

fn refused(binaries: &Binaries) -> Result<()> {
    let namespace = Namespace::new("offload-refused")?;
    let flags = Opened::WithHeaders.flags();
    let outcome = Run::new(binaries, binaries.solo5_guest("net"))
        .option("--net:service=@9")
        .through(&namespace.inside(&["python3", "-c", HAND_OVER, flags]))
        .finish()?;
    ensure!(outcome.ended == Ended::Exit(1) && outcome.stdout.is_empty(), "{outcome:?}");
    ensure!(outcome.stderr.contains("@9 was opened with IFF_VNET_HDR"), "{outcome:?}");
    Ok(())
}

fn by_gateway(binaries: &Binaries) -> Result<()> {
    let mut running =
        Run::new(binaries, binaries.guest("net-headers")).option("--net:service=user").start()?;
    running.line_with("headers false")?;
    Ok(())
}
