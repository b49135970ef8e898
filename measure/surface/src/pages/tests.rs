//! Pages that are made here, broken ones, and any bytes.

use proptest::prelude::*;

use super::*;
use crate::format::Fork;

/// A page with these records behind its header.
fn page(records: &[u8], flags: u64) -> Vec<u8> {
    let mut page = 7_u64.to_le_bytes().to_vec();
    page.extend((records.len() as u64 | flags).to_le_bytes());
    page.extend(records);
    page
}

fn common(kind: u16, pid: i32) -> Vec<u8> {
    let mut data = kind.to_le_bytes().to_vec();
    data.extend([0x10, 2]);
    data.extend(pid.to_le_bytes());
    data
}

fn function_data(pid: i32, ip: u64, parent: u64) -> Vec<u8> {
    let mut data = common(1, pid);
    data.extend(ip.to_le_bytes());
    data.extend(parent.to_le_bytes());
    data
}

/// A record whose kind is its length.
fn short(data: &[u8], delta: u32) -> Vec<u8> {
    let mut record = ((data.len() as u32 / 4) | (delta << 5)).to_le_bytes().to_vec();
    record.extend(data);
    record
}

/// A record whose length stands in front of its data.
fn long(data: &[u8]) -> Vec<u8> {
    let mut record = 0_u32.to_le_bytes().to_vec();
    record.extend((data.len() as u32 + 4).to_le_bytes());
    record.extend(data);
    record
}

fn formats() -> Formats {
    let fork = Some(Fork { id: 300, parent: 8, child: 12 });
    Formats { fork, ..Formats::default() }
}

fn events(bytes: &[u8]) -> Result<Vec<String>, PageError> {
    let formats = formats();
    let page = Page::new(bytes)?;
    page.events(&formats).map(|event| event.map(|event| format!("{event:x?}"))).collect()
}

#[test]
fn all_kinds_of_records_are_read() {
    let mut records = short(&function_data(5, 0xa, 0xb), 3);
    records.extend([30 | 1 << 5, 0, 0, 0, 1, 0, 0, 0]); // time goes on
    records.extend(long(&function_data(6, 0xc, 0xd)));
    records.extend([29 | 1 << 5, 0, 0, 0, 8, 0, 0, 0, 9, 9, 9, 9]); // something was discarded
    let mut fork = common(300, 5);
    fork.extend([5, 0, 0, 0, 6, 0, 0, 0]);
    records.extend(short(&fork, 0));
    records.extend(short(&common(999, 1), 0)); // an event of another kind
    records.extend([29, 0, 0, 0, 1, 2, 3]); // the rest is nothing
    let events = events(&page(&records, 0)).unwrap();
    assert_eq!(
        events,
        [
            "Function(Entry { pid: 5, flags: 10, ip: a, parent: b })",
            "Function(Entry { pid: 6, flags: 10, ip: c, parent: d })",
            "Fork { parent: 5, child: 6 }",
        ]
    );
}

#[test]
fn losses_are_told() {
    assert_eq!(Page::new(&page(&[], 0)).unwrap().lost(), None);
    assert_eq!(Page::new(&page(&[], LOST)).unwrap().lost(), Some(0));
    let mut counted = page(&[], LOST | LOST_COUNTED);
    counted.extend(42_u64.to_le_bytes());
    assert_eq!(Page::new(&counted).unwrap().lost(), Some(42));
}

#[test]
fn what_does_not_fit_is_refused() {
    assert_eq!(Page::new(&[0; 15]).unwrap_err(), PageError::Short { bytes: 15 });
    let mut claims = page(&[0; 8], 0);
    claims[8] = 9;
    assert_eq!(Page::new(&claims).unwrap_err(), PageError::Length { claimed: 9, bytes: 24 });
    let cut = &short(&function_data(5, 1, 2), 0)[..20];
    let error = events(&page(cut, 0)).unwrap_err();
    assert_eq!(error, PageError::Record { at: 0, claimed: 28, left: 20 });
    let error = events(&page(&short(&common(1, 5), 0), 0)).unwrap_err();
    assert_eq!(error, PageError::Event { at: 0, kind: 1 });
    let endless = [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
    assert!(matches!(events(&page(&endless, 0)), Err(PageError::Record { .. })));
    let nothing = [0, 0, 0, 0, 0, 0, 0, 0];
    assert!(matches!(events(&page(&nothing, 0)), Err(PageError::Record { .. })));
}

fn entry() -> impl Strategy<Value = (i32, u64, u64, bool)> {
    (any::<i32>(), any::<u64>(), any::<u64>(), any::<bool>())
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..4096), fit: bool) {
        if fit && bytes.len() >= 16 {
            let length = bytes.len() as u64 - 16;
            bytes[8..16].copy_from_slice(&length.to_le_bytes());
        }
        let formats = formats();
        if let Ok(page) = Page::new(&bytes) {
            prop_assert!(page.events(&formats).count() <= bytes.len() / 4 + 1);
        }
    }

    #[test]
    fn what_was_written_is_read(entries in prop::collection::vec(entry(), 0..80)) {
        let records = entries.iter().flat_map(|&(pid, ip, parent, is_long)| {
            let data = function_data(pid, ip, parent);
            if is_long { long(&data) } else { short(&data, 1) }
        });
        let bytes = page(&records.collect::<Vec<_>>(), 0);
        let formats = formats();
        let read: Vec<_> = Page::new(&bytes).unwrap().events(&formats).map(Result::unwrap).collect();
        let written = entries.iter().map(|&(pid, ip, parent, _)| {
            Event::Function(Entry { pid, flags: 0x10, ip, parent })
        });
        prop_assert_eq!(read, written.collect::<Vec<_>>());
    }
}
