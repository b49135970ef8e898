//! How much memory a guest has: what the container's limit leaves for it, so that it runs out of its own
//! memory, which it can handle, before the kernel kills it.

use anyhow::{Result, ensure};
use libcontainer::oci_spec::runtime::Spec;
use solo5_sys::layout::DEFAULT_MEMORY_BYTES;

use super::settings::Settings;

/// What the supervisor, a gateway and the kernel's own tables take of a limit, and the part of the
/// guest's memory that its page tables take.
const OVERHEAD_BYTES: u64 = 4 << 20;
const TABLES_SHARE: u64 = 256;
/// Guest memory is a whole number of these.
const UNIT_BYTES: u64 = 1 << 20;
/// More than a machine has would be no limit.
const LIMIT_MAX_BYTES: u64 = 1 << 46;

/// The guest's memory in bytes, beside images in memory of `image_bytes`.
///
/// # Errors
/// If nothing is left of the limit.
pub(super) fn guest_bytes(spec: &Spec, settings: &Settings, image_bytes: u64) -> Result<u64> {
    let Some(limit) = limit_bytes(spec) else {
        let bytes = settings.memory_bytes.unwrap_or(DEFAULT_MEMORY_BYTES);
        ensure!(bytes >= UNIT_BYTES, "NABLA_MEMORY is less than 1M");
        return Ok(bytes / UNIT_BYTES * UNIT_BYTES);
    };
    let left = limit.saturating_sub(OVERHEAD_BYTES).saturating_sub(image_bytes);
    let bytes = (left - left / TABLES_SHARE) / UNIT_BYTES * UNIT_BYTES;
    ensure!(
        bytes >= UNIT_BYTES,
        "the memory limit of {limit} bytes leaves nothing for the unikernel: this runtime takes {} of it{}",
        OVERHEAD_BYTES,
        if image_bytes > 0 { format!(", images of folders {image_bytes}") } else { String::new() }
    );
    Ok(bytes)
}

fn limit_bytes(spec: &Spec) -> Option<u64> {
    let memory = spec.linux().as_ref()?.resources().as_ref()?.memory().as_ref()?;
    let limit = u64::try_from(memory.limit()?).ok()?;
    (1..LIMIT_MAX_BYTES).contains(&limit).then_some(limit)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(limit: i64) -> Spec {
        serde_json::from_value(json!({
            "ociVersion": "1.0.2",
            "linux": { "resources": { "memory": { "limit": limit } } },
        }))
        .unwrap()
    }

    #[test]
    fn a_limit_is_what_the_guest_has_and_what_it_costs() {
        let settings = Settings { memory_bytes: Some(32 << 20), ..Settings::default() };
        let bytes = |limit, images| guest_bytes(&spec(limit), &settings, images);
        assert_eq!(bytes(64 << 20, 0).unwrap(), 59 << 20);
        assert_eq!(bytes(64 << 20, 10 << 20).unwrap(), 49 << 20);
        assert_eq!(bytes(4 << 30, 0).unwrap() >> 20, 4076);
        for (limit, images) in [(5 << 20, 0), (1, 0), (64 << 20, 60 << 20)] {
            let error = bytes(limit, images).unwrap_err().to_string();
            assert!(error.contains(&format!("limit of {limit} bytes")), "{error}");
        }
    }

    #[test]
    fn without_a_limit_the_image_says_it() {
        let settings = Settings { memory_bytes: Some((32 << 20) + 1), ..Settings::default() };
        for none in [spec(0), spec(-1), spec(i64::MAX)] {
            assert_eq!(guest_bytes(&none, &settings, 0).unwrap(), 32 << 20);
            assert_eq!(guest_bytes(&none, &Settings::default(), 0).unwrap(), DEFAULT_MEMORY_BYTES);
        }
        let settings = Settings { memory_bytes: Some(1000), ..Settings::default() };
        guest_bytes(&spec(0), &settings, 0).unwrap_err();
    }
}
