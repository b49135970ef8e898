//! Filters whose answers are known, and any filters against calls that are tried.

use std::collections::BTreeMap;

use proptest::prelude::*;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::*;

const ALLOW: u32 = 0x7FFF_0000;
const KILL: u32 = 0x8000_0000;
const TRACE: u32 = 0x7FF0_0000;

const fn op(code: u16, k: u32) -> Instruction {
    Instruction { code, jt: 0, jf: 0, k }
}

const fn jump(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code, jt, jf, k }
}

fn filters(programs: &[&[Instruction]]) -> Filters {
    let programs: Vec<_> = programs.iter().map(|program| program.to_vec()).collect();
    Filters::new(&programs).expect("filters")
}

/// What is said of `read`, having checked the calls that prove it.
fn ask(filters: &Filters) -> (Permission, bool) {
    let answer = filters.ask(X86_64, 0);
    assert!(answer.permitted.is_none_or(|call| filters.permits(&call)), "{answer:?}");
    assert!(answer.refused.is_none_or(|call| !filters.permits(&call)), "{answer:?}");
    (answer.permission, answer.exact)
}

#[test]
fn the_number_decides() {
    let program = [op(0x20, 0), jump(0x15, 1, 0, 1), op(6, ALLOW), op(6, KILL)];
    let filters = filters(&[&program]);
    let permitted = Permitted { name: "write".to_owned(), conditional: false };
    assert_eq!(filters.permitted(), [permitted]);
    assert_eq!(filters.foreign(), Foreign { x32: 0, i386: 1 });
    let all = Filters::default();
    assert_eq!(all.permitted().len(), calls::ALL.len());
    assert_eq!(all.foreign(), Foreign { x32: 451, i386: 451 });
}

#[test]
fn the_most_restrictive_filter_wins() {
    let allow: &[_] = &[op(6, ALLOW)];
    let kill: &[_] = &[op(6, KILL)];
    // The low halves of the first argument: below 5, and from 5.
    let below: &[_] = &[op(0x20, 16), jump(0x35, 5, 0, 1), op(6, KILL), op(6, ALLOW)];
    let from: &[_] = &[op(0x20, 16), jump(0x35, 5, 1, 0), op(6, KILL), op(6, ALLOW)];
    assert_eq!(ask(&filters(&[allow, allow])), (Permission::Always, true));
    assert_eq!(ask(&filters(&[allow, kill, allow])), (Permission::Never, true));
    assert_eq!(ask(&filters(&[allow, below])), (Permission::Sometimes, true));
    assert_eq!(ask(&filters(&[below, from])), (Permission::Never, true));
    let trace: &[_] = &[op(6, TRACE)];
    assert_eq!(ask(&filters(&[trace, allow])), (Permission::Sometimes, false));
    assert_eq!(ask(&filters(&[trace, kill])), (Permission::Never, true));
}

#[test]
fn memory_and_registers_are_followed() {
    // M[3] = argument & 0xF0; X = 0x40; permitted if M[3] == X and the argument's bit 4 is set.
    let never = [
        op(0x20, 16),
        op(0x54, 0xF0),
        op(0x02, 3),
        op(0x01, 0x40),
        op(0x60, 3),
        jump(0x1D, 0, 0, 3),
        op(0x20, 16),
        jump(0x45, 0x10, 0, 1),
        op(6, ALLOW),
        op(6, KILL),
    ];
    assert_eq!(ask(&filters(&[&never])), (Permission::Never, true));
    let mut some = never;
    some[7].k = 0x40;
    assert_eq!(ask(&filters(&[&some])), (Permission::Sometimes, true));
    // A sum is not followed, but what is tried is true.
    let sum = [op(0x20, 16), op(0x04, 1), jump(0x15, 1, 0, 1), op(6, ALLOW), op(6, KILL)];
    assert_eq!(ask(&filters(&[&sum])).0, Permission::Sometimes);
    // Division by zero refuses.
    let zero = [op(0x01, 0), op(0x3C, 0), op(6, ALLOW)];
    assert_eq!(ask(&filters(&[&zero])), (Permission::Never, true));
}

