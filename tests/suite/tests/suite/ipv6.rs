//! IPv6 and names, on a TAP device in a network namespace: static addresses, those that a guest
//! makes itself from a router's advertisement, and a name server of the test's own.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use suite::{Binaries, Ended, Need, Run, Running};

use crate::Case;
use crate::network::{Namespace, TAP};

const TOOLS: &[Need] = &[
    TAP[0],
    TAP[1],
    TAP[2],
    Need::Program("python3", "python3"),
    Need::File("/proc/sys/net/ipv6"),
];
/// The link-local address of the guest's Ethernet address, 02:00:00:00:00:02.
const LINK_LOCAL: &str = "fe80::ff:fe00:2";

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("ipv6::tap::a static and a link-local address", static_address).with_needs(TOOLS),
        Case::new("ipv6::tap::off is off", off).with_needs(TOOLS),
        Case::new("ipv6::tap::an address from a router's advertisement", advertised)
            .with_needs(TOOLS),
        Case::new("ipv6::tap::a wrong setting is named", wrong_setting),
        Case::new("names::tap::are resolved by a server", names).with_needs(TOOLS),
    ]
}

/// A namespace whose side of the wire has 2001:db8::1.
fn namespace(label: &str) -> Result<Namespace> {
    let namespace = Namespace::new(label)?;
    namespace.ip("addr add 2001:db8::1/64 dev tap0 nodad")?;
    Ok(namespace)
}

fn start(
    binaries: &Binaries,
    namespace: &Namespace,
    guest: &str,
    arguments: &[&str],
) -> Result<Running> {
    Run::new(binaries, binaries.guest(guest))
        .option("--net:service=tap0")
        .option("--net-mac:service=02:00:00:00:00:02")
        .arguments(arguments)
        .through(&namespace.inside(&[]))
        .start()
}

/// Echoes by TCP and UDP at each of the addresses that it is given; by ping as well.
const CLIENT: &str = "\
import socket,struct,sys,time
data=bytes(i%251 for i in range(1<<19))
def to(address,kind):
  i=socket.getaddrinfo(address,7,socket.AF_INET6,kind)[0]
  s=socket.socket(i[0],kind); s.settimeout(30); s.connect(i[4]); return s
def echo(s,data):
  got=b''; sent=0
  while len(got)<len(data):
    part=data[sent:sent+65536]; s.sendall(part); sent+=len(part)
    while len(got)<sent: got+=s.recv(1<<16)
  assert got==data
for address in sys.argv[1:]:
  echo(to(address,socket.SOCK_STREAM),data)
  u=to(address,socket.SOCK_DGRAM); u.send(b'datagram'); assert u.recv(99)==b'datagram'
  p=socket.socket(socket.AF_INET6,socket.SOCK_RAW,58); p.settimeout(30)
  p.connect(socket.getaddrinfo(address,None,socket.AF_INET6)[0][4])
  p.send(struct.pack('!BBHHH',128,0,0,4711,1)+b'ping')
  while True:
    answer=p.recv(99)
    if answer[0]==129: break
  assert answer[4:]==struct.pack('!HH',4711,1)+b'ping',answer
q=to(sys.argv[1],socket.SOCK_STREAM); q.sendall(b'quit'); assert q.recv(9)==b'quit'
";

fn static_address(binaries: &Binaries) -> Result<()> {
    let namespace = namespace("static6")?;
    let arguments = ["--ipv4=off", "--ipv6=2001:db8::2/64", "--ipv6-gateway=2001:db8::1"];
    let mut running = start(binaries, &namespace, "net-echo", &arguments)?;
    running.line_with("echo on 2001:db8::2/64")?;
    namespace.python(CLIENT, &["2001:db8::2", &format!("{LINK_LOCAL}%tap0")])?;
    let outcome = running.wait()?;
    ensure!(outcome.ended == Ended::Exit(0), "{outcome:?}");
    Ok(())
}

fn off(binaries: &Binaries) -> Result<()> {
    let namespace = namespace("off6")?;
    let arguments = ["--ipv4=10.0.0.2/24", "--ipv6=off"];
    let mut running = start(binaries, &namespace, "net-echo", &arguments)?;
    running.line_with("echo on 10.0.0.2/24")?;
    // The guest has seen a datagram when it answers the one behind it.
    namespace.ip(&format!("neigh add {LINK_LOCAL} lladdr 02:00:00:00:00:02 dev tap0"))?;
    let client = "\
import socket,sys
six=socket.socket(socket.AF_INET6,socket.SOCK_DGRAM)
six.connect(socket.getaddrinfo(sys.argv[1],7,socket.AF_INET6)[0][4]); six.send(b'six')
four=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); four.settimeout(30)
four.connect(('10.0.0.2',7)); four.send(b'four'); assert four.recv(9)==b'four'
try: print(six.recv(9,socket.MSG_DONTWAIT))
except BlockingIOError: print('nothing')
";
    let answer = namespace.python(client, &[&format!("{LINK_LOCAL}%tap0")])?;
    ensure!(answer.trim() == "nothing", "{answer}");
    Ok(())
}

/// Advertises 2001:db8:7::/64 and itself as a router and name server, again and again.
const ROUTER: &str = "\
import socket,struct,time
# Linux would listen to itself.
open('/proc/sys/net/ipv6/conf/tap0/accept_ra','w').write('0')
s=socket.socket(socket.AF_INET6,socket.SOCK_RAW,58)
s.setsockopt(41,socket.IPV6_MULTICAST_HOPS,255)
s.setsockopt(41,socket.IPV6_MULTICAST_IF,socket.if_nametoindex('tap0'))
network=socket.inet_pton(socket.AF_INET6,'2001:db8:7::')
advert=struct.pack('!BBHBBHII',134,0,0,64,0,1800,0,0)
advert+=struct.pack('!BBBBIII',3,4,64,0xc0,3600,1800,0)+network
advert+=struct.pack('!BBHI',25,3,0,600)+socket.inet_pton(socket.AF_INET6,'2001:db8:7::1')
while True:
  # Not before the guest is there has the interface an address to send from.
  try: s.sendto(advert,('ff02::1',0,0,socket.if_nametoindex('tap0')))
  except OSError: pass
  time.sleep(0.2)
