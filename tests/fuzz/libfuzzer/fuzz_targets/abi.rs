//! libFuzzer's way into `fuzz_targets::abi`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz_targets::abi::run(data);
});
