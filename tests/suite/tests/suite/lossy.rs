//! A guest's TCP and Linux's over a wire that loses, doubles, delays and turns around frames, by a seed:
//! what is echoed comes back whole.

use anyhow::{Result, ensure};
use suite::{Binaries, Need};

use crate::Case;
use crate::network::{Namespace, TAP};

const NEEDS: &[Need] = &[
    TAP[0],
    TAP[1],
    TAP[2],
    Need::Program("python3", "python3"),
    Need::File("/proc/sys/net/ipv6"),
];

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![Case::new("lossy::Linux and a guest over a rough wire", rough).with_needs(NEEDS)]
}

/// Starts the guest behind a wire of its own making, and echoes by IPv4 and IPv6. Its arguments are
/// the tender and the guest.
const WIRE: &str = "\
import fcntl,hashlib,heapq,os,random,select,socket,struct,subprocess,sys,threading,time
tap=os.open('/dev/net/tun',os.O_RDWR)
fcntl.ioctl(tap,0x400454ca,struct.pack('16sH22x',b'tap0',0x1002))
ours,theirs=socket.socketpair(socket.AF_UNIX,socket.SOCK_SEQPACKET)
guest=subprocess.Popen([sys.argv[1],'--mem=16','--net-mac:service=02:00:00:00:00:02',
  f'--net:service=@{theirs.fileno()}','--no-supervisor',sys.argv[2],'--ipv4=10.0.0.2/24',
  '--ipv6=2001:db8::2/64'],pass_fds=[theirs.fileno()])
theirs.close()
def wire():
  chance=random.Random(7); flying=[]; number=0
  while True:
    now=time.monotonic()
    while flying and flying[0][0]<=now:
      _,_,to,frame=heapq.heappop(flying)
      try: os.write(to,frame)
      except OSError: pass
    wait=max(0,flying[0][0]-now) if flying else 1
    for side in select.select([tap,ours.fileno()],[],[],wait)[0]:
      frame=os.read(side,2000)
      if chance.random()<.02: continue
      for _ in range(1+(chance.random()<.01)):
        number+=1
        late=.003+(chance.random()*.003 if chance.random()<.05 else 0)
        heapq.heappush(flying,(time.monotonic()+late,number,ours.fileno() if side==tap else tap,frame))
threading.Thread(target=wire,daemon=True).start()
def connect(address):
  for _ in range(60):
    try: return socket.create_connection((address,7),timeout=30)
    except OSError: time.sleep(.2)
  sys.exit('no connection to '+address)
data=random.Random(9).randbytes(1<<20)
for address in '10.0.0.2','2001:db8::2':
  s=connect(address); s.settimeout(60); got=hashlib.sha256(); count=0
  threading.Thread(target=lambda:(s.sendall(data),s.shutdown(socket.SHUT_WR))).start()
  while True:
    part=s.recv(1<<16)
    if not part: break
    got.update(part); count+=len(part)
  assert got.digest()==hashlib.sha256(data).digest(),(address,count)
  print(address)
guest.kill(); guest.wait()
";

fn rough(binaries: &Binaries) -> Result<()> {
    let namespace = Namespace::new("lossy")?;
    namespace.ip("addr add 2001:db8::1/64 dev tap0 nodad")?;
    let (tender, guest) = (binaries.tender(), binaries.guest("net-echo"));
    let words = [tender.display().to_string(), guest.display().to_string()];
    let told = namespace.python(WIRE, &words.each_ref().map(String::as_str))?;
    ensure!(
        told.lines().filter(|line| line.contains("::2") || *line == "10.0.0.2").count() == 2,
        "{told}"
    );
    Ok(())
}
