//! Providers of the other clouds and hosters.

use super::{fail, require};
use crate::config::http_client::{HttpClientConfig, TlsConfig};
use crate::config::units::{Millis, Secret};
use crate::config::value::{FilePath, Url};
use crate::config::yaml::section;
use crate::wire::quote::quoted;

section! {
    pub struct AzureSdConfig("azure.plain") check AzureSdConfig::check_alone;
    omit environment: String = "AzurePublicCloud".to_owned();
    keep port: i64 = 80;
    keep subscription_id: String;
    omit tenant_id: String;
    omit client_id: String;
    omit client_secret: Secret;
    omit refresh_interval: Millis = Millis::seconds(300);
    omit authentication_method: String = "OAuth".to_owned();
    omit resource_group: String;
    inline http: HttpClientConfig = HttpClientConfig::default();
}

impl AzureSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        let wanted = |value: &str, name: &str| match value {
            "" => Err(format!("azure SD configuration requires a {name}")),
            _ => Ok(()),
        };
        wanted(&self.subscription_id, "subscription_id")?;
        match self.authentication_method.as_str() {
            "OAuth" => {
                wanted(&self.tenant_id, "tenant_id")?;
                wanted(&self.client_id, "client_id")?;
                wanted(self.client_secret.reveal(), "client_secret")?;
            }
            "ManagedIdentity" | "SDK" | "WorkloadIdentity" => {}
            method => {
                let method = quoted(method.as_bytes());
                return Err(format!(
                    "unknown authentication_type {method}. Supported types are \"OAuth\", \
                     \"ManagedIdentity\", \"SDK\" or \"WorkloadIdentity\""
                ));
            }
        }
        self.http.validate()
    }
}

section! {
    pub struct DigitalOceanSdConfig("digitalocean.plain") check DigitalOceanSdConfig::check_alone;
    inline http: HttpClientConfig = HttpClientConfig::default();
    keep refresh_interval: Millis = Millis::seconds(60);
    keep port: i64 = 80;
    keep role: String = "droplets".to_owned();
}

impl DigitalOceanSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        match self.role.as_str() {
            "droplets" | "databases" => self.http.validate(),
            "" => fail("role missing (one of: droplets, databases)"),
            role => Err(format!("unknown DigitalOcean SD role {}", quoted(role.as_bytes()))),
        }
    }
}

section! {
    pub struct GceSdConfig("gce.plain") check GceSdConfig::check_alone;
    keep project: String;
    keep zone: String;
    omit filter: String;
    omit refresh_interval: Millis = Millis::seconds(60);
    keep port: i64 = 80;
    omit tag_separator: String = ",".to_owned();
}

impl GceSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        require(&[
            (!self.project.is_empty(), "GCE SD configuration requires a project"),
            (!self.zone.is_empty(), "GCE SD configuration requires a zone"),
        ])
    }
}

section! {
    pub struct HetznerSdConfig("hetzner.plain") check HetznerSdConfig::check_alone;
    inline http: HttpClientConfig = HttpClientConfig::default();
    keep refresh_interval: Millis = Millis::seconds(60);
    keep port: i64 = 80;
    keep role: String;
    omit label_selector: String;
}

impl HetznerSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        match self.role.as_str() {
            "robot" | "hcloud" => self.http.validate(),
            "" => fail("role missing (one of: robot, hcloud)"),
            role => Err(format!("unknown role {}", quoted(role.as_bytes()))),
        }
    }
}

section! {
    pub struct IonosSdConfig("ionos.plain") check IonosSdConfig::check_alone;
    keep datacenter_id: String;
    inline http: HttpClientConfig = HttpClientConfig::default();
    keep refresh_interval: Millis = Millis::seconds(60);
    keep port: i64 = 80;
}

impl IonosSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        require(&[(!self.datacenter_id.is_empty(), "datacenter id can't be empty")])?;
        self.http.validate()
    }
}

section! {
    pub struct LinodeSdConfig("linode.plain") check LinodeSdConfig::check_alone;
    inline http: HttpClientConfig = HttpClientConfig::default();
    keep refresh_interval: Millis = Millis::seconds(60);
    keep port: i64 = 80;
    omit tag_separator: String = ",".to_owned();
    omit region: String;
}

impl LinodeSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        self.http.validate()
    }
}

section! {
    pub struct OciSdConfig("oci.plain") check OciSdConfig::check_alone;
    /// `api_key` or `instance_principal`.
    omit auth: String = "api_key".to_owned();
    omit tenancy: String;
    omit user: String;
    omit fingerprint: String;
    omit key_file: FilePath;
    omit key_passphrase: Secret;
    omit key_passphrase_file: FilePath;
    keep region: String;
    omit compartments: Vec<String>;
    inline http: HttpClientConfig = HttpClientConfig::default();
    keep port: i64 = 80;
    keep refresh_interval: Millis = Millis::seconds(60);
}

