//! The table of providers: which section of the configuration asks for which, and how it is
//! refreshed.

use std::time::Duration;

use super::api::Api;
use super::clouds::*;
use super::clusters::*;
use super::stats::DiscoveryStats;
use super::{TargetGroup, aws, dns, http};
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
                found.extend(configs.aws_sd_configs.iter().map(Polled::of_role));
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
                        Api::new(&dialer_name($mechanism), &http(config), timeout)
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
        |config, run| consul::refresh(config, run.api, run.stats);
    Docker(DockerSdConfig) docker_sd_configs "docker" |config| config.http.clone();
        |config, run| docker::containers(config, run.api);
    DockerSwarm(DockerSwarmSdConfig) dockerswarm_sd_configs "dockerswarm" |config| config.http.clone();
        |config, run| docker::swarm(config, run.api);
    Nomad(NomadSdConfig) nomad_sd_configs "nomad" |config| config.http.clone();
        |config, run| nomad::refresh(config, run.api);
    Eureka(EurekaSdConfig) eureka_sd_configs "eureka" |config| config.http.clone();
        |config, run| eureka::refresh(config, run.api);
    Kuma(KumaSdConfig) kuma_sd_configs "kuma" |config| config.http.clone();
        |config, run| kuma::refresh(config, run.api, run.before, run.stats);
    Marathon(MarathonSdConfig) marathon_sd_configs "marathon" |config| config.http.clone();
        |config, run| marathon::refresh(config, run.api);
    PuppetDb(PuppetDbSdConfig) puppetdb_sd_configs "puppetdb" |config| config.http.clone();
        |config, run| puppetdb::refresh(config, run.api);
    Ec2(Ec2SdConfig) ec2_sd_configs "ec2" |config| config.http.clone();
        |config, run| aws::ec2(config, run.api);
    Ecs(EcsSdConfig) ecs_sd_configs "ecs" |config| config.http.clone();
        |config, run| aws::ecs(config, run.api);
    Elasticache(ElasticacheSdConfig) elasticache_sd_configs "elasticache" |config| config.http.clone();
        |config, run| aws::elasticache(config, run.api);
    Lightsail(LightsailSdConfig) lightsail_sd_configs "lightsail" |config| config.http.clone();
        |config, run| aws::lightsail(config, run.api);
    Msk(MskSdConfig) msk_sd_configs "msk" |config| config.http.clone();
        |config, run| aws::msk(config, run.api);
    Rds(RdsSdConfig) rds_sd_configs "rds" |config| config.http.clone();
        |config, run| aws::rds(config, run.api);
    Azure(AzureSdConfig) azure_sd_configs "azure" |config| config.http.clone();
        |config, run| azure::refresh(config, run.api, run.stats);
    DigitalOcean(DigitalOceanSdConfig) digitalocean_sd_configs "digitalocean"
        |config| config.http.clone();
        |config, run| digitalocean::refresh(config, run.api, digitalocean::API);
    Gce(GceSdConfig) gce_sd_configs "gce" |_| HttpClientConfig::default();
        |config, run| gce::refresh(config, run.api, &gce::Places::of_environment());
    Hetzner(HetznerSdConfig) hetzner_sd_configs "hetzner" |config| config.http.clone();
        |config, run| hetzner::refresh(config, run.api, hetzner::base(config));
    Ionos(IonosSdConfig) ionos_sd_configs "ionos" |config| config.http.clone();
        |config, run| ionos::refresh(config, run.api, ionos::API);
    Linode(LinodeSdConfig) linode_sd_configs "linode" |config| config.http.clone();
        |config, run| linode::refresh(config, run.api, linode::API, run.before);
    Oci(OciSdConfig) oci_sd_configs "oci" |config| config.http.clone();
        |config, run| oci::refresh(config, run.api, &oci::metadata_url(), &oci::Places::of);
    Openstack(OpenstackSdConfig) openstack_sd_configs "openstack" |config| openstack::http(config);
        |config, run| openstack::refresh(config, run.api);
    Outscale(OutscaleSdConfig) outscale_sd_configs "outscale" |config| config.http.clone();
        |config, run| outscale::refresh(config, run.api);
    Ovhcloud(OvhcloudSdConfig) ovhcloud_sd_configs "ovhcloud" |_| HttpClientConfig::default();
        |config, run| ovhcloud::refresh(config, run.api);
    Scaleway(ScalewaySdConfig) scaleway_sd_configs "scaleway" |config| config.http.clone();
        |config, run| scaleway::refresh(config, run.api);
    Stackit(StackitSdConfig) stackit_sd_configs "stackit" |config| config.http.clone();
        |config, run| stackit::refresh(config, run.api, &stackit::token_url());
    Triton(TritonSdConfig) triton_sd_configs "triton" |config| triton::http(config);
        |config, run| triton::refresh(config, run.api, &triton::base(config));
    Uyuni(UyuniSdConfig) uyuni_sd_configs "uyuni" |config| config.http.clone();
        |config, run| uyuni::refresh(config, run.api);
    Vultr(VultrSdConfig) vultr_sd_configs "vultr" |config| config.http.clone();
        |config, run| vultr::refresh(config, run.api, vultr::API);
}

