//! containerd with folders and sockets of its own, with its Kubernetes CRI.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::{Image, Sandbox, sandbox};
use crate::needs::find;
use crate::run::TIME_OUT;
use crate::{Need, Outcome, Running};

/// What it takes.
pub const NEEDS: [Need; 4] = [
    Need::Program("containerd", "containerd"),
    Need::Program("ctr", "containerd"),
    Need::Program("iptables", "iptables"),
    Need::File("/usr/lib/cni/bridge"),
];

/// The network that containers get by CNI.
const NETWORK: &str = r#"{
  "cniVersion": "1.0.0",
  "name": "nabla",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "nabla0",
      "isGateway": true,
      "ipMasq": true,
      "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "dataDir": "/run/nabla-ipam",
        "ranges": [[{ "subnet": "10.77.0.0/24" }]],
        "routes": [{ "dst": "0.0.0.0/0" }]
      }
    },
    { "type": "portmap", "capabilities": { "portMappings": true } }
  ]
}
"#;

/// A running containerd. It ends with its sandbox.
#[derive(Debug)]
pub struct Containerd<'a> {
    sandbox: &'a Sandbox,
    folder: PathBuf,
    runtime: PathBuf,
    running: Option<Running>,
}

impl<'a> Containerd<'a> {
    /// Starts one, whose containers are run by a runtime; in the CRI the handler `nabla`, which is
    /// also the default one. The sandbox of a pod is run from the image `pause`.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn start(sandbox: &'a Sandbox, runtime: &Path, pause: &Image) -> Result<Self> {
        let folder = sandbox.folder().join("containerd");
        fs::create_dir(&folder)?;
        // Where `ctr` looks, which has no option for it, and so the CRI as well.
        let networks = sandbox.inside("/etc/cni/net.d");
        fs::create_dir_all(&networks)?;
        fs::write(networks.join("10-nabla.conflist"), NETWORK)?;
        let runtime = runtime.to_owned();
        fs::write(folder.join("config.toml"), configuration(&folder, &runtime, pause))?;
        let mut containerd = Self { sandbox, folder, runtime, running: None };
        containerd.begin()?;
        Ok(containerd)
    }

    fn begin(&mut self) -> Result<()> {
        let mut command = self.sandbox.command(find("containerd")?);
        command.arg("--config").arg(self.folder.join("config.toml"));
        self.running = Some(Running::start(&mut command)?);
        let deadline = Instant::now() + TIME_OUT;
        while self.ctr(&["version"]).is_err() {
            if Instant::now() > deadline {
                bail!("containerd does not come up: {:?}", self.running.take());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Ends it and starts it again, while containers go on.
    ///
    /// # Errors
    /// If it does not end or come up.
    pub fn restart(&mut self) -> Result<()> {
        self.end()?;
        self.begin()
    }

    fn end(&mut self) -> Result<()> {
        if let Some(running) = self.running.take() {
            sandbox::signal(&running, Signal::SIGTERM)?;
            running.wait()?;
        }
        Ok(())
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("containerd.sock")
    }

    /// Runs a command of `ctr` to its end, in a namespace with the sandbox's name.
    ///
    /// # Errors
    /// If it cannot be started or takes too long.
    pub fn run<W: AsRef<OsStr>>(&self, words: &[W]) -> Result<Outcome> {
        self.run_in(self.sandbox.name(), words)
    }

    fn run_in<W: AsRef<OsStr>>(&self, namespace: &str, words: &[W]) -> Result<Outcome> {
        let mut command = self.sandbox.command(find("ctr")?);
        command.arg("--address").arg(self.socket()).args(["--namespace", namespace]).args(words);
        Running::start(&mut command)?.wait()
    }

    /// Runs a command of `ctr` that must succeed, and returns what it printed.
    ///
    /// # Errors
    /// If it does not.
    pub fn ctr<W: AsRef<OsStr>>(&self, words: &[W]) -> Result<String> {
        let outcome = self.run(words)?;
        let words: Vec<_> = words.iter().map(|word| word.as_ref().to_string_lossy()).collect();
        sandbox::succeeded(outcome).with_context(|| format!("ctr {}", words.join(" ")))
    }

    /// Imports an image, for `ctr` and for the CRI.
    ///
    /// # Errors
    /// If containerd refuses it.
    pub fn import(&self, image: &Image) -> Result<()> {
        for namespace in [self.sandbox.name(), "k8s.io"] {
            let words = ["images".as_ref(), "import".as_ref(), image.archive.as_os_str()];
            sandbox::succeeded(self.run_in(namespace, &words)?)?;
        }
        Ok(())
    }

    /// The words for `ctr run` with options, an image, an id, and the whole command if it is not
    /// the image's.
    pub fn container(
        &self,
        options: &[&str],
        image: &Image,
        id: &str,
        command: &[&str],
    ) -> Vec<String> {
        let mut words = vec!["run".to_owned(), "--runtime=io.containerd.runc.v2".to_owned()];
        words.push(format!("--runc-binary={}", self.runtime.display()));
        let rest = [options, &[&*image.reference, id], command].concat();
        words.extend(rest.into_iter().map(str::to_owned));
        words
    }
}

impl Drop for Containerd<'_> {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn configuration(folder: &Path, runtime: &Path, pause: &Image) -> String {
    let (folder, runtime) = (folder.display(), runtime.display());
    let pause = &pause.reference;
    // `restrict_oom_score_adj`: a lower score than one's own takes CAP_SYS_RESOURCE.
    format!(
        r#"version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.internal.v1.tracing",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
]
[grpc]
  address = "{folder}/containerd.sock"
[ttrpc]
  address = "{folder}/containerd.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  disable_tcp_service = true
  restrict_oom_score_adj = true
  sandbox_image = "{pause}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "nabla"
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.nabla]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.nabla.options]
        BinaryName = "{runtime}"
"#
    )
}
