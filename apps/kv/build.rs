//! Links the unikernel.

fn main() {
    guest_link::configure();
}
