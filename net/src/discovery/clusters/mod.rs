//! Providers that run beside the targets: orchestrators and registries of services.

pub mod consul;
pub mod docker;
pub mod eureka;
pub mod kubernetes;
pub mod kuma;
pub mod marathon;
pub mod nomad;
pub mod puppetdb;
pub mod zookeeper;
