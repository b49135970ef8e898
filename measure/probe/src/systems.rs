//! How each system is started, where it is found, and which of its processes plays which role.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, bail};
use surface::scenario::{Scenario, System, Workload};

use crate::boot::DATA;
use crate::container::{self, Bundle, Engine, Volume};
use crate::network::{self, TAP};
use crate::processes::family;
use crate::program::Program;

/// Of what is started for a workload.
const KV_DISK_BYTES: u64 = 48 << 20;
const BLOCK_DISK_BYTES: u64 = 4 << 20;
const PUBLISHED: u16 = 8000;

/// A system that is ready to be started.
#[derive(Debug)]
pub(crate) struct Subject {
    /// Its command line.
    pub(crate) words: Vec<String>,
    /// The network namespace that it is started in.
    pub(crate) namespace: Option<&'static str>,
    /// Where clients find it, if it has any.
    pub(crate) address: Option<SocketAddr>,
    /// Who is who.
    pub(crate) cast: Cast,
}

/// The roles that a system's processes play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cast {
    /// A supervisor, a guest, perhaps a gateway: by their names.
    Nabla,
    /// All are the same.
    All(&'static str),
    /// Of a container those that are in it, whoever's descendants they are.
    Container(Engine),
}

impl Cast {
    /// Who takes part, with its role: the process that was started and its descendants.
    ///
    /// # Errors
    /// If there is no /proc.
    pub(crate) fn of(self, root: i32) -> Result<Vec<(i32, &'static str)>> {
        let role = |name: &str| match self {
            Self::All(role) => role,
            Self::Nabla | Self::Container(_) => match name {
                "tender-guest" => "guest",
                "tender-gateway" => "gateway",
                _ => "supervisor",
            },
        };
        if let Self::Container(engine) = self {
            return engine.processes();
        }
        Ok(family(root)?.into_iter().map(|process| (process.id, role(&process.name))).collect())
    }

    /// The role of processes that had ended before anybody asked who they were.
    pub(crate) fn helper(self) -> &'static str {
        match self {
            Self::Nabla => "supervisor",
            Self::All(role) => role,
            Self::Container(_) => container::RUNTIME,
        }
    }
}

/// Makes what a system needs, and says how it is started.
///
/// # Errors
/// If it does not do that, or something cannot be made.
pub(crate) fn prepare(scenario: &Scenario) -> Result<Subject> {
    match scenario.system {
        System::NablaTap | System::NablaPlain | System::NablaRing | System::NablaUser => {
            unikernel(scenario, &["/nabla/tender"], Cast::Nabla)
        }
        System::Solo5Tap => unikernel(
            scenario,
            // It is not built for this system, so it brings its own libraries.
            &["/solo5/ld.so", "--library-path", "/solo5", "/solo5/solo5-spt"],
            Cast::All("guest"),
        ),
        System::Native => native(scenario),
        System::Runc => contained(scenario, Engine::Runc),
        System::Gvisor => contained(scenario, Engine::Gvisor),
        other => bail!("{other} cannot be started here"),
    }
}

