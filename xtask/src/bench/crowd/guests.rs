//! Guests of `httpd` under our tender.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use super::{Base, PAUSE, TIME_OUT, TIME_OUT_EACH};
use crate::bench::fleet::{Fleet, free_addresses};
use crate::bench::lab::{Launcher, Namespace};
use crate::bench::oci;
use crate::bench::sweep::Rival;

const MEMORY_MB: u64 = 32;

/// TAP interfaces in the network of this thread.
pub(super) struct Taps {
    namespace: Namespace,
    launcher: Launcher,
    count: usize,
}

impl Taps {
    /// None yet.
    ///
    /// # Errors
    /// If there is no /proc.
    pub(super) fn new(worker: &Path) -> Result<Self> {
        Ok(Self {
            namespace: Namespace::of_this_thread()?,
            launcher: Launcher::new(worker.to_owned()),
            count: 0,
        })
    }

    fn address(number: usize, last: u8) -> Ipv4Addr {
        let [.., high, low] = (number as u32).to_be_bytes();
        Ipv4Addr::new(10, 110 + high, low, last)
    }

    /// Makes those that are not there yet.
    fn make(&mut self, count: usize) -> Result<()> {
        for number in self.count..count {
            let (name, ip) =
                (format!("tap{number}"), |words: &str| self.namespace.ip(&self.launcher, words));
            ip(&format!("tuntap add {name} mode tap"))?;
            self.namespace.attach(&self.launcher, &name, Self::address(number, 1))?;
            let soon = format!("net.ipv4.neigh.{name}.retrans_time_ms");
            self.namespace.sysctl(&self.launcher, &soon, "10")?;
            self.count = number + 1;
        }
        Ok(())
    }
}

/// Guests of `httpd` under our tender, with networks of their own or with TAP interfaces.
pub(super) struct Guests<'a> {
    pub(super) base: Base<'a>,
    pub(super) taps: Option<Taps>,
}

impl Rival for Guests<'_> {
    fn name(&self) -> String {
        let wire = if self.taps.is_some() { "TAP" } else { "gateway" };
        format!("httpd, tender, {wire}")
    }

    fn go(&mut self, count: usize) -> Result<Vec<f64>> {
        let addresses = match &mut self.taps {
            None => free_addresses(count)?,
            Some(taps) => {
                taps.make(count)?;
                let address = |number| SocketAddr::from((Taps::address(number, 2), 80));
                (0..count).map(address).collect()
            }
        };
        let (base, is_on_tap) = (&self.base, self.taps.is_some());
        let number = |ip: IpAddr| addresses.iter().position(|its| its.ip() == ip).unwrap_or(0);
        let available = base.available()?;
        let start = Instant::now();
        let mut fleet = Fleet::start(&addresses, base.log, |address| {
            let mut command = base.tender(MEMORY_MB);
            command.arg(format!("--block:site={}", base.builds.site.display()));
            if is_on_tap {
                let number = number(address.ip());
                command.arg(format!("--net:service=tap{number}")).arg("--").arg(&base.builds.httpd);
                command.arg(format!("--ipv4={}/24", address.ip()));
                command.arg(format!("--ipv4-gateway={}", Taps::address(number, 1)));
            } else {
                command.arg("--net:service=user").arg(format!("--publish:service={address}:80"));
                command.arg("--").arg(&base.builds.httpd);
            }
            command
        })?;
        let time_out = TIME_OUT + TIME_OUT_EACH * u32::try_from(count)?;
        let deadline = start + time_out;
        fleet.wait_until_each(deadline, PAUSE, |address| oci::answers(address, start.elapsed()))?;
        let values = base.values(start.elapsed(), count, available);
        fleet.stop(Instant::now() + time_out)?;
        values
    }
}
