//! The table of providers: which section of the configuration asks for which, and how it is
//! refreshed.

use std::time::Duration;

use super::api::Api;
use super::stats::DiscoveryStats;
use super::{
    TargetGroup, aws, consul, digitalocean, dns, docker, eureka, hetzner, http, nomad, vultr,
};
use crate::config::*;

/// What a refresh works with.
pub struct Run<'a> {
    pub api: &'a mut Api,
    /// What the refresh before found.
    pub before: &'a [TargetGroup],
    pub stats: &'a DiscoveryStats,
}

/// Providers that are asked again and again. A line of the table: the section's type and key, the
/// mechanism's name in metrics, how it reaches its API, and its refresh.
macro_rules! polled {
    ($($variant:ident($config:ident) $key:ident $mechanism:literal $http:expr;
        |$c:ident, $r:ident| $refresh:expr;)*) => {
        #[derive(Clone, Debug, PartialEq)]
        pub enum Polled {
            $($variant(Box<$config>),)*
        }

        impl Polled {
            /// Those that a user of targets asks for.
            pub fn of(configs: &DiscoveryConfigs) -> Vec<Polled> {
                let mut found = vec![];
                $(found.extend(configs.$key.iter().cloned().map(|config| {
                    Polled::$variant(Box::new(config))
                }));)*
                found
            }

            pub fn mechanism(&self) -> &'static str {
                match self {
                    $(Polled::$variant(_) => $mechanism,)*
                }
            }

            pub fn interval(&self) -> Duration {
                match self {
                    $(Polled::$variant(config) => config.refresh_interval.duration(),)*
                }
            }

            /// A client as the section configures it. Errors: one that cannot be.
            pub fn api(&self) -> Result<Api, String> {
                match self {
                    $(Polled::$variant(config) => {
                        let timeout = config.refresh_interval.duration();
                        let http: fn(&$config) -> HttpClientConfig = $http;
                        Api::new(&http(config), timeout)
                    })*
                }
            }

            pub async fn refresh(&self, run: Run<'_>) -> Result<Vec<TargetGroup>, String> {
                match self {
                    $(Polled::$variant($c) => {
                        let $r = run;
                        $refresh.await
                    })*
                }
            }
        }

        /// Keys of the sections above.
        #[cfg(test)]
        const POLLED_KEYS: &[&str] = &[$(stringify!($key)),*];
    };
}

polled! {
    Http(HttpSdConfig) http_sd_configs "http" |config| config.http.clone();
        |config, run| http::refresh(config, run.api);
    Dns(DnsSdConfig) dns_sd_configs "dns" |_| HttpClientConfig::default();
        |config, run| dns::refresh(config, run.before, run.stats);
    Consul(ConsulSdConfig) consul_sd_configs "consul" |config| config.http.clone();
        |config, run| consul::refresh(config, run.api);
    Docker(DockerSdConfig) docker_sd_configs "docker" |config| config.http.clone();
        |config, run| docker::containers(config, run.api);
    DockerSwarm(DockerSwarmSdConfig) dockerswarm_sd_configs "dockerswarm" |config| config.http.clone();
        |config, run| docker::swarm(config, run.api);
    Ec2(Ec2SdConfig) ec2_sd_configs "ec2" |config| config.http.clone();
        |config, run| aws::ec2(config, run.api);
    Nomad(NomadSdConfig) nomad_sd_configs "nomad" |config| config.http.clone();
        |config, run| nomad::refresh(config, run.api);
    Eureka(EurekaSdConfig) eureka_sd_configs "eureka" |config| config.http.clone();
        |config, run| eureka::refresh(config, run.api);
    DigitalOcean(DigitalOceanSdConfig) digitalocean_sd_configs "digitalocean"
        |config| config.http.clone();
        |config, run| digitalocean::refresh(config, run.api);
    Hetzner(HetznerSdConfig) hetzner_sd_configs "hetzner" |config| config.http.clone();
        |config, run| hetzner::refresh(config, run.api);
    Vultr(VultrSdConfig) vultr_sd_configs "vultr" |config| config.http.clone();
        |config, run| vultr::refresh(config, run.api);
}

#[cfg(test)]
mod tests {
    use super::POLLED_KEYS;
    use crate::config::CARRIED_OUT;

    #[test]
    fn the_configuration_knows_what_is_carried_out() {
        let others = ["static_configs", "file_sd_configs", "kubernetes_sd_configs"];
        assert_eq!(CARRIED_OUT, [&others[..], POLLED_KEYS].concat());
    }
}