fn unikernel(scenario: &Scenario, tender: &[&str], cast: Cast) -> Result<Subject> {
    let mut words: Vec<String> = tender.iter().map(|&word| word.to_owned()).collect();
    let (kernel, port) = match scenario.workload {
        Workload::Hello => ("hello", None),
        Workload::Block => {
            words.push(format!("--block:storage={}", blank("block.img", BLOCK_DISK_BYTES)?));
            ("block", None)
        }
        Workload::Httpd => {
            let site = Path::new(DATA).join("page.img");
            fs::copy("/nabla/page.img", &site).context("cannot copy the page")?;
            words.push(format!("--block:site={}", site.display()));
            ("httpd", Some(80))
        }
        Workload::Kv => {
            words.push(format!("--block:data={}", blank("kv.img", KV_DISK_BYTES)?));
            if scenario.system.is_ours() {
                // As `cargo xtask run` starts it.
                words.push("--block-sync:data".into());
            }
            ("kv", Some(6379))
        }
        Workload::Fuzz | Workload::Code => bail!("{} has no guest", scenario.workload),
    };
    words.push("--mem=64".into());
    // As those beside it: no line for each request.
    let mut guest_words = if port.is_some() { vec!["--log=warn".into()] } else { Vec::new() };
    let address = match port {
        None => None,
        Some(port) => {
            let (attached, address) = match scenario.system {
                System::NablaPlain => ("user,wire=plain".into(), None),
                System::NablaUser => ("user".into(), None),
                System::NablaRing => (format!("ring:{TAP}"), Some(network::guest_address(port))),
                _ => (TAP.into(), Some(network::guest_address(port))),
            };
            words.push(format!("--net:service={attached}"));
            Some(match address {
                Some(address) => {
                    network::make_tap()?;
                    guest_words.extend(network::guest_words());
                    address
                }
                None => {
                    let address = network::router_address(PUBLISHED);
                    words.push(format!("--publish:service={address}:{port}"));
                    address
                }
            })
        }
    };
    words.push(format!("/nabla/{kernel}"));
    words.extend(guest_words);
    if scenario.workload == Workload::Block {
        words.extend([scenario.repeats.to_string(), scenario.requests.to_string()]);
    }
    Ok(Subject { words, namespace: None, address, cast })
}

fn native(scenario: &Scenario) -> Result<Subject> {
    let program = program(scenario)?;
    let address = program.port().map(network::server_address);
    if address.is_some() {
        network::make_namespace()?;
    }
    let namespace = address.map(|_| network::NAMESPACE);
    Ok(Subject { words: program.words(), namespace, address, cast: Cast::All("server") })
}

/// The same program in a container. Its data is a volume, as engines recommend.
fn contained(scenario: &Scenario, engine: Engine) -> Result<Subject> {
    let program = program(scenario)?;
    let address = program.port().map(network::server_address);
    if address.is_some() {
        network::make_namespace()?;
    }
    engine.prepare(&Bundle {
        words: program.words(),
        volumes: vec![Volume {
            outside: DATA.into(),
            inside: DATA.into(),
            is_read_only: scenario.workload == Workload::Httpd,
        }],
        network: address.map(|_| network::NAMESPACE.into()),
        uid: 0,
    })?;
    // What ends by itself is waited for by the runtime.
    let words = engine.run_words(scenario.workload != Workload::Hello);
    Ok(Subject { words, namespace: None, address, cast: Cast::Container(engine) })
}

/// What stands beside our guest, with its data.
fn program(scenario: &Scenario) -> Result<Program> {
    Ok(match scenario.workload {
        Workload::Hello => Program::Probe(vec!["hello".into()]),
        Workload::Block => {
            let disk = blank("block.img", BLOCK_DISK_BYTES)?;
            let counts = [scenario.repeats.to_string(), scenario.requests.to_string()];
            Program::Probe(["block".into(), disk].into_iter().chain(counts).collect())
        }
        Workload::Httpd => {
            let site = Path::new(DATA).join("site");
            fs::create_dir_all(&site).with_context(|| site.display().to_string())?;
            fs::copy("/site/index.html", site.join("index.html"))
                .context("cannot copy the page")?;
            Program::Nginx
        }
        Workload::Kv => Program::Redis,
        other @ (Workload::Fuzz | Workload::Code) => bail!("{other} cannot be started here"),
    })
}

/// A file of zeros on the disk.
fn blank(name: &str, bytes: u64) -> Result<String> {
    let path = Path::new(DATA).join(name);
    // Room is taken now, so that no write has to look for any.
    let file = fs::File::create(&path).with_context(|| path.display().to_string())?;
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), bytes), &mut &file)
        .with_context(|| path.display().to_string())?;
    file.sync_all().with_context(|| path.display().to_string())?;
    Ok(path.display().to_string())
}
