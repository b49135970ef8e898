//! libFuzzer's way into `fuzz_targets::gateway`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz_targets::gateway::run(data);
});
