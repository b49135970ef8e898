//! A service in steps, for the fuzzer: it is given events and time, and checked after each round. It
//! is not confined, reaches one address only, and nothing but the fuzzer may use it.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration as HostDuration;

use super::Service;
use crate::{Config, Counters, Error, Gateway, Publish};

/// Rounds that a service may take until it rests. A round takes up to 128 frames.
const ROUNDS_MAX: usize = 2_000;

/// A service that runs only when it is told to.
pub struct Steps<'a> {
    service: Service<'a>,
    published: Vec<Publish>,
}

impl<'a> Steps<'a> {
    /// A gateway whose guest finds the whole host's network at `instead`.
    ///
    /// # Errors
    /// As for [`Gateway::new`].
    ///
    /// # Panics
    /// If anything would be reached or published outside of the host's loopback.
    pub fn new(
        config: Config,
        wire: OwnedFd,
        instead: SocketAddr,
        counters: &'a mut Counters,
    ) -> Result<Self, Error> {
        let published = config.publish.iter().map(|publish| publish.host);
        let addresses = published.chain(config.dns.iter().copied()).chain([instead]);
        assert!(addresses.into_iter().all(|address| address.ip().is_loopback()));
        assert!(!config.dns.is_empty(), "the host's own resolvers are not the fuzzer's");
        let mut gateway = Gateway::new(config, wire)?;
        gateway.destinations = gateway.destinations.leading_to(instead);
        let published = gateway.published()?;
        Ok(Self { service: Service::new(gateway, counters)?, published })
    }

    /// Where ports are published.
    pub fn published(&self) -> &[Publish] {
        &self.published
    }

    /// Lets time go by.
    pub fn advance(&mut self, time: HostDuration) {
        let service = &mut self.service;
        service.started_at = service.started_at.checked_sub(time).unwrap_or(service.started_at);
    }

    /// Serves until nothing more is to be done at once. Tells whether the guest is still there.
    ///
    /// # Errors
    /// As for [`Gateway::run`].
    ///
    /// # Panics
    /// If it never rests, or a table holds more than it may.
    pub fn settle(&mut self) -> Result<bool, Error> {
        for _ in 0..ROUNDS_MAX {
            let now = self.service.now;
            let is_there = self.service.round(Some(now))?;
            self.check();
            let is_at_rest = !self.service.has_events
                && self.service.deadline().is_none_or(|at| at > self.service.now);
            if !is_there || is_at_rest {
                return Ok(is_there);
            }
        }
        panic!("the gateway is busy with nothing");
    }

    fn check(&self) {
        let service = &self.service;
        let (limits, now) = (service.stack.limits(), service.stack.counters());
        assert!(now.connections <= limits.connections);
        assert!(now.half_open <= limits.half_open);
        assert!(now.time_wait <= limits.time_wait);
        service.tcp.check(limits.connections);
        service.nat.check();
        service.dns.check();
        service.wire.check();
    }

    /// Ends the service, as when the guest is gone.
    pub fn close(self) {
        self.service.close();
    }
}