/// The name under which a mechanism's connections are counted. Some have none of their own.
fn dialer_name(mechanism: &'static str) -> String {
    match mechanism {
        "http" | "puppetdb" => "http".to_owned(),
        "dns" | "gce" | "ovhcloud" => "default".to_owned(),
        _ => format!("{mechanism}_sd"),
    }
}

impl Polled {
    /// The provider that a section of `aws_sd_configs` chooses by its role.
    fn of_role(config: &AwsSdConfig) -> Polled {
        match config.role.as_str() {
            "ecs" => Polled::Ecs(Box::new(config.ecs())),
            "elasticache" => Polled::Elasticache(Box::new(config.elasticache())),
            "lightsail" => Polled::Lightsail(Box::new(config.lightsail())),
            "msk" => Polled::Msk(Box::new(config.msk())),
            "rds" => Polled::Rds(Box::new(config.rds())),
            _ => Polled::Ec2(Box::new(config.ec2())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{POLLED_KEYS, Polled};
    use crate::config::{AwsSdConfig, DiscoveryConfigs, Ec2SdConfig, yaml::Section};
    use crate::discovery::api::testing::section;

    #[test]
    fn every_section_is_carried_out() {
        let mut keys = vec![];
        DiscoveryConfigs::default().visit(&mut |key, _, _| keys.push(key));
        let others = [
            "aws_sd_configs",
            "file_sd_configs",
            "kubernetes_sd_configs",
            "nerve_sd_configs",
            "serverset_sd_configs",
            "static_configs",
        ];
        let mut expected = [&others[..], POLLED_KEYS].concat();
        expected.sort_unstable();
        assert_eq!(keys, expected);
    }

    #[test]
    fn a_role_of_aws_is_its_own_section() {
        let text = "{role: ec2, region: r, port: 9100, refresh_interval: 2m, filters: [{name: n, values: [v]}]}";
        let aws: AwsSdConfig = section(text);
        let Polled::Ec2(ec2) = Polled::of_role(&aws) else { panic!("no ec2") };
        let own =
            "{region: r, port: 9100, refresh_interval: 2m, filters: [{name: n, values: [v]}]}";
        let own: Ec2SdConfig = section(own);
        assert_eq!(*ec2, Ec2SdConfig { http: aws.http.clone(), ..own });
        let unset: AwsSdConfig = section("{role: rds}");
        let Polled::Rds(rds) = Polled::of_role(&unset) else { panic!("no rds") };
        assert_eq!((rds.port, rds.refresh_interval.ms()), (80, 60_000));
    }
}
