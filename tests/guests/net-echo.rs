//! Echoes TCP streams and UDP datagrams on port 7 until a stream begins with `quit`.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::rc::Rc;
use core::cell::Cell;

use guest_rt::net::{self, Datagram, Net, TcpStream};
use guest_rt::time::{self, Duration};

guest_rt::manifest! {
    net "service",
}

const PORT: u16 = 7;

async fn echo(mut stream: TcpStream, quit: Rc<Cell<bool>>) {
    let mut buffer = alloc::vec![0; 16 << 10];
    while let Ok(bytes @ 1..) = stream.read(&mut buffer).await {
        if buffer[..bytes].starts_with(b"quit") {
            quit.set(true);
        }
        if stream.write_all(&buffer[..bytes]).await.is_err() {
            return;
        }
    }
}

async fn echo_datagrams(net: Net) -> Result<(), net::Error> {
    let mut socket = net.bind_udp(PORT)?;
    let mut buffer = [0; 1500];
    loop {
        let Datagram { bytes, remote, local, .. } = socket.recv(&mut buffer).await;
        let _ = socket.send_from(&buffer[..bytes], remote, local.ip()).await;
    }
}

#[guest_rt::main]
async fn main() -> Result<(), net::Error> {
    let net = net::open("service")?;
    let mut listener = net.listen(PORT, 16)?;
    let datagrams = net.clone();
    guest_rt::spawn(async move {
        if let Err(error) = echo_datagrams(datagrams).await {
            guest_rt::println!("udp: {error}");
        }
    });
    let (address, prefix_len) = net.address().await;
    guest_rt::println!("echo on {address}/{prefix_len}");

    let quit = Rc::new(Cell::new(false));
    while !quit.get() {
        let accepted = time::timeout(Duration::from_millis(20), listener.accept()).await;
        if let Ok(stream) = accepted {
            guest_rt::spawn(echo(stream, Rc::clone(&quit)));
        }
    }
    time::sleep(Duration::from_millis(100)).await;
    Ok(())
}
