//! Peers that are slow, simple, or wrong in what they say of themselves and of what they got.

use netstack::{CloseReason, ConnectionState, Duration, Limits, Received};

use crate::packets::{ACK, FIN, Segment};
use crate::peer::{PLAIN, Peer, USUAL, sack, timestamps};
use crate::sim::{Random, bytes};

/// A SYN's options with this MSS and nothing else.
fn mss(mss: u16) -> Vec<u8> {
    let [high, low] = mss.to_be_bytes();
    vec![2, 4, high, low]
}

/// What the stack sends until `bytes` have come, each segment acknowledged; the longest of them.
fn longest_segment(peer: &mut Peer, bytes: usize) -> usize {
    let (mut got, mut longest) = (0, 0);
    for _ in 0..10_000 {
        let sent = peer.take();
        longest = longest.max(sent.iter().map(|segment| segment.payload.len()).max().unwrap_or(0));
        let end = sent.iter().fold(
            peer.ack,
            |ack, segment| {
                if segment.seq == ack { segment.end() } else { ack }
            },
        );
        got += end.wrapping_sub(peer.ack) as usize;
        peer.ack = end;
        if got >= bytes {
            return longest;
        }
        peer.acknowledge();
    }
    panic!("{got} of {bytes} bytes came");
}

/// Also without a wire that cuts, and also if it takes several of the peer's segments to one of ours.
#[test]
fn segments_are_no_longer_than_the_peer_takes() {
    for (told, expected) in
        [(1460, 1460), (1400, 1400), (730, 730), (536, 536), (100, 100), (64, 64), (1, 64), (0, 64)]
    {
        let (mut peer, id) = Peer::open(Limits::default(), &mss(told));
        peer.stack.send(id, &[7; 20_000]).unwrap();
        assert_eq!(longest_segment(&mut peer, 20_000), expected, "MSS {told}");
    }
    let (mut peer, id) = Peer::open(Limits::default(), &[]);
    peer.stack.send(id, &[7; 20_000]).unwrap();
    assert_eq!(longest_segment(&mut peer, 20_000), 536, "RFC 9293, 3.7.1");
}

/// The largest shift is 14 (RFC 7323, 2.3); and a peer's window has no part in what we store.
#[test]
fn a_window_shift_beyond_14_counts_as_14() {
    for shift in [14, 15, 200, 255] {
        let options = [&[2, 4, 5, 180, 1, 3, 3, shift][..]].concat();
        let (mut peer, id) = Peer::open(Limits::default(), &options);
        peer.window = u16::MAX;
        peer.acknowledge();
        peer.stack.send(id, &[7; 50_000]).unwrap();
        longest_segment(&mut peer, 50_000);
        assert!(peer.stack.counters().buffer_bytes <= 64 * 1024);
    }
}

/// Nothing is gained by telling a window that the peer cannot see.
#[test]
fn a_peer_without_scaling_is_not_told_of_every_byte_read() {
    let (mut peer, id) = Peer::open(Limits::default(), PLAIN);
    let mut buffer = [0; 2000];
    for _ in 0..200 {
        peer.data(&[1; 1000]);
        assert_eq!(peer.stack.recv(id, &mut buffer), Ok(Received::Data(1000)));
    }
    (0..20).for_each(|_| peer.data(&[1; 1000]));
    peer.wait(Duration::from_millis(50));
    peer.take();
    let mut told = 0;
    for _ in 0..200 {
        assert_eq!(peer.stack.recv(id, &mut buffer[..100]), Ok(Received::Data(100)));
        told += peer.take().len();
    }
    assert!(told <= 8, "{told} acknowledgements for 20,000 bytes read");
}

/// A window of zero is asked for at growing distances, for as long as the peer says so.
#[test]
fn a_closed_window_is_probed_and_the_data_comes_when_it_opens() {
    let (mut peer, id) = Peer::open(Limits::default(), USUAL);
    peer.window = 0;
    peer.acknowledge();
    peer.stack.send(id, &[7; 3000]).unwrap();
    peer.stack.finish(id);
    let mut probes = 0;
    for _ in 0..3600 {
        peer.wait(Duration::from_secs(1));
        for probe in peer.take() {
            let is_bare = probe.payload.is_empty() && probe.seq == peer.ack.wrapping_sub(1);
            assert!(is_bare, "{probe:?} and not at {}", peer.ack);
            probes += 1;
            peer.acknowledge();
        }
    }
    assert_eq!(peer.stack.state(id), ConnectionState::Finishing);
    assert!((240..260).contains(&probes), "{probes} in an hour");
    peer.window = 100;
    peer.acknowledge();
    assert!(peer.collect() == [7; 3000]);
}

