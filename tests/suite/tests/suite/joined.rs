//! Guests on a network that was made as container engines make it: an interface with addresses in a namespace, joined
//! to their TAPs by `netjoin`. Clients are in another namespace, at the interface's other end.

use std::fs::File;
use std::io::Write;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};
use netjoin::{Device, Joined, Request, arguments, join, leave};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::Signal;
use suite::{Binaries, Need, Run, Running};
use tempfile::TempDir;

use crate::Case;
use crate::behaviours::Abi;
use crate::httpd::append;

const NEEDS: &[Need] = &[
    Need::Root,
    Need::Program("ip", "iproute2"),
    Need::Program("python3", "python3"),
    Need::File("/dev/net/tun"),
];

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("joined::10 MB each way, with headers", |b| transfer(b, Abi::Extended, 1500))
            .with_needs(NEEDS),
        Case::new("joined::10 MB each way, plain frames", |b| transfer(b, Abi::Plain, 1500))
            .with_needs(NEEDS),
        Case::new("joined::10 MB each way, jumbo frames", |b| transfer(b, Abi::Plain, 9000))
            .with_needs(NEEDS),
        Case::new("joined::a single address and a router outside of it", router_outside)
            .with_needs(NEEDS),
        Case::new("joined::two guests share an address", two_guests).with_needs(NEEDS),
        Case::new("joined::a transfer outlasts others that come and go", others_come_and_go)
            .with_needs(NEEDS),
    ]
}

/// The client: `MODE ADDRESS`. `echo` sends 10 MB and reads them back; `page` asks for one; `closed` finds that a port
/// does not answer.
const CLIENT: &str = "import socket,threading,sys\n\
    mode,address=sys.argv[1:3]\n\
    if mode=='echo':\n\
    \x20 data=bytes(i%251 for i in range(10<<20))\n\
    \x20 s=socket.create_connection((address,7),timeout=30)\n\
    \x20 threading.Thread(target=lambda:(s.sendall(data),s.shutdown(socket.SHUT_WR))).start()\n\
    \x20 got=bytearray()\n\
    \x20 while True:\n\
    \x20\x20 part=s.recv(1<<16)\n\
    \x20\x20 if not part: break\n\
    \x20\x20 got+=part\n\
    \x20 assert got==data,len(got)\n\
    if mode=='page':\n\
    \x20 s=socket.create_connection((address,80),timeout=30)\n\
    \x20 s.sendall(b'GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')\n\
    \x20 got=b''.join(iter(lambda:s.recv(9999),b''))\n\
    \x20 assert got.endswith(b'a page'),got\n\
    if mode=='datagram':\n\
    \x20 s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.settimeout(30)\n\
    \x20 s.sendto(b'datagram',(address,7)); assert s.recv(99)==b'datagram'\n\
    if mode=='closed' or mode=='refused':\n\
    \x20 try: socket.create_connection((address,81),timeout=.5)\n\
    \x20 except ConnectionRefusedError: assert mode=='refused'\n\
    \x20 except TimeoutError: assert mode=='closed'\n\
    \x20 else: assert False\n";

/// Two namespaces, removed when dropped: `eth0` in one, `peer` in the other.
struct Pair {
    inside: String,
    outside: String,
}

impl Pair {
    /// Commands of `ip` begin with `in` or `out`.
    fn new(label: &str, commands: &[&str]) -> Result<Self> {
        let name = |side| format!("nabla-{}-{label}-{side}", std::process::id());
        let pair = Self { inside: name("in"), outside: name("out") };
        ip(&format!("netns add {}", pair.inside))?;
        ip(&format!("netns add {}", pair.outside))?;
        ip(&format!(
            "-n {} link add eth0 type veth peer name peer netns {}",
            pair.inside, pair.outside
        ))?;
        for command in [&["in link set eth0 up", "out link set peer up"], commands].concat() {
            let (side, words) = command.split_once(' ').context("no side")?;
            let namespace = if side == "in" { &pair.inside } else { &pair.outside };
            ip(&format!("-n {namespace} {words}"))?;
        }
        Ok(pair)
    }

