//! libFuzzer's way into `fuzz_targets::kv_request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz_targets::kv_request::run(data);
});
