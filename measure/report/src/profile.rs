//! Docker's default seccomp profile, as moby publishes it: what it permits to a process on x86-64.
//! Which rules hold follows `profiles/seccomp/seccomp_linux.go` of moby; nothing is installed.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;
use surface::calls;
pub use surface::docker::CAPABILITIES;
use surface::model::Permitted;

/// What Docker calls x86-64.
const ARCHITECTURE: &str = "amd64";
const ALLOW: &str = "SCMP_ACT_ALLOW";

/// A profile that is not understood.
#[derive(Debug)]
pub struct ProfileError(String);

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seccomp profile: {}", self.0)
    }
}

impl std::error::Error for ProfileError {}

impl From<serde_json::Error> for ProfileError {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

/// The rules that hold for one kind of process.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Everything that no rule is about is permitted.
    permissive: bool,
    rules: Vec<Rule>,
}

/// An argument of a call, of which some bits are known: `argument & mask == value`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub struct Argument {
    /// From 0 to 5.
    pub index: u32,
    /// The bits; all, if it is not said.
    #[serde(default = "all_bits")]
    pub mask: u64,
    /// Their value.
    pub value: u64,
}

const fn all_bits() -> u64 {
    u64::MAX
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Text {
    default_action: String,
    syscalls: Vec<Rule>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    names: Vec<String>,
    /// In older profiles.
    #[serde(default)]
    name: Option<String>,
    action: String,
    #[serde(default)]
    args: Option<Vec<Condition>>,
    #[serde(default)]
    includes: Circumstances,
    #[serde(default)]
    excludes: Circumstances,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    index: u32,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: Comparison,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
enum Comparison {
    #[serde(rename = "SCMP_CMP_NE")]
    Other,
    #[serde(rename = "SCMP_CMP_LT")]
    Less,
    #[serde(rename = "SCMP_CMP_LE")]
    NotMore,
    #[serde(rename = "SCMP_CMP_EQ")]
    Equal,
    #[serde(rename = "SCMP_CMP_GE")]
    NotLess,
    #[serde(rename = "SCMP_CMP_GT")]
    More,
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    Bits,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Circumstances {
    caps: Vec<String>,
    arches: Vec<String>,
    min_kernel: Option<String>,
}

impl Profile {
    /// What of a profile holds for a process with these capabilities on a kernel of this version, such as
    /// `(6, 1)`.
    ///
    /// # Errors
    /// If it is no such profile.
    pub fn read(
        text: &str,
        capabilities: &[&str],
        kernel: (u32, u32),
    ) -> Result<Self, ProfileError> {
        let Text { default_action, syscalls } = serde_json::from_str(text)?;
        let mut rules = Vec::new();
        for rule in syscalls {
            if rule.names.is_empty() && rule.name.is_none() {
                return Err(ProfileError("a rule has no names".to_owned()));
            }
            if rule.holds(capabilities, kernel)? {
                rules.push(rule);
            }
        }
        Ok(Self { permissive: default_action == ALLOW, rules })
    }

    /// The system calls of Linux 6.1 on x86-64 that are permitted, by name.
    pub fn permitted(&self) -> Vec<Permitted> {
        let judge = |name: &'static str| {
            let conditional = !self.permits_always(name);
            let permitted = self.permits(name, &[]);
            permitted.then(|| Permitted { name: name.to_owned(), conditional })
        };
        let calls: BTreeSet<_> = calls::ALL.iter().filter_map(|call| judge(call.1)).collect();
        calls.into_iter().collect()
    }

    /// Whether some call of that name with such arguments is permitted. Where that is hard to tell, it
    /// is said to be.
    pub fn permits(&self, name: &str, arguments: &[Argument]) -> bool {
        let mut about = self.about(name).peekable();
        if about.peek().is_none() {
            return self.permissive;
        }
        about.filter(|rule| rule.action == ALLOW).any(|rule| rule.allows(arguments))
    }

    fn permits_always(&self, name: &str) -> bool {
        let mut about = self.about(name).peekable();
        if about.peek().is_none() {
            return self.permissive;
        }
        about.any(|rule| rule.action == ALLOW && rule.conditions().is_empty())
    }

    fn about<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Rule> {
        self.rules.iter().filter(move |rule| {
            rule.name.as_deref() == Some(name) || rule.names.iter().any(|other| other == name)
        })
    }
}

impl Rule {
    fn holds(&self, capabilities: &[&str], kernel: (u32, u32)) -> Result<bool, ProfileError> {
        let held = |name: &String| capabilities.contains(&name.as_str());
        let ours = |name: &String| name == ARCHITECTURE;
        let (with, without) = (&self.includes, &self.excludes);
        Ok(with.caps.iter().all(held)
            && (with.arches.is_empty() || with.arches.iter().any(ours))
            && with.least_kernel()?.is_none_or(|least| kernel >= least)
            && !without.caps.iter().any(held)
            && !without.arches.iter().any(ours)
            && without.least_kernel()?.is_none_or(|least| kernel < least))
    }

    fn conditions(&self) -> &[Condition] {
        self.args.as_deref().unwrap_or_default()
    }

    /// Whether some call with such arguments meets the conditions: all of them, or, as runc has it, one
    /// of them if there are several about one argument.
    fn allows(&self, arguments: &[Argument]) -> bool {
        let conditions = self.conditions();
        let different: BTreeSet<_> = conditions.iter().map(|condition| condition.index).collect();
        let may_hold = |condition: &Condition| {
            let same = arguments.iter().filter(|argument| argument.index == condition.index);
            same.into_iter().all(|argument| condition.may_hold(argument))
        };
        if different.len() == conditions.len() {
            conditions.iter().all(may_hold)
        } else {
            conditions.iter().any(may_hold)
        }
    }
}

impl Condition {
    const fn may_hold(&self, argument: &Argument) -> bool {
        let Argument { mask, value, .. } = *argument;
        if let Comparison::Bits = self.op {
            return mask & self.value & (value ^ self.value_two) == 0;
        }
        if mask != u64::MAX {
            return true;
        }
        match self.op {
            Comparison::Other => value != self.value,
            Comparison::Less => value < self.value,
            Comparison::NotMore => value <= self.value,
            Comparison::Equal => value == self.value,
            Comparison::NotLess => value >= self.value,
            Comparison::More => value > self.value,
            Comparison::Bits => true,
        }
    }
}

impl Circumstances {
    fn least_kernel(&self) -> Result<Option<(u32, u32)>, ProfileError> {
        let Some(text) = &self.min_kernel else { return Ok(None) };
        let parts = text.split_once('.').map(|(major, minor)| (major.parse(), minor.parse()));
        match parts {
            Some((Ok(major), Ok(minor))) => Ok(Some((major, minor))),
            _ => Err(ProfileError(format!("'{text}' is no version of a kernel"))),
        }
    }
}

#[derive(Deserialize)]
struct Later {
    withdrawn: BTreeSet<String>,
    added: Vec<Value>,
}

/// A profile with what was changed in it later (`docker-seccomp-later.json`): rules that permitted what
/// was withdrawn no longer do, and there are new ones. The result has the format of the first.
///
/// # Errors
/// If one of them is not understood.
pub fn with_later(text: &str, later: &str) -> Result<String, ProfileError> {
    let mut profile: Value = serde_json::from_str(text)?;
    let Later { withdrawn, added } = serde_json::from_str(later)?;
    let rules = profile.get_mut("syscalls").and_then(Value::as_array_mut);
    let rules = rules.ok_or_else(|| ProfileError("it has no rules".to_owned()))?;
    for rule in rules.iter_mut() {
        if let Some(names) = rule.get_mut("names").and_then(Value::as_array_mut) {
            names.retain(|name| name.as_str().is_none_or(|name| !withdrawn.contains(name)));
        }
    }
    rules.retain(|rule| rule["names"].as_array().is_none_or(|names| !names.is_empty()));
    rules.extend(added);
    Ok(serde_json::to_string_pretty(&profile)?)
}

#[cfg(test)]
mod tests {
    use surface::filter::{Filters, Instruction, X86_64};

    use super::*;

    const PROFILE: &str = include_str!("../../data/docker-seccomp.json");
    const LATER: &str = include_str!("../../data/docker-seccomp-later.json");

    fn old(capabilities: &[&str]) -> Profile {
        Profile::read(PROFILE, capabilities, (6, 1)).unwrap()
    }

    fn new() -> Profile {
        Profile::read(&with_later(PROFILE, LATER).unwrap(), &[], (6, 1)).unwrap()
    }

    fn family(value: u64) -> Argument {
        Argument { index: 0, mask: u64::MAX, value }
    }

    #[test]
    fn the_profile_permits_what_is_known_of_it() {
        let profile = old(&[]);
        let calls = profile.permitted();
        assert!(calls.is_sorted());
        let of = |name| calls.iter().find(|call| call.name == name).map(|call| call.conditional);
        assert_eq!([of("read"), of("ptrace"), of("io_uring_setup")], [Some(false); 3]);
        assert_eq!((of("clone"), of("personality")), (Some(true), Some(true)));
        for name in ["bpf", "unshare", "mount", "clone3", "keyctl", "chroot", "userfaultfd"] {
            assert_eq!(of(name), None, "{name}");
        }
        assert_eq!(calls.len(), 291);
    }

    /// Two ways to the same answer: the profile's text, and the instructions that libseccomp made of it.
    #[test]
    fn libseccomps_filter_permits_the_same() {
        let bytes = include_bytes!("../../data/docker-seccomp.bpf");
        let (instructions, rest) = bytes.as_chunks::<8>();
        assert!(rest.is_empty());
        let filter = instructions.iter().copied().map(Instruction::from_bytes).collect();
        let filters = Filters::new(&[filter]).unwrap();
        assert_eq!(filters.permitted(), old(&[]).permitted());
        assert!(calls::ALL.iter().all(|call| filters.ask(X86_64, call.0).exact));
    }

    #[test]
    fn arguments_capabilities_and_kernels_matter() {
        let profile = old(&[]);
        let new_user = Argument { index: 0, mask: 1 << 28, value: 1 << 28 };
        let thread = Argument { index: 0, mask: 1 << 16, value: 1 << 16 };
        assert!(!profile.permits("clone", &[new_user]) && profile.permits("clone", &[thread]));
        let admin = old(&["CAP_SYS_ADMIN"]);
        assert!(admin.permits("clone", &[new_user]) && admin.permits("mount", &[]));
        assert!(old(&CAPABILITIES).permits("chroot", &[]) && !profile.permits("chroot", &[]));
        let before = Profile::read(PROFILE, &[], (4, 7)).unwrap();
        assert!(!before.permits("ptrace", &[]) && profile.permits("ptrace", &[]));
    }

    #[test]
    fn later_changes_are_made() {
        let profile = new();
        assert!(!profile.permits("io_uring_setup", &[]) && profile.permits("keyctl", &[]));
        for (number, permitted) in [(2, true), (17, true), (38, false), (39, true), (40, false)] {
            assert_eq!(profile.permits("socket", &[family(number)]), permitted, "{number}");
        }
        let calls = profile.permitted();
        let socket = calls.iter().find(|call| call.name == "socket");
        assert!(socket.is_some_and(|call| call.conditional));
    }

    #[test]
    fn what_is_no_profile_is_refused() {
        let rule = |rule: &str| format!("{{\"defaultAction\":\"A\",\"syscalls\":[{rule}]}}");
        for text in [
            "",
            "[]",
            "{}",
            &rule("{}"),
            &rule(r#"{"action":"SCMP_ACT_ALLOW"}"#),
            &rule(r#"{"names":["a"],"action":"x","includes":{"minKernel":"six"}}"#),
            &rule(r#"{"names":["a"],"action":"x","args":[{"index":0,"value":1,"op":"?"}]}"#),
        ] {
            let error = Profile::read(text, &[], (6, 1)).unwrap_err().to_string();
            assert!(error.starts_with("seccomp profile: "), "{error}");
        }
        assert!(with_later("{}", LATER).is_err() && with_later(PROFILE, "{}").is_err());
        let open =
            Profile::read(r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[]}"#, &[], (6, 1));
        assert_eq!(open.unwrap().permitted().len(), calls::ALL.len());
    }
}
