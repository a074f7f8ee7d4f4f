//! Seeded workloads, load generators and scenarios.
