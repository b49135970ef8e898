//! A bundle's configuration, and the form of it that libcontainer is given. What libcontainer does not check, or has
//! no words for, is checked here.
//!
//! A guest has no system calls by which it could see file systems of the kernel, so they are not mounted
//! for it: that takes time at each start. What is the container's own, such as volumes, is.

use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use libcontainer::oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType, Mount, Spec};

use crate::cgroup;

/// Longer configurations are refused.
const CONFIG_MAX_BYTES: u64 = 16 << 20;
/// File systems that nobody in a container of a unikernel can look at.
const UNSEEN: [&str; 4] = ["cgroup", "cgroup2", "mqueue", "sysfs"];
/// Options of mounts that runc and crun know and libcontainer does not. A tmpfs with a copy of what lies
/// below it stays empty.
const UNKNOWN: [&str; 1] = ["tmpcopyup"];

/// A bundle that was read.
#[derive(Debug)]
pub(crate) struct Bundle {
    /// Its folder.
    pub(crate) dir: PathBuf,
    /// Its configuration.
    pub(crate) spec: Rc<Spec>,
}

impl Bundle {
    /// Reads a bundle.
    ///
    /// # Errors
    /// If it is none, or its configuration lacks what every container has.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let dir = fs::canonicalize(dir)
            .with_context(|| format!("cannot find the bundle {}", dir.display()))?;
        let path = dir.join("config.json");
        let cannot = || format!("cannot read {}", path.display());
        let bytes = fs::metadata(&path).with_context(cannot)?.len();
        ensure!(
            bytes <= CONFIG_MAX_BYTES,
            "{} is longer than {CONFIG_MAX_BYTES} bytes",
            path.display()
        );
        let spec = Spec::load(&path).map_err(anyhow::Error::from);
        let spec = spec.with_context(|| format!("{} is no configuration", path.display()))?;
        ensure!(
            spec.process().is_some() && spec.linux().is_some() && spec.root().is_some(),
            "{} lacks process, linux or root",
            path.display()
        );
        check_kinds(&spec)?;
        check_sources(&spec, &dir)?;
        Ok(Self { dir, spec: Rc::new(spec) })
    }

    /// The root file system, without symbolic links.
    ///
    /// # Errors
    /// If it is not there.
    pub(crate) fn rootfs(&self) -> Result<PathBuf> {
        let root = self.spec.root().as_ref().context("the configuration has no root")?;
        let path = self.dir.join(root.path());
        fs::canonicalize(&path).with_context(|| format!("cannot find the root {}", path.display()))
    }

    /// The control group. Whatever is in it ends with the container, so it must not be one of all.
    ///
    /// # Errors
    /// If it is.
    pub(crate) fn cgroup_path(&self, id: &str, systemd: bool) -> Result<PathBuf> {
        let given = self.spec.linux().as_ref().and_then(|linux| linux.cgroups_path().clone());
        let path = given.unwrap_or_else(|| match systemd {
            // `slice:prefix:name`
            true => PathBuf::from(format!(":runnc:{id}")),
            false => PathBuf::from(format!("/runnc-{id}")),
        });
        let is_own = path.components().any(|part| matches!(part, Component::Normal(_)));
        let climbs = path.components().any(|part| part == Component::ParentDir);
        if !is_own || climbs {
            bail!("linux.cgroupsPath '{}' names no control group of its own", path.display());
        }
        Ok(path)
    }

    /// The network namespace that others made for the container.
    pub(crate) fn netns(&self) -> Option<PathBuf> {
        let namespaces = self.spec.linux().as_ref()?.namespaces().as_ref()?;
        let network = namespaces.iter().find(|one| one.typ() == LinuxNamespaceType::Network)?;
        network.path().clone()
    }

    /// Whether the container has a mount namespace of its own, not that of the host or of another.
    pub(crate) fn has_own_mounts(&self) -> bool {
        let namespaces = self.spec.linux().as_ref().and_then(|it| it.namespaces().as_ref());
        let mut namespaces = namespaces.into_iter().flatten();
        namespaces.any(|it| it.typ() == LinuxNamespaceType::Mount && it.path().is_none())
    }

    /// Whether it mounts what lies at the host's control groups, or around them.
    pub(crate) fn mounts_control_groups(&self) -> bool {
        let sources = self.spec.mounts().iter().flatten().filter_map(|it| it.source().as_deref());
        let mut sources = sources.filter(|it| it.is_absolute());
        sources.any(|it| it.starts_with(cgroup::ROOT) || Path::new(cgroup::ROOT).starts_with(it))
    }

    /// Whether there are hooks that run while the container is made.
    pub(crate) fn has_early_hooks(&self) -> bool {
        self.spec.hooks().as_ref().is_some_and(|hooks| {
            let early = [hooks.create_runtime(), hooks.create_container(), hooks.start_container()];
            early.into_iter().chain([hooks.prestart()]).any(Option::is_some)
        })
    }

    /// The bundle that libcontainer is given: this one, or one of the same meaning that is written into `dir`. Without
    /// limits, if they are in force already.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn for_libcontainer(
        &self,
        dir: &Path,
        cgroup_path: &Path,
        is_limited: bool,
    ) -> Result<PathBuf> {
        let mounts = self.spec.mounts().as_deref().unwrap_or_default();
        let is_complete = self.spec.linux().as_ref().is_some_and(|it| it.cgroups_path().is_some());
        // Hooks are told where the bundle is, so for them it is the real one if that can be.
        if self.has_early_hooks() && is_complete && !mounts.iter().any(has_unknown) {
            return Ok(self.dir.clone());
        }
        let mut spec = Spec::clone(&self.spec);
        let seen = mounts.iter().filter(|mount| !is_unseen(mount)).cloned().map(known);
        spec.set_mounts(Some(seen.collect()));
        let mut root = spec.root().clone().context("the configuration has no root")?;
        root.set_path(self.rootfs()?);
        spec.set_root(Some(root));
        let mut linux = spec.linux().clone().context("the configuration has no linux")?;
        linux.set_cgroups_path(Some(cgroup_path.to_owned()));
        if is_limited {
            linux.set_resources(None);
        }
        spec.set_linux(Some(linux));
        spec.save(dir.join("config.json")).context("cannot write the configuration")?;
        Ok(dir.to_owned())
    }
}

