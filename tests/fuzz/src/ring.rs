//! The ring wire, at the end of a gateway whose guest writes anything into their memory between
//! honest frames: each call ends with a frame within the limits, or an error of one line, and what an
//! honest guest has sent arrives as it was.

use std::sync::atomic::Ordering;

use ring::{AtomicU64, WORDS, gateway_end, guest_end};
use solo5_sys::ring::{DATA_BYTES, FRAME_BYTES_MAX, HEADER_BYTES, SKIP};

use crate::{Target, Verdict, assert_one_line};

/// This target.
pub const TARGET: Target = Target { name: "ring", run, seeds, words, inputs: 2_000 };

/// Words of the memory that inputs reach: the header's, and the first of the way to the gateway.
const REACHED: u16 = (HEADER_BYTES / 8) as u16 + 256;

/// What an input consists of: three bytes, of which the first chooses, and a word of eight more for
/// [`Step::Write`].
enum Step {
    /// Writes a word to this place.
    Write(u16),
    /// The guest sends a frame of this length.
    GuestSends(u16),
    /// The gateway takes a frame.
    Receive,
    /// The gateway sends one of this length.
    Send(u16),
    /// The gateway wakes the guest if it must, then sleeps, if it may, and wakes.
    Sleep(u16),
}

impl Step {
    fn of(bytes: &[u8; 3]) -> Self {
        let number = u16::from_le_bytes([bytes[1], bytes[2]]);
        match bytes[0] % 6 {
            0 => Self::Write(number % REACHED),
            1 => Self::GuestSends(number),
            2 | 3 => Self::Receive,
            4 => Self::Send(number),
            _ => Self::Sleep(number),
        }
    }
}

thread_local! {
    /// One memory for all inputs, since to make it takes longer than most of them.
    static REGION: Box<[AtomicU64; WORDS]> = {
        let words: Vec<AtomicU64> = (0..WORDS).map(|_| AtomicU64::new(0)).collect();
        words.into_boxed_slice().try_into().expect("its size")
    };
}

/// Takes the steps.
///
/// # Panics
/// If something does not hold that must.
pub fn run(data: &[u8]) -> Verdict {
    REGION.with(|region| {
        let zero = |words: &[AtomicU64]| words.iter().for_each(|w| w.store(0, Ordering::Relaxed));
        zero(&region[..usize::from(REACHED)]);
        let verdict = take_steps(region, data);
        // What honest frames have filled, before anything else.
        let ways = region[HEADER_BYTES / 8..].chunks(DATA_BYTES / 8);
        ways.for_each(|way| {
            zero(&way[..way.len().min(data.len() * (FRAME_BYTES_MAX / 8 / 3 + 1))])
        });
        verdict
    })
}

fn take_steps(region: &[AtomicU64; WORDS], data: &[u8]) -> Verdict {
    let (mut guest, mut gateway) = (guest_end(region), gateway_end(region));
    let mut buffer = vec![0; FRAME_BYTES_MAX];
    let (mut is_honest, mut sent, mut received) = (true, 0u8, 0u8);
    let mut rest = data;
    while let Some((step, behind)) = rest.split_first_chunk::<3>() {
        rest = behind;
        let outcome = match Step::of(step) {
            Step::Write(place) => {
                let Some((word, behind)) = rest.split_first_chunk::<8>() else { break };
                rest = behind;
                is_honest = false;
                region[usize::from(place)].store(u64::from_le_bytes(*word), Ordering::Relaxed);
                Ok(())
            }
            Step::GuestSends(bytes) => {
                let frame = vec![sent; usize::from(bytes).max(1)];
                // Its end may be broken by what it wrote itself.
                if guest.outgoing().send(&frame) == Ok(true) {
                    sent = sent.wrapping_add(1);
                }
                Ok(())
            }
            Step::Receive => gateway.incoming().receive(&mut buffer).map(|frame| {
                let Some(bytes) = frame else {
                    assert!(!is_honest || sent == received, "a frame is lost");
                    return;
                };
                assert!((1..=FRAME_BYTES_MAX).contains(&bytes));
                if is_honest {
                    assert!(buffer[..bytes].iter().all(|byte| *byte == received));
                }
                received = received.wrapping_add(1);
            }),
            Step::Send(bytes) => {
                gateway.outgoing().send(&buffer[..usize::from(bytes).max(1)]).map(drop)
            }
            Step::Sleep(bytes) => {
                let _ = gateway.must_ring();
                let room_for = (bytes > 0).then_some(usize::from(bytes));
                gateway.prepare_to_sleep(room_for).map(|may| {
                    if may {
                        gateway.wake()
                    }
                })
            }
        };
        if let Err(error) = outcome {
            assert!(!is_honest, "{error}");
            assert_one_line(&error.to_string());
            return Verdict::Refused;
        }
    }
    if received > 0 { Verdict::Accepted } else { Verdict::Refused }
}

/// Honest traffic: short and long frames, until the ring has wrapped.
fn seeds() -> Vec<Vec<u8>> {
    let step = |choice: u8, number: u16| {
        let [low, high] = number.to_le_bytes();
        vec![choice, low, high]
    };
    let exchange = |bytes| [step(1, bytes), step(2, 0), step(4, bytes), step(5, bytes)].concat();
    vec![
        exchange(60),
        [exchange(1), exchange(8), exchange(1524), exchange(u16::MAX)].concat(),
        [exchange(u16::MAX).repeat(20), step(1, 100), step(1, 200), step(2, 0)].concat(),
    ]
}

fn words() -> Vec<Vec<u8>> {
    // The positions and flags of the way to the gateway, and its first records.
    let places = [16, 32, 48, 64, 80, 96, 112, 128, 512, 513, 520u16];
    let write = |place: u16| [vec![0], place.to_le_bytes().to_vec()].concat();
    let lengths = [0, 1, 8, 16, 1524, FRAME_BYTES_MAX as u64, 1 << 20, SKIP, u64::MAX];
    let mut words: Vec<Vec<u8>> = places.into_iter().map(write).collect();
    words.extend(lengths.map(|word| word.to_le_bytes().to_vec()));
    words.extend([vec![2, 0, 0], vec![1, 60, 0]]);
    words
}
