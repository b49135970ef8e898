//! libFuzzer's way into `fuzz_targets::elf`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz_targets::elf::run(data);
});