    /// Runs something in the inner namespace, in a thread of its own.
    fn inside<T: Send>(&self, action: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let enter_and_act = || {
            setns(File::open(format!("/run/netns/{}", self.inside))?, CloneFlags::CLONE_NEWNET)?;
            action()
        };
        let outcome = thread::scope(|scope| scope.spawn(enter_and_act).join());
        outcome.ok().context("the thread panicked")?
    }

    fn join(&self, container: &str, headers: bool) -> Result<Joined> {
        let devices = [Device { name: "service", headers }];
        let joined = self.inside(|| Ok(join(&Request { container, devices: &devices })?))?;
        joined.into_iter().next().context("no device")
    }

    fn leave(&self, container: &str) -> Result<()> {
        self.inside(|| Ok(leave(container)?))
    }

    /// Starts a guest on what was joined.
    fn start(&self, run: Run, joined: Joined) -> Result<Running> {
        let told = arguments(&joined, &[]);
        let told: Vec<&str> = told.iter().map(String::as_str).collect();
        let mac = joined.mac.map(|byte| format!("{byte:02x}")).join(":");
        run.option("--net:service=@900")
            .option(format!("--net-mac:service={mac}"))
            .descriptor(900, joined.tap)
            .arguments(&told)
            .through(&["ip", "netns", "exec", &self.inside])
            .start()
    }

    /// Runs the client outside.
    fn client(&self, mode: &str, address: &str) -> Result<()> {
        let words = ["netns", "exec", &self.outside, "python3", "-c", CLIENT, mode, address];
        let output = Command::new("ip").args(words).output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{mode} {address}: {told}");
        Ok(())
    }

    /// Nothing of ours is left inside.
    fn check_clean(&self) -> Result<()> {
        let shell = "ip link; tc qdisc; tc filter show dev eth0 ingress";
        let words = ["netns", "exec", &self.inside, "sh", "-c", shell];
        let output = Command::new("ip").args(words).output()?;
        let shown = String::from_utf8_lossy(&output.stdout);
        let is_clean = ["ingress", "mirred", ": nb"].iter().all(|word| !shown.contains(word));
        ensure!(is_clean, "left: {shown}");
        Ok(())
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = ip(&format!("netns del {}", self.inside));
        let _ = ip(&format!("netns del {}", self.outside));
    }
}

