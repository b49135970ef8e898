//! Many connections that are open and ask nothing: what each takes of the guest's memory, and that a small memory turns away what it has no room for.

use std::fs::File;
use std::io::Write;

use anyhow::{Context, Result, ensure};
use suite::{Binaries, Ended, Need, Run, Running};
use tempfile::TempDir;

use crate::Case;
use crate::httpd::append;
use crate::network::{Namespace, TAP};

const NEEDS: &[Need] = &[TAP[0], TAP[1], TAP[2], Need::Program("python3", "python3")];
const PAGE: &str = "<!doctype html><title>idle</title>";
/// What an idle connection may take of the heap, all counted; slots that are a little larger add some percent.
const CONNECTION_BYTES_MAX: usize = 1000;
/// Buffers that the stack keeps for the next one who needs one.
const SPARE_BYTES: usize = 64 * 4096;

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("idle::a connection takes a kilobyte", small).with_needs(NEEDS),
        Case::new("idle::more than there is memory for", too_many).with_needs(NEEDS),
    ]
}

/// Opens so many connections, asks once on each, and prints how many were answered by which status;
/// then, if there is a third argument, how many bytes of the heap were taken for that and are no buffers; then asks again on those
/// that had a 200, and prints how many have one again.
const CLIENT: &str = "\
import collections,resource,socket,sys
hard=resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE,(hard,hard))
def ask(s):
  try:
    s.sendall(b'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'); answer=b''
    while b'\\r\\n\\r\\n' not in answer:
      part=s.recv(4096)
      if not part: return 'closed'
      answer+=part
    return answer[9:12].decode()
  except OSError: return 'closed'
def heap():
  s=socket.create_connection(('10.0.0.2',80),timeout=30)
  s.sendall(b'GET /metrics HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')
  text=s.makefile().read()
  number=lambda name: next(int(l.split()[1]) for l in text.splitlines() if l.startswith(name))
  return number('guest_heap_used_bytes ')-number('netstack_buffer_bytes{')
is_measured=len(sys.argv)>3
before=is_measured and heap()
clients=[]
for _ in range(int(sys.argv[1])):
  s=socket.socket(); s.settimeout(float(sys.argv[2]))
  try: s.connect(('10.0.0.2',80))
  except OSError: break
  clients.append((s,ask(s)))
print(dict(collections.Counter(status for _,status in clients)),flush=True)
if is_measured: print('taken',heap()-before)
print('again',sum(ask(s)=='200' for s,status in clients if status=='200'))
";

struct Server {
    running: Running,
    namespace: Namespace,
    _folder: TempDir,
}

impl Server {
    fn start(binaries: &Binaries, label: &str, memory: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        let image = folder.path().join("site.img");
        let mut file = File::create(&image)?;
        append(&mut file, "index.html", PAGE.len() as u64, PAGE.as_bytes())?;
        file.write_all(&[0; 1024])?;
        let namespace = Namespace::new(label)?;
        let mut running = Run::new(binaries, binaries.app("httpd"))
            .option(memory)
            .option("--net:service=tap0")
            .option(format!("--block:site={}", image.display()))
            .arguments(&["--ipv4=10.0.0.2/24"])
            .through(&namespace.inside(&[]))
            .start()?;
        running.line_with("listening on 10.0.0.2/24")?;
        Ok(Self { running, namespace, _folder: folder })
    }
}

fn small(binaries: &Binaries) -> Result<()> {
    const CONNECTIONS: usize = 2000;
    let server = Server::start(binaries, "idle", "--mem=16")?;
    let told = server.namespace.python(CLIENT, &[&CONNECTIONS.to_string(), "30", "measured"])?;
    ensure!(told.contains(&format!("'200': {CONNECTIONS}")), "{told}");
    ensure!(told.contains(&format!("again {CONNECTIONS}")), "{told}");
    let taken = told.lines().find_map(|line| line.strip_prefix("taken ")).context("no number")?;
    let each_bytes = taken.parse::<usize>()?.saturating_sub(SPARE_BYTES) / CONNECTIONS;
    ensure!(each_bytes <= CONNECTION_BYTES_MAX, "{each_bytes} bytes a connection");
    Ok(())
}

fn too_many(binaries: &Binaries) -> Result<()> {
    let server = Server::start(binaries, "crowd", "--mem=3")?;
    // It is full when connecting takes longer than the client waits.
    let told = server.namespace.python(CLIENT, &["900", "2"])?;
    ensure!(!told.contains("'200': 900"), "{told}: this memory should be too small");
    let again = server.namespace.python(CLIENT, &["1", "30"])?;
    ensure!(again.contains("'200': 1"), "{again}");
    server.running.signal(nix::sys::signal::Signal::SIGTERM)?;
    let outcome = server.running.wait()?;
    ensure!(outcome.ended == Ended::Exit(0), "{outcome:?}");
    ensure!(!outcome.stdout.contains("panicked"), "{outcome:?}");
    Ok(())
}
