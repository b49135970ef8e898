//! The key-value store's log: any device. What is read back are records that were written, in order and without a gap;
//! nothing is written by an open unless the device is blank; and the log goes on from there.
//!
//! The checksums would turn down nearly every change. So the first byte says whether those of the superblocks and of
//! the frames are made right; what is read then need not have been written.

use kv::log::{Log, Options, Replay};
use kv::world::{Disk, DiskError};
use xxhash_rust::xxh3::xxh3_64;

use crate::{Target, Verdict};

/// This target.
pub const TARGET: Target = Target { name: "kv_log", run, seeds, words, inputs: 6000 };

const BLOCK_BYTES: usize = 512;
/// Where superblocks and the ring begin, and where the former have their checksum; see the log's own words.
const RING_START: usize = 8192;
const SLOT_BYTES: usize = 4096;
const SLOT_CHECKSUM_AT: usize = 504;
const HEADER_BYTES: usize = 64;
/// The device of the seeds, with a ring that is gone round several times.
const SEED_BYTES: usize = 60 << 10;

struct Image {
    bytes: Vec<u8>,
    is_written: bool,
}

impl Disk for Image {
    fn capacity_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn block_bytes(&self) -> usize {
        BLOCK_BYTES
    }

    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        let at = offset as usize;
        assert!(at.is_multiple_of(BLOCK_BYTES) && buffer.len().is_multiple_of(BLOCK_BYTES));
        buffer.copy_from_slice(&self.bytes[at..at + buffer.len()]);
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        let at = offset as usize;
        assert!(at.is_multiple_of(BLOCK_BYTES) && data.len().is_multiple_of(BLOCK_BYTES));
        self.bytes[at..at + data.len()].copy_from_slice(data);
        self.is_written = true;
        Ok(())
    }
}

/// What was read.
#[derive(Default)]
struct Read(Vec<u8>);

impl Replay for Read {
    type Error = ();

    fn begin(&mut self) {
        self.0.clear();
    }

    fn batch(&mut self, payload: &[u8]) -> Result<(), ()> {
        self.0.extend_from_slice(payload);
        Ok(())
    }
}

/// Opens the device that the bytes behind the first are.
///
/// # Panics
/// If something does not hold that must.
pub fn run(data: &[u8]) -> Verdict {
    let Some((&mode, image)) = data.split_first() else { return Verdict::Refused };
    let mut bytes = image[..image.len() - image.len() % BLOCK_BYTES].to_vec();
    let is_sealed = mode % 2 == 1;
    if is_sealed {
        seal(&mut bytes);
    }
    let is_blank = bytes.iter().all(|byte| *byte == 0);
    let mut disk = Image { bytes, is_written: false };
    let mut read = Read::default();
    let options = |entropy| Options { entropy, is_format_forced: false };
    let Ok((mut log, report)) = Log::open(&mut disk, options(7), &mut read) else {
        assert!(!disk.is_written, "written before it was refused");
        return Verdict::Refused;
    };
    assert!(is_blank || !disk.is_written, "written by an open");
    assert!(read.0.len() <= disk.bytes.len(), "more than the device holds");
    assert!(!report.to_string().is_empty());
    if !is_sealed {
        check(&read.0);
    }
    if log.append(b"more").is_ok() {
        log.mark_boundary();
        log.commit(&mut disk).expect("a device that works");
        read.0.extend_from_slice(b"more");
        let mut again = Read::default();
        let opened = Log::open(&mut disk, options(8), &mut again);
        if !is_sealed {
            let opened = opened.map(drop);
            assert!(opened.is_ok(), "it cannot be opened again: {opened:?}, first {report}");
            assert!(again.0 == read.0, "something else was read the second time");
        }
    }
    Verdict::Accepted
}

/// The record with a number: the number, its length, and so many bytes.
fn record(number: u32) -> Vec<u8> {
    let len = number.wrapping_mul(2_654_435_761) % 900;
    let mut record = [number.to_le_bytes(), len.to_le_bytes()].concat();
    record.resize(record.len() + len as usize, number as u8);
    record
}

/// What was read are records whose numbers follow each other.
fn check(mut payload: &[u8]) {
    let mut last = None;
    while let Some((head, _)) = payload.split_first_chunk::<4>() {
        let number = u32::from_le_bytes(*head);
        assert!(last.is_none_or(|last: u32| number == last + 1), "{number} after {last:?}");
        let record = record(number);
        assert!(payload.starts_with(&record), "record {number} is another");
        (payload, last) = (&payload[record.len()..], Some(number));
    }
    assert!(payload.is_empty(), "half a record");
}

/// Makes the checksums of superblocks and frames right, wherever they may be.
fn seal(image: &mut [u8]) {
    for block in image.chunks_exact_mut(BLOCK_BYTES) {
        if block.starts_with(b"NABLAKV\0") {
            let sum = xxh3_64(&block[..SLOT_CHECKSUM_AT]);
            block[SLOT_CHECKSUM_AT..].copy_from_slice(&sum.to_le_bytes());
        }
    }
    let end = image.len().saturating_sub(2 * SLOT_BYTES);
    for at in (RING_START..end).step_by(BLOCK_BYTES) {
        let header = &image[at..at + HEADER_BYTES];
        if &header[8..12] != b"nKVf" {
            continue;
        }
        let payload = u32::from_le_bytes([header[16], header[17], header[18], header[19]]);
        let frame_end = at.saturating_add(HEADER_BYTES).saturating_add(payload as usize);
        if let Some(rest) = image.get(at + 8..frame_end) {
            let sum = xxh3_64(rest);
            image[at..at + 8].copy_from_slice(&sum.to_le_bytes());
        }
    }
}

/// Devices with a log: few records, many, and those that are left after some were given up.
fn seeds() -> Vec<Vec<u8>> {
    let images = [(0, 0), (5, 0), (30, 0), (90, 12)].map(|(records, kept)| image(records, kept));
    let modes = images.iter().flat_map(|image| [0, 1].map(|mode| [&[mode][..], image].concat()));
    modes.collect()
}

/// A device to which records were written; if `kept` is not 0, those before the last so many were given up now and then.
fn image(records: u32, kept: u32) -> Vec<u8> {
    let mut disk = Image { bytes: vec![0; SEED_BYTES], is_written: false };
    let options = Options { entropy: u64::from(records), is_format_forced: false };
    let (mut log, _) = Log::open(&mut disk, options, &mut Read::default()).expect("a blank device");
    let mut mark = log.mark();
    for number in 0..records {
        log.append(&record(number)).expect("room for a record");
        log.mark_boundary();
        log.commit(&mut disk).expect("a device that works");
        if kept > 0 && number % kept == kept - 1 {
            log.retire_to(mark, &mut disk).expect("a device that works");
            mark = log.mark();
        }
    }
    disk.bytes
}

fn words() -> Vec<Vec<u8>> {
    [&b"NABLAKV\0"[..], b"nKVf", &[0; 512], &[0xff; 64]].map(<[u8]>::to_vec).to_vec()
}
