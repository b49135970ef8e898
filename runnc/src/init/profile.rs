//! The engine's seccomp profile. A guest's own filter permits less than any profile, and stands alone: a
//! second one would cost time at each call. But a profile that forbids what the guest needs is heeded: the
//! guest is not started.

use anyhow::{Result, ensure};
use libcontainer::oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, Spec};

/// Refuses to run a guest with these calls if the profile forbids one of them.
///
/// # Errors
/// If it does, and which.
pub(super) fn check(spec: &Spec, calls: impl Iterator<Item = &'static str>) -> Result<()> {
    let Some(profile) = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref()) else {
        return Ok(());
    };
    for call in calls {
        ensure!(
            permits(profile, call),
            "the container's seccomp profile does not permit {call}, which the unikernel needs"
        );
    }
    Ok(())
}

/// Whether a call is permitted whatever its arguments are.
fn permits(profile: &LinuxSeccomp, call: &str) -> bool {
    let is_permission = |action| {
        matches!(action, LinuxSeccompAction::ScmpActAllow | LinuxSeccompAction::ScmpActLog)
    };
    let rules = profile.syscalls().iter().flatten();
    let mut rules = rules.filter(|rule| rule.names().iter().any(|name| name == call)).peekable();
    if rules.peek().is_none() {
        return is_permission(profile.default_action());
    }
    // A rule with conditions speaks of some calls only.
    let is_general = |args: Option<usize>| args.unwrap_or_default() == 0;
    let (mut permitted, mut forbidden) = (is_permission(profile.default_action()), false);
    for rule in rules {
        let general = is_general(rule.args().as_ref().map(Vec::len));
        match is_permission(rule.action()) {
            true => permitted |= general,
            false => forbidden = true,
        }
    }
    permitted && !forbidden
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(seccomp: &Value) -> Spec {
        serde_json::from_value(json!({ "ociVersion": "1.0.2", "linux": { "seccomp": seccomp } }))
            .unwrap()
    }

    #[test]
    fn what_a_guest_needs_must_be_permitted() {
        let rule = |names: &[&str], action: &str| json!({ "names": names, "action": action });
        let conditional = json!({
            "names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }]
        });
        for (default, rules, result) in [
            ("SCMP_ACT_ERRNO", json!([rule(&["read", "write"], "SCMP_ACT_ALLOW")]), None),
            ("SCMP_ACT_ALLOW", json!([rule(&["mount"], "SCMP_ACT_ERRNO")]), None),
            ("SCMP_ACT_LOG", json!([]), None),
            ("SCMP_ACT_ERRNO", json!([rule(&["write"], "SCMP_ACT_ALLOW")]), Some("read")),
            ("SCMP_ACT_ALLOW", json!([rule(&["write"], "SCMP_ACT_KILL")]), Some("write")),
            (
                "SCMP_ACT_ERRNO",
                json!([rule(&["write"], "SCMP_ACT_ALLOW"), conditional]),
                Some("read"),
            ),
        ] {
            let spec = spec(&json!({ "defaultAction": default, "syscalls": rules }));
            let checked = check(&spec, ["read", "write"].into_iter());
            let refusal = checked.err().map(|error| error.to_string());
            assert_eq!(refusal.is_some(), result.is_some(), "{refusal:?}");
            assert!(refusal.unwrap_or_default().contains(result.unwrap_or_default()));
        }
        let none: Spec = serde_json::from_value(json!({ "ociVersion": "1.0.2" })).unwrap();
        check(&none, ["read"].into_iter()).unwrap();
    }
}
