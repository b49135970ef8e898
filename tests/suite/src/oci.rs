//! What drives our container runtime: a place of its own on this machine, images, and engines. The
//! engines are Debian's; each runs privately, with folders, sockets, networks and firewall rules that
//! nobody else sees.

pub mod bundle;
pub mod containerd;
pub mod docker;
pub mod image;
pub mod podman;
pub mod sandbox;
pub mod traces;

pub use bundle::{Bundle, Runtime};
pub use containerd::Containerd;
pub use docker::Docker;
pub use image::{Contents, Image};
pub use podman::Podman;
pub use sandbox::Sandbox;
pub use traces::Traces;
