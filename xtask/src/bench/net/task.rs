//! What a client does with a server.

use std::ffi::OsString;

use anyhow::Result;

use super::iperf3;
use super::row::Row;
use crate::bench::contest::Sample;
use crate::bench::lab::Lab;
use crate::bench::load::Window;

/// What a client does.
#[derive(Clone, Debug)]
pub(super) struct Task {
    /// Whom to ask, and for how long.
    pub(super) window: Window,
    /// What to do.
    pub(super) row: Row,
    /// Datagrams on their way at a time.
    pub(super) outstanding: usize,
    /// Whether iperf3 does it.
    pub(super) is_iperf3: bool,
}

impl Task {
    /// Does it, behind the words of a program that watches if there are any.
    ///
    /// # Errors
    /// If the client fails, or takes too long.
    pub(super) fn run(&self, lab: &Lab, behind: Option<&[OsString]>) -> Result<Sample> {
        let command = lab.client(&self.words(), behind);
        match self.is_iperf3 {
            true => iperf3::run(&self.window, command),
            false => Sample::of_transfers(command, &self.window),
        }
    }

    fn words(&self) -> Vec<String> {
        let own: Vec<String> = match self.row {
            _ if self.is_iperf3 => iperf3::client_words(&self.window, self.row.is_in()),
            Row::Rtt => vec!["byte".into()],
            Row::Udp => {
                vec!["datagrams".into(), "--outstanding".into(), self.outstanding.to_string()]
            }
            row if row.is_in() => vec!["bulk".into(), "--send".into()],
            _ => vec!["bulk".into()],
        };
        let window = if self.is_iperf3 { Vec::new() } else { self.window.words() };
        own.into_iter().chain(window).collect()
    }
}