";

/// A program that runs until this is dropped.
struct Background(std::process::Child);

impl Background {
    fn python(namespace: &Namespace, program: &str) -> Result<Self> {
        let words = namespace.inside(&["python3", "-c", program]);
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).stdin(Stdio::null());
        Ok(Self(command.spawn().context("cannot start python3")?))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn advertised(binaries: &Binaries) -> Result<()> {
    let namespace = namespace("advert6")?;
    namespace.ip("addr add 2001:db8:7::1/64 dev tap0 nodad")?;
    let _router = Background::python(&namespace, ROUTER)?;
    let _server = Background::python(&namespace, NAME_SERVER)?;
    let mut told = Vec::new();
    // The same address at each start.
    for _ in 0..2 {
        let arguments = ["--ipv4=off", "--wait=ipv6", "six.example"];
        let mut running = start(binaries, &namespace, "net-resolve", &arguments)?;
        told.push(running.line_with("at 2001:db8:7:")?);
        // By the name server that the router told of.
        running.line_with("six.example: [2001:db8::66]")?;
        let outcome = running.wait()?;
        ensure!(outcome.ended == Ended::Exit(0), "{outcome:?}");
    }
    ensure!(told[0] == told[1] && !told[0].contains("ff:fe00:2"), "{told:?}");
    Ok(())
}

fn wrong_setting(binaries: &Binaries) -> Result<()> {
    for (setting, words) in [
        ("--ipv6=2001:db8::2", "is no address with a prefix length"),
        ("--route=10.1.0.0", "is no network and router"),
        ("--dns=resolver", "is no address of a name server"),
    ] {
        let outcome = Run::new(binaries, binaries.guest("net-echo"))
            .option("--net:service=user")
            .arguments(&[setting])
            .finish()?;
        ensure!(outcome.ended == Ended::Exit(1), "{outcome:?}");
        ensure!(outcome.stdout.contains(&format!("{setting} {words}")), "{outcome:?}");
    }
    Ok(())
}

/// A name server at all addresses. `silent.example` is not answered, and of `mute6.example` only the
/// IPv4 address.
const NAME_SERVER: &str = "\
import socket,struct
s=socket.socket(socket.AF_INET6,socket.SOCK_DGRAM)
s.setsockopt(41,26,0)
s.bind(('::',53))
A,AAAA=1,28
known={'both.example':{A:'10.1.2.3',AAAA:'2001:db8::33'},'four.example':{A:'10.1.2.4'},
 'six.example':{AAAA:'2001:db8::66'},'mute6.example':{A:'10.1.2.5'}}
while True:
  q,peer=s.recvfrom(512)
  at=12; labels=[]
  while q[at]: labels.append(q[at+1:at+1+q[at]].decode().lower()); at+=1+q[at]
  name='.'.join(labels); kind,_=struct.unpack('!HH',q[at+1:at+5])
  if name=='silent.example' or name=='mute6.example' and kind==AAAA: continue
  address=known.get(name,{}).get(kind)
  rcode=0 if name in known else 3
  answer=b''
  if address:
    data=socket.inet_pton(socket.AF_INET if kind==A else socket.AF_INET6,address)
    answer=struct.pack('!HHHIH',0xc00c,kind,1,60,len(data))+data
  s.sendto(q[:2]+struct.pack('!HHHHH',0x8180|rcode,1,1 if address else 0,0,0)+q[12:at+5]+answer,peer)
";

fn names(binaries: &Binaries) -> Result<()> {
    let namespace = namespace("names")?;
    let _server = Background::python(&namespace, NAME_SERVER)?;
    let arguments = [
        "--ipv4=10.0.0.2/24",
        "--ipv6=2001:db8::2/64",
        "--dns=10.0.0.1",
        "--dns=2001:db8::1",
        "both.example",
        "FOUR.example.",
        "six.example",
        "mute6.example",
        "nobody.example",
        "silent.example!",
        "192.0.2.7",
        "-bad-.example",
    ];
    let outcome = start(binaries, &namespace, "net-resolve", &arguments)?.wait()?;
    ensure!(outcome.ended == Ended::Exit(0), "{outcome:?}");
    for line in [
        "at 10.0.0.2/24",
        "both.example: [2001:db8::33, 10.1.2.3]",
        "FOUR.example.: [10.1.2.4]",
        "six.example: [2001:db8::66]",
        "mute6.example: [10.1.2.5]",
        "nobody.example: there is no such name",
        "silent.example: timed out",
        "192.0.2.7: [192.0.2.7]",
    ] {
        ensure!(outcome.stdout.lines().any(|found| found == line), "{line}: {outcome:?}");
    }

    // Without an IPv6 address nobody asks for IPv6 addresses.
    let arguments =
        ["--ipv4=10.0.0.2/24", "--ipv6=off", "--dns=10.0.0.1", "both.example", "six.example"];
    let outcome = start(binaries, &namespace, "net-resolve", &arguments)?.wait()?;
    ensure!(outcome.stdout.contains("both.example: [10.1.2.3]\n"), "{outcome:?}");
    ensure!(outcome.stdout.contains("six.example: the name has no such address"), "{outcome:?}");
    Ok(())
}
