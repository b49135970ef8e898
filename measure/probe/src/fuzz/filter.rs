//! Docker's default filter, without a container. Calls by 32-bit programs, which Docker's permits, end the process here;
//! the fuzzer makes none. A refused call gets EPERM, also where Docker's answers ENOSYS.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};
use serde_json::Value;
use syscall_fuzzer::numbers;

/// Docker's profile, as containers get it; see `measure/data/README.md`.
const DOCKER: &str = "/measure/docker-seccomp.json";

/// Puts this process under what Docker's profile permits to a container with Docker's capabilities.
///
/// # Errors
/// If the profile is not understood, or the kernel refuses.
pub(super) fn install() -> Result<()> {
    let profile: Value =
        serde_json::from_slice(&std::fs::read(DOCKER).context(DOCKER)?).context(DOCKER)?;
    let filter = compile(&crate::container::applicable(&profile)?)?;
    let program: seccompiler::BpfProgram = filter.try_into().context("Docker's profile")?;
    seccompiler::apply_filter(&program).context("cannot install a filter")
}

/// A profile in the form of the OCI runtime specification.
fn compile(profile: &Value) -> Result<SeccompFilter> {
    let mut rules = BTreeMap::<i64, Vec<SeccompRule>>::new();
    let mut always = Vec::new();
    for rule in profile["syscalls"].as_array().context("a profile without calls")? {
        if rule["action"] != "SCMP_ACT_ALLOW" {
            continue;
        }
        let names = rule["names"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for number in names.filter_map(numbers::number) {
            let of_this = rules.entry(number as i64).or_default();
            match rule["args"].as_array() {
                None => always.push(number as i64),
                Some(conditions) => {
                    let conditions = conditions.iter().map(condition).collect::<Result<_>>()?;
                    of_this.push(SeccompRule::new(conditions)?);
                }
            }
        }
    }
    // No rule means any arguments.
    for number in always {
        rules.insert(number, Vec::new());
    }
    let refused = SeccompAction::Errno(nix::libc::EPERM as u32);
    Ok(SeccompFilter::new(rules, refused, SeccompAction::Allow, TargetArch::x86_64)?)
}

fn condition(condition: &Value) -> Result<SeccompCondition> {
    let number = |name: &str| condition[name].as_u64().unwrap_or(0);
    let (value, second) = (number("value"), number("valueTwo"));
    let (operation, value) = match condition["op"].as_str() {
        Some("SCMP_CMP_EQ") => (SeccompCmpOp::Eq, value),
        Some("SCMP_CMP_NE") => (SeccompCmpOp::Ne, value),
        Some("SCMP_CMP_LT") => (SeccompCmpOp::Lt, value),
        Some("SCMP_CMP_LE") => (SeccompCmpOp::Le, value),
        Some("SCMP_CMP_GT") => (SeccompCmpOp::Gt, value),
        Some("SCMP_CMP_GE") => (SeccompCmpOp::Ge, value),
        Some("SCMP_CMP_MASKED_EQ") => (SeccompCmpOp::MaskedEq(value), second),
        _ => bail!("a condition that is not understood: {condition}"),
    };
    let index = u8::try_from(number("index")).context("an argument's number")?;
    Ok(SeccompCondition::new(index, SeccompCmpArgLen::Qword, operation, value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_s_profile_becomes_a_filter() {
        let profile =
            serde_json::from_str(include_str!("../../../data/docker-seccomp.json")).unwrap();
        let translated = crate::container::applicable(&profile).unwrap();
        let program: seccompiler::BpfProgram = compile(&translated).unwrap().try_into().unwrap();
        assert!((200..4096).contains(&program.len()), "{}", program.len());
    }
}