/// The specification permits each kind of namespace and of limit once.
fn check_kinds(spec: &Spec) -> Result<()> {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let namespaces = namespaces.into_iter().flatten().map(|one| one.typ().to_string());
    let limits = spec.process().as_ref().and_then(|process| process.rlimits().as_ref());
    let limits = limits.into_iter().flatten().map(|one| one.typ().to_string());
    for (list, mut kinds) in [
        ("linux.namespaces", namespaces.collect::<Vec<_>>()),
        ("process.rlimits", limits.collect()),
    ] {
        kinds.sort_unstable();
        if let Some(pair) = kinds.windows(2).find(|pair| pair[0] == pair[1]) {
            bail!("{list} has {} twice", pair[0]);
        }
    }
    Ok(())
}

/// A volume that is not there is the most frequent of all mistakes, and libcontainer only says that it cannot
/// prepare the root.
fn check_sources(spec: &Spec, dir: &Path) -> Result<()> {
    let is_bind = |mount: &&Mount| {
        let options = mount.options().iter().flatten();
        options.into_iter().any(|option| option == "bind" || option == "rbind")
    };
    // In another mount namespace there may be other files.
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let is_mount = |one: &LinuxNamespace| one.typ() == LinuxNamespaceType::Mount;
    if namespaces.into_iter().flatten().any(|one| is_mount(one) && one.path().is_some()) {
        return Ok(());
    }
    for mount in spec.mounts().iter().flatten().filter(is_bind) {
        let Some(source) = mount.source() else { continue };
        match fs::metadata(dir.join(source)) {
            Err(error) if error.kind() == ErrorKind::NotFound => bail!(
                "the mount at {}: there is no {}",
                mount.destination().display(),
                source.display()
            ),
            // What else may be wrong is seen when it is mounted, by who does that.
            _ => {}
        }
    }
    Ok(())
}

fn is_unseen(mount: &Mount) -> bool {
    mount.typ().as_deref().is_some_and(|typ| UNSEEN.contains(&typ))
}

fn has_unknown(mount: &Mount) -> bool {
    let options = mount.options().iter().flatten();
    options.into_iter().any(|option| UNKNOWN.contains(&option.as_str()))
}