/// Also if it takes back a window that is in use already.
#[test]
fn a_window_taken_back_for_an_hour_costs_time_alone() {
    let (mut peer, id) = Peer::open(Limits::default(), USUAL);
    peer.stack.send(id, &[7; 3000]).unwrap();
    peer.take();
    peer.window = 0;
    for _ in 0..3600 {
        peer.wait(Duration::from_secs(1));
        if !peer.take().is_empty() {
            peer.acknowledge();
        }
    }
    assert_eq!(peer.stack.state(id), ConnectionState::Established);
    peer.window = 100;
    peer.acknowledge();
    peer.wait(Duration::from_secs(20));
    assert_eq!(longest_segment(&mut peer, 3000), 1460);
}

/// But one that does not even answer that is given up.
#[test]
fn a_peer_that_closes_its_window_and_vanishes_is_given_up() {
    let (mut peer, id) = Peer::open(Limits::default(), USUAL);
    peer.window = 0;
    peer.acknowledge();
    peer.stack.send(id, &[7; 3000]).unwrap();
    peer.wait(Duration::from_secs(59));
    assert_eq!(peer.stack.state(id), ConnectionState::Established);
    peer.wait(Duration::from_secs(5));
    assert_eq!(peer.stack.state(id), ConnectionState::Closed(CloseReason::TimedOut));
}

/// The peer takes back what it had offered (RFC 9293, 3.8.6): nothing is lost but time.
#[test]
fn a_window_that_shrinks_stalls_nothing() {
    let mut random = Random::new(5);
    for round in 0..50 {
        let (mut peer, id) = Peer::open(Limits::default(), &mss(1000));
        let data = bytes(&mut random, 30_000);
        let (mut sent, mut got) = (0, Vec::new());
        while got.len() < data.len() {
            sent += peer.stack.send(id, &data[sent..]).unwrap();
            got.extend(peer.collect());
            peer.window = [0, 1, 500, 3000, 9000][random.below(5)];
            peer.acknowledge();
            peer.wait(Duration::from_millis(random.below(3000) as u64));
            assert!(peer.now < netstack::Instant::from_secs(10_000), "round {round}");
        }
        assert!(got == data, "round {round}");
    }
}

/// Overlaps may contradict each other. Which of them counts is open; what was read never changes,
/// and both ends agree on how much came.
#[test]
fn overlapping_segments_with_other_bytes_change_nothing_that_is_acknowledged() {
    let (mut peer, id) = Peer::open(Limits::default(), USUAL);
    let (seq, base) = (peer.seq, peer.segment());
    let at = |offset: u32, byte: u8, len: usize| Segment {
        seq: seq.wrapping_add(offset),
        payload: vec![byte; len],
        ..base.clone()
    };
    peer.give(&at(0, 1, 100));
    for segment in [at(0, 2, 100), at(50, 2, 100), at(200, 3, 100), at(150, 4, 120)] {
        peer.give(&segment);
    }
    let mut buffer = [0; 400];
    assert_eq!(peer.stack.recv(id, &mut buffer), Ok(Received::Data(300)));
    assert_eq!(buffer[..150], [[1; 100].as_slice(), &[2; 50]].concat());
    assert_eq!(buffer[270..300], [3; 30]);
    assert_eq!(peer.take().last().unwrap().ack, seq.wrapping_add(300));
}

