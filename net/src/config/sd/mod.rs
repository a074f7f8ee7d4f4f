//! Service discovery as configured: one list for each provider, in every job and Alertmanager.
//!
//! Every provider's fields are read, checked and printed here; `net::discovery` carries them out.
//!
//! Source: Prometheus `discovery/registry.go` and the `SDConfig` of each provider.

mod aws;
mod clouds;
mod clusters;

pub use aws::*;
pub use clouds::*;
pub use clusters::*;

use super::http_client::HttpClientConfig;
use super::units::Millis;
use super::value::{FilePath, LabelSet, Url};
use super::yaml::section;
use crate::wire::quote::quoted;

section! {
    pub struct DiscoveryConfigs("discovery.Configs");
    omit aws_sd_configs: Vec<AwsSdConfig>, null "empty or null section in aws_sd_configs";
    omit azure_sd_configs: Vec<AzureSdConfig>, null "empty or null section in azure_sd_configs";
    omit consul_sd_configs: Vec<ConsulSdConfig>, null "empty or null section in consul_sd_configs";
    omit digitalocean_sd_configs: Vec<DigitalOceanSdConfig>,
        null "empty or null section in digitalocean_sd_configs";
    omit dns_sd_configs: Vec<DnsSdConfig>, null "empty or null section in dns_sd_configs";
    omit docker_sd_configs: Vec<DockerSdConfig>, null "empty or null section in docker_sd_configs";
    omit dockerswarm_sd_configs: Vec<DockerSwarmSdConfig>,
        null "empty or null section in dockerswarm_sd_configs";
    omit ec2_sd_configs: Vec<Ec2SdConfig>, null "empty or null section in ec2_sd_configs";
    omit ecs_sd_configs: Vec<EcsSdConfig>, null "empty or null section in ecs_sd_configs";
    omit elasticache_sd_configs: Vec<ElasticacheSdConfig>,
        null "empty or null section in elasticache_sd_configs";
    omit eureka_sd_configs: Vec<EurekaSdConfig>, null "empty or null section in eureka_sd_configs";
    omit file_sd_configs: Vec<FileSdConfig>, null "empty or null section in file_sd_configs";
    omit gce_sd_configs: Vec<GceSdConfig>, null "empty or null section in gce_sd_configs";
    omit hetzner_sd_configs: Vec<HetznerSdConfig>,
        null "empty or null section in hetzner_sd_configs";
    omit http_sd_configs: Vec<HttpSdConfig>, null "empty or null section in http_sd_configs";
    omit ionos_sd_configs: Vec<IonosSdConfig>, null "empty or null section in ionos_sd_configs";
    omit kubernetes_sd_configs: Vec<KubernetesSdConfig>,
        null "empty or null section in kubernetes_sd_configs";
    omit kuma_sd_configs: Vec<KumaSdConfig>, null "empty or null section in kuma_sd_configs";
    omit lightsail_sd_configs: Vec<LightsailSdConfig>,
        null "empty or null section in lightsail_sd_configs";
    omit linode_sd_configs: Vec<LinodeSdConfig>, null "empty or null section in linode_sd_configs";
    omit marathon_sd_configs: Vec<MarathonSdConfig>,
        null "empty or null section in marathon_sd_configs";
    omit msk_sd_configs: Vec<MskSdConfig>, null "empty or null section in msk_sd_configs";
    omit nerve_sd_configs: Vec<NerveSdConfig>, null "empty or null section in nerve_sd_configs";
    omit nomad_sd_configs: Vec<NomadSdConfig>, null "empty or null section in nomad_sd_configs";
    omit oci_sd_configs: Vec<OciSdConfig>, null "empty or null section in oci_sd_configs";
    omit openstack_sd_configs: Vec<OpenstackSdConfig>,
        null "empty or null section in openstack_sd_configs";
    omit outscale_sd_configs: Vec<OutscaleSdConfig>,
        null "empty or null section in outscale_sd_configs";
    omit ovhcloud_sd_configs: Vec<OvhcloudSdConfig>,
        null "empty or null section in ovhcloud_sd_configs";
    omit puppetdb_sd_configs: Vec<PuppetDbSdConfig>,
        null "empty or null section in puppetdb_sd_configs";
    omit rds_sd_configs: Vec<RdsSdConfig>, null "empty or null section in rds_sd_configs";
    omit scaleway_sd_configs: Vec<ScalewaySdConfig>,
        null "empty or null section in scaleway_sd_configs";
    omit serverset_sd_configs: Vec<ServersetSdConfig>,
        null "empty or null section in serverset_sd_configs";
    omit stackit_sd_configs: Vec<StackitSdConfig>,
        null "empty or null section in stackit_sd_configs";
    omit static_configs: Vec<StaticConfig>, null "empty or null section in static_configs",
        go "[]struct { Targets []string \"yaml:\\\"targets\\\"\"; \
            Labels model.LabelSet \"yaml:\\\"labels\\\"\" }" => "[]*targetgroup.Group";
    omit triton_sd_configs: Vec<TritonSdConfig>, null "empty or null section in triton_sd_configs";
    omit uyuni_sd_configs: Vec<UyuniSdConfig>, null "empty or null section in uyuni_sd_configs";
    omit vultr_sd_configs: Vec<VultrSdConfig>, null "empty or null section in vultr_sd_configs";
}

