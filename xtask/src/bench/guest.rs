//! Our unikernels as servers in a lab: how a guest is started on each kind of wire, and where
//! clients find it.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::lab::{Lab, Segment};
use crate::app::{self, App};
use crate::cargo::Profile;
use crate::packages::Workspace;

/// A published port is the guest's and this: no privilege, and nothing else on the machine.
const PUBLISHED_BASE: u16 = 7000;

/// What a guest's frames go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// A TAP interface.
    Tap,
    /// A ring, with a TAP interface at the gateway.
    Ring,
    /// The user-mode gateway.
    User,
}

impl Wire {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Tap, Self::Ring, Self::User];

    /// Its word on the command line.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Tap => "tap",
            Self::Ring => "ring",
            Self::User => "user",
        }
    }

    /// Its name in a table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tap => "TAP",
            Self::Ring => "ring and TAP",
            Self::User => "gateway",
        }
    }

    /// Where clients find a port of a guest.
    pub(super) fn address(self, segment: &Segment<'_>, port: u16) -> SocketAddrV4 {
        match self {
            Self::Tap => SocketAddrV4::new(segment.taps[0].guest, port),
            Self::Ring => SocketAddrV4::new(segment.taps[1].guest, port),
            Self::User => SocketAddrV4::new(segment.server, PUBLISHED_BASE + port),
        }
    }
}

/// A unikernel that was built, and how it is started.
#[derive(Clone, Debug)]
pub(super) struct Guest {
    tender: PathBuf,
    kernel: PathBuf,
    /// Its memory.
    pub(super) memory_mb: u64,
    /// TCP ports to publish where that is needed.
    pub(super) ports: Vec<u16>,
    /// More options for the tender.
    pub(super) options: Vec<String>,
    /// Arguments of the guest.
    pub(super) words: Vec<String>,
}

impl Guest {
    /// Builds an app and the tender.
    ///
    /// # Errors
    /// If one does not compile.
    pub(super) fn build(ours: &Workspace, app: &str, memory_mb: u64) -> Result<Self> {
        let tender = app::build_tender(ours)?;
        let app = App::find(app, ours, Profile::Release)?;
        app.build().context("the unikernel is not built")?;
        Ok(Self {
            tender,
            kernel: app.kernel(),
            memory_mb,
            ports: Vec::new(),
            options: Vec::new(),
            words: vec!["--log=warn".into()],
        })
    }

    /// The command that starts it.
    pub(super) fn command(&self, lab: &Lab, segment: &Segment<'_>, wire: Wire) -> Command {
        let on_tap = |prefix: &str, number: usize| {
            let tap = &segment.taps[number];
            // A server that is started anew is known to its neighbours.
            let [.., third, _] = Ipv4Addr::octets(&tap.guest);
            let mac = format!("--net-mac:service=02:00:00:00:00:{third:02x}");
            let options = vec![format!("--net:service={prefix}{}", tap.name), mac];
            (segment.guests, options, tap.guest_words().to_vec())
        };
        let (namespace, options, words) = match wire {
            Wire::Tap => on_tap("", 0),
            Wire::Ring => on_tap("ring:", 1),
            Wire::User => {
                let publish = self.ports.iter().map(|port| {
                    format!("--publish:service=0.0.0.0:{}:{port}", PUBLISHED_BASE + port)
                });
                let device = ["--net:service=user".to_owned()];
                (segment.servers, device.into_iter().chain(publish).collect(), Vec::new())
            }
        };
        let mut command = lab.launcher.exec(lab.server_place(namespace), self.tender.as_os_str());
        command.args(["--die-with-parent", &format!("--mem={}", self.memory_mb)]);
        command.args(options).args(&self.options);
        command.arg("--").arg(&self.kernel).args(&self.words).args(words);
        command
    }
}
