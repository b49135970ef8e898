//! libFuzzer's way into `fuzz_targets::command_line`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz_targets::command_line::run(data);
});
