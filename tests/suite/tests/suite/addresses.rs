//! Guests with IPv6 addresses, and names that they look up, on a TAP device among Linux's own stack.

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
    Need::File("/proc/net/if_inet6"),
];

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("addresses::a static IPv6 address", static_ipv6).with_needs(NEEDS),
        Case::new("addresses::a link-local address alone", link_local).with_needs(NEEDS),
        Case::new("addresses::names by a server on IPv4", |b| names(b, Server::Ipv4))
            .with_needs(NEEDS),
        Case::new("addresses::names by a server on IPv6", |b| names(b, Server::Ipv6))
            .with_needs(NEEDS),
        Case::new("addresses::wrong settings are named", wrong_settings),
    ]
}

/// Pings, echoes a stream and a datagram, and ends the guest. Its argument is the guest's address.
const CLIENT: &str = "import socket,struct,sys,threading\n\
    def there(kind,*protocol):\n\
    \x20 s=socket.socket(socket.AF_INET6,kind,*protocol); s.settimeout(30)\n\
    \x20 s.connect(socket.getaddrinfo(sys.argv[1],7)[0][4]); return s\n\
    ping=there(socket.SOCK_RAW,socket.IPPROTO_ICMPV6)\n\
    ping.send(struct.pack('>BBHHH',128,0,0,7,1)+b'ping')\n\
    while True:\n\
    \x20 answer=ping.recv(99)\n\
    \x20 if answer[0]==129: break\n\
    assert answer[4:]==struct.pack('>HH',7,1)+b'ping',answer\n\
    data=bytes(i%251 for i in range(1<<20))\n\
    s=there(socket.SOCK_STREAM)\n\
    threading.Thread(target=lambda:(s.sendall(data),s.shutdown(socket.SHUT_WR))).start()\n\
    got=b''\n\
    while True:\n\
    \x20 part=s.recv(1<<16)\n\
    \x20 if not part: break\n\
    \x20 got+=part\n\
    assert got==data,len(got)\n\
    u=there(socket.SOCK_DGRAM); u.send(b'datagram'); assert u.recv(99)==b'datagram'\n\
    q=there(socket.SOCK_STREAM); q.sendall(b'quit'); assert q.recv(9)==b'quit'\n";

fn namespace(label: &str) -> Result<Namespace> {
    let namespace = Namespace::new(label)?;
    // Addresses that are there at once: one that is still being checked is nobody's source.
    namespace.configure("link set tap0 addrgenmode none")?;
    namespace.configure("addr add fe80::1/64 dev tap0 nodad")?;
    namespace.configure("addr add 2001:db8::1/64 dev tap0 nodad")?;
    Ok(namespace)
}

/// An echo on these addresses, asked at that one.
fn echo(binaries: &Binaries, label: &str, arguments: &[&str], address: &str) -> Result<()> {
    let namespace = namespace(label)?;
    let mut running = Run::new(binaries, binaries.guest("net-echo"))
        .option("--net:service=tap0")
        .option("--net-mac:service=02:00:00:00:00:02")
        .arguments(arguments)
        .through(&namespace.inside(&[]))
        .start()?;
    let told = address.split('%').next().unwrap_or_default();
    running.line_with(&format!("echo on {told}/64"))?;
    let words = namespace.inside(&["python3", "-c", CLIENT, address]);
    let output = Command::new(words[0]).args(&words[1..]).output()?;
    ensure!(output.status.success(), "client: {}", String::from_utf8_lossy(&output.stderr));
    let outcome = running.wait()?;
    ensure!(outcome.ended == Ended::Exit(0), "{outcome:?}");
    Ok(())
}

fn static_ipv6(binaries: &Binaries) -> Result<()> {
    let arguments = ["--ipv4=off", "--ipv6=2001:db8::2/64", "--ipv6-gateway=fe80::1"];
    echo(binaries, "ipv6", &arguments, "2001:db8::2")
}

