//! Providers of AWS.

use super::fail;
use crate::config::http_client::HttpClientConfig;
use crate::config::units::{Millis, Secret};
use crate::config::yaml::{Field, section};
use crate::wire::quote::quoted;

section! {
    pub struct AwsFilter("aws.Filter");
    keep name: String;
    keep values: Vec<String>;
}

section! {
    /// All providers under one key, chosen by `role`; what is unset follows the role's own section.
    pub struct AwsSdConfig("aws.plain") check AwsSdConfig::check_alone;
    keep role: String;
    omit region: String;
    omit endpoint: String;
    omit access_key: String;
    omit secret_key: Secret;
    omit profile: String;
    omit role_arn: String;
    omit external_id: String;
    omit refresh_interval: Millis;
    omit port: i64;
    inline http: HttpClientConfig = HttpClientConfig::zero();
    omit filters: Vec<AwsFilter>;
    omit clusters: Vec<String>;
}

section! {
    pub struct Ec2SdConfig("aws.plain") check Ec2SdConfig::check_alone;
    keep endpoint: String;
    keep region: String;
    omit access_key: String;
    omit secret_key: Secret;
    omit profile: String;
    omit role_arn: String;
    omit external_id: String;
    omit refresh_interval: Millis = Millis::seconds(60);
    keep port: i64 = 80;
    keep filters: Vec<AwsFilter>;
    inline http: HttpClientConfig = HttpClientConfig::default();
}

section! {
    pub struct LightsailSdConfig("aws.plain") check LightsailSdConfig::check_alone;
    keep endpoint: String;
    keep region: String;
    omit access_key: String;
    omit secret_key: Secret;
    omit profile: String;
    omit role_arn: String;
    omit external_id: String;
    omit refresh_interval: Millis = Millis::seconds(60);
    keep port: i64 = 80;
    inline http: HttpClientConfig = HttpClientConfig::default();
}

/// The providers that list clusters differ only in how many requests they send at once.
macro_rules! cluster_section {
    ($name:ident, $request_concurrency:literal) => {
        section! {
            pub struct $name("aws.plain") check $name::check_alone;
            keep region: String;
            keep endpoint: String;
            omit access_key: String;
            omit secret_key: Secret;
            omit profile: String;
            omit role_arn: String;
            omit external_id: String;
            omit clusters: Vec<String>;
            keep port: i64 = 80;
            omit refresh_interval: Millis = Millis::seconds(60);
            omit request_concurrency: i64 = $request_concurrency;
            inline http: HttpClientConfig = HttpClientConfig::default();
        }

        impl $name {
            fn check_alone(&mut self) -> Result<(), String> {
                self.http.validate()
            }
        }
    };
}
cluster_section!(EcsSdConfig, 20);
cluster_section!(ElasticacheSdConfig, 10);
cluster_section!(MskSdConfig, 10);

section! {
    pub struct RdsSdConfig("aws.plain") check RdsSdConfig::check_alone;
    keep region: String;
    keep endpoint: String;
    omit access_key: String;
    omit secret_key: Secret;
    omit profile: String;
    omit role_arn: String;
    omit external_id: String;
    omit clusters: Vec<String>;
    keep port: i64 = 80;
    omit refresh_interval: Millis = Millis::seconds(60);
    keep filters: Vec<AwsFilter>;
    omit request_concurrency: i64 = 10;
    inline http: HttpClientConfig = HttpClientConfig::default();
}

impl AwsSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        match self.role.as_str() {
            "ec2" | "ecs" | "elasticache" | "lightsail" | "msk" | "rds" => Ok(()),
            role => Err(format!("unknown AWS SD role {}", quoted(role.as_bytes()))),
        }
    }
}

/// The section of a role: what is set here, and that section's own defaults.
macro_rules! of_role {
    ($aws:ident, $config:ident, $($list:ident),*) => {{
        let mut config = $config {
            http: $aws.http.clone(),
            region: $aws.region.clone(),
            endpoint: $aws.endpoint.clone(),
            access_key: $aws.access_key.clone(),
            secret_key: $aws.secret_key.clone(),
            profile: $aws.profile.clone(),
            role_arn: $aws.role_arn.clone(),
            external_id: $aws.external_id.clone(),
            $($list: $aws.$list.clone(),)*
            ..$config::default()
        };
        if $aws.port != 0 {
            config.port = $aws.port;
        }
        if $aws.refresh_interval != Millis(0) {
            config.refresh_interval = $aws.refresh_interval;
        }
        config
    }};
}

impl AwsSdConfig {
    pub fn ec2(&self) -> Ec2SdConfig {
        of_role!(self, Ec2SdConfig, filters)
    }

    pub fn ecs(&self) -> EcsSdConfig {
        of_role!(self, EcsSdConfig, clusters)
    }

    pub fn elasticache(&self) -> ElasticacheSdConfig {
        of_role!(self, ElasticacheSdConfig, clusters)
    }

    pub fn lightsail(&self) -> LightsailSdConfig {
        of_role!(self, LightsailSdConfig,)
    }

    pub fn msk(&self) -> MskSdConfig {
        of_role!(self, MskSdConfig, clusters)
    }

    pub fn rds(&self) -> RdsSdConfig {
        of_role!(self, RdsSdConfig, filters, clusters)
    }
}

impl Ec2SdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        if self.filters.iter().any(|filter| filter.values.is_empty()) {
            return fail("EC2 SD configuration filter values cannot be empty");
        }
        self.http.validate()
    }
}

impl LightsailSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        self.http.validate()
    }
}

impl RdsSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        self.http.validate()
    }
}
