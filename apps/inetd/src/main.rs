//! The unikernel: the services on the network device `service`, each on its well-known port.
//!
//! Arguments: `--buffer=KIB`, `--udp-chargen`, and those of the runtime (`--log=LEVEL`,
//! `--ipv4=ADDRESS/LENGTH`, `--ipv4-gateway=ADDRESS`; without an address it asks DHCP).
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec;
use core::cell::Cell;

use guest_rt::net::{self, Limits, Net, TcpStream};
use guest_rt::time::{self, Duration};
use guest_rt::{args, entropy, log, task};
use inetd::idle::{Activity, unless_idle};
use inetd::{Pattern, Service, datagram};

guest_rt::manifest! {
    net "service",
    shutdown,
}

/// Buffers of a connection in the stack, for each direction, if nothing is said.
const BUFFER_KIB: usize = 256;
const BUFFER_KIB_MAX: usize = 16 << 10;
/// Connections at most, however much memory there is.
const CONNECTIONS_MAX: usize = 1000;
/// Connections that are being refused, or close.
const SPARE: usize = 4;
const BACKLOG: usize = 32;
/// A connection on which nothing moves for so long is closed, at the latest after twice as long.
const IDLE: Duration = Duration::from_secs(300);
/// What waits in a UDP socket, for each direction.
const DATAGRAMS: usize = 512;
const DATAGRAM_BUFFER_BYTES: usize = 512 << 10;
const DATAGRAM_BYTES_MAX: usize = 64 << 10;

#[guest_rt::main]
async fn main() -> Result<(), String> {
    let buffer_bytes = buffer_bytes()?;
    let connections_max = connections_that_fit(buffer_bytes)?;
    let limits = Limits {
        connections: connections_max + SPARE,
        half_open: connections_max.min(256),
        receive_buffer_bytes: buffer_bytes,
        send_buffer_bytes: buffer_bytes,
        udp_datagrams: DATAGRAMS,
        udp_buffer_bytes: DATAGRAM_BUFFER_BYTES,
        // Growing takes the old and the new, and beyond the half buffers stay small.
        buffers_bytes: (connections_max * 4 * buffer_bytes).clamp(64 << 10, 1 << 30),
        ..Limits::default()
    };
    let net = net::open_with("service", limits).map_err(|e| e.to_string())?;
    let pattern = Rc::new(Pattern::new());
    let slots = Rc::new(Slots { free: Cell::new(connections_max), was_full: Cell::new(false) });
    for service in Service::ALL {
        spawn_listener(&net, service, &pattern, &slots)?;
        if service != Service::Chargen || args().iter().any(|word| word == "--udp-chargen") {
            spawn_socket(&net, service, &pattern)?;
        }
    }
    // Apart, as there may never be an address, and the wish to end must be heard all the same.
    guest_rt::spawn(async move {
        let (address, prefix_len) = net.address().await;
        for service in Service::ALL {
            log::info!("{} on {address}/{prefix_len} port {}", service.name(), service.port());
        }
        log::info!("at most {connections_max} connections, {buffer_bytes} B buffered each way");
    });
    // What is echoed and discarded here is nobody's to wait for.
    task::shutdown().await;
    log::info!("asked to end: the end");
    Ok(())
}

fn buffer_bytes() -> Result<usize, String> {
    let Some(text) = args::option("--buffer") else { return Ok(BUFFER_KIB << 10) };
    let kib = text.parse().ok().filter(|kib| (1..=BUFFER_KIB_MAX).contains(kib));
    kib.map(|kib: usize| kib << 10)
        .ok_or_else(|| format!("--buffer={text} is no number of KiB from 1 to {BUFFER_KIB_MAX}"))
}

/// How many connections fit into three quarters of the memory.
fn connections_that_fit(buffer_bytes: usize) -> Result<usize, String> {
    let (used_bytes, heap_bytes) = guest_rt::heap_usage();
    let sockets_bytes = Service::ALL.len() * (2 * DATAGRAM_BUFFER_BYTES + DATAGRAM_BYTES_MAX);
    let stack_bytes = 2 * buffer_bytes + (4 << 10);
    let free_bytes = (heap_bytes.saturating_sub(used_bytes) / 4 * 3)
        .saturating_sub(sockets_bytes + SPARE * stack_bytes);
    match free_bytes / (stack_bytes + Service::stream_bytes()) {
        0 => Err(format!("no connection of {buffer_bytes} B each way fits into the memory")),
        count => Ok(count.min(CONNECTIONS_MAX)),
    }
}

/// How many connections more can be served.
struct Slots {
    free: Cell<usize>,
    /// It has been said that there are none.
    was_full: Cell<bool>,
}

impl Slots {
    fn take(slots: &Rc<Self>) -> Option<Slot> {
        let free = slots.free.get().checked_sub(1)?;
        slots.free.set(free);
        slots.was_full.set(false);
        Some(Slot(Rc::clone(slots)))
    }
}

struct Slot(Rc<Slots>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.free.set(self.0.free.get() + 1);
    }
}

fn spawn_listener(
    net: &Net,
    service: Service,
    pattern: &Rc<Pattern>,
    slots: &Rc<Slots>,
) -> Result<(), String> {
    let mut listener = net.listen(service.port(), BACKLOG).map_err(|e| e.to_string())?;
    let (pattern, slots) = (Rc::clone(pattern), Rc::clone(slots));
    guest_rt::spawn(async move {
        loop {
            let mut stream = listener.accept().await;
            match Slots::take(&slots) {
                Some(slot) => {
                    guest_rt::spawn(serve(service, stream, Rc::clone(&pattern), slot));
                }
                None => {
                    stream.abort();
                    if !slots.was_full.replace(true) {
                        log::warn!("no more connections fit; new ones are reset");
                    }
                }
            }
        }
    });
    Ok(())
}

async fn serve(service: Service, stream: TcpStream, pattern: Rc<Pattern>, _slot: Slot) {
    let (name, peer) = (service.name(), stream.remote());
    log::debug!("{name}: {peer:?} has come");
    let (mut reader, mut writer) = stream.split();
    let activity = Activity::default();
    let work = service.serve(&mut reader, &mut writer, &pattern, &activity);
    let was_done = unless_idle(work, &activity, || time::sleep(IDLE)).await;
    log::debug!("{name}: {peer:?} {}", if was_done { "is done" } else { "was idle too long" });
}

fn spawn_socket(net: &Net, service: Service, pattern: &Rc<Pattern>) -> Result<(), String> {
    let mut socket = net.bind_udp(service.port()).map_err(|e| e.to_string())?;
    let pattern = Rc::clone(pattern);
    guest_rt::spawn(async move {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let (bytes, sender) = socket.recv_from(&mut buffer).await;
            let random = entropy::random_u64;
            let question = &buffer[..bytes];
            if let Some(data) = datagram::answer(service, question, sender, &pattern, random) {
                // Datagrams may be lost, and one for which there is no room is.
                let _ = socket.try_send_to(data, sender);
            }
        }
    });
    Ok(())
}