/// The mount without options that are not known.
fn known(mut mount: Mount) -> Mount {
    let options = mount.options().clone().unwrap_or_default().into_iter();
    let options = options.filter(|option| !UNKNOWN.contains(&option.as_str()));
    let options = options.collect();
    mount.set_options(Some(options));
    mount
}

#[cfg(test)]
mod tests {
    use libcontainer::workload::Executor;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::*;
    use crate::init::Unikernel;

    fn bundle(changes: &Value) -> (TempDir, Result<Bundle>) {
        let mut config = json!({
            "ociVersion": "1.0.2",
            "process": { "cwd": "/", "args": ["/a"], "user": { "uid": 0, "gid": 0 } },
            "root": { "path": "rootfs" },
            "linux": { "cgroupsPath": "/a/b", "seccomp": { "defaultAction": "SCMP_ACT_ERRNO" } },
            "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc" },
                { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"] },
                { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup" },
                { "destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["rw", "tmpcopyup"] },
                { "destination": "/data", "type": "bind", "source": "/srv", "options": ["rbind", "ro"] },
            ],
        });
        for (key, value) in changes.as_object().unwrap() {
            config[key] = value.clone();
        }
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("rootfs")).unwrap();
        fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        let bundle = Bundle::read(dir.path());
        (dir, bundle)
    }

    #[test]
    fn what_a_guest_cannot_see_is_not_mounted() {
        let (dir, bundle) = bundle(&json!({}));
        let bundle = bundle.unwrap();
        let other = TempDir::new().unwrap();
        let written = bundle.for_libcontainer(other.path(), Path::new("/a/b"), true).unwrap();
        assert_eq!(written, other.path());
        let spec = Bundle::read(&written).unwrap().spec;
        let mounts = spec.mounts().as_ref().unwrap();
        let places: Vec<_> = mounts.iter().map(|it| it.destination().to_str().unwrap()).collect();
        assert_eq!(places, ["/proc", "/run", "/data"]);
        assert_eq!(mounts[1].options().as_deref(), Some(&["rw".to_owned()][..]));
        let rootfs = fs::canonicalize(dir.path().join("rootfs")).unwrap();
        assert_eq!(*spec.root().as_ref().unwrap().path(), rootfs);
        assert!(spec.linux().as_ref().unwrap().seccomp().is_some());
    }

    #[test]
    fn hooks_are_told_of_the_real_bundle_if_that_can_be() {
        let hooks = json!({ "createRuntime": [{ "path": "/bin/true" }] });
        let other = TempDir::new().unwrap();
        let (dir, with_unknown) = bundle(&json!({ "hooks": hooks }));
        let given = |bundle: &Result<Bundle>| {
            let bundle = bundle.as_ref().unwrap();
            bundle.for_libcontainer(other.path(), Path::new("/a/b"), true).unwrap()
        };
        assert_eq!(given(&with_unknown), other.path());
        drop(dir);
        let (dir, plain) = bundle(&json!({ "hooks": hooks, "mounts": [] }));
        assert_eq!(given(&plain), fs::canonicalize(dir.path()).unwrap());
    }

    #[test]
    fn a_control_group_of_all_is_refused() {
        for (path, is_own) in [
            ("/", false),
            ("", false),
            ("/a/../..", false),
            ("..", false),
            ("/a", true),
            ("machine.slice:libpod:abc", true),
        ] {
            let (_dir, bundle) = bundle(&json!({ "linux": { "cgroupsPath": path } }));
            assert_eq!(bundle.unwrap().cgroup_path("id", true).is_ok(), is_own, "{path}");
        }
        let (_dir, bundle) = bundle(&json!({ "linux": {} }));
        let bundle = bundle.unwrap();
        assert_eq!(bundle.cgroup_path("id", true).unwrap(), Path::new(":runnc:id"));
        assert_eq!(bundle.cgroup_path("id", false).unwrap(), Path::new("/runnc-id"));
    }

