//! A link that loses frames and takes its time, in front of guests and other servers alike. It is a
//! worker between two TAP interfaces and not the kernel's netem, which is not built everywhere and
//! loses different frames in each run.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::{Lab, Namespace, Program, Segment, Tap};
use crate::bench::load::link;
use crate::bench::worker::Place;

/// Of a hundred frames so many are lost, each way.
pub(crate) const LOSS_PERCENT: u64 = 1;
/// How long a frame takes, each way.
pub(crate) const DELAY: Duration = Duration::from_millis(10);

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 1);
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 2);
const UPSTREAM: Ipv4Addr = Ipv4Addr::new(10, 79, 1, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 79, 1, 2);
const NETWORK: &str = "10.79.0.0/16";
/// Both ends have this name, in their namespaces.
const INTERFACE: &str = "lossy0";

/// The link, with a router behind it that leads to guests and servers.
#[derive(Debug)]
pub(crate) struct Lossy {
    router: Namespace,
    taps: [Tap; 2],
}

impl Lossy {
    /// Makes the router. Nothing gets to it before [`Self::start`].
    ///
    /// # Errors
    /// If `ip` cannot.
    pub(crate) fn new(lab: &Lab) -> Result<Self> {
        let (launcher, router) = (&lab.launcher, Namespace::new()?);
        for (namespace, address) in [(&lab.client, CLIENT), (&router, ROUTER)] {
            namespace.ip(launcher, &format!("tuntap add {INTERFACE} mode tap"))?;
            namespace.attach(launcher, INTERFACE, address)?;
        }
        router.sysctl(launcher, "net.ipv4.ip_forward", "1")?;
        router.connect(launcher, &lab.server, "veth1", [UPSTREAM, SERVER])?;
        lab.client.ip(launcher, &format!("route add {NETWORK} via {ROUTER}"))?;
        lab.server.ip(launcher, &format!("route add {NETWORK} via {UPSTREAM}"))?;
        let tap = |number| Tap::make(&router, launcher, [10, 79, number]);
        let taps = [tap(2)?, tap(3)?];
        Ok(Self { router, taps })
    }

    /// What clients reach over the link.
    pub(crate) fn segment<'a>(&'a self, lab: &'a Lab) -> Segment<'a> {
        Segment { guests: &self.router, taps: &self.taps, servers: &lab.server, server: SERVER }
    }

    /// Starts to forward. The same seed loses the same frames, by their number.
    ///
    /// # Errors
    /// If it cannot.
    pub(crate) fn start(&self, lab: &Lab, seed: u64, log: &Path) -> Result<Program> {
        // On any processor: it is neither the server's nor the client's work.
        let place = Place { network: Some(lab.client.path()), ..Place::default() };
        let mut command = lab.launcher.task(place, ["link"]);
        command.arg("--other").arg(self.router.path()).args(["--interface", INTERFACE]);
        command.args(["--loss-percent".to_owned(), LOSS_PERCENT.to_string()]);
        command.args(["--delay".to_owned(), DELAY.as_millis().to_string()]);
        command.args(["--seed".to_owned(), seed.to_string()]);
        let mut program = Program::start("the lossy link", command, log)?;
        program.wait_until_it_says(link::READY)?;
        Ok(program)
    }
}