impl OciSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        require(&[(!self.region.is_empty(), "oci_sd: region is required")])?;
        let key_fields = [
            (!self.tenancy.is_empty(), "oci_sd: api_key auth requires tenancy"),
            (!self.user.is_empty(), "oci_sd: api_key auth requires user"),
            (!self.fingerprint.is_empty(), "oci_sd: api_key auth requires fingerprint"),
            (!self.key_file.is_empty(), "oci_sd: api_key auth requires key_file"),
        ];
        let (phrase, file) =
            (!self.key_passphrase.is_empty(), !self.key_passphrase_file.is_empty());
        match self.auth.as_str() {
            "api_key" => {
                require(&key_fields)?;
                require(&[(
                    !(phrase && file),
                    "oci_sd: at most one of key_passphrase and key_passphrase_file must be \
                     configured",
                )])?;
            }
            "instance_principal" => {
                let any = key_fields.iter().any(|(given, _)| *given) || phrase || file;
                require(&[(
                    !any,
                    "oci_sd: instance_principal auth must not have tenancy, user, fingerprint, \
                     key_file, key_passphrase, or key_passphrase_file set",
                )])?;
            }
            auth => {
                return Err(format!(
                    "oci_sd: unknown auth method {}, expected \"api_key\" or \
                     \"instance_principal\"",
                    quoted(auth.as_bytes())
                ));
            }
        }
        if let Some(index) = self.compartments.iter().position(String::is_empty) {
            return Err(format!("oci_sd: compartments[{index}] must not be empty"));
        }
        if self.refresh_interval <= Millis(0) {
            let interval = self.refresh_interval;
            return Err(format!("oci_sd: refresh_interval must be positive, got {interval}"));
        }
        self.http.validate()
    }
}

section! {
    pub struct OpenstackSdConfig("openstack.plain") check OpenstackSdConfig::check_alone;
    keep identity_endpoint: String;
    keep username: String;
    keep userid: String;
    keep password: Secret;
    keep project_name: String;
    keep project_id: String;
    keep domain_name: String;
    keep domain_id: String;
    keep application_credential_name: String;
    keep application_credential_id: String;
    keep application_credential_secret: Secret;
    keep role: String;
    keep region: String;
    keep refresh_interval: Millis = Millis::seconds(60);
    keep port: i64 = 80;
    omit all_tenants: bool;
    omit tls_config: TlsConfig;
    omit availability: String = "public".to_owned();
}

impl OpenstackSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        let role_known = matches!(self.role.as_str(), "hypervisor" | "instance" | "loadbalancer");
        if !self.role.is_empty() && !role_known {
            return Err(format!("unknown OpenStack SD role {}", quoted(self.role.as_bytes())));
        }
        if !matches!(self.availability.as_str(), "public" | "internal" | "admin") {
            let availability = &self.availability;
            return Err(format!(
                "unknown availability {availability}, must be one of admin, internal or public"
            ));
        }
        require(&[
            (!self.role.is_empty(), "role missing (one of: instance, hypervisor, loadbalancer)"),
            (!self.region.is_empty(), "openstack SD configuration requires a region"),
        ])
    }
}

section! {
    pub struct OutscaleSdConfig("outscale.plain") check OutscaleSdConfig::check_alone;
    omit endpoint: String;
    keep region: String = "eu-west-2".to_owned();
    keep access_key: String;
    keep secret_key: Secret;
    keep secret_key_file: FilePath;
    omit refresh_interval: Millis = Millis::seconds(60);
    keep port: i64 = 80;
    inline http: HttpClientConfig = HttpClientConfig::default();
}

const NO_SECRET_KEY: &str = "one of secret_key & secret_key_file must be configured";
const TWO_SECRET_KEYS: &str = "at most one of secret_key & secret_key_file must be configured";

impl OutscaleSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        let (key, file) = (!self.secret_key.is_empty(), !self.secret_key_file.is_empty());
        require(&[
            (!self.region.is_empty(), "outscale SD configuration requires a region"),
            (!self.access_key.is_empty(), "outscale SD configuration requires access_key"),
            (key || file, NO_SECRET_KEY),
            (!(key && file), TWO_SECRET_KEYS),
        ])?;
        if self.endpoint.is_empty() {
            self.endpoint = format!("https://api.{}.outscale.com/api/v1", self.region);
        }
        self.http.validate()
    }
}

section! {
    pub struct OvhcloudSdConfig("ovhcloud.plain") check OvhcloudSdConfig::check_alone;
    keep endpoint: String = "ovh-eu".to_owned();
    keep application_key: String;
    keep application_secret: Secret;
    keep consumer_key: Secret;
    keep refresh_interval: Millis = Millis::seconds(60);
    /// `vps` or `dedicated_server`.
    keep service: String;
}