#[test]
fn what_linux_refuses_is_refused() {
    let new = |program: &[Instruction]| Filters::new(&[program.to_vec()]);
    assert_eq!(new(&[]), Err(Invalid::Empty));
    assert_eq!(new(&[op(0x20, 0)]), Err(Invalid::Unfinished));
    let wrong = [
        op(0x20, 64),
        op(0x20, 2),
        op(0x28, 0),
        op(0x40, 0),
        op(0x60, 16),
        op(0x34, 0),
        op(0x64, 32),
        op(0x94, 3),
        op(0x05, 1),
        op(0x05, u32::MAX),
        jump(0x15, 0, 0, 1),
        op(0xFFFF, 0),
    ];
    for instruction in wrong {
        let error = new(&[instruction, op(6, ALLOW)]).unwrap_err();
        assert_eq!(error, Invalid::Instruction { at: 0, code: instruction.code });
    }
    let long = vec![op(6, ALLOW); 4097];
    assert_eq!(new(&long), Err(Invalid::Long { instructions: 4097, most: 4096 }));
    let stack = vec![vec![op(6, ALLOW); 4096]; 8];
    assert!(matches!(Filters::new(&stack), Err(Invalid::Long { .. })));
}

/// As many ways as a program can have, none of which is ever ruled out.
#[test]
fn a_hostile_program_ends() {
    let mut program = Vec::new();
    for bit in 0..4090 / 3 {
        program.extend([op(0x20, 16 + bit % 12 * 4), op(0x04, bit), jump(0x45, 1, 0, 0)]);
    }
    program.push(op(6, KILL));
    assert_eq!(ask(&filters(&[&program])), (Permission::Sometimes, false));
    let mut program = Vec::new();
    for word in 0..2000 {
        program.extend([op(0x20, 16 + word % 12 * 4), jump(0x15, word, 0, 0)]);
    }
    program.push(op(6, KILL));
    assert!(!ask(&filters(&[&program])).1);
}

#[test]
fn filters_of_seccompiler_are_told_exactly() {
    let condition = |argument, operation, value| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operation, value).unwrap()
    };
    let rule = |conditions| SeccompRule::new(conditions).unwrap();
    let masked = SeccompCmpOp::MaskedEq(0xF000_0000_00F0);
    let rules = BTreeMap::from([
        (0, vec![]),
        (1, vec![rule(vec![condition(0, SeccompCmpOp::Eq, 3)])]),
        (16, vec![rule(vec![condition(1, masked.clone(), 0x1000_0000_0010)])]),
        // Each argument passes one of them.
        (
            17,
            vec![
                rule(vec![condition(2, SeccompCmpOp::Lt, 1 << 40)]),
                rule(vec![condition(2, SeccompCmpOp::Ge, 1 << 40)]),
            ],
        ),
        // None passes both.
        (
            18,
            vec![rule(vec![
                condition(2, SeccompCmpOp::Lt, 1 << 40),
                condition(2, SeccompCmpOp::Gt, 1 << 40),
            ])],
        ),
    ]);
    let kill = SeccompAction::KillProcess;
    let filter = SeccompFilter::new(rules, kill, SeccompAction::Allow, TargetArch::x86_64);
    let program = BpfProgram::try_from(filter.unwrap()).unwrap();
    let instruction =
        |i: &seccompiler::sock_filter| Instruction { code: i.code, jt: i.jt, jf: i.jf, k: i.k };
    let filters = Filters::new(&[program.iter().map(instruction).collect()]).unwrap();
    for (number, permission) in [
        (0, Permission::Always),
        (1, Permission::Sometimes),
        (2, Permission::Never),
        (16, Permission::Sometimes),
        (17, Permission::Always),
        (18, Permission::Never),
        (19, Permission::Never),
    ] {
        let answer = filters.ask(X86_64, number);
        assert_eq!((answer.permission, answer.exact), (permission, true), "{number}");
    }
    let names: Vec<_> = filters.permitted().into_iter().map(|call| call.name).collect();
    assert_eq!(names, ["ioctl", "pread64", "read", "write"]);
    assert_eq!(filters.foreign(), Foreign::default());
}

