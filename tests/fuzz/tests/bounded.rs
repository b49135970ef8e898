//! Every target with a bounded number of inputs from a fixed seed, and with the corpus: inputs that
//! once found a defect, by name. `NABLA_FUZZ_INPUTS` sets the number.

use std::fs;
use std::path::Path;

use fuzz_targets::mutation::Mutator;
use fuzz_targets::{TARGETS, Target, Verdict};

const SEED: u64 = 0x6e61_626c_6121;

fn target(name: &str) -> Target {
    TARGETS.into_iter().find(|target| target.name == name).expect("a target of this name")
}

fn inputs(target: &Target) -> u64 {
    match std::env::var("NABLA_FUZZ_INPUTS") {
        Ok(text) => text.parse().expect("NABLA_FUZZ_INPUTS is a number of inputs"),
        Err(_) => target.inputs,
    }
}

/// Says which input it was if the target panics, in a form that becomes a file of the corpus.
struct Witness<'a>(&'a [u8]);

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("the input, in hexadecimal: {text}");
        }
    }
}

fn give(target: &Target, input: &[u8]) -> Verdict {
    let _witness = Witness(input);
    (target.run)(input)
}

fn run(name: &str) {
    let target = target(name);
    for seed in (target.seeds)() {
        assert_eq!(give(&target, &seed), Verdict::Accepted, "a seed");
    }
    let mut mutator = Mutator::new(SEED, (target.seeds)(), (target.words)());
    let (inputs, mut accepted) = (inputs(&target), 0);
    for _ in 0..inputs {
        accepted += u64::from(give(&target, &mutator.input()) == Verdict::Accepted);
    }
    let refused = inputs - accepted;
    println!("{name}: {inputs} inputs, {accepted} accepted, {refused} refused");
    assert!(accepted > 0 && refused > 0, "one of them is missing: the inputs test little");
}

#[test]
fn abi() {
    run("abi");
}

#[test]
fn elf() {
    run("elf");
}

#[test]
fn command_line() {
    run("command_line");
}

#[test]
fn gateway() {
    run("gateway");
}

#[test]
fn kv_log() {
    run("kv_log");
}

#[test]
fn kv_request() {
    run("kv_request");
}

#[test]
fn netstack() {
    run("netstack");
}

#[test]
fn ring() {
    run("ring");
}

#[test]
fn what_once_failed_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in TARGETS {
        // A target that has never failed has no folder.
        let Ok(entries) = fs::read_dir(corpus.join(target.name)) else { continue };
        for entry in entries {
            let path = entry.expect("an entry").path();
            println!("{}", path.display());
            give(&target, &fs::read(&path).expect("a file"));
        }
    }
}
