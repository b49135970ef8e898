//! The child process: a gateway on the wire that is its standard input. It prints the published
//! ports as soon as they are open, and what it has counted when the guest is gone.

use std::io::{Write, stdin, stdout};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use gateway::{Config, Counters, Ended, Gateway};
use nix::unistd::dup2_stderr;

const MARK: &str = "--serve-as-gateway";

/// What a test wants of its gateway.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) publish: Vec<u16>,
    pub(crate) allow_host_loopback: bool,
    pub(crate) dns: Option<SocketAddr>,
    pub(crate) impatient: bool,
    pub(crate) connections_max: Option<usize>,
    pub(crate) mtu: Option<u16>,
    /// After the guest is gone, do what the policy forbids.
    pub(crate) then_open_a_file: bool,
    /// After the guest is gone, panic, and tell of it on the standard output.
    pub(crate) then_panic: bool,
}

impl Wishes {
    pub(crate) fn to_arguments(&self) -> Vec<String> {
        let mut arguments = vec![MARK.to_owned()];
        arguments.extend(self.publish.iter().map(|port| format!("publish={port}")));
        arguments.extend(self.dns.map(|dns| format!("dns={dns}")));
        arguments.extend(self.connections_max.map(|max| format!("connections={max}")));
        arguments.extend(self.mtu.map(|mtu| format!("mtu={mtu}")));
        for (wanted, word) in [
            (self.allow_host_loopback, "loopback"),
            (self.impatient, "impatient"),
            (self.then_open_a_file, "open"),
            (self.then_panic, "panic"),
        ] {
            arguments.extend(wanted.then(|| word.to_owned()));
        }
        arguments
    }
}

pub(crate) fn is_asked_for() -> bool {
    std::env::args().nth(1).as_deref() == Some(MARK)
}

pub(crate) fn main() {
    let mut config = Config::default();
    let mut then_open_a_file = false;
    let mut then_panic = false;
    for argument in std::env::args().skip(2) {
        match argument.split_once('=') {
            Some(("publish", port)) => config.publish.push(format!("0:{port}").parse().unwrap()),
            Some(("dns", address)) => config.dns.push(address.parse().unwrap()),
            Some(("connections", max)) => config.connections_max = max.parse().unwrap(),
            Some(("mtu", mtu)) => config.mtu = mtu.parse().unwrap(),
            None if argument == "loopback" => config.allow_host_loopback = true,
            None if argument == "impatient" => config.startup = Duration::ZERO,
            None if argument == "open" => then_open_a_file = true,
            None if argument == "panic" => then_panic = true,
            _ => panic!("an unknown wish: {argument}"),
        }
    }
    let wire = stdin().as_fd().try_clone_to_owned().unwrap();
    let gateway = Gateway::new(config, wire).unwrap();
    let ports: Vec<String> =
        gateway.published().unwrap().iter().map(|publish| publish.host.to_string()).collect();
    println!("{}", ports.join(" "));
    if then_panic {
        dup2_stderr(stdout()).unwrap();
    }

    let mut counters = Counters::default();
    assert_eq!(gateway.run_counting(&mut counters).unwrap(), Ended::GuestGone);
    println!("{counters:?}");
    stdout().flush().unwrap();
    if then_open_a_file {
        let _ = std::fs::File::open("/dev/null");
        println!("the file could be opened");
    }
    if then_panic {
        panic!("as wished");
    }
}