/// Instructions over two words of arguments with small numbers, so that 32 values of each are all that
/// matters, and sums in between where `sums` are wanted. Jumps are put right afterwards.
fn instruction(sums: bool) -> impl Strategy<Value = Instruction> {
    let arithmetic = if sums { vec![0x04, 0x0C, 0x14, 0x44, 0x54, 0xA4, 0x84] } else { vec![0x54] };
    prop_oneof![
        4 => prop_oneof![Just(16), Just(20)].prop_map(|k| op(0x20, k)),
        1 => (0u32..16).prop_map(|k| op(0x54, k)),
        1 => (prop::sample::select(arithmetic), 0u32..8).prop_map(|(code, k)| op(code, k)),
        1 => (prop::sample::select(vec![0x00, 0x01]), 0u32..8).prop_map(|(code, k)| op(code, k)),
        1 => (prop::sample::select(vec![0x02, 0x03, 0x60, 0x61]), 0u32..3)
            .prop_map(|(code, k)| op(code, k)),
        1 => prop::sample::select(vec![0x07, 0x87]).prop_map(|code| op(code, 0)),
        6 => (prop::sample::select(vec![0x15, 0x25, 0x35, 0x45, 0x1D]), 0u32..8, 0u8..6, 0u8..6)
            .prop_map(|(code, k, jt, jf)| jump(code, k, jt, jf)),
        2 => prop::sample::select(vec![ALLOW, KILL, TRACE, 0]).prop_map(|k| op(6, k)),
    ]
}

fn program(sums: bool) -> impl Strategy<Value = Vec<Instruction>> {
    (prop::collection::vec(instruction(sums), 0..24), any::<bool>()).prop_map(
        |(mut steps, allow)| {
            steps.push(op(6, if allow { ALLOW } else { KILL }));
            let last = steps.len() - 1;
            for (at, step) in steps.iter_mut().enumerate().filter(|(_, step)| step.code & 7 == 5) {
                let most = u8::try_from((last - at - 1).min(255)).unwrap();
                (step.jt, step.jf) = (step.jt.min(most), step.jf.min(most));
            }
            steps
        },
    )
}

fn verdicts(filters: &Filters) -> Vec<Verdict> {
    let words = (0..32u64).flat_map(|low| (0..32u64).map(move |high| high << 32 | low));
    words.map(|word| filters.run(&Data::new(X86_64, 0, 0, [word, 0, 0, 0, 0, 0]))).collect()
}

proptest! {
    #[test]
    fn what_is_said_is_so(programs in prop::collection::vec(program(true), 1..3)) {
        let filters = Filters::new(&programs).expect("filters");
        let (permission, _) = ask(&filters);
        let verdicts = verdicts(&filters);
        match permission {
            Permission::Always => prop_assert!(verdicts.iter().all(|v| *v == Verdict::Permitted)),
            Permission::Never => prop_assert!(verdicts.iter().all(|v| *v == Verdict::Refused)),
            Permission::Sometimes => {}
        }
    }

    #[test]
    fn what_can_be_followed_is_told_exactly(programs in prop::collection::vec(program(false), 1..3)) {
        let filters = Filters::new(&programs).expect("filters");
        let (permission, exact) = ask(&filters);
        let verdicts = verdicts(&filters);
        let permitted = verdicts.contains(&Verdict::Permitted);
        let refused = verdicts.contains(&Verdict::Refused);
        let right = match (permitted, refused, verdicts.contains(&Verdict::Deferred)) {
            (true, false, false) => Permission::Always,
            (false, true, false) => Permission::Never,
            _ => Permission::Sometimes,
        };
        // A comparison with X may be one of two words.
        if exact || !programs.iter().flatten().any(|step| step.code == 0x1D) {
            prop_assert_eq!(permission, right);
        }
    }

    #[test]
    fn any_instructions_are_refused_or_end(
        bytes in prop::collection::vec(any::<[u8; 8]>(), 0..40),
    ) {
        let program: Vec<_> = bytes.into_iter().map(Instruction::from_bytes).collect();
        if let Ok(filters) = Filters::new(&[program]) {
            ask(&filters);
        }
    }
}
