//! How much memory a guest has: what the container's limit leaves for it, so that it runs out of its own
//! memory, which it can handle, before the kernel kills it.

use anyhow::{Result, ensure};
use libcontainer::oci_spec::runtime::Spec;
use site_image::size;
use solo5_sys::layout::DEFAULT_MEMORY_BYTES;
use tender::{elf, inspect, run};

use super::settings::Settings;

/// What the supervisor, a gateway and the kernel's own tables take of a limit, and the part of the
/// guest's memory that its page tables take.
const OVERHEAD_BYTES: u64 = 4 << 20;
const TABLES_SHARE: u64 = 256;
/// Guest memory is a whole number of these.
const UNIT_BYTES: u64 = 1 << 20;
/// What images in memory have to leave. Most guests need more than 1 MiB.
const GUEST_MIN_BYTES: u64 = 2 << 20;
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
    let bytes = left_bytes(limit, image_bytes);
    ensure!(
        bytes >= UNIT_BYTES,
        "the memory limit of {limit} bytes leaves nothing for the unikernel: this runtime takes {} of it{}",
        OVERHEAD_BYTES,
        if image_bytes > 0 { format!(", images of folders {image_bytes}") } else { String::new() }
    );
    Ok(bytes)
}

/// Before images are made: whether `image_bytes` of them fit beside a guest.
///
/// # Errors
/// If the limit does not leave enough.
pub(super) fn check_images(spec: &Spec, image_bytes: u64) -> Result<()> {
    let Some(limit) = limit_bytes(spec) else { return Ok(()) };
    ensure!(
        left_bytes(limit, image_bytes) >= GUEST_MIN_BYTES,
        "images in memory would take {}, and the container's memory limit of {limit} bytes has to hold \
         the unikernel as well: set a limit of {} or more",
        size::format(image_bytes),
        size::exact(limit_for(GUEST_MIN_BYTES, image_bytes))
    );
    Ok(())
}

/// What the tender says of too little memory, in terms of who starts a container; `None` if it speaks of
/// something else.
pub(super) fn explain(
    spec: &Spec,
    settings: &Settings,
    image_bytes: u64,
    error: &run::Error,
) -> Option<String> {
    let run::Error::Kernel(inspect::Error::Kernel {
        kernel,
        error: elf::Error::MemoryTooSmall { memory_mib, needed_mib },
    }) = error
    else {
        return None;
    };
    let sufficient = size::exact(limit_for(needed_mib << 20, image_bytes));
    let (reason, way_out) = match (limit_bytes(spec), settings.memory_bytes) {
        (Some(limit), _) => (
            format!("the container's memory limit of {limit} bytes leaves it {memory_mib}"),
            format!("set a limit of {sufficient} or more"),
        ),
        (None, Some(_)) => (
            format!("NABLA_MEMORY gives it {memory_mib}"),
            format!("set NABLA_MEMORY={needed_mib}M or more, or a memory limit of {sufficient}"),
        ),
        (None, None) => (
            format!("it has {memory_mib} if nothing is said"),
            format!("set NABLA_MEMORY={needed_mib}M or more, or a memory limit of {sufficient}"),
        ),
    };
    Some(format!("'{kernel}' needs {needed_mib} MiB of memory, and {reason}: {way_out}"))
}

/// What a limit leaves for the guest.
fn left_bytes(limit: u64, image_bytes: u64) -> u64 {
    let left = limit.saturating_sub(OVERHEAD_BYTES).saturating_sub(image_bytes);
    (left - left / TABLES_SHARE) / UNIT_BYTES * UNIT_BYTES
}

/// A limit that leaves that much for the guest, in whole MiB.
fn limit_for(guest_bytes: u64, image_bytes: u64) -> u64 {
    let tables = guest_bytes.div_ceil(TABLES_SHARE - 1);
    let limit = guest_bytes.saturating_add(tables + OVERHEAD_BYTES).saturating_add(image_bytes);
    limit.checked_next_multiple_of(UNIT_BYTES).unwrap_or(limit)
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
    fn a_limit_that_is_told_suffices() {
        for guest in [1, 2, 3, 59, 254, 255, 256, 257, 4076, 1 << 20] {
            for images in [0, 512, 10 << 20, (10 << 20) + 512] {
                let limit = limit_for(guest << 20, images);
                assert!(left_bytes(limit, images) >= guest << 20, "{guest} {images}");
                let less = left_bytes(limit - (2 << 20), images);
                assert!(less < guest << 20, "{guest} {images}");
            }
        }
    }

    #[test]
    fn images_leave_room_for_a_guest() {
        check_images(&spec(0), u64::MAX).unwrap();
        check_images(&spec(64 << 20), 57 << 20).unwrap();
        check_images(&spec(7 << 20), 0).unwrap();
        for images in [58 << 20, 64 << 20, u64::MAX] {
            let error = check_images(&spec(64 << 20), images).unwrap_err().to_string();
            assert!(error.contains("limit of 67108864 bytes"), "{error}");
        }
        let error = check_images(&spec(64 << 20), 60 << 20).unwrap_err().to_string();
        assert!(error.contains("would take 60.0 MiB"), "{error}");
        assert!(error.ends_with("set a limit of 67M or more"), "{error}");
    }

    #[test]
    fn too_little_memory_is_told_in_words_of_containers() {
        let error = |memory_mib, needed_mib| {
            run::Error::Kernel(inspect::Error::Kernel {
                kernel: "/httpd".into(),
                error: elf::Error::MemoryTooSmall { memory_mib, needed_mib },
            })
        };
        let set = Settings { memory_bytes: Some(1 << 20), ..Settings::default() };
        let unset = Settings::default();
        let needs = "'/httpd' needs 2 MiB of memory, and";
        for (limit, settings, words) in [
            (
                6 << 20,
                &unset,
                "the container's memory limit of 6291456 bytes leaves it 1: set a limit of 7M",
            ),
            (
                6 << 20,
                &set,
                "the container's memory limit of 6291456 bytes leaves it 1: set a limit of 7M",
            ),
            (
                0,
                &set,
                "NABLA_MEMORY gives it 1: set NABLA_MEMORY=2M or more, or a memory limit of 7M",
            ),
        ] {
            let text = explain(&spec(limit), settings, 0, &error(1, 2)).unwrap();
            assert!(text.starts_with(&format!("{needs} {words}")), "{text}");
        }
        let text = explain(&spec(0), &unset, 0, &error(512, 600)).unwrap();
        assert!(
            text.ends_with("set NABLA_MEMORY=600M or more, or a memory limit of 607M"),
            "{text}"
        );
        let other = run::Error::Kernel(inspect::Error::NotRegular("/".into()));
        assert_eq!(explain(&spec(0), &set, 0, &other), None);
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