fn ip(words: &str) -> Result<()> {
    let output = Command::new("ip").args(words.split(' ')).output()?;
    ensure!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn stop(running: Running) -> Result<()> {
    running.signal(Signal::SIGTERM)?;
    let outcome = running.wait()?;
    ensure!(!outcome.stdout.contains("panicked"), "{outcome:?}");
    Ok(())
}

/// The client's kernel hands over segments of up to 64 KB without checksums, and takes such. With headers they pass as
/// they are; plain frames are cut and completed by the kernel on their way.
fn transfer(binaries: &Binaries, abi: Abi, mtu: u32) -> Result<()> {
    let commands = [
        &format!("in link set eth0 mtu {mtu}"),
        &format!("out link set peer mtu {mtu}"),
        "in addr add 10.0.0.2/24 dev eth0",
        "in addr add 2001:db8::2/64 dev eth0 nodad",
        "out addr add 10.0.0.1/24 dev peer",
        "out addr add 2001:db8::1/64 dev peer nodad",
    ];
    let pair = Pair::new(&format!("transfer-{abi:?}-{mtu}"), &commands)?;
    let folder = TempDir::new()?;
    let joined = pair.join("c", abi == Abi::Extended)?;
    let kernel = abi.kernel(binaries.guest("net-echo"), &folder)?;
    // With 16 MB and plain jumbo frames the same bytes take half a minute.
    let run = Run::new(binaries, kernel).option("--mem=32");
    let mut running = pair.start(run, joined)?;
    running.line_with("echo on 10.0.0.2/24")?;
    for address in ["10.0.0.2", "2001:db8::2"] {
        pair.client("echo", address)?;
    }
    pair.client("datagram", "10.0.0.2")?;
    pair.client("refused", "10.0.0.2")?;
    stop(running)?;
    pair.leave("c")?;
    pair.check_clean()
}

/// As Calico sets it up.
fn router_outside(binaries: &Binaries) -> Result<()> {
    let commands = [
        "in addr add 10.244.3.7/32 dev eth0",
        "in route add 169.254.1.1 dev eth0 scope link",
        "in route add default via 169.254.1.1 dev eth0",
        "in addr add fd00:10:244::7/128 dev eth0 nodad",
        "in -6 route add default via fe80::1 dev eth0",
        "out addr add 169.254.1.1/32 dev peer",
        "out addr add fe80::1/64 dev peer nodad",
        "out link set lo up",
        "out addr add 192.0.2.1/32 dev lo",
        "out addr add fd00:192::1/128 dev lo",
        "out route add 10.244.3.7/32 dev peer src 192.0.2.1",
        "out -6 route add fd00:10:244::7/128 dev peer src fd00:192::1",
    ];
    let pair = Pair::new("router", &commands)?;
    let joined = pair.join("c", true)?;
    let mut running = pair.start(Run::new(binaries, binaries.guest("net-echo")), joined)?;
    running.line_with("echo on 10.244.3.7/32")?;
    pair.client("echo", "10.244.3.7")?;
    pair.client("echo", "fd00:10:244::7")?;
    stop(running)?;
    pair.leave("c")?;
    pair.check_clean()
}

fn two_guests(binaries: &Binaries) -> Result<()> {
    let commands = ["in addr add 10.0.0.2/24 dev eth0", "out addr add 10.0.0.1/24 dev peer"];
    let pair = Pair::new("pod", &commands)?;
    let folder = TempDir::new()?;
    let image = folder.path().join("site.img");
    let mut file = File::create(&image)?;
    append(&mut file, "index.html", 6, b"a page")?;
    file.write_all(&[0; 1024])?;

    let joined = pair.join("echo", true)?;
    let mut echo = pair.start(Run::new(binaries, binaries.guest("net-echo")), joined)?;
    echo.line_with("echo on")?;
    pair.client("refused", "10.0.0.2")?;

    let joined = pair.join("pages", true)?;
    let run = Run::new(binaries, binaries.app("httpd"))
        .option("--mem=32")
        .option(format!("--block:site={}", image.display()));
    let mut pages = pair.start(run, joined)?;
    pages.line_with("listening on")?;
    for _ in 0..3 {
        pair.client("page", "10.0.0.2")?;
        pair.client("echo", "10.0.0.2")?;
    }
    pair.client("datagram", "10.0.0.2")?;
    pair.client("closed", "10.0.0.2")?;

    // The first goes; the other stays, alone.
    stop(echo)?;
    pair.client("page", "10.0.0.2")?;
    pair.leave("echo")?;
    pair.client("page", "10.0.0.2")?;
    pair.client("refused", "10.0.0.2")?;
    stop(pages)?;
    pair.leave("pages")?;
    pair.check_clean()
}

fn others_come_and_go(binaries: &Binaries) -> Result<()> {
    let commands = ["in addr add 10.0.0.2/24 dev eth0", "out addr add 10.0.0.1/24 dev peer"];
    let pair = Pair::new("others", &commands)?;
    // The first one's filter stands last, the next one's before it, and the first goes while it runs.
    let first = pair.join("first", true)?;
    let joined = pair.join("echo", true)?;
    let mut echo = pair.start(Run::new(binaries, binaries.guest("net-echo")), joined)?;
    echo.line_with("echo on")?;
    thread::scope(|scope| {
        let transfers = scope.spawn(|| (0..3).try_for_each(|_| pair.client("echo", "10.0.0.2")));
        drop(first);
        for number in 0.. {
            let other = pair.join(&format!("other {number}"), number % 2 == 0)?;
            pair.leave(if number == 0 { "first" } else { "nobody" })?;
            drop(other);
            pair.leave(&format!("other {number}"))?;
            if transfers.is_finished() {
                break;
            }
        }
        transfers.join().ok().context("the client panicked")?
    })?;
    stop(echo)?;
    pair.leave("echo")?;
    pair.check_clean()
}