/// A stream in pieces of any order and overlap, over the end of the sequence numbers, is the stream.
#[test]
fn pieces_in_any_order_make_the_stream() {
    let mut random = Random::new(8);
    for round in 0..100 {
        let mut peer = Peer::new(Limits::default());
        peer.seq = u32::MAX - 5000;
        let id = peer.shake_hands(USUAL);
        let data = bytes(&mut random, 12_000);
        let (first, base) = (peer.seq, peer.segment());
        let mut got = Vec::<u8>::new();
        let mut buffer = [0; 3000];
        let fin = Segment { seq: first.wrapping_add(12_000), flags: ACK | FIN, ..base.clone() };
        for step in 0..100_000 {
            let reached =
                peer.take().last().map_or(0, |last| last.ack.wrapping_sub(first) as usize);
            let around = reached.min(data.len()) + random.below(3000);
            let from = around.saturating_sub(random.below(1500)).min(data.len());
            let to = (from + random.below(1400)).min(data.len());
            let seq = first.wrapping_add(from as u32);
            peer.give(&Segment { seq, payload: data[from..to].to_vec(), ..base.clone() });
            if random.percent(5) {
                peer.give(&fin);
            }
            if random.percent(30)
                && let Received::Data(bytes) = peer.stack.recv(id, &mut buffer).unwrap()
            {
                got.extend(&buffer[..bytes]);
            }
            if got.len() == data.len() {
                break;
            }
            assert!(step < 99_999, "round {round}: {} came", got.len());
        }
        assert!(got == data, "round {round}");
        peer.give(&fin);
        assert_eq!(peer.stack.recv(id, &mut buffer), Ok(Received::Finished));
        assert_eq!(peer.take().last().unwrap().ack, first.wrapping_add(12_001));
        peer.stack.release(id);
        peer.take();
        assert_eq!(peer.stack.counters().buffer_bytes, 0);
    }
}

/// Blocks that were never sent, backwards, twice, everything, a hundred of them: the data comes all
/// the same, and not much more often than it must.
#[test]
fn selective_acknowledgements_that_lie_stall_nothing() {
    let mut random = Random::new(3);
    for round in 0..60 {
        let (mut peer, id) = Peer::open(Limits::default(), USUAL);
        let data = bytes(&mut random, 60_000);
        peer.stack.send(id, &data).unwrap();
        let mut got = Vec::new();
        for step in 0.. {
            got.extend(peer.collect());
            if got.len() == data.len() {
                break;
            }
            assert!(step < 400, "round {round}: {} came", got.len());
            for _ in 0..random.below(4) {
                let mut point =
                    || peer.ack.wrapping_add(random.below(30_000) as u32).wrapping_sub(5000);
                let blocks = [(point(), point()), (point(), point()), (point(), point())];
                let everything = [(peer.ack, peer.ack.wrapping_add(14_480))];
                let lie = if random.percent(20) { sack(&everything) } else { sack(&blocks) };
                peer.acknowledge_with(lie);
                got.extend(peer.collect());
            }
            peer.acknowledge();
            peer.wait(Duration::from_millis(random.below(1000) as u64));
        }
        assert!(got == data, "round {round}");
        peer.acknowledge();
        assert_eq!(peer.stack.send_queued(id), 0);
    }
}

/// With data on its way to the peer, too, gaps are told at once, and where they are (RFC 2018, 3).
#[test]
fn gaps_are_told_also_when_data_goes_the_other_way() {
    let (mut peer, id) = Peer::open(Limits::default(), USUAL);
    peer.stack.send(id, &[7; 5000]).unwrap();
    let seq = peer.seq;
    peer.stack.poll(peer.now);
    peer.take();
    for gap in 1..4u32 {
        peer.stack.send(id, &[7; 100]).unwrap();
        let start = seq.wrapping_add(gap * 2000);
        peer.give(&Segment { seq: start, payload: vec![1; 1000], ..peer.segment() });
        let sent = peer.take();
        let told =
            sent.iter().find(|segment| segment.payload.is_empty()).expect("an acknowledgement");
        assert_eq!(told.sacks()[0], (start, start.wrapping_add(1000)));
        assert_eq!(told.ack, seq);
    }
}

/// Old segments are told by their timestamps (RFC 7323, 5), whatever their numbers.
#[test]
fn old_duplicates_are_told_by_their_timestamps() {
    let options = [USUAL, &timestamps(1_000_000, 0)].concat();
    let (mut peer, id) = Peer::open(Limits::default(), &options);
    let stamped = |peer: &Peer, value: u32, byte: u8| Segment {
        options: timestamps(value, 0),
        payload: vec![byte; 10],
        ..peer.segment()
    };
    peer.give(&stamped(&peer, 999_999, 9));
    assert_eq!(peer.take().pop().unwrap().ack, peer.seq, "it is told where we are");
    assert_eq!(peer.stack.recv_queued(id), 0);
    peer.give(&stamped(&peer, 1_000_001, 1));
    assert_eq!(peer.stack.recv_queued(id), 10);
    peer.wait(Duration::from_secs(1));
    assert_eq!(peer.take().pop().unwrap().timestamps().unwrap().1, 1_000_001, "the echo");
}

