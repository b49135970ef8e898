//! Filters that a process installs for itself, read from outside.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

use super::*;

/// A filter that refuses one call.
fn without(call: u32) -> BpfProgram {
    let rules = BTreeMap::from([(call.into(), Vec::new())]);
    let (allow, refuse) = (SeccompAction::Allow, SeccompAction::Errno(1));
    let filter = SeccompFilter::new(rules, allow, refuse, TargetArch::x86_64).expect("rules");
    filter.try_into().expect("a filter")
}

/// A `cat` behind such filters, which ends with its input.
fn cat(filters: Vec<BpfProgram>) -> Child {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let install = move || {
        let applied = filters.iter().try_for_each(|filter| seccompiler::apply_filter(filter));
        applied.map_err(|_| io::ErrorKind::PermissionDenied.into())
    };
    // SAFETY: between fork and exec this makes system calls only; it allocates nothing.
    let command = unsafe { command.pre_exec(install) };
    command.spawn().expect("a process")
}

/// Reads them, unless this machine does not let us.
fn read_or_skip(child: &Child) -> Option<Policy> {
    let pid = i32::try_from(child.id()).unwrap();
    match read("server", &[pid]) {
        Ok(findings) => Some(findings),
        Err(error) => {
            let why = format!("{error:#}");
            let lacks = ["CONFIG_CHECKPOINT_RESTORE", "be root", "cannot be traced"];
            assert!(lacks.iter().any(|word| why.contains(word)), "{why}");
            eprintln!("skipped: {why}");
            None
        }
    }
}

fn end(mut child: Child) {
    child.stdin.take().unwrap().write_all(b"still here").unwrap();
    let mut answer = String::new();
    child.stdout.take().unwrap().read_to_string(&mut answer).unwrap();
    assert_eq!((answer.as_str(), child.wait().unwrap().code()), ("still here", Some(0)));
}

#[test]
fn filters_are_read_and_the_process_goes_on() {
    let (socket, ptrace) = (41, 101);
    let child = cat(vec![without(socket), without(ptrace)]);
    if let Some(policy) = read_or_skip(&child) {
        assert_eq!((policy.role.as_str(), policy.filters), ("server", 2));
        let names: Vec<_> = policy.calls.iter().map(|call| call.name.as_str()).collect();
        assert_eq!(names.len(), surface::calls::ALL.len() - 2);
        assert!(
            !names.contains(&"socket") && !names.contains(&"ptrace") && names.contains(&"read")
        );
        assert!(policy.calls.iter().all(|call| !call.conditional));
        // The other architecture is refused by this compiler, numbers above ours are not.
    }
    end(child);
}

#[test]
fn no_filter_is_told_as_none() {
    let child = cat(Vec::new());
    let findings = read_or_skip(&child);
    end(child);
    let policy = findings.expect("nothing to ask the kernel for");
    assert_eq!((policy.filters, policy.calls), (0, Vec::new()));
}

#[test]
fn what_one_thread_may_do_its_role_may() {
    let stack = |calls: &[u32]| -> Stack {
        let program = |call: &u32| {
            let filter = without(*call);
            filter
                .iter()
                .map(|i| Instruction { code: i.code, jt: i.jt, jf: i.jf, k: i.k })
                .collect()
        };
        calls.iter().map(program).collect()
    };
    let calls = |stacks: &[Stack]| together("server", stacks).unwrap();
    let all = surface::calls::ALL.len();
    assert_eq!(calls(&[stack(&[0, 1])]).calls.len(), all - 2);
    let both = calls(&[stack(&[0, 1]), stack(&[1])]);
    assert_eq!((both.filters, both.calls.len()), (1, all - 1));
    let one_without = calls(&[stack(&[0]), Vec::new()]);
    assert_eq!((one_without.filters, one_without.calls.len()), (0, 0));
}

#[test]
fn a_process_that_is_gone_is_named() {
    let error = read("guest", &[i32::MAX]).err().map(|error| error.to_string());
    assert_eq!(error.as_deref(), Some("process 2147483647 is not there"));
}
