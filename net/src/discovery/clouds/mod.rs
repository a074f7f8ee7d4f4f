//! Providers of clouds and hosters other than AWS: each asks a web API for machines.

pub mod azure;
mod azure_token;
pub mod digitalocean;
pub mod gce;
pub mod hetzner;
pub mod ionos;
pub mod linode;
pub mod oci;
pub mod openstack;
mod openstack_identity;
pub mod outscale;
pub mod ovhcloud;
pub mod scaleway;
pub mod stackit;
pub mod triton;
pub mod uyuni;
pub mod vultr;
