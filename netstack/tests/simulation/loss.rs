//! What losses cost: nothing but the lost segment if it is one, and of a way that loses one in a
//! hundred, what theory says.

use netstack::{Duration, Limits, Received};

use crate::packets::{TCP, open};
use crate::sim::{Faults, Net, Side, address_of, bytes, remote};

const MSS: f64 = 1448.0;

/// Whether a frame carries data of host 0.
fn is_data(frame: &[u8]) -> bool {
    open(frame).is_some_and(|(ends, protocol, payload)| {
        protocol == TCP && ends.0 == address_of(0) && payload.len() > 100
    })
}

/// Bytes per second of one connection over a way of 20 ms and back that loses these frames.
fn goodput(seed: u64, drops: impl FnMut(&[u8]) -> bool + 'static) -> (f64, u64) {
    const SECONDS: u64 = 60;
    let mut net = Net::pair(seed, Faults::NONE, &Limits::default());
    net.delay = Duration::from_millis(10);
    let listener = net.hosts[1].listen(80, 1).unwrap();
    let (client, server) = net.establish(listener, 80);
    net.drops = Some(Box::new(drops));
    let (mut buffer, mut received) = (vec![0; 64 * 1024], 0);
    let end = net.now + Duration::from_secs(SECONDS);
    loop {
        while net.hosts[0].send(client, &[7; 4096]).unwrap() > 0 {}
        while let Received::Data(bytes) = net.hosts[1].recv(server, &mut buffer).unwrap() {
            received += bytes;
        }
        if !net.step(end) {
            return (received as f64 / SECONDS as f64, net.hosts[0].counters().segments_resent);
        }
    }
}

/// Mathis, Semke, Mahdavi, Ott: The macroscopic behavior of the TCP congestion avoidance algorithm.
#[test]
fn one_loss_in_a_hundred_costs_what_theory_says() {
    const SEEDS: u64 = 6;
    let expected = MSS / 0.020 * 1.22 / 0.01f64.sqrt();
    let mut shares = 0.0;
    for seed in 0..SEEDS {
        let mut random = crate::sim::Random::new(seed);
        let (rate, resent) = goodput(seed, move |frame| is_data(frame) && random.percent(1));
        println!("{rate:.0} bytes a second, {:.3} of theory, {resent} resent", rate / expected);
        shares += rate / expected;
    }
    let share = shares / SEEDS as f64;
    assert!(share >= 0.78, "{share:.2} of what theory says");
}

/// Any segment but the last is repaired in a round trip, and nothing else is sent again.
#[test]
fn a_single_loss_needs_no_time_out() {
    const SEGMENTS: usize = 60;
    for lost in 0..SEGMENTS - 1 {
        let mut net = Net::pair(lost as u64, Faults::NONE, &Limits::default());
        net.delay = Duration::from_millis(10);
        let listener = net.hosts[1].listen(80, 1).unwrap();
        let (client, server) = net.establish(listener, 80);
        let began = net.now;
        let data = bytes(&mut net.random, SEGMENTS * MSS as usize);
        let mut sides = [Side::new(0, client, data.clone()), Side::new(1, server, Vec::new())];
        let mut count = 0;
        net.drops = Some(Box::new(move |frame| {
            count += usize::from(is_data(frame));
            is_data(frame) && count == lost + 1
        }));
        net.run_until(Duration::from_secs(10), |net| {
            sides.iter_mut().for_each(|side| side.work(net));
            sides[1].finished
        });
        assert!(sides[1].received == data);
        let took = net.now - began;
        assert!(took < Duration::from_millis(280), "{lost} is lost: {took}");
        assert_eq!(net.hosts[0].counters().segments_resent, 1, "{lost} is lost");
    }
}

/// Readers who take a little at a time share little memory, and all of them get everything.
#[test]
fn slow_readers_share_little_memory() {
    const READERS: usize = 100;
    let limits = Limits { buffers_bytes: 128 * 1024, ..Limits::default() };
    let mut net = Net::pair(4, Faults::NONE, &limits);
    let listener = net.hosts[1].listen(80, READERS).unwrap();
    let data = bytes(&mut net.random, 60_000);
    let now = net.now;
    let mut senders: Vec<Side> = (0..READERS)
        .map(|_| {
            let id = net.hosts[0].connect(now, remote(1, 80), None).unwrap();
            Side::new(0, id, data.clone())
        })
        .collect();
    net.run_for(Duration::from_secs(1));
    let mut readers: Vec<_> = std::iter::from_fn(|| net.hosts[1].accept(listener))
        .map(|id| Side::new(1, id, Vec::new()))
        .collect();
    assert_eq!(readers.len(), READERS);
    let bound = limits.buffers_bytes + READERS * 2 * 4096;
    for round in 0.. {
        assert!(round < 3000, "{:?}", net.hosts[1].counters());
        senders
            .iter_mut()
            .filter(|side| side.sent < data.len())
            .for_each(|side| side.work(&mut net));
        for side in readers.iter_mut().filter(|side| !side.finished) {
            let mut buffer = [0; 500];
            match net.hosts[1].recv(side.id, &mut buffer).unwrap() {
                Received::Data(bytes) => side.received.extend_from_slice(&buffer[..bytes]),
                Received::Empty => {}
                Received::Finished => side.finished = true,
            }
        }
        for host in &net.hosts {
            assert!(host.counters().buffer_bytes <= bound);
        }
        if readers.iter().all(|side| side.finished) {
            break;
        }
        net.run_for(Duration::from_millis(10));
    }
    assert!(readers.iter().all(|side| side.received == data));
    let took = net.now - now;
    println!("{READERS} readers took {took}");
    for side in senders.iter().chain(&readers) {
        net.hosts[side.host].release(side.id);
    }
    net.run_for(Duration::from_secs(120));
    assert!(net.hosts.iter().all(|host| host.counters().buffer_bytes == 0));
}