/// A timestamp that is older than 24 days says nothing (RFC 7323, 5.5).
#[test]
fn a_connection_that_was_idle_for_a_month_goes_on() {
    let options = [USUAL, &timestamps(1_000_000, 0)].concat();
    let (mut peer, id) = Peer::open(Limits::default(), &options);
    peer.wait(Duration::from_secs(30 * 24 * 3600));
    let later = 1_000_000u32.wrapping_add(30 * 24 * 3600 * 1000);
    assert!((later.wrapping_sub(1_000_000) as i32) < 0, "it looks older");
    peer.give(&Segment {
        options: timestamps(later, 0),
        payload: b"hello".to_vec(),
        ..peer.segment()
    });
    assert_eq!(peer.stack.recv_queued(id), 5);
}

/// A receiver that acknowledges a hundred segments at once lets the window grow as fast as others do.
#[test]
fn few_acknowledgements_do_not_slow_the_start() {
    let (mut peer, id) = Peer::open(Limits::default(), USUAL);
    let mut flights = Vec::new();
    for _ in 0..6 {
        while peer.stack.send(id, &[7; 10_000]).unwrap() > 0 {}
        let at_once = peer.collect().len();
        peer.wait(Duration::from_millis(20));
        flights.push(at_once + peer.collect().len());
        peer.acknowledge();
    }
    assert!(flights[5] >= 20 * flights[0], "in flight in each round trip: {flights:?}");
}

#[test]
fn a_keep_alive_of_no_time_does_not_spin() {
    let (mut peer, id) = Peer::open(Limits::default(), USUAL);
    peer.stack.set_keep_alive(id, Some(Duration::ZERO));
    peer.stack.set_timeout(id, None);
    peer.wait(Duration::from_secs(2));
    assert!(peer.take().len() < 100);
}

/// A neighbour that was there, takes data without an answer, and does not answer questions either.
#[test]
fn a_neighbour_that_vanishes_is_not_sent_to_for_ever() {
    let (mut peer, id) = Peer::open(Limits::default(), USUAL);
    peer.is_there = false;
    peer.stack.set_timeout(id, None);
    peer.stack.send(id, b"hello").unwrap();
    peer.wait(Duration::from_secs(120));
    assert!(peer.take().len() > 5, "it is sent again");
    peer.wait(Duration::from_secs(600));
    assert_eq!(peer.take(), [], "there is no way");
    peer.is_there = true;
    peer.wait(Duration::from_secs(120));
    assert_eq!(peer.collect(), b"hello", "it is there again");
}

/// Both have finished, but the peer is not on the wire any more when its FIN is to be acknowledged.
#[test]
fn a_last_acknowledgement_without_a_way_keeps_nothing() {
    for is_unread in [false, true] {
        let (mut peer, id) = Peer::open(Limits::default(), USUAL);
        peer.is_there = false;
        peer.stack.set_timeout(id, None);
        peer.stack.finish(id);
        let fin = peer.take().pop().expect("a FIN");
        peer.ack = fin.seq.wrapping_add(1);
        // It is sent again and again, and the stack asks in vain whether the neighbour is still there.
        peer.wait(Duration::from_secs(300));
        assert!(peer.take().len() > 5);
        let payload = if is_unread { b"bye".to_vec() } else { Vec::new() };
        peer.give(&Segment { flags: ACK | FIN, payload, ..peer.segment() });
        assert_eq!(peer.stack.state(id), ConnectionState::Closed(CloseReason::Finished));
        peer.wait(Duration::from_secs(20));
        assert_eq!(peer.take(), [], "there is no way");
        if is_unread {
            assert_eq!(peer.stack.recv(id, &mut [0; 10]), Ok(Received::Data(3)));
            assert_eq!(peer.stack.recv(id, &mut [0; 10]), Ok(Received::Finished));
        }
        peer.stack.release(id);
        peer.wait(Duration::from_secs(20));
        let counters = peer.stack.counters();
        assert_eq!((counters.connections, counters.time_wait, counters.buffer_bytes), (0, 0, 0));
    }
}