section! {
    /// Targets written in the file, with labels that all of them get.
    pub struct StaticConfig(
        "struct { Targets []string \"yaml:\\\"targets\\\"\"; \
         Labels model.LabelSet \"yaml:\\\"labels\\\"\" }"
    );
    keep targets: Vec<String>;
    omit labels: LabelSet;
}

section! {
    pub struct FileSdConfig("file.plain") check FileSdConfig::check_alone;
    /// Paths; `*` may stand in the last part.
    keep files: Vec<FilePath>;
    omit refresh_interval: Millis = Millis::seconds(300);
}

section! {
    pub struct HttpSdConfig("http.plain") check HttpSdConfig::check_alone;
    inline http: HttpClientConfig = HttpClientConfig::default();
    omit refresh_interval: Millis = Millis::seconds(60);
    keep url: String;
}

section! {
    pub struct DnsSdConfig("dns.plain") check DnsSdConfig::check_alone;
    keep names: Vec<String>;
    omit refresh_interval: Millis = Millis::seconds(30);
    /// `SRV`, `A`, `AAAA`, `MX` or `NS`.
    keep kind as "type": String = "SRV".to_owned();
    keep port: i64;
}

fn fail(text: &str) -> Result<(), String> {
    Err(text.to_owned())
}

/// The first of the rules that does not hold, as its text.
fn require(rules: &[(bool, &str)]) -> Result<(), String> {
    match rules.iter().find(|(holds, _)| !holds) {
        Some((_, text)) => fail(text),
        None => Ok(()),
    }
}

/// An address of a web server: absolute, `http` or `https`.
fn check_web_url(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return fail("URL is missing");
    }
    let url = Url::parse(text)?;
    if !matches!(url.scheme(), "http" | "https") {
        return fail("URL scheme must be 'http' or 'https'");
    }
    if url.host().is_empty() {
        return fail("host is missing in URL");
    }
    Ok(())
}

impl DiscoveryConfigs {
    /// Refuses targets that are URLs; only without relabelling, which might repair them.
    pub(super) fn check_static_targets(&self) -> Result<(), String> {
        let targets = self.static_configs.iter().flat_map(|group| &group.targets);
        match targets.into_iter().find(|target| target.contains('/')) {
            Some(target) => Err(format!("{} is not a valid hostname", quoted(target.as_bytes()))),
            None => Ok(()),
        }
    }
}

impl FileSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        if self.files.is_empty() {
            return fail("file service discovery config must contain at least one path name");
        }
        for path in &self.files {
            if !is_file_pattern(path) {
                let path = quoted(path.as_bytes());
                return Err(format!("path name {path} is not valid for file discovery"));
            }
        }
        Ok(())
    }
}

/// `^[^*]*(\*[^/]*)?\.(json|yml|yaml|JSON|YML|YAML)$`
fn is_file_pattern(path: &str) -> bool {
    let endings = [".json", ".yml", ".yaml", ".JSON", ".YML", ".YAML"];
    let ending = endings.iter().find_map(|ending| path.strip_suffix(ending));
    ending.is_some() && path.find('*').is_none_or(|at| !path[at..].contains('/'))
}

impl HttpSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        check_web_url(&self.url)?;
        self.http.validate()
    }
}

impl DnsSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        if self.names.is_empty() {
            return fail("DNS-SD config must contain at least one SRV record name");
        }
        match self.kind.to_uppercase().as_str() {
            "SRV" => Ok(()),
            "A" | "AAAA" | "MX" | "NS" if self.port == 0 => {
                fail("a port is required in DNS-SD configs for all record types except SRV")
            }
            "A" | "AAAA" | "MX" | "NS" => Ok(()),
            _ => Err(format!("invalid DNS-SD records type {}", self.kind)),
        }
    }
}