impl OvhcloudSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        require(&[
            (!self.endpoint.is_empty(), "endpoint can not be empty"),
            (!self.application_key.is_empty(), "application key can not be empty"),
            (!self.application_secret.is_empty(), "application secret can not be empty"),
            (!self.consumer_key.is_empty(), "consumer key can not be empty"),
        ])?;
        match self.service.as_str() {
            "dedicated_server" | "vps" => Ok(()),
            service => Err(format!("unknown service: {service}")),
        }
    }
}

section! {
    pub struct ScalewaySdConfig("scaleway.plain") check ScalewaySdConfig::check_alone;
    keep project_id: String;
    omit api_url: String = "https://api.scaleway.com".to_owned();
    keep zone: String = "fr-par-1".to_owned();
    keep access_key: String;
    keep secret_key: Secret;
    keep secret_key_file: FilePath;
    omit name_filter: String;
    omit tags_filter: Vec<String>;
    inline http: HttpClientConfig = HttpClientConfig::default();
    keep refresh_interval: Millis = Millis::seconds(60);
    keep port: i64 = 80;
    /// `instance` or `baremetal`.
    keep role: String;
}

impl ScalewaySdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        if !matches!(self.role.as_str(), "" | "instance" | "baremetal") {
            return Err(format!("unknown role {}", quoted(self.role.as_bytes())));
        }
        let (key, file) = (!self.secret_key.is_empty(), !self.secret_key_file.is_empty());
        require(&[
            (!self.role.is_empty(), "role missing (one of: instance, baremetal)"),
            (!self.project_id.is_empty(), "project_id is mandatory"),
            (key || file, NO_SECRET_KEY),
            (!(key && file), TWO_SECRET_KEYS),
            (!self.access_key.is_empty(), "access_key is mandatory"),
        ])?;
        self.http.validate()
    }
}

section! {
    pub struct StackitSdConfig("stackit.plain") check StackitSdConfig::check_alone;
    inline http: HttpClientConfig = HttpClientConfig::default();
    keep project: String;
    omit refresh_interval: Millis = Millis::seconds(60);
    omit port: i64 = 80;
    omit region: String = "eu01".to_owned();
    omit endpoint: String;
    omit service_account_key: Secret;
    omit private_key: Secret;
    omit service_account_key_path: String;
    omit private_key_path: String;
    omit credentials_file_path: String;
}

impl StackitSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        if self.endpoint.is_empty() && self.region.is_empty() {
            return fail("stackit_sd: endpoint and region missing");
        }
        Url::parse(&self.endpoint).map_err(|text| {
            let endpoint = quoted(self.endpoint.as_bytes());
            format!("stackit_sd: invalid endpoint {endpoint}: {text}")
        })?;
        self.http.validate()
    }
}

section! {
    pub struct TritonSdConfig("triton.plain") check TritonSdConfig::check_alone;
    keep account: String;
    /// `container` or `cn`.
    keep role: String = "container".to_owned();
    keep dns_suffix: String;
    keep endpoint: String;
    omit groups: Vec<String>;
    keep port: i64 = 9163;
    omit refresh_interval: Millis = Millis::seconds(60);
    omit tls_config: TlsConfig;
    keep version: i64 = 1;
}

impl TritonSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        require(&[
            (
                matches!(self.role.as_str(), "container" | "cn"),
                "triton SD configuration requires role to be 'container' or 'cn'",
            ),
            (!self.account.is_empty(), "triton SD configuration requires an account"),
            (!self.dns_suffix.is_empty(), "triton SD configuration requires a dns_suffix"),
            (!self.endpoint.is_empty(), "triton SD configuration requires an endpoint"),
            (
                self.refresh_interval > Millis(0),
                "triton SD configuration requires RefreshInterval to be a positive integer",
            ),
        ])
    }
}

section! {
    pub struct UyuniSdConfig("uyuni.plain") check UyuniSdConfig::check_alone;
    keep server: String;
    keep username: String;
    keep password: Secret;
    inline http: HttpClientConfig = HttpClientConfig::default();
    omit entitlement: String = "monitoring_entitled".to_owned();
    omit separator: String = ",".to_owned();
    omit refresh_interval: Millis = Millis::seconds(60);
}

impl UyuniSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        require(&[(!self.server.is_empty(), "Uyuni SD configuration requires server host")])?;
        Url::parse(&self.server)
            .map_err(|text| format!("Uyuni Server URL is not valid: {text}"))?;
        require(&[
            (!self.username.is_empty(), "Uyuni SD configuration requires a username"),
            (!self.password.is_empty(), "Uyuni SD configuration requires a password"),
        ])?;
        self.http.validate()
    }
}

section! {
    pub struct VultrSdConfig("vultr.plain") check VultrSdConfig::check_alone;
    inline http: HttpClientConfig = HttpClientConfig::default();
    keep refresh_interval: Millis = Millis::seconds(60);
    keep port: i64 = 80;
}

impl VultrSdConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        self.http.validate()
    }
}
