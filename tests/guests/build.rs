//! Links the guests.

fn main() {
    guest_link::configure();
}
