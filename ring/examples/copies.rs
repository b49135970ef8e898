//! Measures how fast frames go into a ring and come out, by one thread:
//! `cargo run --release -p ring --example copies`.

use std::hint::black_box;
use std::time::Instant;

use ring::{AtomicU64, WORDS, gateway_end, guest_end};
use solo5_sys::ring::FRAME_BYTES_MAX;

fn main() {
    for bytes in [64, 1514, 9000, FRAME_BYTES_MAX] {
        let words: Vec<AtomicU64> = (0..WORDS).map(|_| AtomicU64::new(0)).collect();
        let region: Box<[AtomicU64; WORDS]> =
            words.into_boxed_slice().try_into().expect("the size of a region");
        let (mut guest, mut gateway) = (guest_end(&region), gateway_end(&region));
        let (frame, mut buffer) = (vec![3; bytes], vec![0; FRAME_BYTES_MAX]);
        let frames = (1 << 31) / (bytes + 200);
        let started = Instant::now();
        for _ in 0..frames {
            assert_eq!(guest.outgoing().send(black_box(&frame)), Ok(true));
            assert_eq!(gateway.incoming().receive(black_box(&mut buffer)), Ok(Some(bytes)));
        }
        let seconds = started.elapsed().as_secs_f64();
        let (rate, each) = (frames as f64 * bytes as f64 / seconds, seconds / frames as f64);
        println!("{bytes} bytes: {:.1} GB/s in and out, {:.0} ns", rate / 1e9, each * 1e9);
    }
}
