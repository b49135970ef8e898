//! libFuzzer's way into `fuzz_targets::netstack`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz_targets::netstack::run(data);
});
