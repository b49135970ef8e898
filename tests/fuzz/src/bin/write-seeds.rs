//! Writes what a long run starts from into a folder: `TARGET/seed-N` for each valid input, and
//! `TARGET.dict` with the words in libFuzzer's form.

use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs, io};

use fuzz_targets::{TARGETS, Target};

fn main() -> ExitCode {
    let Some(folder) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("write-seeds: which folder? `write-seeds tests/fuzz/libfuzzer/corpus`");
        return ExitCode::FAILURE;
    };
    for target in TARGETS {
        if let Err(error) = write(&target, &folder) {
            eprintln!("write-seeds: '{}': {error}", folder.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn write(target: &Target, folder: &std::path::Path) -> io::Result<()> {
    let seeds = folder.join(target.name);
    fs::create_dir_all(&seeds)?;
    for (number, seed) in (target.seeds)().iter().enumerate() {
        fs::write(seeds.join(format!("seed-{number}")), seed)?;
    }
    let words = (target.words)();
    let lines: String = words.iter().map(|word| format!("\"{}\"\n", escape(word))).collect();
    fs::write(folder.join(format!("{}.dict", target.name)), lines)
}

fn escape(word: &[u8]) -> String {
    word.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}