/// Made by the guest itself.
fn link_local(binaries: &Binaries) -> Result<()> {
    echo(binaries, "link", &["--ipv4=off"], "fe80::ff:fe00:2%tap0")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    Ipv4,
    Ipv6,
}

/// Knows `both.example`, by an alias too, and nobody else.
const NAME_SERVER: &str = "import socket,struct\n\
    s=socket.socket(socket.AF_INET6,socket.SOCK_DGRAM)\n\
    s.setsockopt(socket.IPPROTO_IPV6,socket.IPV6_V6ONLY,0)\n\
    s.bind(('::',53)); print('ready',flush=True)\n\
    both=b'\\4both\\7example\\0'; alias=b'\\5alias\\7example\\0'\n\
    data={1:socket.inet_aton('192.0.2.7'),28:socket.inet_pton(socket.AF_INET6,'2001:db8::7')}\n\
    def record(name,kind,value): return name+struct.pack('>HHIH',kind,1,60,len(value))+value\n\
    while True:\n\
    \x20 query,peer=s.recvfrom(999)\n\
    \x20 end=query.index(b'\\0',12)+1; name=query[12:end].lower(); kind=query[end+1]\n\
    \x20 known=name in (both,alias)\n\
    \x20 records=[record(alias,5,both)] if name==alias else []\n\
    \x20 if known: records.append(record(both,kind,data[kind]))\n\
    \x20 head=struct.pack('>HHHHH',0x8180 if known else 0x8183,1,len(records),0,0)\n\
    \x20 s.sendto(query[:2]+head+query[12:end+4]+b''.join(records),peer)\n";

fn names(binaries: &Binaries, server: Server) -> Result<()> {
    let namespace = namespace(&format!("names-{server:?}"))?;
    let words = namespace.inside(&["python3", "-c", NAME_SERVER]);
    let mut name_server = Running::start(Command::new(words[0]).args(&words[1..]))?;
    name_server.line_with("ready")?;
    let arguments: &[&str] = match server {
        Server::Ipv4 => &["--ipv4=10.0.0.2/24", "--ipv6=2001:db8::2/64", "--dns=10.0.0.1"],
        Server::Ipv6 => &["--ipv4=off", "--ipv6=2001:db8::2/64", "--dns=2001:db8::1"],
    };
    let outcome = Run::new(binaries, binaries.guest("net-resolve"))
        .option("--net:service=tap0")
        .arguments(arguments)
        .arguments(&["both.example", "alias.example", "nobody.example", "10.9.8.7"])
        .through(&namespace.inside(&[]))
        .finish()?;
    ensure!(outcome.ended == Ended::Exit(0), "{outcome:?}");
    let found = match server {
        Server::Ipv4 => "2001:db8::7 192.0.2.7",
        Server::Ipv6 => "2001:db8::7",
    };
    for line in [
        format!("both.example: {found}"),
        format!("alias.example: {found}"),
        "nobody.example: there is no such name".into(),
        "10.9.8.7: 10.9.8.7".into(),
    ] {
        ensure!(outcome.stdout.lines().any(|it| it == line), "no '{line}' in {outcome:?}");
    }
    Ok(())
}

fn wrong_settings(binaries: &Binaries) -> Result<()> {
    for (setting, said) in [
        ("--ipv6=2001:db8::2", "--ipv6=2001:db8::2 is no address"),
        ("--ipv6=2001:db8::2/64 --ipv6-gateway=2001:db9::1", "2001:db9::1"),
        ("--route=10.1.0.0/16", "--route=10.1.0.0/16 is no network and router"),
        ("--dns=resolver", "--dns=resolver is no address"),
    ] {
        let outcome = Run::new(binaries, binaries.guest("net-echo"))
            .option("--net:service=user")
            .arguments(&setting.split(' ').collect::<Vec<_>>())
            .finish()?;
        ensure!(outcome.ended == Ended::Exit(1), "{outcome:?}");
        ensure!(outcome.stdout.contains(said), "{outcome:?}");
    }
    Ok(())
}
