//! Which unikernel an entrypoint names.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use libcontainer::oci_spec::runtime::Spec;
use solo5_sys::layout::DEFAULT_MEMORY_BYTES;
use tender::elf::Image;
use tender::inspect;

use super::settings::Settings;

/// Annotations by which containerd and CRI-O mark the container that holds a pod's namespaces.
const SANDBOX: [(&str, &str); 2] = [
    ("io.kubernetes.cri.container-type", "sandbox"),
    ("io.kubernetes.cri-o.ContainerType", "sandbox"),
];
/// What an entrypoint's name is looked for in, if the environment does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a container is to run.
pub(super) enum Entrypoint {
    /// A unikernel.
    Unikernel(Box<Workload>),
    /// Nothing: it holds namespaces for others.
    Pause,
}

/// A unikernel and what the configuration says of it.
pub(super) struct Workload {
    /// Its file, in the container's root.
    pub(super) kernel: PathBuf,
    pub(super) image: Image,
    /// What follows its name.
    pub(super) arguments: Vec<String>,
    pub(super) settings: Settings,
}

impl Entrypoint {
    /// What the configuration means, as seen from inside of the container.
    ///
    /// # Errors
    /// If it names no unikernel.
    pub(super) fn of(spec: &Spec) -> Result<Self> {
        let process = spec.process().as_ref().context("the configuration has no process")?;
        let words = process.args().as_deref().unwrap_or_default();
        let (name, arguments) = words.split_first().context("the configuration has no args")?;
        let environment = process.env().as_deref().unwrap_or_default();
        let found =
            find(name, environment).and_then(|kernel| Ok((inspect_kernel(&kernel)?, kernel)));
        match found {
            Err(_) if is_sandbox(spec) => Ok(Self::Pause),
            Err(error) => Err(error),
            Ok((image, kernel)) => {
                let settings = Settings::of(environment)?;
                let arguments = arguments.to_vec();
                Ok(Self::Unikernel(Box::new(Workload { kernel, image, arguments, settings })))
            }
        }
    }
}

fn is_sandbox(spec: &Spec) -> bool {
    let annotations = spec.annotations().as_ref();
    SANDBOX.iter().any(|(key, value)| {
        annotations.and_then(|all| all.get(*key)).is_some_and(|found| found == value)
    })
}

/// A name with a slash is a path; others are looked for in `PATH`.
fn find(name: &str, environment: &[String]) -> Result<PathBuf> {
    if name.contains('/') {
        return Ok(PathBuf::from(name));
    }
    let path = environment.iter().rev().find_map(|variable| variable.strip_prefix("PATH="));
    let folders = path.unwrap_or(PATH).split(':').filter(|folder| !folder.is_empty());
    let found = folders.map(|folder| Path::new(folder).join(name)).find(|file| file.is_file());
    found.with_context(|| {
        format!(
            "'{name}' is in no folder of PATH; the entrypoint is the unikernel's path in the image"
        )
    })
}

fn inspect_kernel(kernel: &Path) -> Result<Image> {
    match inspect::read_image(kernel, DEFAULT_MEMORY_BYTES) {
        Ok((_, image)) => Ok(image),
        Err(error) => match describe(kernel) {
            None => bail!(error),
            Some(what) => bail!(
                "'{}' is {what}, and no unikernel ({error}): runnc runs files that are built for the \
                 Solo5 target spt, such as those of `cargo xtask oci` or MirageOS; ordinary programs \
                 need an ordinary runtime, such as runc",
                kernel.display()
            ),
        },
    }
}

/// What a file is that is no unikernel, if it is something that people take for a program.
fn describe(kernel: &Path) -> Option<&'static str> {
    let mut file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(kernel).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut head = Vec::new();
    file.by_ref().take(4096).read_to_end(&mut head).ok()?;
    let has = |text: &[u8]| head.windows(text.len()).any(|window| window == text);
    Some(match &*head {
        [] => "an empty file",
        [b'#', b'!', ..] => "a script",
        [0x7f, b'E', b'L', b'F', ..] if has(solo5_sys::layout::INTERPRETER.as_bytes()) => {
            // What is wrong with it is said by who read it.
            return None;
        }
        [0x7f, b'E', b'L', b'F', ..] if has(b"/ld-") => "an ordinary program with shared libraries",
        [0x7f, b'E', b'L', b'F', ..] => "an ordinary program or a library",
        _ => "a file of another kind",
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(args: &[&str], annotations: &serde_json::Value) -> Spec {
        serde_json::from_value(json!({
            "ociVersion": "1.0.2",
            "process": { "cwd": "/", "args": args, "env": ["PATH=/nowhere:/bin"], "user": { "uid": 0, "gid": 0 } },
            "annotations": annotations,
        }))
        .unwrap()
    }

    fn refusal(args: &[&str]) -> String {
        match Entrypoint::of(&spec(args, &json!({}))) {
            Ok(_) => panic!("{args:?} was taken"),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn what_is_no_unikernel_is_named() {
        let script = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(script.path(), "#!/bin/sh\n").unwrap();
        let script = script.path().to_str().unwrap();
        for (args, words) in [
            (
                vec!["/bin/ls"],
                "'/bin/ls' is an ordinary program with shared libraries, and no unikernel",
            ),
            (vec!["ls", "-l"], "'/bin/ls' is an ordinary program"),
            (vec![script], "is a script, and no unikernel"),
            (vec!["/no-such-file"], "'/no-such-file' cannot be read: No such file"),
            (vec!["/"], "'/' is not a regular file"),
            (vec!["/dev/null"], "'/dev/null' is not a regular file"),
            (vec!["no-such-name"], "'no-such-name' is in no folder of PATH"),
            (vec![], "the configuration has no args"),
        ] {
            let text = refusal(&args);
            assert!(text.contains(words), "{args:?}: {text}");
        }
    }

    #[test]
    fn a_sandbox_pauses() {
        for (key, value) in SANDBOX {
            let spec = spec(&["/pause"], &json!({ key: value }));
            assert!(matches!(Entrypoint::of(&spec), Ok(Entrypoint::Pause)));
        }
        let other = spec(&["/pause"], &json!({ SANDBOX[0].0: "container" }));
        assert!(Entrypoint::of(&other).is_err());
    }
}
