//! Docker's seccomp profiles as the OCI runtime specification has them. Docker's say of each rule on which
//! processors, with which capabilities and from which kernel on it holds; what a runtime is given
//! is what is left for one container (moby, `profiles/seccomp/seccomp_linux.go`).

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

/// This processor in Go's words, and in libseccomp's.
const ARCHITECTURE: (&str, &str) = ("amd64", "SCMP_ARCH_X86_64");

/// What of a profile holds for a container with these capabilities on a kernel of this version, such
/// as `(6, 1)`.
///
/// # Errors
/// If it is not such a profile.
pub(super) fn translate(profile: &Value, held: &[&str], kernel: (u32, u32)) -> Result<Value> {
    let action = profile["defaultAction"].as_str().context("seccomp profile: no defaultAction")?;
    let mut translated = json!({
        "defaultAction": action,
        "architectures": architectures(profile),
    });
    if let Some(errno) = profile.get("defaultErrnoRet") {
        translated["defaultErrnoRet"] = errno.clone();
    }
    let rules = profile["syscalls"].as_array().context("seccomp profile: no syscalls")?;
    let mut kept = Vec::new();
    for rule in rules {
        if holds(rule, held, kernel)? {
            kept.push(translate_rule(rule)?);
        }
    }
    translated["syscalls"] = kept.into();
    Ok(translated)
}

/// The processor's own calls and those of its older forms.
fn architectures(profile: &Value) -> Vec<Value> {
    let maps = profile["archMap"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ours = maps.iter().find(|map| map["architecture"] == ARCHITECTURE.1);
    let others = ours.and_then(|map| map["subArchitectures"].as_array());
    let others = others.map(Vec::as_slice).unwrap_or_default();
    [json!(ARCHITECTURE.1)].into_iter().chain(others.iter().cloned()).collect()
}

fn holds(rule: &Value, held: &[&str], kernel: (u32, u32)) -> Result<bool> {
    let (includes, excludes) = (&rule["includes"], &rule["excludes"]);
    let is_held = |name: &&str| held.contains(name);
    let processors = words(&includes["arches"]);
    Ok((processors.is_empty() || processors.contains(&ARCHITECTURE.0))
        && words(&includes["caps"]).iter().all(is_held)
        && least_kernel(includes)?.is_none_or(|least| kernel >= least)
        && !words(&excludes["arches"]).contains(&ARCHITECTURE.0)
        && !words(&excludes["caps"]).iter().any(is_held)
        && least_kernel(excludes)?.is_none_or(|least| kernel < least))
}

fn translate_rule(rule: &Value) -> Result<Value> {
    let mut names = words(&rule["names"]);
    names.extend(rule["name"].as_str());
    if names.is_empty() {
        bail!("seccomp profile: a rule without names: {rule}");
    }
    let mut translated = Map::new();
    translated.insert("names".into(), json!(names));
    translated.insert("action".into(), rule["action"].clone());
    if let Some(errno) = rule.get("errnoRet").filter(|errno| !errno.is_null()) {
        translated.insert("errnoRet".into(), errno.clone());
    }
    if rule["args"].as_array().is_some_and(|arguments| !arguments.is_empty()) {
        translated.insert("args".into(), rule["args"].clone());
    }
    Ok(translated.into())
}

fn words(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn least_kernel(condition: &Value) -> Result<Option<(u32, u32)>> {
    let Some(text) = condition["minKernel"].as_str() else { return Ok(None) };
    version(text).map(Some).with_context(|| format!("seccomp profile: minKernel '{text}'"))
}

/// The first two numbers of a version such as `6.1.0-56-cloud-amd64`.
pub(super) fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile() -> Value {
        json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 1,
            "archMap": [
                { "architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"] },
                { "architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"] },
            ],
            "syscalls": [
                { "names": ["read"], "action": "SCMP_ACT_ALLOW", "args": null, "comment": "" },
                { "names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": { "minKernel": "4.8" } },
                { "names": ["old"], "action": "SCMP_ACT_ALLOW", "excludes": { "minKernel": "4.8" } },
                { "names": ["arm"], "action": "SCMP_ACT_ALLOW", "includes": { "arches": ["arm"] } },
                { "names": ["x86"], "action": "SCMP_ACT_ALLOW", "includes": { "arches": ["amd64"] } },
                { "names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": { "caps": ["A", "B"] } },
                { "names": ["chroot"], "action": "SCMP_ACT_ALLOW", "includes": { "caps": ["A"] } },
                { "names": ["kill"], "action": "SCMP_ACT_ALLOW", "excludes": { "caps": ["C", "A"] } },
                {
                    "names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38,
                    "args": [{ "index": 0, "value": 7, "op": "SCMP_CMP_MASKED_EQ" }],
                    "excludes": { "caps": ["B"], "arches": ["s390"] },
                },
            ],
        })
    }

    #[test]
    fn what_holds_is_kept() {
        let translated = translate(&profile(), &["A"], (6, 1)).unwrap();
        let rules = translated["syscalls"].as_array().unwrap();
        let names: Vec<_> = rules.iter().map(|rule| rule["names"][0].as_str().unwrap()).collect();
        assert_eq!(names, ["read", "ptrace", "x86", "chroot", "clone"]);
        assert_eq!(rules[0], json!({ "names": ["read"], "action": "SCMP_ACT_ALLOW" }));
        assert_eq!(rules[4]["errnoRet"], 38);
        assert_eq!(rules[4]["args"][0]["value"], 7);
        assert_eq!(translated["architectures"], json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]));
        assert_eq!(translated["defaultErrnoRet"], 1);
    }

    #[test]
    fn what_is_no_profile_is_told() {
        for wrong in [
            json!(7),
            json!({ "defaultAction": "X" }),
            json!({ "defaultAction": "X", "syscalls": [{ "action": "X" }] }),
            json!({ "defaultAction": "X", "syscalls": [{ "includes": { "minKernel": "x" } }] }),
        ] {
            let error = translate(&wrong, &[], (6, 1)).unwrap_err();
            assert!(error.to_string().contains("seccomp profile"), "{error}");
        }
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(version("6.1.0-56-cloud-amd64"), Some((6, 1)));
        assert_eq!(version("4.8"), Some((4, 8)));
        assert_eq!(version("six"), None);
    }
}