    #[test]
    fn what_stands_there_twice_is_refused() {
        let limit = |kind: &str| json!({ "type": kind, "soft": 1, "hard": 1 });
        let process = |limits: &[Value]| json!({ "process": { "cwd": "/", "args": ["/a"], "user": { "uid": 0, "gid": 0 }, "rlimits": limits } });
        let (core, stack) = (limit("RLIMIT_CORE"), limit("RLIMIT_STACK"));
        let (_dir, fine) = bundle(&process(&[core.clone(), stack.clone()]));
        fine.unwrap();
        let (_dir, twice) = bundle(&process(&[core.clone(), stack, core]));
        assert!(twice.unwrap_err().to_string().contains("process.rlimits has RLIMIT_CORE twice"));
        let namespaces =
            json!([{ "type": "pid" }, { "type": "uts" }, { "type": "pid", "path": "/a" }]);
        let (_dir, twice) = bundle(&json!({ "linux": { "namespaces": namespaces } }));
        assert!(twice.unwrap_err().to_string().contains("linux.namespaces has pid twice"));
    }

    #[test]
    fn a_volume_that_is_not_there_is_named() {
        let mount = json!([{ "destination": "/data", "source": "/no/such", "options": ["rbind"] }]);
        let (_dir, missing) = bundle(&json!({ "mounts": mount }));
        let error = missing.unwrap_err().to_string();
        assert_eq!(error, "the mount at /data: there is no /no/such");
        let mount = json!([{ "destination": "/data", "source": "rootfs", "options": ["bind"] }]);
        let (_dir, relative) = bundle(&json!({ "mounts": mount }));
        relative.unwrap();
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        for changes in [json!({ "root": null }), json!({ "linux": null }), json!({ "process": 1 })]
        {
            let (_dir, bundle) = bundle(&changes);
            assert!(bundle.unwrap_err().to_string().contains("config.json"), "{changes}");
        }
        let empty = TempDir::new().unwrap();
        assert!(Bundle::read(empty.path()).unwrap_err().to_string().contains("cannot read"));
    }

    /// The places of all values in a value, as JSON pointers.
    fn places(value: &Value, place: &str, all: &mut Vec<String>) {
        all.push(place.to_owned());
        match value {
            Value::Object(members) => {
                members.iter().for_each(|(key, it)| {
                    places(it, &format!("{place}/{}", key.replace('/', "~1")), all);
                });
            }
            Value::Array(items) => {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(i, it)| places(it, &format!("{place}/{i}"), all));
            }
            _ => {}
        }
    }

    fn anything() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            Just(json!("../../..")),
            Just(json!([])),
            Just(json!({})),
            Just(json!(["", "NABLA_MEMORY=1", "NABLA_SIZE_=0", "a=b"])),
            Just(
                json!([{ "type": "mount", "path": "" }, { "type": "network", "path": "/proc/self/ns/net" }])
            ),
            Just(json!([{ "names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [] }])),
        ]
    }

    proptest! {
        #[test]
        fn whatever_a_configuration_says_there_is_an_answer(
            changes in prop::collection::vec((any::<prop::sample::Index>(), anything()), 1..4),
        ) {
            let mut config = serde_json::to_value(Spec::default()).unwrap();
            config["hooks"] = json!({ "poststop": [{ "path": "/bin/true", "args": ["true"], "timeout": 1 }] });
            config["linux"]["cgroupsPath"] = json!("/a");
            config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [] });
            config["annotations"] = json!({ "io.kubernetes.cri.container-type": "sandbox" });
            for (index, value) in changes {
                let mut all = Vec::new();
                places(&config, "", &mut all);
                let place: &String = index.get(&all);
                *config.pointer_mut(place).unwrap() = value;
            }
            let dir = TempDir::new().unwrap();
            fs::create_dir(dir.path().join("rootfs")).unwrap();
            fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
            let Ok(bundle) = Bundle::read(dir.path()) else { return Ok(()) };
            let _ = (bundle.rootfs(), bundle.cgroup_path("id", true), bundle.netns());
            let given = TempDir::new().unwrap();
            if let Ok(path) = bundle.for_libcontainer(given.path(), Path::new("/a"), true) {
                prop_assert!(Bundle::read(&path).is_ok(), "what is given cannot be read");
            }
            let unikernel = Unikernel::new(-1, Rc::clone(&bundle.spec));
            let _ = unikernel.validate(&bundle.spec);
        }
    }
}
